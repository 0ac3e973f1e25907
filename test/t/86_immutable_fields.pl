# Fields that a server lets nobody change: by default the row waits for its user, with on_immutable => 'recreate' what
# DBNet has made is deleted and made anew; never what others made, what a controller looks after, or what takes other
# things with it. Nothing of it is lost when the worker ends in between.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use JSON::PP ();
use Test::More;

DBNet::Need::may_need('faults');
my $api   = DBNet::Api->start;
my $node  = DBNet::Cluster->started('main');
my $space = $api->namespace;
my $maps  = "/api/v1/namespaces/$space/configmaps";
my ($key, $run) = ($api->label_key, $api->namespace);

$node->psql_ok($api->create_server('prod') . qq{
    CREATE SCHEMA net;
    CREATE TABLE net.maps (name text PRIMARY KEY, labels jsonb DEFAULT '{"$key": "$run"}', data jsonb, fixed boolean);
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.maps', namespace => '$space', label_selector => '$key=$run', mode => 'manage',
        columns => '{"name": "metadata.name", "labels": "metadata.labels", "data": "data", "fixed": "immutable"}');
    CREATE TABLE net.volumes (name text PRIMARY KEY, labels jsonb DEFAULT '{"$key": "$run"}', "accessModes" jsonb, resources jsonb, "storageClassName" text);
    SELECT dbnet.mirror('prod', 'v1', 'PersistentVolumeClaim', 'net.volumes', namespace => '$space', label_selector => '$key=$run', mode => 'manage',
        on_immutable => 'recreate', columns => '{"name": "metadata.name", "labels": "metadata.labels", "accessModes": "spec.accessModes", "resources": "spec.resources", "storageClassName": "spec.storageClassName"}')}, 'two mirrors');
sub settled { my ($what) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(q{SELECT key, phase, message FROM dbnet.wait_synced('60 s')}, '', $what) }
sub map_of { my ($name) = @_; return $api->get("$maps/$name")->{body} }
sub insert { my ($name) = @_; return qq{INSERT INTO net.maps (name, data, fixed) VALUES ('$name', '{"a": "1"}', true);} }
sub calls {
    my ($name) = @_;
    return $node->safe_psql('postgres', "SELECT string_agg(operation || ' ' || http_status, ', ' ORDER BY id) FROM dbnet.actuation WHERE name = '$name'");
}
sub phase_is {
    my ($name, $phase, $message, $next_step, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $node->wait_for(qq{SELECT phase = '$phase' AND reason = 'Immutable' AND message LIKE '$message' AND next_step LIKE '$next_step' FROM dbnet.object_status WHERE name = '$name'}, $what);
}

# --- the setting ---
$node->query_is(q{SELECT relation, on_immutable FROM dbnet.mirrored_relation ORDER BY 1::text}, "net.maps|refuse\nnet.volumes|recreate", 'the setting is on record');
$node->fails_like(q{SELECT dbnet.alter_mirror('net.maps', on_immutable => 'delete')}, '22023', qr/on_immutable.*refuse.*recreate/s, 'it has two values');

# --- by default ---
$node->psql_ok(insert('refused'), 'an immutable ConfigMap');
settled('is made');
my $uid = map_of('refused')->{metadata}{uid};
$node->psql_ok(q{UPDATE net.maps SET data = '{"a": "2"}' WHERE name = 'refused'}, 'change it');
phase_is('refused', 'invalid', '%field is immutable when `immutable` is set%', '%write the old value back%on_immutable%', 'is refused, and what can be done is said');
$node->query_is(q{SELECT count(*) FROM dbnet.tombstone}, '0', 'nothing is to be deleted');

# --- recreate: at once for what waits ---
$node->psql_ok(q{SELECT dbnet.alter_mirror('net.maps', on_immutable => 'recreate')}, 'the other setting');
settled('what was refused is made anew');
isnt(map_of('refused')->{metadata}{uid}, $uid, 'it is another object');
is_deeply(map_of('refused')->{data}, { a => '2' }, 'with the row\'s value');
like(calls('refused'), qr/^apply 201, apply 422, (apply 422, )?delete 200, apply 201$/, 'refused, deleted, made');
$node->query_is(q{SELECT created_by_us, phase, message IS NULL FROM dbnet.object_status WHERE name = 'refused'}, 't|synced|t', 'and is ours as the one before');
$node->query_is(q{SELECT replacing IS NULL, claimed FROM dbnet.object WHERE name = 'refused'}, 't|{data,immutable,metadata.labels}', 'nothing is left of the old one');

# --- a change that the row takes back, and an ordinary one, delete nothing ---
$uid = map_of('refused')->{metadata}{uid};
$node->psql_ok(qq{UPDATE net.maps SET labels = labels || '{"tier": "a"}' WHERE name = 'refused'}, 'a label can be changed');
settled('is settled');
is(map_of('refused')->{metadata}{uid}, $uid, 'by an update');
$node->psql_ok(qq{UPDATE net.maps SET labels = '{"$key": "$run", "bad label": "x"}', data = '{"a": "9"}' WHERE name = 'refused'}, 'a change that a new object would not survive');
$node->wait_for(q{SELECT phase = 'invalid' AND message LIKE '%bad label%' FROM dbnet.object_status WHERE name = 'refused'}, 'is refused');
is(map_of('refused')->{metadata}{uid}, $uid, 'and deletes nothing');
$node->psql_ok(qq{UPDATE net.maps SET labels = '{"$key": "$run", "tier": "a"}', data = '{"a": "2"}' WHERE name = 'refused'}, 'mended');
settled('all is well');

# --- finalizers: the new one waits for the end of the old one, and the newest row counts ---
$node->psql_ok(insert('slow'), 'another one');
settled('is made');
$api->expect_success($api->patch("$maps/slow", { metadata => { finalizers => ['example.com/hold'] } }));
$node->psql_ok(q{UPDATE net.maps SET data = '{"a": "2"}' WHERE name = 'slow'}, 'is to be made anew');
$node->wait_for(q{SELECT phase IN ('deleting', 'waiting_deleted') AND waiting FROM dbnet.object_status WHERE name = 'slow'}, 'waits for the finalizer');
$api->wait_until(sub { map_of('slow')->{metadata}{deletionTimestamp} }, 'the old one is being deleted');
$node->psql_ok(q{UPDATE net.maps SET data = '{"a": "3"}' WHERE name = 'slow'}, 'a newer value meanwhile');
$node->replace_worker('mirror worker', 'KILL');
$node->wait_for(q{SELECT phase IN ('deleting', 'waiting_deleted') FROM dbnet.object_status WHERE name = 'slow'}, 'another worker knows what it waits for');
$api->expect_success($api->patch("$maps/slow", { metadata => { finalizers => undef } }));
settled('it is made anew once the old one is gone');
is_deeply(map_of('slow')->{data}, { a => '3' }, 'with the newest value');

# --- gone while nobody looked: no external delete ---
$node->psql_ok(insert('unseen'), 'another one');
settled('is made');
$api->expect_success($api->patch("$maps/unseen", { metadata => { finalizers => ['example.com/hold'] } }));
$node->psql_ok(q{UPDATE net.maps SET data = '{"a": "2"}' WHERE name = 'unseen'}, 'is to be made anew');
$api->wait_until(sub { map_of('unseen')->{metadata}{deletionTimestamp} }, 'the old one is being deleted');
$node->wait_for(q{SELECT replacing = uid FROM dbnet.object WHERE name = 'unseen'}, 'which is on record');
$node->stop('immediate');
$api->expect_success($api->patch("$maps/unseen", { metadata => { finalizers => undef } }));
$api->wait_until(sub { $api->get("$maps/unseen")->{status} == 404 }, 'it ends while no worker runs');
$node->start;
$node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object_status WHERE name = 'unseen'}, 'the next one makes it anew');
is_deeply(map_of('unseen')->{data}, { a => '2' }, 'as the row is');

# --- the row goes while its object is made anew: the object stays gone ---
$node->psql_ok(insert('dropped'), 'another one');
settled('is made');
$api->expect_success($api->patch("$maps/dropped", { metadata => { finalizers => ['example.com/hold'] } }));
$node->psql_ok(q{UPDATE net.maps SET data = '{"a": "2"}' WHERE name = 'dropped'}, 'is to be made anew');
$api->wait_until(sub { map_of('dropped')->{metadata}{deletionTimestamp} }, 'the old one is being deleted');
$node->psql_ok(q{DELETE FROM net.maps WHERE name = 'dropped'}, 'the row goes');
$api->expect_success($api->patch("$maps/dropped", { metadata => { finalizers => undef } }));
$node->wait_for(q{SELECT NOT EXISTS (SELECT FROM dbnet.object WHERE name = 'dropped')}, 'all is forgotten');
is($api->get("$maps/dropped")->{status}, 404, 'and nothing made');

# --- what others made, and what a controller looks after ---
$api->expect_success($api->create($maps, { metadata => { name => 'theirs', labels => $api->labels }, data => { a => '1' }, immutable => JSON::PP::true }));
$node->wait_for(q{SELECT count(*) = 1 FROM net.maps WHERE name = 'theirs'}, 'an object of others');
$uid = map_of('theirs')->{metadata}{uid};
$node->psql_ok(q{UPDATE net.maps SET data = '{"a": "2"}' WHERE name = 'theirs'}, 'change it');
phase_is('theirs', 'invalid', '%field is immutable%not made anew: the object was not created by DBNet.', '%', 'is refused, and why it is not made anew');
is(map_of('theirs')->{metadata}{uid}, $uid, 'it is as it was');
$node->psql_ok(insert('owned') , 'one of ours');
$node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object_status WHERE name = 'owned'}, 'is made');
$uid = map_of('owned')->{metadata}{uid};
my $owner = map_of('refused')->{metadata};
$api->expect_success($api->patch("$maps/owned", { metadata => { ownerReferences => [
    { apiVersion => 'v1', kind => 'ConfigMap', name => 'refused', uid => $owner->{uid}, controller => JSON::PP::true }] } }));
$node->wait_for(q{SELECT controller = 'ConfigMap/refused' FROM dbnet.object_status WHERE name = 'owned'}, 'gets a controller');
$node->psql_ok(q{UPDATE net.maps SET data = '{"a": "2"}' WHERE name = 'owned'}, 'change it');
phase_is('owned', 'invalid', '%not made anew: a controller looks after the object.', '%', 'is refused');
is(map_of('owned')->{metadata}{uid}, $uid, 'it is as it was');

# --- a kind whose deletes always wait for approval ---
$node->psql_ok(q{INSERT INTO net.volumes (name, "accessModes", resources, "storageClassName") VALUES ('disk', '["ReadWriteOnce"]', '{"requests": {"storage": "1Gi"}}', 'none')}, 'a PersistentVolumeClaim');
$node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object_status WHERE name = 'disk'}, 'is made');
$node->psql_ok(q{UPDATE net.volumes SET "storageClassName" = 'other' WHERE name = 'disk'}, 'of another class');
phase_is('disk', 'invalid', '%not made anew: deleting an object of this kind takes other objects or data with it.', '%', 'is refused: it holds data');

# --- too many at once ---
$node->psql_ok(q{DELETE FROM net.maps WHERE name = 'theirs'}, 'tidy up');
$node->wait_for(q{SELECT count(*) FROM dbnet.held}, 'which waits, for it is not ours', expected => '1');
$node->psql_ok(q{SELECT dbnet.approve(id) FROM dbnet.held}, 'approved');
$node->wait_for(q{SELECT NOT EXISTS (SELECT FROM dbnet.object WHERE name = 'theirs')}, 'gone');
$node->safe_psql('postgres', q{ALTER SYSTEM SET dbnet.hold_minimum = 3});
$node->safe_psql('postgres', q{ALTER SYSTEM SET dbnet.hold_percent = 10});
$node->reload;
$node->psql_ok(join('', map { insert("many-$_") } 1 .. 4), 'four more');
$node->wait_for(q{SELECT count(*) = 4 FROM dbnet.object_status WHERE name LIKE 'many-%' AND phase = 'synced'}, 'are made');
$node->psql_ok(q{UPDATE net.maps SET data = '{"a": "2"}' WHERE name LIKE 'many-%'}, 'all to be made anew');
$node->wait_for(q{SELECT objects FROM dbnet.held WHERE relation = 'net.maps'::regclass}, 'are held', expected => '4');
is_deeply([ map { map_of("many-$_")->{data}{a} } 1 .. 4 ], [ (1) x 4 ], 'and are as they were');
$node->psql_ok(q{SELECT dbnet.approve(id) FROM dbnet.held}, 'approved');
$node->wait_for(q{SELECT count(*) = 4 FROM dbnet.object_status WHERE name LIKE 'many-%' AND phase = 'synced'}, 'they are made anew');
is_deeply([ map { map_of("many-$_")->{data}{a} } 1 .. 4 ], [ (2) x 4 ], 'as the rows are');

# Deletes of rows and of what is made anew count together.
$node->replace_worker('mirror worker', 'TERM');    # which counts from nothing
for my $name ('many-2', 'many-3') {
    $node->psql_ok("DELETE FROM net.maps WHERE name = '$name'", 'a row goes');
    $api->wait_until(sub { $api->get("$maps/$name")->{status} == 404 }, 'and its object');
}
$node->psql_ok(q{UPDATE net.maps SET data = '{"a": "3"}' WHERE name = 'many-4'}, 'one is to be made anew');
$node->wait_for(q{SELECT phase = 'held' AND message LIKE 'one more object in a minute that deletes too many%' FROM dbnet.object_status WHERE name = 'many-4'}, 'which is one delete too many');
is(map_of('many-4')->{data}{a}, 2, 'it is as it was');
$node->psql_ok(q{SELECT dbnet.approve(id) FROM dbnet.held}, 'approved');
$node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object_status WHERE name = 'many-4'}, 'it is made anew');
is(map_of('many-4')->{data}{a}, 3, 'as the row is');

# --- a server that does not let us delete ---
SKIP: {
    DBNet::Need::or_skip('faults');
    $node->safe_psql('postgres', q{ALTER SYSTEM RESET dbnet.hold_minimum});
    $node->safe_psql('postgres', q{ALTER SYSTEM RESET dbnet.hold_percent});
    $node->reload;
    my $rehearsals = { method => 'POST', path => 'configmaps\?.*dryRun=All', count => 1 };
    my $calls = $node->safe_psql('postgres', q{SELECT count(*) FROM dbnet.actuation WHERE name = 'many-1'});
    $uid = map_of('many-1')->{metadata}{uid};
    $api->fault({ %$rehearsals, status => 422, body => { kind => 'Status', apiVersion => 'v1', status => 'Failure', reason => 'Invalid', message => 'no new one like this', code => 422 } });
    $node->psql_ok(q{UPDATE net.maps SET data = '{"a": "rehearsed"}' WHERE name = 'many-1'}, 'an object that the server would not take anew');
    $node->wait_for(q{SELECT phase = 'invalid' AND reason = 'NewObjectRefused' AND needs_action AND message LIKE '%field is immutable%. It is not made anew: %no new one like this' AND next_step LIKE 'The object stays,%' FROM dbnet.object_status WHERE name = 'many-1'},
        'is not deleted, and why is said');
    is(map_of('many-1')->{metadata}{uid}, $uid, 'it is as it was');
    $node->query_is(q{SELECT replacing IS NULL FROM dbnet.object WHERE name = 'many-1'}, 't', 'and nothing under way');
    $node->query_is(qq{SELECT string_agg(operation || ' ' || http_status, ', ' ORDER BY id) FROM (SELECT * FROM dbnet.actuation WHERE name = 'many-1' ORDER BY id OFFSET $calls) AS later}, 'apply 422', 'no delete was asked for');
    $api->fault({ %$rehearsals, status => 503, body => { kind => 'Status', apiVersion => 'v1', status => 'Failure', reason => 'ServiceUnavailable', message => 'in a moment', code => 503 } });
    $node->psql_ok(q{SELECT dbnet.retry('net.maps', } . "'$space/many-1')", 'once more, and the server has another moment of weakness');
    $node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object_status WHERE name = 'many-1'}, 'it is made anew');
    is(map_of('many-1')->{data}{a}, 'rehearsed', 'as the row is');

    $api->fault({ method => 'DELETE', path => '/many-1', count => 1, status => 403,
        body => { kind => 'Status', apiVersion => 'v1', status => 'Failure', reason => 'Forbidden', message => 'not you', code => 403 } });
    $node->psql_ok(q{UPDATE net.maps SET data = '{"a": "3"}' WHERE name = 'many-1'}, 'once more');
    $node->wait_for(q{SELECT phase = 'denied' AND message LIKE '%not you%' FROM dbnet.object_status WHERE name = 'many-1'}, 'the delete is denied');
    $node->query_is(q{SELECT replacing IS NULL FROM dbnet.object WHERE name = 'many-1'}, 't', 'and nothing under way');
    $api->delete("$maps/many-1");
    $node->wait_for(q{SELECT phase = 'absent' FROM dbnet.object_status WHERE name = 'many-1'}, 'who deletes it now is somebody else');
}

$node->no_crash_in_log(except => qr/dbnet mirror worker.*was terminated by signal 9/);
done_testing();
