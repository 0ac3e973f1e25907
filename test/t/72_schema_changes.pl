# A kind whose definition changes, goes and comes back: dbnet.refresh_schema() tells what has changed and takes it over; the
# mirror says once what is wrong, keeps its rows and goes on by itself.
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
my $definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
my $widgets     = "/apis/changes.dbnet.io/v1/namespaces/$space/widgets";
sub settled { my ($name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(q{SELECT key, phase, message FROM dbnet.wait_synced('60 s')}, '', $name // 'settled') }

# The definition with these properties of spec, awaited in the documents that the server publishes.
sub define {
    my (%properties) = @_;
    my $status = { type => 'object', properties => { state => { type => 'string' } } };
    $api->expect_success($api->apply("$definitions/widgets.changes.dbnet.io", definition(%properties), force => 1));
    my $wanted = $json->encode([ sort keys %properties ]);
    $api->wait_until(sub {
            my $schemas = $api->get('/openapi/v3/apis/changes.dbnet.io/v1')->{body}{components}{schemas};
            my ($kind) = grep { $_ && $_->{properties}{spec} } values %{ $schemas // {} };
            return $kind && $json->encode([ sort keys %{ $kind->{properties}{spec}{properties} } ]) eq $wanted;
        }, 'the schema is published');
    $api->wait_until(sub { $api->get($widgets)->{status} == 200 }, 'the kind is served');
    return;
}

sub definition {
    my (%properties) = @_;
    return {
        apiVersion => 'apiextensions.k8s.io/v1', kind => 'CustomResourceDefinition', metadata => { name => 'widgets.changes.dbnet.io', labels => $api->labels },
        spec => { group => 'changes.dbnet.io', scope => 'Namespaced', names => { plural => 'widgets', singular => 'widget', kind => 'Widget', listKind => 'WidgetList' },
            versions => [{ name => 'v1', served => JSON::PP::true, storage => JSON::PP::true, subresources => { status => {} },
                schema => { openAPIV3Schema => { type => 'object', properties => { spec => { type => 'object', properties => \%properties },
                    status => { type => 'object', properties => { state => { type => 'string' } } } } } } }] } };
}

# Whether the server serves the kind, whose objects stay. Real servers are told so by the definition.
sub serve {
    my ($is_served) = @_;
    if ($api->kind eq 'simulator') {
        return $api->no_faults if $is_served;
        $api->fault({ path => '/widgets', count => -1, status => 404, body => "404 page not found\n", content_type => 'text/plain' });
        return $api->disturb('end_watches');
    }
    my $definition = $api->get("$definitions/widgets.changes.dbnet.io")->{body};
    $definition->{spec}{versions}[0]{served} = $is_served ? JSON::PP::true : JSON::PP::false;
    return $api->put("$definitions/widgets.changes.dbnet.io", $definition);
}

my %first = (
    size => { type => 'integer', format => 'int32', maximum => 10, description => 'How big.' }, mode => { type => 'string', enum => [qw(a b)] },
    ports => { type => 'object', properties => { http => { type => 'integer', format => 'int32' } } });
define(%first);
$api->expect_success($api->create($widgets, { apiVersion => 'changes.dbnet.io/v1', kind => 'Widget', metadata => { name => 'seen' }, spec => { size => 3 } }));
$node->psql_ok($api->create_server('prod') . qq{CREATE SCHEMA net;
    SELECT dbnet.mirror('prod', 'changes.dbnet.io/v1', 'Widget', 'net.widgets', namespace => '$space', mode => 'manage');
    CREATE TABLE net.own (name text PRIMARY KEY, size integer);
    SELECT dbnet.mirror('prod', 'changes.dbnet.io/v1', 'Widget', 'net.own', namespace => '$space', columns => '{"name": "metadata.name", "size": "spec.size"}');}, 'a made table and one of the user\'s');
$node->wait_for(q{SELECT count(*) = 2 FROM dbnet.mirror_status WHERE state = 'synced'}, 'both follow');
$node->psql_ok(q{INSERT INTO net.widgets (name, size, mode, ports) VALUES ('mine', 2, 'a', '{"http": 80}')}, 'an object by a row');
settled();

# --- who may ask, and when there is nothing to tell ---
$node->query_is(q{SELECT count(*) FROM dbnet.refresh_schema('net.widgets')}, '0', 'nothing has changed');
$node->query_is(q{SELECT count(*) FROM dbnet.refresh_schema('net.own', apply => true)}, '0', 'nor for the other');
$node->psql_ok(q{CREATE ROLE other IN ROLE dbnet_admin; CREATE ROLE viewer IN ROLE dbnet_viewer; GRANT USAGE ON SCHEMA net TO other, viewer}, 'others');
$node->fails_like(q{SET ROLE other; SELECT * FROM dbnet.refresh_schema('net.widgets')}, '42501', qr/must be owner of table net\.widgets/, 'not the owner');
$node->fails_like(q{SET ROLE viewer; SELECT * FROM dbnet.refresh_schema('net.widgets')}, '42501', qr/permission denied for function refresh_schema/, 'nor who only looks');
$node->fails_like(q{CREATE TABLE net.plain (name text); SELECT * FROM dbnet.refresh_schema('net.plain')}, '42704', qr/net\.plain is not a mirror/, 'no mirror');
$node->psql_ok(q{CREATE SERVER lab FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (offline 'true'); CREATE TABLE net.offline (name text PRIMARY KEY);
    SELECT dbnet.mirror('lab', 'v1', 'Node', 'net.offline', columns => '{"name": "metadata.name"}')}, 'an offline mirror');
$node->fails_like(q{SELECT * FROM dbnet.refresh_schema('net.offline')}, '55000', qr/server "lab" is offline: nobody can be asked for the fields of kind Node/, 'nobody to ask');

# --- the definition allows more, and has new fields ---
my %second = (
    size => { type => 'integer', format => 'int32', maximum => 20, description => 'How large.' }, mode => { type => 'string', enum => [qw(a b c)] },
    ports => { type => 'object', properties => { http => { type => 'integer', format => 'int32' }, https => { type => 'integer', format => 'int32' } } },
    weight => { type => 'integer', format => 'int64', description => 'In grams.' });
define(%second);
my $told = "mode|spec.mode|rules|takes \"c\" too\nports|spec.ports|rules|https: is new\nsize|spec.size|description|How large.\nsize|spec.size|rules|maximum 10 -> 20\n"
  . 'weight|spec.weight|new|ALTER TABLE net.widgets ADD COLUMN "weight" int8';
$node->query_is(q{SELECT * FROM dbnet.refresh_schema('net.widgets') ORDER BY 1, 3}, $told, 'what has changed');
$node->query_is(q{SELECT * FROM dbnet.refresh_schema('net.widgets') ORDER BY 1, 3}, $told, 'looking changes nothing');
$node->fails_like(q{UPDATE net.widgets SET size = 15 WHERE name = 'mine'}, '23514', qr/15 is too large/, 'the old rules hold');
$node->psql_ok(q{BEGIN; SELECT * FROM dbnet.refresh_schema('net.widgets', apply => true); ROLLBACK}, 'taken back');
$node->query_is(q{SELECT * FROM dbnet.refresh_schema('net.widgets', apply => true) ORDER BY 1, 3}, $told, 'taken over');
$node->query_is(q{SELECT count(*) FROM dbnet.refresh_schema('net.widgets')}, '0', 'nothing is left');
$node->query_is(q{SELECT format_type(atttypid, atttypmod), attnum, col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid = 'net.widgets'::regclass AND attname = 'weight'},
    'bigint|8|In grams. (spec.weight)', 'the new column, its type and comment');
$node->query_is(q{SELECT path, role, value_type, format FROM dbnet.mirrored_column WHERE relation = 'net.widgets'::regclass AND column_name = 'weight'}, 'spec.weight|spec|integer|int64', 'is mapped');
$node->query_is(q{SELECT description FROM dbnet.describe('net.widgets') WHERE column_name = 'size'}, 'How large.', 'describe knows');
$node->psql_ok(q{UPDATE net.widgets SET size = 15, weight = 900, mode = 'c' WHERE name = 'mine'}, 'what is allowed now');
settled();
is_deeply($api->get("$widgets/mine")->{body}{spec}, { size => 15, weight => 900, mode => 'c', ports => { http => 80 } }, 'arrives');
$api->expect_success($api->patch("$widgets/seen", { spec => { weight => 7 } }));
$node->wait_for(q{SELECT weight = 7 FROM net.widgets WHERE name = 'seen'}, 'the new column follows');
$node->query_is(q{SELECT * FROM dbnet.refresh_schema('net.own') WHERE change = 'new'},
    'weight|spec.weight|new|ALTER TABLE net.own ADD COLUMN "weight" int8; then map it with argument columns of dbnet.alter_mirror()', 'a table of the user\'s is left to the user');
$node->psql_ok(q{SELECT dbnet.refresh_schema('net.own', apply => true)}, 'noted');
$node->query_is(q{SELECT (SELECT count(*) FROM dbnet.refresh_schema('net.own')), (SELECT count(*) FROM pg_attribute WHERE attrelid = 'net.own'::regclass AND attnum > 0)}, '0|2', 'and left as it was');

# --- a field is gone, another has another type ---
define(size => { type => 'string' }, ports => $second{ports}, weight => $second{weight});
$node->query_is(q{SELECT column_name, change, detail ~ '(has no field|no field).*mode' FROM dbnet.refresh_schema('net.widgets') WHERE change = 'gone'}, 'mode|gone|t', 'the field that is gone');
$node->query_is(q{SELECT detail FROM dbnet.refresh_schema('net.widgets') WHERE change = 'type'},
    'column "size" (spec.size) has type integer, but the field holds string. Use type text, character varying, uuid, inet or cidr. '
      . 'ALTER TABLE net.widgets ALTER COLUMN "size" TYPE ... makes it fit: do so and call this with apply => true in one transaction', 'the type that the column cannot hold');
$node->psql_ok(q{SELECT dbnet.refresh_schema('net.widgets', apply => true)}, 'taken over');
$node->query_is(q{SELECT column_name, change FROM dbnet.refresh_schema('net.widgets')}, 'size|type', 'the type is left to the user');
$node->query_is(q{SELECT role FROM dbnet.describe('net.widgets') WHERE column_name = 'mode'}, 'local', 'the column without field is local');
$node->query_is(q{SELECT mode FROM net.widgets WHERE name = 'mine'}, 'c', 'and keeps its values');
$node->query_is(q{SELECT claimed FROM dbnet.object WHERE name = 'mine' AND relation = 'net.widgets'::regclass}, '{spec.ports,spec.size,spec.weight}', 'the field is claimed no more');
# The casts of a type of the owner's are functions of the owner's: none runs with the extension's rights.
$node->psql_ok(q{CREATE ROLE eve IN ROLE dbnet_admin; GRANT CREATE, USAGE ON SCHEMA net TO eve; GRANT USAGE ON FOREIGN SERVER prod TO eve;
    CREATE TABLE net.ran (who name); GRANT INSERT ON net.ran TO PUBLIC; ALTER TABLE net.own OWNER TO eve; SET ROLE eve;
    CREATE TYPE net.sizes AS ENUM ('2', '3', '15');
    CREATE FUNCTION net.to_json(net.sizes) RETURNS json LANGUAGE plpgsql AS 'BEGIN INSERT INTO net.ran VALUES (current_user); RETURN to_json(enum_out($1)::text); END';
    CREATE FUNCTION net.to_text(net.sizes) RETURNS text LANGUAGE plpgsql AS 'BEGIN INSERT INTO net.ran VALUES (current_user); RETURN enum_out($1)::text; END';
    CREATE CAST (net.sizes AS json) WITH FUNCTION net.to_json(net.sizes); CREATE CAST (net.sizes AS text) WITH FUNCTION net.to_text(net.sizes);
    BEGIN; ALTER TABLE net.own ALTER size TYPE net.sizes USING size::text::net.sizes; SELECT dbnet.refresh_schema('net.own', apply => true); COMMIT}, 'a column of a type of the owner\'s');
$node->query_is(q{SELECT value_type FROM dbnet.mirrored_column WHERE relation = 'net.own'::regclass AND column_name = 'size'}, 'string', 'is taken over');
$node->query_is(q{SELECT DISTINCT who FROM net.ran WHERE who <> 'eve'}, '', 'and nobody but the owner has run its functions');
$node->psql_ok(q{BEGIN; ALTER TABLE net.widgets ALTER size TYPE text USING size::text; SELECT dbnet.refresh_schema('net.widgets', apply => true); COMMIT;
    INSERT INTO net.widgets (name, size) VALUES ('large', 'XL')}, 'the column fits');
$node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object WHERE name = 'large' AND relation = 'net.widgets'::regclass}, 'an object of the new type');
is($api->get("$widgets/large")->{body}{spec}{size}, 'XL', 'is sent');
$node->query_is(q{SELECT size, claimed, phase FROM net.widgets JOIN dbnet.object USING (name) WHERE name = 'seen' AND relation = 'net.widgets'::regclass}, '3|{}|', 'what was observed is nobody\'s wish in another type either');

# --- a field goes while rows set it: the mirror says so once, and those rows wait ---
define(size => { type => 'string' }, ports => $second{ports});
$node->psql_ok(q{INSERT INTO net.widgets (name, size, weight) SELECT 'g' || i, 'S', i FROM generate_series(1, 3) AS i; INSERT INTO net.widgets (name, size) VALUES ('h', 'S')}, 'rows with the field, and one without');
$node->wait_for(q{SELECT state = 'degraded' AND message LIKE 'the schema of kind Widget has changed, and rows that set spec.weight wait: %spec.weight: field not declared in schema. SELECT * FROM dbnet.refresh_schema(''net.widgets'')%'
    FROM dbnet.mirror_status WHERE relation = 'net.widgets'::regclass}, 'the mirror says so');
$node->wait_for(q{SELECT string_agg(name || ' ' || phase || ' ' || needs_action || ' ' || coalesce(reason, '-'), ', ' ORDER BY name) FROM dbnet.object_status WHERE name ~ '^(g.|h)$' AND relation = 'net.widgets'::regclass},
    'the rows wait', expected => 'g1 pending false SchemaChanged, g2 pending false SchemaChanged, g3 pending false SchemaChanged, h synced false -');
$node->psql_ok(q{INSERT INTO net.widgets (name, size, weight) VALUES ('g4', 'S', 4)}, 'one more');
$node->wait_for(q{SELECT reason = 'SchemaChanged' FROM dbnet.object_status WHERE name = 'g4' AND relation = 'net.widgets'::regclass}, 'waits too');
$node->query_is(q{SELECT count(*) FROM dbnet.actuation WHERE name = 'g4'}, '0', 'and is not sent');
define(size => { type => 'string' }, ports => $second{ports}, weight => $second{weight});
$node->wait_for(q{SELECT count(*) = 5 FROM dbnet.object_status WHERE name ~ '^(g.|h)$' AND relation = 'net.widgets'::regclass AND phase = 'synced'}, 'all is sent when the field is back');
is($api->get("$widgets/g4")->{body}{spec}{weight}, 4, 'and is there');
$node->wait_for(q{SELECT state = 'synced' AND message IS NULL FROM dbnet.mirror_status WHERE relation = 'net.widgets'::regclass}, 'the mirror is well');

# --- the kind is not served for a while: nothing is empty, nothing fails, and all goes on by itself ---
my $rows = $node->safe_psql('postgres', 'SELECT count(*) FROM net.widgets');
serve(0);
$api->wait_until(sub { $api->get($widgets)->{status} == 404 }, 'the kind is not served');
$node->wait_for(q{SELECT count(*) = 2 FROM dbnet.mirror_status WHERE kind = 'Widget' AND state = 'degraded' AND message LIKE 'the server does not serve the kind: 404 page not found%'}, 'the mirrors say so');
$node->psql_ok(q{UPDATE net.widgets SET weight = 2 WHERE name = 'large'; INSERT INTO net.widgets (name, weight) VALUES ('later', 3)}, 'what is wanted meanwhile');
$node->wait_for(q{SELECT count(*) = 2 FROM dbnet.object_status WHERE relation = 'net.widgets'::regclass AND name IN ('large', 'later') AND phase = 'pending' AND NOT needs_action}, 'waits');
$node->query_is(q{SELECT count(*) FROM dbnet.actuation WHERE name = 'later'}, '0', 'and not each for itself');
$node->query_is('SELECT count(*) FROM net.widgets', $rows + 1, 'every row is there');
$node->fails_like(q{SELECT * FROM dbnet.refresh_schema('net.widgets')}, '42704', qr/does not serve changes\.dbnet\.io\/v1|has no kind "Widget"/, 'there is no schema') if $api->kind ne 'simulator';
serve(1);
$node->wait_for(q{SELECT count(*) = 2 FROM dbnet.object_status WHERE relation = 'net.widgets'::regclass AND name IN ('large', 'later') AND phase = 'synced'}, 'is sent when the kind is served again');
is($api->get("$widgets/later")->{body}{spec}{weight}, 3, 'and is there');
$node->wait_for(q{SELECT count(*) = 2 FROM dbnet.mirror_status WHERE kind = 'Widget' AND state = 'synced' AND message IS NULL}, 'the mirrors are well');

# --- the definition is deleted, and made by a row together with an object of its kind ---
$node->psql_ok(q{CREATE TABLE net.definitions (name text PRIMARY KEY, api_group text, names jsonb, scope text, versions jsonb);
    SELECT dbnet.mirror('prod', 'apiextensions.k8s.io/v1', 'CustomResourceDefinition', 'net.definitions', mode => 'manage', columns => '{
        "name": "metadata.name", "api_group": "spec.group", "names": "spec.names", "scope": "spec.scope", "versions": "spec.versions"}')}, 'a mirror of definitions');
$node->wait_for(q{SELECT count(*) = 1 FROM net.definitions WHERE name = 'widgets.changes.dbnet.io'}, 'the definition is seen');
$api->expect_success($api->delete("$definitions/widgets.changes.dbnet.io"));
$node->wait_for(q{SELECT count(*) = 0 FROM net.definitions WHERE name = 'widgets.changes.dbnet.io'}, 'the definition is gone');
$node->wait_for(q{SELECT bool_and(state = 'degraded') FROM dbnet.mirror_status WHERE kind = 'Widget'}, 'the mirrors of its kind say so');
$node->query_is(q{SELECT string_agg(name, ' ' ORDER BY name) FROM net.widgets}, 'g1 g2 g3 g4 h large later mine', 'rows that DBNet made stay');
$node->query_is(q{SELECT DISTINCT phase FROM dbnet.object WHERE relation = 'net.widgets'::regclass}, 'absent', 'and say that their objects were deleted');
my $spec = definition(weight => { type => 'integer' })->{spec};
my ($names, $versions) = map { DBNet::Api::quote($json->encode($_)) } $spec->{names}, $spec->{versions};
$node->psql_ok(qq{BEGIN; INSERT INTO net.widgets (name, weight) VALUES ('first', 1);
    INSERT INTO net.definitions VALUES ('widgets.changes.dbnet.io', 'changes.dbnet.io', $names, 'Namespaced', $versions); COMMIT}, 'an object and its definition in one transaction');
$node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object WHERE name = 'first' AND relation = 'net.widgets'::regclass}, 'the object follows its definition');
is($api->get("$widgets/first")->{body}{spec}{weight}, 1, 'and is there');
$node->query_is(q{SELECT string_agg(http_status::text, ' ') FROM dbnet.actuation WHERE relation = 'net.widgets'::regclass AND name = 'first' AND http_status <> 500}, '201', 'it was not sent before the kind was established');
$node->query_is(q{SELECT count(*) FROM dbnet.object WHERE relation = 'net.widgets'::regclass AND phase = 'absent'}, '8', 'what was deleted is not made again unasked');

$node->no_crash_in_log;
done_testing();
