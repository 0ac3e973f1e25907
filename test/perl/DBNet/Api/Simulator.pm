# The simulator of test/kubesim as a test's Kubernetes API.
package DBNet::Api::Simulator;

use strict;
use warnings FATAL => 'all';
use parent -norequire, 'DBNet::Api';
use Carp;
use DBNet::Environment;
use DBNet::Process;

sub launch {
    my ($self) = @_;
    $self->{kubeconfig} = "$self->{directory}/kubeconfig";
    $self->{port} = 0;
    $self->start_process;
    return;
}

sub start_process {
    my ($self) = @_;
    my $options = $self->{options};
    unlink $self->{kubeconfig};
    $self->{process} = DBNet::Process->start(
        name    => 'kubesim',
        log     => "$self->{log_prefix}kubesim.log",
        command => [
            DBNet::Environment::program('kubesim'), '--port', $self->{port}, '--kubeconfig-out', $self->{kubeconfig},
            '--node-ready-delay-ms', ($options->{nodes_ready} ? $options->{node_ready_delay_ms} // 0 : -1),
            ($options->{controllers} ? () : '--no-controllers'),
            '--request-log', "$self->{directory}/requests", @{ $options->{arguments} // [] } ]);
    $self->wait_until(sub { $self->check_running; return -s $self->{kubeconfig} }, 'kubesim writes its kubeconfig', 20);
    return;
}

sub check_running {
    my ($self) = @_;
    $self->{failed} = "kubesim ended\n" if !$self->{process}->is_running;
    return;
}

sub log_requests {
    my ($self) = @_;
    return map { { %$_, agent => $_->{user_agent} } } $self->read_json_lines("$self->{directory}/requests");
}

sub server      { return $_[0]{process} }
sub shut_down   { my ($self) = @_; $self->{process}->stop if $self->{process}; return }
sub diagnostics { my ($self) = @_; return $self->{process} ? $self->{process}->log_tail : '' }

1;
