-- Provenance of transactions: savepoints, EXCEPTION blocks, COMMIT in procedures, cursors, deferred triggers, prepared transactions, TRUNCATE, DDL.
\getenv abs_srcdir PG_ABS_SRCDIR
\set chain :abs_srcdir '/include/chain.sql'
\set ECHO none
\i :chain
\set ECHO all
CREATE SCHEMA lab;
SET search_path = lab;
CREATE TABLE node (id int PRIMARY KEY, note text);
CALL chain.track('node', '{id}');

-- savepoints: rolled back to, released, nested
BEGIN;
INSERT INTO node VALUES (1, 'kept');
SAVEPOINT one;
INSERT INTO node VALUES (2, 'gone');
SAVEPOINT two;
UPDATE node SET note = 'gone, too' WHERE id = 1;
RELEASE two;
ROLLBACK TO one;
UPDATE node SET note = 'after' WHERE id = 1;
SAVEPOINT three;
INSERT INTO node VALUES (3, 'released');
RELEASE three;
ROLLBACK TO one;
INSERT INTO node VALUES (4, 'last');
COMMIT;
SELECT * FROM chain.show();

-- EXCEPTION blocks: what was tried and failed leaves the call, no versions
CREATE PROCEDURE try_it(id int) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO node VALUES (id, 'tried'); PERFORM 1 / 0; END $$;
CREATE FUNCTION careful(id int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        CALL try_it(id);
    EXCEPTION WHEN division_by_zero THEN
        INSERT INTO node VALUES (id, 'mended');
    END;
    BEGIN
        BEGIN
            INSERT INTO node VALUES (id, 'twice');
        EXCEPTION WHEN unique_violation THEN
            UPDATE node SET note = 'inner' WHERE node.id = careful.id;
        END;
        RAISE 'outer';
    EXCEPTION WHEN raise_exception THEN
        NULL;
    END;
    RETURN 'done';
END
$$;
SELECT careful(10);
SELECT * FROM chain.show();

-- COMMIT and ROLLBACK inside a procedure: one call over several transactions
CREATE PROCEDURE in_steps(n int) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..n LOOP
        INSERT INTO node VALUES (100 + i, 'step ' || i);
        IF i % 2 = 0 THEN ROLLBACK; ELSE COMMIT; END IF;
    END LOOP;
END
$$;
CALL in_steps(4);
SELECT * FROM chain.show();
CREATE PROCEDURE outer_steps() LANGUAGE plpgsql AS $$ BEGIN UPDATE node SET note = 'outer' WHERE id = 1; CALL in_steps(0); COMMIT; UPDATE node SET note = 'outer 2' WHERE id = 1; END $$;
CALL outer_steps();
SELECT * FROM chain.show();

-- COMMIT inside a loop over a query, whose cursor outlives it; a procedure that calls itself and commits between
CREATE PROCEDURE each_of() LANGUAGE plpgsql AS $$
DECLARE one record;
BEGIN
    FOR one IN SELECT id FROM node WHERE id IN (1, 4) ORDER BY id LOOP
        UPDATE node SET note = 'each ' || one.id WHERE id = one.id;
        COMMIT;
    END LOOP;
END
$$;
CALL each_of();
SELECT * FROM chain.show();
CREATE PROCEDURE down(n int) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE node SET note = 'down ' || n WHERE id = 100 + n;
    COMMIT;
    IF n > 1 THEN CALL down(n - 2); END IF;
    UPDATE node SET note = 'up ' || n WHERE id = 100 + n;
END
$$;
CALL down(3);
SELECT * FROM chain.show();

-- deferred triggers: at COMMIT, or when SET CONSTRAINTS asks for them; started by the row, whatever came between
CREATE TABLE audit (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text);
CALL chain.track('audit', '{id}');
CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit (what) VALUES (NEW.id || ' ' || NEW.note); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER later AFTER INSERT OR UPDATE ON node DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION later();
BEGIN;
INSERT INTO node VALUES (20, 'x'), (21, 'y');
UPDATE node SET note = 'z' WHERE id = 20;
COMMIT;
SELECT * FROM chain.show();
BEGIN;
INSERT INTO node VALUES (22, 'x');
SET CONSTRAINTS later IMMEDIATE;
UPDATE node SET note = 'now' WHERE id = 22;
COMMIT;
SELECT * FROM chain.show();
BEGIN;
INSERT INTO node VALUES (23, 'x');
SAVEPOINT one;
INSERT INTO node VALUES (24, 'never');
ROLLBACK TO one;
COMMIT;
SELECT * FROM chain.show();
DROP TRIGGER later ON node;
CALL chain.skip();

-- cursors that are read in steps while other things happen
CREATE FUNCTION touch(id int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN UPDATE node SET note = 'touched' WHERE node.id = touch.id; RETURN id; END $$;
BEGIN;
DECLARE steps CURSOR FOR SELECT touch(id) FROM (VALUES (1), (4)) AS wanted (id);
FETCH steps;
UPDATE node SET note = 'between' WHERE id = 10;
FETCH steps;
UPDATE node SET note = 'after' WHERE id = 10;
COMMIT;
SELECT * FROM chain.show();
BEGIN;
SAVEPOINT one;
DECLARE lost CURSOR FOR SELECT touch(id) FROM (VALUES (20), (21)) AS wanted (id);
FETCH lost;
ROLLBACK TO one;
UPDATE node SET note = 'only this' WHERE id = 20;
COMMIT;
SELECT * FROM chain.show();
CREATE FUNCTION in_between() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    steps refcursor;
    step int;
BEGIN
    OPEN steps FOR SELECT touch(id) FROM (VALUES (21), (22)) AS wanted (id);
    FETCH steps INTO step;
    UPDATE node SET note = 'in between' WHERE id = 10;
    FETCH steps INTO step;
    CLOSE steps;
END
$$;
SELECT in_between();
SELECT * FROM chain.show();
CREATE FUNCTION open_it() RETURNS refcursor LANGUAGE plpgsql AS $$ DECLARE c refcursor := 'opened'; BEGIN OPEN c FOR SELECT touch(22); RETURN c; END $$;
BEGIN;
SELECT open_it();
FETCH opened;
COMMIT;
SELECT * FROM chain.show();
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT touch(23);
COMMIT;
FETCH held;
CLOSE held;
SELECT * FROM chain.show();
BEGIN;
DECLARE current CURSOR FOR SELECT * FROM node WHERE id = 10 FOR UPDATE;
FETCH current;
UPDATE node SET note = 'where current of' WHERE CURRENT OF current;
COMMIT;
SELECT * FROM chain.show();

-- prepared transactions
BEGIN;
INSERT INTO node VALUES (50, 'prepared');
PREPARE TRANSACTION 'lab yes';
COMMIT PREPARED 'lab yes';
BEGIN;
INSERT INTO node VALUES (51, 'prepared in vain');
PREPARE TRANSACTION 'lab no';
ROLLBACK PREPARED 'lab no';
SELECT prepared_as, events FROM dbnet.transaction WHERE id > (SELECT event FROM chain.seen) ORDER BY id;
SELECT * FROM chain.show();

-- deferred triggers run at PREPARE, with what is on record of it
CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON node DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION later();
CALL chain.skip();
BEGIN;
SELECT touch(50);
PREPARE TRANSACTION 'lab deferred';
COMMIT PREPARED 'lab deferred';
SELECT * FROM chain.show();
DROP TRIGGER later ON node;
CALL chain.skip();

-- who says why: set_cause, traceparent
BEGIN;
SELECT dbnet.set_cause(reason => 'ticket 7');
/*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/ UPDATE node SET note = 'caused' WHERE id = 1;
COMMIT;
SET dbnet.traceparent = '00-11111111111111111111111111111111-2222222222222222-00';
UPDATE node SET note = 'set' WHERE id = 1;
RESET dbnet.traceparent;
SELECT reason, cause, traceparent, origin, prepared_as, events FROM dbnet.transaction WHERE id > (SELECT event FROM chain.seen) ORDER BY id;
SELECT * FROM chain.show();

-- TRUNCATE: every row, also of partitions and of tables that CASCADE takes along
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent);
CREATE TABLE part (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (20);
CALL chain.track('parent', '{id}'); CALL chain.track('child', '{id}'); CALL chain.track('part', '{id}');
INSERT INTO parent VALUES (1), (2); INSERT INTO child VALUES (10, 1); INSERT INTO part VALUES (1), (11);
CALL chain.skip();
TRUNCATE parent CASCADE;
TRUNCATE part_2;
INSERT INTO part VALUES (12);
TRUNCATE part;
BEGIN; TRUNCATE node; ROLLBACK;
SELECT * FROM chain.show();
INSERT INTO parent SELECT generate_series(1, 10001);
TRUNCATE parent CASCADE;
SELECT within, what FROM chain.show() WHERE what !~ '^I ';

-- DDL on what is tracked; passwords are never on record
ALTER TABLE node ADD COLUMN extra int DEFAULT 5;
UPDATE node SET note = 'wider' WHERE id = 1;
ALTER TABLE node RENAME COLUMN note TO remark;
UPDATE node SET remark = 'renamed' WHERE id = 1;
ALTER TABLE node ALTER COLUMN extra TYPE text USING 'x' || extra;
ALTER TABLE node DISABLE TRIGGER dbnet_track;
UPDATE node SET remark = 'missed' WHERE id = 1;
ALTER TABLE node ENABLE ALWAYS TRIGGER dbnet_track;
CREATE INDEX node_remark ON node (remark);
ALTER TABLE node RENAME TO knot;
UPDATE knot SET extra = NULL WHERE id = 1;
CREATE OR REPLACE FUNCTION touch(id int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN id; END $$;
CREATE ROLE lab_secret PASSWORD 'hunter2';
DROP ROLE lab_secret;
DROP TABLE knot;
SELECT * FROM chain.show();

-- switched off and on in between, also while a call is running
CREATE TABLE lamp (id int PRIMARY KEY, lit boolean);
CALL chain.track('lamp', '{id}');
INSERT INTO lamp VALUES (1, false);
SET dbnet.provenance = off;
UPDATE lamp SET lit = true;
SET dbnet.provenance = on;
CREATE PROCEDURE flicker() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('dbnet.provenance', 'off', true);
    UPDATE lamp SET lit = NULL;
    PERFORM set_config('dbnet.provenance', 'on', true);
    UPDATE lamp SET lit = false;
    PERFORM set_config('dbnet.provenance', 'off', true);
END
$$;
CALL flicker();
SHOW dbnet.provenance;
UPDATE lamp SET lit = true;
SELECT * FROM chain.show();

RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA lab CASCADE;
