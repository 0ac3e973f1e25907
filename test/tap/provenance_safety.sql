-- What a user's own code could do to the record, or by it.
SELECT no_plan();
CREATE SCHEMA lab;
CREATE TABLE lab.row (id integer PRIMARY KEY, note text);
SELECT dbnet.track('lab.row');
CREATE ROLE mallory;
GRANT USAGE, CREATE ON SCHEMA lab TO mallory;

-- A cast of a user's does not run when an argument is recorded, perhaps with the rights of somebody else.
CREATE TABLE lab.ran (role name);
GRANT INSERT ON lab.ran TO PUBLIC;
CREATE FUNCTION lab.write() RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ INSERT INTO lab.row VALUES ((SELECT coalesce(max(id), 0) + 1 FROM lab.row)) $$;
SET ROLE mallory;
CREATE TYPE lab.mood AS ENUM ('well');
CREATE FUNCTION lab.leak(lab.mood) RETURNS json LANGUAGE plpgsql AS $$ BEGIN INSERT INTO lab.ran VALUES (current_user); RETURN '"x"'; END $$;
CREATE CAST (lab.mood AS json) WITH FUNCTION lab.leak(lab.mood);
CREATE FUNCTION lab.trap(moods lab.mood[]) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM lab.write(); END $$;
SELECT lab.trap('{well}');
RESET ROLE;
SELECT is_empty('SELECT * FROM lab.ran', 'a cast of a user does not run for an argument');
SELECT is((SELECT arguments FROM dbnet.activity WHERE kind = 'C' AND name LIKE 'lab.trap%'), '{"moods": "{well}"}', 'which is recorded as its text');

-- What a function changes of an array that it may write to in place is recorded as it was given.
CREATE FUNCTION lab.changes(numbers integer[]) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN numbers[1] := 5; numbers := NULL; PERFORM lab.write(); RETURN 1; END $$;
DO $$
DECLARE
    numbers integer[] := '{1}';
BEGIN
    numbers := array_append(numbers, 2);
    PERFORM lab.changes(array_append(numbers, 3));
END
$$;
SELECT is((SELECT arguments FROM dbnet.activity WHERE kind = 'C' AND name LIKE 'lab.changes%'), '{"numbers": [1, 2, 3]}', 'an argument is recorded as it was given');

-- A function that cannot be parsed can be replaced and dropped.
SET check_function_bodies = off;
CREATE FUNCTION lab.broken() RETURNS integer LANGUAGE sql AS 'SELEC 1';
RESET check_function_bodies;
SELECT lives_ok('ALTER FUNCTION lab.broken() COST 5', 'a function with a body that is wrong can be altered');
SELECT throws_ok('SELECT lab.broken()', '42601', NULL, 'a call says what is wrong');
SELECT lives_ok('DROP FUNCTION lab.broken()', 'and dropped');

-- Asked for every table, dbnet.gaps() runs no cast of a type's owner.
CREATE TABLE lab.moody (id integer PRIMARY KEY, mood lab.mood);
INSERT INTO lab.moody VALUES (1, 'well');
SELECT dbnet.track('lab.moody');
SELECT is((SELECT gap FROM dbnet.gaps() WHERE relation = 'lab.moody'::regclass), 'rows not looked at, for a column has a type of its own: SELECT * FROM dbnet.gaps(''lab.moody'')', 'gaps says what it has not looked at');
SELECT is_empty('SELECT * FROM lab.ran', 'no cast has run');

-- Who catches the error of a savepoint that holds too much does not go on unrecorded.
SET dbnet.provenance_on_error = error;
SET dbnet.provenance_buffer_limit = '64kB';
CREATE TABLE lab.much (id integer PRIMARY KEY, note text);
SELECT dbnet.track('lab.much');
DO $$
BEGIN
    BEGIN
        INSERT INTO lab.much SELECT i, repeat('x', 100) FROM generate_series(1, 5000) AS i;
    EXCEPTION WHEN program_limit_exceeded THEN
        NULL;
    END;
    INSERT INTO lab.much VALUES (0, 'after');
END
$$;
SELECT set_eq('SELECT id FROM lab.much', ARRAY[0], 'what was too much was refused');
SELECT is((SELECT operation FROM dbnet.history('lab.much', '0')), 'INSERT', 'and what came after is on record');
RESET dbnet.provenance_buffer_limit;
RESET dbnet.provenance_on_error;
-- What a session knows of our tables follows what becomes of them: rebuilt and replaced indexes take the next version in.
INSERT INTO lab.much VALUES (10001, 'before');
SELECT format('REINDEX TABLE %s', tableoid::regclass) AS rebuild, format('VACUUM FULL %s', tableoid::regclass) AS rewrite FROM dbnet.entity_version ORDER BY id DESC LIMIT 1 \gset
:rebuild;
INSERT INTO lab.much VALUES (10002, 'rebuilt');
:rewrite;
INSERT INTO lab.much VALUES (10003, 'rewritten');
DROP INDEX dbnet.entity_version_cause;
INSERT INTO lab.much VALUES (10004, 'without an index');
CREATE INDEX entity_version_cause ON dbnet.entity_version (cause) WHERE cause IS NOT NULL;
INSERT INTO lab.much VALUES (10005, 'with it');
SET enable_seqscan = off;
SELECT results_eq($$SELECT operation FROM generate_series(10001, 10005) AS id, dbnet.history('lab.much', id::text)$$, $$VALUES ('INSERT'), ('INSERT'), ('INSERT'), ('INSERT'), ('INSERT')$$, 'found by index');
RESET enable_seqscan;
SELECT is_empty('SELECT FROM dbnet.verify()', 'and the chain holds');
SELECT * FROM finish();
