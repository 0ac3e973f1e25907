-- What is on record, in a form that is the same in every run: chain.show() prints the events since it was called last,
-- numbered transaction.event; no times, no process, no transaction ids.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS chain CASCADE;
CREATE SCHEMA chain;
RESET client_min_messages;
GRANT USAGE ON SCHEMA chain TO public;
CREATE TABLE chain.seen (event bigint);
INSERT INTO chain.seen SELECT coalesce(max(id), 0) FROM (SELECT id FROM dbnet.activity UNION ALL SELECT id FROM dbnet.entity_version) AS event;

CREATE PROCEDURE chain.skip() LANGUAGE sql AS $$ UPDATE chain.seen SET event = greatest((SELECT max(id) FROM dbnet.activity), (SELECT max(id) FROM dbnet.entity_version)) $$;

CREATE PROCEDURE chain.track(relation regclass, key_columns name[], activations text DEFAULT 'effective', redacted name[] DEFAULT '{}')
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO dbnet.tracked_relation (relation, schema_name, table_name, key_columns, activations, redacted_columns)
        SELECT oid, relnamespace::regnamespace, relname, track.key_columns, track.activations, redacted FROM pg_class WHERE oid = track.relation;
    EXECUTE format('CREATE TRIGGER dbnet_track AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION dbnet.track_row()', relation);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER dbnet_track', relation);
    COMMIT;
    CALL chain.skip();
END
$$;

-- The caller's statements are what is printed, so it writes nothing that is tracked.
CREATE FUNCTION chain.show() RETURNS TABLE (event text, within text, because text, what text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    first bigint := (SELECT event FROM chain.seen);
BEGIN
    RETURN QUERY
    WITH txs AS (
        SELECT a.transaction AS id, row_number() OVER (ORDER BY a.transaction) AS number
        FROM dbnet.activity AS a WHERE a.id > first GROUP BY a.transaction),
    relations AS (SELECT number, table_name::text AS name FROM dbnet.tracked_relation),
    events AS (
        SELECT a.id, a.parent AS within, a.started_by AS because,
               a.kind::text || ' ' || a.name || coalesce(' on ' || r.name, '')
               || CASE a.status WHEN 'd' THEN '' WHEN 'r' THEN ', running' WHEN 'f' THEN ', failed' WHEN 'p' THEN ', partly rolled back' ELSE ', rolled back' END
               || CASE WHEN a.role = session_user THEN '' ELSE ', role ' || a.role END
               || coalesce(', line ' || a.line, '') || coalesce(', rows ' || a.rows, '')
               || coalesce(', arguments ' || a.arguments::text, '') || coalesce(', ' || a.detail::text, '')
               || coalesce(': ' || regexp_replace(a.text, '\s+', ' ', 'g'), '') AS what
        FROM dbnet.activity AS a LEFT JOIN relations AS r ON r.number = a.relation WHERE a.id > first
        UNION ALL
        SELECT v.id, v.activity, v.pair,
               v.operation::text || ' ' || coalesce(r.name, v.relation::text) || ' ' || v.key::text || coalesce(', old ' || v.old::text, '') || coalesce(', new ' || v.new::text, '')
        FROM dbnet.entity_version AS v LEFT JOIN relations AS r ON r.number = v.relation WHERE v.id > first
        UNION ALL
        SELECT u.id, u.activity, u.version, 'used ' || r.name || coalesce(' ' || u.key::text, '')
        FROM dbnet.used_version AS u LEFT JOIN relations AS r ON r.number = u.relation WHERE u.id > first)
    SELECT chain.short(e.id, first), chain.short(e.within, first), chain.short(e.because, first),
        regexp_replace(regexp_replace(e.what, '"number": \d+', '"number": N', 'g'), '"relation": "\d+"|pg_temp_\d+', 'GONE', 'g') FROM events AS e ORDER BY e.id;
    CALL chain.skip();
END
$$;

CREATE FUNCTION chain.short(event bigint, since bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN short.event <= since THEN 'before'
                ELSE count(DISTINCT a.transaction) || '.' || short.event - max(a.transaction) END
    FROM dbnet.activity AS a WHERE a.id > since AND a.transaction <= short.event HAVING short.event IS NOT NULL
$$;
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
