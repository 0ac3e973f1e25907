# DBNet's own configuration is on record without asking: who made, changed and removed what, by which statement, exactly.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use Test::More;

my $node = DBNet::Cluster->started('configuration', conf => "dbnet.hold_objects = 5\ndbnet.hold_minimum = 3");
my $api = DBNet::Api->start;
my ($space, $selector) = ($api->namespace, $api->selector);
$node->psql_ok($api->create_server('prod') . q{
    CREATE ROLE net_admin LOGIN IN ROLE dbnet_admin;
    CREATE ROLE reader LOGIN;
    CREATE SCHEMA net AUTHORIZATION net_admin;
    GRANT USAGE ON FOREIGN SERVER prod TO net_admin;
    GRANT reader TO net_admin;
    SET ROLE net_admin;
    CREATE TABLE net.maps (name text PRIMARY KEY, labels jsonb, data jsonb);
    CREATE TABLE net.pools (name text PRIMARY KEY, secret text)}, 'an administrator');

my $seen = 0;

sub said {
    my ($sql) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $node->command_ok([ 'psql', '-qXAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') . ' user=net_admin', '-c', $sql ], $sql =~ s/\s+/ /gr);
}

# As net_admin, logged in. Everything that is recorded of it leads to the very statement, and to who has said it.
sub does {
    my ($sql, @expected) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    said($sql);
    return recorded_is(\@expected, $sql, 'net_admin');
}

# Changes of DBNet's own tables since the last look, oldest first, without what is another in every run; then what all of them lead to.
sub recorded_is {
    my ($expected, $sql, $user, %at) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $volatile = q{'{relation,number,id,created_at,generation,field_manager,paused_at,tracked_since,system_identifier,database,known_fields,expires_at,revoked_at,description,rules,decided_at,decided_in,transaction,at,requested_by,term,claimed_by}'::text[]};
    my (undef, $found) = $node->run_sql(qq{
        SELECT concat_ws(' ', t.table_name, v.operation, v.key - 'number' - 'id', v.old - $volatile, v.new - $volatile)
        FROM dbnet.entity_version AS v JOIN dbnet.tracked_relation AS t ON t.number = v.relation WHERE v.id > $seen AND t.number < 100 ORDER BY v.id}, %at);
    is($found, join("\n", @$expected), 'is on record');
    $node->query_is(qq{
        WITH RECURSIVE up AS (
            SELECT a.* FROM dbnet.activity AS a WHERE a.id IN (SELECT v.activity FROM dbnet.entity_version AS v WHERE v.id > $seen AND v.relation < 100)
            UNION SELECT p.* FROM up JOIN dbnet.activity AS p ON p.id = up.parent)
        SELECT DISTINCT s.session_user_name, up.text FROM up JOIN dbnet.transaction AS x ON x.id = up.transaction JOIN dbnet.session AS s ON s.id = x.session WHERE up.parent IS NULL},
        "$user|$sql", 'as done by this statement', %at) if defined $sql;
    (undef, $seen) = $node->run_sql('SELECT coalesce(max(id), 0) FROM dbnet.entity_version', %at);
    return;
}

# --- a mirror: made, changed, paused ---
my %map = (name => 'metadata.name', labels => 'metadata.labels', data => 'data');
my $mirror = qq{"kind": "ConfigMap", "mode": "%s", "server": "prod", "initial": "compare", "on_drift": "%s", "resource": "configmaps", "generated": false, "namespace": "$space", "namespaced": true, "api_version": "v1", "on_immutable": "refuse", "delete_foreign": false, "label_selector": "$selector"};
sub column {
    my ($operation, $name, $role, $value_type, $column_type) = @_;
    return qq(mirrored_column $operation {"relation": "net.maps", "column_name": "$name"} {"path": "$map{$name}", "role": "$role", "format": "", "required": false, "value_type": "$value_type", "column_name": "$name", "column_type": "$column_type"});
}
my @columns = ([ 'name', 'key', 'string', 'text' ], [ 'labels', 'meta', 'json', 'jsonb' ], [ 'data', 'spec', 'json', 'jsonb' ]);
does("SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.maps', namespace => '$space', label_selector => '$selector', columns => '{\"name\": \"metadata.name\", \"labels\": \"metadata.labels\", \"data\": \"data\"}')",
    'mirrored_relation I {"relation": "net.maps"} {' . sprintf($mirror, 'observe', 'report') . '}', (map { column('I', @$_) } @columns),
    'tracked_relation I {} {"enabled": true, "table_name": "maps", "activations": "all", "key_columns": ["name"], "schema_name": "net", "redacted_columns": []}',
    'mirrored_relation U {"relation": "net.maps"} {} {}', 'arming I {"singleton": true} {"singleton": true}');
does(q{SELECT dbnet.alter_mirror('net.maps', mode => 'manage', on_drift => 'enforce')},
    'mirrored_relation U {"relation": "net.maps"} {"mode": "observe", "on_drift": "report"} {"mode": "manage", "on_drift": "enforce"}');
does(q{SELECT dbnet.pause('net.maps', 'incident 42')},
    'mirrored_relation U {"relation": "net.maps"} {"paused_by": null, "paused_reason": null} {"paused_by": "net_admin", "paused_reason": "incident 42"}');
does(q{SELECT dbnet.resume('net.maps')},
    'mirrored_relation U {"relation": "net.maps"} {"paused_by": "net_admin", "paused_reason": "incident 42"} {"paused_by": null, "paused_reason": null}');

# --- what is tracked, and tokens ---
does(q{SELECT dbnet.track('net.pools', redact => '{secret}')},
    'tracked_relation I {} {"enabled": true, "table_name": "pools", "activations": "effective", "key_columns": ["name"], "schema_name": "net", "redacted_columns": ["secret"]}');
does(q{SELECT dbnet.untrack('net.pools')}, 'tracked_relation U {} {"enabled": true} {"enabled": false}');
does(q{SELECT dbnet.create_token('reader', 'dashboard', '30 days')},
    'token I {} {"name": "dashboard", "role": "reader", "scope": "api", "created_by": "net_admin", "privileged": false, "resource_attributes": {}}');
does(q{SELECT dbnet.revoke_token('dashboard')}, 'token U {} {"revoked_by": null} {"revoked_by": "net_admin"}');

# --- decisions, and what is asked of an object: by whom; the worker that ends it is on record, too ---
$node->psql_ok(join('', map { "INSERT INTO net.maps VALUES ('m$_', '{\"${\ $api->label_key }\": \"$space\"}', '{\"x\": \"1\"}');" } 1 .. 6), 'objects');
$node->query_is(q{SELECT key, phase FROM dbnet.wait_synced('60 s')}, '', 'are made');
$node->psql_ok('DELETE FROM net.maps', 'deleted at once');
$node->wait_for('SELECT sum(objects) = 6 FROM dbnet.held', 'which is held');
recorded_is([]);
does('SELECT sum(dbnet.reject(id)) FROM dbnet.held', ('held_change U {} {"decision": null, "decided_by": null} {"decision": "rejected", "decided_by": "net_admin"}') x 6);
$node->wait_for('SELECT count(*) = 6 FROM net.maps', 'the rows are back');
$node->wait_for('SELECT count(*) = 0 FROM dbnet.held_change', 'nothing is held any more');
recorded_is([]);
said(q{SELECT dbnet.release('net.maps', 'm1', '{data}')});
$node->wait_for('SELECT count(*) = 0 FROM dbnet.ownership_request', 'the server has taken note');
my $request = qq({"name": "m1", "path": "data", "value": {"x": "1"}, "namespace": "$space", "operation": "release"});
$node->query_is(qq{SELECT v.operation, s.process, s.session_user_name FROM dbnet.entity_version AS v JOIN dbnet.activity AS a ON a.id = v.activity JOIN dbnet.transaction AS x ON x.id = a.transaction
                   JOIN dbnet.session AS s ON s.id = x.session WHERE v.id > $seen AND v.relation < 100 ORDER BY v.id}, "I|client backend|net_admin\nD|dbnet mirror worker|postgres", 'by whom, and by the worker');
recorded_is([ "ownership_request I {} $request", "ownership_request D {} $request" ]);

# --- the end of the mirror ---
does(q{SELECT dbnet.unmirror('net.maps')},
    (map { column('D', @$_) } reverse @columns), 'mirrored_relation D {"relation": "net.maps"} {' . sprintf($mirror, 'manage', 'enforce') . '}', 'tracked_relation U {} {"enabled": true} {"enabled": false}');

# --- a copy that is claimed ---
$node->psql_ok('CREATE DATABASE copy TEMPLATE postgres', 'a copy', database => 'template1');
$node->psql_ok('SELECT dbnet.claim()', 'is claimed', database => 'copy');
recorded_is([ 'arming U {"singleton": true} {} {}' ], undef, undef, database => 'copy');

$node->no_crash_in_log;
done_testing;
