-- Why something did not happen: dbnet.why_not, backwards from what could have written the row.

-- What is on record, for who may read it ----------------------------------------------------------------------------------------

CREATE FUNCTION dbnet.versions_since(event bigint)
    RETURNS TABLE (version bigint, relation regclass, operation "char", key jsonb, old jsonb, new jsonb, pair bigint)
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.versions_since(bigint) IS
    'Internal, for dbnet.row_images(): a version of a row and all later ones under its key, newest first. Errors: 42704 no such version, or its table was dropped, 42501 no right to read it';
CREATE FUNCTION dbnet.answer_versions_since(caller oid, event bigint)
    RETURNS TABLE (version bigint, relation regclass, operation "char", key jsonb, old jsonb, new jsonb, pair bigint)
    LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    first dbnet.entity_version;
    table_of_it regclass;
BEGIN
    SELECT * INTO first FROM dbnet.version_by_id(event);
    table_of_it := (SELECT t.relation FROM dbnet.tracked_relation AS t WHERE t.number = first.relation);
    IF table_of_it IS NULL THEN
        RAISE EXCEPTION 'event % is no change of a row of a table that is there', event USING ERRCODE = 'undefined_object',
            HINT = 'dbnet.history() shows such events.';
    END IF;
    PERFORM dbnet.tracked_number(caller, table_of_it);
    RETURN QUERY SELECT v.id, table_of_it, v.operation, v.key, v.old, v.new, v.pair FROM dbnet.entity_version AS v
        WHERE v.relation = first.relation AND v.key_hash = first.key_hash AND v.id >= event ORDER BY v.id DESC;
END
$$;
COMMENT ON FUNCTION dbnet.answer_versions_since(oid, bigint) IS 'Internal: answers dbnet.versions_since()';

CREATE FUNCTION dbnet.key_document(relation regclass, key text) RETURNS TABLE (document jsonb, columns name[])
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.key_document(regclass, text) IS
    'Internal, for dbnet.why_not(): dbnet.key_of() for who may read the table, and the columns of its key. Errors: 42704 not tracked, 42501 no right to read it, 22023 no key';
CREATE FUNCTION dbnet.answer_key_document(caller oid, relation regclass, key text) RETURNS TABLE (document jsonb, columns name[])
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM dbnet.tracked_number(caller, relation);
    RETURN QUERY SELECT dbnet.key_of(relation, key), dbnet.key_columns(relation);
END
$$;
COMMENT ON FUNCTION dbnet.answer_key_document(oid, regclass, text) IS 'Internal: answers dbnet.key_document()';

CREATE FUNCTION dbnet.changes(relation regclass, key text, first bigint, last bigint, most integer)
    RETURNS TABLE (event bigint, key text, operation "char", old jsonb, new jsonb, activations jsonb)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.changes(regclass, text, bigint, bigint, integer) IS
    'Internal, for dbnet.why_not(): changes of a table, newest first. Arguments: tracked table; one row, NULL = all; events from and to; how many at most. activations: {name of a trigger that it fired: [event, status]}, as far as they are on record. Errors: 42704 not tracked, 42501 no right to read it, 22023 no key';
CREATE FUNCTION dbnet.answer_changes(caller oid, relation regclass, key text, first bigint, last bigint, most integer)
    RETURNS TABLE (event bigint, row_key text, operation "char", old jsonb, new jsonb, activations jsonb)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    tracked integer := dbnet.tracked_number(caller, relation);
    columns name[] := (SELECT t.key_columns FROM dbnet.tracked_relation AS t WHERE t.number = tracked);
    hash bigint := dbnet.key_hash(columns, dbnet.key_of(relation, key));
BEGIN
    RETURN QUERY
    SELECT v.id, dbnet.key_text(v.key, columns), v.operation, v.old, v.new, (
        SELECT jsonb_object_agg(g.name, jsonb_build_array(g.id, g.status) ORDER BY g.id)
        FROM dbnet.activity_by_id(v.activity) AS a, dbnet.activity_by_id(a.transaction) AS t, dbnet.activity AS g
        WHERE g.id > a.transaction AND g.id < t.id + t.events AND ((g.id >> 51) & 15) = ((a.transaction >> 51) & 15) AND g.kind = 'G'
        AND (g.started_by = v.id OR g.started_by IS NULL AND g.parent = v.activity AND g.relation = tracked))
    FROM dbnet.entity_version AS v
    WHERE v.relation = tracked AND (hash IS NULL OR v.key_hash = hash) AND v.id BETWEEN first AND last AND v.operation <> 'R'
    ORDER BY v.id DESC LIMIT most;
END
$$;
COMMENT ON FUNCTION dbnet.answer_changes(oid, regclass, text, bigint, bigint, integer) IS 'Internal: answers dbnet.changes()';

-- Who could have written it: by what was seen, and by the text of sources --------------------------------------------------------

CREATE FUNCTION dbnet.source_of(function oid) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT CASE WHEN p.prosqlbody IS NULL THEN p.prosrc ELSE pg_get_function_sqlbody(p.oid) END FROM pg_proc AS p WHERE p.oid = function $$;
COMMENT ON FUNCTION dbnet.source_of(oid) IS 'Internal: the source of a function, however it was written';

CREATE FUNCTION dbnet.name_pattern(schema_name name, name name) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT format('(?:"?%s"?\s*\.\s*)?"?%s"?', regexp_replace(schema_name, '(\W)', '\\\1', 'g'), regexp_replace(name, '(\W)', '\\\1', 'g')) $$;
COMMENT ON FUNCTION dbnet.name_pattern(name, name) IS 'Internal: regular expression for a name in SQL, with its schema or without';

CREATE FUNCTION dbnet.writing_functions(relation regclass) RETURNS TABLE (function regprocedure, chain text, direct boolean)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    found oid[] := '{}';
    chains text[] := '{}';
    number integer := 1;
    writes text;
    mentions text;
    next record;
BEGIN
    -- The table, its partitions and partitioned tables, and views over them.
    SELECT string_agg(dbnet.name_pattern(n.nspname, c.relname), '|') INTO mentions
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = writing_functions.relation
       OR c.oid IN (SELECT relid FROM pg_partition_tree(writing_functions.relation)) OR c.oid IN (SELECT relid FROM pg_partition_ancestors(writing_functions.relation))
       OR c.relkind = 'v' AND EXISTS (SELECT FROM pg_rewrite AS r JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                                      WHERE r.ev_class = c.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = writing_functions.relation);
    writes := format('\m(insert\s+into|update|delete\s+from|merge\s+into|truncate(\s+table)?|copy)\s+(only\s+)?(%s)(?![\w"$.])', mentions);
    FOR next IN SELECT p.oid FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace JOIN pg_language AS l ON l.oid = p.prolang,
                     dbnet.source_of(p.oid) AS source
                WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'dbnet') AND l.lanname NOT IN ('c', 'internal')
                AND (source ~* writes OR source ~* '\m(execute|plpy|spi_)' AND source ~* format('(?<![\w"$.])(%s)(?![\w"$.])', mentions))
                ORDER BY p.oid::regprocedure::text LOOP
        found := found || next.oid;
        chains := chains || next.oid::regprocedure::text;
        function := next.oid;
        chain := next.oid::regprocedure::text;
        direct := true;
        RETURN NEXT;
    END LOOP;
    -- Who calls one of these, and so on.
    WHILE number <= cardinality(found) LOOP
        FOR next IN SELECT p.oid FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace JOIN pg_language AS l ON l.oid = p.prolang,
                         (SELECT dbnet.name_pattern(n.nspname, p.proname) AS called FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE p.oid = found[number]) AS callee
                    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'dbnet') AND l.lanname NOT IN ('c', 'internal') AND p.oid <> ALL (found)
                    AND dbnet.source_of(p.oid) ~* format('(?<![\w"$.])%s\s*\(', callee.called)
                    ORDER BY p.oid::regprocedure::text LOOP
            found := found || next.oid;
            chains := chains || (next.oid::regprocedure::text || ' ' || dbnet.arrow() || ' ' || chains[number]);
            function := next.oid;
            chain := chains[cardinality(chains)];
            direct := false;
            RETURN NEXT;
        END LOOP;
        number := number + 1;
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbnet.writing_functions(regclass) IS
    'Functions and procedures that write a table, by the text of their sources: an INSERT INTO, UPDATE, DELETE FROM, MERGE INTO, TRUNCATE or COPY of it (or of its partitions, or of views over it), or its name beside dynamic SQL; and those that call one of them. Rows: function; how it comes to the table; whether it names the table itself';

-- Planned for each table: of one that changes seldom all versions are fewer than those of others since its thousandth-newest.
CREATE FUNCTION dbnet.recent_activities(number integer) RETURNS SETOF bigint
    LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN QUERY SELECT DISTINCT newest.activity FROM (
        SELECT v.activity FROM dbnet.entity_version AS v WHERE v.relation = number ORDER BY v.id DESC LIMIT 1000) AS newest;
END
$$;
COMMENT ON FUNCTION dbnet.recent_activities(integer) IS 'Internal, for dbnet.writers(): what made the newest thousand changes of a table, by tracked_relation.number';

CREATE FUNCTION dbnet.writers(relation regclass, first bigint, last bigint)
    RETURNS TABLE (route text, id oid, name text, source regclass, chain text, seen boolean, readable text, calls bigint, newest bigint)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.writers(regclass, bigint, bigint) IS
    'Internal, for dbnet.why_not(): by which ways a table is written. Arguments: tracked table; events from and to, for calls. Rows: route trigger | foreign key | call; trigger or constraint; its name; table that fires it; functions that it goes through; whether it was seen to write the table; whether the caller may read the history of the source: yes | no | untracked; calls on record, and the newest. Errors: 42704 not tracked, 42501 no right to read it';
CREATE FUNCTION dbnet.answer_writers(caller oid, relation regclass, first bigint, last bigint)
    RETURNS TABLE (route text, id oid, name text, source regclass, chain text, seen boolean, readable text, calls bigint, newest bigint)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    WITH tracked AS MATERIALIZED (SELECT dbnet.tracked_number(caller, answer_writers.relation) AS number),
    -- Of the newest thousand changes, the innermost activation within which each was made.
    recent AS MATERIALIZED (SELECT r.activity FROM tracked AS t, dbnet.recent_activities(t.number) AS r(activity)),
    activated AS MATERIALIZED (
        SELECT DISTINCT up.name, up.relation, up.detail ->> 'function' AS function FROM recent AS r, LATERAL (
            WITH RECURSIVE above AS (
                SELECT a.id, a.parent, a.kind, a.name, a.relation, a.detail FROM dbnet.activity_by_id(r.activity) AS a
                UNION ALL
                SELECT p.id, p.parent, p.kind, p.name, p.relation, p.detail FROM above AS b, dbnet.activity_by_id(b.parent) AS p WHERE b.kind <> 'G')
            SELECT * FROM above WHERE kind = 'G') AS up),
    functions AS MATERIALIZED (SELECT * FROM dbnet.writing_functions(answer_writers.relation)),
    triggers AS (
        SELECT 'trigger' AS route, t.oid AS id, t.tgname::text AS name, t.tgrelid::regclass AS source,
               coalesce(f.chain, t.tgfoid::regprocedure::text) AS chain, a.name IS NOT NULL AS seen, NULL::bigint AS calls, NULL::bigint AS newest
        FROM pg_trigger AS t LEFT JOIN functions AS f ON f.function = t.tgfoid
        LEFT JOIN dbnet.tracked_relation AS r ON r.relation = t.tgrelid LEFT JOIN activated AS a ON a.name = t.tgname AND a.relation = r.number
        WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND (f.function IS NOT NULL OR a.name IS NOT NULL)),
    keys AS (
        SELECT 'foreign key', c.oid, c.conname::text, c.confrelid::regclass,
               concat_ws(', ', CASE WHEN c.confdeltype IN ('c', 'n', 'd') THEN 'ON DELETE ' || CASE c.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' ELSE 'SET DEFAULT' END END,
                              CASE WHEN c.confupdtype IN ('c', 'n', 'd') THEN 'ON UPDATE ' || CASE c.confupdtype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' ELSE 'SET DEFAULT' END END),
               false, NULL::bigint, NULL::bigint
        FROM pg_constraint AS c
        WHERE c.conrelid = answer_writers.relation AND c.contype = 'f' AND c.conparentid = 0 AND (c.confdeltype IN ('c', 'n', 'd') OR c.confupdtype IN ('c', 'n', 'd'))
        AND to_jsonb(c) ->> 'conenforced' IS DISTINCT FROM 'false'), -- a column since 18
    called AS (
        SELECT 'call', f.function::oid, f.function::text, NULL::regclass, f.chain, made.calls > 0, made.calls, made.newest
        FROM functions AS f, LATERAL (SELECT count(*) AS calls, max(a.id) AS newest FROM dbnet.activity AS a
                                      WHERE a.kind = 'C' AND replace(a.name, ', ', ',') = f.function::text AND a.id BETWEEN answer_writers.first AND answer_writers.last) AS made
        WHERE f.direct AND (SELECT p.prorettype FROM pg_proc AS p WHERE p.oid = f.function) <> 'trigger'::regtype)
    SELECT w.route, w.id, w.name, w.source, w.chain, w.seen,
           CASE WHEN w.source IS NULL THEN 'yes' WHEN NOT EXISTS (SELECT FROM dbnet.tracked_relation AS t WHERE t.relation = w.source) THEN 'untracked'
                WHEN dbnet.may_read_history(caller, w.source) THEN 'yes' ELSE 'no' END, w.calls, w.newest
    FROM (SELECT * FROM triggers UNION ALL SELECT * FROM keys UNION ALL SELECT * FROM called) AS w
    ORDER BY CASE w.route WHEN 'trigger' THEN 1 WHEN 'foreign key' THEN 2 ELSE 3 END, w.seen DESC, w.source::text, w.name
    $$;
COMMENT ON FUNCTION dbnet.answer_writers(oid, regclass, bigint, bigint) IS 'Internal: answers dbnet.writers()';

CREATE FUNCTION dbnet.suppressed(relation regclass, key text, first bigint, last bigint)
    RETURNS TABLE (event bigint, name text, function text, row_key text)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.suppressed(regclass, text, bigint, bigint) IS
    'Internal, for dbnet.why_not(): BEFORE triggers of a table that kept a row from being written. Arguments and errors as for dbnet.changes()';
CREATE FUNCTION dbnet.answer_suppressed(caller oid, relation regclass, key text, first bigint, last bigint)
    RETURNS TABLE (event bigint, name text, function text, row_key text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT a.id, a.name, a.detail ->> 'function', dbnet.key_text(a.detail -> 'key', t.key_columns)
    FROM dbnet.tracked_relation AS t, dbnet.activity AS a
    WHERE t.number = dbnet.tracked_number(caller, answer_suppressed.relation) AND a.relation = t.number AND a.kind = 'G' AND a.detail ? 'suppressed'
    AND a.id BETWEEN answer_suppressed.first AND answer_suppressed.last
    AND (answer_suppressed.key IS NULL
         OR dbnet.key_hash(t.key_columns, a.detail -> 'key') = dbnet.key_hash(t.key_columns, dbnet.key_of(answer_suppressed.relation, answer_suppressed.key)))
    ORDER BY a.id DESC LIMIT 3
    $$;
COMMENT ON FUNCTION dbnet.answer_suppressed(oid, regclass, text, bigint, bigint) IS 'Internal: answers dbnet.suppressed()';

-- What lies between a row and its device.
CREATE FUNCTION dbnet.device_obstacles(relation regclass, key text) RETURNS TABLE (what text, event bigint)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.device_obstacles(regclass, text) IS
    'Internal, for dbnet.why_not(): what keeps rows of a mirror from their devices. Arguments: table; row, NULL = the mirror alone. No row: nothing does, or it is no mirror. Errors: 42704 not tracked, 42501 no right to read it, 22023 no key';
CREATE FUNCTION dbnet.answer_device_obstacles(caller oid, relation regclass, key text) RETURNS TABLE (what text, event bigint)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    tracked integer := dbnet.tracked_number(caller, relation);
    mirror dbnet.mirrored_relation;
    state dbnet.current_mirror_state;
    paused dbnet.paused_server;
    key_document jsonb := dbnet.key_of(relation, key);
    columns name[] := (SELECT t.key_columns FROM dbnet.tracked_relation AS t WHERE t.number = tracked);
    object_name text := key_document ->> columns[cardinality(columns)]::text;
    object_namespace text := CASE WHEN cardinality(columns) = 2 THEN key_document ->> columns[1]::text END;
BEGIN
    SELECT * INTO mirror FROM dbnet.mirrored_relation AS m WHERE m.relation = answer_device_obstacles.relation;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO state FROM dbnet.current_mirror_state AS s WHERE s.relation = mirror.relation;
    SELECT * INTO paused FROM dbnet.paused_server AS p WHERE p.server = mirror.server;
    RETURN QUERY
    SELECT format('%s only observes server %I: its rows change nothing there; dbnet.alter_mirror(%L, mode => ''manage'') lets them', mirror.relation, mirror.server, mirror.relation::text), NULL::bigint
        WHERE mirror.mode = 'observe'
    UNION ALL SELECT format('server %I has option offline: nothing is sent', mirror.server), NULL WHERE dbnet.is_offline(mirror.server)
    UNION ALL SELECT format('%s is paused since %s by %s: %s; dbnet.resume(%L) goes on', p.what, to_char(p.at, 'YYYY-MM-DD HH24:MI:SS'), p.by, p.reason, p.what), NULL
        FROM (VALUES (mirror.relation::text, mirror.paused_at, mirror.paused_by::text, mirror.paused_reason), (paused.server::text, paused.paused_at, paused.paused_by::text, paused.reason)) AS p(what, at, by, reason)
        WHERE p.at IS NOT NULL
    UNION ALL SELECT 'setting dbnet.actuate is off: nothing is sent', NULL WHERE NOT current_setting('dbnet.actuate')::boolean
    UNION ALL SELECT concat(mirror.relation, ' is ', state.state, ': ' || state.message), NULL WHERE state.state NOT IN ('synced', 'offline')
    UNION ALL SELECT format('%s of %s is held since %s: %s; decide with dbnet.approve or dbnet.reject, see dbnet.held', h.operation, answer_device_obstacles.key, h.since, h.reason), NULL
        FROM dbnet.held_change AS h WHERE h.relation = mirror.relation AND h.name = object_name AND (object_namespace IS NULL OR h.namespace = object_namespace) AND h.decision IS NULL
    UNION ALL SELECT concat(answer_device_obstacles.key, ' is in phase ', o.phase, ': ' || o.message, '. ' || CASE WHEN mirror.paused_reason IS NULL AND paused.server IS NULL THEN o.next_step END), NULL
        FROM dbnet.object_status AS o
        WHERE o.relation = mirror.relation AND o.name = object_name AND (object_namespace IS NULL OR o.namespace = object_namespace) AND (o.waiting OR o.needs_action);
    RETURN QUERY SELECT d.what, c.id FROM dbnet.actuation AS c, dbnet.describe_call(caller, c) AS d
        WHERE c.id = (SELECT max(n.id) FROM dbnet.actuation AS n WHERE n.relation = mirror.relation AND n.name = object_name AND (object_namespace IS NULL OR n.namespace = object_namespace))
        AND coalesce(c.http_status NOT BETWEEN 200 AND 299, true);
END
$$;
COMMENT ON FUNCTION dbnet.answer_device_obstacles(oid, regclass, text) IS 'Internal: answers dbnet.device_obstacles()';

-- With the caller's rights: rows as they were, and conditions of triggers ----------------------------------------------------------

-- What a domain checks, and what a cast to json calls, is code of whoever owns the type: not for who only asks.
CREATE FUNCTION dbnet.refuse_foreign_types(relation regclass) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    foreign_one record;
BEGIN
    WITH RECURSIVE used(column_name, type) AS (
        SELECT a.attname, a.atttypid FROM pg_attribute AS a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
        UNION
        SELECT u.column_name, part.type
        FROM used AS u JOIN pg_type AS t ON t.oid = u.type AND t.oid >= 16384
             CROSS JOIN LATERAL (SELECT t.typelem UNION ALL SELECT t.typbasetype
                                 UNION ALL SELECT r.rngsubtype FROM pg_range AS r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)
                                 UNION ALL SELECT a.atttypid FROM pg_attribute AS a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS part(type)
        WHERE part.type <> 0)
    SELECT u.column_name, t.oid::regtype AS type INTO foreign_one
    FROM used AS u JOIN pg_type AS t ON t.oid = u.type JOIN pg_roles AS owner ON owner.oid = t.typowner
    WHERE NOT owner.rolsuper AND owner.rolname <> current_user ORDER BY 1, 2 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'column % of % has type %, which belongs to somebody else', quote_ident(foreign_one.column_name), relation, foreign_one.type
            USING ERRCODE = 'insufficient_privilege', HINT = 'Its code would run with your rights: ask as the owner of the type.';
    END IF;
END
$$;
COMMENT ON FUNCTION dbnet.refuse_foreign_types(regclass) IS
    'Internal: raises 42501 when a column of the table has a type, or one that is made of a type, that belongs neither to the caller nor to a superuser';

CREATE FUNCTION dbnet.row_images(event bigint, OUT relation regclass, OUT operation "char", OUT key jsonb, OUT old jsonb, OUT new jsonb)
    LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    later record;
    line jsonb;
    before jsonb;
    place text;
BEGIN
    FOR later IN SELECT * FROM dbnet.versions_since(event) LOOP
        IF relation IS NULL THEN
            relation := later.relation;
            key := later.key;
            PERFORM dbnet.refuse_foreign_types(relation);
            place := dbnet.key_condition(later.relation, later.key);
            EXECUTE format('SELECT %s FROM %s AS t WHERE %s', dbnet.row_document(relation), relation, place) INTO line;
        END IF;
        before := CASE later.operation WHEN 'U' THEN line || later.old WHEN 'D' THEN later.old WHEN 'R' THEN (SELECT i.old FROM dbnet.row_images(later.pair) AS i) END;
        IF later.version = event THEN
            operation := later.operation;
            old := dbnet.with_virtual_columns(relation, before);
            new := CASE WHEN later.operation IN ('I', 'U') THEN dbnet.with_virtual_columns(relation, line) END;
        END IF;
        -- Before it came under this key the row was under another.
        line := CASE WHEN later.operation = 'U' AND later.pair IS NOT NULL THEN NULL ELSE before END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbnet.row_images(bigint) IS
    'A row before and after one of its changes, in whole. Argument: event, a change of a row of a table that the caller may SELECT. Values: table; I | U | D | R; key; the row before (NULL: an INSERT) and after (NULL: a DELETE); redacted columns that have changed since come as digests. Errors: 42704 no such event, 42501 no right to read it, or a column has a type of somebody else''s';

CREATE FUNCTION dbnet.trigger_condition(id oid) RETURNS text
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT substring(rest FOR strpos(rest, format(') EXECUTE FUNCTION %I.%I(', n.nspname, p.proname)) - 1)
    FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid JOIN pg_namespace AS n ON n.oid = p.pronamespace,
         pg_get_triggerdef(t.oid) AS definition,
         -- Behind the first WHEN that stands in no quoted name: every second piece is one.
         LATERAL (SELECT substring(definition FROM (u.ends - length(u.piece) + strpos(u.piece, ' WHEN (') + 6)::integer) AS rest
                  FROM (SELECT q.piece, q.place, sum(length(q.piece) + 1) OVER (ORDER BY q.place) AS ends
                        FROM unnest(string_to_array(definition, '"')) WITH ORDINALITY AS q(piece, place)) AS u
                  WHERE u.place % 2 = 1 AND u.piece LIKE '% WHEN (%' ORDER BY u.place LIMIT 1) AS w
    WHERE t.oid = trigger_condition.id AND t.tgqual IS NOT NULL
    $$;
COMMENT ON FUNCTION dbnet.trigger_condition(oid) IS 'The WHEN condition of a trigger; NULL = it has none';

CREATE FUNCTION dbnet.trigger_holds(id oid, old record, new record) RETURNS boolean
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'dbnet_trigger_holds';
COMMENT ON FUNCTION dbnet.trigger_holds(oid, record, record) IS
    'Internal, for dbnet.condition_holds(): whether the WHEN condition of a trigger is true, with the caller''s rights. Arguments: trigger; rows of its table. True where there is none. Errors: 42501 it calls what could run code of somebody else, and those of the condition itself';

CREATE FUNCTION dbnet.condition_holds(id oid, old jsonb, new jsonb) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    on_table regclass := (SELECT t.tgrelid FROM pg_trigger AS t WHERE t.oid = condition_holds.id);
    holds boolean;
BEGIN
    PERFORM dbnet.refuse_foreign_types(on_table);
    EXECUTE format('SELECT dbnet.trigger_holds($1, jsonb_populate_record(NULL::%1$s, $2), jsonb_populate_record(NULL::%1$s, $3))', on_table)
        INTO holds USING condition_holds.id, coalesce(condition_holds.old, '{}'), coalesce(condition_holds.new, '{}');
    RETURN holds;
END
$$;
COMMENT ON FUNCTION dbnet.condition_holds(oid, jsonb, jsonb) IS
    'Whether a trigger with a WHEN condition fires for a change of a row, by the condition it has now, with the caller''s rights. Arguments: trigger; the row before and after. Errors: 42501 the condition, or a type of the table, could run code of somebody else, and those of the condition itself';

CREATE FUNCTION dbnet.condition_values(condition text, old jsonb, new jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT string_agg(format('%s.%s %s', v.side, v.field, dbnet.short_value(CASE v.side WHEN 'old' THEN old ELSE new END -> v.field)), ', ' ORDER BY v.place)
    FROM (SELECT m.found[1] AS side, coalesce(m.found[2], m.found[3]) AS field, min(m.place) AS place
          FROM regexp_matches(condition, '\m(old|new)\.(?:"([^"]+)"|(\w+))', 'g') WITH ORDINALITY AS m(found, place) GROUP BY 1, 2) AS v
    $$;
COMMENT ON FUNCTION dbnet.condition_values(text, jsonb, jsonb) IS 'Internal: the values of the columns that a WHEN condition names';

-- Whether a trigger fires for a change: by its events and columns.
CREATE FUNCTION dbnet.trigger_events(id oid) RETURNS text
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT concat_ws(' or ', CASE WHEN (t.tgtype & 4) <> 0 THEN 'INSERT' END, CASE WHEN (t.tgtype & 8) <> 0 THEN 'DELETE' END,
        CASE WHEN (t.tgtype & 16) <> 0 THEN 'UPDATE' || coalesce((SELECT ' of ' || string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_attribute AS a
            WHERE a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr::int2[])), '') END, CASE WHEN (t.tgtype & 32) <> 0 THEN 'TRUNCATE' END)
    FROM pg_trigger AS t WHERE t.oid = trigger_events.id
    $$;
COMMENT ON FUNCTION dbnet.trigger_events(oid) IS 'Internal: for which changes a trigger fires, in words';

CREATE FUNCTION dbnet.trigger_wants(id oid, operation "char", new jsonb) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT (t.tgtype & CASE operation WHEN 'I' THEN 4 WHEN 'D' THEN 8 WHEN 'U' THEN 16 WHEN 'T' THEN 32 ELSE 0 END) <> 0
           AND (operation <> 'U' OR cardinality(t.tgattr::int2[]) = 0 OR EXISTS (
               SELECT FROM pg_attribute AS a WHERE a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr::int2[]) AND new ? a.attname::text))
    FROM pg_trigger AS t WHERE t.oid = trigger_wants.id
    $$;
COMMENT ON FUNCTION dbnet.trigger_wants(oid, "char", jsonb) IS 'Internal: whether a change of a row is one for which a trigger fires, its WHEN condition aside';

-- The walk -------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION dbnet.why_not_fired(id oid, change record, OUT at timestamptz, OUT kind text, OUT what text, OUT event bigint)
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    fired jsonb := change.activations -> (SELECT t.tgname::text FROM pg_trigger AS t WHERE t.oid = why_not_fired.id);
    condition text := dbnet.trigger_condition(why_not_fired.id);
    in_words text := 'WHEN ' || CASE WHEN condition LIKE '(%)' THEN condition ELSE format('(%s)', condition) END;
    image record;
BEGIN
    event := change.event;
    at := dbnet.event_time(event);
    what := format('%s %s: ', dbnet.operation_word(change.operation), change.key);
    IF fired IS NOT NULL THEN
        kind := 'fired';
        event := (fired ->> 0)::bigint;
        what := what || CASE WHEN fired ->> 1 IN ('f', 'b') THEN 'it failed, and what it had written was rolled back' ELSE format('it wrote something else, see dbnet.impact(%s)', event) END;
        RETURN;
    END IF;
    kind := 'silent';
    IF condition IS NOT NULL THEN
        BEGIN
            image := dbnet.row_images(change.event);
            IF NOT dbnet.condition_holds(why_not_fired.id, image.old, image.new) THEN
                kind := 'condition';
                what := what || concat_ws(', with ', in_words || ' was false', dbnet.condition_values(condition, image.old, image.new));
                RETURN;
            END IF;
            what := what || in_words || ' was true: ';
        EXCEPTION WHEN OTHERS THEN
            what := what || format('whether %s was true cannot be told: %s; ', in_words, sqlerrm);
        END;
    END IF;
    what := what || format('%s ran and changed nothing that is on record, or was not there yet', (SELECT t.tgfoid::regprocedure FROM pg_trigger AS t WHERE t.oid = why_not_fired.id));
END
$$;
COMMENT ON FUNCTION dbnet.why_not_fired(oid, record) IS 'Internal: what became of a trigger at a change for which it was to fire: fired | condition (was false) | silent (fired, and wrote nothing)';

CREATE FUNCTION dbnet.why_not_written(relation regclass, key text, first bigint, last bigint, span text, start integer, asked regclass[])
    RETURNS TABLE (depth integer, at timestamptz, kind text, what text, event bigint)
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    deepest CONSTANT integer := 8;
    most_changes CONSTANT integer := 200; -- that are looked at for each trigger
    most_lines CONSTANT integer := 3;     -- that are shown of them
    way record;
    change record;
    wanted integer;
    none boolean := true;
BEGIN
    FOR way IN SELECT * FROM dbnet.writers(relation, first, last) AS w LOOP
        CONTINUE WHEN way.route = 'call' AND start > 1;
        none := false;
        depth := start;
        at := NULL;
        event := NULL;
        IF way.route = 'call' THEN
            kind := 'call';
            event := way.newest;
            at := dbnet.event_time(event);
            what := format('%s writes %s; %s', way.name, relation, CASE WHEN way.calls = 0
                THEN format('no call is on record%s (every one is after dbnet.track_function(%L))', span, way.name)
                ELSE format('%s on record%s, see dbnet.why(%s)', CASE way.calls WHEN 1 THEN 'one call is' ELSE way.calls || ' calls are' END, span, event) END);
            RETURN NEXT;
            CONTINUE;
        END IF;
        kind := way.route;
        what := CASE way.route WHEN 'trigger' THEN format('%s on %s, at %s: %s writes %s%s', way.name, way.source, dbnet.trigger_events(way.id), way.chain, relation,
                                                          CASE WHEN way.seen THEN '' ELSE ' by its source' END)
                ELSE format('%s: %s of %s', way.name, way.chain, way.source) END;
        RETURN NEXT;
        depth := start + 1;
        IF way.route = 'trigger' AND (SELECT t.tgenabled FROM pg_trigger AS t WHERE t.oid = way.id) IN ('D', 'R') THEN
            kind := 'disabled';
            what := CASE (SELECT t.tgenabled FROM pg_trigger AS t WHERE t.oid = way.id) WHEN 'D' THEN 'the trigger is disabled'
                    ELSE 'the trigger fires for replicated changes only' END;
            RETURN NEXT;
        END IF;
        IF way.readable <> 'yes' THEN
            kind := 'table';
            what := CASE way.readable WHEN 'no' THEN format('you may not read the history of %s', way.source)
                    ELSE format('%s is not tracked: whether it changed is not on record; dbnet.track(%L) records it from now on', way.source, way.source::text) END;
            RETURN NEXT;
            CONTINUE;
        END IF;
        wanted := 0;
        FOR change IN SELECT * FROM dbnet.changes(way.source, NULL, first, last, most_changes) LOOP
            IF way.route = 'foreign key' THEN
                CONTINUE WHEN NOT (change.operation = 'D' AND way.chain LIKE '%DELETE%' OR change.operation = 'U' AND way.chain LIKE '%UPDATE%'
                    AND change.new ?| ARRAY(SELECT a.attname::text FROM pg_constraint AS c JOIN pg_attribute AS a ON a.attrelid = c.confrelid AND a.attnum = ANY (c.confkey) WHERE c.oid = way.id));
                wanted := wanted + 1;
                CONTINUE WHEN wanted > most_lines;
                kind := 'silent';
                event := change.event;
                at := dbnet.event_time(event);
                what := format('%s %s: no row referred to it, or other ones', dbnet.operation_word(change.operation), change.key);
                RETURN NEXT;
                CONTINUE;
            END IF;
            CONTINUE WHEN NOT dbnet.trigger_wants(way.id, change.operation, change.new);
            wanted := wanted + 1;
            CONTINUE WHEN wanted > most_lines;
            SELECT f.at, f.kind, f.what, f.event INTO at, kind, what, event FROM dbnet.why_not_fired(way.id, change) AS f;
            RETURN NEXT;
        END LOOP;
        at := NULL;
        event := NULL;
        IF wanted > most_lines THEN
            kind := 'more';
            what := format('and %s earlier changes for which it was to fire', wanted - most_lines);
            RETURN NEXT;
        ELSIF wanted = 0 THEN
            kind := 'table';
            what := format('no %s of %s is on record%s', CASE way.route WHEN 'trigger' THEN dbnet.trigger_events(way.id) ELSE replace(regexp_replace(way.chain, '(ON | CASCADE| SET NULL| SET DEFAULT)', '', 'g'), ', ', ' or ') END, way.source, span);
            RETURN NEXT;
            IF way.route = 'trigger' AND start < deepest AND way.source <> ALL (asked) THEN
                asked := asked || way.source;
                RETURN QUERY SELECT * FROM dbnet.why_not_written(way.source, NULL, first, last, span, start + 2, asked);
            END IF;
        END IF;
    END LOOP;
    IF none THEN
        depth := start;
        at := NULL;
        event := NULL;
        kind := 'nobody';
        what := format('no trigger, foreign key or function of this database writes %s: it waits for a client', relation);
        RETURN NEXT;
    END IF;
END
$$;
COMMENT ON FUNCTION dbnet.why_not_written(regclass, text, bigint, bigint, text, integer, regclass[]) IS 'Internal: steps of dbnet.why_not() for one table, and for the tables whose triggers write it';

CREATE FUNCTION dbnet.why_not_steps(relation regclass, key text, since timestamptz DEFAULT now() - interval '1 day', until timestamptz DEFAULT 'infinity')
    RETURNS TABLE (step integer, depth integer, at timestamptz, event bigint, kind text, what text)
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    first bigint := CASE WHEN since = '-infinity' THEN 0 ELSE dbnet.event_at(since) END;
    last bigint := CASE WHEN until = 'infinity' THEN 9223372036854775807 ELSE dbnet.last_event_at(until) END;
    span text := concat(CASE WHEN since <> '-infinity' THEN ' since ' || to_char(since, 'YYYY-MM-DD HH24:MI:SS') END, CASE WHEN until <> 'infinity' THEN ' until ' || to_char(until, 'YYYY-MM-DD HH24:MI:SS') END);
    change record;
    one record;
    line jsonb;
    written boolean := false;
BEGIN
    step := 1;
    depth := 0;
    FOR change IN SELECT * FROM dbnet.changes(relation, key, first, last, 3) LOOP
        written := true;
        event := change.event;
        at := dbnet.event_time(event);
        kind := 'row';
        what := format('%s was written: %s; dbnet.why(%s) tells why', concat_ws(' ', relation, coalesce(key, change.key)), concat_ws(': ', dbnet.operation_word(change.operation), nullif(dbnet.change_text(change.operation, (SELECT d.document FROM dbnet.key_document(relation, change.key) AS d), change.old, change.new), '')), event);
        RETURN NEXT;
        step := step + 1;
    END LOOP;
    at := NULL;
    event := NULL;
    IF NOT written THEN
        kind := 'row';
        IF key IS NOT NULL THEN
            EXECUTE format('SELECT %s FROM %s AS t WHERE %s', dbnet.row_document(relation), relation,
                           (SELECT dbnet.key_condition(relation, d.document) FROM dbnet.key_document(relation, key) AS d)) INTO line;
        END IF;
        what := format('no change of %s is on record%s%s', concat_ws(' ', relation, key), span, CASE WHEN key IS NULL THEN '' WHEN line IS NULL THEN '; there is no such row now' ELSE '; the row is there, from before' END);
        RETURN NEXT;
        step := step + 1;
    END IF;
    FOR one IN SELECT * FROM dbnet.device_obstacles(relation, key) LOOP
        depth := 1;
        kind := 'device';
        what := one.what;
        event := one.event;
        at := dbnet.event_time(event);
        RETURN NEXT;
        step := step + 1;
    END LOOP;
    IF written THEN
        RETURN;
    END IF;
    FOR one IN SELECT * FROM dbnet.suppressed(relation, key, first, last) LOOP
        depth := 1;
        kind := 'refused';
        event := one.event;
        at := dbnet.event_time(event);
        what := format('trigger %s kept %s from being written, see dbnet.why(%s)', one.name, one.row_key, event);
        RETURN NEXT;
        step := step + 1;
    END LOOP;
    FOR one IN SELECT * FROM dbnet.why_not_written(relation, key, first, last, span, 1, ARRAY[relation]) LOOP
        depth := one.depth;
        at := one.at;
        event := one.event;
        kind := one.kind;
        what := one.what;
        RETURN NEXT;
        step := step + 1;
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbnet.why_not_steps(regclass, text, timestamptz, timestamptz) IS
    'The rows of dbnet.why_not(). Arguments and errors as there. Rows: step; depth; when and event of a change that is named; kind row | device (what lies between the row and its device) | refused (a BEFORE trigger kept it from being written) | trigger, foreign key, call (a way by which the table is written) | disabled | table (nothing fired it) | condition (WHEN was false) | silent (it fired, and wrote nothing) | fired (it wrote something else) | more | nobody; what, on one line';

CREATE FUNCTION dbnet.why_not(relation regclass, key text, since timestamptz DEFAULT now() - interval '1 day', until timestamptz DEFAULT 'infinity') RETURNS SETOF text
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT format('%s  %s%s  %s', coalesce(to_char(s.at, 'YYYY-MM-DD HH24:MI:SS.MS'), repeat(' ', 23)), repeat('  ', s.depth), rpad(s.kind, 11), s.what)
    FROM dbnet.why_not_steps(why_not.relation, why_not.key, why_not.since, why_not.until) AS s ORDER BY s.step
    $$;
COMMENT ON FUNCTION dbnet.why_not(regclass, text, timestamptz, timestamptz) IS
    'Why a row was not written, or did not reach its device: backwards over the triggers, foreign keys and functions that write the table, by what was seen and by the text of sources: for each whether something should have fired it, whether its WHEN condition was false (by the trigger as it is now, evaluated with the caller''s rights), whether it is disabled, and what would have to happen before. Arguments: a tracked table that the caller may SELECT; key as in dbnet.why(), NULL = any row; span of time. Errors: 42704 not tracked, 42501 no right to read it, 22023 no key';
