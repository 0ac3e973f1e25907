-- Operations on devices that no row can express: cordon, evict, drain, restart. A function asks for one, as part of the
-- transaction; the mirror worker carries it out after the commit and tells in the row how it goes.
-- Code: src/mirror/functions/functions_operation.cpp, bgworker/operation/operations*.cpp.

-- Not dumped: nothing that was asked for in one database is done by a copy of it.
CREATE TABLE dbnet.operation (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    server          name        NOT NULL,
    relation        regclass    NOT NULL,
    namespace       text COLLATE "C" NOT NULL DEFAULT '',
    name            text COLLATE "C" NOT NULL,
    uid             text        NOT NULL,
    operation       text        NOT NULL CHECK (operation IN ('cordon', 'uncordon', 'evict', 'drain', 'restart')),
    arguments       jsonb       NOT NULL DEFAULT '{}',
    requested_by    name        NOT NULL,
    transaction     xid8        NOT NULL DEFAULT pg_catalog.pg_current_xact_id(),
    requested_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    state           text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'failed', 'cancelled')),
    message         text,
    reason          text,
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    started_at      timestamptz,
    finished_at     timestamptz,
    CHECK ((finished_at IS NOT NULL) = (state IN ('done', 'failed', 'cancelled')))
) WITH (fillfactor = 70);
CREATE INDEX operation_open ON dbnet.operation (id) WHERE finished_at IS NULL;
CREATE INDEX operation_key ON dbnet.operation (relation, namespace, name);
CREATE INDEX operation_finished ON dbnet.operation (finished_at) WHERE finished_at IS NOT NULL;
COMMENT ON INDEX dbnet.operation_open IS 'What is still to be done';
COMMENT ON INDEX dbnet.operation_key IS 'Operations on one object';
COMMENT ON INDEX dbnet.operation_finished IS 'What is old';
COMMENT ON TABLE dbnet.operation IS 'What was asked of devices with dbnet.cordon, uncordon, evict, drain and restart, and how it goes. Read dbnet.operation_status. Kept after its end as long as dbnet.actuation_retention says; not dumped';
COMMENT ON COLUMN dbnet.operation.id IS 'order of the requests';
COMMENT ON COLUMN dbnet.operation.server IS 'foreign server';
COMMENT ON COLUMN dbnet.operation.relation IS 'the mirror that holds the object''s row; its owner''s credentials are used';
COMMENT ON COLUMN dbnet.operation.namespace IS 'metadata.namespace; empty for cluster-scoped kinds';
COMMENT ON COLUMN dbnet.operation.name IS 'metadata.name';
COMMENT ON COLUMN dbnet.operation.uid IS 'incarnation of the object that it is meant for, and no other';
COMMENT ON COLUMN dbnet.operation.operation IS 'cordon | uncordon | evict | drain | restart';
COMMENT ON COLUMN dbnet.operation.arguments IS 'those that were given, by name: grace_period and timeout in seconds; pods: the mirror of the pods';
COMMENT ON COLUMN dbnet.operation.requested_by IS 'role that asked';
COMMENT ON COLUMN dbnet.operation.transaction IS 'transaction that asked';
COMMENT ON COLUMN dbnet.operation.requested_at IS 'when';
COMMENT ON COLUMN dbnet.operation.state IS 'waiting = nothing was sent yet; running; done; failed; cancelled';
COMMENT ON COLUMN dbnet.operation.message IS 'why it waits, how far it is, or why it failed, in the server''s own words where there are any';
COMMENT ON COLUMN dbnet.operation.reason IS 'the server''s reason code of the last failure, or ours: Held';
COMMENT ON COLUMN dbnet.operation.attempts IS 'failed attempts in a row of the step that the operation as a whole is at';
COMMENT ON COLUMN dbnet.operation.next_attempt_at IS 'when that step is tried again; NULL = no failed step waits';
COMMENT ON COLUMN dbnet.operation.started_at IS 'when the worker began; a timeout counts from here';
COMMENT ON COLUMN dbnet.operation.finished_at IS 'when it was done, had failed or was cancelled';

CREATE TABLE dbnet.operation_step (
    operation       bigint      NOT NULL REFERENCES dbnet.operation ON DELETE CASCADE,
    relation        regclass    NOT NULL,
    namespace       text COLLATE "C" NOT NULL,
    name            text COLLATE "C" NOT NULL,
    uid             text        NOT NULL,
    state           text        NOT NULL CHECK (state IN ('waiting', 'terminating', 'gone', 'skipped', 'failed')),
    message         text,
    reason          text,
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    changed_at      timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (operation, namespace, name)
) WITH (fillfactor = 70);
COMMENT ON TABLE dbnet.operation_step IS 'The pods of an eviction or drain, and how each of them stands';
COMMENT ON COLUMN dbnet.operation_step.operation IS 'dbnet.operation.id';
COMMENT ON COLUMN dbnet.operation_step.relation IS 'the mirror of the operation';
COMMENT ON COLUMN dbnet.operation_step.namespace IS 'of the pod';
COMMENT ON COLUMN dbnet.operation_step.name IS 'of the pod';
COMMENT ON COLUMN dbnet.operation_step.uid IS 'incarnation of the pod: another one of its name is let alone';
COMMENT ON COLUMN dbnet.operation_step.state IS 'waiting = to be evicted; terminating = its eviction was accepted; gone; skipped = it stays, message says why; failed = it is still there and was given up';
COMMENT ON COLUMN dbnet.operation_step.message IS 'the server''s own words about the last attempt, or what kubectl drain warns of';
COMMENT ON COLUMN dbnet.operation_step.reason IS 'the server''s reason code of the last failure';
COMMENT ON COLUMN dbnet.operation_step.attempts IS 'evictions that were asked for';
COMMENT ON COLUMN dbnet.operation_step.next_attempt_at IS 'when the next is asked for; NULL = none is due';
COMMENT ON COLUMN dbnet.operation_step.changed_at IS 'when the line was last written';

-- Who asked for what, and who gave it up, is on record.
INSERT INTO dbnet.tracked_relation (number, relation, schema_name, table_name, key_columns)
    VALUES (10, 'dbnet.operation', 'dbnet', 'operation', '{id}');
CREATE TRIGGER dbnet_track AFTER INSERT ON dbnet.operation FOR EACH ROW EXECUTE FUNCTION dbnet.track_row();
CREATE TRIGGER dbnet_track_cancelled AFTER UPDATE OF state ON dbnet.operation FOR EACH ROW
    WHEN (NEW.state = 'cancelled') EXECUTE FUNCTION dbnet.track_row();
ALTER TABLE dbnet.operation ENABLE ALWAYS TRIGGER dbnet_track;
ALTER TABLE dbnet.operation ENABLE ALWAYS TRIGGER dbnet_track_cancelled;

CREATE VIEW dbnet.operation_status WITH (security_invoker = true) AS
SELECT operation.id,
       operation.server,
       operation.relation,
       CASE WHEN operation.namespace = '' THEN operation.name ELSE operation.namespace || '/' || operation.name END AS key,
       operation.operation,
       operation.state,
       operation.message,
       CASE WHEN operation.reason = 'Held' AND operation.finished_at IS NULL THEN 'Decide with dbnet.approve() or dbnet.reject(); see dbnet.held.'
            WHEN operation.state = 'failed' THEN 'Mend what message says, then ask again.'
            WHEN operation.finished_at IS NULL THEN 'Nothing: DBNet goes on by itself; dbnet.cancel_operation(' || operation.id || ') gives it up.' END AS next_step,
       pods.total AS pods,
       pods.gone AS pods_gone,
       pods.waiting AS pods_waiting,
       operation.arguments,
       operation.attempts,
       coalesce(operation.next_attempt_at, pods.next_attempt_at) AS next_attempt_at,
       operation.requested_by,
       operation.transaction,
       operation.requested_at,
       operation.started_at,
       operation.finished_at
FROM dbnet.operation
CROSS JOIN LATERAL (
    SELECT pg_catalog.count(*) FILTER (WHERE step.state <> 'skipped') AS total,
           pg_catalog.count(*) FILTER (WHERE step.state = 'gone') AS gone,
           pg_catalog.min(step.next_attempt_at) FILTER (WHERE step.state = 'waiting') AS next_attempt_at,
           (pg_catalog.array_agg(step.namespace || '/' || step.name || coalesce(': ' || step.message, '') ORDER BY step.namespace, step.name)
               FILTER (WHERE step.state IN ('waiting', 'terminating', 'failed')))[1:10] AS waiting
    FROM dbnet.operation_step AS step WHERE step.operation = operation.id) AS pods;
COMMENT ON VIEW dbnet.operation_status IS 'How each operation stands: newest with ORDER BY id DESC; open ones have no finished_at';
COMMENT ON COLUMN dbnet.operation_status.id IS 'what the function returned that asked for it';
COMMENT ON COLUMN dbnet.operation_status.server IS 'foreign server';
COMMENT ON COLUMN dbnet.operation_status.relation IS 'the mirror';
COMMENT ON COLUMN dbnet.operation_status.key IS 'namespace/name, or name alone for cluster-scoped kinds';
COMMENT ON COLUMN dbnet.operation_status.operation IS 'cordon, uncordon, evict, drain or restart';
COMMENT ON COLUMN dbnet.operation_status.state IS 'waiting = nothing was sent yet; running; done; failed; cancelled';
COMMENT ON COLUMN dbnet.operation_status.message IS 'why it waits, how far it is, or why it failed, in the server''s own words where there are any';
COMMENT ON COLUMN dbnet.operation_status.next_step IS 'what to do; NULL = it is over';
COMMENT ON COLUMN dbnet.operation_status.pods IS 'pods that are to go, of an eviction or drain';
COMMENT ON COLUMN dbnet.operation_status.pods_gone IS 'of these the ones that are gone';
COMMENT ON COLUMN dbnet.operation_status.pods_waiting IS 'the first ten of the others, with the server''s words; NULL = none';
COMMENT ON COLUMN dbnet.operation_status.arguments IS 'those that were given, by name';
COMMENT ON COLUMN dbnet.operation_status.attempts IS 'failed attempts in a row of the step that the operation as a whole is at';
COMMENT ON COLUMN dbnet.operation_status.next_attempt_at IS 'when what failed is tried again; NULL = nothing waits for that';
COMMENT ON COLUMN dbnet.operation_status.requested_by IS 'role that asked';
COMMENT ON COLUMN dbnet.operation_status.transaction IS 'transaction that asked';
COMMENT ON COLUMN dbnet.operation_status.requested_at IS 'when';
COMMENT ON COLUMN dbnet.operation_status.started_at IS 'when the worker began';
COMMENT ON COLUMN dbnet.operation_status.finished_at IS 'when it was over; NULL = it is open';

-- Requests -----------------------------------------------------------------------------------------------------------

CREATE FUNCTION dbnet.cordon(relation regclass, key text) RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbnet_cordon';
COMMENT ON FUNCTION dbnet.cordon(regclass, text) IS
    'Marks a node as unschedulable: no new pod is placed on it. Where a column mirrors spec.unschedulable this is an UPDATE of the row, with all that goes for one, and the function returns NULL; else it is an operation, sent after the commit. Arguments: a mirror of Node in mode manage whose rows the caller may SELECT and UPDATE; name. Returns the id in dbnet.operation_status. Errors: 42704 not a mirror or no such row, 42809 another kind, 22023 bad key, 55000 mode observe, or there is no object, 42501 rights or row-level security';

CREATE FUNCTION dbnet.uncordon(relation regclass, key text) RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbnet_uncordon';
COMMENT ON FUNCTION dbnet.uncordon(regclass, text) IS
    'Marks a node as schedulable again. Arguments, return value and errors as for dbnet.cordon()';

CREATE FUNCTION dbnet.evict(relation regclass, key text, grace_period interval DEFAULT NULL, timeout interval DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbnet_evict';
COMMENT ON FUNCTION dbnet.evict(regclass, text, interval, interval) IS
    'Asks the server to evict a pod, after the commit, as often as its disruption budget refuses; done when the pod is gone. Arguments: a mirror of Pod in mode manage whose rows the caller may SELECT and DELETE; namespace/name; seconds that the pod is given to end, NULL = as it says itself; how long to try, NULL = as long as it takes. Returns the id in dbnet.operation_status. Errors: as for dbnet.cordon()';

CREATE FUNCTION dbnet.drain(relation regclass, key text, pods regclass DEFAULT NULL, grace_period interval DEFAULT NULL,
                            timeout interval DEFAULT NULL, ignore_daemonsets boolean DEFAULT false,
                            delete_emptydir_data boolean DEFAULT false, force boolean DEFAULT false,
                            disable_eviction boolean DEFAULT false, pod_selector text DEFAULT '',
                            dry_run boolean DEFAULT false) RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbnet_drain';
COMMENT ON FUNCTION dbnet.drain(regclass, text, regclass, interval, interval, boolean, boolean, boolean, boolean, text, boolean) IS
    'What kubectl drain does, after the commit: cordons a node, then evicts its pods as their disruption budgets allow, and is done when they are gone. A row of the node that is deleted in the same transaction, or while it runs, takes its object along only when it is done; if it fails, that deletion is held (dbnet.held). Arguments: a mirror of Node in mode manage whose rows the caller may SELECT and UPDATE; name; a mirror of Pod in mode manage of the same server, of all namespaces and without label_selector, whose rows the caller may DELETE, NULL or another one = the caller may DELETE rows of the nodes'' mirror: the pods are looked up at the server with the credentials of its owner in either case; seconds that each pod is given to end, NULL = as it says itself, 0 = none; how long to try, NULL = as long as it takes; and with the defaults of kubectl: let pods of DaemonSets be; evict pods with emptyDir volumes; evict pods that nobody will make anew; DELETE in place of evictions, past disruption budgets; label selector of pods; dry_run: the server is asked whether each pod would go, and nothing is done; the operation is done when all would, failed when one would not, with the server''s words. Returns the id in dbnet.operation_status. Errors: as for dbnet.cordon()';

CREATE FUNCTION dbnet.restart(relation regclass, key text) RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbnet_restart';
COMMENT ON FUNCTION dbnet.restart(regclass, text) IS
    'What kubectl rollout restart does: sets annotation kubectl.kubernetes.io/restartedAt in the pod template, so that all pods are made anew, a few at a time. Where DBNet owns spec.template, or the annotations in it, this is an UPDATE of the row and the function returns NULL; else it is an operation, sent after the commit. Arguments: a mirror of Deployment, StatefulSet or DaemonSet in mode manage whose rows the caller may SELECT and UPDATE; namespace/name. Returns the id in dbnet.operation_status. Errors: as for dbnet.cordon()';

CREATE FUNCTION dbnet.cancel_operation(id bigint) RETURNS boolean
    LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'dbnet_cancel_operation';
COMMENT ON FUNCTION dbnet.cancel_operation(bigint) IS
    'Gives an operation up, from its commit on: nothing more is sent for it; what the server has accepted stays done. Argument: an operation that the caller, or a role whose rights it has, has asked for, or any for members of dbnet_operator. Returns whether it was still open. Errors: 42704 no such operation, 42501 somebody else''s';

-- Answers with an error where it would wait for ever, and sees each commit: a function of one snapshot would not.
CREATE FUNCTION dbnet.wait_operation(id bigint, timeout interval DEFAULT '30 s', OUT state text, OUT message text)
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    deadline timestamptz := clock_timestamp() + timeout;
    asked record;
BEGIN
    SELECT o.transaction, pg_current_xact_id_if_assigned() AS own, current_setting('transaction_isolation') AS isolation INTO asked
        FROM dbnet.operation AS o WHERE o.id = wait_operation.id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no operation %', wait_operation.id USING ERRCODE = 'undefined_object',
            HINT = 'SELECT * FROM dbnet.operation_status; shows those on mirrors that you may read.';
    END IF;
    IF asked.transaction = asked.own THEN
        RAISE EXCEPTION 'operation % begins after the commit of this transaction', wait_operation.id
            USING ERRCODE = 'active_sql_transaction', HINT = 'Commit first, then call dbnet.wait_operation().';
    END IF;
    IF asked.isolation <> 'read committed' THEN
        RAISE EXCEPTION 'dbnet.wait_operation() sees nothing new in this transaction'
            USING ERRCODE = 'active_sql_transaction', HINT = 'Call it in a transaction with isolation level READ COMMITTED.';
    END IF;
    LOOP
        SELECT o.state, o.message INTO wait_operation.state, wait_operation.message FROM dbnet.operation AS o
            WHERE o.id = wait_operation.id;
        EXIT WHEN wait_operation.state IN ('done', 'failed', 'cancelled') OR clock_timestamp() >= deadline;
        PERFORM pg_sleep(0.02);
    END LOOP;
END
$$;
COMMENT ON FUNCTION dbnet.wait_operation(bigint, interval) IS
    'Waits until an operation is over. Arguments: what the function returned that asked for it; timeout. Returns the state, which is waiting or running when the time was over before, and the message. Errors: 42704 no such operation, or none that the caller may see, 25001 it was asked for by this very transaction, or the transaction has an old snapshot';
