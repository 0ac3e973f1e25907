# Kinds that the simulator does not serve, on real servers: a custom resource and its definition, Deployments beside the
# controllers that write their status, service accounts.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

DBNet::Need::need('binaries', 'controllers');
my $api  = DBNet::Api->start;
my $node = DBNet::Cluster->started('main');
my $space = $api->namespace;
sub settled { my ($name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', $name // 'settled') }
sub phase_like {
    my ($name, $phase, $message, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $node->wait_for(qq{SELECT phase = '$phase' AND message LIKE '$message' FROM dbnet.object_status WHERE name = '$name'}, $what);
}

# --- a definition, made by a row ---
$node->psql_ok($api->create_server('prod') . q{
    CREATE SCHEMA net;
    CREATE TABLE net.definitions (name text PRIMARY KEY, api_group text, names jsonb, scope text, versions jsonb, established text);
    SELECT dbnet.mirror('prod', 'apiextensions.k8s.io/v1', 'CustomResourceDefinition', 'net.definitions', mode => 'manage', columns => '{
        "name": "metadata.name", "api_group": "spec.group", "names": "spec.names", "scope": "spec.scope", "versions": "spec.versions",
        "established": "status.conditions[type=Established].status"}');
    INSERT INTO net.definitions (name, api_group, names, scope, versions) VALUES ('routers.test.dbnet.io', 'test.dbnet.io',
        '{"plural": "routers", "singular": "router", "kind": "Router", "listKind": "RouterList"}', 'Namespaced',
        '[{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "required": ["asn"], "properties": {
                "asn": {"type": "integer", "format": "int32", "minimum": 1}, "site": {"type": "string", "enum": ["ber", "muc"]},
                "mtu": {"type": "integer", "default": 1500}, "bandwidth": {"x-kubernetes-int-or-string": true},
                "peers": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["ip"],
                          "items": {"type": "object", "required": ["ip"], "properties": {"ip": {"type": "string"}, "weight": {"type": "integer"}}}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}},
            "status": {"type": "object", "properties": {"state": {"type": "string"}}}}}}}]')}, 'a definition');
settled();
$node->wait_for(q{SELECT established = 'True' FROM net.definitions WHERE name = 'routers.test.dbnet.io'}, 'is established');
$node->wait_for(q{SELECT count(*) = 1 FROM dbnet.kinds('prod') WHERE kind = 'Router' AND api_version = 'test.dbnet.io/v1'}, 'and served');
$api->wait_until(sub { $api->get('/openapi/v3/apis/test.dbnet.io/v1')->{status} == 200 }, 'its schema is served');

# --- its objects ---
my $map = '{"namespace": "metadata.namespace", "name": "metadata.name", "asn": "spec.asn", "site": "spec.site", "mtu": "spec.mtu", "bandwidth": "spec.bandwidth",
    "peers": "spec.peers", "free": "spec.free", "state": "status.state"}';
$node->psql_ok('CREATE TABLE net.routers (namespace text, name text, asn bigint, site text, mtu integer, bandwidth jsonb, peers jsonb, free jsonb, state text, PRIMARY KEY (namespace, name))', 'a table');
$node->fails_like("SELECT dbnet.mirror('prod', 'test.dbnet.io/v1', 'Router', 'net.routers', '$map')", '42804',
    qr/column "mtu" \(spec\.mtu\) has type integer, but the field holds integer \(up to 64 bits\).*HINT:.*bigint/s, 'a field without format may hold 64 bits');
$node->psql_ok(qq{ALTER TABLE net.routers ALTER mtu TYPE bigint;
    SELECT dbnet.mirror('prod', 'test.dbnet.io/v1', 'Router', 'net.routers', '$map', mode => 'manage');
    INSERT INTO net.routers (namespace, name, asn, site, bandwidth, peers, free) VALUES
        ('$space', 'good', 64512, 'ber', '"10M"', '[{"ip": "10.0.0.1", "weight": 1}]', '{"any": {"thing": [1, {"x": null}]}}'), ('$space', 'without', NULL, 'muc', NULL, NULL, NULL),
        ('$space', 'twice', 1, NULL, '5', '[{"ip": "1"}, {"ip": "1"}]', NULL), ('$space', 'unknown', 1, NULL, '5', '[{"ip": "1", "nonsense": 1}]', NULL)}, 'good ones and bad ones');
sub refused { my ($values, $pattern, $name) = @_; return $node->fails_like("INSERT INTO net.routers (namespace, name, asn, site) VALUES ('$space', 'bad', $values)", '23514', $pattern, $name) }
refused(q{0, 'ber'}, qr/column "asn" \(spec\.asn\): 0 is too small/, 'a minimum');
refused(q{1, 'ham'}, qr/column "site" \(spec\.site\): "ham" is not one of.*"ber", "muc"/s, 'an enumeration');
refused(q{4294967376, 'muc'}, qr/column "asn" \(spec\.asn\): 4294967376 is out of range for a 32-bit field/, 'a number that the server would change without a word');
phase_like('without', 'invalid', '%spec.asn: Required value%', 'a field that must be there');
phase_like('twice', 'invalid', '%duplicate entries for key [ip="1"]%', 'a key twice: after a few tries, since the server says 500');
phase_like('unknown', 'invalid', '%field not declared in schema%', 'an unknown field: the same');
$node->query_is(q{SELECT mtu, free FROM net.routers WHERE name = 'good'}, '1500|{"any": {"thing": [1, {"x": null}]}}', 'the good one is there, with the default of the server');
my $good = "/apis/test.dbnet.io/v1/namespaces/$space/routers/good";
$api->expect_success($api->patch("$good/status", { status => { state => 'up' } }));
$node->wait_for(q{SELECT state = 'up' FROM net.routers WHERE name = 'good'}, 'its status comes back');
$node->psql_ok(q{DELETE FROM net.routers WHERE name <> 'good'; UPDATE net.routers SET peers = '[{"ip": "10.0.0.2"}]', bandwidth = '10'}, 'mend');
settled();
is_deeply($api->get($good)->{body}{spec}{peers}, [ { ip => '10.0.0.2' } ], 'a list by keys: what the row does not have is gone');

# --- a changed schema cuts the watch; nothing is lost ---
$node->psql_ok(q{UPDATE net.definitions SET versions = jsonb_set(versions, '{0,schema,openAPIV3Schema,properties,spec,properties,note}', '{"type": "string"}')}, 'a field more');
settled();
$api->expect_success($api->patch("$good/status", { status => { state => 'down' } }));
$node->wait_for(q{SELECT state = 'down' FROM net.routers WHERE name = 'good'}, 'the watch goes on');
$node->wait_for(q{SELECT bool_and(state = 'synced') FROM dbnet.mirror_status}, 'all mirrors are well');

# --- Deployments: the controllers write, too ---
$node->psql_ok(qq{
    CREATE TABLE net.deployments (name text PRIMARY KEY, replicas integer, selector jsonb, labels jsonb, containers jsonb, progressing text, replicas_now integer);
    SELECT dbnet.mirror('prod', 'apps/v1', 'Deployment', 'net.deployments', namespace => '$space', mode => 'manage', columns => '{
        "name": "metadata.name", "replicas": "spec.replicas", "selector": "spec.selector", "labels": "spec.template.metadata.labels", "containers": "spec.template.spec.containers",
        "progressing": "status.conditions[type=Progressing].status", "replicas_now": "status.replicas"}');
    INSERT INTO net.deployments (name, replicas, selector, labels, containers) VALUES ('web', 2, '{"matchLabels": {"app": "web"}}', '{"app": "web"}', '[{"name": "app", "image": "nginx"}]')}, 'a Deployment');
settled();
$node->wait_for(q{SELECT progressing = 'True' AND replicas_now = 2 FROM net.deployments}, 'what its controller reports comes back');
$node->query_is(q{SELECT phase, containers FROM dbnet.object_status, net.deployments AS d WHERE object_status.name = d.name AND relation = 'net.deployments'::regclass}, 'synced|[{"name": "app", "image": "nginx"}]',
    'defaults of the server are no drift, and the row keeps what was written');
$node->psql_ok(q{UPDATE net.deployments SET replicas = 3}, 'scale');
settled();
$node->wait_for(q{SELECT replicas_now = 3 FROM net.deployments}, 'scaled');
$api->expect_success($api->patch("/apis/apps/v1/namespaces/$space/deployments/web/scale", { spec => { replicas => 5 } }, query => { fieldManager => 'autoscaler' }));
$node->wait_for(q{SELECT phase = 'drifted' AND message LIKE '%spec.replicas%' FROM dbnet.object_status WHERE name = 'web'}, 'somebody else scales: drift');
$node->query_is(q{SELECT manager, live_value FROM dbnet.fields('net.deployments', 'web') WHERE path = 'spec.replicas'}, 'autoscaler|5', 'by whom, and to what');
$node->psql_ok(q{UPDATE net.deployments SET replicas = 5}, 'the user gives in');
settled();
$node->psql_ok(q{UPDATE net.deployments SET selector = '{"matchLabels": {"app": "other"}}', labels = '{"app": "other"}'}, 'what cannot be changed');
phase_like('web', 'invalid', '%field is immutable%', 'is refused, in the words of the server');
$node->psql_ok(q{DELETE FROM net.deployments}, 'delete');
settled();
$api->wait_until(sub { !@{ $api->get("/apis/apps/v1/namespaces/$space/replicasets")->{body}{items} } }, 'what it owned is collected');

# --- objects that others make in every namespace ---
$node->psql_ok(q{CREATE TABLE net.accounts (namespace text, name text, uid text, PRIMARY KEY (namespace, name));
    SELECT dbnet.mirror('prod', 'v1', 'ServiceAccount', 'net.accounts', '{"namespace": "metadata.namespace", "name": "metadata.name", "uid": "metadata.uid"}')}, 'service accounts');
$node->wait_for(qq{SELECT count(*) = 1 FROM net.accounts WHERE namespace = '$space' AND name = 'default' AND uid IS NOT NULL}, 'of the namespace');

# --- a kind that goes ---
$node->psql_ok(q{DELETE FROM net.definitions WHERE name = 'routers.test.dbnet.io'}, 'delete the definition');
$node->wait_for(q{SELECT count(*) = 1 FROM dbnet.held}, 'is held');
$node->query_is(q{SELECT dbnet.approve(id) FROM dbnet.held}, '1', 'approve');
$node->wait_for(q{SELECT state = 'degraded' AND message <> '' FROM dbnet.mirror_status WHERE relation = 'net.routers'::regclass}, 'the mirror of its objects says that the kind is gone');
$node->query_is(q{SELECT bool_and(state = 'synced') FROM dbnet.mirror_status WHERE relation <> 'net.routers'::regclass}, 't', 'the others are well');

$node->no_crash_in_log;
done_testing();
