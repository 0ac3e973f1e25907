# Order and economy: a hot row costs one request per round trip and its last value arrives; what others need goes first,
# and what depends on something refused waits.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

my $node = DBNet::Cluster->started('actuation_order');
my $api = DBNet::Api->start;
my $mirrors = DBNet::Mirrors->new($node, $api);

# 500 commits of one row.
$node->psql_ok($mirrors->config_row('hot', { v => '0' }), 'insert');
is($mirrors->wait_synced, '', 'settled');
my $calls = $node->safe_psql('postgres', 'SELECT count(*) FROM dbnet.actuation');
$node->psql_ok(<<'SQL', '500 updates, each committed');
DO $$ BEGIN FOR v IN 1..500 LOOP UPDATE net.configs SET data = jsonb_build_object('v', v::text) WHERE name = 'hot'; COMMIT; END LOOP; END $$;
SQL
is($mirrors->wait_synced, '', 'settled');
is($mirrors->config('hot')->{data}{v}, '500', 'the last value arrived');
$node->query_is("SELECT count(*) - $calls BETWEEN 1 AND 499 FROM dbnet.actuation", 't', 'not every value was sent');
$node->query_is("SELECT count(*) FROM dbnet.actuation WHERE http_status <> 200 AND at > (SELECT max(at) FROM dbnet.actuation WHERE http_status = 201)", '0', 'every call went well');

# A namespace and what lives in it, in one transaction and in the wrong order.
my $space = $api->name('order');
my $labels = JSON::PP->new->canonical->encode($api->labels);
my $selector = DBNet::Api::quote($api->selector);
$node->psql_ok(<<"SQL", 'mirrors of Namespaces and of ConfigMaps everywhere');
CREATE TABLE net.spaces (name text PRIMARY KEY, labels jsonb);
CREATE TABLE net.settings (namespace text, name text, labels jsonb, data jsonb, PRIMARY KEY (namespace, name));
SELECT dbnet.mirror('prod', 'v1', 'Namespace', 'net.spaces', label_selector => $selector, mode => 'manage',
    columns => '{"name": "metadata.name", "labels": "metadata.labels"}');
SELECT dbnet.unmirror('net.configs');
SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.settings', label_selector => $selector, mode => 'manage',
    columns => '{"namespace": "metadata.namespace", "name": "metadata.name", "labels": "metadata.labels", "data": "data"}');
SQL
$mirrors->wait_listed;
$node->psql_ok(<<"SQL", 'the ConfigMap first, then its Namespace');
BEGIN;
INSERT INTO net.settings VALUES ('$space', 's', '$labels', '{"a": "1"}');
INSERT INTO net.spaces VALUES ('$space', '$labels');
COMMIT;
SQL
is($mirrors->wait_synced, '', 'settled');
is($api->get("/api/v1/namespaces/$space/configmaps/s")->{body}{data}{a}, '1', 'both are there');
$node->query_is(qq{SELECT string_agg(relation::text, ', ' ORDER BY at), max(attempt) FROM dbnet.actuation WHERE name IN ('$space', 's')},
    'net.spaces, net.settings|1', 'the Namespace went first, so no call failed');

# What is needed first is refused: the rest waits, until it is mended.
$node->psql_ok(<<"SQL", 'a Namespace with a bad label');
BEGIN;
INSERT INTO net.settings VALUES ('$space', 'later', '$labels', '{"a": "1"}');
INSERT INTO net.spaces VALUES ('$space-2', '{"bad label!": "x"}');
COMMIT;
SQL
$node->wait_for(qq{SELECT phase = 'invalid' FROM dbnet.object_status WHERE key = '$space-2'}, 'the Namespace is refused');
$node->wait_for(qq{SELECT phase = 'pending' AND message LIKE 'waits until what the same transaction needs first%' FROM dbnet.object_status WHERE key = '$space/later'}, 'the ConfigMap waits and says so');
is($api->get("/api/v1/namespaces/$space/configmaps/later")->{status}, 404, 'and is not there');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('10 s', 'net.nodes')}, '', 'who waits for another mirror need not wait for it');
$node->query_is(q{SELECT key, phase FROM dbnet.wait_synced('200 ms', 'net.settings')}, "$space/later|pending", 'who waits for this one is told of it');
$node->psql_ok(qq{UPDATE net.spaces SET labels = '$labels' WHERE name = '$space-2'}, 'mend the Namespace');
is($mirrors->wait_synced, '', 'both are settled');
is($api->get("/api/v1/namespaces/$space/configmaps/later")->{status}, 200, 'the ConfigMap followed');

# Transactions whose orders cross, while the server does not answer: created in one order, deleted in the other. Neither
# may wait for the other for ever.
SKIP: {
    skip 'the server cannot be held here', 5 if DBNet::Need::lacks('own_servers');
    $api->freeze;
    my $insert = "INSERT INTO net.spaces VALUES ('$space-3', '$labels'); INSERT INTO net.settings VALUES ('$space-3', 'crossing', '$labels', '{\"a\": \"1\"}');";
    my $delete = "DELETE FROM net.settings WHERE name = 'crossing'; DELETE FROM net.spaces WHERE name = '$space-3';";
    $node->psql_ok("BEGIN; $insert COMMIT; BEGIN; $delete COMMIT", 'created and deleted at once');
    $node->psql_ok("BEGIN; $insert COMMIT", 'created again');
    $node->wait_for(qq{SELECT phase <> 'synced' FROM dbnet.object WHERE name = '$space-3'}, 'its creation is under way');
    $node->psql_ok("BEGIN; $delete COMMIT; BEGIN; UPDATE net.spaces SET labels = labels || '{\"dbnet.io/x\": \"1\"}' WHERE name = '$space'; UPDATE net.settings SET data = '{\"a\": \"2\"}' WHERE name = 's'; COMMIT", 'deleted while that hangs');
    $api->thaw;
    is($node->safe_psql('postgres', q{SELECT key, phase, message FROM dbnet.wait_synced('60 s') WHERE phase NOT IN ('held', 'deleting')}), '', 'all is settled, but for what waits for an approval');
    is($api->get("/api/v1/namespaces/$space/configmaps/s")->{body}{data}{a}, '2', 'what came after has arrived');
}

$node->no_crash_in_log;
done_testing();
