# A generated table of every kind that the server has, and writes through those of the kinds that people use most: list
# elements by key, quantities, times, ports that are numbers or names, and values that a server would change silently.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

my $api  = DBNet::Api->start(controllers => 0, nodes_ready => 0);
my $node = DBNet::Cluster->started('main');
my $space = $api->namespace;
sub settled { my ($name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', $name // 'settled') }
$node->psql_ok($api->create_server('prod') . 'CREATE SCHEMA net; CREATE SCHEMA every;', 'a server');
my %served = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', q{SELECT api_version || ' ' || kind FROM dbnet.kinds('prod')});

# A kind of our own, when the server knows definitions.
if ($served{'apiextensions.k8s.io/v1 CustomResourceDefinition'}) {
    my $definition = $api->create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
        apiVersion => 'apiextensions.k8s.io/v1', kind => 'CustomResourceDefinition', metadata => { name => 'routers.tables.dbnet.io', labels => $api->labels },
        spec => { group => 'tables.dbnet.io', scope => 'Namespaced', names => { plural => 'routers', singular => 'router', kind => 'Router', listKind => 'RouterList' },
            versions => [{ name => 'v1', served => JSON::PP::true, storage => JSON::PP::true, subresources => { status => {} }, schema => { openAPIV3Schema => { type => 'object', properties => {
                spec => { type => 'object', required => ['asn'], properties => {
                    asn => { type => 'integer', format => 'int64', minimum => 1, description => 'Autonomous system.' }, mode => { type => 'string', enum => [qw(edge core)] },
                    host => { type => 'string', pattern => '^[a-z]+(\.[a-z]+)*$' }, name => { type => 'string' },
                    peers => { type => 'array', 'x-kubernetes-list-type' => 'map', 'x-kubernetes-list-map-keys' => ['ip'],
                        items => { type => 'object', required => ['ip'], properties => { ip => { type => 'string' }, weight => { type => 'integer', format => 'int32' } } } } } },
                status => { type => 'object', properties => { state => { type => 'string' } } } } } } }] } });
    if ($definition->{status} == 201) {
        $api->wait_until(sub { $api->get('/openapi/v3/apis/tables.dbnet.io/v1')->{status} == 200 }, 'the schema of our own kind is served');
        $served{'tables.dbnet.io/v1 Router'} = 1;
    }
}

# --- all of them ---
$node->psql_ok(q{SELECT dbnet.mirror('prod', api_version, kind, format('every.%I', kind || ' ' || api_version)) FROM dbnet.kinds('prod') WHERE verbs @> '{list,watch}' AND kind NOT IN ('Secret', 'APIService')}, 'a table of every kind whose schema is published');
$node->wait_for(q{SELECT bool_and(state = 'synced') FROM dbnet.mirror_status}, 'all are listed');
$node->query_is(q{SELECT count(*) >= 3, count(*) = (SELECT count(*) FROM pg_class WHERE relnamespace = 'every'::regnamespace AND relkind = 'r') FROM dbnet.mirrored_relation}, 't|t', 'each has its table');
$node->query_is(q{SELECT relation, column_name, column_type FROM dbnet.mirrored_column JOIN pg_attribute ON attrelid = relation AND attname = column_name JOIN pg_type ON pg_type.oid = atttypid WHERE typnamespace <> 'pg_catalog'::regnamespace},
    '', 'no type that is not PostgreSQL\'s own');
$node->wait_for(qq{SELECT count(*) = 1 FROM every."Namespace v1" WHERE name = '$space' AND status_phase = 'Active'}, 'a Namespace with its status');
$node->query_is(q{SELECT * FROM dbnet.object_status WHERE needs_action}, '', 'no object of any of them needs anybody');
$node->psql_ok('DROP SCHEMA every CASCADE', 'the tables go');
$node->query_is('SELECT count(*) FROM dbnet.mirrored_relation', '0', 'and the mirrors with them');

sub generated {
    my ($api_version, $kind, $table) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return note("the server has no $api_version $kind"), 0 if !$served{"$api_version $kind"};
    return $node->psql_ok(qq{SELECT dbnet.mirror('prod', '$api_version', '$kind', 'net.$table', namespace => '$space', mode => 'manage')}, "a table of $kind");
}
sub refused { my ($sql, $pattern, $name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->fails_like($sql, '23514', $pattern, $name) }
sub phase_is { my ($table, $rows, $name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(qq{SELECT name, phase FROM dbnet.object_status WHERE relation = 'net.$table'::regclass AND phase IS NOT NULL ORDER BY 1}, $rows, $name) }

# --- Deployment: a nested template ---
if (generated('apps/v1', 'Deployment', 'deployments')) {
    $node->psql_ok(q{INSERT INTO net.deployments (name, replicas, selector, template) VALUES ('web', 2, '{"matchLabels": {"app": "web"}}', '{"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
        {"name": "app", "image": "nginx", "resources": {"limits": {"cpu": "0.1", "memory": "1.5Gi"}}, "ports": [{"containerPort": 80}], "livenessProbe": {"httpGet": {"path": "/", "port": 80}}}]}}')}, 'a Deployment');
    settled();
    my $path = "/apis/apps/v1/namespaces/$space/deployments/web";
    is_deeply($api->get($path)->{body}{spec}{template}{spec}{containers}[0]{resources}{limits}, { cpu => '100m', memory => '1536Mi' }, 'the server writes quantities in its own way');
    phase_is('deployments', 'web|synced', 'which is the same amount, not drift');
    $node->query_is(q{SELECT dbnet.get(template, 'spec.containers[name=app].resources.limits') FROM net.deployments}, '{"cpu": "0.1", "memory": "1.5Gi"}', 'the row keeps what was written');
    $node->psql_ok(q{UPDATE net.deployments SET template = dbnet.set(template, 'spec.containers[name=app].image', '"nginx:2"'), replicas = 3}, 'another image');
    settled();
    is($api->get($path)->{body}{spec}{template}{spec}{containers}[0]{image}, 'nginx:2', 'is sent');
    refused(q{UPDATE net.deployments SET template = dbnet.set(template, 'spec.containers[name=app].ports[containerPort=80].containerPort', '4294967376')},
        qr/column "template" \(spec\.template\): at spec\.containers\[name=app\]\.ports\[containerPort=4294967376.*\]\.containerPort: 4294967376 is out of range for a field of 32 bits.*silently store/s,
        'a number that the server would store as 80');
    refused(q{UPDATE net.deployments SET template = dbnet.set(template, 'spec.containers[name=app].resources.limits.cpu', '"much"')}, qr/limits\.cpu: "much" is not a quantity/, 'no quantity');
    refused(q{UPDATE net.deployments SET template = dbnet.set(template, 'spec.restartPolicy', '"Maybe"')}, qr/restartPolicy: "Maybe" is not one of.*"Always"/s, 'no value of the list')
      if $node->safe_psql('postgres', q{SELECT rules::text LIKE '%"OnFailure"%' FROM dbnet.mirrored_column WHERE column_name = 'template'}) eq 't';
    # Somebody else's, with what a server writes as null: one column is the user's word, no other.
    $api->expect_success($api->create("/apis/apps/v1/namespaces/$space/deployments", { apiVersion => 'apps/v1', kind => 'Deployment', metadata => { name => 'theirs', labels => $api->labels },
        spec => { replicas => 1, selector => { matchLabels => { app => 'theirs' } }, template => { metadata => { labels => { app => 'theirs' } }, spec => { containers => [{ name => 'app', image => 'nginx' }] } } } }, query => { fieldManager => 'kubectl-create' }));
    like($api->get("/apis/apps/v1/namespaces/$space/deployments/theirs")->{text}, qr/"template":\s*\{\s*"metadata":\s*\{[^}]*"creationTimestamp":\s*null/, 'the server shows a null');
    $node->wait_for(q{SELECT count(*) FROM net.deployments WHERE name = 'theirs'}, 'is imported', expected => '1');
    $node->psql_ok(q{UPDATE net.deployments SET replicas = 0 WHERE name = 'theirs'}, 'replicas alone');
    settled();
    $node->query_is(q{SELECT claimed FROM dbnet.object WHERE name = 'theirs'}, '{spec.replicas}', 'nothing else is claimed');
    $node->query_is(q{SELECT path, format, required FROM dbnet.describe('net.deployments') WHERE column_name IN ('replicas', 'selector', 'status_readyReplicas')},
        "spec.replicas|int32|f\nspec.selector||t\nstatus.readyReplicas|int32|f", 'described');
}

# --- Service: ports that are numbers or names, a list of values ---
if (generated('v1', 'Service', 'services')) {
    $node->psql_ok(q{INSERT INTO net.services (name, selector, ports) VALUES ('web', '{"app": "web"}', '[{"name": "http", "port": 80, "targetPort": "http"}, {"name": "more", "port": 81, "targetPort": 8081}]')}, 'a Service');
    settled();
    is_deeply([map { $_->{targetPort} } @{ $api->get("/api/v1/namespaces/$space/services/web")->{body}{spec}{ports} }], ['http', 8081], 'a name stays a name, a number a number');
    $node->wait_for(q{SELECT "clusterIP" LIKE '%.%.%.%' AND type = 'ClusterIP' FROM net.services}, 'what the server filled in comes back');
    refused(q{UPDATE net.services SET type = 'Somewhere'}, qr/column "type" \(spec\.type\): "Somewhere" is not one of.*HINT:.*"ClusterIP"/s, 'no value of the list')
      if $node->safe_psql('postgres', q{SELECT allowed_values IS NOT NULL FROM dbnet.describe('net.services') WHERE column_name = 'type'}) eq 't';
    refused(q{UPDATE net.services SET ports = dbnet.set(ports, '[name=more].targetPort', '8589934672')}, qr/\.targetPort: 8589934672 is out of range for a field of 32 bits/, 'a port of more than 32 bits');
    phase_is('services', 'web|synced', 'nothing of that was sent');
}

# --- Pod ---
if (generated('v1', 'Pod', 'pods')) {
    $node->psql_ok(q{INSERT INTO net.pods (name, labels, containers) VALUES ('one', '{"app": "one"}', '[{"name": "app", "image": "nginx", "resources": {"requests": {"cpu": "0.5"}}}]')}, 'a Pod');
    settled();
    $node->wait_for(q{SELECT status_phase = 'Pending' OR status_phase = 'Running' FROM net.pods WHERE name = 'one'}, 'its phase');
    phase_is('pods', 'one|synced', 'is well');
}

# --- autoscaler, Ingress: nested structures of other groups ---
if (generated('autoscaling/v2', 'HorizontalPodAutoscaler', 'autoscalers')) {
    $node->psql_ok(q{INSERT INTO net.autoscalers (name, "minReplicas", "maxReplicas", "scaleTargetRef", metrics) VALUES ('web', 1, 5, '{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}',
        '[{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}]')}, 'an autoscaler');
    settled();
    refused(q{UPDATE net.autoscalers SET metrics = '[{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "lots"}}}]'},
        qr/at \[0\]\.resource\.target\.averageValue: "lots" is not a quantity/, 'no quantity in a list without keys');
    phase_is('autoscalers', 'web|synced', 'is well');
}
if (generated('networking.k8s.io/v1', 'Ingress', 'ingresses')) {
    $node->psql_ok(q{INSERT INTO net.ingresses (name, rules) VALUES ('web', '[{"host": "example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]')}, 'an Ingress');
    settled();
    phase_is('ingresses', 'web|synced', 'is well');
}

# --- Lease: times with microseconds, which a server refuses in any other form ---
if (generated('coordination.k8s.io/v1', 'Lease', 'leases')) {
    $node->query_is(q{SELECT type, format, unit FROM dbnet.describe('net.leases') WHERE column_name IN ('leaseDurationSeconds', 'renewTime')}, "integer|int32|seconds\ntimestamp with time zone|micro-time|", 'its types');
    $node->psql_ok(q{INSERT INTO net.leases (name, "holderIdentity", "leaseDurationSeconds", "renewTime") VALUES ('a', 'me', 15, '2026-11-23 10:00:00.5+02'), ('b', 'me', 15, '2026-11-23 08:00:00+00')}, 'two Leases');
    settled();
    is_deeply([map { $api->get("/apis/coordination.k8s.io/v1/namespaces/$space/leases/$_")->{body}{spec}{renewTime} } qw(a b)], ['2026-11-23T08:00:00.500000Z', '2026-11-23T08:00:00.000000Z'], 'with microseconds');
    phase_is('leases', "a|synced\nb|synced", 'are well');
}

# --- a custom resource ---
if (generated('tables.dbnet.io/v1', 'Router', 'routers')) {
    $node->query_is(q{SELECT column_name, path, format, description, allowed_values, required FROM dbnet.describe('net.routers') WHERE role = 'spec'},
        "asn|spec.asn|int64|Autonomous system.||t\nhost|spec.host||||f\nmode|spec.mode|||{edge,core}|f\nspec_name|spec.name||||f\npeers|spec.peers||||f", 'its columns; a name that is taken steps aside');
    refused(q{INSERT INTO net.routers (name, asn) VALUES ('a', 0)}, qr/column "asn" \(spec\.asn\): 0 is too small.*at least 1/s, 'a range');
    refused(q{INSERT INTO net.routers (name, asn, mode) VALUES ('a', 1, 'middle')}, qr/"middle" is not one of.*"edge", "core"/s, 'a list of values');
    refused(q{INSERT INTO net.routers (name, asn, host) VALUES ('a', 1, 'A.b')}, qr/"A\.b" does not match the field's pattern/, 'a pattern');
    refused(q{INSERT INTO net.routers (name, asn, peers) VALUES ('a', 1, '[{"ip": "10.0.0.1", "weight": 2147483648}]')}, qr/at \[ip="10\.0\.0\.1"\]\.weight: 2147483648 is out of range/, 'a number in a list');
    $node->psql_ok(q{INSERT INTO net.routers (name, asn, mode, host, spec_name, peers) VALUES ('a', 64512, 'edge', 'r.example', 'r', '[{"ip": "10.0.0.1", "weight": 1}]')}, 'a good one');
    settled();
    $node->psql_ok(q{UPDATE net.routers SET peers = dbnet.set(peers, '[ip="10.0.0.1"].weight', '7')}, 'an element by its key');
    settled();
    my $spec = $api->get("/apis/tables.dbnet.io/v1/namespaces/$space/routers/a")->{body}{spec};
    is_deeply([$spec->{name}, $spec->{peers}[0]{weight}], ['r', 7], 'arrives');
}

$node->no_crash_in_log;
done_testing();
