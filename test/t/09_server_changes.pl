# Committed changes of servers, user mappings and foreign-data wrappers are counted for the worker, others are not.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;

my $node = DBNet::Cluster->started('server_changes', conf => 'max_prepared_transactions = 2');
$node->worker_pid('mirror worker');
$node->safe_psql('postgres', <<"SQL");
CREATE SCHEMA door;
CREATE FUNCTION door.configuration() RETURNS bigint LANGUAGE c AS '$ENV{DBNET_TEST_LIBRARY}', 'dbnet_test_configuration';
CREATE ROLE reader;
CREATE ROLE other;
CREATE FOREIGN DATA WRAPPER plain;
SQL

# By how much the count grows while SQL runs.
sub counted {
    my ($sql) = @_;
    my $before = $node->safe_psql('postgres', 'SELECT door.configuration()');
    $node->safe_psql('postgres', $sql);
    return $node->safe_psql('postgres', 'SELECT door.configuration()') - $before;
}

for my $sql (
    'CREATE SERVER one FOREIGN DATA WRAPPER plain',
    q{ALTER SERVER one OPTIONS (ADD a '1')},
    q{CREATE USER MAPPING FOR PUBLIC SERVER one OPTIONS (a '1')},
    q{ALTER USER MAPPING FOR PUBLIC SERVER one OPTIONS (SET a '2')},
    'DROP USER MAPPING FOR PUBLIC SERVER one',
    'GRANT USAGE ON FOREIGN SERVER one TO reader',
    'REVOKE USAGE ON FOREIGN SERVER one FROM reader',
    'ALTER SERVER one OWNER TO postgres',
    'ALTER SERVER one RENAME TO two',
    q{ALTER FOREIGN DATA WRAPPER plain OPTIONS (ADD b '1')},
    'DO $$ BEGIN ALTER SERVER two RENAME TO one; END $$',
    'DROP OWNED BY other',
    q{BEGIN; ALTER SERVER one OPTIONS (SET a '3'); ALTER SERVER one OPTIONS (SET a '4'); COMMIT},
    'DROP SERVER one',
    'DROP FOREIGN DATA WRAPPER plain',
  )
{
    is(counted($sql), 1, "counted: $sql");
}
for my $sql (
    'CREATE FOREIGN DATA WRAPPER empty',
    'BEGIN; CREATE SERVER none FOREIGN DATA WRAPPER empty; ROLLBACK',
    'CREATE TABLE plain (a int)',
    'ALTER TABLE plain RENAME TO simple',
    'GRANT SELECT ON simple TO reader',
    'DROP TABLE simple',
    q{BEGIN; CREATE SERVER later FOREIGN DATA WRAPPER empty; PREPARE TRANSACTION 'server'},
  )
{
    is(counted($sql), 0, "not counted: $sql");
}
is(counted(q{COMMIT PREPARED 'server'}), 1, 'counted: COMMIT PREPARED');

$node->no_crash_in_log;
done_testing();
