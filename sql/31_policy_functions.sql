-- Functions that make and change policies. What they are told is checked here, with the extension's rights and no code of users';
-- query and only_if are looked at in the caller's name first (dbnet.check_policy_query).

-- What a definition may say --------------------------------------------------------------------------------------------------

CREATE FUNCTION dbnet.is_resource_name(name text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT name IN ('service_name', 'service_namespace', 'service_instance_id', 'node', 'pod') OR name LIKE 'resource.%' $$;
COMMENT ON FUNCTION dbnet.is_resource_name(text) IS 'Internal: whether a name in match or group_by is of the resource, which panes of rule 0 tell apart; else it is of each span or record, and the policy needs panes of its own';

CREATE FUNCTION dbnet.check_policy(definition dbnet.policy) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    p dbnet.policy := definition;
    is_telemetry boolean := p.source IN ('spans', 'metrics', 'logs');
    allowed text[];
    wrong text;
    argument record;
    problem text;
BEGIN
    IF p.source IS NULL THEN
        RAISE EXCEPTION 'policy "%" has no source', p.name USING ERRCODE = 'invalid_parameter_value',
            HINT = 'What it watches: spans, metrics, logs, transitions, query, timer or cron.';
    ELSIF p.source NOT IN ('spans', 'metrics', 'logs', 'query', 'timer', 'cron', 'transitions') THEN
        RAISE EXCEPTION 'there is no source "%"', p.source USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Sources are spans, metrics, logs, transitions, query, timer and cron.';
    END IF;
    IF p.mode NOT IN ('shadow', 'act') THEN
        RAISE EXCEPTION 'there is no mode "%"', p.mode USING ERRCODE = 'invalid_parameter_value', HINT = 'Modes are shadow (decides and records) and act.';
    END IF;

    -- Times.
    FOR argument IN SELECT * FROM (VALUES ('hold_time', p.hold_time), ('keep_firing_for', p.keep_firing_for), ('cooldown', p.cooldown),
                                          ('settle_interval', p.settle_interval)) AS v(name, value) LOOP
        IF argument.value < interval '0' THEN
            RAISE EXCEPTION '% is negative: %', argument.name, argument.value USING ERRCODE = 'invalid_parameter_value';
        END IF;
    END LOOP;
    FOR argument IN SELECT * FROM (VALUES ('repeat_interval', p.repeat_interval), ('max_actions_interval', p.max_actions_interval),
                                          ('action_timeout', p.action_timeout), ('max_staleness', p.max_staleness)) AS v(name, value) LOOP
        IF argument.value <= interval '0' THEN
            RAISE EXCEPTION '% must be longer than nothing', argument.name USING ERRCODE = 'invalid_parameter_value';
        END IF;
    END LOOP;
    IF p.action_timeout > interval '10 minutes' THEN
        RAISE EXCEPTION 'action_timeout is longer than 10 minutes' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'What takes long belongs into a table of work that something else takes up.';
    END IF;
    IF p.time_window < interval '1 second' OR p.time_window > interval '1 day' THEN
        RAISE EXCEPTION 'time_window is not 1 second to 1 day: %', p.time_window USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p.minimum_count < 0 THEN
        RAISE EXCEPTION 'minimum_count is negative' USING ERRCODE = 'invalid_parameter_value';
    ELSIF p.max_actions < 1 THEN
        RAISE EXCEPTION 'max_actions is less than 1' USING ERRCODE = 'invalid_parameter_value', HINT = 'mode => ''shadow'' decides without acting.';
    END IF;

    -- What is measured.
    allowed := CASE p.source WHEN 'spans' THEN '{rate,error_rate,count,average,min,max,sum,absent}'
                             WHEN 'metrics' THEN '{rate,count,average,min,max,sum,last,absent}'
                             WHEN 'logs' THEN '{rate,error_rate,count,absent}'
                             WHEN 'transitions' THEN '{rate,count}' ELSE '{}' END;
    IF cardinality(allowed) > 0 THEN
        IF p.aggregate IS NULL THEN
            RAISE EXCEPTION 'policy "%" says not what to measure', p.name USING ERRCODE = 'invalid_parameter_value',
                HINT = format('aggregate is one of %s%s.', array_to_string(allowed, ', '), CASE WHEN p.source IN ('spans', 'metrics') THEN ', p50 to p99.9' ELSE '' END);
        ELSIF p.aggregate <> ALL (allowed)
              AND NOT (p.source IN ('spans', 'metrics') AND p.aggregate ~ '^p\d{1,2}(\.\d{1,3})?$' AND substr(p.aggregate, 2)::numeric > 0) THEN
            RAISE EXCEPTION 'there is no aggregate "%" of %', p.aggregate, p.source USING ERRCODE = 'invalid_parameter_value',
                HINT = format('aggregate is one of %s%s.', array_to_string(allowed, ', '), CASE WHEN p.source IN ('spans', 'metrics') THEN ', p50 to p99.9' ELSE '' END);
        END IF;
    ELSIF p.aggregate IS NOT NULL THEN
        RAISE EXCEPTION 'a policy on % has no aggregate', p.source USING ERRCODE = 'invalid_parameter_value',
            HINT = CASE p.source WHEN 'query' THEN 'The query says what the value is.' ELSE 'It has no value: it acts when it is due.' END;
    END IF;

    -- The condition.
    IF p.source IN ('timer', 'cron') OR p.aggregate = 'absent' THEN
        IF p.threshold IS NOT NULL THEN
            RAISE EXCEPTION 'threshold has no meaning for %', coalesce(p.aggregate, p.source) USING ERRCODE = 'invalid_parameter_value';
        END IF;
    ELSIF (p.threshold IS NULL OR p.operator IS NULL) AND p.source <> 'query' OR p.threshold IS NULL AND p.operator IS NOT NULL AND p.source = 'query' THEN
        RAISE EXCEPTION 'policy "%" has no threshold', p.name USING ERRCODE = 'invalid_parameter_value',
            HINT = CASE WHEN p.source = 'spans' THEN 'Durations are in milliseconds, rates per second, error rates from 0 to 1.'
                        WHEN p.source = 'query' THEN 'Without operator and threshold each row of the query is a condition that holds.'
                        ELSE 'As in operator => ''>'', threshold => 10.' END;
    END IF;
    IF p.operator IS NOT NULL AND p.operator NOT IN ('>', '>=', '<', '<=', '=', '<>', '!=') THEN
        RAISE EXCEPTION 'there is no operator "%"', p.operator USING ERRCODE = 'invalid_parameter_value', HINT = 'Operators are > >= < <= = and <>.';
    END IF;
    IF p.threshold IN ('NaN', 'Infinity', '-Infinity') THEN
        RAISE EXCEPTION 'threshold is no number: %', p.threshold USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p.aggregate = 'error_rate' AND (p.threshold < 0 OR p.threshold > 1) THEN
        RAISE EXCEPTION 'an error rate of % is none', p.threshold USING ERRCODE = 'invalid_parameter_value', HINT = 'Error rates are from 0 to 1: 0.05 is 5 %.';
    END IF;
    IF p.clear_threshold IS NOT NULL THEN
        IF p.threshold IS NULL OR p.operator IN ('=', '<>', '!=') THEN
            RAISE EXCEPTION 'clear_threshold goes with > >= < and <=' USING ERRCODE = 'invalid_parameter_value';
        ELSIF p.operator IN ('>', '>=') AND p.clear_threshold > p.threshold OR p.operator IN ('<', '<=') AND p.clear_threshold < p.threshold THEN
            RAISE EXCEPTION 'clear_threshold % is on the wrong side of threshold %', p.clear_threshold, p.threshold USING ERRCODE = 'invalid_parameter_value',
                HINT = format('With %s it is %s.', p.operator, CASE WHEN p.operator LIKE '>%' THEN 'lower' ELSE 'higher' END);
        END IF;
    END IF;

    -- What is looked at.
    IF NOT is_telemetry AND p.source <> 'transitions' AND (p.match <> '{}' OR p.group_by <> '{}') THEN
        RAISE EXCEPTION 'match and group_by are for spans, metrics, logs and transitions' USING ERRCODE = 'invalid_parameter_value',
            HINT = CASE p.source WHEN 'query' THEN 'Further columns of the query make groups.' ELSE 'A timer or schedule looks at nothing.' END;
    END IF;
    IF array_position(p.group_by, NULL) IS NOT NULL OR cardinality(p.group_by) > 8
       OR cardinality(p.group_by) <> (SELECT count(DISTINCT name) FROM unnest(p.group_by) AS n(name)) THEN
        RAISE EXCEPTION 'group_by is not up to 8 different names' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF jsonb_typeof(p.match) <> 'object' THEN
        RAISE EXCEPTION 'match is no JSON object' USING ERRCODE = 'invalid_parameter_value', HINT = 'As in {"service_name": "checkout", "node": ["n1", "n2"]}.';
    END IF;
    SELECT key INTO wrong FROM jsonb_each(p.match) WHERE jsonb_typeof(value) IN ('object', 'null')
        OR jsonb_typeof(value) = 'array' AND (jsonb_array_length(value) = 0
           OR EXISTS (SELECT FROM jsonb_array_elements(value) AS e(element) WHERE jsonb_typeof(element) IN ('object', 'array', 'null'))) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'match of "%" is neither a value nor a list of values', wrong USING ERRCODE = 'invalid_parameter_value',
            HINT = 'As in {"service_name": "checkout", "node": ["n1", "n2"]}.';
    END IF;
    IF p.source IN ('spans', 'logs') THEN
        SELECT key INTO wrong FROM jsonb_each(p.match) WHERE jsonb_typeof(value) = 'array' AND NOT dbnet.is_resource_name(key) AND key NOT IN ('kind', 'minimum_severity') LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'match of "%" can be one value only', wrong USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Lists are for what the resource says: service_name, service_namespace, service_instance_id, node, pod, resource.....';
        END IF;
        IF p.match ? 'minimum_severity' AND (p.source <> 'logs' OR dbnet.severity_number(p.match ->> 'minimum_severity') IS NULL) THEN
            RAISE EXCEPTION 'minimum_severity is for logs: TRACE, DEBUG, INFO, WARN, ERROR, FATAL or 1 to 24' USING ERRCODE = 'invalid_parameter_value';
        END IF;
    ELSIF p.source = 'metrics' AND NOT (p.match ? 'metric') THEN
        RAISE EXCEPTION 'policy "%" says not which metric', p.name USING ERRCODE = 'invalid_parameter_value', HINT = 'match => ''{"metric": "system.cpu.utilization"}''.';
    ELSIF p.source = 'transitions' THEN
        IF NOT (p.match ?& '{relation,column}') OR p.match - '{relation,column,key}'::text[] <> '{}' THEN
            RAISE EXCEPTION 'policy "%" says not whose changes it counts', p.name USING ERRCODE = 'invalid_parameter_value',
                HINT = 'match => ''{"relation": "net.nodes", "column": "ready"}'', and "key" for one row alone.';
        ELSIF p.group_by <> '{}' AND p.group_by <> '{key}' THEN
            RAISE EXCEPTION 'transitions are grouped by key or not at all' USING ERRCODE = 'invalid_parameter_value';
        ELSIF NOT EXISTS (SELECT FROM dbnet.tracked_relation AS t WHERE t.relation = to_regclass(p.match ->> 'relation') AND t.enabled) THEN
            RAISE EXCEPTION 'table % is not tracked', p.match ->> 'relation' USING ERRCODE = 'undefined_object',
                HINT = 'Mirrors are; SELECT dbnet.track(...) begins with others. Give the table with its schema.';
        ELSIF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass(p.match ->> 'relation') AND attname = p.match ->> 'column' AND attnum > 0 AND NOT attisdropped) THEN
            RAISE EXCEPTION 'table % has no column "%"', p.match ->> 'relation', p.match ->> 'column' USING ERRCODE = 'undefined_column';
        END IF;
    END IF;

    -- When.
    IF p.source = 'query' AND (p.query IS NULL OR p.every IS NULL) THEN
        RAISE EXCEPTION 'a policy on a query needs query and every' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'query => ''SELECT count(*) AS value FROM ...'', every => ''5 s''.';
    ELSIF p.source = 'timer' AND p.every IS NULL THEN
        RAISE EXCEPTION 'a timer needs every' USING ERRCODE = 'invalid_parameter_value', HINT = 'every => ''10 minutes''.';
    ELSIF p.source = 'cron' AND p.schedule IS NULL THEN
        RAISE EXCEPTION 'a policy on cron needs schedule' USING ERRCODE = 'invalid_parameter_value', HINT = 'schedule => ''0 3 * * *'' is every day at three o''clock.';
    ELSIF p.query IS NOT NULL AND p.source <> 'query' OR p.every IS NOT NULL AND p.source NOT IN ('query', 'timer') OR p.schedule IS NOT NULL AND p.source <> 'cron' THEN
        RAISE EXCEPTION '% has no meaning for a policy on %', CASE WHEN p.query IS NOT NULL AND p.source <> 'query' THEN 'query' WHEN p.schedule IS NOT NULL AND p.source <> 'cron' THEN 'schedule' ELSE 'every' END, p.source
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF p.every < interval '100 milliseconds' THEN
        RAISE EXCEPTION 'every is less than 100 milliseconds: %', p.every USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p.source = 'cron' THEN
        PERFORM dbnet.next_run(p.schedule, now(), p.time_zone);
    END IF;

    -- Who acts.
    SELECT m::text INTO wrong FROM unnest(p.reads) AS m WHERE NOT EXISTS (SELECT FROM dbnet.mirrored_relation AS r WHERE r.relation = m) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% is not a mirror', wrong USING ERRCODE = 'undefined_object', HINT = 'reads names the mirrors that must be fresh for the policy to act.';
    END IF;
    problem := dbnet.action_problem(p.action, p.action_owner, p.owner);
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%', problem USING ERRCODE = CASE WHEN problem LIKE 'permission denied%' OR problem LIKE '%superuser%' THEN 'insufficient_privilege' ELSE 'invalid_parameter_value' END,
            HINT = CASE WHEN problem LIKE '%superuser%' THEN 'Create the policy as the role that owns the function: SET ROLE.'
                        WHEN problem LIKE 'permission denied%' THEN 'GRANT EXECUTE on it to the owner of the policy.'
                        ELSE 'An action is a procedure or function with one argument: CREATE PROCEDURE net.act(event dbnet.policy_event) ...' END;
    END IF;
    IF p.mode = 'act' AND p.action IS NULL THEN
        RAISE EXCEPTION 'policy "%" has nothing to do', p.name USING ERRCODE = 'invalid_parameter_value',
            HINT = 'action => ''net.act(dbnet.policy_event)''; without one a policy decides and records: mode => ''shadow''.';
    END IF;
END
$$;
COMMENT ON FUNCTION dbnet.check_policy(dbnet.policy) IS 'Internal: raises what is wrong with a policy. Errors: 22023 an argument, 42501 rights, 42704 no such object, 42703 no such column';

CREATE FUNCTION dbnet.check_policy_reads(policy dbnet.policy) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    measured text[] := CASE policy.source
        WHEN 'spans' THEN '{otel.spans,otel.span_pane,otel.resources}'
        WHEN 'logs' THEN '{otel.logs,otel.log_pane,otel.resources}'
        WHEN 'metrics' THEN '{otel.number_points,otel.histogram_points,otel.exponential_histogram_points,otel.series,otel.metrics,otel.resources}'
        WHEN 'transitions' THEN ARRAY[policy.match ->> 'relation'] END;
    denied text;
    hidden text;
BEGIN
    IF measured IS NULL THEN
        RETURN; -- of a query the rights are asked for when it runs
    ELSIF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = policy.owner) THEN
        RAISE EXCEPTION 'the owner of the policy was dropped' USING ERRCODE = 'undefined_object';
    ELSIF policy.source = 'transitions' AND to_regclass(measured[1]) IS NULL THEN
        RAISE EXCEPTION 'table % is not there any more', measured[1] USING ERRCODE = 'undefined_table', HINT = 'SELECT dbnet.alter_policy(...) names another in match, SELECT dbnet.drop_policy(...) ends the policy.';
    END IF;
    -- Each evaluation asks, with one statement.
    SELECT string_agg(m.name, ', ' ORDER BY m.place) FILTER (WHERE NOT m.is_granted),
           string_agg(m.name, ', ' ORDER BY m.place) FILTER (WHERE c.relrowsecurity AND NOT dbnet.may_read_history(policy.owner::oid, c.oid::regclass))
        INTO denied, hidden
        FROM (SELECT u.name, u.place, has_table_privilege(policy.owner, u.name, 'SELECT') AS is_granted FROM unnest(measured) WITH ORDINALITY AS u(name, place)) AS m
        JOIN pg_class AS c ON c.oid = m.name::regclass;
    IF denied IS NOT NULL THEN
        RAISE EXCEPTION 'permission denied for table%', CASE WHEN denied LIKE '%, %' THEN 's ' ELSE ' ' END || denied USING ERRCODE = 'insufficient_privilege',
            HINT = format('The owner of the policy must be able to read what it measures: GRANT SELECT ON %s TO %s;', denied, policy.owner)
                   || CASE WHEN policy.source <> 'transitions' THEN format(' or GRANT dbnet_viewer TO %s;', policy.owner) ELSE '' END;
    ELSIF hidden IS NOT NULL THEN
        RAISE EXCEPTION 'row-level security hides rows of % from the owner of the policy', hidden USING ERRCODE = 'insufficient_privilege',
            HINT = format('A policy measures all rows: its owner must be a member of dbnet_admin, or ALTER ROLE %s BYPASSRLS;', policy.owner);
    END IF;
END
$$;
COMMENT ON FUNCTION dbnet.check_policy_reads(dbnet.policy) IS 'Internal: raises what the owner of a policy on telemetry or transitions may not read of what it measures. Errors: 42501 tables, 42P01 the table whose changes it counts is gone, 42704 its owner is';

CREATE FUNCTION dbnet.severity_number(severity text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT coalesce((array_position('{TRACE,DEBUG,INFO,WARN,ERROR,FATAL}', upper(severity)) - 1) * 4 + 1,
                          CASE WHEN severity ~ '^([1-9]|1[0-9]|2[0-4])$' THEN severity::integer END) $$;
COMMENT ON FUNCTION dbnet.severity_number(text) IS 'Internal: number of a severity of logs, NULL = there is none of this name';

CREATE FUNCTION dbnet.action_problem(action text, action_owner regrole, owner regrole) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    function regprocedure := to_regprocedure(action_problem.action);
    f pg_proc;
BEGIN
    IF action_problem.action IS NULL THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = action_problem.owner) THEN
        RETURN 'the owner of the policy was dropped';
    END IF;
    SELECT * INTO f FROM pg_proc WHERE oid = function;
    IF NOT FOUND THEN
        RETURN format('there is no function %s any more', action_problem.action);
    ELSIF f.prokind NOT IN ('f', 'p') OR f.pronargs <> 1 OR f.proargtypes[0] <> 'dbnet.policy_event'::regtype THEN
        RETURN format('%s is no action', action_problem.action);
    ELSIF f.proowner <> action_problem.action_owner::oid THEN
        RETURN format('%s belongs to %s now', action_problem.action, f.proowner::regrole);
    ELSIF (SELECT r.rolsuper FROM pg_roles AS r WHERE r.oid = action_problem.owner) AND NOT (SELECT r.rolsuper FROM pg_roles AS r WHERE r.oid = f.proowner) THEN
        RETURN format('%s belongs to %s: a superuser''s policy does not run it', action_problem.action, f.proowner::regrole);
    ELSIF NOT has_function_privilege(action_problem.owner, function, 'EXECUTE') THEN
        RETURN format('permission denied for %s', action_problem.action);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION dbnet.action_problem(text, regrole, regrole) IS 'Internal: why a policy may not call its action; NULL = it may. Arguments: action, action_owner and owner of dbnet.policy';

-- Panes of its own, for what panes of every span do not tell apart ------------------------------------------------------------

CREATE FUNCTION dbnet.policy_pane_rule(definition dbnet.policy, OUT match jsonb, OUT group_by text[])
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT coalesce((SELECT jsonb_object_agg(m.key, m.value) FROM jsonb_each((definition).match) AS m
                     WHERE NOT dbnet.is_resource_name(m.key) AND m.key NOT IN ('kind', 'minimum_severity')), '{}'),
           ARRAY(SELECT g.name FROM unnest((definition).group_by) WITH ORDINALITY AS g(name, place)
                 WHERE NOT dbnet.is_resource_name(g.name) AND g.name NOT IN ('kind', 'severity_number') ORDER BY g.place)
    WHERE (definition).source IN ('spans', 'logs')
    $$;
COMMENT ON FUNCTION dbnet.policy_pane_rule(dbnet.policy) IS 'Internal: the otel.pane_rule that a policy needs; empty match and group_by: rule 0 will do';

CREATE FUNCTION dbnet.register_pane_rule(definition dbnet.policy) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    wanted record;
BEGIN
    SELECT r.match, r.group_by INTO wanted FROM dbnet.policy_pane_rule(definition) AS r;
    IF wanted.match IS NULL OR wanted.match = '{}' AND wanted.group_by = '{}' THEN
        DELETE FROM otel.pane_rule AS r WHERE r.rule = definition.number;
    ELSE
        INSERT INTO otel.pane_rule (rule, signal, match, group_by)
            VALUES (definition.number, CASE definition.source WHEN 'spans' THEN 'traces' ELSE 'logs' END, wanted.match, wanted.group_by)
            ON CONFLICT (rule) DO UPDATE SET signal = excluded.signal, match = excluded.match, group_by = excluded.group_by;
    END IF;
END
$$;
COMMENT ON FUNCTION dbnet.register_pane_rule(dbnet.policy) IS 'Internal: makes the writer of telemetry keep the panes that the policy reads';

-- Making and changing --------------------------------------------------------------------------------------------------------

CREATE FUNCTION dbnet.answer_store_policy(caller oid, definition jsonb, is_new boolean) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    p dbnet.policy;
    preset jsonb := CASE definition ->> 'preset'
        WHEN 'error_rate' THEN '{"source": "spans", "aggregate": "error_rate", "operator": ">", "threshold": 0.05, "minimum_count": 20, "group_by": ["service_name"], "cooldown": "10 minutes", "max_actions": 3}'
        WHEN 'latency' THEN '{"source": "spans", "aggregate": "p99", "operator": ">", "threshold": 500, "minimum_count": 20, "group_by": ["service_name"], "cooldown": "10 minutes", "max_actions": 3}'
        ELSE '{}' END;
    fresh jsonb := '{"enabled": true, "mode": "shadow", "match": {}, "group_by": [], "time_window": "1 minute", "minimum_count": 0, "hold_time": "0", "keep_firing_for": "0", "max_actions_interval": "1 hour",
                     "action_timeout": "10 seconds", "time_zone": "UTC", "reads": [], "max_staleness": "2 minutes"}';
    cleared text[];
BEGIN
    IF coalesce(definition ->> 'name', '') = '' OR length(definition ->> 'name') > 200 THEN
        RAISE EXCEPTION 'a policy needs a name of 1 to 200 characters' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF definition ? 'preset' AND definition ->> 'preset' NOT IN ('error_rate', 'latency') THEN
        RAISE EXCEPTION 'there is no preset "%"', definition ->> 'preset' USING ERRCODE = 'invalid_parameter_value', HINT = 'Presets are error_rate and latency.';
    END IF;
    definition := jsonb_strip_nulls(definition) - '{number,owner,enabled,action_owner,version,created_at}'::text[]; -- are not for the caller to say
    IF definition ? 'action' THEN
        definition := definition || jsonb_build_object('action', (definition ->> 'action')::oid::regprocedure::text,
                                                       'action_owner', (SELECT proowner::text FROM pg_proc WHERE oid = (definition ->> 'action')::oid));
    END IF;
    IF is_new THEN
        IF EXISTS (SELECT FROM dbnet.policy AS x WHERE x.name = definition ->> 'name') THEN
            RAISE EXCEPTION 'policy "%" exists already', definition ->> 'name' USING ERRCODE = 'duplicate_object', HINT = 'dbnet.alter_policy() changes it, dbnet.drop_policy() removes it.';
        END IF;
        p := jsonb_populate_record(NULL::dbnet.policy, fresh || preset || definition);
        p.owner := caller;
        p.number := nextval('dbnet.policy_number');
        p.created_at := now();
    ELSE
        -- First: two changes come one after the other, and the policy worker, which holds a policy while it writes what it decided, before or after both.
        PERFORM FROM dbnet.policy AS x WHERE x.name = definition ->> 'name' FOR NO KEY UPDATE;
        p := dbnet.policy_of(caller, definition ->> 'name');
        cleared := ARRAY(SELECT jsonb_array_elements_text(definition -> 'reset'));
        IF EXISTS (SELECT FROM unnest(cleared) AS c(name) WHERE c.name NOT IN ('clear_threshold', 'cooldown', 'repeat_interval', 'max_actions', 'settle_interval', 'only_if', 'action', 'minimum_count',
                   'hold_time', 'keep_firing_for', 'match', 'group_by', 'reads', 'max_staleness', 'max_actions_interval', 'action_timeout', 'time_zone', 'time_window', 'operator', 'threshold')) THEN
            RAISE EXCEPTION 'reset names a setting that has no default' USING ERRCODE = 'invalid_parameter_value';
        END IF;
        p := jsonb_populate_record(p, (SELECT coalesce(jsonb_object_agg(c.name, fresh -> c.name), '{}') FROM unnest(cleared) AS c(name)) || preset || definition);
        IF 'action' = ANY (cleared) THEN
            p.action_owner := NULL;
        END IF;
    END IF;
    IF p.operator IS NULL AND p.threshold IS NOT NULL AND p.source NOT IN ('timer', 'cron') THEN
        p.operator := '>';
    END IF;
    p.operator := CASE p.operator WHEN '!=' THEN '<>' ELSE p.operator END;
    IF p.source = 'transitions' AND to_regclass(p.match ->> 'relation') IS NOT NULL THEN
        p.match := p.match || jsonb_build_object('relation', to_regclass(p.match ->> 'relation')::text);
        IF p.reads = '{}' AND EXISTS (SELECT FROM dbnet.mirrored_relation AS m WHERE m.relation = to_regclass(p.match ->> 'relation')) THEN
            p.reads := ARRAY[to_regclass(p.match ->> 'relation')];
        END IF;
    END IF;
    PERFORM dbnet.check_policy(p);
    IF is_new OR p.mode = 'act' THEN
        PERFORM dbnet.check_policy_reads(p); -- which must not stand in the way of who makes it harmless
    END IF;
    p.version := nextval('dbnet.generation');
    IF is_new THEN
        INSERT INTO dbnet.policy VALUES (p.*);
    ELSE
        DELETE FROM dbnet.policy_state AS s USING dbnet.policy AS before
            WHERE s.policy = p.name AND before.name = p.name AND before.group_by <> p.group_by;
        -- What was only decided is yet to be done.
        UPDATE dbnet.policy_state AS s SET has_acted = false, acted_at = NULL FROM dbnet.policy AS before
            WHERE s.policy = p.name AND before.name = p.name AND before.mode = 'shadow' AND p.mode = 'act';
        -- What is yet to be done is not: it would be done twice, when the policy acts again.
        UPDATE dbnet.policy_event AS e SET action_state = 'failed', error = 'the policy no longer acts (mode shadow)', finished_at = now(), next_attempt_at = NULL
            WHERE e.policy = p.name AND e.action_state = 'waiting' AND p.mode = 'shadow';
        UPDATE dbnet.policy AS x SET (mode, source, match, group_by, time_window, aggregate, operator, threshold, clear_threshold, minimum_count, hold_time, keep_firing_for, cooldown, repeat_interval, max_actions,
                max_actions_interval, settle_interval, only_if, action, action_owner, action_timeout, query, every, schedule, time_zone, reads, max_staleness, version)
            = (p.mode, p.source, p.match, p.group_by, p.time_window, p.aggregate, p.operator, p.threshold, p.clear_threshold, p.minimum_count, p.hold_time, p.keep_firing_for, p.cooldown, p.repeat_interval, p.max_actions,
                p.max_actions_interval, p.settle_interval, p.only_if, p.action, p.action_owner, p.action_timeout, p.query, p.every, p.schedule, p.time_zone, p.reads, p.max_staleness, p.version)
            WHERE x.name = p.name;
    END IF;
    PERFORM dbnet.register_pane_rule(p);
    -- So that a copy is known as one. The first mirror does the same.
    INSERT INTO dbnet.arming (system_identifier, database) SELECT s.system_identifier, d.oid FROM pg_control_system() AS s, pg_database AS d
        WHERE d.datname = current_database() ON CONFLICT DO NOTHING;
    IF p.mode = 'act' AND dbnet.is_copy() THEN
        RAISE WARNING 'this database is a copy: no policy of it acts' USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'If it takes the original''s place, run SELECT dbnet.claim();';
    END IF;
END
$$;
COMMENT ON FUNCTION dbnet.answer_store_policy(oid, jsonb, boolean) IS 'Internal: does what dbnet.store_policy() asks for';

CREATE FUNCTION dbnet.policy_of(caller oid, name text) RETURNS dbnet.policy
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    known dbnet.policy;
BEGIN
    SELECT * INTO known FROM dbnet.policy AS p WHERE p.name = policy_of.name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no policy "%"', name USING ERRCODE = 'undefined_object', HINT = 'SELECT policy FROM dbnet.policy_status;';
    END IF;
    IF NOT pg_has_role(caller, known.owner::oid, 'USAGE') THEN
        RAISE EXCEPTION 'must be owner of policy "%"', name USING ERRCODE = 'insufficient_privilege', HINT = format('It belongs to %s.', known.owner);
    END IF;
    RETURN known;
END
$$;
COMMENT ON FUNCTION dbnet.policy_of(oid, text) IS 'Internal: a policy of the role. Errors: 42704 there is none, 42501 it is another''s';

CREATE FUNCTION dbnet.store_policy(definition jsonb, is_new boolean) RETURNS void LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'dbnet_request';
COMMENT ON FUNCTION dbnet.store_policy(jsonb, boolean) IS 'Internal: what dbnet.create_policy() and dbnet.alter_policy() are made of; use those. Errors: as they have';

CREATE FUNCTION dbnet.check_policy_query(query text, only_if text) RETURNS void LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbnet_check_policy_query';
COMMENT ON FUNCTION dbnet.check_policy_query(text, text) IS 'Internal: whether query and only_if of a policy can be understood, in the caller''s name; runs neither. Errors: those of the statements, 22023 columns are missing or of the wrong type';

-- Without SET search_path: query and only_if are looked at as the caller would. Their bodies are bound here and now.
CREATE FUNCTION dbnet.create_policy(
    name text, source text DEFAULT NULL, match jsonb DEFAULT NULL, group_by text[] DEFAULT NULL, time_window interval DEFAULT NULL, aggregate text DEFAULT NULL,
    operator text DEFAULT NULL, threshold double precision DEFAULT NULL, clear_threshold double precision DEFAULT NULL, minimum_count bigint DEFAULT NULL,
    hold_time interval DEFAULT NULL, keep_firing_for interval DEFAULT NULL, cooldown interval DEFAULT NULL, repeat_interval interval DEFAULT NULL,
    max_actions integer DEFAULT NULL, max_actions_interval interval DEFAULT NULL, settle_interval interval DEFAULT NULL, only_if text DEFAULT NULL,
    action regprocedure DEFAULT NULL, mode text DEFAULT NULL, query text DEFAULT NULL, every interval DEFAULT NULL, schedule text DEFAULT NULL,
    time_zone text DEFAULT NULL, reads regclass[] DEFAULT NULL, max_staleness interval DEFAULT NULL, action_timeout interval DEFAULT NULL, preset text DEFAULT NULL)
    RETURNS void LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT dbnet.check_policy_query($21, $18);
    SELECT dbnet.store_policy(pg_catalog.jsonb_build_object('name', $1, 'source', $2, 'match', $3, 'group_by', $4, 'time_window', $5, 'aggregate', $6, 'operator', $7, 'threshold', $8,
        'clear_threshold', $9, 'minimum_count', $10, 'hold_time', $11, 'keep_firing_for', $12, 'cooldown', $13, 'repeat_interval', $14, 'max_actions', $15, 'max_actions_interval', $16,
        'settle_interval', $17, 'only_if', $18, 'action', $19::oid, 'mode', $20, 'query', $21, 'every', $22, 'schedule', $23, 'time_zone', $24, 'reads', $25::oid[], 'max_staleness', $26,
        'action_timeout', $27, 'preset', $28), true);
END;
CREATE FUNCTION dbnet.alter_policy(
    name text, source text DEFAULT NULL, match jsonb DEFAULT NULL, group_by text[] DEFAULT NULL, time_window interval DEFAULT NULL, aggregate text DEFAULT NULL,
    operator text DEFAULT NULL, threshold double precision DEFAULT NULL, clear_threshold double precision DEFAULT NULL, minimum_count bigint DEFAULT NULL,
    hold_time interval DEFAULT NULL, keep_firing_for interval DEFAULT NULL, cooldown interval DEFAULT NULL, repeat_interval interval DEFAULT NULL,
    max_actions integer DEFAULT NULL, max_actions_interval interval DEFAULT NULL, settle_interval interval DEFAULT NULL, only_if text DEFAULT NULL,
    action regprocedure DEFAULT NULL, mode text DEFAULT NULL, query text DEFAULT NULL, every interval DEFAULT NULL, schedule text DEFAULT NULL,
    time_zone text DEFAULT NULL, reads regclass[] DEFAULT NULL, max_staleness interval DEFAULT NULL, action_timeout interval DEFAULT NULL, reset text[] DEFAULT NULL)
    RETURNS void LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT dbnet.check_policy_query($21, $18);
    SELECT dbnet.store_policy(pg_catalog.jsonb_build_object('name', $1, 'source', $2, 'match', $3, 'group_by', $4, 'time_window', $5, 'aggregate', $6, 'operator', $7, 'threshold', $8,
        'clear_threshold', $9, 'minimum_count', $10, 'hold_time', $11, 'keep_firing_for', $12, 'cooldown', $13, 'repeat_interval', $14, 'max_actions', $15, 'max_actions_interval', $16,
        'settle_interval', $17, 'only_if', $18, 'action', $19::oid, 'mode', $20, 'query', $21, 'every', $22, 'schedule', $23, 'time_zone', $24, 'reads', $25::oid[], 'max_staleness', $26,
        'action_timeout', $27, 'reset', $28), false);
END;
DO $$
DECLARE
    arguments text := 'text, text, jsonb, text[], interval, text, text, double precision, double precision, bigint, interval, interval, interval, interval, integer, interval, interval, text, regprocedure, text, text, interval, text, text, regclass[], interval, interval, ';
BEGIN
    EXECUTE pg_catalog.format('COMMENT ON FUNCTION dbnet.create_policy(%stext) IS %L', arguments,
        'Makes a policy, evaluated from the commit on, in mode shadow unless told otherwise. Arguments: name; source: spans | metrics | logs | transitions (changes of a column of a tracked table) | query | timer | cron; '
        'match: {name: value or [values]}: service_name, service_namespace, service_instance_id, node, pod, resource.<attribute>; kind; of logs minimum_severity; of metrics metric; other names are attributes of span, record or series, and name that of the span; of transitions relation, column, key; '
        'group_by: names as in match, each group of values has a state of its own; time_window: how far back (1 minute); aggregate: rate | error_rate | count | average | p50 ... p99.9 | min | max | sum | last | absent (no data in the window); '
        'of gauges these are of their values, of sums and counters rate is how much they grow per second, of histograms of both kinds all are of what was counted: rate of it per second, quantiles from buckets; '
        'operator > >= < <= = <> and threshold (durations in milliseconds, rates per second, error rates from 0 to 1); clear_threshold: firing ends beyond this one; minimum_count of items; hold_time: the condition must hold for so long; keep_firing_for: and fail for so long; '
        'cooldown: least time between two actions of a group; repeat_interval: acts again while it fires; max_actions in max_actions_interval (1 hour), all groups together; settle_interval: no further action before objects changed by the last one have been ready for so long; '
        'only_if: SQL condition on event; action: procedure or function with one argument of type dbnet.policy_event that the caller may EXECUTE; mode: shadow (decides and records) | act; query: SELECT with column value, perhaps count, other columns name the group, without threshold each row is a condition that holds; '
        'every: interval of query and timer; schedule: five fields of cron; time_zone (UTC) of it; reads: mirrors that must be fresh; max_staleness (2 minutes) of these; action_timeout (10 seconds) of action, query and only_if; preset: error_rate | latency: what is not given is as these have it. '
        'The owner is the caller: all runs with the caller''s rights. Errors: 22023 an argument, 42710 it exists, 42501 rights, 42704, 42703 no such object or column, and those of the query');
    EXECUTE pg_catalog.format('COMMENT ON FUNCTION dbnet.alter_policy(%stext[]) IS %L', arguments,
        'Changes a policy of the caller; NULL leaves a setting as it is. Arguments as those of dbnet.create_policy(); reset: names of settings that are to be as they are when not given. Groups keep their states, unless group_by changes; from shadow to act, those that fire act; from act to shadow, actions that wait are not run. Errors: as dbnet.create_policy() has, 42704 there is none');
END
$$;

CREATE FUNCTION dbnet.create_error_rate_policy(name text, threshold double precision DEFAULT 0.05, group_by text[] DEFAULT '{service_name}', action regprocedure DEFAULT NULL,
                                               mode text DEFAULT 'shadow', match jsonb DEFAULT '{}')
    RETURNS void LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT dbnet.create_policy($1, threshold => $2, group_by => $3, action => $4, mode => $5, match => $6, preset => 'error_rate');
END;
COMMENT ON FUNCTION dbnet.create_error_rate_policy(text, double precision, text[], regprocedure, text, jsonb) IS
    'A policy on the share of spans that failed, in a minute with at least 20 spans; acts once in ten minutes per group and three times an hour at most. Arguments as those of dbnet.create_policy(); dbnet.alter_policy() changes the rest';
CREATE FUNCTION dbnet.create_latency_policy(name text, threshold interval DEFAULT '500 milliseconds', quantile text DEFAULT 'p99', group_by text[] DEFAULT '{service_name}', action regprocedure DEFAULT NULL,
                                            mode text DEFAULT 'shadow', match jsonb DEFAULT '{}')
    RETURNS void LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT dbnet.create_policy($1, threshold => (extract(epoch FROM $2) OPERATOR(pg_catalog.*) 1000)::double precision, aggregate => $3, group_by => $4, action => $5, mode => $6, match => $7, preset => 'latency');
END;
COMMENT ON FUNCTION dbnet.create_latency_policy(text, interval, text, text[], regprocedure, text, jsonb) IS
    'A policy on a quantile of the durations of spans, in a minute with at least 20 spans; acts once in ten minutes per group and three times an hour at most. Arguments as those of dbnet.create_policy(); dbnet.alter_policy() changes the rest';

CREATE FUNCTION dbnet.answer_drop_policy(caller oid, name text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    p dbnet.policy := dbnet.policy_of(caller, name);
BEGIN
    DELETE FROM otel.pane_rule AS r WHERE r.rule = p.number;
    DELETE FROM dbnet.policy AS x WHERE x.name = p.name;
    UPDATE dbnet.policy_event AS e SET action_state = 'failed', error = 'the policy was dropped', finished_at = now(), next_attempt_at = NULL
        WHERE e.policy = p.name AND e.action_state = 'waiting';
END
$$;
COMMENT ON FUNCTION dbnet.answer_drop_policy(oid, text) IS 'Internal: does what dbnet.drop_policy() asks for';
CREATE FUNCTION dbnet.drop_policy(name text) RETURNS void LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'dbnet_request';
COMMENT ON FUNCTION dbnet.drop_policy(text) IS 'Removes a policy of the caller; its decisions stay on record, actions that wait are not run. Errors: 42704 there is none, 42501 not the owner';

CREATE FUNCTION dbnet.set_policy_enabled(name text, enabled boolean) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
BEGIN
    UPDATE dbnet.policy AS p SET enabled = set_policy_enabled.enabled, version = nextval('dbnet.generation') WHERE p.name = set_policy_enabled.name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no policy "%"', name USING ERRCODE = 'undefined_object', HINT = 'SELECT policy FROM dbnet.policy_status;';
    END IF;
END
$$;
COMMENT ON FUNCTION dbnet.set_policy_enabled(text, boolean) IS 'Internal: dbnet.enable_policy() and dbnet.disable_policy()';
CREATE FUNCTION dbnet.answer_enable_policy(caller oid, name text) RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp
    AS $$ SELECT dbnet.set_policy_enabled(name, true) $$;
COMMENT ON FUNCTION dbnet.answer_enable_policy(oid, text) IS 'Internal: does what dbnet.enable_policy() asks for';
CREATE FUNCTION dbnet.answer_disable_policy(caller oid, name text) RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp
    AS $$ SELECT dbnet.set_policy_enabled(name, false) $$;
COMMENT ON FUNCTION dbnet.answer_disable_policy(oid, text) IS 'Internal: does what dbnet.disable_policy() asks for';
CREATE FUNCTION dbnet.enable_policy(name text) RETURNS void LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'dbnet_request';
COMMENT ON FUNCTION dbnet.enable_policy(text) IS 'Has a policy evaluated again; groups go on in the states that they had. Errors: 42704 there is none';
CREATE FUNCTION dbnet.disable_policy(name text) RETURNS void LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'dbnet_request';
COMMENT ON FUNCTION dbnet.disable_policy(text) IS 'Has a policy not evaluated from the commit on, and actions that wait put off until it is enabled. Errors: 42704 there is none';

-- For actions and conditions ---------------------------------------------------------------------------------------------------

CREATE FUNCTION dbnet.next_run(schedule text, after timestamptz DEFAULT pg_catalog.now(), time_zone text DEFAULT 'UTC') RETURNS timestamptz
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbnet_next_run';
COMMENT ON FUNCTION dbnet.next_run(text, timestamptz, text) IS
    'When a schedule of cron is due next. Arguments: minute hour day-of-month month day-of-week with *, lists, ranges, steps, names, or @hourly, @daily, @weekly, @monthly, @yearly; after when; the clock by which it is meant: a time that it skips is skipped, one that it shows twice comes twice. NULL: never. Errors: 22023 no schedule, or no such time zone';

CREATE FUNCTION dbnet.fresh(relation regclass, within interval DEFAULT '2 minutes') RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT coalesce((SELECT s.state = 'offline' OR s.state = 'synced' AND s.last_event_at >= clock_timestamp() - within
                           FROM dbnet.current_mirror_state AS s WHERE s.relation = fresh.relation), false) $$;
COMMENT ON FUNCTION dbnet.fresh(regclass, interval) IS
    'Whether a mirror''s rows are what the devices say now: it is synced, and its watch was heard from within so long. When nothing changes an API server says so once a minute, so less than that makes a quiet mirror stale. True for mirrors of offline servers, false for what is no mirror, or none that the role may see';

CREATE FUNCTION dbnet.scale_to(current integer, value double precision, target double precision, min integer DEFAULT 1, max integer DEFAULT 2147483647, tolerance double precision DEFAULT 0.1) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    ratio double precision;
BEGIN
    IF target IS NULL OR target <= 0 OR tolerance IS NULL OR tolerance < 0 OR min IS NULL OR max IS NULL OR min < 0 OR max < min THEN
        RAISE EXCEPTION 'scale_to needs a target above 0, a tolerance of 0 or more, and 0 <= min <= max' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF current IS NULL OR value IS NULL OR value = 'NaN' OR value < 0 THEN
        RETURN current;
    END IF;
    -- As the horizontal pod autoscaler: none are running and none are wanted; within tolerance nothing changes.
    IF current = 0 THEN
        RETURN 0;
    END IF;
    ratio := value / target;
    IF abs(ratio - 1) <= tolerance THEN
        RETURN greatest(min, least(max, current));
    END IF;
    RETURN greatest(min, least(max, least(ceil((current * ratio)::numeric - 0.0000001), 2147483647)))::integer;
END
$$;
COMMENT ON FUNCTION dbnet.scale_to(integer, double precision, double precision, integer, integer, double precision) IS
    'How many replicas there should be, by the formula of Kubernetes'' horizontal autoscaler: ceil(current * value / target), current while value is within tolerance (0.1 = 10 %) of target, never less than min or more than max; 0 stays 0, and without a value current stays. Errors: 22023 an argument';

-- What belongs to which group --------------------------------------------------------------------------------------------------

CREATE FUNCTION dbnet.resource_value(resource otel.resources, name text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT CASE name WHEN 'service_name' THEN resource.service_name WHEN 'service_namespace' THEN resource.service_namespace
                           WHEN 'service_instance_id' THEN resource.service_instance_id WHEN 'node' THEN resource.node WHEN 'pod' THEN resource.pod
                           ELSE resource.attributes ->> regexp_replace(name, '^resource\.', '') END $$;
COMMENT ON FUNCTION dbnet.resource_value(otel.resources, text) IS 'Internal: what a resource has under a name of match or group_by';

CREATE FUNCTION dbnet.kind_text(kind smallint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT coalesce(('{unspecified,internal,server,client,producer,consumer}'::text[])[kind + 1], kind::text) $$;
COMMENT ON FUNCTION dbnet.kind_text(smallint) IS 'Internal: name of a kind of spans';

CREATE FUNCTION dbnet.is_among(actual text, wanted jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT coalesce(CASE WHEN jsonb_typeof(wanted) = 'array' THEN EXISTS (SELECT FROM jsonb_array_elements_text(wanted) AS e(element) WHERE e.element = actual)
                               ELSE actual = wanted #>> '{}' END, false) $$;
COMMENT ON FUNCTION dbnet.is_among(text, jsonb) IS 'Internal: whether a value is what match says, or one of these';

CREATE FUNCTION dbnet.policy_series(metric text) RETURNS TABLE (series_id bigint, type smallint, is_delta boolean, is_cumulative boolean)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT s.series_id, m.type, m.type <> 1 AND m.aggregation_temporality = 1, m.type = 2 AND m.aggregation_temporality = 2 AND m.is_monotonic
          FROM otel.metrics AS m JOIN otel.series AS s ON s.metric_id = m.metric_id WHERE m.name = metric $$;
COMMENT ON FUNCTION dbnet.policy_series(text) IS 'Internal: series of a metric. Rows: series; type of the metric; its points are increases; its points are a counter';

-- $2: resource of spans and logs, series of metrics; $3: kind or severity; $4: grouping of the pane.
CREATE FUNCTION dbnet.policy_group(policy dbnet.policy, subject bigint, number smallint, pane_grouping jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    resource otel.resources;
    attributes jsonb := '{}';
    found jsonb := '{}';
    wanted record;
    name text;
BEGIN
    IF policy.source = 'metrics' THEN
        SELECT r.* INTO resource FROM otel.series AS s JOIN otel.metrics AS m ON m.metric_id = s.metric_id JOIN otel.resources AS r ON r.resource_id = m.resource_id WHERE s.series_id = subject;
        attributes := (SELECT s.attributes FROM otel.series AS s WHERE s.series_id = subject);
    ELSE
        SELECT r.* INTO resource FROM otel.resources AS r WHERE r.resource_id = subject;
    END IF;
    FOR wanted IN SELECT key, value FROM jsonb_each(policy.match) LOOP
        IF dbnet.is_resource_name(wanted.key) THEN
            IF NOT dbnet.is_among(dbnet.resource_value(resource, wanted.key), wanted.value) THEN
                RETURN NULL;
            END IF;
        ELSIF policy.source = 'metrics' THEN
            IF wanted.key <> 'metric' AND NOT dbnet.is_among(coalesce(attributes ->> wanted.key, resource.attributes ->> wanted.key), wanted.value) THEN
                RETURN NULL;
            END IF;
        ELSIF wanted.key = 'kind' THEN
            IF NOT dbnet.is_among(dbnet.kind_text(number), wanted.value) AND NOT dbnet.is_among(number::text, wanted.value) THEN
                RETURN NULL;
            END IF;
        ELSIF wanted.key = 'minimum_severity' AND number < dbnet.severity_number(wanted.value #>> '{}') THEN
            RETURN NULL;
        END IF; -- others are counted in panes of their own
    END LOOP;
    FOREACH name IN ARRAY policy.group_by LOOP
        found := found || jsonb_build_object(name, CASE
            WHEN dbnet.is_resource_name(name) THEN to_jsonb(dbnet.resource_value(resource, name))
            WHEN policy.source = 'metrics' THEN coalesce(attributes -> name, resource.attributes -> name)
            WHEN name = 'kind' THEN to_jsonb(dbnet.kind_text(number))
            WHEN name = 'severity_number' THEN to_jsonb(number)
            ELSE pane_grouping -> name END);
    END LOOP;
    RETURN found;
END
$$;
COMMENT ON FUNCTION dbnet.policy_group(dbnet.policy, bigint, smallint, jsonb) IS 'Internal: the group to which a pane or series belongs; NULL: it does not match. Arguments: policy; resource, or series of metrics; kind or severity; grouping of the pane';

-- What an item must be to be one of those that a group counts, beside its resource: as the panes tell them apart (see src/telemetry/panes/pane_rules.cpp).
CREATE FUNCTION dbnet.policy_item_condition(policy dbnet.policy, resources integer[], group_values jsonb) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT coalesce(string_agg(CASE
            WHEN w.key = 'kind' THEN format('n.kind = ANY (%L)', ARRAY(SELECT k FROM generate_series(0, 5) AS k WHERE dbnet.is_among(dbnet.kind_text(k::smallint), w.value) OR dbnet.is_among(k::text, w.value)))
            WHEN w.key = 'minimum_severity' THEN format('n.severity_number >= %L', dbnet.severity_number(w.value #>> '{}'))
            WHEN w.key = 'name' THEN format('%s = %L', CASE policy.source WHEN 'spans' THEN 'n.name' ELSE 'coalesce(n.event_name, '''')' END, w.value #>> '{}')
            WHEN w.key IN ('status_code', 'severity_number') THEN format('to_jsonb(n.%I) = %L', w.key, w.value)
            -- An attribute of its own, else of its resource; null: of neither.
            ELSE format('(coalesce(n.attributes -> %1$L, ''null'') = %2$L OR NOT n.attributes ? %1$L AND n.resource_id = ANY (%3$L))', w.key, w.value,
                        ARRAY(SELECT r.resource_id FROM otel.resources AS r WHERE r.resource_id = ANY (resources) AND r.attributes -> w.key = w.value))
        END, ' AND '), 'true')
    FROM (SELECT * FROM jsonb_each(policy.match) UNION ALL SELECT * FROM jsonb_each(group_values)) AS w
    WHERE NOT dbnet.is_resource_name(w.key) AND w.key <> ALL (CASE policy.source WHEN 'spans' THEN '{minimum_severity,severity_number}' ELSE '{kind,status_code}' END::text[])
    $$;
COMMENT ON FUNCTION dbnet.policy_item_condition(dbnet.policy, integer[], jsonb) IS 'Internal: condition of a query, on n of otel.spans or otel.logs: one of those that a group counts, of its resources. Arguments: policy; resources of the group; the group';

-- Spans that failed have an index, and the planner is left no other way: the newest ones of each resource, and no more of them than are asked for are looked at.
CREATE FUNCTION dbnet.failed_spans(resources integer[], window_start timestamptz, window_end timestamptz, most integer) RETURNS SETOF otel.spans
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off
    AS $$
DECLARE
    most_of_each CONSTANT integer := greatest(most / greatest(least(cardinality(resources), 10), 1), 1);
BEGIN
    RETURN QUERY SELECT s.* FROM (SELECT u.resource_id FROM unnest(resources) AS u(resource_id) ORDER BY u.resource_id DESC LIMIT 10 * most) AS r,
            LATERAL (SELECT n.* FROM otel.spans AS n WHERE n.status_code = 2 AND n.resource_id = r.resource_id AND n.bucket_time >= window_start AND n.bucket_time < window_end
                     ORDER BY n.bucket_time DESC LIMIT most_of_each) AS s LIMIT most;
END
$$;
COMMENT ON FUNCTION dbnet.failed_spans(integer[], timestamptz, timestamptz, integer) IS
    'Internal: spans that failed, the newest of each resource in a window. Arguments: resources, each once, of which those known last come first; the window; how many at most';

-- Telemetry is appended: what came last is at the end of a partition. It is read from there on and nothing else, however much there is. OFFSET 0 keeps the planner from the index
-- of times, which brings along all that has no summary yet; of the spans only the first ones count, so that very many traces need no room.
CREATE FUNCTION dbnet.sample_traces(policy dbnet.policy, resources integer[], window_start timestamptz, window_end timestamptz, group_values jsonb, value double precision, most_pages integer) RETURNS otel.trace_id[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    is_of_spans boolean := policy.source = 'spans';
    is_error text := CASE WHEN is_of_spans THEN 'n.status_code = 2' ELSE 'n.severity_number >= 17' END;
    -- What shows why the value is what it is.
    is_telling text := CASE WHEN policy.aggregate = 'error_rate' AND value > 0 THEN is_error
                            WHEN is_of_spans AND policy.aggregate ~ '^(p\d|average$|max$)' AND policy.operator LIKE '>%' AND value >= policy.threshold
                            THEN format('n.duration_nano >= %L::float8 * 1000000', policy.threshold) ELSE 'true' END;
    item text := format('SELECT n.trace_id, %s AS is_error, %s AS is_telling, n.%I AS weight', is_error, is_telling, CASE WHEN is_of_spans THEN 'duration_nano' ELSE 'severity_number' END);
    condition text := 'n.bucket_time >= $1 AND n.bucket_time < $2 AND n.resource_id = ANY ($3) AND n.trace_id IS NOT NULL AND ' || dbnet.policy_item_condition(policy, resources, group_values);
    -- Looks for what failed, and nothing else will do.
    is_of_failed boolean := is_of_spans AND (policy.aggregate = 'error_rate' AND value > 0 OR '2' IN (policy.match -> 'status_code', group_values -> 'status_code'));
    pages integer;
    items text;
    oldest text;
    is_all boolean;
    is_found boolean;
    sample otel.trace_id[];
BEGIN
    FOREACH pages IN ARRAY '{200,1600}'::integer[] LOOP
        EXIT WHEN pages > most_pages;
        -- As many pages as that, of the last partition and, where it is smaller, of those before it.
        SELECT string_agg(format('%s FROM (SELECT * FROM %s WHERE ctid >= ''(%s,0)'' OFFSET 0) AS n WHERE %s', item, p.partition, p.first, condition), ' UNION ALL ') FILTER (WHERE p.first < p.size),
               (array_agg(format('SELECT max(n.bucket_time) < $1 FROM %s AS n WHERE n.ctid >= ''(%s,0)'' AND n.ctid < ''(%s,0)''', p.partition, p.first, p.first + 1) ORDER BY p.from_time)
                FILTER (WHERE p.first < p.size))[1],
               max(p.total) <= pages
            INTO items, oldest, is_all
            FROM (SELECT s.*, greatest(s.total - pages, 0) AS first FROM (
                SELECT o.partition, o.from_time, r.size, sum(r.size) OVER (ORDER BY o.from_time DESC) AS total
                FROM otel.partitions AS o, LATERAL (SELECT pg_relation_size(o.partition) / current_setting('block_size')::integer AS size) AS r
                WHERE o.relation = CASE WHEN is_of_spans THEN 'otel.spans' ELSE 'otel.logs' END::regclass AND o.from_time < window_end AND o.to_time > window_start) AS s
            ) AS p;
        EXIT WHEN items IS NULL;
        IF is_of_failed THEN
            items := items || format(' UNION ALL %s FROM dbnet.failed_spans($3, $1, $2, %s) AS n WHERE %s', item, pages, condition);
        END IF;
        EXECUTE format('SELECT array_agg(t.trace_id ORDER BY t.is_error DESC, t.weight DESC), bool_or(t.is_telling) FROM ('
                       'SELECT i.trace_id, bool_or(i.is_error) AS is_error, bool_or(i.is_telling) AS is_telling, max(i.weight) AS weight '
                       'FROM (SELECT * FROM (%s) AS u ORDER BY is_error DESC, weight DESC LIMIT 1000) AS i GROUP BY i.trace_id ORDER BY 2 DESC, 4 DESC LIMIT 5) AS t', items)
            INTO sample, is_found USING window_start, window_end, resources;
        EXIT WHEN is_found OR is_all;
        EXECUTE oldest INTO is_all USING window_start;
        EXIT WHEN is_all;
    END LOOP;
    RETURN coalesce(sample, '{}');
END
$$;
COMMENT ON FUNCTION dbnet.sample_traces(dbnet.policy, integer[], timestamptz, timestamptz, jsonb, double precision, integer) IS
    'Internal: up to five traces of a group in a window: with errors first, then the slowest; of logs the severest. Looks among what came last, in 200 pages, then in 1600, also of earlier partitions, until it finds one that shows why the value is what it is (with an error for an error_rate, as slow as the threshold for durations, else any), or the window''s begin. Spans that failed, where these are looked for, are found in all of the window: the newest 200, then 1600, of the group''s resources, among which those of the group are named. What else lies further back is not found. Arguments: policy; resources of the group; the window; the group; the value that was measured; pages to look at at most';

-- Of a metric its exemplars tell: single measurements with the trace that they are of.
CREATE FUNCTION dbnet.sample_exemplars(policy dbnet.policy, series bigint[], window_start timestamptz, window_end timestamptz) RETURNS otel.trace_id[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    points CONSTANT integer := 1000; -- with exemplars that are looked at
BEGIN
    RETURN ARRAY(
        SELECT e.trace_id
        FROM (SELECT n.exemplars FROM (
                  SELECT p.time, p.exemplars FROM otel.number_points AS p
                      WHERE p.series_id = ANY (series) AND p.bucket_time >= window_start AND p.time >= window_start AND p.time < window_end AND p.exemplars IS NOT NULL
                  UNION ALL SELECT p.time, p.exemplars FROM otel.histogram_points AS p
                      WHERE p.series_id = ANY (series) AND p.bucket_time >= window_start AND p.time >= window_start AND p.time < window_end AND p.exemplars IS NOT NULL
                  UNION ALL SELECT p.time, p.exemplars FROM otel.exponential_histogram_points AS p
                      WHERE p.series_id = ANY (series) AND p.bucket_time >= window_start AND p.time >= window_start AND p.time < window_end AND p.exemplars IS NOT NULL
              ) AS n ORDER BY n.time DESC LIMIT points) AS n,
             LATERAL (SELECT (x ->> 'trace_id')::otel.trace_id AS trace_id, (x ->> 'value')::float8 AS value FROM jsonb_array_elements(n.exemplars) AS x WHERE x ? 'trace_id') AS e
        GROUP BY e.trace_id ORDER BY max(CASE WHEN policy.operator LIKE '<%' THEN - e.value ELSE e.value END) DESC NULLS LAST, e.trace_id LIMIT 5);
END
$$;
COMMENT ON FUNCTION dbnet.sample_exemplars(dbnet.policy, bigint[], timestamptz, timestamptz) IS
    'Internal: up to five traces that exemplars of metrics name, those first that are furthest beyond the threshold. Arguments: policy; series of the group; the window';

-- What the policy worker writes ----------------------------------------------------------------------------------------------

CREATE FUNCTION dbnet.policy_event_of(policy dbnet.policy, event bigint, at timestamptz, group_values jsonb, decision text, reason text, state text, value double precision, count bigint,
                                      window_start timestamptz, window_end timestamptz, trace_ids otel.trace_id[], error text) RETURNS dbnet.policy_event
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    mode text := CASE WHEN dbnet.is_copy() THEN 'shadow' ELSE policy.mode END;
BEGIN
    RETURN ROW(event, at, policy.name, policy.version, policy.owner, group_values, decision,
               CASE WHEN decision = 'act' AND mode = 'shadow' THEN 'shadow' ELSE nullif(reason, '') END, state, policy.aggregate, value, policy.operator, policy.threshold, count,
               window_start, window_end, coalesce(trace_ids, '{}'), mode, CASE WHEN decision = 'act' THEN policy.action END,
               CASE WHEN decision = 'act' AND policy.action IS NOT NULL THEN CASE mode WHEN 'act' THEN 'waiting' ELSE 'shadow' END END,
               0, nullif(error, ''), NULL::timestamptz, NULL::xid8, NULL::timestamptz)::dbnet.policy_event;
END
$$;
COMMENT ON FUNCTION dbnet.policy_event_of(dbnet.policy, bigint, timestamptz, jsonb, text, text, text, double precision, bigint, timestamptz, timestamptz, otel.trace_id[], text) IS
    'Internal: a decision as a row of dbnet.policy_event';

CREATE FUNCTION dbnet.policy_obstacle(policy dbnet.policy, group_values jsonb) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    last dbnet.policy_event;
    settled_at timestamptz;
BEGIN
    IF EXISTS (SELECT FROM unnest(policy.reads) AS m WHERE NOT dbnet.fresh(m, policy.max_staleness)) THEN
        RETURN 'stale mirror';
    END IF;
    IF policy.settle_interval IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT * INTO last FROM dbnet.policy_event AS e WHERE e.policy = policy.name AND e.grouping = group_values AND e.action_state IN ('waiting', 'done') ORDER BY e.id DESC LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- What the action changed on devices, as far as it is still under way; what has failed is not waited for.
    IF last.action_state = 'waiting' OR EXISTS (SELECT FROM dbnet.object AS o WHERE o.commit_transaction = last.transaction
            AND (o.phase IN ('pending', 'applying', 'deleting', 'waiting_deleted', 'uncertain') OR o.health IN ('in_progress', 'terminating'))) THEN
        RETURN 'settling';
    END IF;
    settled_at := greatest(last.finished_at, (SELECT max(o.changed_at) FROM dbnet.object AS o WHERE o.commit_transaction = last.transaction));
    RETURN CASE WHEN settled_at > clock_timestamp() - policy.settle_interval THEN 'settling' END;
END
$$;
COMMENT ON FUNCTION dbnet.policy_obstacle(dbnet.policy, jsonb) IS 'Internal: what keeps a group from acting beside its own rules: stale mirror | settling; NULL = nothing';
