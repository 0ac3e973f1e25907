# pg_upgrade of a cluster with everything that DBNet can hold: it takes all of it, the servers that it starts run nothing of
# DBNet's, and the new cluster, which is another one to devices, writes after dbnet.claim().
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Everything;
use PostgreSQL::Test::Utils ();
use Test::More;

my $api = DBNet::Api->start(controllers => 0);
my $old = DBNet::Cluster->started('old', conf => DBNet::Everything::conf());
my $all = DBNet::Everything->new($old, $api);
$all->works('before');
$old->psql_ok(q{
    CREATE FUNCTION net.on_spans() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO net.batches SELECT count(*) FROM new_spans; RETURN NULL; END';
    CREATE TABLE net.batches (spans bigint);
    SELECT otel.on_batch('net.on_spans()');
    CREATE FUNCTION net.twice(n integer) RETURNS integer LANGUAGE sql AS 'SELECT 2 * n';
    SELECT dbnet.track_function('net.twice(integer)')}, 'a hook of batches, a function of which calls are recorded');
my %question = (
    mirrors    => q{SELECT relation, server, kind, namespace, mode, field_manager FROM dbnet.mirrored_relation ORDER BY 1},
    claims     => q{SELECT relation, name, uid, claimed, applied FROM dbnet.object ORDER BY 1, 2},
    policies   => q{SELECT name, mode, action, enabled FROM dbnet.policy ORDER BY 1},
    tokens     => q{SELECT name, role FROM dbnet.token ORDER BY 1},
    hooks      => q{SELECT * FROM otel.batch_hook},
    functions  => q{SELECT function FROM dbnet.tracked_function ORDER BY 1},
    spans      => q{SELECT name, trace_id FROM otel.spans ORDER BY 1},
    calls      => q{SELECT id, operation, name, http_status FROM dbnet.actuation ORDER BY 1},
    why        => q{SELECT dbnet.why('net.done', (SELECT min(event)::text FROM net.done))},
    verify     => q{SELECT * FROM dbnet.verify()},
);
my %answer = map { $_ => $old->psql_ok($question{$_}, "$_ in the old cluster") } sort keys %question;
$old->stop;

my $new = DBNet::Cluster->new('new');
$new->init(conf => DBNet::Everything::conf());
my $folder = PostgreSQL::Test::Utils::tempdir();
my ($bindir) = $ENV{PATH} =~ /^([^:]+)/;
my @upgrade = ('pg_upgrade', '-b', $bindir, '-B', $bindir, '-d', $old->data_dir, '-D', $new->data_dir, '-p', $old->port, '-P', $new->port, '-s', $new->host);
sub upgrade {
    my ($name, @more) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $output = '';
    my $good = IPC::Run::run([ @upgrade, @more ], '>', \$output, '2>&1', init => sub { chdir $folder or die "$folder: $!" });
    return ok($good, $name) || diag($output, map { "$_:\n" . PostgreSQL::Test::Utils::slurp_file($_) } split /\n/, `find $folder @{[ $new->data_dir ]}/pg_upgrade_output.d -name '*.txt' -o -name '*.log' 2>/dev/null | head -20`);
}
upgrade('pg_upgrade --check', '--check') && upgrade('pg_upgrade') or do { done_testing(); exit };
my $started = `cat @{[ $new->data_dir ]}/pg_upgrade_output.d/*/log/pg_upgrade_server.log 2>/dev/null`;
unlike($started // '', qr/dbnet.*(?:ERROR|FATAL|WARNING)/i, 'its servers say nothing of DBNet');

$new->append_conf('postgresql.conf', "dbnet.api_listen = '127.0.0.1:$all->{client}{port}'");
$new->start;
$all->move_to($new);
$new->query_is($question{$_}, $answer{$_}, "$_ in the new cluster") for sort keys %question;
$all->runs('everything runs');
$new->wait_for(q{SELECT bool_and(state = 'disarmed') FROM dbnet.mirror_status}, 'another cluster: it writes to nothing');
$new->psql_ok($all->{mirrors}->config_row('upgraded', { v => '1' }), 'a row');
$new->wait_for(q{SELECT phase FROM dbnet.object_status WHERE key LIKE '%upgraded'}, 'waits', expected => 'pending');
$new->psql_ok('SELECT dbnet.claim()', 'until it is claimed');
is($all->{mirrors}->wait_synced, '', 'then it is sent');
$all->works('after');
$new->query_is('SELECT count(*) > 0 FROM net.batches', 't', 'the hook of batches too');
$new->query_is(q{SELECT dbnet.untrack_function('net.twice(integer)')}, '', 'and the function is found');
$new->no_crash_in_log;
done_testing();
