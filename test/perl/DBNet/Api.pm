# The Kubernetes API that a test talks to: the simulator, real servers started from KUBEBUILDER_ASSETS, or, only with
# USE_EXISTING_CLUSTER=true and DBNET_TEST_CONTEXT, an existing cluster. Tests are written once, against this class.
#
#   my $api = DBNet::Api->start;                       # one that answers /readyz; stopped when the test ends
#   $node->safe_psql('postgres', $api->create_server('prod'));
#   $api->create_node('n1');  $api->get('/api/v1/nodes/n1')->{body}{status};
#
# Options of start: kind (default: what the environment asks for), nodes_ready (default 1: created Nodes become Ready,
# by the simulator's own controller or by a stand-in for the kubelet), node_ready_delay_ms, pods_running (default 0;
# 1: the stand-in also runs the Pods of the run's namespace), controllers (default 1: also
# kube-controller-manager and kube-scheduler when they are there), arguments (array: more arguments of the simulator),
# durable (default 0: what the server stores survives kill_server; real servers always do), proxy (default: see
# DBNet::Api::Proxy; whether kubesim is put before it as a proxy).
package DBNet::Api;

use strict;
use warnings FATAL => 'all';
use DBNet::Environment;
use DBNet::Need;
use Carp;
use DBNet::Api::Proxy;
use File::Temp ();
use IPC::Run ();
use JSON::PP ();
use MIME::Base64 qw(decode_base64);
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(sleep time);

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my @started;

sub need { return DBNet::Need::need(@_) }

sub start {
    my ($class, %options) = @_;
    my $kind = delete $options{kind} // DBNet::Need::kind();
    my %class_of = (simulator => 'Simulator', binaries => 'Binaries', cluster => 'Existing');
    my $backend = "DBNet::Api::$class_of{$kind}";
    eval "require $backend; 1" or die $@;
    my $self = bless {
        kind      => $kind,
        directory => PostgreSQL::Test::Utils::tempdir("api_$kind"),
        run       => join('-', 'dbnet', $$, int(rand 1e6)),
        parent    => $$,
        options   => { nodes_ready => 1, controllers => 1, %options },
    }, $backend;
    push @started, $self;
    $self->{log_prefix} = "$ENV{TESTLOGDIR}/api" . @started . '-';
    note('KUBECONFIG is ignored: only USE_EXISTING_CLUSTER=true with DBNET_TEST_CONTEXT touches an existing cluster')
      if $kind ne 'cluster' && defined $ENV{KUBECONFIG};
    $self->launch;
    $self->read_kubeconfig;
    DBNet::Api::Proxy::start($self) if DBNet::Api::Proxy::is_wanted($self);
    $self->wait_until(sub { $self->is_ready }, "$kind API server answers /readyz");
    $self->create('/api/v1/namespaces', { metadata => { name => $self->namespace, labels => $self->labels } });
    $self->start_nodes_ready if $self->{options}{nodes_ready};
    return $self;
}

# --- what a backend provides or overrides ---
sub authority         { confess 'the authority of others is theirs: ask for need(\'own_servers\')' }       # folder with ca.crt and ca.key
sub log_requests      { confess 'no log of requests on this API: ask for need(\'own_servers\')' }    # all requests so far, see requests
sub launch            { confess 'a backend must say how it starts' }
sub shut_down         { return }                  # ends what launch started
sub start_nodes_ready { return }
sub kill_server       { confess 'servers of others are not killed: ask for need(\'own_servers\')' }       # SIGKILL; nothing answers from then on
sub start_server      { confess 'servers of others are not started: ask for need(\'own_servers\')' }      # again, at the same address; waits until it is ready
sub compact           { confess 'servers of others are not compacted: ask for need(\'own_servers\')' }    # forgets all history of what it stores
sub diagnostics       { return '' }               # text for a failed wait

sub stop {
    my ($self) = @_;
    return if $self->{stopped}++ || $self->{parent} != $$;
    $self->shut_down;
    $self->{proxy}->stop if $self->{proxy};
    return;
}

END {
    my $status = $?;
    $_->stop for reverse @started;
    $? = $status;
}

# --- what tests ask ---
sub kind       { return $_[0]{kind} }
sub url        { return $_[0]{url} }
sub kubeconfig { return $_[0]{kubeconfig} }
sub directory  { return $_[0]{directory} }
sub context    { return $_[0]{context} }
sub direct     { return $_[0]{direct} // $_[0] }    # past the proxy

# A namespace of this run; cluster-scoped objects carry the label of the run, and on a shared cluster its name too.
sub namespace { return $_[0]{run} }
# y of Kubernetes 1.y, for what newer servers report in addition; the recorded server, whose build names no version, is a 1.26.
sub minor     { my ($self) = @_; return ($self->get('/version')->{body}{gitVersion} =~ /^v1\.(\d+)/)[0] // 26 }
sub label_key { return 'dbnet.io/test' }
sub labels    { my ($self) = @_; return { $self->label_key => $self->{run} } }
sub selector  { my ($self) = @_; return $self->label_key . "=$self->{run}" }
sub name      { my ($self, $name) = @_; return $self->{kind} eq 'cluster' ? "$self->{run}-$name" : $name }

# SQL: OPTIONS (…) of CREATE SERVER for this API, and the whole statement. %more: further options.
sub server_options {
    my ($self, %more) = @_;
    my %options = (kubeconfig => $self->{kubeconfig}, (defined $self->{context} ? (context => $self->{context}) : ()),
        ($self->{kind} eq 'cluster' ? (lease_namespace => $self->namespace) : ()), %more);
    return 'OPTIONS (' . join(', ', map { "$_ " . quote($options{$_}) } sort keys %options) . ')';
}

sub create_server {
    my ($self, $name, %more) = @_;
    return "CREATE SERVER $name FOREIGN DATA WRAPPER dbnet_kubernetes " . $self->server_options(%more) . ';';
}

sub quote { my ($text) = @_; $text =~ s/'/''/g; return "'$text'" }

# --- HTTP, by curl ---
# Options: body (data structure or text), content_type, accept, query (hash), timeout (s).
# Returns {status, headers (lower-case names), text, body (decoded JSON, else undef)}; status 0 when there was no answer.
sub request {
    my ($self, $method, $path, %options) = @_;
    my $query = join '&', map { escape($_) . '=' . escape($options{query}{$_}) } sort keys %{ $options{query} // {} };
    $query = ($path =~ /\?/ ? '&' : '?') . $query if $query ne '';
    my $file = File::Temp->new(DIR => $self->{directory}, TEMPLATE => 'answer_XXXXXX');
    my @command = (
        'curl', '-sS', '-g', '-i', '--http1.1', '--noproxy', '*', '--max-time', $options{timeout} // 30, '-X', $method,
        @{ $self->{credentials} }, '-o', "$file", '-w', '%{http_code}', '-H', 'Accept: ' . ($options{accept} // 'application/json'));
    my $input = '';
    if (defined $options{body}) {
        $input = ref $options{body} ? $json->encode($options{body}) : $options{body};
        push @command, '-H', 'Expect:', '-H', 'Content-Type: ' . ($options{content_type} // 'application/json'), '--data-binary', '@-';
    }
    my ($status, $errors) = ('', '');
    IPC::Run::run([ @command, "$self->{url}$path$query" ], '<', \$input, '>', \$status, '2>', \$errors);
    my $answer = { status => $status =~ /^(\d+)$/ ? $1 + 0 : 0, headers => {}, text => '', error => $errors };
    my $text = PostgreSQL::Test::Utils::slurp_file("$file");
    while ($text =~ s/\AHTTP\/[\d.]+ \d+[^\n]*\n(.*?)\r?\n\r?\n//s) {
        $answer->{headers} = { map { /^([^:]+):\s*(.*?)\r?$/ ? (lc $1 => $2) : () } split /\n/, $1 };
    }
    $answer->{text} = $text;
    $answer->{body} = eval { $json->decode($text) };
    return $answer;
}

sub escape {
    my ($text) = @_;
    utf8::encode($text);
    $text =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ge;
    return $text;
}

sub get    { my ($self, $path, %options) = @_; return $self->request('GET', $path, %options) }
sub create { my ($self, $path, $body, %options) = @_; return $self->request('POST', $path, body => $body, %options) }
sub put    { my ($self, $path, $body, %options) = @_; return $self->request('PUT', $path, body => $body, %options) }
sub delete { my ($self, $path, %options) = @_; return $self->request('DELETE', $path, %options) }

# A merge patch unless content_type says otherwise.
sub patch {
    my ($self, $path, $body, %options) = @_;
    return $self->request('PATCH', $path, body => $body, content_type => 'application/merge-patch+json', %options);
}

# Server-side apply. Options: manager (default 'test'), force.
sub apply {
    my ($self, $path, $body, %options) = @_;
    my %query = (fieldManager => delete $options{manager} // 'test', (delete $options{force} ? (force => 'true') : ()), %{ delete $options{query} // {} });
    return $self->request('PATCH', $path, body => $body, content_type => 'application/apply-patch+yaml', query => \%query, %options);
}

# Dies unless the answer is a success; returns the object.
sub expect_success {
    my ($self, $answer) = @_;
    confess "the API answered $answer->{status}: $answer->{text}$answer->{error}" if $answer->{status} < 200 || $answer->{status} > 299;
    return $answer->{body};
}

sub create_node {
    my ($self, $name, %metadata) = @_;
    my $labels = { %{ $self->labels }, %{ delete $metadata{labels} // {} } };
    return $self->expect_success($self->create('/api/v1/nodes',
        { apiVersion => 'v1', kind => 'Node', metadata => { name => $self->name($name), labels => $labels, %metadata } }));
}

# A bearer token with rights to the ConfigMaps of the run's namespace: 'all', 'read' or 'none'. Real servers give it to a
# service account of the run. grant changes the rights; revoke makes the token unknown (real servers remember an accepted
# one for another 10 s).
sub token {
    my ($self, $rights) = @_;
    my $name = 'token-' . ++$self->{tokens};
    my $accounts = '/api/v1/namespaces/' . $self->namespace . '/serviceaccounts';
    $self->expect_success($self->create($accounts, { metadata => { name => $name } }));
    my $request = { apiVersion => 'authentication.k8s.io/v1', kind => 'TokenRequest', spec => { expirationSeconds => 3600 } };
    my $token = $self->expect_success($self->create("$accounts/$name/token", $request))->{status}{token};
    $self->{account_of}{$token} = $name;
    $self->grant($token, $rights);
    return $token;
}

sub grant {
    my ($self, $token, $rights) = @_;
    my $name = $self->{account_of}{$token};
    my $path = '/apis/rbac.authorization.k8s.io/v1/namespaces/' . $self->namespace;
    my %verbs = (all => [ '*' ], read => [qw(get list watch)], none => []);
    my $role = { apiVersion => 'rbac.authorization.k8s.io/v1', kind => 'Role', metadata => { name => $name },
        rules => [ map { { apiGroups => [''], resources => ['configmaps'], verbs => $_ } } grep { @$_ } $verbs{$rights} ] };
    $self->expect_success($self->apply("$path/roles/$name", $role, force => 1));
    $self->expect_success($self->apply("$path/rolebindings/$name", {
            apiVersion => 'rbac.authorization.k8s.io/v1', kind => 'RoleBinding', metadata => { name => $name },
            roleRef  => { apiGroup => 'rbac.authorization.k8s.io', kind => 'Role', name => $name },
            subjects => [ { kind => 'ServiceAccount', name => $name, namespace => $self->namespace } ] }, force => 1));
    # Rights are cached by the server for a moment: wait until it sees them so.
    my $maps = '/api/v1/namespaces/' . $self->namespace . '/configmaps';
    my %expected = (all => '200 404', read => '200 403', none => '403 403');
    local $self->{credentials} = [ @{ $self->credentials('--cacert') }, '-H', "Authorization: Bearer $token" ];
    $self->wait_until(sub { join(' ', $self->get($maps)->{status}, $self->delete("$maps/no-such-object")->{status}) eq $expected{$rights} },
        "the token has the rights '$rights'");
    return;
}

sub revoke {
    my ($self, $token) = @_;
    my $account = '/api/v1/namespaces/' . $self->namespace . "/serviceaccounts/$self->{account_of}{$token}";
    $self->expect_success($self->delete($account));
    return;
}

# As whom the server takes it.
sub token_user { my ($self, $token) = @_; return join ':', 'system:serviceaccount', $self->namespace, $self->{account_of}{$token} }

# What users and groups may do from now on: users and groups as hashes of their rules, which are RBAC's; those with
# namespaces count in these alone. On real servers Roles and bindings, which count when this returns.
sub rules {
    my ($self, %rules) = @_;
    for my $list (sort keys %rules) {
        my $kind = { users => 'User', groups => 'Group' }->{$list};
        $self->give_roles($kind, $_, $rules{$list}{$_}) for sort keys %{ $rules{$list} };
    }
    return;
}

sub give_roles {
    my ($self, $kind, $subject, $rules) = @_;
    my $group = 'rbac.authorization.k8s.io';
    my $name  = join '-', $self->{run}, lc $kind, lc($subject) =~ s/[^a-z0-9.-]/-/gr;
    my $mark  = 'mark-' . ++$self->{role_marks};    # of a right that is new: with it the others are known
    my %rules = map { $_ => [] } '', keys %{ $self->{role_places}{$name} };
    for my $rule (@$rules) {
        my %rule = %$rule;
        push @{ $rules{$_} }, \%rule for @{ delete $rule{namespaces} // [''] };
    }
    for my $space (sort keys %rules) {
        $self->{role_places}{$name}{$space} = 1;
        $self->create('/api/v1/namespaces', { metadata => { name => $space, labels => $self->labels } }) if $space ne '';
        my $role = $space eq '' ? 'ClusterRole' : 'Role';
        my $path = "/apis/$group/v1" . ($space eq '' ? '' : "/namespaces/$space") . '/' . lc $role;
        my %common = (apiVersion => "$group/v1", metadata => { name => $name });
        $self->expect_success($self->apply("${path}s/$name", { %common, kind => $role,
            rules => [ @{ $rules{$space} }, { apiGroups => [ $self->label_key ], resources => [$mark], verbs => ['get'] } ] }, force => 1));
        $self->expect_success($self->apply("${path}bindings/$name", { %common, kind => "${role}Binding",
            roleRef => { apiGroup => $group, kind => $role, name => $name }, subjects => [ { apiGroup => $group, kind => $kind, name => $subject } ] }, force => 1));
        my $spec = { ($kind eq 'User' ? (user => $subject) : (user => 'nobody', groups => [$subject])),
            resourceAttributes => { group => $self->label_key, resource => $mark, verb => 'get', namespace => $space } };
        $self->wait_until(sub {
            $self->expect_success($self->create('/apis/authorization.k8s.io/v1/subjectaccessreviews',
                    { apiVersion => 'authorization.k8s.io/v1', kind => 'SubjectAccessReview', spec => $spec }))->{status}{allowed};
        }, "$kind $subject has its rights");
    }
    return;
}

# A new client certificate of an administrator of this name: texts of the certificate and of its key.
sub client_certificate {
    my ($self, $name) = @_;
    my ($authority, $file) = ($self->authority, "$self->{directory}/client-" . ++$self->{client_certificates});
    my $output = '';
    open my $out, '>', "$file.conf" or confess "$file.conf: $!";
    print $out "[req]\ndistinguished_name = empty\n[empty]\n";    # nothing of the system's
    close $out;
    IPC::Run::run([ 'openssl', 'req', '-config', "$file.conf", '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-keyout', "$file.key",
            '-out', "$file.crt", '-subj', "/O=system:masters/CN=$name", '-CA', "$authority/ca.crt", '-CAkey', "$authority/ca.key",
            '-addext', 'basicConstraints=critical,CA:FALSE', '-addext', 'extendedKeyUsage=clientAuth' ], '>', \$output, '2>&1')
      or confess "openssl req for $name: $output";
    return map { PostgreSQL::Test::Utils::slurp_file("$file.$_") } qw(crt key);
}

# Those of curl's arguments in {credentials} that have these names, with their values: files.
sub credentials {
    my ($self, @names) = @_;
    my @all = @{ $self->{credentials} };
    return [ map { my $at = $_; (grep { $_ eq $all[$at] } @names) ? @all[ $at, $at + 1 ] : () } 0 .. $#all - 1 ];
}

# --- faults, of the simulator or the proxy: need('faults') ---
# Faults as test/kubesim/README.md describes them; those that are left are taken away again by no_faults.
sub fault     { my ($self, @faults) = @_; return $self->disturb('faults', \@faults) }
sub no_faults { my ($self) = @_; return $self->expect_success($self->delete('/_sim/faults')) }
# One of the other calls described there, as 'pause' or 'end_watches'. Returns the state.
sub disturb { my ($self, $call, $body) = @_; return $self->expect_success($self->create("/_sim/$call", $body // {})) }

# kubectl with this API's kubeconfig: (exit status, output, errors).
sub kubectl {
    my ($self, @arguments) = @_;
    my ($output, $errors) = ('', '');
    my $input = ref $arguments[-1] ? ${ pop @arguments } : '';
    IPC::Run::run([ DBNet::Need::kubectl(), '--kubeconfig', $self->{kubeconfig}, '--cache-dir', "$self->{directory}/kubectl_cache",
            (defined $self->{context} ? ('--context', $self->{context}) : ()), @arguments ],
        '<', \$input, '>', \$output, '2>', \$errors);
    return ($? >> 8, $output, $errors);
}

# The requests that the server has had, oldest first: {method, path (with query), status, agent, certificate (whose), acts_as (whom the sender impersonates, or ''), time (s)}; of the
# simulator and of proxies accept, too. Watches count
# from their start, others when they are answered. Options: method, path (pattern), since (an earlier count of requests),
# agent (pattern; default: all but this harness's curl and kubectl).
sub requests {
    my ($self, %options) = @_;
    my @all = $self->all_requests;
    splice @all, 0, $options{since} // 0;
    return grep {
        (!defined $options{method} || $_->{method} eq $options{method})
          && (!defined $options{path} || $_->{path} =~ $options{path})
          && (defined $options{agent} ? $_->{agent} =~ $options{agent} : $_->{agent} !~ /^(?:curl|kubectl|kube-)/)
    } @all;
}

# A point to give to `since`.
sub request_position { my ($self) = @_; return scalar(() = $self->all_requests) }

# Before a proxy: those that the proxy had, in the words of its log, which are the simulator's.
sub all_requests {
    my ($self) = @_;
    return $self->log_requests if !$self->{proxy};
    return map { { %$_, agent => $_->{user_agent} } } $self->read_json_lines("$self->{directory}/proxy.requests");
}

# A hung server: connections stay open and nothing answers, until thaw.
sub freeze { my ($self) = @_; return $self->server->signal('STOP') }
sub thaw   { my ($self) = @_; return $self->server->signal('CONT') }

sub read_json_lines {
    my ($self, $file) = @_;
    return if !-e $file;
    return map { eval { $json->decode($_) } // () } split /\n/, PostgreSQL::Test::Utils::slurp_file($file);
}

sub is_ready {
    my ($self) = @_;
    my $answer = $self->get('/readyz', timeout => 5, accept => '*/*');
    return $answer->{status} == 200;
}

# Polls until the condition holds; dies with what is known when `timeout` seconds (default 60) have passed.
sub wait_until {
    my ($self, $condition, $what, $timeout) = @_;
    my $deadline = time + ($timeout // 60);
    my $pause = 0.02;
    while (1) {
        my $result = $condition->();
        return $result if $result;
        last if time > $deadline || $self->{failed};
        sleep $pause;
        $pause = $pause * 1.5 < 0.25 ? $pause * 1.5 : 0.25;
    }
    croak "waited in vain until $what\n" . ($self->{failed} // '') . $self->diagnostics;
}

# Waits until GET path satisfies the condition, called with the answer; returns the answer.
sub wait_for_object {
    my ($self, $path, $condition, $timeout) = @_;
    my $answer;
    eval {
        $self->wait_until(sub { $answer = $self->get($path); return $condition->($answer) }, "GET $path is as expected", $timeout);
        1;
    } or confess "$@\nlast answer: $answer->{status} $answer->{text}";
    return $answer;
}

# Ready is the status of the Node's condition of that type, '' when it has none.
sub node_ready {
    my ($self, $name) = @_;
    my $node = $self->get('/api/v1/nodes/' . $self->name($name))->{body};
    my ($ready) = grep { $_->{type} eq 'Ready' } @{ $node->{status}{conditions} // [] };
    return $ready ? $ready->{status} : '';
}

# Takes url and credentials from the kubeconfig (block YAML as kubectl writes it) for curl: its first cluster and first user.
sub read_kubeconfig {
    my ($self) = @_;
    my $text = PostgreSQL::Test::Utils::slurp_file($self->{kubeconfig});
    my %value;
    while ($text =~ /^[\s-]*"?(server|certificate-authority(?:-data)?|client-(?:certificate|key)(?:-data)?|token)"?:\s*"?([^\s",]+)"?,?\s*$/mg) {
        $value{$1} //= $2;
    }
    $self->{url} = $value{server} // confess "no server in $self->{kubeconfig}";
    $self->{url} =~ s{/$}{};
    my %option = ('certificate-authority' => '--cacert', 'client-certificate' => '--cert', 'client-key' => '--key');
    my @credentials;
    for my $name (sort keys %option) {
        my $file = $value{$name};
        if (defined $value{"$name-data"}) {
            $file = "$self->{kubeconfig}.$name.pem";
            open my $out, '>', $file or confess "$file: $!";
            print $out decode_base64($value{"$name-data"});
            close $out;
        }
        push @credentials, $option{$name}, $file if defined $file;
    }
    push @credentials, '-H', "Authorization: Bearer $value{token}" if defined $value{token} && !grep { $_ eq '--cert' } @credentials;
    $self->{credentials} = \@credentials;
    return;
}

1;
