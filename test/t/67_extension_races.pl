# CREATE EXTENSION raced with the process that looks whether a new database has it, and more databases than DBNet has room
# for: no database is forgotten.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;

my $node = DBNet::Cluster->started('extension_races', conf => "max_worker_processes = 30\nautovacuum = off\n");
my $running = q{SELECT count(*) = 1 FROM dbnet.worker WHERE process = 'mirror worker' AND state = 'running'};

# The look begins as CREATE DATABASE commits; it may see the extension or not.
for my $round (1 .. 12) {
    $node->safe_psql('postgres', "CREATE DATABASE race$round");
    $node->safe_psql("race$round", 'CREATE EXTENSION dbnet');
}
for my $round (1 .. 12) {
    $node->wait_for($running, "database $round is served", database => "race$round");
}
for my $round (1 .. 6) {
    $node->safe_psql("race$round", 'DROP EXTENSION dbnet; CREATE EXTENSION dbnet');
    $node->safe_psql("race$round", 'DROP EXTENSION dbnet');
    $node->safe_psql("race$round", 'CREATE EXTENSION dbnet');
}
for my $round (1 .. 6) {
    $node->wait_for($running, "dropped and created: database $round is served", database => "race$round");
}

# Every slot is taken: a WARNING once, and the database that waits is served as soon as there is room.
$node->safe_psql('postgres', <<"SQL");
CREATE SCHEMA door;
CREATE FUNCTION door.fill_slots(boolean) RETURNS integer LANGUAGE c AS '$ENV{DBNET_TEST_LIBRARY}', 'dbnet_test_fill_slots';
CREATE FUNCTION door.has_slot(oid) RETURNS boolean LANGUAGE c AS '$ENV{DBNET_TEST_LIBRARY}', 'dbnet_test_has_slot';
SQL
$node->safe_psql('postgres', 'CREATE DATABASE waiting');
# Nobody else connects there: autovacuum is off.
$node->wait_for(q{SELECT xact_commit > 0 AND NOT door.has_slot(datid) FROM pg_stat_database WHERE datname = 'waiting'}, 'a database without the extension has been looked at');
cmp_ok($node->safe_psql('postgres', 'SELECT door.fill_slots(true)'), '>', 100, 'the other slots are taken');
my $position = $node->log_position;
$node->safe_psql('waiting', 'CREATE EXTENSION dbnet');
$node->wait_for_log(qr/WARNING:  DBNet runs no more than 255 workers on a server: further ones wait/, $position);
pass('a WARNING');
$node->log_like(qr/HINT:  Drop the extension where it is not needed/, $position, 'with a hint');
$node->safe_psql('postgres', 'SELECT door.fill_slots(false)');
$node->wait_for($running, 'there is room again: the database is served', database => 'waiting');
my $warnings = () = $node->log_since($position) =~ /DBNet runs no more than/g;
is($warnings, 1, 'one WARNING for all tries');

$node->no_crash_in_log;
done_testing();
