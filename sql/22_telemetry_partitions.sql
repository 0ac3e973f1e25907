-- Partitions of the tables of telemetry: made ahead and on demand, dropped when they are over.
--
-- They are made as members of the extension. So DROP EXTENSION takes them along without CASCADE; a dump has neither them nor what is in them (telemetry is large, soon
-- over, and of no use without the devices it came from; COPY takes out what is wanted), and a restored database begins with its own. A ring of partitions made once,
-- as provenance has it (08_provenance.sql), needs no DDL at run time but has a size that cannot be chosen: telemetry is kept for hours by one and for months by
-- another, and is asked for by time, which prunes ranges and would not prune a ring.
--
-- Making one takes no lock that readers or writers wait for. Dropping one takes the strongest lock on the parent: it is asked for with a short lock_timeout, and
-- again a minute later.

CREATE VIEW otel.partitions WITH (security_invoker = true) AS
SELECT parent.oid::regclass AS relation, part.oid::regclass AS partition, (bound.text[1])::timestamptz AS from_time, (bound.text[2])::timestamptz AS to_time,
       pg_total_relation_size(part.oid) AS size,
       -- Normal dependencies are those that DROP TABLE does not take along.
       (SELECT string_agg(DISTINCT CASE WHEN r.oid IS NOT NULL THEN pg_describe_object('pg_class'::regclass, r.ev_class, 0) ELSE pg_describe_object(d.classid, d.objid, 0) END, ', ')
        FROM pg_depend AS d LEFT JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
        WHERE d.deptype = 'n' AND (d.refclassid, d.refobjid) IN (('pg_class'::regclass, part.oid), ('pg_type'::regclass, part.reltype))) AS held_by
FROM pg_class AS parent JOIN pg_inherits AS i ON i.inhparent = parent.oid JOIN pg_class AS part ON part.oid = i.inhrelid,
     regexp_match(pg_get_expr(part.relpartbound, part.oid), $$^FOR VALUES FROM \('(.+)'\) TO \('(.+)'\)$$) AS bound(text)
WHERE parent.relnamespace = 'otel'::regnamespace AND parent.relkind = 'p';
COMMENT ON VIEW otel.partitions IS 'Partitions of the tables of telemetry';
COMMENT ON COLUMN otel.partitions.relation IS 'the table';
COMMENT ON COLUMN otel.partitions.partition IS 'a partition of it';
COMMENT ON COLUMN otel.partitions.from_time IS 'bucket_time (or bucket) of its rows: from this';
COMMENT ON COLUMN otel.partitions.to_time IS 'and before this';
COMMENT ON COLUMN otel.partitions.size IS 'bytes, with indexes';
COMMENT ON COLUMN otel.partitions.held_by IS 'what depends on the partition by itself (a view, a function, a foreign key): while it does, the partition is not dropped when it is over';

CREATE FUNCTION otel.ensure_partitions(since timestamptz DEFAULT pg_catalog.now(), until timestamptz DEFAULT NULL) RETURNS integer
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' SET lock_timeout = '200ms'
    AS $$
#variable_conflict use_variable
DECLARE
    unit text := current_setting('dbnet.telemetry_partition');
    length interval := ('1 ' || unit)::interval;
    made integer := 0;
    missing record;
    around record;
    from_time timestamptz;
    to_time timestamptz;
    name text;
BEGIN
    FOR missing IN
        WITH part AS MATERIALIZED (SELECT p.relation, p.from_time, p.to_time FROM otel.partitions AS p)
        SELECT c.oid, c.relname AS table_name, w.at FROM pg_class AS c,
            (SELECT since UNION SELECT generate_series(date_trunc(unit, since) + length, coalesce(until, since + length), length)) AS w(at)
        WHERE c.relnamespace = 'otel'::regnamespace AND c.relkind = 'p'
            AND NOT EXISTS (SELECT FROM part WHERE part.relation = c.oid AND part.from_time <= w.at AND part.to_time > w.at)
        ORDER BY w.at, c.relname
    LOOP
        -- One at a time; who waited finds it made.
        EXECUTE format('LOCK TABLE ONLY otel.%I IN SHARE UPDATE EXCLUSIVE MODE', missing.table_name);
        SELECT bool_or(p.from_time <= missing.at AND p.to_time > missing.at) AS is_made, max(p.to_time) FILTER (WHERE p.to_time <= missing.at) AS from_time,
               min(p.from_time) FILTER (WHERE p.from_time > missing.at) AS to_time
            INTO around FROM otel.partitions AS p WHERE p.relation = missing.oid;
        CONTINUE WHEN around.is_made;
        -- Neighbours of another length leave less.
        from_time := greatest(date_trunc(unit, missing.at), around.from_time);
        to_time := least(date_trunc(unit, missing.at) + length, around.to_time);
        name := format('%s_%s', missing.table_name, to_char(from_time, CASE WHEN unit = 'day' AND from_time = date_trunc('day', from_time) THEN 'YYYYMMDD' ELSE 'YYYYMMDD"_"HH24' END));
        EXECUTE format('CREATE TABLE otel.%I (LIKE otel.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED INCLUDING STORAGE INCLUDING COMPRESSION) %s', name, missing.table_name,
            CASE WHEN missing.table_name IN ('span_pane', 'log_pane') THEN 'WITH (fillfactor = 50)' ELSE '' END);
        EXECUTE format('COMMENT ON TABLE otel.%I IS ''Part of otel.%s''', name, missing.table_name);
        EXECUTE format('ALTER TABLE otel.%I ATTACH PARTITION otel.%I FOR VALUES FROM (%L) TO (%L)', missing.table_name, name, from_time, to_time);
        -- The script of CREATE EXTENSION makes members by itself.
        IF EXISTS (SELECT FROM pg_extension WHERE extname = 'dbnet') AND NOT EXISTS (SELECT FROM pg_depend
                WHERE classid = 'pg_class'::regclass AND objid = format('otel.%I', name)::regclass AND deptype = 'e') THEN
            EXECUTE format('ALTER TABLE otel.%I OWNER TO %I', name, (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = missing.oid));
            EXECUTE format('ALTER EXTENSION dbnet ADD TABLE otel.%I', name);
        END IF;
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION otel.ensure_partitions(timestamptz, timestamptz) IS
    'Makes the partitions that are missing. Arguments: from when; until when, NULL = one partition ahead. Result: how many it made. Called by the mirror worker every minute, and by who writes to a time that has none';

CREATE FUNCTION otel.remove_old_partitions(at timestamptz DEFAULT pg_catalog.now(), most integer DEFAULT NULL) RETURNS integer
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
    AS $$
DECLARE
    old regclass;
    removed integer := 0;
BEGIN
    FOR old IN SELECT p.partition FROM otel.partitions AS p WHERE p.held_by IS NULL AND p.to_time <= at - current_setting('dbnet.telemetry_retention')::interval ORDER BY p.to_time, p.partition::text LOOP
        EXIT WHEN removed >= most;
        BEGIN
            EXECUTE format('ALTER EXTENSION dbnet DROP TABLE %s', old);
            EXECUTE format('DROP TABLE %s', old);
            removed := removed + 1;
        EXCEPTION WHEN lock_not_available OR dependent_objects_still_exist THEN NULL; -- in use, or just taken into use: a minute later
        END;
    END LOOP;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION otel.remove_old_partitions(timestamptz, integer) IS
    'Drops the partitions that dbnet.telemetry_retention does not keep. Arguments: what time it is; how many at most, NULL = all. Result: how many it dropped; one that cannot be locked within lock_timeout stays for the next time, one that is held (otel.partitions.held_by) for as long as it is. Called by the mirror worker every minute';

CREATE FUNCTION otel.remove_old_dimensions() RETURNS integer
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    oldest timestamptz := now() - current_setting('dbnet.telemetry_retention')::interval - interval '1 day';
    dimension text;
    removed integer;
    total integer := 0;
BEGIN
    FOREACH dimension IN ARRAY ARRAY['series', 'metrics', 'scopes', 'resources'] LOOP
        EXECUTE format('DELETE FROM otel.%1$I WHERE ctid = ANY (ARRAY(SELECT ctid FROM otel.%1$I WHERE last_seen < $1 LIMIT 20000 FOR UPDATE SKIP LOCKED))', dimension) USING oldest;
        GET DIAGNOSTICS removed = ROW_COUNT;
        total := total + removed;
    END LOOP;
    RETURN total;
END
$$;
COMMENT ON FUNCTION otel.remove_old_dimensions() IS
    'Removes resources, scopes, metrics and series of which nothing has arrived for dbnet.telemetry_retention and a day. Result: how many it removed. Called by the mirror worker every hour';

SELECT otel.ensure_partitions();
