# A row that comes back while its object is being deleted, and goes again before that is recorded: what is left to delete
# is an object that is gone, and nobody is asked about it.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Mirrors;
use Test::More;

DBNet::Need::need('faults');
my $api = DBNet::Api->start(controllers => 0, nodes_ready => 0);
my $node = DBNet::Cluster->started('main');
my $mirrors = DBNet::Mirrors->new($node, $api);

$node->psql_ok($mirrors->config_row('a', { a => '1' }), 'a row');
is($mirrors->wait_synced, '', 'its object is made');

# The deletion is answered late; by then the row is back, and has moved away again. The object that it moves to is made
# late, too, which is when the deletion of the old one waits.
$api->fault({ action => 'delay', method => 'DELETE', path => '/configmaps/a', delay_ms => 5000, count => 1 },
    { action => 'delay', method => 'PATCH', path => '/configmaps/b', delay_ms => 15_000, count => 1 });
$node->psql_ok(q{DELETE FROM net.configs WHERE name = 'a'}, 'it is deleted');
$node->wait_for(q{SELECT phase FROM dbnet.object_status WHERE name = 'a'}, 'the deletion is under way', expected => 'deleting');
$node->psql_ok($mirrors->config_row('a', { a => '2' }), 'it is back');
$node->psql_ok(q{UPDATE net.configs SET name = 'b' WHERE name = 'a'}, 'and moves away');
$node->wait_for(q{SELECT phase || coalesce(': ' || message, '') FROM dbnet.object_status WHERE name = 'a'}, 'what is left of the old key waits for the new one',
    expected => 'pending: waits until what the same transaction needs first is accepted');
$node->wait_for(q{SELECT o.uid IS NULL AND t.uid IS NOT NULL AND t.created_by_us FROM dbnet.object AS o JOIN dbnet.tombstone AS t USING (relation, name) WHERE name = 'a'},
    'the object is gone by then, and its record, but not from the tombstone');
is($mirrors->wait_synced, '', 'all is settled');
$api->no_faults;

$node->query_is('SELECT count(*) FROM dbnet.held', '0', 'nothing is held');
$node->query_is(q{SELECT count(*) FROM dbnet.object WHERE name = 'a'}, '0', 'nothing is known of the old key');
$node->query_is('SELECT count(*) FROM dbnet.tombstone', '0', 'nothing is left to delete');
is($api->get($mirrors->config_path('a'))->{status}, 404, 'its object is gone');
is($api->get($mirrors->config_path('b'))->{body}{data}{a}, '2', 'that of the new key is there');

$node->no_crash_in_log;
done_testing();
