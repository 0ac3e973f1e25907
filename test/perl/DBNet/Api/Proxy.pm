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

# Puts it before what $api talks to; from then on $api talks to it, and $api->direct to the server.
sub start {
    my ($api) = @_;
    my $kubeconfig = "$api->{directory}/proxy.kubeconfig";
    $api->{direct} = bless {%$api}, ref $api;
    run($api, 0, '--kubeconfig-out', $kubeconfig);
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

sub run {
    my ($api, $port, @more) = @_;
    $api->{proxy} = DBNet::Process->start(
        name    => 'proxy',
        log     => "$api->{log_prefix}proxy.log",
        command => [
            DBNet::Environment::program('kubesim'), '--upstream-kubeconfig', $api->{direct}{kubeconfig}, '--request-log', "$api->{directory}/proxy.requests",
            '--port', $port, '--certificates', "$api->{directory}/proxy.certificates", @more ]);
    return;
}

# With the server its address is gone, and comes back with it; without a proxy this is nothing.
sub kill_with_server { my ($api) = @_; $api->{proxy}->kill9 if $api->{proxy}; return }

sub start_with_server {
    my ($api) = @_;
    run($api, $api->url =~ /:(\d+)$/) if $api->{proxy};
    return;
}

1;
