-- Telemetry in tables: ids, what becomes of a request, panes beside rows, triggers and hooks, questions, rights.
BEGIN;
SELECT no_plan();

-- Ids ---------------------------------------------------------------------------------------------------------------------
SELECT is('5B8EFFF798038103D269B633813FC60C'::otel.trace_id::text, '5b8efff798038103d269b633813fc60c', 'a trace id is read in either case and printed in lower case');
SELECT is('5b8efff7-9803-8103-d269-b633813fc60c'::otel.trace_id::text, '5b8efff798038103d269b633813fc60c', 'also as a uuid is written');
SELECT is('5b8efff798038103d269b633813fc60c'::otel.trace_id::uuid, '5b8efff7-9803-8103-d269-b633813fc60c'::uuid, 'and is one');
SELECT is('\x5b8efff798038103d269b633813fc60c'::bytea::otel.trace_id::bytea, '\x5b8efff798038103d269b633813fc60c'::bytea, 'and bytes');
SELECT is('EEE19B7EC3C1B174'::otel.span_id::text, 'eee19b7ec3c1b174', 'a span id likewise');
SELECT ok('7fffffffffffffff'::otel.span_id < '8000000000000000'::otel.span_id, 'ids are in the order of their digits');
SELECT throws_ok($$SELECT '5b8efff7'::otel.trace_id$$, '22P02', 'invalid input syntax for type otel.trace_id: "5b8efff7"');
SELECT throws_ok($$SELECT '5b8efff798038103d269b633813fc60c00'::otel.trace_id$$, '22P02', NULL, 'too many digits');
SELECT throws_ok($$SELECT 'eee19b7e-c3c1b174'::otel.span_id$$, '22P02', NULL, 'a span id has no dashes');
SELECT throws_ok($$SELECT '\x00'::bytea::otel.span_id$$, '22P03', 'an otel.span_id has 8 bytes, not 1');

-- Sketches ----------------------------------------------------------------------------------------------------------------
SELECT is(round(otel.quantile(otel.sketch('{10, 20, 30, NULL, NaN}'::double precision[]), 0.5)::numeric, 0), 20::numeric, 'the median');
SELECT is(otel.sketch_count(otel.merge(otel.sketch(ARRAY[n]::double precision[]))), 1000::bigint, 'merged sketches hold all') FROM generate_series(1, 1000) AS n;
SELECT ok(otel.merge(s) IS NULL, 'of none there is none') FROM (SELECT NULL::otel.sketch WHERE false) AS none(s);
SELECT throws_ok($$SELECT '\x05'::otel.sketch$$, '22P02', 'invalid bytes for type otel.sketch');
SELECT throws_ok($$SELECT otel.quantile(otel.sketch(ARRAY[1]), 1.1)$$, '22023', 'a quantile is a number from 0 to 1');

-- A request ---------------------------------------------------------------------------------------------------------------
CREATE FUNCTION pg_temp.nano(at timestamptz) RETURNS text LANGUAGE sql AS $$ SELECT (extract(epoch FROM at)::numeric * 1000000000)::bigint::text $$;
CREATE FUNCTION pg_temp.request(service text, node text, spans jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('resourceSpans', jsonb_build_array(jsonb_build_object(
        'resource', jsonb_build_object('attributes', jsonb_build_array(
            jsonb_build_object('key', 'service.name', 'value', jsonb_build_object('stringValue', service)),
            jsonb_build_object('key', 'k8s.node.name', 'value', jsonb_build_object('stringValue', node)))),
        'scopeSpans', jsonb_build_array(jsonb_build_object('scope', '{"name": "library"}'::jsonb, 'spans', spans))))) $$;
CREATE FUNCTION pg_temp.span(span text, parent text, name text, ended timestamptz, took interval, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('traceId', '5b8efff798038103d269b633813fc60c', 'spanId', span, 'parentSpanId', parent, 'name', name, 'kind', 2,
        'startTimeUnixNano', pg_temp.nano(ended - took), 'endTimeUnixNano', pg_temp.nano(ended)) || more $$;

SELECT results_eq(format($$SELECT accepted, rejected FROM otel.ingest_traces(%L::jsonb)$$,
    pg_temp.request('shop', 'n1', jsonb_build_array(pg_temp.span('eee19b7ec3c1b174', '', 'GET /', now(), '100 ms')))), $$VALUES (1::bigint, 0::bigint)$$, 'a span is taken');
SELECT results_eq(format($$SELECT accepted, rejected FROM otel.ingest_traces(%L::json)$$,
    pg_temp.request('cart', 'n2', jsonb_build_array(
        pg_temp.span('eee19b7ec3c1b175', 'eee19b7ec3c1b174', 'add', now() - interval '10 ms', '40 ms',
            '{"status": {"code": 2, "message": "boom"}, "attributes": [{"key": "http.route", "value": {"stringValue": "/add"}}],
              "events": [{"name": "exception", "timeUnixNano": "1"}], "links": [{"traceId": "00000000000000000000000000000001", "spanId": "0000000000000002"}]}')))),
    $$VALUES (1::bigint, 0::bigint)$$, 'json as text likewise');
SELECT results_eq($$SELECT span_id::text, parent_span_id::text, service_name, name, kind, status, status_message, duration_ms, node, attributes FROM otel.span ORDER BY span_id$$,
    $$VALUES ('eee19b7ec3c1b174', NULL, 'shop', 'GET /', 'server', 'unset', NULL, 100::double precision, 'n1', '{}'::jsonb),
             ('eee19b7ec3c1b175', 'eee19b7ec3c1b174', 'cart', 'add', 'server', 'error', 'boom', 40, 'n2', '{"http.route": "/add"}')$$, 'spans with names');
SELECT is((SELECT (e.name, e.ordinal, e.time_unix_nano, e.bucket_time = s.bucket_time)::text FROM otel.span_events AS e JOIN otel.spans AS s USING (trace_id, span_id)), '(exception,0,1,t)', 'its event lies beside it');
SELECT is((SELECT (linked_trace_id, linked_span_id)::text FROM otel.span_links), '(00000000000000000000000000000001,0000000000000002)', 'its link');
SELECT is((SELECT sum(count) FROM otel.span_pane WHERE rule = 0), (SELECT count(*) FROM otel.spans)::numeric, 'panes count what there is');
SELECT is((SELECT count(*) FROM otel.resources), 2::bigint, 'resources stand once');
SELECT is((SELECT string_agg((signal, client, items, rejected)::text, ' ' ORDER BY batch_id) FROM otel.batch), format('(traces,%1$s,1,0) (traces,%1$s,1,0)', session_user), 'who sent it');

SELECT is((SELECT string_agg(span, E'\n') FROM otel.trace_tree('5B8EFFF798038103D269B633813FC60C')), E'shop: GET /\n  cart: add', 'a trace to be read');
SELECT is((SELECT string_agg((span_id, operation)::text, ' ') FROM otel.search(attributes => '{"http.route": "/add"}', only_errors => true)), '(eee19b7ec3c1b175,add)', 'search by attribute');
SELECT is((SELECT string_agg(operation, ' ') FROM otel.search(attributes => '{"k8s.node.name": "n1"}')), 'GET /', 'and by one of the resource');
SELECT is((SELECT string_agg(operation, ' ') FROM otel.search(min_duration => '50 ms')), 'GET /', 'and by duration');
SELECT is((SELECT string_agg((parent, child, calls, errors)::text, ' ') FROM otel.dependencies()), '(shop,cart,1,1)', 'who calls whom');
SELECT is((SELECT string_agg((service_name, spans, errors, error_rate)::text, ' ' ORDER BY service_name) FROM otel.services()), '(cart,1,1,1) (shop,1,0,0)', 'services');
SELECT is((SELECT string_agg((service_name, operation, kind, spans)::text, ' ' ORDER BY service_name) FROM otel.operations()), '(cart,add,server,1) (shop,"GET /",server,1)', 'operations');
SELECT is((SELECT string_agg(("group", error_rate)::text, ' ' ORDER BY "group") FROM otel.red('node', now() - interval '1 hour', now() + interval '1 hour', '2 hours')), '(n1,0) (n2,1)', 'RED of nodes');
SELECT is((SELECT string_agg(("group", error_rate)::text, ' ' ORDER BY "group") FROM otel.red('http.route', now() - interval '1 hour', now() + interval '1 hour', '2 hours')), '(/add,1)', 'RED of routes');
SELECT is(otel.service_error_rate('cart', now() - interval '1 minute', now() + interval '1 minute'), 1::double precision, 'error rate of a service');
SELECT is((SELECT string_agg(("operationName", "serviceName", duration, jsonb_array_length("serviceTags"))::text, ' ') FROM otel.trace('5b8efff798038103d269b633813fc60c')), '("GET /",shop,100,2) (add,cart,40,2)', 'a trace for Grafana');

SELECT is(otel.service_rate('cart', now() - interval '1 minute', now() + interval '1 minute'), 1 / 120::double precision, 'rate of a service');
SELECT is(otel.service_rate('none', now() - interval '1 minute', now() + interval '1 minute'), 0::double precision, 'of one that there is not');
SELECT is(round(otel.service_quantile('cart', 0.5, now() - interval '1 minute', now() + interval '1 minute')), 40::double precision, 'quantile of a service, in milliseconds');
SELECT ok(otel.service_quantile('none', 0.5) IS NULL, 'there is none of what was not seen');
SELECT results_eq(format($$SELECT accepted, rejected FROM otel.ingest_logs(%L::jsonb)$$, jsonb_build_object('resourceLogs', jsonb_build_array(jsonb_build_object(
    'resource', '{"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]}'::jsonb, 'scopeLogs', jsonb_build_array(jsonb_build_object('logRecords', jsonb_build_array(
        jsonb_build_object('timeUnixNano', pg_temp.nano(now()), 'severityNumber', 17, 'body', '{"stringValue": "out of stock"}'::jsonb, 'traceId', '5b8efff798038103d269b633813fc60c', 'spanId', 'eee19b7ec3c1b175'),
        jsonb_build_object('timeUnixNano', pg_temp.nano(now() - interval '1 s'), 'severityNumber', 9, 'body', '{"kvlistValue": {"values": [{"key": "item", "value": {"intValue": 7}}]}}'::jsonb, 'traceId', '5B8EFFF798038103D269B633813FC60C'),
        jsonb_build_object('timeUnixNano', pg_temp.nano(now()), 'body', '{"stringValue": "of no trace"}'::jsonb)))))))), $$VALUES (3::bigint, 0::bigint)$$, 'log records');
SELECT results_eq($$SELECT service_name, severity, message, span_id::text FROM otel.trace_logs('5b8efff798038103d269b633813fc60c')$$,
    $$VALUES ('cart', 'info', '{"item": 7}', NULL), ('cart', 'error', 'out of stock', 'eee19b7ec3c1b175')$$, 'the logs of a trace, in order');

-- Beyond text and one process ---------------------------------------------------------------------------------------------
CREATE TABLE given (trace otel.trace_id, span otel.span_id, durations otel.sketch);
INSERT INTO given SELECT md5(n::text)::otel.trace_id, right(md5(n::text), 16)::otel.span_id, otel.sketch(ARRAY[n]::double precision[]) FROM generate_series(1, 1000) AS n;
CREATE TABLE taken (LIKE given);
DO $$ BEGIN EXECUTE format('COPY given TO %1$L (FORMAT binary)', current_setting('data_directory') || '/telemetry.copy'); EXECUTE format('COPY taken FROM %1$L (FORMAT binary)', current_setting('data_directory') || '/telemetry.copy'); END $$;
SELECT results_eq('SELECT trace, span, durations::text FROM taken ORDER BY trace', 'SELECT trace, span, durations::text FROM given ORDER BY trace', 'ids and sketches in binary are what they were');
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
CREATE FUNCTION pg_temp.plan_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN (COSTS off) ' || query; END $$;
SELECT ok(bool_or(line LIKE '%Partial Aggregate%') AND bool_or(line LIKE '%Workers Planned%'), 'sketches are merged by several processes') FROM pg_temp.plan_of('SELECT otel.merge(durations) FROM taken') AS line;
SELECT is(otel.sketch_count(otel.merge(durations)), 1000::bigint, 'none is lost') FROM taken;
SELECT is((SELECT otel.merge(durations)::text FROM taken), otel.sketch((SELECT array_agg(n)::double precision[] FROM generate_series(1, 1000) AS n))::text, 'the sketch is that of one process');
DROP TABLE given, taken;
RESET min_parallel_table_scan_size; RESET parallel_setup_cost; RESET parallel_tuple_cost;

-- Odd times ---------------------------------------------------------------------------------------------------------------
SELECT is((SELECT accepted FROM otel.ingest_traces(pg_temp.request('odd', 'n3', jsonb_build_array(
    pg_temp.span('0000000000000001', '', 'far', '2200-01-01', '1 s'), pg_temp.span('0000000000000002', '', 'old', '1999-01-01', '1 s'),
    pg_temp.span('0000000000000003', '', 'late', now() - interval '3 days', '1 s'))))), 3::bigint, 'spans of any time are taken');
SELECT is((SELECT string_agg(name, ' ' ORDER BY name) FROM otel.spans WHERE resource_id = (SELECT resource_id FROM otel.resources WHERE service_name = 'odd')
    AND bucket_time BETWEEN now() - interval '25 hours' AND now() - interval '23 hours'), 'far old', 'what is of no time that is kept stands a day back');
SELECT is((SELECT bucket_time FROM otel.spans WHERE name = 'late'), now() - interval '3 days', 'what is late stands where it belongs');
SELECT is((SELECT start_time_unix_nano FROM otel.spans WHERE name = 'far'), (extract(epoch FROM timestamptz '2200-01-01')::numeric * 1000000000 - 1000000000)::bigint, 'its own time is kept beside it');

-- Indexes over times ------------------------------------------------------------------------------------------------------
-- The first pages are summarized when a partition is made: what comes into them is found by that, whatever it is a summary of.
CREATE INDEX spans_duration ON otel.spans USING brin (duration_nano);
CREATE INDEX spans_servers ON otel.spans USING brin (start_time_unix_nano) WHERE kind = 2;
CREATE FUNCTION pg_temp.found(conditions text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; used text[]; found bigint;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS off) SELECT count(*) FROM otel.spans WHERE ' || conditions LOOP
        used := used || (SELECT i.relname FROM pg_class AS c JOIN pg_inherits ON inhrelid = c.oid JOIN pg_class AS i ON i.oid = inhparent
                         WHERE c.relname = substring(line FROM 'Bitmap Index Scan on (\S+)'));
    END LOOP;
    EXECUTE 'SELECT count(*) FROM otel.spans WHERE ' || conditions INTO found;
    RETURN found || (SELECT coalesce(string_agg(DISTINCT ' by ' || name, '' ORDER BY ' by ' || name), '') FROM unnest(used) AS name);
END $$;
SELECT is((SELECT accepted FROM otel.ingest_traces(pg_temp.request('times', 'n4', (SELECT jsonb_agg(
    pg_temp.span(lpad(to_hex(n), 16, '0'), '', 'times', now(), n * interval '1 day')) FROM generate_series(1, 40) AS n)))), 40::bigint, 'spans that begin at other times');
SET LOCAL enable_seqscan = off;
SELECT is(pg_temp.found($$start_time < now() - interval '39.5 days' AND name = 'times'$$), '1 by spans_time', 'the earliest');
SELECT is(pg_temp.found($$start_time BETWEEN now() - interval '20.5 days' AND now() - interval '15.5 days' AND name = 'times'$$), '5 by spans_time', 'those between');
SELECT is(pg_temp.found($$duration_nano > 948 * 3600 * 1000000000::bigint AND name = 'times'$$), '1 by spans_duration', 'by another column');
SELECT is(pg_temp.found(format('start_time_unix_nano < %s AND kind = 2 AND name = ''times''', pg_temp.nano(now() - interval '39.5 days'))), '1 by spans_servers', 'and under a condition');
RESET enable_seqscan;
DROP INDEX otel.spans_duration, otel.spans_servers;

-- Rules -------------------------------------------------------------------------------------------------------------------
INSERT INTO otel.pane_rule VALUES (5, 'traces', '{"http.route": "/add", "kind": 2}', '{k8s.node.name, absent}');
SELECT is((SELECT accepted FROM otel.ingest_traces(pg_temp.request('cart', 'n2', jsonb_build_array(
    pg_temp.span('00000000000000a1', '', 'a', now(), '1 s', '{"attributes": [{"key": "http.route", "value": {"stringValue": "/add"}}]}'),
    pg_temp.span('00000000000000a2', '', 'b', now(), '1 s', '{"attributes": [{"key": "http.route", "value": {"stringValue": "/other"}}]}'))))), 2::bigint, 'spans, one of which a rule wants');
SELECT is((SELECT string_agg((count, grouping)::text, ' ') FROM otel.span_pane WHERE rule = 5), '(1,"{""absent"": null, ""k8s.node.name"": ""n2""}")', 'its panes');
SELECT is((SELECT sum(count) FROM otel.span_pane WHERE rule = 0), (SELECT count(*) FROM otel.spans)::numeric, 'rule 0 still counts everything');

-- Code of users -----------------------------------------------------------------------------------------------------------
CREATE TABLE pg_temp.seen (what text);
CREATE FUNCTION pg_temp.row_seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES ('row ' || NEW.name); RETURN NULL; END $$;
CREATE FUNCTION pg_temp.batch_seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen SELECT tg_table_name || ' ' || string_agg(name, ' ' ORDER BY name) FROM new_spans; RETURN NULL; END $$;
SELECT otel.on_batch('pg_temp.batch_seen()');
CREATE TRIGGER row_seen AFTER INSERT ON otel.spans FOR EACH ROW WHEN (NEW.status_code = 2) EXECUTE FUNCTION pg_temp.row_seen();
CREATE TRIGGER statement_seen AFTER INSERT ON otel.spans REFERENCING NEW TABLE AS new_spans FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.batch_seen();
SELECT is((SELECT accepted FROM otel.ingest_traces(pg_temp.request('cart', 'n2', jsonb_build_array(
    pg_temp.span('00000000000000b1', '', 'good', now(), '1 s'), pg_temp.span('00000000000000b2', '', 'bad', now(), '1 s', '{"status": {"code": 2}}'))))), 2::bigint, 'spans into a table with triggers');
SELECT is((SELECT string_agg(what, ', ' ORDER BY what) FROM seen), 'row bad, spans bad good, spans bad good', 'triggers of rows and of the statement, and the hook, have run');
SELECT is((SELECT sum(count) FROM otel.span_pane WHERE rule = 0), (SELECT count(*) FROM otel.spans)::numeric, 'and everything is counted');
DROP TRIGGER row_seen ON otel.spans;
DROP TRIGGER statement_seen ON otel.spans;
CREATE OR REPLACE FUNCTION pg_temp.batch_seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM seen; RAISE EXCEPTION 'no'; END $$;
SELECT is((SELECT accepted FROM otel.ingest_traces(pg_temp.request('cart', 'n2', jsonb_build_array(pg_temp.span('00000000000000c1', '', 'kept', now(), '1 s'))))), 1::bigint, 'a hook that fails does not fail the batch');
SELECT is((SELECT count(*) FROM seen), 3::bigint, 'what it did is undone');
SELECT is((SELECT count(*) FROM otel.spans WHERE name = 'kept'), 1::bigint, 'the span is there');
SELECT otel.remove_on_batch('pg_temp.batch_seen()');
SELECT is_empty('TABLE otel.batch_hook', 'no hook is left');
SELECT throws_ok($$SELECT otel.on_batch('now()')$$, '42809', 'function now() does not return trigger');

SELECT throws_ok('SELECT otel.change_batch_hook(4000000000::oid::regprocedure, ''spans'', true)', '42883', 'there is no such function');

-- A hook of one role, run by whoever delivers: here a superuser.
CREATE ROLE dbnet_test_hook;
GRANT dbnet_admin TO dbnet_test_hook;
CREATE SCHEMA hook AUTHORIZATION dbnet_test_hook;
SET LOCAL ROLE dbnet_test_hook;
CREATE TABLE hook.seen (who name DEFAULT current_user);
CREATE FUNCTION hook.fired() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO hook.seen VALUES ('at commit: ' || current_user); RETURN NULL; END $$;
CREATE FUNCTION hook.batch_seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO hook.seen DEFAULT VALUES; PERFORM set_config('search_path', 'hook', false); RETURN NULL; END $$;
SELECT otel.on_batch('hook.batch_seen()');
RESET ROLE;
SELECT is((SELECT accepted FROM otel.ingest_traces(pg_temp.request('cart', 'n2', jsonb_build_array(pg_temp.span('00000000000000d1', '', 'd', now(), '1 s'))))), 1::bigint, 'a batch with a hook');
SELECT results_eq('TABLE hook.seen', ARRAY['dbnet_test_hook'::name], 'it has run as its owner');
SELECT isnt(current_setting('search_path'), 'hook', 'and leaves no setting to the session');
SET LOCAL ROLE dbnet_test_hook;
CREATE CONSTRAINT TRIGGER fired AFTER INSERT ON hook.seen DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hook.fired();
RESET ROLE;
SELECT is((SELECT accepted FROM otel.ingest_traces(pg_temp.request('cart', 'n2', jsonb_build_array(pg_temp.span('00000000000000d2', '', 'd', now(), '1 s'))))), 1::bigint, 'a batch with a hook that leaves something for the commit');
SET CONSTRAINTS ALL IMMEDIATE;
SELECT results_eq('TABLE hook.seen', ARRAY['dbnet_test_hook'::name], 'nothing of it runs as who delivered');
SET LOCAL ROLE dbnet_test_hook;
SELECT otel.remove_on_batch('hook.batch_seen()');
RESET ROLE;

-- Rights ------------------------------------------------------------------------------------------------------------------
CREATE ROLE dbnet_test_sender IN ROLE dbnet_ingest;
CREATE ROLE dbnet_test_reader IN ROLE dbnet_viewer;
CREATE TEMP TABLE prepared AS SELECT pg_temp.request('shop', 'n1', '[]') AS body;
GRANT SELECT ON prepared TO PUBLIC;
SET LOCAL ROLE dbnet_test_sender;
SELECT lives_ok('SELECT otel.ingest_traces(body) FROM prepared', 'who may deliver delivers');
SELECT throws_ok('SELECT FROM otel.spans', '42501', NULL, 'and reads nothing');
SET LOCAL ROLE dbnet_test_reader;
SELECT throws_ok('SELECT otel.ingest_traces(body) FROM prepared', '42501', NULL, 'who may read does not deliver');
SELECT lives_ok('SELECT * FROM otel.span', 'but reads');
SELECT lives_ok('SELECT * FROM otel.services()', 'and asks');
RESET ROLE;

SELECT throws_ok($$SELECT otel.ingest_traces('\xff'::bytea)$$, '22P03', NULL, 'what is no request is told');
SELECT throws_ok($$SELECT otel.ingest_traces('[]'::jsonb)$$, '22P02', NULL, 'in JSON, too');

-- Whoever sends spans says what is above what, in circles, too: all of them are shown.
SELECT lives_ok(format($$SELECT otel.ingest_traces(%L::jsonb)$$, pg_temp.request('loop', 'n1', (
    SELECT jsonb_agg(pg_temp.span(id, parent, id, now() + number * interval '1 ms', '1 ms') || '{"traceId": "000000000000000000000000000000aa"}' ORDER BY number)
    FROM (VALUES (1, '00000000000000a1', '00000000000000a1'), (2, '00000000000000a2', '00000000000000a3'), (3, '00000000000000a3', '00000000000000a2'),
                 (4, '00000000000000a4', '00000000000000a3'), (5, '00000000000000a5', ''), (6, '00000000000000a6', '00000000000000a5')) AS v(number, id, parent)))), 'spans in circles');
SELECT is((SELECT string_agg(span, E'\n') FROM otel.trace_tree('000000000000000000000000000000aa')),
    E'loop: 00000000000000a1\nloop: 00000000000000a2\nloop: 00000000000000a3\nloop: 00000000000000a4\nloop: 00000000000000a5\n  loop: 00000000000000a6', 'each is there once');
SELECT * FROM finish();
ROLLBACK;
