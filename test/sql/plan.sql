-- dbnet.plan() on mirrors of an offline server: what a commit would send, why it would not, and who caused it. Runs on
-- any server with or without DBNet preloaded.
\set SHOW_CONTEXT never
SET client_min_messages = notice;
CREATE SERVER plan_lab FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (offline 'true');
CREATE SCHEMA net;
CREATE TABLE net.nodes (name text PRIMARY KEY, labels jsonb, unschedulable boolean, ready text, ingress integer NOT NULL DEFAULT 0);
CREATE TABLE net.scalers (namespace text, name text, replicas integer, memory text, PRIMARY KEY (namespace, name));
CREATE TABLE net.spaces (name text PRIMARY KEY, labels jsonb);
INSERT INTO net.nodes VALUES ('pool-1', '{"pool": "a"}', false, 'True'), ('pool-2', '{"pool": "a"}', NULL, 'True');
INSERT INTO net.scalers VALUES ('shop', 'web', 2, '500Mi');

-- What a mirror of an offline server needs.
SELECT dbnet.mirror('plan_lab', 'v1', 'Node', 'net.nodes');
SELECT dbnet.mirror('plan_lab', 'v1', 'node', 'net.nodes', '{"name": "metadata.name"}');
SELECT dbnet.mirror('plan_lab', 'apps/v1', 'Deployment', 'net.scalers', '{"name": "metadata.name"}');
SELECT dbnet.mirror('plan_lab', 'v1', 'Node', 'net.scalers', '{"name": "metadata.name", "namespace": "metadata.namespace"}');
SELECT dbnet.mirror('plan_lab', 'v1', 'Node', 'net.nodes', mode => 'manage', columns => '{
    "name": "metadata.name", "labels": "metadata.labels", "unschedulable": "spec.unschedulable",
    "ready": "status.conditions[type=Ready].status"}');
SELECT dbnet.mirror('plan_lab', 'apps/v1', 'Deployment', 'net.scalers', mode => 'manage', columns => '{
    "namespace": "metadata.namespace", "name": "metadata.name", "replicas": "spec.replicas",
    "memory": "spec.template.spec.containers[name=app].resources.limits.memory"}');
SELECT dbnet.mirror('plan_lab', 'v1', 'Namespace', 'net.spaces', '{"name": "metadata.name", "labels": "metadata.labels"}');
SELECT relation, resource, namespaced FROM dbnet.mirrored_relation ORDER BY relation::text;
SELECT relation, column_name, role, value_type, format FROM dbnet.mirrored_column ORDER BY relation::text, path;
SELECT relation, state, objects FROM dbnet.mirror_status ORDER BY relation::text;
-- Rows that were there are what the cluster has.
SELECT * FROM dbnet.preview('net.nodes');

-- A policy of triggers and procedures in two languages.
CREATE PROCEDURE net.balance(pool text) LANGUAGE sql AS $$
    UPDATE net.nodes SET labels = labels || '{"balanced": "yes"}' WHERE labels->>'pool' = $1 $$;
CREATE PROCEDURE net.provision(pool text) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO net.nodes (name, labels) VALUES ('pool-3', jsonb_build_object('pool', pool));
    UPDATE net.scalers SET replicas = replicas + 1 WHERE name = 'web';
    CALL net.balance(pool);
END $$;
CREATE FUNCTION net.overload() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.ingress > 100 AND OLD.ingress <= 100 THEN
        CALL net.provision(NEW.labels->>'pool');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER overload AFTER UPDATE OF ingress ON net.nodes FOR EACH ROW EXECUTE FUNCTION net.overload();

-- Nothing changed, nothing planned; the chain across mirrors; nothing outlives the transaction.
SELECT * FROM dbnet.plan();
BEGIN;
UPDATE net.nodes SET ingress = 50 WHERE name = 'pool-1';
SELECT * FROM dbnet.plan();
UPDATE net.nodes SET ingress = 150 WHERE name = 'pool-1';
SELECT * FROM dbnet.plan();
ROLLBACK;
SELECT * FROM dbnet.plan();

-- Savepoints and blocks with exceptions take their changes, and the causes, with them.
BEGIN;
UPDATE net.scalers SET replicas = 3;
SAVEPOINT one;
UPDATE net.scalers SET replicas = 4, memory = '1Gi';
DO $$
BEGIN
    UPDATE net.scalers SET replicas = 5;
    BEGIN
        DELETE FROM net.scalers;
        INSERT INTO net.nodes (name) VALUES ('never');
        RAISE division_by_zero;
    EXCEPTION WHEN division_by_zero THEN
        INSERT INTO net.nodes (name, unschedulable) VALUES ('kept', true);
    END;
END $$;
SELECT mirror, key, operation, fields, verdict, cause FROM dbnet.plan();
SAVEPOINT two;
DELETE FROM net.nodes WHERE name = 'kept';
RELEASE two;
SELECT mirror, key, operation, fields, verdict, cause FROM dbnet.plan();
ROLLBACK TO one;
SELECT mirror, key, operation, fields, verdict, cause FROM dbnet.plan();
ROLLBACK;

-- Amounts are compared as amounts: no change. Deletes come last, renames create first, Namespaces and Nodes go before all else.
BEGIN;
UPDATE net.scalers SET memory = '524288000';
INSERT INTO net.spaces VALUES ('shop', '{}');
UPDATE net.nodes SET name = 'pool-9' WHERE name = 'pool-2';
DELETE FROM net.nodes WHERE name = 'pool-1';
SELECT * FROM dbnet.plan();
ROLLBACK;

-- Nobody reports from an offline server, so a test writes status columns itself; that is no wish of anybody's.
BEGIN;
UPDATE net.nodes SET ready = 'False' WHERE name = 'pool-1';
SELECT * FROM dbnet.plan();
UPDATE net.nodes SET ready = 'Unknown', unschedulable = true WHERE name = 'pool-1';
INSERT INTO net.nodes (name, ready) VALUES ('pool-4', 'True');
SELECT mirror, key, operation, fields, verdict FROM dbnet.plan();
ROLLBACK;

-- Values that cannot be sent.
BEGIN;
UPDATE net.scalers SET memory = 'much';
UPDATE net.nodes SET labels = '{"a": 1e400}' WHERE name = 'pool-1';
SELECT mirror, key, operation, fields, verdict FROM dbnet.plan();
ROLLBACK;

-- Many at once.
BEGIN;
INSERT INTO net.nodes (name) SELECT 'many-' || number FROM generate_series(10, 70) AS number;
SELECT count(*), verdict FROM dbnet.plan() GROUP BY verdict;
ROLLBACK;
SELECT dbnet.unmirror('net.nodes');
INSERT INTO net.nodes (name) SELECT 'many-' || number FROM generate_series(10, 70) AS number;
SELECT dbnet.mirror('plan_lab', 'v1', 'Node', 'net.nodes', mode => 'manage', delete_foreign => true, columns => '{
    "name": "metadata.name", "labels": "metadata.labels", "unschedulable": "spec.unschedulable"}');
BEGIN;
UPDATE net.nodes SET unschedulable = true WHERE name LIKE 'many%';
SELECT count(*), operation, verdict FROM dbnet.plan() GROUP BY operation, verdict;
DELETE FROM net.nodes WHERE name LIKE 'many-1%';
SELECT count(*), operation, verdict FROM dbnet.plan() GROUP BY operation, verdict ORDER BY operation;
ROLLBACK;
BEGIN;
DELETE FROM net.nodes WHERE name IN ('many-10', 'many-11');
SELECT * FROM dbnet.plan();
ROLLBACK;

-- Modes and pauses; a mirror that the transaction itself has made.
BEGIN;
SELECT dbnet.pause('net.nodes', 'incident 42');
UPDATE net.nodes SET unschedulable = true WHERE name = 'pool-1';
SELECT mirror, key, verdict FROM dbnet.plan();
SELECT dbnet.alter_mirror('net.nodes', mode => 'observe');
SELECT mirror, key, verdict FROM dbnet.plan();
CREATE TABLE net.maps (name text PRIMARY KEY, data jsonb);
SELECT dbnet.mirror('plan_lab', 'v1', 'ConfigMap', 'net.maps', '{"name": "metadata.name", "data": "data"}', namespace => 'shop', mode => 'manage');
INSERT INTO net.maps VALUES ('limits', '{"rate": "5"}');
SELECT mirror, key, operation, fields, verdict FROM dbnet.plan();
DROP TABLE net.maps;
SELECT mirror, key, verdict FROM dbnet.plan();
ROLLBACK;

-- More than is remembered, and dbnet.resync(): the whole mirror.
BEGIN;
SELECT dbnet.resync('net.nodes');
SELECT * FROM dbnet.plan();
ROLLBACK;

-- Statements that no function runs: foreign keys; COPY has no cause.
CREATE TABLE net.zones (zone text PRIMARY KEY);
INSERT INTO net.zones VALUES ('z');
ALTER TABLE net.nodes ADD zone text REFERENCES net.zones ON DELETE CASCADE;
UPDATE net.nodes SET zone = 'z' WHERE name = 'pool-2';
BEGIN;
DELETE FROM net.zones;
COPY net.nodes (name, unschedulable) FROM stdin;
copied	t
\.
SELECT key, operation, verdict, cause FROM dbnet.plan();
ROLLBACK;

-- Who may not read a table does not see what happened to it, and is told that there was something.
CREATE ROLE regress_plan_user IN ROLE dbnet_viewer;
GRANT USAGE ON SCHEMA net TO regress_plan_user;
GRANT SELECT, UPDATE ON net.nodes TO regress_plan_user;
CREATE FUNCTION net.scale() RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ UPDATE net.scalers SET replicas = 9 $$;
SET ROLE regress_plan_user;
BEGIN;
UPDATE net.nodes SET unschedulable = true WHERE name = 'pool-2';
SELECT net.scale();
SELECT mirror, key, fields, verdict, cause FROM dbnet.plan();
ROLLBACK;
RESET ROLE;
ALTER TABLE net.nodes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON net.nodes TO regress_plan_user USING (name LIKE 'pool%');
CREATE FUNCTION net.drain() RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    UPDATE net.nodes SET unschedulable = true; DELETE FROM net.nodes WHERE name = 'pool-1' $$;
SET ROLE regress_plan_user;
BEGIN;
SELECT net.drain();
SELECT mirror, key, operation, fields FROM dbnet.plan();
ROLLBACK;
RESET ROLE;
REVOKE dbnet_viewer FROM regress_plan_user;
SET ROLE regress_plan_user;
SELECT * FROM dbnet.plan();
RESET ROLE;

-- A request of its own for each subresource.
SELECT dbnet.alter_mirror('net.scalers', columns => '{
    "namespace": "metadata.namespace", "name": "metadata.name", "replicas": {"path": "spec.replicas", "subresource": "scale"},
    "memory": "spec.template.spec.containers[name=app].resources.limits.memory"}');
BEGIN;
UPDATE net.scalers SET replicas = 9, memory = '2Gi';
SELECT step, key, operation, subresource, fields, verdict FROM dbnet.plan();
SELECT key, operation, path, subresource, row_value, live_value FROM dbnet.preview('net.scalers');
UPDATE net.scalers SET memory = '500Mi';
SELECT step, key, operation, subresource, fields, verdict FROM dbnet.plan();
ROLLBACK;

-- Other columns for an offline mirror.
SELECT dbnet.alter_mirror('net.scalers', columns => '{"namespace": "metadata.namespace", "name": "metadata.name", "replicas": "spec.replicas"}');
SELECT dbnet.alter_mirror('net.scalers', columns => '{"namespace": "metadata.namespace", "name": "metadata.name", "memory": "spec.replicas["}');

\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA net CASCADE;
DROP SERVER plan_lab;
DROP ROLE regress_plan_user;
SELECT count(*) FROM dbnet.object;
