# A server that takes two changes at a time and answers 429 to more: many rows arrive nevertheless, at its pace.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

DBNet::Need::need('own_servers');
my $api = DBNet::Api->start(controllers => 0, nodes_ready => 0, arguments => [qw(--service-time-ms 5 --changes-at-a-time 2)],
    api_server_arguments => [qw(--enable-priority-and-fairness=false --max-requests-inflight=20 --max-mutating-requests-inflight=2)]);
my $node = DBNet::Cluster->started('main');
my ($space, $url, $token) = ($api->namespace, $api->url, $api->token('all'));    # administrators are not limited
my $ca_file = $api->credentials('--cacert')->[1];
$node->psql_ok("CREATE SERVER prod FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url '$url', ca_file '$ca_file');
    CREATE USER MAPPING FOR CURRENT_USER SERVER prod OPTIONS (token '$token');
    CREATE SCHEMA net; CREATE TABLE net.maps (name text PRIMARY KEY, data jsonb);
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.maps', '{\"name\": \"metadata.name\", \"data\": \"data\"}', namespace => '$space', mode => 'manage')", 'a mirror');
$node->psql_ok(q{INSERT INTO net.maps SELECT 'm' || n, '{"a": "1"}' FROM generate_series(1, 1000) AS n}, '1000 rows');
$node->query_is(q{SELECT count(*) FROM dbnet.wait_synced('120 s')}, '0', 'are settled');
my $items = $api->get("/api/v1/namespaces/$space/configmaps")->{body}{items};
is(scalar(grep { $_->{metadata}{name} =~ /^m\d/ } @$items), 1000, 'and there');
$node->query_is('SELECT count(*) > 0 FROM dbnet.actuation WHERE http_status = 429', 't', 'the server did refuse some');
$node->query_is('SELECT count(*) FROM dbnet.object WHERE attempts > 0 OR phase <> $$synced$$', '0', 'of which nothing is left');
$node->no_crash_in_log;
done_testing();
