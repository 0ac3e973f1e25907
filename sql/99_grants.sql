-- Who may do what. PUBLIC has nothing but the schema's names, the one question that triggers ask, and the functions of documents, which
-- touch nothing; every right is given here, by name, to a role of 00_schema.sql.

REVOKE ALL ON ALL TABLES IN SCHEMA dbnet FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA dbnet FROM PUBLIC;
REVOKE ALL ON ALL ROUTINES IN SCHEMA dbnet FROM PUBLIC;
REVOKE ALL ON FOREIGN DATA WRAPPER dbnet_kubernetes FROM PUBLIC;

-- A trigger on a mirror may run as any role that writes the table.
GRANT USAGE ON SCHEMA dbnet TO PUBLIC;
GRANT EXECUTE ON FUNCTION dbnet.is_report(), dbnet.get(jsonb, text), dbnet.set(jsonb, text, jsonb), dbnet.unset(jsonb, text)
    TO PUBLIC;
-- Functions that change tracked tables say why they do; dbnet.used() asks for the right on the table.
GRANT EXECUTE ON FUNCTION dbnet.set_cause(bigint, text), dbnet.used(regclass, text), dbnet.event_time(bigint), dbnet.event_at(timestamptz)
    TO PUBLIC;

-- The client API gives nobody more than plain statements do.
GRANT EXECUTE ON FUNCTION dbnet.create_schema(text, boolean, text), dbnet.create_table(text, jsonb, jsonb, boolean, text, boolean),
    dbnet.create_procedure(text, text, jsonb, text, text, boolean, text),
    dbnet.create_trigger(text, text, text, jsonb, jsonb, text, text, text, jsonb, text, text, boolean),
    dbnet.call_procedure(text, jsonb), dbnet.execute(text, jsonb), dbnet.wrap_transaction(jsonb)
    TO PUBLIC;
-- Telemetry: who reads status reads it, who delivers it adds to it and reads nothing.
REVOKE ALL ON ALL TABLES IN SCHEMA otel FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA otel FROM PUBLIC;
REVOKE ALL ON ALL ROUTINES IN SCHEMA otel FROM PUBLIC;
GRANT USAGE ON SCHEMA otel TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA otel TO dbnet_viewer;
GRANT INSERT ON otel.spans, otel.span_events, otel.span_links, otel.number_points, otel.histogram_points, otel.exponential_histogram_points,
    otel.summary_points, otel.logs, otel.span_pane, otel.log_pane TO dbnet_ingest; -- needed where a table has triggers, which run as who delivers
GRANT EXECUTE ON FUNCTION otel.ingest_traces(bytea), otel.ingest_traces(json), otel.ingest_traces(jsonb), otel.ingest_metrics(bytea), otel.ingest_metrics(json),
    otel.ingest_metrics(jsonb), otel.ingest_logs(bytea), otel.ingest_logs(json), otel.ingest_logs(jsonb) TO dbnet_ingest;
GRANT EXECUTE ON FUNCTION otel.services(timestamptz, timestamptz), otel.operations(text, timestamptz, timestamptz), otel.trace(otel.trace_id), otel.trace_tree(otel.trace_id),
    otel.search(text, text, jsonb, interval, interval, timestamptz, timestamptz, boolean, integer), otel.dependencies(timestamptz, timestamptz),
    otel.red(text, timestamptz, timestamptz, interval), otel.service_rate(text, timestamptz, timestamptz), otel.service_error_rate(text, timestamptz, timestamptz),
    otel.service_quantile(text, double precision, timestamptz, timestamptz), otel.trace_logs(otel.trace_id) TO dbnet_viewer;
GRANT EXECUTE ON FUNCTION otel.on_batch(regprocedure, text), otel.remove_on_batch(text, text), otel.change_batch_hook(text, text, boolean) TO dbnet_admin;
-- What ids and sketches are made of touches nothing.
DO $$
DECLARE
    pure record;
BEGIN
    FOR pure IN SELECT p.oid::regprocedure AS signature, p.prokind FROM pg_catalog.pg_proc AS p
                WHERE p.pronamespace = 'otel'::regnamespace AND p.provolatile = 'i' LOOP
        EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', pure.signature);
    END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION otel.merge(otel.sketch), otel.sketch_add(internal, otel.sketch), otel.sketch_combine(internal, internal), otel.sketch_final(internal),
    otel.sketch_serialize(internal), otel.sketch_deserialize(bytea, internal) TO PUBLIC;

GRANT dbnet_viewer TO dbnet_operator;
GRANT dbnet_operator TO dbnet_admin;

-- Viewer ---------------------------------------------------------------------------------------------------------------
-- Whole objects and values (live, base, applied of dbnet.object) are for nobody but the functions, which show mapped
-- fields to who may SELECT the table.
GRANT SELECT ON dbnet.worker, dbnet.mirror_status, dbnet.object_status, dbnet.held, dbnet.warnings,
    dbnet.mirrored_relation, dbnet.mirrored_column, dbnet.mirror_state, dbnet.current_mirror_state, dbnet.paused_server, dbnet.actuation,
    dbnet.outside_change,
    dbnet.tracked_relation, dbnet.operation, dbnet.operation_step, dbnet.operation_status
    TO dbnet_viewer;
GRANT SELECT (relation, namespace, name, uid, resource_version, generation, managers, claimed, first_written, stamp, phase,
              health, health_message, message, reason, attempts, next_attempt_at, created_by_us, controller, last_manager,
              commit_transaction, commit_lsn, committer, last_actuation, changed_at)
    ON dbnet.object TO dbnet_viewer;
GRANT SELECT (id, relation, namespace, name, operation, transaction, reason, since, decision, decided_by, decided_at)
    ON dbnet.held_change TO dbnet_viewer;
GRANT SELECT (id, relation, namespace, name, uid, created_by_us, deleted_by, transaction, at) ON dbnet.tombstone TO dbnet_viewer;
GRANT SELECT (id, relation, namespace, name, operation, path, requested_by, transaction, at) ON dbnet.ownership_request TO dbnet_viewer;
GRANT EXECUTE ON FUNCTION dbnet.worker_status(), dbnet.mirroring(), dbnet.preview(regclass), dbnet.fields(regclass, text), dbnet.describe(regclass),
    dbnet.wait_synced(interval, regclass, xid8, text), dbnet.is_offline(name), dbnet.server_option(name, text), dbnet.plan()
    TO dbnet_viewer;
-- Who may UPDATE a column may give its field up or take it over; who owns the table may see whole objects.
GRANT EXECUTE ON FUNCTION dbnet.release(regclass, text, name[]), dbnet.adopt(regclass, text, name[]), dbnet.expect(regclass, text, text),
    dbnet.object(regclass, text) TO dbnet_viewer;
-- Who may UPDATE a node's row may cordon it, who may DELETE a pod's row may evict it; who asked for an operation may give it up.
GRANT EXECUTE ON FUNCTION dbnet.cordon(regclass, text), dbnet.uncordon(regclass, text), dbnet.evict(regclass, text, interval, interval),
    dbnet.drain(regclass, text, regclass, interval, interval, boolean, boolean, boolean, boolean, text, boolean), dbnet.restart(regclass, text),
    dbnet.cancel_operation(bigint), dbnet.wait_operation(bigint, interval) TO dbnet_viewer;
-- Questions of provenance: each asks for the right on the tables of which it tells, and dbnet.undo() writes with the caller's. The
-- others are what these are made of.
GRANT EXECUTE ON FUNCTION
    dbnet.history(regclass, text, timestamptz, integer), dbnet.blame(regclass, text),
    dbnet.as_of(regclass, timestamptz), dbnet.as_of(regclass, bigint), dbnet.as_of(anyelement, timestamptz), dbnet.as_of(anyelement, bigint), dbnet.as_of(regclass, text), dbnet.as_of(anyelement, text),
    dbnet.why(bigint), dbnet.why(regclass, text, timestamptz), dbnet.why_steps(bigint, integer),
    dbnet.impact(bigint), dbnet.impact_steps(bigint, integer), dbnet.undo(bigint, bigint, xid8, boolean),
    dbnet.timeline(tstzrange, regclass, text, integer), dbnet.graph(bigint, text), dbnet.gaps(regclass),
    dbnet.why_not(regclass, text, timestamptz, timestamptz), dbnet.why_not_steps(regclass, text, timestamptz, timestamptz), dbnet.diff(bigint, bigint, boolean)
    TO dbnet_viewer;
GRANT EXECUTE ON FUNCTION
    dbnet.key_text(jsonb, name[]), dbnet.key_hash(name[], jsonb), dbnet.key_columns(regclass), dbnet.operation_word("char"),
    dbnet.changes_since(regclass, bigint), dbnet.rows_as_of(regclass, bigint), dbnet.with_virtual_columns(regclass, jsonb), dbnet.last_event_at(timestamptz),
    dbnet.newest_event(regclass, text, timestamptz), dbnet.step_line(integer, timestamptz, text, text),
    dbnet.undo_steps(bigint, bigint, xid8), dbnet.undo_obstacles(bigint, bigint, xid8), dbnet.undo_within(text, bigint, bigint, xid8, boolean), dbnet.placed(text, regclass, text), dbnet.undo_outcome(regclass, jsonb, jsonb), dbnet.restore_object(bigint), dbnet.column_literal(regclass, name, jsonb), dbnet.key_condition(regclass, jsonb), dbnet.row_document(regclass), dbnet.graph_edges(bigint),
    dbnet.newest_versions(regclass), dbnet.first_recorded(regclass), dbnet.known_values(regclass, bigint[]), dbnet.configuration_gaps(), dbnet.utc(jsonb, jsonb),
    dbnet.key_document(regclass, text), dbnet.versions_since(bigint), dbnet.row_images(bigint), dbnet.refuse_foreign_types(regclass), dbnet.changes(regclass, text, bigint, bigint, integer),
    dbnet.writers(regclass, bigint, bigint), dbnet.suppressed(regclass, text, bigint, bigint), dbnet.device_obstacles(regclass, text),
    dbnet.trigger_condition(oid), dbnet.condition_holds(oid, jsonb, jsonb), dbnet.trigger_holds(oid, record, record), dbnet.condition_values(text, jsonb, jsonb),
    dbnet.trigger_events(oid), dbnet.trigger_wants(oid, "char", jsonb), dbnet.why_not_fired(oid, record),
    dbnet.why_not_written(regclass, text, bigint, bigint, text, integer, regclass[]), dbnet.change_text("char", jsonb, jsonb, jsonb),
    dbnet.arrow(), dbnet.ellipsis(), dbnet.short_text(text, integer), dbnet.short_value(jsonb), dbnet.step_shape(text, text, jsonb), dbnet.aligned(text[], text[]),
    dbnet.substituted(jsonb, jsonb[], jsonb[]), dbnet.differing(jsonb, jsonb), dbnet.tried(text, bigint, text[], regclass, jsonb), dbnet.diff_within(text, bigint, bigint, boolean), dbnet.again(bigint, jsonb),
    dbnet.outcome_text(jsonb, regclass), dbnet.outcome_is(jsonb, text, jsonb)
    TO dbnet_viewer;

-- Policies: what is decided is for who may have it decided, and for operators.
GRANT SELECT ON dbnet.policy, dbnet.policy_state, dbnet.policy_event, dbnet.policy_status, dbnet.arming TO dbnet_viewer;
GRANT EXECUTE ON FUNCTION dbnet.is_copy(), dbnet.next_run(text, timestamptz, text), dbnet.fresh(regclass, interval),
    dbnet.scale_to(integer, double precision, double precision, integer, integer, double precision), dbnet.backtest(text, timestamptz, timestamptz)
    TO dbnet_viewer;
GRANT EXECUTE ON FUNCTION dbnet.enable_policy(text), dbnet.disable_policy(text) TO dbnet_operator;
GRANT EXECUTE ON ROUTINE
    dbnet.create_policy, dbnet.alter_policy, dbnet.drop_policy, dbnet.store_policy, dbnet.check_policy_query, dbnet.create_error_rate_policy, dbnet.create_latency_policy
    TO dbnet_admin;

-- Operator: sees and steers every mirror, also those whose rows it may not read.
GRANT EXECUTE ON FUNCTION dbnet.check_server(name), dbnet.rbac(name, text, text, boolean), dbnet.cluster_rights(name), dbnet.lease_namespace(name), dbnet.impersonation(name), dbnet.impersonated(name), dbnet.writes_events(name), dbnet.kinds(name), dbnet.pause(text, text), dbnet.resume(text),
    dbnet.resync(regclass), dbnet.retry(regclass, text), dbnet.approve(text), dbnet.reject(text),
    dbnet.verify(timestamptz, timestamptz), dbnet.digest()
    TO dbnet_operator;

GRANT SELECT ON dbnet.mapped_role TO dbnet_operator;

-- Admin: makes mirrors of tables it owns on servers that it may use, and tracks tables and functions it owns.
GRANT EXECUTE ON FUNCTION
    dbnet.mirror(name, text, text, text, jsonb, text, text, text, text, text, text, boolean, text, text),
    dbnet.alter_mirror(regclass, text, text, text, boolean, jsonb, text), dbnet.refresh_schema(regclass, boolean),
    dbnet.unmirror(regclass), dbnet.claim(), dbnet.map_role(name, regrole, text, text[], text, jsonb), dbnet.unmap_role(name, regrole),
    dbnet.track(regclass, name[], text, name[]), dbnet.untrack(regclass),
    dbnet.track_function(regprocedure), dbnet.untrack_function(regprocedure)
    TO dbnet_admin;

-- Tokens (50_token.sql): a viewer sees those of its roles, what they are made of is for nobody. -----------------------------------
GRANT SELECT ON dbnet.token, dbnet.token_status TO dbnet_viewer;
GRANT SELECT (token, last_used_at, last_client) ON dbnet.token_secret TO dbnet_viewer;
GRANT EXECUTE ON FUNCTION dbnet.token_problem(dbnet.token), dbnet.role_problem(dbnet.token), dbnet.privilege_beyond(oid) TO dbnet_viewer;
GRANT EXECUTE ON FUNCTION dbnet.create_token(regrole, text, interval, text, jsonb, timestamptz, boolean), dbnet.revoke_token(text) TO dbnet_admin;

-- Rows -----------------------------------------------------------------------------------------------------------------
-- A viewer sees the mirrors whose whole table it could read: with row-level security on the table for it, none.
DO $$
DECLARE
    protected text;
BEGIN
    FOREACH protected IN ARRAY ARRAY['mirrored_relation', 'mirrored_column', 'mirror_state', 'object', 'tombstone', 'deleted_object',
                                     'held_change', 'ownership_request', 'actuation', 'outside_change', 'tracked_relation',
                                     'operation', 'operation_step']
    LOOP
        EXECUTE pg_catalog.format('ALTER TABLE dbnet.%I ENABLE ROW LEVEL SECURITY', protected);
        EXECUTE pg_catalog.format(
            'CREATE POLICY viewer ON dbnet.%I FOR SELECT TO dbnet_viewer USING '
            '(pg_catalog.has_table_privilege(relation, ''SELECT'') AND NOT pg_catalog.row_security_active(relation))', protected);
        EXECUTE pg_catalog.format('CREATE POLICY operator ON dbnet.%I FOR SELECT TO dbnet_operator USING (true)', protected);
        EXECUTE pg_catalog.format(
            'COMMENT ON POLICY viewer ON dbnet.%I IS ''What is of tables that the role may SELECT without row-level security''', protected);
        EXECUTE pg_catalog.format('COMMENT ON POLICY operator ON dbnet.%I IS ''Every table''', protected);
    END LOOP;
END
$$;

-- Decisions of a policy are for its owner, and for operators.
DO $$
DECLARE
    protected record;
BEGIN
    FOR protected IN SELECT * FROM (VALUES ('policy', 'pg_catalog.pg_has_role(owner::oid, ''USAGE'')'), ('policy_event', 'pg_catalog.pg_has_role(owner::oid, ''USAGE'')'),
                                           ('policy_state', 'EXISTS (SELECT FROM dbnet.policy AS p WHERE p.name = policy)')) AS v(name, condition) LOOP
        EXECUTE pg_catalog.format('ALTER TABLE dbnet.%I ENABLE ROW LEVEL SECURITY', protected.name);
        EXECUTE pg_catalog.format('CREATE POLICY viewer ON dbnet.%I FOR SELECT TO dbnet_viewer USING (%s)', protected.name, protected.condition);
        EXECUTE pg_catalog.format('CREATE POLICY operator ON dbnet.%I FOR SELECT TO dbnet_operator USING (true)', protected.name);
        EXECUTE pg_catalog.format('COMMENT ON POLICY viewer ON dbnet.%I IS %L', protected.name, 'What is of policies of roles whose rights the role has');
        EXECUTE pg_catalog.format('COMMENT ON POLICY operator ON dbnet.%I IS %L', protected.name, 'Every policy');
    END LOOP;
END
$$;
