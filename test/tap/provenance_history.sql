-- dbnet.track, history, blame, timeline and the keys of rows, with exact answers; redaction keeps values out of every table.
SELECT no_plan();

CREATE SCHEMA net;
CREATE TABLE net.one (id int PRIMARY KEY, a text, b text);
CREATE TABLE net.two (zone text, name text, a int, PRIMARY KEY (zone, name));
CREATE TABLE net.three (x int, y text, z timestamptz, a int, PRIMARY KEY (x, y, z));
CREATE TABLE net.keyless (a int);
CREATE TABLE net.secret (id int PRIMARY KEY, password text, note text);

-- What can be tracked --------------------------------------------------------------------------------------------------------
SELECT lives_ok(format('SELECT dbnet.track(%L)', name), name) FROM unnest(ARRAY['net.one', 'net.two', 'net.three']) AS wanted(name);
SELECT lives_ok($$SELECT dbnet.track('net.secret', redact => '{password}')$$, 'with redaction');
CREATE VIEW net.view AS SELECT 1 AS id;
CREATE TEMPORARY TABLE temporary (id int PRIMARY KEY);
CREATE UNLOGGED TABLE net.unlogged (id int PRIMARY KEY);
CREATE TABLE net.parted (id int, at int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE net.parted_1 PARTITION OF net.parted FOR VALUES FROM (0) TO (10);

-- An error's SQLSTATE, message and HINT.
CREATE FUNCTION pg_temp.error(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE state text; message text; hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', state, message, nullif(hint, ''));
END $$;
SELECT is(pg_temp.error(statement), wanted, statement) FROM (VALUES
    ($$SELECT dbnet.track('net.view')$$, '42809 | net.view cannot be tracked: it is a view | Track the permanent tables that hold the rows.'),
    ($$SELECT dbnet.track('temporary')$$, '42809 | temporary cannot be tracked: it is temporary | Track the permanent tables that hold the rows.'),
    ($$SELECT dbnet.track('net.unlogged')$$, '42809 | net.unlogged cannot be tracked: it is unlogged | Track the permanent tables that hold the rows.'),
    ($$SELECT dbnet.track('net.parted_1')$$, '42809 | net.parted_1 cannot be tracked: it is a partition | Track the partitioned table; its partitions are tracked with it.'),
    ($$SELECT dbnet.track('dbnet.activity')$$, '42809 | dbnet.activity cannot be tracked: it belongs to the system or to DBNet'),
    ($$SELECT dbnet.track('pg_class')$$, '42809 | pg_class cannot be tracked: it belongs to the system or to DBNet'),
    ($$SELECT dbnet.track('net.keyless')$$, '55000 | table net.keyless has no primary key | Add one, or name columns that tell the rows apart: dbnet.track(..., key => ''{...}'').'),
    ($$SELECT dbnet.track('net.one', redact => '{x}')$$, '42703 | table net.one has no column "x"'),
    ($$SELECT dbnet.track('net.one', key => '{x}')$$, '42703 | table net.one has no column "x"'),
    ($$SELECT dbnet.track('net.one', redact => '{id}')$$, '22023 | a key column cannot be redacted'),
    ($$SELECT dbnet.track('net.one', activations => 'some')$$, '22023 | unknown activations "some" | They are effective or all.'),
    ($$SELECT dbnet.track(NULL)$$, '42P01 | there is no such table'),
    ($$SELECT dbnet.untrack('net.keyless')$$, '42704 | table net.keyless is not tracked'),
    ($$SELECT * FROM dbnet.history('net.keyless', '1')$$, '42704 | table net.keyless is not tracked | Mirrors and DBNet''s configuration are; SELECT dbnet.track(...) begins with others.'),
    ($$SELECT * FROM dbnet.blame('net.keyless', '1')$$, '42704 | table net.keyless is not tracked | Mirrors and DBNet''s configuration are; SELECT dbnet.track(...) begins with others.'),
    ($$SELECT * FROM dbnet.why('net.keyless', '1')$$, '42704 | table net.keyless is not tracked | Mirrors and DBNet''s configuration are; SELECT dbnet.track(...) begins with others.'),
    ($$SELECT * FROM dbnet.timeline(NULL, 'net.keyless')$$, '42704 | table net.keyless is not tracked | Mirrors and DBNet''s configuration are; SELECT dbnet.track(...) begins with others.'),
    ($$SELECT * FROM dbnet.as_of('net.keyless'::regclass, now())$$, '42704 | table "keyless" is not tracked | Mirrors and DBNet''s configuration are tracked; SELECT dbnet.track(''...'') begins with others.'),
    ($$SELECT * FROM dbnet.history('net.two', 'web')$$, '22023 | "web" is no key of the table | The key is written value/value, or as a JSON object, of the columns zone, name.'),
    ($$SELECT * FROM dbnet.history('net.two', '{"zone": "eu"}')$$, '22023 | "{"zone": "eu"}" is no key of the table | The key is written value/value, or as a JSON object, of the columns zone, name.'),
    ($$SELECT * FROM dbnet.history('net.three', '1/2/3')$$, '22023 | "1/2/3" is no key of the table | The key is written as a JSON object of the columns x, y, z.'),
    ($$SELECT dbnet.why(1)$$, '42704 | there is no event 1 | dbnet.history() and dbnet.timeline() show events; older ones are gone when dbnet.provenance_retention is over.'),
    ($$SELECT dbnet.impact(1)$$, '42704 | there is no event 1 | dbnet.history() and dbnet.timeline() show events; older ones are gone when dbnet.provenance_retention is over.'),
    ($$SELECT dbnet.graph(1)$$, '42704 | there is no event 1 | dbnet.history() and dbnet.timeline() show events; older ones are gone when dbnet.provenance_retention is over.'),
    ($$SELECT dbnet.set_cause()$$, '22023 | dbnet.set_cause() needs an event or a reason'),
    ($$SELECT dbnet.used('net.keyless')$$, '42704 | table "keyless" is not tracked | Mirrors and DBNet''s configuration are tracked; SELECT dbnet.track(''...'') begins with others.')
) AS errors(statement, wanted);

-- What became of rows, by every form of key -------------------------------------------------------------------------------------
SET application_name = 'tests';
INSERT INTO net.one VALUES (1, 'x', NULL), (2, 'y', 'z');
UPDATE net.one SET a = 'x2' WHERE id = 1;
UPDATE net.one SET a = 'x2' WHERE id = 1; -- changes nothing
UPDATE net.one SET id = 11, b = 'new' WHERE id = 1;
DELETE FROM net.one WHERE id = 2;
INSERT INTO net.two VALUES ('eu', 'web', 1);
UPDATE net.two SET a = 2;
INSERT INTO net.three VALUES (1, 'a/b', '2026-01-01 12:00:00+01', 1);
SET TimeZone = 'Europe/Berlin';
UPDATE net.three SET a = 2;
RESET TimeZone;

SELECT results_eq($$SELECT operation, old, new, role, session_user_name, application, statement FROM dbnet.history('net.one', '1')$$,
    $$VALUES ('new key', NULL::jsonb, NULL::jsonb, 'postgres', 'postgres', 'tests', $s$UPDATE net.one SET id = 11, b = 'new' WHERE id = 1$s$),
             ('UPDATE', '{"a": "x"}', '{"a": "x2"}', 'postgres', 'postgres', 'tests', $s$UPDATE net.one SET a = 'x2' WHERE id = 1$s$),
             ('INSERT', NULL, '{"id": 1, "a": "x"}', 'postgres', 'postgres', 'tests', $s$INSERT INTO net.one VALUES (1, 'x', NULL), (2, 'y', 'z')$s$)$$, 'one key column, and a new key');
SELECT results_eq($$SELECT operation, old, new FROM dbnet.history('net.one', '11')$$,
    $$VALUES ('UPDATE', '{"id": 1, "b": null}'::jsonb, '{"id": 11, "b": "new"}'::jsonb)$$, 'under the new key');
SELECT results_eq($$SELECT operation, old, new FROM dbnet.history('net.one', '2')$$,
    $$VALUES ('DELETE', '{"id": 2, "a": "y", "b": "z"}'::jsonb, NULL::jsonb), ('INSERT', NULL, '{"id": 2, "a": "y", "b": "z"}')$$, 'a deleted row');
SELECT results_eq(format($$SELECT operation, new FROM dbnet.history('net.two', %L)$$, key),
    $$VALUES ('UPDATE', '{"a": 2}'::jsonb), ('INSERT', '{"zone": "eu", "name": "web", "a": 1}')$$, 'two key columns: ' || key)
FROM unnest(ARRAY['eu/web', '{"zone": "eu", "name": "web"}']) AS keys(key);
SELECT results_eq($$SELECT operation, old, new FROM dbnet.history('net.three', '{"x": 1, "y": "a/b", "z": "2026-01-01T11:00:00+00:00"}')$$,
    $$VALUES ('UPDATE', '{"a": 1}'::jsonb, '{"a": 2}'::jsonb), ('INSERT', NULL, '{"x": 1, "y": "a/b", "z": "2026-01-01T11:00:00+00:00", "a": 1}')$$, 'three');
SELECT is_empty($$SELECT * FROM dbnet.history('net.one', '99')$$, 'nothing is on record');
SELECT is((SELECT count(*) FROM dbnet.history('net.one', '1', most => 2)), 2::bigint, 'no more than asked for');
SELECT results_eq($$SELECT operation FROM dbnet.history('net.one', '1', at => (SELECT at FROM dbnet.history('net.one', '1') WHERE operation = 'UPDATE'))$$,
    $$VALUES ('UPDATE'), ('INSERT')$$, 'up to a moment, which counts');
SELECT is_empty($$SELECT * FROM dbnet.history('net.one', '1', at => 'epoch')$$, 'long ago there was nothing');

SELECT results_eq($$SELECT column_name, value, role, statement FROM dbnet.blame('net.one', '11')$$,
    $$VALUES ('a', '"x2"'::jsonb, 'postgres', $s$UPDATE net.one SET a = 'x2' WHERE id = 1$s$),
             ('b', '"new"', 'postgres', $s$UPDATE net.one SET id = 11, b = 'new' WHERE id = 1$s$),
             ('id', '11', 'postgres', $s$UPDATE net.one SET id = 11, b = 'new' WHERE id = 1$s$)$$, 'who set each column last, through the change of the key');
SELECT is_empty($$SELECT * FROM dbnet.blame('net.one', '2')$$, 'of a row that is gone nobody');
INSERT INTO net.one VALUES (2, 'again', NULL);
SELECT results_eq($$SELECT column_name, value FROM dbnet.blame('net.one', '2')$$, $$VALUES ('a', '"again"'::jsonb), ('id', '2')$$, 'of one that came back from then on');

SELECT results_eq($$SELECT kind, object, what, who ~ '^postgres, tests, from this machine, transaction \d+$' FROM dbnet.timeline(NULL, 'net.one', '11')$$,
    $$VALUES ('change', 'net.one 11', 'UPDATE: b NULL → "new", id 1 → 11', true)$$, 'timeline of a row');
SELECT results_eq($$SELECT kind, object, what FROM dbnet.timeline(tstzrange(now() - interval '1 hour', NULL), 'net.two')$$,
    $$VALUES ('change', 'net.two eu/web', 'INSERT: a 1'), ('change', 'net.two eu/web', 'UPDATE: a 1 → 2')$$, 'and of a table, without what dbnet.track() did to it');
SELECT results_eq($$SELECT what FROM dbnet.timeline(NULL, 'net.two', most => 1)$$, $$VALUES ('UPDATE: a 1 → 2')$$, 'the newest ones');
SELECT is_empty($$SELECT * FROM dbnet.timeline(tstzrange(NULL, '2001-01-01'))$$, 'nothing in a time without events');

-- TRUNCATE, dropped and renamed tables --------------------------------------------------------------------------------------------
TRUNCATE net.two;
SELECT results_eq($$SELECT operation, old FROM dbnet.history('net.two', 'eu/web', most => 1)$$,
    $$VALUES ('DELETE', '{"zone": "eu", "name": "web", "a": 2}'::jsonb)$$, 'TRUNCATE deletes the rows');
ALTER TABLE net.two RENAME TO second;
SELECT is((SELECT count(*) FROM dbnet.history('net.second', 'eu/web')), 3::bigint, 'under another name');
SELECT results_eq($$SELECT schema_name, table_name FROM dbnet.tracked_relation WHERE relation = 'net.second'::regclass$$, $$VALUES ('net'::name, 'second'::name)$$, 'which is on record');
INSERT INTO net.second VALUES ('us', 'db', 5);
SELECT number AS second_number FROM dbnet.tracked_relation WHERE relation = 'net.second'::regclass \gset
DROP TABLE net.second;
SELECT results_eq(format('SELECT relation::oid, schema_name, table_name FROM dbnet.tracked_relation WHERE number = %s', :second_number),
    $$VALUES (NULL::oid, 'net'::name, 'second'::name)$$, 'a dropped table is known by its last name');
CREATE TABLE net.second (zone text, name text, a int, PRIMARY KEY (zone, name));
SELECT lives_ok($$SELECT dbnet.track('net.second')$$, 'made again');
SELECT is((SELECT number FROM dbnet.tracked_relation WHERE relation = 'net.second'::regclass), :second_number, 'it is the same table');
SELECT is((SELECT count(*) FROM dbnet.history('net.second', 'eu/web')), 3::bigint, 'and takes up the history');

-- No longer tracked: what is on record can be asked for.
SELECT lives_ok($$SELECT dbnet.untrack('net.one')$$, 'untrack');
UPDATE net.one SET a = 'unseen';
SELECT is((SELECT count(*) FROM dbnet.history('net.one', '1')), 3::bigint, 'the history is there, and nothing new in it');
SELECT throws_ok($$SELECT * FROM dbnet.as_of('net.one'::regclass, now())$$, '55000', 'table net.one is tracked no more', 'what it held cannot be told');
SELECT hasnt_trigger('net', 'one', 'dbnet_track', 'the trigger is gone');
SELECT throws_ok($$SELECT dbnet.untrack('net.one')$$, '42704', 'table net.one is not tracked', 'it cannot be untracked twice');
SELECT lives_ok($$SELECT dbnet.track('net.one')$$, 'and tracked again');
UPDATE net.one SET a = 'seen' WHERE id = 11;
SELECT results_eq($$SELECT old, new FROM dbnet.history('net.one', '11', most => 1)$$, $$VALUES ('{"a": "unseen"}'::jsonb, '{"a": "seen"}'::jsonb)$$, 'recorded again');

-- A partitioned table: partitions that come later are tracked with it.
SELECT lives_ok($$SELECT dbnet.track('net.parted')$$, 'a partitioned table');
CREATE TABLE net.parted_2 PARTITION OF net.parted FOR VALUES FROM (10) TO (20);
SELECT results_eq($$SELECT tgrelid::regclass::text, tgenabled FROM pg_trigger WHERE tgname = 'dbnet_track' AND tgrelid::regclass::text LIKE 'net.parted%' ORDER BY 1$$,
    $$VALUES ('net.parted', 'A'::"char"), ('net.parted_1', 'A'), ('net.parted_2', 'A')$$, 'triggers of all partitions fire always');
INSERT INTO net.parted VALUES (1, 5), (2, 15);
INSERT INTO net.parted_2 VALUES (3, 12);
SELECT is((SELECT count(*) FROM dbnet.history('net.parted', '2/15')), 1::bigint, 'a row of a later partition');
SELECT is((SELECT count(*) FROM dbnet.history('net.parted', '3/12')), 1::bigint, 'one that was written into the partition itself');

-- Redaction: the value is nowhere ---------------------------------------------------------------------------------------------------
CREATE FUNCTION net.set_password(id int, value text) RETURNS void LANGUAGE sql AS $$ UPDATE net.secret SET password = value WHERE secret.id = set_password.id $$;
INSERT INTO net.secret VALUES (1, 'canary-1', 'open'), (2, NULL, 'open');
UPDATE net.secret SET password = 'canary-2', note = 'still open' WHERE id = 1;
SELECT net.set_password(1, 'canary-3');
UPDATE net.secret SET password = 'canary-3'; -- one row only changes
DELETE FROM net.secret WHERE password = 'canary-3' AND id = 1;
COPY net.secret FROM stdin;
3	canary-4	copied
\.
BEGIN;
SAVEPOINT a;
UPDATE net.secret SET password = 'canary-5' WHERE id = 3;
ROLLBACK TO a;
UPDATE net.secret SET note = 'after' WHERE id = 3;
COMMIT;
TRUNCATE net.secret;
SELECT results_eq($$SELECT operation, old - 'password', new - 'password', jsonb_typeof(old -> 'password'), jsonb_typeof(new -> 'password'), statement FROM dbnet.history('net.secret', '1')$$,
    $$VALUES ('DELETE', '{"id": 1, "note": "still open"}'::jsonb, NULL::jsonb, 'string', NULL::text, NULL::text),
             ('UPDATE', '{}', '{}', 'string', 'string', NULL),
             ('UPDATE', '{"note": "open"}', '{"note": "still open"}', 'string', 'string', NULL),
             ('INSERT', NULL, '{"id": 1, "note": "open"}', NULL, 'string', NULL)$$, 'digests, and no statement');
SELECT is((SELECT count(DISTINCT value) FROM dbnet.history('net.secret', '1') AS h, LATERAL (VALUES (h.old -> 'password'), (h.new -> 'password')) AS v(value)), 3::bigint, 'that tell values apart');
CREATE FUNCTION pg_temp.with_canary() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE name text;
BEGIN
    FOR name IN SELECT oid::regclass FROM pg_class WHERE relnamespace = 'dbnet'::regnamespace AND relkind = 'r' LOOP
        RETURN QUERY EXECUTE format('SELECT %L || t::text FROM %s AS t WHERE t::text LIKE ''%%canary%%''', name, name);
    END LOOP;
END $$;
SELECT is_empty('SELECT pg_temp.with_canary()', 'no table of the extension holds a redacted value');
SELECT is_empty(format($$SELECT * FROM dbnet.why_steps(%s) AS s WHERE s::text LIKE '%%canary%%'$$, event), 'nor an answer')
FROM dbnet.history('net.secret', '1');

-- Why: what a function of DBNet was asked for, and not by which statements it did that. What a DO block or dbnet.execute() runs is its user's ----
SELECT dbnet.create_policy('slow', 'spans', aggregate => 'p99', threshold => 500, minimum_count => 20, mode => 'shadow');
SELECT results_eq($$SELECT kind, left(what, 36) FROM dbnet.why_steps((SELECT event FROM dbnet.newest_event('dbnet.policy', 'slow', NULL))) WHERE kind <> 'who'$$,
    $$VALUES ('row', 'INSERT dbnet.policy slow: action_tim'), ('statement', 'SELECT dbnet.create_policy(''slow'', ''')$$, 'of a policy');
DO $$ BEGIN DELETE FROM dbnet.policy WHERE name = 'slow'; END $$;
SELECT results_eq($$SELECT kind, what FROM dbnet.why_steps((SELECT event FROM dbnet.newest_event('dbnet.policy', 'slow', NULL))) WHERE kind = 'statement'$$,
    $$VALUES ('statement', 'DELETE FROM dbnet.policy WHERE name = ''slow'' (line 1)'), ('statement', 'DO $' || '$ BEGIN DELETE FROM dbnet.policy WHERE name = ''slow''; END $' || '$')$$, 'a DO block');
SELECT dbnet.execute($$INSERT INTO net.one VALUES (900, 'dbnet.execute', NULL)$$);
SELECT results_eq($$SELECT what FROM dbnet.why_steps((SELECT event FROM dbnet.newest_event('net.one', '900', NULL))) WHERE kind = 'statement'$$,
    $$VALUES ('INSERT INTO net.one VALUES (900, ''dbnet.execute'', NULL)'), ('SELECT dbnet.execute($' || '$INSERT INTO net.one VALUES (900, ''dbnet.execute'', NULL)$' || '$)')$$, 'what is executed');

-- What fails before it writes: whoever catches the error is told of as partly rolled back, and who runs next is not --------------------------
CREATE TABLE net.parent (id int PRIMARY KEY);
CREATE TABLE net.child (id int REFERENCES net.parent);
CREATE PROCEDURE net.attempt(id int, statement text) LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE statement;
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
    INSERT INTO net.one VALUES (id);
END
$$;
CALL net.attempt(901, 'COPY net.one FROM ''/nowhere''');
CALL net.attempt(902, 'TRUNCATE net.parent');
CALL net.attempt(903, 'SELECT 1 / 0');
CALL net.attempt(904, 'ANALYZE net.nowhere');
SELECT results_eq($$SELECT why.what FROM generate_series(901, 904) AS n, LATERAL dbnet.newest_event('net.one', n::text, NULL) AS e, LATERAL dbnet.why_steps(e.event) AS why WHERE why.kind = 'call' ORDER BY n$$,
    $$VALUES ('net.attempt(id => 901, statement => "COPY net.one FROM ''/nowhere''"), partly rolled back'), ('net.attempt(id => 902, statement => "TRUNCATE net.parent"), partly rolled back'),
             ('net.attempt(id => 903, statement => "SELECT 1 / 0")'), ('net.attempt(id => 904, statement => "ANALYZE net.nowhere")')$$, 'COPY and TRUNCATE, not what writes nothing');
CREATE TABLE net.told (id int PRIMARY KEY);
SELECT lives_ok($$SELECT dbnet.track('net.told')$$, 'another table');
ALTER TABLE net.told DISABLE TRIGGER dbnet_track;
ALTER TABLE net.told ENABLE ALWAYS TRIGGER dbnet_track;
SELECT results_eq($$SELECT what FROM dbnet.timeline(tstzrange(now() - interval '1 hour', NULL), 'net.told') WHERE kind = 'ddl'$$,
    $$VALUES ('ALTER TABLE net.told DISABLE TRIGGER dbnet_track'), ('ALTER TABLE net.told ENABLE ALWAYS TRIGGER dbnet_track')$$, 'of DDL what others did to it');
SELECT * FROM finish();
