-- The exact rights of DBNet's roles: functions and tables, no more and no less.
BEGIN;
SELECT no_plan();

CREATE FUNCTION pg_temp.callable(role name) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT proname::text FROM pg_proc
    WHERE pronamespace = 'dbnet'::regnamespace AND has_function_privilege(role, oid, 'EXECUTE') ORDER BY 1
$$;
CREATE FUNCTION pg_temp.writable(role name) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT relname::text FROM pg_class
    WHERE relnamespace = 'dbnet'::regnamespace AND relkind IN ('r', 'p', 'v')
      AND has_table_privilege(role, oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES')
$$;
CREATE FUNCTION pg_temp.readable(role name) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT relname::text FROM pg_class
    WHERE relnamespace = 'dbnet'::regnamespace AND relkind IN ('r', 'p', 'v') AND has_table_privilege(role, oid, 'SELECT') ORDER BY 1
$$;

SELECT set_eq($$SELECT pg_temp.callable('dbnet_viewer')$$,
    ARRAY['adopt', 'again', 'aligned', 'as_of', 'backtest', 'blame', 'change_text', 'changes', 'changes_since', 'column_literal', 'condition_holds', 'condition_values',
          'configuration_gaps', 'describe', 'device_obstacles', 'diff', 'differing', 'event_at', 'event_time', 'expect', 'fields', 'fresh', 'gaps', 'get', 'graph',
          'graph_edges', 'history', 'impact', 'impact_steps', 'is_offline', 'is_report', 'key_columns', 'key_document', 'key_hash', 'key_text', 'last_event_at',
          'newest_event', 'newest_versions', 'next_run', 'object', 'operation_word', 'outcome_is', 'outcome_text', 'plan', 'preview', 'release', 'row_images',
          'rows_as_of', 'scale_to', 'set', 'set_cause', 'short_text', 'short_value', 'step_line', 'step_shape', 'substituted', 'suppressed', 'timeline', 'tried',
          'trigger_condition', 'trigger_events', 'trigger_wants', 'undo', 'undo_steps', 'unset', 'used', 'utc', 'versions_since', 'wait_synced', 'why',
          'why_not', 'why_not_fired', 'why_not_steps', 'why_not_written', 'why_steps', 'worker_status', 'writers'],
    'functions of dbnet_viewer');
SELECT set_eq($$SELECT pg_temp.callable('dbnet_operator') EXCEPT SELECT pg_temp.callable('dbnet_viewer')$$,
    ARRAY['approve', 'check_server', 'digest', 'disable_policy', 'enable_policy', 'kinds', 'pause', 'reject', 'resume', 'resync', 'retry', 'verify'], 'functions that dbnet_operator has beside');
SELECT set_eq($$SELECT pg_temp.callable('dbnet_admin') EXCEPT SELECT pg_temp.callable('dbnet_operator')$$,
    ARRAY['alter_mirror', 'alter_policy', 'check_policy_query', 'claim', 'create_error_rate_policy', 'create_latency_policy', 'create_policy', 'drop_policy', 'mirror', 'refresh_schema', 'store_policy', 'track', 'track_function', 'unmirror', 'untrack', 'untrack_function'], 'functions that dbnet_admin has beside');
SELECT set_eq($$SELECT pg_temp.callable('dbnet_ingest')$$, ARRAY['event_at', 'event_time', 'get', 'is_report', 'set', 'set_cause', 'unset', 'used'], 'functions of dbnet_ingest');

SELECT set_eq($$SELECT pg_temp.readable('dbnet_viewer')$$,
    ARRAY['actuation', 'held', 'mirror_state', 'mirror_status', 'mirrored_column', 'mirrored_relation', 'object_status',
          'paused_server', 'policy', 'policy_event', 'policy_state', 'policy_status', 'tracked_relation', 'warnings', 'worker'], 'tables of dbnet_viewer');
SELECT is_empty($$SELECT pg_temp.readable('dbnet_operator') EXCEPT SELECT pg_temp.readable('dbnet_viewer')$$,
    'dbnet_operator reads no further table');
SELECT set_eq($$SELECT pg_temp.readable('dbnet_admin') EXCEPT SELECT pg_temp.readable('dbnet_viewer')$$, ARRAY['arming'],
    'dbnet_admin reads the arming beside');
SELECT is_empty($$SELECT pg_temp.readable('dbnet_ingest')$$, 'dbnet_ingest reads no table');
SELECT is_empty(format($$SELECT pg_temp.writable(%L)$$, role), role || ' writes no table')
FROM unnest(ARRAY['dbnet_viewer', 'dbnet_operator', 'dbnet_admin', 'dbnet_ingest']) AS wanted(role);

-- Whole objects and values are for nobody.
SELECT ok(NOT has_column_privilege('dbnet_admin', 'dbnet.object', name, 'SELECT'), 'object.' || name || ' is not readable')
FROM unnest(ARRAY['live', 'base', 'applied']) AS hidden(name);
SELECT ok(NOT has_column_privilege('dbnet_admin', 'dbnet.tombstone', 'last_body', 'SELECT'), 'tombstone.last_body is not readable');

SELECT is_empty($$SELECT proname FROM pg_proc WHERE pronamespace = 'dbnet'::regnamespace AND proname LIKE 'answer\_%'
                   AND has_function_privilege('dbnet_admin', oid, 'EXECUTE')$$, 'what answers with the extension''s rights is for nobody');

SELECT is_member_of('dbnet_viewer', 'dbnet_operator', 'dbnet_operator is a dbnet_viewer');
SELECT is_member_of('dbnet_operator', 'dbnet_admin', 'dbnet_admin is a dbnet_operator');
SELECT ok(NOT rolcanlogin AND NOT rolsuper AND NOT rolcreaterole AND NOT rolcreatedb AND NOT rolreplication AND NOT rolbypassrls,
          rolname || ' has no attribute')
FROM pg_roles WHERE rolname IN ('dbnet_viewer', 'dbnet_operator', 'dbnet_admin', 'dbnet_ingest');

SELECT * FROM finish();
ROLLBACK;
