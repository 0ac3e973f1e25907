-- What is tracked: dbnet.track and dbnet.untrack, and who may read what is on record.

-- Questions and requests are put by functions in the caller's name (src/provenance/questions/question.cpp); dbnet.answer_NAME, which
-- nobody else may call, answers them with the extension's rights and calls no code of users'.

CREATE FUNCTION dbnet.create_track_trigger(relation regclass, name name, event text, level text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER %I %s ON %s FOR EACH %s EXECUTE FUNCTION dbnet.track_row()', name, event, relation, level);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', relation, name);
    -- What ALTER TRIGGER ... DEPENDS ON EXTENSION does, without its exclusive lock on the extension, for which every worker would wait.
    INSERT INTO pg_depend (classid, objid, objsubid, refclassid, refobjid, refobjsubid, deptype)
        SELECT 'pg_trigger'::regclass, t.oid, 0, 'pg_extension'::regclass, e.oid, 0, 'x' FROM pg_trigger AS t, pg_extension AS e
        WHERE t.tgrelid = relation AND t.tgname = create_track_trigger.name AND e.extname = 'dbnet';
END
$$;
COMMENT ON FUNCTION dbnet.create_track_trigger(regclass, name, text, text) IS 'Internal: a trigger of a tracked table, ENABLE ALWAYS. Arguments: table; name; when; ROW or STATEMENT';

-- A TRUNCATE of a session is recorded without a trigger; one that logical replication applies only fires triggers, of the very table
-- that it names: usually each partition by itself.
CREATE FUNCTION dbnet.track_truncate(relation regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    part regclass;
BEGIN
    FOR part IN SELECT relation UNION SELECT p.relid FROM pg_partition_tree(relation) AS p JOIN pg_class AS c ON c.oid = p.relid WHERE c.relkind IN ('r', 'p') LOOP
        IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = part AND tgname = 'dbnet_track_truncate') THEN
            PERFORM dbnet.create_track_trigger(part, 'dbnet_track_truncate', 'BEFORE TRUNCATE', 'STATEMENT');
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbnet.track_truncate(regclass) IS 'Internal: the table and its partitions tell of a TRUNCATE that logical replication applies';
CREATE FUNCTION dbnet.untrack_truncate(relation regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    part regclass;
BEGIN
    FOR part IN SELECT tgrelid FROM pg_trigger WHERE tgname = 'dbnet_track_truncate'
                AND (tgrelid = relation OR tgrelid IN (SELECT p.relid FROM pg_partition_tree(relation) AS p))
                -- A partition that is still tracked, by itself or with a table above it, goes on telling.
                AND NOT EXISTS (SELECT FROM pg_partition_ancestors(tgrelid) AS a JOIN dbnet.tracked_relation AS t ON t.relation = a.relid
                                WHERE t.enabled AND t.relation <> untrack_truncate.relation) LOOP
        EXECUTE format('DROP TRIGGER dbnet_track_truncate ON %s', part);
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbnet.untrack_truncate(regclass) IS 'Internal: undoes dbnet.track_truncate()';

CREATE FUNCTION dbnet.answer_track(caller oid, relation regclass, redact name[], activations text, key name[]) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    class record;
    line dbnet.tracked_relation;
    missing name;
BEGIN
    SELECT c.relkind, c.relpersistence, c.relowner, c.relname, n.nspname, c.relispartition INTO class
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = answer_track.relation;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such table' USING ERRCODE = 'undefined_table';
    END IF;
    IF NOT pg_has_role(caller, class.relowner, 'USAGE') THEN
        RAISE EXCEPTION 'must be owner of table %', relation USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF activations IS NULL OR activations NOT IN ('all', 'effective') THEN
        RAISE EXCEPTION 'unknown activations "%"', activations USING ERRCODE = 'invalid_parameter_value', HINT = 'They are effective or all.';
    END IF;
    redact := coalesce(redact, '{}');
    IF class.relkind NOT IN ('r', 'p') OR class.relpersistence <> 'p' THEN
        RAISE EXCEPTION '% cannot be tracked: it is %', relation,
            CASE WHEN class.relpersistence = 't' THEN 'temporary' WHEN class.relpersistence = 'u' THEN 'unlogged'
                 WHEN class.relkind = 'v' THEN 'a view' WHEN class.relkind = 'm' THEN 'a materialized view'
                 WHEN class.relkind = 'f' THEN 'a foreign table' ELSE 'not a table' END
            USING ERRCODE = 'wrong_object_type', HINT = 'Track the permanent tables that hold the rows.';
    END IF;
    IF class.relispartition THEN
        RAISE EXCEPTION '% cannot be tracked: it is a partition', relation
            USING ERRCODE = 'wrong_object_type', HINT = 'Track the partitioned table; its partitions are tracked with it.';
    END IF;
    IF class.nspname IN ('dbnet', 'otel', 'pg_catalog', 'information_schema')
       AND NOT EXISTS (SELECT FROM dbnet.tracked_relation AS t WHERE t.relation = answer_track.relation) THEN
        RAISE EXCEPTION '% cannot be tracked: it belongs to the system or to DBNet', relation USING ERRCODE = 'wrong_object_type';
    END IF;
    SELECT name INTO missing FROM unnest(redact || coalesce(key, '{}')) AS wanted(name)
        WHERE NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = relation AND attname = wanted.name AND attnum > 0 AND NOT attisdropped);
    IF FOUND THEN
        RAISE EXCEPTION 'table % has no column "%"', relation, missing USING ERRCODE = 'undefined_column';
    END IF;

    SELECT * INTO line FROM dbnet.tracked_relation AS t WHERE t.relation = answer_track.relation;
    IF NOT FOUND THEN -- a table that was dropped under this name goes on
        SELECT * INTO line FROM dbnet.tracked_relation AS t
            WHERE t.relation IS NULL AND t.schema_name = class.nspname AND t.table_name = class.relname ORDER BY number DESC LIMIT 1;
    END IF;
    IF key IS NULL THEN
        key := coalesce((SELECT array_agg(a.attname ORDER BY k.place) FROM pg_index AS i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
                         JOIN pg_attribute AS a ON a.attrelid = answer_track.relation AND a.attnum = k.attnum
                         WHERE i.indrelid = answer_track.relation AND i.indisprimary), line.key_columns);
        IF key IS NULL THEN
            RAISE EXCEPTION 'table % has no primary key', relation
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      DETAIL = 'Without one it could not be told which row a change belongs to.',
                      HINT = 'Add one, or name columns that tell the rows apart: dbnet.track(..., key => ''{...}'').';
        END IF;
    END IF;
    IF EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = answer_track.relation AND a.attname = ANY (key) AND a.attgenerated = 'v') THEN
        RAISE EXCEPTION 'a key column cannot be a virtual generated column' USING ERRCODE = 'invalid_parameter_value',
            DETAIL = 'No row holds a value of it.', HINT = 'Name the columns that it is computed from, or make it STORED.';
    END IF;
    IF key && redact THEN
        RAISE EXCEPTION 'a key column cannot be redacted' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF line.number IS NULL THEN
        INSERT INTO dbnet.tracked_relation (relation, schema_name, table_name, key_columns, redacted_columns, activations)
            VALUES (relation, class.nspname, class.relname, key, redact, activations);
    ELSE
        UPDATE dbnet.tracked_relation AS t
            SET relation = answer_track.relation, schema_name = class.nspname, table_name = class.relname, key_columns = key,
                redacted_columns = redact, activations = answer_track.activations, enabled = true,
                tracked_since = CASE WHEN t.enabled AND t.relation IS NOT NULL THEN t.tracked_since ELSE now() END
            WHERE t.number = line.number;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relation AND tgname IN ('dbnet_track', 'dbnet_capture') AND NOT tgisinternal) THEN
        PERFORM dbnet.create_track_trigger(relation, 'dbnet_track', 'AFTER INSERT OR UPDATE OR DELETE', 'ROW');
    END IF;
    PERFORM dbnet.track_truncate(relation);
END
$$;
COMMENT ON FUNCTION dbnet.answer_track(oid, regclass, name[], text, name[]) IS 'Internal: does what dbnet.track() asks for';

CREATE FUNCTION dbnet.answer_untrack(caller oid, relation regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF NOT pg_has_role(caller, (SELECT relowner FROM pg_class WHERE oid = relation), 'USAGE') THEN
        RAISE EXCEPTION 'must be owner of table %', relation USING ERRCODE = 'insufficient_privilege';
    END IF;
    UPDATE dbnet.tracked_relation AS t SET enabled = false WHERE t.relation = answer_untrack.relation AND t.enabled;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'table % is not tracked', relation USING ERRCODE = 'undefined_object';
    END IF;
    IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relation AND tgname = 'dbnet_track' AND NOT tgisinternal) THEN
        EXECUTE format('DROP TRIGGER dbnet_track ON %s', relation);
    END IF;
    PERFORM dbnet.untrack_truncate(relation);
END
$$;
COMMENT ON FUNCTION dbnet.answer_untrack(oid, regclass) IS 'Internal: does what dbnet.untrack() asks for';

CREATE FUNCTION dbnet.track(relation regclass, redact name[] DEFAULT '{}', activations text DEFAULT 'effective', key name[] DEFAULT NULL)
    RETURNS void LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbnet_request';
COMMENT ON FUNCTION dbnet.track(regclass, name[], text, name[]) IS
    'Records every change of a table from now on. Arguments: a permanent table of the caller, partitioned ones with all partitions; columns of which digests are recorded and no values, nor the text of statements that write them; activations of its triggers that are recorded: effective (those that changed something) | all; columns that tell rows apart, NULL = the primary key. Again: changes these. A table of the name of one that was dropped takes its history up. Errors: 42501 not the owner, 42809 not such a table, 55000 no primary key, 42703 no such column, 22023 a key column is to be redacted, or unknown activations';
CREATE FUNCTION dbnet.untrack(relation regclass) RETURNS void LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'dbnet_request';
COMMENT ON FUNCTION dbnet.untrack(regclass) IS
    'Records changes of a table no longer; what is on record stays as long as dbnet.provenance_retention says. Argument: a tracked table of the caller. Errors: 42501 not the owner, 42704 not tracked';

CREATE FUNCTION dbnet.answer_track_function(caller oid, function regprocedure) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF NOT pg_has_role(caller, (SELECT proowner FROM pg_proc WHERE oid = function), 'USAGE') THEN
        RAISE EXCEPTION 'must be owner of function %', function USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO dbnet.tracked_function (function) SELECT identity FROM pg_identify_object('pg_proc'::regclass, function, 0) ON CONFLICT DO NOTHING;
    IF (SELECT proparallel = 's' FROM pg_proc WHERE oid = function) THEN
        RAISE WARNING 'calls of % in parallel workers are not recorded', function USING HINT = format('ALTER FUNCTION %s PARALLEL RESTRICTED keeps it out of them.', function);
    END IF;
END
$$;
COMMENT ON FUNCTION dbnet.answer_track_function(oid, regprocedure) IS 'Internal: does what dbnet.track_function() asks for';
CREATE FUNCTION dbnet.answer_untrack_function(caller oid, function regprocedure) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF NOT pg_has_role(caller, (SELECT proowner FROM pg_proc WHERE oid = function), 'USAGE') THEN
        RAISE EXCEPTION 'must be owner of function %', function USING ERRCODE = 'insufficient_privilege';
    END IF;
    DELETE FROM dbnet.tracked_function AS t WHERE t.function = (SELECT identity FROM pg_identify_object('pg_proc'::regclass, answer_untrack_function.function, 0));
    IF NOT FOUND THEN
        RAISE EXCEPTION 'function % is not tracked', function USING ERRCODE = 'undefined_object';
    END IF;
END
$$;
COMMENT ON FUNCTION dbnet.answer_untrack_function(oid, regprocedure) IS 'Internal: does what dbnet.untrack_function() asks for';
CREATE FUNCTION dbnet.track_function(function regprocedure) RETURNS void LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'dbnet_request';
COMMENT ON FUNCTION dbnet.track_function(regprocedure) IS
    'Records every call of a function or procedure with its arguments, also one that changes nothing. Calls that change something tracked are on record anyhow. Of a function that is PARALLEL SAFE calls in parallel workers are not recorded; a warning says so. Argument: a function of the caller. Errors: 42501 not the owner';
CREATE FUNCTION dbnet.untrack_function(function regprocedure) RETURNS void LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'dbnet_request';
COMMENT ON FUNCTION dbnet.untrack_function(regprocedure) IS 'Takes dbnet.track_function() back. Errors: 42501 not the owner, 42704 not tracked';

-- Who may read --------------------------------------------------------------------------------------------------------------

CREATE FUNCTION dbnet.may_read_history(caller oid, relation regclass) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF relation IS NULL THEN
        RETURN pg_has_role(caller, 'dbnet_admin', 'USAGE');
    END IF;
    RETURN coalesce((SELECT has_table_privilege(caller, c.oid, 'SELECT')
                            AND (NOT c.relrowsecurity OR pg_has_role(caller, 'dbnet_admin', 'USAGE')
                                 OR pg_has_role(caller, c.relowner, 'USAGE') AND NOT c.relforcerowsecurity
                                 OR (SELECT r.rolbypassrls FROM pg_roles AS r WHERE r.oid = caller))
                     FROM pg_class AS c WHERE c.oid = relation), false);
END
$$;
COMMENT ON FUNCTION dbnet.may_read_history(oid, regclass) IS
    'Internal: whether a role may read what is on record of a table: who may SELECT all of it; of tables whose row-level security applies to the role, and of those that were dropped (NULL), only members of dbnet_admin';

CREATE FUNCTION dbnet.tracked_number(caller oid, relation regclass) RETURNS integer
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    found integer := (SELECT t.number FROM dbnet.tracked_relation AS t WHERE t.relation = tracked_number.relation);
BEGIN
    IF found IS NULL THEN
        RAISE EXCEPTION 'table % is not tracked', relation
            USING ERRCODE = 'undefined_object', HINT = 'Mirrors and DBNet''s configuration are; SELECT dbnet.track(...) begins with others.';
    END IF;
    IF NOT dbnet.may_read_history(caller, relation) THEN
        RAISE EXCEPTION 'permission denied for the history of table %', relation
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'It is for roles that may SELECT the whole table; with row-level security on it for members of dbnet_admin.';
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION dbnet.tracked_number(oid, regclass) IS 'Internal: number of a table that was ever tracked and whose history the role may read. Errors: 42704, 42501';
