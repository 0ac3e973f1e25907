# Every way to give credentials, on a server that checks them: tokens and certificates in a user mapping, as text and as
# files; tokens that are renewed, taken away and limited in rights.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use PostgreSQL::Test::Utils ();
use Test::More;

DBNet::Need::need('own_servers');
my $api  = DBNet::Api->start(controllers => 0);
my $node = DBNet::Cluster->started('main');
my ($space, $url) = ($api->namespace, $api->url);
my $maps = "/api/v1/namespaces/$space/configmaps";
my ($ca_file, $cert_file, $key_file) = map { $api->credentials($_)->[1] } qw(--cacert --cert --key);
my ($ca, $cert, $key) = map { DBNet::Api::quote(PostgreSQL::Test::Utils::slurp_file($_)) } $ca_file, $cert_file, $key_file;
my $token_file = PostgreSQL::Test::Utils::tempdir() . '/token';

sub put_token {
    my ($token) = @_;
    open my $out, '>', "$token_file.new" or die "$token_file.new: $!";
    print $out "$token\n";
    close $out;
    rename "$token_file.new", $token_file or die "$token_file: $!";
    return;
}

# A server with its own mirror, which reads and writes with the credentials given.
sub works {
    my ($name, $server_options, $mapping_options) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $node->psql_ok("CREATE SERVER $name FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url '$url', $server_options);
        CREATE USER MAPPING FOR CURRENT_USER SERVER $name OPTIONS ($mapping_options)", "$name: server and user mapping");
    $node->query_is("SELECT count(*) > 0 FROM dbnet.kinds('$name') WHERE kind = 'ConfigMap'", 't', "$name: a backend connects");
    $node->psql_ok("CREATE TABLE net.$name (name text PRIMARY KEY, labels jsonb DEFAULT '{\"for\": \"$name\"}', data jsonb);
        SELECT dbnet.mirror('$name', 'v1', 'ConfigMap', 'net.$name', '{\"name\": \"metadata.name\", \"labels\": \"metadata.labels\", \"data\": \"data\"}',
            namespace => '$space', label_selector => 'for=$name', mode => 'manage');
        INSERT INTO net.$name (name, data) VALUES ('" . $name =~ tr/_/-/r . "', '{\"a\": \"1\"}')", "$name: a mirror");
    $node->query_is("SELECT * FROM dbnet.wait_synced('60 s', 'net.$name')", '', "$name: the worker writes");
    is($api->get("$maps/" . $name =~ tr/_/-/r)->{body}{data}{a}, '1', "$name: it is there");
    return;
}
sub update { my ($name, $value) = @_; return $node->psql_ok("UPDATE net.$name SET data = '{\"a\": \"$value\"}'", "$name: update to $value") }

$node->psql_ok('CREATE SCHEMA net', 'a schema');
works('with_token', "ca $ca", "token '" . $api->token('all') . "'");
works('with_cert', "ca $ca", "client_cert $cert, client_key $key");
works('with_cert_files', "ca_file '$ca_file'", "client_cert_file '$cert_file', client_key_file '$key_file'");
my $first = $api->token('all');
put_token($first);
works('with_token_file', "ca_file '$ca_file'", "token_file '$token_file'");

# --- who we are, and what we may ---
$node->query_is(q{SELECT item, state FROM dbnet.check_server('with_token') WHERE item IN ('connection', 'rights of net.with_token') ORDER BY 1},
    "connection|ok\nrights of net.with_token|ok", 'check_server with a token');
$node->query_is(q{SELECT state IN ('ok', 'unknown') FROM dbnet.check_server('with_token') WHERE item = 'identity'}, 't', 'the identity is no failure');

# --- a renewed token in the file is taken without anybody's doing, and so is a file that goes ---
put_token($api->token('all'));
$api->revoke($first);
for my $value (2 .. 3) {
    update('with_token_file', $value);
    $node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s', 'net.with_token_file')}, '', 'a renewed token: settled');
    unlink $token_file;
}
is($api->get("$maps/with-token-file")->{body}{data}{a}, '3', 'the values arrived');

# --- a token that is taken away ---
my $second = $api->token('all');
$node->psql_ok("ALTER USER MAPPING FOR CURRENT_USER SERVER with_token OPTIONS (SET token '$second')", 'another token');
update('with_token', 2);
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s', 'net.with_token')}, '', 'is used');
$api->revoke($second);
# A real server remembers the token for a while: it is used until it is refused.
my $value = 3;
$api->wait_until(sub {
        $node->safe_psql('postgres', 'UPDATE net.with_token SET data = jsonb_build_object($$a$$, $$' . $value++ . '$$)');
        return $node->safe_psql('postgres', q{SELECT count(*) FROM dbnet.wait_synced('1 s', 'net.with_token')}) == 1;
    }, 'the token is refused');
$node->wait_for(q{SELECT phase, message, next_step LIKE '%ALTER USER MAPPING%', attempts FROM dbnet.object_status WHERE relation = 'net.with_token'::regclass}, 'the object waits and says for what',
    expected => 'pending|Unauthorized|t|0');
$node->query_is(q{SELECT state, hint LIKE '%ALTER USER MAPPING%' FROM dbnet.check_server('with_token') WHERE item = 'connection'}, 'failed|t', 'check_server says it too');
my $third = $api->token('read');
$node->psql_ok("ALTER USER MAPPING FOR CURRENT_USER SERVER with_token OPTIONS (SET token '$third')", 'a token with fewer rights');

# --- rights that are missing: told in the server's words, tried again on request ---
$node->wait_for(q{SELECT phase = 'denied' AND needs_action AND message LIKE '%cannot patch resource "configmaps"%' AND next_step LIKE '%dbnet.retry()%'
                  FROM dbnet.object_status WHERE relation = 'net.with_token'::regclass}, 'a write that is not allowed');
$node->query_is(q{SELECT state, detail LIKE 'may not create, patch, delete configmaps in namespace%', hint LIKE 'Grant it in the cluster: dbnet.rbac() %'
                  FROM dbnet.check_server('with_token') WHERE item = 'rights of net.with_token'}, 'failed|t|t', 'check_server lists what is missing');
$node->query_is(q{SELECT state FROM dbnet.mirror_status WHERE relation = 'net.with_token'::regclass}, 'synced', 'reading goes on');
$api->grant($third, 'all');
$node->query_is(q{SELECT dbnet.retry('net.with_token')}, '1', 'retry');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s', 'net.with_token')}, '', 'goes through');
is($api->get("$maps/with-token")->{body}{data}{a}, $value - 1, 'with the last value');

# --- no rights at all ---
my $nothing = $api->token('none');
$node->psql_ok("CREATE SERVER nothing FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url '$url', ca $ca);
    CREATE USER MAPPING FOR CURRENT_USER SERVER nothing OPTIONS (token '$nothing'); CREATE TABLE net.nothing (name text PRIMARY KEY, data jsonb)", 'a token without rights');
$node->fails_like("SELECT dbnet.mirror('nothing', 'v1', 'ConfigMap', 'net.nothing', '{\"name\": \"metadata.name\", \"data\": \"data\"}', namespace => '$space')", '28000',
    qr/configmaps is forbidden: User .* cannot list resource "configmaps".*HINT:.*RBAC/s, 'makes no mirror, and says what is missing');

unlike($node->log_since(0), qr/(?<!STATEMENT:)(?:ERROR|WARNING|LOG):  (?!statement).*(?:\Q$first\E|\Q$second\E|\Q$third\E)/, 'no token in any message of the log');
$node->no_crash_in_log;
done_testing();
