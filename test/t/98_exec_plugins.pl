# Credentials from a program that the kubeconfig names (exec): off unless a superuser lists the program, asked for in time and
# again when the server refuses them, never waited for, and gone with who asked; and where credentials may be found: canaries
# (tokens, private keys, passwords) in files, in a kubeconfig, in what the program says, in imported Secrets and in a user mapping.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::File qw(replace_file);
use DBNet::Need;
use JSON::PP ();
use MIME::Base64 qw(encode_base64 decode_base64);
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(sleep);

DBNet::Need::need('own_servers');
my $api = DBNet::Api->start(nodes_ready => 0, controllers => 0, proxy => 0);    # clients' certificates would end there
my $node = DBNet::Cluster->started('exec_plugins', conf => "log_min_messages = debug2\nshared_preload_libraries = 'dbnet, pg_stat_statements'");
my $directory = PostgreSQL::Test::Utils::tempdir();
my $space = $api->namespace;
my $maps = "/api/v1/namespaces/$space/configmaps";
my ($authority) = PostgreSQL::Test::Utils::slurp_file($api->kubeconfig) =~ /certificate-authority-data: *"?([^\s"]+)/;
my $program = "$directory/get-token";

sub write_file { my ($name, @rest) = @_; return replace_file("$directory/$name", @rest) }

# The program says whatever the file of this name holds, after the file `before` was run.
sub credential { my ($status) = @_; return write_file('credential', qq({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": $status})) }
sub before { my ($script) = @_; return write_file('before', $script) }
sub runs { my $text = -e "$directory/runs" ? PostgreSQL::Test::Utils::slurp_file("$directory/runs") : ''; return scalar(() = $text =~ /run/g) }
sub kubeconfig {
    my ($user, $name) = @_;
    return write_file($name // 'kubeconfig', <<"KUBECONFIG");
apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: test}}]
clusters: [{name: test, cluster: {server: '${\$api->url}', certificate-authority-data: $authority}}]
users: [{name: test, user: {$user}}]
KUBECONFIG
}
sub allow {
    my ($list) = @_;
    $node->psql_ok("ALTER SYSTEM SET dbnet.exec_plugins = '$list'", "dbnet.exec_plugins = '$list'");
    $node->reload;
    return $node->wait_for(q{SELECT current_setting('dbnet.exec_plugins')}, 'is in force', expected => $list);
}

write_file('get-token', "#!/bin/sh\necho run >> $directory/runs\n. $directory/before\ncat $directory/credential\n", mode => 0700);
before('');
my $first = $api->token('all');
credential(qq({"token": "$first"}));
my $file = kubeconfig("exec: {apiVersion: client.authentication.k8s.io/v1, command: get-token, args: ['--for', prod], env: [{name: LOGIN_SECRET, value: CANARYenv0hidden}], interactiveMode: IfAvailable}");

# --- not without a superuser's word ---
$node->psql_ok("CREATE SCHEMA net; CREATE EXTENSION pg_stat_statements; CREATE SERVER prod FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (kubeconfig '$file');
    CREATE TABLE net.configs (name text PRIMARY KEY, labels jsonb DEFAULT '{\"exec\": \"yes\"}', data jsonb)", 'a server');
my $mirror = "SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.configs', '{\"name\": \"metadata.name\", \"labels\": \"metadata.labels\", \"data\": \"data\"}',
    namespace => '$space', label_selector => 'exec', mode => 'manage')";
$node->fails_like($mirror, '55000', qr/gets its credentials from program "get-token", which is not allowed.*HINT:.*dbnet\.exec_plugins/s, 'no program is run unless it is allowed');
is(runs(), 0, 'none was');
$node->fails_like(q{ALTER SYSTEM SET dbnet.exec_plugins = 'get-token'}, '22023', qr/absolute paths/, 'absolute paths only');
$node->psql_ok('CREATE ROLE bob LOGIN; GRANT ALL ON SCHEMA net TO bob; GRANT USAGE ON FOREIGN DATA WRAPPER dbnet_kubernetes TO bob; GRANT pg_read_server_files, dbnet_admin TO bob', 'a role that may name files');
$node->fails_like(q{ALTER SYSTEM SET dbnet.exec_plugins = '/bin/true'}, '42501', qr/permission denied/, 'not for everybody to set', role => 'bob');
$node->fails_like(q{SET dbnet.exec_plugins = '/bin/true'}, '55P02', qr/cannot be changed now/, 'nor for a session');
allow("/bin/true, $program");
$node->psql_ok("CREATE SERVER of_bob FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (kubeconfig '$file')", 'his server', role => 'bob');
$node->fails_like(q{SELECT * FROM dbnet.kinds('of_bob')}, '42501', qr/its owner bob is not a superuser.*HINT:.*OWNER TO a superuser/s, 'runs nothing', role => 'bob');
is(runs(), 0, 'nothing was run');

# --- it works ---
$node->psql_ok($mirror, 'a mirror');
$node->psql_ok(q{INSERT INTO net.configs (name, data) VALUES ('c', '{"v": "1"}')}, 'a row');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'is sent');
is($api->get("$maps/c")->{body}{data}{v}, '1', 'and is there');
my $runs = runs();
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "2"}'}, 'a change');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'is sent');
is(runs(), $runs, 'with the same credentials');

# --- refused credentials are asked for again, by themselves ---
my $second = $api->token('all');
credential(qq({"token": "$second"}));
$api->revoke($first);
$api->wait_until(sub {
        local $api->{credentials} = [ @{ $api->credentials('--cacert') }, '-H', "Authorization: Bearer $first" ];
        return $api->get($maps)->{status} == 401;
    }, 'the first token is good for nothing');
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "3"}'}, 'a change');
$node->wait_for(q{SELECT phase || (live -> 'data' ->> 'v') FROM dbnet.object WHERE name = 'c'}, 'is sent', expected => 'synced3');

# --- one that fails: its own words, without secrets, and nobody else waits ---
$node->psql_ok($api->create_server('other') . "CREATE TABLE net.others (LIKE net.configs INCLUDING ALL); ALTER TABLE net.others ALTER labels SET DEFAULT '{\"other\": \"yes\"}';"
      . ($mirror =~ s/'prod'/'other'/r =~ s/net\.configs/net.others/r =~ s/'exec'/'other'/r), 'a server with a certificate');
my $spilled = 'eyJhbGciOiJSUzI1NiIsImtpZCI6IkNBTkFSWSJ9';
before("echo \"CANARYenv0hidden and $spilled\" >&2; echo 'your session has expired, run: get-token login' >&2; exit 1\n");
$node->restart;
$node->wait_for(q{SELECT state = 'degraded' AND message LIKE '%no credentials: "%get-token" ended with status 1: [hidden] and [hidden] your session has expired, run: get-token login%' FROM dbnet.mirror_status WHERE server = 'prod'}, 'a program that fails: the mirror says so')
  or diag($node->safe_psql('postgres', 'SELECT message FROM dbnet.mirror_status'));
$node->fails_like(q{SELECT * FROM dbnet.kinds('prod')}, '08006', qr/no credentials:.*your session has expired/s, 'so does a function');
$node->query_is(q{SELECT state, detail LIKE '%your session has expired%' FROM dbnet.check_server('prod') WHERE item = 'connection'}, 'failed|t', 'and check_server');
before("echo \$\$ > $directory/hanging\nexec sleep 1000\n");
$api->wait_until(sub { -s "$directory/hanging" }, 'it is tried again, and hangs');
$node->psql_ok(q{INSERT INTO net.others (name, data) SELECT 'o-' || n, '{"v": "1"}' FROM generate_series(1, 100) AS n}, 'rows of another server');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s', 'net.others')}, '', 'are sent meanwhile');
sub is_alive { my ($pid) = @_; return -e "/proc/$pid/exe" && (PostgreSQL::Test::Utils::slurp_file("/proc/$pid/stat") !~ /^\d+ \(.*\) Z/) }
sub hanging { return PostgreSQL::Test::Utils::slurp_file("$directory/hanging") =~ s/\s//gr }
for my $how (qw(immediate fast)) {
    $api->wait_until(sub { -s "$directory/hanging" }, 'the program hangs');
    my $pid = hanging();
    unlink "$directory/hanging";
    $node->stop($how);
    $api->wait_until(sub { !is_alive($pid) }, "it goes with the server ($how)");
    $node->start;
}
$api->wait_until(sub { -s "$directory/hanging" }, 'the program hangs');
my $pid = hanging();
$node->replace_worker('mirror worker', 'KILL');
$api->wait_until(sub { !is_alive($pid) }, 'and with a worker that is killed');
$node->wait_for(q{SELECT count(*) > 0 FROM dbnet.worker WHERE process = 'mirror worker' AND state = 'running'}, 'the worker is back');
$node->safe_psql('postgres', q{ALTER SYSTEM SET dbnet.exec_timeout = '1 s'});
before("echo \$\$ > $directory/hanging\nsleep 1000\n");
$node->reload;
$node->wait_for(q{SELECT message LIKE '%did not end within 1 s%' FROM dbnet.mirror_status WHERE server = 'prod'}, 'one that takes too long');
before('');
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "4"}'}, 'a change');
$node->wait_for(q{SELECT phase || (live -> 'data' ->> 'v') FROM dbnet.object WHERE name = 'c'}, 'is sent when the program is well again', expected => 'synced4');

# --- allowed no longer ---
allow('');
$node->wait_for(q{SELECT state = 'degraded' AND message LIKE '%which is not allowed%' FROM dbnet.mirror_status WHERE server = 'prod'}, 'the program is taken off the list: the mirror says so');
allow($program);
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "5"}'}, 'a change');
$node->wait_for(q{SELECT phase || (live -> 'data' ->> 'v') FROM dbnet.object WHERE name = 'c'}, 'is sent when it is allowed again', expected => 'synced5');

# --- canaries: token and key files, kubeconfigs, the program's output, a Secret, a user mapping ---
# Of a private key a line of its PEM text, and of that text in base64 as a kubeconfig has it.
sub line_of { my ($pem) = @_; return (split /\n/, $pem)[2] }
my ($admins_key) = PostgreSQL::Test::Utils::slurp_file($api->kubeconfig) =~ /client-key-data: *"?([^\s"]+)/;
my %pair = map { $_ => [ $api->client_certificate($_) ] } qw(exec_key file_key mapping_key inline_key);
my %canary = ((map { $_ => line_of($pair{$_}[1]) } keys %pair), admins_key => substr($admins_key, 100, 60), admins_pem => line_of(decode_base64($admins_key)),
    inline_data => substr(encode_base64($pair{inline_key}[1], ''), 100, 60), inline => $api->token('all'), password => 'CANARYbasic0password', proxy => 'CANARYproxy0password',
    env => 'CANARYenv0hidden', exec => $second, spilled => $spilled, file => $api->token('all'), mapping => $api->token('all'), secret => 'CANARYsecret0value');
my $token_file = write_file('token', $canary{file});
$node->psql_ok("CREATE SERVER files FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url '${\$api->url}', ca " . DBNet::Api::quote(decode_base64($authority)) . ");
    CREATE USER MAPPING FOR PUBLIC SERVER files OPTIONS (token_file '$token_file'); CREATE TABLE net.files (LIKE net.configs INCLUDING ALL)", 'a server with a token in a file');
$node->psql_ok($mirror =~ s/'prod'/'files'/r =~ s/net\.configs/net.files/r =~ s/'exec'/'files'/r . q{; INSERT INTO net.files VALUES ('f', '{"files": "yes"}')}, 'its mirror');
$api->expect_success($api->create("/api/v1/namespaces/$space/secrets", { apiVersion => 'v1', kind => 'Secret', metadata => { name => 's' }, data => { password => encode_base64($canary{secret}, '') } }));
$node->psql_ok("SELECT dbnet.mirror('other', 'v1', 'Secret', 'net.secrets', namespace => '$space')", 'a mirror of Secrets');
my $quiet = q{SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_min_error_statement = panic; SET pg_stat_statements.track_utility = off;};
$node->psql_ok("$quiet CREATE SERVER mapped FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url '${\$api->url}', ca " . DBNet::Api::quote(decode_base64($authority)) . ");
    CREATE USER MAPPING FOR CURRENT_USER SERVER mapped OPTIONS (token '$canary{mapping}'); CREATE TABLE net.mapped (LIKE net.configs INCLUDING ALL)", 'a server with a token in a user mapping');
$node->psql_ok($mirror =~ s/'prod'/'mapped'/r =~ s/net\.configs/net.mapped/r =~ s/'exec'/'mapped'/r . q{; INSERT INTO net.mapped VALUES ('m', '{"mapped": "yes"}')}, 'its mirror');
# Keys: in files, in a user mapping, in a kubeconfig. A token in a kubeconfig. Passwords that are refused, or not right.
sub name_of { my ($server) = @_; return $server =~ tr/_/-/r }
sub more_of {
    my ($server, $options, $mapping) = @_;
    $node->psql_ok("$quiet CREATE SERVER $server FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS ($options);" . ($mapping ? "CREATE USER MAPPING FOR CURRENT_USER SERVER $server OPTIONS ($mapping);" : '')
          . "CREATE TABLE net.$server (LIKE net.configs INCLUDING ALL)", "server $server");
    return $node->psql_ok($mirror =~ s/'prod'/'$server'/r =~ s/net\.configs/net.$server/r =~ s/'exec'/'$server'/r . qq{; INSERT INTO net.$server VALUES ('${\name_of($server)}', '{"$server": "yes"}')}, 'its mirror');
}
my $there = "api_url '${\$api->url}', ca " . DBNet::Api::quote(decode_base64($authority));
sub in_base64 { return encode_base64($_[0], '') }
my $with_inline_key = kubeconfig('client-certificate-data: ' . in_base64($pair{inline_key}[0]) . ', client-key-data: ' . in_base64($pair{inline_key}[1]), 'kubeconfig.key');
more_of('key_in_files', $there, "client_cert_file '" . write_file('tls.crt', $pair{file_key}[0]) . "', client_key_file '" . write_file('tls.key', $pair{file_key}[1]) . "'");
more_of('key_in_mapping', $there, "client_cert '$pair{mapping_key}[0]', client_key '$pair{mapping_key}[1]'");
more_of('key_inline', "kubeconfig '$with_inline_key'");
more_of('token_inline', "kubeconfig '" . kubeconfig("token: $canary{inline}", 'kubeconfig.token') . "'");
write_file('credential.key', JSON::PP::encode_json({ apiVersion => 'client.authentication.k8s.io/v1', kind => 'ExecCredential', status => { clientCertificateData => $pair{exec_key}[0], clientKeyData => $pair{exec_key}[1] } }));
write_file('get-key', "#!/bin/sh\ncat $directory/credential.key\n", mode => 0700);
allow("$program, $directory/get-key");
more_of('key_by_program', "kubeconfig '" . kubeconfig('exec: {apiVersion: client.authentication.k8s.io/v1, command: get-key, interactiveMode: Never}', 'kubeconfig.program') . "'");
$node->psql_ok("CREATE SERVER password FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (kubeconfig '" . kubeconfig("username: bob, password: $canary{password}", 'kubeconfig.password') . "')", 'a kubeconfig with a password');
$node->fails_like(q{SELECT * FROM dbnet.kinds('password')}, '08001', qr/user name and password/, 'is refused');
my $behind = kubeconfig("token: $canary{inline}", 'kubeconfig.proxy');
write_file('kubeconfig.proxy', PostgreSQL::Test::Utils::slurp_file($behind) =~ s{server: }{proxy-url: 'http://bob:$canary{proxy}\@127.0.0.1:1', server: }r);
$node->psql_ok("CREATE SERVER proxy FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (kubeconfig '$behind')", 'a proxy with a password');
$node->fails_like(q{SELECT * FROM dbnet.kinds('proxy')}, '08006', qr/no connection to the proxy/, 'that is not there');

for (1 .. 20) {
    $node->safe_psql('postgres', q{UPDATE net.configs SET data = data || '{"x": "} . $_ . q{"}'; UPDATE net.files SET data = '{"x": "} . $_ . q{"}'; UPDATE net.mapped SET data = '{"x": "} . $_ . q{"}'});
    my $activity = $node->safe_psql('postgres', q{SELECT string_agg(row(a.*)::text, ' ') FROM pg_stat_activity AS a});
    my @seen = grep { index($activity, $canary{$_}) >= 0 } keys %canary;
    is("@seen", '', 'nothing in pg_stat_activity') if @seen || $_ == 20;
}
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'all is sent');
for my $server (qw(key_in_files key_in_mapping key_inline token_inline key_by_program)) {
    is($api->get("$maps/" . name_of($server))->{status}, 200, "with credentials of $server");
}
$node->psql_ok('CHECKPOINT', 'all is on disk');

sub places {
    my ($text) = @_;
    my $data = $node->data_dir;
    return map { s{^\Q$data\E/}{}r } split /\n/, `grep -rl -a -F -e '$text' '$data' 2>/dev/null`;
}
my $dump = "$directory/dump.sql";
$node->command_ok([ 'pg_dumpall', '-h', $node->host, '-p', $node->port, '-f', $dump ], 'pg_dumpall');
my $dumped = PostgreSQL::Test::Utils::slurp_file($dump);
my $log = $node->log_since;
# Every relation of ours that a superuser can read, and what the server collects.
my $views = $node->safe_psql('postgres', q{SELECT string_agg(query_to_xml('SELECT * FROM ' || c.oid::regclass, true, true, '')::text, '') FROM pg_class AS c
    WHERE (c.relnamespace IN ('dbnet'::regnamespace, 'otel'::regnamespace, 'net'::regnamespace) OR c.oid IN ('pg_stat_activity'::regclass, 'pg_settings'::regclass)) AND c.relkind IN ('r', 'v', 'p', 'm')});
my $statements = $node->safe_psql('postgres', 'SELECT string_agg(query, $$ $$) FROM pg_stat_statements');
cmp_ok(length $views, '>', 10_000, 'there is something to look through');
for my $name (sort keys %canary) {
    for my $text ($canary{$name}, encode_base64($canary{$name}, '')) {
        my @places = $name =~ /^mapping/ ? grep { !/^(?:pg_wal|base)\// } places($text) : places($text);
        is("@places", '', "the canary of $name is not in the data directory" . ($name =~ /^mapping/ ? ' but for heap and WAL' : ''));
        ok(index($log, $text) < 0, "nor in the log of $name");
        ok(index($views, $text) < 0, "nor in a view: $name");
        ok(index($statements, $text) < 0, "nor in pg_stat_statements: $name");
        ok(index($dumped, $text) < 0, "nor in a dump: $name") if $name !~ /^mapping/;
    }
}
# Of the heap, only where PostgreSQL itself keeps it.
my $catalogs = $node->safe_psql('postgres', q{SELECT string_agg(pg_relation_filepath(oid), ' ') FROM pg_class WHERE oid IN ('pg_user_mapping'::regclass, (SELECT reltoastrelid FROM pg_class WHERE oid = 'pg_user_mapping'::regclass))});
for my $name (qw(mapping mapping_key)) {
    my @places = grep { /^base/ } places($canary{$name});
    cmp_ok(scalar @places, '>', 0, "the search finds the canary of $name");
    is(join(' ', grep { my $place = $_; !grep { $place eq $_ } split / /, $catalogs } @places), '', 'in the heap of pg_user_mapping alone');
}
$node->psql_ok('GRANT SELECT ON ALL TABLES IN SCHEMA dbnet TO bob', 'bob');
unlike($node->safe_psql('postgres', q{SELECT string_agg(row(u.*)::text, ' ') FROM pg_user_mappings AS u}, extra_params => [ '-U', 'bob' ]) // '', qr/\Q$canary{mapping}\E|\Q$canary{mapping_key}/, 'and not for others to see');

$node->no_crash_in_log(except => qr/terminated by signal 9/);
done_testing();
