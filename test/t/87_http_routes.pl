# A kind of somebody else's API whose fields are lists of objects that the server completes with defaults: HTTPRoutes of
# the Gateway API. A canary is shifted from SQL, what the gateway's controller reports comes back, and defaults are no
# drift.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use JSON::PP ();
use Test::More;

my $api   = DBNet::Api->start(controllers => 0, nodes_ready => 0);
my $node  = DBNet::Cluster->started('main');
my $space = $api->namespace;
my $json  = JSON::PP->new->canonical;

# As in the standard channel of the Gateway API, with fewer fields.
my ($string, $port) = ({ type => 'string', minLength => 1, maxLength => 253 }, { type => 'integer', format => 'int32', minimum => 1, maximum => 65535 });
my $parent = { type => 'object', required => ['name'], properties => { group => { %$string, minLength => 0, default => 'gateway.networking.k8s.io' },
    kind => { %$string, default => 'Gateway' }, name => $string, sectionName => $string, port => $port } };
my $match = { type => 'object', properties => { path => { type => 'object', default => { type => 'PathPrefix', value => '/' }, properties => {
    type => { type => 'string', enum => [qw(Exact PathPrefix RegularExpression)], default => 'PathPrefix' }, value => { type => 'string', maxLength => 1024, default => '/' } } } } };
my $backend = { type => 'object', required => ['name'], properties => { group => { type => 'string', maxLength => 253, default => '' }, kind => { %$string, default => 'Service' },
    name => $string, port => $port, weight => { type => 'integer', format => 'int32', minimum => 0, maximum => 1000000, default => 1 } } };
my $rule = { type => 'object', properties => { matches => { type => 'array', maxItems => 64, items => $match, default => [ { path => { type => 'PathPrefix', value => '/' } } ] },
    backendRefs => { type => 'array', maxItems => 16, items => $backend } } };
my $condition = { type => 'object', required => [qw(type status reason message lastTransitionTime)], properties => { (map { $_ => { type => 'string' } } qw(type reason message)),
    status => { type => 'string', enum => [qw(True False Unknown)] }, lastTransitionTime => { type => 'string', format => 'date-time' }, observedGeneration => { type => 'integer', format => 'int64' } } };
my $schema = { type => 'object', required => ['spec'], properties => {
    spec => { type => 'object', properties => { parentRefs => { type => 'array', maxItems => 32, items => $parent },
        hostnames => { type => 'array', maxItems => 16, items => { %$string, pattern => '^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$' } },
        rules => { type => 'array', maxItems => 16, items => $rule, default => [ { matches => [ { path => { type => 'PathPrefix', value => '/' } } ] } ] } } },
    status => { type => 'object', required => ['parents'], properties => { parents => { type => 'array', maxItems => 32, items => { type => 'object', required => [qw(parentRef controllerName)],
        properties => { parentRef => $parent, controllerName => { type => 'string' },
            conditions => { type => 'array', maxItems => 8, items => $condition, 'x-kubernetes-list-type' => 'map', 'x-kubernetes-list-map-keys' => ['type'] } } } } } } } };
$api->expect_success($api->create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
    apiVersion => 'apiextensions.k8s.io/v1', kind => 'CustomResourceDefinition', metadata => { name => 'httproutes.gateway.networking.k8s.io', labels => $api->labels,
        annotations => { 'api-approved.kubernetes.io' => 'https://github.com/kubernetes-sigs/gateway-api/pull/2997' } },
    spec => { group => 'gateway.networking.k8s.io', scope => 'Namespaced', names => { plural => 'httproutes', singular => 'httproute', kind => 'HTTPRoute', listKind => 'HTTPRouteList' },
        versions => [ { name => 'v1', served => JSON::PP::true, storage => JSON::PP::true, schema => { openAPIV3Schema => $schema }, subresources => { status => {} } } ] } }));
$api->wait_until(sub { $api->get('/openapi/v3/apis/gateway.networking.k8s.io/v1')->{status} == 200 }, 'the kind is served');
my $routes = "/apis/gateway.networking.k8s.io/v1/namespaces/$space/httproutes";
sub route { return $api->get("$routes/$_[0]")->{body} }
sub settled { my ($what) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(q{SELECT key, phase, message FROM dbnet.wait_synced('60 s')}, '', $what) }
sub calls { return $node->safe_psql('postgres', 'SELECT count(*) FROM dbnet.actuation') }

# --- a table out of the schema ---
$node->psql_ok($api->create_server('prod') . qq{CREATE SCHEMA net; SELECT dbnet.mirror('prod', 'gateway.networking.k8s.io/v1', 'HTTPRoute', 'net.routes', namespace => '$space', mode => 'manage')}, 'a mirror');
$node->query_is(q{SELECT string_agg(attname || ' ' || format_type(atttypid, NULL), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'net.routes'::regclass AND attnum > 0},
    'name text, hostnames jsonb, "parentRefs" jsonb, rules jsonb, status_parents jsonb, labels jsonb, annotations jsonb' =~ s/"//gr, 'has a column for each field');
my $weights = q{SELECT string_agg(concat_ws('=', backend->>'name', backend->>'weight'), ' ') FROM net.routes, jsonb_array_elements(rules->0->'backendRefs') AS backend};

# --- a route: the server completes it, which is no drift ---
$node->psql_ok(q{INSERT INTO net.routes (name, "parentRefs", hostnames, rules) VALUES ('shop', '[{"name": "edge"}]', '["shop.example.com"]',
    '[{"backendRefs": [{"name": "web-1", "port": 80, "weight": 90}, {"name": "web-2", "port": 80, "weight": 10}]}, {"backendRefs": [{"name": "cart", "port": 80}]}]')}, 'a route');
settled('is made');
is($json->encode(route('shop')->{spec}{rules}[1]), '{"backendRefs":[{"group":"","kind":"Service","name":"cart","port":80,"weight":1}],"matches":[{"path":{"type":"PathPrefix","value":"/"}}]}',
    'the server has completed it');
$node->query_is(q{SELECT phase, claimed FROM dbnet.object}, 'synced|{spec.hostnames,spec.parentRefs,spec.rules}', 'which is no drift, and all that was written is ours');
$node->query_is(q{SELECT count(*) FROM dbnet.preview('net.routes')}, '0', 'nor anything to send');
my $sent = calls();
$node->replace_worker('mirror worker', 'TERM');
settled('another worker');
is(calls(), $sent, 'has nothing to send either');

# --- a canary ---
for my $weight (50, 100) {
    $node->psql_ok(qq{UPDATE net.routes SET rules = jsonb_set(jsonb_set(rules, '{0,backendRefs,1,weight}', '$weight'), '{0,backendRefs,0,weight}', to_jsonb(100 - $weight)) WHERE name = 'shop'}, "$weight % to the new version");
    settled('is sent');
    is_deeply([ map { $_->{weight} } route('shop')->{spec}{rules}[0]{backendRefs}->@* ], [ 100 - $weight, $weight ], 'and done');
}
$node->query_is($weights, 'web-1=0 web-2=100', 'the row says so');

# --- what the server would refuse is refused before ---
$node->fails_like(q{UPDATE net.routes SET rules = jsonb_set(rules, '{0,backendRefs,0,weight}', '1000001')}, '23514', qr/"rules".*weight.*1000000/s, 'a weight out of range, by its place');
$node->fails_like(q{UPDATE net.routes SET hostnames = '["Shop.example.com"]'}, '23514', qr/"hostnames"/, 'a host name that is none');
$node->fails_like(q{UPDATE net.routes SET rules = jsonb_set(rules, '{0,matches}', '[{"path": {"type": "Glob"}}]')}, '23514', qr/"rules".*PathPrefix/s, 'a kind of match that there is not');

# --- what the gateway's controller reports ---
my $accepted = { parentRef => { name => 'edge' }, controllerName => 'example.net/gateway', conditions => [
    { type => 'Accepted', status => 'True', reason => 'Accepted', message => 'the route is bound', lastTransitionTime => '2026-11-28T12:00:00Z' } ] };
$api->expect_success($api->patch("$routes/shop/status?fieldManager=gateway", { status => { parents => [$accepted] } }));
$node->wait_for(q{SELECT status_parents->0->'conditions'->0->>'status' FROM net.routes WHERE name = 'shop'}, 'is in the row', expected => 'True');
$node->fails_like(q{UPDATE net.routes SET status_parents = '[]'}, '42501', qr/status_parents/, 'where users do not write it');
$node->query_is(q{SELECT phase FROM dbnet.object_status}, 'synced', 'and is no drift');

# --- somebody else ---
$api->expect_success($api->apply("$routes/shop", { apiVersion => 'gateway.networking.k8s.io/v1', kind => 'HTTPRoute', metadata => { name => 'shop' },
    spec => { rules => [ { backendRefs => [ { name => 'web-1', port => 80 } ] } ] } }, manager => 'kubectl', force => 1));
$node->wait_for(q{SELECT phase = 'drifted' AND message = 'changed on the server: spec.rules by kubectl' FROM dbnet.object_status}, 'a change of the rules is told');
$node->psql_ok(q{SELECT dbnet.alter_mirror('net.routes', on_drift => 'enforce')}, 'or put back, where it is to be');
settled('is settled');
is_deeply([ map { $_->{weight} } route('shop')->{spec}{rules}[0]{backendRefs}->@* ], [ 0, 100 ], 'as the row says');
is(route('shop')->{status}{parents}[0]{controllerName}, 'example.net/gateway', 'the status is the controller\'s');

$node->psql_ok(q{DELETE FROM net.routes WHERE name = 'shop'}, 'the row goes');
$api->wait_until(sub { $api->get("$routes/shop")->{status} == 404 }, 'and the route');

$node->no_crash_in_log;
done_testing();
