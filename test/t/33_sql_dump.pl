# A dump carries mirrors and claims; what is restored writes to no device until it is claimed.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

my $api  = DBNet::Api->start(controllers => 0);
my $node = DBNet::Cluster->started('main');
my ($space, $maps) = ($api->namespace, '/api/v1/namespaces/' . $api->namespace . '/configmaps');
$node->psql_ok($api->create_server('prod') . qq{
    CREATE SCHEMA net;
    CREATE TABLE net.maps (name text PRIMARY KEY, labels jsonb, data jsonb);
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.maps', '{"name": "metadata.name", "labels": "metadata.labels", "data": "data"}',
        namespace => '$space', label_selector => 'app', mode => 'manage');
    INSERT INTO net.maps VALUES ('a', '{"app": "a"}', '{"x": "1"}')}, 'a mirror');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'with an object');
$node->psql_ok(q{SELECT dbnet.pause('prod', 'while the copy is made')}, 'a pause');

my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-h', $node->host, '-p', $node->port, 'postgres' ], 'pg_dump');
$node->psql_ok('CREATE DATABASE copy', 'another database');
$node->command_ok([ 'pg_restore', '-e', '-d', 'copy', '-h', $node->host, '-p', $node->port, $dump ], 'pg_restore');

my @copy = (database => 'copy');
for my $table (qw(mirrored_relation mirrored_column arming paused_server)) {
    my $all = $node->psql_ok("SELECT * FROM dbnet.$table ORDER BY 1, 2", "$table of the original");
    $node->query_is("SELECT * FROM dbnet.$table ORDER BY 1, 2", $all, "$table is as in the original", @copy);
}
my $claims = $node->psql_ok('SELECT namespace, name, uid, claimed, applied FROM dbnet.object', 'objects of the original');
$node->query_is('SELECT namespace, name, uid, claimed, applied FROM dbnet.object', $claims, 'objects and claims too', @copy);
$node->query_is(q{SELECT tgenabled FROM pg_trigger WHERE tgname = 'dbnet_capture'}, 'A', 'the capture trigger is there', @copy);
$node->query_is(q{SELECT count(*) FROM dbnet.mirrored_relation WHERE generation > (SELECT last_value FROM dbnet.generation)}, '0',
    'generations go on where they were', @copy);

# --- disarmed until claimed ---
$node->psql_ok(q{SELECT dbnet.resume('prod'); UPDATE net.maps SET data = '{"x": "copy"}'}, 'a write in the copy', @copy);
$node->wait_for(q{SELECT state = 'disarmed' AND message <> '' FROM dbnet.mirror_status}, 'the mirror says that it is disarmed', @copy);
is($api->get("$maps/a")->{body}{data}{x}, '1', 'nothing is sent');
$node->psql_ok('SELECT dbnet.claim()', 'claim', @copy);
$api->wait_for_object("$maps/a", sub { ($_[0]{body}{data}{x} // '') eq 'copy' });
pass('now it is sent');
$node->no_crash_in_log;
done_testing();
