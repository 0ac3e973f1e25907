# An existing cluster, used only when USE_EXISTING_CLUSTER=true and DBNET_TEST_CONTEXT say so. Everything that a run makes
# is in its own namespace or carries its label, and is removed at the end; nothing else is touched.
package DBNet::Api::Existing;

use strict;
use warnings FATAL => 'all';
use parent -norequire, 'DBNet::Api';
use Carp;
use DBNet::Api::KubeletStandIn;
use DBNet::Need;
use IPC::Run ();

sub launch {
    my ($self) = @_;
    my $context = $ENV{DBNET_TEST_CONTEXT};
    my ($output, $errors) = ('', '');
    IPC::Run::run([ DBNet::Need::kubectl(), 'config', 'view', '--context', $context, '--minify', '--flatten', '--raw' ],
        '>', \$output, '2>', \$errors)
      or die "kubectl config view --context $context: $errors\n";
    $self->{kubeconfig} = "$self->{directory}/kubeconfig";
    my $before = umask 077;
    open my $out, '>', $self->{kubeconfig} or confess "$self->{kubeconfig}: $!";
    print $out $output;
    close $out;
    umask $before;
    $self->{context} = $context;
    return;
}

# Nodes that only the API knows have no kubelet; those of others are not ours to report. The Pods of others keep off ours.
sub start_nodes_ready {
    my ($self) = @_;
    $self->{stand_ins} = [ DBNet::Api::KubeletStandIn::start($self,
            query => '&labelSelector=' . DBNet::Api::escape($self->selector), taint => 'dbnet.io/no-machine', renew => 1) ];
    push @{ $self->{stand_ins} }, DBNet::Api::KubeletStandIn::start_pods($self) if $self->{options}{pods_running};
    return;
}

sub shut_down {
    my ($self) = @_;
    return if !$self->{credentials};    # it never came to be used
    my $namespace = '/api/v1/namespaces/' . $self->namespace;
    $self->delete($namespace);
    # Its Pods are gone when their stand-in has confirmed it.
    eval { $self->wait_until(sub { $self->get($namespace)->{status} == 404 }, 'the namespace of the run is gone', 60); 1 }
      or warn $self->{not_deleted} = 'namespace ' . $self->namespace . " is not gone after 60 s\n";
    $_->stop for @{ $self->{stand_ins} // [] };
    my $nodes = $self->get('/api/v1/nodes', query => { labelSelector => $self->selector })->{body}{items} // [];
    for my $node (@$nodes) {
        next if ($node->{metadata}{labels}{ $self->label_key } // '') ne $self->{run};
        $self->delete("/api/v1/nodes/$node->{metadata}{name}");
    }
    return;
}

1;
