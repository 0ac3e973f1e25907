-- Who, in which trace, and who configured what: roles and users at the time of each statement, trace contexts in comments, servers,
-- user mappings and settings on record without asking.
SELECT no_plan();
CREATE SCHEMA net;
CREATE TABLE net.nodes (name text PRIMARY KEY, n int);
SELECT lives_ok($$SELECT dbnet.track('net.nodes')$$, 'a table');
CREATE ROLE tap_day LOGIN;
CREATE ROLE tap_night LOGIN;
GRANT tap_night TO tap_day;
GRANT USAGE ON SCHEMA net TO tap_day, tap_night;
GRANT SELECT, INSERT, UPDATE ON net.nodes TO tap_day, tap_night;
-- Without the name of who runs the test.
CREATE VIEW pg_temp.told AS SELECT key ->> 'name' AS name, h.operation, replace(h.role, current_user::text COLLATE "default", 'SUPERUSER') AS role, replace(h.session_user_name, current_user::text COLLATE "default", 'SUPERUSER') AS session_user_name
    FROM (SELECT DISTINCT key FROM dbnet.entity_version WHERE relation = (SELECT number FROM dbnet.tracked_relation WHERE table_name = 'nodes')) AS v, dbnet.history('net.nodes', v.key ->> 'name') AS h;
CREATE FUNCTION pg_temp.who(name text) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', replace(w.detail ->> 'session_user', current_user::text COLLATE "default", 'SUPERUSER'), 'as', replace(w.detail ->> 'role', current_user::text COLLATE "default", 'SUPERUSER'), '|', regexp_replace(replace(w.what, current_user::text COLLATE "default", 'SUPERUSER'), ',.*', ''))
       FROM dbnet.why_steps((SELECT event FROM dbnet.history('net.nodes', name, most => 1))) AS w WHERE w.kind = 'who' $$;

-- Roles -------------------------------------------------------------------------------------------------------------------------------------
BEGIN;
SET LOCAL ROLE tap_day;
INSERT INTO net.nodes VALUES ('a', 1);
RESET ROLE;
COMMIT;
SELECT is(pg_temp.who('a'), 'SUPERUSER as tap_day | SUPERUSER as tap_day', 'the role of the statement, not of the COMMIT');
BEGIN;
INSERT INTO net.nodes VALUES ('b', 1);
SET LOCAL ROLE tap_day;
INSERT INTO net.nodes VALUES ('c', 1);
SET LOCAL ROLE tap_night;
INSERT INTO net.nodes VALUES ('d', 1);
COMMIT;
SELECT is(pg_temp.who(name), wanted, 'in one transaction: ' || name) FROM (VALUES ('b', 'SUPERUSER as SUPERUSER | SUPERUSER'), ('c', 'SUPERUSER as tap_day | SUPERUSER as tap_day'), ('d', 'SUPERUSER as tap_night | SUPERUSER as tap_night')) AS t(name, wanted);
BEGIN;
SET LOCAL SESSION AUTHORIZATION tap_day;
INSERT INTO net.nodes VALUES ('e', 1);
SET LOCAL ROLE tap_night;
INSERT INTO net.nodes VALUES ('f', 1);
RESET ROLE;
RESET SESSION AUTHORIZATION;
INSERT INTO net.nodes VALUES ('g', 1);
COMMIT;
SELECT is(pg_temp.who(name), wanted, 'another session user: ' || name) FROM (VALUES ('e', 'tap_day as tap_day | tap_day'), ('f', 'tap_day as tap_night | tap_day as tap_night'), ('g', 'SUPERUSER as SUPERUSER | SUPERUSER')) AS t(name, wanted);
SELECT results_eq($$SELECT * FROM pg_temp.told WHERE name IN ('e', 'f', 'g') ORDER BY name$$,
    $$VALUES ('e', 'INSERT', 'tap_day', 'tap_day'), ('f', 'INSERT', 'tap_night', 'tap_day'), ('g', 'INSERT', 'SUPERUSER', 'SUPERUSER')$$, 'history says so, too');
-- The statement within which it changes, and a definer.
CREATE FUNCTION net.as_definer(name text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN INSERT INTO net.nodes VALUES (name, 1); END $$;
CREATE FUNCTION net.changes_role(name text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET LOCAL ROLE tap_night; INSERT INTO net.nodes VALUES (name, 1); END $$;
SET ROLE tap_day;
SELECT net.as_definer('h');
RESET ROLE;
BEGIN; SET LOCAL ROLE tap_day; SELECT net.changes_role('i'); COMMIT;
SELECT is(pg_temp.who('h'), 'SUPERUSER as tap_day | SUPERUSER as tap_day', 'a definer''s rights: the outer role');
SELECT results_eq($$SELECT role FROM pg_temp.told WHERE name = 'h'$$, ARRAY['SUPERUSER'], 'and the effective one');
SELECT results_eq($$SELECT role FROM pg_temp.told WHERE name = 'i'$$, ARRAY['tap_night'], 'a function that sets the role');
SELECT is(pg_temp.who('i'), 'SUPERUSER as tap_day | SUPERUSER as tap_day', 'who asked for it');
-- A deferred trigger runs with the role of the COMMIT; from PostgreSQL 18 on with that of the statement.
CREATE FUNCTION net.later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE net.nodes SET n = n + 1 WHERE name = 'a'; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON net.nodes DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION net.later();
BEGIN;
SET LOCAL ROLE tap_day;
INSERT INTO net.nodes VALUES ('j', 1);
SET LOCAL ROLE tap_night;
COMMIT;
DROP TRIGGER later ON net.nodes;
SELECT results_eq($$SELECT operation, role FROM pg_temp.told WHERE name = 'j' OR name = 'a' AND operation = 'UPDATE' ORDER BY 1$$, CASE WHEN current_setting('server_version_num')::int < 180000 THEN $$VALUES ('INSERT', 'tap_day'), ('UPDATE', 'tap_night')$$ ELSE $$VALUES ('INSERT', 'tap_day'), ('UPDATE', 'tap_day')$$ END,
    'the statement, and what was deferred to the commit');
SELECT is_empty('SELECT * FROM dbnet.verify()', 'the chain of hashes holds');

-- Traces ------------------------------------------------------------------------------------------------------------------------------------
CREATE FUNCTION pg_temp.trace(name text, place int DEFAULT 0) RETURNS text LANGUAGE sql AS
    $$ SELECT substr(t.traceparent, 4, 4) FROM dbnet.history('net.nodes', name) AS h JOIN dbnet.activity AS a ON a.id = h.activity JOIN dbnet.transaction AS t ON t.id = a.transaction ORDER BY h.event DESC OFFSET place LIMIT 1 $$;
CREATE PROCEDURE net.in_parts() LANGUAGE plpgsql AS $$
BEGIN
    UPDATE net.nodes SET n = 10 WHERE name = 'b';
    COMMIT;
    UPDATE net.nodes SET n = 10 WHERE name = 'c';
    COMMIT;
    UPDATE net.nodes SET n = 10 WHERE name = 'd';
END $$;
CALL net.in_parts() /*traceparent='00-aaaa651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;
SELECT is(pg_temp.trace(name), 'aaaa', 'a procedure that commits: ' || name) FROM unnest('{b,c,d}'::text[]) AS name;
-- One string of statements (\; sends them together).
/*traceparent='00-bbbb651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/ SELECT 1\; UPDATE net.nodes SET n = 11 WHERE name = 'b';
SELECT is(pg_temp.trace('b'), 'bbbb', 'the second statement of a string');
UPDATE net.nodes SET n = 12 WHERE name = 'b'\; UPDATE net.nodes SET n = 12 WHERE name = 'c' /*traceparent='00-cccc651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;
SELECT is(pg_temp.trace(name), 'cccc', 'the first one, of a comment at the end: ' || name) FROM unnest('{b,c}'::text[]) AS name;
BEGIN\; UPDATE net.nodes SET n = 13 WHERE name = 'b' /*traceparent='00-dddd651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/\; COMMIT\; UPDATE net.nodes SET n = 13 WHERE name = 'c' /*traceparent='00-eeee651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;
SELECT results_eq($$SELECT pg_temp.trace('b'), pg_temp.trace('c')$$, $$VALUES ('dddd', 'eeee')$$, 'two transactions, each with its own');
UPDATE net.nodes SET n = 14 WHERE name = 'b';
SELECT is(pg_temp.trace('b'), NULL, 'none');

-- Servers, user mappings, settings -------------------------------------------------------------------------------------------------------------
SELECT coalesce(max(id), 0) AS seen FROM dbnet.activity \gset
CREATE SERVER lab FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://127.0.0.1:6443');
ALTER SERVER lab OPTIONS (SET api_url 'https://127.0.0.1:6444');
GRANT USAGE ON FOREIGN SERVER lab TO tap_day;
CREATE USER MAPPING FOR tap_day SERVER lab OPTIONS (token 'hunter2');
CREATE USER MAPPING IF NOT EXISTS FOR tap_day SERVER lab OPTIONS (token 'hunter7');
ALTER USER MAPPING FOR tap_day SERVER lab OPTIONS (SET token 'hunter3', ADD client_key_file '/k', ADD client_cert_file '/c');
DO $$ BEGIN CREATE USER MAPPING FOR PUBLIC SERVER lab OPTIONS (token 'hunter4'); END $$;
DO $$ BEGIN CREATE ROLE tap_secret PASSWORD 'hunter5'; UPDATE net.nodes SET n = 20 WHERE name = 'a'; END $$;
DROP USER MAPPING FOR tap_day SERVER lab;
DROP USER MAPPING IF EXISTS FOR tap_day SERVER lab;
CREATE USER MAPPING IF NOT EXISTS FOR PUBLIC SERVER lab OPTIONS (token 'hunter7');
SET client_min_messages = error;
DO $$ BEGIN
    CREATE SUBSCRIPTION tap_copy CONNECTION 'dbname=none password=hunter8' PUBLICATION none WITH (connect = false, slot_name = NONE);
    UPDATE net.nodes SET n = 22 WHERE name = 'a';
END $$;
DO $$ BEGIN ALTER SUBSCRIPTION tap_copy CONNECTION 'dbname=none password=hunter9'; UPDATE net.nodes SET n = 23 WHERE name = 'a'; END $$;
RESET client_min_messages;
DROP SUBSCRIPTION tap_copy;
ALTER SERVER lab RENAME TO laboratory;
ALTER SERVER laboratory OWNER TO CURRENT_USER;
DROP SERVER laboratory CASCADE;
CREATE ROLE tap_owner;
GRANT USAGE ON FOREIGN DATA WRAPPER dbnet_kubernetes TO tap_owner;
SET ROLE tap_owner;
CREATE SERVER owned FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (offline 'true');
RESET ROLE;
DROP OWNED BY tap_owner;
CREATE FOREIGN DATA WRAPPER others;
CREATE SERVER other FOREIGN DATA WRAPPER others;
CREATE USER MAPPING FOR PUBLIC SERVER other OPTIONS (password 'hunter6');
DROP FOREIGN DATA WRAPPER others CASCADE;
SELECT current_database() AS here \gset
ALTER DATABASE :"here" SET dbnet.hold_percent = 30;
ALTER DATABASE :"here" SET work_mem = '5MB';
ALTER DATABASE :"here" RESET ALL;
ALTER ROLE tap_day SET dbnet.provenance = on;
ALTER ROLE tap_day SET work_mem = '5MB';
ALTER SYSTEM SET dbnet.hold_objects = 51;
ALTER SYSTEM RESET dbnet.hold_objects;
DO $$ BEGIN
    BEGIN
        CREATE SERVER refused FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (token 'nothing');
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
    UPDATE net.nodes SET n = 21 WHERE name = 'a';
END $$;
SELECT results_eq(format($$SELECT name, replace(text, %L, 'here'), detail::text FROM dbnet.activity WHERE id > %s AND kind = 'D' ORDER BY id$$, :'here', :seen), $$VALUES
    ('CREATE SERVER', 'CREATE SERVER lab FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url ''https://127.0.0.1:6443'')', '{"created": "server"}'),
    ('ALTER SERVER', 'ALTER SERVER lab OPTIONS (SET api_url ''https://127.0.0.1:6444'')', '{"altered": "server"}'),
    ('GRANT', 'GRANT USAGE ON FOREIGN SERVER lab TO tap_day', '{"altered": "server"}'),
    ('CREATE USER MAPPING', 'CREATE USER MAPPING FOR tap_day SERVER lab OPTIONS (token)', '{"created": "user mapping"}'),
    ('ALTER USER MAPPING', 'ALTER USER MAPPING FOR tap_day SERVER lab OPTIONS (token, client_key_file, client_cert_file)', '{"altered": "user mapping"}'),
    ('CREATE USER MAPPING', 'CREATE USER MAPPING FOR PUBLIC SERVER lab OPTIONS (token)', '{"created": "user mapping"}'),
    ('DROP USER MAPPING', 'DROP USER MAPPING FOR tap_day SERVER lab', '{"dropped": "user mapping"}'),
    ('ALTER SERVER', 'ALTER SERVER lab RENAME TO laboratory', '{"altered": "server"}'),
    ('ALTER SERVER', 'ALTER SERVER laboratory OWNER TO CURRENT_USER', '{"altered": "server"}'),
    ('DROP SERVER', 'DROP SERVER laboratory CASCADE', '{"dropped": "server"}'),
    ('CREATE SERVER', 'CREATE SERVER owned FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (offline ''true'')', '{"created": "server"}'),
    ('DROP OWNED', 'DROP OWNED BY tap_owner', '{"dropped": "server"}'),
    ('ALTER DATABASE', 'ALTER DATABASE "here" SET dbnet.hold_percent = 30', '{"altered": "setting"}'),
    ('ALTER DATABASE', 'ALTER DATABASE "here" RESET ALL', '{"altered": "setting"}'),
    ('ALTER ROLE', 'ALTER ROLE tap_day SET dbnet.provenance = on', '{"altered": "setting"}'),
    ('ALTER SYSTEM', 'ALTER SYSTEM SET dbnet.hold_objects = 51', '{"altered": "setting"}'),
    ('ALTER SYSTEM', 'ALTER SYSTEM RESET dbnet.hold_objects', '{"altered": "setting"}')$$, 'who configured what, without values of credentials; what others configure is not there');
SELECT is_empty($$SELECT text FROM dbnet.activity WHERE concat(text, arguments, detail) ~ 'hunter[2-9]'$$, 'no credential is on record, nor what held one');
SELECT results_eq($$SELECT kind, what FROM dbnet.timeline(tstzrange(now() - interval '1 hour', NULL)) AS t WHERE what ~ 'MAPPING FOR PUBLIC'$$,
    $$VALUES ('ddl', 'CREATE USER MAPPING FOR PUBLIC SERVER lab OPTIONS (token)')$$, 'the timeline tells of it');
SELECT is_empty('SELECT * FROM dbnet.verify()', 'the chain of hashes holds');

-- The extension anew, in the same session ---------------------------------------------------------------------------------------------------------
SET client_min_messages = warning;
DROP EXTENSION dbnet CASCADE;
RESET client_min_messages;
CREATE EXTENSION dbnet;
SELECT lives_ok($$SELECT dbnet.track('net.nodes')$$, 'made anew');
UPDATE net.nodes SET n = 30 WHERE name = 'a';
SELECT results_eq($$SELECT session_user_name = session_user, new FROM dbnet.history('net.nodes', 'a')$$, $$VALUES (true, '{"n": 30}'::jsonb)$$, 'who it was is on record again');
SELECT is_empty('SELECT * FROM dbnet.verify()', 'the chain of hashes holds');
DROP OWNED BY tap_day, tap_night;
DROP ROLE tap_day, tap_night, tap_owner, tap_secret;
SELECT * FROM finish();
