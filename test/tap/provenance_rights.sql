-- Who may ask what: rights on the table, columns, row-level security, the roles of DBNet, dropped tables.
SELECT no_plan();
CREATE SCHEMA net;
CREATE TABLE net.open (id int PRIMARY KEY, a text);
CREATE TABLE net.hidden (id int PRIMARY KEY, a text);
CREATE TABLE net.protected (id int PRIMARY KEY, a text);
SELECT lives_ok(format('SELECT dbnet.track(%L, activations => %L)', name, 'all'), name) FROM unnest(ARRAY['net.open', 'net.hidden', 'net.protected']) AS name;
SELECT string_agg(format('CREATE ROLE tap_%s', name), '; ') AS make FROM unnest('{viewer,operator,admin,nobody,owner,bypass}'::text[]) AS name \gset
SET client_min_messages = warning;
DROP ROLE IF EXISTS tap_viewer, tap_operator, tap_admin, tap_nobody, tap_owner, tap_bypass;
RESET client_min_messages;
:make;
ALTER ROLE tap_bypass BYPASSRLS;
GRANT dbnet_viewer TO tap_viewer, tap_owner, tap_bypass;
GRANT dbnet_operator TO tap_operator;
GRANT dbnet_admin TO tap_admin;
-- For pgTAP alone.
GRANT USAGE ON SCHEMA net TO PUBLIC;
GRANT SELECT ON net.open TO tap_viewer, tap_operator, tap_admin, tap_bypass;
GRANT SELECT (id) ON net.hidden TO tap_viewer, tap_operator;
GRANT SELECT ON net.protected TO tap_viewer, tap_operator, tap_admin, tap_bypass;
ALTER TABLE net.protected OWNER TO tap_owner;
ALTER TABLE net.protected ENABLE ROW LEVEL SECURITY;

CREATE FUNCTION net.copy() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN INSERT INTO net.open VALUES (NEW.id + 100, 'copied'); RETURN NULL; END $$;
CREATE TRIGGER copy AFTER INSERT ON net.hidden FOR EACH ROW EXECUTE FUNCTION net.copy();
CREATE FUNCTION net.write_pair(id int, value text) RETURNS void LANGUAGE sql AS $$ INSERT INTO net.hidden VALUES (id, value) $$;
INSERT INTO net.open VALUES (1, 'public');
INSERT INTO net.protected VALUES (1, 'mine');
SELECT net.write_pair(1, 'canary-1');
WITH other AS (INSERT INTO net.hidden VALUES (2, 'canary-2')) UPDATE net.open SET a = 'changed' WHERE id = 1;
-- What was to be written, and was rolled back: after the trigger has seen it, and before that.
CREATE PROCEDURE net.try(id int, value text) LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        INSERT INTO net.hidden VALUES (id, value);
        IF id > 2 THEN RAISE 'no'; END IF;
    EXCEPTION WHEN raise_exception OR unique_violation THEN
        INSERT INTO net.open VALUES (id + 200, 'tried');
    END;
END
$$;
CALL net.try(3, 'canary-3');
CALL net.try(1, 'canary-4');
DO $$ BEGIN BEGIN INSERT INTO net.hidden VALUES (1, 'canary-5'); EXCEPTION WHEN unique_violation THEN INSERT INTO net.open VALUES (202, 'tried'); END; COMMIT; END $$;
SELECT is((SELECT string_agg(what, ', ' ORDER BY step) FROM dbnet.why_steps((SELECT event FROM dbnet.history('net.open', '203'))) WHERE kind = 'call'), 'net.try(id => 3, value => "canary-3"), partly rolled back',
    'who may read everything is told of what was tried');
CREATE TABLE net.kept (at_open bigint, at_hidden bigint, at_protected bigint, at_setting bigint);
INSERT INTO net.kept SELECT (SELECT event FROM dbnet.history('net.open', '101')), (SELECT event FROM dbnet.history('net.hidden', '1')), (SELECT event FROM dbnet.history('net.protected', '1'));
ALTER ROLE tap_bypass SET dbnet.provenance = on;
UPDATE net.kept SET at_setting = (SELECT max(id) FROM dbnet.activity WHERE kind = 'D' AND relation IS NULL);
GRANT SELECT ON net.kept TO PUBLIC;

CREATE FUNCTION pg_temp.error(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE state text; message text; hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', state, message, nullif(hint, ''));
END $$;
GRANT USAGE ON SCHEMA public TO PUBLIC;
SELECT format('GRANT USAGE ON SCHEMA %I TO PUBLIC', pg_my_temp_schema()::regnamespace) AS temporary \gset
:temporary;
SELECT string_agg(format('GRANT ALL ON %s TO PUBLIC', oid::regclass), '; ') AS grants FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relkind IN ('r', 'S') \gset
:grants;

-- Who is nothing in DBNet -----------------------------------------------------------------------------------------------------------
SET ROLE tap_nobody;
SELECT is(left(pg_temp.error(statement), 35), '42501 | permission denied for funct', statement) FROM unnest(ARRAY[
    $$SELECT dbnet.history('net.open', '1')$$, $$SELECT dbnet.why('net.open', '1')$$, $$SELECT dbnet.timeline(NULL)$$, $$SELECT dbnet.verify()$$, $$SELECT dbnet.digest()$$,
    $$SELECT dbnet.track('net.open')$$, $$SELECT dbnet.undo(1)$$, $$SELECT dbnet.gaps()$$, $$SELECT dbnet.answer_history(10, 'net.open', '1', 'infinity', 1)$$]) AS asked(statement);
SELECT is(pg_temp.error($$SELECT dbnet.set_cause(NULL, 'a reason')$$), 'no error', 'everybody may say why');
SELECT is(pg_temp.error($$SELECT dbnet.used('net.open', '1')$$), '42501 | permission denied for table open', 'but not look whether a row is on record');
RESET ROLE;

-- A viewer -----------------------------------------------------------------------------------------------------------------------------
SET ROLE tap_viewer;
SELECT results_eq($$SELECT operation, new ->> 'a', statement FROM dbnet.history('net.open', '1')$$,
    $$VALUES ('UPDATE', 'changed', NULL), ('INSERT', 'public', $s$INSERT INTO net.open VALUES (1, 'public')$s$)$$, 'history, without the statement that also wrote what it may not read');
SELECT results_eq($$SELECT column_name, value, statement FROM dbnet.blame('net.open', '1')$$, $$VALUES ('a', '"changed"'::jsonb, 'UPDATE'), ('id', '1', $s$INSERT INTO net.open VALUES (1, 'public')$s$)$$, 'blame');
SELECT results_eq($$SELECT depth, kind, regexp_replace(what, 'transaction \d+', 'transaction'), detail IS NULL FROM net.kept, dbnet.why_steps(at_open)$$,
    $$VALUES (0, 'row', 'INSERT net.open 101: a "copied"', false), (0, 'statement', 'INSERT (line 1)', true), (0, 'trigger', 'copy on net.hidden, after insert', true),
             (1, 'row', 'INSERT net.hidden (you may not read it)', true), (1, 'statement', 'INSERT', true), (1, 'call', 'net.write_pair(…)', true), (1, 'statement', 'SELECT', true),
             (1, 'who', 'postgres, psql, from this machine, transaction', false)$$, 'why shows that something happened in a table that it may not read, and no value');
SELECT is(pg_temp.error(statement), '42501 | permission denied for the history of table ' || name || ' | It is for roles that may SELECT the whole table; with row-level security on it for members of dbnet_admin.', statement)
FROM (VALUES ('net.hidden', $$SELECT dbnet.history('net.hidden', '1')$$), ('net.hidden', $$SELECT dbnet.blame('net.hidden', '1')$$), ('net.hidden', $$SELECT dbnet.why('net.hidden', '1')$$),
    ('net.hidden', $$SELECT dbnet.changes_since('net.hidden', 1)$$), ('net.hidden', $$SELECT dbnet.gaps('net.hidden')$$), ('net.hidden', $$SELECT dbnet.timeline(NULL, 'net.hidden')$$),
    ('net.hidden', $$SELECT dbnet.undo(at_hidden) FROM net.kept$$), ('net.hidden', $$SELECT dbnet.newest_versions('net.hidden')$$),
    ('net.protected', $$SELECT dbnet.history('net.protected', '1')$$), ('net.protected', $$SELECT dbnet.as_of('net.protected'::regclass, now())$$),
    ('net.protected', $$SELECT dbnet.undo(at_protected) FROM net.kept$$), ('net.protected', $$SELECT dbnet.timeline(NULL, 'net.protected')$$)) AS asked(name, statement);
SELECT is(pg_temp.error(statement), '42501 | permission denied for table hidden', statement)
FROM unnest(ARRAY[$$SELECT dbnet.as_of('net.hidden'::regclass, now())$$, $$SELECT dbnet.as_of(NULL::net.hidden, now())$$]) AS asked(statement);
SELECT is_empty($$SELECT * FROM dbnet.timeline(NULL) AS t WHERE t.object !~ '^net.open'$$, 'timeline of what it may read');
SELECT isnt_empty($$SELECT * FROM dbnet.timeline(NULL) AS t WHERE t.object = 'net.open 1'$$, 'of that all');
SELECT is_empty($$SELECT * FROM dbnet.gaps()$$, 'gaps of what it may read');
SELECT results_eq($$SELECT s.what, s.detail FROM net.kept, LATERAL (SELECT * FROM dbnet.why_steps(at_setting) UNION ALL SELECT * FROM dbnet.impact_steps(at_setting)) AS s WHERE s.kind = 'ddl'$$,
    $$VALUES ('ALTER ROLE', NULL::jsonb), ('ALTER ROLE', NULL)$$, 'how DBNet is configured is not for viewers');
SELECT is_empty($$SELECT * FROM net.kept AS k, LATERAL (VALUES (dbnet.graph(k.at_open, 'prov-json')), (dbnet.graph(k.at_open)),
    ((SELECT string_agg(s::text, '') FROM dbnet.why_steps(k.at_hidden) AS s)), ((SELECT string_agg(s::text, '') FROM dbnet.impact_steps(k.at_hidden) AS s)),
    ((SELECT string_agg(t::text, '') FROM dbnet.timeline(NULL) AS t)), ((SELECT string_agg(h::text, '') FROM dbnet.history('net.open', '1') AS h)),
    ((SELECT string_agg(h::text, '') FROM dbnet.blame('net.open', '1') AS h)),
    ((SELECT string_agg(s::text, '') FROM unnest('{201,202,203}'::text[]) AS tried, dbnet.history('net.open', tried) AS h, dbnet.why_steps(h.event) AS s)),
    ((SELECT string_agg(h::text, '') FROM unnest('{201,202,203}'::text[]) AS tried, dbnet.history('net.open', tried) AS h))) AS answer(text) WHERE answer.text LIKE '%canary%' OR answer.text LIKE '%mine%'$$, 'no answer holds what it may not read');
SELECT is(left(pg_temp.error(statement), 18), '42501 | permission', statement) FROM unnest(ARRAY[
    $$SELECT dbnet.verify()$$, $$SELECT dbnet.digest()$$, $$SELECT dbnet.track('net.open')$$, $$SELECT dbnet.answer_why_steps(10, 1, 1)$$, $$SELECT dbnet.answer_track(10, 'net.open', '{}', 'all', NULL)$$,
    $$SELECT dbnet.replay(100, '{id}', 0)$$, $$SELECT dbnet.version_by_id(1)$$, $$SELECT dbnet.take_event()$$]) AS asked(statement);
-- It may ask, but what is done has its own rights.
SELECT is(pg_temp.error($$SELECT dbnet.undo((SELECT event FROM dbnet.history('net.open', '101')), dry_run => false)$$), '42501 | permission denied for table open', 'undo needs the right to write');
RESET ROLE;

-- Row-level security: who it does not apply to, and dbnet_admin ------------------------------------------------------------------------------
SET ROLE tap_owner;
SELECT is((SELECT count(*) FROM dbnet.history('net.protected', '1')), 1::bigint, 'the owner, to whom row-level security does not apply');
RESET ROLE;
ALTER TABLE net.protected FORCE ROW LEVEL SECURITY;
SET ROLE tap_owner;
SELECT is(left(pg_temp.error($$SELECT dbnet.history('net.protected', '1')$$), 5), '42501', 'not if it is forced');
SELECT is(pg_temp.error($$SELECT dbnet.track('net.protected')$$), '42501 | permission denied for function track', 'who owns a table but is no dbnet_admin does not track it');
SET ROLE tap_bypass;
SELECT is((SELECT count(*) FROM dbnet.history('net.protected', '1')), 1::bigint, 'who bypasses row-level security');
SET ROLE tap_operator;
SELECT is(left(pg_temp.error($$SELECT dbnet.history('net.protected', '1')$$), 5), '42501', 'an operator reads no more than a viewer');
SELECT is_empty('SELECT * FROM dbnet.verify()', 'but may verify');
SELECT results_eq($$SELECT s.what, s.detail ->> 'text' FROM net.kept, LATERAL (SELECT * FROM dbnet.why_steps(at_setting) UNION ALL SELECT * FROM dbnet.impact_steps(at_setting)) AS s WHERE s.kind = 'ddl'$$,
    $$SELECT t, t FROM unnest(ARRAY['ALTER ROLE tap_bypass SET dbnet.provenance = on', 'ALTER ROLE tap_bypass SET dbnet.provenance = on']) AS t$$, 'and see how DBNet is configured');
SELECT is_empty('SELECT * FROM dbnet.digest()', 'and keep the digest');
SELECT is_empty('SELECT * FROM dbnet.gaps()', 'gaps passes over what it may not read');
SET ROLE tap_admin;
SELECT is((SELECT count(*) FROM dbnet.history('net.protected', '1')), 1::bigint, 'an admin with SELECT');
SELECT is(left(pg_temp.error($$SELECT dbnet.history('net.hidden', '1')$$), 5), '42501', 'not without');
SELECT is(pg_temp.error($$SELECT dbnet.track('net.open')$$), '42501 | must be owner of table net.open', 'an admin tracks its own tables');
SELECT is(pg_temp.error($$SELECT dbnet.untrack('net.open')$$), '42501 | must be owner of table net.open', 'and untracks them');
SELECT is(pg_temp.error($$SELECT dbnet.track_function('net.write_pair(int, text)')$$), '42501 | must be owner of function net.write_pair(integer,text)', 'as functions');
SELECT is(left(pg_temp.error(statement), 33), '42501 | permission denied for tab', statement) FROM (
    SELECT format(action, 'dbnet.' || name) FROM unnest('{activity,entity_version,entity_version_00,activity_15,session,used_version,code,provenance_block,tracked_function}'::text[]) AS name,
        unnest(ARRAY['SELECT * FROM %s', 'DELETE FROM %s', 'INSERT INTO %s DEFAULT VALUES', 'TRUNCATE %s']) AS action) AS asked(statement);
RESET ROLE;

-- A dropped table ----------------------------------------------------------------------------------------------------------------------------
DROP TABLE net.open;
SET ROLE tap_viewer;
SELECT results_eq($$SELECT what FROM net.kept, dbnet.why_steps(at_open) LIMIT 1$$, $$VALUES ('INSERT net.open (you may not read it)')$$, 'what a dropped table held is not for viewers');
SET ROLE tap_admin;
SELECT results_eq($$SELECT what FROM net.kept, dbnet.why_steps(at_open) LIMIT 1$$, $$VALUES ('INSERT net.open 101: a "copied"')$$, 'but for admins');
RESET ROLE;
SELECT is(pg_temp.error($$SELECT dbnet.undo((SELECT at_open FROM net.kept))$$), '42P01 | table net.open was dropped', 'undo says that it was dropped');
DROP OWNED BY tap_viewer, tap_operator, tap_admin, tap_nobody, tap_bypass CASCADE;
DROP OWNED BY tap_owner CASCADE;
DROP ROLE tap_viewer, tap_operator, tap_admin, tap_nobody, tap_owner, tap_bypass;
SELECT * FROM finish();
