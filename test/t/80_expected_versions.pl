# Changes that are sent only if nobody has changed the object since: dbnet.expect(). What is not of the expected version is
# left alone, by retries and restarts too, until somebody decides.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Mirrors;
use Test::More;

my $node = DBNet::Cluster->started('expect');
my $api = DBNet::Api->start(nodes_ready => 0);
my $mirrors = DBNet::Mirrors->new($node, $api);
my $turn = 0;
sub value { my ($name) = @_; return $mirrors->config($name)->{data}{v} }
sub version { my ($name) = @_; return $mirrors->config($name)->{metadata}{resourceVersion} }
sub settled { my ($name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return is($mirrors->wait_synced, '', $name) }
# Somebody else writes what no column holds; waits until that is seen.
sub theirs {
    my ($name) = @_;
    $turn++;
    $api->expect_success($api->patch($mirrors->config_path($name), { metadata => { annotations => { 'example.com/turn' => "$turn" } } }));
    return $node->wait_for("SELECT live #>> '{metadata,annotations,example.com/turn}' FROM dbnet.object WHERE name = '$name'", "somebody changes $name", expected => $turn);
}
sub is_stale {
    my ($name, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $node->wait_for("SELECT phase = 'stale' AND needs_action AND next_step LIKE '%dbnet.expect()%' FROM dbnet.object_status WHERE name = '$name'", $what);
}
sub calls { my ($name) = @_; return $node->safe_psql('postgres', "SELECT count(*) FILTER (WHERE http_status = 409), count(*) FILTER (WHERE http_status = 200) FROM dbnet.actuation WHERE name = '$name'") }

$node->psql_ok(join('', map { $mirrors->config_row($_, { v => '1' }) } qw(a gone going)), 'rows');
settled('are sent');

# --- what cannot be expected ---
my @refused = (
    [ q{'net.configs', 'nobody'},         '42704', qr/has no row/,                         'no such row' ],
    [ q{'net.configs', 'a', ''},          '22023', qr/argument version is empty.*'any'/s,  'no version' ],
    [ q{'pg_class', 'a'},                 '42704', qr/is not a mirror/,                    'no mirror' ]);
$node->fails_like("SELECT dbnet.expect($_->[0])", $_->[1], $_->[2], $_->[3]) for @refused;
$node->psql_ok(q{CREATE ROLE reader IN ROLE dbnet_viewer; GRANT USAGE ON SCHEMA net TO reader; GRANT SELECT ON net.configs TO reader}, 'a reader');
$node->fails_like(q{SET ROLE reader; SELECT dbnet.expect('net.configs', 'a')}, '42501', qr/permission denied for table net\.configs/, 'who may not write');
$node->fails_like(q{BEGIN; INSERT INTO net.configs (name) VALUES ('new'); SELECT dbnet.expect('net.configs', 'new')}, '55000', qr/there is no object of .*: it has no version/, 'what is not there yet');

# --- nobody has changed it ---
my $seen = version('a');
$node->query_is(q{BEGIN; SELECT dbnet.expect('net.configs', 'a'); UPDATE net.configs SET data = '{"v": "2"}' WHERE name = 'a'; COMMIT}, $seen, 'a change of the version that was seen last');
settled('is sent');
is(value('a'), '2', 'and done');
$node->query_is('SELECT count(*) FROM dbnet.ownership_request', '0', 'the condition is over');
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "3"}' WHERE name = 'a'}, 'the next change');
settled('is bound to nothing');

# --- somebody has ---
$seen = version('a');
theirs('a');
$node->psql_ok(qq{BEGIN; UPDATE net.configs SET data = '{"v": "4"}' WHERE name = 'a'; SELECT dbnet.expect('net.configs', 'a', '$seen'); COMMIT}, 'a change of an older version');
is_stale('a', 'is not done');
$node->query_is(q{SELECT message LIKE '%the object has been modified%' FROM dbnet.object_status WHERE name = 'a'}, 't', 'in the words of the server');
is(value('a'), '3', 'the object is as it was');
is(calls('a'), '1|2', 'by one request, which was refused');
$node->query_is(q{SELECT dbnet.retry('net.configs', 'a')}, '1', 'tried again');
$node->wait_for(q{SELECT count(*) FROM dbnet.actuation WHERE name = 'a' AND http_status = 409}, 'it is refused again', expected => 2);
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "5"}' WHERE name = 'a'}, 'another change of the row');
$node->wait_for(q{SELECT count(*) FROM dbnet.actuation WHERE name = 'a' AND http_status = 409}, 'is bound to the version as well', expected => 3);
$node->replace_worker('mirror worker', 'TERM');
$node->wait_for(q{SELECT count(*) > 3 FROM dbnet.actuation WHERE name = 'a' AND http_status = 409}, 'and so is what another worker finds');
is_stale('a', 'still');
is(value('a'), '3', 'nothing has come of it');
$node->query_is(q{SELECT dbnet.expect('net.configs', 'a')}, version('a'), 'who has looked at it says of which version it is to be now');
settled('and it is sent');
is(value('a'), '5', 'with what the row says');

# --- whatever the version ---
$seen = version('a');
theirs('a');
$node->psql_ok(qq{BEGIN; UPDATE net.configs SET data = '{"v": "6"}' WHERE name = 'a'; SELECT dbnet.expect('net.configs', 'a', '$seen'); COMMIT}, 'once more');
is_stale('a', 'not of that version');
$node->query_is(q{SELECT dbnet.expect('net.configs', 'a', 'any')}, 'any', 'any will do');
settled('it is sent');
is(value('a'), '6', 'and done');

# --- deletions ---
$seen = version('going');
theirs('going');
$node->psql_ok(qq{BEGIN; SELECT dbnet.expect('net.configs', 'going', '$seen'); DELETE FROM net.configs WHERE name = 'going'; COMMIT}, 'a deletion of an older version');
is_stale('going', 'is not done');
is($api->get($mirrors->config_path('going'))->{status}, 200, 'the object is there');
$node->query_is(q{SELECT dbnet.expect('net.configs', 'going', 'any')}, 'any', 'of any version, then');
settled('done');
is($api->get($mirrors->config_path('going'))->{status}, 404, 'it is gone');

# --- an object that is gone is no version of it ---
$node->psql_ok(q{SELECT dbnet.pause('net.configs', 'test')}, 'a pause');
$node->psql_ok(q{BEGIN; SELECT dbnet.expect('net.configs', 'gone'); UPDATE net.configs SET data = '{"v": "2"}' WHERE name = 'gone'; COMMIT}, 'a change that waits');
$api->expect_success($api->delete($mirrors->config_path('gone')));
$node->wait_for(q{SELECT live IS NULL FROM dbnet.object WHERE name = 'gone'}, 'meanwhile somebody deletes the object');
$node->psql_ok(q{SELECT dbnet.alter_mirror('net.configs', on_external_delete => 'recreate'); SELECT dbnet.resume('net.configs')}, 'what is deleted is to be made again');
$node->wait_for(q{SELECT phase = 'stale' AND message LIKE 'there is no object any more that could have version %' FROM dbnet.object_status WHERE name = 'gone'}, 'but not this one');
is($api->get($mirrors->config_path('gone'))->{status}, 404, 'it is not made');

$node->no_crash_in_log;
done_testing();
