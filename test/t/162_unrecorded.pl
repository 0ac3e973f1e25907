# What the database will not record is not forgotten: a full disk, and an object that it refuses.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

my $api   = DBNet::Api->start(controllers => 0, nodes_ready => 0);
my $node  = DBNet::Cluster->started('main', conf => 'dbnet.compare_interval = 0');    # no list comes to help
my $space = $api->namespace;
my $maps  = "/api/v1/namespaces/$space/configmaps";
sub create { my ($name) = @_; return $api->expect_success($api->create($maps, { metadata => { name => $name }, data => { a => '0' } })) }
sub change { my ($name, $value) = @_; return $api->expect_success($api->patch("$maps/$name", { data => { a => $value } })) }
sub rows { my ($expected, $what) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->wait_for(q{SELECT string_agg(name || '=' || (data->>'a'), ' ' ORDER BY name) FROM net.maps WHERE name LIKE '%-one'}, $what, expected => $expected) }
sub state_is { my ($expected, $what) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->wait_for(q{SELECT concat_ws('|', state, message) FROM dbnet.mirror_status}, $what, expected => $expected) }

create($_) for qw(changed-one deleted-one other-one);
$node->psql_ok($api->create_server('prod') . qq{
    CREATE SCHEMA net;
    CREATE TABLE net.maps (name text PRIMARY KEY, data jsonb);
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.maps', '{"name": "metadata.name", "data": "data"}', namespace => '$space');
    CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN
        RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END \$\$}, 'a mirror');
rows('changed-one=0 deleted-one=0 other-one=0', 'its objects');
state_is('synced', 'all is well');

# --- nothing can be recorded ---
$node->psql_ok(q{CREATE TRIGGER "full" BEFORE INSERT OR UPDATE ON dbnet.object FOR EACH ROW EXECUTE FUNCTION public.fail()}, 'the disk is full');
change('changed-one', '1');
$api->expect_success($api->delete("$maps/deleted-one"));
create('new-one');
state_is('degraded|what objects have become could not be recorded: could not extend file', 'the mirror says so');
$node->psql_ok(q{DROP TRIGGER "full" ON dbnet.object}, 'there is room again');
rows('changed-one=1 new-one=0 other-one=0', 'what happened meanwhile arrives');
state_is('synced', 'all is well');

# --- one object is refused ---
my $log = $node->log_position;
$node->psql_ok(q{ALTER TABLE dbnet.object ADD CONSTRAINT not_this CHECK (NOT (name = 'changed-one' AND live->'data'->>'a' = '2') AND NOT (name = 'other-one' AND live IS NULL)) NOT VALID}, 'two objects cannot be recorded');
change('changed-one', '2');
$api->expect_success($api->delete("$maps/other-one"));
change('new-one', '2');
rows('changed-one=1 new-one=2 other-one=0', 'others are not held up');
state_is('degraded|what objects have become could not be recorded: new row for relation "object" violates check constraint "not_this"', 'the mirror says so');
$node->log_like(qr/could not record object "\S*changed-one" of mirror net\.maps: new row for relation "object" violates check constraint "not_this"/, $log, 'the log names it');
$node->psql_ok(q{ALTER TABLE dbnet.object DROP CONSTRAINT not_this}, 'they can');
rows('changed-one=2 new-one=2', 'they are, without another event');
state_is('synced', 'all is well');

$node->no_crash_in_log;
done_testing();
