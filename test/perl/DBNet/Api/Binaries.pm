# Real servers from KUBEBUILDER_ASSETS as a test's Kubernetes API: etcd and kube-apiserver, and kube-controller-manager
# and kube-scheduler when the folder has them. All listen on 127.0.0.1 only, have their data and certificates in the
# test's temporary folder and are stopped by pid. There is no kubelet: a stand-in reports created Nodes as Ready.
package DBNet::Api::Binaries;

use strict;
use warnings FATAL => 'all';
use parent -norequire, 'DBNet::Api';
use Carp;
use Cwd qw(abs_path);
use DBNet::Api::KubeletStandIn;
use DBNet::Environment;
use DBNet::Process;
use IPC::Run ();
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils ();
use Time::Piece ();

sub launch {
    my ($self) = @_;
    $self->{assets} = abs_path($ENV{KUBEBUILDER_ASSETS}) // croak "KUBEBUILDER_ASSETS=$ENV{KUBEBUILDER_ASSETS}: $!";
    for my $name (qw(etcd kube-apiserver)) {
        croak "KUBEBUILDER_ASSETS holds no $name" if !-x "$self->{assets}/$name";
    }
    $self->make_certificates;
    # A port can be taken between asking for a free one and listening on it: then everything is tried on others.
    for my $attempt (1 .. 3) {
        @{$self}{qw(port etcd_port etcd_peer_port)} = map { DBNet::Process::free_port() } 1 .. 3;
        $self->write_kubeconfigs;
        $self->read_kubeconfig;
        $self->start_etcd;
        $self->age_etcd;
        $self->start_api_server;
        last if eval { $self->wait_for_api; 1 };
        croak $@ if $attempt == 3 || $self->diagnostics !~ /address already in use/;
        $self->shut_down;
    }
    if ($self->{options}{controllers}) {
        for my $name (grep { -x "$self->{assets}/$_" } qw(kube-controller-manager kube-scheduler)) {
            $self->start_controller($name);
        }
    }
    return;
}

sub wait_for_api {
    my ($self) = @_;
    delete $self->{failed};
    $self->wait_until(
        sub {
            for my $name (qw(etcd kube-apiserver)) {
                $self->{failed} = "$name ended\n" if !$self->{processes}{$name}->is_running;
            }
            return $self->is_ready;
        },
        'kube-apiserver answers /readyz', 60);
    return;
}

sub run_process {
    my ($self, $name, @arguments) = @_;
    $self->{processes}{$name} = DBNet::Process->start(
        name    => $name,
        log     => "$self->{log_prefix}$name.log",
        command => [ "$self->{assets}/$name", @arguments ]);
    return;
}

sub start_etcd {
    my ($self) = @_;
    my ($client, $peer) = map { "http://127.0.0.1:$_" } @{$self}{qw(etcd_port etcd_peer_port)};
    $self->{no_fsync} //= `'$self->{assets}/etcd' --help 2>&1` =~ /--unsafe-no-fsync/ ? ['--unsafe-no-fsync'] : [];
    $self->run_process('etcd',
        '--name', 'test', '--data-dir', "$self->{directory}/etcd", '--listen-client-urls', $client, '--advertise-client-urls', $client,
        '--listen-peer-urls', $peer, '--initial-advertise-peer-urls', $peer, '--initial-cluster', "test=$peer", @{ $self->{no_fsync} });
    return;
}

# A few revisions before the API server's first list: resource version 1 is then too old to watch from, as on any
# server that has been used. etcd offers its API as JSON too.
sub age_etcd {
    my ($self) = @_;
    my @put = ('curl', '-sS', '--fail', '--noproxy', '*', '--max-time', 5, '-d', '{"key": "YQ==", "value": "YQ=="}',
        "http://127.0.0.1:$self->{etcd_port}/v3/kv/put");
    for (1 .. 3) {
        # one that has ended is found by wait_for_api
        $self->wait_until(sub { IPC::Run::run(\@put, '>', \my $output, '2>&1') || !$self->server('etcd')->is_running }, 'etcd answers', 30);
    }
    return;
}

sub start_api_server {
    my ($self) = @_;
    my $pki = "$self->{directory}/pki";
    my $policy = "$self->{directory}/audit_policy.yaml";
    open my $out, '>', $policy or croak "$policy: $!";
    print $out "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: None\n  nonResourceURLs: ['/readyz*']\n- level: Metadata\n";
    close $out;
    $self->run_process('kube-apiserver',
        "--etcd-servers=http://127.0.0.1:$self->{etcd_port}", '--bind-address=127.0.0.1', '--advertise-address=127.0.0.1',
        "--secure-port=$self->{port}", '--endpoint-reconciler-type=none', "--cert-dir=$pki",
        "--tls-cert-file=$pki/server.crt", "--tls-private-key-file=$pki/server.key", "--client-ca-file=$pki/ca.crt",
        '--service-account-issuer=https://kubernetes.default.svc', "--service-account-key-file=$pki/ca.crt",
        "--service-account-signing-key-file=$pki/ca.key", '--disable-admission-plugins=ServiceAccount',
        "--audit-policy-file=$policy", "--audit-log-path=$self->{directory}/audit.log", '--authorization-mode=RBAC', '--service-cluster-ip-range=10.0.0.0/24', '--allow-privileged=true',
        @{ $self->{options}{api_server_arguments} // [] });
    return;
}

sub start_controller {
    my ($self, $name) = @_;
    my $pki = "$self->{directory}/pki";
    # Nobody renews the nodes' leases here, so the node lifecycle controller must not expect it.
    my @arguments = $name eq 'kube-scheduler' ? () : (
        '--use-service-account-credentials=true', "--service-account-private-key-file=$pki/ca.key", "--root-ca-file=$pki/ca.crt",
        '--node-monitor-grace-period=24h', '--horizontal-pod-autoscaler-sync-period=1s', "--flex-volume-plugin-dir=$self->{directory}/volume_plugins");
    $self->run_process($name, "--kubeconfig=$self->{directory}/$name.kubeconfig", '--leader-elect=false', '--secure-port=0', @arguments);
    return;
}

# An own authority; the API server's certificate; one client certificate for each who talks to it.
sub make_certificates {
    my ($self) = @_;
    my $pki = "$self->{directory}/pki";
    mkdir $pki or croak "$pki: $!";
    my @key = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2');
    my @issued = ('-CA', "$pki/ca.crt", '-CAkey', "$pki/ca.key", '-addext', 'basicConstraints=critical,CA:FALSE');
    my $make = sub {
        my ($name, $subject, @more) = @_;
        my $output = '';
        IPC::Run::run([ 'openssl', 'req', '-x509', @key, '-keyout', "$pki/$name.key", '-out', "$pki/$name.crt", '-subj', $subject, @more ],
            '>', \$output, '2>&1')
          or croak "openssl req for $name: $output";
    };
    $make->('ca', '/CN=test-ca');
    $make->('server', '/CN=kube-apiserver', @issued, '-addext', 'extendedKeyUsage=serverAuth',
        '-addext', 'subjectAltName=IP:127.0.0.1,IP:10.0.0.1,DNS:localhost,DNS:kubernetes.default.svc');
    $make->($_->[0], $_->[1], @issued, '-addext', 'extendedKeyUsage=clientAuth')
      for ['admin', '/O=system:masters/CN=admin'], ['kube-controller-manager', '/CN=system:kube-controller-manager'],
      ['kube-scheduler', '/CN=system:kube-scheduler'];
    return;
}

sub write_kubeconfigs {
    my ($self) = @_;
    $self->{kubeconfig} = "$self->{directory}/kubeconfig";
    $self->write_kubeconfig('admin', $self->{kubeconfig});
    $self->write_kubeconfig($_, "$self->{directory}/$_.kubeconfig") for qw(kube-controller-manager kube-scheduler);
    return;
}

sub write_kubeconfig {
    my ($self, $user, $file) = @_;
    my %data = map { $_ => encode_base64(PostgreSQL::Test::Utils::slurp_file("$self->{directory}/pki/$_"), '') }
      'ca.crt', "$user.crt", "$user.key";
    my $before = umask 077;
    open my $out, '>', $file or croak "$file: $!";
    umask $before;
    print $out <<"KUBECONFIG";
apiVersion: v1
kind: Config
current-context: test
contexts:
- name: test
  context:
    cluster: test
    user: $user
clusters:
- name: test
  cluster:
    server: https://127.0.0.1:$self->{port}
    certificate-authority-data: $data{'ca.crt'}
users:
- name: $user
  user:
    client-certificate-data: $data{"$user.crt"}
    client-key-data: $data{"$user.key"}
KUBECONFIG
    close $out;
    return;
}

sub start_nodes_ready {
    my ($self) = @_;
    $self->{processes}{nodes_ready} = DBNet::Api::KubeletStandIn::start($self);
    $self->{processes}{pods_running} = DBNet::Api::KubeletStandIn::start_pods($self) if $self->{options}{pods_running};
    return;
}

# From the audit log, where a long request has two events.
sub log_requests {
    my ($self) = @_;
    my %method = (create => 'POST', update => 'PUT', patch => 'PATCH', delete => 'DELETE', deletecollection => 'DELETE');
    my (%seen, @requests);
    for my $event ($self->read_json_lines("$self->{directory}/audit.log")) {
        next if $seen{ $event->{auditID} }++;
        my ($date, $fraction) = $event->{requestReceivedTimestamp} =~ /^(.*?)(\.\d+)?Z$/;
        push @requests, {
            method => $method{ $event->{verb} } // 'GET',
            path   => $event->{requestURI},
            status => $event->{responseStatus}{code},
            agent  => $event->{userAgent} // '',
            certificate => $event->{user}{username} // '',
            acts_as => $event->{impersonatedUser}{username} // '',
            time   => Time::Piece->strptime($date, '%Y-%m-%dT%H:%M:%S')->epoch + ($fraction // 0) };
    }
    return @requests;
}

# etcd, the controllers and the kubelet's stand-in live on.
sub kill_server {
    my ($self) = @_;
    $self->server->kill9;
    return DBNet::Api::Proxy::kill_with_server($self);
}

sub start_server {
    my ($self) = @_;
    $self->start_api_server;
    DBNet::Api::Proxy::start_with_server($self);
    $self->wait_for_api;
    return;
}

# etcd forgets every older revision. The API server still remembers what its watches have seen: it is started anew.
sub compact {
    my ($self) = @_;
    my $call = sub {
        my ($path, $body) = @_;
        my $output = '';
        IPC::Run::run([ 'curl', '-sS', '--fail', '--noproxy', '*', '--max-time', 10, '-d', $body, "http://127.0.0.1:$self->{etcd_port}/v3/kv/$path" ],
            '>', \$output)
          or croak "etcd refuses $path: $output";
        return JSON::PP::decode_json($output);
    };
    my $revision = $call->('range', '{"key": "YQ=="}')->{header}{revision};
    $call->('compaction', qq({"revision": "$revision", "physical": true}));
    return;
}

# A backup of what is stored, and the return to it: revisions go back too. Both end and start the servers.
sub save_store    { my ($self) = @_; return $self->exchange_store('etcd', 'etcd.saved') }
sub restore_store { my ($self) = @_; return $self->exchange_store('etcd.saved', 'etcd') }

sub exchange_store {
    my ($self, $from, $to) = @_;
    $self->kill_server;
    $self->server('etcd')->stop;
    system('rm', '-rf', "$self->{directory}/$to") == 0 && system('cp', '-a', "$self->{directory}/$from", "$self->{directory}/$to") == 0
      or croak "cannot copy etcd's data";
    $self->start_etcd;
    $self->start_server;
    return;
}

sub authority { return "$_[0]{directory}/pki" }
sub server { my ($self, $name) = @_; return $self->{processes}{ $name // 'kube-apiserver' } }

sub shut_down {
    my ($self) = @_;
    for my $name (qw(nodes_ready pods_running kube-scheduler kube-controller-manager kube-apiserver etcd)) {
        my $process = delete $self->{processes}{$name} // next;
        $process->stop;
    }
    return;
}

sub diagnostics {
    my ($self) = @_;
    return join '', map { $_->log_tail(12) } map { $self->{processes}{$_} } sort keys %{ $self->{processes} // {} };
}

1;
