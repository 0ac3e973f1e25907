# Compares with what the store has, beside a running watch: versions alone are listed, only what differs is read, what was
# repaired is counted, and a watch that has missed something is begun anew.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Need;
use Test::More;

DBNet::Need::need('own_servers', 'faults');
my $api   = DBNet::Api->start(nodes_ready => 0, controllers => 0);
my $node  = DBNet::Cluster->started('main', conf => 'dbnet.compare_interval = 0');
my $space = $api->namespace;
my $maps  = "/api/v1/namespaces/$space/configmaps";

sub compare { my ($seconds) = @_; return $node->psql_ok("ALTER SYSTEM SET dbnet.compare_interval = $seconds; SELECT pg_reload_conf()", "compare every $seconds s") }
sub names { my ($since, $pattern) = @_; return join ' ', sort map { $_->{path} =~ $pattern } $api->requests(since => $since, method => 'GET') }

$api->expect_success($api->create($maps, { metadata => { name => "m$_" }, data => { a => '0' } })) for 1 .. 5;
$node->psql_ok($api->create_server('prod') . qq{CREATE SCHEMA net;
    CREATE TABLE net.maps (name text PRIMARY KEY, data jsonb);
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.maps', '{"name": "metadata.name", "data": "data"}', namespace => '$space', mode => 'manage')},
    'a mirror');
$node->wait_for(q{SELECT count(*) FROM net.maps WHERE name LIKE 'm%' AND data->>'a' = '0'}, 'is filled', expected => '5');
$node->wait_for(q{SELECT state FROM dbnet.mirror_status}, 'in step', expected => 'synced');

# --- nothing was missed: nothing is read ---
my $from = $api->request_position;
compare(1);
$api->wait_until(sub { return 3 <= grep { $_->{path} =~ /configmaps/ && $_->{path} !~ /watch=true/ } $api->requests(since => $from, method => 'GET') }, 'three compares');
my @lists = grep { $_->{path} =~ /configmaps/ && $_->{path} !~ /watch=true/ } $api->requests(since => $from, method => 'GET');
is(scalar(grep { $_->{accept} !~ /^application\/json;as=PartialObjectMetadataList;v=v1;g=meta\.k8s\.io,/ } @lists), 0, 'they ask for metadata alone');
is(names($from, qr{/configmaps/([^/?]+)}), '', 'and for no object');
is(scalar(grep { $_->{path} =~ /configmaps.*watch=true/ } $api->requests(since => $from)), 0, 'the watch goes on beside them');
compare(0);
$node->query_is(q{SELECT repaired FROM dbnet.mirror_status}, '0', 'nothing was repaired');

# --- three events that no watch tells ---
$from = $api->request_position;
$api->fault({ action => 'drop_event', path => 'configmaps', count => 3 });
$api->expect_success($api->patch("$maps/m2", { data => { a => '1' } }));
$api->expect_success($api->delete("$maps/m3"));
$api->expect_success($api->create($maps, { metadata => { name => 'm6' }, data => { a => '1' } }));
$api->wait_until(sub { return $api->disturb('state')->{fault_hits} >= 3 }, 'the events are lost');
compare(1);
$node->wait_for(q{SELECT string_agg(name || coalesce(data->>'a', ''), ' ' ORDER BY name) FROM net.maps WHERE name LIKE 'm%'}, 'a compare finds what they were', expected => 'm10 m21 m40 m50 m61');
$node->wait_for(q{SELECT repaired FROM dbnet.mirror_status}, 'and counts them', expected => '3');
compare(0);
is(names($from, qr{/configmaps/([^/?]+)}), 'm2 m3 m6', 'nothing else was read');
$api->wait_until(sub { return scalar grep { $_->{path} =~ /configmaps.*watch=true/ } $api->requests(since => $from) }, 'the watch is begun anew');
$api->expect_success($api->patch("$maps/m2", { data => { a => '2' } }));
$node->wait_for(q{SELECT data->>'a' FROM net.maps WHERE name = 'm2'}, 'and tells what comes next', expected => '2');

$node->restart;
$node->wait_for(q{SELECT state FROM dbnet.mirror_status}, 'after a restart', expected => 'synced');
$node->query_is(q{SELECT repaired FROM dbnet.mirror_status}, '3', 'the count goes on');

$node->no_crash_in_log;
done_testing();
