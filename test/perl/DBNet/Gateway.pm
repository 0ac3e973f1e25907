# The gateway of a node's database, and a client that says exactly the bytes that a test wants.
#
#   my $gateway = DBNet::Gateway->open($node);                              # sets dbnet.gateway_listen, waits until it answers
#   my $answer = $gateway->post('/v1/traces', body => …, type => 'application/json', headers => […]);
#   $answer->{status}, $answer->{headers}{'content-type'}, $answer->{body}
#   my $client = $gateway->connect;  $client->send(…);  $client->answer;     # one connection, raw bytes
package DBNet::Gateway;

use strict;
use warnings FATAL => 'all';
use Carp;
use IO::Socket::INET;
use JSON::PP ();
use PostgreSQL::Test::Cluster ();
use Test::More;
use DBNet::Wait qw(wait_until);

our $json = JSON::PP->new->canonical->allow_nonref;
my $patience = 60;    # seconds

# Options: database, port.
sub open {
    my ($class, $node, %options) = @_;
    my $self = bless { node => $node, database => $options{database} // 'postgres',
        port => $options{port} // PostgreSQL::Test::Cluster::get_free_port() }, $class;
    $node->safe_psql('postgres', "ALTER DATABASE $self->{database} SET dbnet.gateway_listen = '127.0.0.1:$self->{port}'");
    $self->wait_until_open;
    return $self;
}

sub port { return $_[0]{port} }

sub wait_until_open {
    my ($self) = @_;
    wait_until(sub { ((eval { $self->get('/readyz') } // {})->{status} // 0) == 200 }, $patience)
      or confess 'the gateway does not open: ' . $self->{node}->diagnostics(database => $self->{database});
}

sub connect {
    my ($self) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}, Timeout => 10)
      or die "connect: $!";
    return bless { socket => $socket, rest => '' }, 'DBNet::Gateway::Client';
}

sub get { my ($self, $path) = @_; return $self->request('GET', $path) }

# Options: body, type (of the content; undef: no header), headers (lines).
sub post {
    my ($self, $path, %options) = @_;
    $options{type} = 'application/json' if !exists $options{type};
    return $self->request('POST', $path, %options);
}

sub request {
    my ($self, $method, $path, %options) = @_;
    my $client = $self->connect;
    $client->send(request_bytes($method, $path, %options));
    return $client->answer;
}

sub request_bytes {
    my ($method, $path, %options) = @_;
    my $body = $options{body} // '';
    my @lines = ("$method $path HTTP/1.1", 'Host: gateway', @{ $options{headers} // [] });
    push @lines, "Content-Type: $options{type}" if defined $options{type};
    push @lines, 'Content-Length: ' . length $body if $method ne 'GET';
    return join("\r\n", @lines, '', '') . $body;
}

# --- Requests of OTLP, as JSON text. Spans are named after `name` and end now. ---
sub traces {
    my ($count, %options) = @_;
    my $now = int(time) . '000000000';
    my @spans = map {
        { traceId => sprintf('%032x', $_ + 1), spanId => sprintf('%016x', $_ + 1), name => $options{name} // 'span', kind => 2,
            startTimeUnixNano => $now, endTimeUnixNano => $now }
    } 0 .. $count - 1;
    return $json->encode({ resourceSpans => [ {
        resource => { attributes => [ { key => 'service.name', value => { stringValue => $options{service} // 'shop' } } ] },
        scopeSpans => [ { scope => { name => 'test' }, spans => \@spans } ] } ] });
}

sub metrics {
    my ($count) = @_;
    my $now = int(time) . '000000000';
    my @points = map { { asInt => "$_", timeUnixNano => $now } } 1 .. $count;
    return $json->encode({ resourceMetrics => [ { scopeMetrics => [ { metrics => [ { name => 'm', gauge => { dataPoints => \@points } } ] } ] } ] });
}

sub logs {
    my ($count) = @_;
    my $now = int(time) . '000000000';
    my @records = map { { timeUnixNano => $now, severityNumber => 9, body => { stringValue => "line $_" } } } 1 .. $count;
    return $json->encode({ resourceLogs => [ { scopeLogs => [ { logRecords => \@records } ] } ] });
}

package DBNet::Gateway::Client;

use Carp;
use IO::Select;

sub send {
    my ($self, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';
    while (length $bytes) {
        my $sent = syswrite $self->{socket}, $bytes;
        return 0 if !$sent;
        substr $bytes, 0, $sent, '';
    }
    return 1;
}

sub read_more {
    my ($self) = @_;
    IO::Select->new($self->{socket})->can_read($patience) or confess "no answer within $patience s; so far: $self->{rest}";
    my $size = sysread $self->{socket}, my $piece, 65536;
    return 0 if !$size;
    $self->{rest} .= $piece;
    return 1;
}

# The next answer; undef when the connection ended first.
sub answer {
    my ($self) = @_;
    my ($head, $status, %headers);
    while (1) {
        if ($self->{rest} =~ s/\A(HTTP\/1\.1 (\d+)[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n)//) {
            ($head, $status) = ($1, $2);
            last if $status != 100;
        } elsif (!$self->read_more) {
            return undef;
        }
    }
    $headers{ lc $1 } = $2 while $head =~ /^([^:\r\n]+): *([^\r\n]*)\r$/mg;
    my $length = $headers{'content-length'} // 0;
    while (length $self->{rest} < $length) { $self->read_more or last }
    return { status => $status, head => $head, headers => \%headers, body => substr($self->{rest}, 0, $length, '') };
}

# The server closes, and says nothing more before.
sub is_closed {
    my ($self) = @_;
    while ($self->read_more) { }
    return $self->{rest} eq '';
}

1;
