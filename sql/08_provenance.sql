-- Tables of provenance: who changed which row, in which statement, call and trigger activation, and because of what.
-- Written by the library alone (src/provenance/), at the commit of each transaction; read through the functions of 09_history.sql and
-- the views of PROV's words. Dumped: names and numbers of our own, no OIDs.
--
-- An event is anything that is recorded: an activity, a version of a row, a device call. Its id says when: microseconds since
-- 2000-01-01 UTC at the commit, times 1024, plus its number within the transaction, counted from 0. So ids are in commit order, a
-- transaction's events follow each other without a gap, and a time is a range of ids. The first event of a transaction is an
-- activity, by whose id the transaction is known.
--
-- The big tables are rings of 16 partitions, each for 2^41 microseconds (25 days): no table is made or dropped at run time, and
-- every partition is there after a restore. The mirror worker empties what dbnet.provenance_retention (at most 380 days) no longer keeps.

CREATE FUNCTION dbnet.event_time(event bigint) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN timestamptz '2000-01-01 00:00:00+00' OPERATOR(pg_catalog.+) ((event OPERATOR(pg_catalog.>>) 10)::double precision OPERATOR(pg_catalog.*) interval '1 microsecond');
COMMENT ON FUNCTION dbnet.event_time(bigint) IS 'When the event''s transaction committed, by its id';

CREATE FUNCTION dbnet.event_at(at timestamptz) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    -- Beyond these there are no ids; infinite times are such.
    RETURN (pg_catalog.extract('epoch', least(greatest(at, timestamptz '2000-01-01 00:00:00+00'), timestamptz '2285-01-01 00:00:00+00') OPERATOR(pg_catalog.-) timestamptz '2000-01-01 00:00:00+00')
            OPERATOR(pg_catalog.*) 1000000)::bigint OPERATOR(pg_catalog.<<) 10;
COMMENT ON FUNCTION dbnet.event_at(timestamptz) IS 'The lowest id that an event of this moment can have: events before it have lower ids';

-- What is tracked ------------------------------------------------------------------------------------------------------

CREATE SEQUENCE dbnet.tracked_relation_number AS integer START 100;
COMMENT ON SEQUENCE dbnet.tracked_relation_number IS 'Numbers of tracked tables; below 100 are DBNet''s own';

CREATE TABLE dbnet.tracked_relation (
    number           integer     PRIMARY KEY DEFAULT pg_catalog.nextval('dbnet.tracked_relation_number'),
    relation         regclass    UNIQUE,
    schema_name      name        NOT NULL,
    table_name       name        NOT NULL,
    key_columns      name[]      NOT NULL CHECK (pg_catalog.cardinality(key_columns) > 0),
    redacted_columns name[]      NOT NULL DEFAULT '{}',
    activations      text        NOT NULL DEFAULT 'effective' CHECK (activations IN ('all', 'effective')),
    enabled          boolean     NOT NULL DEFAULT true,
    tracked_since    timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE dbnet.tracked_relation IS 'Tables whose changes are recorded. Change it with dbnet.track and dbnet.untrack; mirrors and DBNet''s own configuration are there unasked';
COMMENT ON COLUMN dbnet.tracked_relation.number IS 'what stands for the table in entity_version and activity: outlives its name, its oid and a restore';
COMMENT ON COLUMN dbnet.tracked_relation.relation IS 'the table; NULL = it was dropped, its history is kept';
COMMENT ON COLUMN dbnet.tracked_relation.schema_name IS 'its schema, the last one if it was dropped';
COMMENT ON COLUMN dbnet.tracked_relation.table_name IS 'its name, the last one if it was dropped';
COMMENT ON COLUMN dbnet.tracked_relation.key_columns IS 'columns that tell its rows apart, in the order of keys: of a mirror namespace and name, else the primary key';
COMMENT ON COLUMN dbnet.tracked_relation.redacted_columns IS 'columns of which digests are recorded and no values';
COMMENT ON COLUMN dbnet.tracked_relation.activations IS 'which activations of its triggers are recorded: all | effective (those that changed something that is recorded)';
COMMENT ON COLUMN dbnet.tracked_relation.enabled IS 'false = no longer tracked; its history is kept';
COMMENT ON COLUMN dbnet.tracked_relation.tracked_since IS 'since when its changes are recorded';

-- No column of any table is a regprocedure: pg_upgrade refuses a database that has one.
CREATE TABLE dbnet.tracked_function (
    function      text        PRIMARY KEY,
    tracked_since timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE dbnet.tracked_function IS 'Functions and procedures of which every call is recorded, also one that changed nothing. Change it with dbnet.track_function and dbnet.untrack_function';
COMMENT ON COLUMN dbnet.tracked_function.function IS 'the function or procedure as pg_identify_object spells it: net.grow(pg_catalog.text,integer); one that is renamed is no longer tracked';
COMMENT ON COLUMN dbnet.tracked_function.tracked_since IS 'since when every call is recorded';

-- What happened ----------------------------------------------------------------------------------------------------------

-- Sessions write into these tables while they commit, and wait for no lock: a VACUUM that truncates one has it locked against them.

CREATE TABLE dbnet.session (
    id                bigint      NOT NULL,
    process           text        NOT NULL,
    session_user_name text        NOT NULL,
    application_name  text        NOT NULL,
    client_address    inet,
    client_port       integer,
    process_id        integer     NOT NULL,
    started_at        timestamptz NOT NULL
) WITH (vacuum_truncate = off, toast.vacuum_truncate = off);
COMMENT ON TABLE dbnet.session IS 'Who and from where: a session that changed something that is recorded (PROV agent). Written by the session''s first such transaction, and again when its user or application name is another';
COMMENT ON COLUMN dbnet.session.id IS 'id of the first transaction that was recorded of it';
COMMENT ON COLUMN dbnet.session.process IS 'client backend, dbnet mirror worker, logical replication worker ...';
COMMENT ON COLUMN dbnet.session.session_user_name IS 'role that logged in';
COMMENT ON COLUMN dbnet.session.application_name IS 'what the client calls itself';
COMMENT ON COLUMN dbnet.session.client_address IS 'address of the client; NULL = a local socket, or no client';
COMMENT ON COLUMN dbnet.session.client_port IS 'its port; NULL with client_address';
COMMENT ON COLUMN dbnet.session.process_id IS 'process of the server, as in the log and in pg_stat_activity';
COMMENT ON COLUMN dbnet.session.started_at IS 'when the session began';

CREATE TABLE dbnet.activity (
    id          bigint  NOT NULL,
    transaction bigint  NOT NULL,
    kind        "char"  NOT NULL,
    parent      bigint,
    started_by  bigint,
    name        text    NOT NULL,
    relation    integer,
    role        text    NOT NULL,
    line        integer,
    text        text,
    arguments   jsonb,
    detail      jsonb,
    code        bigint,
    started_at  timestamptz NOT NULL,
    duration    bigint,
    rows        bigint,
    status      "char"  NOT NULL,
    checksum    integer NOT NULL,
    -- Of the transaction, on its first activity alone: a table of their own would cost every commit a fifth more.
    transaction_number     xid8,
    session                bigint,
    transaction_role       text,
    transaction_started_at timestamptz,
    cause                  bigint,
    reason                 text,
    traceparent            text,
    origin                 text,
    prepared_as            text,
    events                 integer,
    root                   bytea
) PARTITION BY LIST (((id >> 51) & 15));
COMMENT ON TABLE dbnet.activity IS 'What ran: statements, calls of functions and procedures, activations of triggers, reports of devices, DDL (PROV activity). Recorded when it changed something that is tracked, or is tracked itself. The first one of a transaction also tells of that: see dbnet.transaction';
COMMENT ON COLUMN dbnet.activity.id IS 'event id: an activity comes after the one within which it ran';
COMMENT ON COLUMN dbnet.activity.transaction IS 'dbnet.transaction.id: id of the transaction''s first activity';
COMMENT ON COLUMN dbnet.activity.kind IS 'S statement, C call, G trigger activation, R report of devices, D DDL on something tracked';
COMMENT ON COLUMN dbnet.activity.parent IS 'activity within which it ran, perhaps of an earlier transaction (a procedure that commits); NULL = the session asked for it, or it ran at COMMIT';
COMMENT ON COLUMN dbnet.activity.started_by IS 'G: version of the row for which the trigger fired; NULL = statement-level, or BEFORE, or not recorded';
COMMENT ON COLUMN dbnet.activity.name IS 'S, D: command tag, or "replication" for what another server did, "continued" for a further part of a very large transaction (cause: its first part); C: schema.name(argument types); G: name of the trigger; R: device report';
COMMENT ON COLUMN dbnet.activity.relation IS 'G, R: tracked_relation.number of the table';
COMMENT ON COLUMN dbnet.activity.role IS 'role whose rights it had: in a SECURITY DEFINER function that of its owner';
COMMENT ON COLUMN dbnet.activity.line IS 'line of the function within which it ran, where the language tells (PL/pgSQL)';
COMMENT ON COLUMN dbnet.activity.text IS 'S, D: the statement, its first 10 kB';
COMMENT ON COLUMN dbnet.activity.arguments IS 'C: by name, or $1 ... where they have none; values of users'' own types, arrays of such and rows as their text (a cast to JSON would be somebody''s code, and run with the rights of who happens to be there); G: arguments of the trigger as an array';
COMMENT ON COLUMN dbnet.activity.detail IS 'G: {"when": "before"|"after"|"instead of", "level": "row"|"statement", "event": ..., "function": ..., and of BEFORE triggers "key", "suppressed": true or "changed": {column: value}}; D: what was touched. Where SET ROLE or SET SESSION AUTHORIZATION made it another one than the first activity of the transaction: "outer_role", "session_user"';
COMMENT ON COLUMN dbnet.activity.code IS 'C, G: dbnet.code.id, the source that ran';
COMMENT ON COLUMN dbnet.activity.started_at IS 'when it began';
COMMENT ON COLUMN dbnet.activity.duration IS 'microseconds until it ended; NULL = it was still running at the commit';
COMMENT ON COLUMN dbnet.activity.rows IS 'S: rows that it changed or returned; R: rows that were written';
COMMENT ON COLUMN dbnet.activity.status IS 'd done, r running at the commit, f failed and its changes were rolled back (by a savepoint or EXCEPTION), b done and rolled back by what came after, p done, or running, but something that was to be written within it was rolled back (an EXCEPTION block caught an error)';
COMMENT ON COLUMN dbnet.activity.checksum IS 'start of the SHA-256 of this row, see dbnet.verify()';
COMMENT ON COLUMN dbnet.activity.transaction_number IS 'first activity of a transaction: PostgreSQL''s number of that';
COMMENT ON COLUMN dbnet.activity.session IS 'first activity: dbnet.session.id';
COMMENT ON COLUMN dbnet.activity.transaction_role IS 'first activity: its outer role, that of SET ROLE, else who logged in; NULL = as the activity''s role';
COMMENT ON COLUMN dbnet.activity.transaction_started_at IS 'first activity: when the transaction began; NULL = with the activity';
COMMENT ON COLUMN dbnet.activity.cause IS 'first activity: event that dbnet.set_cause() named';
COMMENT ON COLUMN dbnet.activity.reason IS 'first activity: words that dbnet.set_cause() gave';
COMMENT ON COLUMN dbnet.activity.traceparent IS 'first activity: W3C trace context of the client';
COMMENT ON COLUMN dbnet.activity.origin IS 'first activity: replication origin whose changes are applied';
COMMENT ON COLUMN dbnet.activity.prepared_as IS 'first activity: name of PREPARE TRANSACTION';
COMMENT ON COLUMN dbnet.activity.events IS 'first activity: how many events the transaction has';
COMMENT ON COLUMN dbnet.activity.root IS 'first activity: SHA-256 over the events of the transaction';

CREATE VIEW dbnet.transaction WITH (security_invoker = true) AS
SELECT id, transaction_number AS transaction, session, coalesce(transaction_role, role) AS role,
       coalesce(transaction_started_at, started_at) AS started_at, cause, reason, traceparent, origin, prepared_as, events, root
FROM dbnet.activity WHERE root IS NOT NULL;
COMMENT ON VIEW dbnet.transaction IS 'Committed transactions of which something is recorded (PROV bundle)';
COMMENT ON COLUMN dbnet.transaction.id IS 'its event id, and that of its first activity; dbnet.event_time(id) is when it committed';
COMMENT ON COLUMN dbnet.transaction.transaction IS 'PostgreSQL''s number of it; in a restored database one of before the restore and one since may have the same';
COMMENT ON COLUMN dbnet.transaction.session IS 'dbnet.session.id';
COMMENT ON COLUMN dbnet.transaction.role IS 'role of the first activity: that of SET ROLE, else who logged in; an activity of another one says so (detail)';
COMMENT ON COLUMN dbnet.transaction.started_at IS 'when it began';
COMMENT ON COLUMN dbnet.transaction.cause IS 'event that dbnet.set_cause() named';
COMMENT ON COLUMN dbnet.transaction.reason IS 'words that dbnet.set_cause() gave';
COMMENT ON COLUMN dbnet.transaction.traceparent IS 'W3C trace context of the client: setting dbnet.traceparent, or a comment /*traceparent=''...''*/ in a statement';
COMMENT ON COLUMN dbnet.transaction.origin IS 'replication origin whose changes it applied';
COMMENT ON COLUMN dbnet.transaction.prepared_as IS 'name under which it was prepared (PREPARE TRANSACTION); its id is of that moment';
COMMENT ON COLUMN dbnet.transaction.events IS 'how many events it has: ids from id to id + events - 1';
COMMENT ON COLUMN dbnet.transaction.root IS 'SHA-256 over its events, see dbnet.verify()';

CREATE TABLE dbnet.entity_version (
    id              bigint  NOT NULL,
    activity        bigint  NOT NULL,
    relation        integer NOT NULL,
    key_hash        bigint  NOT NULL,
    key             jsonb   NOT NULL,
    operation       "char"  NOT NULL,
    old             jsonb,
    new             jsonb,
    cause           bigint,
    pair            bigint,
    row_transaction xid,
    checksum        integer NOT NULL
) PARTITION BY LIST (((id >> 51) & 15));
COMMENT ON TABLE dbnet.entity_version IS 'What became of which row (PROV entity): one per changed row and statement. For nobody but the functions of 09_history.sql, which ask for the rights on the table';
COMMENT ON COLUMN dbnet.entity_version.id IS 'event id';
COMMENT ON COLUMN dbnet.entity_version.activity IS 'what wrote it (PROV wasGeneratedBy): dbnet.activity.id';
COMMENT ON COLUMN dbnet.entity_version.relation IS 'tracked_relation.number';
COMMENT ON COLUMN dbnet.entity_version.key_hash IS 'dbnet.key_hash() of the key, by which it is found';
COMMENT ON COLUMN dbnet.entity_version.key IS 'key columns and their values; {} for operation T';
COMMENT ON COLUMN dbnet.entity_version.operation IS 'I insert, U update, D delete, T truncate, R the row goes on under another key (pair)';
COMMENT ON COLUMN dbnet.entity_version.old IS 'U: what the changed columns held; D: the row, without columns that were NULL; T, one for the table and all its partitions: {"unrecorded": true} when one of them had more than 10 000 rows, else NULL; and a D for each row of the others follows; I, R: NULL';
COMMENT ON COLUMN dbnet.entity_version.new IS 'U: what they hold now; I: the row, without columns that are NULL; NULL = imported, not kept';
COMMENT ON COLUMN dbnet.entity_version.cause IS 'report of a device: the last call that was made for the object before (dbnet.actuation.id)';
COMMENT ON COLUMN dbnet.entity_version.pair IS 'a row that got another key: the other of the two events';
COMMENT ON COLUMN dbnet.entity_version.row_transaction IS 'xmin of the row as written (xmax of a deleted one): by it dbnet.gaps() finds rows that were written past us';
COMMENT ON COLUMN dbnet.entity_version.checksum IS 'start of the SHA-256 of this row, see dbnet.verify()';

CREATE TABLE dbnet.used_version (
    id       bigint NOT NULL,
    activity bigint NOT NULL,
    relation integer NOT NULL,
    key      jsonb,
    version  bigint,
    checksum integer NOT NULL
) WITH (vacuum_truncate = off, toast.vacuum_truncate = off);
COMMENT ON TABLE dbnet.used_version IS 'Rows that an activity says it has read (PROV used): dbnet.used()';
COMMENT ON COLUMN dbnet.used_version.id IS 'event id';
COMMENT ON COLUMN dbnet.used_version.activity IS 'who read';
COMMENT ON COLUMN dbnet.used_version.relation IS 'tracked_relation.number of the table';
COMMENT ON COLUMN dbnet.used_version.key IS 'key of the row; NULL = the table as a whole';
COMMENT ON COLUMN dbnet.used_version.version IS 'the row''s newest version then; NULL = none is recorded, or it is of the same transaction';
COMMENT ON COLUMN dbnet.used_version.checksum IS 'start of the SHA-256 of this row, see dbnet.verify()';

CREATE TABLE dbnet.code (
    id       bigint NOT NULL,
    name     text   NOT NULL,
    language text   NOT NULL,
    source   text   NOT NULL,
    seen_at  timestamptz NOT NULL DEFAULT pg_catalog.now()
) WITH (vacuum_truncate = off, toast.vacuum_truncate = off);
CREATE INDEX code_id ON dbnet.code (id);
COMMENT ON INDEX dbnet.code_id IS 'By what activity.code holds';
COMMENT ON TABLE dbnet.code IS 'Source of functions that were recorded as they ran (PROV plan)';
COMMENT ON COLUMN dbnet.code.id IS 'start of the SHA-256 of language, name and source; two sessions that see a function first may write it twice';
COMMENT ON COLUMN dbnet.code.name IS 'schema.name(argument types)';
COMMENT ON COLUMN dbnet.code.language IS 'plpgsql, sql, plpython3u ...';
COMMENT ON COLUMN dbnet.code.source IS 'its body; of C functions library and symbol';
COMMENT ON COLUMN dbnet.code.seen_at IS 'when it was recorded; while it is used, again after 25 days. It is kept 50 days longer than dbnet.provenance_retention keeps events of that time, so that none is without its source';

CREATE TABLE dbnet.provenance_block (
    number       bigint PRIMARY KEY,
    transactions bigint[] NOT NULL,
    previous     bytea,
    root         bytea NOT NULL,
    sealed_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    removed_before bigint,
    last_removed   bytea,
    CHECK (removed_before IS NOT NULL OR last_removed IS NULL)
);
CREATE INDEX provenance_block_removal ON dbnet.provenance_block (number) WHERE removed_before IS NOT NULL;
COMMENT ON INDEX dbnet.provenance_block_removal IS 'What retention removed last';
COMMENT ON TABLE dbnet.provenance_block IS 'Chain over the roots of transactions, a link every half minute in which something was recorded, and one whenever dbnet.provenance_retention has removed something; see dbnet.verify() and dbnet.digest()';
COMMENT ON COLUMN dbnet.provenance_block.number IS 'place in the chain, from 1';
COMMENT ON COLUMN dbnet.provenance_block.transactions IS 'dbnet.transaction.id of those that it seals, in order, all of one partition; none in a link that tells what was removed';
COMMENT ON COLUMN dbnet.provenance_block.previous IS 'root of the block before; NULL = the first';
COMMENT ON COLUMN dbnet.provenance_block.root IS 'SHA-256 over previous, the roots of the transactions, and what was removed';
COMMENT ON COLUMN dbnet.provenance_block.sealed_at IS 'when';
COMMENT ON COLUMN dbnet.provenance_block.removed_before IS 'of a link that tells what was removed: events before this one; NULL = another link';
COMMENT ON COLUMN dbnet.provenance_block.last_removed IS 'root of the last link that was removed with them or earlier; NULL = none was';

-- Indexes of what is looked for; every further one is paid by every commit. Where an id makes every entry another one, nothing is
-- there to be deduplicated, and looking for it before each split of a page would cost as much as the split.
CREATE INDEX session_id ON dbnet.session (id);
CREATE INDEX activity_id ON dbnet.activity (id) WITH (deduplicate_items = off);
CREATE INDEX activity_cause ON dbnet.activity (cause) WHERE cause IS NOT NULL;
CREATE INDEX entity_version_id ON dbnet.entity_version (id) WITH (deduplicate_items = off);
CREATE INDEX entity_version_key ON dbnet.entity_version (relation, key_hash, id) WITH (deduplicate_items = off);
CREATE INDEX entity_version_cause ON dbnet.entity_version (cause) WHERE cause IS NOT NULL;
CREATE INDEX used_version_activity ON dbnet.used_version (activity);
CREATE INDEX used_version_version ON dbnet.used_version (version) WHERE version IS NOT NULL;
COMMENT ON INDEX dbnet.session_id IS 'One event';
COMMENT ON INDEX dbnet.activity_id IS 'One event, those of a transaction, or a range of time';
COMMENT ON INDEX dbnet.activity_cause IS 'What followed from an event that dbnet.set_cause() named';
COMMENT ON INDEX dbnet.entity_version_id IS 'One event, those of a transaction, or a range of time';
COMMENT ON INDEX dbnet.entity_version_key IS 'The history of one row';
COMMENT ON INDEX dbnet.entity_version_cause IS 'What a device reported after a call';
COMMENT ON INDEX dbnet.used_version_activity IS 'What an activity read';
COMMENT ON INDEX dbnet.used_version_version IS 'Who read a version';

DO $$
DECLARE
    ring text;
    partition text;
BEGIN
    FOREACH ring IN ARRAY ARRAY['activity', 'entity_version'] LOOP
        FOR place IN 0..15 LOOP
            partition := pg_catalog.format('%s_%s', ring, pg_catalog.lpad(place::text, 2, '0'));
            EXECUTE pg_catalog.format('CREATE TABLE dbnet.%I PARTITION OF dbnet.%I FOR VALUES IN (%s) WITH (vacuum_truncate = off, toast.vacuum_truncate = off)', partition, ring, place);
            EXECUTE pg_catalog.format('COMMENT ON TABLE dbnet.%I IS ''Part %s of the ring dbnet.%s''', partition, place, ring);
            PERFORM pg_catalog.pg_extension_config_dump(('dbnet.' || pg_catalog.quote_ident(partition))::regclass, '');
        END LOOP;
    END LOOP;
END
$$;

SELECT pg_catalog.pg_extension_config_dump('dbnet.session', '');
SELECT pg_catalog.pg_extension_config_dump('dbnet.used_version', '');
SELECT pg_catalog.pg_extension_config_dump('dbnet.code', '');
SELECT pg_catalog.pg_extension_config_dump('dbnet.provenance_block', '');
SELECT pg_catalog.pg_extension_config_dump('dbnet.tracked_relation', 'WHERE number >= 100');
SELECT pg_catalog.pg_extension_config_dump('dbnet.tracked_relation_number', '');
SELECT pg_catalog.pg_extension_config_dump('dbnet.tracked_function', 'WHERE function NOT LIKE ''dbnet.%''');

-- Functions ------------------------------------------------------------------------------------------------------------

CREATE FUNCTION dbnet.track_row() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'dbnet_track_row';
COMMENT ON FUNCTION dbnet.track_row() IS
    'Trigger (AFTER INSERT OR UPDATE OR DELETE, FOR EACH ROW, and BEFORE TRUNCATE, both ENABLE ALWAYS) of every tracked table that is no mirror, made by dbnet.track(): records what became of the row, or of all';

CREATE FUNCTION dbnet.tracking_changed() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'dbnet_tracking_changed';
COMMENT ON FUNCTION dbnet.tracking_changed() IS
    'Trigger (FOR EACH STATEMENT) of dbnet.tracked_relation and dbnet.tracked_function: every session reads them anew';

CREATE TRIGGER dbnet_tracking AFTER INSERT OR UPDATE OR DELETE ON dbnet.tracked_relation
    FOR EACH STATEMENT EXECUTE FUNCTION dbnet.tracking_changed();
CREATE TRIGGER dbnet_tracking AFTER INSERT OR UPDATE OR DELETE ON dbnet.tracked_function
    FOR EACH STATEMENT EXECUTE FUNCTION dbnet.tracking_changed();

CREATE FUNCTION dbnet.key_hash(key_columns name[], key jsonb) RETURNS bigint
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbnet_key_hash';
COMMENT ON FUNCTION dbnet.key_hash(name[], jsonb) IS
    'The number under which entity_version keeps a row: over the texts of the key''s values. Arguments: tracked_relation.key_columns; object with these members. Errors: 22023 no object';

CREATE FUNCTION dbnet.take_event() RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbnet_take_event';
COMMENT ON FUNCTION dbnet.take_event() IS 'Internal: an event id of now that nothing else has. Errors: 55000 DBNet is not preloaded';

CREATE FUNCTION dbnet.set_cause(event bigint DEFAULT NULL, reason text DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbnet_set_cause';
COMMENT ON FUNCTION dbnet.set_cause(bigint, text) IS
    'Says why the running transaction does what it does. Arguments: event that it follows from; words, such as the number of a ticket. Goes on record with the transaction if that changes something that is tracked; the last call counts. Errors: 22023 neither is given';

CREATE FUNCTION dbnet.key_of(relation regclass, key text) RETURNS jsonb
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'dbnet_key_of';
COMMENT ON FUNCTION dbnet.key_of(regclass, text) IS
    'A key as entity_version has it. Arguments: tracked table; of one key column its value, of two first/second (a mirror''s namespace/name), of any number a JSON object. Errors: 42704 the table is not tracked, 22023 no key of it';

CREATE FUNCTION dbnet.used(relation regclass, key text DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbnet_used';
COMMENT ON FUNCTION dbnet.used(regclass, text) IS
    'Says that the function that runs, or the statement, has read a row and acts on it: dbnet.why() then leads to that row''s history, too. Arguments: tracked table that the role may SELECT; key as in dbnet.key_of(), NULL = the table as a whole. Errors: 42704 the table is not tracked, 42501 no right to read it, 22023 no key of it';

CREATE FUNCTION dbnet.event_hash(event record) RETURNS bytea
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbnet_event_hash';
COMMENT ON FUNCTION dbnet.event_hash(record) IS
    'SHA-256 over the columns of a row of dbnet.transaction, session, activity, entity_version or used_version, without checksum and root';

CREATE FUNCTION dbnet.block_root(previous bytea, roots bytea, removed_before bigint, last_removed bytea) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT sha256(coalesce(previous, '') || coalesce(roots, '') || coalesce(int8send(removed_before) || coalesce(last_removed, ''), '')) $$;
COMMENT ON FUNCTION dbnet.block_root(bytea, bytea, bigint, bytea) IS
    'provenance_block.root. Arguments: its columns, and the roots of its transactions behind each other';

CREATE FUNCTION dbnet.provenance_failures() RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbnet_provenance_failures';
COMMENT ON FUNCTION dbnet.provenance_failures() IS 'How often something could not be recorded since the server''s start, in all databases';
