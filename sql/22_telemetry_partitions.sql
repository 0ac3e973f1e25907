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
       pg_total_relation_size(part.oid) AS size
FROM pg_class AS parent JOIN pg_inherits AS i ON i.inhparent = parent.oid JOIN pg_class AS part ON part.oid = i.inhrelid,
     regexp_match(pg_get_expr(part.relpartbound, part.oid), $$^FOR VALUES FROM \('(.+)'\) TO \('(.+)'\)$$) AS bound(text)
WHERE parent.relnamespace = 'otel'::regnamespace AND parent.relkind = 'p';
COMMENT ON VIEW otel.partitions IS 'Partitions of the tables of telemetry';
COMMENT ON COLUMN otel.partitions.relation IS 'the table';
COMMENT ON COLUMN otel.partitions.partition IS 'a partition of it';
COMMENT ON COLUMN otel.partitions.from_time IS 'bucket_time (or bucket) of its rows: from this';
COMMENT ON COLUMN otel.partitions.to_time IS 'and before this';
COMMENT ON COLUMN otel.partitions.size IS 'bytes, with indexes';

CREATE FUNCTION otel.ensure_partitions(since timestamptz DEFAULT pg_catalog.now(), until timestamptz DEFAULT NULL) RETURNS integer
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
    AS $$
DECLARE
    unit text := current_setting('dbnet.telemetry_partition');
    made integer := 0;
    table_name text;
    at timestamptz;
    from_time timestamptz;
    to_time timestamptz;
    name text;
BEGIN
    FOR at IN SELECT generate_series(date_trunc(unit, since), coalesce(until, since + ('1 ' || unit)::interval), ('1 ' || unit)::interval) LOOP
        FOR table_name IN SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'otel'::regnamespace AND c.relkind = 'p'
                AND NOT EXISTS (SELECT FROM otel.partitions AS p WHERE p.relation = c.oid AND p.from_time <= at AND p.to_time > at) ORDER BY 1 LOOP
            -- Neighbours of another size leave less.
            from_time := greatest(at, (SELECT max(p.to_time) FROM otel.partitions AS p WHERE p.relation = ('otel.' || table_name)::regclass AND p.to_time <= at + ('1 ' || unit)::interval AND p.from_time <= at));
            to_time := least(at + ('1 ' || unit)::interval, (SELECT min(p.from_time) FROM otel.partitions AS p WHERE p.relation = ('otel.' || table_name)::regclass AND p.from_time > at));
            name := format('%s_%s', table_name, to_char(from_time, CASE unit WHEN 'day' THEN 'YYYYMMDD' ELSE 'YYYYMMDD"_"HH24' END));
            EXECUTE format('CREATE TABLE otel.%I (LIKE otel.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED INCLUDING STORAGE INCLUDING COMPRESSION) %s', name, table_name,
                CASE WHEN table_name IN ('span_pane', 'log_pane') THEN 'WITH (fillfactor = 50)' ELSE '' END);
            EXECUTE format('COMMENT ON TABLE otel.%I IS ''Part of otel.%s''', name, table_name);
            EXECUTE format('ALTER TABLE otel.%I ATTACH PARTITION otel.%I FOR VALUES FROM (%L) TO (%L)', table_name, name, from_time, to_time);
            -- The script of CREATE EXTENSION makes members by itself.
            IF EXISTS (SELECT FROM pg_extension WHERE extname = 'dbnet') AND NOT EXISTS (SELECT FROM pg_depend
                    WHERE classid = 'pg_class'::regclass AND objid = format('otel.%I', name)::regclass AND deptype = 'e') THEN
                EXECUTE format('ALTER TABLE otel.%I OWNER TO %I', name, (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = ('otel.' || table_name)::regclass));
                EXECUTE format('ALTER EXTENSION dbnet ADD TABLE otel.%I', name);
            END IF;
            made := made + 1;
        END LOOP;
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
    FOR old IN SELECT p.partition FROM otel.partitions AS p WHERE p.to_time <= at - current_setting('dbnet.telemetry_retention')::interval ORDER BY p.to_time, p.partition::text LOOP
        BEGIN
            EXECUTE format('ALTER EXTENSION dbnet DROP TABLE %s', old);
            EXECUTE format('DROP TABLE %s', old);
            removed := removed + 1;
        EXCEPTION WHEN lock_not_available THEN NULL; -- in use: a minute later
        END;
        EXIT WHEN removed = most;
    END LOOP;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION otel.remove_old_partitions(timestamptz, integer) IS
    'Drops the partitions that dbnet.telemetry_retention does not keep. Arguments: what time it is; how many at most, NULL = all. Result: how many it dropped; one that cannot be locked within lock_timeout stays for the next time. Called by the mirror worker every minute';

SELECT otel.ensure_partitions();
