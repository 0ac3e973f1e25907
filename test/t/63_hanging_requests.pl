# What changes while requests hang at the server: mirrors are altered, removed, made anew, paused, their server is dropped.
# Answers to questions that nobody asks any more do no harm, and nothing more is sent for them.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

DBNet::Need::need('own_servers', 'faults');
my $node = DBNet::Cluster->started('actuation_hanging');
my $api = DBNet::Api->start;
my $mirrors = DBNet::Mirrors->new($node, $api);
my $pid = $node->worker_pid('mirror worker');
my $columns = '{"name": "metadata.name", "labels": "metadata.labels", "data": "data"}';
my $scope = "namespace => '" . $api->namespace . "', label_selector => " . DBNet::Api::quote($api->selector);
my $name = 0;

sub fault { my (%fault) = @_; return $api->fault(\%fault) }
sub pause { return $api->disturb('pause') }
sub go_on { return $api->disturb('pause?on=false') }
sub data_of { my ($name) = @_; return $mirrors->config($name)->{data} // {} }
sub write_of { my ($name) = @_; return $api->requests(path => qr{configmaps/$name\b}, method => 'PATCH') }
sub is_under_way {
    my ($name, $phase) = @_;
    $phase //= 'applying';
    return $node->wait_for("SELECT phase = '$phase' FROM dbnet.object WHERE relation = 'net.configs'::regclass AND name = '$name'", "$name is under way");
}
sub insert {
    my ($value) = @_;
    $name++;
    $node->safe_psql('postgres', $mirrors->config_row("k$name", { v => $value }));
    return "k$name";
}
sub settles {
    my ($what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $mirrors->wait_listed;
    return is($mirrors->wait_synced, '', "$what: all is settled");
}

# Columns: the request under way carries one that the mirror then loses, and its answer is a conflict that would be forced.
my $key = insert('1');
is($mirrors->wait_synced, '', 'settled');
$api->apply($mirrors->config_path($key), { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => $key }, data => { v => 'theirs' } }, manager => 'somebody', force => 1);
$node->wait_for("SELECT live->'data'->>'v' = 'theirs' FROM dbnet.object WHERE name = '$key'", 'somebody else has the field');
$node->psql_ok(q{ALTER TABLE net.configs ADD COLUMN immutable boolean; SELECT dbnet.alter_mirror('net.configs', columns => '} . $columns =~ s/\}$/, "immutable": "immutable"}/r . q{')}, 'one more column');
$mirrors->wait_listed;
fault(method => 'PATCH', path => "configmaps/$key", action => 'delay', delay_ms => 6000, count => 1);
$node->psql_ok(qq{UPDATE net.configs SET immutable = false, data = '{"v": "2"}' WHERE name = '$key'}, 'write');
is_under_way($key);
$node->psql_ok("SELECT dbnet.alter_mirror('net.configs', columns => '$columns')", 'a column less');
$node->wait_for("SELECT phase IN ('synced', 'conflict') FROM dbnet.object WHERE name = '$key'", 'decided anew');
is($node->worker_pid('mirror worker'), $pid, 'the worker has survived it');
$api->no_faults;
$node->psql_ok("DELETE FROM net.configs WHERE name = '$key'", 'its row goes');
is($mirrors->wait_synced, '', 'settled');

# unmirror and mirror again, with a row that changes, all while the first request hangs.
$key = insert('1');
$node->wait_for("SELECT phase = 'synced' FROM dbnet.object WHERE name = '$key'", 'it is there');
pause();
$node->psql_ok(qq{UPDATE net.configs SET data = '{"v": "old"}' WHERE name = '$key'}, 'write');
is_under_way($key);
$node->psql_ok("SELECT dbnet.unmirror('net.configs')", 'unmirror');
go_on();
$node->psql_ok("SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.configs', mode => 'manage', initial => 'push', $scope, columns => '$columns');"
      . qq{UPDATE net.configs SET data = '{"v": "new"}' WHERE name = '$key'}, 'mirror again, and write');
$mirrors->wait_listed;
$node->wait_for("SELECT phase = 'synced' AND live->'data'->>'v' = 'new' FROM dbnet.object WHERE name = '$key'", 'the new mirror is in force');
is($node->worker_pid('mirror worker'), $pid, 'the worker has survived it');

# Twenty times in short order, answers arriving at any moment.
fault(method => 'PATCH', path => "configmaps/$key", action => 'delay', delay_ms => 30, count => -1);
for my $round (1 .. 20) {
    $node->safe_psql('postgres', qq{UPDATE net.configs SET data = '{"v": "a$round"}' WHERE name = '$key'});
    $node->safe_psql('postgres', "SELECT dbnet.unmirror('net.configs'); SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.configs', mode => 'manage', initial => 'push', $scope, columns => '$columns');"
          . qq{UPDATE net.configs SET data = '{"v": "b$round"}' WHERE name = '$key'});
}
$api->no_faults;
$mirrors->wait_listed;
$node->wait_for("SELECT phase = 'synced' AND live->'data'->>'v' = 'b20' FROM dbnet.object WHERE name = '$key'", 'the last word counts');
is($node->worker_pid('mirror worker'), $pid, 'the worker has survived that too');

# Red buttons while a request hangs that is answered with a conflict: the second, forced one is not sent.
$node->psql_ok(q{SELECT dbnet.alter_mirror('net.configs', on_drift => 'enforce')}, 'a mirror that forces');
$mirrors->wait_listed;
for my $button (
    [ pause => q{SELECT dbnet.pause('net.configs', 'stop')}, q{SELECT dbnet.resume('net.configs')} ],
    [ 'pause of the server' => q{SELECT dbnet.pause('prod', 'stop')}, q{SELECT dbnet.resume('prod')} ],
    [ observe => q{SELECT dbnet.alter_mirror('net.configs', mode => 'observe')}, q{SELECT dbnet.alter_mirror('net.configs', mode => 'manage')} ],
    [ actuate => q{ALTER SYSTEM SET dbnet.actuate = off}, 'ALTER SYSTEM RESET dbnet.actuate' ])
{
    my ($what, $press, $release) = @$button;
    $key = insert('1');
    $node->wait_for("SELECT phase = 'synced' FROM dbnet.object WHERE name = '$key'", 'it is there');
    $api->disturb('hold_watches');
    $api->expect_success($api->apply($mirrors->config_path($key), { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => $key }, data => { v => 'theirs' } }, manager => 'somebody', force => 1));
    pause();
    $node->safe_psql('postgres', qq{UPDATE net.configs SET data = '{"v": "2"}' WHERE name = '$key'});
    is_under_way($key);
    $node->safe_psql('postgres', $press);
    if ($what eq 'actuate') {
        $node->safe_psql('postgres', 'SELECT pg_reload_conf()');
        $node->wait_for('SHOW dbnet.actuate', 'it is off', expected => 'off');
    }
    go_on();
    $api->wait_until(sub { scalar(() = write_of($key)) >= 2 }, 'the request is answered');
    $api->disturb('hold_watches?on=false');
    $node->wait_for("SELECT phase IS NULL OR phase NOT IN ('applying') FROM dbnet.object WHERE name = '$key'", "$what: the answer is taken in");
    is(data_of($key)->{v}, 'theirs', "$what: nothing was forced");
    is(scalar(() = write_of($key)), 2, "$what: nothing else was sent");
    $node->safe_psql('postgres', $release);
    $node->safe_psql('postgres', 'SELECT pg_reload_conf()') if $what eq 'actuate';
    $node->wait_for("SELECT live->'data'->>'v' = '2' AND phase = 'synced' FROM dbnet.object WHERE name = '$key'", "$what: released, it goes on");
}

# Deletions under way.
$key = insert('1');
settles('before a deletion');
pause();
$node->psql_ok("DELETE FROM net.configs WHERE name = '$key'", 'delete');
is_under_way($key, 'deleting');
$node->psql_ok($mirrors->config_row($key, { v => 'again' }), 'insert it again while the deletion hangs');
go_on();
settles('deleted and inserted');
is(data_of($key)->{v}, 'again', 'the row is what counts');

# The server is dropped, with all its mirrors, while requests hang.
$key = insert('1');
settles('before the server is dropped');
pause();
$node->psql_ok(qq{UPDATE net.configs SET data = '{"v": "2"}' WHERE name = '$key'}, 'write');
is_under_way($key);
$node->psql_ok('DROP SERVER prod', 'DROP SERVER');
$node->wait_for(q{SELECT bool_and(state = 'degraded' AND message = 'server "prod" does not exist') FROM dbnet.mirror_status}, 'its mirrors say that they have no server');
$node->psql_ok(qq{UPDATE net.configs SET data = '{"v": "3"}' WHERE name = '$key'}, 'write');
$node->wait_for("SELECT phase IN ('pending', 'uncertain') AND message = 'server \"prod\" does not exist' FROM dbnet.object WHERE name = '$key'", 'what is written waits and says why');
go_on();
$node->psql_ok($api->create_server('prod'), 'CREATE SERVER of the same name');
settles('the server is there again');
is(data_of($key)->{v}, '3', 'what was written meanwhile arrived');

# A server that changes its name.
$node->psql_ok(q{SELECT dbnet.pause('prod', 'incident 42')}, 'a paused server');
$node->psql_ok('ALTER SERVER prod RENAME TO production', 'ALTER SERVER … RENAME');
$key = insert('renamed');
$node->wait_for("SELECT message = 'paused: server production: incident 42' FROM dbnet.object WHERE name = '$key'", 'its mirrors follow, and the pause');
$node->query_is(q{SELECT DISTINCT server FROM dbnet.mirror_status}, 'production', 'they say so');
$node->query_is(q{SELECT dbnet.resume('production')}, 't', 'resume');
settles('it works under its new name');
is(data_of($key)->{v}, 'renamed', 'what was written arrived');
$node->psql_ok(q{BEGIN; ALTER SERVER production RENAME TO test; ROLLBACK}, 'a rename that is rolled back');
$node->psql_ok(qq{UPDATE net.configs SET data = '{"v": "kept"}' WHERE name = '$key'}, 'write');
settles('is none');
is(data_of($key)->{v}, 'kept', 'all goes on');

is($node->worker_pid('mirror worker'), $pid, 'all that was one worker');
# --- a table that is emptied while requests for its rows are under way: the rows come back ---
my $there = insert('1');
settles('a row');
pause();
my $made = insert('1');
$node->psql_ok(qq{UPDATE net.configs SET data = '{"v": "2"}' WHERE name = '$there'}, 'one object is to be made, another changed');
is_under_way($made);
is_under_way($there);
$node->psql_ok('TRUNCATE net.configs', 'TRUNCATE');
$node->psql_ok($mirrors->node_row('after-truncate'), 'and a row of another table');
$node->wait_for(q{SELECT phase = 'applying' FROM dbnet.object WHERE relation = 'net.nodes'::regclass AND name LIKE '%after-truncate'}, 'of which the worker knows, and so of the other');
go_on();
settles('emptied');
$node->wait_for(qq{SELECT string_agg(name || '=' || (data->>'v'), ' ' ORDER BY name) FROM net.configs WHERE name IN ('$there', '$made')}, 'both rows are there', expected => join(' ', sort("$there=2", "$made=1")), timeout => 30);

$node->no_crash_in_log;
done_testing();
