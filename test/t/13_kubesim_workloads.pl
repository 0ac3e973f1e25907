# What the control plane of the simulator does for workloads, as kubectl and watches see it: Deployments roll and say so in
# the order of a real cluster, Pods are placed and end, Endpoints follow, owners take what they own along.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use JSON::PP ();
use Test::More;

DBNet::Api::need('simulator');
my $api = DBNet::Api->start(node_ready_delay_ms => 0, arguments => [ '--pod-start-delay-ms', 200, '--pod-stop-delay-ms', 30 ]);
my $space = $api->namespace;
my $core = "/api/v1/namespaces/$space";
my $deployments = "/apis/apps/v1/namespaces/$space/deployments";

sub deployment {
    my ($name, %spec) = @_;
    return { apiVersion => 'apps/v1', kind => 'Deployment', metadata => { name => $name },
        spec => { selector => { matchLabels => { app => $name } },
            template => { metadata => { labels => { app => $name } },
                spec => { containers => [ { name => 'app', image => 'nginx:1', ports => [ { name => 'http', containerPort => 8080 } ] } ] } }, %spec } };
}

sub items { my ($path, $selector) = @_; return @{ $api->get($path, query => { labelSelector => $selector // '' })->{body}{items} } }

sub status_is {
    my ($name, $condition) = @_;
    return $api->wait_for_object("$deployments/$name", sub { $condition->($_[0]{body}{status}, $_[0]{body}) })->{body};
}

sub available { my ($replicas) = @_; return sub { my ($status, $object) = @_;
        return $status->{observedGeneration} == $object->{metadata}{generation} && ($status->{availableReplicas} // 0) == $replicas
          && ($status->{updatedReplicas} // 0) == $replicas && ($status->{replicas} // 0) == $replicas } }

# --- nowhere to go, then a Node ---
my $start = $api->get($deployments)->{body}{metadata}{resourceVersion};
$api->expect_success($api->apply("$deployments/web", deployment('web', replicas => 2)));
my ($pending) = $api->wait_for_object("$core/pods", sub { my @pods = @{ $_[0]{body}{items} }; @pods == 2 && !grep { !$_->{status}{conditions} } @pods })->{body}{items}[0];
is($pending->{status}{conditions}[0]{message}, 'no nodes available to schedule pods', 'without a Node pods say why they wait');
is_deeply([ map { $_->{kind} } @{ $pending->{metadata}{ownerReferences} } ], ['ReplicaSet'], 'a ReplicaSet owns them');
$api->create_node('n1');
status_is('web', available(2));

# --- the events of a fresh Deployment, as a real cluster sends them ---
my @events = map { $_->{object} } map { JSON::PP::decode_json($_) } split /\n/,
  $api->get($deployments, query => { watch => 1, timeoutSeconds => 1, resourceVersion => $start })->{text};
my @told = map { my $status = $_->{status};
    join ' ', $status->{observedGeneration} // '-', $status->{replicas} // '-', $status->{availableReplicas} // '-', $status->{unavailableReplicas} // '-',
      map { "$_->{type}=$_->{status}/$_->{reason}" } @{ $status->{conditions} // [] } } @events;
is_deeply([ @told[ 0 .. 3 ], $told[-1] ], [
        '- - - -',
        '- - - - Progressing=True/NewReplicaSetCreated',
        '1 - - 2 Progressing=True/NewReplicaSetCreated Available=False/MinimumReplicasUnavailable',
        '1 2 - 2 Available=False/MinimumReplicasUnavailable Progressing=True/ReplicaSetUpdated',
        '1 2 2 - Available=True/MinimumReplicasAvailable Progressing=True/NewReplicaSetAvailable' ],
    'status comes after the object, the generation is observed, then pods count, then they are available')
  or diag(join "\n", @told);
is($events[-1]{metadata}{annotations}{'deployment.kubernetes.io/revision'}, '1', 'the revision is noted');

# --- pods ---
my ($pod) = items("$core/pods", 'app=web');
is($pod->{spec}{nodeName}, $api->name('n1'), 'a pod is on the Node');
is_deeply([ map { "$_->{type}=$_->{status}" } @{ $pod->{status}{conditions} } ],
    [ 'Initialized=True', 'Ready=True', 'ContainersReady=True', 'PodScheduled=True' ], 'and its conditions say it is ready');
ok($pod->{status}{podIP}, 'with an address');
my $deleted = $api->delete("$core/pods/$pod->{metadata}{name}");
is($deleted->{body}{metadata}{deletionGracePeriodSeconds}, 30, 'a deleted pod that runs is given time');
$api->wait_for_object("$core/pods/$pod->{metadata}{name}", sub { $_[0]{status} == 404 });
status_is('web', available(2));
isnt(join(' ', map { $_->{metadata}{uid} } items("$core/pods", 'app=web')), '', 'and another takes its place');

# --- services ---
$api->expect_success($api->create("$core/services", { metadata => { name => 'web' }, spec => { selector => { app => 'web' }, ports => [ { port => 80, targetPort => 'http' } ] } }));
my $endpoints = $api->wait_for_object("$core/endpoints/web", sub { @{ $_[0]{body}{subsets}[0]{addresses} // [] } == 2 })->{body};
is_deeply($endpoints->{subsets}[0]{ports}, [ { port => 8080, protocol => 'TCP' } ], 'Endpoints name the pods\' port');
my ($slice) = items("/apis/discovery.k8s.io/v1/namespaces/$space/endpointslices", 'kubernetes.io/service-name=web');
is(scalar(@{ $slice->{endpoints} }), 2, 'and so does an EndpointSlice');

# --- scale ---
is($api->patch("$deployments/web/scale", { spec => { replicas => 5 } }, query => { fieldManager => 'autoscaler' })->{body}{spec}{replicas}, 5, 'scale');
status_is('web', available(5));
is($api->get("$deployments/web/scale")->{body}{status}{replicas}, 5, 'and its status follows');
$api->wait_for_object("$core/endpoints/web", sub { @{ $_[0]{body}{subsets}[0]{addresses} // [] } == 5 });
my $conflict = $api->apply("$deployments/web", deployment('web', replicas => 2));
is($conflict->{body}{details}{causes}[0]{message}, 'conflict with "autoscaler" with subresource "scale" using apps/v1', 'who scaled owns the number');

# --- a rolling update keeps enough pods ---
$start = $api->get($deployments)->{body}{metadata}{resourceVersion};
$api->patch("$deployments/web", [ { op => 'replace', path => '/spec/template/spec/containers/0/image', value => 'nginx:2' } ], content_type => 'application/json-patch+json');
my $rolled = status_is('web', available(5));
is($rolled->{metadata}{annotations}{'deployment.kubernetes.io/revision'}, '2', 'a changed template is a new revision');
my @sizes = map { JSON::PP::decode_json($_)->{object}{status} } split /\n/,
  $api->get($deployments, query => { watch => 1, timeoutSeconds => 1, resourceVersion => $start })->{text};
is(scalar(grep { ($_->{availableReplicas} // 0) < 4 || $_->{replicas} > 7 } @sizes), 0, 'never fewer than 4 available, never more than 7 in all');
is_deeply([ sort { $a <=> $b } map { $_->{spec}{replicas} } items("/apis/apps/v1/namespaces/$space/replicasets", 'app=web') ], [ 0, 5 ], 'the old ReplicaSet stays, empty');

# --- progress that does not come ---
$api->expect_success($api->apply("$deployments/stuck", do {
    my $object = deployment('stuck', replicas => 1, progressDeadlineSeconds => 1);
    $object->{spec}{template}{spec}{nodeSelector} = { disk => 'none' };
    $object;
}));
my $stuck = status_is('stuck', sub { grep { $_->{type} eq 'Progressing' && $_->{status} eq 'False' } @{ $_[0]{conditions} // [] } });
is((grep { $_->{type} eq 'Progressing' } @{ $stuck->{status}{conditions} })[0]{reason}, 'ProgressDeadlineExceeded', 'a Deployment past its deadline says so');

# --- nodes that go, and owners that go ---
$api->create_node('n2');
$api->delete('/api/v1/nodes/' . $api->name('n1'));
$api->wait_until(sub { my @pods = items("$core/pods", 'app=web');
    return @pods == 5 && !grep { ($_->{spec}{nodeName} // '') ne $api->name('n2') } @pods }, 'pods of a lost Node are made anew on another');
$api->delete("$deployments/$_") for qw(web stuck);
$api->wait_until(sub { !items("$core/pods") && !items("/apis/apps/v1/namespaces/$space/replicasets") }, 'what a Deployment owned goes with it');
ok(!$api->get("$core/endpoints/web")->{body}{subsets}, 'and the Service has no endpoints');
$api->delete("$core/services/web");
$api->wait_for_object("$core/endpoints/web", sub { $_[0]{status} == 404 });
$api->wait_until(sub { !items("/apis/discovery.k8s.io/v1/namespaces/$space/endpointslices") }, 'a Service takes its slices along');

# --- kubectl ---
SKIP: {
    DBNet::Need::or_skip('kubectl');
    $ENV{HOME} = $api->directory;
    my $kubectl = sub { my ($status, $output, $errors) = $api->kubectl('-n', $space, @_); return "$status $output$errors" };
    my $document = JSON::PP::encode_json(deployment('k', replicas => 1));
    is($kubectl->('apply', '--server-side', '-f', '-', \$document), "0 deployment.apps/k serverside-applied\n", 'kubectl apply');
    is($kubectl->('wait', '--for=condition=Available', 'deployment/k', '--timeout=60s'), "0 deployment.apps/k condition met\n", 'kubectl wait');
    is($kubectl->('scale', 'deployment/k', '--replicas=3'), "0 deployment.apps/k scaled\n", 'kubectl scale');
    like($kubectl->('rollout', 'status', 'deployment/k', '--timeout=60s'), qr/^0 .*deployment "k" successfully rolled out\n\z/s, 'kubectl rollout status');
    like($kubectl->('get', 'deployment', 'k'), qr{NAME\s+READY\s+UP-TO-DATE\s+AVAILABLE\s+AGE\nk\s+3/3\s+3\s+3\s+\d+s\n}, 'kubectl get deployment');
    like($kubectl->('get', 'pods', '-o', 'wide'), qr{(?:k-\S+\s+1/1\s+Running\s+0\s+\d+s\s+10\.244\S+\s+n2\s.*\n){3}\z}, 'kubectl get pods');
}
done_testing;
