# The checklist of OTLP/HTTP with curl, a client that is no library of OpenTelemetry: what it is answered to good and bad
# input, how large bodies, chunks, compressed ones and kept connections fare, and that it may try again.
use strict;
use warnings FATAL => 'all';
use Compress::Zlib ();
use DBNet::Cluster;
use DBNet::Gateway;
use DBNet::Wait qw(wait_until);
use IPC::Run ();
use Test::More;

my $node = DBNet::Cluster->started('gateway_curl', conf => 'dbnet.gateway_body_limit = 2MB');
my $gateway = DBNet::Gateway->open($node);
my $url = 'http://127.0.0.1:' . $gateway->port;
my @json = ('-H', 'Content-Type: application/json');
my @protobuf = ('-H', 'Content-Type: application/x-protobuf');
my $files = PostgreSQL::Test::Utils::tempdir();

# The name of a file with these bytes.
my $number = 0;
sub file {
    my ($bytes) = @_;
    my $name = "$files/" . $number++;
    open my $out, '>:raw', $name or die "$name: $!\n";
    print $out $bytes;
    close $out;
    return $name;
}

sub command {
    my ($format, @arguments) = @_;
    return ('curl', '--silent', '--max-time', '60', '--noproxy', '*', '--write-out', $format, @arguments);
}

# "status type body" of a request to a path; the body as it came.
sub answer {
    my ($path, @arguments) = @_;
    my $body = "$files/answer";
    unlink $body;
    my ($told) = PostgreSQL::Test::Utils::run_command([ command('%{http_code} %{content_type}', '--output', $body, @arguments, $url . $path) ]);
    return "$told " . (-e $body ? PostgreSQL::Test::Utils::slurp_file($body) : '');
}
sub sends { my ($bytes, @more) = @_; return (@more, '--data-binary', '@' . file($bytes)) }
sub spans { return $node->safe_psql('postgres', 'SELECT count(*) FROM otel.spans') }

# ExportTraceServiceRequest of one span, with a trace id of so many bytes.
sub protobuf_span {
    my ($size) = @_;
    my $field = sub { my ($tag, $bytes) = @_; return chr($tag) . chr(length $bytes) . $bytes };
    my $span = $field->(0x0a, "\x01" x $size) . $field->(0x12, "\x02" x 8) . $field->(0x2a, 'curl');
    return $field->(0x0a, $field->(0x12, $field->(0x12, $span)));
}

my $before = spans();
my $good = DBNet::Gateway::traces(1);
my $bad_id = $good =~ s/"traceId":"[^"]*"/"traceId":"W47\/95gDgQPSabYzgT\/GDA=="/r;
my $with_nul = $good =~ s/"name":"span"/"name":"sp\\u0000an"/r;
my $large = '{"x":"' . 'x' x 3_000_000 . '"}';
for my $case (
    [ 'JSON', qr/^200 application\/json \{\}$/, '/v1/traces', sends($good, @json) ],
    [ 'protobuf', qr/^200 application\/x-protobuf $/, '/v1/traces', sends(protobuf_span(16), @protobuf) ],
    [ 'metrics', qr/^200 application\/json \{\}$/, '/v1/metrics', sends(DBNet::Gateway::metrics(1), @json) ],
    [ 'logs', qr/^200 application\/json \{\}$/, '/v1/logs', sends(DBNet::Gateway::logs(1), @json) ],
    [ 'nothing, protobuf', qr/^200 application\/x-protobuf $/, '/v1/logs', sends('', @protobuf) ],
    [ 'nothing, JSON', qr/^200 application\/json \{\}$/, '/v1/logs', sends('{}', @json) ],
    [ 'an id in base64', qr/^200 application\/json \{"partialSuccess":\{"rejectedSpans":"1","errorMessage":"1 of 1 span rejected\. .*24 characters instead of 32 hexadecimal digits/, '/v1/traces', sends($bad_id, @json) ],
    [ 'an id in hexadecimal, protobuf', qr/^200 application\/x-protobuf \x0a.\x08\x01\x12.1 of 1 span rejected/s, '/v1/traces', sends(protobuf_span(32), @protobuf) ],
    [ 'a warning', qr/^200 application\/json \{"partialSuccess":\{"errorMessage":"1 string had U\+0000/, '/v1/traces', sends($with_nul, @json) ],
    [ 'no JSON', qr/^400 application\/json \{"code":3,"message":".*","details":\[\{"\@type":"type\.googleapis\.com\/google\.rpc\.BadRequest"/, '/v1/traces', sends('{"resourceSpans":', @json) ],
    [ 'no protobuf', qr/^400 application\/x-protobuf \x08\x03\x12/, '/v1/traces', sends("\x0a\x07\x12", @protobuf) ],
    [ 'no gzip', qr/^400 application\/json .*cannot be decompressed/, '/v1/traces', sends('{}', @json, '-H', 'Content-Encoding: gzip') ],
    [ 'an unknown coding', qr/^400 application\/json .*unsupported Content-Encoding: br/, '/v1/traces', sends('{}', @json, '-H', 'Content-Encoding: br') ],
    [ 'gzip', qr/^200 /, '/v1/traces', sends(Compress::Zlib::memGzip($good), @json, '-H', 'Content-Encoding: gzip') ],
    [ 'too large', qr/^413 application\/json .*too large/, '/v1/traces', sends($large, @json) ],
    [ 'too large, in chunks', qr/^413 application\/json .*too large/, '/v1/traces', sends($large, @json, '-H', 'Transfer-Encoding: chunked') ],
    [ 'too large, without a word before', qr/^413 application\/json .*too large/, '/v1/traces', sends($large, @json, '-H', 'Expect:') ],
    [ 'too large when decompressed', qr/^413 application\/json .*decompressed/, '/v1/traces', sends(Compress::Zlib::memGzip($large), @json, '-H', 'Content-Encoding: gzip') ],
    [ 'no media type', qr/^415 text\/plain 415 unsupported media type, supported: \[application\/json, application\/x-protobuf\]$/, '/v1/traces', sends('{}', '-H', 'Content-Type:') ],
    [ 'a form, curl\'s own', qr/^415 text\/plain 415 /, '/v1/traces', sends('{}') ],
    [ 'another case and a parameter', qr/^200 application\/json \{\}$/, '/v1/traces', sends('{}', '-H', 'Content-Type: APPLICATION/JSON;charset=UTF-8') ],
    [ 'GET', qr/^405 text\/plain 405 method not allowed, supported: \[POST\]$/, '/v1/traces' ],
    [ 'a preflight', qr/^405 /, '/v1/traces', '-X', 'OPTIONS', '-H', 'Origin: https://shop.example', '-H', 'Access-Control-Request-Method: POST' ],
    [ 'another path', qr/^404 /, '/v1/profiles', sends('{}', @json) ],
    [ 'a header that is too large', qr/^431 /, '/v1/traces', sends('{}', @json, '-H', 'X: ' . 'x' x 20_000) ],
    [ 'a token that nobody made', qr/^401 application\/json \{"code":16,/, '/v1/traces', sends('{}', @json, '-H', 'Authorization: Bearer x') ],
    [ 'a password', qr/^401 application\/json \{"code":16,.*bearer/, '/v1/traces', sends('{}', @json, '-u', 'me:secret') ],
    [ 'HTTP/1.0', qr/^200 application\/json \{\}$/, '/v1/traces', sends($good, @json, '-0') ],
    [ 'an offer of HTTP/2', qr/^200 application\/json \{\}$/, '/v1/traces', sends($good, @json, '--http2') ],
    [ 'health', qr/^200 text\/plain ok\n$/, '/healthz' ],
    [ 'readiness', qr/^200 text\/plain ready\n$/, '/readyz' ],
    [ 'metrics for Prometheus', qr/^200 text\/plain; version=0\.0\.4; charset=utf-8 # HELP /, '/metrics' ],
) {
    my ($name, $wanted, $path, @arguments) = @$case;
    my $got = answer($path, @arguments);
    like($got, $wanted, $name);
}
is(spans() - $before, 6, 'what was acknowledged is there, and nothing else');

SKIP: {
    my ($file) = (file($good));
    skip 'there is no zstd', 1 if system("zstd -q $file -o $file.zst 2>/dev/null") != 0;
    like(answer('/v1/traces', @json, '-H', 'Content-Encoding: zstd', '--data-binary', "\@$file.zst"), qr/^200 /, 'zstd');
}

# curl asks before it sends more than a megabyte.
my ($told) = PostgreSQL::Test::Utils::run_command([ command('%{http_code} %{size_upload}', '--output', '/dev/null', sends($large, @json), "$url/v1/traces") ]);
is($told, '413 0', 'a body that would be refused is not sent');
like(answer('/v1/traces', sends('{"x":"' . 'x' x 1_900_000 . '"}', @json)), qr/^200 /, 'one that fits is');

# From a pipe: chunks, of which nobody knows how many come.
$before = spans();
IPC::Run::run([ command('%{http_code}', '--output', '/dev/null', '-X', 'POST', @json, '-T', '-', "$url/v1/traces") ], '<', \$good, '>', \$told);
is("$told " . (spans() - $before), '200 1', 'a body from a pipe');

# Two requests of one curl share a connection, also when the first is refused.
for my $first ($good, '{', $large) {
    my @one = ('--output', '/dev/null', sends($first, @json, '-H', 'Expect:'), "$url/v1/traces");
    my @other = ('--next', '--silent', '--noproxy', '*', '--write-out', '%{http_code} %{num_connects}', '--output', '/dev/null', sends($good, @json), "$url/v1/traces");
    ($told) = PostgreSQL::Test::Utils::run_command([ command('', @one), @other ]);
    is($told, '200 0', 'a connection is kept after ' . length($first) . ' bytes');
}

# It waits as Retry-After says, and sends again.
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN; LOCK TABLE otel.batch IN ACCESS EXCLUSIVE MODE');
$before = spans();
my $curl = IPC::Run::start([ command('%{http_code}', '--output', "$files/patient", '--retry', '30', sends($good, @json), "$url/v1/traces") ], '>', \my $patient);
ok(wait_until(sub { $gateway->get('/metrics')->{body} =~ /^dbnet_gateway_requests_total\{signal="traces",status="503"\} [1-9]/m }), 'the gateway says 503');
$session->query_safe('ROLLBACK');
$session->quit;
$curl->finish;
is("$patient " . (spans() - $before), '200 1', 'curl has tried again');

$node->no_crash_in_log;
done_testing();
