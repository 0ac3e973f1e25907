-- An incident's view: everything that happened in a span of time.

CREATE FUNCTION dbnet.outside_managers(managers jsonb, OUT path text, OUT manager text, OUT set_at timestamptz) RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT f.key, f.value ->> 0, (f.value ->> 1)::timestamptz FROM jsonb_each(managers) AS f WHERE f.value ->> 1 IS NOT NULL $$;
COMMENT ON FUNCTION dbnet.outside_managers(jsonb) IS 'Internal: dbnet.object.managers as rows';

CREATE FUNCTION dbnet.object_text(relation regclass, namespace text, name text) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
BEGIN
    RETURN concat(relation::text, ' ', CASE WHEN namespace <> '' AND (SELECT cardinality(t.key_columns) FROM dbnet.tracked_relation AS t WHERE t.relation = object_text.relation) IS DISTINCT FROM 1
                                            THEN namespace || '/' END, name);
END
$$;
COMMENT ON FUNCTION dbnet.object_text(regclass, text, text) IS 'Table and key of an object of a mirror, as they are written for its row';

-- core/v1 and events.k8s.io/v1 name the same things differently.
CREATE FUNCTION dbnet.device_events(caller oid, during tstzrange, relation regclass, object_namespace text, object_name text)
    RETURNS TABLE (happened_at timestamptz, object text, what text, who text)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT e.at, dbnet.object_text(about.relation, e.regarding_namespace, e.regarding ->> 'name'),
           concat(nullif(event.live ->> 'type', 'Normal') || ' ', event.live ->> 'reason', ': ' || dbnet.short_text(coalesce(event.live ->> 'message', event.live ->> 'note'), 200),
                  CASE WHEN e.times > 1 THEN format(' (%s times)', e.times) END),
           coalesce(nullif(event.live ->> 'reportingComponent', ''), nullif(event.live ->> 'reportingController', ''), event.live #>> '{source,component}', event.live #>> '{deprecatedSource,component}')
    FROM dbnet.mirrored_relation AS mirror
    JOIN dbnet.object AS event ON event.relation = mirror.relation AND event.live IS NOT NULL,
    LATERAL (SELECT r.regarding, coalesce(r.regarding ->> 'namespace', '') AS regarding_namespace,
                    coalesce(event.live #>> '{series,lastObservedTime}', event.live ->> 'lastTimestamp', event.live ->> 'eventTime', event.live #>> '{metadata,creationTimestamp}')::timestamptz AS at,
                    coalesce(event.live #>> '{series,count}', event.live ->> 'count', event.live ->> 'deprecatedCount')::integer AS times
             FROM (SELECT coalesce(event.live -> 'involvedObject', event.live -> 'regarding') AS regarding) AS r) AS e
    JOIN dbnet.mirrored_relation AS about ON about.kind = e.regarding ->> 'kind'
    WHERE mirror.kind = 'Event' AND mirror.api_version IN ('v1', 'events.k8s.io/v1') AND about.server = mirror.server
    AND about.api_version = coalesce(nullif(e.regarding ->> 'apiVersion', ''), about.api_version)
    AND e.at <@ during AND dbnet.may_read_history(caller, mirror.relation) AND dbnet.may_read_history(caller, about.relation)
    AND (device_events.relation IS NULL OR about.relation = device_events.relation)
    AND (object_name IS NULL OR e.regarding ->> 'name' = object_name AND (object_namespace IS NULL OR e.regarding_namespace = object_namespace))
    -- The mirror may have some objects of the kind only.
    AND (object_name IS NOT NULL OR EXISTS (SELECT FROM dbnet.object AS o WHERE o.relation = about.relation AND o.namespace = e.regarding_namespace AND o.name = e.regarding ->> 'name'));
END
$$;
COMMENT ON FUNCTION dbnet.device_events(oid, tstzrange, regclass, text, text) IS
    'Internal, for dbnet.timeline(): Kubernetes Events about mirrored objects, where Events are mirrored, as long as the server keeps them';

CREATE FUNCTION dbnet.timeline(during tstzrange, relation regclass DEFAULT NULL, key text DEFAULT NULL, most integer DEFAULT 1000)
    RETURNS TABLE (at timestamptz, kind text, object text, what text, who text, event bigint)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.timeline(tstzrange, regclass, text, integer) IS
    'What happened in a span of time, oldest first. Arguments: span; one table, NULL = all that the caller may read; one row of it, NULL = all; how many at most (the newest ones). Rows: when; kind change | device (a call) | report (of a device) | outside (fields were set or removed on the device by another manager, or it was deleted there; of objects'' status reports tell) | event (a Kubernetes Event about an object, where Events of its server are mirrored, too) | held | ddl | policy (a decision; of one table: those that changed it) | errors (the share of failed spans of a service, from one minute to the next; not of one table); which table and row; what, on one line; who; event, where it is one. Errors: 42704 not tracked, 42501 no right to read it, 22023 no key';

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
               CASE WHEN a.kind = 'R' THEN 'device' ELSE dbnet.who_text(first_of, s, a) END, v.id
        FROM (SELECT * FROM dbnet.entity_version AS e
              WHERE e.id BETWEEN first AND last AND e.relation = ANY (readable) AND (tracked IS NULL OR e.relation = tracked) AND (hash IS NULL OR e.key_hash = hash)
              ORDER BY e.id DESC LIMIT most) AS v
        JOIN dbnet.tracked_relation AS t ON t.number = v.relation
        LEFT JOIN LATERAL dbnet.activity_by_id(v.activity) AS a ON true LEFT JOIN LATERAL dbnet.activity_by_id(a.transaction) AS first_of ON true
        LEFT JOIN dbnet.session AS s ON s.id = first_of.session
        UNION ALL
        SELECT c.at, 'device', dbnet.object_text(c.relation, c.namespace, c.name), d.what, c.role::text, c.id
        FROM dbnet.actuation AS c, dbnet.describe_call(caller, c) AS d
        WHERE c.id BETWEEN first AND last AND dbnet.may_read_history(caller, c.relation) AND (relation IS NULL OR c.relation = relation)
        AND (object_name IS NULL OR c.name = object_name AND (object_namespace IS NULL OR c.namespace = object_namespace))
        UNION ALL
        SELECT a.started_at, 'ddl', dbnet.table_text(a.relation), dbnet.short_text(coalesce(a.text, a.name), 200), a.role, a.id
        FROM dbnet.activity AS a LEFT JOIN dbnet.tracked_relation AS t ON t.number = a.relation
        WHERE a.kind = 'D' AND a.id BETWEEN first AND last AND (tracked IS NULL OR a.relation = tracked) AND hash IS NULL
        -- That dbnet.track() and mirrors have triggers is nothing that anybody has done to the table.
        AND NOT (a.text ~ '\mTRIGGER dbnet_(track|capture)' AND EXISTS (SELECT FROM dbnet.activity_by_id(a.parent) AS p WHERE p.kind = 'S' AND p.name = 'SELECT' AND p.text ~ '\mdbnet\.\w+\('))
        AND (a.relation IS NULL AND pg_has_role(caller, 'dbnet_operator', 'USAGE') OR a.relation IS NOT NULL AND dbnet.may_read_history(caller, t.relation))
        UNION ALL
        SELECT h.since, 'held', dbnet.object_text(h.relation, h.namespace, h.name), concat(h.operation, ' held: ', h.reason), NULL, NULL
        FROM dbnet.held_change AS h
        WHERE h.since <@ during AND dbnet.may_read_history(caller, h.relation) AND (relation IS NULL OR h.relation = relation)
        AND (object_name IS NULL OR h.name = object_name AND (object_namespace IS NULL OR h.namespace = object_namespace))
        UNION ALL
        SELECT c.at, 'outside', dbnet.object_text(c.relation, c.namespace, c.name),
               CASE c.operation WHEN 'delete' THEN 'deleted' ELSE concat(array_to_string(c.paths, ', '), CASE c.operation WHEN 'set' THEN ' set' ELSE ' removed' END) END, c.manager, NULL
        FROM dbnet.outside_change AS c
        WHERE c.at <@ during AND c.at >= coalesce(lower(during), '-infinity') AND c.at <= coalesce(upper(during), 'infinity') -- for the index
        AND dbnet.may_read_history(caller, c.relation) AND (relation IS NULL OR c.relation = relation)
        AND (object_name IS NULL OR c.name = object_name AND (object_namespace IS NULL OR c.namespace = object_namespace))
        UNION ALL
        -- Of fields that nobody was seen to change the object alone tells who set them.
        SELECT m.set_at, 'outside', dbnet.object_text(o.relation, o.namespace, o.name), concat(string_agg(m.path, ', ' ORDER BY m.path), ' set'), m.manager, NULL
        FROM dbnet.object AS o JOIN dbnet.mirrored_relation AS r ON r.relation = o.relation, dbnet.outside_managers(o.managers) AS m
        WHERE m.set_at <@ during AND m.manager <> r.field_manager AND dbnet.may_read_history(caller, o.relation) AND (relation IS NULL OR o.relation = relation)
        AND (object_name IS NULL OR o.name = object_name AND (object_namespace IS NULL OR o.namespace = object_namespace))
        AND EXISTS (SELECT FROM dbnet.mirrored_column AS f WHERE f.relation = o.relation AND f.path = m.path AND f.role IN ('spec', 'meta'))
        AND NOT EXISTS (SELECT FROM dbnet.outside_change AS c WHERE c.relation = o.relation AND c.namespace = o.namespace AND c.name = o.name AND m.path = ANY (c.paths))
        GROUP BY o.relation, o.namespace, o.name, m.manager, m.set_at
        UNION ALL
        SELECT e.happened_at, 'event', e.object, e.what, e.who, NULL FROM dbnet.device_events(caller, during, relation, object_namespace, object_name) AS e
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
