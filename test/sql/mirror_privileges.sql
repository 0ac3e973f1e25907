-- Who may call and see what. Rows are put in as the mirror worker would; nothing is committed, so that it takes no part.
\set SHOW_CONTEXT never
\set ON_ERROR_ROLLBACK on
BEGIN;
CREATE SCHEMA net;
CREATE TABLE net.open (name text PRIMARY KEY);
CREATE TABLE net.closed (name text PRIMARY KEY);
CREATE TABLE net.guarded (name text PRIMARY KEY);
ALTER TABLE net.guarded ENABLE ROW LEVEL SECURITY;
CREATE ROLE regress_dbnet_nobody;
CREATE ROLE regress_dbnet_viewer IN ROLE dbnet_viewer;
CREATE ROLE regress_dbnet_operator IN ROLE dbnet_operator;
CREATE ROLE regress_dbnet_admin IN ROLE dbnet_admin;
GRANT USAGE ON SCHEMA net TO regress_dbnet_viewer, regress_dbnet_operator, regress_dbnet_admin;
GRANT SELECT ON net.open, net.guarded TO regress_dbnet_viewer;

INSERT INTO dbnet.mirrored_relation (relation, server, api_version, kind, resource, namespaced, field_manager)
    SELECT format('net.%I', name)::regclass, 'prod', 'v1', 'Node', 'nodes', false, 'dbnet-' || substr(md5(name), 1, 16)
    FROM unnest(ARRAY['open', 'closed', 'guarded']) AS mirror(name);
INSERT INTO dbnet.mirrored_column (relation, column_name, path, role, value_type, column_type)
    SELECT relation, 'name', 'metadata.name', 'key', 'string', 'text' FROM dbnet.mirrored_relation;
INSERT INTO dbnet.mirror_state (relation) SELECT relation FROM dbnet.mirrored_relation;
INSERT INTO dbnet.object (relation, name, phase, live) SELECT relation, 'a', 'conflict', '{"secret": 1}' FROM dbnet.mirrored_relation;
INSERT INTO dbnet.actuation (id, relation, name, operation) SELECT 0, relation, 'a', 'apply' FROM dbnet.mirrored_relation;
INSERT INTO dbnet.tombstone (relation, name) SELECT relation, 'b' FROM dbnet.mirrored_relation;
INSERT INTO dbnet.held_change (relation, name, operation, transaction, reason)
    SELECT relation, name, 'apply', '7', 'too many' FROM dbnet.mirrored_relation, unnest(ARRAY['a', 'b']) AS object(name);

-- Nobody sees or does anything.
SET ROLE regress_dbnet_nobody;
SELECT * FROM dbnet.mirror_status;
SELECT * FROM dbnet.object;
SELECT dbnet.pause('prod', 'because');
SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.open');
SELECT * FROM dbnet.kinds('prod');
SELECT dbnet.claim();
SELECT dbnet.is_report();

-- A viewer sees the mirrors whose tables it may read, without whole objects.
SET ROLE regress_dbnet_viewer;
SELECT relation, objects, waiting, needs_action FROM dbnet.mirror_status ORDER BY 1;
SELECT relation, key, phase, needs_action FROM dbnet.object_status ORDER BY 1;
SELECT relation, operation, transaction, objects, first_keys FROM dbnet.held ORDER BY 1;
SELECT relation, name FROM dbnet.actuation ORDER BY 1;
SELECT relation, column_name FROM dbnet.mirrored_column ORDER BY 1;
SELECT relation, state FROM dbnet.mirror_state ORDER BY 1;
SELECT live FROM dbnet.object;
SELECT last_body FROM dbnet.tombstone;
SELECT * FROM dbnet.actuation_0;
SELECT * FROM dbnet.preview('net.guarded');
SELECT * FROM dbnet.preview('net.closed');
SELECT dbnet.approve('1');
SELECT dbnet.pause('prod', 'because');
SELECT dbnet.unmirror('net.open');
SELECT count(*) >= 0 AS sees_workers FROM dbnet.worker;
UPDATE dbnet.object SET phase = 'synced';
DELETE FROM dbnet.held_change;

-- An operator sees and steers all of them, but makes none.
SET ROLE regress_dbnet_operator;
SELECT relation, objects, waiting, needs_action FROM dbnet.mirror_status ORDER BY 1;
SELECT relation, objects, first_keys FROM dbnet.held ORDER BY 1;
SELECT live FROM dbnet.object;
SELECT dbnet.pause('net.closed', 'incident 42');
SELECT relation, paused_reason, paused_by FROM dbnet.mirrored_relation WHERE paused_at IS NOT NULL;
SELECT dbnet.resume('net.closed'), dbnet.resume('net.closed');
SELECT dbnet.resync('net.closed');
SELECT dbnet.approve(id) FROM dbnet.held WHERE relation = 'net.closed'::regclass;
SELECT dbnet.retry('net.closed'), dbnet.retry('net.closed', 'a'), dbnet.retry('net.closed', 'z');
SELECT dbnet.reject(id) FROM dbnet.held WHERE relation = 'net.open'::regclass;
SELECT relation, name, decision, decided_by FROM dbnet.held_change ORDER BY relation::text, name;
SELECT dbnet.unmirror('net.closed');
SELECT dbnet.claim();

-- An admin changes the mirrors of its own tables.
SET ROLE regress_dbnet_admin;
SELECT dbnet.alter_mirror('net.open', mode => 'manage');
RESET ROLE;
ALTER TABLE net.open OWNER TO regress_dbnet_admin;
ALTER TABLE net.closed OWNER TO regress_dbnet_admin;
SET ROLE regress_dbnet_admin;
SELECT dbnet.alter_mirror('net.open', mode => 'manage', on_drift => 'enforce');
SELECT relation, mode, on_drift FROM dbnet.mirrored_relation ORDER BY relation::text;
SELECT dbnet.alter_mirror('net.closed', mode => 'manage');
SELECT dbnet.unmirror('net.open');
SELECT relation FROM dbnet.mirror_status ORDER BY relation::text;
SELECT DISTINCT relation FROM dbnet.actuation ORDER BY 1;
SELECT dbnet.claim();
SELECT system_identifier = (SELECT system_identifier FROM pg_control_system()) FROM dbnet.arming;
RESET ROLE;
SELECT database = (SELECT oid FROM pg_database WHERE datname = current_database()) FROM dbnet.arming;

-- A dropped table is a mirror no more, whoever drops it; where event triggers were off, it can be tidied up.
SELECT 'net.closed'::regclass::oid AS dropped \gset
SET ROLE regress_dbnet_admin;
DROP TABLE net.closed;
RESET ROLE;
\set VERBOSITY sqlstate
SELECT dbnet.unmirror(:dropped);
\set VERBOSITY default
SELECT relation FROM dbnet.mirrored_relation;
SELECT 'net.guarded'::regclass::oid AS dropped \gset
ALTER EVENT TRIGGER dbnet_forget_dropped DISABLE;
DROP TABLE net.guarded;
SELECT dbnet.unmirror(:dropped);
SELECT count(*) FROM dbnet.mirrored_relation;
SELECT count(*) FROM dbnet.object;
SELECT count(*) FROM dbnet.tombstone;
SELECT count(*) FROM dbnet.held_change;

ROLLBACK;
