# Servers behind a proxy: by a name that nobody but the proxy knows, with the certificate of another name. Everything goes
# through it, from a session's look at the server to leases, watches, changes of rows and operations; a kubeconfig's
# proxy-url as the options of the server. A proxy that is gone is named, and nothing is lost.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Process;
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use MIME::Base64 qw(decode_base64);
use POSIX ();
use PostgreSQL::Test::Utils ();
use Test::More;

DBNet::Need::need('own_servers');
my $api = DBNet::Api->start(controllers => 0);
my $node = DBNet::Cluster->started('proxy', conf => 'dbnet.lease_duration = 3');
my $space = $api->namespace;
my $maps = "/api/v1/namespaces/$space/configmaps";
my ($port) = $api->url =~ /:(\d+)/;
my $log = "$ENV{TESTLOGDIR}/proxy.log";
my $proxy_port = DBNet::Process::free_port();

# Both ways until either side ends.
sub relay {
    my ($client) = @_;
    my $head = '';
    while ($head !~ /\r\n\r\n\z/) { sysread $client, $head, 1, length $head or return }
    print "$1\n" if $head =~ /^(.*)\r\n/;
    my $known = $head =~ /^CONNECT cluster\.invalid:6443 /;
    my $server = $known && IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
    syswrite $client, $server ? "HTTP/1.1 200 Connection established\r\n\r\n" : "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
    return if !$server;
    my $both = IO::Select->new($client, $server);
    while (1) {
        for my $from ($both->can_read) {
            my $size = sysread $from, my $bytes, 65536;
            return if !$size;
            my $to = $from == $client ? $server : $client;
            while (length $bytes) { my $sent = syswrite $to, $bytes; return if !$sent; substr $bytes, 0, $sent, '' }
        }
    }
    return;
}

sub start_proxy {
    return DBNet::Process->start(name => 'proxy', log => $log, code => sub {
            STDOUT->autoflush(1);
            local $SIG{CHLD} = 'IGNORE';
            local $SIG{PIPE} = 'IGNORE';
            local $SIG{TERM} = sub { local $SIG{TERM} = 'IGNORE'; kill 'TERM', -$$; POSIX::_exit(0) };    # the tunnels end with it
            my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $proxy_port, Listen => 64, ReuseAddr => 1) or die "listen: $!";
            while (my $client = $listener->accept) {
                my $pid = fork // die "fork: $!";
                if ($pid == 0) { $SIG{TERM} = 'DEFAULT'; relay($client); POSIX::_exit(0) }
                close $client;
            }
        });
}
sub tunnels { return -e $log ? scalar(() = PostgreSQL::Test::Utils::slurp_file($log) =~ /^CONNECT cluster\.invalid:6443 HTTP\/1\.1$/mg) : 0 }

my $proxy = start_proxy();
my ($authority, $certificate, $key) = map { PostgreSQL::Test::Utils::slurp_file($api->kubeconfig) =~ /$_: *"?([^\s"]+)/ } qw(certificate-authority-data client-certificate-data client-key-data);
my $directory = PostgreSQL::Test::Utils::tempdir();
open my $out, '>', "$directory/kubeconfig" or die "kubeconfig: $!";
print $out <<"KUBECONFIG";
apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: test}}]
clusters: [{name: test, cluster: {server: 'https://cluster.invalid:6443', tls-server-name: localhost, proxy-url: 'http://127.0.0.1:$proxy_port', certificate-authority-data: $authority}}]
users: [{name: test, user: {client-certificate-data: $certificate, client-key-data: $key}}]
KUBECONFIG
close $out or die "kubeconfig: $!";

my $pem = sub { return DBNet::Api::quote(decode_base64($_[0])) };
my %servers = (
    file => "CREATE SERVER file FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (kubeconfig '$directory/kubeconfig', lease_namespace '$space');",
    options => "CREATE SERVER options FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://cluster.invalid:6443', tls_server_name 'localhost', proxy_url 'http://127.0.0.1:$proxy_port', ca "
      . $pem->($authority) . ", lease_namespace '$space'); CREATE USER MAPPING FOR CURRENT_USER SERVER options OPTIONS (client_cert " . $pem->($certificate) . ', client_key ' . $pem->($key) . ');');
$node->psql_ok('CREATE SCHEMA net', 'a schema');
for my $server (sort keys %servers) {
    my $before = tunnels();
    $node->psql_ok($servers{$server}, "server '$server'");
    $node->query_is("SELECT state FROM dbnet.check_server('$server') WHERE item = 'connection'", 'ok', 'a session reaches it');
    cmp_ok(tunnels(), '>', $before, 'through the proxy');
    my $name = $api->name("n-$server");
    $node->psql_ok("CREATE TABLE net.maps_$server (name text PRIMARY KEY, labels jsonb DEFAULT '{\"by\": \"$server\"}', data jsonb);
        SELECT dbnet.mirror('$server', 'v1', 'ConfigMap', 'net.maps_$server', namespace => '$space', label_selector => 'by=$server', mode => 'manage',
            columns => '{\"name\": \"metadata.name\", \"labels\": \"metadata.labels\", \"data\": \"data\"}');
        CREATE TABLE net.nodes_$server (name text PRIMARY KEY, labels jsonb DEFAULT '{\"by\": \"$server\"}');
        SELECT dbnet.mirror('$server', 'v1', 'Node', 'net.nodes_$server', label_selector => 'by=$server', mode => 'manage', columns => '{\"name\": \"metadata.name\", \"labels\": \"metadata.labels\"}');
        INSERT INTO net.maps_$server (name, data) VALUES ('m-$server', '{\"v\": \"1\"}'); INSERT INTO net.nodes_$server (name) VALUES ('$name')", 'mirrors and rows');
    $node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'are sent');
    is($api->get("$maps/m-$server")->{body}{data}{v}, '1', 'and there');
    $api->expect_success($api->create($maps, { metadata => { name => "x-$server", labels => { by => $server } } }));
    $node->wait_for("SELECT count(*) FROM net.maps_$server WHERE name = 'x-$server'", 'its watch goes on', expected => '1');
    my $operation = $node->safe_psql('postgres', "SELECT dbnet.cordon('net.nodes_$server', '$name')");
    $node->query_is("SELECT state FROM dbnet.wait_operation($operation, '60 s')", 'done', 'a node is cordoned, which no column says');
    is($api->get("/api/v1/nodes/$name")->{body}{spec}{unschedulable}, JSON::PP::true, 'and is');
}
$node->wait_for('SELECT count(*) = 2 FROM dbnet.mirrored_relation AS m JOIN dbnet.mirror_status AS s USING (relation) WHERE m.relation::text LIKE \'net.maps%\' AND s.state = \'synced\'', 'both are well');

# --- leases are renewed on connections that are there ---
my $leases = "/apis/coordination.k8s.io/v1/namespaces/$space/leases";
my $before = tunnels();
my %renewals;
$api->wait_until(sub {
        $renewals{ $_->{metadata}{resourceVersion} } = 1 for @{ $api->expect_success($api->get($leases))->{items} };
        return keys %renewals >= 12;
    }, 'both leases are renewed some times');
cmp_ok(tunnels() - $before, '<', 6, 'no connection is made for each renewal');

# --- the proxy is gone, and comes back ---
$proxy->stop;
$node->psql_ok(q{UPDATE net.maps_file SET data = '{"v": "2"}' WHERE name = 'm-file'; UPDATE net.maps_options SET data = '{"v": "2"}' WHERE name = 'm-options'}, 'rows change while it is gone');
for my $server (sort keys %servers) {
    $node->wait_for("SELECT state = 'degraded' AND message LIKE '%proxy%' FROM dbnet.mirror_status WHERE relation = 'net.maps_$server'::regclass", "the mirror of '$server' says that the proxy is")
      or diag($node->safe_psql('postgres', 'SELECT relation, state, message FROM dbnet.mirror_status'));
}
$node->query_is(q{SELECT state, detail LIKE '%proxy%' FROM dbnet.check_server('options') WHERE item = 'connection'}, 'failed|t', 'so does check_server');
$proxy = start_proxy();
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'it is back: all is settled');
is($api->get("$maps/m-$_")->{body}{data}{v}, '2', "the change of '$_' is there") for sort keys %servers;

$node->no_crash_in_log;
done_testing();
