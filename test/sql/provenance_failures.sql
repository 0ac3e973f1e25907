-- Provenance never breaks an application: what cannot be recorded becomes a WARNING and a count, or ends the transaction.
\getenv abs_srcdir PG_ABS_SRCDIR
\set chain :abs_srcdir '/include/chain.sql'
\set ECHO none
\i :chain
\set ECHO all
CREATE SCHEMA lab;
SET search_path = lab;
CREATE TABLE node (id int PRIMARY KEY, note text);
CALL chain.track('node', '{id}');
CREATE TABLE counted (failures bigint);
INSERT INTO counted VALUES (dbnet.provenance_failures());
CREATE FUNCTION new_failures() RETURNS bigint LANGUAGE sql AS
$$ UPDATE lab.counted SET failures = dbnet.provenance_failures() FROM lab.counted AS before RETURNING counted.failures - before.failures $$;

-- a type whose way to json raises, of a column and of an argument
SET client_min_messages = warning;
CREATE TYPE span;
CREATE FUNCTION span_in(cstring) RETURNS span LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION span_out(span) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE span (INPUT = span_in, OUTPUT = span_out, LIKE = text);
RESET client_min_messages;
CREATE FUNCTION span_to_json(span) RETURNS json LANGUAGE plpgsql AS $$ BEGIN IF $1::text LIKE 'bad%' THEN RAISE 'no json for "%"', $1; END IF; RETURN json_build_object('span', $1::text); END $$;
CREATE CAST (span AS text) WITH INOUT;
CREATE CAST (span AS json) WITH FUNCTION span_to_json(span);
CREATE TABLE strange (id int PRIMARY KEY, value span[], plain span); -- in an array by its cast, by itself as text
CALL chain.track('strange', '{id}');
CREATE PROCEDURE put(id int, value span) LANGUAGE sql AS $$ INSERT INTO strange VALUES (id, ARRAY[value]) $$;
INSERT INTO strange VALUES (1, '{fine}', 'bad 0');
INSERT INTO strange VALUES (2, '{bad 1}');
CALL put(3, 'bad 2');
BEGIN; SAVEPOINT one; UPDATE strange SET value = '{bad 3}' WHERE id = 1; RELEASE one; UPDATE strange SET value = '{fine again}' WHERE id = 1; COMMIT;
SELECT * FROM strange ORDER BY id;
SELECT * FROM chain.show();
SELECT new_failures();

-- a tracked table that loses its key column
CREATE TABLE keyless (id int, other int);
CALL chain.track('keyless', '{id}');
INSERT INTO keyless VALUES (1, 1);
ALTER TABLE keyless DROP COLUMN id;
INSERT INTO keyless VALUES (2);
UPDATE keyless SET other = 3;
TRUNCATE keyless;
SET dbnet.provenance_on_error = error;
INSERT INTO keyless VALUES (4);
RESET dbnet.provenance_on_error;
SELECT * FROM keyless;
SELECT * FROM chain.show();
SELECT new_failures();

-- the flush: a table of ours is not there, is another, or carries an index of somebody else
ALTER TABLE dbnet.session RENAME TO session_elsewhere;
\c
SET search_path = lab;
INSERT INTO node VALUES (1, 'no table for the session');
SET dbnet.provenance_on_error = error;
INSERT INTO node VALUES (2, 'never');
RESET dbnet.provenance_on_error;
ALTER TABLE dbnet.session_elsewhere RENAME TO session;
INSERT INTO node VALUES (3, 'recorded again');
SELECT * FROM node ORDER BY id;
SELECT * FROM chain.show();
SELECT new_failures();
SELECT format('ALTER TABLE %s RENAME TO elsewhere', c.oid::regclass) AS away, format('ALTER TABLE dbnet.elsewhere RENAME TO %I', c.relname) AS back,
       format('CREATE INDEX somebody ON %s (upper(name))', c.oid::regclass) AS index
    FROM pg_class AS c WHERE c.oid = (SELECT tableoid FROM dbnet.activity ORDER BY id DESC LIMIT 1) \gset
:away;
BEGIN; UPDATE node SET note = 'partition is away' WHERE id = 3; UPDATE node SET note = 'still' WHERE id = 3; COMMIT;
SET dbnet.provenance_on_error = error;
UPDATE node SET note = 'never' WHERE id = 3;
RESET dbnet.provenance_on_error;
:back;
SELECT * FROM node WHERE id = 3;
SELECT count(*) FROM chain.show();
SELECT new_failures();
SET client_min_messages = error; -- the warning names the partition of the day
:index;
UPDATE node SET note = 'with somebody''s index' WHERE id = 3;
RESET client_min_messages;
DROP INDEX dbnet.somebody;
UPDATE node SET note = 'without it' WHERE id = 3;
SELECT * FROM node WHERE id = 3;
SELECT new_failures();
SELECT count(*) FROM chain.show();

-- errors of PostgreSQL in the middle are PostgreSQL's own, and leave nothing behind
CREATE FUNCTION deep(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN UPDATE node SET note = n::text WHERE id = 1; RETURN deep(n + 1); END $$;
SET max_stack_depth = '100kB';
\set VERBOSITY sqlstate
SELECT deep(1);
\set VERBOSITY default
RESET max_stack_depth;
SELECT * FROM chain.show();
-- (the moment decides whether it is in the UPDATE or between two)
\set SHOW_CONTEXT never
SET statement_timeout = '50ms';
DO $$ BEGIN LOOP UPDATE node SET note = 'timeout' WHERE id = 1; END LOOP; END $$;
RESET statement_timeout;
\set SHOW_CONTEXT errors
UPDATE node SET note = 'after' WHERE id = 1;
SELECT * FROM chain.show();

-- 1000 savepoints within each other, half of them rolled back
CREATE FUNCTION nest(n int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF n = 0 THEN RETURN; END IF;
    BEGIN
        INSERT INTO node VALUES (1000 + n, 'nested');
        PERFORM nest(n - 1);
        IF n % 500 = 0 THEN RAISE 'back'; END IF;
    EXCEPTION WHEN raise_exception THEN
        NULL;
    END;
END
$$;
SET max_stack_depth = '7MB';
SELECT nest(999);
RESET max_stack_depth;
SELECT count(*), min(id), max(id) FROM node WHERE id > 1000;
SELECT count(*), min((key ->> 'id')::int), max((key ->> 'id')::int) FROM dbnet.entity_version WHERE id > (SELECT event FROM chain.seen) AND operation = 'I';
CALL chain.skip();

-- 100 000 rows of one transaction, in parts when they are many
INSERT INTO node SELECT n, 'bulk' FROM generate_series(10001, 110000) AS n;
SELECT count(*), count(DISTINCT key), count(DISTINCT v.activity) AS statements FROM dbnet.entity_version AS v WHERE id > (SELECT event FROM chain.seen);
SELECT count(DISTINCT transaction_number) AS transactions, count(*) > 1 AS in_parts FROM dbnet.activity WHERE id > (SELECT event FROM chain.seen) AND transaction_number IS NOT NULL;
DELETE FROM node WHERE id > 10000;
CALL chain.skip();

-- a loop over what is not tracked: nothing grows
CREATE TABLE loose (id int, n int);
INSERT INTO loose VALUES (1, 0);
CREATE PROCEDURE work(times int) LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..times LOOP UPDATE loose SET n = i WHERE id = -1; END LOOP; END $$;
CALL work(1000);
CREATE PROCEDURE looked(times int, OUT grown boolean) LANGUAGE plpgsql AS $$
DECLARE before bigint := (SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name ~ 'DBNet|^TopMemoryContext|^TopTransactionContext');
BEGIN
    CALL work(times);
    grown := (SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name ~ 'DBNet|^TopMemoryContext|^TopTransactionContext') > before + 100000;
END
$$;
CALL looked(1000000, NULL);
SELECT * FROM chain.show();
-- tables and procedures that come and go: little is kept of them
DO $$
BEGIN
    FOR turn IN 1..150 LOOP
        EXECUTE 'CREATE TABLE passing (id int PRIMARY KEY); SELECT dbnet.track(''passing''); INSERT INTO passing VALUES (1);
            CREATE PROCEDURE pass() LANGUAGE plpgsql AS ''BEGIN DELETE FROM passing; END''; CALL pass(); DROP PROCEDURE pass(); DROP TABLE passing';
        COMMIT;
    END LOOP;
END
$$;
SELECT name, count(*) < 60 AS are_few FROM pg_backend_memory_contexts WHERE name IN ('DBNet tracked table', 'DBNet function') GROUP BY name ORDER BY name;
CALL chain.skip();
SELECT new_failures();

RESET search_path;
SET client_min_messages = error;
DROP SCHEMA lab CASCADE; -- the table without its key, too
