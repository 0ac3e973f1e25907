# Crashes and outages: kill -9 of the worker with requests under way, a server that hangs, dies and comes back. Every
# committed row arrives, once; what the worker was told stays told.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

DBNet::Need::need('own_servers');
my $node = DBNet::Cluster->started('actuation_failures', conf => "dbnet.hold_objects = 1000\ndbnet.hold_percent = 100");
my $api = DBNet::Api->start;
my $mirrors = DBNet::Mirrors->new($node, $api);

# kill -9 while requests are under way and more wait.
$api->freeze;
$node->psql_ok(join('', 'BEGIN;', (map { $mirrors->config_row("k$_", { v => '1' }) } 100 .. 299), 'COMMIT;'), 'insert 200 rows while the server hangs');
$node->wait_for(q{SELECT count(*) > 0 FROM dbnet.object WHERE phase = 'applying'}, 'requests are under way');
$node->replace_worker('mirror worker', 'KILL');
$api->thaw;
$mirrors->wait_listed;
is($mirrors->wait_synced, '', 'all is settled');
my $listed = $api->get('/api/v1/namespaces/' . $api->namespace . '/configmaps')->{body}{items};
is(scalar(grep { $_->{metadata}{name} =~ /^k\d/ } @$listed), 200, 'every object is there');
$node->query_is(q{SELECT count(*) FROM dbnet.object WHERE relation = 'net.configs'::regclass AND name LIKE 'k%' AND phase = 'synced'}, '200', 'and recorded');

# The worker dies between an update and its answer; the last value arrives, deletes too.
$api->freeze;
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "2"}' WHERE name < 'k110'; DELETE FROM net.configs WHERE name BETWEEN 'k110' AND 'k119'}, 'update ten, delete ten');
$node->wait_for(q{SELECT count(*) > 0 FROM dbnet.object WHERE phase IN ('applying', 'deleting')}, 'requests are under way');
$node->replace_worker('mirror worker', 'KILL');
$api->thaw;
$mirrors->wait_listed;
is($mirrors->wait_synced, '', 'all is settled');
is($mirrors->config('k105')->{data}{v}, '2', 'the updates arrived');
is($api->get($mirrors->config_path('k115'))->{status}, 404, 'the deletes too');
$node->query_is('SELECT count(*) FROM dbnet.tombstone', '0', 'no tombstone is left');

# The whole server crashes.
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "3"}' WHERE name = 'k100'}, 'update');
$node->kill9;
$node->start;
$mirrors->wait_listed;
is($mirrors->wait_synced, '', 'all is settled');
is($mirrors->config('k100')->{data}{v}, '3', 'the update arrived');

# The answer to a create is lost with the whole database, and the object is there when that comes back: its fields are ours.
$api->freeze;
$node->psql_ok($mirrors->config_row('orphan', { v => '1' }), 'insert');
$node->wait_for(q{SELECT phase = 'applying' FROM dbnet.object WHERE name = 'orphan'}, 'the request is under way');
my $manager = $node->safe_psql('postgres', q{SELECT field_manager FROM dbnet.mirrored_relation WHERE relation = 'net.configs'::regclass});
my $system = $node->safe_psql('postgres', 'SELECT system_identifier FROM pg_control_system()');
$node->kill9;
$api->thaw;
# Whether the server took up the request is its secret; here it did.
$api->expect_success($api->apply($mirrors->config_path('orphan'),
    { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'orphan', labels => $api->labels, annotations => { 'dbnet.io/stamp' => "$system/1/0/1/0" } }, data => { v => '1' } }, manager => $manager));
$node->start;
$mirrors->wait_listed;
is($mirrors->wait_synced, '', 'all is settled');
$node->query_is(q{SELECT phase, claimed FROM dbnet.object WHERE name = 'orphan'}, 'synced|{data,metadata.labels}', 'what was sent is claimed');
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "2"}' WHERE name = 'orphan'}, 'update one of its fields');
is($mirrors->wait_synced, '', 'settled');
my $orphan = $mirrors->config('orphan');
is_deeply([ $orphan->{data}, $orphan->{metadata}{labels} ], [ { v => '2' }, $api->labels ], 'the other one is still there');

# A claim that was given up is not taken for one that was lost: DBNet still owns one of the labels on the server.
$node->psql_ok(q{UPDATE net.configs SET labels = labels || '{"team": "ours"}' WHERE name = 'orphan'}, 'a label of ours');
is($mirrors->wait_synced, '', 'settled');
$node->psql_ok(q{SELECT dbnet.alter_mirror('net.configs', on_drift => 'follow')}, 'follow others');
my $calls = $node->safe_psql('postgres', 'SELECT count(*) FROM dbnet.actuation');
for my $team (qw(theirs again)) {
    $api->expect_success($api->patch($mirrors->config_path('orphan'), { metadata => { labels => { team => $team } } }));
    $node->wait_for(qq{SELECT labels->>'team' = '$team' FROM net.configs WHERE name = 'orphan'}, "the row follows: $team");
}
is($mirrors->wait_synced, '', 'settled');
$node->query_is('SELECT count(*) FROM dbnet.actuation', $calls, 'nothing was sent');
$node->query_is(q{SELECT claimed FROM dbnet.object WHERE name = 'orphan'}, '{data}', 'nothing is claimed again');
$node->psql_ok(q{SELECT dbnet.alter_mirror('net.configs', on_drift => 'report')}, 'report again');

# The API server is away.
my $process = $api->server;
$process->stop;
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "4"}' WHERE name = 'k100'}, 'update while the server is away');
$node->wait_for(q{SELECT phase IN ('pending', 'uncertain') AND message <> '' AND next_attempt_at > changed_at FROM dbnet.object_status WHERE name = 'k100'}, 'the object waits, says why and when it is tried again');

# What is not an intent any more is not sent.
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "3"}' WHERE name = 'k100'}, 'take it back');
$node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object_status WHERE name = 'k100'}, 'nothing is left to do');

$node->no_crash_in_log(except => qr/terminated by signal 9/);
done_testing();
