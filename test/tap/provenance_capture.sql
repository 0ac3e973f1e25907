-- Exact also where others are guessed: BEFORE triggers that suppress, places that are used again within a transaction, rows that do not
-- arrive in another partition, and other ways that nobody takes every day.
SELECT no_plan();
CREATE SCHEMA net;
CREATE TABLE net.rows (id int PRIMARY KEY, a int);
CREATE TABLE net.seen (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text);
CREATE TABLE net.parts (id int, part int, a int, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
CREATE TABLE net.parts_1 PARTITION OF net.parts FOR VALUES IN (1);
CREATE TABLE net.parts_2 PARTITION OF net.parts FOR VALUES IN (2);
SELECT lives_ok(format('SELECT dbnet.track(%L)', name), name) FROM unnest(ARRAY['net.rows', 'net.seen', 'net.parts']) AS wanted(name);
CREATE FUNCTION net.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO net.seen (what) VALUES (concat_ws(' ', TG_OP, CASE TG_OP WHEN 'DELETE' THEN OLD.id ELSE NEW.id END)); RETURN NULL; END $$;
CREATE FUNCTION pg_temp.number(relation regclass) RETURNS integer LANGUAGE sql AS $$ SELECT t.number FROM dbnet.tracked_relation AS t WHERE t.relation = $1 $$;
CREATE TABLE pg_temp.seen (event bigint);
INSERT INTO pg_temp.seen VALUES (0);
-- What is new on record of a table, oldest first.
CREATE FUNCTION pg_temp.versions(relation regclass) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', v.operation, (SELECT string_agg(f.value, '/' ORDER BY f.key) FROM jsonb_each_text(v.key) AS f), v.old, v.new), ', ' ORDER BY v.id)
    FROM dbnet.entity_version AS v WHERE v.relation = pg_temp.number($1) AND v.id > (SELECT event FROM pg_temp.seen) $$;
-- What triggers saw, and for which version of a row they were fired.
CREATE FUNCTION pg_temp.fired() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat(v.new ->> 'what', ' for ', coalesce(concat_ws(' ', p.operation, p.key ->> 'id'), 'nothing')), ', ' ORDER BY v.id)
    FROM dbnet.entity_version AS v JOIN dbnet.activity AS s ON s.id = v.activity JOIN dbnet.activity AS g ON g.id = s.parent AND g.kind = 'G' LEFT JOIN dbnet.entity_version AS p ON p.id = g.started_by
    WHERE v.relation = pg_temp.number('net.seen') AND v.id > (SELECT event FROM pg_temp.seen) $$;
CREATE PROCEDURE pg_temp.skip() LANGUAGE sql AS $$ UPDATE pg_temp.seen SET event = (SELECT max(greatest(a.id, v.id)) FROM dbnet.activity AS a, (SELECT max(id) AS id FROM dbnet.entity_version) AS v) $$;

-- BEFORE triggers that suppress --------------------------------------------------------------------------------------------------------------
CREATE FUNCTION net.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.a > 0 THEN RETURN NULL; END IF; RETURN OLD; END $$;
INSERT INTO net.rows VALUES (1, 0), (2, 1), (3, 0);
CREATE TRIGGER keep BEFORE DELETE ON net.rows FOR EACH ROW EXECUTE FUNCTION net.keep();
CALL pg_temp.skip();
DELETE FROM net.rows;
SELECT is(pg_temp.versions('net.rows'), 'D 1 {"a": 0, "id": 1}, D 3 {"a": 0, "id": 3}', 'BEFORE DELETE: what was deleted, and no more');
SELECT results_eq($$SELECT a.kind::text, a.name, a.rows, a.detail ->> 'event', a.detail -> 'key', a.detail -> 'suppressed' FROM dbnet.activity AS a WHERE a.id > (SELECT event FROM pg_temp.seen) ORDER BY a.id$$,
    $$VALUES ('S', 'DELETE', 2::bigint, NULL, NULL::jsonb, NULL::jsonb), ('G', 'keep', NULL, 'delete', '{"id": 2}', 'true')$$, 'and who kept the other one');
SELECT results_eq('SELECT * FROM net.rows', 'VALUES (2, 1)', 'which is there');
CALL pg_temp.skip();
DELETE FROM net.rows;
SELECT is(pg_temp.versions('net.rows'), NULL, 'nothing at all was deleted');
SELECT results_eq($$SELECT a.name, a.detail -> 'suppressed' FROM dbnet.activity AS a WHERE a.id > (SELECT event FROM pg_temp.seen) ORDER BY a.id$$, $$VALUES ('DELETE', NULL::jsonb), ('keep', 'true')$$, 'the attempt is on record');
SELECT is_empty($$SELECT * FROM dbnet.gaps('net.rows') WHERE key IS NOT NULL$$, 'no row has escaped');
DROP TRIGGER keep ON net.rows;

-- One place after another: triggers that fire before ours ---------------------------------------------------------------------------------------
CREATE TRIGGER a_first AFTER INSERT OR UPDATE OR DELETE ON net.rows FOR EACH ROW EXECUTE FUNCTION net.see();
CALL pg_temp.skip();
BEGIN;
INSERT INTO net.rows VALUES (4, 0);
DELETE FROM net.rows WHERE id = 4;
COMMIT;
SELECT is(pg_temp.fired(), 'INSERT 4 for I 4, DELETE 4 for D 4', 'a row that is inserted and deleted');
CALL pg_temp.skip();
BEGIN;
TRUNCATE net.rows;
INSERT INTO net.rows VALUES (5, 0);
TRUNCATE net.rows;
INSERT INTO net.rows VALUES (6, 0);
UPDATE net.rows SET a = 1;
UPDATE net.rows SET a = 2;
DELETE FROM net.rows;
COMMIT;
SELECT is(pg_temp.fired(), 'INSERT 5 for I 5, INSERT 6 for I 6, UPDATE 6 for U 6, UPDATE 6 for U 6, DELETE 6 for D 6', 'TRUNCATE: the next row is where another one was');
CALL pg_temp.skip();
DO $$ -- long rows, so that a page is soon full and pruned
BEGIN
    FOR i IN 10..40 LOOP
        BEGIN
            INSERT INTO net.rows VALUES (i, 0);
            RAISE EXCEPTION 'no';
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END LOOP;
    INSERT INTO net.rows VALUES (41, 0);
END $$;
SELECT is(pg_temp.fired(), 'INSERT 41 for I 41', 'places of rows that were rolled back');
DROP TRIGGER a_first ON net.rows;
CREATE CONSTRAINT TRIGGER later AFTER INSERT OR UPDATE OR DELETE ON net.rows DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION net.see();
CALL pg_temp.skip();
BEGIN;
INSERT INTO net.rows VALUES (42, 0);
UPDATE net.rows SET a = 1 WHERE id = 42;
DELETE FROM net.rows WHERE id = 42;
INSERT INTO net.rows VALUES (42, 5);
COMMIT;
SELECT is(pg_temp.fired(), 'INSERT 42 for I 42, UPDATE 42 for U 42, DELETE 42 for D 42, INSERT 42 for I 42', 'deferred: each for its own');
SELECT results_eq($$SELECT p.new -> 'a' FROM dbnet.activity AS g JOIN dbnet.entity_version AS p ON p.id = g.started_by WHERE g.id > (SELECT event FROM pg_temp.seen) AND g.name = 'later' AND g.detail ->> 'event' = 'insert' ORDER BY g.id$$,
    $$VALUES ('0'::jsonb), ('5')$$, 'and not for another of the same key');
DROP TRIGGER later ON net.rows;

-- Rows that do not arrive --------------------------------------------------------------------------------------------------------------------
INSERT INTO net.parts VALUES (1, 1, 0), (2, 1, 0), (3, 1, 0);
CREATE FUNCTION net.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN NEW.id <> 2 THEN NEW END; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON net.parts_2 FOR EACH ROW EXECUTE FUNCTION net.refuse();
CALL pg_temp.skip();
UPDATE net.parts SET part = 2;
SELECT is(pg_temp.versions('net.parts'), 'U 1/2 {"part": 1} {"part": 2}, R 1/1, D 2/1 {"a": 0, "id": 2, "part": 1}, U 3/2 {"part": 1} {"part": 2}, R 3/1', 'a BEFORE INSERT trigger of the other partition: that row was deleted');
SELECT results_eq('SELECT id, part FROM net.parts ORDER BY id', 'VALUES (1, 2), (3, 2)', 'as it was');
DROP TRIGGER refuse ON net.parts_2;
CREATE FUNCTION net.hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN OLD.id <> 1 THEN OLD END; END $$;
CREATE TRIGGER hold BEFORE DELETE ON net.parts_2 FOR EACH ROW EXECUTE FUNCTION net.hold();
CALL pg_temp.skip();
UPDATE net.parts SET part = 1;
SELECT is(pg_temp.versions('net.parts'), 'U 3/1 {"part": 2} {"part": 1}, R 3/2', 'a BEFORE DELETE trigger of the one that it leaves: it stays');
SELECT results_eq('SELECT id, part FROM net.parts ORDER BY id', 'VALUES (1, 2), (3, 1)', 'as it is');
DROP TRIGGER hold ON net.parts_2;
CALL pg_temp.skip();
-- To where a row of the key was deleted by the same transaction.
BEGIN; DELETE FROM net.parts WHERE id = 3; UPDATE net.parts SET part = 1, id = 3 WHERE id = 1; COMMIT;
SELECT is(pg_temp.versions('net.parts'), 'D 3/1 {"a": 0, "id": 3, "part": 1}, U 3/1 {"id": 1, "part": 2} {"id": 3, "part": 1}, R 1/2', 'into the place of another row');
-- Keys that one statement exchanges ----------------------------------------------------------------------------------------------------------
CREATE TABLE net.turn (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, a text);
SELECT lives_ok($$SELECT dbnet.track('net.turn')$$, 'keys that are checked at the commit');
INSERT INTO net.turn VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd');
SELECT max(id) + 1023 AS before FROM dbnet.transaction \gset
CALL pg_temp.skip();
UPDATE net.turn SET id = id % 3 + 1 WHERE id < 4;
SELECT is(pg_temp.versions('net.turn'), 'R 2, U 2 {"id": 1} {"id": 2}, R 1, R 3, U 3 {"id": 2} {"id": 3}, U 1 {"id": 3} {"id": 1}', 'a row leaves its key before another one comes');
SELECT is_empty($$SELECT * FROM dbnet.gaps('net.turn')$$, 'no row has escaped');
SELECT results_eq('SELECT * FROM net.turn ORDER BY id', $$VALUES (1, 'c'), (2, 'a'), (3, 'b'), (4, 'd')$$, 'as it is');
UPDATE net.turn SET a = a || id;
MERGE INTO net.turn AS t USING (VALUES (1), (4)) AS n(id) ON t.id = n.id WHEN MATCHED AND n.id = 1 THEN UPDATE SET id = 4 WHEN MATCHED THEN DELETE;
SELECT results_eq('SELECT * FROM net.turn ORDER BY id', $$VALUES (2, 'a2'), (3, 'b3'), (4, 'c1')$$, 'one into the place of another that is deleted');
SELECT is_empty($$SELECT * FROM dbnet.gaps('net.turn')$$, 'no row has escaped');
SELECT results_eq(format('SELECT * FROM dbnet.as_of(NULL::net.turn, %s) ORDER BY id', :before), $$VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')$$, 'as it was before');
SELECT results_eq($$SELECT operation, old ->> 'id', new ->> 'a' FROM dbnet.history('net.turn', '2')$$,
    $$VALUES ('UPDATE', NULL, 'a2'), ('UPDATE', '1', NULL), ('new key', NULL, NULL), ('INSERT', NULL, 'b')$$, 'history of a key: newest first');
-- Functions that are replaced: each call with the source that ran -----------------------------------------------------------------------------
CREATE FUNCTION net.twice() RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO net.seen (what) VALUES ('first'); END $$;
CREATE FUNCTION net.itself() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN
    CREATE OR REPLACE FUNCTION net.itself() RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO net.seen (what) VALUES ('the next'); END $$;
    PERFORM net.itself();
    INSERT INTO net.seen (what) VALUES ('the old one');
END $f$;
CREATE PROCEDURE net.on_and_on() LANGUAGE plpgsql AS $f$ BEGIN
    CREATE OR REPLACE PROCEDURE net.on_and_on() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO net.seen (what) VALUES ('never'); END $$;
    INSERT INTO net.seen (what) VALUES ('before');
    COMMIT;
    INSERT INTO net.seen (what) VALUES ('after');
END $f$;
CALL pg_temp.skip();
BEGIN;
SELECT net.twice();
CREATE OR REPLACE FUNCTION net.twice() RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO net.seen (what) VALUES ('second'); END $$;
SELECT net.twice();
COMMIT;
SELECT net.itself();
CALL net.on_and_on();
SELECT results_eq($$SELECT v.new ->> 'what', c.source ~ ('''' || (v.new ->> 'what') || '''')
        FROM dbnet.entity_version AS v JOIN dbnet.activity AS s ON s.id = v.activity JOIN dbnet.activity AS f ON f.id = s.parent JOIN dbnet.code AS c ON c.id = f.code
        WHERE v.relation = pg_temp.number('net.seen') AND v.id > (SELECT event FROM pg_temp.seen) ORDER BY v.id$$,
    $$VALUES ('first', true), ('second', true), ('the next', true), ('the old one', true), ('before', true), ('after', true)$$, 'the source that ran has it');
SELECT is_empty($$SELECT * FROM dbnet.gaps('net.parts') WHERE key IS NOT NULL$$, 'no row has escaped');
SELECT is_empty($$SELECT * FROM dbnet.gaps('net.rows') WHERE key IS NOT NULL$$, 'nor here');
SELECT is_empty('SELECT * FROM dbnet.verify()', 'the chain of hashes holds');
SELECT * FROM finish();
