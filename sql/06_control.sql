-- Functions that make, change, explain and steer mirrors. Code: src/mirror/functions_*.cpp. They check the caller's rights
-- themselves and then work with the extension's; who may call them at all is in 99_grants.sql.

-- Without SET search_path: `relation` is looked up as the caller would; statements run with a fixed search_path.
CREATE FUNCTION dbnet.mirror(server name, api_version text, kind text, relation text, columns jsonb DEFAULT NULL,
                             namespace text DEFAULT NULL, label_selector text DEFAULT '', mode text DEFAULT 'observe',
                             initial text DEFAULT 'compare', on_drift text DEFAULT 'report',
                             on_external_delete text DEFAULT NULL, delete_foreign boolean DEFAULT false,
                             secret_values text DEFAULT 'digest', on_immutable text DEFAULT 'refuse')
    RETURNS regclass
    LANGUAGE c VOLATILE
    AS 'MODULE_PATHNAME', 'dbnet_mirror';
COMMENT ON FUNCTION dbnet.mirror(name, text, text, text, jsonb, text, text, text, text, text, text, boolean, text, text) IS
    'Makes a table the mirror of a kind of object. Arguments: server; api_version and kind as dbnet.kinds() spells them; relation: a permanent table of the caller with a unique key on name, or namespace and name; when it is absent it is made, in a schema in which the caller may CREATE, with a column for each field on the first level below spec and status (status_...), for data, labels and annotations; columns: {"column": "path", "column": {"path": "...", "on_drift": "...", "subresource": "status | scale"}}, NULL = columns are bound by the names of such a made table; namespace: one namespace instead of a column for it; label_selector; mode observe | manage; initial: what rows that are there before the mirror mean: compare (nothing yet: nothing is written over or sent; not together with mode manage) | pull (the server is right: rows take its values, rows without object stay and are flagged absent) | push (the rows are right: their values are claimed, rows without object are created, in mode manage, and many at once are held); objects without row are imported in all three; on_drift: what a claimed field that somebody else changes means: report | enforce (ours is sent again) | follow (it is theirs) | seed (follow, and let go as soon as somebody else owns the field too); on_external_delete drop_row | flag | recreate (what DBNet created), NULL = drop_row for what DBNet did not create, else flag; delete_foreign: deletes of objects that DBNet did not create need no approval; secret_values: what of a Secret''s data comes into the database: digest (of each value, keyed; users cannot set them) | plain (the values, in tables, WAL and dumps); on_immutable: a change that the server refuses because the field is set once: refuse (phase invalid) | recreate (the object is deleted and made anew from the row''s claims; only what DBNet created, no controller looks after, and of no kind whose deletes are always held; counts as a delete for dbnet.held). Errors name column and path: 3F000 no such schema, 42703 no such column, 42804 type of a column, 22023 bad path or argument, 42P10 no unique key, 42809 not an ordinary table, 42501 rights, 42710 already a mirror, 42704 no such kind, 55000 the table has rows under manage and compare, or dbnet is not in shared_preload_libraries';

CREATE FUNCTION dbnet.alter_mirror(relation regclass, mode text DEFAULT NULL, on_drift text DEFAULT NULL,
                                   on_external_delete text DEFAULT NULL, delete_foreign boolean DEFAULT NULL,
                                   columns jsonb DEFAULT NULL, on_immutable text DEFAULT NULL)
    RETURNS void
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_alter_mirror';
COMMENT ON FUNCTION dbnet.alter_mirror(regclass, text, text, text, boolean, jsonb, text) IS
    'Changes a mirror of the caller; NULL leaves a setting as it is. Arguments as those of dbnet.mirror(); columns is the complete new column map: key columns stay, fields that DBNet owns cannot be left out. Errors: 42704 not a mirror, 42501 not the owner, 42710 another mirror manages the same objects, 55006 owned fields left out';

CREATE FUNCTION dbnet.refresh_schema(relation regclass, apply boolean DEFAULT false, OUT column_name name, OUT path text,
                                     OUT change text, OUT detail text)
    RETURNS SETOF record
    LANGUAGE c STRICT VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_refresh_schema';
COMMENT ON FUNCTION dbnet.refresh_schema(regclass, boolean) IS
    'Reads the schema of a mirror''s kind again and tells what has changed since it was read last; changes nothing on any device. Arguments: a mirror of the caller; apply: false = look only; true = also take the changes over, in this transaction: types, rules, descriptions; a column whose field is gone becomes local and keeps its values; a table that DBNet made gets a column for each new field. No column is ever dropped. Rows: column; path; change: gone | type | role | rules | required | description | new | no column (the table has lost it); detail: what was and what is, and what to do where that is for you. No rows: nothing has changed. Errors: 42704 not a mirror, or the server does not serve the kind, 42501 not the owner, 55000 the server is offline, 08006 it does not answer';

CREATE FUNCTION dbnet.unmirror(relation regclass) RETURNS void
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_unmirror';
COMMENT ON FUNCTION dbnet.unmirror(regclass) IS
    'Makes a mirror an ordinary table again: rows stay, objects stay, nothing is deleted on any device; what was claimed, held or to be deleted is forgotten. Argument: the mirror, of the caller. Errors: 42704 not a mirror, 42501 not the owner';

CREATE FUNCTION dbnet.forget_dropped() RETURNS event_trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_forget_dropped';
COMMENT ON FUNCTION dbnet.forget_dropped() IS
    'Event trigger: a mirror whose table is dropped is a mirror no more, and what is on record of the table stays; nothing is deleted on any device';
CREATE EVENT TRIGGER dbnet_forget_dropped ON sql_drop
    WHEN TAG IN ('DROP TABLE', 'DROP SCHEMA', 'DROP OWNED', 'DROP EXTENSION')
    EXECUTE FUNCTION dbnet.forget_dropped();
ALTER EVENT TRIGGER dbnet_forget_dropped ENABLE ALWAYS;

CREATE FUNCTION dbnet.preview(relation regclass, OUT key text, OUT operation text, OUT path text, OUT subresource text,
                              OUT row_value jsonb, OUT live_value jsonb, OUT manager text, OUT verdict text)
    RETURNS SETOF record
    LANGUAGE c STRICT VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_preview';
COMMENT ON FUNCTION dbnet.preview(regclass) IS
    'What mode manage would send now, one row per field; sends nothing. Argument: a mirror whose table the caller may SELECT. Rows: key; operation create | update | release (of the field: no value changes) | delete; path (NULL for delete); subresource status | scale that it would go through, NULL = the object itself; value in the row; value on the device as last seen; field manager that owns it; verdict: send, force (take it from its manager once), conflict, held, wait or refused, with the reason. Errors: 42704 not a mirror, 42501 no SELECT or row-level security';

CREATE FUNCTION dbnet.plan(OUT step integer, OUT mirror regclass, OUT key text, OUT operation text, OUT subresource text,
                           OUT fields jsonb, OUT verdict text, OUT cause text)
    RETURNS SETOF record
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_plan';
COMMENT ON FUNCTION dbnet.plan() IS
    'What the commit of the running transaction would send, one row per request in the order of sending; sends nothing and needs no mirror worker. Rows: step: what has the same number goes out together, the next when it is accepted, and so do the requests for one object; mirror; key (NULL: the whole mirror is compared); operation create | update | release | delete | compare, or what was asked for: cordon | uncordon | evict | drain | restart; subresource status | scale that it goes through, NULL = the object itself; fields {path: value} that are new to the object, of what was asked for its arguments; verdict: send, or conflict, held, refused, wait, not sent (mode observe) or nothing, with the reason; cause: the PL/pgSQL functions that made the newest change, innermost first, triggers with their tables; NULL: a statement of the client, or something asked for. Shows rows that the caller may SELECT, and WARNs when there are others. The limit of changes per minute, and deferred triggers that have not fired, are not foreseen';

CREATE FUNCTION dbnet.describe(relation regclass, OUT column_name name, OUT path text, OUT role text, OUT type text,
                               OUT format text, OUT unit text, OUT description text, OUT allowed_values text[],
                               OUT required boolean, OUT writable boolean)
    RETURNS SETOF record
    LANGUAGE c STRICT STABLE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_describe';
COMMENT ON FUNCTION dbnet.describe(regclass) IS
    'The columns of a mirror, in the table''s order; asks no server. Argument: a mirror whose table the caller may SELECT. Rows: column; path of the field (NULL = the column mirrors nothing); role key | spec | meta | status | local; SQL type; what the field holds beyond that: int32, int64, time, micro-time, byte, quantity, int_or_string, double; unit (seconds, cores, bytes, percent) where the name tells it; the schema''s description; the values that it takes, NULL = not limited to a list; whether the object must have it; whether users may write it. Errors: 42704 not a mirror, 42501 no SELECT';

CREATE FUNCTION dbnet.fields(relation regclass, key text, OUT path text, OUT row_value jsonb, OUT live_value jsonb,
                             OUT claimed boolean, OUT manager text, OUT since timestamptz)
    RETURNS SETOF record
    LANGUAGE c STRICT VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_fields';
COMMENT ON FUNCTION dbnet.fields(regclass, text) IS
    'The mirrored fields of one object. Arguments: a mirror whose table the caller may SELECT; namespace/name, or name alone. Rows: path; value in the row and on the device as last seen; claimed: a user of the mirror set it and DBNet owns it; field manager that owns it on the server and since when. No rows: neither a row nor an object. Errors: 42704 not a mirror, 22023 bad key, 42501 no SELECT or row-level security';

CREATE FUNCTION dbnet.wait_synced(timeout interval DEFAULT '30 s', relation regclass DEFAULT NULL, transaction xid8 DEFAULT NULL,
                                  until text DEFAULT 'synced', OUT mirror regclass, OUT key text, OUT phase text,
                                  OUT health text, OUT message text, OUT next_step text)
    RETURNS SETOF record
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_wait_synced';
COMMENT ON FUNCTION dbnet.wait_synced(interval, regclass, xid8, text) IS
    'Waits until everything that this session, or another before the call, has committed is settled, and returns the objects that are not as their rows say: none = all is well. Arguments: timeout; relation: this mirror alone; transaction: objects changed by this transaction alone; until: synced (the server has accepted) or ready (and the objects report that they are ready). Rows and their objects are waited for; operations (evict, drain ...) may take hours: dbnet.wait_operation() waits for one. Errors: 55000 no mirror worker, 25001 transaction with an old snapshot, 57014 cancelled';

CREATE FUNCTION dbnet.pause(target text, reason text) RETURNS void
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_pause';
COMMENT ON FUNCTION dbnet.pause(text, text) IS
    'Sends nothing more that changes a device, from its commit on; reports go on. Arguments: a foreign server, or a mirror with its schema; the reason, shown in dbnet.mirror_status. Errors: 42704 no such server or mirror, 22023 empty reason';

CREATE FUNCTION dbnet.resume(target text) RETURNS boolean
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_resume';
COMMENT ON FUNCTION dbnet.resume(text) IS
    'Ends a pause: what was committed meanwhile is sent. Argument: as for dbnet.pause. Returns whether it was paused. Errors: 42704 no such server or mirror';

CREATE FUNCTION dbnet.capture_truncate() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_capture_truncate';
REVOKE ALL ON FUNCTION dbnet.capture_truncate() FROM PUBLIC;
COMMENT ON FUNCTION dbnet.capture_truncate() IS
    'Trigger (AFTER TRUNCATE, FOR EACH STATEMENT, ENABLE ALWAYS) of every mirror, made by dbnet.mirror(). Emptying the table deletes no object: claims stay, rows that were never sent are forgotten, and the server is listed anew after the commit, which brings the other rows back';

CREATE FUNCTION dbnet.resync(relation regclass) RETURNS void
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_resync';
COMMENT ON FUNCTION dbnet.resync(regclass) IS
    'Compares every row of a mirror with its object once more. Argument: the mirror. Errors: 42704 not a mirror';

CREATE FUNCTION dbnet.retry(relation regclass, key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_retry';
COMMENT ON FUNCTION dbnet.retry(regclass, text) IS
    'Tries objects that are not synced again at once. Arguments: the mirror; namespace/name, or name alone, NULL = all of them. Returns how many. Errors: 42704 not a mirror';

CREATE FUNCTION dbnet.release(relation regclass, key text, columns name[] DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_release';
COMMENT ON FUNCTION dbnet.release(regclass, text, name[]) IS
    'Lets go of claimed fields of one object, for somebody else to set them (an autoscaler): after the commit DBNet stops owning them on the server, where no value changes or is reset, and the columns follow the device again. A later write of such a column claims its field anew. Arguments: a mirror whose rows the caller may SELECT and whose columns it may UPDATE; namespace/name, or name alone; columns, NULL = all that are claimed. Returns the number of fields. Sent like any change: in mode manage, when nothing is paused. Errors: 42704 not a mirror or no such row, 22023 bad key, or a column that users do not set, 42703 no such column, 55000 not claimed, or there is no object, 42501 rights or row-level security';

CREATE FUNCTION dbnet.adopt(relation regclass, key text, columns name[] DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_adopt';
COMMENT ON FUNCTION dbnet.adopt(regclass, text, name[]) IS
    'Takes fields of an object that is there over, whoever owns them: after the commit DBNet claims them with the values of the row. Arguments: a mirror whose rows the caller may SELECT and whose columns it may UPDATE; namespace/name, or name alone; columns, NULL = all that have a value, and the object itself: from then on it counts as created by DBNet, so that deleting its row needs no approval. Returns the number of fields. Sent like any change: in mode manage, when nothing is paused. The counterpart is dbnet.release. Errors: 42704 not a mirror or no such row, 22023 bad key, or a column that users do not set, 42703 no such column, 22004 a column is NULL, 55000 there is no object, or nothing in its row has a value, 42501 rights or row-level security';

CREATE FUNCTION dbnet.expect(relation regclass, key text, version text DEFAULT NULL) RETURNS text
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_expect';
COMMENT ON FUNCTION dbnet.expect(regclass, text, text) IS
    'What this transaction does to the object is sent only if the object has this resource version then: nobody has changed it since. Else the object is in phase stale, nothing is sent, also by no later change of the row, and the next call decides: of the version that is there now, or of any. Arguments: a mirror whose rows the caller may SELECT and UPDATE; namespace/name, or name alone; version, NULL = the one that was last seen (resource_version in dbnet.object_status), any = the condition is withdrawn. Returns the version. Call it before or after the change, in its transaction. Errors: 42704 not a mirror or no such row, 22023 bad key or no version, 55000 there is no object, 42501 rights or row-level security';

CREATE FUNCTION dbnet.object(relation regclass, key text) RETURNS jsonb
    LANGUAGE c STRICT STABLE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_object';
COMMENT ON FUNCTION dbnet.object(regclass, text) IS
    'The whole object as last seen, also what no column holds, without metadata.managedFields; after its end the last one while a tombstone of it is there. Arguments: a mirror whose table''s owner the caller is, or has the rights of; namespace/name, or name alone. NULL: no object is known. Values of Secrets are digests unless the mirror was made with secret_values plain. Errors: 42704 not a mirror, 22023 bad key, 42501 not the owner';

CREATE FUNCTION dbnet.claim() RETURNS void
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_claim';
COMMENT ON FUNCTION dbnet.claim() IS
    'Says that this database, a restored dump or a clone, takes the place of the one it was copied from: from now on its mirrors write to devices. A clone of the files takes the Leases of its servers, and the original sees that it has lost them; make sure that the original of a restored dump writes no more';

CREATE FUNCTION dbnet.approve(id text) RETURNS bigint
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_approve';
COMMENT ON FUNCTION dbnet.approve(text) IS
    'Lets held changes go out. What a later transaction does to the same objects is held by itself if it changes too many. Argument: id in dbnet.held. Returns the number of objects. Errors: 42704 nothing is held under the id, 22023 not an id';

CREATE FUNCTION dbnet.reject(id text) RETURNS bigint
    LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_reject';
COMMENT ON FUNCTION dbnet.reject(text) IS
    'Gives held changes up: the rows get back what the devices have, but for columns that somebody writes after that; columns of a type that is not one of PostgreSQL''s own, an enum say, go back whoever wrote them. Argument: id in dbnet.held. Returns the number of objects. Errors: 42704 nothing is held under the id, 22023 not an id';
