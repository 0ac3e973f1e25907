# CREATE SERVER … OPTIONS (in_cluster 'true'): a database server inside a Pod finds the API server by its environment and
# speaks with the Pod's service account. The files of a Pod are at a fixed place, so this program starts itself once more
# in a mount namespace of its own, where it may put them there.
use strict;
use warnings FATAL => 'all';

BEGIN {
    if (!$ENV{DBNET_TEST_POD}) {
        # pg_regress and sockets need nothing of /run
        my @pod = ('unshare', '--user', '--map-current-user', '--keep-caps', '--mount', '--', 'sh', '-c',
            'mount -t tmpfs none "$(readlink -f /var/run)" && mkdir -p /var/run/secrets/kubernetes.io/serviceaccount && exec "$@"', 'sh');
        if (system("@pod[0 .. 5] true 2> /dev/null") == 0 && system({ $pod[0] } @pod, 'true') == 0) {
            $ENV{DBNET_TEST_POD} = 1;
            exec { $pod[0] } @pod, $^X, $0 or die "unshare: $!";
        }
    }
}
use DBNet::Api;
use DBNet::Cluster;
use File::Copy ();
use Test::More;

plan skip_all => 'needs mount namespaces for unprivileged users' if !$ENV{DBNET_TEST_POD};
DBNet::Need::need('own_servers', 'faults');
my $account = '/var/run/secrets/kubernetes.io/serviceaccount';
my $api  = DBNet::Api->start(controllers => 0);
my $node = DBNet::Cluster->new('main');
my ($space, $maps) = ($api->namespace, '/api/v1/namespaces/' . $api->namespace . '/configmaps');

# As a kubelet does it: whoever reads sees the old file or the new one.
sub put {
    my ($file, $text) = @_;
    open my $out, '>', "$account/new" or die "$account: $!";
    print $out $text;
    close $out;
    rename "$account/new", "$account/$file" or die "$account: $!";
    return;
}

# --- not in a Pod ---
delete @ENV{qw(KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT)};
$node->init;
$node->start;
$node->psql_ok(q{CREATE EXTENSION dbnet; CREATE SERVER here FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (in_cluster 'true')}, 'a server in the cluster');
$node->fails_like(q{SELECT * FROM dbnet.kinds('here')}, '08001', qr/does not run inside a Kubernetes cluster.*HINT:.*KUBERNETES_SERVICE_HOST/s, 'outside of one that is told');

# --- in a Pod, before its files are there ---
@ENV{qw(KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT)} = $api->url =~ m{^https://(.*):(\d+)$};
$node->restart;
$node->fails_like(q{SELECT * FROM dbnet.kinds('here')}, undef, qr{\Q$account\E/}, 'a file that is missing is named');

# --- in a Pod ---
File::Copy::copy($api->credentials('--cacert')->[1], "$account/ca.crt") or die "ca.crt: $!";
my $first = $api->token('all');
put('token', $first);
$node->query_is(q{SELECT item, state FROM dbnet.check_server('here') WHERE item IN ('endpoint', 'connection')}, "endpoint|ok\nconnection|ok", 'the API server is reached');
$node->query_is(q{SELECT detail FROM dbnet.check_server('here') WHERE item = 'endpoint'}, $api->url, 'at the address of the environment');
$node->psql_ok("CREATE SCHEMA net; CREATE TABLE net.maps (name text PRIMARY KEY, labels jsonb DEFAULT '{\"in\": \"pod\"}', data jsonb);
    SELECT dbnet.mirror('here', 'v1', 'ConfigMap', 'net.maps', '{\"name\": \"metadata.name\", \"labels\": \"metadata.labels\", \"data\": \"data\"}',
        namespace => '$space', label_selector => 'in=pod', mode => 'manage');
    INSERT INTO net.maps (name, data) VALUES ('pod', '{\"a\": \"1\"}')", 'a mirror');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'the worker writes');
is($api->get("$maps/pod")->{body}{data}{a}, '1', 'it is there');

# --- the kubelet renews the token ---
put('token', $api->token('all'));
$api->revoke($first);
$node->psql_ok(q{UPDATE net.maps SET data = '{"a": "2"}'}, 'update');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'settled');
is($api->get("$maps/pod")->{body}{data}{a}, '2', 'with the new token');

# --- the authority is renewed: the kubelet has the new one first, the API server soon after ---
{
    my $authority = PostgreSQL::Test::Utils::slurp_file("$account/ca.crt");
    system('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=other', '-keyout', '/dev/null', '-out', "$account/other.crt") == 0 or die 'openssl';
    put('ca.crt', PostgreSQL::Test::Utils::slurp_file("$account/other.crt"));
    $api->disturb('drop_connections'); # those that are open stay in use
    $node->psql_ok(q{UPDATE net.maps SET data = '{"a": "3"}'}, 'update');
    $node->wait_for(q{SELECT phase IN ('pending', 'uncertain') AND message ILIKE '%certificate%' FROM dbnet.object WHERE name = 'pod'}, 'nothing is sent to a server that the authority does not know');
    put('ca.crt', $authority);
    $node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'with the right authority all goes on by itself');
    is($api->get("$maps/pod")->{body}{data}{a}, '3', 'it is there');
}

$node->no_crash_in_log;
done_testing();
