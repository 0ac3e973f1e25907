# Server option http_version: requests over HTTP/1.1 and HTTP/2, on a real API server also while it closes connections at
# random (--goaway-chance): what that loses is sent again and no object hears of it.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

DBNet::Need::need('own_servers');
my $api  = DBNet::Api->start(nodes_ready => 0, controllers => 0, api_server_arguments => ['--goaway-chance=0.02']);
my $node = DBNet::Cluster->started('main', conf => "dbnet.hold_objects = 100000\ndbnet.hold_minimum = 100000");
my ($space, $count) = ($api->namespace, $api->kind eq 'binaries' ? 2000 : 200);

$node->psql_ok('CREATE SCHEMA net', 'a schema');
for my $version ('1.1', '2') {
    my $name = 'h' . substr $version, 0, 1;
    my $labels = qq{{"http": "$name"}};
    $node->psql_ok($api->create_server($name, http_version => $version) . qq{
        CREATE TABLE net.$name (name text PRIMARY KEY, labels jsonb, data jsonb);
        SELECT dbnet.mirror('$name', 'v1', 'ConfigMap', 'net.$name', '{"name": "metadata.name", "labels": "metadata.labels", "data": "data"}',
            namespace => '$space', label_selector => 'http=$name', mode => 'manage');}, "HTTP/$version: a mirror");
    $node->psql_ok(qq{INSERT INTO net.$name SELECT '$name-' || n, '$labels', '{"a": "1"}' FROM generate_series(1, $count) AS n}, 'rows');
    $node->query_is(q{SELECT * FROM dbnet.wait_synced('120 s')}, '', 'are sent');
    $node->psql_ok(qq{UPDATE net.$name SET data = '{"a": "2"}'}, 'changes');
    $node->query_is(q{SELECT * FROM dbnet.wait_synced('120 s')}, '', 'are sent');
    $node->query_is(qq{SELECT count(*), count(*) FILTER (WHERE http_status IN (200, 201) AND attempt = 1) FROM dbnet.actuation WHERE relation = 'net.$name'::regclass},
        2 * $count . '|' . 2 * $count, 'each by one request that was answered at the first attempt');
    is(scalar(grep { $_->{data}{a} eq '2' } @{ $api->get("/api/v1/namespaces/$space/configmaps?labelSelector=http=$name")->{body}{items} }), $count, 'and are there');
    $node->psql_ok(qq{DELETE FROM net.$name WHERE name <> '$name-1'}, 'deletions');
    $node->query_is(q{SELECT * FROM dbnet.wait_synced('120 s')}, '', 'are sent');
    is(scalar @{ $api->get("/api/v1/namespaces/$space/configmaps?labelSelector=http=$name")->{body}{items} }, 1, 'and the objects are gone');
}
$node->fails_like("ALTER SERVER h2 OPTIONS (SET http_version '3')", '22023', qr/http_version.*HINT:.*1\.1.*2/s, 'there is no third version');
$node->psql_ok("ALTER SERVER h2 OPTIONS (SET http_version '1.1'); UPDATE net.h2 SET data = '{\"a\": \"3\"}'", 'a server goes back to HTTP/1.1');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'and goes on');

$node->no_crash_in_log;
done_testing();
