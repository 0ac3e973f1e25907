# The answers of a real API server, recorded in test/kubesim/transcripts.json, replayed in order: every request must get the
# same code, headers that matter, and body, but for uids, times, chosen names and addresses, and revision numbers. Revisions
# must still be equal where they were equal in the recording (a write that changes nothing keeps its revision).
# Not compared: the order of members in JSON that a message quotes, and the dump of both objects that follows some messages.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use JSON::PP ();
use MIME::Base64 qw(decode_base64);
use PostgreSQL::Test::Utils ();
use Test::More;

DBNet::Api::need('simulator');
my $api = DBNet::Api->start(nodes_ready => 0, arguments => [ '--future-wait-ms', 50, '--definition-delay-ms', 1500 ]);
my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $transcripts = $json->decode(PostgreSQL::Test::Utils::slurp_file("$DBNet::Environment::top/test/kubesim/transcripts.json"));
my @credentials = @{ $api->{credentials} };
my @authority = map { $credentials[$_] eq '--cacert' ? @credentials[ $_, $_ + 1 ] : () } 0 .. $#credentials;
my $maps = '/api/v1/namespaces/rec/configmaps';

# Recorded text → the text of this run: uids, revisions and continue tokens that later requests name.
my %now_of;
my %broken_revision;

# What happened between the recorded requests without a transcript of its own.
my %before = (
    'SSA creates' => sub {
        # kube-controller-manager puts these into every namespace
        my %content = (
            'kube-root-ca.crt' => [ 'ca.crt', 'kubernetes.io/description', recorded_description() ],
            'openshift-service-ca.crt' => [ 'service-ca.crt', 'service.beta.openshift.io/inject-cabundle', 'true' ]);
        for my $name (sort keys %content) {
            my ($key, $annotation, $text) = @{ $content{$name} };
            $api->create($maps, { metadata => { name => $name, annotations => { $annotation => $text } }, data => { $key => '' } },
                query => { fieldManager => 'kube-controller-manager' });
        }
    },
    'list limit=2 page 1' => sub {
        $api->apply("$maps/p$_", { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => "p$_" }, data => { a => '1', b => '2' } },
            manager => 'm1') for 0 .. 4;
    },
    'watch from list resourceVersion: ADDED MODIFIED DELETED, one JSON document per line' => sub {
        my $map = { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'w1' } };
        $api->apply("$maps/w1", { %$map, data => { a => '1', b => '2' } }, manager => 'm1');
        $api->apply("$maps/w1", { %$map, data => { z => '1' } }, manager => 'm1');
        $api->delete("$maps/w1");
    },
    'scale get' => sub { deployment_is(sub { ($_[0]{replicas} // 0) == 2 }) },
    # The recording caught the controller between two writes: what it shows a moment later is compared.
    'merge patch unknown field, default validation: Warning header' => sub {
        my ($recorded) = @_;
        deployment_is(sub { ($_[0]{replicas} // 0) == 3 && $_[0]{observedGeneration} == 2 });
        $recorded->{body}{status}{$_} = 3 for qw(replicas updatedReplicas);
    },
    'get' => sub { deployment_is(sub { !$_[0]{readyReplicas} }) },
    'CRD established' => sub {
        $api->wait_for_object('/apis/apiextensions.k8s.io/v1/customresourcedefinitions/routers.net.example.com',
            sub { grep { $_->{type} eq 'Established' } @{ $_[0]{body}{status}{conditions} // [] } });
    },
    'watch from resourceVersion 1 (too old)' => sub { $api->create('/_sim/compact', {}) },
);

for my $transcript (@$transcripts) {
    my ($title, $request, $recorded) = @{$transcript}{qw(title request response)};
    $before{$title}->($recorded) if $before{$title};
    my $answer = replay($title, $request);
    learn($recorded, $answer);
    is_deeply(normal_answer($answer, $recorded), normal_recording($recorded), $title)
      or diag("$request->{method} $request->{path}\nanswer: $answer->{status} $answer->{text}");
}
is_deeply(\%broken_revision, {}, 'revisions are equal where they were equal in the recording');
done_testing;

# Waits until the Deployment's status is so.
sub deployment_is {
    my ($condition) = @_;
    $api->wait_for_object('/apis/apps/v1/namespaces/rec/deployments/web', sub { $condition->($_[0]{body}{status}) });
    return;
}

sub recorded_description {
    my ($list) = grep { $_->{title} eq 'list' } @$transcripts;
    return $list->{response}{body}{items}[1]{metadata}{annotations}{'kubernetes.io/description'};
}

sub replay {
    my ($title, $request) = @_;
    my @options = ('-A', 'dbnet-probe', map { ('-H', "$_: $request->{headers}{$_}") } sort keys %{ $request->{headers} // {} });
    local $api->{credentials} =
        $title eq 'no credentials' ? [ @authority, @options ]
      : $title eq 'bad token'      ? [ @authority, @options, '-H', 'Authorization: Bearer wrong' ]
      :                              [ @credentials, @options ];
    my $body = $request->{body};
    $body = { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'big' }, data => { a => 'x' x 1_100_000 } }
      if $title eq 'ConfigMap too large';
    my $path = $request->{path};
    $path =~ s/\Q$_\E(?![0-9A-Za-z])/$now_of{$_}/g for sort { length $b <=> length $a } keys %now_of;
    return $api->request($request->{method}, $path,
        ($request->{accept} ? (accept => $request->{accept}) : ()),
        (defined $body ? (body => ref $body ? encode($body) : $body, content_type => $request->{content_type}) : ()));
}

sub encode {
    my ($body) = @_;
    my $text = $json->encode($body);
    $text =~ s/\Q$_\E/$now_of{$_}/g for grep { /-/ } keys %now_of;
    return $text;
}

# One document, or the lines of a watch, or text.
sub documents {
    my ($text) = @_;
    return $text if ref $text;
    my @lines = map { eval { $json->decode($_) } } grep { /\S/ } split /\n/, $text;
    return @lines ? \@lines : $text;
}

# Remembers which text of this run stands for which recorded one.
sub learn {
    my ($recorded, $answer) = @_;
    walk_together($recorded->{body}, $answer->{body}) if ref $recorded->{body} && ref $answer->{body};
}

sub walk_together {
    my ($then, $now) = @_;
    if (ref $then eq 'HASH' && ref $now eq 'HASH') {
        for my $key (sort keys %$then) {
            next if !exists $now->{$key};
            if ($key =~ /^(?:uid|resourceVersion|continue)$/ && !ref $then->{$key} && defined $now->{$key}) {
                my $known = $now_of{ $then->{$key} };
                $broken_revision{ $then->{$key} } = "$known and $now->{$key}" if defined $known && $known ne $now->{$key};
                $now_of{ $then->{$key} } = $now->{$key};
            }
            walk_together($then->{$key}, $now->{$key});
        }
    } elsif (ref $then eq 'ARRAY' && ref $now eq 'ARRAY') {
        walk_together($then->[$_], $now->[$_]) for 0 .. ($#$then < $#$now ? $#$then : $#$now);
    }
    return;
}

sub normal_recording {
    my ($recorded) = @_;
    return { status => $recorded->{status}, headers => headers($recorded->{headers}), body => normal_body($recorded->{body}) };
}

sub normal_answer {
    my ($answer, $recorded) = @_;
    my $body = ref $recorded->{body} && defined $answer->{body} ? $answer->{body} : $answer->{text};
    return { status => $answer->{status}, headers => headers($answer->{headers}, $recorded->{headers}), body => normal_body($body) };
}

# Those that say something to a client; of the answer's only the recorded ones and Warning.
sub headers {
    my ($headers, $wanted) = @_;
    my %lower = map { lc $_ => $headers->{$_} } keys %$headers;
    my %keep = map { lc $_ => 1 } keys %{ $wanted // $headers }, ($wanted ? 'warning' : ());
    return { map { $keep{$_} ? ($_ => $lower{$_}) : () } keys %lower };
}

sub normal_body {
    my ($body) = @_;
    my $documents = documents($body);
    return normal($documents) if ref $documents ne 'ARRAY' || !grep { ref $_ eq 'HASH' && $_->{type} } @$documents;
    my @events = map { normal($_) } @$documents;
    # Initial events come in no order; a single event was recorded as itself.
    my $initial = !grep { $_->{type} ne 'ADDED' } @events;
    @events = sort { $a->{object}{metadata}{name} cmp $b->{object}{metadata}{name} } @events if $initial && @events > 1;
    return @events == 1 ? $events[0] : \@events;
}

# What Go's %q wrote.
sub quoted {
    my ($text) = @_;
    $text =~ s/\\(.)/$1/gs;
    return $text;
}

sub normal {
    my ($value, $key) = @_;
    # Managers who wrote in the same second are sorted by name, others by time.
    return [ sort { $json->encode($a) cmp $json->encode($b) } map { normal($_) } @$value ] if ($key // '') eq 'managedFields';
    return [ map { normal($_) } @$value ] if ref $value eq 'ARRAY';
    return { map { $_ => normal($value->{$_}, $_) } keys %$value } if ref $value eq 'HASH';
    return $value if !defined $value || ref $value;
    return 'REVISION' if ($key // '') eq 'resourceVersion';
    if (($key // '') eq 'continue') {
        my $token = $json->decode(decode_base64($value =~ tr{-_}{+/}r . '=' x (-length($value) % 4)));
        return { %$token, rv => 'REVISION' };
    }
    my $text = "$value";
    $text =~ s/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/UID/g if $text !~ /11111111-1111/;
    $text =~ s/(?<=record \()[0-9a-f-]{36}/UID/;
    $text =~ s/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/TIME/g;
    $text =~ s/(?<=current: )\d+/REVISION/;
    $text =~ s/(?<=too old resource version: 1 \()\d+/REVISION/;
    $text =~ s/^g-[a-z0-9]{5}$/g-RANDOM/;
    $text =~ s/(?<=ReplicaSet "web-)[a-z0-9]+/HASH/;
    $text =~ s/^10(?:\.\d+){3}$/ADDRESS/;
    $text =~ s/^\d+s$/AGE/;
    $text =~ s/\n  core\.PodSpec\{.*//s;
    # JSON inside a message
    $text =~ s{"(\{(?:[^"\\]|\\.)*\})"}{ $json->encode(normal($json->decode(quoted($1)))) }e if $text =~ /is invalid: patch: |^Invalid value: "\{/;
    return $text;
}
