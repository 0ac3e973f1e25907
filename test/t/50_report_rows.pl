# What devices report arrives in the rows: import, changes, external deletes, and what a report leaves alone.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

my $api  = DBNet::Api->start;
my $node = DBNet::Cluster->started('main');
my ($space, $selector) = ($api->namespace, $api->selector);
my $maps = "/api/v1/namespaces/$space/configmaps";
my ($n1, $n2) = map { $api->name($_) } qw(n1 n2);
sub path { return "/api/v1/nodes/$_[0]" }
sub map_of { my ($name, %data) = @_; return { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => $name, labels => { app => 'x' } }, data => \%data } }

# --- existing objects ---
$api->create_node('n1', labels => { zone => 'a' });
$node->psql_ok($api->create_server('prod') . qq{
    CREATE SCHEMA net;
    CREATE TABLE net.nodes (name text PRIMARY KEY, labels jsonb, unschedulable boolean NOT NULL DEFAULT false, ready text, memory text,
        note text DEFAULT 'local');
    CREATE TABLE net.maps (name text PRIMARY KEY, labels jsonb, data jsonb);
    SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes', '{"name": "metadata.name", "labels": "metadata.labels",
        "unschedulable": "spec.unschedulable", "ready": "status.conditions[type=Ready].status", "memory": "status.capacity.memory"}',
        label_selector => '$selector');
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.maps', '{"name": "metadata.name", "labels": "metadata.labels", "data": "data"}',
        namespace => '$space', label_selector => 'app')}, 'mirrors');
$node->wait_for(q{SELECT array_agg(DISTINCT state) = '{synced}' FROM dbnet.mirror_state}, 'their first lists are complete');
$node->wait_for(qq{SELECT ready = 'True' FROM net.nodes WHERE name = '$n1'}, "a Node's Ready status comes back into its row");
$node->query_is(qq{SELECT labels->>'zone', unschedulable, note FROM net.nodes WHERE name = '$n1'}, 'a|f|local',
    'an imported row: a column that is NOT NULL takes its default where the object has no value');
$node->query_is(qq{SELECT live->'metadata'->>'name', live->'metadata' ? 'managedFields', health, phase IS NULL, claimed FROM dbnet.object WHERE name = '$n1'},
    "$n1|f|ready|t|{}", 'the whole object is recorded, as an observation');
$node->query_is(qq{SELECT resource_version IS NOT NULL, watch_since IS NOT NULL, listed, expected FROM dbnet.mirror_state WHERE relation = 'net.nodes'::regclass},
    't|t|1|1', 'the state of the mirror');
$node->query_is(q{SELECT count(*) FROM dbnet.preview('net.nodes')}, '0', 'an imported default is no wish of a user');

# --- a new object ---
$api->create_node('n2', labels => { zone => 'b' });
$node->wait_for(qq{SELECT ready = 'True' FROM net.nodes WHERE name = '$n2'}, 'a Node that is created later');

# --- changes ---
$api->expect_success($api->patch(path($n1), { spec => { unschedulable => JSON::PP::true }, metadata => { labels => { zone => 'c' } } }));
$node->wait_for(qq{SELECT unschedulable AND labels->>'zone' = 'c' FROM net.nodes WHERE name = '$n1'}, 'a change of mapped fields');
$api->expect_success($api->patch(path($n1), { spec => { unschedulable => undef } }));
$node->wait_for(qq{SELECT NOT unschedulable FROM net.nodes WHERE name = '$n1'}, 'a field that goes away becomes the default of a column that is NOT NULL');
my $before = $node->safe_psql('postgres', "SELECT xmin, ctid FROM net.nodes WHERE name = '$n1'");
$api->expect_success($api->patch(path($n1), { metadata => { annotations => { heartbeat => '1' } } }));
$node->wait_for(qq{SELECT live->'metadata'->'annotations'->>'heartbeat' = '1' FROM dbnet.object WHERE name = '$n1'}, 'a change of no mapped field is recorded');
$api->expect_success($api->patch(path($n2), { metadata => { labels => { zone => 'd' } } }));
$node->wait_for(qq{SELECT labels->>'zone' = 'd' FROM net.nodes WHERE name = '$n2'}, 'and what comes after it too');
is($node->safe_psql('postgres', "SELECT xmin, ctid FROM net.nodes WHERE name = '$n1'"), $before, 'no version of the row was written');

# --- what a user wrote and nobody has sent ---
$node->psql_ok(qq{UPDATE net.nodes SET labels = jsonb_set(labels, '{zone}', '"mine"') WHERE name = '$n1'}, 'a change in observe mode');
$api->expect_success($api->patch(path($n1), { spec => { unschedulable => JSON::PP::true }, metadata => { labels => { zone => 'theirs' } } }));
$node->wait_for(qq{SELECT unschedulable FROM net.nodes WHERE name = '$n1'}, 'other columns follow');
$node->query_is(qq{SELECT labels->>'zone' FROM net.nodes WHERE name = '$n1'}, 'mine', 'the unsent change survives');
$node->query_is(qq{SELECT live->'metadata'->'labels'->>'zone' FROM dbnet.object WHERE name = '$n1'}, 'theirs', 'the live value is recorded');

# --- a deleted row in observe mode ---
$node->psql_ok(qq{DELETE FROM net.nodes WHERE name = '$n2'}, 'a row is deleted in observe mode');
$api->expect_success($api->patch(path($n2), { metadata => { labels => { zone => 'e' } } }));
$node->wait_for(qq{SELECT live->'metadata'->'labels'->>'zone' = 'e' FROM dbnet.object WHERE name = '$n2'}, 'its object goes on changing');
$api->expect_success($api->patch(path($n1), { metadata => { annotations => { heartbeat => '2' } } }));
$node->wait_for(qq{SELECT live->'metadata'->'annotations'->>'heartbeat' = '2' FROM dbnet.object WHERE name = '$n1'}, 'a later event is through');
$node->query_is(qq{SELECT count(*) FROM net.nodes WHERE name = '$n2'}, '0', 'no report brings the deleted row back');

# --- objects that others delete ---
$api->expect_success($api->create($maps, map_of($_, a => '1'))) for qw(gone kept left);
$node->wait_for(q{SELECT count(*) = 3 FROM net.maps}, 'ConfigMaps are imported');
$node->psql_ok(q{UPDATE net.maps SET data = '{"a": "mine"}' WHERE name = 'kept'}, 'a user changes one of them');
$api->delete("$maps/gone");
$node->wait_for(q{SELECT NOT EXISTS (SELECT FROM net.maps WHERE name = 'gone')}, 'the row of a foreign object goes with it');
$node->wait_for(q{SELECT NOT EXISTS (SELECT FROM dbnet.object WHERE name = 'gone')}, 'so does the record');
$node->query_is(q{SELECT count(*) FROM dbnet.tombstone WHERE name = 'gone'}, '0', 'that leaves no tombstone');
$api->delete("$maps/kept");
$node->wait_for(q{SELECT phase = 'absent' AND live IS NULL FROM dbnet.object WHERE name = 'kept'}, 'an object is gone whose row holds an unsent change');
$node->query_is(q{SELECT data FROM net.maps WHERE name = 'kept'}, '{"a": "mine"}', 'the row stays');
$api->expect_success($api->patch("$maps/left", { metadata => { labels => { app => undef } } }));
$node->wait_for(q{SELECT NOT EXISTS (SELECT FROM net.maps WHERE name = 'left')}, 'an object that leaves the selector');
is($api->get("$maps/left")->{status}, 200, 'is not deleted');

$node->psql_ok(q{SELECT dbnet.alter_mirror('net.maps', on_external_delete => 'flag')}, 'flag');
$api->expect_success($api->create($maps, map_of('flagged', a => '1')));
$node->wait_for(q{SELECT count(*) = 1 FROM net.maps WHERE name = 'flagged'}, 'one more');
$api->delete("$maps/flagged");
$node->wait_for(q{SELECT phase = 'absent' FROM dbnet.object WHERE name = 'flagged'}, 'it is deleted and flagged');
$node->query_is(q{SELECT data FROM net.maps WHERE name = 'flagged'}, '{"a": "1"}', 'the row stays');
$api->expect_success($api->create($maps, map_of('flagged', a => '2')));
$node->wait_for(q{SELECT data = '{"a": "2"}' FROM net.maps WHERE name = 'flagged'}, 'when another one of its name appears, the row follows that');
$node->query_is(q{SELECT phase IS NULL FROM dbnet.object WHERE name = 'flagged'}, 't', 'and is not flagged any more');

$node->no_crash_in_log;
done_testing();
