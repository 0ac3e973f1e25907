# Beyond loopback: nothing without TLS and a token. Certificates that are replaced, clients that must show one, tokens
# and what they pin; and what happens to the address: taken, changed, taken away.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Gateway;
use Test::More;
use DBNet::Wait qw(wait_until);

my $node = DBNet::Cluster->started('gateway_tls');
my $folder = PostgreSQL::Test::Utils::tempdir();
my $port = PostgreSQL::Test::Cluster::get_free_port();

sub run_quietly {
    my (@command) = @_;
    my ($output, $errors) = PostgreSQL::Test::Utils::run_command(\@command);
    die "@command: $errors" if $?;
    return $output;
}

# A key and a certificate of it, signed by `ca` or by itself.
sub make_certificate {
    my ($name, $subject, %options) = @_;
    run_quietly('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
        '-keyout', "$folder/$name.key", '-out', "$folder/$name.crt", '-subj', "/CN=$subject", '-addext', 'subjectAltName=IP:127.0.0.1',
        ($options{ca} ? ('-CA', "$folder/$options{ca}.crt", '-CAkey', "$folder/$options{ca}.key") : ()));
    return;
}

# What curl got: status and body, or its exit code. Options: ca, certificate, token, body, path; get: no body is sent.
sub curl {
    my (%options) = @_;
    my @command = ('curl', '-s', '-o', '-', '-w', '\n%{http_code}', '--max-time', '20', '--noproxy', '*', '--cacert', "$folder/$options{ca}.crt",
        ($options{certificate} ? ('--cert', "$folder/$options{certificate}.crt", '--key', "$folder/$options{certificate}.key") : ()),
        ($options{token} ? ('-H', "Authorization: Bearer $options{token}") : ()),
        ($options{get} ? () : ('-H', 'Content-Type: application/json', '--data-binary', $options{body} // '{}')), "https://127.0.0.1:$port" . ($options{path} // '/v1/traces'));
    my ($output) = PostgreSQL::Test::Utils::run_command(\@command);
    return { exit => $? >> 8 } if $?;
    my ($body, $status) = $output =~ /\A(.*)\n(\d+)\z/s;
    return { status => $status, body => $body };
}

sub set {
    my (%settings) = @_;
    for my $name (sort keys %settings) {
        $node->safe_psql('postgres', "ALTER SYSTEM SET dbnet.$name = '$settings{$name}'");
    }
    $node->safe_psql('postgres', 'SELECT pg_reload_conf()');
    return;
}
sub last_error { return "SELECT last_error FROM dbnet.worker WHERE process = 'gateway worker'" }
sub wait_for_curl {
    my ($wanted, $name, %options) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $got;
    return pass($name) if wait_until(sub { $wanted->($got = curl(%options)) });
    fail($name);
    diag(explain($got), $node->diagnostics);
    return;
}

# --- refusal ---
my $log_start = $node->log_position;
$node->safe_psql('postgres', "ALTER DATABASE postgres SET dbnet.gateway_listen = '0.0.0.0:$port'");
$node->wait_for("SELECT (${\ last_error()}) ~ 'does not listen there without TLS.*dbnet.gateway_certificate_file.*token'", 'without TLS it does not listen, and says what to do');
like($node->log_since($log_start), qr/DBNet: dbnet.gateway_listen is "0.0.0.0:$port", which other machines reach: DBNet does not listen there without TLS\n.*HINT:.*dbnet.create_token/s,
    'in the log, too');
ok(!IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port), 'nobody answers');
set(gateway_certificate_file => "$folder/server.crt", gateway_key_file => "$folder/server.key");
$node->wait_for("SELECT (${\ last_error()}) ~ 'cannot read certificate file'", 'a file that is not there');
make_certificate('other', 'other');
run_quietly('cp', "$folder/other.key", "$folder/server.key");
make_certificate('first', '127.0.0.1');
run_quietly('cp', "$folder/first.crt", "$folder/server.crt");
$node->wait_for("SELECT (${\ last_error()}) ~ 'cannot be used'", 'a key of another certificate');
run_quietly('cp', "$folder/first.key", "$folder/server.key");
wait_for_curl(sub { ($_[0]{status} // 0) == 401 }, 'files that are right are found without a reload', ca => 'first');
$node->wait_for("SELECT (${\ last_error()}) IS NULL", 'and the error is gone');

# --- tokens ---
my $answer = curl(ca => 'first');
like($answer->{body}, qr/"code":16.*bearer token/, 'without a token: 401 and a google.rpc.Status');
$node->safe_psql('postgres', 'CREATE ROLE sender; GRANT dbnet_ingest TO sender; CREATE ROLE person LOGIN');
my $token = $node->safe_psql('postgres', q{SELECT dbnet.create_token('sender', 'edge', scope => 'ingest',
    resource_attributes => '{"k8s.cluster.name": "edge", "service.name": "pinned", "zone": 7, "trusted": true}')});
my $api_token = $node->safe_psql('postgres', q{SELECT dbnet.create_token('person', 'person')});
is(curl(ca => 'first', token => $token)->{status}, 200, 'with a token');
is(curl(ca => 'first', token => "${token}x")->{status}, 401, 'with another');
is(curl(ca => 'first', token => $api_token)->{status}, 403, 'with one for the client API');
for my $case ([ 401, 'no token' ], [ 401, 'another', "${token}x" ], [ 200, 'one for telemetry', $token ], [ 200, 'one for the client API', $api_token ]) {
    my ($status, $name, $shown) = @$case;
    is(curl(ca => 'first', get => 1, path => '/metrics', token => $shown)->{status}, $status, "metrics, $name");
}
is(curl(ca => 'first', get => 1, path => $_)->{status}, 200, "$_ needs none") for '/healthz', '/readyz';
is(curl(ca => 'first', token => $token, body => DBNet::Gateway::traces(2, service => 'claimed'))->{status}, 200, 'spans');
$node->query_is(q{SELECT r.service_name, r.attributes, b.token, b.client FROM otel.spans AS s JOIN otel.resources AS r USING (resource_id) JOIN otel.batch AS b USING (batch_id) LIMIT 1},
    'pinned|{"zone": 7, "trusted": true, "service.name": "pinned", "k8s.cluster.name": "edge"}|edge|127.0.0.1', 'have what the token pins, and say whose it is');
$node->query_is(q{SELECT last_used_at IS NOT NULL, last_client FROM dbnet.token_status WHERE name = 'edge'}, 't|127.0.0.1', 'the token was used');
$node->safe_psql('postgres', q{SELECT dbnet.revoke_token('edge')});
is(curl(ca => 'first', token => $token)->{status}, 401, 'a token that is revoked is good for nothing, at once');
$token = $node->safe_psql('postgres', q{SELECT dbnet.create_token('sender', 'edge', scope => 'ingest')});

# --- certificates ---
make_certificate('second', '127.0.0.1');
run_quietly('cp', "$folder/second.$_", "$folder/server.$_") for 'key', 'crt';
wait_for_curl(sub { ($_[0]{status} // 0) == 200 }, 'a new certificate is shown without a reload', ca => 'second', token => $token);
is(curl(ca => 'first', token => $token)->{exit}, 60, 'and the old one no more');
PostgreSQL::Test::Utils::append_to_file("$folder/server.crt", '');
open my $out, '>', "$folder/server.crt" or die $!;
print $out 'no certificate';
close $out;
$node->wait_for("SELECT (${\ last_error()}) ~ 'the former certificate stays in use'", 'a bad one is told of');
is(curl(ca => 'second', token => $token)->{status}, 200, 'and changes nothing');
run_quietly('cp', "$folder/second.crt", "$folder/server.crt");

make_certificate('authority', 'authority');
make_certificate('client', 'client', ca => 'authority');
set(gateway_client_ca_file => "$folder/authority.crt");
wait_for_curl(sub { exists $_[0]{exit} && $_[0]{exit} != 7 }, 'clients must have a certificate', ca => 'second', token => $token);
is(curl(ca => 'second', token => $token, certificate => 'client')->{status}, 200, 'one of the authority');
is(curl(ca => 'second', certificate => 'client')->{status}, 401, 'and a token all the same');
cmp_ok(curl(ca => 'second', token => $token, certificate => 'other')->{exit}, '>', 0, 'one of somebody else is refused');

my $plain = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
print $plain "POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
my $said = join '', <$plain>;
unlike($said, qr/HTTP/, 'plain HTTP is not answered');

# --- the address ---
$node->safe_psql('postgres', 'CREATE DATABASE second');
$node->safe_psql('second', 'CREATE EXTENSION dbnet');
$node->safe_psql('postgres', "ALTER DATABASE second SET dbnet.gateway_listen = '0.0.0.0:$port'");
$node->wait_for("SELECT (${\ last_error()}) ~ 'Address already in use.*another port'", 'an address that another database has', database => 'second');
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET dbnet.gateway_listen');
$node->wait_for("SELECT count(*) FROM dbnet.worker WHERE process = 'gateway worker'", 'without an address there is no worker', expected => '0');
$node->wait_for("SELECT (${\ last_error()}) IS NULL", 'the other database gets it then', database => 'second');
my $other = PostgreSQL::Test::Cluster::get_free_port();
$node->safe_psql('postgres', "ALTER DATABASE second SET dbnet.gateway_listen = '127.0.0.1:$other'");
ok(wait_until(sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $other) }), 'it moves when the setting changes');
ok(!IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port), 'and leaves the old address');
$node->safe_psql('postgres', 'DROP DATABASE second WITH (FORCE)');
ok(!IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $other), 'DROP DATABASE ends it');

$node->no_crash_in_log;
done_testing();
