# Rows that are deleted and inserted again while their object stays: they are filled with what was reported, and nothing of
# the deletion is left, whether the worker saw it happen or died before. Rows that are renamed show nothing of the object
# that they had before.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use JSON::PP ();
use Test::More;

DBNet::Need::need('own_servers');
DBNet::Need::may_need('faults');
my $node = DBNet::Cluster->started('replaced_rows');
my $api = DBNet::Api->start(nodes_ready => 0, controllers => 0);    # nobody but the test reports
my $mirrors = DBNet::Mirrors->new($node, $api);
my $uid;

sub is_filled {
    my ($what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($mirrors->wait_synced, '', "$what: settled");
    $node->wait_for(q{SELECT ready = 'True' FROM net.nodes WHERE name = 'n1'}, "$what: the row has what was reported", timeout => 20);
    $uid //= $mirrors->node('n1')->{metadata}{uid};
    is($mirrors->node('n1')->{metadata}{uid}, $uid, "$what: it is the same object");
    $node->query_is('SELECT count(*) FROM dbnet.tombstone', '0', "$what: no tombstone is left");
    return;
}
sub replaced { return q{BEGIN; DELETE FROM net.nodes WHERE name = 'n1';} . $mirrors->node_row('n1', @_) . 'COMMIT;' }

$node->psql_ok($mirrors->node_row('n1', unschedulable => 'true'), 'insert');
is($mirrors->wait_synced, '', 'created');
$api->expect_success($api->patch($mirrors->node_path('n1') . '/status', { status => { conditions => [ { type => 'Ready', status => 'True' } ] } }));
is_filled('new');
$node->psql_ok(replaced(unschedulable => 'false'), 'with another value');
is_filled('another value');
$node->psql_ok(replaced(unschedulable => 'false'), 'with the same');
is_filled('the same');
$node->psql_ok(replaced(), 'with one less');
is_filled('one less');

for my $value ('true', 'true') {
    my $pid = $node->worker_pid('mirror worker');
    kill 'STOP', $pid;
    $node->psql_ok(replaced(unschedulable => $value), 'while the worker is stopped');
    kill 'KILL', $pid;
    $node->worker_pid('mirror worker', other_than => $pid);
    is_filled('unseen by the worker');
}
# --- renamed ---
$node->psql_ok(q{UPDATE net.nodes SET name = 'n2', note = 'mine' WHERE name = 'n1'}, 'renamed');
is($mirrors->wait_synced, '', 'settled');
$node->wait_for(q{SELECT ready IS NULL AND note = 'mine' FROM net.nodes WHERE name = 'n2'}, 'nothing was reported of the new object yet');
$api->expect_success($api->patch($mirrors->node_path('n2') . '/status', { status => { conditions => [ { type => 'Ready', status => 'False' } ] } }));
$node->wait_for(q{SELECT ready = 'False' FROM net.nodes WHERE name = 'n2'}, 'and now it is');

# --- rows of objects that somebody else has deleted: deleted and inserted again they are made anew, deleted they are forgotten ---
for my $is_seen (1, 0) {
    $api->expect_success($api->delete($mirrors->node_path('n2')));
    $node->wait_for(q{SELECT phase = 'absent' FROM dbnet.object_status WHERE name = 'n2'}, 'an object is deleted by somebody');
    my $pid = $node->worker_pid('mirror worker');
    kill 'STOP', $pid if !$is_seen;
    $node->psql_ok(q{BEGIN; DELETE FROM net.nodes WHERE name = 'n2';} . $mirrors->node_row('n2', unschedulable => 'true') . 'COMMIT;', 'its row is deleted and inserted again');
    kill 'KILL', $pid if !$is_seen;
    $node->worker_pid('mirror worker', other_than => $pid) if !$is_seen;
    $node->wait_for(q{SELECT phase = 'synced' AND live IS NOT NULL FROM dbnet.object WHERE name = 'n2'}, 'it is made anew' . ($is_seen ? '' : ', also by a worker that has not seen the commit'));
    is($mirrors->node('n2')->{spec}{unschedulable}, JSON::PP::true, 'as the row says');
}
$api->expect_success($api->delete($mirrors->node_path('n2')));
$node->wait_for(q{SELECT phase = 'absent' FROM dbnet.object_status WHERE name = 'n2'}, 'once more');
my $pid = $node->worker_pid('mirror worker');
kill 'STOP', $pid;
$node->psql_ok(q{DELETE FROM net.nodes WHERE name = 'n2'}, 'its row is deleted');
kill 'KILL', $pid;
$node->wait_for(q{SELECT count(*) FROM dbnet.object WHERE name = 'n2'}, 'nothing is left of it', expected => '0', timeout => 60);
$node->query_is('SELECT count(*) FROM dbnet.tombstone', '0', 'no tombstone either');

# --- an answer that was lost told of the object while its row was away, so that nothing was reported into any row ---
my $manager = $node->safe_psql('postgres', q{SELECT field_manager FROM dbnet.mirrored_relation WHERE relation = 'net.configs'::regclass});
my $stamp = $node->safe_psql('postgres', q{SELECT system_identifier || '/1/0/100/0' FROM pg_control_system()});
for my $name (qw(there gone)) {
    $node->psql_ok(q{SELECT dbnet.pause('prod', 'so that nothing is sent')}, 'paused');
    $node->psql_ok($mirrors->config_row($name, { v => '1' }) . "DELETE FROM net.configs WHERE name = '$name'", 'inserted and deleted');
    $api->expect_success($api->apply($mirrors->config_path($name), { apiVersion => 'v1', kind => 'ConfigMap', data => { v => '1' },
        metadata => { name => $name, labels => $api->labels, annotations => { 'dbnet.io/stamp' => $stamp } } }, manager => $manager));
    $node->wait_for("SELECT uid IS NOT NULL FROM dbnet.object WHERE name = '$name'", 'the object is seen');
    $node->psql_ok($mirrors->config_row($name, { v => '2' }), 'inserted again');
    if ($name eq 'gone') {
        $api->expect_success($api->delete($mirrors->config_path('gone')));
        $node->wait_for(q{SELECT live IS NULL FROM dbnet.object WHERE name = 'gone'}, 'somebody deletes it, and the worker dies');
        $node->replace_worker('mirror worker', 'KILL');
    }
    $node->psql_ok(q{SELECT dbnet.resume('prod')}, 'resumed');
    is($mirrors->wait_synced, '', 'settled');
    is_deeply($mirrors->config($name)->{data}, { v => '2' }, "$name: as the row says");
}
$node->query_is('SELECT count(*) FROM dbnet.tombstone', '0', 'no tombstone is left');

# --- the watch tells of the deletion after the row is back, and while what makes its object anew has failed for now ---
SKIP: {
    DBNet::Need::or_skip('faults');
    $node->psql_ok($mirrors->config_row('back', { v => '1' }), 'a row');
    is($mirrors->wait_synced, '', 'created');
    $api->disturb('hold_watches');
    $node->psql_ok(q{DELETE FROM net.configs WHERE name = 'back'}, 'is deleted');
    is($mirrors->wait_synced, '', 'and its object');
    $api->fault({ method => 'PATCH', path => '/back', status => 503, headers => { 'Retry-After' => '5' }, body => 'busy' });
    $node->psql_ok($mirrors->config_row('back', { v => '2' }), 'inserted again');
    $node->wait_for(q{SELECT attempts FROM dbnet.object WHERE name = 'back'}, 'the server is busy', expected => '1');
    # Events of a watch keep their order.
    $api->expect_success($api->create($mirrors->config_path('later') =~ s{/later$}{}r, { metadata => { name => 'later', labels => $api->labels } }));
    $api->disturb('hold_watches?on=false');
    $node->wait_for(q{SELECT count(*) FROM net.configs WHERE name = 'later'}, 'the deletion is seen', expected => '1');
    is($mirrors->wait_synced, '', 'it was nobody else who deleted it');
    is_deeply(($mirrors->config('back') // {})->{data}, { v => '2' }, 'it is made anew, as the row says');
}

$node->no_crash_in_log(except => qr/was terminated by signal 9/);
done_testing();
