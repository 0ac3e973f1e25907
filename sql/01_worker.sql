-- DBNet's processes as a view.

CREATE FUNCTION dbnet.worker_status(
    OUT process text, OUT state text, OUT pid integer, OUT since timestamptz, OUT last_error text, OUT restarts integer, OUT lag bigint)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'dbnet_worker_status';

COMMENT ON FUNCTION dbnet.worker_status() IS
'The rows of dbnet.worker. Raises object_not_in_prerequisite_state (55000) when dbnet is not in shared_preload_libraries.';

CREATE VIEW dbnet.worker AS
SELECT process, state, pid, since, last_error, restarts, lag FROM dbnet.worker_status();

COMMENT ON VIEW dbnet.worker IS
'The server''s launcher and the workers of this database, one row each. Raises object_not_in_prerequisite_state (55000) when dbnet is not in shared_preload_libraries.';
COMMENT ON COLUMN dbnet.worker.process IS 'launcher (one per server) or mirror worker (one per database).';
COMMENT ON COLUMN dbnet.worker.state IS
'starting; running; idle: the extension has another version than the loaded library, see last_error; failed: ended or could not be started, is tried again after 1 s to 60 s; stopped: no process wanted now.';
COMMENT ON COLUMN dbnet.worker.pid IS 'Process id as in pg_stat_activity; NULL without a process.';
COMMENT ON COLUMN dbnet.worker.since IS 'When the process entered this state.';
COMMENT ON COLUMN dbnet.worker.last_error IS 'Why it ended, could not start or is idle, the last time that happened; NULL if never.';
COMMENT ON COLUMN dbnet.worker.restarts IS 'Starts after the first one since the server or the extension was started or created.';
COMMENT ON COLUMN dbnet.worker.lag IS
'Bytes of WAL between the newest committed change of a mirror and the last position the worker has decided; 0 when all is decided, NULL for the launcher or without a process.';
