-- Tables of policies: what is watched and what is to be done (configuration, dumped), how each group stands, and every decision.
-- Written by the functions of 31_policy_functions.sql (as the extension's owner) and by the policy worker.

CREATE SEQUENCE dbnet.policy_number AS integer;
COMMENT ON SEQUENCE dbnet.policy_number IS 'Numbers of policies: otel.pane_rule.rule and otel.span_pane.rule of those that have panes of their own';

CREATE TABLE dbnet.policy (
    name                 text PRIMARY KEY CHECK (name <> '' AND pg_catalog.length(name) <= 200),
    number               integer  NOT NULL UNIQUE DEFAULT pg_catalog.nextval('dbnet.policy_number'),
    owner                regrole  NOT NULL,
    enabled              boolean  NOT NULL DEFAULT true,
    mode                 text     NOT NULL DEFAULT 'shadow' CHECK (mode IN ('shadow', 'act')),
    source               text     NOT NULL CHECK (source IN ('spans', 'metrics', 'logs', 'query', 'timer', 'cron', 'transitions')),
    match                jsonb    NOT NULL DEFAULT '{}' CHECK (pg_catalog.jsonb_typeof(match) = 'object'),
    group_by             text[]   NOT NULL DEFAULT '{}',
    time_window          interval NOT NULL DEFAULT '1 minute',
    aggregate            text,
    operator             text,
    threshold            double precision,
    clear_threshold      double precision,
    minimum_count        bigint   NOT NULL DEFAULT 0,
    hold_time            interval NOT NULL DEFAULT '0',
    keep_firing_for      interval NOT NULL DEFAULT '0',
    cooldown             interval,
    repeat_interval      interval,
    max_actions          integer,
    max_actions_interval interval NOT NULL DEFAULT '1 hour',
    settle_interval      interval,
    only_if              text,
    action               text,
    action_owner         regrole,
    action_timeout       interval NOT NULL DEFAULT '10 seconds',
    query                text,
    every                interval,
    schedule             text,
    time_zone            text     NOT NULL DEFAULT 'UTC',
    reads                regclass[] NOT NULL DEFAULT '{}',
    max_staleness        interval NOT NULL DEFAULT '2 minutes',
    version              bigint   NOT NULL DEFAULT pg_catalog.nextval('dbnet.generation'),
    created_at           timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE dbnet.policy IS 'What is watched, when it counts, and what is to be done then. Change it with dbnet.create_policy, alter_policy, drop_policy, enable_policy and disable_policy';
COMMENT ON COLUMN dbnet.policy.name IS 'name of the policy';
COMMENT ON COLUMN dbnet.policy.number IS 'what stands for it in otel.pane_rule';
COMMENT ON COLUMN dbnet.policy.owner IS 'role that created it: query, only_if and action run with its rights';
COMMENT ON COLUMN dbnet.policy.enabled IS 'false = not evaluated';
COMMENT ON COLUMN dbnet.policy.mode IS 'shadow = decides and records | act';
COMMENT ON COLUMN dbnet.policy.source IS 'spans | metrics | logs | transitions (changes of a mirror''s column) | query | timer | cron';
COMMENT ON COLUMN dbnet.policy.match IS 'what is looked at: {name: value or [values]}';
COMMENT ON COLUMN dbnet.policy.group_by IS 'names whose values make groups, each with a state of its own';
COMMENT ON COLUMN dbnet.policy.time_window IS 'how far back it looks';
COMMENT ON COLUMN dbnet.policy.aggregate IS 'rate | error_rate | count | average | p50 ... p99.9 | min | max | sum | last | absent; NULL: sources without one';
COMMENT ON COLUMN dbnet.policy.operator IS 'how the value is compared with threshold: > >= < <= = <>; NULL: no comparison';
COMMENT ON COLUMN dbnet.policy.threshold IS 'what the value is compared with; durations in milliseconds, rates per second, error rates from 0 to 1';
COMMENT ON COLUMN dbnet.policy.clear_threshold IS 'firing ends when the comparison with this fails; NULL = threshold';
COMMENT ON COLUMN dbnet.policy.minimum_count IS 'with fewer items in the window the value says nothing';
COMMENT ON COLUMN dbnet.policy.hold_time IS 'how long the condition must hold before the policy fires';
COMMENT ON COLUMN dbnet.policy.keep_firing_for IS 'how long it must have failed before that ends';
COMMENT ON COLUMN dbnet.policy.cooldown IS 'the least time between two actions for a group; NULL = none';
COMMENT ON COLUMN dbnet.policy.repeat_interval IS 'acts again after so long while it goes on firing; NULL = once each time it fires';
COMMENT ON COLUMN dbnet.policy.max_actions IS 'actions of all groups in max_actions_interval; NULL = no limit';
COMMENT ON COLUMN dbnet.policy.max_actions_interval IS 'see max_actions';
COMMENT ON COLUMN dbnet.policy.settle_interval IS 'no further action before the objects that the last one changed have been ready for so long; NULL = it does not wait for them';
COMMENT ON COLUMN dbnet.policy.only_if IS 'SQL condition on the event (event.value, event.grouping ...): no action while it is not true';
COMMENT ON COLUMN dbnet.policy.action IS 'procedure or function with one argument of type dbnet.policy_event; NULL = decides only';
COMMENT ON COLUMN dbnet.policy.action_owner IS 'owner of the action when the policy was made: that of another owner is not run';
COMMENT ON COLUMN dbnet.policy.action_timeout IS 'how long the action, query or only_if may run';
COMMENT ON COLUMN dbnet.policy.query IS 'source query: SELECT whose rows are groups: columns value, count, and others that name the group';
COMMENT ON COLUMN dbnet.policy.every IS 'sources query and timer: how often';
COMMENT ON COLUMN dbnet.policy.schedule IS 'source cron: minute hour day-of-month month day-of-week, or @hourly, @daily ...';
COMMENT ON COLUMN dbnet.policy.time_zone IS 'source cron: the clock by which schedule is meant';
COMMENT ON COLUMN dbnet.policy.reads IS 'mirrors that must be fresh for it to act (dbnet.fresh)';
COMMENT ON COLUMN dbnet.policy.max_staleness IS 'how long ago these were heard from at most';
COMMENT ON COLUMN dbnet.policy.version IS 'changes with every change of the policy';
COMMENT ON COLUMN dbnet.policy.created_at IS 'when it was made';

-- Values are brought up to date every ten seconds at most, states in the transaction of the decision.
CREATE TABLE dbnet.policy_state (
    policy        text  NOT NULL REFERENCES dbnet.policy ON UPDATE CASCADE ON DELETE CASCADE,
    grouping      jsonb NOT NULL,
    state         text  NOT NULL CHECK (state IN ('inactive', 'pending', 'firing', 'resolved')),
    since         timestamptz NOT NULL,
    held_at       timestamptz,
    acted_at      timestamptz,
    has_acted     boolean NOT NULL DEFAULT false,
    reason        text,
    value         double precision,
    count         bigint,
    evaluated_at  timestamptz,
    last_event    bigint,
    error         text
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 20, autovacuum_vacuum_scale_factor = 0);
CREATE UNIQUE INDEX policy_state_group ON dbnet.policy_state (policy, pg_catalog.md5(grouping::text));
COMMENT ON INDEX dbnet.policy_state_group IS 'One group; by a digest, since names may be long';
COMMENT ON TABLE dbnet.policy_state IS 'How each group of each policy stands; not dumped. Read dbnet.policy_status';
COMMENT ON COLUMN dbnet.policy_state.policy IS 'the policy';
COMMENT ON COLUMN dbnet.policy_state.grouping IS 'the group: {name of group_by: value}; {} without group_by';
COMMENT ON COLUMN dbnet.policy_state.state IS 'inactive | pending (the condition holds, not yet for hold_time) | firing | resolved (it has fired)';
COMMENT ON COLUMN dbnet.policy_state.since IS 'when it entered this state';
COMMENT ON COLUMN dbnet.policy_state.held_at IS 'when the condition held last; NULL = never';
COMMENT ON COLUMN dbnet.policy_state.acted_at IS 'last action for the group, in shadow mode the last one that there would have been';
COMMENT ON COLUMN dbnet.policy_state.has_acted IS 'there was one since it fires';
COMMENT ON COLUMN dbnet.policy_state.reason IS 'why there is none now; NULL = nothing stands in the way, or nothing is to be done';
COMMENT ON COLUMN dbnet.policy_state.value IS 'value at evaluated_at; NULL = no data';
COMMENT ON COLUMN dbnet.policy_state.count IS 'items in the window at evaluated_at';
COMMENT ON COLUMN dbnet.policy_state.evaluated_at IS 'when value and count were written';
COMMENT ON COLUMN dbnet.policy_state.error IS 'group {}: why the policy as a whole cannot be evaluated; NULL = it can';
COMMENT ON COLUMN dbnet.policy_state.last_event IS 'newest dbnet.policy_event.id of the group';

-- The type of its rows is what actions are called with.
CREATE TABLE dbnet.policy_event (
    id              bigint      PRIMARY KEY,
    at              timestamptz NOT NULL,
    policy          text        NOT NULL,
    policy_version  bigint      NOT NULL,
    owner           regrole     NOT NULL,
    grouping        jsonb       NOT NULL,
    decision        text        NOT NULL CHECK (decision IN ('act', 'not acting', 'resolved')),
    reason          text,
    state           text        NOT NULL,
    aggregate       text,
    value           double precision,
    operator        text,
    threshold       double precision,
    count           bigint,
    window_start    timestamptz,
    window_end      timestamptz,
    trace_ids       otel.trace_id[] NOT NULL DEFAULT '{}',
    mode            text        NOT NULL,
    action          text,
    action_state    text        CHECK (action_state IN ('waiting', 'done', 'failed', 'shadow')),
    attempts        integer     NOT NULL DEFAULT 0,
    error           text,
    next_attempt_at timestamptz,
    transaction     xid8,
    finished_at     timestamptz
);
CREATE INDEX policy_event_waiting ON dbnet.policy_event (policy, coalesce(next_attempt_at, '-infinity'), id) WHERE action_state = 'waiting';
CREATE INDEX policy_event_waiting_group ON dbnet.policy_event (policy, pg_catalog.md5(grouping::text), id) WHERE action_state = 'waiting';
CREATE INDEX policy_event_policy ON dbnet.policy_event (policy, id);
COMMENT ON INDEX dbnet.policy_event_waiting IS 'Actions that are to be run, by when they are due';
COMMENT ON INDEX dbnet.policy_event_waiting_group IS 'Those of a group, which are run in their order; by a digest, since names may be long';
COMMENT ON INDEX dbnet.policy_event_policy IS 'What a policy decided, and how often it acted';
COMMENT ON TABLE dbnet.policy_event IS 'Every decision of a policy, also those not to act, and what came of its action. A row of it is the argument of an action';
COMMENT ON COLUMN dbnet.policy_event.id IS 'event id: dbnet.why() and dbnet.impact() take it';
COMMENT ON COLUMN dbnet.policy_event.at IS 'when it was decided';
COMMENT ON COLUMN dbnet.policy_event.policy IS 'name of the policy';
COMMENT ON COLUMN dbnet.policy_event.policy_version IS 'dbnet.policy.version by which it was decided';
COMMENT ON COLUMN dbnet.policy_event.owner IS 'role whose rights the action has';
COMMENT ON COLUMN dbnet.policy_event.grouping IS 'the group: {name of group_by: value}';
COMMENT ON COLUMN dbnet.policy_event.decision IS 'act | not acting (see reason) | resolved (firing has ended)';
COMMENT ON COLUMN dbnet.policy_event.reason IS 'not acting: below minimum count | just missed | hold time not reached | within hysteresis | kept firing | cooling down | flap budget used | settling | stale mirror | only_if is false | error (see error); act: shadow where it was not done';
COMMENT ON COLUMN dbnet.policy_event.state IS 'state of the group from then on';
COMMENT ON COLUMN dbnet.policy_event.aggregate IS 'what value is, as in dbnet.policy';
COMMENT ON COLUMN dbnet.policy_event.value IS 'value of the window; NULL = no data, or a timer';
COMMENT ON COLUMN dbnet.policy_event.operator IS 'how it was compared';
COMMENT ON COLUMN dbnet.policy_event.threshold IS 'with what';
COMMENT ON COLUMN dbnet.policy_event.count IS 'items in the window';
COMMENT ON COLUMN dbnet.policy_event.window_start IS 'the window: from ...';
COMMENT ON COLUMN dbnet.policy_event.window_end IS '... to';
COMMENT ON COLUMN dbnet.policy_event.trace_ids IS 'some traces of the group and window: those with errors, and the slowest; of metrics those that exemplars name';
COMMENT ON COLUMN dbnet.policy_event.mode IS 'mode of the policy';
COMMENT ON COLUMN dbnet.policy_event.action IS 'what is to be called; NULL = nothing';
COMMENT ON COLUMN dbnet.policy_event.action_state IS 'waiting | done | failed (for good, see error) | shadow (would have been called); NULL = no action';
COMMENT ON COLUMN dbnet.policy_event.attempts IS 'how often it was tried';
COMMENT ON COLUMN dbnet.policy_event.error IS 'what the last failed attempt said';
COMMENT ON COLUMN dbnet.policy_event.next_attempt_at IS 'waiting: not before; NULL = at once';
COMMENT ON COLUMN dbnet.policy_event.transaction IS 'done: transaction of the action';
COMMENT ON COLUMN dbnet.policy_event.finished_at IS 'done, failed: when';

-- The same rule as for mirrors, so that one dbnet.claim() is all that a copy needs to take the original's place.
CREATE FUNCTION dbnet.is_copy() RETURNS boolean
    LANGUAGE c STABLE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_is_copy';
COMMENT ON FUNCTION dbnet.is_copy() IS 'Internal: whether this database was restored or copied from another one and dbnet.claim() was not called in it: its policies decide and record, and do not act';

CREATE VIEW dbnet.policy_status WITH (security_invoker = true) AS
SELECT p.name AS policy, p.owner, CASE WHEN NOT p.enabled THEN 'disabled' WHEN p.mode = 'act' AND (SELECT dbnet.is_copy()) THEN 'copy' ELSE p.mode END AS mode, s.grouping, s.state, s.since, s.value, s.count,
       p.aggregate, p.operator, p.threshold, s.reason, s.acted_at, s.evaluated_at, e.action_state, coalesce(s.error, e.error) AS error
FROM dbnet.policy AS p
LEFT JOIN dbnet.policy_state AS s ON s.policy = p.name
LEFT JOIN LATERAL (SELECT a.action_state, a.error FROM dbnet.policy_event AS a
                   WHERE a.policy = p.name AND a.grouping = s.grouping AND a.action_state IS NOT NULL ORDER BY a.id DESC LIMIT 1) AS e ON true;
COMMENT ON VIEW dbnet.policy_status IS 'Policies and how their groups stand: one row per group, one for a policy that has seen none yet';
COMMENT ON COLUMN dbnet.policy_status.policy IS 'name of the policy';
COMMENT ON COLUMN dbnet.policy_status.owner IS 'role with whose rights it acts';
COMMENT ON COLUMN dbnet.policy_status.mode IS 'shadow | act | disabled | copy (would act, but this database is a copy: as in shadow until dbnet.claim())';
COMMENT ON COLUMN dbnet.policy_status.grouping IS 'the group';
COMMENT ON COLUMN dbnet.policy_status.state IS 'inactive | pending | firing | resolved';
COMMENT ON COLUMN dbnet.policy_status.since IS 'when it entered this state';
COMMENT ON COLUMN dbnet.policy_status.value IS 'last value, at most ten seconds old while there is data';
COMMENT ON COLUMN dbnet.policy_status.count IS 'items behind it';
COMMENT ON COLUMN dbnet.policy_status.aggregate IS 'what the value is';
COMMENT ON COLUMN dbnet.policy_status.operator IS 'how it is compared';
COMMENT ON COLUMN dbnet.policy_status.threshold IS 'with what';
COMMENT ON COLUMN dbnet.policy_status.reason IS 'why it does not act now; NULL = nothing stands in the way, or nothing is to be done';
COMMENT ON COLUMN dbnet.policy_status.acted_at IS 'last action for the group';
COMMENT ON COLUMN dbnet.policy_status.evaluated_at IS 'when value and count were written';
COMMENT ON COLUMN dbnet.policy_status.action_state IS 'what came of the newest action';
COMMENT ON COLUMN dbnet.policy_status.error IS 'what it said when it failed; reason error: why the policy cannot be evaluated';

SELECT pg_catalog.pg_extension_config_dump('dbnet.policy', '');
SELECT pg_catalog.pg_extension_config_dump('dbnet.policy_number', '');
-- What waits in the database that was dumped is not done again in its copy.
SELECT pg_catalog.pg_extension_config_dump('dbnet.policy_event', 'WHERE action_state IS DISTINCT FROM ''waiting''');

-- The mirror worker sees to it that there is a policy worker; that reads the policies again.
CREATE FUNCTION dbnet.notify_policies() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'dbnet_notify_policies';
COMMENT ON FUNCTION dbnet.notify_policies() IS 'Trigger (AFTER, FOR EACH STATEMENT) of dbnet.policy: the policy worker reads it again when the transaction commits';
CREATE TRIGGER dbnet_notify AFTER INSERT OR UPDATE OR DELETE ON dbnet.policy FOR EACH STATEMENT EXECUTE FUNCTION dbnet.notify_configuration();
CREATE TRIGGER dbnet_notify_policies AFTER INSERT OR UPDATE OR DELETE ON dbnet.policy FOR EACH STATEMENT EXECUTE FUNCTION dbnet.notify_policies();

-- A copy that is claimed begins to act: on what holds from now on, not on what was decided before.
CREATE FUNCTION dbnet.begin_to_act() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    -- First: the policy worker holds a policy while it writes what it decided by that version, and writes nothing by another.
    UPDATE dbnet.policy SET version = nextval('dbnet.generation') WHERE mode = 'act';
    UPDATE dbnet.policy_event SET action_state = 'failed', error = 'was decided before dbnet.claim() in this copy', finished_at = now(), next_attempt_at = NULL
        WHERE action_state = 'waiting';
    UPDATE dbnet.policy_state AS s SET has_acted = false, acted_at = NULL
        WHERE s.has_acted AND 'shadow' = (SELECT e.mode FROM dbnet.policy_event AS e WHERE e.policy = s.policy AND e.grouping = s.grouping AND e.decision = 'act' ORDER BY e.id DESC LIMIT 1);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION dbnet.begin_to_act() IS 'Trigger (AFTER, FOR EACH ROW) of dbnet.arming: what waits in a copy is not done when it is claimed; what its policies have only decided, and still holds, is';
CREATE TRIGGER dbnet_begin_to_act AFTER UPDATE ON dbnet.arming FOR EACH ROW
    WHEN ((OLD.system_identifier, OLD.database) IS DISTINCT FROM (NEW.system_identifier, NEW.database)) EXECUTE FUNCTION dbnet.begin_to_act();
CREATE TRIGGER dbnet_notify_policies AFTER INSERT OR UPDATE ON dbnet.arming FOR EACH STATEMENT EXECUTE FUNCTION dbnet.notify_policies();

INSERT INTO dbnet.tracked_relation (number, relation, schema_name, table_name, key_columns)
    VALUES (9, 'dbnet.policy', 'dbnet', 'policy', '{name}');
CREATE TRIGGER dbnet_track AFTER INSERT OR UPDATE OR DELETE ON dbnet.policy FOR EACH ROW EXECUTE FUNCTION dbnet.track_row();
ALTER TABLE dbnet.policy ENABLE ALWAYS TRIGGER dbnet_track;
