# Sessions beside each other and beside the worker: what they do to one row, one mirror and the extension at the same time
# ends as if they had done it one after the other, and the objects are what the rows say.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

my $node = DBNet::Cluster->started('concurrent_sessions', conf => "dbnet.hold_objects = 1000\ndbnet.hold_minimum = 1000\ndeadlock_timeout = '100ms'");
my $api = DBNet::Api->start;
my $mirrors = DBNet::Mirrors->new($node, $api);
my $pid = $node->worker_pid('mirror worker');
my @sessions = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 2;

# Starts SQL in a session without waiting for its end; finish() waits for it and returns what it said.
sub start { my ($session, $sql) = @_; $session->{stdin} .= "$sql\n\\echo finished\n"; $session->{run}->pump_nb; return }
sub is_blocked {
    my ($what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $node->wait_for(q{SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND backend_type = 'client backend'}, $what);
}
sub finish { my ($session) = @_; return $session->query_until(qr/finished/, '') }

$node->psql_ok(join('', map { $mirrors->config_row("c$_", { turn => '0' }) } 1 .. 5), 'rows');
is($mirrors->wait_synced, '', 'settled');

# --- one row: an open UPDATE of a session, a report, and another session that waits ---
$sessions[0]->query_safe(q{BEGIN; UPDATE net.configs SET data = '{"turn": "1"}' WHERE name = 'c1'});
start($sessions[1], q{UPDATE net.configs SET data = data || '{"second": "1"}' WHERE name = 'c1';});
is_blocked('a second session waits for the row');
$api->expect_success($api->patch($mirrors->config_path('c1'), { metadata => { labels => { 'dbnet.io/reported' => 'yes' } } }));
$node->wait_for(q{SELECT live->'metadata'->'labels'->>'dbnet.io/reported' = 'yes' FROM dbnet.object WHERE name = 'c1'}, 'the report is recorded meanwhile');
$sessions[0]->query_safe('COMMIT');
finish($sessions[1]);
is($mirrors->wait_synced =~ s/^net\.configs\|\S+\|drifted\|.*$//mr, '', 'all is settled');
is_deeply($mirrors->config('c1')->{data}, { turn => '1', second => '1' }, 'both changes arrived');
is($mirrors->config('c1')->{metadata}{labels}{'dbnet.io/reported'}, 'yes', 'and what somebody else added stayed');

# --- the same column of a row that nobody claimed: the user's word counts, whoever comes first ---
$api->expect_success($api->create('/api/v1/namespaces/' . $api->namespace . '/configmaps', { metadata => { name => 'theirs', labels => $api->labels }, data => { a => '1' } }));
$node->wait_for(q{SELECT count(*) = 1 FROM net.configs WHERE name = 'theirs'}, 'an object of somebody else');
$sessions[0]->query_safe(q{BEGIN; UPDATE net.configs SET data = '{"a": "mine"}' WHERE name = 'theirs'});
$api->expect_success($api->patch($mirrors->config_path('theirs'), { data => { a => '2' } }));
$node->wait_for(q{SELECT live->'data'->>'a' = '2' FROM dbnet.object WHERE name = 'theirs'}, 'it changes while a session writes it');
$sessions[0]->query_safe('COMMIT');
$api->wait_for_object($mirrors->config_path('theirs'), sub { $_[0]{body}{data}{a} eq 'mine' });
pass('the row of the session is what arrives');
$node->query_is(q{SELECT data->>'a' FROM net.configs WHERE name = 'theirs'}, 'mine', 'no report has written over it');

# --- a storm: updates of sessions and of the server, all of five rows ---
my @storm = map {
    my $session = $_;
    join '', map { "UPDATE net.configs SET data = jsonb_build_object('turn', '$_', 'session', '$session') WHERE name = 'c" . (1 + $_ % 5) . "';\n" } 1 .. 100
} 0 .. 1;
start($sessions[$_], $storm[$_]) for 0 .. 1;
for my $round (1 .. 20) {
    $api->expect_success($api->patch($mirrors->config_path('c' . (1 + $round % 5)), { metadata => { labels => { 'dbnet.io/round' => "$round" } } }));
}
finish($_) for @sessions;
$node->wait_for(q{SELECT count(*) = 0 FROM net.configs AS c JOIN dbnet.object AS o ON o.name = c.name AND o.relation = 'net.configs'::regclass WHERE o.live->'data' IS DISTINCT FROM c.data},
    'after a storm of updates the objects are what the rows say');

# --- INSERT and TRUNCATE ---
$sessions[0]->query_safe('BEGIN; ' . $mirrors->config_row('t1', { a => '1' }));
start($sessions[1], 'TRUNCATE net.nodes, net.configs;');
is_blocked('TRUNCATE waits for an INSERT');
$sessions[0]->query_safe('COMMIT');
finish($sessions[1]);
$sessions[0]->query_safe($mirrors->config_row('t2', { a => '1' }));
$api->wait_for_object($mirrors->config_path('t2'), sub { $_[0]{status} == 200 });
is($api->get($mirrors->config_path('c2'))->{status}, 200, 'TRUNCATE has deleted no object');
$node->query_is('SELECT count(*) FROM dbnet.tombstone', '0', 'and left no tombstone');

# --- two sessions and one mirror ---
$sessions[0]->query_safe(q{BEGIN; SELECT dbnet.alter_mirror('net.nodes', on_drift => 'enforce')});
start($sessions[1], q{SELECT dbnet.alter_mirror('net.nodes', mode => 'observe');});
is_blocked('two alter_mirror: the second waits');
$sessions[0]->query_safe('COMMIT');
finish($sessions[1]);
$node->query_is(q{SELECT on_drift, mode FROM dbnet.mirrored_relation WHERE relation = 'net.nodes'::regclass}, 'enforce|observe', 'both are in force');
$sessions[0]->query_safe(q{BEGIN; SELECT dbnet.unmirror('net.nodes')});
start($sessions[1], q{SELECT dbnet.unmirror('net.nodes');});
is_blocked('two unmirror: the second waits');
$sessions[0]->query_safe('COMMIT');
finish($sessions[1]);
like($sessions[1]->{stderr}, qr/ERROR: .*net\.nodes.* is (?:no|not a) mirror/, 'and is told that there is no mirror any more');
$sessions[1]->{stderr} = '';
$node->query_is(q{SELECT count(*) FROM dbnet.mirrored_relation}, '1', 'one mirror is left');
$sessions[0]->query_safe('BEGIN; ' . $mirrors->config_row('u1', { a => '1' }));
start($sessions[1], q{SELECT dbnet.unmirror('net.configs');});
is_blocked('unmirror waits for who writes');
$sessions[0]->query_safe('COMMIT');
finish($sessions[1]);
$node->query_is(q{SELECT count(*) FROM dbnet.object}, '0', 'nothing of it is left');
is($node->worker_pid('mirror worker'), $pid, 'all that was one worker');

# --- DROP EXTENSION with sessions in the middle of writes ---
my $columns = '{"name": "metadata.name", "labels": "metadata.labels", "data": "data"}';
my $mirror = "SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.configs', mode => 'manage', initial => 'push', namespace => '" . $api->namespace . "', label_selector => "
  . DBNet::Api::quote($api->selector) . ", columns => '$columns')";
$node->psql_ok($mirror, 'mirror again');
$mirrors->wait_listed;
$sessions[0]->query_safe('BEGIN; ' . $mirrors->config_row('d1', { a => '1' }));
start($sessions[1], 'SET client_min_messages = warning; DROP EXTENSION dbnet CASCADE;');
is_blocked('DROP EXTENSION waits for who writes a mirror');
$sessions[0]->query_safe('COMMIT');
finish($sessions[1]);
$node->query_is(q{SELECT count(*) FROM pg_extension WHERE extname = 'dbnet'}, '0', 'then it is gone');
$node->query_is(q{SELECT count(*) FROM net.configs WHERE name = 'd1'}, '1', 'the row is there');
$sessions[0]->query_safe($mirrors->config_row('d2', { a => '1' }));
pass('and the table is an ordinary one');
$node->psql_ok('CREATE EXTENSION dbnet; ' . $api->create_server('prod') . $mirror, 'all of it anew');
$mirrors->wait_listed;
$api->wait_for_object($mirrors->config_path('d2'), sub { $_[0]{status} == 200 });
pass('what was written meanwhile arrives');

$_->quit for @sessions;
$node->no_crash_in_log;
done_testing();
