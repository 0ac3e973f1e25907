# What becomes of objects is told in Kubernetes Events where the server has option events on: what was changed, refused, held or
# put back, and which role and transaction it came from; never more than a server should have to bear, and nothing waits for it.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Gateway;
use DBNet::Mirrors;
use DBNet::Wait qw(wait_until);
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils ();
use Test::More;

DBNet::Api::need('kubectl', 'own_servers');
my $node = DBNet::Cluster->started('events', conf => q{dbnet.respected_managers = 'helm'});
my $api = DBNet::Api->start(controllers => 0, nodes_ready => 0);
my $gateway = DBNet::Gateway->open($node);
my $space = $api->namespace;
my $mirrors = DBNet::Mirrors->new($node, $api);
$node->psql_ok('CREATE ROLE alice; GRANT dbnet_viewer TO alice; GRANT USAGE ON SCHEMA net TO alice; GRANT ALL ON ALL TABLES IN SCHEMA net TO alice', 'a role');

# Those about the object, oldest first.
sub events {
    my ($name, $reason, $namespace) = @_;
    my $found = $api->expect_success($api->get('/apis/events.k8s.io/v1/namespaces/' . ($namespace // $space) . '/events',
            query => { fieldSelector => "regarding.name=$name" . (defined $reason ? ",reason=$reason" : '') }));
    return sort { $a->{eventTime} cmp $b->{eventTime} } @{ $found->{items} };
}
# Waits for one that is of this reason, and tells how it reads.
sub told {
    my ($name, $reason, $note, $what, %options) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @found;
    wait_until(sub { @found = events($name, $reason, $options{namespace}); return @found >= ($options{count} // 1) });
    return like($found[-1]{note} // 'nothing', $note, $what) ? $found[-1] : {};
}
# As alice; returns the transaction.
sub commit { my ($sql) = @_; return $node->safe_psql('postgres', "BEGIN; SET LOCAL ROLE alice; $sql; SELECT pg_current_xact_id(); COMMIT") }
sub sent { my ($since) = @_; return scalar $api->requests(since => $since, path => qr{/apis/events\.k8s\.io/v1/}) }
# How many Events there were so far, by what became of them.
sub counted {
    my %count = $gateway->get('/metrics')->{body} =~ /^dbnet_kubernetes_events_total\{result="(\w+)"\} (\d+)$/mg;
    return \%count;
}

# --- unless asked for, nothing is told ---
my $since = $api->request_position;
commit($mirrors->config_row('quiet', { v => '1' }));
is($mirrors->wait_synced, '', 'a change is made');
is(sent($since), 0, 'and no Event');
unlike($node->safe_psql('postgres', q{SELECT dbnet.rbac('prod')}), qr/events/, 'nor a right to any');
is_deeply(counted(), { written => 0, failed => 0, dropped => 0 }, 'which is counted');

# --- what is done ---
$node->fails_like(q{ALTER SERVER prod OPTIONS (ADD events 'often')}, '22023', qr/invalid value for option "events": it is not a Boolean/, 'often is no answer');
$node->psql_ok(q{ALTER SERVER prod OPTIONS (ADD events 'on')}, 'it is to be told');
my $rule = qq{- apiGroups: ["events.k8s.io"]\n  resources: ["events"]\n  verbs: ["create", "patch"]\n};
my $rbac = $node->safe_psql('postgres', q{SELECT dbnet.rbac('prod')});
like($rbac, qr/namespace: "$_"\n  labels: [^\n]*\nrules:\n(?:[- ] [^\n]*\n)*\Q$rule\E/, "which needs a right in $_") for 'default', $space;
my $transaction = commit($mirrors->config_row('web', { v => '1' }));
my $event = told('web', 'Created', qr/^alice, transaction $transaction of database postgres: data, metadata\.labels$/, 'an object is made');
my $uid = $mirrors->config('web')->{metadata}{uid};
is_deeply($event->{regarding}, { apiVersion => 'v1', kind => 'ConfigMap', namespace => $space, name => 'web', uid => $uid }, 'of which it is');
is_deeply([ @{$event}{qw(type action reportingController)} ], [ 'Normal', 'Apply', 'dbnet.io/mirror-worker' ], 'who has done what');
like($event->{reportingInstance}, qr/^.+_[0-9a-f]{16}$/, 'and where');
like($event->{eventTime}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/, 'and when');
$transaction = commit(q{UPDATE net.configs SET data = '{"v": "2"}' WHERE name = 'web'});
told('web', 'Applied', qr/^alice, transaction $transaction of database postgres: data$/, 'it is changed');
my ($status, $output) = $api->kubectl('-n', $space, 'describe', 'configmap', 'web');
like($output, qr/^Events:\n.*\n.*\n  Normal +Created .* alice, transaction \d+ of database postgres: data, metadata\.labels\n  Normal +Applied .* alice, transaction $transaction of database postgres: data\n/m, 'kubectl describe tells');
$transaction = commit($mirrors->node_row('n1', unschedulable => 'true'));
$event = told($api->name('n1'), 'Created', qr/^alice, transaction $transaction of database postgres: /, 'of what is in no namespace', namespace => 'default');
is_deeply($event->{regarding}, { apiVersion => 'v1', kind => 'Node', name => $api->name('n1'), uid => $mirrors->node('n1')->{metadata}{uid} }, 'it is told in default');
$transaction = commit(q{DELETE FROM net.configs WHERE name = 'web'});
$event = told('web', 'Deleted', qr/^alice, transaction $transaction of database postgres: the row was deleted$/, 'it is deleted');
is_deeply([ @{$event}{qw(type action)}, $event->{regarding}{uid} ], [ 'Normal', 'Delete', $uid ], 'that one');

# --- what is not ---
my $maps = "/api/v1/namespaces/$space/configmaps";
sub theirs { my ($name, $manager, $value) = @_; return $api->expect_success($api->apply("$maps/$name", { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => $name, labels => $api->labels }, data => { v => $value } }, manager => $manager, force => 1)) }
theirs('respected', 'helm', '1');
$node->wait_for(q{SELECT count(*) FROM net.configs WHERE name = 'respected'}, 'an object of others', expected => '1');
$transaction = commit(q{UPDATE net.configs SET data = '{"v": "2"}' WHERE name = 'respected'});
$event = told('respected', 'Refused', qr/^alice, transaction $transaction of database postgres: .*conflict with "helm".*\.data\.v/s, 'a change is refused, in the server\'s words');
is_deeply([ @{$event}{qw(type action)}, $event->{regarding}{uid} ], [ 'Warning', 'Apply', $api->get("$maps/respected")->{body}{metadata}{uid} ], 'a warning');
$transaction = commit(q{DELETE FROM net.configs WHERE name = 'respected'});
$event = told('respected', 'Held', qr/^alice, transaction $transaction of database postgres: .*See dbnet\.held/s, 'its deletion is held');
is_deeply([ @{$event}{qw(type action)} ], [ 'Warning', 'Delete' ], 'a warning');
$node->psql_ok(q{SELECT dbnet.reject(id) FROM dbnet.held}, 'and rejected');
$node->wait_for(q{SELECT count(*) FROM net.configs WHERE name = 'respected'}, 'the row is back', expected => '1');

# --- what a Secret holds ---
my $clear   = 'CANARY0secret0value0';
my $encoded = encode_base64($clear, '');    # ends with =, which no name of a value may
my ($selector, $labels) = map { DBNet::Api::quote($_) } $api->selector, JSON::PP::encode_json($api->labels);
$node->psql_ok(qq{CREATE TABLE net.secrets (name text PRIMARY KEY, labels jsonb DEFAULT $labels, data jsonb); GRANT ALL ON net.secrets TO alice;
    SELECT dbnet.mirror('prod', 'v1', 'Secret', 'net.secrets', '{"name": "metadata.name", "labels": "metadata.labels", "data": "data"}',
        namespace => '$space', label_selector => $selector, mode => 'manage', secret_values => 'plain')}, 'a mirror of Secrets');
$transaction = commit(qq{INSERT INTO net.secrets VALUES ('good', DEFAULT, '{"key": "$encoded"}')});
told('good', 'Created', qr/^alice, transaction $transaction of database postgres: data, metadata\.labels$/, 'one is made');
$transaction = commit(qq{INSERT INTO net.secrets VALUES ('bad', DEFAULT, '{"$clear!": "$encoded", "$encoded": "$encoded"}')});
$event = told('bad', 'Refused', qr/^alice, transaction $transaction of database postgres: see dbnet\.object_status$/, 'one is refused');
is_deeply([ @{$event}{qw(type action)} ], [ 'Warning', 'Apply' ], 'a warning');
$node->query_is(qq{SELECT phase, message LIKE '%$clear!%', message LIKE '%$encoded%' FROM dbnet.object_status WHERE name = 'bad'}, 'invalid|t|t', 'in words that repeat what it holds');
unlike($api->get("/apis/events.k8s.io/v1/namespaces/$space/events")->{text}, qr/CANARY|\Q$encoded\E/, 'which no Event does');
commit(q{DELETE FROM net.secrets WHERE name = 'bad'});

# --- what others have done ---
$node->psql_ok(q{SELECT dbnet.alter_mirror('net.configs', on_drift => 'enforce')}, 'the database is to win');
commit($mirrors->config_row('firm', { v => '1' }));
is($mirrors->wait_synced, '', 'an object');
theirs('firm', 'kubectl-edit', '2');
told('firm', 'DriftCorrected', qr/^database postgres: data, which kubectl-edit had changed$/, 'is put back');

# --- a fight: what is put back less often is told in one Event, however often that was ---
# The phase lasts for a second: it is noted, not caught.
$node->safe_psql('postgres', q{CREATE TABLE fights (message text);
    CREATE FUNCTION note_fight() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.fights VALUES (NEW.message); RETURN NULL; END $$;
    CREATE TRIGGER note_fight AFTER UPDATE OF phase ON dbnet.object FOR EACH ROW WHEN (NEW.phase = 'fighting' AND OLD.phase IS DISTINCT FROM NEW.phase) EXECUTE FUNCTION note_fight()});
sub fights { return $node->safe_psql('postgres', 'SELECT count(*) FROM fights') }
commit($mirrors->config_row('ring', { v => '1' }));
is($mirrors->wait_synced, '', 'an object');
ok(wait_until(sub { return 1 if fights() >= 2; theirs('ring', 'kubectl-edit', '2'); return 0 }, 180), 'somebody changes it again and again, as often as it is put back');
is($mirrors->wait_synced, '', 'until they give up');
my $rounds;
wait_until(sub { $rounds = fights(); my @found = events('ring', 'Fighting'); return @found > 1 || ($found[0]{series}{count} // 0) == $rounds });
$node->query_is('SELECT count(DISTINCT message) FROM fights', $rounds, 'each time dbnet.object_status counts on');
is_deeply([ map { [ @{$_}{qw(type action note)}, $_->{series}{count} ] } events('ring', 'Fighting') ],
    [ [ 'Warning', 'Apply', 'database postgres: kubectl-edit keeps changing data: it is put back less often from now on', $rounds ] ], 'the cluster is told once, with how often');

# --- not while nothing may be sent ---
$node->psql_ok(q{SELECT dbnet.pause('prod', 'test')}, 'a pause');
$since = $api->request_position;
commit($mirrors->config_row('later', { v => '1' }));
$node->wait_for(q{SELECT phase FROM dbnet.object_status WHERE name = 'later'}, 'nothing is sent', expected => 'pending');
is(sent($since), 0, 'nor told');
$node->psql_ok(q{SELECT dbnet.resume('prod')}, 'it goes on');
told('later', 'Created', qr/: data, metadata\.labels$/, 'then it is');

# --- an object that changes without end ---
my $before = counted();
commit($mirrors->config_row('busy', { v => '0' }));
for my $value (1 .. 29) {
    commit(qq{UPDATE net.configs SET data = '{"v": "$value"}' WHERE name = 'busy'});
    $mirrors->wait_synced;
}
my $total = sub { my $now = counted(); return ($now->{dropped} - $before->{dropped}) . ' ' . ($now->{failed} - $before->{failed}) . ' ' . ($now->{written} - $before->{written}) };
wait_until(sub { $total->() eq '5 0 25' });
is($total->(), '5 0 25', 'of 30 changes in a row 25 are told, and the rest is counted');
my @told = events('busy');
is(scalar(grep { $_->{note} !~ /^\(combined/ } @told), 11, 'the first ones each by itself');
my @combined = grep { $_->{note} =~ /^\(combined from similar events\) alice, transaction \d+ of database postgres: data$/ } @told;
is(scalar @combined, 1, 'and the others together');
is($combined[0]{series}{count}, 14, 'with their number');
like($combined[0]{series}{lastObservedTime}, qr/\.\d{6}Z$/, 'and when it was last');

# --- a server that takes none ---
# Rights to ConfigMaps, and to nothing else.
my $token = $api->token($api->kind eq 'simulator' ? 'none' : 'all');
$api->disturb('rules', { users => { 'kubesim-nobody' => [ { apiGroups => [''], resources => ['configmaps'], verbs => ['*'], namespaces => [$space] } ] } }) if $api->kind eq 'simulator';
my $ca = DBNet::Api::quote(PostgreSQL::Test::Utils::slurp_file($api->credentials('--cacert')->[1]));
$node->psql_ok(qq{CREATE SERVER poor FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url '@{[ $api->url ]}', ca $ca, lease 'false', events 'on');
    CREATE USER MAPPING FOR CURRENT_USER SERVER poor OPTIONS (token '$token');
    CREATE TABLE net.poor (name text PRIMARY KEY, labels jsonb, data jsonb);
    SELECT dbnet.mirror('poor', 'v1', 'ConfigMap', 'net.poor', '{"name": "metadata.name", "labels": "metadata.labels", "data": "data"}', namespace => '$space', label_selector => 'poor=yes', mode => 'manage')}, 'credentials that may not write Events');
$since = $api->request_position;
$before = counted();
$node->psql_ok(q{INSERT INTO net.poor VALUES ('p1', '{"poor": "yes"}', '{"v": "1"}')}, 'a row');
is($mirrors->wait_synced, '', 'is sent all the same');
$node->wait_for(q{SELECT last_error LIKE 'server poor takes no Events: events.events.k8s.io is forbidden: User "%" cannot create resource "events" in API group "events.k8s.io" in the namespace "%' FROM dbnet.worker WHERE process = 'mirror worker'},
    'it is said why nothing is told');
like($node->log_since(0), qr/LOG:  DBNet mirror worker: server poor takes no Events: .* in the namespace "$space"\. dbnet\.rbac\(\) prints the rule that is missing$/m, 'and which right would do');
$node->psql_ok(qq{INSERT INTO net.poor VALUES ('p$_', '{"poor": "yes"}', '{"v": "1"}')}, 'another row') for 2 .. 4;
is($mirrors->wait_synced, '', 'is sent');
wait_until(sub { $total->() eq '3 1 0' });
is($total->(), '3 1 0', 'and nothing is tried for a while');
is(sent($since), 1, 'one request was made');

# --- off again ---
$node->psql_ok(q{ALTER SERVER prod OPTIONS (SET events 'off')}, 'it is not to be told any more');
$since = $api->request_position;
commit($mirrors->config_row('still', { v => '1' }));
is($mirrors->wait_synced, '', 'a change is made');
is(sent($since), 0, 'and no Event');

$node->no_crash_in_log;
done_testing();
