# dbnet.mirror_status never repeats what a worker said that is gone, or that of the database of which this one is a copy: not in a
# copy before its worker is there, not without a worker, and not before a new one has spoken. So do those who ask it.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Mirrors;
use Test::More;

DBNet::Need::need('own_servers');
my $api = DBNet::Api->start(nodes_ready => 0, controllers => 0);
my $node = DBNet::Cluster->started('mirror_status');
my $mirrors = DBNet::Mirrors->new($node, $api, mode => 'observe');
$node->psql_ok('CREATE DATABASE elsewhere', 'another database');
my @elsewhere = (database => 'elsewhere');
my $status = q{SELECT DISTINCT state, message FROM dbnet.mirror_status};
my $fresh = q{SELECT bool_or(dbnet.fresh(relation, '1 hour')) FROM dbnet.mirrored_relation};
$node->query_is($status, 'synced|', 'a mirror that is watched');
$node->wait_for($fresh, 'is fresh');

# A template gets no workers: what is said of it here is as before the worker of a copy has begun.
$node->psql_ok('CREATE DATABASE copy TEMPLATE postgres IS_TEMPLATE true', 'a copy', @elsewhere);
my @copy = (database => 'copy');
$node->query_is(q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'copy' AND backend_type LIKE 'dbnet %'}, '0', 'without a worker');
$node->query_is(q{SELECT DISTINCT state FROM dbnet.mirror_state}, 'synced', 'where the last word was that all is well', @copy);
$node->query_is(q{SELECT DISTINCT state, message LIKE 'this database is a copy:%dbnet.claim()' FROM dbnet.mirror_status}, 'disarmed|t', 'is disarmed', @copy);
$node->query_is($fresh, 'f', 'and not fresh', @copy);
$node->psql_ok('SELECT dbnet.claim()', 'claimed', @copy);
$node->query_is($status, 'degraded|no mirror worker is running', 'it still has no worker', @copy);
$node->query_is($fresh, 'f', 'and is not fresh', @copy);

$node->wait_for($status, 'the database itself has one', expected => 'synced|');
$node->psql_ok('ALTER DATABASE postgres IS_TEMPLATE true', 'it loses its worker', @elsewhere);
$node->wait_for(q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type LIKE 'dbnet %'}, 'which ends', expected => '0', @elsewhere);
$node->query_is(q{SELECT DISTINCT state FROM dbnet.mirror_state}, 'synced', 'the last word was that all is well');
$node->query_is(q{SELECT DISTINCT state, message LIKE 'no mirror worker is running%' FROM dbnet.mirror_status}, 'degraded|t', 'which does not count');
$node->query_is($fresh, 'f', 'nothing is fresh');
$node->query_is(q{SELECT count(*) > 0 FROM dbnet.device_obstacles('net.configs', NULL) WHERE what LIKE '%is degraded: no mirror worker is running%'}, 't', 'dbnet.why_not() says so too');

# A worker that runs and cannot say anything: somebody holds the table of states.
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; LOCK dbnet.mirror_state IN EXCLUSIVE MODE');
$node->psql_ok('ALTER DATABASE postgres IS_TEMPLATE false', 'it gets a worker again', @elsewhere);
$node->wait_for(q{SELECT count(*) FROM dbnet.worker WHERE process = 'mirror worker' AND state = 'running'}, 'which runs', expected => '1');
$node->query_is($status, 'starting|', 'and has said nothing yet');
$holder->query_safe('COMMIT');
$holder->quit;
$node->wait_for($status, 'then it does', expected => 'synced|');

$node->stop;
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->start;
$node->query_is($status, 'degraded|no mirror worker is running: dbnet is not in shared_preload_libraries', 'a server that does not load the library');

$node->no_crash_in_log;
done_testing();
