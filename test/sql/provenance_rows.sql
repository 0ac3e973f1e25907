-- Provenance of rows: what is on record of every kind of statement that changes them.
\getenv abs_srcdir PG_ABS_SRCDIR
\set chain :abs_srcdir '/include/chain.sql'
\set ECHO none
\i :chain
\set ECHO all
CREATE SCHEMA lab;
SET search_path = lab;
CREATE TABLE node (id int PRIMARY KEY, name text, rps int);
CALL chain.track('node', '{id}');

-- what, old and new value; columns that are NULL are left out, of an UPDATE only what changed
INSERT INTO node VALUES (1, 'a', 10), (2, NULL, 20);
UPDATE node SET rps = rps + 1, name = name;
UPDATE node SET name = NULL WHERE id = 1;
DELETE FROM node WHERE id = 2;
SELECT * FROM chain.show();

-- what changes nothing leaves nothing
UPDATE node SET rps = rps;
UPDATE node SET rps = 0 WHERE false;
DELETE FROM node WHERE false;
BEGIN; INSERT INTO node VALUES (9, 'rolled back', 0); ROLLBACK;
INSERT INTO node VALUES (1, 'fails', 0);
SELECT * FROM chain.show();

-- the key changes: the row goes on under another one
UPDATE node SET id = 3, rps = 30 WHERE id = 1;
SELECT * FROM chain.show();

-- two statements of one text, each by itself
UPDATE node SET rps = 31\; UPDATE node SET rps = 32;
SELECT * FROM chain.show();

-- ON CONFLICT: each row as what it became
INSERT INTO node VALUES (3, 'three', 33), (4, 'four', 40) ON CONFLICT (id) DO UPDATE SET name = excluded.name, rps = excluded.rps;
INSERT INTO node VALUES (3, 'nothing', 0), (5, 'five', 50) ON CONFLICT DO NOTHING;
SELECT * FROM chain.show();

-- MERGE: one statement, three operations
MERGE INTO node USING (VALUES (3, 'm3'), (4, NULL), (6, 'm6')) AS wanted (id, name) ON node.id = wanted.id
    WHEN MATCHED AND wanted.name IS NULL THEN DELETE
    WHEN MATCHED THEN UPDATE SET name = wanted.name
    WHEN NOT MATCHED THEN INSERT VALUES (wanted.id, wanted.name, 60);
SELECT * FROM chain.show();

-- COPY
COPY node FROM stdin;
7	seven	70
8	\N	80
\.
COPY node (id) FROM stdin WHERE id > 8;
8
9
\.
SELECT * FROM chain.show();

-- writable CTEs: one command, rows of all its parts
WITH gone AS (DELETE FROM node WHERE id IN (7, 8) RETURNING *), moved AS (INSERT INTO node SELECT id + 100, name, rps FROM gone RETURNING id)
UPDATE node SET rps = (SELECT count(*) FROM moved) WHERE id = 9;
WITH gone AS (DELETE FROM node WHERE id > 100 RETURNING id) SELECT count(*) FROM gone;
SELECT * FROM chain.show();

-- UPDATE … FROM, DELETE … USING, CREATE TABLE AS beside them
UPDATE node SET name = other.name FROM (VALUES (5, 'from'), (5, 'from')) AS other (id, name) WHERE other.id = node.id;
DELETE FROM node USING (VALUES (6)) AS other (id) WHERE other.id = node.id;
CREATE TABLE copy AS SELECT * FROM node;
SELECT * FROM chain.show();

-- one row several times in one transaction, also by two statements of which the later does not see the earlier
BEGIN;
INSERT INTO node VALUES (10, 'new', 1);
UPDATE node SET rps = 2 WHERE id = 10;
UPDATE node SET rps = 3 WHERE id = 10;
DELETE FROM node WHERE id = 10;
INSERT INTO node VALUES (10, 'again', 4);
COMMIT;
SELECT * FROM chain.show();

-- prepared statements, EXPLAIN ANALYZE (what it tells differs from version to version), DO, EXECUTE
PREPARE change (int) AS UPDATE node SET rps = $1 WHERE id = 10;
EXECUTE change (5);
EXPLAIN UPDATE node SET rps = 6 WHERE id = 10;
\o /dev/null
EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) UPDATE node SET rps = 7 WHERE id = 10;
\o
DO $$ BEGIN UPDATE node SET rps = 8 WHERE id = 10; EXECUTE 'UPDATE node SET rps = $1 WHERE id = 10' USING 9; END $$;
SELECT * FROM chain.show();

-- replica role: the trigger is ENABLE ALWAYS
SET session_replication_role = replica;
UPDATE node SET rps = 11 WHERE id = 10;
RESET session_replication_role;
SELECT * FROM chain.show();

-- a generated column is on record with what it is made of
CREATE TABLE link (id int PRIMARY KEY, bits bigint, bytes bigint GENERATED ALWAYS AS (bits / 8) STORED, label text GENERATED ALWAYS AS ('link ' || id) STORED);
CALL chain.track('link', '{id}');
INSERT INTO link VALUES (1, 800);
UPDATE link SET bits = 1600;
UPDATE link SET id = 2;
SELECT * FROM chain.show();

-- a key of two columns, names that need quotes and other letters
CREATE TABLE "Sw itch" ("Site ""x""" text, "Nº" int, "größe" text, PRIMARY KEY ("Site ""x""", "Nº"));
CALL chain.track('"Sw itch"', '{"Site \"x\"",Nº}');
INSERT INTO "Sw itch" VALUES ('Köln "1"', 1, E'a\tb');
UPDATE "Sw itch" SET "Nº" = 2;
SELECT * FROM chain.show();

-- partitions: same key is one change, another key is a row that goes on; a leaf that is written directly is the table's
CREATE TABLE part (id int, zone text, load int, PRIMARY KEY (id, zone)) PARTITION BY LIST (zone);
CREATE TABLE part_a PARTITION OF part FOR VALUES IN ('a');
CREATE TABLE part_b (load int, zone text NOT NULL, extra int, id int NOT NULL);
ALTER TABLE part_b DROP COLUMN extra;
ALTER TABLE part ATTACH PARTITION part_b FOR VALUES IN ('b');
CALL chain.track('part', '{id}');
INSERT INTO part VALUES (1, 'a', 10), (2, 'b', 20);
UPDATE part SET zone = 'b', load = 11 WHERE id = 1;
UPDATE part SET zone = 'a' WHERE load > 0;
UPDATE part SET id = 3, zone = 'b' WHERE id = 1;
UPDATE part SET load = 99 WHERE id = 3;
INSERT INTO part_a VALUES (4, 'a', 40);
UPDATE part_b SET load = 100;
DELETE FROM part_a WHERE id = 4;
SELECT * FROM chain.show();
SELECT column_name, value FROM dbnet.blame('part', '3');
-- two at once, one of which takes the key that the other leaves; in a savepoint that is rolled back; and what only looks like it
DELETE FROM part;
INSERT INTO part VALUES (3, 'a', 30), (2, 'b', 20);
CALL chain.skip();
UPDATE part SET id = id + 1, zone = CASE zone WHEN 'a' THEN 'b' ELSE 'a' END;
BEGIN; SAVEPOINT back; UPDATE part SET id = 20, zone = 'b' WHERE id = 3; ROLLBACK TO back; UPDATE part SET load = 5 WHERE id = 3; COMMIT;
MERGE INTO part USING (VALUES (3, 'b'), (7, 'a')) AS wanted(id, zone) ON part.id = wanted.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (wanted.id, wanted.zone, 70);
WITH gone AS (DELETE FROM part_a WHERE id = 7 RETURNING *), came AS (INSERT INTO part_b (id, zone, load) SELECT 8, 'b', load FROM gone) UPDATE part SET load = 6 WHERE id = 4;
SELECT * FROM chain.show();
CREATE FUNCTION arrived() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO arrival VALUES (NEW.id, TG_TABLE_NAME || ' ' || TG_OP); RETURN NULL; END $$;
CREATE TABLE arrival (id int PRIMARY KEY, what text);
CALL chain.track('arrival', '{id}');
CREATE TRIGGER " first" AFTER INSERT ON part FOR EACH ROW EXECUTE FUNCTION arrived();
UPDATE part SET id = 9, zone = 'a' WHERE id = 8;
SELECT * FROM chain.show();
SELECT event = (SELECT event FROM dbnet.history('part', '9') LIMIT 1) AS same FROM dbnet.why_steps((SELECT event FROM dbnet.history('arrival', '9'))) WHERE kind = 'row' AND depth = 1;

-- COPY, MERGE that moves a row, and ON CONFLICT, into partitions; a BEFORE trigger that lets some rows of a COPY go
DROP TRIGGER " first" ON part;
DELETE FROM part;
CALL chain.skip();
COPY part FROM stdin;
1	a	10
2	b	20
\.
MERGE INTO part USING (VALUES (1, 'b'), (3, 'a')) AS wanted(id, zone) ON part.id = wanted.id WHEN MATCHED THEN UPDATE SET zone = wanted.zone WHEN NOT MATCHED THEN INSERT VALUES (wanted.id, wanted.zone, 30);
INSERT INTO part VALUES (1, 'b', 11), (4, 'a', 40) ON CONFLICT (id, zone) DO UPDATE SET load = excluded.load;
SELECT * FROM chain.show();
CREATE FUNCTION odd_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id % 2 = 0 THEN RETURN NULL; END IF; RETURN NEW; END $$;
CREATE TRIGGER odd_only BEFORE INSERT ON node FOR EACH ROW EXECUTE FUNCTION odd_only();
CALL chain.skip();
COPY node (id) FROM stdin;
21
22
23
\.
SELECT * FROM chain.show();
DROP TRIGGER odd_only ON node;
CALL chain.skip();

-- a temporary table
CREATE TEMP TABLE draft (id int PRIMARY KEY, note text);
CALL chain.track('draft', '{id}');
INSERT INTO draft VALUES (1, 'x');
UPDATE draft SET note = 'y';
DROP TABLE draft;
SELECT * FROM chain.show();

-- redacted: a keyed digest of the value, no text and no arguments of what led to it
CREATE TABLE device (id int PRIMARY KEY, secret text, note text);
CALL chain.track('device', '{id}', redacted => '{secret}');
INSERT INTO device VALUES (1, 'hunter2', 'n');
UPDATE device SET secret = 'other', note = 'm';
SELECT event, within, regexp_replace(what, 'hmac-sha256:[0-9a-f]{64}', 'DIGEST', 'g') AS what FROM chain.show();

RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA lab CASCADE;
