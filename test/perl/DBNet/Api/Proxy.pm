# kubesim as a proxy before the API server of a test: the same faults for real servers as for the simulator. Everything
# of the test goes through it, DBNet and the harness's own requests; the kubelet's stand-in and controllers do not.
package DBNet::Api::Proxy;

use strict;
use warnings FATAL => 'all';
use DBNet::Environment;
use DBNet::Need;
use DBNet::Process;

# Tests that declare need('faults') have it on real servers, DBNET_PROXY=1 puts every test behind it; the option proxy of
# DBNet::Api->start decides alone.
sub is_wanted {
    my ($api) = @_;
    return $api->{options}{proxy} if defined $api->{options}{proxy};
    return 1 if $ENV{DBNET_PROXY};
    return $api->{kind} ne 'simulator' && DBNet::Need::is_declared('faults');
}

# Starts it before what $api talks to; from then on $api talks to it, and $api->direct to the server.
sub start {
    my ($api) = @_;
    my $kubeconfig = "$api->{directory}/proxy.kubeconfig";
    $api->{direct} = bless {%$api}, ref $api;
    $api->{proxy} = DBNet::Process->start(
        name    => 'proxy',
        log     => "$api->{log_prefix}proxy.log",
        command => [
            DBNet::Environment::program('kubesim'), '--upstream-kubeconfig', $api->{kubeconfig}, '--kubeconfig-out', $kubeconfig,
            '--request-log', "$api->{directory}/proxy.requests" ]);
    $api->wait_until(
        sub {
            $api->{failed} = "the proxy ended\n" if !$api->{proxy}->is_running;
            return -s $kubeconfig;
        },
        'the proxy writes its kubeconfig', 20);
    $api->{kubeconfig} = $kubeconfig;
    $api->read_kubeconfig;
    return;
}

1;
