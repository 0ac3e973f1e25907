# kubectl, unmodified, on the API server of this run: what a user types must work.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Process;
use PostgreSQL::Test::Utils ();
use Test::More;

DBNet::Api::need('kubectl', 'controllers');
my $api = DBNet::Api->start(node_ready_delay_ms => 10);
my $name_space = $api->namespace;
my $maps = "/api/v1/namespaces/$name_space/configmaps";
$ENV{HOME} = $api->directory;    # kubectl caches discovery there

sub kubectl_is {
    my ($arguments, $expected, $name) = @_;
    my ($status, $output, $errors) = $api->kubectl('-n', $name_space, @$arguments);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is("$status $output$errors", "0 $expected\n", $name // 'kubectl ' . join ' ', grep { !ref } @$arguments);
}

sub kubectl_like {
    my ($arguments, $status, $expected, $name) = @_;
    my ($exit, $output, $errors) = $api->kubectl('-n', $name_space, @$arguments);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return like("$exit $output$errors", qr/\A$status $expected/, $name // 'kubectl ' . join ' ', grep { !ref } @$arguments);
}

sub document {
    my ($name, %data) = @_;
    my $text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: $name\ndata:\n" . join '', map { "  $_: \"$data{$_}\"\n" } sort keys %data;
    return \$text;
}

# --- create, apply, get ---
kubectl_is([ 'create', '-f', '-', document('c', a => 1) ], 'configmap/c created', 'create -f');
kubectl_like([ 'create', '-f', '-', document('c', a => 1) ], 1, qr/Error from server \(AlreadyExists\).*configmaps "c" already exists/s,
    'create -f again: AlreadyExists');
kubectl_is([ 'create', 'configmap', 'literal', '--from-literal=k=v' ], 'configmap/literal created', 'create configmap (protobuf)');
is($api->get("$maps/literal")->{body}{data}{k}, 'v', 'and its data arrived');
kubectl_is([ 'apply', '--server-side', '-f', '-', document('s', a => 1, b => 2) ], 'configmap/s serverside-applied', 'apply --server-side');
kubectl_is([ 'apply', '--server-side', '-f', '-', document('s', a => 1) ], 'configmap/s serverside-applied', 'apply with a key less');
is_deeply($api->get("$maps/s")->{body}{data}, { a => '1' }, 'the key is gone');
kubectl_like([ 'apply', '--server-side', '--field-manager=other', '-f', '-', document('s', a => 9) ], 1,
    qr/.*conflict with "kubectl": \.data\.a/s, 'another manager: conflict');
kubectl_is([ 'apply', '--server-side', '--field-manager=other', '--force-conflicts', '-f', '-', document('s', a => 9) ],
    'configmap/s serverside-applied', 'and by force');
kubectl_is([ 'apply', '-f', '-', document('client', a => 1) ], 'configmap/client created', 'apply of the client');
kubectl_is([ 'apply', '-f', '-', document('client', a => 2) ], 'configmap/client configured', 'apply of the client again');
my $typo = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: typo\ndatum: {}\n";
kubectl_like([ 'create', '-f', '-', \$typo ], 1, qr/.*strict decoding error: unknown field "datum"/s, 'unknown fields are refused');
kubectl_like([ 'get', 'configmap', 's' ], 0, qr/NAME\s+DATA\s+AGE\ns\s+1\s+\d+s\n/, 'get prints the server\'s table');
kubectl_like([ 'get', 'cm', '-o', 'name' ], 0, qr{.*configmap/c\n.*configmap/s\n}s, 'get -o name');
kubectl_like([ 'get', 'cm', 'none' ], 1, qr/Error from server \(NotFound\): configmaps "none" not found/);
kubectl_like([ 'explain', 'configmap.data' ], 0, qr/.*FIELD: data/s, 'explain reads the schema');
kubectl_like([ 'api-resources' ], 0, qr/.*configmaps\s+cm\s+v1\s+true\s+ConfigMap/s);

# What "create" sends is protobuf.
kubectl_is([ 'create', 'secret', 'generic', 'hidden', '--from-literal=k=v' ], 'secret/hidden created', 'create secret');
is($api->get("/api/v1/namespaces/$name_space/secrets/hidden")->{body}{data}{k}, 'dg==', 'its data arrived, too');
kubectl_is([ 'create', 'deployment', 'made', '--image=nginx', '--replicas=0', '--port=80' ], 'deployment.apps/made created', 'create deployment');
my $made = $api->get("/apis/apps/v1/namespaces/$name_space/deployments/made")->{body}{spec};
is_deeply([ $made->{replicas}, $made->{template}{spec}{containers}[0]{ports} ], [ 0, [ { containerPort => 80, protocol => 'TCP' } ] ], 'as it was asked for');
kubectl_is([ 'create', 'service', 'clusterip', 'made', '--tcp=80:http' ], 'service/made created', 'create service');
is($api->get("/api/v1/namespaces/$name_space/services/made")->{body}{spec}{ports}[0]{targetPort}, 'http', 'with its port\'s name');

# --- patch, label, replace ---
kubectl_is([ 'patch', 'cm', 's', '-p', '{"data":{"p":"1"}}' ], 'configmap/s patched', 'strategic merge patch');
kubectl_is([ 'patch', 'cm', 's', '--type=merge', '-p', '{"data":{"p":null}}' ], 'configmap/s patched', 'merge patch');
kubectl_is([ 'patch', 'cm', 's', '--type=json', '-p', '[{"op":"add","path":"/data/j","value":"1"}]' ], 'configmap/s patched', 'JSON patch');
is_deeply($api->get("$maps/s")->{body}{data}, { a => '9', j => '1' }, 'all three did what they say');
kubectl_is([ 'label', 'cm', 's', 'tier=gold' ], 'configmap/s labeled', 'label');
kubectl_is([ 'annotate', 'cm', 's', 'note=x' ], 'configmap/s annotated', 'annotate');
kubectl_is([ 'get', 'cm', '-l', 'tier in (gold,silver)', '-o', 'name' ], 'configmap/s', 'get by label');
kubectl_is([ 'replace', '-f', '-', document('s', r => 1) ], 'configmap/s replaced', 'replace');
is_deeply($api->get("$maps/s")->{body}{data}, { r => '1' }, 'replaced all data');

# --- nodes: wait, cordon, table ---
my $node = $api->name('kubectl-node');
my $node_document = "apiVersion: v1\nkind: Node\nmetadata:\n  name: $node\n  labels: {" . $api->label_key . ": " . $api->{run} . "}\n";
kubectl_is([ 'apply', '--server-side', '-f', '-', \$node_document ], "node/$node serverside-applied", 'apply a Node');
kubectl_is([ 'wait', '--for=condition=Ready', "node/$node", '--timeout=60s' ], "node/$node condition met", 'wait for Ready');
kubectl_like([ 'get', 'node', $node ], 0, qr/NAME\s+STATUS\s+ROLES\s+AGE\s+VERSION\n\Q$node\E\s+Ready\s+<none>\s+\d+s/, 'its table');
kubectl_is([ 'cordon', $node ], "node/$node cordoned", 'cordon');
is($api->get("/api/v1/nodes/$node")->{body}{spec}{unschedulable}, JSON::PP::true(), 'it is cordoned');

# --- watch ---
my $log = $api->directory . '/watch.out';
my $watch = DBNet::Process->start(name => 'kubectl', log => $log, command =>
    [ DBNet::Need::kubectl(), '--kubeconfig', $api->kubeconfig, '-n', $name_space, 'get', 'cm', '-l', 'watched=yes', '-w', '--output-watch-events' ]);
my $watched = sub { return PostgreSQL::Test::Utils::slurp_file($log) };
$api->create($maps, { metadata => { name => 'w0', labels => { watched => 'yes' } } });
$api->wait_until(sub { $watched->() =~ m{ADDED\s+w0} }, 'kubectl sees the first object');
$api->patch("$maps/w0", { data => { a => '1' } });
$api->delete("$maps/w0");
$api->wait_until(sub { $watched->() =~ /DELETED/ }, 'kubectl sees the end');
like($watched->(), qr{ADDED\s+w0\s+0\s.*\nMODIFIED\s+w0\s+1\s.*\nDELETED\s+w0\s+1\s.*\n}, 'get -w prints every event, as rows of a table');
$watch->stop;

# --- delete ---
kubectl_is([ 'delete', 'cm', 's' ], 'configmap "s" deleted', 'delete waits until it is gone');
is($api->get("$maps/s")->{status}, 404, 'and it is');
my $unscoped = sub { my ($status, $output, $errors) = $api->kubectl(@_); return "$status $output$errors" };
is($unscoped->('delete', 'node', $node), "0 node \"$node\" deleted\n", 'delete a Node');
kubectl_is([ 'create', 'namespace', $api->name('kubectl-ns') ], 'namespace/' . $api->name('kubectl-ns') . ' created', 'create namespace (protobuf)');
$api->create('/api/v1/namespaces/' . $api->name('kubectl-ns') . '/configmaps', { metadata => { name => 'inside' } });
is($unscoped->('delete', 'namespace', $api->name('kubectl-ns')), '0 namespace "' . $api->name('kubectl-ns') . "\" deleted\n",
    'delete namespace waits for its contents');
done_testing;
