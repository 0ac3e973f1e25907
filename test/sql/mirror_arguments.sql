-- Everything dbnet.mirror() refuses without asking any server, and the errors of the functions that steer mirrors.
\set SHOW_CONTEXT never
CREATE SERVER prod FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://127.0.0.1:1');
CREATE SCHEMA net;
CREATE TABLE net.nodes (name text PRIMARY KEY, labels jsonb);

-- Arguments.
SELECT dbnet.mirror(NULL, 'v1', 'Node', 'net.nodes');
SELECT dbnet.mirror('prod', 'v1', 'Node', NULL);
SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes', mode => 'write');
SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes', initial => 'merge');
SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes', on_drift => 'undo');
SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes', on_external_delete => 'ignore');

-- Tables.
SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.absent', '{"name": "metadata.name"}');
\echo :LAST_ERROR_SQLSTATE
SELECT dbnet.mirror('prod', 'v1', 'Node', 'nowhere.nodes');
\echo :LAST_ERROR_SQLSTATE
SELECT dbnet.mirror('prod', 'v1', 'Node', 'net."a.b".c.d');
SELECT dbnet.mirror('prod', 'v1', 'Node', 'not a name');
CREATE TEMP TABLE temporary_nodes (name text PRIMARY KEY);
\set VERBOSITY sqlstate
SELECT dbnet.mirror('prod', 'v1', 'Node', 'temporary_nodes', '{"name": "metadata.name"}');
\set VERBOSITY default
CREATE UNLOGGED TABLE net.unlogged (name text PRIMARY KEY);
SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.unlogged', '{"name": "metadata.name"}');
CREATE VIEW net.view AS SELECT * FROM net.nodes;
SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.view', '{"name": "metadata.name"}');
CREATE TABLE net.parted (name text PRIMARY KEY) PARTITION BY LIST (name);
SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.parted', '{"name": "metadata.name"}');
CREATE TABLE net.child () INHERITS (net.nodes);
SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes', '{"name": "metadata.name"}');
DROP TABLE net.child;
SELECT dbnet.mirror('prod', 'v1', 'Node', 'dbnet.object', '{"name": "metadata.name"}');
SELECT dbnet.mirror('prod', 'v1', 'Node', 'pg_catalog.pg_class', '{"name": "metadata.name"}');

-- Servers.
SELECT dbnet.mirror('nowhere', 'v1', 'Node', 'net.nodes', '{"name": "metadata.name"}');
\set VERBOSITY sqlstate
SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes', '{"name": "metadata.name"}');
\set VERBOSITY default

-- Ownership: the caller must own the table, and caller and owner must be allowed to use the server.
CREATE ROLE regress_dbnet_admin IN ROLE dbnet_admin;
GRANT USAGE ON SCHEMA net TO regress_dbnet_admin;
SET ROLE regress_dbnet_admin;
SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes', '{"name": "metadata.name"}');
SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.made');
RESET ROLE;
ALTER TABLE net.nodes OWNER TO regress_dbnet_admin;
SET ROLE regress_dbnet_admin;
SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes', '{"name": "metadata.name"}');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes', '{"name": "metadata.name"}');
ALTER TABLE net.nodes OWNER TO CURRENT_USER;

-- What is no mirror cannot be steered.
SELECT dbnet.alter_mirror('net.nodes', mode => 'manage');
SELECT dbnet.alter_mirror('net.nodes', on_drift => 'undo');
SELECT dbnet.alter_mirror(NULL);
SELECT dbnet.unmirror('net.nodes');
SELECT dbnet.unmirror(1::oid);
SELECT dbnet.resync('net.nodes');
SELECT dbnet.retry('net.nodes');
SELECT * FROM dbnet.preview('net.nodes');
SELECT * FROM dbnet.fields('net.nodes', 'a');
SELECT * FROM dbnet.describe('net.nodes');
SELECT * FROM dbnet.wait_synced('1 s', 'net.nodes');
SELECT * FROM dbnet.wait_synced('1 s', until => 'done');
SELECT * FROM dbnet.wait_synced(NULL);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM dbnet.wait_synced('1 s');
ROLLBACK;
SELECT dbnet.approve('1');
SELECT dbnet.approve('one');
SELECT dbnet.reject('99999999999999999999');
SELECT dbnet.pause('nothing', 'because');
SELECT dbnet.pause('prod', ' ');
SELECT dbnet.resume('net.nodes');

-- A server can be paused before it has mirrors.
SELECT dbnet.pause('prod', reason => 'incident 42');
SELECT server, reason, paused_by = current_user AS by_us FROM dbnet.paused_server;
SELECT dbnet.resume('prod'), dbnet.resume('prod');

DROP SCHEMA net CASCADE;
DROP SERVER prod;
DROP ROLE regress_dbnet_admin;
