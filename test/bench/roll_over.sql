-- What make bench measures of partitions: a day of spans, as fast as they are taken, while partitions of an hour are made
-- ahead of them and dropped behind. dbnet.telemetry_retention is 25 hours and the day is the last 24: housekeeping is told
-- a time that is 24 hours after that of the spans, so that it keeps one hour behind them. Run in a server of its own.
CREATE SCHEMA bench;
CREATE TABLE bench.call (span_time timestamptz, ms double precision); -- of ingest, with its commit
CREATE TABLE bench.housekeeping (made integer, dropped integer);
CREATE TABLE bench.stop ();
-- A request of 100 spans; their time stands as 1111111111111111111.
CREATE FUNCTION bench.request() RETURNS text LANGUAGE sql AS $$
    SELECT jsonb_build_object('resourceSpans', jsonb_build_array(jsonb_build_object(
        'resource', jsonb_build_object('attributes', jsonb_build_array(jsonb_build_object('key', 'service.name', 'value', jsonb_build_object('stringValue', 'checkout')))),
        'scopeSpans', jsonb_build_array(jsonb_build_object('spans', (
            SELECT jsonb_agg(jsonb_build_object('traceId', md5(random()::text), 'spanId', substr(md5(random()::text), 1, 16), 'name', 'POST /pay', 'kind', 2,
                'startTimeUnixNano', '1111111111111111111', 'endTimeUnixNano', '1111111111111111111'))
            FROM generate_series(1, 100) AS n))))))::text
$$;
-- So many requests in each minute of the day.
CREATE PROCEDURE bench.ingest_day(requests integer) LANGUAGE plpgsql AS $$
DECLARE
    template text := bench.request();
    began timestamptz := now() - interval '24 hours';
    span_time timestamptz;
    request jsonb;
    start timestamptz;
BEGIN
    FOR n IN 0 .. 24 * 60 * requests - 1 LOOP
        span_time := began + interval '1 minute' * n / requests;
        request := replace(template, '1111111111111111111', (extract(epoch FROM span_time) * 1000000000)::bigint::text)::jsonb;
        COMMIT;
        start := clock_timestamp();
        PERFORM otel.ingest_traces(request);
        COMMIT;
        INSERT INTO bench.call VALUES (span_time, extract(epoch FROM clock_timestamp() - start) * 1000);
    END LOOP;
    INSERT INTO bench.stop DEFAULT VALUES;
END $$;
-- As the mirror worker does every minute, by the time of the spans: partitions ahead, and of the old ones one per transaction.
CREATE PROCEDURE bench.keep_house() LANGUAGE plpgsql AS $$
DECLARE
    span_time timestamptz;
    number integer;
BEGIN
    WHILE NOT EXISTS (SELECT FROM bench.stop) LOOP
        SELECT max(c.span_time) INTO span_time FROM bench.call AS c;
        IF span_time IS NOT NULL THEN
            INSERT INTO bench.housekeeping (made) VALUES (otel.ensure_partitions(span_time));
            COMMIT;
            LOOP
                SET LOCAL lock_timeout = '20ms';
                number := otel.remove_old_partitions(span_time + interval '24 hours', most => 1);
                INSERT INTO bench.housekeeping (dropped) VALUES (number);
                COMMIT;
                EXIT WHEN number = 0;
            END LOOP;
        END IF;
        PERFORM pg_sleep(0.05);
    END LOOP;
END $$;
