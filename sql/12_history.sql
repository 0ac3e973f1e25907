-- What became of a row, and of a table: history, blame, as_of.

CREATE FUNCTION dbnet.key_text(key jsonb, key_columns name[]) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE cardinality(key_columns) WHEN 1 THEN key ->> key_columns[1]::text
                WHEN 2 THEN concat(key ->> key_columns[1]::text, '/', key ->> key_columns[2]::text)
                ELSE key::text END
    $$;
COMMENT ON FUNCTION dbnet.key_text(jsonb, name[]) IS 'A key as people write it: the value, two values as first/second, more as JSON';

CREATE FUNCTION dbnet.operation_word(operation "char") RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT CASE operation WHEN 'I' THEN 'INSERT' WHEN 'U' THEN 'UPDATE' WHEN 'D' THEN 'DELETE' WHEN 'T' THEN 'TRUNCATE' ELSE 'new key' END $$;
COMMENT ON FUNCTION dbnet.operation_word("char") IS 'entity_version.operation as a word';

-- A point lookup in a ring: the second condition lets the executor look into one partition only. PL/pgSQL, here and in what is
-- asked for every step of dbnet.why(): it plans once in a session, a function in SQL for every call.
CREATE FUNCTION dbnet.activity_by_id(event bigint) RETURNS SETOF dbnet.activity
    LANGUAGE plpgsql STABLE ROWS 1 SET plan_cache_mode = force_generic_plan SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN RETURN QUERY SELECT * FROM dbnet.activity AS found WHERE found.id = event AND ((found.id >> 51) & 15) = ((event >> 51) & 15); END $$;
COMMENT ON FUNCTION dbnet.activity_by_id(bigint) IS 'Internal: one activity';

CREATE FUNCTION dbnet.version_by_id(event bigint) RETURNS SETOF dbnet.entity_version
    LANGUAGE plpgsql STABLE ROWS 1 SET plan_cache_mode = force_generic_plan SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN RETURN QUERY SELECT * FROM dbnet.entity_version AS found WHERE found.id = event AND ((found.id >> 51) & 15) = ((event >> 51) & 15); END $$;
COMMENT ON FUNCTION dbnet.version_by_id(bigint) IS 'Internal: one version of a row';

CREATE FUNCTION dbnet.history(relation regclass, key text, at timestamptz DEFAULT 'infinity', most integer DEFAULT 100)
    RETURNS TABLE (event bigint, at timestamptz, operation text, old jsonb, new jsonb, role text, session_user_name text, application text,
                   client inet, statement text, activity bigint, transaction xid8, cause bigint)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.history(regclass, text, timestamptz, integer) IS
    'What became of a row, newest first. Arguments: a table that is or was tracked; key (a mirror''s namespace/name, the value of the key column, or a JSON object); up to when; how many at most. Rows: event; when it was committed; INSERT | UPDATE | DELETE | TRUNCATE | new key (it goes on under another one, see new); old and new values of the columns that changed (INSERT: the row, NULL = imported from a device; DELETE: the row), digests for redacted columns; role whose rights it had; who was logged in, with which application, from where; statement, NULL if its transaction has also changed a tracked table that the role may not read (device report: what the device said, or somebody else there, in which case role and user are NULL); activity and transaction for further questions; event in another transaction that it follows from (a device''s report: the call before). Errors: 42704 not tracked, 42501 no right to read it, 22023 no key';

CREATE FUNCTION dbnet.answer_history(caller oid, relation regclass, key text, at timestamptz, most integer)
    RETURNS TABLE (event bigint, committed_at timestamptz, operation text, old jsonb, new jsonb, role text, session_user_name text, application text,
                   client inet, statement text, activity bigint, transaction xid8, cause bigint)
    LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    tracked integer := dbnet.tracked_number(caller, relation);
    hash bigint := dbnet.key_hash((SELECT t.key_columns FROM dbnet.tracked_relation AS t WHERE t.number = tracked), dbnet.key_of(relation, key));
    before bigint := CASE WHEN answer_history.at = 'infinity' THEN 9223372036854775807 ELSE dbnet.event_at(answer_history.at) + 1024 END;
    unreadable integer[] := dbnet.unreadable_tables(caller);
BEGIN
    RETURN QUERY
    SELECT v.id, dbnet.event_time(v.id), dbnet.operation_word(v.operation), v.old, v.new, CASE WHEN a.kind <> 'R' THEN a.role END, coalesce(a.detail ->> 'session_user', s.session_user_name), s.application_name,
           s.client_address, CASE WHEN a.kind = 'R' THEN a.name WHEN NOT dbnet.hides_text(unreadable, t.id, t.events) THEN a.text END, a.id, t.transaction_number, coalesce(v.cause, t.cause)
    FROM (SELECT * FROM dbnet.entity_version AS e WHERE e.relation = tracked AND e.key_hash = hash AND e.id < before ORDER BY e.id DESC LIMIT most) AS v
    LEFT JOIN LATERAL dbnet.activity_by_id(v.activity) AS a ON true
    LEFT JOIN LATERAL dbnet.activity_by_id(a.transaction) AS t ON true
    LEFT JOIN dbnet.session AS s ON s.id = t.session AND a.kind <> 'R' -- it was the mirror worker
    ORDER BY v.id DESC;
END
$$;
COMMENT ON FUNCTION dbnet.answer_history(oid, regclass, text, timestamptz, integer) IS 'Internal: answers dbnet.history()';

CREATE FUNCTION dbnet.blame(relation regclass, key text)
    RETURNS TABLE (column_name text, value jsonb, at timestamptz, role text, session_user_name text, application text, statement text, event bigint,
                   manager text, manager_since timestamptz)
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.blame(regclass, text) IS
    'Who set each column of a row last, as far as it is on record. Arguments: as for dbnet.history(). Rows: column; value that was set; when it was committed; role; who was logged in, with which application; statement (device report: what the device said, or somebody else there, in which case role and user are NULL); event; of a mirror who set the field last on the device, by its metadata.managedFields, and since when: the mirror''s own manager for what DBNet has sent. Errors: as for dbnet.history()';

CREATE FUNCTION dbnet.answer_blame(caller oid, relation regclass, key text)
    RETURNS TABLE (column_name text, value jsonb, set_at timestamptz, role text, session_user_name text, application text, statement text, event bigint,
                   manager text, manager_since timestamptz)
    LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    tracked dbnet.tracked_relation := (SELECT t FROM dbnet.tracked_relation AS t WHERE t.number = dbnet.tracked_number(caller, answer_blame.relation));
    key_document jsonb := dbnet.key_of(relation, answer_blame.key);
    hash bigint := dbnet.key_hash(tracked.key_columns, key_document);
    before bigint := 9223372036854775807;
    unreadable integer[] := dbnet.unreadable_tables(caller);
    version record;
    column_keys text[];
    setters bigint[] := '{}'; -- the version that set column_keys[n]
    known text[] := '{}';
    device dbnet.object;
BEGIN
    -- Backwards to where the row came from, also under the keys that it had before.
    LOOP
        SELECT v.id, v.operation, v.key, v.old, v.new, v.pair INTO version FROM dbnet.entity_version AS v
            WHERE v.relation = tracked.number AND v.key_hash = hash AND v.id < before ORDER BY v.id DESC LIMIT 1;
        EXIT WHEN NOT FOUND OR version.operation IN ('D', 'R');
        column_keys := ARRAY(SELECT f FROM jsonb_object_keys(version.new) AS f WHERE f <> ALL (known));
        known := known || column_keys;
        setters := setters || array_fill(version.id, ARRAY[cardinality(column_keys)]);
        EXIT WHEN version.operation = 'I';
        before := version.id;
        IF version.pair IS NOT NULL THEN
            hash := dbnet.key_hash(tracked.key_columns, version.key || version.old);
        END IF;
    END LOOP;
    SELECT * INTO device FROM dbnet.object AS o WHERE o.relation = answer_blame.relation
        AND o.name = key_document ->> tracked.key_columns[cardinality(tracked.key_columns)]::text
        AND (cardinality(tracked.key_columns) = 1 OR o.namespace = key_document ->> tracked.key_columns[1]::text);
    RETURN QUERY
    WITH setter AS (
        SELECT k.name, k.version, NULL::jsonb AS value FROM unnest(known, setters) AS k(name, version)
        UNION ALL
        -- What was imported is not on record by its values; the object has them.
        SELECT c.column_name, CASE WHEN version.operation = 'I' AND version.new IS NULL THEN version.id END,
               CASE WHEN c.role = 'key' THEN key_document -> c.column_name::text WHEN c.column_name <> ALL (tracked.redacted_columns) THEN device.base -> c.path END
        FROM dbnet.mirrored_column AS c WHERE c.relation = answer_blame.relation AND c.column_name <> ALL (known) AND device.base ? c.path)
    SELECT k.name, coalesce(v.new -> k.name, k.value), dbnet.event_time(v.id), CASE WHEN a.kind <> 'R' THEN a.role END, coalesce(a.detail ->> 'session_user', s.session_user_name), s.application_name,
           CASE WHEN a.text IS NULL OR dbnet.hides_text(unreadable, t.id, t.events) THEN a.name ELSE a.text END, v.id,
           device.managers -> c.path ->> 0, (device.managers -> c.path ->> 1)::timestamptz
    FROM setter AS k
    LEFT JOIN dbnet.mirrored_column AS c ON c.relation = answer_blame.relation AND c.column_name = k.name
    LEFT JOIN LATERAL dbnet.version_by_id(k.version) AS v ON true
    LEFT JOIN LATERAL dbnet.activity_by_id(v.activity) AS a ON true
    LEFT JOIN LATERAL dbnet.activity_by_id(a.transaction) AS t ON true
    LEFT JOIN dbnet.session AS s ON s.id = t.session AND a.kind <> 'R' -- it was the mirror worker
    ORDER BY k.name;
END
$$;
COMMENT ON FUNCTION dbnet.answer_blame(oid, regclass, text) IS 'Internal: answers dbnet.blame()';

-- A table at another time: backwards from its rows -------------------------------------------------------------------------

CREATE FUNCTION dbnet.replay(number integer, key_columns name[], since bigint, OUT existed boolean, OUT place bigint, OUT old jsonb)
    RETURNS SETOF record
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'dbnet_replay';
COMMENT ON FUNCTION dbnet.replay(integer, name[], bigint) IS
    'Internal, for dbnet.as_of(). Arguments: tracked_relation.number and key_columns; the first event to be taken back. Rows, one per row that has changed since: whether it was there before; key_hash of where it is now, NULL = it is gone; what its columns held before (where it is gone: all of them). Errors: 55000 a TRUNCATE of too many rows stands in between';

CREATE FUNCTION dbnet.changes_since(relation regclass, event bigint) RETURNS TABLE (existed boolean, place bigint, old jsonb)
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.changes_since(regclass, bigint) IS
    'Internal, for dbnet.as_of(): dbnet.replay() of what came after an event, for who may read it. Errors: 42704 not tracked, 42501 no right to read it, 55000 a TRUNCATE of too many rows stands in between';

-- A transaction that was written in parts counts with its last one.
CREATE FUNCTION dbnet.answer_changes_since(caller oid, relation regclass, event bigint) RETURNS TABLE (existed boolean, place bigint, old jsonb)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    tracked integer := dbnet.tracked_number(caller, relation);
    -- The end of the transaction to which the event belongs.
    seen bigint := coalesce((SELECT CASE WHEN answer_changes_since.event < t.id + t.events THEN t.id + t.events - 1 END FROM dbnet.activity AS t
                             WHERE t.root IS NOT NULL AND t.id <= answer_changes_since.event ORDER BY t.id DESC LIMIT 1), answer_changes_since.event);
    since bigint := least(seen + 1, (SELECT min(later.cause) FROM dbnet.activity AS later WHERE later.cause <= seen AND later.id > seen AND later.name = 'continued'));
BEGIN
    IF NOT (SELECT t.enabled FROM dbnet.tracked_relation AS t WHERE t.number = tracked) THEN
        RAISE EXCEPTION 'table % is tracked no more', relation USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'What has changed since is not on record, and cannot be taken back.', HINT = 'dbnet.history() tells what is.';
    END IF;
    IF (SELECT t.tracked_since FROM dbnet.tracked_relation AS t WHERE t.number = tracked) > dbnet.event_time(seen) THEN
        RAISE EXCEPTION 'table % is tracked since % only', relation, (SELECT t.tracked_since FROM dbnet.tracked_relation AS t WHERE t.number = tracked)
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'What it was like before is not on record.';
    END IF;
    RETURN QUERY SELECT r.existed, r.place, r.old
        FROM dbnet.replay(tracked, (SELECT t.key_columns FROM dbnet.tracked_relation AS t WHERE t.number = tracked), since) AS r;
END
$$;
COMMENT ON FUNCTION dbnet.answer_changes_since(oid, regclass, bigint) IS 'Internal: answers dbnet.changes_since()';

CREATE FUNCTION dbnet.key_columns(relation regclass) RETURNS name[]
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'dbnet_key_columns';
COMMENT ON FUNCTION dbnet.key_columns(regclass) IS 'The columns that tell a tracked table''s rows apart. Errors: 42704 not tracked';

-- Of another time a virtual generated column has what its expression makes of the row, not what it has now. Redacted columns
-- count as NULL where they are digests, for a digest need not be of the column's type.
CREATE FUNCTION dbnet.with_virtual_columns(relation regclass, line jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    members text := (SELECT string_agg(format('%L, %s', a.attname, pg_get_expr(d.adbin, d.adrelid)), ', ') FROM pg_attribute AS a JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                     WHERE a.attrelid = with_virtual_columns.relation AND a.attgenerated = 'v' AND NOT a.attisdropped);
    digests text[];
    computed jsonb;
BEGIN
    IF members IS NULL THEN
        RETURN line;
    END IF;
    digests := ARRAY(SELECT f.key FROM jsonb_each_text(line) AS f WHERE f.value ~ '^hmac-sha256:[0-9a-f]{64}$');
    EXECUTE format('SELECT jsonb_build_object(%s) FROM jsonb_populate_record(NULL::%s, $1)', members, relation) INTO computed USING line - digests;
    RETURN line || computed;
END
$$;
COMMENT ON FUNCTION dbnet.with_virtual_columns(regclass, jsonb) IS
    'Internal: a row as it was, as JSON, with its virtual generated columns as computed from it by the expressions that they have now, with the caller''s rights';

CREATE FUNCTION dbnet.row_document(relation regclass) RETURNS text
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$
    WITH RECURSIVE base AS (
        SELECT a.attnum, a.attname, t.oid, t.typbasetype, t.typtype, t.typcategory FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
            WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= 16384
        UNION ALL SELECT b.attnum, b.attname, t.oid, t.typbasetype, t.typtype, t.typcategory FROM base AS b JOIN pg_type AS t ON t.oid = b.typbasetype)
    SELECT concat('to_jsonb(t.*)', ' || jsonb_build_object(' || string_agg(format('%L, t.%I::text', b.attname, b.attname), ', ' ORDER BY b.attnum) || ')')
    FROM base AS b WHERE b.typtype = 'b' AND b.typcategory <> 'A' AND EXISTS (SELECT FROM pg_cast AS c WHERE c.castsource = b.oid AND c.casttarget = 'json'::regtype)
    $$;
COMMENT ON FUNCTION dbnet.row_document(regclass) IS
    'Internal: the expression of SQL that makes of a row t of the table a document as it is on record: like to_jsonb(), but values of extensions'' types as their text';

-- With the caller's rights: it reads the table itself, and row-level security applies.
CREATE FUNCTION dbnet.rows_as_of(relation regclass, event bigint) RETURNS SETOF jsonb
    LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    has_virtual boolean := EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = rows_as_of.relation AND a.attgenerated = 'v' AND NOT a.attisdropped);
BEGIN
    RETURN QUERY EXECUTE format(
        'WITH change AS MATERIALIZED (SELECT * FROM dbnet.changes_since($1, $2)),'
        ' present AS (SELECT %s AS line FROM %s AS t)'
        ' SELECT CASE WHEN c.place IS NULL THEN p.line WHEN $4 THEN dbnet.with_virtual_columns($1, p.line || c.old) ELSE p.line || c.old END'
        ' FROM present AS p LEFT JOIN change AS c ON c.place = dbnet.key_hash($3, p.line) WHERE c.existed IS NOT FALSE'
        ' UNION ALL SELECT CASE WHEN $4 THEN dbnet.with_virtual_columns($1, c.old) ELSE c.old END FROM change AS c WHERE c.existed AND c.place IS NULL', dbnet.row_document(relation), relation)
        USING relation, event, dbnet.key_columns(relation), has_virtual;
END
$$;
COMMENT ON FUNCTION dbnet.rows_as_of(regclass, bigint) IS 'Internal: the rows of dbnet.as_of()';

CREATE FUNCTION dbnet.last_event_at(at timestamptz) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT dbnet.event_at(at + interval '1 microsecond') - 1 $$;
COMMENT ON FUNCTION dbnet.last_event_at(timestamptz) IS 'The highest id that an event of this moment can have: events after it have higher ids';

CREATE FUNCTION dbnet.as_of(relation regclass, at timestamptz) RETURNS SETOF jsonb
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$ SELECT * FROM dbnet.rows_as_of(relation, dbnet.last_event_at(at)) $$;
COMMENT ON FUNCTION dbnet.as_of(regclass, timestamptz) IS
    'The rows of a tracked table as they were, as JSON: the rows that are there now with everything that was committed later taken back. Arguments: table that the caller may SELECT; time. Redacted columns that changed later come as digests. Errors: 42704 not tracked, 42501 no right to read it, 55000 before the table was tracked, tracked no more, or a TRUNCATE of more than 10 000 rows stands in between';

CREATE FUNCTION dbnet.as_of(relation regclass, event bigint) RETURNS SETOF jsonb
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$ SELECT * FROM dbnet.rows_as_of(relation, event) $$;
COMMENT ON FUNCTION dbnet.as_of(regclass, bigint) IS 'The same right after the transaction to which an event belongs (dbnet.why() and dbnet.history() show events). Errors: as for a time';

CREATE FUNCTION dbnet.as_of(base anyelement, at timestamptz) RETURNS SETOF anyelement
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT (jsonb_populate_record(base, line)).* FROM dbnet.rows_as_of((SELECT typrelid FROM pg_type WHERE oid = pg_typeof(base))::regclass, dbnet.last_event_at(at)) AS line $$;
COMMENT ON FUNCTION dbnet.as_of(anyelement, timestamptz) IS
    'The rows of a tracked table as they were, as rows: SELECT * FROM dbnet.as_of(NULL::net.nodes, ''2026-11-28 16:00''). Errors: as for the form that gives JSON';

CREATE FUNCTION dbnet.as_of(base anyelement, event bigint) RETURNS SETOF anyelement
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT (jsonb_populate_record(base, line)).* FROM dbnet.rows_as_of((SELECT typrelid FROM pg_type WHERE oid = pg_typeof(base))::regclass, event) AS line $$;
COMMENT ON FUNCTION dbnet.as_of(anyelement, bigint) IS 'The same right after the transaction to which an event belongs. Errors: as for the form that gives JSON';

-- A time that is written as a literal is of no type yet, and would fit both of the others.
CREATE FUNCTION dbnet.as_of(relation regclass, at text) RETURNS SETOF jsonb
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$ SELECT * FROM dbnet.rows_as_of(relation, dbnet.last_event_at(at::timestamptz)) $$;
COMMENT ON FUNCTION dbnet.as_of(regclass, text) IS 'The same for a time as text, in the session''s time zone if it names none. Errors: as for a time, 22007 it is none';

CREATE FUNCTION dbnet.as_of(base anyelement, at text) RETURNS SETOF anyelement
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT (jsonb_populate_record(base, line)).* FROM dbnet.rows_as_of((SELECT typrelid FROM pg_type WHERE oid = pg_typeof(base))::regclass, dbnet.last_event_at(at::timestamptz)) AS line $$;
COMMENT ON FUNCTION dbnet.as_of(anyelement, text) IS 'The same for a time as text, in the session''s time zone if it names none. Errors: as for the form that gives JSON, 22007 it is no time';
