-- Telemetry in: requests of OTLP from a session, and code of users that runs with every batch.

DO $$
DECLARE
    request record;
BEGIN
    FOR request IN SELECT s.signal, e.type, e.encoding, s.items FROM (VALUES ('traces', 'spans'), ('metrics', 'data points'), ('logs', 'log records')) AS s(signal, items),
            (VALUES ('bytea', 'in protobuf'), ('json', 'in JSON: the fastest way for that'), ('jsonb', 'in JSON')) AS e(type, encoding) LOOP
        EXECUTE pg_catalog.format('CREATE FUNCTION otel.ingest_%1$s(request %2$s, OUT accepted bigint, OUT rejected bigint, OUT message text)
            LANGUAGE c VOLATILE STRICT AS ''MODULE_PATHNAME'', ''dbnet_ingest_%1$s''', request.signal, request.type);
        EXECUTE pg_catalog.format('COMMENT ON FUNCTION otel.ingest_%s(%s) IS %L', request.signal, request.type, pg_catalog.format(
            'Takes what a client of OpenTelemetry would send to /v1/%s. Argument: an Export%sServiceRequest %s. Result: how many %s were taken; how many could not be; why, or a warning, NULL = nothing to say. Errors: 22P02, 22P03 the request cannot be read, nothing of it was taken',
            request.signal, pg_catalog.initcap(pg_catalog.rtrim(request.signal, 's')), request.encoding, request.items));
    END LOOP;
END
$$;

CREATE FUNCTION otel.on_batch(procedure regprocedure, relation text DEFAULT 'spans') RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
BEGIN
    IF procedure IS NULL OR relation IS NULL THEN
        RAISE EXCEPTION '% must not be NULL', CASE WHEN procedure IS NULL THEN 'procedure' ELSE 'relation' END USING ERRCODE = 'null_value_not_allowed';
    ELSIF (SELECT p.prorettype FROM pg_proc AS p WHERE p.oid = procedure) IS DISTINCT FROM 'trigger'::regtype THEN
        RAISE EXCEPTION 'function % does not return trigger', procedure USING ERRCODE = 'wrong_object_type',
            HINT = 'It is called as a trigger FOR EACH STATEMENT is, with the new rows in new_spans, new_events, new_links, new_points or new_logs.';
    ELSIF relation <> ALL ('{spans, span_events, span_links, number_points, histogram_points, exponential_histogram_points, summary_points, logs}'::text[]) THEN
        RAISE EXCEPTION 'no batches of "%" come in', relation USING ERRCODE = 'invalid_parameter_value',
            HINT = 'It is one of spans, span_events, span_links, number_points, histogram_points, exponential_histogram_points, summary_points and logs, all of schema otel.';
    END IF;
    PERFORM otel.change_batch_hook(procedure::text, relation, true);
END
$$;
COMMENT ON FUNCTION otel.on_batch(regprocedure, text) IS
    'From now on a function runs once per batch of telemetry, as its owner, in the batch''s transaction. Arguments: trigger function that the caller owns; table of schema otel: spans (new rows in new_spans), span_events (new_events), span_links (new_links), number_points, histogram_points, exponential_histogram_points, summary_points (new_points), logs (new_logs). If it fails, or takes longer than dbnet.report_statement_timeout in the gateway, what it did is undone, a WARNING says so, and the telemetry is kept. Dropped, it is called again from the moment on at which its owner has a function of its name; one that belongs to another role, or was given to one (ALTER FUNCTION ... OWNER TO, REASSIGN OWNED), is not called until otel.on_batch names it anew. Errors: 42809 no trigger function, 42501 not its owner, 22023 no such table';

CREATE FUNCTION otel.change_batch_hook(procedure text, relation text, wanted boolean) RETURNS void
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'dbnet_change_batch_hook';
COMMENT ON FUNCTION otel.change_batch_hook(text, text, boolean) IS 'Internal, for otel.on_batch and otel.remove_on_batch';

-- Without SET search_path: a function's name is looked up as the caller would.
CREATE FUNCTION otel.remove_on_batch(procedure text, relation text DEFAULT 'spans') RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC SELECT otel.change_batch_hook(procedure, relation, false); END;
COMMENT ON FUNCTION otel.remove_on_batch(text, text) IS 'Takes back otel.on_batch. Arguments: the function, as there, or as otel.batch_hook names it when it was dropped; table. Errors: 42704 it is not called for this table, 42501 not the function''s owner, nor the one that it had when it was named';
