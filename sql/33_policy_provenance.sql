-- Decisions of policies where people ask for causes: dbnet.why(), impact() and timeline().

CREATE FUNCTION dbnet.may_read_decision(caller oid, owner regrole) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT pg_has_role(caller, 'dbnet_operator', 'USAGE') OR pg_has_role(caller, owner::oid, 'USAGE') $$;
COMMENT ON FUNCTION dbnet.may_read_decision(oid, regrole) IS 'Internal: whether a role may read what policies of an owner decide';

-- checkout-errors on node n1: error_rate 0.5 > 0.2 (100 items from 16:20:00 to 16:21:00) -> act, done
CREATE FUNCTION dbnet.decision_text(event dbnet.policy_event) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN concat((SELECT nullif(string_agg(format('%s %s', g.key, g.value), ', ' ORDER BY g.key), '') || ': ' FROM jsonb_each_text(event.grouping) AS g),
                  CASE WHEN event.aggregate = 'absent' THEN CASE WHEN event.count = 0 THEN 'no data' ELSE 'there is data' END
                       WHEN event.value IS NOT NULL THEN concat_ws(' ', event.aggregate, round(event.value::numeric, 4) + 0.0000, event.operator, event.threshold)
                       ELSE 'due' END,
                  CASE WHEN event.window_start IS NOT NULL THEN format(' (%s from %s to %s)', event.count, to_char(event.window_start, 'HH24:MI:SS'), to_char(event.window_end, 'HH24:MI:SS')) END,
                  ' ' || dbnet.arrow() || ' ', event.decision, ': ' || event.reason,
                  CASE WHEN event.action_state IN ('waiting', 'done', 'failed') THEN ', ' || event.action_state END,
                  CASE WHEN event.error IS NOT NULL THEN ': ' || dbnet.short_text(event.error, 120) END);
END
$$;
COMMENT ON FUNCTION dbnet.decision_text(dbnet.policy_event) IS 'Internal: a decision of a policy, on one line';

CREATE FUNCTION dbnet.traces_text(ids otel.trace_id[], around tstzrange) RETURNS TABLE (at timestamptz, what text, detail jsonb)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT coalesce(t.started_at, lower(around)),
           format('%s%s', w.id, coalesce(format(' of %s: %s, %s ms%s; sent by %s', t.services, dbnet.short_text(t.slowest, 80), round(t.duration / 1000000.0, 1),
               CASE WHEN t.errors > 0 THEN format(', %s of %s spans failed', t.errors, t.spans) END, t.senders), ' (its spans are kept no longer)')),
           jsonb_strip_nulls(jsonb_build_object('trace_id', w.id, 'services', t.services, 'spans', t.spans, 'errors', t.errors, 'senders', t.senders, 'batches', t.batches))
    FROM unnest(ids) WITH ORDINALITY AS w(id, place)
    LEFT JOIN LATERAL (
        SELECT min(s.start_time) AS started_at, string_agg(DISTINCT coalesce(r.service_name, '?'), ', ') AS services, count(*) AS spans, count(*) FILTER (WHERE s.status_code = 2) AS errors,
               (array_agg(s.name ORDER BY s.status_code = 2 DESC, s.duration_nano DESC))[1] AS slowest, max(s.duration_nano) AS duration, jsonb_agg(DISTINCT s.batch_id) AS batches,
               string_agg(DISTINCT concat_ws(' ', b.user_agent, 'as ' || b.token, 'from ' || b.client), '; ') AS senders
        FROM otel.spans AS s JOIN otel.resources AS r ON r.resource_id = s.resource_id
        LEFT JOIN LATERAL (SELECT o.user_agent, o.token, o.client FROM otel.batch AS o WHERE o.batch_id = s.batch_id LIMIT 1) AS b ON true
        WHERE s.trace_id = w.id AND s.bucket_time >= lower(around) AND s.bucket_time < upper(around) -- so, partitions are pruned
        HAVING count(*) > 0) AS t ON true
    ORDER BY w.place
    $$;
COMMENT ON FUNCTION dbnet.traces_text(otel.trace_id[], tstzrange) IS 'Internal: traces on one line each, with services and who sent them. Arguments: their ids; when their spans ended';

CREATE FUNCTION dbnet.decision_steps(caller oid, event bigint) RETURNS TABLE (deeper integer, at timestamptz, kind text, what text, detail jsonb)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    decision dbnet.policy_event;
BEGIN
    SELECT * INTO decision FROM dbnet.policy_event AS e WHERE e.id = decision_steps.event;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF NOT dbnet.may_read_decision(caller, decision.owner) THEN
        RETURN QUERY SELECT 0, decision.at, 'policy', decision.policy || ' (you may not read it)', NULL::jsonb;
        RETURN;
    END IF;
    RETURN QUERY SELECT 0, decision.at, 'policy', format('%s on %s', decision.policy, dbnet.decision_text(decision)), jsonb_strip_nulls(to_jsonb(decision));
    IF has_table_privilege(caller, 'otel.spans', 'SELECT') THEN
        RETURN QUERY SELECT 1, t.at, 'trace', t.what, t.detail
            FROM dbnet.traces_text(decision.trace_ids, tstzrange(decision.window_start - interval '1 hour', decision.window_end + interval '1 hour')) AS t;
    END IF;
END
$$;
COMMENT ON FUNCTION dbnet.decision_steps(oid, bigint) IS 'Internal: a decision of a policy, and the traces that it names, as steps of dbnet.why(). No rows: the event is none';

CREATE FUNCTION dbnet.policy_version_event(event bigint) RETURNS bigint
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT max(v.id) FROM dbnet.policy_event AS e, dbnet.entity_version AS v
    WHERE e.id = event AND v.relation = 9 AND v.key_hash = dbnet.key_hash('{name}', jsonb_build_object('name', e.policy)) AND v.id < event
    $$;
COMMENT ON FUNCTION dbnet.policy_version_event(bigint) IS 'Internal: the change that made the policy what it was when it decided';

-- A step is a minute whose rate differs from that of the minute before by five percentage points and by half.
CREATE FUNCTION dbnet.error_rate_steps(caller oid, during tstzrange) RETURNS TABLE (at timestamptz, service text, what text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT m.minute, m.service, format('error rate %s %% %s %s %% (%s spans in the minute)', round(m.before * 100, 1), dbnet.arrow(), round(m.rate * 100, 1), m.count)
    FROM (SELECT r.minute, r.service, r.count, r.rate, lag(r.rate) OVER of_service AS before
          FROM (SELECT date_trunc('minute', p.bucket) AS minute, coalesce(s.service_name, '?') AS service, sum(p.count) AS count, sum(p.error_count)::numeric / sum(p.count) AS rate
                FROM otel.span_pane AS p JOIN otel.resources AS s ON s.resource_id = p.resource_id
                WHERE p.rule = 0 AND p.bucket <@ during AND p.bucket >= least(upper(during), now()) - interval '1 day' AND p.bucket <= least(upper(during), now()) AND has_table_privilege(caller, 'otel.span_pane', 'SELECT')
                GROUP BY 1, 2 HAVING sum(p.count) >= 10) AS r
          WINDOW of_service AS (PARTITION BY r.service ORDER BY r.minute)) AS m
    WHERE abs(m.rate - m.before) >= 0.05 AND least(m.rate, m.before) * 2 <= greatest(m.rate, m.before)
    $$;
COMMENT ON FUNCTION dbnet.error_rate_steps(oid, tstzrange) IS 'Internal: when the share of failed spans of a service changed from one minute to the next, in the last day of a span of time';
