# Kinds with controllers of their own, on the simulator and on real servers alike: StatefulSets, DaemonSets, Jobs, autoscalers,
# disruption budgets, claims, Events and Leases, as kubectl and HTTP clients see them; and what deletion takes along.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use JSON::PP ();
use Test::More;

DBNet::Api::need('kubectl', 'controllers');
my $api = DBNet::Api->start(pods_running => 1, arguments => [ '--pod-start-delay-ms', 100 ]);
my $space = $api->namespace;
$ENV{HOME} = $api->directory;
my %path = (pods => "/api/v1/namespaces/$space/pods", (map { $_ => "/apis/apps/v1/namespaces/$space/$_" } qw(statefulsets daemonsets controllerrevisions deployments)),
    jobs => "/apis/batch/v1/namespaces/$space/jobs", leases => "/apis/coordination.k8s.io/v1/namespaces/$space/leases", maps => "/api/v1/namespaces/$space/configmaps",
    autoscalers => "/apis/autoscaling/v2/namespaces/$space/horizontalpodautoscalers", budgets => "/apis/policy/v1/namespaces/$space/poddisruptionbudgets");

sub kubectl { my ($status, $output, $errors) = $api->kubectl('-n', $space, @_); return "$status $output$errors" }
sub like_all { my ($text, $name, @patterns) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return ok(!(grep { $text !~ $_ } @patterns), $name) || diag($text) }
sub names { my ($path, $selector) = @_; return join ' ', map { $_->{metadata}{name} } @{ $api->get($path, query => { labelSelector => $selector // '' })->{body}{items} } }
sub made { my ($path, $object) = @_; return $api->expect_success($api->create($path, $object)) }
sub when { my ($path, $condition) = @_; return $api->wait_for_object($path, sub { $_[0]{status} == 200 && $condition->($_[0]{body}{status}, $_[0]{body}) })->{body} }
sub gone { my ($path) = @_; return $api->wait_for_object($path, sub { $_[0]{status} == 404 }) }
sub template { my ($name, $image, %spec) = @_; return { metadata => { labels => { app => $name } }, spec => { containers => [ { name => 'app', image => $image } ], %spec } } }

sub workload {
    my ($kind, $name, %spec) = @_;
    return { apiVersion => 'apps/v1', kind => $kind, metadata => { name => $name }, spec => { selector => { matchLabels => { app => $name } }, template => template($name, 'app:1'), %spec } };
}

sub job {
    my ($name, $command, %spec) = @_;
    return { apiVersion => 'batch/v1', kind => 'Job', metadata => { name => $name },
        spec => { template => { spec => { restartPolicy => 'Never', containers => [ { name => 'app', image => 'app:1', command => $command } ] } }, %spec } };
}
sub managers { my ($object) = @_; return join ', ', map { join ' ', grep { defined } @{$_}{qw(manager operation subresource)} } @{ $object->{metadata}{managedFields} } }
$api->create_node('n1');
my $minor = $api->minor;

# --- StatefulSet ---
my $set = made($path{statefulsets}, workload('StatefulSet', 'db', serviceName => 'db', replicas => 2));
is_deeply($set->{status}, { replicas => 0, availableReplicas => 0 }, 'a new StatefulSet has a status of zeros');
is_deeply([ @{ $set->{spec} }{qw(podManagementPolicy revisionHistoryLimit updateStrategy)} ], [ 'OrderedReady', 10, { type => 'RollingUpdate', rollingUpdate => { partition => 0 } } ], 'and the defaults');
like(kubectl('rollout', 'status', 'statefulset/db', '--timeout=60s'), qr/^0 .*partitioned roll out complete: 2 new pods have been updated\.\.\.\n\z/s, 'kubectl rollout status statefulset');
$set = when("$path{statefulsets}/db", sub { ($_[0]{availableReplicas} // 0) == 2 });
my $revision = $set->{status}{currentRevision};
is_deeply($set->{status}, { availableReplicas => 2, collisionCount => 0, currentReplicas => 2, currentRevision => $revision, observedGeneration => 1, readyReplicas => 2, replicas => 2,
        updateRevision => $revision, updatedReplicas => 2 }, 'its whole status');
is(managers($set), 'curl Update, kube-controller-manager Update status', 'and who wrote what');
my $pod = $api->get("$path{pods}/db-0")->{body};
is_deeply($pod->{metadata}{labels}, { app => 'db', 'controller-revision-hash' => $revision, 'statefulset.kubernetes.io/pod-name' => 'db-0',
        ($minor >= 28 ? ('apps.kubernetes.io/pod-index' => '0') : ()) }, 'labels of a pod');
is_deeply([ @{ $pod->{spec} }{qw(hostname subdomain)}, $pod->{metadata}{ownerReferences}[0]{controller} ], [ 'db-0', 'db', JSON::PP::true ], 'which has a name in the network, and a controller');
is($api->get("$path{controllerrevisions}/$revision")->{body}{data}{spec}{template}{'$patch'}, 'replace', 'the template is remembered');
is(kubectl('scale', 'statefulset/db', '--replicas=3'), "0 statefulset.apps/db scaled\n", 'kubectl scale statefulset');
when("$path{statefulsets}/db", sub { $_[0]{observedGeneration} == 2 && ($_[0]{readyReplicas} // 0) == 3 });
is(names($path{pods}, 'app=db'), 'db-0 db-1 db-2', 'numbers go on');
my $start = $api->get($path{pods})->{body}{metadata}{resourceVersion};
is(kubectl('set', 'image', 'statefulset/db', 'app=app:2'), "0 statefulset.apps/db image updated\n", 'another template');
like(kubectl('rollout', 'status', 'statefulset/db', '--timeout=60s'), qr/^0 .*partitioned roll out complete: 3 new pods/s, 'is rolled out');
my @deleted = map { $_->{object}{metadata}{name} } grep { $_->{type} eq 'DELETED' } map { JSON::PP::decode_json($_) } split /\n/,
  $api->get($path{pods}, query => { watch => 1, timeoutSeconds => 1, resourceVersion => $start })->{text};
is("@deleted", 'db-2 db-1 db-0', 'from the highest number down');
like(kubectl('get', 'statefulset', 'db', '-o', 'wide'), qr{NAME\s+READY\s+AGE\s+CONTAINERS\s+IMAGES\ndb\s+3/3\s+\S+\s+app\s+app:2\n}, 'kubectl get statefulset');
like_all(kubectl('describe', 'statefulset', 'db'), 'kubectl describe statefulset', qr/Replicas:\s+3 desired \| 3 total/, qr{Pods Status:\s+3 Running / 0 Waiting / 0 Succeeded / 0 Failed});
my $refused = $api->patch("$path{statefulsets}/db", { spec => { serviceName => 'other' } });
is_deeply([ $refused->{status}, $refused->{body}{details}{causes}[0]{reason}, $refused->{body}{details}{causes}[0]{field} ], [ 422, 'FieldValueForbidden', 'spec' ], 'most of it cannot change');

# --- disruption budget ---
made($path{budgets}, { metadata => { name => 'db' }, spec => { minAvailable => 2, selector => { matchLabels => { app => 'db' } } } });
my $budget = when("$path{budgets}/db", sub { ($_[0]{observedGeneration} // 0) == 1 });
delete $budget->{status}{conditions}[0]{lastTransitionTime};
is_deeply($budget->{status}, { currentHealthy => 3, desiredHealthy => 2, disruptionsAllowed => 1, expectedPods => 3, observedGeneration => 1,
        conditions => [ { type => 'DisruptionAllowed', status => 'True', reason => 'SufficientPods', message => '', observedGeneration => 1 } ] }, 'what a budget allows');
like(kubectl('get', 'pdb'), qr{NAME\s+MIN AVAILABLE\s+MAX UNAVAILABLE\s+ALLOWED DISRUPTIONS\s+AGE\ndb\s+2\s+N/A\s+1\s+\S+\n}, 'kubectl get pdb');
$api->patch("$path{budgets}/db", { spec => { minAvailable => 3 } });
when("$path{budgets}/db", sub { $_[0]{observedGeneration} == 2 });
my $evicted = $api->create("$path{pods}/db-1/eviction", { apiVersion => 'policy/v1', kind => 'Eviction', metadata => { name => 'db-1' } });
is_deeply([ $evicted->{status}, @{ $evicted->{body} }{qw(reason message)}, $evicted->{body}{details}{causes} ], [ 429, 'TooManyRequests', "Cannot evict pod as it would violate the pod's disruption budget.",
        [ { reason => 'DisruptionBudget', message => 'The disruption budget db needs 3 healthy pods and has 3 currently' } ] ], 'an eviction that it does not allow');
is($api->put("$path{budgets}/db", { metadata => { name => 'db' }, spec => { minAvailable => 1, selector => {} } })->{body}{details}{causes}[0]{field}, 'metadata.resourceVersion', 'a replacement names its revision');

# --- autoscaler: within its limits ---
made($path{deployments}, workload('Deployment', 'web'));
made($path{autoscalers}, { metadata => { name => 'web' }, spec => { minReplicas => 2, maxReplicas => 4, scaleTargetRef => { apiVersion => 'apps/v1', kind => 'Deployment', name => 'web' },
            metrics => [ { type => 'Resource', resource => { name => 'cpu', target => { type => 'Utilization', averageUtilization => 60 } } } ] } });
my $scaler = when("$path{autoscalers}/web", sub { my %is = map { $_->{type} => "$_->{status}/$_->{reason}" } @{ $_[0]{conditions} // [] };
        return ($_[0]{currentReplicas} // 0) == 2 && ($is{AbleToScale} // '') eq 'True/SucceededGetScale' && ($is{ScalingActive} // '') eq 'False/FailedGetResourceMetric' });
is_deeply([ sort keys %{ $scaler->{status} } ], [qw(conditions currentMetrics currentReplicas desiredReplicas lastScaleTime)], 'what an autoscaler reports');
my $scaled = $api->get("$path{deployments}/web")->{body};
is($scaled->{spec}{replicas}, 2, 'too few replicas are made more');
like(managers($scaled), qr/kube-controller-manager Update scale/, 'by the scale subresource');
is($api->get("/apis/autoscaling/v1/namespaces/$space/horizontalpodautoscalers/web")->{body}{spec}{targetCPUUtilizationPercentage}, 60, 'it is an object of v1, too');
like(kubectl('get', 'hpa', 'web'), qr{NAME\s+REFERENCE\s+TARGETS\s+MINPODS\s+MAXPODS\s+REPLICAS\s+AGE\nweb\s+Deployment/web\s+(?:cpu: )?<unknown>/60%\s+2\s+4\s+2\s}, 'kubectl get hpa');
like(kubectl('autoscale', 'deployment', 'web', '--name=again', '--min=1', '--max=3', '--cpu-percent=50'), qr/^0 horizontalpodautoscaler.autoscaling\/again autoscaled\n/, 'kubectl autoscale');
$api->delete("$path{autoscalers}/$_") for qw(again web);

# --- DaemonSet ---
my $daemons = made($path{daemonsets}, workload('DaemonSet', 'agent'));
is($daemons->{metadata}{annotations}{'deprecated.daemonset.template.generation'}, '1', 'a DaemonSet counts its templates');
like(kubectl('rollout', 'status', 'daemonset/agent', '--timeout=60s'), qr/^0 .*daemon set "agent" successfully rolled out\n\z/s, 'kubectl rollout status daemonset');
is_deeply(when("$path{daemonsets}/agent", sub { $_[0]{numberReady} == 1 })->{status}, { currentNumberScheduled => 1, desiredNumberScheduled => 1, numberAvailable => 1, numberMisscheduled => 0,
        numberReady => 1, observedGeneration => 1, updatedNumberScheduled => 1 }, 'its whole status');
$api->create_node('n2');
when("$path{daemonsets}/agent", sub { $_[0]{numberReady} == 2 });
pass('a new Node gets a pod');
is(kubectl('set', 'image', 'daemonset/agent', 'app=app:2'), "0 daemonset.apps/agent image updated\n", 'another template');
like(kubectl('rollout', 'status', 'daemonset/agent', '--timeout=60s'), qr/^0 .*successfully rolled out\n\z/s, 'is rolled out');
like(kubectl('get', 'daemonset'), qr{NAME\s+DESIRED\s+CURRENT\s+READY\s+UP-TO-DATE\s+AVAILABLE\s+NODE SELECTOR\s+AGE\nagent\s+2\s+2\s+2\s+2\s+2\s+<none>\s}, 'kubectl get daemonset');

# --- Job ---
my $job = made($path{jobs}, job('good', ['true'], completions => 3, parallelism => 2));
is_deeply($job->{spec}{selector}{matchLabels}, { ($minor >= 27 ? 'batch.kubernetes.io/' : '') . 'controller-uid' => $job->{metadata}{uid} }, 'a Job makes its selector');
is_deeply([ $job->{status}, @{ $job->{spec} }{qw(backoffLimit completionMode suspend)}, $job->{metadata}{annotations} ], [ {}, 6, 'NonIndexed', JSON::PP::false, $minor >= 30 ? undef : { 'batch.kubernetes.io/job-tracking' => '' } ],
    'and the defaults');
is(kubectl('wait', '--for=condition=Complete', 'job/good', '--timeout=60s'), "0 job.batch/good condition met\n", 'kubectl wait job');
$job = when("$path{jobs}/good", sub { $_[0]{succeeded} == 3 });
is_deeply([ sort keys %{ $job->{status} } ], [ qw(completionTime conditions ready startTime succeeded), ($minor >= 31 ? 'terminating' : ()), 'uncountedTerminatedPods' ], 'what a Job reports at its end');
is_deeply([ map { "$_->{type}=$_->{status}" } @{ $job->{status}{conditions} } ], [ ($minor >= 31 ? 'SuccessCriteriaMet=True' : ()), 'Complete=True' ], 'its conditions');
like(kubectl('get', 'job', 'good'), qr{NAME\s+(?:STATUS\s+)?COMPLETIONS\s+DURATION\s+AGE\ngood\s+(?:Complete\s+)?3/3\s}, 'kubectl get job');
like_all(kubectl('describe', 'job', 'good'), 'kubectl describe job', qr{Parallelism:\s+2}, qr{Pods Statuses:\s+0 Active.* / 3 Succeeded / 0 Failed});
$refused = $api->patch("$path{jobs}/good", { spec => { template => { spec => { containers => [ { name => 'app', image => 'app:2' } ] } } } });
is_deeply([ $refused->{status}, $refused->{body}{details}{causes}[0]{field} ], [ 422, 'spec.template' ], 'its template cannot change');
like($refused->{body}{message}, qr/^Job\.batch "good" is invalid: spec\.template: Invalid value: .*: field is immutable$/s, 'and the server says so');
made($path{jobs}, job('bad', ['false'], backoffLimit => 0));
my ($failed) = grep { $_->{type} eq 'Failed' } @{ when("$path{jobs}/bad", sub { grep { $_->{type} eq 'Failed' } @{ $_[0]{conditions} // [] } })->{status}{conditions} };
is_deeply([ @{$failed}{qw(type status reason message)} ], [ 'Failed', 'True', 'BackoffLimitExceeded', 'Job has reached the specified backoff limit' ], 'a Job that fails');
made($path{jobs}, job('numbers', ['true'], completions => 2, parallelism => 2, completionMode => 'Indexed'));
is(when("$path{jobs}/numbers", sub { ($_[0]{succeeded} // 0) == 2 })->{status}{completedIndexes}, '0,1', 'a Job with indexes');
made($path{jobs}, job('paused', ['true'], suspend => JSON::PP::true));
is(when("$path{jobs}/paused", sub { @{ $_[0]{conditions} // [] } })->{status}{conditions}[0]{reason}, 'JobSuspended', 'a suspended Job');
is(names($path{pods}, 'job-name=paused'), '', 'has no pods');

# --- deletion: with its dependents, without, after them ---
my $orphaning = $api->delete("$path{jobs}/good");
like($orphaning->{headers}{warning}, qr/child pods are preserved by default when jobs are deleted/, 'a Job deleted without a word warns');
is_deeply($orphaning->{body}{metadata}{finalizers}, ['orphan'], 'waits until its pods are on their own');
gone("$path{jobs}/good");
my @left = @{ $api->get($path{pods}, query => { labelSelector => 'job-name=good' })->{body}{items} };
is(scalar(@left), 3, 'and they stay');
is_deeply([ map { $_->{metadata}{ownerReferences} // () } @left ], [], 'without an owner');
$api->delete("$path{jobs}/numbers", query => { propagationPolicy => 'Background' });
$api->wait_until(sub { names($path{pods}, 'job-name=numbers') eq '' }, 'pods of a Job deleted in the background go');
is(kubectl('delete', 'statefulset', 'db', '--cascade=orphan'), "0 statefulset.apps \"db\" deleted\n", 'kubectl delete --cascade=orphan');
is(names($path{pods}, 'app=db'), 'db-0 db-1 db-2', 'leaves the pods');
made($path{statefulsets}, workload('StatefulSet', 'db', serviceName => 'db', replicas => 3, template => template('db', 'app:2')));
when("$path{statefulsets}/db", sub { ($_[0]{readyReplicas} // 0) == 3 });
is($api->get("$path{pods}/db-0")->{body}{metadata}{ownerReferences}[0]{kind}, 'StatefulSet', 'which another of that name adopts');
is(kubectl('delete', 'deployment', 'web', '--cascade=foreground'), "0 deployment.apps \"web\" deleted\n", 'kubectl delete --cascade=foreground');
is(names($path{pods}, 'app=web'), '', 'comes back when the pods are gone');
my $owner = made($path{maps}, { metadata => { name => 'owner' } });
my @owners = map { { apiVersion => 'v1', kind => 'ConfigMap', name => 'owner', uid => $_ } } $owner->{metadata}{uid}, '00000000-0000-4000-8000-000000000000';
made($path{maps}, { metadata => { name => 'shared', ownerReferences => [ @owners ] } });
made($path{maps}, { metadata => { name => 'stray', ownerReferences => [ $owners[1] ] } });
gone("$path{maps}/stray");
$api->wait_for_object("$path{maps}/shared", sub { @{ $_[0]{body}{metadata}{ownerReferences} // [] } == 1 });
pass('owners that are not there are forgotten, and who has no other goes');
$api->delete("$path{maps}/owner");
gone("$path{maps}/shared");

# --- what is stored and looked at ---
my $claims = "/api/v1/namespaces/$space/persistentvolumeclaims";
my $claim = made($claims, { metadata => { name => 'disk' }, spec => { accessModes => ['ReadWriteOnce'], resources => { requests => { storage => '1024Mi' } } } });
is_deeply([ $claim->{metadata}{finalizers}, $claim->{status}, @{ $claim->{spec} }{qw(volumeMode)}, $claim->{spec}{resources} ],
    [ ['kubernetes.io/pvc-protection'], { phase => 'Pending' }, 'Filesystem', { requests => { storage => '1Gi' } } ], 'a claim waits for a volume');
$api->delete("$claims/disk");
gone("$claims/disk");
my $events = "/api/v1/namespaces/$space/events";
made($events, { metadata => { name => 'e' }, involvedObject => { kind => 'Pod', name => 'db-0', namespace => $space }, reason => 'Tested', message => 'by a test', type => 'Normal', count => 2,
        source => { component => 'tester' }, firstTimestamp => '2026-11-23T08:00:00Z', lastTimestamp => '2026-11-23T08:00:00Z' });
my $event = $api->get("/apis/events.k8s.io/v1/namespaces/$space/events/e")->{body};
is_deeply([ @{$event}{qw(note deprecatedCount eventTime)}, $event->{regarding}{name}, $event->{deprecatedSource} ], [ 'by a test', 2, undef, 'db-0', { component => 'tester' } ], 'an Event is one of events.k8s.io, too');
is_deeply([ map { $_->{metadata}{name} } @{ $api->get($events, query => { fieldSelector => 'involvedObject.name=db-0,reason=Tested,source=tester' })->{body}{items} } ], ['e'], 'found by what it is about');
like(kubectl('get', 'events', '--field-selector', 'reason=Tested'), qr{LAST SEEN\s+TYPE\s+REASON\s+OBJECT\s+MESSAGE\n\S+\s+Normal\s+Tested\s+pod/db-0\s+by a test\n}, 'kubectl get events');

# What servers ask of those of the newer kind, in their words.
my $new_events = "/apis/events.k8s.io/v1/namespaces/$space/events";
sub new_event { my (%change) = @_; my %event = (metadata => { name => 'n' }, eventTime => '2026-11-23T08:00:00.000001Z', reportingController => 'example.com/tester', reportingInstance => 'i', action => 'Test', reason => 'Tested',
        type => 'Normal', note => 'n', regarding => { kind => 'Pod', name => 'p', namespace => $space }, %change); delete @event{ grep { !defined $event{$_} } keys %event }; return \%event }
sub refused { my ($answer) = @_; return $answer->{status} == 422 ? $answer->{body}{message} =~ s/^Event "n" is invalid: //r : $answer->{status} }
my $part = q{name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')};
my $place = 'involvedObject.namespace: Invalid value: "": does not match event.namespace';
is(refused($api->create($new_events, new_event(@{ $_->[0] }))), $_->[1], "an Event with @{[ $_->[0][0] ]} @{[ substr $_->[0][1] // 'left out', 0, 10 ]}")
  for [ [ eventTime => undef ], 'eventTime: Required value' ], [ [ reportingInstance => undef ], 'reportingInstance: Required value' ], [ [ action => undef ], 'action: Required value' ],
  [ [ reason => undef ], 'reason: Required value' ], [ [ type => 'Odd' ], 'type: Invalid value: "": has invalid value: Odd' ], [ [ regarding => undef ], $place ],
  [ [ reportingController => undef ], qq{[reportingController: Required value, reportingController: Invalid value: "": name part must be non-empty, reportingController: Invalid value: "": $part]} ],
  [ [ reportingController => 'a b' ], qq{reportingController: Invalid value: "a b": $part} ], (map { [ [ $_ => 'a' x 129 ], qq{$_: Invalid value: "": can have at most 128 characters} ] } qw(reportingInstance action reason)),
  [ [ note => "\x{e4}" x 513 ], 'message: Invalid value: "": can have at most 1024 characters' ], [ [ series => { count => 1, lastObservedTime => '2026-11-23T08:00:01.000001Z' } ], 'series.count: Invalid value: "": should be at least 2' ],
  [ [ series => { count => 2 } ], 'series.lastObservedTime: Required value' ], [ [ deprecatedCount => 2 ], 'count: Invalid value: "": needs to be unset' ], [ [ eventTime => '2026-11-23T08:00:00Z' ], 400 ],
  [ [ note => "\x{e4}" x 512 ], 201 ];
is(refused($api->patch("$new_events/n", $_->[0])), $_->[1], "a change of @{[ keys %{ $_->[0] } ]}")
  for [ { series => { count => 2, lastObservedTime => '2026-11-23T08:00:01.000001Z' } }, 200 ], [ { series => { count => 1 } }, 'series.count: Invalid value: "": should be at least 2' ],
  [ { note => 'other' }, 'message: Invalid value: "other": field is immutable' ], [ { eventTime => '2026-11-23T08:00:05.000001Z' }, 'eventTime: Invalid value: 2026-11-23 08:00:05.000001 +0000 UTC: field is immutable' ],
  [ { regarding => { name => 'q' } }, qq{involvedObject: Invalid value: core.ObjectReference{Kind:"Pod", Namespace:"$space", Name:"q", UID:"", APIVersion:"", ResourceVersion:"", FieldPath:""}: field is immutable} ];

my $lease = { metadata => { name => 'lock' }, spec => { holderIdentity => 'a', leaseDurationSeconds => 15, renewTime => '2026-11-23T08:00:00.500000Z' } };
my $held = $api->put("$path{leases}/lock", $lease);
is_deeply([ $held->{status}, $held->{body}{spec}{renewTime} ], [ 201, '2026-11-23T08:00:00.500000Z' ], 'a Lease is made by its first update');
is($api->put("$path{leases}/lock", $lease)->{status}, 422, 'the next must say which revision it replaces');
$lease->{metadata}{resourceVersion} = $held->{body}{metadata}{resourceVersion};
is_deeply([ map { $api->put("$path{leases}/lock", { %$lease, spec => { holderIdentity => $_ } })->{status} } qw(b c) ], [ 200, 409 ], 'of two who do, one wins');
is($api->create($path{leases}, { metadata => { name => 'short' }, spec => { renewTime => '2026-11-23T08:00:00.5Z' } })->{status}, 400, 'a time without microseconds is refused');
like(kubectl('create', 'cronjob', 'nightly', '--image=app:1', '--schedule=0 0 1 1 *'), qr/^0 cronjob.batch\/nightly created/, 'kubectl create cronjob');
like(kubectl('create', 'job', 'now', '--from=cronjob/nightly'), qr/^0 job.batch\/now created/, 'kubectl create job');
like(kubectl('create', 'poddisruptionbudget', 'more', '--selector=app=x', '--max-unavailable=50%'), qr/^0 poddisruptionbudget.policy\/more created/, 'kubectl create poddisruptionbudget');
like(kubectl('create', 'serviceaccount', 'robot'), qr/^0 serviceaccount\/robot created/, 'kubectl create serviceaccount');
$api->wait_for_object("/api/v1/namespaces/$space/serviceaccounts/default", sub { $_[0]{status} == 200 });
like(kubectl('explain', 'statefulset.spec.serviceName'), qr/^0 .*FIELD: serviceName/s, 'kubectl explain');
is(kubectl('auth', 'can-i', 'create', 'jobs.batch'), "0 yes\n", 'kubectl auth can-i');
done_testing;
