# The client API of a node over HTTP: requests with a token, answers as Perl data.
#
#   my $api = DBNet::ClientApi->new($node);             # sets dbnet.api_listen, waits until it is served
#   my $token = $api->token('app', 'ci');               # of dbnet.create_token()
#   my $answer = $api->post($token, '/schemas', { name => 'net' });   # {status, headers, content, body}
package DBNet::ClientApi;

use strict;
use warnings FATAL => 'all';
use DBNet::Wait qw(wait_until);
use Carp;
use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use Test::More;

my $json = JSON::PP->new->utf8->canonical;

sub new {
    my ($class, $node, %options) = @_;
    my $port = PostgreSQL::Test::Cluster::get_free_port();
    $node->append_conf('postgresql.conf', "dbnet.api_listen = '127.0.0.1:$port'");
    my $self = bless { node => $node, port => $port, url => "http://127.0.0.1:$port/api/v1", timeout => $options{timeout} // 60 }, $class;
    if ($node->{_pid}) {
        $node->restart;
        $self->wait_until_served;
    }
    return $self;
}
sub url { return $_[0]{url} }

sub wait_until_served {
    my ($self) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return pass('the client API is served') if wait_until(sub { $self->request('GET', '/openapi.json')->{status} == 200 });
    fail('the client API is served');
    diag($self->{node}->diagnostics);
    return 0;
}

sub token {
    my ($self, $role, $name, $more) = @_;
    return $self->{node}->safe_psql('postgres', "SELECT dbnet.create_token('$role', '$name'" . ($more ? ", $more" : '') . ')');
}

# Options: token, body (data, sent as JSON), content (text as it is), headers.
sub request {
    my ($self, $method, $path, %options) = @_;
    my %headers = %{ $options{headers} // {} };
    $headers{Authorization} = "Bearer $options{token}" if defined $options{token};
    my $content = exists $options{body} ? $json->encode($options{body}) : $options{content};
    $headers{'Content-Type'} //= 'application/json' if defined $content;
    my $response = HTTP::Tiny->new(timeout => $self->{timeout}, keep_alive => 0)
      ->request($method, $self->{url} . $path, { headers => \%headers, (defined $content ? (content => $content) : ()) });
    $response->{body} = eval { $json->decode($response->{content}) };
    return $response;
}
sub get  { my ($self, $token, $path, %more) = @_; return $self->request('GET', $path, token => $token, %more) }
sub post { my ($self, $token, $path, $body, %more) = @_; return $self->request('POST', $path, token => $token, body => $body, %more) }

# The rows of a query.
sub rows {
    my ($self, $token, $statement, @parameters) = @_;
    my $answer = $self->post($token, '/query', { statement => $statement, parameters => \@parameters });
    croak "$statement: $answer->{status} $answer->{content}" if $answer->{status} != 200;
    return $answer->{body}{rows};
}

# One test: the status, and when given SQLSTATE and a pattern of the message, detail or hint.
sub answers {
    my ($self, $answer, $status, $name, $sqlstate, $pattern) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $error = ref $answer->{body} eq 'HASH' ? $answer->{body}{error} : undef;
    my $good = $answer->{status} == $status
      && (!defined $sqlstate || ($error && ($error->{sqlstate} // '') eq $sqlstate))
      && (!defined $pattern || ($error && join("\n", map { $_ // '' } @{$error}{qw(message detail hint context)}) =~ $pattern));
    ok($good, $name) or diag("$answer->{status} $answer->{content}");
    return $answer;
}

# Runs the subs at the same time, each in a process of its own; their results (text) in order.
sub at_once {
    my ($self, @subs) = @_;
    my @readers;
    for my $sub (@subs) {
        pipe my $reader, my $writer or die "pipe: $!";
        my $pid = fork // die "fork: $!";
        if ($pid == 0) {
            close $reader;
            my $text = eval { $sub->() } // "died: $@";
            print {$writer} $text;
            close $writer;
            require POSIX;
            POSIX::_exit(0);
        }
        close $writer;
        push @readers, [ $pid, $reader ];
    }
    return map {
        my ($pid, $reader) = @$_;
        local $/ = undef;
        my $text = <$reader>;
        waitpid $pid, 0;
        $text;
    } @readers;
}

1;
