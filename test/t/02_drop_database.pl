# DDL on databases never waits for, nor fails because of, DBNet's workers; a failed one brings the worker back.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;

my $node = DBNet::Cluster->started('drop');
$node->safe_psql('postgres', 'CREATE DATABASE plain');    # a database without the extension
my $workers = q{SELECT coalesce(string_agg(datname, ' ' ORDER BY datname), '') FROM pg_stat_activity WHERE backend_type = 'dbnet mirror worker' AND datname <> 'postgres'};

# A database with a running worker.
sub make_database {
    my ($name) = @_;
    $node->safe_psql('postgres', "CREATE DATABASE $name");
    $node->safe_psql($name, 'CREATE EXTENSION dbnet');
    return $node->worker_pid('mirror worker', database => $name);
}

# PostgreSQL itself gives up after five seconds of waiting for other sessions, with an error: success shows that nobody was there.
for my $case ([ 'plain', '', 'postgres' ], [ 'with FORCE', ' WITH (FORCE)', 'postgres' ], [ 'from a database without the extension', '', 'plain' ]) {
    my ($name, $option, $from) = @$case;
    make_database('victim');
    $node->psql_ok("DROP DATABASE victim$option", "DROP DATABASE $name", database => $from);
    $node->wait_for($workers, 'its worker is gone', expected => '');
}
for my $turn (1 .. 10) {
    $node->safe_psql('postgres', 'CREATE DATABASE victim');
    $node->safe_psql('victim', 'CREATE EXTENSION dbnet');    # the worker is on its way up
    $node->psql_ok('DROP DATABASE victim', "DROP DATABASE while the worker starts, $turn");
}

# --- other statements that need the database for themselves ---
make_database('one');
$node->psql_ok('ALTER DATABASE one RENAME TO two', 'RENAME');
$node->wait_for($workers, 'the worker is back under the new name', expected => 'two');
my $folder = PostgreSQL::Test::Utils::tempdir();
$node->psql_ok("CREATE TABLESPACE elsewhere LOCATION '$folder'", 'a tablespace');
$node->psql_ok('ALTER DATABASE two SET TABLESPACE elsewhere', 'SET TABLESPACE');
$node->wait_for($workers, 'the worker is back', expected => 'two');
$node->psql_ok('CREATE DATABASE three TEMPLATE two', 'CREATE DATABASE with the database as template');
$node->wait_for($workers, 'both have a worker', expected => 'three two');
$node->psql_ok('CREATE DATABASE four TEMPLATE template0', 'CREATE DATABASE from a template without the extension');

# --- statements that fail bring it back ---
my $pid = $node->worker_pid('mirror worker', database => 'two');
my $session = $node->background_psql('two');
$node->fails_like('DROP DATABASE two', '55006', qr/is being accessed by other users.*\n.*1 other session/, 'DROP DATABASE with another session in it');
$node->wait_for($workers, 'its worker is back', expected => 'three two');
$session->quit;
$node->query_is("BEGIN; ALTER DATABASE two RENAME TO other; SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dbnet mirror worker' AND datname = 'two'; ROLLBACK", '0',
    'no worker until the transaction with a RENAME has ended');
$node->wait_for($workers, 'ROLLBACK brings it back', expected => 'three two');
$pid = $node->worker_pid('mirror worker', database => 'two');
$node->fails_like('BEGIN; DROP DATABASE two', '25001', qr/cannot run inside a transaction block/, 'DROP DATABASE in a transaction block');
$node->wait_for($workers, 'its worker is back', expected => 'three two');
$node->fails_like('DROP DATABASE nonexistent', '3D000', qr/does not exist/, 'DROP DATABASE of none');

# --- who may not drop it cannot stop its worker ---
$node->safe_psql('postgres', 'CREATE ROLE stranger LOGIN');
$pid = $node->worker_pid('mirror worker', database => 'two');
$node->fails_like('DROP DATABASE two', '42501', qr/must be owner of database two/, 'a stranger may not drop it', role => 'stranger');
is($node->worker_pid('mirror worker', database => 'two'), $pid, 'and the worker goes on undisturbed');

# --- the slots of shared memory are given back ---
for my $turn (1 .. 130) {    # more often than there are slots
    $node->safe_psql('postgres', "ALTER DATABASE plain RENAME TO plain_$turn; ALTER DATABASE plain_$turn RENAME TO plain");
}
make_database('last');
pass('a database still gets a worker after 260 renames of one without');
$node->psql_ok("DROP DATABASE $_", "DROP DATABASE $_") for qw(two three four last plain);

$node->no_crash_in_log;
done_testing();
