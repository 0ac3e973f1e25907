# Operations survive what may happen to the worker: kill -9 in the middle of a drain, answers that get lost, servers that
# fail for a while, pods that were replaced. What the server has accepted already is no error, and nothing is done twice.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Mirrors;
use Test::More;

DBNet::Api::need('controllers');
DBNet::Api::need('faults');
my $node = DBNet::Cluster->started('operations_kill', conf => "restart_after_crash = on\n");
my $api = DBNet::Api->start(pods_running => 1, proxy => 1);
my $mirrors = DBNet::Mirrors->new($node, $api);
my $space = $api->namespace;
my $pods = "/api/v1/namespaces/$space/pods";
my $budgets = "/apis/policy/v1/namespaces/$space/poddisruptionbudgets";
my ($n1, $n2) = map { $api->name($_) } qw(n1 n2);
$api->create_node($_) for qw(n1 n2);
$node->wait_for(q{SELECT count(*) = 2 FROM net.nodes WHERE ready = 'True'}, 'two nodes');

sub pods_of { return @{ $api->get($pods, query => { labelSelector => 'app=web' })->{body}{items} } }
sub wait_for_pods { my ($count, $on) = @_;
    return $api->wait_until(sub { my @pods = pods_of();
            return @pods == $count && @pods == grep { ($_->{spec}{nodeName} // '') eq $on && grep { $_->{type} eq 'Ready' && $_->{status} eq 'True' } @{ $_->{status}{conditions} // [] } } @pods },
        "$count pods run on $on") }
sub kill_worker {
    my $before = $node->safe_psql('postgres', q{SELECT pid FROM dbnet.worker WHERE process LIKE '%mirror%'});
    kill 'KILL', $before;
    return $node->poll_query_until('postgres', qq{SELECT count(*) = 1 FROM dbnet.worker WHERE process LIKE '%mirror%' AND pid <> $before AND state = 'running'}) }
sub switch_nodes { my ($from, $to) = @_;
    $node->psql_ok("SELECT dbnet.uncordon('net.nodes', '$to')", "room on $to");
    return $mirrors->wait_synced }

$node->psql_ok(qq{SELECT dbnet.cordon('net.nodes', '$n2')}, 'all go to the first');
is($mirrors->wait_synced, '', 'settled');
$api->expect_success($api->create("/apis/apps/v1/namespaces/$space/deployments", { apiVersion => 'apps/v1', kind => 'Deployment', metadata => { name => 'web' },
    spec => { replicas => 3, selector => { matchLabels => { app => 'web' } }, template => { metadata => { labels => { app => 'web' } },
            spec => { terminationGracePeriodSeconds => 1, containers => [ { name => 'app', image => 'registry.example/app:1' } ] } } } }));
wait_for_pods(3, $n1);
$api->expect_success($api->create($budgets, { apiVersion => 'policy/v1', kind => 'PodDisruptionBudget', metadata => { name => 'web' },
    spec => { minAvailable => 3, selector => { matchLabels => { app => 'web' } } } }));
$api->wait_for_object("$budgets/web", sub { ($_[0]{body}{status}{currentHealthy} // 0) == 3 });
is(switch_nodes($n1, $n2), '', 'settled');

# --- kill -9 while a budget blocks, and again while the pods go ---
my $drain = $node->safe_psql('postgres', "SELECT dbnet.drain('net.nodes', '$n1')");
$node->wait_for("SELECT count(*) = 3 AND bool_and(attempts > 0) FROM dbnet.operation_step WHERE operation = $drain", 'a drain is under way');
ok(kill_worker(), 'the worker is killed');
my $uids = join ' ', sort map { $_->{metadata}{uid} } pods_of();
$node->wait_for(qq{SELECT state || ' ' || pods FROM dbnet.operation_status WHERE id = $drain}, 'the state is there', expected => 'running 3');
$node->query_is("SELECT string_agg(uid, ' ' ORDER BY uid COLLATE \"C\") FROM dbnet.operation_step WHERE operation = $drain", $uids, 'with its pods');
$api->expect_success($api->patch("$budgets/web", { spec => { minAvailable => 2 } }));
$node->wait_for("SELECT count(*) > 0 FROM dbnet.operation_step WHERE operation = $drain AND state IN ('terminating', 'gone')", 'it goes on');
ok(kill_worker(), 'killed once more');
# A real server that is cut off between budget and pod counts the pod as disrupted for two minutes.
$node->query_is("SELECT state FROM dbnet.wait_operation($drain, '300 s')", 'done', 'it is done all the same', timeout => 400);
$node->query_is("SELECT count(*) FROM dbnet.operation_step WHERE operation = $drain AND state = 'gone'", '3', 'all pods are gone');
wait_for_pods(3, $n2);
is($node->safe_psql('postgres', 'SELECT count(*) FROM dbnet.operation'), '1', 'one operation');

# --- an eviction that was accepted and whose answer got lost ---
$api->expect_success($api->delete("$budgets/web"));
is(switch_nodes($n2, $n1), '', 'settled');
$api->fault({ action => 'reset_after', method => 'POST', path => '/eviction', count => 2 }, { method => 'POST', path => '/eviction', status => 503, body => 'busy', count => 1 });
my $lossy = $node->safe_psql('postgres', "SELECT dbnet.drain('net.nodes', '$n2')");
$node->query_is("SELECT state, message FROM dbnet.wait_operation($lossy, '60 s')", 'done|3 of 3 pods gone', 'lost answers and a busy server are no errors');
wait_for_pods(3, $n1);

# --- a pod that was replaced by another of its name ---
$api->no_faults;
$api->expect_success($api->create($pods, { apiVersion => 'v1', kind => 'Pod', metadata => { name => 'one' }, spec => { nodeName => $n2, terminationGracePeriodSeconds => 0,
    containers => [ { name => 'app', image => 'registry.example/app:1' } ] } }));
$api->fault({ method => 'POST', path => '/one/eviction', status => 429, count => -1,
    body => { kind => 'Status', apiVersion => 'v1', status => 'Failure', reason => 'TooManyRequests', code => 429, message => 'Cannot evict pod as it would violate the pod\'s disruption budget.',
        details => { causes => [ { reason => 'DisruptionBudget', message => 'made up' } ] } } });
my $replaced = $node->safe_psql('postgres', "SELECT dbnet.drain('net.nodes', '$n2', force => true)");
$node->wait_for("SELECT message LIKE '%made up' FROM dbnet.operation_status WHERE id = $replaced", 'an eviction waits');
$api->expect_success($api->delete("$pods/one", query => { gracePeriodSeconds => 0 }));
$api->wait_for_object("$pods/one", sub { $_[0]{status} == 404 });
$api->expect_success($api->create($pods, { apiVersion => 'v1', kind => 'Pod', metadata => { name => 'one' }, spec => { nodeName => $n1,
    containers => [ { name => 'app', image => 'registry.example/app:1' } ] } }));
$api->no_faults;
$node->query_is("SELECT state FROM dbnet.wait_operation($replaced, '60 s')", 'done', 'its pod is gone');
is($api->get("$pods/one")->{status}, 200, 'and the new one of its name is let be');

# --- dbnet.actuate = off, a fast restart ---
$node->append_conf('postgresql.conf', 'dbnet.actuate = off');
$node->reload;
$node->wait_for('SELECT NOT current_setting($$dbnet.actuate$$)::boolean', 'nothing may be sent');
my $off = $node->safe_psql('postgres', "SELECT dbnet.drain('net.nodes', '$n1', force => true)");
$node->wait_for("SELECT state || ': ' || message FROM dbnet.operation_status WHERE id = $off", 'an operation waits', expected => 'waiting: dbnet.actuate is off');
$node->append_conf('postgresql.conf', 'dbnet.actuate = on');
$node->restart;
$node->query_is("SELECT state FROM dbnet.wait_operation($off, '60 s')", 'done', 'after the restart it is done');

# --- many at once are held ---
$node->psql_ok('ALTER SYSTEM SET dbnet.hold_minimum = 2; SELECT pg_reload_conf()', 'a low limit');
$node->wait_for(q{SELECT current_setting('dbnet.hold_minimum') = '2'}, 'is read');
$node->psql_ok('SELECT dbnet.drain($$net.nodes$$, name) FROM net.nodes', 'all nodes are drained in one statement');
$node->wait_for(q{SELECT operation || ' ' || objects FROM dbnet.held}, 'they are held', expected => 'drain 2');
$node->query_is(q{SELECT DISTINCT state, next_step FROM dbnet.operation_status WHERE finished_at IS NULL}, 'waiting|Decide with dbnet.approve() or dbnet.reject(); see dbnet.held.', 'and say what to do');
$node->query_is('SELECT dbnet.reject(id) FROM dbnet.held', '2', 'rejected');
$node->wait_for(q{SELECT string_agg(DISTINCT state || ' ' || message, ', ') FROM dbnet.operation_status WHERE id > (SELECT max(id) - 2 FROM dbnet.operation)}, 'they are given up', expected => 'cancelled rejected by postgres');
$node->psql_ok('SELECT dbnet.drain($$net.nodes$$, name, force => true) FROM net.nodes', 'once more');
$node->wait_for(q{SELECT count(*) = 1 FROM dbnet.held}, 'held');
$node->query_is('SELECT dbnet.approve(id) FROM dbnet.held', '2', 'approved');
$node->wait_for(q{SELECT string_agg(DISTINCT state, ' ') FROM dbnet.operation_status WHERE id > (SELECT max(id) - 2 FROM dbnet.operation)}, 'they are done', expected => 'done');
$node->query_is('SELECT count(*) FROM dbnet.held_change', '0', 'nothing is held any more');
done_testing();
