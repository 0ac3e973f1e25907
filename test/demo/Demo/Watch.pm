# A watch of Nodes of the demo's own, in a process of its own: an independent witness of when a Node became Ready. It
# knows nothing of DBNet and reads what DBNet reads, at the same time.
package Demo::Watch;

use strict;
use warnings FATAL => 'all';
use DBNet::Process;
use IO::Handle;
use JSON::PP ();
use Time::HiRes qw(time);

sub start {
    my ($class, $api) = @_;
    my $self = bless { file => $api->directory . '/ready_nodes' }, $class;
    my $path = '/api/v1/nodes?watch=true&labelSelector=' . DBNet::Api::escape($api->selector);
    $self->{process} = DBNet::Process->start(name => 'watch', log => $self->{file} . '.log', code => sub { $self->watch($api, $path) });
    return $self;
}

# One line for each event that shows a Node Ready: when it came (s), name, uid.
sub watch {
    my ($self, $api, $path) = @_;
    open my $out, '>>', $self->{file} or die "$self->{file}: $!\n";
    $out->autoflush;
    while (1) {
        open my $events, '-|', DBNet::Process::command_tied_to_us('curl', '-sS', '-N', '-g', '--noproxy', '*', @{ $api->{credentials} }, $api->url . $path)
          or die "curl: $!\n";
        while (my $line = <$events>) {
            my $now = time;
            my $node = (eval { JSON::PP::decode_json($line) } // next)->{object};
            printf {$out} "%.6f %s %s\n", $now, @{ $node->{metadata} }{qw(name uid)}
              if grep { $_->{type} eq 'Ready' && $_->{status} eq 'True' } @{ $node->{status}{conditions} // [] };
        }
        sleep 1;
    }
}

# When, after `since`, the Node was first seen Ready (s), undef if not yet.
sub ready_at {
    my ($self, $name, $since) = @_;
    open my $in, '<', $self->{file} or return;
    while (<$in>) { return $1 if /^(\S+) \Q$name\E / && $1 > $since }
    return;
}

# Waits for a Node that is first seen Ready after `since`, without a question to the database or the API: these would take
# the processors from what is measured.
sub wait_for_new_node {
    my ($self, $api, $since) = @_;
    $api->wait_until(sub {
            my %since;
            open my $in, '<', $self->{file} or return;
            while (<$in>) { $since{$2} //= $1 if /^(\S+) \S+ (\S+)$/ }
            return grep { $_ > $since } values %since;
        }, 'the watch has shown a new node Ready', 120);
    return;
}

sub stop { my ($self) = @_; return $self->{process}->stop }

1;
