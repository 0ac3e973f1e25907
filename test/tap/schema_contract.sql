-- What others build on: every table, view and function exists, is documented, and gives PUBLIC nothing.
BEGIN;
SELECT no_plan();

SELECT has_table('dbnet', name, name) FROM unnest(ARRAY[
    'mirrored_relation', 'mirrored_column', 'mirror_state', 'paused_server', 'arming', 'object', 'tombstone', 'deleted_object', 'held_change', 'ownership_request',
    'actuation', 'actuation_0', 'actuation_7', 'outside_change', 'endpoint', 'credential', 'mapped_role', 'operation', 'operation_step']) AS wanted(name);
SELECT has_view('dbnet', name, name) FROM unnest(ARRAY['mirror_status', 'object_status', 'held', 'warnings', 'worker', 'operation_status']) AS wanted(name);
SELECT has_role(name) FROM unnest(ARRAY['dbnet_admin', 'dbnet_operator', 'dbnet_viewer', 'dbnet_ingest']) AS wanted(name);
SELECT fdw_privs_are('dbnet_kubernetes', 'public', ARRAY[]::text[]);

SELECT has_table('dbnet', name, name) FROM unnest(ARRAY[
    'tracked_relation', 'tracked_function', 'session', 'activity', 'activity_00', 'activity_15', 'entity_version', 'entity_version_00', 'entity_version_15', 'used_version', 'code',
    'provenance_block', 'token', 'token_secret']) AS wanted(name);
SELECT has_view('dbnet', 'transaction', 'transaction');
SELECT has_table('dbnet', name, name) FROM unnest(ARRAY['policy', 'policy_state', 'policy_event']) AS wanted(name);
SELECT has_view('dbnet', 'policy_status', 'policy_status');
SELECT columns_are('dbnet', 'object', ARRAY[
    'relation', 'namespace', 'name', 'uid', 'resource_version', 'generation', 'live', 'managers', 'base', 'claimed', 'applied',
    'first_written', 'stamp', 'phase', 'health', 'health_message', 'message', 'reason', 'attempts', 'next_attempt_at', 'created_by_us',
    'controller', 'last_manager', 'commit_transaction', 'commit_lsn', 'committer', 'last_actuation', 'replacing', 'changed_at']);
SELECT col_is_pk('dbnet', 'object', ARRAY['relation', 'namespace', 'name']::name[], 'key of object');
SELECT columns_are('dbnet', 'tombstone', ARRAY[
    'id', 'relation', 'namespace', 'name', 'uid', 'created_by_us', 'last_body', 'deleted_by', 'transaction', 'at']);
SELECT columns_are('dbnet', 'actuation', ARRAY[
    'id', 'cause', 'at', 'relation', 'namespace', 'name', 'operation', 'paths', 'transaction', 'commit_lsn', 'role', 'attempt', 'http_status',
    'reason', 'message', 'latency_ms', 'forced', 'warnings', 'acts_as']);
SELECT is_partitioned('dbnet', 'actuation', 'actuation is partitioned');
SELECT has_trigger('dbnet', name, 'dbnet_notify', name || ' tells the worker of changes')
FROM unnest(ARRAY['mirrored_relation', 'mirrored_column', 'paused_server', 'arming', 'policy', 'mapped_role']) AS wanted(name);

-- A dump carries configuration, claims and what is on record, and nothing that belongs to the running server. Of rings: how many parts.
SELECT results_eq(
    $$SELECT regexp_replace(dumped::regclass::text, '_[0-9]+$', '') AS name, count(*)::integer
      FROM pg_extension, unnest(extconfig) AS dumped WHERE extname = 'dbnet' GROUP BY 1 ORDER BY regexp_replace(dumped::regclass::text, '_[0-9]+$', '') COLLATE "C"$$,
    $$VALUES ('dbnet.activity', 16), ('dbnet.actuation', 8), ('dbnet.arming', 1), ('dbnet.code', 1), ('dbnet.deleted_object', 1), ('dbnet.deleted_object_id_seq', 1), ('dbnet.entity_version', 16), ('dbnet.generation', 1), ('dbnet.mapped_role', 1),
             ('dbnet.mirrored_column', 1), ('dbnet.mirrored_relation', 1), ('dbnet.object', 1), ('dbnet.outside_change', 1), ('dbnet.ownership_request', 1),
             ('dbnet.ownership_request_id_seq', 1), ('dbnet.paused_server', 1), ('dbnet.policy', 1), ('dbnet.policy_event', 1), ('dbnet.policy_number', 1), ('dbnet.provenance_block', 1), ('dbnet.session', 1),
             ('dbnet.tombstone', 1), ('dbnet.tombstone_id_seq', 1), ('dbnet.tracked_function', 1), ('dbnet.tracked_relation', 1),
             ('dbnet.tracked_relation_number', 1), ('dbnet.used_version', 1), ('otel.batch_hook', 1), ('otel.pane_rule', 1)$$,
    'dumped tables');

-- Comments: every relation, column, index, function, policy and type of the extension's schema.
SELECT is_empty(
    $$SELECT oid::regclass FROM pg_class
      WHERE relnamespace IN ('dbnet'::regnamespace, 'otel'::regnamespace) AND relkind IN ('r', 'p', 'v') AND obj_description(oid, 'pg_class') IS NULL$$,
    'tables and views have comments');
SELECT is_empty(
    $$SELECT attrelid::regclass, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
      WHERE relnamespace IN ('dbnet'::regnamespace, 'otel'::regnamespace) AND relkind IN ('r', 'p', 'v') AND NOT relispartition
        AND attnum > 0 AND NOT attisdropped AND col_description(attrelid, attnum) IS NULL$$,
    'columns have comments');
SELECT is_empty(
    $$SELECT oid::regprocedure FROM pg_proc
      WHERE pronamespace IN ('dbnet'::regnamespace, 'otel'::regnamespace) AND obj_description(oid, 'pg_proc') IS NULL$$,
    'functions have comments');
SELECT is_empty(
    $$SELECT polname, polrelid::regclass FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid
      WHERE relnamespace = 'dbnet'::regnamespace AND obj_description(pg_policy.oid, 'pg_policy') IS NULL$$,
    'policies have comments');

SELECT is(
    (SELECT string_agg(evtname || ' ' || evtenabled::text, ', ' ORDER BY evtname) FROM pg_event_trigger WHERE evtname LIKE 'dbnet%'),
    'dbnet_follow_renamed A, dbnet_forget_dropped A, dbnet_record_credentials A', 'event triggers fire always');

-- Every function fixes its search_path, but for trigger functions in C that run no SQL by name, and dbnet.mirror(),
-- which looks its table up as the caller would. Bodies that were parsed when they were made need none.
SELECT is_empty(
    $$SELECT oid::regprocedure FROM pg_proc
      WHERE pronamespace IN ('dbnet'::regnamespace, 'otel'::regnamespace) AND prolang NOT IN (SELECT oid FROM pg_language WHERE lanname IN ('c', 'internal'))
        AND prosqlbody IS NULL AND prokind <> 'a' AND NOT coalesce(proconfig, '{}') @> '{"search_path=pg_catalog, pg_temp"}'$$,
    'functions in other languages than C fix search_path');
SELECT is_empty(
    $$SELECT oid::regprocedure FROM pg_proc WHERE pronamespace IN ('dbnet'::regnamespace, 'otel'::regnamespace) AND prosecdef$$,
    'no function is SECURITY DEFINER');

-- PUBLIC.
SELECT is_empty(
    $$SELECT oid::regprocedure FROM pg_proc
      WHERE pronamespace = 'dbnet'::regnamespace AND has_function_privilege('public', oid, 'EXECUTE')
        AND proname NOT IN ('is_report', 'get', 'set', 'unset', 'set_cause', 'used', 'event_time', 'event_at', 'create_schema', 'create_table', 'create_procedure',
                            'create_trigger', 'call_procedure', 'execute', 'wrap_transaction')$$,
    'PUBLIC may execute nothing but is_report, what touches nothing, what functions say of themselves, and what plain statements do as well');
SELECT is_empty(
    $$SELECT oid::regclass FROM pg_class
      WHERE relnamespace = 'dbnet'::regnamespace AND relkind IN ('r', 'p', 'v')
        AND (has_table_privilege('public', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
             OR has_any_column_privilege('public', oid, 'SELECT'))$$,
    'PUBLIC has no right on any table');

-- Views run with the reader's rights; tables about mirrors are protected row by row.
SELECT is_empty(
    $$SELECT oid::regclass FROM pg_class WHERE relnamespace = 'dbnet'::regnamespace AND relkind = 'v' AND relname <> 'worker'
        AND NOT coalesce(reloptions, '{}') @> '{security_invoker=true}'$$,
    'views are security invokers');
SELECT is_empty(
    $$SELECT attrelid::regclass FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
      WHERE relnamespace = 'dbnet'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
        AND attname = 'relation' AND atttypid = 'regclass'::regtype AND NOT relrowsecurity$$,
    'tables with a mirror column have row-level security');

SELECT * FROM finish();
ROLLBACK;
