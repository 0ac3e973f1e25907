# dbnet.mirror(), alter_mirror() and unmirror() against a server: what they check, store and leave behind.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

my $api  = DBNet::Api->start(controllers => 0);
my $node = DBNet::Cluster->started('main');
my ($space, $selector) = ($api->namespace, $api->selector);
$node->psql_ok($api->create_server('prod') . q{
    CREATE SCHEMA net;
    CREATE TABLE net.nodes (name text PRIMARY KEY, labels jsonb, unschedulable boolean, ready text, cpu text, note text DEFAULT 'local');
    CREATE TABLE net.maps (namespace text, name text, data jsonb, wrong integer, PRIMARY KEY (namespace, name));
    CREATE TABLE net.no_key (name text, labels jsonb);
    CREATE TABLE net.other_key (name text NOT NULL, zone text NOT NULL, PRIMARY KEY (name, zone));
    CREATE TABLE net.late_key (name text NOT NULL, UNIQUE (name) DEFERRABLE);
    CREATE TABLE net.partial_key (name text NOT NULL);
    CREATE UNIQUE INDEX ON net.partial_key (name) WHERE name <> ''}, 'a server and tables');

sub refuses {
    my ($arguments, $sqlstate, $pattern, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $node->fails_like("SELECT dbnet.mirror($arguments)", $sqlstate, $pattern, $name);
}

# --- the kind ---
refuses(q{'prod', 'v9', 'Node', 'net.nodes', '{"name": "metadata.name"}'}, '42704', qr/does not serve v9.*HINT:.*dbnet\.kinds/s, 'a version that is not served');
refuses(q{'prod', 'a/b/c', 'Node', 'net.nodes', '{"name": "metadata.name"}'}, '22023', qr/HINT:.*apps\/v1/s, 'no version at all');
refuses(q{'prod', 'v1', 'Nod', 'net.nodes', '{"name": "metadata.name"}'}, '42704', qr/no kind "Nod" in v1.*HINT:.*"Node"/s, 'a misspelt kind');

# --- the namespace ---
refuses(q{'prod', 'v1', 'Node', 'net.nodes', '{"name": "metadata.name"}', namespace => 'x'}, '22023', qr/does not live in namespaces/, 'a namespace for Nodes');
refuses(q{'prod', 'v1', 'ConfigMap', 'net.maps', '{"name": "metadata.name"}'}, '22023', qr/no column is mapped to metadata\.namespace/, 'no namespace for ConfigMaps');
refuses(q{'prod', 'v1', 'ConfigMap', 'net.maps', '{"name": "metadata.name", "namespace": "metadata.namespace"}', namespace => 'x'}, '22023',
    qr/exclude each other/, 'a namespace twice');

# --- columns, paths, types ---
refuses(q{'prod', 'v1', 'Node', 'net.nodes', '{"name": "metadata.name", "lables": "metadata.labels"}'}, '42703',
    qr/column "lables" of table net\.nodes does not exist.*HINT:.*"labels"/s, 'a column that is not there');
refuses(q{'prod', 'v1', 'Node', 'net.nodes', '{"name": "metadata.name", "note": "spec.providerId"}'}, '22023',
    qr/column "note" \(spec\.providerId\).*providerID/s, 'a path that is not in the schema: the nearest is named');
refuses(q{'prod', 'v1', 'Node', 'net.nodes', '{"name": "metadata.name", "note": "spec..x"}'}, '22023', qr/column "note" \(spec\.\.x\)/, 'a path that is none');
refuses(q{'prod', 'v1', 'Node', 'net.nodes', '{"name": "metadata.name", "note": "spec.unschedulable"}'}, '42804',
    qr/column "note" \(spec\.unschedulable\) has type text, but the field holds boolean.*HINT:.*boolean/s, 'a type that does not fit');
refuses(q{'prod', 'v1', 'ConfigMap', 'net.maps', '{"name": "metadata.name", "namespace": "metadata.namespace", "wrong": "data"}'}, '42804',
    qr/column "wrong" \(data\) has type integer/, 'a map in an integer');
refuses(q{'prod', 'v1', 'Node', 'net.nodes', '{"name": "metadata.name", "note": "spec.taints[key=a].value"}'}, '22023',
    qr/spec\.taints/, 'a list without keys cannot be selected from');
refuses(q{'prod', 'v1', 'Node', 'net.nodes', '{"labels": "metadata.labels"}'}, '22023', qr/no column is mapped to metadata\.name/, 'no name');
refuses(q{'prod', 'v1', 'Node', 'net.nodes', '["name"]'}, '22023', qr/not a JSON object/, 'no map');

# --- the key ---
refuses(q{'prod', 'v1', 'Node', 'net.no_key', '{"name": "metadata.name"}'}, '42P10', qr/key column "name" of table net\.no_key may be NULL.*HINT:.*PRIMARY KEY \(name\)/s, 'no key');
for my $table (qw(other_key late_key partial_key)) {
    refuses(qq{'prod', 'v1', 'Node', 'net.$table', '{"name": "metadata.name"}'}, '42P10', qr/no unique key on exactly \(name\)/, "the key of $table");
}

# --- the server's own words ---
refuses(q{'prod', 'v1', 'Node', 'net.nodes', '{"name": "metadata.name"}', label_selector => 'a in (b'}, undef, qr/server "prod": /, 'a selector that the server refuses');
$node->query_is('SELECT count(*) FROM dbnet.mirrored_relation', '0', 'nothing is left of what was refused');
$node->query_is(q{SELECT count(*) FROM pg_trigger WHERE tgname = 'dbnet_capture'}, '0', 'no trigger either');
$node->query_is('SELECT count(*) FROM dbnet.arming', '0', 'nor is anything armed');

# --- a mirror ---
$node->query_is(qq{SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes', columns => '{
        "name": "metadata.name", "labels": "metadata.labels", "unschedulable": {"path": "spec.unschedulable", "on_drift": "enforce"},
        "ready": "status.conditions[type=Ready].status", "cpu": "status.capacity.cpu"}', label_selector => '$selector')}, 'net.nodes', 'a mirror');
$node->query_is(q{SELECT server, api_version, kind, resource, namespaced, mode, on_drift, initial, field_manager ~ '^dbnet-[0-9a-f]{16}$' FROM dbnet.mirrored_relation},
    'prod|v1|Node|nodes|f|observe|report|compare|t', 'its configuration');
$node->query_is(q{SELECT column_name, path, role, value_type, column_type, on_drift FROM dbnet.mirrored_column ORDER BY column_name},
    "cpu|status.capacity.cpu|status|quantity|text|\nlabels|metadata.labels|meta|json|jsonb|\nname|metadata.name|key|string|text|\n"
      . "ready|status.conditions[type=Ready].status|status|string|text|\nunschedulable|spec.unschedulable|spec|boolean|boolean|enforce", 'its columns');
$node->query_is(q{SELECT tgenabled, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'dbnet_capture'},
    q{A|CREATE TRIGGER dbnet_capture AFTER INSERT OR DELETE OR UPDATE ON net.nodes FOR EACH ROW EXECUTE FUNCTION dbnet.capture('', 'name', 'labels, unschedulable', 'ready, cpu', '')},
    'its capture trigger fires always');
$node->query_is('SELECT system_identifier = (pg_control_system()).system_identifier FROM dbnet.arming', 't', 'the first mirror arms the database');
refuses(q{'prod', 'v1', 'Node', 'net.nodes', '{"name": "metadata.name"}'}, '42710', qr/already.*HINT:.*alter_mirror/s, 'a second mirror of the same table');
my ($status, $output, $errors) = $node->run_sql(qq{
    SET search_path = net; ALTER TABLE maps ADD needed text NOT NULL;
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'maps', '{"name": "metadata.name", "namespace": "metadata.namespace", "data": "data"}', label_selector => '$selector')});
is($output, 'maps', 'a table is found as the caller would find it');
like($errors, qr/WARNING:.*column "needed" is NOT NULL without a default/, 'what will make imports fail is told');
$node->query_is(q{SELECT state = 'ok' FROM dbnet.check_server('prod') WHERE item = 'rights of net.nodes'}, 't', 'the rights it needs');

# --- fixed namespace ---
$node->psql_ok(qq{CREATE TABLE net.here (name varchar(253) PRIMARY KEY, data jsonb);
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.here', '{"name": "metadata.name", "data": "data"}', namespace => '$space')}, 'a mirror of one namespace');
$node->query_is(q{SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'dbnet_capture' AND tgrelid = 'net.here'::regclass},
    qq{CREATE TRIGGER dbnet_capture AFTER INSERT OR DELETE OR UPDATE ON net.here FOR EACH ROW EXECUTE FUNCTION dbnet.capture('', 'name', 'data', '', '$space')},
    'its trigger knows the namespace');

# --- altering ---
$node->psql_ok(q{SELECT dbnet.alter_mirror('net.maps', on_drift => 'follow', on_external_delete => 'flag', delete_foreign => true)}, 'other settings');
$node->query_is(q{SELECT mode, on_drift, on_external_delete, delete_foreign FROM dbnet.mirrored_relation WHERE relation = 'net.maps'::regclass},
    'observe|follow|flag|t', 'are stored, the others stay');
$node->psql_ok(q{SELECT dbnet.alter_mirror('net.nodes', columns => '{"name": "metadata.name", "labels": "metadata.labels"}')}, 'fewer columns');
$node->query_is(q{SELECT string_agg(column_name, ' ' ORDER BY column_name) FROM dbnet.mirrored_column WHERE relation = 'net.nodes'::regclass}, 'labels name', 'are stored');
$node->query_is(q{SELECT count(*), max(pg_get_triggerdef(oid)) LIKE '%(%''name'', ''labels'', '''', '''')' FROM pg_trigger WHERE tgname = 'dbnet_capture' AND tgrelid = 'net.nodes'::regclass},
    '1|t', 'and watched');
$node->fails_like(q{SELECT dbnet.alter_mirror('net.nodes', columns => '{"note": "metadata.name"}')}, '0A000', qr/key column "name"/, 'the key stays');
$node->psql_ok(qq{INSERT INTO dbnet.object (relation, name, claimed) VALUES ('net.nodes', 'owned', '{metadata.labels}')}, 'an object with a claimed field');
$node->fails_like(q{SELECT dbnet.alter_mirror('net.nodes', columns => '{"name": "metadata.name"}')}, '55006', qr/metadata\.labels/, 'whose column stays too');

# --- one manager per object ---
$node->psql_ok(q{SELECT dbnet.alter_mirror('net.maps', mode => 'manage')}, 'manage');
$node->fails_like(q{SELECT dbnet.alter_mirror('net.here', mode => 'manage')}, '42710', qr/mirror net\.maps manages the same objects/, 'two mirrors cannot manage the same objects');

# --- the end ---
$node->psql_ok(q{SELECT dbnet.unmirror('net.nodes')}, 'unmirror');
$node->query_is(q{SELECT count(*) FROM dbnet.mirrored_relation WHERE relation = 'net.nodes'::regclass}, '0', 'no mirror');
$node->query_is(q{SELECT count(*) FROM pg_trigger WHERE tgname = 'dbnet_capture' AND tgrelid = 'net.nodes'::regclass}, '0', 'no trigger');
$node->query_is(q{SELECT count(*) FROM dbnet.object WHERE relation = 'net.nodes'::regclass}, '0', 'nothing known');
$node->psql_ok('DROP EXTENSION dbnet CASCADE', 'DROP EXTENSION');
$node->query_is(q{SELECT count(*) FROM pg_trigger WHERE tgname = 'dbnet_capture'}, '0', 'takes the triggers with it');
$node->query_is(q{SELECT count(*) FROM pg_class WHERE relnamespace = 'net'::regnamespace AND relkind = 'r'}, '7', 'and no table');

$node->no_crash_in_log;
done_testing();
