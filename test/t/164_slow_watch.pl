# A watch that the worker does not read for a while, as its tables are locked: the server ends it, and nothing is lost.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Need;
use Test::More;

DBNet::Need::need('simulator');    # when real servers end a watch depends on their buffers
my $api   = DBNet::Api->start(controllers => 0, nodes_ready => 0, proxy => 0);
my $node  = DBNet::Cluster->started('main', conf => 'dbnet.compare_interval = 0');    # no list comes to help
my $space = $api->namespace;
my $maps  = "/api/v1/namespaces/$space/configmaps";
my ($count, $size) = (70, 400_000);    # more than the queue, the transport, the sockets and the server hold together

sub put_map { my ($name, $text) = @_; return $api->expect_success($api->apply("$maps/$name", { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => $name }, data => { a => $text } }, force => 1)) }
sub watches { return scalar(() = $api->requests(method => 'GET', path => qr/configmaps\?.*watch/)) }
sub lists   { return scalar(() = $api->requests(method => 'GET', path => qr/configmaps\?(?!.*(?:watch|fieldSelector))/)) }

put_map('m1', 'first');
$node->psql_ok($api->create_server('prod') . qq{
    CREATE SCHEMA net;
    CREATE TABLE net.maps (name text PRIMARY KEY, data jsonb);
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.maps', '{"name": "metadata.name", "data": "data"}', namespace => '$space')}, 'a mirror');
$node->wait_for(q{SELECT data->>'a' FROM net.maps WHERE name = 'm1'}, 'is there', expected => 'first');
$api->wait_until(sub { watches() > 0 }, 'a watch is open');
my ($lists, $watches) = (lists(), watches());

my $lock = $node->background_psql('postgres');
$lock->query_safe('BEGIN; LOCK TABLE dbnet.object IN EXCLUSIVE MODE');
put_map("m$_", 'x' x $size) for 1 .. $count;
$lock->query_safe('COMMIT');
$lock->quit;
$node->wait_for(qq{SELECT count(*) FROM net.maps WHERE length(data->>'a') = $size}, 'all of it arrives', expected => $count, timeout => 180);
put_map('m1', 'last');
$node->wait_for(q{SELECT data->>'a' FROM net.maps WHERE name = 'm1'}, 'and what comes then', expected => 'last');
cmp_ok(watches(), '>', $watches, 'the server had ended the watch');
is(lists(), $lists, 'it went on where it was, without a list');

$node->no_crash_in_log;
done_testing();
