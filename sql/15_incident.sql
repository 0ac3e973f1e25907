-- An incident's view: everything that happened in a span of time.

CREATE FUNCTION dbnet.outside_managers(managers jsonb, OUT path text, OUT manager text, OUT set_at timestamptz) RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT f.key, f.value ->> 0, (f.value ->> 1)::timestamptz FROM jsonb_each(managers) AS f WHERE f.value ->> 1 IS NOT NULL $$;
COMMENT ON FUNCTION dbnet.outside_managers(jsonb) IS 'Internal: dbnet.object.managers as rows';

CREATE FUNCTION dbnet.timeline(during tstzrange, relation regclass DEFAULT NULL, key text DEFAULT NULL, most integer DEFAULT 1000)
    RETURNS TABLE (at timestamptz, kind text, object text, what text, who text, event bigint)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.timeline(tstzrange, regclass, text, integer) IS
    'What happened in a span of time, oldest first. Arguments: span; one table, NULL = all that the caller may read; one row of it, NULL = all; how many at most (the newest ones). Rows: when; kind change | device (a call) | report (of a device) | outside (a field was changed on the device by another manager) | held | ddl | policy (a decision; of one table: those that changed it) | errors (the share of failed spans of a service, from one minute to the next; not of one table); which table and row; what, on one line; who; event, where it is one. Errors: 42704 not tracked, 42501 no right to read it, 22023 no key';

CREATE FUNCTION dbnet.answer_timeline(caller oid, during tstzrange, relation regclass, key text, most integer)
    RETURNS TABLE (happened_at timestamptz, kind text, object text, what text, who text, event bigint)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    first bigint := coalesce(dbnet.event_at(lower(during)), 0);
    last bigint := coalesce(dbnet.last_event_at(upper(during)), 9223372036854775807);
    tracked integer;
    columns name[];
    key_document jsonb;
    hash bigint;
    object_name text;
    object_namespace text;
    readable integer[] := ARRAY(SELECT t.number FROM dbnet.tracked_relation AS t WHERE dbnet.may_read_history(caller, t.relation));
BEGIN
    IF relation IS NOT NULL THEN
        tracked := dbnet.tracked_number(caller, relation);
        columns := (SELECT t.key_columns FROM dbnet.tracked_relation AS t WHERE t.number = tracked);
        IF key IS NOT NULL THEN
            key_document := dbnet.key_of(relation, key);
            hash := dbnet.key_hash(columns, key_document);
            object_name := key_document ->> columns[cardinality(columns)]::text;
            object_namespace := CASE WHEN cardinality(columns) = 2 THEN key_document ->> columns[1]::text END;
        END IF;
    END IF;
    RETURN QUERY
    SELECT * FROM (
        SELECT dbnet.event_time(v.id), CASE WHEN a.kind = 'R' THEN 'report' ELSE 'change' END,
               concat(dbnet.table_text(v.relation), ' ' || dbnet.key_text(v.key, t.key_columns)),
               concat(dbnet.operation_word(v.operation), ': ' || nullif(dbnet.change_text(v.operation, v.key, v.old, v.new), '')),
               CASE WHEN a.kind = 'R' THEN 'device' ELSE dbnet.who_text(first_of, s) END, v.id
        FROM (SELECT * FROM dbnet.entity_version AS e
              WHERE e.id BETWEEN first AND last AND e.relation = ANY (readable) AND (tracked IS NULL OR e.relation = tracked) AND (hash IS NULL OR e.key_hash = hash)
              ORDER BY e.id DESC LIMIT most) AS v
        JOIN dbnet.tracked_relation AS t ON t.number = v.relation
        LEFT JOIN LATERAL dbnet.activity_by_id(v.activity) AS a ON true LEFT JOIN LATERAL dbnet.activity_by_id(a.transaction) AS first_of ON true
        LEFT JOIN dbnet.session AS s ON s.id = first_of.session
        UNION ALL
        SELECT c.at, 'device', concat(c.relation::text, ' ', CASE WHEN c.namespace <> '' THEN c.namespace || '/' END, c.name), d.what, c.role::text, c.id
        FROM dbnet.actuation AS c, dbnet.describe_call(caller, c) AS d
        WHERE c.id BETWEEN first AND last AND dbnet.may_read_history(caller, c.relation) AND (relation IS NULL OR c.relation = relation)
        AND (object_name IS NULL OR c.name = object_name AND (object_namespace IS NULL OR c.namespace = object_namespace))
        UNION ALL
        SELECT a.started_at, 'ddl', dbnet.table_text(a.relation), dbnet.short_text(coalesce(a.text, a.name), 200), a.role, a.id
        FROM dbnet.activity AS a LEFT JOIN dbnet.tracked_relation AS t ON t.number = a.relation
        WHERE a.kind = 'D' AND a.id BETWEEN first AND last AND (tracked IS NULL OR a.relation = tracked) AND hash IS NULL
        AND (a.relation IS NULL AND pg_has_role(caller, 'dbnet_operator', 'USAGE') OR a.relation IS NOT NULL AND dbnet.may_read_history(caller, t.relation))
        UNION ALL
        SELECT h.since, 'held', concat(h.relation::text, ' ', CASE WHEN h.namespace <> '' THEN h.namespace || '/' END, h.name), concat(h.operation, ' held: ', h.reason), NULL, NULL
        FROM dbnet.held_change AS h
        WHERE h.since <@ during AND dbnet.may_read_history(caller, h.relation) AND (relation IS NULL OR h.relation = relation)
        AND (object_name IS NULL OR h.name = object_name AND (object_namespace IS NULL OR h.namespace = object_namespace))
        UNION ALL
        SELECT m.set_at, 'outside', concat(o.relation::text, ' ', CASE WHEN o.namespace <> '' THEN o.namespace || '/' END, o.name), format('%s was set', m.path), m.manager, NULL
        FROM dbnet.object AS o JOIN dbnet.mirrored_relation AS r ON r.relation = o.relation, dbnet.outside_managers(o.managers) AS m
        WHERE m.set_at <@ during AND m.manager <> r.field_manager AND dbnet.may_read_history(caller, o.relation) AND (relation IS NULL OR o.relation = relation)
        AND (object_name IS NULL OR o.name = object_name AND (object_namespace IS NULL OR o.namespace = object_namespace))
        UNION ALL
        SELECT p.at, 'policy', p.policy, dbnet.decision_text(p), p.owner::text, p.id
        FROM dbnet.policy_event AS p
        WHERE p.id BETWEEN first AND last AND dbnet.may_read_decision(caller, p.owner)
        AND (tracked IS NULL OR EXISTS (SELECT FROM dbnet.activity AS a JOIN dbnet.entity_version AS v ON v.id > a.id AND v.id < a.id + a.events
                                        WHERE a.cause = p.id AND v.relation = tracked AND (hash IS NULL OR v.key_hash = hash)))
        UNION ALL
        SELECT e.at, 'errors', e.service, e.what, NULL, NULL FROM dbnet.error_rate_steps(caller, during) AS e WHERE tracked IS NULL
        ORDER BY 1 DESC, 6 DESC NULLS LAST LIMIT most) AS newest(happened_at, kind, object, what, who, event)
    ORDER BY newest.happened_at, newest.event;
END
$$;
COMMENT ON FUNCTION dbnet.answer_timeline(oid, tstzrange, regclass, text, integer) IS 'Internal: answers dbnet.timeline()';
