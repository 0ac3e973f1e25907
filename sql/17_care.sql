-- Can it be trusted: dbnet.gaps, verify and digest.

-- Numbers of transactions are the server's: those that a restored dump brought along say nothing of who wrote a row here, even where they
-- are the same. The lines of DBNet's own tables are made with the extension, which a restore makes anew, and are not dumped.
CREATE FUNCTION dbnet.first_own_event() RETURNS bigint
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT dbnet.event_at(min(t.tracked_since)) FROM dbnet.tracked_relation AS t WHERE t.number < 100 $$;
COMMENT ON FUNCTION dbnet.first_own_event() IS 'Internal: where in this database''s record its own begins: what is before came with the dump from which it was restored';

-- What the table holds is read by the caller; what is on record of it comes from the extension.
CREATE FUNCTION dbnet.newest(number integer)
    RETURNS TABLE (hash bigint, key jsonb, event bigint, operation "char", row_transaction xid)
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'dbnet_newest';
COMMENT ON FUNCTION dbnet.newest(integer) IS 'Internal: the rows of dbnet.newest_versions(), by tracked_relation.number, for whoever may ask';
CREATE FUNCTION dbnet.newest_versions(relation regclass)
    RETURNS TABLE (hash bigint, key jsonb, event bigint, operation "char", row_transaction xid)
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.newest_versions(regclass) IS
    'Internal, for dbnet.gaps(): of each row on record its newest version; row_transaction: NULL also where that was another server''s, before a restore. Errors: 42704 not tracked, 42501 no right to read it';
CREATE FUNCTION dbnet.answer_newest_versions(caller oid, relation regclass)
    RETURNS TABLE (hash bigint, key jsonb, event bigint, operation "char", row_transaction xid)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT n.hash, n.key, n.event, n.operation, CASE WHEN n.event >= dbnet.first_own_event() THEN n.row_transaction END
    FROM dbnet.newest(dbnet.tracked_number(caller, answer_newest_versions.relation)) AS n
    $$;
COMMENT ON FUNCTION dbnet.answer_newest_versions(oid, regclass) IS 'Internal: answers dbnet.newest_versions()';

CREATE FUNCTION dbnet.first_recorded(relation regclass) RETURNS TABLE (event bigint, transaction xid)
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.first_recorded(regclass) IS
    'Internal, for dbnet.gaps(): the first DDL on record of a tracked table, as a rule the making of its trigger, by dbnet.track() or by a restore: what was written before was no change to be recorded. Errors: 42704 not tracked, 42501 no right to read it';
CREATE FUNCTION dbnet.answer_first_recorded(caller oid, relation regclass) RETURNS TABLE (event bigint, transaction xid)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT first.id, t.transaction_number::xid
    FROM dbnet.tracked_relation AS r,
         LATERAL (SELECT a.id, a.transaction FROM dbnet.activity AS a WHERE a.kind = 'D' AND a.relation = r.number AND a.id >= greatest(dbnet.first_own_event(), dbnet.event_at(r.tracked_since))
                  ORDER BY a.id LIMIT 1) AS first,
         LATERAL dbnet.activity_by_id(first.transaction) AS t
    WHERE r.number = dbnet.tracked_number(caller, answer_first_recorded.relation)
    $$;
COMMENT ON FUNCTION dbnet.answer_first_recorded(oid, regclass) IS 'Internal: answers dbnet.first_recorded()';

CREATE FUNCTION dbnet.known(number integer, hashes bigint[]) RETURNS TABLE (hash bigint, "values" jsonb)
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'dbnet_known_values';
COMMENT ON FUNCTION dbnet.known(integer, bigint[]) IS 'Internal: the rows of dbnet.known_values(), by tracked_relation.number, for whoever may ask';
CREATE FUNCTION dbnet.known_values(relation regclass, hashes bigint[]) RETURNS TABLE (hash bigint, "values" jsonb)
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.known_values(regclass, bigint[]) IS
    'Internal, for dbnet.gaps(): what the columns of rows hold by their versions on record, whose newest version is not a DELETE. Arguments: tracked table; dbnet.key_hash() of keys. Errors: 42704 not tracked, 42501 no right to read it';
CREATE FUNCTION dbnet.answer_known_values(caller oid, relation regclass, hashes bigint[]) RETURNS TABLE (hash bigint, "values" jsonb)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT k.* FROM dbnet.known(dbnet.tracked_number(caller, answer_known_values.relation), answer_known_values.hashes) AS k
    $$;
COMMENT ON FUNCTION dbnet.answer_known_values(oid, regclass, bigint[]) IS 'Internal: answers dbnet.known_values()';

CREATE FUNCTION dbnet.configuration_gaps() RETURNS TABLE (relation regclass, key text, gap text, since timestamptz, event bigint)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.configuration_gaps() IS 'Internal, for dbnet.gaps(): triggers that are missing or off, DDL that rewrote rows, tables that are tracked no more, breaks between versions, failures';
CREATE FUNCTION dbnet.answer_configuration_gaps(caller oid) RETURNS TABLE (relation regclass, key text, gap text, since timestamptz, event bigint)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT t.relation, NULL::text, 'its trigger is missing: changes are not recorded', NULL::timestamptz, NULL::bigint FROM dbnet.tracked_relation AS t
        WHERE t.enabled AND t.relation IS NOT NULL AND dbnet.may_read_history(caller, t.relation)
        AND NOT EXISTS (SELECT FROM pg_trigger AS g JOIN pg_proc AS p ON p.oid = g.tgfoid JOIN pg_namespace AS n ON n.oid = p.pronamespace
                        WHERE g.tgrelid = t.relation AND g.tgtype & 1 = 1 AND n.nspname = 'dbnet' AND p.proname IN ('track_row', 'capture')) -- FOR EACH ROW
    UNION ALL
    SELECT DISTINCT g.tgrelid::regclass, NULL::text, CASE g.tgenabled WHEN 'D' THEN 'its trigger is disabled: changes are not recorded' ELSE 'its trigger does not fire in every mode of session_replication_role' END, NULL::timestamptz, NULL::bigint
        FROM pg_trigger AS g JOIN pg_proc AS p ON p.oid = g.tgfoid JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE n.nspname = 'dbnet' AND p.proname IN ('track_row', 'capture') AND g.tgenabled <> 'A' AND dbnet.may_read_history(caller, g.tgrelid)
    UNION ALL
    SELECT t.relation, NULL, 'tracked no more', NULL, NULL FROM dbnet.tracked_relation AS t WHERE NOT t.enabled AND t.relation IS NOT NULL AND dbnet.may_read_history(caller, t.relation)
    UNION ALL
    SELECT t.relation, NULL, format('may have changed rows without a record: %s', dbnet.short_text(a.text, 160)), a.started_at, a.id
        FROM dbnet.activity AS a JOIN dbnet.tracked_relation AS t ON t.number = a.relation
        WHERE a.kind = 'D' AND dbnet.may_read_history(caller, t.relation)
        -- dbnet.alter_mirror() makes its triggers anew within a transaction.
        AND NOT (a.text ~ '\mTRIGGER dbnet_capture' AND EXISTS (SELECT FROM dbnet.activity_by_id(a.parent) AS p WHERE p.kind = 'S' AND p.text ~ '\mdbnet\.\w+\('))
        AND a.text ~* '(\mdisable\s+trigger\M|\malter\s+(column\s+)?\S+\s+(set\s+data\s+)?type\M|\mset\s+expression\M|\madd\s+(column\s+)?.*\mdefault\M|\mattach\s+partition\M|\mdetach\s+partition\M|\mdrop\s+(column|trigger)\M|\mrename\s+(column\s+)?\S+\s+to\M)'
    UNION ALL
    SELECT NULL, NULL, format('%s failures to record something since the server''s start, in all databases: see the log', dbnet.provenance_failures()), NULL, NULL WHERE dbnet.provenance_failures() > 0
    $$;
COMMENT ON FUNCTION dbnet.answer_configuration_gaps(oid) IS 'Internal: answers dbnet.configuration_gaps()';

-- Without JIT, which took more time than it saved: estimates of how many rows there are say nothing here.
CREATE FUNCTION dbnet.gaps(wanted regclass DEFAULT NULL) RETURNS TABLE (relation regclass, key text, gap text, since timestamptz, event bigint)
    LANGUAGE plpgsql STABLE SET jit = off SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    tracked record;
BEGIN
    IF gaps.wanted IS NOT NULL AND NOT EXISTS (SELECT FROM dbnet.tracked_relation AS t WHERE t.relation = gaps.wanted) THEN
        PERFORM FROM dbnet.newest_versions(gaps.wanted); -- says what is wrong with it
    END IF;
    RETURN QUERY SELECT * FROM dbnet.configuration_gaps() AS c WHERE gaps.wanted IS NULL OR c.relation = gaps.wanted;
    FOR tracked IN SELECT t.relation AS table_id, t.key_columns, t.tracked_since, t.redacted_columns FROM dbnet.tracked_relation AS t
                   WHERE t.enabled AND t.relation IS NOT NULL AND (t.relation = gaps.wanted OR gaps.wanted IS NULL AND t.number >= 100
                        AND has_table_privilege(t.relation, 'SELECT') AND NOT row_security_active(t.relation)) LOOP
        -- Of such a type a cast to json may be its owner's code: it runs only for who asks for this very table.
        IF wanted IS NULL AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = tracked.table_id AND attnum > 0 AND NOT attisdropped AND atttypid >= 16384) THEN
            RETURN QUERY SELECT tracked.table_id::regclass, NULL::text, format('rows not looked at, for a column has a type of its own: SELECT * FROM dbnet.gaps(%L)', tracked.table_id), NULL::timestamptz, NULL::bigint;
            CONTINUE;
        END IF;
        -- By content, so that an update that changed nothing is none; and by who wrote it where nothing is known of the content.
        RETURN QUERY EXECUTE format($query$
            WITH present AS MATERIALIZED (SELECT t.line, t.writer, dbnet.key_hash($2, t.line) AS hash FROM (SELECT %2$s AS line, t.xmin AS writer FROM %1$s AS t OFFSET 0) AS t),
                 seen AS MATERIALIZED (SELECT * FROM dbnet.newest_versions($1)),
                 known AS MATERIALIZED (
                    SELECT * FROM dbnet.known_values($1, ARRAY(SELECT s.hash FROM present AS p JOIN seen AS s USING (hash) WHERE s.operation NOT IN ('D', 'R') AND s.row_transaction IS DISTINCT FROM p.writer)))
            SELECT $1, dbnet.key_text(coalesce(s.key, (SELECT jsonb_object_agg(c, p.line -> c) FROM unnest($2::text[]) AS c)), $2),
                   CASE WHEN s.event IS NULL THEN 'written without a record, by transaction ' || p.writer::text
                        WHEN p.line IS NULL THEN 'deleted without a record'
                        WHEN s.operation IN ('D', 'R') THEN 'came back without a record, by transaction ' || p.writer::text
                        ELSE 'changed without a record, by transaction ' || p.writer::text || ': ' || (
                            SELECT string_agg(f.key, ', ' ORDER BY f.key) FROM jsonb_each(k.values) AS f WHERE dbnet.utc(p.line -> f.key, f.value) IS DISTINCT FROM f.value AND f.key <> ALL ($3::text[])) END,
                   dbnet.event_time(s.event), s.event
            FROM present AS p FULL JOIN seen AS s ON s.hash = p.hash LEFT JOIN known AS k ON k.hash = s.hash
            -- Rows from before the first record are no gap.
            WHERE CASE WHEN s.event IS NULL THEN age(p.writer) < age((SELECT first.row_transaction FROM (SELECT event, row_transaction FROM seen UNION ALL SELECT * FROM dbnet.first_recorded($1)) AS first
                                                                      WHERE first.row_transaction IS NOT NULL ORDER BY first.event LIMIT 1))
                       WHEN p.line IS NULL THEN s.operation NOT IN ('D', 'R')
                       WHEN s.operation IN ('D', 'R') THEN true
                       ELSE s.row_transaction IS DISTINCT FROM p.writer AND EXISTS (
                            SELECT FROM jsonb_each(k.values) AS f WHERE p.line ? f.key AND dbnet.utc(p.line -> f.key, f.value) IS DISTINCT FROM f.value AND f.key <> ALL ($3::text[])) END
            $query$, tracked.table_id, dbnet.row_document(tracked.table_id)) USING tracked.table_id, tracked.key_columns, tracked.redacted_columns;
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbnet.gaps(regclass) IS
    'What escaped the record. Argument: one tracked table that the caller may SELECT, NULL = all of them, but DBNet''s own. Rows: table; row, NULL = the table; what: a row that is not as its newest record says, one that was written, deleted or brought back without a record (with the trigger disabled, by a rewriting ALTER TABLE, with dbnet.provenance off), a trigger that is missing, disabled or not ALWAYS, DDL that may have changed rows, tables that are tracked no more, failures to record; in a restored database rows are compared by what they hold, and one of which nothing is on record is told if it was written since the restore; since when; event that it is compared with. Errors: 42501 no right to read it, 42704 not tracked';

-- A time as text may stand in the session's zone; on record it stands in UTC.
CREATE FUNCTION dbnet.utc(value jsonb, known jsonb) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE WHEN value IS DISTINCT FROM known AND jsonb_typeof(value) = 'string' AND jsonb_typeof(known) = 'string'
                     AND (value #>> '{}') ~ '^\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?[+-]\d\d:\d\d$' AND (known #>> '{}') ~ '^\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00$'
                     AND (value #>> '{}')::timestamptz = (known #>> '{}')::timestamptz THEN known ELSE value END
    $$;
COMMENT ON FUNCTION dbnet.utc(jsonb, jsonb) IS 'Internal: a value as it stands on record, where it is the same time in another zone';

-- The hash chain --------------------------------------------------------------------------------------------------------------

CREATE FUNCTION dbnet.verify(since timestamptz DEFAULT '-infinity', until timestamptz DEFAULT 'infinity')
    RETURNS TABLE (block bigint, transaction bigint, event bigint, finding text)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.verify(timestamptz, timestamptz) IS
    'Checks the hash chain over what is on record. Arguments: of which time. Rows, none if all is well: block; transaction; event, where it is known; what: a record was changed, removed or added, a transaction or a block is not as it was sealed or is missing, at the old end of the record also, but for what dbnet.provenance_retention has removed (dbnet.provenance_block.removed_before). Transactions of the last half minute are not sealed yet: they are checked by their own roots. In a transaction whose snapshot is older than a removal by retention (REPEATABLE READ, a dump) what was removed since is reported as removed: ask again in a new transaction. What an adversary could not have rewritten is proved with a digest that was kept elsewhere: dbnet.digest()';
CREATE FUNCTION dbnet.altered_transactions(start bigint, first bigint, last bigint, oldest bigint) RETURNS TABLE (transaction bigint, event bigint, finding text)
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'dbnet_altered_transactions';
COMMENT ON FUNCTION dbnet.altered_transactions(bigint, bigint, bigint, bigint) IS
    'Internal, for dbnet.verify(): what is wrong with transactions of which the root is not what their events give, and events that belong to no transaction (transaction: the one that they name, of a version its activity). Arguments: the transaction from which on to read; events from and to; the first event that retention has left: what belongs to earlier ones may be there still';
CREATE FUNCTION dbnet.answer_verify(caller oid, since timestamptz, until timestamptz)
    RETURNS TABLE (block bigint, transaction bigint, event bigint, finding text)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    first bigint := CASE WHEN since = '-infinity' THEN 0 ELSE dbnet.event_at(since) END;
    last bigint := CASE WHEN until = 'infinity' THEN 9223372036854775807 ELSE dbnet.last_event_at(until) END;
    kept record;           -- what retention removed last, by the chain itself
    oldest bigint;         -- event that it has left
    sealed record;
BEGIN
    IF NOT pg_has_role(caller, 'dbnet_operator', 'USAGE') THEN
        RAISE EXCEPTION 'permission denied for function dbnet.verify' USING ERRCODE = 'insufficient_privilege', HINT = 'It is for members of dbnet_operator.';
    END IF;
    SELECT b.removed_before, b.last_removed INTO kept FROM dbnet.provenance_block AS b WHERE b.removed_before IS NOT NULL ORDER BY b.number DESC LIMIT 1;
    oldest := coalesce(kept.removed_before, 0);
    RETURN QUERY
        SELECT NULL::bigint, f.transaction, f.event, f.finding
        FROM dbnet.altered_transactions(coalesce((SELECT a.id FROM dbnet.activity AS a WHERE a.root IS NOT NULL AND a.id <= first ORDER BY a.id DESC LIMIT 1), first), first, last, oldest) AS f;
    IF NOT EXISTS (SELECT FROM dbnet.provenance_block AS b WHERE b.previous IS NOT DISTINCT FROM kept.last_removed) THEN
        RETURN QUERY SELECT min(b.number), NULL::bigint, NULL::bigint, 'blocks before it were removed, and not by retention' FROM dbnet.provenance_block AS b HAVING count(*) > 0;
    END IF;
    FOR sealed IN SELECT b.number, b.previous, lag(b.root) OVER (ORDER BY b.number) AS before FROM dbnet.provenance_block AS b ORDER BY b.number LOOP
        IF sealed.before IS NOT NULL AND sealed.previous IS DISTINCT FROM sealed.before THEN
            RETURN QUERY SELECT sealed.number, NULL::bigint, NULL::bigint, 'the block does not follow the one before: one was changed, removed or put elsewhere';
        END IF;
    END LOOP;
    -- What retention has emptied cannot be checked any more.
    FOR sealed IN
        WITH wanted AS (SELECT b.* FROM dbnet.provenance_block AS b
                        WHERE b.transactions = '{}' OR b.transactions[cardinality(b.transactions)] >= first AND b.transactions[1] BETWEEN oldest AND last),
        recorded AS MATERIALIZED (SELECT a.id, a.root FROM dbnet.activity AS a WHERE a.root IS NOT NULL), -- all at once, not one by one
        roots AS (SELECT w.number, t.place, a.root FROM wanted AS w, unnest(w.transactions) WITH ORDINALITY AS t(id, place), recorded AS a WHERE a.id = t.id),
        computed AS (SELECT r.number, string_agg(r.root, '' ORDER BY r.place) AS roots FROM roots AS r GROUP BY r.number)
        SELECT w.number, w.transactions FROM wanted AS w LEFT JOIN computed AS c ON c.number = w.number
        WHERE w.root IS DISTINCT FROM dbnet.block_root(w.previous, c.roots, w.removed_before, w.last_removed) ORDER BY w.number LOOP
        RETURN QUERY SELECT sealed.number, t.id, NULL::bigint, 'the transaction was removed' FROM unnest(sealed.transactions) AS t(id)
            WHERE NOT EXISTS (SELECT FROM dbnet.activity_by_id(t.id) AS a WHERE a.root IS NOT NULL);
        IF NOT FOUND THEN
            RETURN QUERY SELECT sealed.number, NULL::bigint, NULL::bigint, 'the block is not as it was sealed';
        END IF;
    END LOOP;
    RETURN QUERY
    WITH added AS MATERIALIZED (
        SELECT a.id FROM dbnet.activity AS a WHERE a.root IS NOT NULL AND a.id BETWEEN first AND last
        AND NOT EXISTS (SELECT FROM dbnet.provenance_block AS b, unnest(b.transactions) AS t(id) WHERE t.id = a.id))
    SELECT b.number, a.id, NULL::bigint, 'the transaction was added after the block was sealed' FROM added AS a JOIN dbnet.provenance_block AS b
        ON a.id > b.transactions[1] AND a.id < b.transactions[cardinality(b.transactions)];
END
$$;
COMMENT ON FUNCTION dbnet.answer_verify(oid, timestamptz, timestamptz) IS 'Internal: answers dbnet.verify()';

CREATE FUNCTION dbnet.digest() RETURNS TABLE (block bigint, root text, transactions bigint, sealed_at timestamptz)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.digest() IS
    'The newest block of the hash chain. Keep it elsewhere: as long as dbnet.verify() finds nothing and the block still has this root, nothing that was recorded before has been changed. Row: number of the block; its root in hexadecimal; how many transactions the chain covers; when it was sealed. No row: nothing is sealed yet';
CREATE FUNCTION dbnet.answer_digest(caller oid) RETURNS TABLE (block bigint, root text, transactions bigint, sealed_at timestamptz)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT b.number, encode(b.root, 'hex'), (SELECT sum(cardinality(all_of.transactions)) FROM dbnet.provenance_block AS all_of)::bigint, b.sealed_at
          FROM dbnet.provenance_block AS b ORDER BY b.number DESC LIMIT 1 $$;
COMMENT ON FUNCTION dbnet.answer_digest(oid) IS 'Internal: answers dbnet.digest()';
