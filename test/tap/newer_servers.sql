-- What PostgreSQL 17 and 18 have and 15 has not, where it meets the record of changes: MERGE of both sides, stored expressions
-- that are set anew, login triggers; virtual generated columns, RETURNING of old rows, keys without overlaps, constraints that
-- are not enforced. Each part runs where the server has it.
SELECT no_plan();
SELECT current_setting('server_version_num')::int >= 170000 AS since_17, current_setting('server_version_num')::int >= 180000 AS since_18 \gset

CREATE SCHEMA net;
CREATE FUNCTION pg_temp.error(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE state text; message text; hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', state, message, nullif(hint, ''));
END $$;

-- PostgreSQL 17 ------------------------------------------------------------------------------------------------------------------
\if :since_17

CREATE TABLE net.pools (name text PRIMARY KEY, replicas int);
CREATE TABLE net.wanted (name text PRIMARY KEY, replicas int);
SELECT lives_ok($$SELECT dbnet.track('net.pools')$$, 'net.pools');
INSERT INTO net.pools VALUES ('web', 1), ('old', 2), ('kept', 3);
INSERT INTO net.wanted VALUES ('web', 5), ('new', 1), ('kept', 3);
CREATE TEMPORARY TABLE merged AS
WITH merged AS (
    MERGE INTO net.pools AS p USING net.wanted AS w ON p.name = w.name
    WHEN MATCHED AND p.replicas <> w.replicas THEN UPDATE SET replicas = w.replicas
    WHEN MATCHED THEN DO NOTHING
    WHEN NOT MATCHED BY SOURCE THEN DELETE
    WHEN NOT MATCHED THEN INSERT VALUES (w.name, w.replicas)
    RETURNING merge_action(), p.name)
TABLE merged;
SELECT set_eq('TABLE merged', $$VALUES ('UPDATE', 'web'), ('DELETE', 'old'), ('INSERT', 'new')$$, 'MERGE … RETURNING');
SELECT results_eq($$SELECT key, h.operation, h.old, h.new FROM unnest(ARRAY['web', 'old', 'new', 'kept']) AS key, dbnet.history('net.pools', key, most => 1) AS h$$,
    $$VALUES ('web', 'UPDATE', '{"replicas": 1}'::jsonb, '{"replicas": 5}'::jsonb), ('old', 'DELETE', '{"name": "old", "replicas": 2}', NULL),
             ('new', 'INSERT', NULL, '{"name": "new", "replicas": 1}'), ('kept', 'INSERT', NULL, '{"name": "kept", "replicas": 3}')$$,
    'a MERGE with all its actions, each row as what became of it');
MERGE INTO net.pools AS p USING net.wanted AS w ON p.name = w.name AND w.name = 'web'
    WHEN NOT MATCHED BY SOURCE AND p.name = 'kept' THEN UPDATE SET replicas = 0;
SELECT results_eq($$SELECT h.old, h.new, h.statement ~ '^MERGE INTO net.pools .* SET replicas = 0' FROM dbnet.history('net.pools', 'kept', most => 1) AS h$$,
    $$VALUES ('{"replicas": 3}'::jsonb, '{"replicas": 0}'::jsonb, true)$$, 'with the statement');
SELECT results_eq($$SELECT u.statement, u.outcome FROM dbnet.undo(transaction => (SELECT transaction FROM dbnet.history('net.pools', 'kept', most => 1)), dry_run => false) AS u$$,
    $$VALUES ('UPDATE net.pools SET replicas = ''3'' WHERE name = ''kept''', 'done')$$, 'and taken back');
SELECT is((SELECT count(*) FROM dbnet.undo(transaction => (SELECT transaction FROM dbnet.history('net.pools', 'old', most => 1)), dry_run => false)), 3::bigint, 'all actions of a MERGE taken back');
SELECT set_eq('TABLE net.pools', $$VALUES ('web', 1), ('old', 2), ('kept', 3)$$, 'the rows are as they were');

-- A view that only a trigger makes writable; MERGE can write those since 17.
CREATE VIEW net.pool_view AS SELECT name, replicas AS size FROM net.pools;
MERGE INTO net.pool_view AS v USING (VALUES ('web')) AS w(name) ON v.name = w.name WHEN MATCHED THEN UPDATE SET size = 7;
SELECT results_eq($$SELECT h.old, h.new FROM dbnet.history('net.pools', 'web', most => 1) AS h$$, $$VALUES ('{"replicas": 1}'::jsonb, '{"replicas": 7}'::jsonb)$$, 'a MERGE into a view');

-- Another expression of a stored column: the table is rewritten and no trigger fires.
CREATE TABLE net.doubled (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED);
SELECT lives_ok($$SELECT dbnet.track('net.doubled')$$, 'net.doubled');
INSERT INTO net.doubled (id, a) VALUES (1, 4);
SELECT is_empty($$SELECT * FROM dbnet.gaps('net.doubled')$$, 'no gap');
ALTER TABLE net.doubled ALTER COLUMN twice SET EXPRESSION AS (a * 3);
SELECT results_eq($$SELECT key, regexp_replace(gap, 'transaction \d+', 'transaction n') FROM dbnet.gaps('net.doubled') ORDER BY key NULLS FIRST$$,
    $$VALUES (NULL, 'may have changed rows without a record: ALTER TABLE net.doubled ALTER COLUMN twice SET EXPRESSION AS (a * 3)'),
             ('1', 'changed without a record, by transaction n: twice')$$, 'SET EXPRESSION leaves a gap');

-- What a login trigger writes is on record like all else.
CREATE TABLE net.logins (name text PRIMARY KEY, number int);
SELECT lives_ok($$SELECT dbnet.track('net.logins')$$, 'net.logins');
CREATE FUNCTION net.on_login() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO net.logins VALUES (session_user, 1) ON CONFLICT (name) DO UPDATE SET number = logins.number + 1;
END
$$;
CREATE EVENT TRIGGER on_login ON login EXECUTE FUNCTION net.on_login();
\! psql -XAtq -d newer_servers -c 'SELECT 1'
\! psql -XAtq -d newer_servers -c 'SELECT 2'
DROP EVENT TRIGGER on_login;
SELECT results_eq($$SELECT h.operation, h.new, h.session_user_name, h.statement FROM dbnet.history('net.logins', current_user::text) AS h$$,
    $$VALUES ('UPDATE', '{"number": 2}'::jsonb, 'postgres'::text, 'INSERT INTO net.logins VALUES (session_user, 1) ON CONFLICT (name) DO UPDATE SET number = logins.number + 1'),
             ('INSERT', '{"name": "postgres", "number": 1}', 'postgres', 'INSERT INTO net.logins VALUES (session_user, 1) ON CONFLICT (name) DO UPDATE SET number = logins.number + 1')$$, 'login triggers');

\else
SELECT skip('the server is older than 17', 1);
\endif

-- PostgreSQL 18 ------------------------------------------------------------------------------------------------------------------
\if :since_18

-- Virtual generated columns: no row holds them, so none is on record; of another time they are what the row makes of them.
CREATE TABLE net.nodes (id int PRIMARY KEY, a int, note text, line text, twice int GENERATED ALWAYS AS (a * 2), shout text GENERATED ALWAYS AS (upper(coalesce(note, line))) VIRTUAL, stored int GENERATED ALWAYS AS (a + 1) STORED);
SELECT lives_ok($$SELECT dbnet.track('net.nodes')$$, 'net.nodes');
INSERT INTO net.nodes (id, a, note) VALUES (1, 4, 'x'), (2, 5, NULL);
SELECT max(id) AS filled FROM dbnet.transaction \gset
CREATE TABLE net.as_filled AS SELECT * FROM net.nodes;
UPDATE net.nodes SET a = 6 WHERE id = 1;
SELECT results_eq($$SELECT h.operation, h.old, h.new FROM dbnet.history('net.nodes', '1') AS h$$,
    $$VALUES ('UPDATE', '{"a": 4, "stored": 5}'::jsonb, '{"a": 6, "stored": 7}'::jsonb), ('INSERT', NULL, '{"a": 4, "id": 1, "note": "x", "stored": 5}')$$, 'virtual columns are not on record, stored ones are');
SELECT set_eq($$SELECT column_name FROM dbnet.blame('net.nodes', '1')$$, ARRAY['a', 'id', 'note', 'stored'], 'nor set by anybody');
UPDATE net.nodes SET note = 'y' WHERE id = 2;
UPDATE net.nodes SET a = a, note = note;
DELETE FROM net.nodes WHERE id = 2;
SELECT is_empty($$SELECT * FROM dbnet.gaps('net.nodes')$$, 'and leave no gap');
SELECT set_eq(format('SELECT * FROM dbnet.as_of(NULL::net.nodes, %s)', :filled), 'TABLE net.as_filled', 'as_of computes them, of rows that were changed and deleted');
SELECT set_eq(format('SELECT jsonb_strip_nulls(line) FROM dbnet.as_of(%L::regclass, %s) AS line', 'net.nodes', :filled), 'SELECT jsonb_strip_nulls(to_jsonb(f.*)) FROM net.as_filled AS f', 'as JSON');
SELECT results_eq($$SELECT i.old, i.new FROM dbnet.history('net.nodes', '1', most => 3) AS h, dbnet.row_images(h.event) AS i WHERE h.new = '{"a": 6, "stored": 7}'$$,
    $$VALUES ('{"a": 4, "id": 1, "line": null, "note": "x", "shout": "X", "twice": 8, "stored": 5}'::jsonb, '{"a": 6, "id": 1, "line": null, "note": "x", "shout": "X", "twice": 12, "stored": 7}'::jsonb)$$, 'and so has a row before and after a change');
SELECT lives_ok(format('SELECT * FROM dbnet.undo(transaction => (SELECT transaction FROM dbnet.history(%L, %L, most => 1)), dry_run => false)', 'net.nodes', '2'), 'undo of a DELETE');
SELECT results_eq('SELECT id, a, note, twice, shout, stored FROM net.nodes WHERE id = 2', $$VALUES (2, 5, 'y', 10, 'Y', 6)$$, 'the row is back');
TRUNCATE net.nodes;
SELECT lives_ok(format('SELECT * FROM dbnet.undo(transaction => (SELECT transaction FROM dbnet.history(%L, %L, most => 1)), dry_run => false)', 'net.nodes', '1'), 'undo of a TRUNCATE');
SELECT results_eq('SELECT id, twice, stored FROM net.nodes ORDER BY id', $$VALUES (1, 12, 7), (2, 10, 6)$$, 'the rows are back');
SELECT is(pg_temp.error($$SELECT dbnet.track('net.nodes', key => '{twice}')$$), '22023 | a key column cannot be a virtual generated column | Name the columns that it is computed from, or make it STORED.', 'a virtual column is no key');

-- A condition on a virtual column: why a trigger has not fired.
CREATE TABLE net.alarms (id int PRIMARY KEY);
SELECT lives_ok($$SELECT dbnet.track('net.alarms')$$, 'net.alarms');
CREATE FUNCTION net.alarm() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO net.alarms VALUES (NEW.id); RETURN NULL; END $$;
CREATE TRIGGER alarm AFTER UPDATE ON net.nodes FOR EACH ROW WHEN (NEW.twice > 100) EXECUTE FUNCTION net.alarm();
UPDATE net.nodes SET a = 20 WHERE id = 1;
UPDATE net.nodes SET a = 21 WHERE id = 1;
SELECT results_eq($$SELECT kind, what FROM dbnet.why_not_steps('net.alarms', '1') WHERE kind IN ('condition', 'fired', 'silent') AND what LIKE 'UPDATE 1:%'$$,
    $$VALUES ('condition', 'UPDATE 1: WHEN (new.twice > 100) was false, with new.twice 42'), ('condition', 'UPDATE 1: WHEN (new.twice > 100) was false, with new.twice 40')$$, 'conditions on virtual columns, as they were then');
UPDATE net.nodes SET a = 60 WHERE id = 1;
SELECT matches((SELECT string_agg(w, E'\n') FROM dbnet.why('net.alarms', '1') AS w), 'UPDATE net.nodes 1: a 21 → 60, stored 22 → 61', 'and what fired it');

-- Redacted, with a virtual column made of it: no digest is cast to the column's type.
CREATE TABLE net.accounts (id int PRIMARY KEY, pin int, last_digit int GENERATED ALWAYS AS (pin % 10));
SELECT lives_ok($$SELECT dbnet.track('net.accounts', redact => '{pin}')$$, 'net.accounts');
INSERT INTO net.accounts VALUES (1, 4711);
SELECT max(id) AS filled FROM dbnet.transaction \gset
UPDATE net.accounts SET pin = 4712;
SELECT is((SELECT count(*) FROM dbnet.entity_version AS v WHERE concat(v.old, v.new) ~ 'last_digit|471[12]\D'), 0::bigint, 'nothing of a redacted value is on record');
SELECT results_eq(format('SELECT line ->> %L, line ->> %L LIKE %L FROM dbnet.as_of(%L::regclass, %s) AS line', 'last_digit', 'pin', 'hmac-sha256:%', 'net.accounts', :filled), $$VALUES (NULL::text, true)$$, 'nor made of its digest');

-- RETURNING of old and new rows, also of INSERT … ON CONFLICT.
SELECT lives_ok($$INSERT INTO net.nodes (id, a) VALUES (1, 7), (9, 9) ON CONFLICT (id) DO UPDATE SET a = excluded.a RETURNING old.a, new.a, old.twice, new.twice$$, 'RETURNING old and new');
SELECT results_eq($$SELECT key, h.operation, h.new FROM unnest(ARRAY['1', '9']) AS key, dbnet.history('net.nodes', key, most => 1) AS h$$,
    $$VALUES ('1', 'UPDATE', '{"a": 7, "stored": 8}'::jsonb), ('9', 'INSERT', '{"a": 9, "id": 9, "stored": 10}')$$, 'each row as what became of it');

-- Keys without overlaps.
CREATE TABLE net.leases (host int4range, at daterange, node text, PRIMARY KEY (host, at WITHOUT OVERLAPS));
SELECT lives_ok($$SELECT dbnet.track('net.leases')$$, 'net.leases');
INSERT INTO net.leases VALUES ('[1,2)', '[2026-01-01,2026-02-01)', 'a'), ('[1,2)', '[2026-02-01,2026-03-01)', 'b');
SELECT max(id) AS filled FROM dbnet.transaction \gset
UPDATE net.leases SET node = 'c' WHERE at @> date '2026-02-10';
DELETE FROM net.leases WHERE at @> date '2026-01-10';
SELECT results_eq($$SELECT h.operation, h.old, h.new FROM dbnet.history('net.leases', '[1,2)/[2026-02-01,2026-03-01)') AS h$$,
    $$VALUES ('UPDATE', '{"node": "b"}'::jsonb, '{"node": "c"}'::jsonb), ('INSERT', NULL, '{"at": "[2026-02-01,2026-03-01)", "host": "[1,2)", "node": "b"}')$$, 'a row under a key WITHOUT OVERLAPS');
SELECT set_eq(format('SELECT node FROM dbnet.as_of(NULL::net.leases, %s)', :filled), ARRAY['a', 'b'], 'as it was');
SELECT is((SELECT count(*) FROM dbnet.undo(transaction => (SELECT transaction FROM dbnet.history('net.leases', '[1,2)/[2026-01-01,2026-02-01)', most => 1)), dry_run => false) AS u WHERE u.outcome = 'done'), 1::bigint, 'and taken back');

-- A foreign key that is not enforced writes nothing.
CREATE TABLE net.zones (name text PRIMARY KEY);
CREATE TABLE net.members (id int PRIMARY KEY, zone text CONSTRAINT in_zone REFERENCES net.zones ON DELETE CASCADE NOT ENFORCED);
SELECT lives_ok(format('SELECT dbnet.track(%L)', name), name) FROM unnest(ARRAY['net.zones', 'net.members']) AS tracked(name);
SELECT is_empty($$SELECT what FROM dbnet.why_not_steps('net.members', '1', '-infinity') WHERE kind = 'foreign key'$$, 'a foreign key that is NOT ENFORCED is no way to write');

\else
SELECT skip('the server is older than 18', 1);
\endif

SELECT * FROM finish();
