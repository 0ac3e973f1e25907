-- Provenance of foreign keys: each changed child row with the constraint and the parent row's version.
\getenv abs_srcdir PG_ABS_SRCDIR
\set chain :abs_srcdir '/include/chain.sql'
\set ECHO none
\i :chain
\set ECHO all
CREATE SCHEMA lab;
SET search_path = lab;
CREATE TABLE lb (name text PRIMARY KEY);
CREATE TABLE zone (id int PRIMARY KEY);
CREATE TABLE pool (id int PRIMARY KEY, lb text REFERENCES lb ON DELETE CASCADE ON UPDATE CASCADE, zone int REFERENCES zone ON DELETE SET NULL ON UPDATE CASCADE);
CREATE TABLE node (id int PRIMARY KEY, pool int REFERENCES pool ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE claim (id int PRIMARY KEY, lb text DEFAULT 'none' REFERENCES lb ON DELETE SET DEFAULT ON UPDATE SET NULL);
CALL chain.track('lb', '{name}');
CALL chain.track('zone', '{id}');
CALL chain.track('pool', '{id}');
CALL chain.track('node', '{id}');
CALL chain.track('claim', '{id}');
INSERT INTO lb VALUES ('none'), ('a'), ('b'), ('c');
INSERT INTO zone VALUES (1), (2);
INSERT INTO pool VALUES (1, 'a', 1), (2, 'b', 1), (3, 'b', 2);
INSERT INTO node VALUES (10, 1), (20, 2), (21, 2), (30, 3);
INSERT INTO claim VALUES (1, 'a'), (2, 'b');
CALL chain.skip();

-- CASCADE over several levels, SET DEFAULT beside it; two parents at once, each child under its own
DELETE FROM lb WHERE name IN ('a', 'b');
SELECT * FROM chain.show();

-- ON UPDATE CASCADE, SET NULL
INSERT INTO pool VALUES (1, 'c', 1), (2, 'c', 2);
INSERT INTO node VALUES (10, 1);
UPDATE claim SET lb = 'c' WHERE id = 1;
SELECT * FROM chain.show();
UPDATE lb SET name = 'd' WHERE name = 'c';
SELECT * FROM chain.show();
UPDATE pool SET id = id + 100;
SELECT * FROM chain.show();

-- ON DELETE SET NULL: two parents of one child table
DELETE FROM zone;
SELECT * FROM chain.show();

-- a table that refers to itself
CREATE TABLE tree (id int PRIMARY KEY, above int REFERENCES tree ON DELETE CASCADE);
CALL chain.track('tree', '{id}');
INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2), (4, 1);
SELECT * FROM chain.show();
DELETE FROM tree WHERE id = 1;
SELECT * FROM chain.show();

-- an untracked parent; a key of two columns, in another order than the table's
CREATE TABLE rack (room text, place int, PRIMARY KEY (room, place));
CREATE TABLE unit (id int PRIMARY KEY, place int, room text, FOREIGN KEY (place, room) REFERENCES rack (place, room) ON DELETE CASCADE ON UPDATE CASCADE);
ALTER TABLE rack DROP CONSTRAINT rack_pkey CASCADE;
ALTER TABLE rack ADD PRIMARY KEY (place, room);
ALTER TABLE unit ADD CONSTRAINT "unit at ""rack""" FOREIGN KEY (room, place) REFERENCES rack (room, place) ON DELETE CASCADE ON UPDATE CASCADE;
CALL chain.track('unit', '{id}');
INSERT INTO rack VALUES ('r1', 1), ('r1', 2);
INSERT INTO unit VALUES (1, 1, 'r1'), (2, 2, 'r1');
SELECT * FROM chain.show();
DELETE FROM rack WHERE place = 1;
SELECT * FROM chain.show();
CALL chain.track('rack', '{room,place}');
UPDATE rack SET room = 'r2';
SELECT * FROM chain.show();
DELETE FROM rack;
SELECT * FROM chain.show();

-- a deferred constraint cascades at once all the same; a check that fails at COMMIT leaves nothing
CREATE TABLE host (id int PRIMARY KEY);
CREATE TABLE port (id int PRIMARY KEY, host int REFERENCES host ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED);
CALL chain.track('host', '{id}');
CALL chain.track('port', '{id}');
BEGIN;
INSERT INTO port VALUES (1, 1);
INSERT INTO host VALUES (1);
COMMIT;
BEGIN;
DELETE FROM host;
COMMIT;
SELECT * FROM chain.show();
BEGIN;
INSERT INTO port VALUES (2, 7);
COMMIT;
SELECT * FROM chain.show();

-- who deletes within a procedure; the statement of the constraint goes under the one that fired it
CREATE PROCEDURE retire(which int) LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM host
     WHERE id = which;
END
$$;
INSERT INTO host VALUES (5);
INSERT INTO port VALUES (50, 5);
CALL retire(5);
SELECT * FROM chain.show();

-- a cascade fires triggers of the child: the row that fired them is the child's
CREATE TABLE log (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text);
CALL chain.track('log', '{id}');
CREATE FUNCTION note_port() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log (what) VALUES ('port ' || OLD.id || ' is gone'); RETURN NULL; END $$;
CREATE TRIGGER note_port AFTER DELETE ON port FOR EACH ROW EXECUTE FUNCTION note_port();
INSERT INTO host VALUES (6), (7);
INSERT INTO port VALUES (60, 6), (70, 7);
CALL chain.skip();
DELETE FROM host;
SELECT * FROM chain.show();

RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA lab CASCADE;
