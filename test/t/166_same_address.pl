# Another cluster behind the address of the one before: its versions are ahead, so that a watch goes on there as if nothing
# had happened. The uid of its namespace kube-system tells, and everything is listed anew.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Environment;
use DBNet::Need;
use DBNet::Process;
use Test::More;

DBNet::Need::need('own_servers', 'faults');
my $first  = DBNet::Api->start(nodes_ready => 0, controllers => 0, proxy => 0);
my $second = DBNet::Api->start(nodes_ready => 0, controllers => 0, proxy => 0, kind => 'simulator');
my $node   = DBNet::Cluster->started('main', conf => 'dbnet.compare_interval = 0');    # no compare comes to help
my $space  = $first->namespace;
my $maps   = "/api/v1/namespaces/$space/configmaps";
my $front  = PostgreSQL::Test::Utils::tempdir('front');
my ($proxy, $port) = (undef, 0);

# The one address.
sub lead_to {
    my ($api) = @_;
    if ($proxy) {
        $proxy->kill9;
        ($port) = PostgreSQL::Test::Utils::slurp_file("$front/kubeconfig") =~ m{https://[^\s"]*:(\d+)};
    }
    unlink "$front/kubeconfig.new";
    $proxy = DBNet::Process->start(
        name    => 'front',
        log     => "$ENV{TESTLOGDIR}/front.log",
        command => [ DBNet::Environment::program('kubesim'), '--upstream-kubeconfig', $api->kubeconfig, '--port', $port, '--certificates', "$front/certificates", '--kubeconfig-out', "$front/kubeconfig.new" ]);
    $api->wait_until(sub { return -s "$front/kubeconfig.new" }, 'the front answers', 20);
    return rename("$front/kubeconfig.new", "$front/kubeconfig") || die "$front/kubeconfig: $!";
}
sub version { my ($api) = @_; return $api->get($maps)->{body}{metadata}{resourceVersion} }
sub uid     { my ($api) = @_; return $api->get('/api/v1/namespaces/kube-system')->{body}{metadata}{uid} }
sub create  { my ($api, $name) = @_; return $api->expect_success($api->create($maps, { metadata => { name => $name } })) }
sub rows    { my ($expected, $what) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->wait_for(q{SELECT string_agg(name, ' ' ORDER BY name) FROM net.maps WHERE name LIKE '%-one'}, $what, expected => $expected, timeout => 120) }

$second->expect_success($second->create('/api/v1/namespaces', { metadata => { name => $space } }));
create($first, 'foreign-one');
create($second, 'second-one');
$first->wait_until(sub { return defined uid($first) }, 'the first cluster has its namespaces', 60);
lead_to($first);
$node->psql_ok(qq{CREATE SERVER prod FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (kubeconfig '$front/kubeconfig', lease_namespace '$space');
    CREATE SCHEMA net;
    CREATE TABLE net.maps (name text PRIMARY KEY, data jsonb);
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.maps', '{"name": "metadata.name", "data": "data"}', namespace => '$space', mode => 'manage')},
    'a mirror');
rows('foreign-one', 'what the first cluster has');
$node->psql_ok(q{INSERT INTO net.maps VALUES ('ours-one', '{"a": "1"}')}, 'a row');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'is sent');
$node->wait_for(q{SELECT cluster FROM dbnet.mirror_status}, 'the cluster is known', expected => uid($first));
my $log = -s $node->logfile;

# The second is ahead.
while (version($second) < version($first) + 50) {
    $second->expect_success($second->patch("$maps/second-one", { data => { a => version($second) } }));
}
lead_to($second);
$node->wait_for(q{SELECT cluster FROM dbnet.mirror_status}, 'another cluster has its address', expected => uid($second), timeout => 120);
rows('ours-one second-one', 'its objects come, foreign ones of the first go');
$node->wait_for(q{SELECT phase FROM dbnet.object WHERE name = 'ours-one'}, 'what a row had made there is flagged', expected => 'absent', timeout => 120);
is($second->get("$maps/ours-one")->{status}, 404, 'nothing is made unasked');
$node->wait_for_log(sprintf('server "prod" leads to another cluster than before: its namespace kube-system has uid %s, not %s', uid($second), uid($first)), $log);
pass('it is told');

# Also when no process was there to see it.
$node->stop;
$log = -s $node->logfile;
lead_to($first);
$node->start;
$node->wait_for_log(sprintf('its namespace kube-system has uid %s, not %s', uid($first), uid($second)), $log);
rows('foreign-one ours-one', 'back in the first cluster');

$proxy->kill9;
$node->no_crash_in_log;
done_testing();
