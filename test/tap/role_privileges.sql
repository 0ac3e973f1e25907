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
    ARRAY['cancel_operation', 'cordon', 'drain', 'evict', 'restart', 'uncordon', 'wait_operation',
          'adopt', 'again', 'aligned', 'arrow', 'as_of', 'backtest', 'blame', 'call_procedure', 'change_text', 'changes', 'changes_since', 'column_literal', 'condition_holds', 'condition_values',
          'configuration_gaps', 'create_procedure', 'create_schema', 'create_table', 'create_trigger', 'describe', 'device_obstacles', 'diff', 'diff_within', 'differing', 'ellipsis', 'event_at', 'event_time', 'execute', 'expect', 'fields', 'first_recorded', 'fresh', 'gaps', 'get', 'graph',
          'graph_edges', 'history', 'impact', 'impact_steps', 'is_copy', 'is_offline', 'is_report', 'key_columns', 'key_condition', 'key_document', 'key_hash', 'key_text', 'known_values', 'last_event_at', 'mirroring',
          'newest_event', 'newest_versions', 'next_run', 'object', 'operation_word', 'outcome_is', 'outcome_text', 'placed', 'plan', 'preview', 'privilege_beyond', 'refuse_foreign_types', 'release', 'restore_object', 'role_problem', 'row_images',
          'row_document', 'rows_as_of', 'scale_to', 'server_option', 'set', 'set_cause', 'short_text', 'short_value', 'step_line', 'step_shape', 'substituted', 'suppressed', 'timeline', 'token_problem', 'tried',
          'trigger_condition', 'trigger_events', 'trigger_holds', 'trigger_wants', 'undo', 'undo_obstacles', 'undo_outcome', 'undo_steps', 'undo_within', 'unset', 'used', 'utc', 'versions_since', 'wait_synced', 'why',
          'why_not', 'why_not_fired', 'why_not_steps', 'why_not_written', 'why_steps', 'with_virtual_columns', 'worker_status', 'wrap_transaction', 'writers'],
    'functions of dbnet_viewer');
SELECT set_eq($$SELECT pg_temp.callable('dbnet_operator') EXCEPT SELECT pg_temp.callable('dbnet_viewer')$$,
    ARRAY['approve', 'check_server', 'cluster_rights', 'digest', 'disable_policy', 'enable_policy', 'impersonated', 'impersonation', 'kinds', 'lease_namespace', 'pause', 'rbac', 'reject', 'resume', 'resync', 'retry', 'verify', 'writes_events'], 'functions that dbnet_operator has beside');
SELECT set_eq($$SELECT pg_temp.callable('dbnet_admin') EXCEPT SELECT pg_temp.callable('dbnet_operator')$$,
    ARRAY['alter_mirror', 'alter_policy', 'check_policy_query', 'claim', 'create_error_rate_policy', 'create_latency_policy', 'create_policy', 'create_token', 'drop_policy',
          'map_role', 'mirror', 'refresh_schema', 'revoke_token', 'store_policy', 'track', 'track_function', 'unmap_role', 'unmirror', 'untrack',
          'untrack_function'], 'functions that dbnet_admin has beside');
SELECT set_eq($$SELECT pg_temp.callable('dbnet_ingest')$$,
    ARRAY['call_procedure', 'create_procedure', 'create_schema', 'create_table', 'create_trigger', 'event_at', 'event_time', 'execute', 'get', 'is_report', 'set', 'set_cause',
          'unset', 'used', 'wrap_transaction'], 'functions of dbnet_ingest');

SELECT set_eq($$SELECT pg_temp.readable('dbnet_viewer')$$,
    ARRAY['actuation', 'arming', 'current_mirror_state', 'held', 'mirror_state', 'mirror_status', 'mirrored_column', 'mirrored_relation', 'object_status', 'operation', 'operation_status', 'operation_step', 'outside_change',
          'paused_server', 'policy', 'policy_event', 'policy_state', 'policy_status', 'token', 'token_status', 'tracked_relation', 'warnings', 'worker'], 'tables of dbnet_viewer');
SELECT set_eq($$SELECT pg_temp.readable('dbnet_operator') EXCEPT SELECT pg_temp.readable('dbnet_viewer')$$,
    ARRAY['mapped_role'], 'dbnet_operator reads one further table');
SELECT is_empty($$SELECT pg_temp.readable('dbnet_admin') EXCEPT SELECT pg_temp.readable('dbnet_operator')$$,
    'dbnet_admin reads none beyond that');
SELECT is_empty($$SELECT pg_temp.readable('dbnet_ingest')$$, 'dbnet_ingest reads no table');
SELECT is_empty(format($$SELECT pg_temp.writable(%L)$$, role), role || ' writes no table')
FROM unnest(ARRAY['dbnet_viewer', 'dbnet_operator', 'dbnet_admin', 'dbnet_ingest']) AS wanted(role);

-- Whole objects and values are for nobody.
SELECT ok(NOT has_column_privilege('dbnet_admin', 'dbnet.object', name, 'SELECT'), 'object.' || name || ' is not readable')
FROM unnest(ARRAY['live', 'base', 'applied']) AS hidden(name);
SELECT ok(NOT has_column_privilege('dbnet_admin', 'dbnet.tombstone', 'last_body', 'SELECT'), 'tombstone.last_body is not readable');
SELECT ok(NOT has_column_privilege('dbnet_admin', 'dbnet.deleted_object', 'last_body', 'SELECT'), 'deleted_object.last_body is not readable');
SELECT ok(NOT has_column_privilege('dbnet_admin', 'dbnet.token_secret', 'hash', 'SELECT'), 'token_secret.hash is not readable');

SELECT is_empty($$SELECT proname FROM pg_proc WHERE pronamespace = 'dbnet'::regnamespace AND proname LIKE 'answer\_%'
                   AND has_function_privilege('dbnet_admin', oid, 'EXECUTE')$$, 'what answers with the extension''s rights is for nobody');

-- Telemetry. What ids and sketches are made of is for everybody.
CREATE FUNCTION pg_temp.callable_of_otel(role name) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT DISTINCT proname::text FROM pg_proc
    WHERE pronamespace = 'otel'::regnamespace AND has_function_privilege(role, oid, 'EXECUTE') AND NOT has_function_privilege('public', oid, 'EXECUTE') ORDER BY 1
$$;
SELECT set_eq($$SELECT pg_temp.callable_of_otel('dbnet_viewer')$$,
    ARRAY['dependencies', 'operations', 'red', 'search', 'service_error_rate', 'service_quantile', 'service_rate', 'services', 'trace', 'trace_logs', 'trace_tree'], 'telemetry functions of dbnet_viewer');
SELECT is_empty($$SELECT pg_temp.callable_of_otel('dbnet_operator') EXCEPT SELECT pg_temp.callable_of_otel('dbnet_viewer')$$, 'dbnet_operator has no further one');
SELECT set_eq($$SELECT pg_temp.callable_of_otel('dbnet_admin') EXCEPT SELECT pg_temp.callable_of_otel('dbnet_viewer')$$, ARRAY['change_batch_hook', 'on_batch', 'remove_on_batch'], 'and dbnet_admin beside');
SELECT set_eq($$SELECT pg_temp.callable_of_otel('dbnet_ingest')$$, ARRAY['ingest_logs', 'ingest_metrics', 'ingest_traces'], 'telemetry functions of dbnet_ingest');
SELECT set_eq($$SELECT relname::text FROM pg_class WHERE relnamespace = 'otel'::regnamespace AND relkind IN ('r', 'p', 'v') AND NOT relispartition AND has_table_privilege('dbnet_viewer', oid, 'SELECT')$$,
    ARRAY['batch', 'batch_hook', 'exponential_histogram_points', 'histogram_points', 'log', 'log_pane', 'logs', 'metric', 'metrics', 'number_points', 'pane_rule', 'partitions', 'resources', 'scopes',
          'series', 'span', 'span_events', 'span_links', 'span_pane', 'spans', 'summary_points'], 'dbnet_viewer reads telemetry');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relnamespace = 'otel'::regnamespace AND relkind IN ('r', 'p', 'v') AND has_table_privilege('dbnet_ingest', oid, 'SELECT, UPDATE, DELETE, TRUNCATE, TRIGGER')$$,
    'dbnet_ingest reads none');
SELECT set_eq($$SELECT relname::text FROM pg_class WHERE relnamespace = 'otel'::regnamespace AND relkind IN ('r', 'p', 'v') AND has_table_privilege('dbnet_ingest', oid, 'INSERT')$$,
    ARRAY['exponential_histogram_points', 'histogram_points', 'log_pane', 'logs', 'number_points', 'span_events', 'span_links', 'span_pane', 'spans', 'summary_points'], 'and adds to what it delivers');
SELECT is_empty($$SELECT relname FROM pg_class, unnest(ARRAY['dbnet_viewer', 'dbnet_operator', 'dbnet_admin']) AS role(name) WHERE relnamespace = 'otel'::regnamespace AND relkind IN ('r', 'p', 'v')
                   AND has_table_privilege(role.name, pg_class.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES')$$, 'others write none');

SELECT is_member_of('dbnet_viewer', 'dbnet_operator', 'dbnet_operator is a dbnet_viewer');
SELECT is_member_of('dbnet_operator', 'dbnet_admin', 'dbnet_admin is a dbnet_operator');
SELECT ok(NOT rolcanlogin AND NOT rolsuper AND NOT rolcreaterole AND NOT rolcreatedb AND NOT rolreplication AND NOT rolbypassrls,
          rolname || ' has no attribute')
FROM pg_roles WHERE rolname IN ('dbnet_viewer', 'dbnet_operator', 'dbnet_admin', 'dbnet_ingest');

SELECT * FROM finish();
ROLLBACK;
