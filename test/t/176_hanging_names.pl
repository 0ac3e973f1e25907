# The name of an API server that nobody resolves, nor says that there is no such name: libcurl asks in a thread, which waits
# for minutes and cannot be ended. Nobody waits for that thread: neither the worker, which has another server to look after,
# nor who stops it, nor a session that has asked for the server.
use DBNet::OwnNetwork;
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::NearAndFar;
use Test::More;

DBNet::Need::need('own_servers', 'own_network', 'own_names');
DBNet::OwnNetwork::names('far.example');
my $api = DBNet::Api->start(nodes_ready => 0, controllers => 0, proxy => 0);
my $node = DBNet::Cluster->started('hanging_names', conf => 'dbnet.lease_duration = 3');
my $space = $api->namespace;

DBNet::NearAndFar::set_up($node, $api, PostgreSQL::Test::Utils::slurp_file($api->kubeconfig) =~ s{^(\s*)server: "?https://[^:]*:(\d+)"?$}{$1server: https://far.example:$2\n$1tls-server-name: localhost}mr, lease_namespace => $space);

# Threads of a process that look names up: all but the first one.
sub lookups { my ($pid) = @_; return grep { !m{/$pid$} } glob "/proc/$pid/task/*" }
sub hangs { my ($pid, $name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $api->wait_until(sub { lookups($pid) > 0 }, $name) }
my $turn = 0;
sub near_goes_on {
    my ($name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $turn++;
    $node->psql_ok(qq{INSERT INTO net.near (name) SELECT 'turn-$turn-' || n FROM generate_series(1, 100) AS n}, "$name: rows of the other server");
    return $node->wait_for(qq{SELECT count(*) FROM dbnet.object WHERE relation = 'net.near'::regclass AND phase = 'synced' AND name LIKE 'turn-$turn-%'}, 'are sent', expected => 100);
}
sub lease { my ($held) = grep { $_->{metadata}{annotations}{'dbnet.io/server'} eq 'near' } @{ $api->expect_success($api->get("/apis/coordination.k8s.io/v1/namespaces/$space/leases"))->{items} }; return $held->{spec} }

# --- the name goes; what is under way at the other server never waits for the lookups. A worker that begins knows no address. ---
DBNet::OwnNetwork::names();
$node->restart;
my $worker = $node->worker_pid('mirror worker');
$node->psql_ok(q{INSERT INTO net.far (name) SELECT 'far-' || n FROM generate_series(1, 100) AS n}, 'rows of the one');
hangs($worker, 'lookups hang');
near_goes_on('from the start');
my $held = lease();
# After 10 s.
$node->wait_for(q{SELECT state = 'degraded' AND message LIKE '%far.example%Resolving timed out%' FROM dbnet.mirror_status WHERE server = 'far'}, 'the mirror says so');
$node->wait_for(q{SELECT count(*) FROM dbnet.object WHERE relation = 'net.far'::regclass AND phase = 'pending' AND message LIKE '%Resolving timed out%'}, 'so does each row', expected => 100);
hangs($worker, 'they were given up, and hang still');
for my $round (1 .. 5) {
    near_goes_on("round $round");
    my $renewed = lease()->{renewTime};
    $api->wait_until(sub { lease()->{renewTime} gt $renewed }, 'its lease is renewed');
}
is_deeply([ @{ lease() }{qw(holderIdentity acquireTime leaseTransitions)} ], [ @$held{qw(holderIdentity acquireTime leaseTransitions)} ], 'and was never lost');
is($node->worker_pid('mirror worker'), $worker, 'all by one worker');
note(scalar(lookups($worker)) . ' lookups hang');

# --- sessions ---
$node->query_is(q{SELECT state, detail LIKE '%Resolving timed out%' FROM dbnet.check_server('far') WHERE item = 'connection'}, 'failed|t', 'who asks is told');
my $session = $node->background_psql('postgres', on_error_stop => 0);
my $backend = $session->query_safe('SELECT pg_backend_pid()');
$session->query_until(qr/asking/, "\\echo asking\nSET statement_timeout = '1s'; SELECT * FROM dbnet.check_server('far');\n");
hangs($backend, 'a session asks');
$node->wait_for("SELECT state FROM pg_stat_activity WHERE pid = $backend", 'until its time is over', expected => 'idle');
hangs($backend, 'which the lookup outlives');
is(scalar $session->query(q{RESET statement_timeout; SELECT state FROM dbnet.check_server('near') WHERE item = 'connection'}), 'ok', 'the session goes on');
$session->quit;
$node->wait_for("SELECT count(*) FROM pg_stat_activity WHERE pid = $backend", 'and ends', expected => 0);
my ($status, $output, $errors) = $node->run_sql(q{SET statement_timeout = '1s';
    DO $$ BEGIN PERFORM dbnet.check_server('far'); EXCEPTION WHEN query_canceled THEN RAISE NOTICE 'cancelled'; END $$;
    SELECT pg_terminate_backend(pg_backend_pid())});
like($errors, qr/NOTICE: .*cancelled.*FATAL:  57P01/s, 'another one is ended by an error');

# --- ends of the worker: alone, and with the server ---
$worker = $node->replace_worker('mirror worker', 'TERM');
hangs($worker, 'lookups of the next worker');
near_goes_on('after it was ended');
for my $mode (qw(fast immediate)) {
    $worker = $node->worker_pid('mirror worker');
    hangs($worker, 'lookups hang');
    $node->stop($mode);
    ok(!-d "/proc/$worker", "a server that is stopped ($mode) leaves none");
    $node->start;
}
near_goes_on('after both');

# --- the name is there again ---
DBNet::OwnNetwork::names('far.example');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('120 s')}, '', 'all is sent');
is(scalar @{ $api->get('/api/v1/namespaces/' . $api->namespace . '/configmaps', query => { labelSelector => 'of=far' })->{body}{items} }, 101, 'what was committed meanwhile, too');

$node->no_crash_in_log;
done_testing();
