# What a committed row does to its object: insert creates, update applies, delete deletes, rename creates before it
# deletes; a rolled back transaction does nothing.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

my $node = DBNet::Cluster->started('actuation_basic');
my $api = DBNet::Api->start;
my $mirrors = DBNet::Mirrors->new($node, $api);

# INSERT, of two kinds in one transaction.
$node->psql_ok('BEGIN;' . $mirrors->node_row('n1', unschedulable => 'true') . $mirrors->config_row('c1', { a => '1', b => '2' }) . 'COMMIT;', 'insert');
is($mirrors->wait_synced, '', 'all of it is settled');
is($mirrors->node('n1')->{spec}{unschedulable}, JSON::PP::true, 'the Node is there with its field');
is_deeply($mirrors->config('c1')->{data}, { a => '1', b => '2' }, 'the ConfigMap is there with its data');
my ($owner) = grep { $_->{manager} =~ /^dbnet-[0-9a-f]{16}$/ } @{ $mirrors->config('c1')->{metadata}{managedFields} };
is($owner->{operation}, 'Apply', 'its fields are owned by the mirror, by server-side apply');
like($mirrors->config('c1')->{metadata}{annotations}{'dbnet.io/stamp'}, qr{^\d+/1/[0-9A-F]+/[0-9A-F]+/\d+$}, 'it carries the stamp');
$node->query_is(q{SELECT phase, uid IS NOT NULL, created_by_us, claimed FROM dbnet.object_status WHERE relation = 'net.configs'::regclass},
    'synced|t|t|{data,metadata.labels}', 'and is recorded so');
$node->wait_for(q{SELECT ready = 'True' FROM net.nodes}, 'the Node becomes ready and its row says so');
$node->query_is(q{SELECT operation, paths, transaction IS NOT NULL, commit_lsn IS NOT NULL, role, attempt, http_status, forced
                  FROM dbnet.actuation WHERE relation = 'net.configs'::regclass},
    'apply|{data,metadata.labels}|t|t|postgres|1|201|f', 'the log has one call for it');

# UPDATE.
$node->psql_ok(q{UPDATE net.configs SET data = '{"a": "3"}' WHERE name = 'c1'}, 'update');
is($mirrors->wait_synced, '', 'settled');
is_deeply($mirrors->config('c1')->{data}, { a => '3' }, 'the new value is applied, and what the row does not have any more is gone');

# What changes nothing sends nothing.
my $calls = $node->safe_psql('postgres', 'SELECT count(*) FROM dbnet.actuation');
$node->psql_ok(q{UPDATE net.configs SET data = data, note = 'local'}, 'a local column and an equal value');
is($mirrors->wait_synced, '', 'settled');
$node->query_is('SELECT count(*) FROM dbnet.actuation', $calls, 'no call was made');

# A transaction that does not commit.
$node->psql_ok(q{BEGIN; UPDATE net.configs SET data = '{"a": "never"}'; } . $mirrors->config_row('never', { a => '1' }) . ' ROLLBACK;', 'roll back');
is($mirrors->wait_synced, '', 'settled');
$node->query_is('SELECT count(*) FROM dbnet.actuation', $calls, 'no call was made');
is($api->get($mirrors->config_path('never'))->{status}, 404, 'no object came of it');

# A rename creates first.
my $uid = $mirrors->config('c1')->{metadata}{uid};
$node->psql_ok(q{UPDATE net.configs SET name = 'c2' WHERE name = 'c1'}, 'rename');
is($mirrors->wait_synced, '', 'settled');
is_deeply($mirrors->config('c2')->{data}, { a => '3' }, 'the new object is there');
is($api->get($mirrors->config_path('c1'))->{status}, 404, 'the old one is gone');
$node->query_is(q{SELECT string_agg(operation || ' ' || name, ', ' ORDER BY at) FROM (
                      SELECT * FROM dbnet.actuation WHERE relation = 'net.configs'::regclass ORDER BY at DESC LIMIT 2) AS a},
    'apply c2, delete c1', 'in this order');

# DELETE, and the same name again with another content.
$node->psql_ok(q{DELETE FROM net.configs}, 'delete');
is($mirrors->wait_synced, '', 'settled');
is($api->get($mirrors->config_path('c2'))->{status}, 404, 'the object is gone');
$node->query_is('SELECT count(*) FROM dbnet.tombstone', '0', 'nothing is left of it');
$node->query_is(q{SELECT count(*) FROM dbnet.object WHERE relation = 'net.configs'::regclass}, '0', 'nor of its record');
$node->psql_ok($mirrors->config_row('c2', { again => 'yes' }), 'insert it again');
is($mirrors->wait_synced, '', 'settled');
is_deeply($mirrors->config('c2')->{data}, { again => 'yes' }, 'it is there again');

# Deleted and inserted in one transaction: the object stays, with the new content.
$uid = $mirrors->config('c2')->{metadata}{uid};
$node->psql_ok(q{BEGIN; DELETE FROM net.configs; } . $mirrors->config_row('c2', { third => 'time' }) . ' COMMIT;', 'delete and insert');
is($mirrors->wait_synced, '', 'settled');
is_deeply($mirrors->config('c2')->{data}, { third => 'time' }, 'it has the new content');
is($mirrors->config('c2')->{metadata}{uid}, $uid, 'and is the same object');

# NULL of a field that we own is refused: without it the server would choose.
$node->psql_ok(q{UPDATE net.configs SET data = NULL WHERE name = 'c2'}, 'set a claimed field to NULL');
$node->wait_for(q{SELECT phase = 'invalid' AND message ~ 'column "data" \(data\) is NULL.*Set a value' FROM dbnet.object_status WHERE name = 'c2'}, 'it is refused and says what to do');
is_deeply($mirrors->config('c2')->{data}, { third => 'time' }, 'the object is as it was');
$node->psql_ok(q{UPDATE net.configs SET data = '{"fourth": "time"}' WHERE name = 'c2'}, 'set a value again');
is($mirrors->wait_synced, '', 'all is well again');

$node->psql_ok('DELETE FROM net.nodes', 'delete the Node');
is($mirrors->wait_synced, '', 'settled');
is($api->get($mirrors->node_path('n1'))->{status}, 404, 'the Node is gone');

$node->no_crash_in_log;
done_testing();
