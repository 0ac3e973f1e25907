# What a connection is made of may change or be missing without any SQL: kubeconfigs, token files and authorities that
# are rotated, removed and put back are picked up by themselves; so is a privilege that comes late.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::File qw(replace_file);
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

DBNet::Need::need('own_servers', 'faults');
my $node = DBNet::Cluster->started('actuation_connections');
my $api = DBNet::Api->start;
my @tokens = map { $api->token('all') } 1 .. 5;
my $directory = $api->directory;
my ($authority) = PostgreSQL::Test::Utils::slurp_file($api->kubeconfig) =~ /certificate-authority-data: *"?([^\s"]+)/;

sub write_file { my ($name, @rest) = @_; return replace_file("$directory/$name", @rest) }

sub kubeconfig {
    my ($token) = @_;
    return <<"KUBECONFIG";
apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: test}}]
clusters: [{name: test, cluster: {server: '${\$api->url}', certificate-authority-data: $authority}}]
users: [{name: test, user: {token: $token}}]
KUBECONFIG
}

# Real servers know a token for some seconds more.
sub revoke {
    my ($token) = @_;
    $api->revoke($token);
    local $api->{credentials} = [ @{ $api->credentials('--cacert') }, '-H', "Authorization: Bearer $token" ];
    return $api->wait_until(sub { $api->get('/api/v1/namespaces/' . $api->namespace . '/configmaps')->{status} == 401 }, 'the token is good for nothing');
}

my $turn = 0;
sub still_works {
    my ($what, $table) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $table //= 'net.configs';
    my $name = $table eq 'net.configs' ? 'c' : 'o';
    $turn++;
    $node->safe_psql('postgres', qq{UPDATE $table SET data = '{"turn": "$turn"}' WHERE name = '$name'});
    $node->wait_for(qq{SELECT phase = 'synced' AND live->'data'->>'turn' = '$turn' FROM dbnet.object WHERE relation = '$table'::regclass AND name = '$name'}, $what);
    return;
}

# A kubeconfig with a token in it.
my $file = write_file('rotated', kubeconfig($tokens[0]));
my $selector = DBNet::Api::quote($api->selector);
my $labels = DBNet::Api::quote(JSON::PP->new->canonical->encode($api->labels));
my $mirror = sub {
    my ($server, $table) = @_;
    return "CREATE TABLE $table (name text PRIMARY KEY, labels jsonb DEFAULT $labels, data jsonb);"
      . "SELECT dbnet.mirror('$server', 'v1', 'ConfigMap', '$table', namespace => '" . $api->namespace . "', label_selector => $selector, mode => 'manage',"
      . q{ columns => '{"name": "metadata.name", "labels": "metadata.labels", "data": "data"}');};
};
$node->psql_ok("CREATE SCHEMA net; CREATE SERVER prod FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (kubeconfig '$file');" . $mirror->('prod', 'net.configs')
      . q{INSERT INTO net.configs (name, data) VALUES ('c', '{"turn": "0"}')}, 'a mirror whose server is in a kubeconfig');
still_works('the first token');
my $lists = () = $api->requests(method => 'GET', path => qr/configmaps\?(?!.*(?:watch|fieldSelector))/);

revoke($tokens[0]);
$node->safe_psql('postgres', q{UPDATE net.configs SET data = '{"turn": "refused"}' WHERE name = 'c'});
$node->wait_for(q{SELECT phase = 'pending' AND message ILIKE '%unauthorized%' FROM dbnet.object WHERE name = 'c'}, 'a token that is not good any more: the object waits and says why');
write_file('rotated', kubeconfig($tokens[1]));
still_works('the new kubeconfig is picked up');
revoke($tokens[1]);
write_file('rotated', kubeconfig($tokens[2]), in_place => 1);
still_works('one that is written in place too');
is(scalar(() = $api->requests(method => 'GET', path => qr/configmaps\?(?!.*(?:watch|fieldSelector))/)), $lists, 'other credentials are no reason to list everything again');

# The kubeconfig is away when the server starts.
rename $file, "$file.away" or die $!;
$node->restart;
$node->wait_for(q{SELECT state = 'degraded' AND message LIKE '%rotated%No such file%' FROM dbnet.mirror_status}, 'a kubeconfig that is missing at the start: the mirror says so');
$node->safe_psql('postgres', q{UPDATE net.configs SET data = '{"turn": "later"}' WHERE name = 'c'});
$node->wait_for(q{SELECT phase = 'pending' FROM dbnet.object WHERE name = 'c'}, 'what is committed waits');
rename "$file.away", $file or die $!;
$node->wait_for(q{SELECT phase = 'synced' AND live->'data'->>'turn' = 'later' FROM dbnet.object WHERE name = 'c'}, 'and goes out once the file is there');

# Token and authority in files of their own.
my $token = write_file('token', $tokens[3]);
my $ca = write_file('ca.crt', MIME::Base64::decode_base64($authority));
my $wrong = PostgreSQL::Test::Utils::slurp_file($ca);
$node->psql_ok("CREATE SERVER files FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url '${\$api->url}', ca_file '$ca');"
      . "CREATE USER MAPPING FOR PUBLIC SERVER files OPTIONS (token_file '$token');"
      . "SELECT dbnet.unmirror('net.configs');" . $mirror->('files', 'net.others')
      . q{INSERT INTO net.others (name, data) VALUES ('o', '{"turn": "0"}')}, 'a mirror whose server is in files');
still_works('token and authority from files', 'net.others');
revoke($tokens[3]);
write_file('token', $tokens[4]);
still_works('a rotated token', 'net.others');

rename $ca, "$ca.away" or die $!;
rename $token, "$token.away" or die $!;
$node->restart;
$node->wait_for(q{SELECT state = 'degraded' AND message LIKE '%ca.crt%' FROM dbnet.mirror_status}, 'an authority that is missing at the start');
rename "$ca.away", $ca or die $!;
$node->wait_for(q{SELECT state = 'degraded' AND message LIKE '%token%' FROM dbnet.mirror_status}, 'then the token is missing');
rename "$token.away", $token or die $!;
still_works('both are there', 'net.others');

# Another authority, as when the server's is rotated.
my $other = write_file('other.crt', '');
system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout $directory/other.key -out $other -subj /CN=other 2>/dev/null") == 0 or die 'openssl';
my $good = PostgreSQL::Test::Utils::slurp_file($ca);
write_file('ca.crt', PostgreSQL::Test::Utils::slurp_file($other));
$api->disturb('drop_connections');
$node->safe_psql('postgres', q{UPDATE net.others SET data = '{"turn": "distrusted"}' WHERE name = 'o'});
$node->wait_for(q{SELECT phase IN ('pending', 'uncertain') AND message ILIKE '%certificate%' FROM dbnet.object WHERE relation = 'net.others'::regclass AND name = 'o'}, 'an authority that did not sign the certificate');
write_file('ca.crt', $good);
still_works('the right authority is back', 'net.others');

# A privilege.
$node->psql_ok('CREATE ROLE bob LOGIN; GRANT USAGE ON FOREIGN SERVER files TO bob; GRANT ALL ON SCHEMA net TO bob; ALTER TABLE net.others OWNER TO bob', 'another owner');
still_works('the mirror works for him', 'net.others');
$node->psql_ok('REVOKE USAGE ON FOREIGN SERVER files FROM bob', 'his privilege is taken away');
$node->wait_for(q{SELECT state = 'degraded' AND message LIKE 'permission denied for foreign server files%' FROM dbnet.mirror_status}, 'the mirror says so');
$node->psql_ok('CREATE ROLE users; GRANT USAGE ON FOREIGN SERVER files TO users; GRANT users TO bob', 'a role has it, and he becomes its member');
still_works('the mirror works again', 'net.others');

# Whose credentials: the owner's own mapping goes before that of PUBLIC.
my $none = $api->token('none');
$node->psql_ok("CREATE USER MAPPING FOR bob SERVER files OPTIONS (token '$none')", 'his own credentials, which may do nothing');
$node->psql_ok(q{UPDATE net.others SET data = '{"turn": "denied"}' WHERE name = 'o'}, 'a change');
$node->wait_for(q{SELECT phase FROM dbnet.object WHERE relation = 'net.others'::regclass AND name = 'o'}, 'his mapping is used, and not that of PUBLIC', expected => 'denied');
$node->psql_ok('DROP USER MAPPING FOR bob SERVER files', 'without it');
still_works('that of PUBLIC is', 'net.others');

# What is committed after a REVOKE is not sent: the privilege is looked at when there is something to send.
for my $round (1 .. 5) {
    my $position = $api->request_position;
    $node->psql_ok(qq{REVOKE USAGE ON FOREIGN SERVER files FROM users; UPDATE net.others SET data = '{"turn": "revoked $round"}' WHERE name = 'o'}, 'REVOKE and a change');
    $node->wait_for(q{SELECT phase = 'pending' AND message LIKE 'permission denied for foreign server files%' FROM dbnet.object WHERE relation = 'net.others'::regclass AND name = 'o'}, 'the change waits and says for what');
    is(scalar(() = $api->requests(since => $position, method => 'PATCH', path => qr{/configmaps/})), 0, 'nothing was sent');
    $node->psql_ok('GRANT USAGE ON FOREIGN SERVER files TO users', 'GRANT');
    still_works('it is sent', 'net.others');
}

$node->no_crash_in_log;
done_testing();
