-- dbnet.diff: the first difference between a good and a bad case, and its proof by a trial that leaves nothing behind.
SELECT no_plan();
CREATE SCHEMA net;
CREATE SCHEMA policy;
CREATE TABLE net.traffic (balancer text PRIMARY KEY, rps int);
CREATE TABLE net.balancers (name text PRIMARY KEY, rps int, capacity int, note text);
CREATE TABLE net.nodes (id int PRIMARY KEY, balancer text, pool text);
SELECT lives_ok(format('SELECT dbnet.track(%L)', name), name) FROM unnest(ARRAY['net.traffic', 'net.balancers', 'net.nodes']) AS tracked(name);
CREATE PROCEDURE policy.scale_out(balancer text, pool text) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO net.nodes VALUES ((SELECT coalesce(max(id), 0) + 1 FROM net.nodes), balancer, pool);
END
$$;
CREATE FUNCTION policy.on_overload() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    CALL policy.scale_out(NEW.name, coalesce(NEW.note, 'default'));
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
CREATE TRIGGER arrived AFTER INSERT ON net.traffic FOR EACH ROW EXECUTE FUNCTION policy.on_traffic();
INSERT INTO net.balancers VALUES ('web', 1, 100, NULL), ('api', 1, 300, 'x'), ('gpu', 1, 100, 'gpu'), ('web2', 1, 100, NULL);
INSERT INTO net.traffic VALUES ('web', 200);
INSERT INTO net.traffic VALUES ('api', 200);
INSERT INTO net.traffic VALUES ('gpu', 200);
INSERT INTO net.traffic VALUES ('web2', 150);
CREATE TABLE before_it AS SELECT (SELECT jsonb_agg(to_jsonb(n) ORDER BY n.id) FROM net.nodes AS n) AS nodes, (SELECT jsonb_agg(to_jsonb(b) ORDER BY b.name) FROM net.balancers AS b) AS balancers,
    (SELECT max(id) FROM dbnet.entity_version) AS newest;
CREATE FUNCTION pg_temp.event(relation regclass, key text) RETURNS bigint LANGUAGE sql AS $$ SELECT max(event) FROM dbnet.history($1, $2) $$;

-- Nothing came of it: the bad event is the change that should have set it off.
SELECT results_eq($$SELECT verdict, good_step, bad_step, difference FROM dbnet.diff(pg_temp.event('net.nodes', '1'), pg_temp.event('net.balancers', 'api'))$$, $$VALUES
    ('same', 'statement  INSERT INTO net.traffic VALUES (''web'', 200)', 'statement  INSERT INTO net.traffic VALUES (''api'', 200)', NULL),
    ('same', 'row  INSERT net.traffic web: rps 200', 'row  INSERT net.traffic api: rps 200', NULL),
    ('same', 'trigger  arrived on net.traffic, after insert', 'trigger  arrived on net.traffic, after insert', NULL),
    ('same', 'statement  UPDATE net.balancers SET rps = NEW.rps WHERE name = NEW.balancer (line 3)', 'statement  UPDATE net.balancers SET rps = NEW.rps WHERE name = NEW.balancer (line 3)', NULL),
    ('first difference', 'row  UPDATE net.balancers web: rps 1 → 200', 'row  UPDATE net.balancers api: rps 1 → 200', 'capacity 300 instead of 100, note "x" instead of NULL'),
    ('only good', 'trigger  overload on net.balancers, after update', NULL, NULL),
    ('only good', 'statement  CALL policy.scale_out(NEW.name, coalesce(NEW.note, ''default'')) (line 3)', NULL, NULL),
    ('only good', 'call  policy.scale_out(balancer => "web", pool => "default") (line 3)', NULL, NULL),
    ('only good', 'statement  INSERT INTO net.nodes VALUES ((SELECT coalesce(max(id), 0) + 1 FROM net.nodes), balancer, pool) (line 3)', NULL, NULL),
    ('only good', 'row  INSERT net.nodes 1: balancer "web", pool "default"', NULL, NULL),
    ('not proved', NULL, NULL, 'done again with note NULL, all other rows as they are now: nothing becomes of net.nodes; as it was: nothing becomes of net.nodes'),
    ('proved', NULL, NULL, 'done again with capacity 100, all other rows as they are now: INSERT net.nodes 4; as it was: nothing becomes of net.nodes')$$, 'the value that made the difference, and one that did not');
-- The same from the very first change.
SELECT results_eq($$SELECT verdict, difference FROM dbnet.diff(pg_temp.event('net.nodes', '1'), pg_temp.event('net.traffic', 'api')) WHERE verdict NOT IN ('same', 'only good')$$, $$VALUES
    ('first difference', 'capacity 300 instead of 100, note "x" instead of NULL'),
    ('not proved', 'done again with note NULL, all other rows as they are now: nothing becomes of net.nodes; as it was: nothing becomes of net.nodes'),
    ('proved', 'done again with capacity 100, all other rows as they are now: INSERT net.nodes 4; as it was: nothing becomes of net.nodes')$$, 'told forward from the first change');

-- Both led to something, but not to the same.
SELECT results_eq($$SELECT verdict, difference FROM dbnet.diff(pg_temp.event('net.nodes', '1'), pg_temp.event('net.nodes', '2')) WHERE verdict <> 'same'$$, $$VALUES
    ('first difference', 'note "gpu" instead of NULL'),
    ('differs', 'pool => "gpu" instead of "default"'),
    ('differs', 'pool "gpu" instead of "default"'),
    ('proved', 'done again with note NULL, all other rows as they are now: INSERT net.nodes 4; as it was: INSERT net.nodes 4')$$, 'a value that went through an argument into the row');

-- What differs without making a difference.
SELECT results_eq($$SELECT verdict, difference FROM dbnet.diff(pg_temp.event('net.nodes', '1'), pg_temp.event('net.nodes', '3')) WHERE verdict <> 'same'$$, $$VALUES
    ('first difference', 'rps 150 instead of 200'), ('differs', 'rps 150 instead of 200'),
    ('not proved', 'done again as it was, all other rows as they are now, it ends as in the good case (INSERT net.nodes 4): what kept it from that has changed since')$$, 'the outcome is the same');
SELECT is((SELECT count(*) FROM dbnet.diff(pg_temp.event('net.nodes', '1'), pg_temp.event('net.nodes', '2'), prove => false) WHERE verdict ~ 'proved'), 0::bigint, 'without a trial');
SELECT is_empty($$SELECT FROM dbnet.diff(pg_temp.event('net.nodes', '1'), pg_temp.event('net.nodes', '1')) WHERE verdict <> 'same'$$, 'an event with itself');

-- The trials have left nothing: no row, no event of a row.
SELECT results_eq($$SELECT (SELECT jsonb_agg(to_jsonb(n) ORDER BY n.id) FROM net.nodes AS n), (SELECT jsonb_agg(to_jsonb(b) ORDER BY b.name) FROM net.balancers AS b), (SELECT max(id) FROM dbnet.entity_version)$$,
    $$SELECT nodes, balancers, newest FROM before_it$$, 'nothing is left of the trials');

-- A trial that fails tells so; what has changed since is told, too.
ALTER TABLE net.nodes ADD CHECK (pool <> 'default') NOT VALID;
SELECT results_eq($$SELECT verdict, difference FROM dbnet.diff(pg_temp.event('net.nodes', '1'), pg_temp.event('net.nodes', '2')) WHERE verdict ~ 'proved'$$,
    $$VALUES ('not proved', 'done again with note NULL, all other rows as they are now: it fails: new row for relation "nodes" violates check constraint "nodes_pool_check"; as it was: INSERT net.nodes 4')$$, 'a trial that fails');
ALTER TABLE net.nodes DROP CONSTRAINT nodes_pool_check;

-- Triggers find names where who asks does, and nothing of ours is found there: neither what tells the row nor what compares.
CREATE OR REPLACE FUNCTION policy.on_overload() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO nodes VALUES ((SELECT coalesce(max(id), 0) + 1 FROM nodes), NEW.name, coalesce(NEW.note, 'default'));
    RETURN NULL;
END
$$;
CREATE FUNCTION policy.on_node() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 FROM balancers; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON net.nodes DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION policy.on_node();
CREATE SCHEMA ours;
CREATE FUNCTION ours.no(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'found through the search_path'; END $$;
CREATE OPERATOR ours.= (FUNCTION = ours.no, LEFTARG = text, RIGHTARG = text);
CREATE FUNCTION ours.to_jsonb(net.nodes) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'found through the search_path'; END $$;
CREATE FUNCTION ours.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'found through the search_path'; END $$;
SELECT pg_temp.event('net.nodes', '1') AS good, pg_temp.event('net.balancers', 'api') AS bad \gset
SET search_path = net, ours, pg_catalog, public;
CREATE TABLE public.told AS SELECT verdict, difference FROM dbnet.diff(:good, :bad);
SELECT pg_catalog.current_setting('search_path') AS path_then \gset
RESET search_path;
SELECT is(:'path_then'::text, 'net, ours, pg_catalog, public', 'search_path is as it was');
SELECT results_eq($$SELECT verdict, difference FROM told WHERE verdict ~ 'proved'$$, $$VALUES
    ('not proved', 'done again with note NULL, all other rows as they are now: nothing becomes of net.nodes; as it was: nothing becomes of net.nodes'),
    ('proved', 'done again with capacity 100, all other rows as they are now: INSERT net.nodes 4; as it was: nothing becomes of net.nodes')$$, 'names without a schema');
DROP TRIGGER later ON net.nodes;
SELECT results_eq($$SELECT verdict, difference FROM dbnet.diff(pg_temp.event('net.nodes', '1'), pg_temp.event('net.balancers', 'api')) WHERE difference ~ 'with capacity 100, all'$$, $$VALUES
    ('not proved', 'done again with capacity 100, all other rows as they are now: it fails: relation "nodes" does not exist; as it was: nothing becomes of net.nodes')$$, 'where they do not find it, the trial fails as the change would');

-- Rights: the trial runs as who asks.
CREATE ROLE diff_reader IN ROLE dbnet_viewer;
GRANT USAGE ON SCHEMA net, policy TO diff_reader;
GRANT SELECT ON net.nodes, net.balancers, net.traffic TO diff_reader;
SET ROLE diff_reader;
SELECT results_eq($$SELECT verdict, difference FROM dbnet.diff((SELECT max(event) FROM dbnet.history('net.nodes', '1')), (SELECT max(event) FROM dbnet.history('net.balancers', 'api'))) WHERE verdict ~ 'proved'$$,
    $$VALUES ('not proved', 'done again as it was, it fails: permission denied for table balancers')$$, 'who may not write cannot try');
RESET ROLE;
REVOKE SELECT ON net.balancers FROM diff_reader;
SET ROLE diff_reader;
SELECT is_empty($$SELECT FROM dbnet.diff((SELECT max(event) FROM dbnet.history('net.nodes', '1')), (SELECT max(event) FROM dbnet.history('net.nodes', '2'))) WHERE concat(good_step, bad_step, difference) ~ 'gpu|default|200 →|→ 200'
    AND concat(good_step, bad_step) !~ 'row  INSERT net.(nodes|traffic)'$$, 'values of a table that may not be read are not told');
RESET ROLE;
SELECT throws_ok($$SELECT dbnet.diff(1, 2)$$, '42704', NULL, 'no such event');
DROP OWNED BY diff_reader;
DROP ROLE diff_reader;
SELECT * FROM finish();
