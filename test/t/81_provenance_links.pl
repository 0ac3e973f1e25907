# The chain across transactions: a committed change, the device call that carried it, the report that came back. What a
# mirror is in dbnet.tracked_relation.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

my $node = DBNet::Cluster->started('provenance_links');
my $api = DBNet::Api->start;
my $mirrors = DBNet::Mirrors->new($node, $api);
my $configs = q{(SELECT number FROM dbnet.tracked_relation WHERE relation = 'net.configs'::regclass)};
my $nodes = q{(SELECT number FROM dbnet.tracked_relation WHERE relation = 'net.nodes'::regclass)};

sub stamp { my ($object) = @_; return ($object->{metadata}{annotations}{'dbnet.io/stamp'} =~ m{/(\d+)$})[0] }

# Versions of a row, oldest first: operation, old and new value of the column.
sub versions {
    my ($relation, $name, $column) = @_;
    return $node->safe_psql('postgres', "SELECT operation, old -> '$column', new -> '$column' FROM dbnet.entity_version WHERE relation = $relation AND key = '{\"name\": \"$name\"}' ORDER BY id");
}

# --- mirrors are tracked ---
$node->query_is(q{SELECT relation, schema_name, table_name, key_columns, redacted_columns, activations, enabled, number >= 100
                  FROM dbnet.tracked_relation WHERE relation::text LIKE 'net.%' ORDER BY 1},
    "net.nodes|net|nodes|{name}|{}|all|t|t\nnet.configs|net|configs|{name}|{}|all|t|t", 'a mirror is tracked without asking');

# --- change, call ---
$node->psql_ok($mirrors->config_row('a', { x => '1' }), 'insert');
is($mirrors->wait_synced, '', 'settled');
is(versions($configs, 'a', 'data'), 'I||{"x": "1"}', 'the row has one version');
$node->query_is("SELECT call.operation, v.operation, v.key, call.id > v.id, call.id = o.last_actuation
                 FROM dbnet.actuation AS call JOIN dbnet.entity_version AS v ON v.id = call.cause JOIN dbnet.object AS o ON o.relation = call.relation AND o.name = call.name
                 WHERE v.relation = $configs", 'apply|I|{"name": "a"}|t|t', 'the call has it as its cause, and the object knows the call');
$node->query_is('SELECT bool_and(abs(extract(epoch FROM dbnet.event_time(id) - at)) < 1) FROM dbnet.actuation', 't', 'the id says when');
is(stamp($mirrors->config('a')), $node->safe_psql('postgres', 'SELECT max(cause) FROM dbnet.actuation'), 'the object is stamped with it');

# Several versions in one transaction, of several rows; some rolled back.
$node->psql_ok(q{
    BEGIN;
    INSERT INTO net.configs (name, data) VALUES ('b', '{"x": "1"}'), ('c', '{"x": "1"}');
    UPDATE net.configs SET data = '{"x": "2"}' WHERE name = 'b';
    SAVEPOINT s;
    UPDATE net.configs SET data = '{"x": "3"}' WHERE name IN ('a', 'b');
    ROLLBACK TO s;
    UPDATE net.configs SET data = '{"x": "4"}' WHERE name = 'a';
    COMMIT}, 'three rows, in several steps');
is($mirrors->wait_synced, '', 'settled');
$node->query_is("SELECT call.name, v.key ->> 'name', v.operation, v.new -> 'data' FROM dbnet.actuation AS call JOIN dbnet.entity_version AS v ON v.id = call.cause
                 WHERE call.transaction = (SELECT max(transaction::text::bigint)::text::xid8 FROM dbnet.actuation) ORDER BY 1",
    qq(a|a|U|{"x": "4"}\nb|b|U|{"x": "2"}\nc|c|I|{"x": "1"}), 'each call carries the newest version that was not rolled back');

# A rename: the new object from the version under the new key, the old one deleted because of the other.
$node->psql_ok(q{UPDATE net.configs SET name = 'd' WHERE name = 'c'}, 'rename');
is($mirrors->wait_synced, '', 'settled');
$node->query_is("SELECT call.operation, call.name, v.operation, v.key ->> 'name', p.key ->> 'name' FROM dbnet.actuation AS call JOIN dbnet.entity_version AS v ON v.id = call.cause
                 JOIN dbnet.entity_version AS p ON p.id = v.pair WHERE call.name IN ('c', 'd') ORDER BY call.id",
    "apply|d|U|d|c\ndelete|c|R|c|d", 'a rename has two versions, and each call has its own');

$node->psql_ok(q{DELETE FROM net.configs WHERE name = 'd'}, 'delete');
is($mirrors->wait_synced, '', 'settled');
$node->query_is("SELECT call.operation, v.operation FROM dbnet.actuation AS call JOIN dbnet.entity_version AS v ON v.id = call.cause WHERE call.name = 'd' ORDER BY call.id DESC LIMIT 1",
    'delete|D', 'a delete too');

# A prepared transaction.
$node->append_conf('postgresql.conf', 'max_prepared_transactions = 2');
$node->restart;
$mirrors->wait_listed;
$node->psql_ok(q{BEGIN; UPDATE net.configs SET data = '{"x": "5"}' WHERE name = 'a'; PREPARE TRANSACTION 'later'}, 'prepared');
$node->psql_ok(q{UPDATE net.configs SET data = '{"x": "6"}' WHERE name = 'b'}, 'another change meanwhile');
is($mirrors->wait_synced, '', 'settled');
$node->psql_ok(q{COMMIT PREPARED 'later'}, 'committed');
is($mirrors->wait_synced, '', 'settled');
$node->query_is(q{SELECT v.key ->> 'name', v.new -> 'data' FROM dbnet.actuation AS call JOIN dbnet.entity_version AS v ON v.id = call.cause ORDER BY call.id DESC LIMIT 2},
    qq(a|{"x": "5"}\nb|{"x": "6"}), 'the version of a prepared transaction is the cause of its call');

# A change whose commit nobody told the worker of: the compare at its start finds it.
$node->append_conf('postgresql.conf', 'dbnet.actuate = off');
$node->reload;
$node->psql_ok(q{UPDATE net.configs SET data = '{"x": "7"}' WHERE name = 'b'}, 'a change that waits');
$node->stop('immediate');
$node->append_conf('postgresql.conf', 'dbnet.actuate = on');
$node->start;
$mirrors->wait_listed;
is($mirrors->wait_synced, '', 'settled');
$node->query_is(q{SELECT call.transaction, v.key ->> 'name', v.new -> 'data' FROM dbnet.actuation AS call JOIN dbnet.entity_version AS v ON v.id = call.cause ORDER BY call.id DESC LIMIT 1},
    '|b|{"x": "7"}', 'what a compare found carries the newest version');
is(stamp($mirrors->config('b')), $node->safe_psql('postgres', q{SELECT cause FROM dbnet.actuation ORDER BY id DESC LIMIT 1}), 'and is stamped with it');

# --- report ---
$node->psql_ok($mirrors->node_row('n1', unschedulable => 'false'), 'a Node');
is($mirrors->wait_synced, '', 'settled');
my $name = $api->name('n1');
$node->wait_for(q{SELECT ready = 'True' FROM net.nodes}, 'it becomes ready, and its row says so');
$node->query_is("SELECT v.operation, v.new -> 'ready', call.operation, call.name, call.id < v.id, a.kind
                 FROM dbnet.entity_version AS v JOIN dbnet.actuation AS call ON call.id = v.cause JOIN dbnet.activity AS a ON a.id = v.activity
                 WHERE v.relation = $nodes AND v.new ? 'ready' ORDER BY v.id DESC LIMIT 1",
    qq(U|"True"|apply|$name|t|R), 'the version that the report made names the call before it');

# An object that was there, or was made by somebody else, has no call before it.
$api->create($mirrors->node_path('x') =~ s{/[^/]+$}{}r, { apiVersion => 'v1', kind => 'Node', metadata => { name => $api->name('x'), labels => $api->labels } });
$node->wait_for(q{SELECT count(*) = 2 FROM net.nodes}, 'an object of somebody else');
$node->query_is("SELECT v.operation, v.cause FROM dbnet.entity_version AS v WHERE v.relation = $nodes AND v.key ->> 'name' = '" . $api->name('x') . "' ORDER BY v.id LIMIT 1",
    'I|', 'has no call before it');

# --- what a trigger makes of a report is a change, carried by a call ---
$node->psql_ok(q{
    CREATE FUNCTION net.note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO net.configs (name, data) VALUES ('about', jsonb_build_object('node', NEW.name));
        RETURN NULL;
    END $$;
    CREATE TRIGGER note AFTER UPDATE ON net.nodes FOR EACH ROW WHEN (NEW.ready = 'True' AND OLD.ready IS DISTINCT FROM 'True') EXECUTE FUNCTION net.note()}, 'a trigger');
$node->psql_ok($mirrors->node_row('n2', unschedulable => 'false'), 'another Node');
$node->wait_for(q{SELECT count(*) = 1 FROM dbnet.actuation WHERE name = 'about'}, 'a report sets off a call');
$node->query_is(q{SELECT call.name, made.operation, g.kind, g.name, reported.new, r.kind, before.name = reported.key ->> 'name'
                  FROM dbnet.actuation AS call JOIN dbnet.entity_version AS made ON made.id = call.cause JOIN dbnet.activity AS s ON s.id = made.activity
                  JOIN dbnet.activity AS g ON g.id = s.parent JOIN dbnet.entity_version AS reported ON reported.id = g.started_by
                  JOIN dbnet.activity AS r ON r.id = reported.activity JOIN dbnet.actuation AS before ON before.id = reported.cause
                  WHERE call.name = 'about'}, qq(about|I|G|note|{"ready": "True"}|R|t), 'one chain from call to call');

# --- a mirror that is no more, and again ---
my $number = $node->safe_psql('postgres', "SELECT $configs");
$node->psql_ok(q{SELECT dbnet.unmirror('net.configs')}, 'unmirror');
$node->query_is("SELECT relation, enabled FROM dbnet.tracked_relation WHERE number = $number", 'net.configs|f', 'is not tracked any more');
$node->psql_ok(q{ALTER TABLE net.configs RENAME TO settings}, 'renamed');
$node->query_is("SELECT relation, schema_name, table_name FROM dbnet.tracked_relation WHERE number = $number", 'net.settings|net|settings', 'a new name is followed');
$node->psql_ok(q{ALTER SCHEMA net RENAME TO network}, 'renamed');
$node->query_is("SELECT relation, schema_name FROM dbnet.tracked_relation WHERE number = $number", 'network.settings|network', 'that of the schema too');
$node->psql_ok(q{DROP TABLE network.settings}, 'dropped');
$node->query_is("SELECT relation, schema_name, table_name, enabled FROM dbnet.tracked_relation WHERE number = $number", '|network|settings|f', 'what is on record of a dropped table stays');
$node->psql_ok(q{CREATE TABLE network.settings (name text PRIMARY KEY, data jsonb);
    CREATE TRIGGER dbnet_track AFTER INSERT OR UPDATE OR DELETE ON network.settings FOR EACH ROW EXECUTE FUNCTION dbnet.track_row();
    CREATE TRIGGER dbnet_track_truncate BEFORE TRUNCATE ON network.settings EXECUTE FUNCTION dbnet.track_row()}, 'made again');
$node->psql_ok("SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'network.settings', namespace => '" . $api->namespace . q{', columns => '{"name": "metadata.name", "data": "data"}')}, 'as a mirror');
$node->query_is("SELECT relation, enabled FROM dbnet.tracked_relation WHERE number = $number", 'network.settings|t', 'goes on under the number that it had');
$node->query_is(q{SELECT tgname FROM pg_trigger WHERE tgrelid = 'network.settings'::regclass AND tgname LIKE 'dbnet%' ORDER BY 1}, "dbnet_capture\ndbnet_capture_truncate\ndbnet_track_truncate", 'and is recorded once');

# --- configuration ---
$node->psql_ok(q{SELECT dbnet.pause('prod', 'because'); SELECT dbnet.resume('prod')}, 'pause and resume');
$node->query_is(q{SELECT v.operation, v.key, s.session_user_name FROM dbnet.entity_version AS v JOIN dbnet.tracked_relation AS t ON t.number = v.relation
                  JOIN dbnet.activity AS a ON a.id = v.activity JOIN dbnet.transaction AS x ON x.id = a.transaction JOIN dbnet.session AS s ON s.id = x.session
                  WHERE t.relation = 'dbnet.paused_server'::regclass ORDER BY v.id},
    qq(I|{"server": "prod"}|postgres\nD|{"server": "prod"}|postgres), 'who paused is on record');
$node->query_is(q{SELECT count(*) > 2 FROM dbnet.entity_version WHERE relation = 1}, 't', 'so is every mirror');

$node->no_crash_in_log;
done_testing();
