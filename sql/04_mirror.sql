-- Tables of mirrors: configuration (dumped), what each object has and what was sent to it, and the log of device calls.
-- Written by the functions of 06_control.sql (as the extension's owner) and by the mirror worker; read through the views of 05_views.sql.

-- Configuration ------------------------------------------------------------------------------------------------------

CREATE TABLE dbnet.mirrored_relation (
    relation           regclass PRIMARY KEY,
    server             name     NOT NULL,
    api_version        text     NOT NULL,
    kind               text     NOT NULL,
    resource           text     NOT NULL,
    namespaced         boolean  NOT NULL,
    namespace          text,
    label_selector     text     NOT NULL DEFAULT '',
    mode               text     NOT NULL DEFAULT 'observe' CHECK (mode IN ('observe', 'manage')),
    on_drift           text     NOT NULL DEFAULT 'report' CHECK (on_drift IN ('report', 'enforce', 'follow', 'seed')),
    on_external_delete text     CHECK (on_external_delete IN ('drop_row', 'flag', 'recreate')),
    delete_foreign     boolean  NOT NULL DEFAULT false,
    on_immutable       text     NOT NULL DEFAULT 'refuse' CHECK (on_immutable IN ('refuse', 'recreate')),
    initial            text     NOT NULL DEFAULT 'compare' CHECK (initial IN ('compare', 'pull', 'push')),
    field_manager      text     NOT NULL UNIQUE CHECK (field_manager ~ '^dbnet-[0-9a-f]{16}$'),
    generated          boolean  NOT NULL DEFAULT false,
    known_fields       text[],
    secret_values      text     CHECK (secret_values IN ('digest', 'plain')),
    paused_reason      text,
    paused_by          name,
    paused_at          timestamptz,
    generation         bigint   NOT NULL DEFAULT pg_catalog.nextval('dbnet.generation'),
    created_at         timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CHECK (namespaced OR namespace IS NULL),
    CHECK ((paused_reason IS NULL) = (paused_at IS NULL))
);
COMMENT ON TABLE dbnet.mirrored_relation IS 'Which table mirrors which kind of which server. Change it with dbnet.mirror, alter_mirror, unmirror, pause and resume';
COMMENT ON COLUMN dbnet.mirrored_relation.relation IS 'the user''s table; its owner owns the mirror';
COMMENT ON COLUMN dbnet.mirrored_relation.server IS 'foreign server of wrapper dbnet_kubernetes';
COMMENT ON COLUMN dbnet.mirrored_relation.api_version IS 'group/version, or version alone for the core group: apps/v1, v1';
COMMENT ON COLUMN dbnet.mirrored_relation.kind IS 'kind as the server spells it: Deployment';
COMMENT ON COLUMN dbnet.mirrored_relation.resource IS 'plural name in request paths: deployments';
COMMENT ON COLUMN dbnet.mirrored_relation.namespaced IS 'objects of the kind live in namespaces';
COMMENT ON COLUMN dbnet.mirrored_relation.namespace IS 'the one namespace that is mirrored; NULL = all, and the table has a column for metadata.namespace';
COMMENT ON COLUMN dbnet.mirrored_relation.label_selector IS 'only objects that match; empty = all';
COMMENT ON COLUMN dbnet.mirrored_relation.mode IS 'observe = import and follow, never write; manage = committed changes go to the server';
COMMENT ON COLUMN dbnet.mirrored_relation.on_drift IS 'a claimed field was changed by somebody else: report | enforce | follow | seed (follow, and let go of a field as soon as somebody else owns it too); mirrored_column.on_drift goes first';
COMMENT ON COLUMN dbnet.mirrored_relation.on_external_delete IS 'an object was deleted by somebody else: drop_row | flag | recreate (what DBNet created and no controller looks after); NULL, and for recreate all others = drop_row for what DBNet did not create, else flag';
COMMENT ON COLUMN dbnet.mirrored_relation.delete_foreign IS 'deleting the row of an object that DBNet did not create needs no approval';
COMMENT ON COLUMN dbnet.mirrored_relation.on_immutable IS 'the server refuses a change because the field is set once, when the object is made: refuse = phase invalid | recreate = the object is deleted and made anew (what DBNet created, no controller looks after, and of no kind whose deletes are always held)';
COMMENT ON COLUMN dbnet.mirrored_relation.initial IS 'what rows that were there before the mirror mean: compare (nothing yet) | pull (the server is right) | push (they are claims)';
COMMENT ON COLUMN dbnet.mirrored_relation.field_manager IS 'name under which fields are owned on the server; random, never changed';
COMMENT ON COLUMN dbnet.mirrored_relation.generated IS 'DBNet made the table, or it has all columns of such a table: dbnet.refresh_schema adds columns for new fields';
COMMENT ON COLUMN dbnet.mirrored_relation.known_fields IS 'paths for which a generated table has a column by the schema that was last read; what comes later is new to dbnet.refresh_schema; NULL = no schema was read';
COMMENT ON COLUMN dbnet.mirrored_relation.secret_values IS 'what stands in the database for the values of a Secret: digest (under dbnet.digest_key; users cannot set them) | plain (the values); NULL = the kind holds no secrets';
COMMENT ON COLUMN dbnet.mirrored_relation.paused_reason IS 'why no request that changes a device is sent for this mirror; NULL = not paused (see also dbnet.paused_server)';
COMMENT ON COLUMN dbnet.mirrored_relation.paused_by IS 'role that paused';
COMMENT ON COLUMN dbnet.mirrored_relation.paused_at IS 'when it was paused';
COMMENT ON COLUMN dbnet.mirrored_relation.generation IS 'changes with every change of the configuration';
COMMENT ON COLUMN dbnet.mirrored_relation.created_at IS 'when dbnet.mirror made it';

-- No foreign key: pg_restore -j fills the tables of an extension in any order.
CREATE TABLE dbnet.mirrored_column (
    relation    regclass NOT NULL,
    column_name name     NOT NULL,
    path        text     NOT NULL,
    role        text     NOT NULL CHECK (role IN ('key', 'spec', 'status', 'meta')),
    value_type  text     NOT NULL CHECK (value_type IN
                    ('string', 'integer', 'number', 'boolean', 'json', 'time', 'quantity', 'int_or_string')),
    format      text     NOT NULL DEFAULT '',
    column_type text     NOT NULL,
    on_drift    text     CHECK (on_drift IN ('report', 'enforce', 'follow', 'seed')),
    subresource text     CHECK (subresource IN ('status', 'scale')),
    description text,
    required    boolean  NOT NULL DEFAULT false,
    rules       jsonb,
    PRIMARY KEY (relation, column_name),
    UNIQUE (relation, path)
);
COMMENT ON TABLE dbnet.mirrored_column IS 'Which column of a mirror holds which field; columns that are not listed are local';
COMMENT ON COLUMN dbnet.mirrored_column.relation IS 'the mirror';
COMMENT ON COLUMN dbnet.mirrored_column.column_name IS 'column of the user''s table';
COMMENT ON COLUMN dbnet.mirrored_column.path IS 'field of the object: spec.template.spec.containers[name=app].image';
COMMENT ON COLUMN dbnet.mirrored_column.role IS 'key = name or namespace; spec and meta = written by users, claimed and applied; status = written by reports only';
COMMENT ON COLUMN dbnet.mirrored_column.value_type IS 'type of the field on the server';
COMMENT ON COLUMN dbnet.mirrored_column.format IS 'OpenAPI format of the field: int32, int64, date-time, micro-time, byte; empty = none';
COMMENT ON COLUMN dbnet.mirrored_column.column_type IS 'type of the column as format_type spells it, when the mirror was made';
COMMENT ON COLUMN dbnet.mirrored_column.on_drift IS 'as mirrored_relation.on_drift, for this field; NULL = as the mirror';
COMMENT ON COLUMN dbnet.mirrored_column.subresource IS 'where values that users write are sent: status (applied there; what a controller does) | scale (set there, whoever owns the field); NULL = to the object itself';
COMMENT ON COLUMN dbnet.mirrored_column.description IS 'the schema''s words about the field, up to 1000 bytes';
COMMENT ON COLUMN dbnet.mirrored_column.required IS 'the object that holds the field must have it';
COMMENT ON COLUMN dbnet.mirrored_column.rules IS 'which values the field takes, all that lies below it included, when the mirror was made: types, ranges, lists of values, patterns; NULL = not known, nothing is checked';

CREATE FUNCTION dbnet.has_unique_key(relation oid, columns text[]) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN EXISTS (SELECT FROM pg_index WHERE indrelid = relation AND indisunique AND indisvalid AND indimmediate
        AND indpred IS NULL AND indexprs IS NULL
        AND (SELECT array_agg(attname::text ORDER BY attname::text) FROM unnest(indkey[0:indnkeyatts - 1]) AS key(attnum)
             JOIN pg_attribute AS attribute ON attrelid = relation AND attribute.attnum = key.attnum)
          = (SELECT array_agg(name ORDER BY name) FROM unnest(columns) AS wanted(name)));
END
$$;
COMMENT ON FUNCTION dbnet.has_unique_key(oid, text[]) IS
    'Whether rows of the table can be found by just these columns, of which together there are no two the same: a unique index that is immediate, complete and on plain columns. Reports rely on it';

CREATE TABLE dbnet.paused_server (
    server    name PRIMARY KEY,
    reason    text NOT NULL,
    paused_by name NOT NULL DEFAULT session_user,
    paused_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE dbnet.paused_server IS 'Servers to which no request that changes a device is sent. Change it with dbnet.pause and dbnet.resume';
COMMENT ON COLUMN dbnet.paused_server.server IS 'foreign server';
COMMENT ON COLUMN dbnet.paused_server.reason IS 'why, in the words of who paused it';
COMMENT ON COLUMN dbnet.paused_server.paused_by IS 'role that paused';
COMMENT ON COLUMN dbnet.paused_server.paused_at IS 'when it was paused';

CREATE TABLE dbnet.arming (
    singleton         boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    system_identifier bigint NOT NULL,
    database          oid    NOT NULL,
    term              bigint NOT NULL DEFAULT 0,
    claimed_by        text,
    older_than        text
);
COMMENT ON TABLE dbnet.arming IS 'The server and database that may write to devices, and whose policies act; anywhere else (a restored dump, a clone) every mirror is disarmed, and every policy in shadow, until dbnet.claim()';
COMMENT ON COLUMN dbnet.arming.singleton IS 'always true: one row at most; none before the first dbnet.mirror() or dbnet.create_policy()';
COMMENT ON COLUMN dbnet.arming.system_identifier IS 'pg_control_system().system_identifier of the server';
COMMENT ON COLUMN dbnet.arming.database IS 'oid of the database';
COMMENT ON COLUMN dbnet.arming.term IS 'grows with every dbnet.claim(), of this database or of a copy; the Lease of each server holds that of its holder';
COMMENT ON COLUMN dbnet.arming.claimed_by IS 'installation on which the newest dbnet.claim() was called: host, and a hash of boot and data directory; NULL = none, or one of a copy';
COMMENT ON COLUMN dbnet.arming.older_than IS 'position of a Lease''s holder, system identifier/timeline/LSN/0, that was not in the log of this database: it is an older copy and sends nothing; NULL = none; dbnet.claim() empties it';

-- Not dumped: who has a dump could try out values. A restored database digests anew.
CREATE TABLE dbnet.digest_key (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    key       text    NOT NULL DEFAULT pg_catalog.gen_random_uuid()::text || pg_catalog.gen_random_uuid()::text
);
INSERT INTO dbnet.digest_key DEFAULT VALUES;
COMMENT ON TABLE dbnet.digest_key IS 'The key under which digests stand for values of Secrets; nobody but the extension reads it';
COMMENT ON COLUMN dbnet.digest_key.singleton IS 'always true: one row';
COMMENT ON COLUMN dbnet.digest_key.key IS '244 random bits, made by CREATE EXTENSION; a new one changes every digest once';

-- State --------------------------------------------------------------------------------------------------------------

CREATE TABLE dbnet.mirror_state (
    relation         regclass PRIMARY KEY,
    state            text NOT NULL DEFAULT 'starting' CHECK (state IN ('starting', 'synced', 'degraded', 'disarmed', 'offline')),
    message          text,
    listed           bigint,
    expected         bigint,
    resource_version text,
    watch_since      timestamptz,
    last_event_at    timestamptz,
    told_at          timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    cluster          text,
    repaired         bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 20, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE dbnet.mirror_state IS 'What the mirror worker last said of each mirror; see dbnet.mirror_status for what holds. Not dumped';
COMMENT ON COLUMN dbnet.mirror_state.relation IS 'the mirror';
COMMENT ON COLUMN dbnet.mirror_state.state IS 'starting = first list not complete; synced; degraded = list, watch or connection fails, or the kind''s schema has changed (see dbnet.refresh_schema); disarmed = this database is a copy, or another server of it writes: see message and dbnet.claim(); offline = the server has option offline, nobody connects to it';
COMMENT ON COLUMN dbnet.mirror_state.message IS 'what is wrong, in the server''s words where there are any';
COMMENT ON COLUMN dbnet.mirror_state.listed IS 'objects seen by the running or last list';
COMMENT ON COLUMN dbnet.mirror_state.expected IS 'objects the server announced for that list; NULL = it did not say';
COMMENT ON COLUMN dbnet.mirror_state.resource_version IS 'version from which the watch goes on';
COMMENT ON COLUMN dbnet.mirror_state.watch_since IS 'start of the running watch; NULL = none is running';
COMMENT ON COLUMN dbnet.mirror_state.last_event_at IS 'last sign of life of the watch (event, bookmark or renewal)';
COMMENT ON COLUMN dbnet.mirror_state.told_at IS 'when the worker said so';
COMMENT ON COLUMN dbnet.mirror_state.cluster IS 'uid of the cluster''s namespace kube-system, by which a server that leads to another cluster is told; NULL = it may not be read';
COMMENT ON COLUMN dbnet.mirror_state.repaired IS 'objects of which the watch had not told what they had become, as a compare found (dbnet.compare_interval)';

CREATE FUNCTION dbnet.mirroring(OUT state text, OUT message text, OUT since timestamptz) RETURNS SETOF record
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1 AS 'MODULE_PATHNAME', 'dbnet_mirroring';
COMMENT ON FUNCTION dbnet.mirroring() IS 'Internal, for dbnet.current_mirror_state: what holds for all mirrors of the database. One row: state and message that hold whatever was last said of each (disarmed, or no worker is running), NULL = none; since: what was said before it does not count, being another process''s';

-- What a worker said that is gone, or in the database of which this one is a copy, does not hold.
CREATE VIEW dbnet.current_mirror_state WITH (security_invoker = true) AS
SELECT mirror.relation,
       CASE told.by WHEN 'mirror' THEN said.state WHEN 'database' THEN all_of_them.state ELSE 'starting' END AS state,
       CASE told.by WHEN 'mirror' THEN said.message WHEN 'database' THEN all_of_them.message END AS message,
       said.listed,
       said.expected,
       said.watch_since,
       said.last_event_at,
       said.cluster,
       said.repaired
FROM dbnet.mirrored_relation AS mirror
LEFT JOIN dbnet.mirror_state AS said ON said.relation = mirror.relation
CROSS JOIN dbnet.mirroring() AS all_of_them
CROSS JOIN LATERAL (
    SELECT CASE WHEN said.state IN ('disarmed', 'offline') AND all_of_them.state IS DISTINCT FROM 'disarmed' THEN 'mirror'
                WHEN all_of_them.state IS NOT NULL THEN 'database'
                WHEN said.told_at >= all_of_them.since THEN 'mirror' END AS by) AS told;
COMMENT ON VIEW dbnet.current_mirror_state IS 'Internal: dbnet.mirror_state as far as it holds now';
COMMENT ON COLUMN dbnet.current_mirror_state.relation IS 'the mirror';
COMMENT ON COLUMN dbnet.current_mirror_state.state IS 'see dbnet.mirror_status';
COMMENT ON COLUMN dbnet.current_mirror_state.message IS 'what is wrong';
COMMENT ON COLUMN dbnet.current_mirror_state.listed IS 'see dbnet.mirror_state';
COMMENT ON COLUMN dbnet.current_mirror_state.expected IS 'see dbnet.mirror_state';
COMMENT ON COLUMN dbnet.current_mirror_state.watch_since IS 'see dbnet.mirror_state';
COMMENT ON COLUMN dbnet.current_mirror_state.last_event_at IS 'see dbnet.mirror_state';
COMMENT ON COLUMN dbnet.current_mirror_state.cluster IS 'see dbnet.mirror_state';
COMMENT ON COLUMN dbnet.current_mirror_state.repaired IS 'see dbnet.mirror_state';

-- Keys of objects are ASCII and compared a dozen times for each lookup: byte order is cheap, and kubectl's.

-- One row per object, rewritten on each report and each answer. The partial index leaves the common rewrite
-- (synced stays synced) a heap-only update.
CREATE TABLE dbnet.object (
    relation           regclass NOT NULL,
    namespace          text COLLATE "C" NOT NULL DEFAULT '',
    name               text COLLATE "C" NOT NULL,
    uid                text,
    resource_version   text,
    generation         bigint,
    live               jsonb,
    managers           jsonb    NOT NULL DEFAULT '{}',
    base               jsonb    NOT NULL DEFAULT '{}',
    claimed            text[]   NOT NULL DEFAULT '{}',
    applied            jsonb    NOT NULL DEFAULT '{}',
    first_written      text[]   NOT NULL DEFAULT '{}',
    stamp              text,
    phase              text     CHECK (phase IN
                           ('pending', 'applying', 'synced', 'conflict', 'invalid', 'denied', 'stale', 'uncertain', 'deleting',
                            'waiting_deleted', 'held', 'fighting', 'drifted', 'absent', 'report_failed')),
    health             text,
    health_message     text,
    message            text,
    reason             text,
    attempts           integer  NOT NULL DEFAULT 0,
    next_attempt_at    timestamptz,
    created_by_us      boolean  NOT NULL DEFAULT false,
    controller         text,
    last_manager       text,
    commit_transaction xid8,
    commit_lsn         pg_lsn,
    committer          name,
    last_actuation     bigint,
    replacing          text,
    changed_at         timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (relation, namespace, name)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.1);
-- Where the server was built with it; it costs a fifth of pglz.
DO $$
BEGIN
    ALTER TABLE dbnet.object ALTER COLUMN live SET COMPRESSION lz4, ALTER COLUMN base SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END $$;
CREATE INDEX object_unsettled ON dbnet.object (relation, phase) WHERE phase <> 'synced';
COMMENT ON INDEX dbnet.object_unsettled IS 'Objects that wait or need attention';
COMMENT ON TABLE dbnet.object IS 'One row per object of a mirror: what the device has, what was sent, what was answered. Read dbnet.object_status';
COMMENT ON COLUMN dbnet.object.relation IS 'the mirror';
COMMENT ON COLUMN dbnet.object.namespace IS 'metadata.namespace; empty for cluster-scoped kinds';
COMMENT ON COLUMN dbnet.object.name IS 'metadata.name';
COMMENT ON COLUMN dbnet.object.uid IS 'metadata.uid of the incarnation last seen; NULL = never seen';
COMMENT ON COLUMN dbnet.object.resource_version IS 'metadata.resourceVersion last seen';
COMMENT ON COLUMN dbnet.object.generation IS 'metadata.generation last seen';
COMMENT ON COLUMN dbnet.object.live IS 'the whole object last seen, without metadata.managedFields; NULL = absent';
COMMENT ON COLUMN dbnet.object.managers IS '{path: [manager, time, another manager that owns the same as DBNet does: if there is one]} of the mapped fields';
COMMENT ON COLUMN dbnet.object.base IS '{path: value} last written into the row by a report, or read equal from it; a row value that differs was set by a user';
COMMENT ON COLUMN dbnet.object.claimed IS 'paths that users of this mirror have set and DBNet therefore owns';
COMMENT ON COLUMN dbnet.object.applied IS '{path: value} that the server last accepted from us';
COMMENT ON COLUMN dbnet.object.first_written IS 'paths for which an apply has been attempted';
COMMENT ON COLUMN dbnet.object.stamp IS 'our annotation of the last accepted apply: system identifier/timeline/commit LSN/event id of the row''s version';
COMMENT ON COLUMN dbnet.object.phase IS 'where the object stands, NULL = observed, nothing was ever asked of it; dbnet.object_status says what it means and what to do';
COMMENT ON COLUMN dbnet.object.health IS 'ready | in_progress | failed | terminating, by the rules of the kind';
COMMENT ON COLUMN dbnet.object.health_message IS 'why it is not ready, in the object''s own words where it has any; NULL = it is';
COMMENT ON COLUMN dbnet.object.message IS 'the server''s own words about the last failure, or ours';
COMMENT ON COLUMN dbnet.object.reason IS 'the server''s reason code of the last failure';
COMMENT ON COLUMN dbnet.object.attempts IS 'failed attempts since the last success; in phase fighting: how often the object was put back';
COMMENT ON COLUMN dbnet.object.next_attempt_at IS 'when it is tried again; NULL = not by itself';
COMMENT ON COLUMN dbnet.object.created_by_us IS 'the object exists because a row was inserted, or was adopted (dbnet.adopt)';
COMMENT ON COLUMN dbnet.object.controller IS 'kind/name of the controller ownerReference; such objects are never created nor enforced';
COMMENT ON COLUMN dbnet.object.last_manager IS 'field manager of the newest change seen';
COMMENT ON COLUMN dbnet.object.commit_transaction IS 'transaction of the newest change acted upon';
COMMENT ON COLUMN dbnet.object.commit_lsn IS 'its commit in the WAL';
COMMENT ON COLUMN dbnet.object.committer IS 'role that committed the row as it was then; who asks for another try is none';
COMMENT ON COLUMN dbnet.object.last_actuation IS 'dbnet.actuation.id of the newest call for the object that was answered';
COMMENT ON COLUMN dbnet.object.replacing IS 'uid of the incarnation that DBNet deletes to make the object anew (on_immutable recreate); its end is no external delete; NULL = none';
COMMENT ON COLUMN dbnet.object.changed_at IS 'when this row was last written';

CREATE TABLE dbnet.tombstone (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    relation      regclass NOT NULL,
    namespace     text COLLATE "C" NOT NULL DEFAULT '',
    name          text COLLATE "C" NOT NULL,
    uid           text,
    created_by_us boolean  NOT NULL DEFAULT false,
    last_body     jsonb,
    deleted_by    name     NOT NULL DEFAULT session_user,
    transaction   xid8     NOT NULL DEFAULT pg_catalog.pg_current_xact_id(),
    at            timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX tombstone_key ON dbnet.tombstone (relation, namespace, name);
COMMENT ON INDEX dbnet.tombstone_key IS 'The tombstone of a key';
COMMENT ON TABLE dbnet.tombstone IS 'Rows that were deleted and whose objects must go too; removed once the object is gone, or made anew for a row that was inserted again. Only a tombstone deletes: an absent row never does';
COMMENT ON COLUMN dbnet.tombstone.id IS 'order of deletion';
COMMENT ON COLUMN dbnet.tombstone.relation IS 'the mirror';
COMMENT ON COLUMN dbnet.tombstone.namespace IS 'metadata.namespace; empty for cluster-scoped kinds';
COMMENT ON COLUMN dbnet.tombstone.name IS 'metadata.name';
COMMENT ON COLUMN dbnet.tombstone.uid IS 'incarnation that is to be deleted, and no other; NULL = the row''s object was never seen';
COMMENT ON COLUMN dbnet.tombstone.created_by_us IS 'that incarnation was made, or adopted, by DBNet as far as was known then: of another one the deletion waits for an approval';
COMMENT ON COLUMN dbnet.tombstone.last_body IS 'the object as last seen';
COMMENT ON COLUMN dbnet.tombstone.deleted_by IS 'role that deleted the row';
COMMENT ON COLUMN dbnet.tombstone.transaction IS 'transaction that deleted the row';
COMMENT ON COLUMN dbnet.tombstone.at IS 'when the row was deleted';

CREATE TABLE dbnet.held_change (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    relation    regclass NOT NULL,
    namespace   text COLLATE "C" NOT NULL DEFAULT '',
    name        text COLLATE "C" NOT NULL,
    operation   text     NOT NULL CHECK (operation IN ('apply', 'delete', 'cordon', 'uncordon', 'evict', 'drain', 'restart')),
    transaction xid8,
    reason      text     NOT NULL,
    since       timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    decision    text     CHECK (decision IN ('approved', 'rejected')),
    decided_by  name,
    decided_at  timestamptz,
    decided_in  xid8,
    row_digest  jsonb,
    CHECK ((decision IS NULL) = (decided_at IS NULL))
);
CREATE UNIQUE INDEX held_change_undecided ON dbnet.held_change (relation, namespace, name, operation) WHERE decision IS NULL;
COMMENT ON INDEX dbnet.held_change_undecided IS 'An object waits for one decision per operation';
COMMENT ON TABLE dbnet.held_change IS 'Changes that wait for somebody''s decision because they are many or dangerous. Read dbnet.held; decide with dbnet.approve and dbnet.reject';
COMMENT ON COLUMN dbnet.held_change.id IS 'number of the held change; the smallest of a group names the group in dbnet.held';
COMMENT ON COLUMN dbnet.held_change.relation IS 'the mirror';
COMMENT ON COLUMN dbnet.held_change.namespace IS 'metadata.namespace; empty for cluster-scoped kinds';
COMMENT ON COLUMN dbnet.held_change.name IS 'metadata.name';
COMMENT ON COLUMN dbnet.held_change.operation IS 'apply | delete, or what was asked for: cordon | uncordon | evict | drain | restart';
COMMENT ON COLUMN dbnet.held_change.transaction IS 'transaction that made the change; NULL = found by a compare';
COMMENT ON COLUMN dbnet.held_change.reason IS 'which limit or rule held it';
COMMENT ON COLUMN dbnet.held_change.since IS 'when it was held';
COMMENT ON COLUMN dbnet.held_change.decision IS 'approved | rejected; NULL = undecided';
COMMENT ON COLUMN dbnet.held_change.decided_by IS 'role that decided';
COMMENT ON COLUMN dbnet.held_change.decided_at IS 'when it was decided';
COMMENT ON COLUMN dbnet.held_change.decided_in IS 'transaction that decided';
COMMENT ON COLUMN dbnet.held_change.row_digest IS 'of a rejected apply: for each path a hash of what the row held, under dbnet.digest_key, so that what is written later stays';

CREATE TABLE dbnet.ownership_request (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    relation     regclass NOT NULL,
    namespace    text COLLATE "C" NOT NULL DEFAULT '',
    name         text COLLATE "C" NOT NULL,
    operation    text     NOT NULL CHECK (operation IN ('release', 'adopt', 'expect', 'restore')),
    path         text,
    value        jsonb,
    requested_by name     NOT NULL DEFAULT session_user,
    transaction  xid8     NOT NULL DEFAULT pg_catalog.pg_current_xact_id(),
    at           timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    CHECK (path IS NOT NULL OR operation <> 'release'),
    CHECK (path IS NULL OR operation NOT IN ('expect', 'restore'))
);
CREATE INDEX ownership_request_key ON dbnet.ownership_request (relation, namespace, name);
COMMENT ON INDEX dbnet.ownership_request_key IS 'What is asked of a key';
COMMENT ON TABLE dbnet.ownership_request IS 'Fields that DBNet is to let go of (dbnet.release) or to take over (dbnet.adopt), the version that an object must have to be changed (dbnet.expect), and as what an object is to be made again (dbnet.undo); removed once the server has taken note. Of one field only the newest request stands';
COMMENT ON COLUMN dbnet.ownership_request.id IS 'order of the requests';
COMMENT ON COLUMN dbnet.ownership_request.relation IS 'the mirror';
COMMENT ON COLUMN dbnet.ownership_request.namespace IS 'metadata.namespace; empty for cluster-scoped kinds';
COMMENT ON COLUMN dbnet.ownership_request.name IS 'metadata.name';
COMMENT ON COLUMN dbnet.ownership_request.operation IS 'release | adopt | expect | restore';
COMMENT ON COLUMN dbnet.ownership_request.path IS 'the field; NULL = the object itself: adopted, it counts as created by DBNet from then on';
COMMENT ON COLUMN dbnet.ownership_request.value IS 'release: what the row held then, another value is a new claim; expect: the resource version; restore: dbnet.deleted_object.id';
COMMENT ON COLUMN dbnet.ownership_request.requested_by IS 'role that asked';
COMMENT ON COLUMN dbnet.ownership_request.transaction IS 'transaction that asked';
COMMENT ON COLUMN dbnet.ownership_request.at IS 'when';

CREATE TABLE dbnet.deleted_object (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    relation    regclass NOT NULL,
    namespace   text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    transaction xid8     NOT NULL,
    last_body   jsonb    NOT NULL,
    at          timestamptz NOT NULL
);
CREATE INDEX deleted_object_key ON dbnet.deleted_object (relation, namespace, name);
COMMENT ON INDEX dbnet.deleted_object_key IS 'What was known of a key';
COMMENT ON TABLE dbnet.deleted_object IS 'Objects that went because their rows were deleted, as they were last seen: dbnet.undo() makes them again as they were. Kept as long as dbnet.provenance_retention says';
COMMENT ON COLUMN dbnet.deleted_object.id IS 'number';
COMMENT ON COLUMN dbnet.deleted_object.relation IS 'the mirror';
COMMENT ON COLUMN dbnet.deleted_object.namespace IS 'metadata.namespace; empty for cluster-scoped kinds';
COMMENT ON COLUMN dbnet.deleted_object.name IS 'metadata.name';
COMMENT ON COLUMN dbnet.deleted_object.transaction IS 'transaction that deleted the row';
COMMENT ON COLUMN dbnet.deleted_object.last_body IS 'the object as last seen; of a Secret without data and stringData';
COMMENT ON COLUMN dbnet.deleted_object.at IS 'when the row was deleted';

-- A ring of 8 partitions, each for 2^39 microseconds (6.4 days) of ids, which are event ids (08_provenance.sql): no table is made or
-- dropped at run time. The mirror worker empties what dbnet.actuation_retention (at most 44 days) no longer keeps.
CREATE TABLE dbnet.actuation (
    id          bigint      NOT NULL,
    cause       bigint,
    at          timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    relation    regclass    NOT NULL,
    namespace   text COLLATE "C" NOT NULL DEFAULT '',
    name        text COLLATE "C" NOT NULL,
    operation   text        NOT NULL,
    paths       text[],
    transaction xid8,
    commit_lsn  pg_lsn,
    role        name,
    attempt     integer     NOT NULL DEFAULT 1,
    http_status integer,
    reason      text,
    message     text,
    latency_ms  double precision,
    forced      boolean     NOT NULL DEFAULT false,
    warnings    text[],
    acts_as     text
) PARTITION BY LIST (((id >> 49) & 7));
CREATE INDEX actuation_id ON dbnet.actuation (id);
CREATE INDEX actuation_cause ON dbnet.actuation (cause) WHERE cause IS NOT NULL;
CREATE INDEX actuation_at ON dbnet.actuation (at);
CREATE INDEX actuation_key ON dbnet.actuation (relation, namespace, name);
COMMENT ON INDEX dbnet.actuation_id IS 'One call, and what is old';
COMMENT ON INDEX dbnet.actuation_cause IS 'Calls that carried a change';
COMMENT ON INDEX dbnet.actuation_at IS 'Newest calls first';
COMMENT ON INDEX dbnet.actuation_key IS 'Calls for one object';
COMMENT ON TABLE dbnet.actuation IS 'Every call that was to change a device, one row per answer. Paths, never values';
COMMENT ON COLUMN dbnet.actuation.id IS 'event id: calls are in the order of their answers, and dbnet.event_time(id) is when it was recorded';
COMMENT ON COLUMN dbnet.actuation.cause IS 'event whose change the call carried: the version of the row (dbnet.entity_version.id), or the transaction where none is recorded; of what a compare found the newest version of the row; NULL = nothing is recorded';
COMMENT ON COLUMN dbnet.actuation.at IS 'when the answer arrived';
COMMENT ON COLUMN dbnet.actuation.relation IS 'the mirror; of a drained pod that has none, that of its node';
COMMENT ON COLUMN dbnet.actuation.namespace IS 'metadata.namespace; empty for cluster-scoped kinds';
COMMENT ON COLUMN dbnet.actuation.name IS 'metadata.name';
COMMENT ON COLUMN dbnet.actuation.operation IS 'apply | delete | release (ownership alone: no value changes) | restore (the object is made again as it was before its row was deleted; dbnet.undo()), or what was asked for: cordon | uncordon | evict | restart | delete_pod (a drain without evictions)';
COMMENT ON COLUMN dbnet.actuation.paths IS 'fields that were sent or released; NULL for delete and evict';
COMMENT ON COLUMN dbnet.actuation.transaction IS 'newest transaction whose change the call carried; NULL = found by a compare';
COMMENT ON COLUMN dbnet.actuation.commit_lsn IS 'its commit in the WAL';
COMMENT ON COLUMN dbnet.actuation.role IS 'role that made that change';
COMMENT ON COLUMN dbnet.actuation.attempt IS 'which try, from 1';
COMMENT ON COLUMN dbnet.actuation.http_status IS 'status code of the answer; NULL = there was none';
COMMENT ON COLUMN dbnet.actuation.reason IS 'the server''s reason code; ImpersonationRefused where it does not let the credentials act as the user';
COMMENT ON COLUMN dbnet.actuation.message IS 'the server''s own words when it refused, or what went wrong with the connection';
COMMENT ON COLUMN dbnet.actuation.latency_ms IS 'request sent to answer read, milliseconds';
COMMENT ON COLUMN dbnet.actuation.forced IS 'fields were taken from another manager';
COMMENT ON COLUMN dbnet.actuation.warnings IS 'what the server warned of though it did as asked, as a version of a kind that goes soon; NULL = nothing. See dbnet.warnings';
COMMENT ON COLUMN dbnet.actuation.acts_as IS 'user of the cluster as whom it was made (dbnet.map_role); NULL = as who the credentials are';
DO $$
BEGIN
    FOR place IN 0..7 LOOP
        EXECUTE pg_catalog.format('CREATE TABLE dbnet.actuation_%s PARTITION OF dbnet.actuation FOR VALUES IN (%s)', place, place);
        EXECUTE pg_catalog.format('COMMENT ON TABLE dbnet.actuation_%s IS ''Part %s of the ring dbnet.actuation''', place, place);
        -- The number of a table that was dropped is another table's where the dump is restored.
        PERFORM pg_catalog.pg_extension_config_dump(pg_catalog.format('dbnet.actuation_%s', place),
                                                    'WHERE relation::oid IN (SELECT oid FROM pg_catalog.pg_class)');
    END LOOP;
END
$$;

-- A dump carries configuration and what we own of each object, else a restored database could not tell a deleted object
-- from one that is to be created. States belong to the running server.
SELECT pg_catalog.pg_extension_config_dump('dbnet.mirrored_relation', '');
SELECT pg_catalog.pg_extension_config_dump('dbnet.mirrored_column', '');
SELECT pg_catalog.pg_extension_config_dump('dbnet.paused_server', '');
SELECT pg_catalog.pg_extension_config_dump('dbnet.arming', '');
SELECT pg_catalog.pg_extension_config_dump('dbnet.object', '');
SELECT pg_catalog.pg_extension_config_dump('dbnet.tombstone', '');
SELECT pg_catalog.pg_extension_config_dump('dbnet.tombstone_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('dbnet.deleted_object', '');
SELECT pg_catalog.pg_extension_config_dump('dbnet.deleted_object_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('dbnet.ownership_request', '');
SELECT pg_catalog.pg_extension_config_dump('dbnet.ownership_request_id_seq', '');

-- The mirror worker reads its configuration again when a transaction that changed it commits.
CREATE TRIGGER dbnet_notify AFTER INSERT OR UPDATE OR DELETE ON dbnet.mirrored_relation
    FOR EACH STATEMENT EXECUTE FUNCTION dbnet.notify_configuration();
CREATE TRIGGER dbnet_notify AFTER INSERT OR UPDATE OR DELETE ON dbnet.mirrored_column
    FOR EACH STATEMENT EXECUTE FUNCTION dbnet.notify_configuration();
CREATE TRIGGER dbnet_notify AFTER INSERT OR UPDATE OR DELETE ON dbnet.paused_server
    FOR EACH STATEMENT EXECUTE FUNCTION dbnet.notify_configuration();
CREATE TRIGGER dbnet_notify AFTER INSERT OR UPDATE OR DELETE ON dbnet.arming
    FOR EACH STATEMENT EXECUTE FUNCTION dbnet.notify_configuration();
