-- dbnet.undo: of an event, an activity, a transaction, of an undo; what stands in the way; literals of every type.
SELECT no_plan();
CREATE SCHEMA net;
CREATE TYPE net.colour AS ENUM ('red', 'green');
CREATE TYPE net.point AS (x int, y text);
CREATE DOMAIN net.small AS int CHECK (VALUE < 100);
CREATE TABLE net.pool (name text PRIMARY KEY, replicas int, image text);
CREATE TABLE net.node (id int PRIMARY KEY, pool text REFERENCES net.pool ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE net.kinds (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t text, n numeric, f float8, b boolean, j jsonb, js json, a int[], ta text[], c net.colour, p net.point,
    pa net.point[], d net.small, at timestamptz, day date, i interval, by bytea, u uuid, ip inet, r int4range, twice numeric GENERATED ALWAYS AS (n * 2) STORED);
CREATE TABLE net.secret (id int PRIMARY KEY, password text, note text);
SELECT lives_ok(format('SELECT dbnet.track(%L)', name), name) FROM unnest(ARRAY['net.pool', 'net.node', 'net.kinds']) AS wanted(name);
SELECT lives_ok($$SELECT dbnet.track('net.secret', redact => '{password}')$$, 'net.secret');
CREATE FUNCTION net.scale() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO net.node SELECT n, NEW.name FROM generate_series(1, NEW.replicas) AS n ON CONFLICT DO NOTHING; RETURN NULL; END $$;
CREATE TRIGGER scale AFTER UPDATE ON net.pool FOR EACH ROW WHEN (NEW.replicas > OLD.replicas) EXECUTE FUNCTION net.scale();
CREATE FUNCTION pg_temp.newest(relation regclass, key text) RETURNS bigint LANGUAGE sql AS $$ SELECT event FROM dbnet.history(relation, key, most => 1) $$;

-- One event -------------------------------------------------------------------------------------------------------------------------------
INSERT INTO net.pool VALUES ('web', 0, 'nginx:1');
UPDATE net.pool SET image = 'nginx:2' WHERE name = 'web';
SELECT pg_temp.newest('net.pool', 'web') AS changed \gset
SELECT results_eq(format('SELECT step, relation, key, statement, outcome FROM dbnet.undo(event => %s)', :changed),
    $$VALUES (1, 'net.pool'::regclass, 'web', $s$UPDATE net.pool SET image = 'nginx:1' WHERE name = 'web'$s$, 'would be done')$$, 'a dry run says what it would do');
SELECT is((SELECT image FROM net.pool), 'nginx:2', 'and does nothing');
-- Other columns do not stand in the way.
UPDATE net.pool SET replicas = 1 WHERE name = 'web';
DELETE FROM net.node;
SELECT is((SELECT outcome FROM dbnet.undo(event => :changed, dry_run => false)), 'done', 'it is done');
SELECT results_eq('SELECT * FROM net.pool', $$VALUES ('web', 1, 'nginx:1')$$, 'the column is as it was, the other as it is');
SELECT results_eq($$SELECT cause, why FROM dbnet.history('net.pool', 'web', most => 1) AS h, LATERAL (SELECT detail ->> 'reason' FROM dbnet.why_steps(h.event) WHERE kind = 'who' LIMIT 1) AS w(why)$$,
    format($$VALUES (%s::bigint, 'undo')$$, :changed), 'the undo is on record with its cause');

-- An undo is taken back like anything else.
SELECT is((SELECT outcome FROM dbnet.undo(event => pg_temp.newest('net.pool', 'web'), dry_run => false)), 'done', 'undo of an undo');
SELECT is((SELECT image FROM net.pool), 'nginx:2', 'brings the change back');

-- Later changes of the same column stand in the way ------------------------------------------------------------------------------------------
SELECT throws_ok(format('SELECT * FROM dbnet.undo(event => %s, dry_run => false)', :changed), '55000', 'later changes stand in the way', 'refused');
CREATE FUNCTION pg_temp.detail(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE detail text; hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', detail, nullif(hint, ''));
END $$;
SELECT matches(pg_temp.detail(format('SELECT * FROM dbnet.undo(event => %s, dry_run => false)', :changed)),
    '^event \d+ at .*: UPDATE of \{"name": "web"\} \| Take those back first, or change the rows by hand\.$', 'with a list of them');
SELECT matches((SELECT outcome FROM dbnet.undo(event => :changed)), '^event \d+ stands in the way$', 'the dry run tells, too');
SELECT is((SELECT image FROM net.pool), 'nginx:2', 'nothing was changed');

-- An activity: everything that ran within it -----------------------------------------------------------------------------------------------------
UPDATE net.pool SET replicas = 3 WHERE name = 'web';
SELECT is((SELECT count(*) FROM net.node), 3::bigint, 'a trigger made nodes');
SELECT transaction AS grown, (SELECT activity FROM dbnet.history('net.node', '2')) AS inserting FROM dbnet.history('net.pool', 'web', most => 1) \gset
SELECT results_eq(format('SELECT step, key, statement, outcome FROM dbnet.undo(activity => %s)', :inserting),
    $$VALUES (1, '3', $s$DELETE FROM net.node WHERE id = '3'$s$, 'would be done'), (2, '2', $s$DELETE FROM net.node WHERE id = '2'$s$, 'would be done'),
             (3, '1', $s$DELETE FROM net.node WHERE id = '1'$s$, 'would be done')$$, 'of the trigger''s statement');
-- A transaction.
SELECT results_eq(format('SELECT step, relation::text, key, outcome FROM dbnet.undo(transaction => %L, dry_run => false)', :'grown'),
    $$VALUES (1, 'net.node', '3', 'done'), (2, 'net.node', '2', 'done'), (3, 'net.node', '1', 'done'), (4, 'net.pool', 'web', 'done')$$, 'of the transaction');
SELECT is((SELECT replicas FROM net.pool), 1, 'the pool is as before');
SELECT is((SELECT count(*) FROM net.node), 0::bigint, 'the nodes are gone');

-- Cascades, keys that change, rows that come and go in one transaction ---------------------------------------------------------------------------
UPDATE net.pool SET replicas = 2;
UPDATE net.pool SET name = 'edge';
SELECT transaction AS renamed FROM dbnet.history('net.pool', 'edge', most => 1) \gset
SELECT is((SELECT string_agg(statement || ' -> ' || outcome, E'\n' ORDER BY step) FROM dbnet.undo(transaction => :'renamed')),
$$UPDATE net.pool SET name = 'web' WHERE name = 'edge' -> would be done
UPDATE net.node SET pool = 'web' WHERE id = '2' -> would be done
UPDATE net.node SET pool = 'web' WHERE id = '1' -> would be done$$, 'a changed key and its cascade');
SELECT is((SELECT count(*) FROM dbnet.undo(transaction => :'renamed', dry_run => false)), 3::bigint, 'is taken back');
SELECT results_eq('SELECT DISTINCT pool, name FROM net.node, net.pool', $$VALUES ('web', 'web')$$, 'both');
UPDATE net.pool SET name = 'edge';
DELETE FROM net.pool;
SELECT transaction AS deleted FROM dbnet.history('net.pool', 'edge', most => 1) \gset
SELECT is((SELECT string_agg(key || ' ' || outcome, ', ' ORDER BY step) FROM dbnet.undo(transaction => :'deleted', dry_run => false)), 'edge done, 1 done, 2 done', 'a DELETE and its cascade');
SELECT results_eq('SELECT name, replicas, image FROM net.pool', $$VALUES ('edge', 2, 'nginx:2')$$, 'the row is there again');
SELECT is((SELECT count(*) FROM net.node WHERE pool = 'edge'), 2::bigint, 'with those that pointed to it');
BEGIN;
INSERT INTO net.pool VALUES ('short', 1, 'a');
UPDATE net.pool SET image = 'b' WHERE name = 'short';
DELETE FROM net.pool WHERE name = 'short';
INSERT INTO net.pool VALUES ('short', 2, 'c');
COMMIT;
SELECT is((SELECT string_agg(outcome, ', ') FROM dbnet.undo(transaction => (SELECT transaction FROM dbnet.history('net.pool', 'short', most => 1)), dry_run => false)), 'done, done, done, done', 'a row that came, went and came');
SELECT is_empty($$SELECT FROM net.pool WHERE name = 'short'$$, 'is gone');
TRUNCATE net.pool CASCADE;
SELECT is((SELECT count(*) FROM dbnet.undo(transaction => (SELECT transaction FROM dbnet.history('net.pool', 'edge', most => 1)), dry_run => false)), 3::bigint, 'a TRUNCATE');
SELECT results_eq('SELECT name, replicas, image FROM net.pool', $$VALUES ('edge', 2, 'nginx:2')$$, 'its rows are back');

-- Every type ------------------------------------------------------------------------------------------------------------------------------------------
INSERT INTO net.kinds (t, n, f, b, j, js, a, ta, c, p, pa, d, at, day, i, by, u, ip, r) VALUES
    (E'it''s \\ "text"\n', 1.50, 0.1, true, '{"a": [1, null, "x"]}', '{"b":  1}', '{1,NULL,3}', '{"a b",NULL,"c\"d"}', 'green', '(1,"a,b")', '{"(1,x)","(2,)"}', 5,
     '2026-01-01 12:00:00+02', '2026-02-03', '1 day 2 hours', '\x00ff', '00000000-0000-0000-0000-000000000001', '10.0.0.1/24', '[1,5)'),
    (NULL, NULL, 'NaN', NULL, 'null', 'null', '{}', NULL, NULL, NULL, NULL, NULL, 'infinity', NULL, NULL, NULL, NULL, NULL, 'empty');
CREATE TABLE net.copy AS SELECT * FROM net.kinds;
SELECT is((SELECT new ->> 'n' FROM dbnet.row_images(pg_temp.newest('net.kinds', '1'))), '1.50', 'a row that has a column t, before and after');
SELECT max(id) AS filled FROM dbnet.transaction \gset
UPDATE net.kinds SET t = 'x', n = 2, f = 3, b = false, j = '1', js = '2', a = NULL, ta = '{}', c = 'red', p = '(2,)', pa = '{}', d = 6, at = now(), day = now(), i = '1 s', by = '', u = gen_random_uuid(), ip = '::1', r = '(,)';
SET IntervalStyle = iso_8601;
SET TimeZone = 'Asia/Tokyo';
SELECT results_eq($$SELECT outcome FROM dbnet.undo(transaction => (SELECT transaction FROM dbnet.history('net.kinds', '1', most => 1)), dry_run => false)$$, $$VALUES ('done'), ('done')$$, 'an UPDATE of every column');
RESET IntervalStyle;
RESET TimeZone;
SELECT results_eq('SELECT t::text FROM net.kinds AS t ORDER BY id', 'SELECT t::text FROM net.copy AS t ORDER BY id', 'all values are as they were');
DELETE FROM net.kinds;
SELECT results_eq($$SELECT outcome FROM dbnet.undo(transaction => (SELECT transaction FROM dbnet.history('net.kinds', '1', most => 1)), dry_run => false)$$, $$VALUES ('done'), ('done')$$, 'a DELETE');
SELECT results_eq('SELECT t::text FROM net.kinds AS t ORDER BY id', 'SELECT t::text FROM net.copy AS t ORDER BY id', 'all values are as they were, the generated ones too');
SELECT results_eq(format('SELECT t::text FROM dbnet.as_of(NULL::net.kinds, %s::bigint) AS t ORDER BY id', :filled), 'SELECT t::text FROM net.copy AS t ORDER BY id', 'as_of reads them, too');

-- Types of extensions, which no search_path of ours leads to; the row is found by the key's index ---------------------------------------------------------
CREATE SCHEMA types;
CREATE EXTENSION citext SCHEMA types;
CREATE EXTENSION ltree SCHEMA types;
CREATE EXTENSION hstore SCHEMA types;
CREATE DOMAIN net.place AS types.ltree;
CREATE TABLE net.foreign_types (name types.citext, place net.place, labels types.hstore, level int, PRIMARY KEY (name, place));
CREATE TABLE net.labelled (labels types.hstore PRIMARY KEY, path types.ltree, level int);
SELECT lives_ok(format('SELECT dbnet.track(%L)', name), name) FROM unnest(ARRAY['net.foreign_types', 'net.labelled']) AS wanted(name);
INSERT INTO net.foreign_types SELECT 'Node ' || n, 'top.a', 'team=>edge', 1 FROM generate_series(1, 2000) AS n;
INSERT INTO net.labelled VALUES ('a=>1', 'top.b', 1);
ANALYZE net.foreign_types;
UPDATE net.foreign_types SET level = 2, labels = 'team=>core, x=>NULL' WHERE name OPERATOR(types.=) 'node 7';
SELECT is((SELECT statement FROM dbnet.undo(event => (SELECT event FROM dbnet.history('net.foreign_types', '{"name": "Node 7", "place": "top.a"}', most => 1)))),
    $$UPDATE net.foreign_types SET labels = '"team"=>"edge"', level = '1' WHERE name OPERATOR(types.=) 'Node 7' AND place OPERATOR(types.=) 'top.a'$$, 'operators are named with their schema');
CREATE FUNCTION pg_temp.undone_without_scan(relation regclass, key text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    scans bigint := pg_stat_get_xact_numscans(relation);
    outcome text := (SELECT string_agg(u.outcome, ', ') FROM dbnet.undo(event => (SELECT event FROM dbnet.history(relation, key, most => 1)), dry_run => false) AS u);
BEGIN
    RETURN concat(outcome, ', ', pg_stat_get_xact_numscans(relation) - scans, ' scans of the table');
END $$;
SELECT is(pg_temp.undone_without_scan('net.foreign_types', '{"name": "Node 7", "place": "top.a"}'), 'done, 0 scans of the table', 'an UPDATE');
SELECT results_eq($$SELECT level, labels::text FROM net.foreign_types WHERE name OPERATOR(types.=) 'Node 7'$$, $$VALUES (1, '"team"=>"edge"')$$, 'is taken back');
DELETE FROM net.foreign_types WHERE name OPERATOR(types.=) 'Node 9';
SELECT is(pg_temp.undone_without_scan('net.foreign_types', '{"name": "Node 9", "place": "top.a"}'), 'done, 0 scans of the table', 'a DELETE');
UPDATE net.labelled SET labels = 'b=>2', path = 'top.c';
SELECT is((SELECT string_agg(outcome, ', ') FROM dbnet.undo(transaction => (SELECT transaction FROM dbnet.history('net.labelled', '"b"=>"2"', most => 1)), dry_run => false)), 'done', 'a key that changed');
SELECT results_eq('SELECT labels::text, path::text FROM net.labelled', $$VALUES ('"a"=>"1"', 'top.b')$$, 'is as it was');
-- Though hstore has a cast to json, its values are on record as the text that can be read back.
SELECT max(id) AS before FROM dbnet.transaction \gset
INSERT INTO net.labelled VALUES ('c=>3, d=>NULL', 'top.d', 2);
UPDATE net.labelled SET level = 3 WHERE path OPERATOR(types.=) 'top.b';
SELECT results_eq(format('SELECT l::text FROM dbnet.as_of(NULL::net.labelled, %s::bigint) AS l', :before), $$VALUES ('("""a""=>""1""",top.b,1)')$$, 'as_of reads them');
SELECT is(dbnet.row_document('net.labelled'), $$to_jsonb(t.*) || jsonb_build_object('labels', t.labels::text)$$, 'so rows are compared as text');
SELECT is((SELECT new FROM dbnet.history('net.labelled', '"c"=>"3", "d"=>NULL')), $${"path": "top.d", "level": 2, "labels": "\"c\"=>\"3\", \"d\"=>NULL"}$$, 'history shows it');
SELECT is_empty($$SELECT * FROM dbnet.gaps('net.labelled')$$, 'no gap');
SELECT is_empty($$SELECT * FROM dbnet.gaps('net.foreign_types')$$, 'no gap in a larger one');

-- What triggers make of it at once --------------------------------------------------------------------------------------------------------------------
CREATE TABLE net.dial (id int PRIMARY KEY, level int, note text);
SELECT lives_ok($$SELECT dbnet.track('net.dial')$$, 'net.dial');
INSERT INTO net.dial VALUES (1, 1, 'low'), (2, 5, 'gone'), (3, 5, 'two steps');
UPDATE net.dial SET level = 6, note = 'high' WHERE id = 1;
DELETE FROM net.dial WHERE id = 2;
BEGIN; UPDATE net.dial SET level = 7 WHERE id = 3; UPDATE net.dial SET level = 8, note = 'further' WHERE id = 3; COMMIT;
INSERT INTO net.dial VALUES (4, 9, 'kept');
CREATE FUNCTION net.turn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO net.dial VALUES (OLD.*);
    ELSIF TG_OP = 'INSERT' AND NEW.id = 2 THEN
        DELETE FROM net.dial WHERE id = 2;
    ELSIF NEW.level < 4 THEN
        UPDATE net.dial SET level = 4 WHERE id = NEW.id;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER turn AFTER INSERT OR UPDATE OR DELETE ON net.dial FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION net.turn();
SELECT is((SELECT outcome FROM dbnet.undo(event => pg_temp.newest('net.dial', '1'), dry_run => false)), 'done, but the row was changed again at once: level 4 instead of 1', 'changed again');
SELECT is((SELECT outcome FROM dbnet.undo(event => pg_temp.newest('net.dial', '2'), dry_run => false)), 'done, but the row is gone again', 'gone again');
SELECT is((SELECT outcome FROM dbnet.undo(event => pg_temp.newest('net.dial', '4'), dry_run => false)), 'done, but the row is there again: {"id": 4, "note": "kept", "level": 9}', 'there again');
SELECT results_eq($$SELECT outcome FROM dbnet.undo(transaction => (SELECT transaction FROM dbnet.history('net.dial', '3', most => 1)), dry_run => false)$$, $$VALUES ('done'), ('done')$$, 'two steps of one row');
SELECT results_eq('SELECT id, level, note FROM net.dial ORDER BY id', $$VALUES (1, 4, 'low'), (3, 5, 'two steps'), (4, 9, 'kept')$$, 'as it is told');

-- What is deferred to the commit is told beforehand, and happens once, at the commit. Names in triggers are found as by their caller. -----------------------
CREATE TABLE net.late (id int PRIMARY KEY, level int);
CREATE TABLE net.echo (level int);
SELECT lives_ok($$SELECT dbnet.track('net.late')$$, 'net.late');
INSERT INTO net.late VALUES (1, 1), (2, 1);
UPDATE net.late SET level = 2;
CREATE FUNCTION net.raise_level() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO echo VALUES (NEW.level);
    UPDATE late SET level = 7 WHERE id = NEW.id AND NEW.id = 1 AND level = 1;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER raise_level AFTER UPDATE ON net.late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION net.raise_level();
SET search_path = net, public;
BEGIN;
SELECT is((SELECT outcome FROM dbnet.undo(event => pg_temp.newest('net.late', '1'), dry_run => false)), 'done, but the row was changed again at once: level 7 instead of 1', 'a deferred trigger will change it again');
SELECT is((SELECT outcome FROM dbnet.undo(event => pg_temp.newest('net.late', '2'), dry_run => false)), 'done', 'and not that one');
SELECT results_eq('SELECT id, level FROM net.late ORDER BY id', 'VALUES (1, 1), (2, 1)', 'not before the commit');
SELECT is(current_setting('search_path'), 'net, public', 'search_path is as it was');
COMMIT;
SELECT results_eq('SELECT id, level FROM net.late ORDER BY id', 'VALUES (1, 7), (2, 1)', 'as it is told');
SELECT results_eq('SELECT level FROM net.echo ORDER BY level', 'VALUES (1), (1), (7)', 'each trigger has fired once');
CREATE OR REPLACE FUNCTION net.raise_level() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$;
BEGIN;
SELECT is((SELECT outcome FROM dbnet.undo(event => pg_temp.newest('net.late', '2'), dry_run => false)), 'done, but the commit would fail: not today', 'why the commit would fail');
ROLLBACK;
RESET search_path;

-- What cannot be done ------------------------------------------------------------------------------------------------------------------------------------
INSERT INTO net.secret VALUES (1, 'x', 'a');
UPDATE net.secret SET password = 'y';
SELECT throws_ok(format('SELECT * FROM dbnet.undo(event => %s, dry_run => false)', pg_temp.newest('net.secret', '1')), '55000', 'values of redacted columns are not on record', 'a redacted value');
SELECT is((SELECT outcome FROM dbnet.undo(event => pg_temp.newest('net.secret', '1'))), 'a redacted value is not on record', 'which the dry run tells');
UPDATE net.secret SET note = 'b';
SELECT is((SELECT outcome FROM dbnet.undo(event => pg_temp.newest('net.secret', '1'), dry_run => false)), 'done', 'other columns of such a row');
INSERT INTO net.pool VALUES ('ghost', 1, 'a');
SET dbnet.provenance = off;
DELETE FROM net.pool WHERE name = 'ghost';
RESET dbnet.provenance;
SELECT throws_ok(format('SELECT * FROM dbnet.undo(event => %s, dry_run => false)', pg_temp.newest('net.pool', 'ghost')), '55000', 'step 1 has found 0 rows', 'a row that is not as on record');
SELECT throws_ok('SELECT * FROM dbnet.undo()', '22023', 'dbnet.undo() needs an event, an activity or a transaction', 'nothing is named');
SELECT throws_ok($$SELECT * FROM dbnet.undo(event => 1, transaction => '1')$$, '22023', 'dbnet.undo() needs an event, an activity or a transaction', 'two are');
SELECT throws_ok('SELECT * FROM dbnet.undo(event => 1)', '42704', 'event 1 is no change of a row', 'no event');
SELECT throws_ok('SELECT * FROM dbnet.undo(activity => 1)', '42704', 'there is no activity 1', 'no activity');
SELECT throws_ok($$SELECT * FROM dbnet.undo(transaction => '1')$$, '42704', 'nothing is on record of transaction 1', 'no transaction');

-- A number that two transactions have: one of them came with a dump, from before the restore. --------------------------------------------------------------
CREATE TABLE net.twice (id int PRIMARY KEY, a int);
SELECT lives_ok($$SELECT dbnet.track('net.twice')$$, 'net.twice');
INSERT INTO net.twice VALUES (1, 0), (2, 0);
UPDATE net.twice SET a = 1 WHERE id = 1;
UPDATE net.twice SET a = 2 WHERE id = 2;
SELECT transaction AS earlier, activity AS earlier_activity FROM dbnet.history('net.twice', '1', most => 1) \gset
SELECT transaction AS since, activity AS since_activity, event AS since_event FROM dbnet.history('net.twice', '2', most => 1) \gset
UPDATE dbnet.activity SET transaction_number = :'since' WHERE id = :earlier_activity;
SELECT throws_ok(format('SELECT * FROM dbnet.undo(transaction => %L, dry_run => %L)', :'since', dry_run), '22023', format('2 transactions have the number %s', :'since'), 'two of a number')
    FROM unnest(ARRAY[true, false]) AS tried(dry_run);
SELECT matches(pg_temp.detail(format('SELECT * FROM dbnet.undo(transaction => %L)', :'since')), format('^begun at \S+ \S+: events %1$s to %2$s, activities %1$s\nbegun at \S+ \S+: events %3$s to %4$s, activities %3$s \| .*Say which one is meant',
    :earlier_activity, :earlier_activity + 1, :since_activity, :since_event), 'their events and activities');
SELECT results_eq('SELECT a FROM net.twice ORDER BY id', 'VALUES (1), (2)', 'nothing was taken back');
SELECT results_eq(format('SELECT key, outcome FROM dbnet.undo(activity => %s, dry_run => false)', :since_activity), $$VALUES ('2', 'done')$$, 'the one that is meant');
SELECT results_eq('SELECT a FROM net.twice ORDER BY id', 'VALUES (1), (0)', 'and not the other');

-- A large transaction is on record in parts, and is one: also where the parts begin with statements of their own.
SET dbnet.provenance_buffer_limit = '64kB';
BEGIN;
INSERT INTO net.twice SELECT i, 0 FROM generate_series(101, 1100) AS i;
INSERT INTO net.twice SELECT i, 0 FROM generate_series(1101, 2100) AS i;
COMMIT;
RESET dbnet.provenance_buffer_limit;
SELECT transaction AS large FROM dbnet.history('net.twice', '101') \gset
SELECT cmp_ok((SELECT count(*) FROM dbnet.transaction WHERE transaction = :'large'), '>', 1::bigint, 'parts');
SELECT results_eq(format('SELECT count(*), min(outcome), max(outcome) FROM dbnet.undo(transaction => %L, dry_run => false)', :'large'), $$VALUES (2000::bigint, 'done', 'done')$$, 'all of it');
SELECT is((SELECT count(*) FROM net.twice), 2::bigint, 'is taken back');
SELECT * FROM finish();
