# Sessions that hold locks and do not end: whatever one of them has locked of one mirror, other mirrors go on in both
# directions, and the locked one catches up afterwards. One mirror that cannot be read does not stop the others either.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

my $node = DBNet::Cluster->started('actuation_locks');
my $api = DBNet::Api->start;
my $mirrors = DBNet::Mirrors->new($node, $api);
my $locked = $api->name('locked');
my $selector = DBNet::Api::quote($api->selector);

$node->psql_ok($mirrors->node_row('locked', unschedulable => 'false') . $mirrors->config_row('free', { turn => '0' }) . $mirrors->config_row('seen', { turn => '0' }), 'rows');
is($mirrors->wait_synced, '', 'settled');
# Something to approve: a deletion of what DBNet did not create.
$api->create_node('theirs');
$node->wait_for(q{SELECT count(*) = 1 FROM net.nodes WHERE name = '} . $api->name('theirs') . q{'}, 'a Node of somebody else');
$node->psql_ok(q{DELETE FROM net.nodes WHERE name = '} . $api->name('theirs') . q{'}, 'its row is deleted');
$node->wait_for('SELECT count(*) = 1 FROM dbnet.held', 'the deletion is held');

my $turn = 0;
# While the session has it locked: an intent and a report of net.configs arrive, and one of each of net.nodes is made.
sub others_go_on {
    my ($what, $statement, %options) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $turn++;
    my $session = $node->background_psql('postgres');
    $session->query_safe("BEGIN; $statement");
    my $flag = $turn % 2 ? 'true' : 'false';
    $api->expect_success($api->patch($mirrors->node_path('locked'), { metadata => { labels => { 'dbnet.io/turn' => "$turn" } } }));
    $node->safe_psql('postgres', qq{UPDATE net.configs SET data = '{"turn": "$turn"}' WHERE name = 'free'});
    $api->wait_for_object($mirrors->config_path('free'), sub { $_[0]{body}{data}{turn} eq "$turn" });
    pass("$what: what is committed elsewhere reaches the server");
    $api->expect_success($api->patch($mirrors->config_path('seen'), { data => { turn => "$turn" } }));
    $node->wait_for(qq{SELECT live->'data'->>'turn' = '$turn' FROM dbnet.object WHERE name = 'seen'}, "$what: what another object is like is recorded");
    $node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object WHERE name = 'free'}, "$what: what was sent is settled");
    $session->query_safe('ROLLBACK');
    $session->quit;
    $node->safe_psql('postgres', "UPDATE net.nodes SET unschedulable = $flag WHERE name = '$locked'");
    $node->wait_for(qq{SELECT phase = 'synced' AND live->'metadata'->'labels'->>'dbnet.io/turn' = '$turn' AND coalesce((live->'spec'->>'unschedulable')::boolean, false) = $flag
        FROM dbnet.object WHERE name = '$locked'}, "$what: and the locked mirror catches up");
    return;
}

my $pid = $node->worker_pid('mirror worker');
others_go_on('a locked row', "SELECT FROM net.nodes WHERE name = '$locked' FOR UPDATE");
others_go_on('an updated row', "UPDATE net.nodes SET note = 'mine' WHERE name = '$locked'");
others_go_on('a locked table', 'LOCK TABLE net.nodes IN ACCESS EXCLUSIVE MODE');
others_go_on('ALTER TABLE', 'ALTER TABLE net.nodes ADD COLUMN more text');
others_go_on('TRUNCATE', 'TRUNCATE net.nodes');
others_go_on('DROP TABLE', 'DROP TABLE net.nodes');
others_go_on('pause', q{SELECT dbnet.pause('net.nodes', 'not committed')});
others_go_on('alter_mirror', q{SELECT dbnet.alter_mirror('net.nodes', on_drift => 'enforce')});
others_go_on('unmirror', q{SELECT dbnet.unmirror('net.nodes')});
others_go_on('approve', q{SELECT dbnet.approve(id) FROM dbnet.held});
others_go_on('mirror', qq{CREATE TABLE net.spaces (name text PRIMARY KEY); SELECT dbnet.mirror('prod', 'v1', 'Namespace', 'net.spaces', label_selector => $selector, columns => '{"name": "metadata.name"}')});
others_go_on('another server', $api->create_server('other'));
is($node->worker_pid('mirror worker'), $pid, 'all that was one worker');

# An undecided DROP EXTENSION: nobody may use the extension while it is open; after ROLLBACK all goes on.
my $session = $node->background_psql('postgres');
$session->query_safe('SET client_min_messages = warning; BEGIN; DROP EXTENSION dbnet CASCADE');
$api->expect_success($api->patch($mirrors->config_path('seen'), { data => { turn => 'dropped' } }));
$session->query_safe('ROLLBACK');
$session->quit;
$node->wait_for(q{SELECT live->'data'->>'turn' = 'dropped' FROM dbnet.object WHERE name = 'seen'}, 'after an undecided DROP EXTENSION all goes on');

# A mirror that cannot be read: its owner may not see all of its rows. The others' start-up compare happens.
$node->psql_ok(<<'SQL', 'row-level security that holds for the owner too');
CREATE ROLE owner LOGIN;
GRANT USAGE ON FOREIGN SERVER prod TO owner;
GRANT ALL ON SCHEMA net TO owner;
ALTER TABLE net.nodes OWNER TO owner;
ALTER TABLE net.nodes ENABLE ROW LEVEL SECURITY;
ALTER TABLE net.nodes FORCE ROW LEVEL SECURITY;
CREATE POLICY half ON net.nodes USING (note IS NULL);
SQL
cmp_ok($node->safe_psql('postgres', q{SELECT 'net.nodes'::regclass::oid}), '<', $node->safe_psql('postgres', q{SELECT 'net.configs'::regclass::oid}), 'it is looked at first');
my $process = $node->worker_pid('mirror worker');
kill('STOP', $process) or die $!;
$node->psql_ok(q{UPDATE net.configs SET data = '{"turn": "unseen"}' WHERE name = 'free'; UPDATE net.nodes SET unschedulable = NOT unschedulable}, 'writes that the worker does not live to see');
kill('KILL', $process) or die $!;
$node->worker_pid('mirror worker', other_than => $process);
$api->wait_for_object($mirrors->config_path('free'), sub { $_[0]{body}{data}{turn} eq 'unseen' });
pass('the compare of the good mirror finds what nobody told');
$api->expect_success($api->patch($mirrors->node_path('locked'), { metadata => { labels => { 'dbnet.io/turn' => 'secured' } } }));
$node->wait_for(qq{SELECT live->'metadata'->'labels'->>'dbnet.io/turn' = 'secured' FROM dbnet.object WHERE name = '$locked'}, 'what its objects are like is recorded all the same');
$node->wait_for(q{SELECT last_error LIKE '%row-level security%' FROM dbnet.worker WHERE process = 'mirror worker'}, 'and somebody says what is wrong');
$node->psql_ok('ALTER TABLE net.nodes NO FORCE ROW LEVEL SECURITY', 'mend it');
$api->wait_for_object($mirrors->node_path('locked'), sub { (($_[0]{body}{spec}{unschedulable} // 0) == 1) == ($turn % 2 == 0) });
pass('its compare is made up for');

# A mirror that is removed just when the worker tells how it is: nothing is left of it, and it can be made again.
my $mirror = qq{SELECT dbnet.mirror('prod', 'v1', 'Namespace', 'net.spaces', label_selector => $selector, columns => '{"name": "metadata.name"}')};
$node->psql_ok("CREATE TABLE net.spaces (name text PRIMARY KEY); $mirror; ALTER SYSTEM SET dbnet.report_lock_timeout = '60s'; SELECT pg_reload_conf()", 'a worker that waits for locks');
$node->wait_for(q{SELECT state FROM dbnet.mirror_state WHERE relation = 'net.spaces'::regclass}, 'it tells of a new mirror', expected => 'synced');
$session = $node->background_psql('postgres');
$session->query_safe(q{BEGIN; SELECT dbnet.unmirror('net.spaces')});
$node->psql_ok(q{ALTER SERVER prod OPTIONS (ADD offline 'true')}, 'what is to be told at once');
$node->wait_for(q{SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'dbnet mirror worker'}, 'the worker waits for who removes the mirror', expected => 'transactionid');
$session->query_safe('COMMIT');
$session->quit;
$node->psql_ok('ALTER SERVER prod OPTIONS (DROP offline)', 'what is to be told next');
$node->wait_for(q{SELECT string_agg(DISTINCT state, ' ') FROM dbnet.mirror_state WHERE relation <> 'net.spaces'::regclass}, 'it is told', expected => 'synced');
$node->query_is(q{SELECT count(*) FROM dbnet.mirror_state WHERE relation = 'net.spaces'::regclass}, '0', 'and nothing of what is gone');
$node->psql_ok($mirror, 'which can be made again');

$node->no_crash_in_log(except => qr/terminated by signal 9/);
done_testing();
