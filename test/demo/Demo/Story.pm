# Tells Example 1 while it happens: what is done, in SQL, and what came of it, from DBNet's own tables and from the
# cluster itself. Every number that is printed was read or measured in this run, but the paper's.
package Demo::Story;

use strict;
use warnings FATAL => 'all';
use Demo::Screen;
use Demo::Timeline;
use JSON::PP ();
use PostgreSQL::Test::Utils ();
use Time::HiRes qw(sleep);

my @traffic = (240, 300, 345);    # requests per second; three nodes may carry 360
my $surge = 384;

my ($example, $api);

sub tell {
    my $watch;
    ($example, $watch, my $node_start_ms) = @_;
    $api = $example->{api};
    tell_where($node_start_ms);
    tell_policy($example->set_up);
    tell_devices();
    tell_plan();
    my $timeline = Demo::Timeline->new($example, $watch, tell_traffic());
    tell_timeline($timeline);
    tell_result($timeline);
    tell_time($timeline);
    tell_why($timeline);
    return;
}

sub line      { return Demo::Screen::line(@_) }
sub paragraph { return Demo::Screen::paragraph($_[0], 2) }

# Names without the prefix that keeps them apart on a cluster of others.
sub short { my ($name) = @_; my $prefix = $api->name(''); return $name =~ s/^\Q$prefix\E//r }

sub tell_where {
    my ($node_start_ms) = @_;
    my $version = $api->expect_success($api->get('/version'))->{gitVersion} =~ /^(v[1-9]\d*\.\d+\.\d+)/ ? " $1" : '';    # a build may not know its own
    line(Demo::Screen::strong('DBNet, Example 1 of the paper: traffic load balancing'));
    line();
    line('  PostgreSQL  ' . $example->query('SHOW server_version') . ', a cluster of this demo alone, fsync on');
    line('  Kubernetes  ' . {
            simulator => 'the simulator of test/kubesim',
            binaries  => "kube-apiserver$version, controllers and scheduler, started from KUBEBUILDER_ASSETS",
            cluster   => 'the cluster of context ' . ($ENV{DBNET_TEST_CONTEXT} // '') . ", kube-apiserver$version",
        }->{ $api->kind });
    if ($api->kind eq 'cluster') {
        line('              touched: namespace ' . $api->namespace . ', Nodes labelled ' . $api->selector);
        line('              names below without their prefix ' . $api->name(''));
    }
    line('  Machines    ' . ($api->kind eq 'simulator' ? 'simulated' : 'none: a stand-in says that Nodes are ready and Pods run, as kubelets would'));
    line("              a new one takes $node_start_ms ms to start");
    return;
}

sub tell_policy {
    my ($seconds) = @_;
    Demo::Screen::heading('1. The policy, in SQL');
    my $policy = PostgreSQL::Test::Utils::slurp_file($example->sql_file('policy'));
    Demo::Screen::sql($policy);
    my ($tables, $routines, $triggers) = split /\|/, $example->query(q{
        SELECT (SELECT count(*) FROM pg_tables WHERE schemaname IN ('net', 'metrics', 'policy')),
               (SELECT count(*) FROM pg_proc WHERE pronamespace IN ('metrics'::regnamespace, 'policy'::regnamespace)),
               (SELECT count(*) FROM pg_trigger WHERE tgrelid::regclass::text LIKE 'net.%' AND NOT tgisinternal AND tgname <> 'dbnet_capture')});
    line();
    paragraph(sprintf 'Created: 3 schemas, %d tables, %d procedures and functions, %d triggers in %.3f~s, and 4 mirrors, which ask the cluster what its '
          . 'kinds look like, in %.3f~s. (The paper: 7 schemas, 7 tables, 9 procedures, 5 triggers for its entire example in 0.35~s.)',
        $tables, $routines, $triggers, $seconds->{tables} + $seconds->{policy}, $seconds->{mirrors});
    return;
}

sub tell_devices {
    Demo::Screen::heading('2. Rows become devices');
    paragraph('Role sre inserts three nodes, an auto-scaler and a load-balancer in one transaction (example1/devices.sql):');
    $example->insert_devices;
    line();
    tell_calls(Demo::Timeline::calls($example, 'true'));
    line();
    paragraph('and the cluster makes them run:');
    line();
    tell_nodes();
    return;
}

sub tell_calls {
    my (@calls) = @_;
    Demo::Screen::table([ 'answer', 'latency', 'device call', 'fields' ],
        map { [ $_->{status}, sprintf('%.1f ms', $_->{latency}), call($_), fields($_->{paths}, 4) ] } @calls);
    return;
}

sub call { my ($call) = @_; return "$call->{operation} $call->{kind} " . short($call->{name}) }

# The last members of the paths, so many of them.
sub fields {
    my ($paths, $limit) = @_;
    my @fields = map { s/.*\.(?=\w+$)//r =~ s/^metadata\.//r =~ s/"//gr } split /, /, $paths;
    my $more = @fields > $limit ? ' and ' . (@fields - $limit) . ' more' : '';
    splice @fields, $limit if $more ne '';
    return join(', ', @fields) . $more;
}

sub tell_nodes {
    my @rows = map { [ split /\|/, $_, -1 ] } split /\n/, $example->query(q{
        SELECT node.name, node.ready, node.ingress_rps, node.cpu_percent, pod.name, pod.phase
        FROM net.nodes AS node LEFT JOIN net.pods AS pod ON pod.node = node.name ORDER BY node.name});
    Demo::Screen::table([ 'node', 'ready', 'ingress', 'cpu', 'pod', 'phase' ],
        map { [ short($_->[0]), $_->[1], "$_->[2] rps", "$_->[3] %", $_->[4], $_->[5] ] } @rows);
    return;
}

# The same policy, asked before it acts.
sub tell_plan {
    Demo::Screen::heading('3. What would more traffic do?');
    my $sql = "BEGIN;\nUPDATE net.nodes SET ingress_rps = 130;\nSELECT step, operation, mirror, key, fields, cause FROM dbnet.plan();\nROLLBACK;\n";
    Demo::Screen::sql($sql);
    line();
    my @plan = Demo::Timeline::rows($example, $sql, qw(step operation mirror key fields cause));
    Demo::Screen::table([ qw(step operation mirror key fields) ],
        map { [ @$_{qw(step operation mirror)}, short($_->{key} =~ s{.*/}{}r), fields(join(', ', sort keys %{ JSON::PP::decode_json($_->{fields}) }), 4) ] } @plan);
    line();
    paragraph('and why (column cause, of the first):');
    line();
    my @cause = split /, from /, $plan[0]{cause};
    line('    ' . ('  ' x $_) . ($_ ? 'from ' : '') . $cause[$_]) for 0 .. $#cause;
    line();
    paragraph('It was rolled back: nothing has been sent.');
    return;
}

# Returns the report of the traffic that was too much.
sub tell_traffic {
    Demo::Screen::heading('4. Traffic rises');
    paragraph('Role telemetry writes what the nodes report: UPDATE net.nodes SET ingress_rps, cpu_percent. It may do that and nothing else. '
          . 'No node is to carry more than 120 requests per second; traffic goes where Service and Nodes in the cluster say.');
    line();
    line(Demo::Screen::faint('    traffic  capacity  at the nodes'));
    my $report;
    for my $total (@traffic, $surge) {
        sleep 0.4;
        $report = $example->send_traffic($total);
        my @nodes = map { short($_) . " $report->{rps}{$_}" } sort keys %{ $report->{rps} };
        my ($capacity) = $example->query("SELECT capacity_rps FROM metrics.history WHERE transaction = '$report->{transaction}' ORDER BY at LIMIT 1");
        line(sprintf '    %3d rps   %3d rps  %-30s  %s', $total, $capacity, join('  ', @nodes),
            $total > $capacity ? Demo::Screen::alert('trigger overload fires') : Demo::Screen::faint('no trigger fires'));
        line('    ' . Demo::Screen::alert("NOTICE: $_")) for map { s/\Q@{[ $api->name('') ]}\E//gr } @{ $report->{notices} };
    }
    return $report;
}

sub tell_timeline {
    my ($timeline) = @_;
    Demo::Screen::heading('5. What that transaction set in motion');
    my ($after, $node) = ($timeline->{after}, short($timeline->{node}));
    my @events = (
        [ $timeline->{start}, "telemetry's UPDATE begins, transaction $timeline->{transaction}" ],
        [ $timeline->{before}{at}, "metrics recalculated: $timeline->{before}{ingress_rps} rps, capacity $timeline->{before}{capacity_rps}: trigger overload fires" ],
        [ $timeline->{provisioned}{at}, "policy.scale_out has provisioned $node: capacity $timeline->{provisioned}{capacity_rps}" ],
        [ $timeline->{committed}, 'COMMIT: row of the node, replicas and weights, all or none' ],
        (map { [ $_->{sent}, '-> ' . call($_) . ': ' . fields($_->{paths}, 4) ],
               [ $_->{answered}, "<- $_->{status} for $_->{kind} " . short($_->{name}) . sprintf ' after %.1f ms', $_->{latency} ] } @{ $timeline->{calls} }),
        [ $timeline->{ready}, "$node is Ready: the demo sees it in a watch of its own" ],
        [ $after->{at}, "the row says so; metrics recalculated: $after->{node_rps} rps a node instead of $timeline->{provisioned}{node_rps}" ],
        [ $timeline->{recalculated}, "COMMIT, transaction $after->{transaction}" ]);
    Demo::Screen::table([ 'ms', 'what' ], map { [ sprintf('%.1f', $timeline->ms($_->[0])), $_->[1] ] } sort { $a->[0] <=> $b->[0] } @events);
    return;
}

# From the cluster, not from the tables.
sub tell_result {
    my ($timeline) = @_;
    Demo::Screen::heading('6. What the cluster has now');
    my $space = '/api/v1/namespaces/' . $api->namespace;
    my $node = $api->expect_success($api->get("/api/v1/nodes/$timeline->{node}"));
    my $deployment = $api->expect_success($api->get('/apis/apps/v1/namespaces/' . $api->namespace . '/deployments/web'));
    my $service = $api->expect_success($api->get("$space/services/web"));
    my ($ready) = map { $_->{status} } grep { $_->{type} eq 'Ready' } @{ $node->{status}{conditions} };
    Demo::Screen::table([ 'object', 'has', '' ],
        [ 'Node ' . short($timeline->{node}), "Ready=$ready", 'created ' . $node->{metadata}{creationTimestamp} ],
        [ 'Deployment web', "replicas $deployment->{spec}{replicas}", 'was 3' ],
        [ 'Service web', 'weights', short_names($service->{metadata}{annotations}{'lb.example/weights'}) ]);
    line();
    paragraph('The same traffic once more: it goes where the Service says, and no trigger fires.');
    line();
    $example->wait_for('SELECT pods_ready = replicas FROM net.autoscalers', 'the new pod runs');
    $example->send_traffic($surge);
    tell_nodes();
    return;
}

sub short_names { my ($text) = @_; my $prefix = $api->name(''); return $prefix eq '' ? $text : $text =~ s/\Q$prefix\E//gr }

sub tell_time {
    my ($timeline) = @_;
    Demo::Screen::heading("7. DBNet's own share of the time");
    Demo::Screen::table([ 'ms', 'from', 'to' ],
        [ sprintf('%.1f', $timeline->policy_ms), 'the UPDATE begins', 'the request for the Node leaves: SQL, policy, COMMIT, worker' ],
        [ sprintf('%.1f', $timeline->report_ms), 'the watch shows it Ready', 'the recalculated metrics are committed' ]);
    line();
    paragraph(sprintf "That is all of PostgreSQL and DBNet on the way from the traffic to the recalculated metrics: %.1f~ms of %.3f~s, or %.1f~%%. The rest "
          . 'passed in the Kubernetes API and until the machine had started. (The paper: 27~ms of 1.8~s.)',
        $timeline->own_ms, $timeline->total_ms / 1000, 100 * $timeline->own_ms / $timeline->total_ms);
    return;
}

sub tell_why {
    my ($timeline) = @_;
    Demo::Screen::heading('8. Why was this node provisioned, and by whom?');
    my $sql = <<"SQL";
SELECT dbnet.why((SELECT min(id) FROM dbnet.actuation WHERE name = '$timeline->{node}'));
SQL
    Demo::Screen::sql(short_names($sql));
    line();
    my @steps = split /\n/, $example->query($sql);
    line('    ' . short_names($_)) for @steps;
    die "dbnet.why() does not lead from the call to the traffic and its client\n"
      if $steps[0] !~ /apply Node .* 201/ || !grep({ /ingress_rps \d+ \S+ \d+/ } @steps) || $steps[-1] !~ /who\s+telemetry/;
    line();
    paragraph('From the device call back to the row that it was made for, the procedure and the trigger that wrote it, the traffic that fired it, and the client.');
    return;
}

sub tell_how_to_stop {
    my (undef, $psql, $pid) = @_;
    Demo::Screen::heading('It goes on running (KEEP=1)');
    line("    $psql");
    line('    try                UPDATE net.nodes SET ingress_rps = 150;');
    line("    stop and clean up  kill $pid");
    return;
}

1;
