# Code that DBNet's processes run for users acts as its owner: the action of a policy, a trigger on what a device reports, and
# the functions that a batch of telemetry is given to, are on record as that role, and what they write goes to the cluster as its user.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Gateway;
use DBNet::Policies;
use Test::More;

my $api      = DBNet::Api->start(controllers => 0);
my $node     = DBNet::Cluster->started('main');
my $gateway  = DBNet::Gateway->open($node);    # before all else: the setting has the other workers begin anew
my $space    = $api->namespace;
my $policies = DBNet::Policies->new($node);
my $columns  = q{'{"name": "metadata.name", "data": "data"}'};
$node->psql_ok($api->create_server('prod') . qq{; ALTER SERVER prod OPTIONS (ADD impersonate 'required'); GRANT USAGE ON FOREIGN SERVER prod TO policy_owner;
    CREATE ROLE reporter; GRANT dbnet_admin TO reporter; GRANT USAGE ON FOREIGN SERVER prod TO reporter; GRANT ALL ON SCHEMA net TO reporter;
    SELECT dbnet.map_role('prod', 'policy_owner', 'policies\@example.com', '{system:masters}'), dbnet.map_role('prod', 'reporter', 'reports\@example.com', '{system:masters}')},
    'a server that is sent nothing in the name of nobody');
$node->psql_ok(qq{SET ROLE policy_owner; CREATE TABLE net.wanted (name text PRIMARY KEY, data jsonb); GRANT ALL ON net.wanted TO reporter;
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.wanted', $columns, namespace => '$space', label_selector => '!seen,!marked', mode => 'manage')}, 'a mirror');
sub call_of { my ($name) = @_; return qq{SELECT concat_ws('|', role, acts_as, http_status) FROM dbnet.actuation WHERE relation = 'net.wanted'::regclass AND name = '$name'} }
sub who_made { my ($name) = @_; return $node->safe_psql('postgres', qq{SELECT what FROM dbnet.why_steps((SELECT event FROM dbnet.history('net.wanted', '$name') ORDER BY event LIMIT 1)) WHERE kind = 'who' ORDER BY step LIMIT 1}) }

# --- a policy's action ---
$node->psql_ok(q{SET ROLE policy_owner;
    CREATE PROCEDURE net.want(event dbnet.policy_event) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO net.wanted VALUES ('by-policy', jsonb_build_object('session', session_user)); END $$;
    SELECT dbnet.create_policy('want', 'query', query => 'SELECT place, value, count FROM net.control', every => '100 ms', threshold => 1, action => 'net.want(dbnet.policy_event)', mode => 'act')}, 'a policy whose action writes to the mirror');
$policies->control(a => [2]);
$node->wait_for(call_of('by-policy'), 'its action\'s row goes as the policy\'s owner', expected => 'policy_owner|policies@example.com|201');
is($api->get("/api/v1/namespaces/$space/configmaps/by-policy")->{body}{data}{session}, 'policy_owner', 'whose session the action\'s is');
like(who_made('by-policy'), qr/^policy_owner, dbnet policy action, transaction \d+, reason: policy want$/, 'and who it is on record as');

# --- a trigger on reports ---
$node->psql_ok(qq{SET ROLE reporter; CREATE TABLE net.seen (name text PRIMARY KEY, data jsonb);
    CREATE FUNCTION net.on_seen() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN INSERT INTO net.wanted VALUES ('by-report', '{}'); RETURN NULL; END \$\$;
    CREATE TRIGGER on_seen AFTER INSERT ON net.seen FOR EACH ROW EXECUTE FUNCTION net.on_seen();
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.seen', $columns, namespace => '$space', label_selector => 'seen=yes')}, 'a mirror that is only read, with a trigger');
$api->apply("/api/v1/namespaces/$space/configmaps/device", { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'device', labels => { seen => 'yes' } } });
$node->wait_for(call_of('by-report'), 'its row goes as the table\'s owner', expected => 'reporter|reports@example.com|201');
like(who_made('by-report'), qr/^reporter, dbnet mirror worker, transaction \d+$/, 'and is on record as that role\'s');

# --- a trigger that makes another row of a report ---
$node->psql_ok(qq{SET ROLE reporter; CREATE TABLE net.marked (name text PRIMARY KEY, data jsonb);
    CREATE FUNCTION net.mark() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN NEW.data := '{"mark": "here"}'; RETURN NEW; END \$\$;
    CREATE TRIGGER mark BEFORE UPDATE ON net.marked FOR EACH ROW EXECUTE FUNCTION net.mark();
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.marked', $columns, namespace => '$space', label_selector => 'marked=yes', mode => 'manage')}, 'a mirror with a trigger that adds a mark');
sub marked { my ($value) = @_; return $api->apply("/api/v1/namespaces/$space/configmaps/other", { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'other', labels => { marked => 'yes' } }, data => { value => $value } }) }
marked('1');
$node->wait_for(q{SELECT data ->> 'value' FROM net.marked WHERE name = 'other'}, 'an object is reported', expected => '1');
marked('2');
$node->wait_for(q{SELECT concat_ws('|', role, acts_as) FROM dbnet.actuation WHERE relation = 'net.marked'::regclass AND name = 'other' ORDER BY at LIMIT 1},
    'the mark goes as the table\'s owner', expected => 'reporter|reports@example.com');

# --- several in one transaction ---
$node->psql_ok(q{BEGIN; SET LOCAL ROLE policy_owner; INSERT INTO net.wanted VALUES ('by-one', '{}'); SET LOCAL ROLE reporter; INSERT INTO net.wanted VALUES ('by-other', '{}'); COMMIT},
    'two roles write in one transaction');
$node->wait_for(call_of('by-one'), 'what one of them wrote goes as that one', expected => 'policy_owner|policies@example.com|201');
$node->wait_for(call_of('by-other'), 'and the other\'s as the other', expected => 'reporter|reports@example.com|201');

# --- functions of otel.on_batch: one batch for two, of two owners ---
for my $owner ('policy_owner', 'reporter') {
    my $name = $owner =~ tr/_/-/r;
    $node->psql_ok(qq{SET ROLE $owner;
        CREATE FUNCTION net.batch_of_$owner() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN
            INSERT INTO net.wanted SELECT 'batch-of-$name', jsonb_build_object('spans', count(*)::text, 'batch', min(batch_id)::text, 'user', current_user) FROM new_spans; RETURN NULL; END \$\$;
        SELECT otel.on_batch('net.batch_of_$owner()')}, "a function of $owner\'s");
}
$node->psql_ok('DROP TRIGGER wake ON otel.span_pane', 'nothing but them is called');
is($gateway->post('/v1/traces', body => DBNet::Gateway::traces(3))->{status}, 200, 'a batch of telemetry');
for my $case ([ 'policy_owner', 'policies@example.com' ], [ 'reporter', 'reports@example.com' ]) {
    my ($owner, $user) = @$case;
    my $name = 'batch-of-' . $owner =~ tr/_/-/r;
    $node->wait_for(call_of($name), "what the function of $owner wrote goes as $owner", expected => "$owner|$user|201");
    $node->query_is(qq{SELECT committer FROM dbnet.object_status WHERE relation = 'net.wanted'::regclass AND name = '$name'}, $owner, 'who has committed the row, too');
    is_deeply($api->get("/api/v1/namespaces/$space/configmaps/$name")->{body}{data},
        { spans => '3', batch => $node->safe_psql('postgres', 'SELECT batch_id FROM otel.batch'), user => $owner }, 'of the one batch, with the rights of its owner');
    like(who_made($name), qr/^$owner, dbnet gateway worker, transaction \d+$/, 'and is on record as that role\'s');
}
$node->query_is(q{SELECT count(DISTINCT transaction) FROM dbnet.actuation WHERE name ~ '^batch-of-'}, '1', 'both in one transaction');

$node->no_crash_in_log;
done_testing();
