# Kinds of the simulator that come from CustomResourceDefinitions, and server-side apply where the schema decides how lists
# merge. The expected texts are a real server's.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use JSON::PP ();
use Test::More;

DBNet::Api::need('simulator');
my $api = DBNet::Api->start(nodes_ready => 0, durable => 1, arguments => [ '--definition-delay-ms', 100 ]);
my $space = $api->namespace;
my $definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
my $group = '/apis/shop.example.com/v1';
my $widgets = "$group/namespaces/$space/widgets";

sub definition {
    my (%properties) = @_;
    return { apiVersion => 'apiextensions.k8s.io/v1', kind => 'CustomResourceDefinition', metadata => { name => 'widgets.shop.example.com' },
        spec => { group => 'shop.example.com', scope => 'Namespaced', names => { plural => 'widgets', kind => 'Widget', shortNames => ['wd'] },
            versions => [ { name => 'v1', served => JSON::PP::true(), storage => JSON::PP::true(),
                    subresources => { status => {}, scale => { specReplicasPath => '.spec.replicas', statusReplicasPath => '.status.replicas' } },
                    additionalPrinterColumns => [ { name => 'Size', type => 'integer', jsonPath => '.spec.size' } ],
                    schema => { openAPIV3Schema => { type => 'object', required => ['spec'], properties => {
                                spec => { type => 'object', required => ['size'], properties => {
                                        size => { type => 'integer', minimum => 1, maximum => 10 },
                                        name => { type => 'string', pattern => '^[a-z]+$', maxLength => 5 },
                                        mode => { type => 'string', enum => [ 'a', 'b' ], default => 'a' },
                                        port => { 'x-kubernetes-int-or-string' => JSON::PP::true() },
                                        free => { type => 'object', 'x-kubernetes-preserve-unknown-fields' => JSON::PP::true() },
                                        tags => { type => 'array', items => { type => 'string' }, 'x-kubernetes-list-type' => 'set' },
                                        steps => { type => 'array', items => { type => 'string' } },
                                        peers => { type => 'array', 'x-kubernetes-list-type' => 'map', 'x-kubernetes-list-map-keys' => ['ip'],
                                            items => { type => 'object', required => ['ip'], properties => { ip => { type => 'string' }, weight => { type => 'integer', default => 100 } } } },
                                        replicas => { type => 'integer' }, %properties } },
                                status => { type => 'object', properties => { phase => { type => 'string' }, replicas => { type => 'integer' } } } } } } } ] } };
}

sub widget { my ($name, %spec) = @_; return { apiVersion => 'shop.example.com/v1', kind => 'Widget', metadata => { name => $name }, spec => \%spec } }

sub refused {
    my ($spec, $expected) = @_;
    my $answer = $api->create($widgets, widget('bad', %$spec), query => { dryRun => 'All' });
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is("$answer->{status} $answer->{body}{message}", qq(422 Widget.shop.example.com "bad" is invalid: $expected), "refused: $expected");
}

sub fields { my ($object, $manager) = @_; my ($entry) = grep { $_->{manager} eq $manager } @{ $object->{metadata}{managedFields} }; return $entry->{fieldsV1} }

# --- a definition is served a moment after it is there ---
my $created = $api->expect_success($api->apply("$definitions/widgets.shop.example.com", definition()));
is_deeply($created->{status}, { conditions => undef, acceptedNames => { plural => '', kind => '' }, storedVersions => ['v1'] }, 'not accepted yet');
my $established = sub { grep { $_->{type} eq 'Established' && $_->{status} eq 'True' } @{ $_[0]{body}{status}{conditions} // [] } };
$api->wait_for_object("$definitions/widgets.shop.example.com", $established);
is_deeply([ map { $_->{name} } @{ $api->get($group)->{body}{resources} } ], [qw(widgets widgets/status widgets/scale)], 'discovery has them');
ok((grep { $_->{name} eq 'shop.example.com' } @{ $api->get('/apis')->{body}{groups} }), 'and the group');
my $schema = $api->get("/openapi/v3$group")->{body};
is($schema->{components}{schemas}{'com.example.shop.v1.Widget'}{properties}{spec}{properties}{size}{maximum}, 10, 'OpenAPI has the schema');
ok($schema->{paths}{"$group/namespaces/{namespace}/widgets/{name}/scale"}, 'and the paths');

# --- defaults, pruning, validation ---
my $answer = $api->create($widgets, widget('w', size => 1, peers => [ { ip => 'a', zz => 1 } ], zz => 1, free => { any => { thing => 1 } }));
is_deeply($answer->{body}{spec}, { size => 1, mode => 'a', peers => [ { ip => 'a', weight => 100 } ], free => { any => { thing => 1 } } }, 'defaults and pruning');
is($answer->{body}{metadata}{generation}, 1, 'generation 1');
like($answer->{headers}{warning}, qr/unknown field \\"spec\.zz\\"/, 'what is pruned is warned of');
is($api->create($widgets, widget('x', size => 1, zz => 1), query => { fieldValidation => 'Strict' })->{body}{message},
    'Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field "spec.zz"', 'or refused');
refused({ size => 0 }, 'spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1');
refused({ size => 'x' }, 'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"');
refused({}, 'spec.size: Required value');
refused({ size => undef }, 'spec.size: Required value');
refused({ size => 1, name => 'A' }, q{spec.name: Invalid value: "A": spec.name in body should match '^[a-z]+$'});
refused({ size => 1, name => 'abcdef' }, 'spec.name: Too long: may not be longer than 5');
refused({ size => 1, mode => 'c' }, 'spec.mode: Unsupported value: "c": supported values: "a", "b"');
refused({ size => 1, port => JSON::PP::true() }, 'spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"');
refused({ size => 1, tags => [ 'a', 'a' ] }, 'spec.tags[1]: Duplicate value: "a"');
refused({ size => 1, peers => [ { ip => 'a' }, { ip => 'a' } ] }, 'spec.peers[1]: Duplicate value: map[string]interface {}{"ip":"a"}');

# --- replacement, status, scale ---
is($api->put("$widgets/w", widget('w', size => 2))->{body}{message},
    'widgets.shop.example.com "w" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update', 'a replacement names its revision');
is($api->patch("$widgets/w", { spec => { size => 2 } }, content_type => 'application/strategic-merge-patch+json')->{status}, 415, 'no strategic merge');
my $reported = $api->patch("$widgets/w/status", { spec => { size => 9 }, status => { phase => 'up', replicas => 3 } })->{body};
is_deeply([ $reported->{spec}{size}, $reported->{status}, $reported->{metadata}{generation} ], [ 1, { phase => 'up', replicas => 3 }, 1 ], 'status changes only the status');
is($api->get("$widgets/w/scale")->{body}{message}, 'Internal error occurred: the spec replicas field ".spec.replicas" does not exist', 'no replicas, no scale');
is($api->patch("$widgets/w/scale", { spec => { replicas => 4 } })->{body}{spec}{replicas}, 4, 'until it is set');
is_deeply($api->get("$widgets/w/scale")->{body}{status}, { replicas => 3 }, 'with the status of the object');

# --- server-side apply: maps and sets merge by element, other lists are one value ---
my $one = widget('s', size => 1, tags => [ 'x', 'y' ], steps => ['1'], peers => [ { ip => 'a' }, { ip => 'b', weight => 7 } ]);
$api->expect_success($api->apply("$widgets/s", $one, manager => 'one'));
my $both = $api->expect_success($api->apply("$widgets/s", widget('s', tags => [ 'y', 'z' ], peers => [ { ip => 'c' } ]), manager => 'two'));
is_deeply($both->{spec}{tags}, [ 'x', 'y', 'z' ], 'a set has the elements of both');
is_deeply([ map { $_->{ip} } @{ $both->{spec}{peers} } ], [ 'a', 'b', 'c' ], 'a keyed list too');
is_deeply(fields($both, 'two'), { 'f:spec' => { 'f:tags' => { 'v:"y"' => {}, 'v:"z"' => {} }, 'f:peers' => { 'k:{"ip":"c"}' => { '.' => {}, 'f:ip' => {} } } } }, 'and the second owns its own');
is($api->apply("$widgets/s", widget('s', steps => ['2']), manager => 'two')->{body}{message},
    'Apply failed with 1 conflict: conflict with "one": .spec.steps', 'a plain list is owned as a whole');
my $less = $api->expect_success($api->apply("$widgets/s", widget('s', size => 1, peers => [ { ip => 'a' } ]), manager => 'one'));
is_deeply([ $less->{spec}{tags}, [ map { $_->{ip} } @{ $less->{spec}{peers} } ], $less->{spec}{steps} ], [ [ 'y', 'z' ], [ 'a', 'c' ], undef ],
    'what nobody else owns goes');
is($api->apply("$widgets/s", widget('s', peers => [ { ip => 'a' }, { ip => 'a' } ]))->{body}{message},
    'failed to create typed patch object (/s; shop.example.com/v1, Kind=Widget): .spec.peers: duplicate entries for key [ip="a"]', 'a key twice: 500 without a reason');
is($api->apply("$widgets/s", widget('s', extra => 1))->{status}, 500, 'so is a field that is not declared');

# --- lists, pages ---
my $page = $api->get($widgets, query => { limit => 1 })->{body};
is_deeply([ map { "$_->{kind} $_->{metadata}{name}" } @{ $page->{items} } ], ['Widget s'], 'custom resources in lists say their kind');
is($api->get($widgets, query => { limit => 1, continue => $page->{metadata}{continue} })->{body}{items}[0]{metadata}{name}, 'w', 'the next page');
is($api->get($widgets, query => { fieldSelector => 'spec.size=1' })->{body}{message}, 'field label not supported: spec.size', 'only names can be selected by');
is($api->create($widgets, { %{ widget('') }, metadata => { generateName => 'g-' }, spec => { size => 1 } })->{body}{metadata}{name} =~ /^g-\w{5}$/, 1, 'generateName');

# --- a changed schema cuts watches, and where they were is too old ---
my $last = $api->get($widgets)->{body}{metadata}{resourceVersion};
my $cut = time;
$api->expect_success($api->apply("$definitions/widgets.shop.example.com", definition(extra => { type => 'integer' })));
is($api->get($widgets, query => { watch => 1, timeoutSeconds => 50, resourceVersion => $last })->{status}, 200, 'a watch ends');
cmp_ok(time - $cut, '<', 40, 'long before its time');
my $expired = $api->get($widgets, query => { watch => 1, timeoutSeconds => 1, resourceVersion => $last });
like($expired->{text}, qr/"code":410.*too old resource version: $last \(\d+\)/, 'and cannot go on where it was');
is($api->expect_success($api->apply("$widgets/s", widget('s', extra => 1)))->{spec}{extra}, 1, 'and the new schema holds');

# --- what was stored is there after a kill, and its kind too ---
$api->kill_server;
$api->start_server;
is($api->get("$widgets/s")->{body}{spec}{extra}, 1, 'custom resources survive a kill');

# --- several versions: one object, shown in each ---
my $gates = definition();
$gates->{metadata}{name} = 'gates.shop.example.com';
$gates->{spec}{scope} = 'Cluster';
$gates->{spec}{names} = { plural => 'gates', kind => 'Gate' };
push @{ $gates->{spec}{versions} }, { %{ $gates->{spec}{versions}[0] }, name => 'v2', storage => JSON::PP::false() };
$api->expect_success($api->create($definitions, $gates));
$api->wait_for_object("$definitions/gates.shop.example.com", $established);
is($api->get('/apis/shop.example.com')->{body}{preferredVersion}{version}, 'v2', 'the newest version is preferred');
$api->expect_success($api->create("$group/gates", { apiVersion => 'shop.example.com/v1', kind => 'Gate', metadata => { name => 'g' }, spec => { size => 1 } }));
is_deeply([ @{ $api->get('/apis/shop.example.com/v2/gates/g')->{body} }{qw(apiVersion spec)} ],
    [ 'shop.example.com/v2', { size => 1, mode => 'a' } ], 'what is written in one version is read in another');
like($api->get('/apis/shop.example.com/v2/gates', query => { watch => 1, timeoutSeconds => 1 })->{text}, qr{"apiVersion":"shop.example.com/v2"}, 'and watched');

# --- the end ---
$api->expect_success($api->patch("$widgets/s", { metadata => { finalizers => ['example.com/wait'] } }));
my $gone = $api->delete("$definitions/widgets.shop.example.com");
is_deeply($gone->{body}{metadata}{finalizers}, ['customresourcecleanup.apiextensions.k8s.io'], 'a deleted definition first cleans up');
$api->wait_until(sub { @{ $api->get($widgets)->{body}{items} } == 1 }, 'its objects go, but those with finalizers');
$api->expect_success($api->patch("$widgets/s", { metadata => { finalizers => undef } }));
$api->wait_for_object("$definitions/widgets.shop.example.com", sub { $_[0]{status} == 404 });
is($api->get($widgets)->{status}, 404, 'then nothing is left');
ok(!$api->get("/openapi/v3$group")->{body}{components}{schemas}{'com.example.shop.v1.Widget'}, 'of it');
done_testing;
