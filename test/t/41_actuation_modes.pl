# When nothing may be sent: observe, pause, dbnet.actuate = off, a copied database. And that what was written meanwhile
# goes out afterwards.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

my $node = DBNet::Cluster->started('actuation_modes');
my $api = DBNet::Api->start;
$api->expect_success($api->create('/api/v1/namespaces/' . $api->namespace . '/configmaps', { metadata => { name => 'theirs', labels => $api->labels }, data => { a => '1' } }));
my $mirrors = DBNet::Mirrors->new($node, $api, mode => 'observe');

sub calls { return $node->safe_psql('postgres', 'SELECT count(*) FROM dbnet.actuation') }

# Observe: import and follow, never write.
$node->wait_for(q{SELECT data = '{"a": "1"}' FROM net.configs WHERE name = 'theirs'}, 'an object that was there is imported');
$node->psql_ok($mirrors->config_row('mine', { b => '2' }) . q{UPDATE net.configs SET data = '{"a": "2"}' WHERE name = 'theirs'}, 'write');
is($mirrors->wait_synced, '', 'there is nothing to wait for');
is(calls(), 0, 'nothing was sent');
is($api->get($mirrors->config_path('mine'))->{status}, 404, 'no object was made');
is_deeply($mirrors->config('theirs')->{data}, { a => '1' }, 'none was changed');
$node->query_is(q{SELECT key, operation, path, row_value, live_value FROM dbnet.preview('net.configs') WHERE path = 'data' ORDER BY key},
    qq({n}/mine|create|data|{"b": "2"}|\n{n}/theirs|update|data|{"a": "2"}|{"a": "1"}) =~ s/\{n\}/$api->namespace/ger, 'preview says what manage would send');

# Manage: what was written goes out.
$node->psql_ok(q{SELECT dbnet.alter_mirror('net.configs', mode => 'manage')}, 'switch to manage');
$node->wait_for('SELECT count(*) = 3 FROM dbnet.actuation', 'both are sent, one of them twice: the field was somebody else\'s');
is($mirrors->wait_synced, '', 'and settled');
is_deeply($mirrors->config('mine')->{data}, { b => '2' }, 'the new object is there');
is_deeply($mirrors->config('theirs')->{data}, { a => '2' }, 'the other one is changed: a first write may take a field');
$node->query_is(q{SELECT name, created_by_us FROM dbnet.object WHERE relation = 'net.configs'::regclass ORDER BY name}, "mine|t\ntheirs|f", 'and known not to be ours');

# Pause of the mirror, then of its server.
for my $target ('net.configs', 'prod') {
    my $before = calls();
    $node->psql_ok("SELECT dbnet.pause('$target', 'incident 42')", "pause $target");
    $node->psql_ok(qq{UPDATE net.configs SET data = '{"paused": "$target"}' WHERE name = 'mine'}, 'write');
    $node->wait_for(q{SELECT phase = 'pending' AND message LIKE 'paused: %incident 42' FROM dbnet.object_status WHERE name = 'mine'}, 'the object waits and says why');
    is(calls(), $before, 'nothing was sent');
    $node->psql_ok("SELECT dbnet.resume('$target')", "resume $target");
    $node->wait_for("SELECT count(*) = $before + 1 FROM dbnet.actuation", 'it is sent');
    is($mirrors->wait_synced, '', 'settled');
    is($mirrors->config('mine')->{data}{paused}, $target, 'the value arrived');
}

# The switch for everything.
my $before = calls();
$node->append_conf('postgresql.conf', 'dbnet.actuate = off');
$node->reload;
$node->wait_for('SHOW dbnet.actuate', 'the setting is off', expected => 'off');
$node->psql_ok(q{UPDATE net.configs SET data = '{"actuate": "off"}' WHERE name = 'mine'}, 'write');
$node->wait_for(q{SELECT phase = 'pending' AND message = 'dbnet.actuate is off' FROM dbnet.object_status WHERE name = 'mine'}, 'the object waits and says why');
is(calls(), $before, 'nothing was sent');
$node->append_conf('postgresql.conf', 'dbnet.actuate = on');
$node->reload;
$node->wait_for("SELECT count(*) = $before + 1 FROM dbnet.actuation", 'it is sent once the setting is on');
is($mirrors->wait_synced, '', 'settled');

# A copy of the database writes to nothing until somebody claims it; the original goes on.
$node->psql_ok(q{UPDATE dbnet.arming SET system_identifier = system_identifier + 1}, 'as if this were a copy');
$node->wait_for(q{SELECT bool_and(state = 'disarmed' AND message LIKE '%dbnet.claim()%') FROM dbnet.mirror_status}, 'the mirrors are disarmed and say so');
$before = calls();
$node->psql_ok(q{UPDATE net.configs SET data = '{"armed": "no"}' WHERE name = 'mine'; DELETE FROM net.configs WHERE name = 'theirs'}, 'write');
$node->wait_for(q{SELECT phase = 'pending' AND message LIKE 'disarmed: %' FROM dbnet.object_status WHERE name = 'mine'}, 'the object waits and says why');
is(calls(), $before, 'nothing was sent');
is($api->get($mirrors->config_path('theirs'))->{status}, 200, 'nothing was deleted');
$node->psql_ok('SELECT dbnet.claim()', 'claim it');
$node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object_status WHERE name = 'mine'}, 'the update goes out');
$node->wait_for(q{SELECT reason FROM dbnet.held}, 'the delete waits for approval: the object was not made here', expected => 'the object was not created by DBNet');

$node->no_crash_in_log;
done_testing();
