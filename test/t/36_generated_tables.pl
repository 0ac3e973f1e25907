# Tables that dbnet.mirror() makes by itself: their columns, who owns them, that they import, follow and are written
# like any other; what is refused; and the other way of saying nothing about columns, a table that is there already.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

my $api  = DBNet::Api->start;
my $node = DBNet::Cluster->started('main');
my ($space, $selector) = ($api->namespace, $api->selector);
my $n1 = $api->name('n1');
my $maps = "/api/v1/namespaces/$space/configmaps";
sub settled { my ($name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', $name // 'settled') }
sub columns { my ($table) = @_; return qq{SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = '$table'::regclass AND attnum > 0} }

$api->create_node('n1', labels => { zone => 'a' });
$node->psql_ok($api->create_server('prod') . 'CREATE SCHEMA net', 'a server and a schema');

# --- what is refused, before anything is made ---
$node->fails_like(q{SELECT dbnet.mirror('prod', 'v1', 'Node', 'nowhere.nodes')}, '3F000', qr/schema nowhere does not exist.*HINT:.*CREATE SCHEMA nowhere;/s, 'no schema');
$node->fails_like(q{SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes', columns => '{"name": "metadata.name"}')}, '42P01',
    qr/net\.nodes does not exist.*leave the argument columns out/s, 'columns of a table that is not there');
$node->fails_like(q{SELECT dbnet.mirror('prod', 'v1', 'Nodes', 'net.nodes')}, '42704', qr/HINT:.*"Node"/s, 'no such kind');
$node->query_is(q{SELECT count(*) FROM pg_class WHERE relnamespace = 'net'::regnamespace}, '0', 'nothing is left of that');

# --- with the caller's rights ---
$node->psql_ok(q{CREATE ROLE engineer IN ROLE dbnet_admin; GRANT USAGE ON SCHEMA net TO engineer; GRANT USAGE ON FOREIGN SERVER prod TO engineer}, 'a role');
$node->fails_like(q{SET ROLE engineer; SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes')}, '42501', qr/permission denied for schema net.*HINT:.*GRANT CREATE ON SCHEMA net/s,
    'no right to create tables in the schema');
$node->psql_ok(qq{GRANT CREATE ON SCHEMA net TO engineer; SET ROLE engineer; SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes', label_selector => '$selector')}, 'with it');
$node->query_is(q{SELECT relowner::regrole FROM pg_class WHERE oid = 'net.nodes'::regclass}, 'engineer', 'the table is the caller\'s');
$node->query_is(q{SELECT mode, initial, label_selector <> '' FROM dbnet.mirrored_relation WHERE relation = 'net.nodes'::regclass}, 'observe|compare|t', 'the mirror only looks');
$node->query_is(q{SELECT count(*) FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND objid = 'net.nodes'::regclass}, '0', 'the extension does not own it');

# --- what it looks like ---
my $newer = $api->minor >= 30;    # its schema has two fields more
$node->query_is(columns('net.nodes'), 'name text, configSource jsonb, externalID text, podCIDR text, podCIDRs jsonb, providerID text, taints jsonb, unschedulable boolean, '
      . 'status_addresses jsonb, status_allocatable jsonb, status_capacity jsonb, status_conditions jsonb, status_config jsonb, status_daemonEndpoints jsonb, ' . ($newer ? 'status_features jsonb, ' : '') . 'status_images jsonb, '
      . 'status_nodeInfo jsonb, status_phase text, ' . ($newer ? 'status_runtimeHandlers jsonb, ' : '') . 'status_volumesAttached jsonb, status_volumesInUse jsonb, labels jsonb, annotations jsonb', 'columns of a Node');
$node->query_is(q{SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'net.nodes'::regclass AND contype = 'p'}, 'PRIMARY KEY (name)', 'its key');
$node->query_is(q{SELECT col_description('net.nodes'::regclass, 8)}, 'Unschedulable controls node schedulability of new pods. By default, node is schedulable. More info: '
      . 'https://kubernetes.io/docs/concepts/nodes/node/#manual-node-administration (spec.unschedulable)', 'the words of the schema');
$node->query_is(q{SELECT max(length(col_description('net.nodes'::regclass, attnum))) <= 340, bool_and(col_description('net.nodes'::regclass, attnum) LIKE '%(%)') FROM pg_attribute WHERE attrelid = 'net.nodes'::regclass AND attnum > 0},
    't|t', 'short ones, with the path');
$node->query_is(q{SELECT obj_description('net.nodes'::regclass) LIKE 'Mirror of Node (v1) of server prod%'}, 't', 'and of the table');

# --- import, follow, write ---
$node->wait_for(qq{SELECT labels->>'zone' = 'a' AND dbnet.get(status_conditions, '[type=Ready].status') = '"True"' FROM net.nodes WHERE name = '$n1'}, 'a Node is imported');
$api->expect_success($api->patch("/api/v1/nodes/$n1", { metadata => { labels => { zone => 'b' } } }));
$node->wait_for(qq{SELECT labels->>'zone' = 'b' FROM net.nodes WHERE name = '$n1'}, 'and followed');
$node->query_is(q{SELECT count(*) FROM dbnet.preview('net.nodes')}, '0', 'nothing that was imported is a wish');
$node->psql_ok(qq{SET ROLE engineer; SELECT dbnet.alter_mirror('net.nodes', mode => 'manage'); UPDATE net.nodes SET unschedulable = true WHERE name = '$n1'}, 'cordon it');
settled();
is($api->get("/api/v1/nodes/$n1")->{body}{spec}{unschedulable}, JSON::PP::true, 'is cordoned');
$node->query_is(qq{SELECT claimed FROM dbnet.object WHERE name = '$n1'}, '{spec.unschedulable}', 'that field is ours, and no other');
$node->fails_like(qq{UPDATE net.nodes SET status_phase = 'Running'}, '42501', qr/status_phase.*written by device reports only/s, 'status is not for users');
$node->psql_ok(qq{INSERT INTO net.nodes (name, labels) SELECT 'n2', labels FROM net.nodes WHERE name = '$n1'}, 'a Node by a row') if $api->kind ne 'cluster';
settled();
$node->wait_for(q{SELECT count(*) = 2 FROM net.nodes WHERE dbnet.get(status_conditions, '[type=Ready].status') = '"True"'}, 'is ready') if $api->kind ne 'cluster';

# --- describe ---
$node->query_is(q{SELECT column_name, path, role, type, format, unit, required, writable FROM dbnet.describe('net.nodes') WHERE column_name IN ('name', 'podCIDR', 'unschedulable', 'status_capacity', 'labels')},
    "name|metadata.name|key|text|||f|t\npodCIDR|spec.podCIDR|spec|text|||f|t\nunschedulable|spec.unschedulable|spec|boolean|||f|t\n"
      . "status_capacity|status.capacity|status|jsonb|||f|f\nlabels|metadata.labels|meta|jsonb|||f|t", 'what the columns are');
$node->query_is(q{SELECT allowed_values, description LIKE 'NodePhase is the recently observed%' FROM dbnet.describe('net.nodes') WHERE column_name = 'status_phase'}, '{Pending,Running,Terminated}|t', 'values and words');
$node->psql_ok(q{SET ROLE engineer; ALTER TABLE net.nodes ADD owner_team text}, 'a column of the user');
$node->query_is(q{SELECT path IS NULL, role, writable FROM dbnet.describe('net.nodes') WHERE column_name = 'owner_team'}, 't|local|t', 'is local');
$node->fails_like(q{CREATE TABLE net.plain (a integer); SELECT * FROM dbnet.describe('net.plain')}, '42704', qr/net\.plain is not a mirror/, 'no mirror');
$node->psql_ok(q{CREATE ROLE onlooker IN ROLE dbnet_viewer; GRANT USAGE ON SCHEMA net TO onlooker}, 'somebody who may not SELECT');
$node->fails_like(q{SET ROLE onlooker; SELECT * FROM dbnet.describe('net.nodes')}, '42501', qr/permission denied for mirror net\.nodes/, 'is told nothing');

# --- again: the same names in the same order, and the table that is there is bound by them ---
my $before = $node->safe_psql('postgres', columns('net.nodes'));
$node->psql_ok(qq{SET ROLE engineer; SELECT dbnet.unmirror('net.nodes'); SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes', label_selector => '$selector');
    SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes_again', label_selector => '$selector')}, 'mirror it once more, and another table');
is($node->safe_psql('postgres', columns('net.nodes')), $before, 'the table stays as it is');
is($node->safe_psql('postgres', columns('net.nodes_again')) . ', owner_team text', $before, 'the other one is alike');
$node->query_is(q{SELECT count(*), count(*) FILTER (WHERE b.path = a.path) FROM dbnet.mirrored_column AS a LEFT JOIN dbnet.mirrored_column AS b ON b.relation = 'net.nodes'::regclass AND b.column_name = a.column_name
    WHERE a.relation = 'net.nodes_again'::regclass}, $newer ? '23|23' : '21|21', 'and mirrors the same');
$node->psql_ok(qq{CREATE TABLE net.few (name text PRIMARY KEY, "podCIDR" text, mine integer); SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.few', label_selector => '$selector')}, 'a table of one\'s own with some of the names');
$node->query_is(q{SELECT string_agg(column_name || ' ' || path, ', ' ORDER BY column_name) FROM dbnet.mirrored_column WHERE relation = 'net.few'::regclass}, 'name metadata.name, podCIDR spec.podCIDR', 'needs no map either');

# --- a namespace, and data ---
$api->expect_success($api->create($maps, { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'first' }, data => { a => '1' } }));
$node->psql_ok(qq{SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.configs', namespace => '$space', mode => 'manage'); SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.all_configs')}, 'ConfigMaps of one namespace, and all');
$node->query_is(columns('net.configs'), 'name text, binaryData jsonb, data jsonb, immutable boolean, labels jsonb, annotations jsonb', 'one namespace: no column for it');
$node->query_is(columns('net.all_configs'), 'namespace text, name text, binaryData jsonb, data jsonb, immutable boolean, labels jsonb, annotations jsonb', 'all: the first column');
$node->query_is(q{SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'net.all_configs'::regclass AND contype = 'p'}, 'PRIMARY KEY (namespace, name)', 'and the key');
$node->wait_for(q{SELECT data->>'a' = '1' FROM net.configs WHERE name = 'first'}, 'imported');
$node->wait_for(qq{SELECT data->>'a' = '1' FROM net.all_configs WHERE name = 'first' AND namespace = '$space'}, 'in both');
$node->psql_ok(q{UPDATE net.configs SET data = dbnet.set(data, 'a', '"2"') WHERE name = 'first'; INSERT INTO net.configs (name, data) VALUES ('second', '{"b": "x"}')}, 'an edit and a new one');
settled();
is($api->get("$maps/first")->{body}{data}{a}, '2', 'is sent');
is($api->get("$maps/second")->{body}{data}{b}, 'x', 'is created');

# --- values that the server would not take ---
$node->fails_like(q{UPDATE net.configs SET data = '{"a": 5}' WHERE name = 'first'}, '23514', qr/column "data" \(data\): at a: 5 is not text/, 'a value of a wrong type inside a document');
$node->fails_like(q{UPDATE net.configs SET labels = '["a"]' WHERE name = 'first'}, '23514', qr/column "labels" \(metadata\.labels\): \["a"\] is not an object/, 'a document of a wrong kind');
$node->fails_like(q{INSERT INTO net.configs (name, data) VALUES ('third', '{"a": true}')}, '23514', qr/at a: true is not text/, 'at INSERT too');
$node->psql_ok(q{UPDATE net.configs SET labels = '{"x": "1"}', data = data WHERE name = 'second'}, 'good values pass');
settled();
# Written past the trigger, as a restored or replicated row is, it stops at the worker, in the same words.
$node->psql_ok(q{SET session_replication_role = replica; UPDATE net.configs SET data = '{"a": 5}' WHERE name = 'first'}, 'past the trigger');
$node->wait_for(q{SELECT phase = 'invalid' AND message = 'column "data" (data): at a: 5 is not text' FROM dbnet.object_status WHERE name = 'first' AND relation = 'net.configs'::regclass}, 'phase invalid');
is($api->get("$maps/first")->{body}{data}{a}, '2', 'nothing was sent');

$node->psql_ok('DROP EXTENSION dbnet CASCADE', 'DROP EXTENSION');
$node->query_is(q{SELECT count(*) FROM pg_class WHERE relnamespace = 'net'::regnamespace AND relkind = 'r'}, '6', 'leaves the tables');
$node->no_crash_in_log;
done_testing();
