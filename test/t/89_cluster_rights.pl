# dbnet.rbac(): the rights that it prints are those that DBNet's requests need, and no more. Beside real servers a service
# account is given exactly these, and all goes on with its token.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use JSON::PP ();
use PostgreSQL::Test::Utils ();
use Test::More;

my $api   = DBNet::Api->start(pods_running => 1);
my $node  = DBNet::Cluster->started('rights');
my $space = $api->namespace;
my ($deployments, $sets) = map { "/apis/apps/v1/namespaces/$space/$_" } qw(deployments statefulsets);
my $template = { metadata => { labels => { app => 'web' } }, spec => { terminationGracePeriodSeconds => 1, containers => [ { name => 'app', image => 'registry.example/app:1' } ] } };
my $spec = { replicas => 1, selector => { matchLabels => { app => 'web' } }, template => $template };
sub settled { my ($name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', $name) }

# --- what is printed ---
my ($ca, $cert, $key) = map { DBNet::Api::quote(PostgreSQL::Test::Utils::slurp_file($api->credentials($_)->[1])) } qw(--cacert --cert --key);
$node->psql_ok(qq{CREATE SERVER "Prod/1" FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url '@{[ $api->url ]}', ca $ca, lease_namespace '$space');
    CREATE USER MAPPING FOR CURRENT_USER SERVER "Prod/1" OPTIONS (client_cert $cert, client_key $key)}, 'a server, with all rights to make mirrors');
$node->query_is(q{SELECT dbnet.rbac('Prod/1')}, qq{# No table mirrors server "Prod/1" yet: nothing but discovery is needed.\n}, 'without mirrors nothing is needed');
$node->fails_like(q{SELECT dbnet.rbac('none')}, '42704', qr/server "none" is no server of dbnet_kubernetes.*HINT:  SELECT srvname FROM pg_foreign_server/s, 'a server that is not there');
my $selector = $api->selector;
$node->psql_ok(qq{
    CREATE SCHEMA net;
    CREATE TABLE net.nodes (name text PRIMARY KEY, labels jsonb, unschedulable boolean);
    CREATE TABLE net.deployments (name text PRIMARY KEY, replicas integer, selector jsonb, template jsonb, available integer);
    CREATE TABLE net.sets (name text PRIMARY KEY, replicas integer);
    CREATE TABLE net.maps (namespace text, name text, data jsonb, PRIMARY KEY (namespace, name));
    CREATE TABLE net.own_maps (name text PRIMARY KEY, labels jsonb);
    SELECT dbnet.mirror('Prod/1', 'v1', 'Node', 'net.nodes', '{"name": "metadata.name", "labels": "metadata.labels", "unschedulable": "spec.unschedulable"}', label_selector => '$selector');
    SELECT dbnet.mirror('Prod/1', 'apps/v1', 'Deployment', 'net.deployments', '{"name": "metadata.name", "replicas": "spec.replicas", "selector": "spec.selector",
        "template": "spec.template", "available": "status.availableReplicas"}', namespace => '$space');
    SELECT dbnet.mirror('Prod/1', 'apps/v1', 'StatefulSet', 'net.sets', '{"name": "metadata.name", "replicas": {"path": "spec.replicas", "subresource": "scale"}}', namespace => '$space');
    SELECT dbnet.mirror('Prod/1', 'v1', 'ConfigMap', 'net.maps', '{"namespace": "metadata.namespace", "name": "metadata.name", "data": "data"}');
    SELECT dbnet.mirror('Prod/1', 'v1', 'ConfigMap', 'net.own_maps', '{"name": "metadata.name", "labels": "metadata.labels"}', namespace => '$space')}, 'mirrors that look');

sub role_text {
    my ($kind, $namespace, @rules) = @_;
    my $list = sub { return '[' . join(', ', map { qq("$_") } split / /, $_[0], -1) . ']' };
    return "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: $kind\nmetadata:\n  name: \"dbnet-prod-1\"\n" . ($namespace ne '' ? qq(  namespace: "$namespace"\n) : '')
      . "  labels: {app.kubernetes.io/name: dbnet}\nrules:\n"
      . join '', (map { my ($group, $resources, $verbs) = @$_; sprintf "- apiGroups: [\"%s\"]\n  resources: %s\n  verbs: %s\n", $group, map { $list->($_) } $resources, $verbs } @rules),
      ($kind eq 'ClusterRole' ? qq(- apiGroups: [""]\n  resources: ["namespaces"]\n  resourceNames: ["kube-system"]\n  verbs: ["get"]\n) : ());
}
my ($look, $all) = ('get list watch', 'get list watch create patch delete');
$node->query_is(q{SELECT dbnet.rbac('Prod/1')}, role_text('ClusterRole', '', [ '', 'configmaps nodes', $look ]) . role_text('Role', $space, [ 'apps', 'deployments statefulsets', $look ]),
    'mode observe only looks; what the cluster gives is not given again in a namespace');
my $since = $api->request_position;
$node->psql_ok(qq{SELECT dbnet.alter_mirror(m::regclass, mode => 'manage') FROM unnest('{net.nodes,net.deployments,net.sets,net.own_maps}'::text[]) AS m}, 'they are to write');
my $written = role_text('Role', $space, [ '', 'configmaps', 'create patch delete' ], [ 'apps', 'deployments', $all ], [ 'apps', 'statefulsets', $look ], [ 'apps', 'statefulsets/scale', 'patch' ],
    [ 'coordination.k8s.io', 'leases', 'get create update' ]);
$node->query_is(q{SELECT dbnet.rbac('Prod/1')}, role_text('ClusterRole', '', [ '', 'configmaps', $look ], [ '', 'nodes', $all ]) . $written, 'mode manage writes, through subresources alone where all columns are sent there');
my $drains = role_text('ClusterRole', '', [ '', 'configmaps', $look ], [ '', 'nodes', $all ], [ '', 'pods', 'list' ], [ '', 'pods/eviction', 'create' ], [ 'apps', 'daemonsets', 'get' ])
  . $written =~ s/(\["statefulsets"\]\n  verbs: \["get", "list", "watch")/$1, "patch"/r;
my $given = $node->query_is(q{SELECT dbnet.rbac('Prod/1', operations => true)}, $drains, 'operations: evictions, and the patch of a restart') && $drains;
$node->query_is(q{SELECT dbnet.rbac('Prod/1', 'jane@example.org', 'r') LIKE E'%---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata:\n  name: "r"\n%roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "r"}\nsubjects:\n- {apiGroup: rbac.authorization.k8s.io, kind: User, name: "jane@example.org"}\n---%kind: RoleBinding%'},
    't', 'a subject gets bindings');
$node->safe_psql('postgres', 'CREATE ROLE operator LOGIN; GRANT dbnet_operator TO operator; CREATE ROLE nobody_else LOGIN');
$node->query_is(q{SELECT dbnet.rbac('Prod/1', operations => true) = } . DBNet::Api::quote($drains), 't', 'an operator may ask, and sees every mirror', role => 'operator');
$node->fails_like(q{SELECT dbnet.rbac('Prod/1')}, '42501', qr/permission denied for function rbac/, 'others may not', role => 'nobody_else');

# --- beside real servers: given to a service account, with whose token all that follows is done ---
my $admin = '/apis/rbac.authorization.k8s.io/v1';
SKIP: {
    DBNet::Need::or_skip('binaries');
    my $token = $api->token('none');
    my $account = $api->{account_of}{$token};
    my $yaml = $node->safe_psql('postgres', "SELECT dbnet.rbac('Prod/1', 'system:serviceaccount:$space:$account', operations => true)");
    my $applied = 0;
    for my $document (grep { /\S/ } split /^---\n/m, $yaml) {
        my ($kind) = $document =~ /^kind: (\S+)/m;
        my $where = $document =~ /^  namespace: "(.*)"/m ? "/namespaces/$1" : '';
        $api->expect_success($api->apply("$admin$where/" . lc($kind) . 's/dbnet-prod-1', $document));
        $applied++;
    }
    is($applied, 4, 'the server takes a ClusterRole, a Role and their bindings');
    $node->psql_ok(qq{ALTER USER MAPPING FOR CURRENT_USER SERVER "Prod/1" OPTIONS (DROP client_cert, DROP client_key, ADD token '$token')}, 'the service account from now on');
    $api->wait_until(sub { $node->safe_psql('postgres', q{SELECT bool_and(state = 'ok') FROM dbnet.check_server('Prod/1') WHERE item LIKE 'rights of%' OR item = 'lease'}) eq 't' },
        'check_server finds all rights there');
    $node->query_is(q{SELECT detail FROM dbnet.check_server('Prod/1') WHERE item = 'rights of net.sets'}, "get, list, watch statefulsets.apps, patch statefulsets.apps/scale in namespace $space", 'in so many words');
    $node->query_is(q{SELECT split_part(detail, ' ', 1) FROM dbnet.check_server('Prod/1') WHERE item = 'identity'}, "system:serviceaccount:$space:$account", 'who we are is what rbac() takes as subject');
}
$node->replace_worker('mirror worker', 'TERM');    # which lists everything anew
$node->wait_for(q{SELECT bool_and(state = 'synced') FROM dbnet.mirror_status}, 'the mirrors are listed');

# --- every kind of work ---
my $labels = JSON::PP->new->encode($api->labels);
my ($n1, $n2) = map { $api->name($_) } qw(n1 n2);
$api->create_node($_) for qw(n2);
$api->expect_success($api->create($sets, { metadata => { name => 'store' }, spec => { %$spec, serviceName => 'store', replicas => 0 } }));
$node->wait_for(q{SELECT count(*) FROM net.sets}, 'a StatefulSet of somebody else', expected => '1');
$node->psql_ok(qq{INSERT INTO net.nodes (name, labels) VALUES ('$n1', '$labels');
    INSERT INTO net.own_maps VALUES ('m', '{"a": "b"}');
    INSERT INTO net.deployments VALUES ('web', 1, '@{[ JSON::PP->new->encode($spec->{selector}) ]}', '@{[ JSON::PP->new->encode($template) ]}');
    UPDATE net.sets SET replicas = 1}, 'objects are made, and one is scaled');
settled('all are there');
is($api->get("$sets/store")->{body}{spec}{replicas}, 1, 'the scale too');
$node->psql_ok(q{UPDATE net.deployments SET replicas = 2; DELETE FROM net.own_maps WHERE name = 'm'}, 'changed and deleted');
settled('that too');
SKIP: {
    DBNet::Need::or_skip('controllers') if $api->kind eq 'binaries';
    $node->wait_for(q{SELECT available FROM net.deployments}, 'pods run', expected => '2');
    $api->expect_success($api->create("/apis/apps/v1/namespaces/$space/daemonsets", { metadata => { name => 'agent' },
        spec => { selector => { matchLabels => { app => 'agent' } }, template => { %$template, metadata => { labels => { app => 'agent' } } } } }));
    $node->query_is(q{SELECT detail FROM dbnet.check_server('Prod/1') WHERE item = 'rights of net.sets'}, "get, list, watch statefulsets.apps, patch statefulsets.apps/scale in namespace $space", 'in so many words') if
    $api->wait_until(sub { 2 == grep { ($_->{metadata}{labels}{app} // '') eq 'agent' && ($_->{status}{phase} // '') eq 'Running' } @{ $api->get("/api/v1/namespaces/$space/pods")->{body}{items} } }, 'a DaemonSet runs');
    my $drain = $node->safe_psql('postgres', qq{SELECT dbnet.drain('net.nodes', '$n2', ignore_daemonsets => true, grace_period => '1 s', timeout => '60 s')});
    $node->query_is("SELECT state FROM dbnet.wait_operation($drain, '90 s')", 'done', 'a node is drained') || diag($node->safe_psql('postgres', 'SELECT message FROM dbnet.operation_status'));
    my $again = $node->safe_psql('postgres', q{SELECT dbnet.restart('net.sets', 'store')});
    $node->query_is("SELECT state FROM dbnet.wait_operation($again, '60 s')", 'done', 'a StatefulSet is restarted');
}
$node->psql_ok(qq{DELETE FROM net.nodes WHERE name IN ('$n1', '$n2'); DELETE FROM net.deployments}, 'nodes and a Deployment are deleted');
$node->psql_ok(qq{SELECT dbnet.approve(id) FROM dbnet.held}, 'also those of somebody else');
settled('gone');
$node->query_is(q{SELECT DISTINCT http_status FROM dbnet.actuation WHERE http_status IN (401, 403)}, '', 'nothing was forbidden');

# --- all that was sent is given, and all that is given was sent ---
my %granted;
my $where = '';
for my $line (split /\n/, $given) {
    $where = '' if $line eq '---';
    $where = $1 if $line =~ /^  namespace: "(.*)"/;
    state_rule($line);
}
my ($group, $resources);
sub state_rule {
    my ($line) = @_;
    ($group) = $line =~ /\["(.*)"\]/ if $line =~ /^- apiGroups/;
    $resources = $1 if $line =~ /^  resources: (.*)/;
    return if $line !~ /^  verbs: (.*)/;
    for my $resource (@{ JSON::PP::decode_json($resources) }) {
        $granted{"$_ $group/$resource" . ($where ne '' ? " in $where" : '')} = 1 for @{ JSON::PP::decode_json($1) };
    }
    return;
}
my (%used, %beyond);
for my $request ($api->requests(since => $since)) {
    my ($path, $query) = split /\?/, $request->{path};
    my ($api_group, $namespace, $resource, $name, $sub) = $path =~ m{^/api(?:s/([^/]+))?/[^/]+/(?:namespaces/([^/]+)/)?([a-z]+)(?:/([^/]+))?(?:/([^/]+))?$} or next;
    next if $resource =~ /^selfsubject/;
    my $verb = { POST => 'create', PUT => 'update', PATCH => 'patch', DELETE => 'delete' }->{ $request->{method} } // (($query // '') =~ /watch=true/ ? 'watch' : defined $name ? 'get' : 'list');
    my $right = "$verb " . ($api_group // '') . "/$resource" . (defined $sub ? "/$sub" : '');
    my ($given_by) = grep { $granted{$_} } $right, (defined $namespace ? "$right in $namespace" : ());
    $given_by ? ($used{$given_by} = 1) : ($beyond{"$request->{method} $request->{path}"} = 1);
}
is(join("\n", sort keys %beyond), '', 'no request needs more');
# An apply that makes an object needs create too, which no request shows; single objects are looked up when an answer was lost.
is(join("\n", sort grep { !$used{$_} } keys %granted), join("\n", sort 'create /nodes', "create /configmaps in $space", "create apps/deployments in $space", map { "get $_" }
          '/configmaps', "apps/deployments in $space"), 'and nothing is given that is not used');
$node->no_crash_in_log;
done_testing();
