# What a test may need beyond PostgreSQL, and what happens when it is missing: the test is skipped under the name
# of the missing thing, or fails when DBNET_REQUIRE (a list with commas; 'all') names it.
package DBNet::Need;

use strict;
use warnings FATAL => 'all';
use DBNet::Environment;
use JSON::PP ();
use Test::More;

my %declared;

my %missing = (
    # Clocks, lost revisions and rights of tokens that only the simulator can be told to have.
    simulator => sub { return kind() ne 'simulator' ? 'this run is on real servers' : kubesim_is_missing() },
    # Requests and watches that go wrong as the test says: by the simulator, or by a proxy before real servers.
    faults => sub { return kind() eq 'cluster' ? 'this run is on an existing cluster' : kubesim_is_missing() },
    # Servers that the harness starts itself, and so may stop and restart.
    own_servers => sub { return kind() eq 'cluster' ? 'this run is on an existing cluster' : undef },
    binaries => sub {
        return kind() eq 'binaries' ? undef : 'KUBEBUILDER_ASSETS names no folder with etcd and kube-apiserver';
    },
    # Garbage collection, namespaces that finish deleting, deployments with pods.
    controllers => sub {
        return undef if kind() ne 'binaries' || -x "$ENV{KUBEBUILDER_ASSETS}/kube-controller-manager";
        return 'KUBEBUILDER_ASSETS holds no kube-controller-manager';
    },
    kubectl => sub {
        my $version = kubectl_version();
        return 'kubectl 1.27 or newer is not in PATH' if !defined $version;
        return $version < 27 ? "kubectl is 1.$version, older than 1.27" : undef;
    },
    # The OpenTelemetry exporters of JavaScript, which `make check` installs from npm (test/otel_js).
    otel_js => sub {
        my $folder = DBNet::Environment::program('otel_js');
        return -d "$folder/node_modules/\@opentelemetry" ? undef : "npm could not install what test/otel_js asks for into $folder";
    },
    # A file system that a test may fill: DBNet::SmallDisk.
    small_disk => sub { return DBNet::SmallDisk::is_possible() ? undef : 'no file system can be mounted here (unshare, mount)' },
    # A network in which packets may be lost: DBNet::OwnNetwork.
    own_network => sub { return DBNet::OwnNetwork::is_possible() ? undef : 'no network of its own can be had here (unshare)' },
    # Names of its own in that network, and the lookup of any other hangs: DBNet::OwnNetwork::names.
    own_names => sub { return eval { DBNet::OwnNetwork::names(); 1 } ? undef : "no names of its own can be had here (unshare, mount): $@" =~ s/\n//r },
    # The Debian package.
    package => sub { return package_file() ? undef : '`make deb` has not been run' },
    existing_cluster => sub {
        return kind() eq 'cluster' ? undef : 'USE_EXISTING_CLUSTER=true and DBNET_TEST_CONTEXT are not set';
    },
);

sub kubesim_is_missing {
    my $program = DBNet::Environment::program('kubesim');
    return -x $program ? undef : "$program is not built";
}

sub package_file { return (glob "$DBNet::Environment::top/build/postgresql-*-dbnet_*.deb")[0] }

# Which Kubernetes API this run is on: 'cluster' only when asked for by both variables.
sub kind {
    if (($ENV{USE_EXISTING_CLUSTER} // '') eq 'true') {
        return 'cluster' if ($ENV{DBNET_TEST_CONTEXT} // '') ne '';
        die "USE_EXISTING_CLUSTER=true needs DBNET_TEST_CONTEXT, the kubeconfig context that tests may use\n";
    }
    return ($ENV{KUBEBUILDER_ASSETS} // '') ne '' ? 'binaries' : 'simulator';
}

# The reason why NAME is not there, undef when it is.
sub lacks {
    my ($name) = @_;
    my $check = $missing{$name} // die "DBNet::Need knows no '$name'; it knows " . join(', ', sort keys %missing) . "\n";
    return $check->();
}

sub is_required {
    my ($name) = @_;
    return scalar grep { $_ eq $name || $_ eq 'all' } split /,/, $ENV{DBNET_REQUIRE} // '';
}

# For a whole test program, before its first test: ends it as skipped, or as failed when it is required.
sub need {
    for my $name (@_) {
        my $reason = lacks($name) // next;
        die "DBNET_REQUIRE names '$name', but $reason\n" if is_required($name);
        plan(skip_all => "needs $name: $reason");
    }
    return may_need(@_);
}

# For a program of which a part needs it, with or_skip: told before the API is started.
sub may_need { @declared{@_} = (); return }

# Whether the program has asked for it.
sub is_declared { my ($name) = @_; return exists $declared{$name} }

# For a part of a program: SKIP: { DBNet::Need::or_skip('kubectl'); … }; counts as one skipped test.
sub or_skip {
    my ($name) = @_;
    my $reason = lacks($name) // return;
    die "DBNET_REQUIRE names '$name', but $reason\n" if is_required($name);
    no warnings 'exiting';
    skip("needs $name: $reason", 1);
}

sub kubectl {
    my $folder = $ENV{KUBEBUILDER_ASSETS} // '';
    return -x "$folder/kubectl" ? "$folder/kubectl" : 'kubectl';
}

# The minor version of kubectl 1.x, undef without one.
sub kubectl_version {
    my $program = kubectl();
    my $text = `'$program' version --client -o json 2>/dev/null` // '';
    my $version = eval { JSON::PP::decode_json($text)->{clientVersion}{minor} } // return;
    return $version =~ /^(\d+)/ ? $1 : undef;
}

1;
