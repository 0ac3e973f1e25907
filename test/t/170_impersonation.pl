# The cluster is told who has asked: requests as another user by a kubeconfig, by a user mapping, and as the user that the
# role is which has committed the row. The cluster's own rules decide; what they refuse is told with the rule that is missing.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use JSON::PP ();
use PostgreSQL::Test::Utils ();
use Test::More;

DBNet::Need::need('own_servers');
my $api   = DBNet::Api->start(controllers => 0, nodes_ready => 0);
my $node  = DBNet::Cluster->started('main');
my $space = $api->namespace;
my $maps  = "/api/v1/namespaces/$space/configmaps";
my ($ca, $cert, $key) = map { DBNet::Api::quote(PostgreSQL::Test::Utils::slurp_file($api->credentials($_)->[1])) } qw(--cacert --cert --key);
my $columns = q{'{"name": "metadata.name", "data": "data"}'};

sub settled { my ($name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s', 'net.maps')}, '', $name) }
# As whom the writes were made that tell of the path, in order.
sub written_as { my ($since, $path) = @_; return join ' ', map { "$_->{method} " . ($_->{acts_as} || '-') } grep { $_->{method} ne 'GET' } $api->requests(since => $since, path => qr/$path/) }
sub told { my ($name) = @_; return qq{SELECT concat_ws('|', phase, reason, message) FROM dbnet.object_status WHERE relation = 'net.maps'::regclass AND name = '$name'} }
sub may_act { my ($role) = @_; return qq{SELECT state, detail FROM dbnet.check_server('prod') WHERE item = 'rights to act as $role'} }
# The rules of a manifest.
sub rules_of {
    my ($manifest) = @_;
    my @rules;
    for my $role (split /^---$/m, $manifest) {
        my ($namespace) = $role =~ /^  namespace: "(.*)"$/m;
        while ($role =~ /^- apiGroups: (.*)\n((?:  \w+: \[.*\]\n)+)/mg) {
            my %rule = (apiGroups => JSON::PP::decode_json($1), defined $namespace ? (namespaces => [$namespace]) : ());
            my $rest = $2;
            $rule{$1} = JSON::PP::decode_json($2) while $rest =~ /^  (\w+): (\[.*\])$/mg;
            push @rules, \%rule;
        }
    }
    return \@rules;
}

# --- a whole server as another user ---
my @change = ({ apiGroups => [''], resources => ['configmaps'], verbs => [qw(get list watch create patch delete)], namespaces => [$space] },
    { apiGroups => ['coordination.k8s.io'], resources => ['leases'], verbs => [qw(get create update)], namespaces => [$space] },
    { apiGroups => [''], resources => ['namespaces'], verbs => ['get'], resourceNames => ['kube-system'] });
my $tell = { apiGroups => ['events.k8s.io'], resources => ['events'], verbs => [qw(create patch)], namespaces => [$space] };
$api->rules(users => { robot => [ @change, $tell ] }, groups => { robots => [ @change, $tell ] });
my $file = "$api->{directory}/as_robot";
my $text = PostgreSQL::Test::Utils::slurp_file($api->kubeconfig) =~ s/^( +)(client-key-data: .*\n)/$1$2$1as: robot\n$1as-groups: [unknown, other]\n/mr;
open my $out, '>', $file or die "$file: $!";
print $out $text;
close $out;
$node->psql_ok('CREATE SCHEMA net', 'a schema');
for my $case ([ by_file => qq{CREATE SERVER by_file FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (kubeconfig '$file', lease_namespace '$space', events 'on')}, 'robot' ],
    [ by_mapping => qq{CREATE SERVER by_mapping FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url '@{[ $api->url ]}', ca $ca, lease_namespace '$space', events 'on');
        CREATE USER MAPPING FOR CURRENT_USER SERVER by_mapping OPTIONS (client_cert $cert, client_key $key, impersonate_user 'Jane', impersonate_groups '["robots"]')}, 'Jane' ]) {
    my ($name, $sql, $user) = @$case;
    my $since = $api->request_position;
    $node->psql_ok(qq{$sql; CREATE TABLE net.$name (name text PRIMARY KEY, labels jsonb);
        SELECT dbnet.mirror('$name', 'v1', 'ConfigMap', 'net.$name', '{"name": "metadata.name", "labels": "metadata.labels"}', namespace => '$space', label_selector => 'for=$name', mode => 'manage');
        INSERT INTO net.$name VALUES ('} . $name =~ tr/_/-/r . qq{', '{"for": "$name"}')}, "$name: a mirror and a row");
    $node->query_is("SELECT * FROM dbnet.wait_synced('60 s', 'net.$name')", '', "$name: is sent");
    $api->wait_until(sub { written_as($since, '/events') eq "POST $user" }, "$name: an Event tells of it");
    is_deeply([ grep { $_->{acts_as} ne $user } $api->requests(since => $since) ], [], "$name: every request is $user\'s, reads and Events too");
    $node->query_is("SELECT acts_as IS NULL FROM dbnet.actuation WHERE relation = 'net.$name'::regclass", 't', "$name: that is who the credentials are");
    $node->psql_ok("SELECT dbnet.unmirror('net.$name')", "$name: is a mirror no more");
}
$node->fails_like(qq{ALTER USER MAPPING FOR CURRENT_USER SERVER by_mapping OPTIONS (DROP client_cert, DROP client_key)}, '22023',
    qr/says as whom to act, and holds no credentials/, 'a mapping cannot say as whom the credentials of others act');

# --- each change as the user that its role is ---
my $token = $api->token('none');
my $me    = $api->token_user($token);
$node->psql_ok(qq{CREATE SERVER prod FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url '@{[ $api->url ]}', ca $ca, lease_namespace '$space', impersonate 'mapped');
    CREATE USER MAPPING FOR CURRENT_USER SERVER prod OPTIONS (token '$token');
    CREATE ROLE alice; CREATE ROLE bob; CREATE ROLE carol; CREATE ROLE other; GRANT dbnet_viewer TO alice, bob, carol; GRANT dbnet_admin TO other;
    GRANT USAGE ON SCHEMA net TO alice, bob, carol;
    SELECT dbnet.map_role('prod', 'alice', 'alice\@example.com', '{net-admins}', extra => '{"Reason": ["42"]}')}, 'a server, and a role that is a user of the cluster');
my @nobody = ({ apiGroups => ['*'], resources => ['*'], verbs => [qw(get list watch)] }, $change[1]);
$api->rules(users => { $me => \@nobody }, groups => { 'net-admins' => \@change });
my $since = $api->request_position;
$node->psql_ok(qq{CREATE TABLE net.maps (name text PRIMARY KEY, data jsonb); GRANT ALL ON net.maps TO alice, bob, carol;
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.maps', $columns, namespace => '$space', label_selector => '!for', mode => 'manage')}, 'a mirror');
my $look = qq{- apiGroups: [""]\n  resources: ["configmaps"]\n  verbs: ["get", "list", "watch"};
my $rbac = qq{---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: "dbnet-prod"\n  labels: {app.kubernetes.io/name: dbnet}\nrules:\n}
  . qq{- apiGroups: [""]\n  resources: ["groups"]\n  resourceNames: ["net-admins"]\n  verbs: ["impersonate"]\n}
  . qq{- apiGroups: [""]\n  resources: ["users"]\n  resourceNames: ["alice\@example.com"]\n  verbs: ["impersonate"]\n}
  . qq{- apiGroups: ["authentication.k8s.io"]\n  resources: ["userextras/reason"]\n  resourceNames: ["42"]\n  verbs: ["impersonate"]\n}
  . qq{- apiGroups: [""]\n  resources: ["namespaces"]\n  resourceNames: ["kube-system"]\n  verbs: ["get"]\n}
  . qq{---\napiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: "dbnet-prod"\n  namespace: "$space"\n  labels: {app.kubernetes.io/name: dbnet}\nrules:\n}
  . qq{$look, "create", "patch", "delete"]\n- apiGroups: ["coordination.k8s.io"]\n  resources: ["leases"]\n  verbs: ["get", "create", "update"]\n};
$node->query_is(q{SELECT dbnet.rbac('prod')}, $rbac, 'the rights that it needs: to act as that user, and as nobody else');
sub give { return $api->rules(users => { $me => rules_of($node->safe_psql('postgres', q{SELECT dbnet.rbac('prod')})) }) }
give();
$node->query_is(may_act('alice'), 'ok|impersonate groups "net-admins", impersonate users "alice@example.com", impersonate userextras.authentication.k8s.io/reason "42"', 'it has the right to act as her');
$node->psql_ok(q{SET ROLE alice; INSERT INTO net.maps VALUES ('one', '{"v": "1"}')}, 'alice writes a row');
settled('it is sent');
is(written_as($since, "$maps/one"), 'PATCH alice@example.com', 'as hers');
is_deeply([ grep { $_->{method} eq 'GET' && $_->{acts_as} ne '' } $api->requests(since => $since) ], [], 'what is only read is not');
$node->query_is(q{SELECT role, acts_as, http_status FROM dbnet.actuation WHERE relation = 'net.maps'::regclass}, 'alice|alice@example.com|201', 'the log of calls says so');
$node->query_is(q{SELECT committer FROM dbnet.object_status WHERE relation = 'net.maps'::regclass AND name = 'one'}, 'alice', 'who has committed the row is on record');
like($node->safe_psql('postgres', q{SELECT string_agg(what, ' ') FROM dbnet.history('net.maps', 'one', most => 10) AS h, dbnet.impact_steps(h.event)}),
    qr/apply ConfigMap \S+one: data \S+ 201, as alice\@example.com, [\d.]+ ms/, 'and is told of the call');

# --- roles that are no users: as the server's credentials ---
$since = $api->request_position;
$node->psql_ok(q{SET ROLE carol; INSERT INTO net.maps VALUES ('two', '{"v": "1"}')}, 'carol, who is nobody in the cluster, writes a row');
settled('it is sent');
is(written_as($since, "$maps/two"), 'PATCH -', 'as who the credentials are');
$node->psql_ok(q{CREATE FUNCTION net.as_carol() RETURNS void SECURITY DEFINER LANGUAGE sql AS $$ UPDATE net.maps SET data = '{"v": "2"}' WHERE name = 'two' $$; ALTER FUNCTION net.as_carol() OWNER TO carol}, 'a function that works with her rights');
$since = $api->request_position;
$node->psql_ok(q{SET ROLE alice; SELECT net.as_carol()}, 'alice calls it');
settled('its change is sent');
is(written_as($since, "$maps/two"), 'PATCH alice@example.com', 'as who has called it');

# --- several committers of one row: the newest one's ---
$node->psql_ok(q{SELECT dbnet.pause('prod', 'test')}, 'a pause');
$since = $api->request_position;
$node->psql_ok(qq{SET ROLE $_->[0]; UPDATE net.maps SET data = '{"v": "$_->[1]"}' WHERE name = 'two'}, "$_->[0] writes the row") for [ alice => 3 ], [ carol => 4 ], [ alice => 5 ];
$node->psql_ok(q{SELECT dbnet.resume('prod')}, 'it goes on');
settled('one of the three is sent');
is(written_as($since, "$maps/two"), 'PATCH alice@example.com', 'as of who wrote last');
is($api->get("$maps/two")->{body}{data}{v}, '5', 'what was written last');

# --- refused: the right to act as the user, then that user's own ---
$node->psql_ok(q{SELECT dbnet.map_role('prod', 'bob', 'bob@example.com')}, 'bob is a user of the cluster, too');
$since = $api->request_position;
$node->psql_ok(q{SET ROLE bob; INSERT INTO net.maps VALUES ('three', '{"v": "1"}')}, 'he writes a row');
my $words = qq{users "bob\@example.com" is forbidden: User "$me" cannot impersonate resource "users" in API group "" at the cluster scope};
$node->wait_for(told('three'), 'the server says whom DBNet may not act as, and which rule it lacks',
    expected => qq{denied|ImpersonationRefused|$words. The credentials need the RBAC rule {apiGroups: [""], resources: ["users"], resourceNames: ["bob\@example.com"], verbs: ["impersonate"]}, which dbnet.rbac() prints.});
$node->query_is(q{SELECT next_step FROM dbnet.object_status WHERE name = 'three'}, q{Let the server's credentials act as that user: apply in the cluster what dbnet.rbac() prints, then call dbnet.retry().}, 'and what to do');
$node->query_is(q{SELECT acts_as, http_status, message FROM dbnet.actuation WHERE name = 'three'}, "bob\@example.com|403|$words", 'the log of calls has the server\'s words');
$node->query_is(may_act('bob'), qq{failed|may not impersonate users "bob\@example.com"}, 'what dbnet.check_server() says of it');
give();
$node->query_is(may_act('bob'), qq{ok|impersonate users "bob\@example.com"}, 'and when the right is given');
$since = $api->request_position;
$node->query_is(q{SELECT dbnet.retry('net.maps', 'three')}, '1', 'with that right, a superuser asks for another try');
my $own = qq{denied|Forbidden|configmaps "three" is forbidden: User "bob\@example.com" cannot patch resource "configmaps" in API group "" in the namespace "$space"};
$node->wait_for(told('three'), 'he himself has no right to it', expected => $own);
is(written_as($since, "$maps/three"), 'PATCH bob@example.com', 'who asks for another try has not committed the row');
is($api->get("$maps/three")->{status}, 404, 'there is no such object');

# --- a worker that begins anew knows it from the record ---
for my $case ([ 'in dbnet.object', '' ], [ 'of the row', q{UPDATE dbnet.object SET committer = NULL} ]) {
    my ($what, $sql) = @$case;
    $node->psql_ok($sql, "what is on record $what is left") if $sql ne '';
    $since = $api->request_position;
    $node->restart;
    $api->wait_until(sub { written_as($since, "$maps/three") ne '' }, 'it is tried again after a restart');
    $node->wait_for(told('three'), 'and refused again', expected => $own);
    is(written_as($since, "$maps/three"), 'PATCH bob@example.com', "never as somebody else, by what is on record $what");
}
$api->rules(users => { 'bob@example.com' => \@change });
$node->query_is(q{SELECT dbnet.retry('net.maps', 'three')}, '1', 'he is given the right');
settled('it is sent');
$since = $api->request_position;
$node->psql_ok(q{SET ROLE bob; DELETE FROM net.maps WHERE name = 'three'}, 'bob deletes the row');
settled('the object is deleted');
is(written_as($since, "$maps/three"), 'DELETE bob@example.com', 'by him');

# --- what is asked of a device ---
$api->create_node('n1');
$api->rules(users => { 'alice@example.com' => [ { apiGroups => [''], resources => ['nodes'], verbs => ['patch'] } ],
    $me => [ @{ rules_of($node->safe_psql('postgres', q{SELECT dbnet.rbac('prod')})) }, { apiGroups => [''], resources => ['nodes'], verbs => [qw(get list watch)] } ] });
$node->psql_ok(q{CREATE TABLE net.nodes (name text PRIMARY KEY, unschedulable boolean); GRANT ALL ON net.nodes TO alice, carol;
    SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes', '{"name": "metadata.name"}', mode => 'manage')}, 'a mirror of nodes');
give();
$node->wait_for(q{SELECT count(*) FROM net.nodes}, 'they are there', expected => '1');
$since = $api->request_position;
$node->psql_ok(q{SET ROLE alice; SELECT dbnet.cordon('net.nodes', 'n1')}, 'alice asks for no more pods on one');
$node->wait_for(q{SELECT state FROM dbnet.operation_status}, 'it is done', expected => 'done');
is(written_as($since, '/nodes/n1'), 'PATCH alice@example.com', 'as her');

# --- only what a known user has asked for ---
$node->psql_ok(q{ALTER SERVER prod OPTIONS (SET impersonate 'required')}, 'nothing is to be sent in the name of nobody');
unlike($node->safe_psql('postgres', q{SELECT dbnet.rbac('prod')}), qr/create", "patch/, 'then the credentials need no right to write');
give();
$since = $api->request_position;
$node->psql_ok(q{SET ROLE carol; UPDATE net.maps SET data = '{"v": "6"}' WHERE name = 'two'; SELECT dbnet.uncordon('net.nodes', 'n1')}, 'carol writes');
my $nobody = q{role "carol" is no user of server "prod", which is sent nothing in the name of somebody else (option impersonate). Say which one it is with dbnet.map_role().};
$node->wait_for(told('two'), 'it is said why it is not sent', expected => "denied|RoleNotMapped|$nobody");
$node->wait_for(q{SELECT state, message FROM dbnet.operation_status WHERE operation = 'uncordon'}, 'nor what she asked for', expected => "failed|$nobody");
is(written_as($since, '(?:configmaps|nodes)/'), '', 'nothing was');
$node->psql_ok(q{SELECT dbnet.map_role('prod', 'carol', 'system:serviceaccount:shop:carol')}, 'she is a service account of the cluster');
like($node->safe_psql('postgres', q{SELECT dbnet.rbac('prod')}), qr/kind: Role\nmetadata:\n  name: "dbnet-prod"\n  namespace: "shop"\n  labels: .*\nrules:\n- apiGroups: \[""\]\n  resources: \["serviceaccounts"\]\n  resourceNames: \["carol"\]\n  verbs: \["impersonate"\]\n/, 'which has a namespace');
give();
$api->rules(groups => { 'system:serviceaccounts:shop' => \@change });
$node->query_is(q{SELECT dbnet.retry('net.maps', 'two')}, '1', 'another try');
settled('it is sent');
is(written_as($since, "$maps/two"), 'PATCH system:serviceaccount:shop:carol', 'as hers');

# --- Events: by the credentials, whoever has made the change that they tell of and may not write any ---
$node->psql_ok(q{ALTER SERVER prod OPTIONS (ADD events 'on')}, 'it is to be told what becomes of objects');
my $manifest = $node->safe_psql('postgres', q{SELECT dbnet.rbac('prod')});
is($manifest =~ s/^- apiGroups: \["events\.k8s\.io"\]\n  resources: \["events"\]\n  verbs: \["create", "patch"\]\n//mg, 2, 'which the credentials need a right to, in the namespace and in default');
unlike($manifest, qr/create", "patch/, 'and still none to write what is told of');
give();
sub event { my ($reason) = @_; return $api->expect_success($api->get("/apis/events.k8s.io/v1/namespaces/$space/events", query => { fieldSelector => "regarding.name=two,reason=$reason" }))->{items}[0] }
$since = $api->request_position;
$node->psql_ok(q{SET ROLE carol; UPDATE net.maps SET data = '{"v": "6a"}' WHERE name = 'two'}, 'carol writes');
$api->wait_until(sub { event('Applied') && written_as($since, '/events') ne '' }, 'it is told');
like(event('Applied')->{note}, qr/^carol, transaction \d+ of database postgres: data$/, 'of whom');
is(written_as($since, "$maps/two|/events"), 'PATCH system:serviceaccount:shop:carol POST -', 'the object is written as her, the Event as who the credentials are');
$node->psql_ok(q{UPDATE dbnet.mapped_role SET extra = '["odd"]' WHERE role = 'carol'::regrole}, 'a superuser writes what no request can name');
$node->replace_worker('mirror worker', 'TERM');
$node->wait_for(q{SELECT bool_and(state = 'synced') FROM dbnet.mirror_status}, 'the next worker is at work');    # a compare would not tell of her
$node->psql_ok(q{SET ROLE carol; UPDATE net.maps SET data = '{"v": "6b"}' WHERE name = 'two'}, 'carol writes');
$node->wait_for(told('two'), 'the worker begins all the same, and sends nothing of hers', expected => "denied|RoleNotMapped|$nobody");
$api->wait_until(sub { event('Refused') }, 'but tells of it');
like(event('Refused')->{note}, qr/^carol, transaction \d+ of database postgres: \Q$nobody\E$/, 'in the words of dbnet.object_status');
$node->psql_ok(q{ALTER SERVER prod OPTIONS (SET impersonate 'off'); SET ROLE alice; UPDATE net.maps SET data = '{"v": "7"}' WHERE name = 'two'}, 'the option is off, and alice writes');
give();
$node->psql_ok(q{SELECT dbnet.retry('net.maps')}, 'with the right to write');
settled('it is sent');
is((split / /, written_as($since, "$maps/two"))[-1], '-', 'as who the credentials are');

# --- who may say so, and what ---
$node->fails_like(q{SET ROLE other; SELECT dbnet.map_role('prod', 'other', 'root')}, '42501', qr/must be owner of foreign server prod/, 'not everybody says who he is');
$node->fails_like(q{SET ROLE other; SELECT dbnet.unmap_role('prod', 'alice')}, '42501', qr/must be owner of foreign server prod/, 'nor who others are not');
$node->fails_like(q{SELECT dbnet.map_role('none', 'alice', 'a')}, '42704', qr/server "none" is no server of dbnet_kubernetes/, 'a server that is not there');
$node->fails_like(qq{SELECT dbnet.map_role('prod', 'alice', $_->[0])}, '22023', $_->[1], "not a name: $_->[0]")
  for [ q{E'a\r\nImpersonate-Group: system:masters'}, qr/is no name of a user/ ], [ q{''}, qr/"" is no name/ ], [ q{NULL}, qr/is no name/ ], [ q{' a'}, qr/" a" is no name/ ],
  [ q{'a', ARRAY['b', E'c\n']}, qr/is no name/ ], [ q{'a', uid => ''}, qr/is no name/ ], [ q{'a', extra => '{"a": "b"}'}, qr/extra is not an object of arrays of texts/ ];
$node->fails_like(q{SELECT dbnet.unmap_role('prod', 'other')}, '42704', qr/role other is no user of server "prod"/, 'one that is none');
$node->query_is(q{SELECT role, user_name, groups, extra, mapped_by FROM dbnet.mapped_role WHERE role = 'alice'::regrole}, 'alice|alice@example.com|{net-admins}|{"Reason": ["42"]}|' . $node->safe_psql('postgres', 'SELECT current_user'), 'what was said');
$node->query_is(q{SELECT count(*) FROM dbnet.entity_version AS v JOIN dbnet.tracked_relation AS t ON t.number = v.relation WHERE t.relation = 'dbnet.mapped_role'::regclass AND v.operation = 'I'}, '3', 'is on record');
$node->psql_ok(q{ALTER SERVER prod RENAME TO renamed}, 'another name for the server');
$node->query_is(q{SELECT count(*), count(*) FILTER (WHERE server = 'renamed') FROM dbnet.mapped_role}, '3|3', 'its users stay');
$node->psql_ok(q{SELECT dbnet.unmap_role('renamed', 'bob')}, 'one goes');
$node->psql_ok(q{SELECT dbnet.unmirror('net.maps'), dbnet.unmirror('net.nodes')}, 'no mirrors');
$node->psql_ok(q{DROP SERVER renamed CASCADE; CREATE SERVER renamed FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (offline 'true')}, 'another server of that name');
$node->query_is(q{SELECT count(*) FROM dbnet.mapped_role}, '0', 'has none of them');

$node->no_crash_in_log;
done_testing();
