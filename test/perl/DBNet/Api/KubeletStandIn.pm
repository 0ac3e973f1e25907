# Stands in for the kubelets of real servers, in a process of its own: every Node of the run that has no Ready condition
# gets one, as a kubelet's first report has it.
package DBNet::Api::KubeletStandIn;

use strict;
use warnings FATAL => 'all';
use DBNet::Process;
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep);

# Option: query (text) that restricts which Nodes are reported. Returns the process.
sub start {
    my ($api, %options) = @_;
    my $test = $$;
    return DBNet::Process->start(
        name => 'nodes_ready',
        log  => "$api->{log_prefix}nodes_ready.log",
        code => sub { report($api, $options{query} // '') while getppid == $test });
}

# One watch, without a resource version, so that it starts with the Nodes that exist.
sub report {
    my ($api, $query) = @_;
    my @command = DBNet::Process::command_tied_to_us('curl', '-sS', '-N', '-g', '--noproxy', '*', @{ $api->{credentials} },
        $api->url . "/api/v1/nodes?watch=true&timeoutSeconds=30$query");
    open my $events, '-|', @command or die "curl: $!\n";
    while (my $line = <$events>) {
        my $event = eval { JSON::PP::decode_json($line) } // next;
        my $node = $event->{object};
        next if $event->{type} !~ /^(?:ADDED|MODIFIED)$/ || ($node->{kind} // '') ne 'Node' || $node->{metadata}{deletionTimestamp};
        next if grep { $_->{type} eq 'Ready' } @{ $node->{status}{conditions} // [] };
        sleep(($api->{options}{node_ready_delay_ms} // 0) / 1000);
        my $now = POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime);
        my $ready = { type => 'Ready', status => 'True', reason => 'KubeletReady', message => 'kubelet is posting ready status',
            lastHeartbeatTime => $now, lastTransitionTime => $now };
        $api->patch("/api/v1/nodes/$node->{metadata}{name}/status", { status => { conditions => [$ready] } },
            content_type => 'application/strategic-merge-patch+json', query => { fieldManager => 'kubelet' });
    }
    close $events;
    sleep 0.5 if $?;
    return;
}

1;
