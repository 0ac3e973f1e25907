# max_worker_processes is reached: one WARNING, state failed with the reason, and the worker starts when there is room.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;

# PostgreSQL's logical replication launcher takes one, DBNet's launcher one; one is left.
my $node = DBNet::Cluster->started('worker_slots', extension => 0, conf => 'max_worker_processes = 3');
my $library = $ENV{DBNET_TEST_LIBRARY};
my $position = $node->log_position;
$node->safe_psql('postgres', 'CREATE EXTENSION dbnet');
$node->wait_for(q{SELECT state FROM dbnet.worker WHERE process = 'mirror worker'}, 'the last background worker is ours', expected => 'running');

$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION dbnet');
my $state = q{SELECT state || ': ' || last_error FROM dbnet.worker WHERE process = 'mirror worker'};
$node->wait_for($state, 'a second one finds no room', expected => 'failed: no free background worker: max_worker_processes is reached', database => 'other');
$node->wait_for(q{SELECT restarts >= 2 FROM dbnet.worker WHERE process = 'mirror worker'}, 'it is tried again', database => 'other');
my $warnings = () = $node->log_since($position) =~ /WARNING:  DBNet cannot start a worker: all background worker slots are in use/g;
is($warnings, 1, 'one WARNING for all tries');
like($node->log_since($position), qr/HINT:  Raise max_worker_processes: DBNet takes one for its launcher and, for each database with the extension, one/, 'with a hint');
$node->query_is(q{SELECT state FROM dbnet.worker WHERE process = 'mirror worker'}, 'running', 'the first one is not disturbed');

$node->safe_psql('postgres', 'DROP EXTENSION dbnet CASCADE');
$node->wait_for(q{SELECT state FROM dbnet.worker WHERE process = 'mirror worker'}, 'when there is room the second one starts', expected => 'running', database => 'other');
$node->psql_ok('DROP DATABASE other', 'DROP DATABASE');

$node->no_crash_in_log;
done_testing();
