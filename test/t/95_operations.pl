# Operations on devices: cordon, evict, drain and restart are asked for in a transaction, carried out after its commit as
# kubectl would, and tell in rows how they go. Disruption budgets are respected; what forbids a drain is said in kubectl's
# words; a node's row that is deleted with the drain waits for it.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Mirrors;
use Test::More;

DBNet::Api::need('controllers');
my $node = DBNet::Cluster->started('operations');
my $api = DBNet::Api->start(pods_running => 1);
my $mirrors = DBNet::Mirrors->new($node, $api);
my $space = $api->namespace;
my $pods = "/api/v1/namespaces/$space/pods";
my $deployments = "/apis/apps/v1/namespaces/$space/deployments";
my $budgets = "/apis/policy/v1/namespaces/$space/poddisruptionbudgets";
my ($n1, $n2, $n3) = map { $api->name($_) } qw(n1 n2 n3);

sub template { my ($app, %spec) = @_;
    return { metadata => { labels => { app => $app } }, spec => { terminationGracePeriodSeconds => 1, containers => [ { name => 'app', image => 'registry.example/app:1' } ], %spec } } }

sub deploy { my ($app, $replicas, %spec) = @_;
    return $api->expect_success($api->create($deployments, { apiVersion => 'apps/v1', kind => 'Deployment', metadata => { name => $app },
        spec => { replicas => $replicas, selector => { matchLabels => { app => $app } }, template => template($app, %spec) } })) }

sub pods_of { my ($app) = @_; return @{ $api->get($pods, query => { labelSelector => "app=$app" })->{body}{items} } }

sub wait_for_pods { my ($app, $count, $on) = @_;
    return $api->wait_until(sub { my @pods = pods_of($app);
            return @pods == $count && @pods == grep { ($_->{spec}{nodeName} // '') =~ $on && grep { $_->{type} eq 'Ready' && $_->{status} eq 'True' } @{ $_->{status}{conditions} // [] } } @pods },
        "$count pods of $app run on $on") }

# What the statement returns: the id of an operation.
sub ask { my ($sql) = @_; return $node->safe_psql('postgres', "SELECT $sql") }
sub ends_as { my ($id, $state, $what) = @_; return $node->query_is("SELECT state FROM dbnet.wait_operation($id, '60 s')", $state, $what) }
sub message { my ($id) = @_; return $node->safe_psql('postgres', "SELECT message FROM dbnet.operation_status WHERE id = $id") }
sub becomes_like { my ($sql, $expected, $what) = @_;
    my $last = '';
    eval { $api->wait_until(sub { ($last = $node->safe_psql('postgres', $sql)) =~ $expected }, $what) } or diag($@ . $node->diagnostics);
    return like($last, $expected, $what) }
sub calls { my ($operation) = @_; return $node->safe_psql('postgres', "SELECT count(*) FROM dbnet.actuation WHERE operation = '$operation'") }

$node->psql_ok(qq{
    CREATE TABLE net.pods (name text PRIMARY KEY, node text, phase text);
    SELECT dbnet.mirror('prod', 'v1', 'Pod', 'net.pods', namespace => '$space', mode => 'manage', columns => '{
        "name": "metadata.name", "node": "spec.nodeName", "phase": "status.phase"}');
    CREATE TABLE net.deployments (name text PRIMARY KEY, replicas integer, paused boolean, available integer);
    SELECT dbnet.mirror('prod', 'apps/v1', 'Deployment', 'net.deployments', namespace => '$space', mode => 'manage', columns => '{
        "name": "metadata.name", "replicas": "spec.replicas", "paused": "spec.paused", "available": "status.availableReplicas"}')}, 'mirrors of pods and deployments');
$mirrors->wait_listed;
$api->create_node($_) for qw(n1 n2);
$node->wait_for(q{SELECT count(*) = 2 FROM net.nodes WHERE ready = 'True'}, 'two nodes');

# --- cordon: the row says so, and there is one truth ---
$node->query_is(qq{SELECT dbnet.cordon('net.nodes', '$n2') IS NULL}, 't', 'a mapped field is cordoned through its row');
$node->query_is(qq{SELECT unschedulable FROM net.nodes WHERE name = '$n2'}, 't', 'which says so');
is($mirrors->wait_synced, '', 'settled');
is($mirrors->node('n2')->{spec}{unschedulable}, JSON::PP::true, 'and the node is cordoned');
$node->query_is(q{SELECT string_agg(operation, ' ') FROM dbnet.actuation}, 'apply', 'by an apply, as for any change');
deploy('web', 2);
wait_for_pods('web', 2, qr/^\Q$n1\E$/);
$node->query_is(qq{SELECT dbnet.uncordon('net.nodes', '$n2') IS NULL}, 't', 'uncordon');
is($mirrors->wait_synced, '', 'settled');
$api->wait_for_object("/api/v1/nodes/$n2", sub { !$_[0]{body}{spec}{unschedulable} });

# --- a rolled back transaction asks for nothing ---
$node->psql_ok(qq{BEGIN; SELECT dbnet.drain('net.nodes', '$n1', pods => 'net.pods'); ROLLBACK}, 'a drain that is rolled back');
is($mirrors->wait_synced, '', 'settled');
$node->query_is('SELECT count(*) FROM dbnet.operation', '0', 'is not asked for');
ok(!$mirrors->node('n1')->{spec}{unschedulable}, 'nothing happened to the node');

# --- a drain that a disruption budget blocks, then lets go ---
$api->expect_success($api->create($budgets, { apiVersion => 'policy/v1', kind => 'PodDisruptionBudget', metadata => { name => 'web' },
    spec => { minAvailable => 2, selector => { matchLabels => { app => 'web' } } } }));
$api->wait_for_object("$budgets/web", sub { ($_[0]{body}{status}{currentHealthy} // 0) == 2 });

# A dry run first: the server is asked, and nothing is done, on record as a call, or in the plan of the commit.
sub dry_run { my ($options, $state, $expected, $what) = @_;
    my $id = ask(qq{dbnet.drain('net.nodes', '$n1', pods => 'net.pods', dry_run => true$options)});
    ends_as($id, $state, $what);
    like(message($id), $expected, 'in the server\'s words');
    return $id }
my $first = dry_run('', 'failed', qr{^0 pods would be evicted; \Q$space\E/web-\S+: Cannot evict pod as it would violate the pod's disruption budget\. The disruption budget web needs 2 healthy pods}, 'a dry run that a budget blocks');
$node->query_is(qq{SELECT string_agg(DISTINCT state || ' ' || reason, ',') FROM dbnet.operation_step WHERE operation = $first}, 'failed TooManyRequests', 'is not tried again');
my $second = dry_run(', disable_eviction => true', 'done', qr{^2 pods would be evicted$}, 'one past budgets');
$node->query_is(qq{SELECT string_agg(DISTINCT state || ' ' || message, ',') FROM dbnet.operation_step WHERE operation = $second}, 'skipped would be evicted', 'each pod says so');
dry_run(', pod_selector => \'app=other\'', 'done', qr{^0 pods would be evicted$}, 'one that selects none');
$node->query_is(qq{BEGIN; SELECT dbnet.drain('net.nodes', '$n1', pods => 'net.pods', dry_run => true) * 0; SELECT count(*) FROM dbnet.plan(); ROLLBACK}, "0\n0", 'the commit would send nothing');
is($mirrors->wait_synced, '', 'settled');
ok(!$mirrors->node('n1')->{spec}{unschedulable}, 'the node is not cordoned');
is(scalar(grep { !$_->{metadata}{deletionTimestamp} } pods_of('web')), 2, 'its pods run');
is(calls('evict') + calls('delete_pod') + calls('cordon'), 0, 'no call to a device is on record');
$node->query_is(qq{SELECT count(*) FROM dbnet.operation WHERE state IN ('waiting', 'running')}, '0', 'nothing is left open');

my $drain = ask(qq{dbnet.drain('net.nodes', '$n1', pods => 'net.pods', grace_period => '1 s')});
becomes_like(qq{SELECT message FROM dbnet.operation_status WHERE id = $drain}, qr{^0 of 2 pods gone; \Q$space\E/web-\S+: Cannot evict pod as it would violate the pod's disruption budget\. The disruption budget web needs 2 healthy pods and has 2 currently$}, 'a blocked drain says which budget blocks it');
$node->query_is(qq{SELECT state, pods, pods_gone, cardinality(pods_waiting), next_step LIKE 'Nothing: %' FROM dbnet.operation_status WHERE id = $drain}, 'running|2|0|2|t', 'and how far it is');
$node->query_is(qq{SELECT unschedulable FROM net.nodes WHERE name = '$n1'}, 't', 'the node is cordoned, through its row');
is(scalar(pods_of('web')), 2, 'no pod was touched');
$node->query_is(q{SELECT DISTINCT http_status, relation FROM dbnet.actuation WHERE operation = 'evict'}, '429|net.pods', 'the refused calls are on record, with the pods\' mirror');
is($mirrors->wait_synced, '', 'dbnet.wait_synced waits for rows alone');
$node->query_is("SELECT state FROM dbnet.wait_operation($drain, '0 s')", 'running', 'the drain goes on');
$node->wait_for(qq{SELECT bool_and(attempts > 1) FROM dbnet.operation_step WHERE operation = $drain}, 'it tries again');
$api->expect_success($api->patch("$budgets/web", { spec => { minAvailable => 1 } }));
ends_as($drain, 'done', 'when the budget allows it, the drain is done');
is(message($drain), '2 of 2 pods gone', 'all pods are gone');
wait_for_pods('web', 2, qr/^\Q$n2\E$/);
$node->query_is(qq{SELECT string_agg(DISTINCT state, ' ') FROM dbnet.operation_step WHERE operation = $drain}, 'gone', 'each pod says so');

# --- why ---
my $event = $node->safe_psql('postgres', q{SELECT max(id) FROM dbnet.actuation WHERE operation = 'evict' AND http_status = 201});
my $why = $node->safe_psql('postgres', "SELECT dbnet.why($event)");
like($why, qr{evict Pod \Q$space\E/web-.*→ 201}, 'why of an eviction begins with the call');
like($why, qr{INSERT dbnet\.operation $drain: drain net\.nodes \Q$n1\E, grace_period 1, pods "net\.pods"}, 'leads to the operation');
like($why, qr{SELECT dbnet\.drain\('net\.nodes', '\Q$n1\E'.*who .*postgres}s, 'and to the statement and who made it');

# --- evict ---
my ($pod) = map { $_->{metadata}{name} } pods_of('web');
my $evict = ask(qq{dbnet.evict('net.pods', '$pod')});
ends_as($evict, 'done', 'an eviction');
is($api->get("$pods/$pod")->{status}, 404, 'of a pod that is gone then');
$node->wait_for(qq{SELECT NOT EXISTS (SELECT FROM net.pods WHERE name = '$pod')}, 'as is its row');

# --- the refusals of kubectl drain ---
sub refused { my ($node_name, $options, $expected, $what) = @_;
    my $id = ask(qq{dbnet.drain('net.nodes', '$node_name', pods => 'net.pods'$options)});
    ends_as($id, 'failed', $what);
    like(message($id), $expected, 'in kubectl\'s words');
    return $id;
}
$api->expect_success($api->create($pods, { apiVersion => 'v1', kind => 'Pod', metadata => { name => 'bare', labels => { app => 'bare' } }, spec => { nodeName => $n1, %{ template('bare')->{spec} } } }));
wait_for_pods('bare', 1, qr/^\Q$n1\E$/);
refused($n1, '', qr{^cannot delete Pods that declare no controller \(use force => true to override\): \Q$space\E/bare$}, 'a pod that nobody will make anew');
is($api->get("$pods/bare")->{status}, 200, 'it is let be');
ends_as(ask(qq{dbnet.drain('net.nodes', '$n1', pods => 'net.pods', pod_selector => 'app=other')}), 'done', 'pods that the selector leaves out forbid nothing');
is($api->get("$pods/bare")->{status}, 200, 'and stay');
my $forced = ask(qq{dbnet.drain('net.nodes', '$n1', pods => 'net.pods', force => true)});
ends_as($forced, 'done', 'by force');
is($api->get("$pods/bare")->{status}, 404, 'it goes');

$node->query_is(qq{SELECT dbnet.uncordon('net.nodes', '$n1'), dbnet.cordon('net.nodes', '$n2')}, '|', 'the other node');
is($mirrors->wait_synced, '', 'settled');
deploy('cache', 1, volumes => [ { name => 'data', emptyDir => {} } ]);
wait_for_pods('cache', 1, qr/^\Q$n1\E$/);
refused($n1, '', qr{^cannot delete Pods with local storage \(use delete_emptydir_data => true to override\): \Q$space\E/cache-}, 'a pod with an emptyDir volume');
$api->expect_success($api->create("/apis/apps/v1/namespaces/$space/daemonsets", { apiVersion => 'apps/v1', kind => 'DaemonSet', metadata => { name => 'agent' },
    spec => { selector => { matchLabels => { app => 'agent' } }, template => template('agent') } }));
wait_for_pods('agent', 2, qr/^(?:\Q$n1\E|\Q$n2\E)$/);
refused($n1, ', delete_emptydir_data => true', qr{^cannot delete DaemonSet-managed Pods \(use ignore_daemonsets => true to ignore\): \Q$space\E/agent-}, 'a pod of a DaemonSet');
wait_for_pods('cache', 1, qr/^\Q$n1\E$/);
$node->query_is(qq{SELECT dbnet.uncordon('net.nodes', '$n2')}, '', 'room elsewhere');
is($mirrors->wait_synced, '', 'settled');
my $both = ask(qq{dbnet.drain('net.nodes', '$n1', pods => 'net.pods', delete_emptydir_data => true, ignore_daemonsets => true)});
ends_as($both, 'done', 'with both options');
wait_for_pods('cache', 1, qr/^\Q$n2\E$/);
$node->query_is(qq{SELECT state, message FROM dbnet.operation_step WHERE operation = $both AND name LIKE 'agent-%'}, 'skipped|ignoring DaemonSet-managed Pods', 'pods of DaemonSets stay');
$node->query_is(qq{SELECT state, message FROM dbnet.operation_step WHERE operation = $both AND name LIKE 'cache-%'}, 'gone|', 'the other is gone');

# --- time limit, cancellation, pause ---
$api->expect_success($api->patch("$budgets/web", { spec => { minAvailable => 2 } }));
$api->wait_for_object("$budgets/web", sub { $_[0]{body}{status}{disruptionsAllowed} == 0 && $_[0]{body}{status}{observedGeneration} == $_[0]{body}{metadata}{generation} });
($pod) = map { $_->{metadata}{name} } pods_of('web');
$api->expect_success($api->create($budgets, { apiVersion => 'policy/v1', kind => 'PodDisruptionBudget', metadata => { name => 'second' },
    spec => { minAvailable => 0, selector => { matchLabels => { app => 'web' } } } }));
my $confused = ask(qq{dbnet.evict('net.pods', '$pod')});
ends_as($confused, 'failed', 'two budgets for one pod');
like(message($confused), qr{This pod has more than one PodDisruptionBudget, which the eviction subresource does not support\.$}, 'are somebody\'s to mend');
$api->expect_success($api->delete("$budgets/second"));
my $late = ask(qq{dbnet.evict('net.pods', '$pod', timeout => '1 s')});
ends_as($late, 'failed', 'a time limit');
like(message($late), qr{^global timeout reached: 1 s; 0 of 1 pods gone; \Q$space\E/\Q$pod\E: Cannot evict pod}, 'says what it waited for');
my $given_up = ask(qq{dbnet.evict('net.pods', '$pod')});
$node->wait_for(qq{SELECT attempts > 0 FROM dbnet.operation_step WHERE operation = $given_up}, 'a blocked eviction');
$node->query_is("SELECT dbnet.cancel_operation($given_up)", 't', 'is given up');
$node->query_is("SELECT state, message FROM dbnet.operation_status WHERE id = $given_up", 'cancelled|cancelled by postgres', 'and says by whom');
$node->query_is("SELECT dbnet.cancel_operation($given_up)", 'f', 'once');
$api->expect_success($api->delete("$budgets/web"));
$node->psql_ok(q{SELECT dbnet.pause('prod', 'incident 42')}, 'pause');
my $calls = calls('evict');
my $paused = ask(qq{dbnet.evict('net.pods', '$pod')});
$node->wait_for("SELECT state || ': ' || message FROM dbnet.operation_status WHERE id = $paused", 'an operation waits for the end of a pause', expected => 'waiting: paused: server prod: incident 42');
is(calls('evict'), $calls, 'nothing was sent');
is($api->get("$pods/$pod")->{status}, 200, 'the pod is there, also that of the eviction that was given up');
$node->psql_ok(q{SELECT dbnet.resume('prod')}, 'resume');
ends_as($paused, 'done', 'then it is done');

# --- restart ---
$node->wait_for(q{SELECT available = 2 FROM net.deployments WHERE name = 'web'}, 'the deployment is well');
my %before = map { $_->{metadata}{uid} => 1 } pods_of('web');
ends_as(ask(q{dbnet.restart('net.deployments', 'web')}), 'done', 'a restart');
like($api->get("$deployments/web")->{body}{spec}{template}{metadata}{annotations}{'kubectl.kubernetes.io/restartedAt'}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'sets the annotation');
$api->wait_until(sub { my @now = pods_of('web'); return @now == 2 && !grep { $before{ $_->{metadata}{uid} } } @now }, 'and all pods are made anew');
$node->psql_ok(q{UPDATE net.deployments SET paused = true WHERE name = 'web'}, 'a paused deployment');
is($mirrors->wait_synced, '', 'settled');
my $restart = ask(q{dbnet.restart('net.deployments', 'web')});
ends_as($restart, 'failed', 'is not restarted');
like(message($restart), qr/^can't restart paused deployment \(run rollout resume first\)/, 'in kubectl\'s words');

# --- a node's row that is deleted with its drain ---
$node->psql_ok(q{SELECT dbnet.alter_mirror('net.nodes', delete_foreign => true)}, 'nodes that others have made may be deleted');
$node->query_is(qq{SELECT dbnet.uncordon('net.nodes', '$n1')}, '', 'room for what is drained next');
is($mirrors->wait_synced, '', 'settled');
$node->psql_ok(q{UPDATE net.deployments SET paused = false WHERE name = 'web'}, 'goes on');
$api->expect_success($api->create($budgets, { apiVersion => 'policy/v1', kind => 'PodDisruptionBudget', metadata => { name => 'all' },
    spec => { maxUnavailable => 0, selector => { matchLabels => { app => 'cache' } } } }));
$api->wait_for_object("$budgets/all", sub { ($_[0]{body}{status}{currentHealthy} // 0) == 1 });
my $options = q{pods => 'net.pods', delete_emptydir_data => true, ignore_daemonsets => true};
$node->psql_ok(qq{BEGIN; SELECT dbnet.drain('net.nodes', '$n2', $options); DELETE FROM net.nodes WHERE name = '$n2'; } . $mirrors->node_row('n3') . 'COMMIT',
    'one transaction drains a node, deletes it and makes another');
my $last = ask('max(id) FROM dbnet.operation');
$node->wait_for("SELECT message LIKE '%The disruption budget all%' FROM dbnet.operation_status WHERE id = $last", 'the drain is blocked');
$node->query_is(qq{SELECT phase, message FROM dbnet.object_status WHERE key = '$n2'}, "deleting|the object is to be drained first: operation $last is under way", 'the node waits for it');
is($mirrors->node('n2')->{spec}{unschedulable}, JSON::PP::true, 'cordoned');
$node->wait_for(qq{SELECT ready = 'True' FROM net.nodes WHERE name = '$n3'}, 'the other node is there');
$api->expect_success($api->delete("$budgets/all"));
ends_as($last, 'done', 'the budget is gone: the drain is done');
$api->wait_for_object("/api/v1/nodes/$n2", sub { $_[0]{status} == 404 });
pass('and then the node is deleted');
$node->query_is(q{SELECT string_agg(operation || ' ' || name, ', ' ORDER BY id) FROM (SELECT * FROM dbnet.actuation WHERE relation = 'net.nodes'::regclass ORDER BY id DESC LIMIT 1) AS a}, "delete $n2", 'last of all');

# --- the same with a drain that fails ---
$api->expect_success($api->create($pods, { apiVersion => 'v1', kind => 'Pod', metadata => { name => 'bare', labels => { app => 'bare' } }, spec => { nodeName => $n3, %{ template('bare')->{spec} } } }));
wait_for_pods('bare', 1, qr/^\Q$n3\E$/);
$node->psql_ok(qq{BEGIN; SELECT dbnet.drain('net.nodes', '$n3', ignore_daemonsets => true, delete_emptydir_data => true); DELETE FROM net.nodes WHERE name = '$n3'; COMMIT}, 'a drain that a pod forbids');
becomes_like('SELECT operation || chr(32) || first_keys[1] || chr(32) || reason FROM dbnet.held', qr{^delete \Q$n3\E the object is to be drained first: operation \d+ has not been done: cannot delete Pods that declare no controller}, 'the deletion is held');
is($api->get("/api/v1/nodes/$n3")->{status}, 200, 'the node is there');
$node->query_is('SELECT dbnet.approve(id) FROM dbnet.held', '1', 'somebody decides');
$api->wait_for_object("/api/v1/nodes/$n3", sub { $_[0]{status} == 404 });
pass('and the node goes');

# --- … and one that is given up while its node's row is deleted by another transaction ---
$api->create_node('n4');
my $n4 = $api->name('n4');
$node->wait_for(qq{SELECT ready = 'True' FROM net.nodes WHERE name = '$n4'}, 'one more node');
$node->psql_ok(q{SELECT dbnet.pause('net.nodes', 'to look')}, 'pause');
my $open = ask(qq{dbnet.drain('net.nodes', '$n4')});
$node->psql_ok(qq{DELETE FROM net.nodes WHERE name = '$n4'}, 'a row is deleted while its drain is open');
$node->query_is("SELECT dbnet.cancel_operation($open)", 't', 'the drain is given up');
$node->psql_ok(q{SELECT dbnet.resume('net.nodes')}, 'resume');
$node->wait_for('SELECT operation || chr(32) || first_keys[1] || chr(32) || reason FROM dbnet.held', 'the deletion is held', expected => "delete $n4 the object is to be drained first: operation $open has not been done: cancelled by postgres");
$node->query_is('SELECT dbnet.reject(id) FROM dbnet.held', '1', 'somebody decides');
$node->wait_for(qq{SELECT count(*) = 1 FROM net.nodes WHERE name = '$n4'}, 'and the row comes back');

# --- a mirror that is removed has no operations any more ---
$node->psql_ok(q{SELECT dbnet.pause('net.deployments', 'to look')}, 'pause');
my $orphan = ask(q{dbnet.restart('net.deployments', 'web')});
$node->wait_for("SELECT message FROM dbnet.operation_status WHERE id = $orphan", 'a restart waits', expected => 'paused: to look');
$node->psql_ok(q{SELECT dbnet.unmirror('net.deployments')}, 'its mirror is removed');
ends_as($orphan, 'failed', 'it has failed');
is(message($orphan), 'the table is no mirror any more', 'and says why');

$node->no_crash_in_log;
done_testing();
