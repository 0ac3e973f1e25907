#!/usr/bin/perl
# Runs a postmaster below valgrind through a short life: a mirror and its rows, telemetry, a policy, an operation of the
# workers' each kind. Fails on every error that has a frame of DBNet in its stack; PostgreSQL's own are in test/valgrind.supp
# or of no interest here. test/check.pl --valgrind sets the environment. Takes some minutes.
use strict;
use warnings FATAL => 'all';
use Cwd qw(getcwd);
use DBNet::Api;
use File::Path qw(make_path);
use Test::More;

my $work = $ENV{TESTDATADIR} // die "run it by make valgrind\n";
my ($data, $errors, $top) = ("$work/data", "$work/errors", getcwd);
chomp(my $socket = `mktemp -d /tmp/dbnet-valgrind.XXXXXX`);
chomp(my $bindir = `which postgres`);
$bindir =~ s{/postgres$}{};
make_path($work, $errors);
@ENV{qw(PGHOST PGUSER PGDATABASE)} = ($socket, 'postgres', 'postgres');

sub run { my ($what, @command) = @_; system(@command) == 0 or BAIL_OUT("$what: @command") }

sub sql {
    my ($text, $what) = @_;
    open my $file, '>', "$work/statement.sql" or die "$work/statement.sql: $!\n";
    print $file "SET statement_timeout = '600 s';\n$text";
    close $file;
    my $output = `psql -XAtq -v ON_ERROR_STOP=1 -f $work/statement.sql 2>&1`;
    ok($? == 0, $what) or diag($output);
    chomp $output;
    return $output;
}

sub wait_for {
    my ($query, $what) = @_;
    my $output = '';
    for (1 .. 600) {
        $output = `psql -XAtq -c "$query" 2>&1`;
        return pass($what) if $output eq "t\n";
        sleep 1;
    }
    return fail($what) || diag($output);
}

# postgres is started by this, and so are the processes that it forks.
open my $program, '>', "$work/postgres" or die "$work/postgres: $!\n";
print $program <<"SH";
#!/bin/sh
exec valgrind --quiet --leak-check=no --num-callers=40 --error-limit=no --time-stamp=yes --suppressions=$top/test/valgrind.supp \\
    --gen-suppressions=all --log-file=$errors/%p $bindir/postgres "\$@"
SH
close $program;
chmod 0755, "$work/postgres";

my $api = DBNet::Api->start(nodes_ready => 0, controllers => 0);
run('initdb', "initdb -D $data -U postgres -A trust --no-sync -E UTF8 --no-locale > $work/initdb.log 2>&1");
open my $settings, '>>', "$data/postgresql.conf" or die "postgresql.conf: $!\n";
print $settings "shared_preload_libraries = 'dbnet'\nlisten_addresses = ''\nunix_socket_directories = '$socket'\nfsync = off\nshared_buffers = '16MB'\n",
  "wal_level = logical\nautovacuum = off\n";
close $settings;
run('start', "pg_ctl -D $data -p $work/postgres -w -t 300 -l $work/server.log start > $work/start.log 2>&1");

my $space = $api->namespace;
sql('CREATE EXTENSION dbnet', 'the extension');
sql($api->create_server('prod') . qq{
    CREATE SCHEMA net;
    CREATE TABLE net.maps (name text PRIMARY KEY, labels jsonb, data jsonb);
    SELECT dbnet.track('net.maps');
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.maps', namespace => '$space', mode => 'manage',
        columns => '{"name": "metadata.name", "labels": "metadata.labels", "data": "data"}');}, 'a mirror');
sql(q{INSERT INTO net.maps (name, data) SELECT 'map' || n, jsonb_build_object('n', n::text) FROM generate_series(1, 5) AS n}, 'rows');
is(sql(q{SELECT * FROM dbnet.wait_synced('580 s')}, 'wait'), '', 'are objects');
$api->expect_success($api->create("/api/v1/namespaces/$space/configmaps", { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'made' }, data => { n => '9' } }));
wait_for(q{SELECT count(*) = 1 FROM net.maps WHERE name = 'made'}, 'an object is made by somebody else');
sql(q{BEGIN; UPDATE net.maps SET data = '{"n": "6"}' WHERE name = 'map2'; DELETE FROM net.maps WHERE name = 'map3'; COMMIT; INSERT INTO net.maps VALUES ('Bad Name', '{}', '{}')}, 'a change, a deletion, a bad name');
wait_for(q{SELECT count(*) = 1 AND bool_and(message IS NOT NULL) FROM dbnet.object WHERE name = 'Bad Name' OR phase IN ('pending', 'deleting')}, 'are settled or refused');
sql(q{SELECT * FROM dbnet.preview('net.maps'); SELECT * FROM dbnet.object_status; SELECT * FROM dbnet.why('net.maps', '{"name": "map2"}'); SELECT * FROM dbnet.worker}, 'views');
sql(q{SELECT accepted FROM otel.ingest_traces(jsonb_build_object('resourceSpans', jsonb_build_array(jsonb_build_object(
    'resource', jsonb_build_object('attributes', jsonb_build_array(jsonb_build_object('key', 'service.name', 'value', jsonb_build_object('stringValue', 'shop')))),
    'scopeSpans', jsonb_build_array(jsonb_build_object('spans', (SELECT jsonb_agg(jsonb_build_object('traceId', lpad(to_hex(n), 32, '0'), 'spanId', lpad(to_hex(n), 16, '0'),
        'name', 'x', 'kind', 2, 'startTimeUnixNano', (extract(epoch FROM now())::bigint * 1000000000)::text, 'endTimeUnixNano', (extract(epoch FROM now())::bigint * 1000000000 + n)::text,
        'status', jsonb_build_object('code', 2)))
        FROM generate_series(1, 20) AS n)))))))}, 'telemetry');
sql(q{CREATE TABLE net.done (event bigint);
    CREATE PROCEDURE net.act(event dbnet.policy_event) LANGUAGE plpgsql AS 'BEGIN INSERT INTO net.done VALUES (event.id); END';
    SELECT dbnet.create_policy('any', 'query', query => 'SELECT 5::float8 AS value, 100::bigint AS count', threshold => 1, every => '1 s', action => 'net.act(dbnet.policy_event)', mode => 'act')}, 'a policy');
wait_for(q{SELECT count(*) > 0 FROM net.done}, 'has acted');
sql(q{SELECT dbnet.unmirror('net.maps'); DROP EXTENSION dbnet CASCADE}, 'all of it goes');
run('stop', "pg_ctl -D $data -m fast -w -t 300 stop > $work/stop.log 2>&1");

# valgrind's logs: blocks of lines, a stack each.
my @found;
for my $file (glob "$errors/*") {
    open my $in, '<', $file or die "$file: $!\n";
    local $/;
    my @blocks = split /^(?:==[^=]*== ?)?\n(?===)/m, scalar <$in>;
    push @found, grep { /dbnet\.so|\bdbnet::/ && /^==[^=]*==\s+at 0x/m } @blocks;
}
is(scalar @found, 0, 'valgrind finds nothing in DBNet') or diag(join "\n", @found[0 .. ($#found < 9 ? $#found : 9)]);
system('rm', '-rf', $socket);
done_testing();
