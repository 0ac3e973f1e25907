-- Taking back what is on record: dbnet.undo.

-- What has to be done, in order; for who may read the tables.
CREATE FUNCTION dbnet.undo_steps(event bigint, activity bigint, transaction xid8)
    RETURNS TABLE (step integer, undone bigint, relation regclass, key jsonb, operation "char", old jsonb, new jsonb, later bigint, later_operation "char", redacted boolean)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.undo_steps(bigint, bigint, xid8) IS
    'Internal, for dbnet.undo(): the versions to be taken back, newest first; later: an event that changed the same columns since, and stands in the way, and what it did; redacted: a value is not on record';

CREATE FUNCTION dbnet.answer_undo_steps(caller oid, event bigint, activity bigint, transaction xid8)
    RETURNS TABLE (step integer, undone bigint, relation regclass, key jsonb, operation "char", old jsonb, new jsonb, later bigint, later_operation "char", redacted boolean)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    part dbnet.activity;
    beginnings timestamptz[];
    wanted dbnet.entity_version[] := '{}';
    version dbnet.entity_version;
    tracked dbnet.tracked_relation;
    ran bigint[];
    ids bigint[];
BEGIN
    IF num_nonnulls(event, activity, transaction) <> 1 THEN
        RAISE EXCEPTION 'dbnet.undo() needs an event, an activity or a transaction' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'For example dbnet.undo(transaction => ''812'').';
    END IF;
    IF event IS NOT NULL THEN
        wanted := ARRAY(SELECT v FROM dbnet.version_by_id(event) AS v);
        IF cardinality(wanted) = 0 THEN
            RAISE EXCEPTION 'event % is no change of a row', event USING ERRCODE = 'undefined_object', HINT = 'dbnet.history() shows such events; activities are taken back with activity => ....';
        END IF;
    ELSIF activity IS NOT NULL THEN
        SELECT t.* INTO part FROM dbnet.activity_by_id(activity) AS a, dbnet.activity_by_id(a.transaction) AS t;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no activity %', activity USING ERRCODE = 'undefined_object';
        END IF;
        -- Everything that ran within it, and what it made triggers do.
        WITH RECURSIVE inside AS (
            SELECT activity AS id
            UNION SELECT a.id FROM inside AS i JOIN dbnet.activity AS a ON a.id > part.id AND a.id < part.id + part.events AND a.parent = i.id)
        SELECT array_agg(i.id) INTO ran FROM inside AS i;
        wanted := ARRAY(SELECT v FROM dbnet.entity_version AS v WHERE v.id > part.id AND v.id < part.id + part.events AND v.activity = ANY (ran) ORDER BY v.id DESC);
    ELSE
        -- Parts of a large transaction began at one moment. Another one of the same number is of the database that a dump was of.
        SELECT coalesce(array_agg(v ORDER BY v.id DESC), '{}'), array_agg(DISTINCT t.started_at) INTO wanted, beginnings
            FROM dbnet.transaction AS t JOIN dbnet.entity_version AS v ON v.id >= t.id AND v.id < t.id + t.events WHERE t.transaction = answer_undo_steps.transaction;
        IF cardinality(beginnings) > 1 THEN
            RAISE EXCEPTION '% transactions have the number %', cardinality(beginnings), transaction USING ERRCODE = 'invalid_parameter_value',
                DETAIL = (SELECT string_agg(format('begun at %s: events %s to %s, activities %s', o.started_at, o.first, o.last, o.activities), E'\n' ORDER BY o.first)
                          FROM (SELECT t.started_at, min(t.id) AS first, max(t.id + t.events - 1) AS last, string_agg(a.id::text, ', ' ORDER BY a.id) AS activities
                                FROM dbnet.transaction AS t JOIN dbnet.activity AS a ON a.id >= t.id AND a.id < t.id + t.events AND coalesce(a.parent, 0) < t.id
                                WHERE t.transaction = answer_undo_steps.transaction AND t.started_at = ANY (beginnings) GROUP BY t.started_at) AS o),
                HINT = 'A restored dump brings the numbers of another server along. Say which one is meant: activity => ... takes back what ran within an activity, event => ... one change of a row.';
        END IF;
        IF cardinality(wanted) = 0 THEN
            RAISE EXCEPTION 'nothing is on record of transaction %', transaction USING ERRCODE = 'undefined_object';
        END IF;
    END IF;
    ids := ARRAY(SELECT v.id FROM unnest(wanted) AS v);
    -- Newest first; but a row comes back before what its going took with it: by ON DELETE or ON UPDATE of a foreign key, or by TRUNCATE,
    -- of which tables that others reference come first.
    WITH RECURSIVE taken AS MATERIALIZED (
        SELECT v, v.id, v.relation, CASE WHEN a.detail ? 'foreign_key' THEN a.started_by END AS parent, CASE WHEN a.name = 'TRUNCATE TABLE' THEN a.id END AS truncate
        FROM unnest(wanted) AS v LEFT JOIN LATERAL dbnet.activity_by_id(v.activity) AS a ON true),
    referring AS (
        SELECT t.number, t.relation, 0 AS depth FROM dbnet.tracked_relation AS t WHERE t.number IN (SELECT g.relation FROM taken AS g WHERE g.truncate IS NOT NULL)
        UNION SELECT t.number, t.relation, r.depth + 1 FROM referring AS r JOIN pg_constraint AS c ON c.confrelid = r.relation AND c.contype = 'f' AND c.conrelid <> c.confrelid
            JOIN dbnet.tracked_relation AS t ON t.relation = c.conrelid WHERE r.depth < 30),
    placed AS (
        SELECT g.id, coalesce(g.truncate, g.id) AS place, coalesce((SELECT max(r.depth) FROM referring AS r WHERE r.number = g.relation AND g.truncate IS NOT NULL), 0) AS depth
        FROM taken AS g LEFT JOIN taken AS p ON p.id = g.parent WHERE p.id IS NULL
        UNION ALL SELECT g.id, p.place, p.depth + 1 FROM placed AS p JOIN taken AS g ON g.parent = p.id)
    SELECT coalesce(array_agg(g.v ORDER BY p.place DESC, p.depth, p.id DESC), '{}') INTO wanted FROM placed AS p JOIN taken AS g ON g.id = p.id;
    step := 0;
    FOREACH version IN ARRAY wanted LOOP
        CONTINUE WHEN version.operation IN ('R', 'T'); -- told with the other one of the pair; with the rows
        SELECT * INTO tracked FROM dbnet.tracked_relation AS t WHERE t.number = version.relation;
        IF tracked.relation IS NULL THEN
            RAISE EXCEPTION 'table %.% was dropped', tracked.schema_name, tracked.table_name USING ERRCODE = 'undefined_table';
        END IF;
        PERFORM dbnet.tracked_number(caller, tracked.relation);
        step := step + 1;
        undone := version.id;
        relation := tracked.relation;
        key := version.key;
        operation := version.operation;
        old := version.old;
        new := version.new;
        -- What has been taken back in the steps before does not stand in the way.
        SELECT v.id, v.operation INTO later, later_operation FROM dbnet.entity_version AS v
                  WHERE v.relation = version.relation AND v.key_hash = version.key_hash AND v.id > version.id
                  AND v.id <> ALL (ids)
                  AND CASE WHEN v.operation IN ('I', 'D', 'R') THEN true
                           -- What a device has added to a row that was inserted, its status above all, goes with it.
                           WHEN version.operation = 'I' THEN EXISTS (SELECT FROM jsonb_object_keys(v.new) AS c WHERE version.new -> c <> 'null')
                               OR NOT EXISTS (SELECT FROM dbnet.activity_by_id(v.activity) AS a WHERE a.kind = 'R')
                           ELSE EXISTS (SELECT FROM jsonb_object_keys(v.new) AS c WHERE version.new ? c) END
                  ORDER BY v.id LIMIT 1;
        redacted := EXISTS (SELECT FROM unnest(tracked.redacted_columns) AS c WHERE coalesce(version.old, '{}') ? c::text);
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbnet.answer_undo_steps(oid, bigint, bigint, xid8) IS 'Internal: answers dbnet.undo_steps()';

-- The row under a key, set beside what was to be there: NULL = no row.
CREATE FUNCTION dbnet.undo_outcome(relation regclass, key jsonb, wanted jsonb) RETURNS text
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    others text[];
    present jsonb;
    differing text[];
BEGIN
    -- As text: not every type has an equality, and how a session shows values does not matter then.
    others := ARRAY(SELECT format('CASE WHEN t.%1$I::%3$s::text IS DISTINCT FROM (%2$s)::%3$s::text THEN %4$L END', a.attname, dbnet.column_literal(relation, a.attname, f.value),
                                  CASE a.atttypid WHEN 'json'::regtype THEN 'jsonb' ELSE format_type(a.atttypid, a.atttypmod) END, a.attname)
                    FROM jsonb_each(wanted) AS f JOIN pg_attribute AS a ON a.attrelid = relation AND a.attname = f.key AND a.attgenerated = '' AND NOT a.attisdropped ORDER BY f.key);
    EXECUTE format('SELECT %s, array_remove(ARRAY[%s]::text[], NULL) FROM %s AS t WHERE %s', dbnet.row_document(relation), array_to_string(others, ', '), relation, dbnet.key_condition(relation, key)) INTO present, differing;
    RETURN CASE WHEN present IS NULL AND wanted IS NULL OR present IS NOT NULL AND wanted IS NOT NULL AND cardinality(differing) = 0 THEN 'done'
                WHEN present IS NULL THEN 'done, but the row is gone again'
                WHEN wanted IS NULL THEN format('done, but the row is there again: %s', dbnet.short_text(present::text, 160))
                ELSE format('done, but the row was changed again at once: %s',
                            (SELECT string_agg(format('%s %s instead of %s', c, dbnet.short_value(present -> c), dbnet.short_value(wanted -> c)), ', ' ORDER BY c) FROM unnest(differing) AS c)) END;
END
$$;
COMMENT ON FUNCTION dbnet.undo_outcome(regclass, jsonb, jsonb) IS
    'Internal, for dbnet.undo(): whether a row is as it was to be, or what triggers have made of it. Arguments: table; key; values of columns, NULL = no row';

-- The request is read with the row, so both go into one transaction. The object may say more than the row: what no column tells of, and what
-- the row's own writer could not have set. So it is for who may decide on the table, for others the row is all that comes back.
CREATE FUNCTION dbnet.answer_restore_object(caller oid, event bigint) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    deleted record;
    body bigint;
BEGIN
    SELECT t.relation, c.relowner AS owner, t.key_columns, coalesce(m.namespace, '') AS namespace, v.key, f.transaction_number AS transaction INTO deleted
        FROM dbnet.version_by_id(event) AS v JOIN dbnet.tracked_relation AS t ON t.number = v.relation JOIN dbnet.mirrored_relation AS m ON m.relation = t.relation
             JOIN pg_class AS c ON c.oid = t.relation,
             dbnet.activity_by_id(v.activity) AS a, dbnet.activity_by_id(a.transaction) AS f
        WHERE v.operation = 'D';
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF NOT has_table_privilege(caller, deleted.relation, 'INSERT') THEN
        RAISE EXCEPTION 'permission denied for table %', deleted.relation USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NOT pg_has_role(caller, deleted.owner, 'USAGE')
       AND NOT (pg_has_role(caller, 'dbnet_operator', 'USAGE') AND dbnet.may_read_history(caller, deleted.relation)) THEN
        RETURN;
    END IF;
    WITH object AS (SELECT CASE cardinality(deleted.key_columns) WHEN 1 THEN deleted.namespace ELSE deleted.key ->> deleted.key_columns[1]::text END AS namespace,
                           deleted.key ->> deleted.key_columns[cardinality(deleted.key_columns)]::text AS name),
    going AS ( -- not gone yet
        INSERT INTO dbnet.deleted_object (relation, namespace, name, transaction, last_body, at)
        SELECT t.relation, t.namespace, t.name, t.transaction, CASE WHEN m.api_version = 'v1' AND m.kind = 'Secret' THEN t.last_body - '{data,stringData}'::text[] ELSE t.last_body END, t.at
        FROM dbnet.tombstone AS t JOIN dbnet.mirrored_relation AS m ON m.relation = t.relation, object AS o
        WHERE t.relation = deleted.relation AND t.namespace = o.namespace AND t.name = o.name AND t.transaction = deleted.transaction AND t.last_body IS NOT NULL
        ORDER BY t.id DESC LIMIT 1 RETURNING id)
    INSERT INTO dbnet.ownership_request (relation, namespace, name, operation, value)
    SELECT deleted.relation, o.namespace, o.name, 'restore', to_jsonb(known.id)
    FROM object AS o, LATERAL (
        SELECT g.id FROM going AS g
        UNION ALL SELECT d.id FROM dbnet.deleted_object AS d
            WHERE d.relation = deleted.relation AND d.namespace = o.namespace AND d.name = o.name AND d.transaction = deleted.transaction
        ORDER BY 1 DESC LIMIT 1) AS known;
END
$$;
COMMENT ON FUNCTION dbnet.answer_restore_object(oid, bigint) IS 'Internal: does what dbnet.restore_object() asks for';
CREATE FUNCTION dbnet.restore_object(event bigint) RETURNS void LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'dbnet_request';
COMMENT ON FUNCTION dbnet.restore_object(bigint) IS
    'Internal, for dbnet.undo(): the object of a row that is inserted again is to be made as it was, with fields of which no column tells. Argument: event of the DELETE; of one that is none of a mirror''s, or of an object that was never seen, nothing happens, nor for who neither owns the table nor is a dbnet_operator that may read its history. Errors: 42501 no right to insert rows';

CREATE FUNCTION dbnet.undo_obstacles(event bigint, activity bigint, transaction xid8) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT string_agg(format('event %s at %s: %s of %s', s.later, dbnet.event_time(s.later), dbnet.operation_word(s.later_operation), s.key), E'\n' ORDER BY s.step)
          FROM dbnet.undo_steps(event, activity, transaction) AS s WHERE s.later IS NOT NULL $$;
COMMENT ON FUNCTION dbnet.undo_obstacles(bigint, bigint, xid8) IS 'Internal, for dbnet.undo(): later changes of what is to be taken back, a line each; NULL = none';

-- Run where names are found as the caller's, a statement tells its row by what no operator or function of the caller's search_path takes part in.
CREATE FUNCTION dbnet.placed(statement text, relation regclass, where_key text) RETURNS text
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    row_place text;
BEGIN
    IF right(statement, length(where_key) + 7) <> ' WHERE ' || where_key THEN
        RETURN statement;
    END IF;
    EXECUTE format('SELECT min(format(''tableoid = %%s::pg_catalog.oid AND ctid = %%L::pg_catalog.tid'', tableoid::oid, ctid)) FROM %s WHERE %s', relation, where_key) INTO row_place;
    RETURN coalesce(left(statement, length(statement) - length(where_key)) || row_place, statement);
END
$$;
COMMENT ON FUNCTION dbnet.placed(text, regclass, text) IS
    'Internal, for dbnet.undo() and dbnet.diff(): a statement with the place of its row put for the condition that it ends with. Arguments: statement; its table; dbnet.key_condition() of the row';

-- Runs as its caller: every statement needs the caller's rights on the table, and fires its triggers, which find names
-- where the caller does.
CREATE FUNCTION dbnet.undo_within(path text, event bigint, activity bigint, transaction xid8, dry_run boolean)
    RETURNS TABLE (step integer, undone bigint, relation regclass, key text, statement text, outcome text)
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    one record;
    where_key text;
    placed text;
    columns text;
    in_the_way text;
    unknown text;
    oldest bigint;        -- event that is taken back
    changed bigint;
    place jsonb;          -- of the row, once the step is done
    wanted jsonb := '{}'; -- what is to be there then, by place: columns, or null
    done jsonb[] := '{}'; -- steps, to be told when all are done
    outcomes text[] := '{}';
    trouble text;         -- why the commit will fail
BEGIN
    IF NOT dry_run THEN
        in_the_way := dbnet.undo_obstacles(event, activity, transaction);
        IF in_the_way IS NOT NULL THEN
            RAISE EXCEPTION 'later changes stand in the way' USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = in_the_way,
                HINT = 'Take those back first, or change the rows by hand.';
        END IF;
        SELECT string_agg(format('%s of %s', s.relation, s.key), ', ') FILTER (WHERE s.redacted), min(s.undone) INTO unknown, oldest FROM dbnet.undo_steps(event, activity, transaction) AS s;
        IF unknown IS NOT NULL THEN
            RAISE EXCEPTION 'values of redacted columns are not on record' USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = unknown;
        END IF;
        PERFORM dbnet.set_cause(coalesce(event, activity, oldest), 'undo');
    END IF;
    FOR one IN SELECT * FROM dbnet.undo_steps(event, activity, transaction) LOOP
        step := one.step;
        undone := one.undone;
        relation := one.relation;
        key := dbnet.key_text(one.key, dbnet.key_columns(one.relation));
        where_key := dbnet.key_condition(one.relation, one.key);
        IF one.operation = 'I' THEN
            statement := format('DELETE FROM %s WHERE %s', one.relation, where_key);
        ELSIF one.operation = 'U' THEN
            SELECT string_agg(format('%I = %s', f.key, dbnet.column_literal(one.relation, f.key::name, f.value)), ', ' ORDER BY f.key) INTO columns
                FROM jsonb_each(one.old) AS f JOIN pg_attribute AS a ON a.attrelid = one.relation AND a.attname = f.key AND a.attgenerated = '' AND NOT a.attisdropped;
            statement := format('UPDATE %s SET %s WHERE %s', one.relation, columns, where_key);
        ELSE
            SELECT format('INSERT INTO %s (%s) %s VALUES (%s)', one.relation, string_agg(quote_ident(f.key), ', ' ORDER BY f.key),
                          CASE WHEN bool_or(a.attidentity = 'a') THEN 'OVERRIDING SYSTEM VALUE' ELSE '' END,
                          string_agg(dbnet.column_literal(one.relation, f.key::name, f.value), ', ' ORDER BY f.key)) INTO statement
                FROM jsonb_each(one.old) AS f JOIN pg_attribute AS a ON a.attrelid = one.relation AND a.attname = f.key AND a.attgenerated = '' AND NOT a.attisdropped;
        END IF;
        outcome := CASE WHEN one.later IS NOT NULL THEN format('event %s stands in the way', one.later)
                        WHEN one.redacted THEN 'a redacted value is not on record' ELSE 'would be done' END;
        IF NOT dry_run THEN
            placed := dbnet.placed(statement, one.relation, where_key);
            PERFORM set_config('search_path', path, true);
            EXECUTE placed;
            GET DIAGNOSTICS changed = ROW_COUNT;
            PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
            IF changed <> 1 THEN
                RAISE EXCEPTION 'step % has found % rows', step, changed USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = statement,
                    HINT = 'The row is not as it is on record; dbnet.gaps() tells what has changed past it.';
            END IF;
            IF one.operation NOT IN ('I', 'U') THEN
                PERFORM dbnet.restore_object(undone);
            END IF;
            place := jsonb_build_array(relation, one.key || coalesce((SELECT jsonb_object_agg(c, one.old -> c::text) FROM unnest(dbnet.key_columns(one.relation)) AS c WHERE one.old ? c::text), '{}'));
            wanted := jsonb_set(wanted, ARRAY[place::text], CASE WHEN one.operation = 'I' THEN 'null'
                ELSE coalesce(nullif(wanted -> jsonb_build_array(relation, one.key)::text, 'null'), '{}') || one.old END);
            done := done || jsonb_build_object('step', step, 'undone', undone, 'relation', relation::oid, 'key', key, 'statement', statement, 'place', place);
            CONTINUE;
        END IF;
        RETURN NEXT;
    END LOOP;
    -- What others have committed since the first look; of what comes after this one the rows' locks keep them.
    IF cardinality(done) > 0 THEN
        in_the_way := dbnet.undo_obstacles(event, activity, transaction);
        IF in_the_way IS NOT NULL THEN
            RAISE EXCEPTION 'later changes stand in the way' USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = in_the_way,
                HINT = 'They came while this ran, and nothing was taken back. Take those back first, or change the rows by hand.';
        END IF;
    END IF;
    -- What triggers and constraints do that are deferred to the commit is tried now, and taken back: their time is then.
    BEGIN
        IF cardinality(done) > 0 THEN
            PERFORM set_config('search_path', path, true);
            SET CONSTRAINTS ALL IMMEDIATE;
            PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
            outcomes := ARRAY(SELECT dbnet.undo_outcome(d.relation, d.place -> 1, nullif(wanted -> d.place::text, 'null'))
                              FROM unnest(done) AS one_of(document), jsonb_to_record(one_of.document) AS d(step integer, relation oid, place jsonb) ORDER BY d.step);
            RAISE EXCEPTION USING ERRCODE = 'DBN01';
        END IF;
    EXCEPTION
        WHEN SQLSTATE 'DBN01' THEN NULL;
        WHEN OTHERS THEN trouble := SQLERRM;
    END;
    -- Triggers of one step may have changed what another one had brought back.
    FOR one IN SELECT d.*, lead(d.step) OVER (PARTITION BY d.place ORDER BY d.step) IS NOT NULL AS goes_on
               FROM unnest(done) AS one_of(document), jsonb_to_record(one_of.document) AS d(step integer, undone bigint, relation oid, key text, statement text, place jsonb) ORDER BY d.step LOOP
        step := one.step;
        undone := one.undone;
        relation := one.relation;
        key := one.key;
        statement := one.statement;
        outcome := CASE WHEN trouble IS NOT NULL THEN format('done, but the commit would fail: %s', trouble) WHEN one.goes_on THEN 'done'
                        ELSE outcomes[one.step] END;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbnet.undo_within(text, bigint, bigint, xid8, boolean) IS 'Internal: does what dbnet.undo() says; path: search_path of its caller';

CREATE FUNCTION dbnet.undo(event bigint DEFAULT NULL, activity bigint DEFAULT NULL, transaction xid8 DEFAULT NULL, dry_run boolean DEFAULT true)
    RETURNS TABLE (step integer, undone bigint, relation regclass, key text, statement text, outcome text)
    LANGUAGE sql VOLATILE
    BEGIN ATOMIC
        SELECT u.step, u.undone, u.relation, u.key, u.statement, u.outcome
        FROM dbnet.undo_within(pg_catalog.current_setting('search_path'), event, activity, transaction, dry_run) AS u;
    END;
COMMENT ON FUNCTION dbnet.undo(bigint, bigint, xid8, boolean) IS
    'Takes changes of rows back by statements that do the opposite, newest first, with the caller''s rights; triggers fire, and devices follow because rows change; the object of a mirror''s row that was deleted is made again as it was, also where no column tells of it, for the table''s owner or a dbnet_operator that may read its history (but for Secret data; if the server refuses that, of the row alone). Taking back what was taken back works, too. Arguments, one of three: event (one change of a row), activity (everything that ran within it), transaction; dry_run: true = show the statements only. Rows: step; event that is taken back; table; key; statement; outcome: would be done | done | done, but ... (what triggers make of the row, those that are deferred to the commit, too, which are tried and taken back; or why the commit would fail). Errors: 55000 later changes of the same columns stand in the way (DETAIL lists them), a redacted value is not on record, or a row is not as on record; 22023 several transactions have the number, of before a restore and since (DETAIL names their events and activities); 42704 nothing such is on record; 42501 no right to read it';

CREATE FUNCTION dbnet.column_literal(relation regclass, column_name name, value jsonb) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE WHEN value IS NULL OR value = 'null' AND a.atttypid NOT IN ('json'::regtype, 'jsonb'::regtype) THEN 'NULL'
                WHEN a.atttypid IN ('json'::regtype, 'jsonb'::regtype) THEN format('%L::%s', value::text, format_type(a.atttypid, a.atttypmod))
                WHEN jsonb_typeof(value) IN ('object', 'array') THEN
                    format('(pg_catalog.jsonb_populate_record(NULL::%s, %L)).%I', relation, jsonb_build_object(column_name, value)::text, column_name)
                ELSE format('%L', value #>> '{}') END
    FROM pg_attribute AS a WHERE a.attrelid = relation AND a.attname = column_name
    $$;
COMMENT ON FUNCTION dbnet.column_literal(regclass, name, jsonb) IS 'A recorded value as a literal of SQL for this column';

CREATE FUNCTION dbnet.key_condition(relation regclass, key jsonb) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT string_agg(CASE WHEN coalesce(key -> a.attname::text, 'null') = 'null' THEN format('%I IS NULL', a.attname)
                           ELSE format('%I %s %s', a.attname, coalesce(equality.operator, '='), dbnet.column_literal(relation, a.attname, key -> a.attname::text)) END,
                      ' AND ' ORDER BY c.place)
    FROM unnest(dbnet.key_columns(relation)) WITH ORDINALITY AS c(name, place) JOIN pg_attribute AS a ON a.attrelid = relation AND a.attname = c.name
    -- The one of indexes, named with its schema where that is an extension's: the search_path does not lead there.
    LEFT JOIN LATERAL (
        WITH RECURSIVE base AS (
            SELECT t.oid, t.typbasetype FROM pg_type AS t WHERE t.oid = a.atttypid
            UNION ALL SELECT t.oid, t.typbasetype FROM base AS b JOIN pg_type AS t ON t.oid = b.typbasetype)
        SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname) AS operator
        FROM base AS b JOIN pg_opclass AS f ON f.opcintype = b.oid AND f.opcdefault JOIN pg_am AS m ON m.oid = f.opcmethod AND m.amname = 'btree'
        JOIN pg_amop AS p ON p.amopfamily = f.opcfamily AND p.amopstrategy = 3 AND p.amoplefttype = b.oid AND p.amoprighttype = b.oid
        JOIN pg_operator AS o ON o.oid = p.amopopr JOIN pg_namespace AS n ON n.oid = o.oprnamespace
        WHERE b.typbasetype = 0 AND n.nspname <> 'pg_catalog') AS equality ON true
    $$;
COMMENT ON FUNCTION dbnet.key_condition(regclass, jsonb) IS 'The condition of SQL by which the row with this key is found, with the key''s index and whatever the search_path is';
