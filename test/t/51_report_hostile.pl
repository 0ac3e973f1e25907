# Nothing that a user defines keeps the mirror from recording what devices report: constraints, triggers, locks, policies.
# Each part breaks one ConfigMap's row in its own way; another row must follow all the while, and the live state must be
# in dbnet.object.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

my $api  = DBNet::Api->start(nodes_ready => 0, controllers => 0);
my $node = DBNet::Cluster->started('main', conf => "dbnet.report_statement_timeout = '300ms'");
my $space = $api->namespace;
my $maps  = "/api/v1/namespaces/$space/configmaps";
my $turn  = 0;

sub put {
    my ($name, $value) = @_;
    $value = "$value";
    my $answer = $api->patch("$maps/$name", { data => { a => $value } });
    return $api->expect_success($answer) if $answer->{status} == 200;
    return $api->expect_success($api->create($maps, { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => $name }, data => { a => $value } }));
}

# The live state of the object is recorded, and the row of another one follows.
sub keeps_up {
    my ($name, $value, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    put('other', ++$turn);
    $node->wait_for(qq{SELECT live->'data'->>'a' = '$value' FROM dbnet.object WHERE name = '$name'}, "$what: the live state is recorded");
    $node->wait_for(qq{SELECT data->>'a' = '$turn' FROM net.maps WHERE name = 'other'}, "$what: another row follows");
    return;
}

put($_, '0') for qw(other check raising deferred slow left-out locked parent unique);
$node->psql_ok($api->create_server('prod') . qq{
    CREATE SCHEMA net;
    CREATE ROLE owner LOGIN;
    GRANT ALL ON SCHEMA net TO owner;
    GRANT USAGE ON FOREIGN SERVER prod TO owner;
    CREATE TABLE net.maps (name text PRIMARY KEY, data jsonb, uid text, local text);
    ALTER TABLE net.maps OWNER TO owner;
    CREATE TABLE net.log (name text, a text, is_report boolean, by name DEFAULT current_user);
    ALTER TABLE net.log OWNER TO owner;
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.maps', '{"name": "metadata.name", "data": "data", "uid": "metadata.uid"}', namespace => '$space')},
    'a mirror');
$node->wait_for(q{SELECT count(*) >= 9 FROM net.maps WHERE uid IS NOT NULL}, 'objects are imported');

# --- CHECK ---
$node->psql_ok(q{ALTER TABLE net.maps ADD CONSTRAINT never CHECK (name <> 'check' OR data->>'a' <> '1')}, 'a CHECK');
put('check', '1');
$node->wait_for(q{SELECT phase = 'report_failed' AND message LIKE '%violates check constraint "never"%' FROM dbnet.object WHERE name = 'check'},
    'a row that a CHECK refuses says so, in the words of PostgreSQL');
keeps_up('check', '1', 'CHECK');
$node->query_is(q{SELECT data->>'a' FROM net.maps WHERE name = 'check'}, '0', 'the row is as it was');
put('check', '2');
$node->wait_for(q{SELECT data->>'a' = '2' FROM net.maps WHERE name = 'check'}, 'the next report that fits is written');
$node->query_is(q{SELECT phase IS NULL, message IS NULL FROM dbnet.object WHERE name = 'check'}, 't|t', 'and the failure is over');

# --- a new object that the table refuses ---
$node->psql_ok(q{ALTER TABLE net.maps ADD CONSTRAINT name_length CHECK (length(name) < 20)}, 'another CHECK');
put('a-name-of-more-than-twenty-characters', '1');
$node->wait_for(q{SELECT phase = 'report_failed' FROM dbnet.object WHERE name LIKE 'a-name-of%'}, 'an object that gets no row');
keeps_up('a-name-of-more-than-twenty-characters', '1', 'no row');

# --- unique ---
$node->psql_ok(q{CREATE UNIQUE INDEX ON net.maps ((data->>'a')) WHERE data->>'a' LIKE 'u%'}, 'a unique index');
put('unique', 'u1');
$node->wait_for(q{SELECT data->>'a' = 'u1' FROM net.maps WHERE name = 'unique'}, 'a first value');
put('unique-too', 'u1');
$node->wait_for(q{SELECT phase = 'report_failed' AND message LIKE '%duplicate key%' FROM dbnet.object WHERE name = 'unique-too'}, 'its duplicate in a new row');
keeps_up('unique-too', 'u1', 'unique');

# --- triggers that raise, are deferred, are slow, leave rows out ---
$node->psql_ok(q{SET ROLE owner;
    CREATE FUNCTION net.policy() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO net.log VALUES (NEW.name, NEW.data->>'a', dbnet.is_report());
        IF NEW.name = 'raising' AND NEW.data->>'a' = '1' THEN RAISE EXCEPTION 'policy says no'; END IF;
        IF NEW.name = 'slow' AND NEW.data->>'a' = '1' THEN PERFORM pg_sleep(30); END IF;
        RETURN NEW;
    END $$;
    CREATE FUNCTION net.left_out() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RETURN CASE WHEN NEW.name = 'left-out' AND NEW.data->>'a' = '1' THEN NULL ELSE NEW END; END $$;
    CREATE FUNCTION net.deferred() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.name = 'deferred' AND NEW.data->>'a' = '1' THEN RAISE EXCEPTION 'deferred says no as %', current_user; END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER policy AFTER INSERT OR UPDATE ON net.maps FOR EACH ROW EXECUTE FUNCTION net.policy();
    CREATE TRIGGER left_out BEFORE UPDATE ON net.maps FOR EACH ROW EXECUTE FUNCTION net.left_out();
    CREATE CONSTRAINT TRIGGER deferred AFTER UPDATE ON net.maps DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION net.deferred()},
    'triggers of the owner');
put('check', '3');
$node->wait_for(q{SELECT is_report AND by = 'owner' FROM net.log WHERE name = 'check' AND a = '3'}, 'a trigger runs as the owner and can tell that it is a report');
my %says = (raising => 'policy says no', deferred => 'deferred says no as owner', 'left-out' => 'left the row out', slow => 'statement timeout');
for my $name (qw(raising deferred left-out slow)) {
    put($name, '1');
    $node->wait_for(qq{SELECT data->>'a' = '1' FROM net.maps WHERE name = '$name'}, "$name: the row is written without its triggers");
    $node->wait_for(qq{SELECT message LIKE 'written without the table''s triggers: %$says{$name}%' FROM dbnet.object WHERE name = '$name'}, "$name: and the record says why");
    keeps_up($name, '1', $name);
    put($name, '2');
    $node->wait_for(qq{SELECT data->>'a' = '2' AND (SELECT message IS NULL FROM dbnet.object WHERE name = '$name') FROM net.maps WHERE name = '$name'}, "$name: then all is well again");
}
$node->psql_ok(q{DROP TRIGGER policy ON net.maps; DROP TRIGGER left_out ON net.maps; DROP TRIGGER deferred ON net.maps}, 'no triggers any more');

# --- a session that holds rows ---
my $session = $node->background_psql('postgres');
$session->query_safe(q{BEGIN; SELECT FROM net.maps WHERE name = 'locked' FOR UPDATE});
put('locked', '1');
keeps_up('locked', '1', 'locked row');
$node->query_is(q{SELECT data->>'a' FROM net.maps WHERE name = 'locked'}, '0', 'the locked row waits');
$session->query_safe(q{COMMIT});
$node->wait_for(q{SELECT data->>'a' = '1' FROM net.maps WHERE name = 'locked'}, 'and follows as soon as it is free');
$session->query_safe(q{BEGIN; LOCK TABLE net.maps IN ACCESS EXCLUSIVE MODE});
put('locked', '2');
$node->wait_for(q{SELECT live->'data'->>'a' = '2' FROM dbnet.object WHERE name = 'locked'}, 'a locked table: the live state is recorded');
$session->query_safe(q{COMMIT});
$node->wait_for(q{SELECT data->>'a' = '2' FROM net.maps WHERE name = 'locked'}, 'and the row follows');
$session->query_safe(q{BEGIN; INSERT INTO net.maps (name) VALUES ('early')});
put('early', '1');
keeps_up('early', '1', 'a key in the making');
$session->query_safe(q{ROLLBACK});
$node->wait_for(q{SELECT data->>'a' = '1' FROM net.maps WHERE name = 'early'}, 'the row is there once the session gave it up');

# --- a session waiting for a row of a report never is the victim of a deadlock ---
$session->query_safe(q{BEGIN; SELECT FROM net.maps WHERE name = 'other' FOR UPDATE});
put($_, "d$_") for qw(locked other);
$node->wait_for(q{SELECT data->>'a' = 'dlocked' FROM net.maps WHERE name = 'locked'}, 'a report is written while a row of it is held');
$session->query_safe(q{UPDATE net.maps SET local = 'mine' WHERE name IN ('locked', 'other'); COMMIT});
$session->quit;
$node->wait_for(q{SELECT data->>'a' = 'dother' AND local = 'mine' FROM net.maps WHERE name = 'other'}, 'both arrive');

# --- an object is gone, and the worker ends before its row could go ---
$session = $node->background_psql('postgres');
$session->query_safe(q{BEGIN; SELECT FROM net.maps WHERE name = 'unique' FOR UPDATE});
$api->delete("$maps/unique");
$node->wait_for(q{SELECT phase = 'absent' AND live IS NULL FROM dbnet.object WHERE name = 'unique'}, 'the end of an object is recorded while a session holds its row');
$node->replace_worker('mirror worker', 'TERM');
$node->wait_for(q{SELECT state = 'synced' FROM dbnet.mirror_status}, 'another worker has listed all objects');
$session->query_safe('COMMIT');
$session->quit;
$node->wait_for(q{SELECT NOT EXISTS (SELECT FROM net.maps WHERE name = 'unique') AND NOT EXISTS (SELECT FROM dbnet.object WHERE name = 'unique')}, 'the row goes once the session lets it', timeout => 30);

# --- foreign keys are never broken ---
$node->psql_ok(q{CREATE TABLE net.children (parent text REFERENCES net.maps); INSERT INTO net.children VALUES ('parent')}, 'a table that refers to the mirror');
$api->delete("$maps/parent");
$node->wait_for(q{SELECT phase = 'absent' AND live IS NULL AND message LIKE '%still referenced%' FROM dbnet.object WHERE name = 'parent'},
    'an object is gone whose row is referred to');
keeps_up('check', '3', 'foreign key');
$node->query_is(q{SELECT count(*) FROM net.maps WHERE name = 'parent'}, '1', 'the row stays');
$node->psql_ok('TRUNCATE net.children', 'nothing refers to it any more');
$node->replace_worker('mirror worker', 'TERM');
$node->wait_for(q{SELECT count(*) FROM net.maps WHERE name = 'parent'}, 'it goes, also when the worker that knew of it does not run any more', expected => '0', timeout => 30);

# --- foreign keys between mirrors: an object whose row refers to one that is not there yet ---
$node->psql_ok(qq{
    CREATE TABLE net.nodes (name text PRIMARY KEY);
    CREATE TABLE net.pods (name text PRIMARY KEY, node text REFERENCES net.nodes);
    SELECT dbnet.mirror('prod', 'v1', 'Pod', 'net.pods', '{"name": "metadata.name", "node": "spec.nodeName"}', namespace => '$space');
    SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes', '{"name": "metadata.name"}', label_selector => '} . $api->selector . q{')}, 'mirrors of pods and nodes');
my $late = $api->name('late');
$api->expect_success($api->create("/api/v1/namespaces/$space/pods", { metadata => { name => $_ }, spec => { nodeName => $late, containers => [ { name => 'app', image => 'nginx' } ] } })) for qw(early-1 early-2);
$node->wait_for(q{SELECT count(*) FROM dbnet.object WHERE relation = 'net.pods'::regclass AND phase = 'report_failed' AND message LIKE '%violates foreign key constraint "pods_node_fkey"%' AND live IS NOT NULL},
    'pods before their node: recorded, and why they have no rows', expected => '2');
keeps_up('check', '3', 'pods before nodes');
$api->create_node('late');
$node->wait_for(q{SELECT string_agg(name || ' ' || node, ', ' ORDER BY name) FROM net.pods}, 'their rows follow the node', expected => "early-1 $late, early-2 $late");
$node->wait_for(q{SELECT count(*) FROM dbnet.object WHERE relation = 'net.pods'::regclass AND (phase IS NOT NULL OR message IS NOT NULL)}, 'and nothing is left of it', expected => '0');
$api->delete("/api/v1/nodes/$late");
$node->wait_for(q{SELECT phase = 'absent' AND message LIKE '%still referenced%' FROM dbnet.object WHERE relation = 'net.nodes'::regclass}, 'the node goes before its pods: its row stays as long');
$api->delete("/api/v1/namespaces/$space/pods/$_", body => { gracePeriodSeconds => 0 }) for qw(early-1 early-2);
$node->wait_for(q{SELECT count(*) FROM net.pods}, 'the pods go', expected => '0');
$node->wait_for(q{SELECT count(*) FROM net.nodes}, 'and then the node', expected => '0');

# --- rows that take so long to read that many of them exceed the time limit of one statement ---
$node->psql_ok(q{CREATE TYPE net.mood AS ENUM ('calm', 'glad');
    CREATE FUNCTION net.to_json(mood net.mood) RETURNS json LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.01); RETURN to_json(mood::text); END $$;
    CREATE CAST (net.mood AS json) WITH FUNCTION net.to_json(net.mood);
    CREATE TABLE net.slow (name text PRIMARY KEY, labels jsonb, mood net.mood);
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.slow', '{"name": "metadata.name", "labels": "metadata.labels", "mood": "data.mood"}', namespace => '} . $space . q{', label_selector => 'read=slow')}, 'a table that is slow to read');
my $slow = 60;    # of 10 ms each, where 300 ms are allowed
$api->expect_success($api->create($maps, { metadata => { name => "slow-$_", labels => { read => 'slow' } }, data => { mood => 'calm' } })) for 1 .. $slow;
$node->wait_for('SELECT count(*) FROM net.slow', 'its rows are made', expected => $slow);
my $pid = $node->worker_pid('mirror worker');
kill 'STOP', $pid;
$api->expect_success($api->patch("$maps/slow-$_", { data => { mood => 'glad' } })) for 1 .. $slow;
kill 'CONT', $pid;
$node->wait_for(q{SELECT count(*) FROM net.slow WHERE mood = 'glad'}, 'all of them change at once, and all rows follow', expected => $slow);

# --- row-level security that binds the owner ---
$node->psql_ok(q{CREATE POLICY hidden ON net.maps USING (name <> 'check'); ALTER TABLE net.maps ENABLE ROW LEVEL SECURITY; ALTER TABLE net.maps FORCE ROW LEVEL SECURITY},
    'a policy that hides rows from the owner');
put('check', '4');
$node->wait_for(q{SELECT phase = 'report_failed' AND message LIKE '%row-level security%' FROM dbnet.object WHERE name = 'check'}, 'the record says why the row cannot follow');
$node->query_is(q{SELECT live->'data'->>'a' FROM dbnet.object WHERE name = 'check'}, '4', 'the live state is recorded');
$node->psql_ok(q{ALTER TABLE net.maps NO FORCE ROW LEVEL SECURITY}, 'the policy does not bind the owner any more');
put('check', '5');
$node->wait_for(q{SELECT data->>'a' = '5' FROM net.maps WHERE name = 'check'}, 'the row follows again');

$node->no_crash_in_log;
done_testing();
