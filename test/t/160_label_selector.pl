# What leaves a mirror's label selector is not deleted: by events, by lists, after a time when nobody looked on; and a row
# that the mirror would not see is not sent.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

my $api   = DBNet::Api->start(controllers => 0, nodes_ready => 0);
my $node  = DBNet::Cluster->started('main');
my $space = $api->namespace;
my $maps  = "/api/v1/namespaces/$space/configmaps";
my $left  = q{the object does not match the mirror's label selector "app=web" any more};

sub label  { my ($name, $value) = @_; return $api->expect_success($api->patch("$maps/$name", { metadata => { labels => { app => $value } } })) }
sub app_of { my ($name) = @_; return $api->get("$maps/$name")->{body}{metadata}{labels}{app} }
sub uid_of { my ($name) = @_; return $api->get("$maps/$name")->{body}{metadata}{uid} }
sub calls  { my ($name) = @_; return $node->safe_psql('postgres', "SELECT count(*) FROM dbnet.actuation WHERE name = '$name'") }
sub settled { my ($name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', $name) }
sub has_status {
    my ($name, $expected, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $node->wait_for(qq{SELECT concat_ws('|', coalesce(phase, 'observed'), reason, message) FROM dbnet.object_status WHERE name = '$name'}, $what, expected => $expected);
}

$node->psql_ok($api->create_server('prod') . qq{
    CREATE SCHEMA net;
    CREATE TABLE net.maps (name text PRIMARY KEY, labels jsonb DEFAULT '{"app": "web"}', data jsonb DEFAULT '{"a": "1"}');
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.maps', '{"name": "metadata.name", "labels": "metadata.labels", "data": "data"}',
        namespace => '$space', label_selector => 'app=web', mode => 'manage', on_external_delete => 'recreate');
    INSERT INTO net.maps SELECT unnest('{seen,missed,deleted,dropped,ended}'::text[])}, 'rows of a mirror with a selector');
settled('are sent');
$api->expect_success($api->create($maps, { metadata => { name => $_, labels => { app => 'web' } }, data => { a => '0' } })) for qw(foreign kept);
$node->wait_for(q{SELECT count(*) FROM net.maps}, 'others make objects as well', expected => '7');

# --- an event ---
my %uid = map { $_ => uid_of($_) } qw(seen missed deleted dropped ended kept);
label('seen', undef);
has_status('seen', "drifted|LeftSelector|$left", 'an object that leaves the selector is said to have left');
$node->query_is(q{SELECT needs_action, next_step ~ 'does not match the mirror''s label selector', uid FROM dbnet.object_status WHERE name = 'seen'}, "t|t|$uid{seen}", 'and what can be done');
$node->query_is(q{SELECT o.live->'metadata'->'labels'->>'app' IS NULL, r.labels FROM dbnet.object AS o JOIN net.maps AS r USING (name) WHERE name = 'seen'}, 't|{"app": "web"}', 'what it is now is recorded, the row stays');
label('seen', 'web');
has_status('seen', 'synced', 'it comes back');
label('seen', 'db');
has_status('seen', "drifted|LeftSelector|$left", 'and leaves again');
$node->psql_ok(q{UPDATE net.maps SET data = '{"a": "2"}' WHERE name = 'seen'}, 'its row still writes to it');
$node->wait_for(q{SELECT phase FROM dbnet.object_status WHERE name = 'seen'}, 'its label is somebody else\'s now', expected => 'conflict');
$node->psql_ok(q{SELECT dbnet.adopt('net.maps', 'seen', '{labels}')}, 'until it is taken back');
has_status('seen', 'synced', 'with which it is in the mirror again');
is(join(' ', app_of('seen'), uid_of('seen')), "web $uid{seen}", 'the same object');

# --- a row that cannot go at first ---
$api->expect_success($api->create($maps, { metadata => { name => 'stuck', labels => { app => 'web' } }, data => { a => '0' } }));
$node->wait_for(q{SELECT count(*) FROM net.maps WHERE name = 'stuck'}, 'one more object of others', expected => '1');
$node->psql_ok(q{CREATE FUNCTION net.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not now'; END$$;
    CREATE TRIGGER refuse BEFORE DELETE ON net.maps FOR EACH ROW EXECUTE FUNCTION net.refuse(); ALTER TABLE net.maps ENABLE ALWAYS TRIGGER refuse}, 'rows that nobody may delete');
label('stuck', undef);
$node->wait_for(q{SELECT phase = 'report_failed' AND message LIKE '%not now%' FROM dbnet.object_status WHERE name = 'stuck'}, 'its row should go, and is kept');
$node->psql_ok(q{DROP TRIGGER refuse ON net.maps; DROP FUNCTION net.refuse(); SELECT dbnet.resync('net.maps')}, 'they may again');
$node->wait_for(q{SELECT (SELECT count(*) FROM net.maps WHERE name = 'stuck') + (SELECT count(*) FROM dbnet.object WHERE name = 'stuck')}, 'it goes', expected => '0');
is(app_of('stuck'), undef, 'the object is let be');

# --- while nobody looks on ---
my $before = calls('missed');
$node->stop;
label('missed', undef);
label('foreign', undef);
$api->expect_success($api->delete("$maps/deleted"));
$node->start;
has_status('missed', "drifted|LeftSelector|$left", 'what left meanwhile is not taken for deleted');
$node->wait_for(q{SELECT count(*) FROM dbnet.object WHERE name = 'deleted' AND phase = 'synced' AND uid <> '} . $uid{deleted} . q{'}, 'what was deleted is made anew, as was asked for', expected => '1');
$node->wait_for(q{SELECT (SELECT count(*) FROM net.maps WHERE name = 'foreign') + (SELECT count(*) FROM dbnet.object WHERE name = 'foreign')}, 'the row of a foreign object goes', expected => '0');
is(app_of('foreign'), undef, 'and the object is let be');
$node->psql_ok(q{SELECT dbnet.resync('net.maps')}, 'another list');
label('deleted', 'db');
has_status('deleted', "drifted|LeftSelector|$left", 'an event after it');
has_status('missed', "drifted|LeftSelector|$left", 'changes nothing');
is(calls('missed'), $before, 'nobody puts the label back');
is(app_of('missed'), undef, 'which somebody took off');

# --- rows that are deleted ---
$node->psql_ok(q{DELETE FROM net.maps WHERE name = 'missed'}, 'the row of an object that has left is deleted');
$api->wait_for_object("$maps/missed", sub { $_[0]{status} == 404 });
$node->wait_for(q{SELECT (SELECT count(*) FROM dbnet.object WHERE name = 'missed') + (SELECT count(*) FROM dbnet.tombstone WHERE name = 'missed')}, 'so is the object, and nothing is left', expected => '0');
$node->psql_ok(q{SELECT dbnet.alter_mirror('net.maps', on_external_delete => 'flag')}, 'rows of foreign objects are to stay');
label('kept', undef);
has_status('kept', "drifted|LeftSelector|$left", 'also when those leave');
$node->psql_ok(q{UPDATE net.maps SET data = '{"a": "mine"}' WHERE name = 'kept'}, 'such a row is changed');
$api->wait_for_object("$maps/kept", sub { $_[0]{body}{data}{a} eq 'mine' });
has_status('kept', "drifted|LeftSelector|$left", 'its object still does not match, which is told');
$node->psql_ok(q{DELETE FROM net.maps WHERE name = 'kept'}, 'and deleted');
has_status('kept', 'held|the object was not created by DBNet. See dbnet.held; decide with dbnet.approve or dbnet.reject.', 'as with every foreign object that is to be approved');
$node->psql_ok(q{SELECT dbnet.approve(id) FROM dbnet.held}, 'it is');
$api->wait_for_object("$maps/kept", sub { $_[0]{status} == 404 });

# --- an object that is deleted after it had left: no event tells of it ---
label('dropped', undef);
has_status('dropped', "drifted|LeftSelector|$left", 'another one leaves');
$api->expect_success($api->delete("$maps/dropped"));
$node->psql_ok(q{SELECT dbnet.resync('net.maps')}, 'a list');
$node->wait_for(q{SELECT phase, reason IS NULL FROM dbnet.object_status WHERE name = 'dropped'}, 'finds that it has been deleted since', expected => 'absent|t');

# --- an object with a finalizer: its end is awaited, though no event tells of it ---
$api->expect_success($api->patch("$maps/ended", { metadata => { labels => { app => undef }, finalizers => ['dbnet.io/test'] } }));
has_status('ended', "drifted|LeftSelector|$left", 'one that has a finalizer');
$node->psql_ok(q{DELETE FROM net.maps WHERE name = 'ended'}, 'is deleted');
$node->wait_for(q{SELECT phase FROM dbnet.object_status WHERE name = 'ended'}, 'which takes its time', expected => 'deleting');
$api->expect_success($api->patch("$maps/ended", { metadata => { finalizers => undef } }));
$node->wait_for(q{SELECT count(*) FROM dbnet.object WHERE name = 'ended'}, 'until it is gone', expected => '0');

# --- rows that the mirror would not see ---
my $refused = q{with the row's labels the object would not match the mirror's label selector "app=web", and the mirror would not see it. Give column "labels" labels that match.};
$node->psql_ok(q{INSERT INTO net.maps VALUES ('strange', '{"app": "db"}'), ('bare', NULL)}, 'rows whose labels do not match');
has_status($_, "invalid|$refused", "$_: is refused") for qw(strange bare);
is($api->get("$maps/$_")->{status}, 404, "$_: is not made") for qw(strange bare);
$node->psql_ok(q{UPDATE net.maps SET labels = '{"app": "web"}' WHERE name = 'strange'; DELETE FROM net.maps WHERE name = 'bare'}, 'one is corrected, the other deleted');
has_status('strange', 'synced', 'that one is made');
$node->wait_for(q{SELECT (SELECT count(*) FROM dbnet.object WHERE name = 'bare') + (SELECT count(*) FROM dbnet.tombstone WHERE name = 'bare')}, 'nothing is left of the other', expected => '0');
$node->psql_ok(q{UPDATE net.maps SET labels = '{"app": "db"}' WHERE name = 'strange'}, 'a row would take its object away');
has_status('strange', "invalid|$refused", 'which is refused as well');
is(app_of('strange'), 'web', 'and not done');

$node->no_crash_in_log;
done_testing();
