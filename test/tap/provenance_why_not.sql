-- dbnet.why_not: why a row was not written, by every reason that there is, and why it did not reach its device.
SELECT no_plan();
CREATE SCHEMA net;
CREATE SCHEMA policy;
CREATE TABLE net.traffic (balancer text PRIMARY KEY, rps int);
CREATE TABLE net.balancers (name text PRIMARY KEY, rps int, capacity int, note text);
CREATE TABLE net.nodes (id int PRIMARY KEY, balancer text REFERENCES net.balancers ON DELETE CASCADE);
CREATE TABLE net.untracked (id int PRIMARY KEY);
SELECT lives_ok(format('SELECT dbnet.track(%L)', name), name) FROM unnest(ARRAY['net.traffic', 'net.balancers', 'net.nodes']) AS tracked(name);
CREATE PROCEDURE policy.scale_out(balancer text) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO net.nodes VALUES ((SELECT coalesce(max(id), 0) + 1 FROM net.nodes), balancer);
END
$$;
CREATE FUNCTION policy.on_overload() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.note IS DISTINCT FROM 'frozen' THEN
        CALL policy.scale_out(NEW.name);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER overload AFTER UPDATE OF rps ON net.balancers FOR EACH ROW WHEN (NEW.rps > NEW.capacity) EXECUTE FUNCTION policy.on_overload();
CREATE FUNCTION policy.on_traffic() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE net.balancers SET rps = NEW.rps WHERE name = NEW.balancer;
    RETURN NULL;
END
$$;
CREATE TRIGGER arrived AFTER INSERT OR UPDATE ON net.traffic FOR EACH ROW EXECUTE FUNCTION policy.on_traffic();
CREATE FUNCTION policy.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE WHEN NEW.id <> 13 THEN NEW END;
END
$$;
CREATE TRIGGER refuse BEFORE INSERT ON net.nodes FOR EACH ROW EXECUTE FUNCTION policy.refuse();

-- Steps without what differs from run to run.
CREATE FUNCTION pg_temp.steps(relation regclass, key text) RETURNS TABLE (depth int, kind text, what text) LANGUAGE sql AS $$
    SELECT s.depth, s.kind, regexp_replace(regexp_replace(s.what, ' since \d+-\d+-\d+ \d+:\d+:\d+', '', 'g'), '\(\d{10,}\)', '(EVENT)', 'g') FROM dbnet.why_not_steps($1, $2) AS s ORDER BY s.step
$$;

SELECT results_eq($$SELECT * FROM pg_temp.steps('net.nodes', '7')$$, $$VALUES
    (0, 'row', 'no change of net.nodes 7 is on record; there is no such row now'),
    (1, 'trigger', 'overload on net.balancers, at UPDATE of rps: policy.on_overload() → policy.scale_out(text) writes net.nodes by its source'),
    (2, 'table', 'no UPDATE of rps of net.balancers is on record'),
    (3, 'trigger', 'arrived on net.traffic, at INSERT or UPDATE: policy.on_traffic() writes net.balancers by its source'),
    (4, 'table', 'no INSERT or UPDATE of net.traffic is on record'),
    (5, 'nobody', 'no trigger, foreign key or function of this database writes net.traffic: it waits for a client'),
    (1, 'foreign key', 'nodes_balancer_fkey: ON DELETE CASCADE of net.balancers'),
    (2, 'table', 'no DELETE of net.balancers is on record'),
    (1, 'call', 'policy.scale_out(text) writes net.nodes; no call is on record (every one is after dbnet.track_function(''policy.scale_out(text)''))')$$,
    'nothing happened: back to who should have begun');

INSERT INTO net.balancers VALUES ('web', 1, 100, NULL), ('api', 1, 300, NULL), ('old', 1, 10, 'frozen');
INSERT INTO net.traffic VALUES ('web', 200);
INSERT INTO net.traffic VALUES ('api', 200);
INSERT INTO net.traffic VALUES ('old', 200);
SELECT results_eq($$SELECT * FROM pg_temp.steps('net.nodes', '7') WHERE depth < 3 AND kind NOT IN ('foreign key', 'table')$$, $$VALUES
    (0, 'row', 'no change of net.nodes 7 is on record; there is no such row now'),
    (1, 'trigger', 'overload on net.balancers, at UPDATE of rps: policy.on_overload() → policy.scale_out(text) writes net.nodes'),
    (2, 'silent', 'UPDATE old: WHEN (new.rps > new.capacity) was true: policy.on_overload() ran and changed nothing that is on record, or was not there yet'),
    (2, 'condition', 'UPDATE api: WHEN (new.rps > new.capacity) was false, with new.rps 200, new.capacity 300'),
    (2, 'fired', 'UPDATE web: it wrote something else, see dbnet.impact(EVENT)'),
    (1, 'call', 'policy.scale_out(text) writes net.nodes; one call is on record, see dbnet.why(EVENT)')$$,
    'each change for which the trigger was to fire: its condition, with values; it wrote nothing; it wrote another row');
SELECT results_eq($$SELECT * FROM pg_temp.steps('net.nodes', '1')$$, $$VALUES (0, 'row', 'net.nodes 1 was written: INSERT: balancer "web"; dbnet.why(EVENT) tells why')$$, 'it was written');

-- The condition is told by the row as it was then, not as it is now.
UPDATE net.balancers SET capacity = 50 WHERE name = 'api';
SELECT results_eq($$SELECT what FROM pg_temp.steps('net.nodes', '7') WHERE kind = 'condition'$$,
    $$VALUES ('UPDATE api: WHEN (new.rps > new.capacity) was false, with new.rps 200, new.capacity 300')$$, 'values of that time');

ALTER TABLE net.balancers DISABLE TRIGGER overload;
SELECT results_eq($$SELECT depth, what FROM pg_temp.steps('net.nodes', '7') WHERE kind = 'disabled'$$, $$VALUES (2, 'the trigger is disabled')$$, 'a disabled trigger');
ALTER TABLE net.balancers ENABLE TRIGGER overload;

INSERT INTO net.nodes VALUES (13, 'web');
SELECT results_eq($$SELECT depth, what FROM pg_temp.steps('net.nodes', '13') WHERE kind = 'refused'$$,
    $$VALUES (1, 'trigger refuse kept 13 from being written, see dbnet.why(EVENT)')$$, 'a BEFORE trigger that refused the row');
SELECT is_empty($$SELECT FROM pg_temp.steps('net.nodes', '7') WHERE kind = 'refused'$$, 'which was another row');

CREATE TRIGGER by_others AFTER INSERT ON net.untracked FOR EACH ROW EXECUTE FUNCTION policy.on_overload();
SELECT results_eq($$SELECT depth, what FROM pg_temp.steps('net.nodes', '7') WHERE kind = 'table' AND what ~ 'tracked'$$,
    $$VALUES (2, 'net.untracked is not tracked: whether it changed is not on record; dbnet.track(''net.untracked'') records it from now on')$$, 'a table that is not tracked');
DROP TRIGGER by_others ON net.untracked;

-- Another span of time.
SELECT results_eq($$SELECT kind, depth FROM dbnet.why_not_steps('net.nodes', '1', now() - interval '2 days', now() - interval '1 day') WHERE depth < 2$$,
    $$VALUES ('row', 0), ('trigger', 1), ('foreign key', 1), ('call', 1)$$, 'not written in another span');
SELECT matches((SELECT dbnet.why_not('net.nodes', '1', now() - interval '2 days', now() - interval '1 day') LIMIT 1),
    '^ {25}row          no change of net.nodes 1 is on record since .* until .*; the row is there, from before$', 'as text');

-- Rights.
CREATE ROLE why_not_reader IN ROLE dbnet_viewer;
CREATE ROLE why_not_writer;
GRANT USAGE ON SCHEMA net TO why_not_reader;
SET ROLE why_not_reader;
SELECT throws_ok($$SELECT dbnet.why_not('net.nodes', '7')$$, '42501', NULL, 'who may not read the table');
RESET ROLE;
GRANT SELECT ON net.nodes TO why_not_reader;
SET ROLE why_not_reader;
SELECT results_eq($$SELECT depth, kind, what FROM dbnet.why_not_steps('net.nodes', '7') WHERE kind = 'table'$$,
    $$VALUES (2, 'table', 'you may not read the history of net.balancers'), (2, 'table', 'you may not read the history of net.balancers')$$, 'what may not be read upstream is not told');
RESET ROLE;
-- Nobody's function runs with the rights of who asks.
CREATE FUNCTION net.trap(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'it ran as %', current_user; END $$;
ALTER FUNCTION net.trap(int) OWNER TO why_not_writer;
CREATE FUNCTION policy.direct() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM net.nodes WHERE id = -1; RETURN NULL; END $$;
ALTER TABLE net.traffic DISABLE TRIGGER arrived;
INSERT INTO net.traffic VALUES ('x', 3);
CREATE TRIGGER trapped AFTER INSERT ON net.traffic FOR EACH ROW WHEN (net.trap(NEW.rps)) EXECUTE FUNCTION policy.direct();
SELECT results_eq($$SELECT DISTINCT regexp_replace(what, '^.*cannot be told: ', '') FROM dbnet.why_not_steps('net.nodes', '7') WHERE kind = 'silent' AND what ~ 'trap'$$,
    $$VALUES ('it calls net.trap(integer), which belongs to somebody else; policy.direct() ran and changed nothing that is on record, or was not there yet')$$, 'a condition with somebody else''s function is not evaluated');
DROP TRIGGER trapped ON net.traffic;
-- Nor by a way round: what a built-in function is told to run, the name of a trigger, a domain, a cast to json.
CREATE SEQUENCE net.entered;
GRANT USAGE ON SEQUENCE net.entered TO PUBLIC;
CREATE FUNCTION net.trap() RETURNS boolean LANGUAGE sql AS $$ SELECT nextval('net.entered') > 0 $$;
CREATE FUNCTION net.trap(text) RETURNS boolean LANGUAGE sql AS $$ SELECT nextval('net.entered') > 0 $$;
CREATE TYPE net.color AS ENUM ('red');
CREATE FUNCTION net.trap(net.color) RETURNS json LANGUAGE sql AS $$ SELECT to_json(nextval('net.entered')) $$;
CREATE DOMAIN net.word AS text CHECK (net.trap(VALUE));
ALTER FUNCTION net.trap() OWNER TO why_not_writer;
ALTER FUNCTION net.trap(text) OWNER TO why_not_writer;
ALTER FUNCTION net.trap(net.color) OWNER TO why_not_writer;
CREATE CAST (net.color AS json) WITH FUNCTION net.trap(net.color);
ALTER TYPE net.color OWNER TO why_not_writer;
ALTER DOMAIN net.word OWNER TO why_not_writer;
CREATE TABLE net.words (id int PRIMARY KEY, word net.word);
CREATE TABLE net.colors (id int PRIMARY KEY, colors net.color[]);
SELECT dbnet.track('net.colors');
INSERT INTO net.colors VALUES (1, NULL);
CREATE TRIGGER by_xml AFTER INSERT ON net.traffic FOR EACH ROW WHEN (query_to_xml('SELECT net.trap()', true, true, '') IS NOT NULL) EXECUTE FUNCTION policy.direct();
CREATE TRIGGER "x WHEN (net.trap()) --" AFTER INSERT ON net.traffic FOR EACH ROW WHEN (NEW.rps > 7) EXECUTE FUNCTION policy.direct();
CREATE TRIGGER by_domain AFTER INSERT ON net.traffic FOR EACH ROW WHEN (NEW.balancer::net.word IS NOT NULL) EXECUTE FUNCTION policy.direct();
CREATE TRIGGER by_time AFTER UPDATE OR INSERT ON net.traffic FOR EACH ROW WHEN (now() > '2020-01-01' AND NEW.balancer LIKE 'w%') EXECUTE FUNCTION policy.direct();
CREATE TRIGGER by_column AFTER INSERT ON net.words FOR EACH ROW WHEN (NEW.id > 0) EXECUTE FUNCTION policy.direct();
CREATE FUNCTION pg_temp.holds(named name, new jsonb) RETURNS boolean LANGUAGE sql AS $$ SELECT dbnet.condition_holds(oid, NULL, $2) FROM pg_trigger WHERE tgname = $1 $$;
SELECT throws_ok($$SELECT pg_temp.holds('by_xml', '{"rps": 3}')$$, '42501', 'it calls query_to_xml(text,boolean,boolean,text), which may do more than look at the row', 'a function that runs SQL');
SELECT is(dbnet.trigger_condition(oid), '(new.rps > 7)', 'the condition, not the name') FROM pg_trigger WHERE tgname LIKE 'x WHEN%';
SELECT is(ARRAY[pg_temp.holds('x WHEN (net.trap()) --', '{"rps": 3}'), pg_temp.holds('x WHEN (net.trap()) --', '{"rps": 8}'), pg_temp.holds('x WHEN (net.trap()) --', '{}')], '{f,t,f}', 'it is false, true and NULL');
SELECT throws_ok($$SELECT pg_temp.holds('by_domain', '{"balancer": "web"}')$$, '42501', 'it uses domain net.word, which belongs to somebody else', 'a cast to a domain');
SELECT is(ARRAY[pg_temp.holds('by_time', '{"balancer": "web"}'), pg_temp.holds('by_time', '{"balancer": "api"}')], '{t,f}', 'the time of day is no danger');
SELECT throws_ok($$SELECT pg_temp.holds('by_column', '{"id": 1, "word": "a"}')$$, '42501', 'column word of net.words has type net.word, which belongs to somebody else', 'a column of a domain');
SELECT throws_ok($$SELECT * FROM dbnet.history('net.colors', '1') AS h, dbnet.row_images(h.event)$$, '42501', 'column colors of net.colors has type net.color[], which belongs to somebody else', 'a type with a cast to json');
SELECT is(is_called, false, 'the trap was not entered') FROM net.entered;
DROP TRIGGER by_xml ON net.traffic;
DROP TRIGGER "x WHEN (net.trap()) --" ON net.traffic;
DROP TRIGGER by_domain ON net.traffic;
DROP TRIGGER by_time ON net.traffic;

-- Devices: an offline server, so that nothing is sent.
CREATE SERVER lab FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (offline 'true');
CREATE TABLE net.maps (namespace text, name text, data jsonb, PRIMARY KEY (namespace, name));
SELECT lives_ok($$SELECT dbnet.mirror('lab', 'v1', 'ConfigMap', 'net.maps', '{"namespace": "metadata.namespace", "name": "metadata.name", "data": "data"}', mode => 'observe')$$, 'a mirror');
INSERT INTO net.maps VALUES ('shop', 'settings', '{"a": "1"}');
SELECT results_eq($$SELECT depth, kind, what FROM pg_temp.steps('net.maps', 'shop/settings') WHERE kind <> 'row' AND what !~ 'phase'$$, $$VALUES
    (1, 'device', 'net.maps only observes server lab: its rows change nothing there; dbnet.alter_mirror(''net.maps'', mode => ''manage'') lets them'),
    (1, 'device', 'server lab has option offline: nothing is sent')$$, 'what lies between the row and its device');
SELECT lives_ok($$SELECT dbnet.pause('lab', reason => 'incident 42')$$, 'pause');
SELECT matches((SELECT string_agg(what, ';') FROM pg_temp.steps('net.maps', 'shop/settings') WHERE kind = 'device'), 'lab is paused by postgres: incident 42; dbnet.resume\(''lab''\) goes on', 'a pause, with its reason');

SELECT throws_ok($$SELECT dbnet.why_not('net.untracked', '1')$$, '42704', NULL, 'a table that is not tracked');
SELECT throws_ok($$SELECT dbnet.why_not('net.maps', 'settings')$$, '22023', NULL, 'no key');
DROP OWNED BY why_not_reader, why_not_writer CASCADE;
DROP ROLE why_not_reader, why_not_writer;
SELECT * FROM finish();
