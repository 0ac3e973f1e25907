# A server that has no room for a process of its client API: who asks is told so, nothing is left of each attempt, and who
# asks when there is room again is served.
use strict;
use warnings FATAL => 'all';
use DBNet::ClientApi;
use DBNet::Cluster;
use PostgreSQL::Test::Utils ();
use Test::More;

# Of the launcher, the launcher of logical replication, the mirror worker and the api worker.
my $node = DBNet::Cluster->started('main', conf => 'max_worker_processes = 4');
my $api = DBNet::ClientApi->new($node);
$node->psql_ok('CREATE ROLE app LOGIN', 'a role');
my $token = $api->token('app', 'deploy');

my $pid = $node->worker_pid('api worker');
sub segments { return scalar grep { m{/PostgreSQL\.} } split /\n/, PostgreSQL::Test::Utils::slurp_file("/proc/$pid/maps") }

my $before = segments();
for my $number (1 .. 20) {
    $api->answers($api->get($token, '/schemas'), 503, "no room, the ${number}th time", '53000', qr/no free background worker for a session: max_worker_processes is reached/);
}
is(segments(), $before, 'no shared memory is left of it');
is($node->worker_pid('api worker'), $pid, 'the worker is the same');

$node->append_conf('postgresql.conf', 'max_worker_processes = 6');
$node->restart;
$api->wait_until_served;
$api->answers($api->get($token, '/schemas'), 200, 'with room it is served');
$node->no_crash_in_log;
done_testing();
