-- Why something is as it is, and what followed: dbnet.why and dbnet.impact.

-- Words ------------------------------------------------------------------------------------------------------------------

-- Signs that not every encoding of a database has. In PL/pgSQL, and no expression of CASE, which would be tried beforehand.
CREATE FUNCTION dbnet.arrow() RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN IF getdatabaseencoding() = 'UTF8' THEN RETURN chr(8594); END IF; RETURN '->'; END $$;
COMMENT ON FUNCTION dbnet.arrow() IS 'An arrow to the right; in a database that is not UTF8 "->"';

CREATE FUNCTION dbnet.ellipsis() RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN IF getdatabaseencoding() = 'UTF8' THEN RETURN chr(8230); END IF; RETURN '...'; END $$;
COMMENT ON FUNCTION dbnet.ellipsis() IS 'What stands for words left out: an ellipsis; in a database that is not UTF8 three dots';

CREATE FUNCTION dbnet.short_text(value text, most integer) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT CASE WHEN length(line) > most THEN rtrim(left(line, most - length(dbnet.ellipsis()))) || dbnet.ellipsis() ELSE line END
          FROM regexp_replace(btrim(value, E' \t\r\n;'), '\s+', ' ', 'g') AS line $$;
COMMENT ON FUNCTION dbnet.short_text(text, integer) IS 'A text on one line, and no longer than so many characters';

CREATE FUNCTION dbnet.short_value(value jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT CASE WHEN value IS NULL OR value = 'null' THEN 'NULL' ELSE dbnet.short_text(value::text, 60) END $$;
COMMENT ON FUNCTION dbnet.short_value(jsonb) IS 'A value in a few characters';

-- replicas 2 -> 5, image "nginx:1.28" -> "nginx:1.29"
CREATE FUNCTION dbnet.change_text(operation "char", key jsonb, old jsonb, new jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN (SELECT coalesce(dbnet.short_text(CASE operation
        WHEN 'U' THEN (SELECT string_agg(format('%s %s %s %s', f.key, dbnet.short_value(old -> f.key), dbnet.arrow(), dbnet.short_value(f.value)), ', ' ORDER BY f.key) FROM jsonb_each(new) AS f)
        WHEN 'I' THEN (SELECT string_agg(format('%s %s', f.key, dbnet.short_value(f.value)), ', ' ORDER BY f.key) FROM jsonb_each(new) AS f WHERE NOT change_text.key ? f.key)
        WHEN 'R' THEN 'goes on under another key' END, 300), ''));
END
$$;
COMMENT ON FUNCTION dbnet.change_text("char", jsonb, jsonb, jsonb) IS 'What a version of a row changed, on one line';

CREATE FUNCTION dbnet.arguments_text(arguments jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN (SELECT coalesce(dbnet.short_text((SELECT string_agg(format('%s => %s', f.key, dbnet.short_value(f.value)), ', ' ORDER BY f.key) FROM jsonb_each(arguments) AS f), 200), ''));
END
$$;
COMMENT ON FUNCTION dbnet.arguments_text(jsonb) IS 'Arguments of a call, on one line';

-- drain net.nodes n1, timeout 60
CREATE FUNCTION dbnet.request_text(request jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN concat(request ->> 'operation', ' ', request ->> 'relation', ' ', nullif(request ->> 'namespace', '') || '/', request ->> 'name',
                  ', ' || nullif(dbnet.change_text('I', '{}', NULL, request -> 'arguments'), ''));
END
$$;
COMMENT ON FUNCTION dbnet.request_text(jsonb) IS 'What a row of dbnet.operation asks for, on one line';

CREATE FUNCTION dbnet.table_text(number integer) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN (SELECT format('%I.%I', t.schema_name, t.table_name) FROM dbnet.tracked_relation AS t WHERE t.number = table_text.number);
END
$$;
COMMENT ON FUNCTION dbnet.table_text(integer) IS 'schema.table of a tracked_relation.number';

-- Who may not read a table that the transaction has changed sees of its statements and calls that there were some.
CREATE FUNCTION dbnet.unreadable_tables(caller oid) RETURNS integer[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN ARRAY(SELECT t.number FROM dbnet.tracked_relation AS t WHERE NOT dbnet.may_read_history(caller, t.relation)
                 UNION ALL SELECT 0 WHERE NOT pg_has_role(caller, 'dbnet_operator', 'USAGE'));
END
$$;
COMMENT ON FUNCTION dbnet.unreadable_tables(oid) IS 'Internal: numbers of the tables whose history a role may not read; 0: statements that configure DBNet and change no table, which are for dbnet_operator';

CREATE FUNCTION dbnet.hides_text(unreadable integer[], transaction bigint, events integer) RETURNS boolean
    LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
BEGIN
    IF cardinality(unreadable) = 0 THEN
        RETURN false;
    END IF;
    -- A large transaction is on record in parts.
    RETURN EXISTS (
        WITH part AS (SELECT transaction AS id, events AS events
                      UNION ALL SELECT a.id, a.events FROM dbnet.activity AS a WHERE a.cause = transaction AND a.name = 'continued')
        SELECT FROM part AS p JOIN dbnet.entity_version AS v ON v.id >= p.id AND v.id < p.id + p.events WHERE v.relation = ANY (unreadable)
        UNION ALL
        SELECT FROM part AS p JOIN dbnet.activity AS a ON a.id >= p.id AND a.id < p.id + p.events WHERE a.relation = ANY (unreadable)
            OR a.kind = 'D' AND a.relation IS NULL AND 0 = ANY (unreadable)
            OR a.status IN ('f', 'b', 'p') -- of what was rolled back no version tells
            OR EXISTS (SELECT FROM dbnet.used_version AS u WHERE u.activity = a.id AND u.relation = ANY (unreadable)));
END
$$;
COMMENT ON FUNCTION dbnet.hides_text(integer[], bigint, integer) IS 'Internal: whether statements and arguments of a transaction are kept from a role. Arguments: dbnet.unreadable_tables(); first event and number of events of the transaction';

CREATE FUNCTION dbnet.who_text(transaction dbnet.activity, session dbnet.session, activity dbnet.activity DEFAULT NULL) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    outer_role text := coalesce(activity.detail ->> 'outer_role', transaction.transaction_role, transaction.role);
    -- DBNet's processes are superusers that run users' code as its owner.
    session_user_name text := CASE WHEN session.process LIKE 'dbnet %' AND session.process <> 'dbnet api session' THEN outer_role
                                   ELSE coalesce(activity.detail ->> 'session_user', session.session_user_name) END;
BEGIN
    RETURN (SELECT concat_ws(', ',
        concat(coalesce(session_user_name, '?'), CASE WHEN outer_role <> session_user_name THEN ' as ' || outer_role END),
        CASE WHEN session.process NOT IN ('client backend', 'dbnet api session') THEN session.process
             WHEN session.application_name <> '' THEN session.application_name END,
        CASE WHEN session.client_address IS NOT NULL THEN 'from ' || host(session.client_address)
             WHEN session.process = 'client backend' THEN 'from this machine' END,
        'transaction ' || transaction.transaction_number::text,
        CASE WHEN transaction.prepared_as IS NOT NULL THEN format('prepared as %L', transaction.prepared_as) END,
        CASE WHEN transaction.origin IS NOT NULL THEN format('replicated from %L', transaction.origin) END,
        CASE WHEN transaction.reason IS NOT NULL THEN format('reason: %s', dbnet.short_text(transaction.reason, 120)) END,
        CASE WHEN transaction.traceparent IS NOT NULL THEN 'traceparent ' || transaction.traceparent END));
END
$$;
COMMENT ON FUNCTION dbnet.who_text(dbnet.activity, dbnet.session, dbnet.activity) IS 'Who made a transaction, from where, on one line. Arguments: its first activity; its session; the activity that is asked about, which SET ROLE may have made another one''s, NULL = the first';

-- One event as a line -------------------------------------------------------------------------------------------------------

CREATE FUNCTION dbnet.describe_version(caller oid, version dbnet.entity_version, OUT kind text, OUT what text, OUT detail jsonb)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    tracked dbnet.tracked_relation;
    operation text := dbnet.operation_word(version.operation);
BEGIN
    SELECT * INTO tracked FROM dbnet.tracked_relation AS t WHERE t.number = version.relation;
    kind := 'row';
    what := format('%s %I.%I', operation, tracked.schema_name, tracked.table_name);
    IF NOT dbnet.may_read_history(caller, tracked.relation) THEN
        what := what || ' (you may not read it)';
        RETURN;
    END IF;
    what := concat(what, CASE WHEN version.operation <> 'T' THEN ' ' || dbnet.key_text(version.key, tracked.key_columns) END,
                   ': ' || CASE WHEN tracked.relation = 'dbnet.operation'::regclass AND version.operation = 'I' THEN dbnet.request_text(version.new)
                                ELSE nullif(dbnet.change_text(version.operation, version.key, version.old, version.new), '') END);
    detail := jsonb_strip_nulls(jsonb_build_object('relation', format('%I.%I', tracked.schema_name, tracked.table_name), 'key', version.key, 'old', version.old, 'new', version.new));
END
$$;
COMMENT ON FUNCTION dbnet.describe_version(oid, dbnet.entity_version) IS 'Internal: a version as a step of dbnet.why()';

CREATE FUNCTION dbnet.describe_activity(activity dbnet.activity, hidden boolean, OUT kind text, OUT what text, OUT detail jsonb)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    kind := CASE activity.kind WHEN 'C' THEN 'call' WHEN 'G' THEN 'trigger' WHEN 'R' THEN 'report' WHEN 'D' THEN 'ddl' ELSE 'statement' END;
    what := concat(CASE activity.kind
           WHEN 'C' THEN regexp_replace(activity.name, '\(.*', '') || '(' || CASE WHEN hidden THEN dbnet.ellipsis() ELSE dbnet.arguments_text(activity.arguments) END || ')'
           WHEN 'G' THEN format('%s on %s, %s %s', activity.name, coalesce(dbnet.table_text(activity.relation), activity.detail ->> 'table'),
                                activity.detail ->> 'when', activity.detail ->> 'event')
                         || CASE WHEN activity.detail ? 'suppressed' THEN ', suppressed it' WHEN activity.detail ? 'changed' THEN ', rewrote it' ELSE '' END
           WHEN 'R' THEN 'device report on ' || dbnet.table_text(activity.relation)
           ELSE CASE WHEN activity.detail ? 'foreign_key' THEN format('foreign key %s: ', activity.detail ->> 'foreign_key') ELSE '' END
                || CASE WHEN hidden OR activity.text IS NULL THEN activity.name ELSE dbnet.short_text(regexp_replace(regexp_replace(activity.text, '^\s*/\*.*?\*/\s*', ''), '\s*/\*[^*]*\*/[\s;]*$', ''), 160) END END,
           CASE WHEN activity.line IS NOT NULL THEN format(' (line %s)', activity.line) END,
           CASE activity.status WHEN 'f' THEN ', failed' WHEN 'b' THEN ', rolled back' WHEN 'p' THEN ', partly rolled back' END);
    detail := CASE WHEN hidden THEN NULL ELSE jsonb_strip_nulls(jsonb_build_object('name', activity.name, 'table', dbnet.table_text(activity.relation), 'line', activity.line, 'text', activity.text, 'arguments', activity.arguments,
         'detail', activity.detail, 'role', activity.role, 'rows', activity.rows, 'microseconds', activity.duration, 'code', activity.code)) END;
END
$$;
COMMENT ON FUNCTION dbnet.describe_activity(dbnet.activity, boolean) IS 'Internal: an activity as a step of dbnet.why()';

CREATE FUNCTION dbnet.describe_call(caller oid, call dbnet.actuation, OUT kind text, OUT what text, OUT detail jsonb)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    mirror dbnet.mirrored_relation;
BEGIN
    SELECT * INTO mirror FROM dbnet.mirrored_relation AS m WHERE m.relation = call.relation;
    kind := 'device';
    what := CASE WHEN call.operation = 'evict' THEN 'evict Pod' WHEN call.operation = 'delete_pod' THEN 'delete Pod'
                 ELSE concat(call.operation, ' ', coalesce(mirror.kind, call.relation::text)) END;
    IF NOT dbnet.may_read_history(caller, call.relation) THEN
        what := what || ' (you may not read it)';
        RETURN;
    END IF;
    what := concat(what, ' ', CASE WHEN call.namespace <> '' THEN call.namespace || '/' END, call.name,
                   ': ' || dbnet.short_text(array_to_string(call.paths, ', '), 120),
                   ' ' || dbnet.arrow() || ' ', coalesce(call.http_status::text, 'no answer'),
                   CASE WHEN call.http_status NOT BETWEEN 200 AND 299 THEN ' ' || dbnet.short_text(coalesce(call.message, call.reason), 160) END,
                   CASE WHEN call.attempt > 1 THEN format(', attempt %s', call.attempt) END, CASE WHEN call.forced THEN ', by force' END, ', as ' || call.acts_as,
                   format(', %s ms', round(call.latency_ms::numeric, 1)));
    detail := jsonb_strip_nulls(jsonb_build_object('relation', call.relation::text, 'namespace', nullif(call.namespace, ''), 'name', call.name, 'operation', call.operation,
        'paths', call.paths, 'http_status', call.http_status, 'message', call.message, 'attempt', call.attempt, 'server', mirror.server, 'acts_as', call.acts_as));
END
$$;
COMMENT ON FUNCTION dbnet.describe_call(oid, dbnet.actuation) IS 'Internal: a device call as a step of dbnet.why()';

-- A statement on what is DBNet's, within another one that has a plan and without a call of a user's between them: DBNet's
-- functions have no frames. DO, EXECUTE and other statements without a plan run what their user wrote; so does dbnet.execute().
CREATE FUNCTION dbnet.is_inner(activity dbnet.activity, outer_activity dbnet.activity) RETURNS boolean
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT coalesce(activity.kind = 'S' AND outer_activity.kind = 'S' AND outer_activity.name IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE', 'MERGE')
                    AND NOT coalesce(activity.detail ? 'foreign_key', false) AND coalesce(activity.text ~ '\mdbnet\.', true)
                    AND NOT coalesce(outer_activity.text ~ '\mdbnet\.execute\(', false), false)
    $$;
COMMENT ON FUNCTION dbnet.is_inner(dbnet.activity, dbnet.activity) IS
    'Internal: whether a statement is how a function of DBNet does what it was asked for, which is nothing that anybody has done. Arguments: the statement; what it ran in, NULL = nothing';

-- The walk back ----------------------------------------------------------------------------------------------------------------

CREATE FUNCTION dbnet.why_steps(event bigint, most integer DEFAULT 200)
    RETURNS TABLE (step integer, depth integer, at timestamptz, event bigint, kind text, what text, detail jsonb)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.why_steps(bigint, integer) IS
    'What led to an event, newest first, as rows; dbnet.why() shows the same as text. Arguments: event; steps at most. Rows: step; depth: 0 the event itself, one more for each change of a row before it; when it was committed; event; kind device | row | statement | call | trigger | report | ddl | who | read | policy (a decision) | trace (that it names); what, on one line; the same for programs. Steps on tables that the role may not read are there without values. Errors: 42704 there is no such event, 22004 it is NULL';

CREATE FUNCTION dbnet.answer_why_steps(caller oid, start bigint, most integer)
    RETURNS TABLE (step integer, depth integer, at timestamptz, event bigint, kind text, what text, detail jsonb)
    LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    waiting bigint[] := ARRAY[start]; -- events, newest cause first
    depths integer[] := ARRAY[0];
    seen bigint[] := '{}';
    told text[] := '{}'; -- who made which transaction
    version dbnet.entity_version;
    activity dbnet.activity;
    within dbnet.activity[];
    call dbnet.actuation;
    transaction dbnet.activity;
    session dbnet.session;
    unreadable integer[] := dbnet.unreadable_tables(caller);
    hidden boolean;
    next bigint;
    decision record; -- a step of dbnet.decision_steps()
BEGIN
    IF start IS NULL THEN
        RAISE EXCEPTION 'the event is NULL' USING ERRCODE = 'null_value_not_allowed', HINT = 'The query that was to find the event returned nothing.';
    END IF;
    step := 0;
    WHILE cardinality(waiting) > 0 AND step < most LOOP
        event := waiting[1];
        depth := depths[1];
        waiting := waiting[2:];
        depths := depths[2:];
        CONTINUE WHEN event IS NULL OR event = ANY (seen);
        seen := seen || event;
        at := dbnet.event_time(event);

        SELECT * INTO version FROM dbnet.version_by_id(event);
        IF FOUND THEN
            step := step + 1;
            SELECT d.kind, d.what, d.detail INTO kind, what, detail FROM dbnet.describe_version(caller, version) AS d;
            RETURN NEXT;
            IF version.operation = 'R' THEN
                waiting := version.pair || waiting;
                depths := depth || depths;
            END IF;
            IF version.cause IS NOT NULL THEN
                waiting := version.cause || waiting;
                depths := depth + 1 || depths;
            END IF;
            waiting := version.activity || waiting;
            depths := depth || depths;
            CONTINUE;
        END IF;

        SELECT * INTO activity FROM dbnet.activity_by_id(event);
        IF FOUND THEN
            SELECT * INTO transaction FROM dbnet.activity_by_id(activity.transaction);
            hidden := dbnet.hides_text(unreadable, transaction.id, transaction.events);
            -- What ran within what, inside out; then what fired the outermost trigger, or who asked.
            within := ARRAY[activity];
            WHILE activity.started_by IS NULL AND activity.parent IS NOT NULL AND step + cardinality(within) < most LOOP
                SELECT * INTO activity FROM dbnet.activity_by_id(activity.parent);
                EXIT WHEN NOT FOUND OR activity.id = ANY (seen);
                seen := seen || activity.id;
                within := within || activity;
            END LOOP;
            activity := within[cardinality(within)];
            FOR place IN 1 .. cardinality(within) LOOP
                IF NOT dbnet.is_inner(within[place], within[place + 1]) THEN
                    step := step + 1;
                    SELECT d.kind, d.what, d.detail INTO kind, what, detail FROM dbnet.describe_activity(within[place], hidden) AS d;
                    event := within[place].id;
                    RETURN NEXT;
                END IF;
                FOR next IN SELECT coalesce(u.version, 0) FROM dbnet.used_version AS u WHERE u.activity = within[place].id LOOP
                    waiting := waiting || next;
                    depths := depths || depth + 1;
                END LOOP;
            END LOOP;
            IF activity.started_by IS NOT NULL THEN
                waiting := activity.started_by || waiting;
                depths := depth + 1 || depths;
            ELSIF step < most AND NOT concat_ws(' ', transaction.id, activity.detail ->> 'session_user', activity.detail ->> 'outer_role') = ANY (told) THEN
                told := told || concat_ws(' ', transaction.id, activity.detail ->> 'session_user', activity.detail ->> 'outer_role');
                SELECT * INTO session FROM dbnet.session AS s WHERE s.id = transaction.session;
                step := step + 1;
                event := transaction.id;
                kind := 'who';
                what := dbnet.who_text(transaction, session, activity);
                detail := jsonb_strip_nulls(jsonb_build_object('session_user', coalesce(activity.detail ->> 'session_user', session.session_user_name),
                    'role', coalesce(activity.detail ->> 'outer_role', transaction.transaction_role, transaction.role),
                    'application', session.application_name, 'process', session.process, 'client_address', session.client_address, 'client_port', session.client_port,
                    'process_id', session.process_id, 'transaction', transaction.transaction_number::text, 'reason', transaction.reason, 'traceparent', transaction.traceparent,
                    'origin', transaction.origin, 'prepared_as', transaction.prepared_as, 'started_at', coalesce(transaction.transaction_started_at, transaction.started_at)));
                RETURN NEXT;
                IF transaction.cause IS NOT NULL THEN
                    waiting := transaction.cause || waiting;
                    depths := depth + 1 || depths;
                END IF;
            END IF;
            CONTINUE;
        END IF;

        SELECT * INTO call FROM dbnet.actuation AS a WHERE a.id = event AND ((a.id >> 49) & 7) = ((event >> 49) & 7);
        IF FOUND THEN
            step := step + 1;
            SELECT d.kind, d.what, d.detail INTO kind, what, detail FROM dbnet.describe_call(caller, call) AS d;
            RETURN NEXT;
            IF call.cause IS NOT NULL THEN
                waiting := call.cause || waiting;
                depths := depth + 1 || depths;
            END IF;
            CONTINUE;
        END IF;

        next := event;
        hidden := true; -- until it is a decision
        FOR decision IN SELECT * FROM dbnet.decision_steps(caller, next) LOOP
            step := step + 1;
            event := CASE WHEN decision.deeper = 0 THEN next END;
            depth := depth + decision.deeper;
            at := decision.at;
            kind := decision.kind;
            what := decision.what;
            detail := decision.detail;
            RETURN NEXT;
            depth := depth - decision.deeper;
            hidden := false;
        END LOOP;
        IF NOT hidden THEN
            waiting := dbnet.policy_version_event(next) || waiting;
            depths := depth + 1 || depths;
        END IF;
    END LOOP;
    IF step = 0 THEN
        RAISE EXCEPTION 'there is no event %', start USING ERRCODE = 'undefined_object',
            HINT = 'dbnet.history() and dbnet.timeline() show events; older ones are gone when dbnet.provenance_retention is over.';
    END IF;
END
$$;
COMMENT ON FUNCTION dbnet.answer_why_steps(oid, bigint, integer) IS 'Internal: answers dbnet.why_steps()';

-- The newest of what is on record of a row: its versions, and the calls for its object.
CREATE FUNCTION dbnet.newest_event(relation regclass, key text, at timestamptz) RETURNS TABLE (event bigint, committed_at timestamptz)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.newest_event(regclass, text, timestamptz) IS
    'The newest event of a row: a change, or a device call for its object. Arguments: tracked table; key; up to when, NULL = now. Errors: 42704 not tracked, 42501 no right to read it, 22023 no key';
CREATE FUNCTION dbnet.answer_newest_event(caller oid, relation regclass, key text, at timestamptz) RETURNS TABLE (event bigint, committed_at timestamptz)
    LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    tracked integer := dbnet.tracked_number(caller, relation);
    key_document jsonb := dbnet.key_of(relation, key);
    columns name[] := (SELECT t.key_columns FROM dbnet.tracked_relation AS t WHERE t.number = tracked);
    hash bigint := dbnet.key_hash(columns, key_document);
    before bigint := coalesce(dbnet.last_event_at(at), 9223372036854775807);
    object_name text := key_document ->> columns[cardinality(columns)]::text;
    object_namespace text := CASE WHEN cardinality(columns) = 2 THEN key_document ->> columns[1]::text END;
BEGIN
    event := greatest(
        (SELECT max(v.id) FROM dbnet.entity_version AS v WHERE v.relation = tracked AND v.key_hash = hash AND v.id <= before),
        (SELECT max(a.id) FROM dbnet.actuation AS a WHERE a.relation = answer_newest_event.relation AND a.name = object_name
         AND (object_namespace IS NULL OR a.namespace = object_namespace) AND a.id <= before));
    IF event IS NOT NULL THEN
        committed_at := dbnet.event_time(event);
        RETURN NEXT;
    END IF;
END
$$;
COMMENT ON FUNCTION dbnet.answer_newest_event(oid, regclass, text, timestamptz) IS 'Internal: answers dbnet.newest_event()';

CREATE FUNCTION dbnet.step_line(depth integer, at timestamptz, kind text, what text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT format('%s  %s%s  %s', to_char(at, 'YYYY-MM-DD HH24:MI:SS.MS'), repeat('  ', depth), rpad(kind, 9), what) $$;
COMMENT ON FUNCTION dbnet.step_line(integer, timestamptz, text, text) IS 'A step as a line of dbnet.why() and dbnet.impact()';

CREATE FUNCTION dbnet.why(event bigint) RETURNS SETOF text
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$ SELECT dbnet.step_line(s.depth, s.at, s.kind, s.what) FROM dbnet.why_steps(why.event) AS s ORDER BY s.step $$;
COMMENT ON FUNCTION dbnet.why(bigint) IS
    'What led to an event, as a tree with a line per step, newest first; each change of a row that made something else happen is indented once more. Argument: event, as other functions show them. Errors: 42704 there is no such event';

CREATE FUNCTION dbnet.why(relation regclass, key text, at timestamptz DEFAULT NULL) RETURNS SETOF text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    newest bigint := (SELECT e.event FROM dbnet.newest_event(why.relation, why.key, why.at) AS e);
BEGIN
    IF newest IS NULL THEN
        RETURN NEXT format('nothing is on record of %s in %s%s', coalesce(why.key, 'NULL'), why.relation, coalesce(' up to ' || why.at::text, ''));
        RETURN;
    END IF;
    RETURN QUERY SELECT dbnet.step_line(s.depth, s.at, s.kind, s.what) FROM dbnet.why_steps(newest) AS s ORDER BY s.step;
END
$$;
COMMENT ON FUNCTION dbnet.why(regclass, text, timestamptz) IS
    'Why a row, and the device behind it, is as it is: what led to its newest change or device call, as a tree with a line per step, newest first; of an earlier one, or of what a column holds, by the event that dbnet.history() and dbnet.blame() show. Arguments: a table that is or was tracked; key: a mirror''s namespace/name or name, else the value of the key column, two as first/second, more as JSON; up to when, NULL = now. Errors: 42704 not tracked, 42501 no right to read it, 22023 no key';

-- The way forward -----------------------------------------------------------------------------------------------------------------

CREATE FUNCTION dbnet.impact_steps(event bigint, most integer DEFAULT 1000)
    RETURNS TABLE (step integer, depth integer, at timestamptz, event bigint, kind text, what text, detail jsonb)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.impact_steps(bigint, integer) IS
    'What followed from an event, oldest first, as rows; dbnet.impact() shows the same as text. Arguments and rows as for dbnet.why_steps(). Errors: 42704 there is no such event';

CREATE FUNCTION dbnet.answer_impact_steps(caller oid, start bigint, most integer)
    RETURNS TABLE (step integer, depth integer, at timestamptz, event bigint, kind text, what text, detail jsonb)
    LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    waiting bigint[] := ARRAY[start];
    depths integer[] := ARRAY[0];
    seen bigint[] := '{}';
    version dbnet.entity_version;
    activity dbnet.activity;
    call dbnet.actuation;
    transaction dbnet.activity;
    unreadable integer[] := dbnet.unreadable_tables(caller);
    following bigint[];
BEGIN
    IF start IS NULL THEN
        RAISE EXCEPTION 'the event is NULL' USING ERRCODE = 'null_value_not_allowed', HINT = 'The query that was to find the event returned nothing.';
    END IF;
    step := 0;
    WHILE cardinality(waiting) > 0 AND step < most LOOP
        event := waiting[1];
        depth := depths[1];
        waiting := waiting[2:];
        depths := depths[2:];
        CONTINUE WHEN event = ANY (seen);
        seen := seen || event;
        at := dbnet.event_time(event);
        following := '{}';
        SELECT * INTO version FROM dbnet.version_by_id(event);
        IF FOUND THEN
            SELECT d.kind, d.what, d.detail INTO kind, what, detail FROM dbnet.describe_version(caller, version) AS d;
            SELECT a.* INTO activity FROM dbnet.activity_by_id(version.activity) AS a;
            SELECT t.* INTO transaction FROM dbnet.activity_by_id(activity.transaction) AS t;
            following := ARRAY(SELECT a.id FROM dbnet.activity AS a WHERE a.id > transaction.id AND a.id < transaction.id + transaction.events AND a.started_by = event
                               UNION SELECT a.id FROM dbnet.actuation AS a WHERE a.cause = event
                               UNION SELECT u.activity FROM dbnet.used_version AS u WHERE u.version = event
                               UNION SELECT a.id FROM dbnet.activity AS a WHERE a.cause = event AND a.name <> 'continued' ORDER BY 1);
        ELSE
            SELECT * INTO activity FROM dbnet.activity_by_id(event);
            IF FOUND THEN
                SELECT t.* INTO transaction FROM dbnet.activity_by_id(activity.transaction) AS t;
                SELECT d.kind, d.what, d.detail INTO kind, what, detail FROM dbnet.describe_activity(activity, dbnet.hides_text(unreadable, transaction.id, transaction.events)) AS d;
                -- Of a part of a large transaction, and of a procedure that commits, what belongs to them may be in later ones.
                following := ARRAY(SELECT v.id FROM dbnet.entity_version AS v WHERE v.id > event AND v.id < transaction.id + transaction.events AND v.activity = event
                                   UNION SELECT a.id FROM dbnet.activity AS a WHERE a.id > event AND a.id < transaction.id + transaction.events AND a.parent = event AND a.started_by IS NULL
                                   UNION SELECT a.id FROM dbnet.activity AS a WHERE a.cause = event ORDER BY 1);
            ELSE
                SELECT * INTO call FROM dbnet.actuation AS a WHERE a.id = event AND ((a.id >> 49) & 7) = ((event >> 49) & 7);
                IF FOUND THEN
                    SELECT d.kind, d.what, d.detail INTO kind, what, detail FROM dbnet.describe_call(caller, call) AS d;
                ELSE
                    SELECT d.at, d.kind, d.what, d.detail INTO at, kind, what, detail FROM dbnet.decision_steps(caller, event) AS d LIMIT 1;
                    CONTINUE WHEN NOT FOUND;
                END IF;
                following := ARRAY(SELECT v.id FROM dbnet.entity_version AS v WHERE v.cause = event UNION SELECT a.id FROM dbnet.activity AS a WHERE a.cause = event ORDER BY 1);
            END IF;
        END IF;
        step := step + 1;
        RETURN NEXT;
        waiting := following || waiting;
        depths := array_fill(depth + 1, ARRAY[cardinality(following)]) || depths;
    END LOOP;
    IF step = 0 THEN
        RAISE EXCEPTION 'there is no event %', start USING ERRCODE = 'undefined_object',
            HINT = 'dbnet.history() and dbnet.timeline() show events; older ones are gone when dbnet.provenance_retention is over.';
    END IF;
END
$$;
COMMENT ON FUNCTION dbnet.answer_impact_steps(oid, bigint, integer) IS 'Internal: answers dbnet.impact_steps()';

CREATE FUNCTION dbnet.impact(event bigint) RETURNS SETOF text
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$ SELECT dbnet.step_line(s.depth, s.at, s.kind, s.what) FROM dbnet.impact_steps(impact.event) AS s ORDER BY s.step $$;
COMMENT ON FUNCTION dbnet.impact(bigint) IS
    'What followed from an event: triggers that it fired, what they called and wrote, device calls, reports after these, and transactions that named it, as a tree with a line per step, oldest first. Argument: event. Errors: 42704 there is no such event';
