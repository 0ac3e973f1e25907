# Client certificates that are renewed while a mirror watches and nothing else is asked for: in their files, and by the program
# that gives them, before the one in use expires. Watches move to the new one, and requests use it; nothing is listed again.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::File qw(replace_file);
use JSON::PP ();
use MIME::Base64 qw(decode_base64);
use POSIX ();
use Test::More;

DBNet::Need::need('own_servers');
my $api = DBNet::Api->start(nodes_ready => 0, controllers => 0, proxy => 0);
my $node = DBNet::Cluster->started('client_certificates');
my $directory = $api->directory;
my $space = $api->namespace;
my ($authority) = PostgreSQL::Test::Utils::slurp_file($api->kubeconfig) =~ /certificate-authority-data: *"?([^\s"]+)/;

sub write_file { my ($name, @rest) = @_; return replace_file("$directory/$name", @rest) }

# Whoever has the certificate of that name has watched, has written; the lists of all.
sub watches { my ($name, $label) = @_; return grep { $_->{certificate} eq $name && $_->{path} =~ /[?&]watch=/ && $_->{path} =~ /$label/ } $api->requests(method => 'GET') }
sub writes { my ($name) = @_; return grep { $_->{certificate} eq $name } $api->requests(method => 'PATCH') }
sub lists { my ($label) = @_; return scalar(() = grep { $_->{path} !~ /[?&]watch=|fieldSelector|limit=1(?:&|$)/ } $api->requests(method => 'GET', path => qr/configmaps\?.*$label/)) }

sub mirror {
    my ($server, $label) = @_;
    return "CREATE TABLE net.$label (name text PRIMARY KEY, labels jsonb DEFAULT '{\"of\": \"$label\"}', data jsonb);
        SELECT dbnet.mirror('$server', 'v1', 'ConfigMap', 'net.$label', namespace => '$space', label_selector => 'of=$label', mode => 'manage',
            columns => '{\"name\": \"metadata.name\", \"labels\": \"metadata.labels\", \"data\": \"data\"}');
        INSERT INTO net.$label (name, data) VALUES ('$label', '{\"turn\": \"0\"}')";
}

# --- files ---
sub give_files {
    my ($name) = @_;
    my ($certificate, $key) = $api->client_certificate($name);
    return (write_file('tls.crt', $certificate), write_file('tls.key', $key));
}
my ($certificate, $key) = give_files('first');
$node->psql_ok("CREATE SCHEMA net; CREATE SERVER files FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url '${\$api->url}', ca " . DBNet::Api::quote(decode_base64($authority)) . ");
    CREATE USER MAPPING FOR PUBLIC SERVER files OPTIONS (client_cert_file '$certificate', client_key_file '$key');" . mirror('files', 'infiles'), 'a server with a certificate in files');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'a row is sent');
$api->wait_until(sub { watches('first', 'infiles') }, 'the first certificate watches');
my $lists = lists('infiles');
give_files('second');
$api->wait_until(sub { watches('second', 'infiles') }, 'another one is put in its place: it watches');
$node->psql_ok(q{UPDATE net.infiles SET data = '{"turn": "1"}'}, 'a change');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'is sent');
is(scalar(() = writes('second')), 1, 'with the second');
$api->expect_success($api->create("/api/v1/namespaces/$space/configmaps", { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'by-others', labels => { of => 'infiles' } }, data => { turn => 'theirs' } }));
$node->wait_for(q{SELECT data ->> 'turn' FROM net.infiles WHERE name = 'by-others'}, 'its watch is heard', expected => 'theirs');
is(lists('infiles'), $lists, 'nothing was listed again');

# --- a program: nobody asks for anything until the certificate is about to expire ---
sub give_by_program {
    my ($name, $seconds) = @_;
    my ($certificate, $key) = $api->client_certificate($name);
    return write_file('credential', JSON::PP::encode_json({ apiVersion => 'client.authentication.k8s.io/v1', kind => 'ExecCredential',
                status => { clientCertificateData => $certificate, clientKeyData => $key, expirationTimestamp => POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(time + $seconds)) } }));
}
give_by_program('third', 90);
my $program = write_file('get-certificate', "#!/bin/sh\ncat $directory/credential\n", mode => 0700);
my $kubeconfig = write_file('with-program', <<"KUBECONFIG");
apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: test}}]
clusters: [{name: test, cluster: {server: '${\$api->url}', certificate-authority-data: $authority}}]
users: [{name: test, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: $program, interactiveMode: Never}}}]
KUBECONFIG
$node->psql_ok("ALTER SYSTEM SET dbnet.exec_plugins = '$program'", 'a program');
$node->reload;
$node->wait_for(q{SELECT current_setting('dbnet.exec_plugins')}, 'is allowed', expected => $program);
$node->psql_ok("CREATE SERVER asked FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (kubeconfig '$kubeconfig');" . mirror('asked', 'byprogram'), 'a server whose certificates it gives');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'a row is sent');
$api->wait_until(sub { watches('third', 'byprogram') }, 'the first certificate watches');
$lists = lists('byprogram');
give_by_program('fourth', 3600);
$api->wait_until(sub { watches('fourth', 'byprogram') }, 'before it expires the next one does', 180);
$node->psql_ok(q{UPDATE net.byprogram SET data = '{"turn": "1"}'}, 'a change');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'is sent');
is(scalar(() = writes('fourth')), 1, 'with the next one');
is(lists('byprogram'), $lists, 'nothing was listed again');
$node->query_is(q{SELECT DISTINCT state FROM dbnet.mirror_status}, 'synced', 'all is well');

$node->no_crash_in_log;
done_testing();
