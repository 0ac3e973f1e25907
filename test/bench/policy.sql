-- What make bench measures of policies: telemetry is committed → the action is called. Run in a database of its own.
CREATE SCHEMA bench;
-- A request of an exporter: spans of one node, the first ones failed.
CREATE FUNCTION bench.request(node text, spans integer, errors integer) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('resourceSpans', jsonb_build_array(jsonb_build_object(
        'resource', jsonb_build_object('attributes', jsonb_build_array(
            jsonb_build_object('key', 'service.name', 'value', jsonb_build_object('stringValue', 'checkout')),
            jsonb_build_object('key', 'k8s.node.name', 'value', jsonb_build_object('stringValue', node)))),
        'scopeSpans', jsonb_build_array(jsonb_build_object('spans', (
            SELECT jsonb_agg(jsonb_build_object('traceId', md5(random()::text), 'spanId', substr(md5(random()::text), 1, 16), 'name', 'POST /pay', 'kind', 2,
                'startTimeUnixNano', (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint::text, 'endTimeUnixNano', (extract(epoch FROM clock_timestamp()) * 1000000000 + 20000000)::bigint::text,
                'status', jsonb_build_object('code', CASE WHEN n <= errors THEN 2 ELSE 0 END)))
            FROM generate_series(1, spans) AS n))))))
$$;
CREATE TABLE bench.sent (node text PRIMARY KEY, at timestamptz);
CREATE TABLE bench.called (node text, at timestamptz);
CREATE TABLE bench.stop ();
CREATE PROCEDURE bench.act(event dbnet.policy_event) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO bench.called VALUES (event.grouping ->> 'node', clock_timestamp());
END $$;
-- One node after the other turns bad; its name begins with `prefix`.
CREATE PROCEDURE bench.turn_bad(prefix text, nodes integer) LANGUAGE plpgsql AS $$
DECLARE
    request jsonb;
BEGIN
    FOR n IN 1 .. nodes LOOP
        request := bench.request(prefix || n, 100, 50);
        PERFORM otel.ingest_traces(request);
        COMMIT;
        INSERT INTO bench.sent VALUES (prefix || n, clock_timestamp());
        COMMIT;
        PERFORM pg_sleep(0.05);
    END LOOP;
END $$;
-- Ingest without a pause, until bench.stop has a row: 100 spans per transaction, of ten nodes that are well.
CREATE PROCEDURE bench.load(session integer) LANGUAGE plpgsql AS $$
DECLARE
    requests jsonb[] := ARRAY(SELECT bench.request(format('load%s-%s', session, n), 100, 0) FROM generate_series(1, 10) AS n);
BEGIN
    FOR n IN 0 .. 100000000 LOOP
        PERFORM otel.ingest_traces(requests[n % 10 + 1]);
        COMMIT;
        EXIT WHEN EXISTS (SELECT FROM bench.stop);
    END LOOP;
END $$;
SELECT dbnet.create_policy('bad', 'spans', aggregate => 'error_rate', threshold => 0.1, minimum_count => 20, group_by => '{node}', action => 'bench.act(dbnet.policy_event)', mode => 'act');
