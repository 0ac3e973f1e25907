-- Why this time and not that time: dbnet.diff, the ways that led to two events side by side, and a trial of the first difference.

-- Side by side ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION dbnet.step_shape(kind text, what text, detail jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT concat_ws(' ', kind, CASE kind
        WHEN 'row' THEN concat_ws(' ', detail ->> 'relation', split_part(what, ' ', 1))
        WHEN 'trigger' THEN concat_ws(' ', detail ->> 'name', detail ->> 'table')
        WHEN 'call' THEN concat_ws(' ', detail ->> 'name', detail ->> 'line')
        WHEN 'device' THEN concat_ws(' ', detail ->> 'relation', detail ->> 'operation')
        WHEN 'report' THEN detail ->> 'table'
        -- What a client sends has other values each time; what stands in a function has not.
        ELSE concat_ws(' ', detail ->> 'name', detail -> 'detail' ->> 'foreign_key', detail ->> 'line', CASE WHEN detail ? 'line' THEN detail ->> 'text' END) END)
    $$;
COMMENT ON FUNCTION dbnet.step_shape(text, text, jsonb) IS 'Internal, for dbnet.diff(): steps of the same shape are taken for the same step of two cases';

CREATE FUNCTION dbnet.aligned(good text[], bad text[]) RETURNS TABLE (good_place integer, bad_place integer)
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    width CONSTANT integer := cardinality(bad) + 1;
    common integer[] := array_fill(0, ARRAY[(cardinality(good) + 1) * width]); -- of the rests from two places on: longest common part
    g integer;
    b integer;
BEGIN
    FOR g IN REVERSE cardinality(good)..1 LOOP
        FOR b IN REVERSE cardinality(bad)..1 LOOP
            common[(g - 1) * width + b] := CASE WHEN good[g] = bad[b] THEN 1 + coalesce(common[g * width + b + 1], 0)
                                                ELSE greatest(common[g * width + b], common[(g - 1) * width + b + 1]) END;
        END LOOP;
    END LOOP;
    g := 1;
    b := 1;
    WHILE g <= cardinality(good) OR b <= cardinality(bad) LOOP
        good_place := NULL;
        bad_place := NULL;
        IF g <= cardinality(good) AND b <= cardinality(bad) AND good[g] = bad[b] THEN
            good_place := g;
            bad_place := b;
        ELSIF b > cardinality(bad) OR g <= cardinality(good) AND common[g * width + b] >= common[(g - 1) * width + b + 1] THEN
            good_place := g;
        ELSE
            bad_place := b;
        END IF;
        g := g + (good_place IS NOT NULL)::integer;
        b := b + (bad_place IS NOT NULL)::integer;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbnet.aligned(text[], text[]) IS 'Internal, for dbnet.diff(): places of two lists side by side, as many as possible with the same text on both sides';

-- What hangs on the key alone is no difference: the good case's keys are put for the bad one's.
CREATE FUNCTION dbnet.substituted(document jsonb, from_values jsonb[], to_values jsonb[]) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    place integer;
    result jsonb := document;
BEGIN
    FOR place IN 1..cardinality(from_values) LOOP
        result := CASE WHEN jsonb_typeof(from_values[place]) = 'string' THEN replace(result::text, from_values[place]::text, to_values[place]::text)::jsonb
                       ELSE coalesce((SELECT jsonb_object_agg(f.key, CASE WHEN f.value = from_values[place] THEN to_values[place] ELSE f.value END) FROM jsonb_each(result) AS f), result) END;
    END LOOP;
    RETURN result;
END
$$;
COMMENT ON FUNCTION dbnet.substituted(jsonb, jsonb[], jsonb[]) IS 'Internal, for dbnet.diff(): an object with values put for others, strings at any depth, numbers as members';

CREATE FUNCTION dbnet.differing(good jsonb, bad jsonb) RETURNS TABLE (name text, good_value jsonb, bad_value jsonb)
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT coalesce(g.key, b.key), g.value, b.value FROM jsonb_each(good) AS g FULL JOIN jsonb_each(bad) AS b ON b.key = g.key
    WHERE coalesce(g.value, 'null') <> coalesce(b.value, 'null') ORDER BY 1
    $$;
COMMENT ON FUNCTION dbnet.differing(jsonb, jsonb) IS 'Internal: members of two objects that differ';

-- The trial --------------------------------------------------------------------------------------------------------------------

-- What is done here is rolled back in any case: nothing of it is committed, so no device hears of it. Triggers find names where the caller does.
CREATE FUNCTION dbnet.tried(path text, event bigint, statements text[], outcome regclass, left_out jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    image record := dbnet.row_images(event);
    keys name[] := dbnet.key_columns(outcome);
    before jsonb[];
    result jsonb;
    place integer;
    statement text;
BEGIN
    IF statements IS NULL THEN
        RETURN NULL; -- a report: nobody can make it
    END IF;
    BEGIN
        FOR place IN 1..cardinality(statements) LOOP
            IF place = cardinality(statements) THEN
                PERFORM set_config('search_path', path, true);
                SET CONSTRAINTS ALL IMMEDIATE;
                PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
                EXECUTE format('SELECT array_agg(%s) FROM %s AS t', dbnet.row_document(outcome), outcome) INTO before;
            END IF;
            statement := dbnet.placed(statements[place], image.relation, dbnet.key_condition(image.relation, image.key));
            PERFORM set_config('search_path', path, true);
            EXECUTE statement;
            PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
        END LOOP;
        EXECUTE format($query$
            WITH present AS (SELECT %s AS line FROM %s AS t),
                 came AS (SELECT line FROM present EXCEPT SELECT b FROM unnest($1) AS b),
                 went AS (SELECT b AS line FROM unnest($1) AS b EXCEPT SELECT line FROM present)
            SELECT coalesce(jsonb_agg(jsonb_build_object('operation', CASE WHEN w.line IS NULL THEN 'I' WHEN c.line IS NULL THEN 'D' ELSE 'U' END, 'row', coalesce(c.line, w.line),
                                                         'old', w.line) ORDER BY coalesce(c.line, w.line)::text), '[]')
            FROM came AS c FULL JOIN went AS w ON dbnet.key_hash($2, c.line) = dbnet.key_hash($2, w.line)
            WHERE $3 IS NULL OR NOT coalesce(c.line, w.line) @> $3 $query$, dbnet.row_document(outcome), outcome) INTO result USING coalesce(before, '{}'), keys, left_out;
        RAISE EXCEPTION USING ERRCODE = 'DBN01';
    EXCEPTION
        WHEN SQLSTATE 'DBN01' THEN
            RETURN result;
        WHEN OTHERS THEN
            RETURN to_jsonb(sqlerrm);
    END;
END
$$;
COMMENT ON FUNCTION dbnet.tried(text, bigint, text[], regclass, jsonb) IS
    'Internal, for dbnet.diff(): what the last of some statements does to a table, as [{operation, row, old}], or the error''s text; all of it is rolled back. Arguments: search_path of the caller; the change that is made again; statements; the table; the key of a row of it that is left out, or NULL';

-- Statements that bring a row to where it was before a change, and make the change again, with other values.
CREATE FUNCTION dbnet.again(event bigint, instead jsonb) RETURNS text[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    image record := dbnet.row_images(event);
    place text;
    present jsonb;
    changed jsonb;
    statements text[] := '{}';
    settable text[];
BEGIN
    settable := ARRAY(SELECT a.attname::text FROM pg_attribute AS a WHERE a.attrelid = image.relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
                      AND NOT EXISTS (SELECT FROM dbnet.mirrored_column AS m WHERE m.relation = image.relation AND m.column_name = a.attname AND m.role = 'status'));
    place := dbnet.key_condition(image.relation, image.key);
    EXECUTE format('SELECT %s FROM %s AS t WHERE %s', dbnet.row_document(image.relation), image.relation, place) INTO present;
    IF image.operation = 'I' THEN
        IF present IS NOT NULL THEN
            statements := statements || format('DELETE FROM %s WHERE %s', image.relation, place);
        END IF;
    ELSE
        changed := (SELECT jsonb_object_agg(f.key, f.value) FROM jsonb_each(image.new || instead) AS f
                    WHERE f.key = ANY (settable) AND (f.value IS DISTINCT FROM image.old -> f.key AND (image.new -> f.key IS DISTINCT FROM image.old -> f.key)));
        IF changed IS NULL THEN
            RETURN NULL;
        END IF;
        image.old := image.old || (SELECT coalesce(jsonb_object_agg(f.key, f.value), '{}') FROM jsonb_each(instead) AS f WHERE NOT changed ? f.key);
    END IF;
    IF image.operation = 'I' OR present IS NULL THEN
        statements := statements || (SELECT format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE VALUES (%s)', image.relation, string_agg(quote_ident(f.key), ', ' ORDER BY f.key),
                string_agg(dbnet.column_literal(image.relation, f.key::name, f.value), ', ' ORDER BY f.key))
            FROM jsonb_each(CASE image.operation WHEN 'I' THEN image.new || instead ELSE image.old END) AS f WHERE f.key = ANY (settable));
    ELSE
        statements := statements || (SELECT format('UPDATE %s SET %s WHERE %s', image.relation,
                string_agg(format('%I = %s', f.key, dbnet.column_literal(image.relation, f.key::name, f.value)), ', ' ORDER BY f.key), place)
            FROM jsonb_each(image.old) AS f WHERE f.key = ANY (settable) AND f.value IS DISTINCT FROM present -> f.key HAVING count(*) > 0);
    END IF;
    IF image.operation = 'U' THEN
        statements := statements || (SELECT format('UPDATE %s SET %s WHERE %s', image.relation,
            string_agg(format('%I = %s', f.key, dbnet.column_literal(image.relation, f.key::name, f.value)), ', ' ORDER BY f.key), place) FROM jsonb_each(changed) AS f);
    END IF;
    RETURN array_remove(statements, NULL);
END
$$;
COMMENT ON FUNCTION dbnet.again(bigint, jsonb) IS
    'Internal, for dbnet.diff(): statements that make a change of a row again, the last one, from where the row was before it. Arguments: event, an INSERT or UPDATE; values that are put for others. NULL: nothing that a client may set was changed';

CREATE FUNCTION dbnet.outcome_text(outcome jsonb, relation regclass) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE WHEN jsonb_typeof(outcome) = 'string' THEN 'it fails: ' || (outcome #>> '{}')
                WHEN outcome = '[]' THEN format('nothing becomes of %s', relation)
                ELSE dbnet.short_text((SELECT string_agg(concat_ws(' ', dbnet.operation_word((one ->> 'operation')::"char"), relation, dbnet.key_text(one -> 'row', dbnet.key_columns(relation))), ', ' ORDER BY place)
                                       FROM jsonb_array_elements(outcome) WITH ORDINALITY AS o(one, place)), 200) END
    $$;
COMMENT ON FUNCTION dbnet.outcome_text(jsonb, regclass) IS 'Internal, for dbnet.diff(): the outcome of a trial in words';

-- Whether a trial's outcome is like the good one: the same operation, with the values that told the good one from the bad one.
CREATE FUNCTION dbnet.outcome_is(outcome jsonb, operation text, told_by jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT jsonb_typeof(outcome) = 'array' AND EXISTS (
        SELECT FROM jsonb_array_elements(outcome) AS one WHERE one ->> 'operation' = outcome_is.operation AND one -> 'row' @> told_by)
    $$;
COMMENT ON FUNCTION dbnet.outcome_is(jsonb, text, jsonb) IS 'Internal, for dbnet.diff(): whether the outcome of a trial is like the good one';

-- The whole --------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION dbnet.diff_within(path text, good bigint, bad bigint, prove boolean)
    RETURNS TABLE (step integer, verdict text, good_step text, bad_step text, difference text)
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    good_steps jsonb[] := ARRAY(SELECT to_jsonb(s) FROM dbnet.why_steps(good) AS s WHERE s.kind NOT IN ('who', 'read') ORDER BY s.step DESC);
    bad_steps jsonb[] := ARRAY(SELECT to_jsonb(s) FROM dbnet.why_steps(bad) AS s WHERE s.kind NOT IN ('who', 'read') ORDER BY s.step DESC);
    forward integer := 0; -- from which step on the bad case is told forward
    pair record;
    g jsonb;
    b jsonb;
    good_image record;
    bad_image record;
    from_values jsonb[] := '{}';
    to_values jsonb[] := '{}';
    wanted jsonb;
    told boolean := false;
    base bigint;           -- of the bad case: the change of a row at which it began to differ
    candidates jsonb;      -- columns of it, with the good case's values
    goal regclass;         -- what the good case did to which table
    goal_operation text;
    told_by jsonb := '{}'; -- values of the good outcome that the bad one has not
    as_it_was jsonb;
    outcome jsonb;
    left_out jsonb;
    candidate record;
    flipped boolean := false;
BEGIN
    -- Of a case that led to nothing: what became of the change that should have set it off.
    IF dbnet.step_shape(good_steps[cardinality(good_steps)] ->> 'kind', good_steps[cardinality(good_steps)] ->> 'what', good_steps[cardinality(good_steps)] -> 'detail')
       <> dbnet.step_shape(bad_steps[cardinality(bad_steps)] ->> 'kind', bad_steps[cardinality(bad_steps)] ->> 'what', bad_steps[cardinality(bad_steps)] -> 'detail') THEN
        forward := cardinality(bad_steps) + 1;
        bad_steps := bad_steps || ARRAY(SELECT to_jsonb(s) FROM dbnet.impact_steps(bad, 200) AS s WHERE s.step > 1 AND s.kind NOT IN ('who', 'read') ORDER BY s.step);
    END IF;
    step := 0;
    FOR pair IN SELECT a.good_place, a.bad_place FROM dbnet.aligned(
                    ARRAY(SELECT dbnet.step_shape(s ->> 'kind', s ->> 'what', s -> 'detail') FROM unnest(good_steps) WITH ORDINALITY AS u(s, place) ORDER BY place),
                    ARRAY(SELECT dbnet.step_shape(s ->> 'kind', s ->> 'what', s -> 'detail') FROM unnest(bad_steps) WITH ORDINALITY AS u(s, place) ORDER BY place)) AS a LOOP
        CONTINUE WHEN pair.good_place IS NULL AND forward > 0 AND pair.bad_place >= forward; -- beside the way
        step := step + 1;
        g := good_steps[pair.good_place];
        b := bad_steps[pair.bad_place];
        good_step := concat_ws('  ', g ->> 'kind', g ->> 'what');
        bad_step := concat_ws('  ', b ->> 'kind', b ->> 'what');
        difference := NULL;
        verdict := CASE WHEN b IS NULL THEN 'only good' WHEN g IS NULL THEN 'only bad' ELSE 'same' END;
        IF g IS NULL THEN
            good_step := NULL;
        ELSIF b IS NULL THEN
            bad_step := NULL;
        ELSIF jsonb_typeof(g -> 'detail') = 'null' OR jsonb_typeof(b -> 'detail') = 'null' THEN
            NULL; -- the caller may not read one of the tables
        ELSIF g ->> 'kind' = 'row' THEN
            BEGIN
                good_image := dbnet.row_images((g ->> 'event')::bigint);
                bad_image := dbnet.row_images((b ->> 'event')::bigint);
            EXCEPTION WHEN undefined_object THEN -- the table was dropped: what changed is all that is known
                SELECT NULL::"char" AS operation, g -> 'detail' -> 'key' AS key, g -> 'detail' -> 'old' AS old, g -> 'detail' -> 'new' AS new INTO good_image;
                SELECT NULL::"char" AS operation, b -> 'detail' -> 'key' AS key, b -> 'detail' -> 'old' AS old, b -> 'detail' -> 'new' AS new INTO bad_image;
            END;
            SELECT from_values || array_agg(f.value), to_values || array_agg(bad_image.key -> f.key) INTO from_values, to_values
                FROM jsonb_each(good_image.key) AS f WHERE f.value <> bad_image.key -> f.key HAVING count(*) > 0;
            from_values := coalesce(from_values, '{}');
            to_values := coalesce(to_values, '{}');
            wanted := dbnet.substituted(coalesce(good_image.new, good_image.old), from_values, to_values);
            SELECT string_agg(format('%s %s instead of %s', d.name, dbnet.short_value(d.bad_value), dbnet.short_value(d.good_value)), ', ' ORDER BY d.name), jsonb_object_agg(d.name, d.good_value)
                INTO difference, wanted
                FROM dbnet.differing(wanted, coalesce(bad_image.new, bad_image.old)) AS d WHERE NOT bad_image.key ? d.name;
            IF difference IS NOT NULL AND base IS NULL AND pair.good_place < cardinality(good_steps) AND bad_image.operation IN ('I', 'U') THEN
                base := (b ->> 'event')::bigint;
                candidates := wanted;
                left_out := bad_image.key;
            END IF;
            IF pair.good_place = cardinality(good_steps) AND wanted IS NOT NULL THEN
                told_by := wanted;
            END IF;
        ELSIF g ->> 'kind' = 'call' THEN
            SELECT string_agg(format('%s => %s instead of %s', d.name, dbnet.short_value(d.bad_value), dbnet.short_value(d.good_value)), ', ' ORDER BY d.name) INTO difference
                FROM dbnet.differing(dbnet.substituted(g -> 'detail' -> 'arguments', from_values, to_values), b -> 'detail' -> 'arguments') AS d;
        END IF;
        IF g -> 'detail' ->> 'code' <> b -> 'detail' ->> 'code' THEN
            difference := concat_ws('; ', difference, 'its source was another one');
        END IF;
        IF verdict = 'same' AND difference IS NOT NULL THEN
            verdict := 'differs';
        END IF;
        IF verdict <> 'same' AND NOT told THEN
            told := true;
            verdict := 'first difference' || CASE verdict WHEN 'only good' THEN ': only good' WHEN 'only bad' THEN ': only bad' ELSE '' END;
        END IF;
        RETURN NEXT;
    END LOOP;

    good_step := NULL;
    bad_step := NULL;
    verdict := 'not proved';
    step := step + 1;
    IF NOT told OR NOT prove THEN
        RETURN;
    END IF;
    IF base IS NULL THEN
        difference := 'there is no change of a row that differs and from which something followed: nothing can be tried';
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT (s -> 'detail' ->> 'relation')::regclass, CASE split_part(s ->> 'what', ' ', 1) WHEN 'INSERT' THEN 'I' WHEN 'UPDATE' THEN 'U' WHEN 'DELETE' THEN 'D' END INTO goal, goal_operation
        FROM unnest(good_steps) WITH ORDINALITY AS u(s, place) WHERE s ->> 'kind' = 'row' ORDER BY place DESC LIMIT 1;
    IF goal <> (SELECT i.relation FROM dbnet.row_images(base) AS i) THEN
        left_out := NULL;
    END IF;
    as_it_was := dbnet.tried(path, base, dbnet.again(base, '{}'), goal, left_out);
    IF as_it_was IS NULL OR jsonb_typeof(as_it_was) = 'string' THEN
        difference := coalesce('done again as it was, ' || dbnet.outcome_text(as_it_was, goal), 'a device reported the change: nobody can do it again');
        RETURN NEXT;
        RETURN;
    END IF;
    IF dbnet.outcome_is(as_it_was, goal_operation, told_by) THEN
        difference := format('done again as it was, all other rows as they are now, it ends as in the good case (%s): what kept it from that has changed since', dbnet.outcome_text(as_it_was, goal));
        RETURN NEXT;
        RETURN;
    END IF;
    -- Each value of the good case by itself, then all together.
    FOR candidate IN SELECT jsonb_build_object(f.key, f.value) AS instead, format('%s %s', f.key, dbnet.short_value(f.value)) AS words FROM jsonb_each(candidates) AS f
                     UNION ALL SELECT candidates, (SELECT string_agg(format('%s %s', f.key, dbnet.short_value(f.value)), ', ') FROM jsonb_each(candidates) AS f)
                     WHERE (SELECT count(*) FROM jsonb_object_keys(candidates)) > 1 LOOP
        CONTINUE WHEN flipped AND candidate.instead = candidates;
        outcome := dbnet.tried(path, base, dbnet.again(base, candidate.instead), goal, left_out);
        flipped := flipped OR dbnet.outcome_is(outcome, goal_operation, told_by);
        verdict := CASE WHEN dbnet.outcome_is(outcome, goal_operation, told_by) THEN 'proved' ELSE 'not proved' END;
        difference := format('done again with %s, all other rows as they are now: %s; as it was: %s', candidate.words, dbnet.outcome_text(outcome, goal), dbnet.outcome_text(as_it_was, goal));
        RETURN NEXT;
        step := step + 1;
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbnet.diff_within(text, bigint, bigint, boolean) IS 'Internal: does what dbnet.diff() says; path: search_path of its caller';

CREATE FUNCTION dbnet.diff(good bigint, bad bigint, prove boolean DEFAULT true)
    RETURNS TABLE (step integer, verdict text, good_step text, bad_step text, difference text)
    LANGUAGE sql VOLATILE
    BEGIN ATOMIC
        SELECT d.step, d.verdict, d.good_step, d.bad_step, d.difference
        FROM dbnet.diff_within(pg_catalog.current_setting('search_path'), good, bad, prove) AS d;
    END;
COMMENT ON FUNCTION dbnet.diff(bigint, bigint, boolean) IS
    'What was different when it did not work: the ways that led to two events side by side, oldest step first, with the good case''s keys put for the bad one''s; then a trial: the bad case''s row is brought to where it was and the change is done again with the good case''s values, each alone and all together, with everything else as it is now, as the caller, with all triggers, which find names where the caller does, and all of it is rolled back, so that no device hears of it (sequences go on, and what functions do outside of the database is done). Arguments: events of changes that the caller may read; of a case in which nothing happened, the change that should have set it off; prove: false = compare only. Rows: step; verdict same | differs | first difference | only good | only bad | proved | not proved; the two steps; what differs, or what the trial did. Errors: 42704 no such event, 42501 no right to read it';
