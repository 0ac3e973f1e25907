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
    my $again = $self->{process} ? 1 : 0;    # with the credentials that are in use
    my @durable = $options->{durable} ? ('--store', "$self->{directory}/store") : ();
    $self->{process} = DBNet::Process->start(
        name    => 'kubesim',
        log     => "$self->{log_prefix}kubesim.log",
        command => [
            DBNet::Environment::program('kubesim'), '--port', $self->{port}, ($again ? () : ('--kubeconfig-out', $self->{kubeconfig})), @durable,
            '--certificates', $self->authority,
            '--node-ready-delay-ms', ($options->{nodes_ready} ? $options->{node_ready_delay_ms} // 0 : -1),
            ($options->{controllers} ? () : '--no-controllers'),
            '--request-log', "$self->{directory}/requests", @{ $options->{arguments} // [] } ]);
    $self->wait_until(sub { $self->check_running; return -s $self->{kubeconfig} }, 'kubesim writes its kubeconfig', 20) if !$again;
    return;
}

sub kill_server {
    my ($self) = @_;
    confess 'this simulator forgets everything: start it with durable => 1' if !$self->{options}{durable};
    $self->{process}->kill9;
    return DBNet::Api::Proxy::kill_with_server($self);
}

sub start_server {
    my ($self) = @_;
    ($self->{port}) = $self->direct->url =~ /:(\d+)$/;
    $self->start_process;
    DBNet::Api::Proxy::start_with_server($self);
    $self->wait_until(sub { $self->check_running; return $self->is_ready }, 'kubesim answers /readyz again', 60);
    return;
}

# All changes are forgotten: older watches get 410.
sub compact { my ($self) = @_; return $self->expect_success($self->create('/_sim/compact', {})) }

# A backup of what is stored, and the return to it, as if the server had been started on it: watches end.
sub save_store    { my ($self) = @_; return $self->expect_success($self->create('/_sim/save', {})) }
sub restore_store {
    my ($self) = @_;
    $self->expect_success($self->create("/_sim/$_", {})) for 'restore', 'drop_watches?reset=1';
    return;
}

# Its tokens have their rights everywhere.
sub token {
    my ($self, $rights) = @_;
    my $token = join '-', 'token', $self->namespace, ++$self->{tokens};
    $self->grant($token, $rights);
    return $token;
}

sub grant {
    my ($self, $token, $rights) = @_;
    $self->expect_success($self->create('/_sim/tokens', { $token => $rights }));
    return;
}

sub token_user { return 'kubesim-nobody' }    # of one that has no rights

sub rules { my ($self, %rules) = @_; return $self->disturb('rules', \%rules) }

sub revoke { my ($self, $token) = @_; return $self->grant($token, undef) }

sub check_running {
    my ($self) = @_;
    $self->{failed} = "kubesim ended\n" if !$self->{process}->is_running;
    return;
}

sub log_requests {
    my ($self) = @_;
    return map { { %$_, agent => $_->{user_agent} } } $self->read_json_lines("$self->{directory}/requests");
}

sub authority   { return "$_[0]{directory}/certificates" }
sub server      { return $_[0]{process} }
sub shut_down   { my ($self) = @_; $self->{process}->stop if $self->{process}; return }
sub diagnostics { my ($self) = @_; return $self->{process} ? $self->{process}->log_tail : '' }

1;
