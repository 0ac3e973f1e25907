# Example 1 of the paper: its policy on rows and objects, exactly; then `make demo`'s program as a whole: how it ends when
# all is well, when its set-up fails and when it is interrupted.
use strict;
use warnings FATAL => 'all';
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../demo';
use DBNet::Api;
use DBNet::Cluster;
use Encode ();
use Demo::Example1;
use IPC::Run ();
use JSON::PP ();
use Test::More;

my $api = DBNet::Api->start(pods_running => 1);
my $node = DBNet::Cluster->started('demo');
my $example = Demo::Example1->new($node, $api);
my $space = $api->namespace;
my $web = $api->name('web');

sub object { my ($path) = @_; return $api->expect_success($api->get($path)) }
sub weights { return JSON::PP::decode_json(object("/api/v1/namespaces/$space/services/web")->{metadata}{annotations}{'lb.example/weights'}) }
sub replicas { return object("/apis/apps/v1/namespaces/$space/deployments/web")->{spec}{replicas} }
sub nodes { return join ' ', sort map { $_->{metadata}{name} } @{ $api->expect_success($api->get('/api/v1/nodes', query => { labelSelector => $api->selector }))->{items} } }
sub names { return join ' ', map { "$web-$_" } @_ }

sub metrics_are {
    my ($expected, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $node->wait_for(q{SELECT concat_ws(' ', ingress_rps, capacity_rps, node_rps, pod_rps, nodes, cpu_percent, pods_ready)
        FROM net.load_balancers JOIN net.autoscalers USING (pool)}, $name, expected => $expected);
}

sub calls_are {
    my ($transaction, $expected, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($node->safe_psql('postgres', q{SELECT * FROM dbnet.wait_synced('60 s')}), '', 'all is settled');
    return $node->query_is("SELECT string_agg(concat_ws(' ', operation, relation, name, role, http_status), ', ' ORDER BY relation::text, name)
        FROM dbnet.actuation WHERE transaction = '$transaction'", $expected, $name);
}

# --- set-up ---
$example->set_up;
$example->insert_devices;
is(nodes(), names(1 .. 3), 'three Nodes are in the cluster');
is(replicas(), 3, 'and a Deployment of three pods');
is_deeply(weights(), { "$web-1" => 34, "$web-2" => 33, "$web-3" => 33 }, 'and a Service that spreads over them in whole percents');
metrics_are('0 360 0 0 3 0.0 3', 'no traffic');
$api->expect_success($api->create("/api/v1/namespaces/$space/services", { apiVersion => 'v1', kind => 'Service', metadata => { name => 'other' }, spec => { ports => [ { port => 80 } ] } }));
$node->wait_for(q{SELECT count(*) = 1 FROM net.load_balancers WHERE name = 'other' AND pool IS NULL}, 'a Service of others is seen, and none of the policy\'s business');

# --- as much as three nodes may carry ---
my $report = $example->send_traffic(360);
is_deeply($report->{notices}, [], 'as much as the nodes may carry: the policy says nothing');
metrics_are('360 360 120 120 3 71.7 3', 'the metrics are recalculated');
calls_are($report->{transaction}, '', 'nothing is sent');
$node->psql_ok('BEGIN; UPDATE net.nodes SET ingress_rps = 200; ROLLBACK', 'too much, in a transaction that is rolled back', role => 'telemetry');
metrics_are('360 360 120 120 3 71.7 3', 'is as if it had not been');
is(nodes(), names(1 .. 3), 'also in the cluster');

# --- more ---
$report = $example->send_traffic(384);
is_deeply($report->{notices}, ["pool $web: 3 nodes are not enough, provisioning $web-4"], 'more: the policy provisions a node');
calls_are($report->{transaction},
    "apply net.autoscalers web telemetry 200, apply net.load_balancers web telemetry 200, apply net.nodes $web-4 telemetry 201",
    'node, auto-scaler and load-balancer, all from this one transaction of role telemetry');
is(nodes(), names(1 .. 4), 'the Node is there');
is(object("/api/v1/nodes/$web-4")->{metadata}{labels}{pool}, $web, 'in the pool');
is(replicas(), 4, 'the Deployment has another replica');
is_deeply(weights(), { map { ("$web-$_" => 25) } 1 .. 4 }, 'the Service spreads over it');
metrics_are('384 480 96 96 4 57.3 4', 'when it is ready and its pod runs, the metrics count it') or diag($node->safe_psql('postgres', 'TABLE net.nodes; TABLE net.pods; TABLE metrics.history'));
$node->query_is("SELECT string_agg(concat_ws(' ', ingress_rps, capacity_rps, node_rps), ', ' ORDER BY at) FROM metrics.history WHERE transaction = '$report->{transaction}'",
    '384 360 128, 384 480 128', 'the history says why: traffic above capacity, then the capacity that the node adds');
$report = $example->send_traffic(384);
is_deeply($report->{rps}, { map { ("$web-$_" => 96) } 1 .. 4 }, 'the same traffic goes where the Service says');
is_deeply($report->{notices}, [], 'and is not too much any more');
calls_are($report->{transaction}, '', 'nothing is sent');

# --- much more: as many nodes as it takes, in one transaction, up to the maximum ---
$report = $example->send_traffic(610);
is_deeply($report->{notices}, [ map { "pool $web: $_ nodes are not enough, provisioning $web-" . ($_ + 1) } 4, 5 ], 'two nodes at once');
calls_are($report->{transaction}, 'apply net.autoscalers web telemetry 200, apply net.load_balancers web telemetry 200, '
      . "apply net.nodes $web-5 telemetry 201, apply net.nodes $web-6 telemetry 201", 'in four calls');
is_deeply(weights(), { (map { ("$web-$_" => 17) } 1 .. 4), (map { ("$web-$_" => 16) } 5, 6) }, 'shares that add up to 100');
metrics_are('610 720 102 102 6 60.5 6', 'and metrics');
$report = $example->send_traffic(800);
is_deeply($report->{notices}, ["pool $web has all of its 6 nodes and needs more"], 'no more than the maximum, and it says so');
calls_are($report->{transaction}, '', 'nothing is sent');
is(nodes(), names(1 .. 6), 'six Nodes');

# --- a node that goes ---
$example->send_traffic(300);
$node->psql_ok("DELETE FROM net.nodes WHERE name = '$web-6'", 'delete a node', role => 'sre');
is($node->safe_psql('postgres', q{SELECT * FROM dbnet.wait_synced('60 s')}), '', 'settled');
$node->query_is("SELECT nodes, capacity_rps FROM net.load_balancers JOIN net.autoscalers USING (pool)", '5|600', 'is not counted any more');

# --- rights ---
$node->fails_like($_->[0], '42501', qr/permission denied/, $_->[1], role => 'telemetry')
  for [ "INSERT INTO net.nodes (name) VALUES ('mine')", 'telemetry cannot make nodes' ], [ "UPDATE net.nodes SET labels = '{}'", 'nor change them' ],
  [ "CALL policy.scale_out('$web')", 'nor call the policy' ], [ 'DELETE FROM net.nodes', 'nor delete nodes' ];

$example->close;
$node->no_crash_in_log;
$node->stop;
$api->stop;

# --- the program ---
# Its exit status, and what it said.
sub run_demo {
    my ($name, $environment, $until) = @_;
    my $folder = PostgreSQL::Test::Utils::tempdir($name);
    local %ENV = (%ENV, TESTDIR => "$folder/data", TESTDATADIR => "$folder/data", TESTLOGDIR => "$folder/log", %$environment);
    my ($output, $errors) = ('', '');
    my $demo = IPC::Run::start([ $^X, "$DBNet::Environment::top/test/demo/run.pl" ], '<', '/dev/null', '>', \$output, '2>', \$errors, IPC::Run::timeout(300));
    if ($until) {
        $demo->pump until $output =~ $until || !$demo->pumpable;
        $demo->signal('INT');
    }
    $demo->finish;
    my @left = glob "$folder/data/tmp_check/*_data/* $folder/data/tmp_check/api_*";
    is("@left", '', "$name: no data is left");
    return ($demo->full_result >> 8, $output . $errors);
}

my ($status, $said) = run_demo('good', {});
is($status, 0, 'the demo ends well') or diag($said);
like($said, qr/^    CREATE TRIGGER overload\n.*^ +1 +create +net\.nodes +web-4 +labels\n.*^    procedure policy\.scale_out.*^    NOTICE: pool .*provisioning web-4\n.*-> apply Node web-4: labels\n.*\d ms of \d+\.\d{3} s, .* device +apply Node web-4: .* row +INSERT net\.nodes web-4: .* trigger +overload on net\.load_balancers, .* row +UPDATE net\.load_balancers web: ingress_rps 345 .* who +telemetry, .*<- 201 for evict Pod web-.*the drain is done: 1 of 1 pods gone.*<- 200 for delete Node web-2 .* policy +node .* on node web-2: .* trace +/ms, 'and has told the story');
is(join('', grep { length(Encode::decode('UTF-8', $_)) > 100 } split /\n/, $said), '', 'in lines of at most 100 columns');
unlike($said, qr/\e|at \S+ line \d+/, 'without colours and without warnings');
($status, $said) = run_demo('failing', { KUBEBUILDER_ASSETS => '/nonexistent', USE_EXISTING_CLUSTER => '' });
is($status, 1, 'a set-up that fails is its failure');
like($said, qr{^The demo failed: KUBEBUILDER_ASSETS holds no etcd\nLogs: }m, 'and it says why');
($status, $said) = run_demo('interrupted', {}, qr/^2\. /m);
is($status, 130, 'an interrupt ends it');
like($said, qr/^Interrupted; cleaning up\.\n\z/m, 'and it says so');

done_testing();
