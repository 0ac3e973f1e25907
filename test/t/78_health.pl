# How objects of the built-in kinds are doing, in words, while their controllers work; what wait_synced(until ready) waits
# for; and that objects which a controller looks after are left to it, whatever the mirror's rules say.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

DBNet::Need::need('controllers');
my $api   = DBNet::Api->start(pods_running => 1);
my $node  = DBNet::Cluster->started('health');
my $space = $api->namespace;
my $pods  = "/api/v1/namespaces/$space/pods";
sub pods { my ($app) = @_; return @{ $api->get($pods, query => { labelSelector => "app=$app" })->{body}{items} } }
sub health_is {
    my ($relation, $name, $expected, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $node->wait_for("SELECT health || coalesce(': ' || health_message, '') FROM dbnet.object_status WHERE relation = '$relation'::regclass AND name LIKE '$name'", $what, expected => $expected);
}

$node->psql_ok($api->create_server('prod') . <<"SQL", 'mirrors');
CREATE SCHEMA net;
CREATE TABLE net.web (name text PRIMARY KEY, replicas integer, selector jsonb, labels jsonb, containers jsonb);
CREATE TABLE net.pods (name text PRIMARY KEY, labels jsonb, containers jsonb, phase text);
CREATE TABLE net.sets (name text PRIMARY KEY, labels jsonb, replicas integer);
SELECT dbnet.mirror('prod', 'apps/v1', 'Deployment', 'net.web', namespace => '$space', mode => 'manage', columns => '{
    "name": "metadata.name", "replicas": "spec.replicas", "selector": "spec.selector", "labels": "spec.template.metadata.labels", "containers": "spec.template.spec.containers"}');
SELECT dbnet.mirror('prod', 'v1', 'Pod', 'net.pods', namespace => '$space', mode => 'manage', on_external_delete => 'recreate', on_drift => 'enforce', columns => '{
    "name": "metadata.name", "labels": "metadata.labels", "containers": "spec.containers", "phase": "status.phase"}');
SELECT dbnet.mirror('prod', 'apps/v1', 'ReplicaSet', 'net.sets', namespace => '$space', mode => 'manage', on_external_delete => 'recreate', on_drift => 'enforce', columns => '{
    "name": "metadata.name", "labels": "metadata.labels", "replicas": "spec.replicas"}');
SQL
$node->wait_for(q{SELECT bool_and(state = 'synced') FROM dbnet.mirror_status}, 'they are listed');

# --- a Deployment with nowhere to go ---
$node->psql_ok(q{INSERT INTO net.web VALUES ('web', 2, '{"matchLabels": {"app": "web"}}', '{"app": "web"}', '[{"name": "app", "image": "nginx:1"}]')}, 'a Deployment');
health_is('net.web', 'web', 'in_progress: 0 of 2 updated replicas are available', 'what it waits for is told');
health_is('net.pods', 'web-%-%', "in_progress: Unschedulable: no nodes available to schedule pods\nin_progress: Unschedulable: no nodes available to schedule pods", 'so is what its pods wait for');
$node->query_is(q{SELECT phase FROM dbnet.wait_synced('60 s', 'net.web')}, '', 'for the server all is well');
$node->query_is(q{SELECT key, phase, health, message FROM dbnet.wait_synced('1 s', 'net.web', until => 'ready')}, "$space/web|synced|in_progress|0 of 2 updated replicas are available", 'who waits for it to be ready is told why it is not');
$api->create_node('n1');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s', 'net.web', until => 'ready')}, '', 'with a node it becomes ready');
health_is('net.web', 'web', 'ready', 'and says so');
health_is('net.pods', 'web-%-%', "ready\nready", 'as do its pods');

# --- a roll-out ---
$node->psql_ok(q{UPDATE net.web SET containers = '[{"name": "app", "image": "nginx:2"}]', replicas = 3}, 'another image, and one more');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s', 'net.web', until => 'ready')}, '', 'ready is what has been rolled out as a whole');
is(join(' ', map { $_->{spec}{containers}[0]{image} } grep { !$_->{metadata}{deletionTimestamp} } pods('web')), 'nginx:2 nginx:2 nginx:2', 'none of the old pods is left');

# --- a container that does not come up ---
my ($pod) = grep { !$_->{metadata}{deletionTimestamp} } pods('web');
my $name = $pod->{metadata}{name};
$api->expect_success($api->patch("$pods/$name/status", { status => { containerStatuses => [ {
    name => 'app', image => 'nginx:2', imageID => '', ready => JSON::PP::false, restartCount => 7, state => { waiting => { reason => 'CrashLoopBackOff', message => 'back-off 5m0s restarting failed container' } } } ] } }));
health_is('net.pods', $name, 'failed: app: CrashLoopBackOff: back-off 5m0s restarting failed container', 'a container in a loop of crashes is a failure, and which one it is');

# --- what a controller looks after is left to it ---
$node->query_is(qq{SELECT controller LIKE 'ReplicaSet/%' OR controller <> '' FROM dbnet.object_status WHERE name = '$name'}, 't', 'a pod names its controller');
my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM dbnet.actuation');
$api->expect_success($api->delete("$pods/$name"));
$node->wait_for(qq{SELECT NOT EXISTS (SELECT FROM net.pods WHERE name = '$name')}, 'a pod that is gone takes its row along: on_external_delete recreate does not bring it back');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s', 'net.web', until => 'ready')}, '', 'its controller makes another one');
$node->query_is('SELECT count(*) FROM dbnet.actuation', $before, 'and nothing was sent from here');

# A claim on such an object is kept, but nobody is fought over it.
my ($set) = map { $_->{metadata}{name} } grep { ($_->{spec}{replicas} // 0) == 3 } @{ $api->get("/apis/apps/v1/namespaces/$space/replicasets")->{body}{items} };
$node->psql_ok(qq{UPDATE net.sets SET replicas = 2 WHERE name = '$set'}, 'the size of a set that a Deployment looks after');
$node->wait_for(qq{SELECT phase = 'conflict' AND message LIKE '%kube-controller-manager%' FROM dbnet.object_status WHERE name = '$set'}, 'is its controller\'s: a conflict, on_drift enforce or not');
$node->query_is(qq{SELECT dbnet.adopt('net.sets', '$set', '{replicas}')}, '1', 'taken all the same');
$node->wait_for(qq{SELECT count(*) FROM dbnet.actuation WHERE name = '$set' AND http_status = 200}, 'it is sent', expected => 1);
$api->wait_for_object("/apis/apps/v1/namespaces/$space/replicasets/$set", sub { $_[0]{body}{spec}{replicas} == 3 });
$node->wait_for(qq{SELECT phase = 'drifted' AND message LIKE '%spec.replicas%' FROM dbnet.object_status WHERE name = '$set'}, 'its controller puts it back: that is told, on_drift enforce or not');
$node->query_is(qq{SELECT count(*) FROM dbnet.actuation WHERE name = '$set' AND http_status = 200}, '1', 'and no second request is sent');

$node->no_crash_in_log;
done_testing();
