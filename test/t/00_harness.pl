# The harness itself: what every other test program here relies on.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use IPC::Run ();
use Test::More;

# --- what tests may ask for ---
{
    local $ENV{DBNET_REQUIRE} = 'kubectl,binaries';
    ok(DBNet::Need::is_required('binaries'), 'DBNET_REQUIRE names it');
    ok(!DBNet::Need::is_required('simulator'), 'DBNET_REQUIRE does not name it');
    local @ENV{qw(USE_EXISTING_CLUSTER DBNET_TEST_CONTEXT KUBEBUILDER_ASSETS KUBECONFIG)} = ('', '', '', '/nonexistent');
    is(DBNet::Need::kind(), 'simulator', 'a bare KUBECONFIG selects nothing');
    ok(!eval { DBNet::Need::need('binaries'); 1 } && $@ =~ /^DBNET_REQUIRE names 'binaries', but KUBEBUILDER_ASSETS/,
        'what is required and missing is an error, not a skip');
    $ENV{DBNET_TEST_CONTEXT} = 'prod';
    is(DBNet::Need::kind(), 'simulator', 'a context alone selects no existing cluster');
    $ENV{USE_EXISTING_CLUSTER} = 'true';
    is(DBNet::Need::kind(), 'cluster', 'both variables together do');
    $ENV{DBNET_TEST_CONTEXT} = '';
    ok(!eval { DBNet::Need::kind(); 1 }, 'USE_EXISTING_CLUSTER without a context is an error');
}

# A whole program that needs what is not there: skipped and counted, or failed when it is required.
for my $case ([ '', qr/^1\.\.0 # SKIP needs existing_cluster: USE_EXISTING_CLUSTER=true/, 0 ], [ 'existing_cluster', qr/^\z/, 1 ], [ 'kubectl,all', qr/^\z/, 1 ]) {
    my ($required, $expected, $fails) = @$case;
    local $ENV{DBNET_REQUIRE} = $required;
    local @ENV{qw(USE_EXISTING_CLUSTER DBNET_TEST_CONTEXT)} = ('', '');
    my ($output, $errors) = ('', '');
    IPC::Run::run([ $^X, '-MDBNet::Need', '-e', q{DBNet::Need::need('existing_cluster'); print 'goes on'} ], '>', \$output, '2>', \$errors);
    like($output, $expected, "DBNET_REQUIRE=$required: what a program says");
    is($? ? 1 : 0, $fails, 'and how it ends');
}
DBNet::Need::may_need('faults');
ok(DBNet::Need::is_declared('faults') && !DBNet::Need::is_declared('kubectl'), 'what a program has asked for');

# --- the API ---
my $api = DBNet::Api->start(node_ready_delay_ms => 10);
like($api->url, qr{^https://}, 'an API server with TLS: ' . $api->kind . ' at ' . $api->url);
is($api->get('/api/v1/namespaces/' . $api->namespace)->{body}{metadata}{labels}{ $api->label_key }, $api->namespace,
    'the namespace of this run carries its label');
is($api->create_node('n1', labels => { zone => 'a' })->{kind}, 'Node', 'a Node is created');
$api->wait_until(sub { $api->node_ready('n1') eq 'True' }, 'the Node is Ready');
pass('a created Node becomes Ready');
my $maps = '/api/v1/namespaces/' . $api->namespace . '/configmaps';
my $map = { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'm' }, data => { a => '1' } };
is($api->apply("$maps/m", $map)->{status}, 201, 'server-side apply creates');
is($api->apply("$maps/m", $map)->{status}, 200, 'server-side apply again changes nothing');
is($api->patch("$maps/m", { data => { b => '2' } })->{body}{data}{b}, '2', 'merge patch');
my $missing = $api->get("$maps/none");
is("$missing->{status} $missing->{body}{reason}", '404 NotFound', 'an absent object is 404 NotFound');
is($api->delete("$maps/m")->{status}, 200, 'delete');
like($api->server_options(context => q{it's}), qr/^OPTIONS \(context 'it''s', kubeconfig '[^']+'\)$/, 'the options of CREATE SERVER');

SKIP: {
    DBNet::Need::or_skip('kubectl');
    my ($status, $output, $errors) = $api->kubectl('get', 'node', $api->name('n1'), '-o', 'jsonpath={.metadata.labels.zone}');
    is("$status $output $errors", '0 a ', 'kubectl get');
    my $yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: k\ndata:\n  a: '1'\n";
    ($status, $output, $errors) = $api->kubectl('-n', $api->namespace, 'apply', '--server-side', '-f', '-', \$yaml);
    is("$status $output $errors", "0 configmap/k serverside-applied\n ", 'kubectl apply --server-side');
}

SKIP: {
    DBNet::Need::or_skip('own_servers');
    my $before = $api->request_position;
    $api->apply("$maps/counted", $map) for 1 .. 2;
    $api->get("$maps/counted");
    my @requests = $api->requests(since => $before, method => 'PATCH', path => qr{/configmaps/counted}, agent => qr/^curl/);
    is(scalar @requests, 2, 'the requests that a server has had');
    like($requests[0]{path}, qr{^\Q$maps\E/counted\?fieldManager=test$}, 'with path and query');
    cmp_ok(abs($requests[0]{time} - time), '<', 600, 'and time');
    is(scalar $api->requests, 0, 'those of the harness itself are left out');
    $api->freeze;
    is($api->get('/version', timeout => 1)->{status}, 0, 'a frozen server does not answer');
    $api->thaw;
    is($api->get('/version')->{status}, 200, 'a thawed one does');
}

SKIP: {
    DBNet::Need::or_skip('faults');
    $api->fault({ path => '/version', status => 418, count => 2 });
    is($api->get('/version')->{status}, 418, 'a fault');
    is($api->direct->get('/version')->{status}, $api->{proxy} ? 200 : 418, $api->{proxy} ? 'of the proxy, not of what is behind it' : 'of the simulator');
    $api->no_faults;
    is($api->get('/version')->{status}, 200, 'no fault');
}

SKIP: {
    DBNet::Need::or_skip('controllers');
    my $path = '/api/v1/namespaces/' . $api->namespace;
    is($api->delete($path)->{body}{status}{phase}, 'Terminating', 'a deleted namespace is Terminating first');
    $api->wait_for_object($path, sub { $_[0]{status} == 404 });
    pass('then it is gone');
}

$api->stop;
if ($api->kind eq 'cluster') {
    is($api->get('/api/v1/nodes/' . $api->name('n1'))->{status}, 404, 'what the run made in an existing cluster is gone');
} else {
    is($api->get('/readyz', timeout => 2)->{status}, 0, 'a stopped API server does not answer');
}

# --- PostgreSQL ---
my $node = DBNet::Cluster->started('main');
$node->query_is('SHOW shared_preload_libraries', 'dbnet', 'DBNet is preloaded');
$node->query_is('SHOW wal_level', 'replica', 'with the wal_level a server has by default');
$node->query_is(q{SELECT extname FROM pg_extension WHERE extname = 'dbnet'}, 'dbnet', 'the extension is created');
is($node->psql_ok('SELECT 1 AS one', 'SQL that succeeds'), '1', 'and its output');
$node->fails_like('SELECT 1 / 0', '22012', qr/division by zero/, 'SQL that fails with the expected SQLSTATE');
my $position = $node->log_position;
my $session = $node->background_psql('postgres');
$session->query_safe('CREATE TABLE t (a int)');
$node->wait_for(q{SELECT to_regclass('t') IS NOT NULL}, 'a wait that ends');
$session->quit;
$node->log_like(qr/CREATE TABLE t/, $position, 'the log since a position');
like($node->worker_pid('launcher'), qr/^\d+$/, 'the pid of a worker');
$node->no_crash_in_log;
$node->safe_psql('postgres', q{DO $$ BEGIN RAISE LOG 'TRAP: a made-up failure'; END $$});
is(scalar(() = $node->crashes_in_log), 1, 'a failed assertion in the log is noticed');
$node->no_crash_in_log(except => qr/made-up failure/);

done_testing();
