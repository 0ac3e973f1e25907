# What the capture trigger notes, leaves and refuses; read back by a WAL tail.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Feed;
use Test::More;

my $node = DBNet::Cluster->started('capture');
my $feed = DBNet::Feed->new($node)->start;

# --- which changes are noted ---
$feed->sql(q{INSERT INTO net.nodes (name, labels) VALUES ('a', '{"x": 1}'), ('b', NULL)});
$feed->is("I |a\nI |b", 'inserted rows');
$feed->sql(q{UPDATE net.nodes SET labels = '{"x": 2}' WHERE name = 'a'});
$feed->is('U |a', 'a changed watched column');
$feed->sql(q{UPDATE net.nodes SET note = 'local'});
$feed->is('', 'a change of a column that is not watched is no change');
$feed->sql(q{UPDATE net.nodes SET labels = labels});
$feed->is('', 'the same value written again is no change');
$feed->sql(q{UPDATE net.nodes SET labels = NULL WHERE name = 'b'});
$feed->is('', 'NULL for NULL is no change');
$feed->sql(q{UPDATE net.nodes SET labels = '{}' WHERE name = 'b'});
$feed->is('U |b', 'a value for NULL is a change');
$feed->sql(q{UPDATE net.nodes SET name = 'c' WHERE name = 'b'});
$feed->is("I |c\nD |b", 'a renamed row is a new key and a deleted one');
$feed->sql(q{DELETE FROM net.nodes WHERE name = 'c'});
$feed->is('D |c', 'a deleted row');
$feed->sql(q{BEGIN; INSERT INTO net.nodes VALUES ('d'); UPDATE net.nodes SET labels = '1' WHERE name = 'd'; DELETE FROM net.nodes WHERE name = 'd'; COMMIT});
$feed->is('D |d', 'a key is told once per transaction, with its newest operation');
$feed->sql(q{BEGIN; INSERT INTO net.nodes VALUES ('e'); ROLLBACK});
$feed->is('', 'a rolled back transaction tells nothing');
$feed->sql(q{SET session_replication_role = replica; INSERT INTO net.nodes VALUES ('e')});
$feed->is('I |e', 'the trigger fires where ordinary triggers do not');
$feed->sql(q{TRUNCATE net.nodes});
$feed->is('', 'TRUNCATE deletes no device');

# Values stored out of line: unchanged ones are recognised, changed ones are seen.
$feed->sql(q{INSERT INTO net.nodes (name, labels) SELECT 'big', jsonb_object_agg(i::text, md5(i::text)) FROM generate_series(1, 2000) i});
$feed->sql(q{UPDATE net.nodes SET note = 'x'; UPDATE net.nodes SET labels = labels || '{"1": "x"}'});
$feed->is("I |big\nU |big", 'values stored out of line');

# --- who ---
$feed->sql(q{CREATE ROLE alice; GRANT USAGE ON SCHEMA net TO alice; GRANT ALL ON net.nodes TO alice;
             CREATE FUNCTION add_node(text) RETURNS void LANGUAGE sql SECURITY DEFINER AS 'INSERT INTO net.nodes VALUES ($1)'});
$feed->sql(q{SET ROLE alice; SELECT add_node('f')});
is($feed->poll(q{role::regrole || ' ' || name}), 'alice f', 'a change is ascribed to the role outside SECURITY DEFINER functions');

# --- columns and tables of other shapes ---
$feed->sql(q{CREATE TYPE zone AS ENUM ('north');
    CREATE TABLE net.pods (namespace varchar(63), name name, zone zone, spec jsonb) PARTITION BY LIST (namespace);
    CREATE TRIGGER dbnet_capture AFTER INSERT OR UPDATE OR DELETE ON net.pods FOR EACH ROW
        EXECUTE FUNCTION dbnet.capture('namespace', 'name', 'spec,"zone"', '');
    CREATE TABLE net.pods_shop (dropped integer, spec jsonb, name name, namespace varchar(63), zone zone);
    ALTER TABLE net.pods_shop DROP COLUMN dropped;
    ALTER TABLE net.pods ATTACH PARTITION net.pods_shop FOR VALUES IN ('shop');
    CREATE TABLE net.pods_rest PARTITION OF net.pods DEFAULT;
    INSERT INTO net.pods VALUES ('shop', 'web', 'north', '{}')});
is($feed->poll(q{relation || ' ' || operation || ' ' || namespace || '/' || name}), 'net.pods I shop/web',
    'a row of a partition belongs to the mirror, whatever the order of its columns');
$feed->sql(q{UPDATE net.pods SET zone = NULL});
is($feed->poll(q{relation || ' ' || operation || ' ' || namespace || '/' || name}), 'net.pods U shop/web', 'a change in a partition');
$feed->sql(q{UPDATE net.pods SET namespace = 'lab'});
is($feed->poll(q{string_agg(operation || ' ' || namespace || '/' || name, ', ' ORDER BY operation)}), 'D shop/web, I lab/web',
    'a row that moves to another partition under another key');
$feed->sql(q{CREATE TABLE net.maps (id integer, zone zone);
    CREATE TRIGGER dbnet_capture AFTER INSERT ON net.maps FOR EACH ROW EXECUTE FUNCTION dbnet.capture('', 'id', '', 'zone', 'fixed');
    INSERT INTO net.maps VALUES (7)});
$feed->is('I fixed|7', 'a key that is no text, in the one namespace of the mirror');
$feed->sql(q{SELECT dbnet.record_change('net.maps', 'U', 'ns', 'n'); SELECT dbnet.record_change('net.maps', 'C')});
$feed->is("U ns|n\nC |", 'changes recorded by functions');
$node->fails_like(q{SELECT dbnet.record_change('net.maps', 'X', '', 'n')}, '22023', qr/unknown operation "X"/, 'an unknown operation');
$feed->sql(q{INSERT INTO dbnet.paused_server (server, reason) VALUES ('s', 'test'); DELETE FROM dbnet.paused_server});
is($feed->poll(q{string_agg(operation || ' ' || relation, ', ')}), 'S dbnet.paused_server, S dbnet.paused_server',
    'changes of the configuration, one per transaction');

# --- tombstones ---
my $tombstones = q{SELECT string_agg(concat_ws(' ', relation, namespace, name, uid, last_body, deleted_by), E'\n' ORDER BY id) FROM dbnet.tombstone};
$node->query_is($tombstones, join("\n", 'net.nodes  b postgres', 'net.nodes  c postgres', 'net.nodes  d postgres', 'net.pods shop web postgres'),
    'each deleted key has left a tombstone, rolled back ones none');
$feed->sql(q{DELETE FROM dbnet.tombstone; TRUNCATE net.nodes; INSERT INTO net.nodes VALUES ('a'), ('b'), ('c');
    INSERT INTO dbnet.object (relation, name, uid, live, phase) VALUES ('net.nodes', 'a', 'uid-1', '{"kind": "Node"}', 'synced'),
        ('net.nodes', 'b', 'uid-2', NULL, 'absent')});
$feed->sql(q{CREATE SCHEMA trap AUTHORIZATION alice; GRANT ALL ON SCHEMA public TO alice});
$feed->sql(<<'SQL');
SET ROLE alice;
CREATE TABLE trap.caught (who text);
CREATE FUNCTION trap.equal(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO trap.caught VALUES (current_user); RETURN true; END $$;
CREATE OPERATOR trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.equal);
CREATE OPERATOR trap.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.equal);
CREATE FUNCTION trap.pg_get_userbyid(oid) RETURNS name LANGUAGE sql AS $$ INSERT INTO trap.caught VALUES (current_user); SELECT 'nobody'::name $$;
SET search_path = trap, pg_catalog;
DELETE FROM net.nodes;
SQL
$node->query_is($tombstones, qq{net.nodes  a uid-1 {"kind": "Node"} alice\nnet.nodes  b uid-2 alice\nnet.nodes  c alice},
    'a tombstone carries uid and last body; the row of an object that is gone leaves one, too');
$node->query_is('SELECT count(*) FROM trap.caught', '0', "nothing of the user's search_path runs with the extension's rights");
$node->fails_like(q{SET ROLE alice; INSERT INTO dbnet.tombstone (relation, name) VALUES ('net.nodes', 'x')}, '42501',
    qr/permission denied/, 'the deleting role has no rights on tombstones itself');
$feed->poll;

# --- what is refused ---
$node->fails_like(q{INSERT INTO net.nodes (name, ready) VALUES ('x', 'True')}, '42501',
    qr/column "ready" of mirror net\.nodes is written by device reports only.*HINT:  Leave the column out/s, 'a status column at INSERT');
$feed->sql(q{INSERT INTO net.nodes VALUES ('x')});
$node->fails_like(q{UPDATE net.nodes SET ready = 'True'}, '42501', qr/column "ready" of mirror net\.nodes/, 'a status column at UPDATE');
$node->fails_like(q{BEGIN; UPDATE net.nodes SET note = 'y'; UPDATE net.nodes SET ready = 'True'; COMMIT}, '42501', qr/"ready"/, 'in a transaction');
$node->psql_ok(q{UPDATE net.nodes SET ready = ready, note = 'y'}, 'a status column written with its own value');
$feed->sql(q{ALTER TABLE net.nodes DROP CONSTRAINT nodes_pkey, ALTER name DROP NOT NULL});
$node->fails_like(q{INSERT INTO net.nodes (note) VALUES ('z')}, '23502', qr/null value in column "name" of mirror net\.nodes.*HINT:/s, 'a key that is NULL');
$feed->poll;
$feed->sql(q{ALTER TABLE net.nodes DISABLE TRIGGER ALL; INSERT INTO net.nodes (note) VALUES ('z'); ALTER TABLE net.nodes ENABLE ALWAYS TRIGGER dbnet_capture;
    UPDATE net.nodes SET name = 'was null' WHERE name IS NULL});
$feed->is('I |was null', 'a row that had no key gets one');
$feed->sql('ALTER TABLE net.nodes RENAME labels TO marks');
$node->fails_like(q{INSERT INTO net.nodes VALUES ('y')}, '42703', qr/mirror net\.nodes has lost its column "labels".*HINT:/s, 'a renamed column');
$feed->sql('ALTER TABLE net.nodes RENAME marks TO labels');
for my $call (q{SELECT dbnet.capture()}, q{SELECT dbnet.notify_configuration()}) {
    $node->fails_like($call, '39P01', qr/is a trigger function/, "$call is no ordinary call");
}
$node->fails_like(q{CREATE TABLE t (a text); CREATE TRIGGER t BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION dbnet.capture('', 'a', '', ''); INSERT INTO t VALUES (1)},
    '39P01', qr/must be fired AFTER/, 'a trigger of another kind');
$node->fails_like(q{CREATE TABLE t2 (a text); CREATE TRIGGER t AFTER INSERT ON t2 FOR EACH ROW EXECUTE FUNCTION dbnet.capture('a'); INSERT INTO t2 VALUES (1)},
    '39P01', qr/has 1 arguments/, 'a trigger with other arguments');
for my $function ('dbnet.capture()', 'dbnet.notify_configuration()', 'dbnet.record_change(regclass, "char", text, text)') {
    $node->query_is("SELECT has_function_privilege('alice', '$function', 'EXECUTE')", 'f', "$function is not for everybody");
}
$node->query_is('SELECT dbnet.is_report()', 'f', 'is_report outside a trigger');
$feed->quit;

# --- a session without preload ---
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
my ($status, undef, $errors) = $node->run_sql(q{INSERT INTO net.nodes VALUES ('p'); INSERT INTO net.nodes VALUES ('q')});
is($status, 0, 'without preload rows can be written all the same');
my @warnings = $errors =~ /WARNING:  01000: changes of mirrors are not carried out: DBNet is not loaded at server start/g;
is(scalar @warnings, 1, 'a session is warned once');
like($errors, qr/HINT:  Add dbnet to shared_preload_libraries/, 'with the way out');

$node->no_crash_in_log;
done_testing();
