# Stands in for the kubelets of real servers, in processes of its own: every Node of the run that has no Ready condition
# gets one, as a kubelet's first report has it; on request every Pod that the scheduler has put on a Node runs, to its end
# when it is not restarted always and its command is true, false or sleep.
package DBNet::Api::KubeletStandIn;

use strict;
use warnings FATAL => 'all';
use DBNet::Process;
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep);

# Nodes. Options: query (text) that restricts which Nodes are reported; taint (key): Nodes carry this taint before they
# become Ready, so that the Pods of others keep off; renew (1): a Ready Node is reported again every 30 s, for servers
# that expect it. Returns the process.
sub start {
    my ($api, %options) = @_;
    $api = $api->direct;
    my %reported;    # by uid
    return start_watch($api, 'nodes_ready', '/api/v1/nodes?' . ($options{query} // ''), sub {
        my ($event, $node) = @_;
        my $is_ready = grep { $_->{type} eq 'Ready' && $_->{status} eq 'True' } @{ $node->{status}{conditions} // [] };
        return if $node->{metadata}{deletionTimestamp};
        return if $is_ready && !($options{renew} && $event eq 'ADDED');
        return report_node($api, $node, $options{taint}) if $is_ready;
        return if $reported{ $node->{metadata}{uid} }++;
        in_background(($api->{options}{node_ready_delay_ms} // 0) / 1000, sub { report_node($api, $node, $options{taint}) });
    });
}

# Pods of the run's namespace. Returns the process.
sub start_pods {
    my ($api) = @_;
    $api = $api->direct;
    my %seen;        # address by uid
    return start_watch($api, 'pods_running', '/api/v1/namespaces/' . $api->namespace . '/pods?', sub {
        my ($event, $pod) = @_;
        return if !$pod->{spec}{nodeName};
        return finish_pod($api, $pod) if $pod->{metadata}{deletionTimestamp};
        return if ($pod->{status}{phase} // '') ne 'Pending' || $seen{ $pod->{metadata}{uid} };
        my $number = $seen{ $pod->{metadata}{uid} } = 1 + keys %seen;
        report_pod($api, $pod, sprintf '10.244.%d.%d', $number / 250, 1 + $number % 250);
        my ($program, $seconds) = @{ $pod->{spec}{containers}[0]{command} // [] };
        in_background($program eq 'sleep' ? $seconds : 0, sub { report_end($api, $pod, $program eq 'false' ? 1 : 0) })
          if $pod->{spec}{restartPolicy} ne 'Always' && ($program // '') =~ /^(?:true|false|sleep)$/;
    });
}

# Calls $handle->(event, object) for all that a watch without a resource version shows: it starts with what exists.
sub start_watch {
    my ($api, $name, $path, $handle) = @_;
    my $test = $$;
    return DBNet::Process->start(
        name => $name,
        log  => "$api->{log_prefix}$name.log",
        code => sub { watch($api, "$path&watch=true&timeoutSeconds=30", $handle) while getppid == $test });
}

sub watch {
    my ($api, $path, $handle) = @_;
    my @command = DBNet::Process::command_tied_to_us('curl', '-sS', '-N', '-g', '--noproxy', '*', @{ $api->{credentials} }, $api->url . $path);
    open my $events, '-|', @command or die "curl: $!\n";
    while (my $line = <$events>) {
        my $event = eval { JSON::PP::decode_json($line) } // next;
        $handle->($event->{type}, $event->{object}) if $event->{type} =~ /^(?:ADDED|MODIFIED)$/;
    }
    close $events;
    sleep 0.5 if $?;
    return;
}

# Several Nodes start at the same time, like machines.
sub in_background {
    my ($seconds, $code) = @_;
    return $code->() if !$seconds;
    my $pid = fork // die "fork: $!\n";
    return waitpid $pid, 0 if $pid;
    POSIX::_exit(0) if fork;    # nobody has to wait for the one that goes on
    sleep $seconds;
    $code->();
    POSIX::_exit(0);
}

sub now { return POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime) }

sub condition {
    my ($type, $reason, $message) = @_;
    return { type => $type, status => 'True', reason => $reason, message => $message, lastTransitionTime => now() };
}

sub report_node {
    my ($api, $node, $taint) = @_;
    my $path = "/api/v1/nodes/$node->{metadata}{name}";
    my @taints = @{ $node->{spec}{taints} // [] };
    $api->patch($path, { spec => { taints => [ @taints, { key => $taint, effect => 'NoSchedule' } ] } }, query => { fieldManager => 'kubelet' })
      if defined $taint && !grep { $_->{key} eq $taint } @taints;
    my $ready = condition('Ready', 'KubeletReady', 'kubelet is posting ready status');
    $ready->{lastHeartbeatTime} = now();
    my $resources = { cpu => '4', memory => '16Gi', pods => '110' };
    $api->patch("$path/status", { status => { conditions => [$ready], capacity => $resources, allocatable => $resources } },
        content_type => 'application/strategic-merge-patch+json', query => { fieldManager => 'kubelet' });
    return;
}

sub pod_path { my ($pod) = @_; return "/api/v1/namespaces/$pod->{metadata}{namespace}/pods/$pod->{metadata}{name}" }

sub report_pod {
    my ($api, $pod, $address) = @_;
    my @containers = map { {
            name => $_->{name}, image => $_->{image}, imageID => "none/$_->{image}", ready => JSON::PP::true, started => JSON::PP::true,
            restartCount => 0, state => { running => { startedAt => now() } } } } @{ $pod->{spec}{containers} };
    $api->patch(pod_path($pod) . '/status', { status => {
            phase => 'Running', startTime => now(), podIP => $address, podIPs => [ { ip => $address } ], containerStatuses => \@containers,
            conditions => [ map { condition($_, undef, undef) } qw(Initialized ContainersReady Ready) ] } },
        content_type => 'application/strategic-merge-patch+json', query => { fieldManager => 'kubelet' });
    return;
}

# Containers that ran to their end.
sub report_end {
    my ($api, $pod, $exit_code) = @_;
    my @containers = map { {
            name => $_->{name}, image => $_->{image}, imageID => "none/$_->{image}", ready => JSON::PP::false, started => JSON::PP::false, restartCount => 0,
            state => { running => undef, terminated => { exitCode => $exit_code, reason => $exit_code ? 'Error' : 'Completed', startedAt => now(), finishedAt => now() } } } }
      @{ $pod->{spec}{containers} };
    my $why = $exit_code ? 'PodFailed' : 'PodCompleted';
    $api->patch(pod_path($pod) . '/status', { status => {
            phase => $exit_code ? 'Failed' : 'Succeeded', containerStatuses => \@containers,
            conditions => [ map { { %{ condition($_, $why, undef) }, status => 'False' } } qw(ContainersReady Ready) ] } },
        content_type => 'application/strategic-merge-patch+json', query => { fieldManager => 'kubelet' });
    return;
}

# A kubelet confirms that the containers of a deleted Pod are gone.
sub finish_pod {
    my ($api, $pod) = @_;
    $api->delete(pod_path($pod), body => { gracePeriodSeconds => 0, preconditions => { uid => $pod->{metadata}{uid} } });
    return;
}

1;
