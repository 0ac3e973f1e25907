-- What people ask of telemetry: spans, logs and points with names instead of numbers, services and operations, a trace, search, who calls whom, and rates, errors and
-- durations of any group. All of it reads with the rights of who asks. Times are those of bucket_time, by which partitions are left out.

CREATE FUNCTION otel.kind_name(kind smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE kind WHEN 0 THEN 'unspecified' WHEN 1 THEN 'internal' WHEN 2 THEN 'server' WHEN 3 THEN 'client' WHEN 4 THEN 'producer' WHEN 5 THEN 'consumer' ELSE kind::text END;
COMMENT ON FUNCTION otel.kind_name(smallint) IS 'Word for spans.kind';
CREATE FUNCTION otel.status_name(status_code smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE status_code WHEN 0 THEN 'unset' WHEN 1 THEN 'ok' WHEN 2 THEN 'error' ELSE status_code::text END;
COMMENT ON FUNCTION otel.status_name(smallint) IS 'Word for spans.status_code';
CREATE FUNCTION otel.severity_name(severity_number smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN severity_number BETWEEN 1 AND 24 THEN (ARRAY['trace', 'debug', 'info', 'warn', 'error', 'fatal'])[(severity_number + 3) / 4] END;
COMMENT ON FUNCTION otel.severity_name(smallint) IS 'Word for logs.severity_number; NULL = not said';

-- With names --------------------------------------------------------------------------------------------------------------

CREATE VIEW otel.span WITH (security_invoker = true) AS
SELECT s.bucket_time, s.trace_id, s.span_id, s.parent_span_id, r.service_name, s.name, otel.kind_name(s.kind) AS kind, otel.status_name(s.status_code) AS status, s.status_message,
       s.start_time, s.duration_nano / 1e6::double precision AS duration_ms, r.node, r.pod, s.attributes, r.attributes AS resource_attributes, c.name AS scope_name,
       s.start_time_unix_nano, s.duration_nano, s.resource_id, s.batch_id
FROM otel.spans AS s LEFT JOIN otel.resources AS r USING (resource_id) LEFT JOIN otel.scopes AS c USING (scope_id);
COMMENT ON VIEW otel.span IS 'Spans with the names of who sent them';

CREATE VIEW otel.log WITH (security_invoker = true) AS
SELECT l.bucket_time, l.time, r.service_name, coalesce(l.severity_text, otel.severity_name(l.severity_number)) AS severity, l.severity_number, l.body #>> '{}' AS message, l.trace_id, l.span_id,
       l.event_name, r.node, r.pod, l.attributes, r.attributes AS resource_attributes, c.name AS scope_name, l.time_unix_nano, l.resource_id, l.batch_id
FROM otel.logs AS l LEFT JOIN otel.resources AS r USING (resource_id) LEFT JOIN otel.scopes AS c USING (scope_id);
COMMENT ON VIEW otel.log IS 'Log records with the names of who wrote them';

CREATE VIEW otel.metric WITH (security_invoker = true) AS
SELECT p.bucket_time, p.time, r.service_name, m.name, coalesce(p.value_double, p.value_int::double precision) AS value, m.unit, CASE m.type WHEN 1 THEN 'gauge' ELSE 'sum' END AS type,
       m.aggregation_temporality = 2 AS is_cumulative, m.is_monotonic, r.node, r.pod, e.attributes, r.attributes AS resource_attributes, p.series_id, m.metric_id, p.start_time_unix_nano, p.batch_id
FROM otel.number_points AS p JOIN otel.series AS e USING (series_id) JOIN otel.metrics AS m USING (metric_id) LEFT JOIN otel.resources AS r USING (resource_id);
COMMENT ON VIEW otel.metric IS 'Points of gauges and sums with the names of what was measured';

DO $$
DECLARE
    described record;
BEGIN
    FOR described IN SELECT c.oid::regclass AS relation, a.attname, coalesce(pg_catalog.col_description(original.attrelid, original.attnum), other.comment) AS comment
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
        LEFT JOIN (VALUES ('span', 'status', 'unset, ok, error'), ('span', 'kind', 'server, client, producer, consumer, internal'), ('span', 'duration_ms', 'end minus start, milliseconds'),
            ('log', 'severity', 'in the words of the source, else trace, debug, info, warn, error, fatal'), ('log', 'message', 'the body as text'),
            ('metric', 'value', 'the value; NULL = none was sent'), ('metric', 'type', 'gauge, sum'), ('metric', 'is_cumulative', 'counts from start_time_unix_nano, not from the point before'),
            ('metric', 'name', 'name of the metric'), ('metric', 'unit', 'unit of its values, in UCUM'), ('metric', 'is_monotonic', 'sum: never decreases but for a restart'),
            ('metric', 'metric_id', 'metrics.metric_id'), ('metric', 'attributes', 'the attributes that all points of the series have'),
            ('*', 'resource_attributes', 'all attributes of the resource'), ('*', 'scope_name', 'library that made it'), ('*', 'service_name', 'attribute service.name of the resource'),
            ('*', 'node', 'attribute k8s.node.name, else host.name'), ('*', 'pod', 'attribute k8s.pod.name')) AS other(relation, name, comment)
            ON other.relation IN (c.relname, '*') AND other.name = a.attname
        LEFT JOIN pg_catalog.pg_attribute AS original ON original.attname = a.attname AND other.comment IS NULL
            AND original.attrelid = CASE c.relname WHEN 'span' THEN 'otel.spans' WHEN 'log' THEN 'otel.logs' ELSE 'otel.number_points' END::regclass
        WHERE c.relnamespace = 'otel'::regnamespace AND c.relname IN ('span', 'log', 'metric') LOOP
        EXECUTE pg_catalog.format('COMMENT ON COLUMN %s.%I IS %L', described.relation, described.attname, described.comment);
    END LOOP;
END
$$;

-- Services -----------------------------------------------------------------------------------------------------------------

CREATE FUNCTION otel.services(since timestamptz DEFAULT now() - interval '1 hour', until timestamptz DEFAULT 'infinity')
    RETURNS TABLE (service_name text, instances bigint, nodes bigint, spans bigint, errors bigint, error_rate double precision, p50_ms double precision, p95_ms double precision, last_seen timestamptz)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT r.service_name, count(DISTINCT r.resource_id), count(DISTINCT r.node), sum(p.count)::bigint, sum(p.error_count)::bigint, sum(p.error_count)::double precision / sum(p.count)::double precision,
           otel.quantile(otel.merge(p.durations), 0.5) / 1e6, otel.quantile(otel.merge(p.durations), 0.95) / 1e6, max(p.bucket)
    FROM otel.span_pane AS p LEFT JOIN otel.resources AS r USING (resource_id)
    WHERE p.bucket >= since AND p.bucket < until AND p.rule = 0 GROUP BY r.service_name ORDER BY 4 DESC, 1
    $$;
COMMENT ON FUNCTION otel.services(timestamptz, timestamptz) IS 'The services of which spans came, by their number. Arguments: from; until. Rows: service; how many instances and nodes sent; spans, those with an error, and their share; median and 95th percentile of durations in milliseconds; second of the last span';

CREATE FUNCTION otel.operations(service text DEFAULT NULL, since timestamptz DEFAULT now() - interval '1 hour', until timestamptz DEFAULT 'infinity')
    RETURNS TABLE (service_name text, operation text, kind text, spans bigint, errors bigint, p50_ms double precision, p95_ms double precision)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT r.service_name, s.name, otel.kind_name(s.kind), count(*), count(*) FILTER (WHERE s.status_code = 2),
           percentile_cont(0.5) WITHIN GROUP (ORDER BY s.duration_nano) / 1e6, percentile_cont(0.95) WITHIN GROUP (ORDER BY s.duration_nano) / 1e6
    FROM otel.spans AS s LEFT JOIN otel.resources AS r USING (resource_id)
    WHERE s.bucket_time >= since AND s.bucket_time < until AND (service IS NULL OR r.service_name = service)
    GROUP BY r.service_name, s.name, s.kind ORDER BY 4 DESC, 1, 2, 3
    $$;
COMMENT ON FUNCTION otel.operations(text, timestamptz, timestamptz) IS 'What services do, by the number of spans. Arguments: service, NULL = all; from; until. Durations in milliseconds';

-- A trace -------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION otel.trace(wanted otel.trace_id)
    RETURNS TABLE ("traceID" text, "spanID" text, "parentSpanID" text, "operationName" text, "serviceName" text, "serviceTags" jsonb, "startTime" double precision, duration double precision,
                   tags jsonb, logs jsonb, "statusCode" smallint)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT s.trace_id::text, s.span_id::text, s.parent_span_id::text, s.name, r.service_name,
           (SELECT coalesce(jsonb_agg(jsonb_build_object('key', t.key, 'value', t.value)), '[]') FROM jsonb_each(r.attributes) AS t),
           -- Divided in two steps: 1e18 nanoseconds are more than a double holds exactly.
           s.start_time_unix_nano / 1000 / 1e3::double precision, s.duration_nano / 1e6::double precision,
           (SELECT coalesce(jsonb_agg(jsonb_build_object('key', t.key, 'value', t.value)), '[]') FROM jsonb_each(s.attributes) AS t),
           (SELECT coalesce(jsonb_agg(jsonb_build_object('timestamp', e.time_unix_nano / 1000 / 1e3::double precision, 'name', e.name,
                'fields', (SELECT coalesce(jsonb_agg(jsonb_build_object('key', t.key, 'value', t.value)), '[]') FROM jsonb_each(e.attributes) AS t)) ORDER BY e.ordinal), '[]')
            FROM (SELECT DISTINCT ON (v.ordinal) v.* FROM otel.span_events AS v WHERE v.trace_id = s.trace_id AND v.span_id = s.span_id AND v.bucket_time = s.bucket_time ORDER BY v.ordinal) AS e),
           s.status_code
    FROM (SELECT DISTINCT ON (span_id) * FROM otel.spans WHERE trace_id = wanted ORDER BY span_id, start_time_unix_nano) AS s
    LEFT JOIN otel.resources AS r USING (resource_id) ORDER BY s.start_time_unix_nano, s.span_id
    $$;
COMMENT ON FUNCTION otel.trace(otel.trace_id) IS 'A trace as Grafana''s panel of that name takes it. Argument: trace id in hexadecimal. Rows: its spans, each once, also when it was sent again; startTime in milliseconds since 1970, duration in milliseconds, tags and logs as arrays of objects';

CREATE FUNCTION otel.trace_tree(wanted otel.trace_id) RETURNS TABLE (span text, offset_ms double precision, duration_ms double precision, status text, span_id otel.span_id)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    WITH RECURSIVE spans AS MATERIALIZED (
        SELECT DISTINCT ON (s.span_id) s.span_id, s.parent_span_id, coalesce(r.service_name || ': ', '') || s.name AS title, s.start_time_unix_nano AS start, s.duration_nano,
               otel.status_name(s.status_code) || coalesce(': ' || s.status_message, '') AS status
        FROM otel.spans AS s LEFT JOIN otel.resources AS r USING (resource_id) WHERE s.trace_id = wanted ORDER BY s.span_id, s.start_time_unix_nano),
    tree AS (
        -- Roots, and spans whose parent did not come.
        SELECT s.*, 0 AS depth, ARRAY[ROW(s.start, s.span_id::text)] AS path FROM spans AS s
        WHERE s.parent_span_id IS NULL OR NOT EXISTS (SELECT FROM spans AS p WHERE p.span_id = s.parent_span_id)
        UNION ALL
        SELECT s.*, t.depth + 1, t.path || ROW(s.start, s.span_id::text) FROM tree AS t JOIN spans AS s ON s.parent_span_id = t.span_id WHERE t.depth < 1000),
    shown AS (
        SELECT * FROM tree
        -- Of those that are their own ancestors nobody is the first: each by itself, with those below that are too deep.
        UNION ALL SELECT s.*, 0, ARRAY[ROW(s.start, s.span_id::text)] FROM spans AS s WHERE NOT EXISTS (SELECT FROM tree AS t WHERE t.span_id = s.span_id))
    SELECT repeat('  ', depth) || title, (start - (SELECT min(start) FROM spans)) / 1e6::double precision, duration_nano / 1e6::double precision, status, shown.span_id FROM shown ORDER BY path
    $$;
COMMENT ON FUNCTION otel.trace_tree(otel.trace_id) IS 'A trace to be read: each span below the one within which it ran. Argument: trace id in hexadecimal. Rows: service and operation; when it began after the first one, and how long it took, in milliseconds; status';

-- Search --------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION otel.search(service text DEFAULT NULL, operation text DEFAULT NULL, attributes jsonb DEFAULT '{}', min_duration interval DEFAULT NULL, max_duration interval DEFAULT NULL,
        since timestamptz DEFAULT now() - interval '1 hour', until timestamptz DEFAULT 'infinity', only_errors boolean DEFAULT false, "limit" integer DEFAULT 20)
    RETURNS TABLE (trace_id otel.trace_id, span_id otel.span_id, service_name text, operation text, start_time timestamptz, duration_ms double precision, status text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT s.trace_id, s.span_id, r.service_name, s.name, s.start_time, s.duration_nano / 1e6::double precision, otel.status_name(s.status_code) || coalesce(': ' || s.status_message, '')
    FROM otel.spans AS s LEFT JOIN otel.resources AS r USING (resource_id)
    WHERE s.bucket_time >= coalesce(search.since, '-infinity') AND s.bucket_time < coalesce(search.until, 'infinity')
        AND (search.service IS NULL OR r.service_name = search.service) AND (search.operation IS NULL OR s.name = search.operation)
        AND (search.attributes IS NULL OR s.attributes @> search.attributes OR r.attributes @> search.attributes OR r.attributes || s.attributes @> search.attributes)
        AND (search.min_duration IS NULL OR s.duration_nano >= extract(epoch FROM search.min_duration) * 1e9)
        AND (search.max_duration IS NULL OR s.duration_nano <= extract(epoch FROM search.max_duration) * 1e9)
        AND (search.only_errors IS NOT TRUE OR s.status_code = 2)
    ORDER BY s.bucket_time DESC LIMIT search."limit"
    $$;
COMMENT ON FUNCTION otel.search(text, text, jsonb, interval, interval, timestamptz, timestamptz, boolean, integer) IS
    'Finds spans, the newest first. Arguments: service; operation; attributes, of span or resource, that they have; least and greatest duration; from; until; only those with an error; how many. NULL = any. Give the ids to otel.trace_tree() or otel.trace()';

CREATE FUNCTION otel.dependencies(since timestamptz DEFAULT now() - interval '1 hour', until timestamptz DEFAULT 'infinity')
    RETURNS TABLE (parent text, child text, calls bigint, errors bigint, p95_ms double precision)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT pr.service_name, cr.service_name, count(*), count(*) FILTER (WHERE c.status_code = 2), percentile_cont(0.95) WITHIN GROUP (ORDER BY c.duration_nano) / 1e6
    FROM otel.spans AS c JOIN otel.spans AS p ON p.trace_id = c.trace_id AND p.span_id = c.parent_span_id
    JOIN otel.resources AS cr ON cr.resource_id = c.resource_id JOIN otel.resources AS pr ON pr.resource_id = p.resource_id
    WHERE c.bucket_time >= since AND c.bucket_time < until AND p.bucket_time >= since - interval '1 hour' AND p.bucket_time < until + interval '1 hour' AND pr.service_name <> cr.service_name
    GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
    $$;
COMMENT ON FUNCTION otel.dependencies(timestamptz, timestamptz) IS 'Which service calls which. Arguments: from; until. Rows: caller and callee; spans of the callee whose parent is the caller''s; those with an error; 95th percentile of their durations in milliseconds. Of calls across an hour''s edge both spans must be within an hour of it';

-- Rate, errors, duration ----------------------------------------------------------------------------------------------------

CREATE FUNCTION otel.red(group_by text DEFAULT 'service.name', since timestamptz DEFAULT now() - interval '1 hour', until timestamptz DEFAULT now(), step interval DEFAULT interval '1 minute')
    RETURNS TABLE ("time" timestamptz, "group" text, rate double precision, error_rate double precision, p50_ms double precision, p95_ms double precision, p99_ms double precision)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    WITH others AS MATERIALIZED (
        SELECT FROM otel.span_pane AS p LEFT JOIN otel.resources AS r USING (resource_id)
        WHERE red.group_by NOT IN ('service', 'node', 'pod') AND p.bucket >= since AND p.bucket < until AND p.rule = 0 AND p.kind IN (2, 5)
            AND (r.attributes ? red.group_by) IS NOT TRUE LIMIT 1),
    counted AS (
        SELECT date_bin(step, p.bucket, timestamptz '2000-01-01 00:00:00+00') AS time,
               CASE red.group_by WHEN 'service' THEN r.service_name WHEN 'node' THEN r.node WHEN 'pod' THEN r.pod ELSE r.attributes ->> red.group_by END AS "group",
               sum(p.count) AS count, sum(p.error_count) AS error_count, otel.merge(p.durations) AS durations
        FROM otel.span_pane AS p LEFT JOIN otel.resources AS r USING (resource_id)
        WHERE p.bucket >= since AND p.bucket < until AND p.rule = 0 AND p.kind IN (2, 5)
            AND (red.group_by IN ('service', 'node', 'pod') OR r.attributes ? red.group_by)
        GROUP BY 1, 2
        UNION ALL
        -- Spans of resources that do not say it themselves; not looked at where there is none.
        SELECT date_bin(step, s.bucket_time, timestamptz '2000-01-01 00:00:00+00'), s.attributes ->> red.group_by, count(*), count(*) FILTER (WHERE s.status_code = 2),
               otel.sketch(array_agg(greatest(s.duration_nano, 0)::double precision))
        FROM otel.spans AS s LEFT JOIN otel.resources AS r USING (resource_id)
        WHERE EXISTS (SELECT FROM others) AND s.bucket_time >= since AND s.bucket_time < until AND s.kind IN (2, 5)
            AND s.attributes ? red.group_by AND (r.attributes ? red.group_by) IS NOT TRUE
        GROUP BY 1, 2),
    -- A group may be in both.
    summed AS (
        SELECT c.time, c."group", sum(c.count)::double precision AS count, sum(c.error_count)::double precision AS error_count, otel.merge(c.durations) AS durations,
               -- Of the first and the last step only a part may lie between since and until.
               greatest(extract(epoch FROM least(c.time + step, until) - greatest(c.time, since)), 1)::double precision AS seconds
        FROM counted AS c GROUP BY 1, 2)
    SELECT s.time, s."group", s.count / s.seconds, s.error_count / s.count,
           otel.quantile(s.durations, 0.5) / 1e6, otel.quantile(s.durations, 0.95) / 1e6, otel.quantile(s.durations, 0.99) / 1e6
    FROM summed AS s ORDER BY 1, 2
    $$;
COMMENT ON FUNCTION otel.red(text, timestamptz, timestamptz, interval) IS
    'Rate, errors and durations of what servers and consumers did. Arguments: what to group by: service, node, pod or any attribute of resources (from panes, at once); of resources that do not have it, an attribute of their spans such as http.route (from the spans themselves); from; until; length of a step. Rows: start of the step; group; spans per second, of a step that is not over, or began before, per second of what lies between from and until; share with an error; median, 95th and 99th percentile in milliseconds';

CREATE FUNCTION otel.service_rate(service text, since timestamptz DEFAULT now() - interval '1 minute', until timestamptz DEFAULT now()) RETURNS double precision
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT CASE WHEN since < until AND isfinite(since) AND isfinite(until) THEN coalesce(sum(p.count), 0)::double precision / extract(epoch FROM until - since)::double precision END
          FROM otel.span_pane AS p JOIN otel.resources AS r USING (resource_id)
          WHERE p.bucket >= since AND p.bucket < until AND p.rule = 0 AND p.kind IN (2, 5) AND r.service_name = service $$;
COMMENT ON FUNCTION otel.service_rate(text, timestamptz, timestamptz) IS 'Spans per second that a service has served; NULL = no time, or an endless one, lies between the two. Arguments: service; from; until';
CREATE FUNCTION otel.service_error_rate(service text, since timestamptz DEFAULT now() - interval '1 minute', until timestamptz DEFAULT now()) RETURNS double precision
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT sum(p.error_count)::double precision / nullif(sum(p.count), 0)::double precision FROM otel.span_pane AS p JOIN otel.resources AS r USING (resource_id)
          WHERE p.bucket >= since AND p.bucket < until AND p.rule = 0 AND p.kind IN (2, 5) AND r.service_name = service $$;
COMMENT ON FUNCTION otel.service_error_rate(text, timestamptz, timestamptz) IS 'Share of the spans that a service has served with an error; NULL = it has served none. Arguments: service; from; until';
CREATE FUNCTION otel.service_quantile(service text, quantile double precision, since timestamptz DEFAULT now() - interval '1 minute', until timestamptz DEFAULT now()) RETURNS double precision
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT otel.quantile(otel.merge(p.durations), service_quantile.quantile) / 1e6 FROM otel.span_pane AS p JOIN otel.resources AS r USING (resource_id)
          WHERE p.bucket >= since AND p.bucket < until AND p.rule = 0 AND p.kind IN (2, 5) AND r.service_name = service $$;
COMMENT ON FUNCTION otel.service_quantile(text, double precision, timestamptz, timestamptz) IS 'A quantile of the durations, in milliseconds, of what a service has served; NULL = nothing. Arguments: service; from 0 to 1; from; until';

CREATE FUNCTION otel.trace_logs(wanted otel.trace_id) RETURNS TABLE ("time" timestamptz, service_name text, severity text, message text, span_id otel.span_id, attributes jsonb)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT l.time, l.service_name, l.severity, l.message, l.span_id, l.attributes FROM otel.log AS l WHERE l.trace_id = wanted ORDER BY l.time, l.time_unix_nano $$;
COMMENT ON FUNCTION otel.trace_logs(otel.trace_id) IS 'The log records of a trace, in order. Argument: trace id in hexadecimal';
