-- dbnet.create_policy and its kin: what they take, what they refuse and in which words; what is stored; who may do what.
SELECT no_plan();
CREATE ROLE policy_admin;
CREATE ROLE policy_other;
CREATE ROLE policy_viewer;
GRANT dbnet_admin TO policy_admin, policy_other;
GRANT dbnet_viewer TO policy_viewer;
CREATE SCHEMA net;
GRANT ALL ON SCHEMA net TO policy_admin, policy_other;
GRANT USAGE ON SCHEMA net TO policy_viewer;
SET ROLE policy_admin;
CREATE TABLE net.nodes (name text PRIMARY KEY, ready boolean);
CREATE TABLE net.plain (name text PRIMARY KEY, ready boolean);
SELECT lives_ok($$SELECT dbnet.track('net.nodes')$$, 'a tracked table');
CREATE PROCEDURE net.act(event dbnet.policy_event) LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION net.act_too(event dbnet.policy_event) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION net.no_action(event text) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
RESET ROLE;

-- The words of an error with its hint.
CREATE FUNCTION pg_temp.error(arguments text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text; hint text; state text;
BEGIN
    EXECUTE format('SELECT dbnet.create_policy(%s)', arguments);
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT, state = RETURNED_SQLSTATE;
    RETURN concat_ws(' | ', state, message, nullif(hint, ''));
END
$$;
SET ROLE policy_admin;

-- What is refused ------------------------------------------------------------------------------------------------------------------------------
SELECT is(pg_temp.error(w.arguments), w.expected, w.arguments) FROM (VALUES
    ($$'p'$$, '22023 | policy "p" has no source | What it watches: spans, metrics, logs, transitions, query, timer or cron.'),
    ($$''$$, '22023 | a policy needs a name of 1 to 200 characters'),
    ($$NULL$$, '22023 | a policy needs a name of 1 to 200 characters'),
    ($$'p', 'traces'$$, '22023 | there is no source "traces" | Sources are spans, metrics, logs, transitions, query, timer and cron.'),
    ($$'p', 'spans'$$, '22023 | policy "p" says not what to measure | aggregate is one of rate, error_rate, count, average, min, max, sum, absent, p50 to p99.9.'),
    ($$'p', 'spans', aggregate => 'median'$$, '22023 | there is no aggregate "median" of spans | aggregate is one of rate, error_rate, count, average, min, max, sum, absent, p50 to p99.9.'),
    ($$'p', 'spans', aggregate => 'p0', threshold => 1$$, '22023 | there is no aggregate "p0" of spans | aggregate is one of rate, error_rate, count, average, min, max, sum, absent, p50 to p99.9.'),
    ($$'p', 'spans', aggregate => 'last', threshold => 1$$, '22023 | there is no aggregate "last" of spans | aggregate is one of rate, error_rate, count, average, min, max, sum, absent, p50 to p99.9.'),
    ($$'p', 'logs', aggregate => 'p99', threshold => 1$$, '22023 | there is no aggregate "p99" of logs | aggregate is one of rate, error_rate, count, absent.'),
    ($$'p', 'spans', aggregate => 'p99'$$, '22023 | policy "p" has no threshold | Durations are in milliseconds, rates per second, error rates from 0 to 1.'),
    ($$'p', 'spans', aggregate => 'error_rate', threshold => 5$$, '22023 | an error rate of 5 is none | Error rates are from 0 to 1: 0.05 is 5 %.'),
    ($$'p', 'spans', aggregate => 'rate', operator => '=>', threshold => 5$$, '22023 | there is no operator "=>" | Operators are > >= < <= = and <>.'),
    ($$'p', 'spans', aggregate => 'rate', threshold => 'NaN'$$, '22023 | threshold is no number: NaN'),
    ($$'p', 'spans', aggregate => 'absent', threshold => 5$$, '22023 | threshold has no meaning for absent'),
    ($$'p', 'spans', aggregate => 'rate', threshold => 5, clear_threshold => 6$$, '22023 | clear_threshold 6 is on the wrong side of threshold 5 | With > it is lower.'),
    ($$'p', 'spans', aggregate => 'rate', operator => '<', threshold => 5, clear_threshold => 4$$, '22023 | clear_threshold 4 is on the wrong side of threshold 5 | With < it is higher.'),
    ($$'p', 'spans', aggregate => 'rate', operator => '=', threshold => 5, clear_threshold => 4$$, '22023 | clear_threshold goes with > >= < and <='),
    ($$'p', 'spans', aggregate => 'rate', threshold => 5, minimum_count => -1$$, '22023 | minimum_count is negative'),
    ($$'p', 'spans', aggregate => 'rate', threshold => 5, max_actions => 0$$, '22023 | max_actions is less than 1 | mode => ''shadow'' decides without acting.'),
    ($$'p', 'spans', aggregate => 'rate', threshold => 5, hold_time => '-1 s'$$, '22023 | hold_time is negative: -00:00:01'),
    ($$'p', 'spans', aggregate => 'rate', threshold => 5, cooldown => '-1 s'$$, '22023 | cooldown is negative: -00:00:01'),
    ($$'p', 'spans', aggregate => 'rate', threshold => 5, repeat_interval => '0'$$, '22023 | repeat_interval must be longer than nothing'),
    ($$'p', 'spans', aggregate => 'rate', threshold => 5, time_window => '100 ms'$$, '22023 | time_window is not 1 second to 1 day: 00:00:00.1'),
    ($$'p', 'spans', aggregate => 'rate', threshold => 5, time_window => '2 days'$$, '22023 | time_window is not 1 second to 1 day: 2 days'),
    ($$'p', 'spans', aggregate => 'rate', threshold => 5, action_timeout => '1 hour'$$, '22023 | action_timeout is longer than 10 minutes | What takes long belongs into a table of work that something else takes up.'),
    ($$'p', 'spans', aggregate => 'rate', threshold => 5, match => '[]'$$, '22023 | match is no JSON object | As in {"service_name": "checkout", "node": ["n1", "n2"]}.'),
    ($$'p', 'spans', aggregate => 'rate', threshold => 5, match => '{"node": {"a": 1}}'$$, '22023 | match of "node" is neither a value nor a list of values | As in {"service_name": "checkout", "node": ["n1", "n2"]}.'),
    ($$'p', 'spans', aggregate => 'rate', threshold => 5, match => '{"node": []}'$$, '22023 | match of "node" is neither a value nor a list of values | As in {"service_name": "checkout", "node": ["n1", "n2"]}.'),
    ($$'p', 'spans', aggregate => 'rate', threshold => 5, match => '{"http.route": ["a", "b"]}'$$, '22023 | match of "http.route" can be one value only | Lists are for what the resource says: service_name, service_namespace, service_instance_id, node, pod, resource.....'),
    ($$'p', 'spans', aggregate => 'rate', threshold => 5, match => '{"minimum_severity": "ERROR"}'$$, '22023 | minimum_severity is for logs: TRACE, DEBUG, INFO, WARN, ERROR, FATAL or 1 to 24'),
    ($$'p', 'logs', aggregate => 'rate', threshold => 5, match => '{"minimum_severity": "BAD"}'$$, '22023 | minimum_severity is for logs: TRACE, DEBUG, INFO, WARN, ERROR, FATAL or 1 to 24'),
    ($$'p', 'spans', aggregate => 'rate', threshold => 5, group_by => '{node,node}'$$, '22023 | group_by is not up to 8 different names'),
    ($$'p', 'metrics', aggregate => 'last', threshold => 5$$, '22023 | policy "p" says not which metric | match => ''{"metric": "system.cpu.utilization"}''.'),
    ($$'p', 'transitions', aggregate => 'count', threshold => 5$$, '22023 | policy "p" says not whose changes it counts | match => ''{"relation": "net.nodes", "column": "ready"}'', and "key" for one row alone.'),
    ($$'p', 'transitions', aggregate => 'count', threshold => 5, match => '{"relation": "net.plain", "column": "ready"}'$$, '42704 | table net.plain is not tracked | Mirrors are; SELECT dbnet.track(...) begins with others. Give the table with its schema.'),
    ($$'p', 'transitions', aggregate => 'count', threshold => 5, match => '{"relation": "net.nodes", "column": "steady"}'$$, '42703 | table net.nodes has no column "steady"'),
    ($$'p', 'transitions', aggregate => 'count', threshold => 5, match => '{"relation": "net.nodes", "column": "ready"}', group_by => '{node}'$$, '22023 | transitions are grouped by key or not at all'),
    ($$'p', 'query', threshold => 5$$, '22023 | a policy on a query needs query and every | query => ''SELECT count(*) AS value FROM ...'', every => ''5 s''.'),
    ($$'p', 'query', query => 'SELECT 1 AS value', every => '5 s', operator => '>'$$, '22023 | policy "p" has no threshold | Without operator and threshold each row of the query is a condition that holds.'),
    ($$'p', 'query', query => 'SELECT 1 AS value', every => '5 s', aggregate => 'count'$$, '22023 | a policy on query has no aggregate | The query says what the value is.'),
    ($$'p', 'query', query => 'SELECT 1 AS value', every => '5 s', group_by => '{a}'$$, '22023 | match and group_by are for spans, metrics, logs and transitions | Further columns of the query make groups.'),
    ($$'p', 'query', query => 'SELECT 1 AS value', every => '5 ms'$$, '22023 | every is less than 100 milliseconds: 00:00:00.005'),
    ($$'p', 'query', query => 'SELECT 1', every => '5 s'$$, '22023 | the query has no column value | SELECT zone, avg(load) AS value, count(*) AS count FROM ... GROUP BY zone: value is compared with threshold, count with minimum_count, other columns name the group.'),
    ($$'p', 'query', query => 'SELECT ''x''::text AS value', every => '5 s'$$, '22023 | column value of the query is no number | SELECT zone, avg(load) AS value, count(*) AS count FROM ... GROUP BY zone: value is compared with threshold, count with minimum_count, other columns name the group.'),
    ($$'p', 'query', query => 'DELETE FROM net.nodes', every => '5 s'$$, '22023 | query is not one SELECT'),
    ($$'p', 'query', query => 'SELECT 1 AS value; SELECT 2', every => '5 s'$$, '22023 | query is not one SELECT'),
    ($$'p', 'query', query => 'SELECT value FROM net.missing', every => '5 s'$$, '42P01 | relation "net.missing" does not exist'),
    ($$'p', 'timer'$$, '22023 | a timer needs every | every => ''10 minutes''.'),
    ($$'p', 'timer', every => '1 s', threshold => 1$$, '22023 | threshold has no meaning for timer'),
    ($$'p', 'timer', every => '1 s', schedule => '* * * * *'$$, '22023 | schedule has no meaning for a policy on timer'),
    ($$'p', 'cron'$$, '22023 | a policy on cron needs schedule | schedule => ''0 3 * * *'' is every day at three o''clock.'),
    ($$'p', 'cron', schedule => '0 25 * * *'$$, '22023 | "0 25 * * *" is no schedule: hour "25" is not 0 to 23 | It is minute hour day-of-month month day-of-week, such as ''0 3 * * mon-fri'', or @hourly, @daily, @weekly, @monthly, @yearly.'),
    ($$'p', 'cron', schedule => '0 3 * * *', time_zone => 'Mars/Olympus'$$, '22023 | time zone "Mars/Olympus" not recognized | SELECT name FROM pg_timezone_names;'),
    ($$'p', 'timer', every => '1 s', mode => 'perhaps'$$, '22023 | there is no mode "perhaps" | Modes are shadow (decides and records) and act.'),
    ($$'p', 'timer', every => '1 s', mode => 'act'$$, '22023 | policy "p" has nothing to do | action => ''net.act(dbnet.policy_event)''; without one a policy decides and records: mode => ''shadow''.'),
    ($$'p', 'timer', every => '1 s', action => 'net.no_action(text)'$$, '22023 | net.no_action(text) is no action | An action is a procedure or function with one argument: CREATE PROCEDURE net.act(event dbnet.policy_event) ...'),
    ($$'p', 'timer', every => '1 s', only_if => 'event.nothing'$$, '42703 | column event.nothing does not exist'),
    ($$'p', 'timer', every => '1 s', only_if => 'event.value'$$, '22023 | only_if is no condition | It is a boolean expression on the event: event.value < 100, or EXISTS (SELECT ... WHERE node = event.grouping ->> ''node'').'),
    ($$'p', 'timer', every => '1 s', reads => '{net.nodes}'$$, '42704 | net.nodes is not a mirror | reads names the mirrors that must be fresh for the policy to act.'),
    ($$'p', preset => 'cheap'$$, '22023 | there is no preset "cheap" | Presets are error_rate and latency.')
) AS w(arguments, expected);
SELECT is((SELECT count(*) FROM dbnet.policy), 0::bigint, 'nothing of it is there');

-- What is taken ---------------------------------------------------------------------------------------------------------------------------------
SELECT lives_ok($$SELECT dbnet.create_policy('errors', 'spans', aggregate => 'error_rate', threshold => 0.1, group_by => '{node}', action => 'net.act(dbnet.policy_event)')$$, 'on spans');
SELECT is(pg_temp.error($$'errors', 'timer', every => '1 s'$$), '42710 | policy "errors" exists already | dbnet.alter_policy() changes it, dbnet.drop_policy() removes it.', 'names are unique');
SELECT results_eq($$SELECT owner::text, enabled, mode, operator, time_window, action, action_owner::text FROM dbnet.policy$$,
    $$VALUES ('policy_admin', true, 'shadow', '>', interval '1 minute', 'net.act(dbnet.policy_event)', 'policy_admin')$$, 'with the defaults, in shadow');
SELECT results_eq($$SELECT policy, mode, state FROM dbnet.policy_status$$, $$VALUES ('errors', 'shadow', NULL)$$, 'and is in the view');
SELECT lives_ok(format('SELECT dbnet.create_policy(%L, %s)', 'other' || n, a), a) FROM (VALUES
    (1, $$'spans', aggregate => 'p99.9', threshold => 250$$), (2, $$'logs', aggregate => 'absent', match => '{"service_name": ["a", "b"]}'$$),
    (3, $$'metrics', aggregate => 'p50', threshold => 1, match => '{"metric": "load"}', group_by => '{cpu}'$$),
    (4, $$'transitions', aggregate => 'count', threshold => 3, match => '{"relation": "net.nodes", "column": "ready"}', group_by => '{key}'$$),
    (5, $$'query', query => 'SELECT name, 1 AS value FROM net.nodes', every => '1 hour', only_if => 'event.count > 0'$$), (6, $$'timer', every => '1 hour', action => 'net.act_too(dbnet.policy_event)', mode => 'act'$$),
    (7, $$'cron', schedule => '@yearly', time_zone => 'Europe/Berlin'$$)) AS v(n, a);
SELECT lives_ok($$SELECT dbnet.create_error_rate_policy('preset1', action => 'net.act(dbnet.policy_event)', mode => 'act')$$, 'preset error rate');
SELECT lives_ok($$SELECT dbnet.create_latency_policy('preset2', '250 ms', 'p95', group_by => '{node}')$$, 'preset latency');
SELECT lives_ok($$SELECT dbnet.create_policy('preset3', preset => 'latency', threshold => 100, time_window => '5 min')$$, 'a preset as argument, and what differs');
SELECT results_eq($$SELECT name, aggregate, threshold, group_by, minimum_count, cooldown, max_actions, mode, time_window FROM dbnet.policy WHERE name LIKE 'preset%' ORDER BY name$$,
    $$VALUES ('preset1', 'error_rate', 0.05::float8, '{service_name}'::text[], 20::bigint, interval '10 min', 3, 'act', interval '1 min'),
             ('preset2', 'p95', 250::float8, '{node}'::text[], 20::bigint, interval '10 min', 3, 'shadow', interval '1 min'),
             ('preset3', 'p99', 100::float8, '{service_name}'::text[], 20::bigint, interval '10 min', 3, 'shadow', interval '5 min')$$, 'presets');

-- Panes of its own are kept for what panes of every span do not tell apart.
SELECT lives_ok($$SELECT dbnet.create_policy('routes', 'spans', aggregate => 'rate', threshold => 1, match => '{"service_name": "shop", "http.request.method": "POST", "kind": "server"}', group_by => '{node,http.route}')$$, 'on an attribute of spans');
RESET ROLE;
SELECT results_eq($$SELECT p.name, r.signal, r.match, r.group_by FROM otel.pane_rule AS r JOIN dbnet.policy AS p ON p.number = r.rule$$,
    $$VALUES ('routes', 'traces', '{"http.request.method": "POST"}'::jsonb, '{http.route}'::text[])$$, 'has panes of its own, and only that');
SET ROLE policy_admin;
SELECT lives_ok($$SELECT dbnet.alter_policy('routes', match => '{"service_name": "shop"}', group_by => '{node}')$$, 'not any more');
RESET ROLE;
SELECT is_empty('SELECT FROM otel.pane_rule', 'its panes are not kept');
SET ROLE policy_admin;
SELECT lives_ok($$SELECT dbnet.store_policy('{"name": "routes", "group_by": ["http.route"], "number": 7000000, "owner": "postgres", "version": 1}', false)$$, 'what a policy is known by');
RESET ROLE;
SELECT results_eq($$SELECT p.name, p.owner::text FROM otel.pane_rule AS r JOIN dbnet.policy AS p ON p.number = r.rule$$, $$VALUES ('routes', 'policy_admin')$$, 'is not for its owner to say');
SET ROLE policy_admin;

-- Changing ------------------------------------------------------------------------------------------------------------------------------------------
SELECT version AS version_before FROM dbnet.policy WHERE name = 'errors' \gset
SELECT lives_ok($$SELECT dbnet.alter_policy('errors', threshold => 0.3, cooldown => '5 min', mode => 'act')$$, 'alter');
SELECT results_eq($$SELECT threshold, cooldown, mode, aggregate, group_by, action FROM dbnet.policy WHERE name = 'errors'$$,
    $$VALUES (0.3::float8, interval '5 min', 'act', 'error_rate', '{node}'::text[], 'net.act(dbnet.policy_event)')$$, 'changes what it names and nothing else');
SELECT ok(version > :version_before, 'and the version') FROM dbnet.policy WHERE name = 'errors';
SELECT lives_ok($$SELECT dbnet.alter_policy('errors', reset => '{cooldown}')$$, 'reset');
SELECT is((SELECT cooldown FROM dbnet.policy WHERE name = 'errors'), NULL, 'makes a setting what it is when not given');
SELECT throws_ok($$SELECT dbnet.alter_policy('errors', reset => '{action}')$$, '22023', 'policy "errors" has nothing to do', 'checked like a new one');
SELECT throws_ok($$SELECT dbnet.alter_policy('errors', reset => '{name}')$$, '22023', 'reset names a setting that has no default', 'not everything has a default');
SELECT throws_ok($$SELECT dbnet.alter_policy('nothing', threshold => 1)$$, '42704', 'there is no policy "nothing"', 'there must be one');
SELECT lives_ok($$SELECT dbnet.disable_policy('errors')$$, 'disable');
SELECT is((SELECT mode FROM dbnet.policy_status WHERE policy = 'errors'), 'disabled', 'is seen');
SELECT lives_ok($$SELECT dbnet.enable_policy('errors')$$, 'enable');
SELECT throws_ok($$SELECT dbnet.enable_policy('nothing')$$, '42704', 'there is no policy "nothing"', 'there must be one');

-- Rights ---------------------------------------------------------------------------------------------------------------------------------------------
SET ROLE policy_other;
SELECT throws_ok($$SELECT dbnet.alter_policy('errors', threshold => 1)$$, '42501', 'must be owner of policy "errors"', 'another''s cannot be altered');
SELECT throws_ok($$SELECT dbnet.drop_policy('errors')$$, '42501', 'must be owner of policy "errors"', 'nor dropped');
SELECT throws_ok($$SELECT * FROM dbnet.backtest('errors', now(), now())$$, '42501', 'must be owner of policy "errors"', 'nor tested on the past');
SELECT lives_ok($$SELECT dbnet.disable_policy('errors')$$, 'an operator stops whatever acts');
RESET ROLE;
REVOKE EXECUTE ON PROCEDURE net.act(dbnet.policy_event) FROM PUBLIC;
SET ROLE policy_other;
SELECT is(pg_temp.error($$'q', 'timer', every => '1 s', action => 'net.act(dbnet.policy_event)'$$), '42501 | permission denied for net.act(dbnet.policy_event) | GRANT EXECUTE on it to the owner of the policy.', 'an action that the caller may not run');
RESET ROLE;
SELECT is(pg_temp.error($$'q', 'timer', every => '1 s', action => 'net.act(dbnet.policy_event)'$$), '42501 | net.act(dbnet.policy_event) belongs to policy_admin: a superuser''s policy does not run it | Create the policy as the role that owns the function: SET ROLE.',
    'a superuser''s policy runs no code of others');
-- What is measured the owner must be able to read.
CREATE ROLE policy_blind;
GRANT EXECUTE ON FUNCTION dbnet.create_policy, dbnet.check_policy_query, dbnet.store_policy TO policy_blind;
SET ROLE policy_blind;
SELECT is(pg_temp.error(w.arguments), format('42501 | permission denied for tables %1$s | The owner of the policy must be able to read what it measures: GRANT SELECT ON %1$s TO policy_blind; or GRANT dbnet_viewer TO policy_blind;', w.hidden), w.hidden) FROM (VALUES
    ($$'b', 'spans', aggregate => 'rate', threshold => 1$$, 'otel.spans, otel.span_pane, otel.resources'),
    ($$'b', 'logs', aggregate => 'rate', threshold => 1$$, 'otel.logs, otel.log_pane, otel.resources'),
    ($$'b', 'metrics', match => '{"metric": "cpu"}', aggregate => 'rate', threshold => 1$$,
        'otel.number_points, otel.histogram_points, otel.exponential_histogram_points, otel.series, otel.metrics, otel.resources')) AS w(arguments, hidden);
SELECT is(pg_temp.error($$'b', 'transitions', match => '{"relation": "net.nodes", "column": "ready"}', aggregate => 'count', threshold => 1$$),
    '42501 | permission denied for table net.nodes | The owner of the policy must be able to read what it measures: GRANT SELECT ON net.nodes TO policy_blind;', 'a table''s changes');
RESET ROLE;
-- What the HINT says is enough.
GRANT SELECT ON otel.spans, otel.span_pane, otel.resources, net.nodes TO policy_blind;
SELECT lives_ok(format('SELECT dbnet.check_policy_reads(%L::dbnet.policy)', jsonb_populate_record(NULL::dbnet.policy, p.settings || '{"name": "b", "owner": "policy_blind"}')), p.settings ->> 'source')
    FROM (VALUES ('{"source": "spans"}'::jsonb), ('{"source": "transitions", "match": {"relation": "net.nodes"}}')) AS p(settings);
-- Granted, but not all rows.
ALTER TABLE net.nodes ENABLE ROW LEVEL SECURITY;
ALTER TABLE otel.resources ENABLE ROW LEVEL SECURITY;
SET ROLE policy_blind;
SELECT is(pg_temp.error(w.arguments), format('42501 | row-level security hides rows of %s from the owner of the policy | A policy measures all rows: its owner must be a member of dbnet_admin, or ALTER ROLE policy_blind BYPASSRLS;', w.hidden), w.hidden) FROM (VALUES
    ($$'b', 'spans', aggregate => 'rate', threshold => 1$$, 'otel.resources'),
    ($$'b', 'transitions', match => '{"relation": "net.nodes", "column": "ready"}', aggregate => 'count', threshold => 1$$, 'net.nodes')) AS w(arguments, hidden);
RESET ROLE;
ALTER TABLE net.nodes DISABLE ROW LEVEL SECURITY;
ALTER TABLE otel.resources DISABLE ROW LEVEL SECURITY;
SELECT throws_ok(format('SELECT dbnet.check_policy_reads(%L::dbnet.policy)', jsonb_populate_record(NULL::dbnet.policy, '{"source": "transitions", "match": {"relation": "net.gone"}, "owner": "policy_blind"}')),
    '42P01', 'table net.gone is not there any more', 'a table that was dropped');
REVOKE EXECUTE ON FUNCTION dbnet.create_policy, dbnet.check_policy_query, dbnet.store_policy FROM policy_blind;
SELECT is_empty($$SELECT * FROM dbnet.failed_spans('{}', now() - interval '1 hour', now(), 200)$$, 'of no resource nothing failed');
SET ROLE policy_viewer;
SELECT throws_ok($$SELECT dbnet.create_policy('v', 'timer', every => '1 s')$$, '42501', 'permission denied for function create_policy', 'viewers make none');
SELECT throws_ok($$SELECT dbnet.store_policy('{"name": "v", "source": "timer", "every": "1 s"}', true)$$, '42501', 'permission denied for function store_policy', 'by no other way');
SELECT throws_ok($$SELECT dbnet.disable_policy('errors')$$, '42501', 'permission denied for function disable_policy', 'stop none');
SELECT is_empty('SELECT FROM dbnet.policy_status', 'and see those of no other role');
RESET ROLE;
GRANT policy_admin TO policy_viewer;
SET ROLE policy_viewer;
SELECT isnt_empty('SELECT FROM dbnet.policy_status', 'but of roles whose rights they have');
RESET ROLE;
SET ROLE policy_admin;
SELECT lives_ok(format('SELECT dbnet.drop_policy(%L)', name), 'drop ' || name) FROM dbnet.policy;
RESET ROLE;
SELECT is((SELECT count(*) FROM dbnet.policy), 0::bigint, 'all are gone');
SELECT isnt_empty($$SELECT FROM dbnet.history('dbnet.policy', 'errors') WHERE operation = 'DELETE'$$, 'the change of a policy is on record');

-- For actions ------------------------------------------------------------------------------------------------------------------------------------------
SELECT is(dbnet.scale_to(w.current, w.value, w.target, w.min, w.max), w.expected, format('%s replicas, %s of %s, %s to %s', w.current, w.value, w.target, w.min, w.max)) FROM (VALUES
    (4, 100, 50, 1, 100, 8), (4, 50, 50, 1, 100, 4), (4, 54, 50, 1, 100, 4), (4, 56, 50, 1, 100, 5), (4, 25, 50, 1, 100, 2), (4, 30, 50, 1, 100, 3),
    (4, 500, 50, 1, 10, 10), (4, 0, 50, 2, 10, 2), (0, 100, 50, 1, 10, 0), (3, 50, 50, 5, 10, 5), (12, 50, 50, 5, 10, 10), (4, NULL, 50, 1, 10, 4), (1, 200, 100, 1, 10, 2), (10, 1e9, 1, 1, 2147483647, 2147483647))
    AS w(current, value, target, min, max, expected);
SELECT throws_ok($$SELECT dbnet.scale_to(1, 1, 0)$$, '22023', 'scale_to needs a target above 0, a tolerance of 0 or more, and 0 <= min <= max', 'a target of nothing');
SELECT is(dbnet.scale_to(4, 58, 50, tolerance => 0.2), 4, 'within another tolerance');
SELECT is(dbnet.fresh('net.nodes'), false, 'what is no mirror is not fresh');
DO $$ BEGIN FOR i IN 1..1200 LOOP EXIT WHEN NOT EXISTS (SELECT FROM dbnet.mirroring() WHERE state IS NOT NULL); PERFORM pg_sleep(0.05); END LOOP; END $$; -- until the mirror worker runs, a minute at most
BEGIN; -- the mirror worker is not to see it
INSERT INTO dbnet.mirrored_relation (relation, server, api_version, kind, resource, namespaced, field_manager) VALUES ('net.nodes', 'none', 'v1', 'Node', 'nodes', false, 'dbnet-0123456789abcdef');
INSERT INTO dbnet.mirror_state (relation, state, last_event_at) VALUES ('net.nodes', 'synced', now() - interval '90 s');
SELECT is(dbnet.fresh('net.nodes'), true, 'heard of a minute and a half ago');
SELECT is(dbnet.fresh('net.nodes', '1 min'), false, 'is too long ago for some');
UPDATE dbnet.mirror_state SET state = 'degraded', last_event_at = now();
SELECT is(dbnet.fresh('net.nodes'), false, 'a mirror that is not synced');
UPDATE dbnet.mirror_state SET state = 'offline', last_event_at = NULL;
SELECT is(dbnet.fresh('net.nodes'), true, 'of an offline server');
DELETE FROM dbnet.mirror_state;
DELETE FROM dbnet.mirrored_relation;
COMMIT;

SELECT is(dbnet.next_run(w.schedule, w.after::timestamptz, w.zone), w.expected::timestamptz, concat_ws(' ', w.schedule, 'after', w.after, w.zone)) FROM (VALUES
    ('0 3 * * *', '2026-11-28 16:00+00', 'UTC', '2026-11-29 03:00+00'), ('0 3 * * *', '2026-11-28 16:00+00', 'Europe/Berlin', '2026-11-29 02:00+00'),
    ('30 2 * * *', '2026-03-28 12:00+00', 'Europe/Berlin', '2026-03-30 00:30+00'), ('*/15 * * * *', '1999-12-31 23:50:30+00', 'UTC', '2000-01-01 00:00+00'),
    ('* * * * *', '1999-12-31 23:50:30+00', 'UTC', '1999-12-31 23:51+00'), ('0 0 31 2 *', '2026-11-28 16:00+00', 'UTC', NULL)) AS w(schedule, after, zone, expected);
SELECT * FROM finish();
