-- The change feed's backend side: the triggers that tell the mirror worker what a transaction changed.
-- Code: src/capture/.

CREATE FUNCTION dbnet.capture() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'dbnet_capture';
COMMENT ON FUNCTION dbnet.capture() IS
    'Trigger (AFTER INSERT OR UPDATE OR DELETE, FOR EACH ROW, ENABLE ALWAYS) of every mirror, made by dbnet.mirror(). Arguments: namespace column or '''', name column, other watched columns, status columns (the last two as comma-separated quoted identifiers). Notes inserted and deleted keys, changed watched columns, and a tombstone per deleted key. Errors: 42501 a status column was written by anybody but a device report (or by a test, of an object that an offline server is only taken to have), 23502 a key is NULL';

CREATE FUNCTION dbnet.notify_configuration() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'dbnet_notify_configuration';
COMMENT ON FUNCTION dbnet.notify_configuration() IS
    'Trigger (AFTER, FOR EACH STATEMENT) of configuration tables: the mirror worker reads the configuration again when the transaction commits';

CREATE FUNCTION dbnet.is_report() RETURNS boolean
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'dbnet_is_report';
COMMENT ON FUNCTION dbnet.is_report() IS
    'Inside a trigger of a mirror: true when the row was written because a device reported it, false when a user or another trigger wrote it';

CREATE FUNCTION dbnet.record_change(relation regclass, operation "char", namespace text DEFAULT '', name text DEFAULT '')
    RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'dbnet_record_change';
COMMENT ON FUNCTION dbnet.record_change(regclass, "char", text, text) IS
    'Internal: notes a change that no trigger sees. Arguments: mirror; operation I insert, U update, D delete, A look at the row again, C compare the whole mirror, O operations are asked for or given up, S configuration changed; namespace and name of the object. Errors: 22023 unknown operation';

REVOKE ALL ON FUNCTION dbnet.capture() FROM PUBLIC;
REVOKE ALL ON FUNCTION dbnet.notify_configuration() FROM PUBLIC;
REVOKE ALL ON FUNCTION dbnet.record_change(regclass, "char", text, text) FROM PUBLIC;
