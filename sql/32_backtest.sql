-- What a policy would have done: its decisions on panes that are stored, by the same code that decides (src/policy/).

CREATE FUNCTION dbnet.backtest(policy text, from_time timestamptz, to_time timestamptz DEFAULT pg_catalog.now())
    RETURNS TABLE (at timestamptz, "grouping" jsonb, decision text, reason text, state text, value double precision, count bigint)
    LANGUAGE c STRICT STABLE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_backtest';
COMMENT ON FUNCTION dbnet.backtest(text, timestamptz, timestamptz) IS
    'What a policy would have decided, and when, as it is now, on the telemetry that is stored; changes nothing and calls nothing. Arguments: policy on spans, metrics, logs or transitions, of a role whose rights the caller has; from when; until when, at most 7 days. Every second is evaluated with the groups inactive at the start. Rows: as in dbnet.policy_event; only_if, settle_interval and stale mirrors, which were of that time, are taken to be no obstacle. Errors: 42704 there is none, 42501 another''s, 22023 its source has no stored panes, or the times';
