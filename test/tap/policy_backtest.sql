-- dbnet.backtest on panes of the past: the decisions that there would have been, with every brake; and what keeps a policy from acting beside its rules.
SELECT no_plan();
CREATE ROLE backtest_owner;
GRANT dbnet_admin TO backtest_owner;
CREATE SCHEMA net;
GRANT ALL ON SCHEMA net TO backtest_owner;
INSERT INTO otel.resources (hash, service_name, node, attributes, dropped_attributes_count) VALUES
    (md5('a')::uuid, 'shop', 'n1', '{"zone": "east"}', 0), (md5('b')::uuid, 'shop', 'n2', '{"zone": "west"}', 0), (md5('c')::uuid, 'cart', 'n3', '{}', 0);
CREATE FUNCTION pg_temp.pane(at timestamptz, node text, count bigint, errors bigint, duration float8 DEFAULT 10) RETURNS void LANGUAGE sql AS $$
    INSERT INTO otel.span_pane (bucket, count, error_count, duration_sum, duration_min, duration_max, rule, resource_id, kind, worker, grouping, durations)
    SELECT at, pane.count, errors, pane.count * duration * 1e6, duration * 1e6, duration * 1e6, 0, r.resource_id, 2, 1, '{}', otel.sketch(array_fill(duration * 1e6, ARRAY[pane.count::integer])) FROM otel.resources AS r WHERE r.node = pane.node
$$;
-- An hour ago, to the second. n1: bad from second 10 to 19; n2: one bad span of one; n3 is another service.
SELECT date_trunc('hour', now()) - interval '1 hour' AS start \gset
SELECT otel.ensure_partitions(:'start', :'start');
SELECT count(pg_temp.pane(:'start'::timestamptz + s * interval '1 s', 'n1', 100, CASE WHEN s BETWEEN 10 AND 19 THEN 50 ELSE 0 END)) FROM generate_series(0, 39) AS s;
SELECT pg_temp.pane(:'start'::timestamptz + interval '5 s', 'n2', 1, 1);
SELECT count(pg_temp.pane(:'start'::timestamptz + s * interval '1 s', 'n3', 100, 100)) FROM generate_series(0, 39) AS s;

SET ROLE backtest_owner;
CREATE FUNCTION pg_temp.test(name text, start timestamptz, until interval DEFAULT '1 minute') RETURNS TABLE (second integer, node text, decision text, reason text, value numeric, count bigint) LANGUAGE sql AS $$
    SELECT extract(epoch FROM b.at - start)::integer, b.grouping ->> 'node', b.decision, b.reason, round(b.value::numeric, 3), b.count FROM dbnet.backtest(name, start, start + until) AS b
$$;
SELECT lives_ok($$SELECT dbnet.create_policy('errors', 'spans', match => '{"service_name": "shop"}', group_by => '{node}', aggregate => 'error_rate', threshold => 0.2, minimum_count => 10, time_window => '10 s')$$, 'a policy');
SELECT results_eq(format($$SELECT second, node, decision, reason FROM pg_temp.test('errors', %L) WHERE node = 'n1'$$, :'start'),
    $$VALUES (13, 'n1', 'not acting', 'just missed'), (14, 'n1', 'act', NULL), (25, 'n1', 'resolved', NULL)$$, 'second by second');
SELECT results_eq(format($$SELECT second, decision, reason, count FROM pg_temp.test('errors', %L) WHERE node = 'n2'$$, :'start'), $$VALUES (5, 'not acting', 'below minimum count', 1::bigint)$$, 'one span of one is none');
SELECT is_empty(format($$SELECT FROM pg_temp.test('errors', %L) WHERE node = 'n3'$$, :'start'), 'another service does not match');

-- Twenty minutes are read in more than one piece.
RESET ROLE;
SELECT count(pg_temp.pane(:'start'::timestamptz + s * interval '1 s', 'n1', 100, 50)) FROM generate_series(595, 604) AS s;
SET ROLE backtest_owner;
SELECT results_eq(format($$SELECT second, decision, count FROM pg_temp.test('errors', %L, '20 minutes') WHERE node = 'n1' AND second > 100$$, :'start'),
    $$VALUES (595, 'act', 100::bigint), (605 + 9, 'resolved', 0::bigint)$$, 'the window reaches from one into the next');
RESET ROLE;
DELETE FROM otel.span_pane WHERE bucket > :'start'::timestamptz + interval '1 minute';
SET ROLE backtest_owner;

SELECT lives_ok($$SELECT dbnet.alter_policy('errors', hold_time => '4 s', clear_threshold => 0.05, keep_firing_for => '3 s')$$, 'slower');
SELECT results_eq(format($$SELECT second, decision, reason, value FROM pg_temp.test('errors', %L) WHERE node = 'n1'$$, :'start'), $$VALUES
    (13, 'not acting', 'just missed', 0.200), (18, 'act', NULL, 0.450), (25, 'not acting', 'within hysteresis', 0.200), (28, 'not acting', 'kept firing', 0.050), (30, 'resolved', NULL, 0.000)$$, 'hold time, hysteresis and keep_firing_for');

SELECT lives_ok($$SELECT dbnet.create_policy('repeats', 'spans', match => '{"node": ["n1", "n2"]}', group_by => '{resource.zone}', aggregate => 'rate', threshold => 50, time_window => '1 s', repeat_interval => '10 s', cooldown => '15 s', max_actions => 2)$$, 'a policy that repeats');
SELECT results_eq(format($$SELECT extract(epoch FROM at - %1$L)::integer, decision, reason FROM dbnet.backtest('repeats', %1$L, %1$L::timestamptz + interval '1 minute') WHERE decision <> 'not acting'$$, :'start'), $$VALUES
    (0, 'act', NULL), (15, 'act', NULL), (40, 'resolved', NULL)$$, 'repeat, cooldown, budget');
SELECT results_eq(format($$SELECT DISTINCT grouping, reason FROM dbnet.backtest('repeats', %1$L, %1$L::timestamptz + interval '1 minute') WHERE decision = 'not acting' ORDER BY 2$$, :'start'), $$VALUES
    ('{"resource.zone": "east"}'::jsonb, 'cooling down'), ('{"resource.zone": "east"}', 'flap budget used')$$, 'and why it does not');

SELECT lives_ok($$SELECT dbnet.create_policy('silence', 'spans', match => '{"node": "n1"}', aggregate => 'absent', time_window => '5 s')$$, 'absence');
SELECT results_eq(format($$SELECT second, decision, count FROM pg_temp.test('silence', %L)$$, :'start'), $$VALUES (44, 'act', 0::bigint)$$, 'five seconds after the last span');
SELECT lives_ok($$SELECT dbnet.create_policy('slow', 'spans', match => '{"node": "n1"}', aggregate => 'average', threshold => 9.5, time_window => '5 s')$$, 'durations are in milliseconds');
SELECT results_eq(format($$SELECT second, decision, value FROM pg_temp.test('slow', %L)$$, :'start'), $$VALUES (0, 'act', 10.000), (44, 'resolved', NULL)$$, 'durations');

SELECT lives_ok($$SELECT dbnet.create_policy('slowest', 'spans', match => '{"node": "n1"}', aggregate => 'p99', threshold => 9.5, time_window => '5 s')$$, 'a quantile');
SELECT results_eq(format($$SELECT second, decision, abs(value - 10) < 0.2 FROM pg_temp.test('slowest', %L)$$, :'start'), $$VALUES (0, 'act', true), (44, 'resolved', NULL)$$, 'from sketches');
SELECT is_empty(format($$SELECT FROM dbnet.policy_event$$), 'nothing of it is written');
SELECT is_empty(format($$SELECT FROM dbnet.policy_state WHERE state <> 'inactive'$$), 'nor is any state');
SELECT throws_ok(format($$SELECT dbnet.backtest('errors', %1$L, %1$L::timestamptz - interval '1 s')$$, :'start'), '22023', 'the times of a backtest are not up to 7 days, one after the other', 'backwards');
SELECT throws_ok($$SELECT dbnet.backtest('errors', now() - interval '8 days', now())$$, '22023', 'the times of a backtest are not up to 7 days, one after the other', 'too long');
SELECT throws_ok($$SELECT dbnet.backtest('nothing', now(), now())$$, '42704', 'there is no policy "nothing"', 'no policy');
SELECT lives_ok($$SELECT dbnet.create_policy('clock', 'timer', every => '1 hour')$$, 'a timer');
SELECT throws_ok($$SELECT dbnet.backtest('clock', now(), now())$$, '22023', 'policy "clock" measures nothing that is stored', 'a timer has no past');
RESET ROLE;
REVOKE dbnet_admin FROM backtest_owner;
GRANT EXECUTE ON FUNCTION dbnet.backtest(text, timestamptz, timestamptz) TO backtest_owner;
SET ROLE backtest_owner;
SELECT throws_ok(format($$SELECT dbnet.backtest('errors', %1$L, %1$L)$$, :'start'), '42501', 'permission denied for tables otel.spans, otel.span_pane, otel.resources', 'the past is for who may read it');
RESET ROLE;
REVOKE EXECUTE ON FUNCTION dbnet.backtest(text, timestamptz, timestamptz) FROM backtest_owner;
GRANT dbnet_admin TO backtest_owner;

-- What stands in the way beside the rules ---------------------------------------------------------------------------------------------------------------
CREATE TABLE net.nodes (name text PRIMARY KEY);
UPDATE dbnet.policy SET reads = '{net.nodes}', settle_interval = '10 s' WHERE name = 'clock';
CREATE FUNCTION pg_temp.obstacle() RETURNS text LANGUAGE sql AS $$ SELECT dbnet.policy_obstacle(p, '{}') FROM dbnet.policy AS p WHERE p.name = 'clock' $$;
SELECT is(pg_temp.obstacle(), 'stale mirror', 'a mirror that is not fresh');
DO $$ BEGIN FOR i IN 1..1200 LOOP EXIT WHEN NOT EXISTS (SELECT FROM dbnet.mirroring() WHERE state IS NOT NULL); PERFORM pg_sleep(0.05); END LOOP; END $$; -- until the mirror worker runs, a minute at most
BEGIN; -- the mirror worker is not to see it
INSERT INTO dbnet.mirrored_relation (relation, server, api_version, kind, resource, namespaced, field_manager) VALUES ('net.nodes', 'none', 'v1', 'Node', 'nodes', false, 'dbnet-0123456789abcdef');
INSERT INTO dbnet.mirror_state (relation, state, last_event_at) VALUES ('net.nodes', 'synced', now());
SELECT is(pg_temp.obstacle(), NULL, 'nothing was done yet');
INSERT INTO dbnet.policy_event (id, at, policy, policy_version, owner, grouping, decision, state, mode, action_state)
    SELECT dbnet.take_event(), now(), 'clock', 1, owner, '{}', 'act', 'inactive', 'act', 'waiting' FROM dbnet.policy WHERE name = 'clock';
SELECT is(pg_temp.obstacle(), 'settling', 'an action waits');
UPDATE dbnet.policy_event SET action_state = 'done', transaction = '77', finished_at = now() - interval '1 hour';
SELECT is(pg_temp.obstacle(), NULL, 'it was done long ago');
INSERT INTO dbnet.object (relation, name, phase, health, commit_transaction, changed_at) VALUES ('net.nodes', 'n1', 'applying', NULL, '77', now() - interval '1 hour');
SELECT is(pg_temp.obstacle(), 'settling', 'what it changed is on its way');
UPDATE dbnet.object SET phase = 'synced', health = 'in_progress';
SELECT is(pg_temp.obstacle(), 'settling', 'what it changed is not ready');
UPDATE dbnet.object SET health = 'ready', changed_at = now();
SELECT is(pg_temp.obstacle(), 'settling', 'ready, but not for long enough');
UPDATE dbnet.object SET changed_at = now() - interval '11 s';
SELECT is(pg_temp.obstacle(), NULL, 'ready for long enough');
UPDATE dbnet.object SET health = 'failed', changed_at = now() - interval '11 s';
SELECT is(pg_temp.obstacle(), NULL, 'what has failed is not waited for');
DELETE FROM dbnet.mirrored_relation;
COMMIT;
-- The timeline has when the share of errors changed; a span of time may be open.
SELECT pg_temp.pane(:'start'::timestamptz + interval '70 s', 'n1', 100, 100);
SELECT is((SELECT count(*) FROM dbnet.timeline(tstzrange(:'start', upper)) WHERE kind = 'errors' AND object = 'shop'), 1::bigint, format('errors until %s', upper))
    FROM (VALUES (NULL::timestamptz), ('infinity'), (now())) AS v(upper);
SELECT * FROM finish();
