-- Provenance of calls and triggers: procedures in every language, arguments, roles, recursion, activations.
\getenv abs_srcdir PG_ABS_SRCDIR
\set chain :abs_srcdir '/include/chain.sql'
\set ECHO none
\i :chain
\set ECHO all
CREATE SCHEMA lab;
SET search_path = lab;
CREATE TABLE node (id int PRIMARY KEY, note text);
CALL chain.track('node', '{id}');

-- a procedure with arguments, called by name, from SELECT, nested, with the line that called
CREATE PROCEDURE add_node(id int, note text DEFAULT 'none', INOUT made boolean DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO node VALUES (id, note);
    made := true;
END
$$;
CREATE FUNCTION add_two(first int, VARIADIC notes text[]) RETURNS int LANGUAGE plpgsql AS $$
DECLARE made boolean;
BEGIN
    CALL add_node(first, notes[1], made);

    CALL add_node(first + 1, made => made);
    RETURN 2;
END
$$;
CALL add_node(1, note => 'one');
CREATE PROCEDURE count_nodes(above int, OUT counted bigint) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE node SET note = 'counted' WHERE id > above;
    GET DIAGNOSTICS counted = ROW_COUNT;
END
$$;
CALL count_nodes(0, NULL);
SELECT add_two(2, 'two', 'of many');
SELECT * FROM chain.show();

-- arguments of every kind; polymorphic and unnamed ones
CREATE FUNCTION take(a boolean, b numeric, c timestamptz, d jsonb, e int[], f node, g anyelement, text) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN UPDATE node SET note = $8 WHERE id = 1; END $$;
SELECT take(true, 'NaN', '2026-01-02 03:04:05+02', '{"b": [1, null]}', '{1,NULL}', ROW(5, 'x"'), 7::bigint, NULL);
SELECT * FROM chain.show();

-- every language: SQL, BEGIN ATOMIC, PL/Perl, PL/Python, C
SET client_min_messages = warning;
CREATE EXTENSION plperl;
CREATE EXTENSION plpython3u;
RESET client_min_messages;
CREATE PROCEDURE by_sql(which int) LANGUAGE sql AS $$ UPDATE node SET note = 'sql' WHERE id = which; UPDATE node SET note = 'sql 2' WHERE id = which $$;
CREATE PROCEDURE by_atomic(which int) LANGUAGE sql BEGIN ATOMIC UPDATE node SET note = 'atomic' WHERE id = which; END;
CREATE FUNCTION by_perl(int, text) RETURNS text LANGUAGE plperl AS $$ spi_exec_query("UPDATE node SET note = '$_[1]' WHERE id = $_[0]"); return 'done'; $$;
CREATE PROCEDURE by_python(which int) LANGUAGE plpython3u AS $$ plpy.execute(plpy.prepare("UPDATE node SET note = 'python' WHERE id = $1", ["int"]), [which]) $$;
CREATE FUNCTION by_c(text) RETURNS void LANGUAGE c STRICT AS '$libdir/dbnet_test', 'dbnet_test_execute';
CALL by_sql(1);
CALL by_atomic(1);
SELECT by_perl(1, 'perl');
CALL by_python(1);
SELECT by_c('UPDATE node SET note = ''c'' WHERE id = 1');
SELECT * FROM chain.show();
SELECT name, language, regexp_replace(source, '\s+', ' ', 'g') AS source FROM dbnet.code WHERE name ~ 'lab.by_' ORDER BY 1;

-- a procedure in C, and procedures that end transactions; triggers in PL/Perl and PL/Python
CREATE PROCEDURE call_c(text) LANGUAGE c AS '$libdir/dbnet_test', 'dbnet_test_execute';
CREATE PROCEDURE commit_python() LANGUAGE plpython3u AS $$
for id in (1, 2):
    plpy.execute("UPDATE node SET note = 'python %d' WHERE id = %d" % (id, id))
    plpy.commit()
$$;
CREATE PROCEDURE commit_perl() LANGUAGE plperl AS $$ for my $id (1, 2) { spi_exec_query("UPDATE node SET note = 'perl $id' WHERE id = $id"); $id == 1 ? spi_rollback() : spi_commit(); } $$;
CALL call_c('UPDATE node SET note = ''c procedure'' WHERE id = 1');
CALL commit_python();
CALL commit_perl();
SELECT * FROM chain.show();
CREATE TABLE asked (id int PRIMARY KEY, note text);
CALL chain.track('asked', '{id}');
CREATE FUNCTION perl_trigger() RETURNS trigger LANGUAGE plperl AS $$ spi_exec_query("UPDATE node SET note = '$_TD->{event} of $_TD->{new}{id}' WHERE id = 2"); return; $$;
CREATE FUNCTION python_trigger() RETURNS trigger LANGUAGE plpython3u AS $$
TD["new"]["note"] = TD["new"]["note"] + " by python"
return "MODIFY"
$$;
CREATE TRIGGER perl_trigger AFTER INSERT ON asked FOR EACH ROW EXECUTE FUNCTION perl_trigger();
CREATE TRIGGER python_trigger BEFORE UPDATE ON node FOR EACH ROW EXECUTE FUNCTION python_trigger();
CALL chain.skip();
INSERT INTO asked VALUES (7, 'x');
SELECT * FROM chain.show();
DROP TABLE asked;
DROP TRIGGER python_trigger ON node;
CALL chain.skip();

-- the source that ran: a procedure that changes between two calls
CREATE OR REPLACE PROCEDURE by_sql(which int) LANGUAGE sql AS $$ UPDATE node SET note = 'new source' WHERE id = which $$;
CALL by_sql(1);
CALL by_sql(1);
SELECT c.source, count(*) FROM dbnet.activity AS a JOIN dbnet.code AS c ON c.id = a.code WHERE a.name = 'lab.by_sql(integer)' GROUP BY c.source, c.id ORDER BY min(a.id);
SELECT * FROM chain.show();

-- recursion of a function
CREATE FUNCTION count_down(n int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN IF n > 0 THEN UPDATE node SET note = 'down ' || n WHERE id = 2; PERFORM count_down(n - 1); END IF; END $$;
SELECT count_down(3);
SELECT * FROM chain.show();

-- a set-returning function that is not read to its end
CREATE FUNCTION some_of() RETURNS SETOF int LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..3 LOOP UPDATE node SET note = 'some of ' || i WHERE id = 3; RETURN NEXT i; END LOOP; END $$;
SELECT some_of() LIMIT 1;
SELECT * FROM chain.show();

-- roles: SECURITY DEFINER, SET ROLE, SET SESSION AUTHORIZATION
SET client_min_messages = warning;
DROP ROLE IF EXISTS lab_owner; DROP ROLE IF EXISTS lab_user; DROP ROLE IF EXISTS lab_login;
RESET client_min_messages;
CREATE ROLE lab_owner; CREATE ROLE lab_user; CREATE ROLE lab_login IN ROLE lab_user;
GRANT USAGE, CREATE ON SCHEMA lab TO lab_owner; GRANT USAGE ON SCHEMA lab TO lab_user, lab_login; GRANT SELECT, UPDATE ON node TO lab_owner, lab_user;
SET ROLE lab_owner;
CREATE PROCEDURE by_definer() LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN UPDATE lab.node SET note = 'as ' || current_user WHERE id = 1; END $$;
RESET ROLE;
SET ROLE lab_user;
CALL by_definer();
UPDATE node SET note = 'user' WHERE id = 1;
RESET ROLE;
SET SESSION AUTHORIZATION lab_login;
UPDATE node SET note = 'login' WHERE id = 3;
SET ROLE lab_user;
UPDATE node SET note = 'login as user' WHERE id = 3;
RESET SESSION AUTHORIZATION;
SELECT t.role, replace(s.session_user_name, session_user, 'SUPERUSER') AS session_user_name, s.process, s.application_name, s.client_address, s.client_port, s.process_id = pg_backend_pid() AS mine
FROM dbnet.transaction AS t JOIN dbnet.session AS s ON s.id = t.session WHERE t.id > (SELECT event FROM chain.seen) AND t.role ~ 'lab' ORDER BY t.id;
SELECT * FROM chain.show();

-- triggers: activations with the version that started them; of a tracked table with all of them, also those that did nothing
CREATE TABLE lb (name text PRIMARY KEY, rps int);
CALL chain.track('lb', '{name}', 'all');
CREATE FUNCTION scale() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.rps > 100 THEN
        PERFORM add_two(NEW.rps, TG_ARGV[0]);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER scale AFTER INSERT OR UPDATE ON lb FOR EACH ROW EXECUTE FUNCTION scale('by rps', '2');
INSERT INTO lb VALUES ('a', 1), ('b', 200);
UPDATE lb SET rps = 300 WHERE name = 'a';
SELECT * FROM chain.show();

-- BEFORE triggers: rewrite, suppress, leave alone; triggers that change other tables
CREATE FUNCTION rewrite() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.rps < 0 THEN RETURN NULL; END IF;
    IF NEW.rps > 1000 THEN NEW.rps := 1000; END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER rewrite BEFORE INSERT OR UPDATE ON lb FOR EACH ROW EXECUTE FUNCTION rewrite();
INSERT INTO lb VALUES ('c', 5000), ('d', -1), ('e', 5);
UPDATE lb SET rps = -5 WHERE name = 'e';
SELECT * FROM chain.show();
DROP TRIGGER rewrite ON lb;

-- a trigger that fires itself by what it does
CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE lb SET rps = NEW.rps - 1 WHERE name = NEW.name AND NEW.rps BETWEEN 1 AND 2; RETURN NULL; END $$;
CREATE TRIGGER again AFTER UPDATE ON lb FOR EACH ROW WHEN (NEW.rps < 5) EXECUTE FUNCTION again();
UPDATE lb SET rps = 2 WHERE name = 'e';
SELECT * FROM chain.show();
DROP TRIGGER again ON lb;

-- statement-level triggers with transition tables
CREATE FUNCTION summed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE node SET note = (SELECT sum(rps)::text FROM changed) WHERE id = 2; RETURN NULL; END $$;
CREATE TRIGGER summed AFTER UPDATE ON lb REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION summed();
UPDATE lb SET rps = 7 WHERE name IN ('b', 'e');
SELECT * FROM chain.show();
DROP TRIGGER summed ON lb; DROP TRIGGER scale ON lb;
CALL chain.skip();

-- INSTEAD OF triggers on a view
CREATE VIEW nodes AS SELECT id, upper(note) AS note FROM node;
CREATE FUNCTION through() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN DELETE FROM node WHERE id = OLD.id; RETURN OLD; END IF;
    UPDATE node SET note = lower(NEW.note) WHERE id = OLD.id;
    RETURN NEW;
END
$$;
CREATE TRIGGER through INSTEAD OF UPDATE OR DELETE ON nodes FOR EACH ROW EXECUTE FUNCTION through();
UPDATE nodes SET note = 'VIEW' WHERE id = 2;
DELETE FROM nodes WHERE id = 200;
SELECT * FROM chain.show();

-- triggers of a partition
CREATE TABLE part (id int PRIMARY KEY, note text) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (100);
CALL chain.track('part', '{id}');
CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE node SET note = NEW.note WHERE id = 1; RETURN NULL; END $$;
CREATE TRIGGER follow AFTER INSERT ON part FOR EACH ROW EXECUTE FUNCTION follow();
INSERT INTO part VALUES (1, 'from part');
SELECT * FROM chain.show();

-- SQL functions that PostgreSQL inlines are still inlined
CREATE FUNCTION plus(a int, b int) RETURNS int LANGUAGE sql AS $$ SELECT a + b $$;
CREATE FUNCTION plus_stable(a int) RETURNS int STABLE LANGUAGE sql RETURN a + 1;
CREATE FUNCTION rows_of(n int) RETURNS SETOF node STABLE LANGUAGE sql AS $$ SELECT * FROM node WHERE id = n $$;
\pset format aligned
EXPLAIN (VERBOSE, COSTS off) SELECT plus(id, 1), plus_stable(id) FROM node;
EXPLAIN (COSTS off) SELECT * FROM rows_of(5);
\pset format unaligned

-- functions of which every call is recorded, also one that changed nothing
CREATE FUNCTION look(which int) RETURNS text STABLE LANGUAGE sql AS $$ SELECT note FROM node WHERE id = which $$;
INSERT INTO dbnet.tracked_function VALUES ('lab.look(integer)');
SELECT look(1);
SELECT event, within, regexp_replace(what, '"tracked_since": "[^"]+"', 'SINCE') AS what FROM chain.show();
DELETE FROM dbnet.tracked_function;
CALL chain.skip();

-- ... also of one that this session has called before; what is rolled back does not count
CREATE FUNCTION peek(n int) RETURNS int VOLATILE LANGUAGE plpgsql AS $$ BEGIN RETURN n; END $$;
SELECT peek(0);
BEGIN;
INSERT INTO dbnet.tracked_function VALUES ('lab.peek(integer)');
SELECT peek(1);
SAVEPOINT before;
DELETE FROM dbnet.tracked_function;
SELECT peek(2);
ROLLBACK TO before;
SELECT peek(3);
COMMIT;
SELECT what FROM chain.show() WHERE what LIKE 'C %';
BEGIN;
DELETE FROM dbnet.tracked_function;
SELECT peek(4);
ROLLBACK;
SELECT peek(5);
DELETE FROM dbnet.tracked_function;
SELECT peek(6);
SELECT what FROM chain.show() WHERE what LIKE 'C %';

-- event triggers
CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE lab.node SET note = tg_tag WHERE id = 3; END $$;
CREATE EVENT TRIGGER lab_on_ddl ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION on_ddl();
CREATE TABLE some_table (id int);
DROP EVENT TRIGGER lab_on_ddl;
SELECT * FROM chain.show();

-- the schema of a function that this session has called gets another name
CREATE SCHEMA old_name;
CREATE PROCEDURE old_name.set_note(which int) LANGUAGE sql AS $$ UPDATE lab.node SET note = note || '!' WHERE id = which $$;
CALL old_name.set_note(3);
ALTER SCHEMA old_name RENAME TO new_name;
CALL new_name.set_note(3);
SELECT * FROM chain.show();
DROP SCHEMA new_name CASCADE;

RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA lab CASCADE;
DROP EXTENSION plperl; DROP EXTENSION plpython3u;
DROP ROLE lab_owner; DROP ROLE lab_user; DROP ROLE lab_login;
