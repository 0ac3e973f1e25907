# A trigger fired by a device's report is a user's policy: what it writes to the same row, to another row and to another
# mirror reaches the server.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

my $api  = DBNet::Api->start;
my $node = DBNet::Cluster->started('main');
my ($space, $selector, $key, $run) = ($api->namespace, $api->selector, $api->label_key, $api->namespace);
my ($n1, $n2, $n3) = map { $api->name($_) } qw(n1 n2 n3);
my $maps = "/api/v1/namespaces/$space/configmaps";

$api->create_node($_) for qw(n2 n3);
$node->psql_ok($api->create_server('prod') . qq{
    CREATE SCHEMA net;
    CREATE TABLE net.nodes (name text PRIMARY KEY, labels jsonb, unschedulable boolean, ready text);
    CREATE TABLE net.maps (name text PRIMARY KEY, data jsonb);
    CREATE TABLE net.reports (name text, is_report boolean);
    CREATE FUNCTION net.policy() RETURNS trigger LANGUAGE plpgsql AS \$\$
    BEGIN
        IF NEW.name <> '$n1' OR NEW.ready IS DISTINCT FROM 'True' OR OLD.ready IS NOT DISTINCT FROM NEW.ready THEN RETURN NULL; END IF;
        INSERT INTO net.reports VALUES (NEW.name, dbnet.is_report());
        UPDATE net.nodes SET labels = labels || '{"policy": "same-row"}' WHERE name = '$n1';
        UPDATE net.nodes SET labels = labels || '{"policy": "other-row"}' WHERE name = '$n2';
        INSERT INTO net.maps VALUES ('from-policy', '{"node": "$n1"}');
        RETURN NULL;
    END \$\$;
    CREATE TRIGGER policy AFTER UPDATE ON net.nodes FOR EACH ROW EXECUTE FUNCTION net.policy();
    SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes', '{"name": "metadata.name", "labels": "metadata.labels",
        "unschedulable": "spec.unschedulable", "ready": "status.conditions[type=Ready].status"}', label_selector => '$selector');
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.maps', '{"name": "metadata.name", "data": "data"}', namespace => '$space');
    SELECT dbnet.alter_mirror('net.nodes', mode => 'manage');
    SELECT dbnet.alter_mirror('net.maps', mode => 'manage')}, 'two managed mirrors and a policy');
$node->wait_for(qq{SELECT ready = 'True' FROM net.nodes WHERE name = '$n2'}, 'a Node that was there');

$node->psql_ok(qq{INSERT INTO net.nodes (name, labels) VALUES ('$n1', '{"$key": "$run"}')}, 'a row creates a Node');
$node->wait_for(qq{SELECT ready = 'True' FROM net.nodes WHERE name = '$n1'}, 'whose Ready status comes back into the row');
$node->wait_for(qq{SELECT is_report FROM net.reports WHERE name = '$n1'}, 'the policy saw a report');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'all is settled');
is($api->get("/api/v1/nodes/$n1")->{body}{metadata}{labels}{policy}, 'same-row', 'the same row reached the server');
is($api->get("/api/v1/nodes/$n2")->{body}{metadata}{labels}{policy}, 'other-row', 'another row reached the server');
is($api->get("$maps/from-policy")->{body}{data}{node}, $n1, 'another mirror reached the server');
$node->query_is(q{SELECT count(*) FROM net.reports}, '1', 'the policy ran once');

# --- a BEFORE trigger that changes what a report writes ---
$node->psql_ok(qq{
    CREATE FUNCTION net.cordon() RETURNS trigger LANGUAGE plpgsql AS \$\$
    BEGIN NEW.unschedulable := true; RETURN NEW; END \$\$;
    CREATE TRIGGER cordon BEFORE UPDATE ON net.nodes FOR EACH ROW WHEN (NEW.labels->>'sick' = 'yes') EXECUTE FUNCTION net.cordon()}, 'a policy before the write');
$api->expect_success($api->patch("/api/v1/nodes/$n3", { metadata => { labels => { sick => 'yes' } } }));
$api->wait_for_object("/api/v1/nodes/$n3", sub { $_[0]{body}{spec}{unschedulable} });
pass('what it made of the row reached the server');

# --- a claimed column is not overwritten, and its drift is told ---
$api->expect_success($api->patch("/api/v1/nodes/$n3", { spec => { unschedulable => undef } }));
$node->wait_for(qq{SELECT phase = 'drifted' AND message LIKE '%spec.unschedulable%' FROM dbnet.object WHERE name = '$n3'}, 'drift of a claimed field');
$node->query_is(qq{SELECT unschedulable FROM net.nodes WHERE name = '$n3'}, 't', 'the row keeps the wish');
$api->expect_success($api->patch("/api/v1/nodes/$n3", { spec => { unschedulable => JSON::PP::true } }));
$node->wait_for(qq{SELECT phase = 'synced' FROM dbnet.object WHERE name = '$n3'}, 'and the drift is over when the value is back');

$node->no_crash_in_log;
done_testing();
