# What the mirror worker does with what is on record: old parts of rings are emptied, transactions are sealed in a chain.
# A dump carries all of it.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Digest::MD5 qw(md5_hex);
use Test::More;

my $node = DBNet::Cluster->started('provenance_care', conf => 'max_prepared_transactions = 2');
my $api = DBNet::Api->start;
my $mirrors = DBNet::Mirrors->new($node, $api);

sub change {
    my ($value) = @_;
    return qq{UPDATE net.configs SET data = '{"x": "$value"}' WHERE name = 'a'};
}

$node->psql_ok($mirrors->config_row('a', { x => '0' }), 'a row');
$node->psql_ok(change($_), "change $_") for 1 .. 3;
is($mirrors->wait_synced, '', 'settled');

# --- sealing ---
# A reload makes the worker look at once: the first look takes note of a moment, a later one seals what came before it.
sub wait_sealed {
    my ($what) = @_;
    my $newest = $node->safe_psql('postgres', 'SELECT max(id) FROM dbnet.transaction');
    for (1 .. 60) {
        $node->safe_psql('postgres', 'SELECT pg_reload_conf()');
        return pass($what) if $node->poll_query_until('postgres', "SELECT $newest = ANY (transactions) FROM dbnet.provenance_block ORDER BY number DESC LIMIT 1", 't', 2);
    }
    return fail($what . "\n" . $node->diagnostics);
}
my $broken = q{
    SELECT b.number FROM dbnet.provenance_block AS b LEFT JOIN dbnet.provenance_block AS p ON p.number = b.number - 1
    WHERE b.previous IS DISTINCT FROM p.root OR (p.number IS NULL) <> (b.number = 1)
        OR b.transactions[1] <= p.transactions[cardinality(p.transactions)]
        OR b.root <> sha256(coalesce(b.previous, '') || (SELECT string_agg(t.root, '' ORDER BY t.id) FROM dbnet.transaction AS t WHERE t.id = ANY (b.transactions)))};
my $unsealed = q{SELECT count(*) FROM dbnet.transaction WHERE id <> ALL (SELECT unnest(transactions) FROM dbnet.provenance_block)
                 AND id <= (SELECT max(id) FROM (SELECT unnest(transactions) AS id FROM dbnet.provenance_block) AS sealed)};
wait_sealed('a block');
$node->query_is($broken, '', 'it holds the roots of its transactions');
$node->query_is($unsealed, '0', 'of all of them');
my $first = $node->safe_psql('postgres', 'SELECT max(number) FROM dbnet.provenance_block');

$node->psql_ok(change(4), 'another change');
wait_sealed('another block');
$node->query_is($broken, '', 'the chain goes on');
$node->query_is("SELECT max(number) > $first FROM dbnet.provenance_block", 't', 'in a block of its own');

# A prepared transaction has its id before others that commit first: they wait for it.
$node->psql_ok('BEGIN;' . change(5) . "; PREPARE TRANSACTION 'old'", 'prepared');
$node->psql_ok(q{INSERT INTO net.configs (name, data) VALUES ('b', '{}')}, 'a transaction that commits before it');
for (1 .. 3) {
    $node->safe_psql('postgres', 'SELECT pg_reload_conf()');
    is($mirrors->wait_synced, '', 'the worker has been at work');
}
$node->psql_ok(q{COMMIT PREPARED 'old'}, 'committed');
wait_sealed('sealed');
$node->query_is($broken, '', 'in order');
$node->query_is($unsealed, '0', 'nothing is left out');

# --- dump and restore ---
$node->wait_for(q{SELECT ready = 'True' FROM net.nodes}, 'a report is on record') if $node->psql_ok($mirrors->node_row('n1'), 'a Node');
is($mirrors->wait_synced, '', 'settled');
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
my @rings = qw(activity entity_version);
my @tables = (@rings, qw(actuation session used_version provenance_block tracked_relation tracked_function code));
my %content = map { $_ => "SELECT md5(string_agg(one::text, E'\\n' ORDER BY one::text)) FROM dbnet.$_ AS one" } @tables;
$content{tracked_function} .= q{ WHERE function::text NOT LIKE 'dbnet.%'};    # DBNet's own come with each database
$content{tracked_relation} .= ' WHERE number >= 100'; # our own are those of the extension
# What a restore itself does to tracked tables, adding their keys, is on record there.
my $newest = $node->safe_psql('postgres', 'SELECT max(id) + 1023 FROM dbnet.transaction');
$content{$_} .= " WHERE id <= $newest" for qw(activity session);
my %before = map { $_ => $node->safe_psql('postgres', $content{$_}) } @tables;
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-h', $node->host, '-p', $node->port, 'postgres' ], 'pg_dump');
$node->psql_ok('CREATE DATABASE copy', 'another database');
$node->command_ok([ 'pg_restore', '-e', '-d', 'copy', '-h', $node->host, '-p', $node->port, $dump ], 'pg_restore');
$node->query_is($content{$_}, $before{$_}, "$_ is as in the original", database => 'copy') for @tables;

# --- retention ---
# Ids of other days, in stretches of 2^51 and 2^49: the setting keeps 90 days, and the whole stretch that began before.
my $day = 86_400_000_000 * 1024;
my $now = $node->safe_psql('postgres', 'SELECT dbnet.event_at(now())');
my $oldest = $now - 90 * $day;
my $start = $oldest >> 51 << 51;
my @kept = ($now - 30 * $day, $oldest + $day, $start);
my @gone = ($start - 1, $now - 200 * $day, $now - 379 * $day);
my $insert = sub {
    my ($id) = @_;
    return qq{
        INSERT INTO dbnet.activity (id, transaction, kind, name, role, started_at, status, checksum, session, root) VALUES ($id, $id, 'S', 'UPDATE', 'r', now(), 'd', 0, $id, '');
        INSERT INTO dbnet.entity_version (id, activity, relation, key_hash, key, operation, checksum) VALUES ($id, $id, 1, 1, '{}', 'U', 0);
        INSERT INTO dbnet.used_version (id, activity, relation, checksum) VALUES ($id, $id, 1, 0);
        INSERT INTO dbnet.session (id, process, session_user_name, application_name, process_id, started_at) VALUES ($id, 'p', 'u', 'a', 1, now());};
};
$node->psql_ok(join('', map { $insert->($_) } @kept, @gone), 'lines of other days');
my $start_of_calls = ($now - 30 * $day) >> 49 << 49;
my @kept_calls = ($now - 20 * $day, $start_of_calls);
my @gone_calls = ($start_of_calls - 1, $now - 40 * $day);
$node->psql_ok(join('', map { "INSERT INTO dbnet.actuation (id, relation, name, operation) VALUES ($_, 'net.configs', 'x', 'apply');" } @kept_calls, @gone_calls), 'and calls');
$node->psql_ok(qq{INSERT INTO dbnet.code SELECT n, 'line ' || n, 'sql', '', dbnet.event_time($start) - interval '50 days' + n * interval '1 hour' FROM (VALUES (-1), (1)) AS hour(n)}, 'sources that were seen long ago');
my $long = join '', map { md5_hex($_) } 1 .. 300;    # is stored out of line
$node->psql_ok(qq{CREATE TABLE net.touched (id int PRIMARY KEY); SELECT dbnet.track('net.touched');
    CREATE PROCEDURE net.touch() LANGUAGE sql AS \$\$INSERT INTO net.touched SELECT count(*) FROM net.touched -- $long\$\$; CALL net.touch()}, 'a source');
my $sources = q{SELECT count(*), count(*) FILTER (WHERE seen_at > now() - interval '1 hour') FROM dbnet.code WHERE name = 'net.touch()'};
$node->psql_ok('CALL net.touch()', 'again');
$node->query_is($sources, '1|1', 'is written once');
$node->psql_ok(q{UPDATE dbnet.code SET seen_at = now() - interval '26 days' WHERE name = 'net.touch()'; CALL net.touch()}, 'after 25 days');
$node->query_is($sources, '1|1', 'anew, for events of now outlive that line');
my $recent = $now - 10 * $day;
my %recent = map { $_ => $node->safe_psql('postgres', "SELECT count(*) FROM dbnet.$_ WHERE id > $recent") } @rings, qw(actuation session);
my $sum = join ' + ', map { "(SELECT count(*) FROM dbnet.$_ WHERE id < $start)" } @rings, 'used_version';
$node->safe_psql('postgres', 'SELECT pg_reload_conf()');
$node->wait_for("SELECT $sum = 0", 'old parts are emptied');
$node->query_is("SELECT string_agg(id::text, ' ' ORDER BY id) FROM dbnet.$_ WHERE id < $recent", join(' ', sort @kept), "$_ keeps the others") for @rings, 'used_version';
$node->query_is("SELECT string_agg(id::text, ' ' ORDER BY id) FROM dbnet.session WHERE id < $recent", join(' ', sort $start - 1, @kept),
    'of sessions those of a day before too: they are referred to');
$node->wait_for(q{SELECT string_agg(name, ', ') FROM dbnet.code WHERE name LIKE 'line %'}, 'of sources those of 50 days before', expected => 'line 1');
$node->query_is("SELECT string_agg(id::text, ' ' ORDER BY id) FROM dbnet.actuation WHERE id < $recent", join(' ', sort @kept_calls), 'calls have a retention of their own');
$node->query_is("SELECT count(*) FROM dbnet.$_ WHERE id > $recent", $recent{$_}, "nothing of today went from $_") for sort keys %recent;

# A shorter retention counts at once; what a session holds has its turn later, and holds up nobody.
my $reader = $node->background_psql('postgres', on_error_die => 1);
$reader->query_safe('BEGIN; SELECT count(*) FROM dbnet.activity');
$node->append_conf('postgresql.conf', "dbnet.provenance_retention = '1d'\ndbnet.actuation_retention = '1d'");
$node->reload;
$node->psql_ok(change(7), 'a change while a part cannot be emptied');
is($mirrors->wait_synced, '', 'settled');
$node->query_is("SELECT count(*) FROM dbnet.activity WHERE id < $recent", scalar(@kept), 'what is being read stays');
$reader->query_safe('COMMIT');
$reader->quit;
$start = ($now - $day) >> 51 << 51;
$node->safe_psql('postgres', 'SELECT pg_reload_conf()');
$node->wait_for("SELECT NOT EXISTS (SELECT FROM dbnet.activity WHERE id < $start)", 'and goes later');
my ($status, undef, $error) = $node->psql('postgres', q{ALTER SYSTEM SET dbnet.provenance_retention = '400d'});
like($error, qr/outside the valid range/, 'no longer than the ring has room for');

# --- indexes that are built anew beside commits ---
# The new ones are there before they may be written to: a lock holds the statement up at that point.
for my $table (map { $node->safe_psql('postgres', "SELECT tableoid::regclass FROM $_ ORDER BY id DESC LIMIT 1") } qw(dbnet.activity dbnet.entity_version)) {
    my ($holder, $rebuilding) = map { $node->background_psql('postgres', on_error_die => 1) } 1 .. 2;
    $holder->query_safe("BEGIN; LOCK TABLE $table IN ROW EXCLUSIVE MODE");
    $rebuilding->query_until(qr/begun/, "\\echo begun\nREINDEX TABLE CONCURRENTLY $table;\n");
    $node->wait_for(qq{SELECT count(*) > 0 FROM pg_index WHERE indrelid = '$table'::regclass AND NOT indisready}, "$table: an index that is not ready");
    $node->psql_ok(change("beside $table"), 'a change is committed');
    $holder->query_safe('COMMIT');
    $rebuilding->query_safe('SELECT 1');
    $node->query_is(qq{SELECT count(*) FROM pg_index WHERE indrelid = '$table'::regclass AND NOT (indisready AND indisvalid)}, '0', 'all are built');
    $node->psql_ok(change("after $table"), 'and another change');
    $node->query_is(q{SET enable_seqscan = off; SELECT string_agg(new #>> '{data,x}', ', ' ORDER BY event) FROM dbnet.history('net.configs', 'a') WHERE new #>> '{data,x}' LIKE } . "'% $table'",
        "beside $table, after $table", 'both are found');
    $_->quit for $holder, $rebuilding;
}

# --- a clock that is set back ---
# As if what is on record was written a day from now: what comes after it goes on from there, and keeps its order.
my $ahead = ($now + $day) >> 10 << 10;
$node->psql_ok($insert->($ahead), 'on record from a later day');
$node->restart;
$mirrors->wait_listed;
$node->psql_ok(change(8), 'a change');
$node->psql_ok(change(9), 'another one');
is($mirrors->wait_synced, '', 'settled');
$node->query_is("SELECT count(*), bool_and(id < $ahead + $day / 1000) FROM dbnet.transaction WHERE id > $ahead", '2|t', 'ids go on from the newest on record');
$node->query_is("SELECT bool_and(call.id > call.cause AND call.cause > $ahead) FROM dbnet.actuation AS call WHERE call.id > $ahead", 't', 'those of calls too');
$node->query_is(q{SELECT new -> 'data' FROM dbnet.entity_version WHERE new ? 'data' ORDER BY id DESC LIMIT 1}, '{"x": "9"}', 'in order');
$node->psql_ok(q{UPDATE dbnet.code SET seen_at = now() - interval '24.5 days' WHERE name = 'net.touch()'; CALL net.touch()}, 'a source that is 25.5 days older than they are');
$node->query_is(q{SELECT count(*), bool_and(seen_at > now() + interval '12 hours') FROM dbnet.code WHERE name = 'net.touch()'}, '1|t', 'its line is of their time');

$node->no_crash_in_log;
done_testing();
