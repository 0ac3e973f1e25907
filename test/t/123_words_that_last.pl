# What was decided, seen or said once holds until it is done: an object that is gone, a value in a row, an approval, the order
# of a transaction. Neither a failed request nor a pause, another commit or another worker makes it forgotten.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use JSON::PP ();
use Test::More;

DBNet::Need::need('faults');
my $api = DBNet::Api->start;
my $node = DBNet::Cluster->started('main', conf => "dbnet.hold_objects = 5\ndbnet.hold_minimum = 3\ndbnet.hold_percent = 100\n");
my $space = $api->namespace;
my $maps = "/api/v1/namespaces/$space/configmaps";
my ($label, $run) = ($api->label_key, $api->namespace);
my $unavailable = { action => 'respond', status => 503, headers => { 'Retry-After' => '1' }, body => status(503, 'ServiceUnavailable', 'in a moment') };

sub status { my ($code, $reason, $message) = @_; return { kind => 'Status', apiVersion => 'v1', status => 'Failure', reason => $reason, message => $message, code => $code } }
sub settled { my ($what) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(q{SELECT key, phase, message FROM dbnet.wait_synced('60 s')}, '', $what) }
sub map_of { my ($name) = @_; return $api->direct->get("$maps/$name")->{body} }
sub sent { return $node->safe_psql('postgres', 'SELECT count(*) FROM dbnet.actuation') }
sub alter { my ($settings) = @_; return $node->safe_psql('postgres', "SELECT dbnet.alter_mirror('net.maps', $settings)") }
sub row_is { my ($name, $column, $value, $what) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->wait_for("SELECT $column FROM net.maps WHERE name = '$name'", $what, expected => $value) }
sub phase_is {
    my ($name, $phase, $message, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $node->wait_for("SELECT phase = '$phase' AND coalesce(message, '') LIKE '$message' FROM dbnet.object_status WHERE name = '$name'", $what);
}
sub delete_it { my ($name) = @_; return $api->expect_success($api->direct->delete("$maps/$name")) }
sub is_there { my ($name, $old, $what) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $api->wait_until(sub { my $uid = map_of($name)->{metadata}{uid}; defined $uid && $uid ne $old }, $what) }

$node->psql_ok($api->create_server('prod') . qq{
    CREATE SCHEMA net;
    CREATE TABLE net.maps (name text PRIMARY KEY, labels jsonb DEFAULT '{"$label": "$run"}', data jsonb, files jsonb);
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.maps', namespace => '$space', label_selector => '$label=$run', mode => 'manage',
        columns => '{"name": "metadata.name", "labels": "metadata.labels", "data": "data", "files": "binaryData"}')}, 'a mirror');

# --- an object that is gone stays gone until it is made anew ---
$node->psql_ok(q{INSERT INTO net.maps (name, data) VALUES ('gone-1', '{"v": "1"}'), ('gone-2', '{"v": "1"}'), ('gone-3', '{"v": "1"}')}, 'three objects');
settled('are made');
alter(q{on_external_delete => 'recreate'});
my %uid = map { $_ => map_of($_)->{metadata}{uid} } qw(gone-1 gone-2 gone-3);
$api->fault({ %$unavailable, method => 'PATCH', path => "configmaps/gone-1\\b" });
delete_it('gone-1');
is_there('gone-1', $uid{'gone-1'}, 'recreate: a first try that fails is followed by another');
is($api->disturb('state')->{faults}, 0, 'it had failed');
$node->safe_psql('postgres', q{SELECT dbnet.pause('net.maps', 'test')});
delete_it('gone-2');
phase_is('gone-2', 'pending', 'paused%', 'in a pause it waits');
$node->replace_worker('mirror worker', 'TERM');
$node->safe_psql('postgres', q{SELECT dbnet.resume('net.maps')});
is_there('gone-2', $uid{'gone-2'}, 'after the pause it is made anew, by another worker');
alter(q{on_external_delete => 'flag'});
delete_it('gone-3');
phase_is('gone-3', 'absent', '%', 'flag: the row says that it is gone');
$api->fault({ %$unavailable, method => 'PATCH', path => "configmaps/gone-3\\b" });
$node->psql_ok(q{BEGIN; DELETE FROM net.maps WHERE name = 'gone-3'; INSERT INTO net.maps (name, data) VALUES ('gone-3', '{"v": "1"}'); COMMIT}, 'deleted and inserted as it was');
is_there('gone-3', $uid{'gone-3'}, 'makes it anew, also when the first try fails');
settled('all is settled');

# --- a report that the table's trigger refuses is one all the same ---
$node->psql_ok(q{
    CREATE FUNCTION net.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF dbnet.is_report() THEN RAISE 'no reports here'; END IF; RETURN new; END$$;
    CREATE TRIGGER refuse BEFORE UPDATE ON net.maps FOR EACH ROW EXECUTE FUNCTION net.refuse();
    SELECT dbnet.pause('net.maps', 'test');
    UPDATE net.maps SET data = '{"v": "2"}' WHERE name = 'gone-1'}, 'a change that waits, a trigger that refuses reports');
phase_is('gone-1', 'pending', 'paused%', 'it waits');
for my $word (qw(Ymx1 Z3Jl)) {
    $api->expect_success($api->direct->patch("$maps/gone-1", { binaryData => { f => $word } }));
    row_is('gone-1', q{files ->> 'f'}, $word, "a file by somebody else: $word");
}
phase_is('gone-1', 'pending', 'paused%', 'what waits keeps its words');
$node->psql_ok(q{DROP TRIGGER refuse ON net.maps; SELECT dbnet.resume('net.maps')}, 'on again');
settled('the change is sent');
is(map_of('gone-1')->{data}{v}, '2', 'it is there');
$node->query_is(q{SELECT 'binaryData' = ANY (claimed) FROM dbnet.object WHERE name = 'gone-1'}, 'f', 'and not the file, which no user wrote');

# --- a field that was never tried is not tried by a server that turns everything away ---
$api->expect_success($api->direct->apply("$maps/gone-2", { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'gone-2' }, binaryData => { f => 'Ymx1' } }, manager => 'somebody', force => 1));
row_is('gone-2', q{files ->> 'f'}, 'Ymx1', 'a file that somebody else owns');
$api->fault({ action => 'respond', status => 429, headers => { 'Retry-After' => '1' }, body => status(429, 'TooManyRequests', 'later'), method => 'PATCH', path => "configmaps/gone-2\\b" });
$node->psql_ok(q{UPDATE net.maps SET files = '{"f": "Z3Jl"}' WHERE name = 'gone-2'}, 'the first word of a user');
settled('takes it, though the server had no time at first');
is(map_of('gone-2')->{binaryData}{f}, 'Z3Jl', 'it is ours');

# --- drift does not hide behind a phase that comes and goes ---
$api->expect_success($api->direct->patch("$maps/gone-3", { data => { v => 'theirs' } }, query => { fieldManager => 'somebody' }));
phase_is('gone-3', 'drifted', '%data by somebody%', 'somebody changes a claimed field');
$node->psql_ok(q{SELECT dbnet.pause('net.maps', 'test'); UPDATE net.maps SET labels = labels || '{"x": "1"}' WHERE name = 'gone-3'}, 'a change of another column in a pause');
phase_is('gone-3', 'pending', 'paused%', 'waits');
$node->psql_ok(q{UPDATE net.maps SET labels = labels - 'x' WHERE name = 'gone-3'; SELECT dbnet.resume('net.maps')}, 'and is taken back');
phase_is('gone-3', 'drifted', '%data%', 'the drift is told again');
$node->psql_ok(q{SELECT dbnet.adopt('net.maps', 'gone-3')}, 'adopted');
settled('it is settled');
is(map_of('gone-3')->{data}{v}, '1', 'with the value of the row');

# --- a conflict that a report has ended ---
alter(q{on_drift => 'follow'});
$api->fault({ action => 'drop_event', match => '"gone-3"' });
$api->expect_success($api->direct->apply("$maps/gone-3", { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'gone-3' }, data => { v => 'followed' } }, manager => 'somebody', force => 1));
$api->wait_until(sub { $api->disturb('state')->{faults} == 0 }, 'a change of which no event tells');
$node->psql_ok(q{UPDATE net.maps SET labels = labels || '{"mine": "1"}' WHERE name = 'gone-3'}, 'a change of another column');
phase_is('gone-3', 'conflict', '%', 'meets it');
$api->expect_success($api->direct->patch("$maps/gone-3", { metadata => { annotations => { told => 'now' } } }));
settled('once the report has followed the other, the rest is sent');
row_is('gone-3', q{data ->> 'v'}, 'followed', 'the row has followed');
is(map_of('gone-3')->{metadata}{labels}{mine}, '1', 'the object has the label');
alter(q{on_drift => 'report'});

# --- an approval is of what was shown, and of nothing else ---
$node->psql_ok(q{INSERT INTO net.maps (name, data) SELECT 'many-' || i, '{"v": "1"}' FROM generate_series(1, 6) AS i}, 'six objects');
settled('are made');
my $before = sent();
my $first = $node->safe_psql('postgres', q{BEGIN; SELECT pg_current_xact_id(); UPDATE net.maps SET data = '{"v": "2"}' WHERE name LIKE 'many%'; COMMIT});
$node->wait_for('SELECT transaction, objects FROM dbnet.held', 'all are changed: held', expected => "$first|6");
my $second = $node->safe_psql('postgres', q{BEGIN; SELECT pg_current_xact_id(); UPDATE net.maps SET data = '{"v": "3"}' WHERE name LIKE 'many%'; COMMIT});
$node->wait_for('SELECT transaction, objects FROM dbnet.held', 'and again: what waits is the second transaction', expected => "$second|6");
$api->fault({ action => 'respond', status => 403, body => status(403, 'Forbidden', 'not for you'), method => 'PATCH', path => 'configmaps/many', count => -1 });
$node->query_is('SELECT dbnet.approve(id) FROM dbnet.held', '6', 'it is approved');
$node->wait_for(q{SELECT count(*) FROM dbnet.object_status WHERE name LIKE 'many%' AND phase = 'denied'}, 'but denied by the server', expected => '6');
$api->no_faults;
my $third = $node->safe_psql('postgres', q{BEGIN; SELECT pg_current_xact_id(); UPDATE net.maps SET data = '{"v": "4"}' WHERE name LIKE 'many%'; COMMIT});
$node->wait_for('SELECT transaction, objects FROM dbnet.held', 'what comes later needs an approval of its own', expected => "$third|6");
is(map_of("many-$_")->{data}{v}, '1', "many-$_ is as it was") for 1, 6;
$node->query_is('SELECT dbnet.approve(id) FROM dbnet.held', '6', 'which it gets');
settled('all go');
is(map_of("many-$_")->{data}{v}, '4', "many-$_ is changed") for 1, 6;
$node->query_is('SELECT count(*) FROM dbnet.held_change', '0', 'nothing is held any more');

# --- a rejected enforcement accepts what the device has ---
$node->restart; # other limits of the minute that has begun
alter(q{on_drift => 'enforce'});
settled('all is at rest');
$node->psql_ok(q{SELECT dbnet.pause('net.maps', 'test')}, 'a pause');
$api->expect_success($api->direct->patch("$maps/many-$_", { data => { v => 'theirs' } }, query => { fieldManager => 'somebody' })) for 1 .. 6;
$node->wait_for(q{SELECT count(*) FROM dbnet.object WHERE name LIKE 'many%' AND live #>> '{data,v}' = 'theirs'}, 'somebody changes them all', expected => '6');
$node->psql_ok(q{SELECT dbnet.resume('net.maps')}, 'and over');
$node->wait_for('SELECT sum(objects) FROM dbnet.held', 'to put them all back is held', expected => '6');
$before = sent();
$node->query_is('SELECT sum(dbnet.reject(id)) FROM dbnet.held', '6', 'rejected');
$node->wait_for('SELECT count(*) FROM dbnet.held_change', 'that is done', expected => '0');
settled('and over');
$node->query_is(q{SELECT count(*) FROM net.maps WHERE name LIKE 'many%' AND data ->> 'v' = 'theirs'}, '6', 'the rows have what the devices have');
is(sent(), $before, 'nothing was sent');
alter(q{on_drift => 'report'});

# --- an object of somebody else under the name of a row that came and went ---
my $manager = $node->safe_psql('postgres', q{SELECT field_manager FROM dbnet.mirrored_relation});
$api->expect_success($api->direct->create($maps, { metadata => { name => 'theirs' }, data => { v => 'theirs' } }));
$api->expect_success($api->direct->apply("$maps/theirs", { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'theirs' }, data => { w => 'ours' } }, manager => $manager));
$node->psql_ok(q{SELECT dbnet.pause('net.maps', 'test'); INSERT INTO net.maps (name) VALUES ('theirs')}, 'a row of that name');
phase_is('theirs', 'pending', 'paused%', 'waits');
$node->psql_ok(q{DELETE FROM net.maps WHERE name = 'theirs'; SELECT dbnet.resume('net.maps')}, 'and is deleted');
$node->wait_for(q{SELECT operation, reason FROM dbnet.held}, 'its object is not deleted unasked', expected => 'delete|the object was not created by DBNet');
is(map_of('theirs')->{data}{v}, 'theirs', 'it is there');
$node->query_is('SELECT dbnet.approve(id) FROM dbnet.held', '1', 'approved');
$api->wait_for_object("$maps/theirs", sub { $_[0]{status} == 404 });
settled('it goes');

# --- the order of a transaction outlives the worker ---
$api->fault({ action => 'respond', status => 422, body => status(422, 'Invalid', 'not such a name'), method => 'PATCH', path => 'configmaps/renamed', count => -1 });
$node->psql_ok(q{UPDATE net.maps SET name = 'renamed' WHERE name = 'gone-1'}, 'a rename');
phase_is('renamed', 'invalid', 'not such a name%', 'that the server refuses');
phase_is('gone-1', 'pending', 'waits until what the same transaction needs first is accepted', 'the old object stays');
$node->replace_worker('mirror worker', 'TERM');
phase_is('gone-1', 'deleting', "waits until the same transaction''s object $space/renamed is accepted", 'also with another worker');
is(map_of('gone-1')->{data}{v}, '2', 'it is there');
$api->no_faults;
$node->psql_ok(q{SELECT dbnet.retry('net.maps', 'renamed')}, 'the name is good now');
settled('the new one is made');
is(map_of('renamed')->{data}{v}, '2', 'with its values');
$api->wait_for_object("$maps/gone-1", sub { $_[0]{status} == 404 });
pass('and the old one goes');

$node->no_crash_in_log;
done_testing();
