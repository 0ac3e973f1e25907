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
SELECT is((SELECT string_agg(operation, ' ' ORDER BY operation) FROM otel.search(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)), 'GET / add', 'NULL is any');
SELECT is((SELECT string_agg((parent, child, calls, errors)::text, ' ') FROM otel.dependencies()), '(shop,cart,1,1)', 'who calls whom');
SELECT is((SELECT string_agg((service_name, spans, errors, error_rate)::text, ' ' ORDER BY service_name) FROM otel.services()), '(cart,1,1,1) (shop,1,0,0)', 'services');
SELECT is((SELECT string_agg((service_name, operation, kind, spans)::text, ' ' ORDER BY service_name) FROM otel.operations()), '(cart,add,server,1) (shop,"GET /",server,1)', 'operations');
SELECT is((SELECT string_agg(("group", error_rate)::text, ' ' ORDER BY "group") FROM otel.red('node', now() - interval '1 hour', now() + interval '1 hour', '2 hours')), '(n1,0) (n2,1)', 'RED of nodes');
SELECT is((SELECT string_agg(("group", error_rate)::text, ' ' ORDER BY "group") FROM otel.red('http.route', now() - interval '1 hour', now() + interval '1 hour', '2 hours')), '(/add,1)', 'RED of routes');
SELECT is(otel.service_error_rate('cart', now() - interval '1 minute', now() + interval '1 minute'), 1::double precision, 'error rate of a service');
SELECT is((SELECT string_agg(("operationName", "serviceName", duration, jsonb_array_length("serviceTags"))::text, ' ') FROM otel.trace('5b8efff798038103d269b633813fc60c')), '("GET /",shop,100,2) (add,cart,40,2)', 'a trace for Grafana');

SELECT is(otel.service_rate('cart', now() - interval '1 minute', now() + interval '1 minute'), 1 / 120::double precision, 'rate of a service');
SELECT is(otel.service_rate('none', now() - interval '1 minute', now() + interval '1 minute'), 0::double precision, 'of one that there is not');
SELECT ok(otel.service_rate('cart', at, at) IS NULL AND otel.service_rate('cart', at, at - interval '1 s') IS NULL AND otel.service_rate('cart', '-infinity', at) IS NULL
    AND otel.service_rate('cart', at, 'infinity') IS NULL, 'there is none of no time, nor of an endless one') FROM (SELECT now() - interval '1 minute') AS v(at);
SELECT is(round(otel.service_quantile('cart', 0.5, now() - interval '1 minute', now() + interval '1 minute')), 40::double precision, 'quantile of a service, in milliseconds');
SELECT ok(otel.service_quantile('none', 0.5) IS NULL, 'there is none of what was not seen');
SELECT results_eq(format($$SELECT accepted, rejected FROM otel.ingest_logs(%L::jsonb)$$, jsonb_build_object('resourceLogs', jsonb_build_array(jsonb_build_object(
    'resource', '{"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]}'::jsonb, 'scopeLogs', jsonb_build_array(jsonb_build_object('logRecords', jsonb_build_array(
        jsonb_build_object('timeUnixNano', pg_temp.nano(now()), 'severityNumber', 17, 'body', '{"stringValue": "out of stock"}'::jsonb, 'traceId', '5b8efff798038103d269b633813fc60c', 'spanId', 'eee19b7ec3c1b175'),
        jsonb_build_object('timeUnixNano', pg_temp.nano(now() - interval '1 s'), 'severityNumber', 9, 'body', '{"kvlistValue": {"values": [{"key": "item", "value": {"intValue": 7}}]}}'::jsonb, 'traceId', '5B8EFFF798038103D269B633813FC60C'),
        jsonb_build_object('timeUnixNano', pg_temp.nano(now()), 'body', '{"stringValue": "of no trace"}'::jsonb)))))))), $$VALUES (3::bigint, 0::bigint)$$, 'log records');
SELECT results_eq($$SELECT service_name, severity, message, span_id::text FROM otel.trace_logs('5b8efff798038103d269b633813fc60c')$$,
    $$VALUES ('cart', 'info', '{"item": 7}', NULL), ('cart', 'error', 'out of stock', 'eee19b7ec3c1b175')$$, 'the logs of a trace, in order');

-- Grouped by an attribute that some resources have and others leave to their spans; a step counts per second of what lies between since and until.
CREATE FUNCTION pg_temp.red_of_attribute(step interval) RETURNS TABLE (at double precision, "group" text, per_minute numeric, error_rate numeric) LANGUAGE sql AS $$
    SELECT extract(epoch FROM "time" - timestamptz '2026-01-01 12:00:00+00'), "group", round((rate * 60)::numeric, 6), round(error_rate::numeric, 6)
    FROM otel.red('cell', timestamptz '2026-01-01 12:00:30+00', timestamptz '2026-01-01 12:04:10+00', step) $$;
SELECT otel.ensure_partitions('2026-01-01 12:00:00+00', '2026-01-01 13:00:00+00');
CREATE TEMP TABLE celled (service text PRIMARY KEY, cell text, id integer);
INSERT INTO celled VALUES ('east', 'b', 0), ('spans', NULL, 0), ('none', NULL, 0);
WITH resource AS (
    INSERT INTO otel.resources (hash, service_name, attributes, dropped_attributes_count)
        SELECT gen_random_uuid(), service, CASE WHEN cell IS NULL THEN '{}' ELSE jsonb_build_object('cell', cell) END, 0 FROM celled RETURNING service_name, resource_id)
UPDATE celled SET id = resource_id FROM resource WHERE service_name = service;
-- As the writer leaves them: a span and its pane.
CREATE FUNCTION pg_temp.celled_span(of_service text, ended timestamptz, attributes jsonb, status integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO otel.spans SELECT ended, md5(ended::text || of_service)::otel.trace_id, '0000000000000001', NULL, ended, 1, 2, 1000000, 0, 0, id, 1, 0, 0, 0, 2, status, 'celled', NULL, NULL, attributes
        FROM celled WHERE service = of_service;
    INSERT INTO otel.span_pane SELECT date_trunc('second', ended), 1, (status = 2)::integer, 1000000, 1000000, 1000000, 0, id, 2, 1, '{}', otel.sketch(ARRAY[1000000]) FROM celled WHERE service = of_service $$;
SELECT pg_temp.celled_span(service, timestamptz '2026-01-01 12:00:00+00' + after * interval '1 s', attributes, status) FROM (VALUES
    ('east', 45, '{"cell": "other"}'::jsonb, 0), ('east', 70, '{}', 2), ('spans', 50, '{"cell": "a"}', 0), ('spans', 80, '{"cell": "a"}', 2), ('spans', 90, '{"cell": "b"}', 0), ('spans', 245, '{"cell": "a"}', 0),
    ('none', 75, '{}', 0), ('spans', 20, '{"cell": "a"}', 2), ('spans', 255, '{"cell": "a"}', 2)) AS v(service, after, attributes, status);
SELECT results_eq($$SELECT * FROM pg_temp.red_of_attribute('1 minute')$$,
    $$VALUES (0::double precision, 'a', 2.000000, 0.000000), (0, 'b', 2.000000, 0.000000), (60, 'a', 1.000000, 1.000000), (60, 'b', 2.000000, 0.500000), (240, 'a', 6.000000, 0.000000)$$,
    'RED by an attribute of some resources and of the spans of others');
SELECT results_eq($$SELECT "group", round((rate * 220)::numeric, 6) FROM otel.red('service', '2026-01-01 12:00:30+00', '2026-01-01 12:04:10+00', '1 day')$$,
    $$VALUES ('east', 2.000000), ('none', 1.000000), ('spans', 4.000000)$$, 'of services, in one step that is longer than the time');
SELECT is((SELECT max(p50_ms)::numeric(6,1) FROM otel.red('cell', '2026-01-01 12:00:30+00', '2026-01-01 12:04:10+00', '1 hour')), 1.0, 'durations of both are merged');
DELETE FROM otel.spans WHERE name = 'celled';

-- The timeline has what a service's error rate did from one minute to the next: by five points and by half, of ten spans or more.
SELECT pg_temp.celled_span('east', timestamptz '2026-01-01 12:30:00+00' + minute * interval '1 minute' + n * interval '1 s', '{}', CASE WHEN n <= errors THEN 2 ELSE 0 END)
    FROM (VALUES (0, 20, 0), (1, 20, 10), (2, 20, 9), (3, 9, 9), (4, 20, 1), (5, 20, 2)) AS v(minute, spans, errors), generate_series(1, spans) AS n;
CREATE FUNCTION pg_temp.errors() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', to_char(at, 'HH24:MI'), object, what) FROM dbnet.timeline('[2026-01-01 12:30:00+00, 2026-01-01 12:40:00+00]') WHERE kind = 'errors' $$;
SELECT results_eq('SELECT * FROM pg_temp.errors()', ARRAY['12:31 east error rate 0.0 % → 50.0 % (20 spans in the minute)', '12:34 east error rate 45.0 % → 5.0 % (20 spans in the minute)',
    '12:35 east error rate 5.0 % → 10.0 % (20 spans in the minute)'], 'steps of the error rate in the timeline');
CREATE ROLE dbnet_test_other;
GRANT dbnet_viewer TO dbnet_test_other;
REVOKE SELECT ON otel.span_pane FROM dbnet_viewer;
SET LOCAL ROLE dbnet_test_other;
SELECT is_empty('SELECT * FROM pg_temp.errors()', 'not for who may not read telemetry');
RESET ROLE;
GRANT SELECT ON otel.span_pane TO dbnet_viewer;
DELETE FROM otel.spans WHERE name = 'celled';
DELETE FROM otel.span_pane WHERE bucket < '2026-02-01';

-- A trace that was sent twice, for Grafana: each span once, times exact to the microsecond, arrays where there is nothing.
SELECT lives_ok(format($$SELECT otel.ingest_traces(%1$L::jsonb), otel.ingest_traces(%1$L::jsonb)$$, jsonb_build_object('resourceSpans', jsonb_build_array(jsonb_build_object('scopeSpans',
    jsonb_build_array(jsonb_build_object('spans', '[{"traceId": "000000000000000000000000000000bb", "spanId": "00000000000000b1", "name": "twice", "startTimeUnixNano": "1795962527010001999",
        "endTimeUnixNano": "1795962527020001999", "events": [{"name": "e", "timeUnixNano": "1795962527015001999"}]}]'::jsonb)))))), 'a trace that comes twice');
SELECT results_eq($$SELECT "spanID", "startTime"::text, duration, "serviceTags", tags, logs FROM otel.trace('000000000000000000000000000000bb')$$,
    $$VALUES ('00000000000000b1', '1795962527010.001', 10::double precision, '[]'::jsonb, '[]'::jsonb, '[{"name": "e", "fields": [], "timestamp": 1795962527015.001}]'::jsonb)$$, 'for Grafana');
DELETE FROM otel.spans WHERE name = 'twice';
DELETE FROM otel.span_pane WHERE resource_id NOT IN (SELECT resource_id FROM otel.spans);

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

-- Old partitions, as many at once as one likes.
SELECT is(otel.ensure_partitions('2020-01-01', '2020-01-01') > 2, true, 'old partitions');
SELECT is(ARRAY[otel.remove_old_partitions(now(), 0), otel.remove_old_partitions(now(), -1), otel.remove_old_partitions(now(), 2)], '{0,0,2}', 'none, none, two of them go');
SELECT is(otel.remove_old_partitions() > 0, true, 'then all others');

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
-- On panes, with a role that may do no more than deliver.
CREATE ROLE dbnet_test_agent;
GRANT dbnet_ingest TO dbnet_test_agent;
CREATE FUNCTION pg_temp.pane_seen() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_temp AS $$ BEGIN INSERT INTO seen VALUES ('pane ' || NEW.count); RETURN NULL; END $$;
CREATE TRIGGER pane_seen AFTER INSERT ON otel.span_pane FOR EACH ROW WHEN (NEW.rule = 0) EXECUTE FUNCTION pg_temp.pane_seen();
SELECT pg_temp.request('agent', 'n2', jsonb_build_array(pg_temp.span('00000000000000b3', '', 'one', now(), '1 s'), pg_temp.span('00000000000000b4', '', 'two', now(), '1 s'))) AS request \gset
SET LOCAL ROLE dbnet_test_agent;
SELECT accepted FROM otel.ingest_traces(:'request'::jsonb) \gset
RESET ROLE;
SELECT is(:accepted::bigint, 2::bigint, 'spans, by a role that only delivers, whose panes have a trigger');
SELECT is((SELECT string_agg(what, ', ') FROM seen WHERE what LIKE 'pane %'), 'pane 2', 'which has run');
SELECT is((SELECT sum(count) FROM otel.span_pane WHERE rule = 0), (SELECT count(*) FROM otel.spans)::numeric, 'and they are counted');
DROP TRIGGER pane_seen ON otel.span_pane;
DELETE FROM seen WHERE what ~ '^pane|one two$';
CREATE OR REPLACE FUNCTION pg_temp.batch_seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM seen; RAISE EXCEPTION 'no'; END $$;
SELECT is((SELECT accepted FROM otel.ingest_traces(pg_temp.request('cart', 'n2', jsonb_build_array(pg_temp.span('00000000000000c1', '', 'kept', now(), '1 s'))))), 1::bigint, 'a hook that fails does not fail the batch');
SELECT is((SELECT count(*) FROM seen), 3::bigint, 'what it did is undone');
SELECT is((SELECT count(*) FROM otel.spans WHERE name = 'kept'), 1::bigint, 'the span is there');
SELECT otel.remove_on_batch('pg_temp.batch_seen()');
SELECT is_empty('TABLE otel.batch_hook', 'no hook is left');
SELECT throws_ok($$SELECT otel.on_batch('now()')$$, '42809', 'function now() does not return trigger');
SELECT throws_ok($$SELECT otel.on_batch('pg_temp.batch_seen()', 'resources')$$, '22023', 'no batches of "resources" come in', 'a table that is not delivered');
SELECT throws_ok($$SELECT otel.on_batch(NULL)$$, '22004', 'procedure must not be NULL');
SELECT throws_ok($$SELECT otel.remove_on_batch('pg_temp.batch_seen()')$$, '42704', 'function pg_temp.batch_seen() is not called for batches of spans');

SELECT throws_ok('SELECT otel.change_batch_hook(''gone()'', ''spans'', true)', '42883', 'function gone() is not there');

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
-- Made anew, as an upgrade of one's own does it: it is called again.
SET LOCAL ROLE dbnet_test_hook;
DROP TRIGGER fired ON hook.seen;
DROP FUNCTION hook.batch_seen();
RESET ROLE;
SELECT is((SELECT accepted FROM otel.ingest_traces(pg_temp.request('cart', 'n2', jsonb_build_array(pg_temp.span('00000000000000d3', '', 'd', now(), '1 s'))))), 1::bigint, 'a batch whose hook is not there');
SET LOCAL ROLE dbnet_test_hook;
CREATE FUNCTION hook.batch_seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO hook.seen VALUES ('anew'); RETURN NULL; END $$;
RESET ROLE;
SELECT is((SELECT accepted FROM otel.ingest_traces(pg_temp.request('cart', 'n2', jsonb_build_array(pg_temp.span('00000000000000d4', '', 'd', now(), '1 s'))))), 1::bigint, 'a batch whose hook was made anew');
SELECT is((SELECT count(*) FROM hook.seen WHERE who = 'anew'), 1::bigint, 'it has run');
-- Made anew by somebody else who may create there: not what was asked for, and what is delivered is not theirs to read.
CREATE ROLE dbnet_test_other_hook;
CREATE ROLE dbnet_test_third_hook IN ROLE dbnet_admin;
GRANT USAGE ON SCHEMA hook TO dbnet_test_third_hook;
SET LOCAL ROLE dbnet_test_hook;
DROP FUNCTION hook.batch_seen();
GRANT CREATE, USAGE ON SCHEMA hook TO dbnet_test_other_hook;
GRANT INSERT ON hook.seen TO dbnet_test_other_hook;
RESET ROLE;
CREATE FUNCTION hook.batch_seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO hook.seen VALUES ('other'); RETURN NULL; END $$;
ALTER FUNCTION hook.batch_seen() OWNER TO dbnet_test_other_hook;
SELECT is((SELECT accepted FROM otel.ingest_traces(pg_temp.request('cart', 'n2', jsonb_build_array(pg_temp.span('00000000000000d5', '', 'd', now(), '1 s'))))), 1::bigint, 'a batch whose hook is another role''s now');
SELECT is_empty($$SELECT FROM hook.seen WHERE who = 'other'$$, 'it has not run');
SET LOCAL ROLE dbnet_test_third_hook;
SELECT throws_ok($$SELECT otel.remove_on_batch('hook.batch_seen()')$$, '42501', 'must be owner of function hook.batch_seen()', 'nobody else removes it');
RESET ROLE;
SAVEPOINT named;
SET LOCAL ROLE dbnet_test_hook;
SELECT lives_ok($$SELECT otel.remove_on_batch('hook.batch_seen()')$$, 'who has named it may remove it');
RESET ROLE;
SELECT is_empty('TABLE otel.batch_hook', 'it is not called any more');
ROLLBACK TO named;
SELECT otel.on_batch('hook.batch_seen()');
SELECT is((SELECT accepted FROM otel.ingest_traces(pg_temp.request('cart', 'n2', jsonb_build_array(pg_temp.span('00000000000000d6', '', 'd', now(), '1 s'))))), 1::bigint, 'a batch whose hook was named anew');
SELECT is((SELECT count(*) FROM hook.seen WHERE who = 'other'), 1::bigint, 'that has run');
ALTER FUNCTION hook.batch_seen() OWNER TO dbnet_test_hook;
SET LOCAL ROLE dbnet_test_hook;
SELECT throws_ok($$SELECT otel.remove_on_batch('hook.batch_seen()', 'logs')$$, '42704', 'function hook.batch_seen() is not called for batches of logs');
DROP FUNCTION hook.batch_seen();
SELECT lives_ok($$SELECT otel.remove_on_batch('hook.batch_seen()')$$, 'a hook of a function that is not there is removed, too');
RESET ROLE;
SELECT is_empty('TABLE otel.batch_hook', 'and no hook is left');

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
