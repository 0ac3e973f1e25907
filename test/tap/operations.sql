-- Operations on devices: who may ask for them and with which arguments. On mirrors of an offline server: what is asked
-- for waits.
BEGIN;
SELECT no_plan();

CREATE SERVER operations_lab FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (offline 'true');
CREATE SERVER operations_other FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (offline 'true');
CREATE SCHEMA operations;
CREATE TABLE operations.nodes (name text PRIMARY KEY, unschedulable boolean);
CREATE TABLE operations.bare_nodes (name text PRIMARY KEY, labels jsonb);
CREATE TABLE operations.pods (namespace text, name text, phase text, PRIMARY KEY (namespace, name));
CREATE TABLE operations.shop_pods (name text PRIMARY KEY);
CREATE TABLE operations.other_pods (namespace text, name text, PRIMARY KEY (namespace, name));
CREATE TABLE operations.deployments (namespace text, name text, template jsonb, PRIMARY KEY (namespace, name));
INSERT INTO operations.nodes VALUES ('n1', false), ('n2', true);
INSERT INTO operations.bare_nodes VALUES ('n1', '{}');
INSERT INTO operations.pods VALUES ('shop', 'web-1', 'Running');
INSERT INTO operations.deployments VALUES ('shop', 'web', '{"spec": {}}');
SELECT dbnet.mirror('operations_lab', 'v1', 'Node', 'operations.nodes', '{"name": "metadata.name", "unschedulable": "spec.unschedulable"}');
SELECT dbnet.mirror('operations_other', 'v1', 'Node', 'operations.bare_nodes', '{"name": "metadata.name", "labels": "metadata.labels"}');
SELECT dbnet.mirror('operations_lab', 'v1', 'Pod', 'operations.pods', '{"namespace": "metadata.namespace", "name": "metadata.name", "phase": "status.phase"}');
SELECT dbnet.mirror('operations_lab', 'v1', 'Pod', 'operations.shop_pods', '{"name": "metadata.name"}', namespace => 'shop');
SELECT dbnet.mirror('operations_other', 'v1', 'Pod', 'operations.other_pods', '{"namespace": "metadata.namespace", "name": "metadata.name"}');
SELECT dbnet.mirror('operations_lab', 'apps/v1', 'Deployment', 'operations.deployments', '{"namespace": "metadata.namespace", "name": "metadata.name", "template": "spec.template"}');

-- Arguments ----------------------------------------------------------------------------------------------------------
SELECT throws_ok($$SELECT dbnet.cordon('operations.nodes', 'n1')$$, '55000', 'operations.nodes is in mode observe: nothing is written to its server', 'mode observe writes nothing');
SELECT dbnet.alter_mirror(relation, mode => 'manage') FROM unnest(ARRAY['operations.nodes', 'operations.bare_nodes', 'operations.pods', 'operations.other_pods', 'operations.deployments']::regclass[]) AS mirror(relation);

SELECT throws_ok($$SELECT dbnet.cordon('pg_class', 'n1')$$, '42704', NULL, 'not a mirror');
SELECT throws_ok($$SELECT dbnet.cordon('operations.nodes', NULL)$$, '22004', NULL, 'no key');
SELECT throws_ok($$SELECT dbnet.cordon('operations.nodes', 'shop/n1')$$, '22023', NULL, 'a key of another form');
SELECT throws_ok($$SELECT dbnet.cordon('operations.nodes', 'n3')$$, '42704', 'operations.nodes has no row "n3"', 'no row');
SELECT throws_ok($$SELECT dbnet.cordon('operations.pods', 'shop/web-1')$$, '42809', 'operations.pods mirrors kind Pod: dbnet.cordon() is for Node', 'another kind cannot be cordoned');
SELECT throws_ok($$SELECT dbnet.drain('operations.pods', 'shop/web-1')$$, '42809', 'operations.pods mirrors kind Pod: dbnet.drain() is for Node', 'nor drained');
SELECT throws_ok($$SELECT dbnet.evict('operations.nodes', 'n1')$$, '42809', 'operations.nodes mirrors kind Node: dbnet.evict() is for Pod', 'nor evicted');
SELECT throws_ok($$SELECT dbnet.restart('operations.nodes', 'n1')$$, '42809', 'operations.nodes mirrors kind Node: dbnet.restart() is for Deployment, StatefulSet, DaemonSet', 'nor restarted');
SELECT throws_ok($$SELECT dbnet.drain('operations.nodes', 'n1', grace_period => '-1 s')$$, '22023', 'argument grace_period is negative', 'a time is not negative');
SELECT throws_ok($$SELECT dbnet.drain('operations.nodes', 'n1', timeout => '-1 s')$$, '22023', 'argument timeout is negative', 'nor is the other');
SELECT throws_ok($$SELECT dbnet.drain('operations.nodes', 'n1', pods => 'operations.other_pods')$$, '22023',
    'operations.other_pods mirrors pods of server "operations_other", and the node is one of "operations_lab"', 'pods of another server');
SELECT throws_ok($$SELECT dbnet.drain('operations.nodes', 'n1', pods => 'operations.deployments')$$, '42809', NULL, 'pods that are none');
SELECT throws_ok($$SELECT dbnet.drain('operations.nodes', 'n1', pods => 'operations.shop_pods')$$, '55000', 'operations.shop_pods is in mode observe: nothing is written to its server', 'nor pods that are only watched');
SELECT is_empty('SELECT FROM dbnet.operation', 'nothing of this was asked for');

-- What is asked for --------------------------------------------------------------------------------------------------
SELECT is(dbnet.cordon('operations.nodes', 'n1'), NULL, 'a mapped field is cordoned through its row');
SELECT results_eq($$SELECT name, unschedulable FROM operations.nodes ORDER BY 1$$, $$VALUES ('n1', true), ('n2', true)$$, 'that one alone');
SELECT is(dbnet.uncordon('operations.nodes', 'n1'), NULL, 'and uncordoned');
SELECT results_eq($$SELECT name, unschedulable FROM operations.nodes ORDER BY 1$$, $$VALUES ('n1', false), ('n2', true)$$, 'likewise');
SELECT isnt(dbnet.cordon('operations.bare_nodes', 'n1'), NULL, 'where no column holds it, it is an operation');
SELECT is(dbnet.restart('operations.deployments', 'shop/web') IS NULL, false, 'a template that others own is not claimed');
UPDATE operations.deployments SET template = '{"spec": {"hostNetwork": true}}';
SELECT is(dbnet.restart('operations.deployments', 'shop/web'), NULL, 'one that the row claims is restarted through the row');
SELECT is(template #>> '{spec,hostNetwork}' || ' ' || (template #>> '{metadata,annotations,kubectl.kubernetes.io/restartedAt}' ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$')::text,
    'true true', 'of which nothing is lost') FROM operations.deployments;
SELECT isnt(dbnet.evict('operations.pods', 'shop/web-1', '1.5 s', '1 min'), NULL, 'an eviction');
SELECT isnt(dbnet.drain('operations.nodes', 'n1', 'operations.pods', '0 s', '1 hour', true, true, true, true, 'app=web'), NULL, 'a drain');
SELECT results_eq($$SELECT operation, relation::text, key COLLATE "default", state, arguments, requested_by = current_user FROM dbnet.operation_status ORDER BY id$$,
    $$VALUES ('cordon', 'operations.bare_nodes', 'n1', 'waiting', '{}'::jsonb, true),
             ('restart', 'operations.deployments', 'shop/web', 'waiting', '{}', true),
             ('evict', 'operations.pods', 'shop/web-1', 'waiting', '{"grace_period": 2, "timeout": 60}', true),
             ('drain', 'operations.nodes', 'n1', 'waiting', jsonb_build_object('pods', 'operations.pods', 'grace_period', 0, 'timeout', 3600,
                 'ignore_daemonsets', true, 'delete_emptydir_data', true, 'force', true, 'disable_eviction', true, 'pod_selector', 'app=web'), true)$$,
    'are on record');
SELECT ok(unschedulable, 'a drain cordons the row') FROM operations.nodes WHERE name = 'n1';
SELECT results_eq($$SELECT mirror::text, key, operation, fields ->> 'pod_selector', verdict FROM dbnet.plan() WHERE operation IN ('cordon', 'drain', 'evict', 'restart') ORDER BY 1, 3$$,
    $$VALUES ('operations.bare_nodes', 'n1', 'cordon', NULL, 'send'), ('operations.deployments', 'shop/web', 'restart', NULL, 'send'),
             ('operations.nodes', 'n1', 'drain', 'app=web', 'send'), ('operations.pods', 'shop/web-1', 'evict', NULL, 'send')$$, 'dbnet.plan() shows them');
SELECT is_empty($$SELECT FROM dbnet.plan() WHERE operation IN ('cordon', 'drain', 'evict', 'restart') AND cause IS NOT NULL$$, 'asked for by statements that no function runs');
SAVEPOINT asked_by_functions;
CREATE FUNCTION operations.ask_one() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN dbnet.cordon('operations.bare_nodes', 'n1'); END $$;
CREATE FUNCTION operations.ask_two() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN dbnet.uncordon('operations.bare_nodes', 'n1');
END $$;
SELECT isnt(operations.ask_one() + operations.ask_two(), NULL, 'two functions ask');
SELECT results_eq($$SELECT operation, cause FROM dbnet.plan() WHERE mirror = 'operations.bare_nodes'::regclass ORDER BY 1, 2 NULLS FIRST$$,
    $$VALUES ('cordon', NULL), ('cordon', 'function operations.ask_one() line 1'), ('uncordon', 'function operations.ask_two() line 3')$$, 'each request has its cause');
ROLLBACK TO asked_by_functions;
SAVEPOINT before_delete;
SELECT dbnet.alter_mirror('operations.nodes', delete_foreign => true);
DELETE FROM operations.nodes WHERE name = 'n1';
SELECT is(verdict, 'wait: the object is to be drained first: operation ' || (SELECT max(id) FROM dbnet.operation) || ' is under way', 'and that a deletion waits for a drain')
FROM dbnet.plan() WHERE operation = 'delete';
ROLLBACK TO before_delete;
SELECT throws_ok(format('SELECT dbnet.wait_operation(%s)', max(id)), '25001', NULL, 'its end cannot be awaited before the commit') FROM dbnet.operation;
SELECT throws_ok('SELECT dbnet.wait_operation(0)', '42704', 'there is no operation 0', 'nor that of none');
SELECT throws_ok('SELECT dbnet.cancel_operation(0)', '42704', 'there is no operation 0', 'none can be given up');

-- Rights -------------------------------------------------------------------------------------------------------------
CREATE ROLE operations_reader; CREATE ROLE operations_writer; CREATE ROLE operations_steward;
GRANT dbnet_viewer TO operations_reader, operations_writer;
GRANT dbnet_operator TO operations_steward;
GRANT USAGE ON SCHEMA operations TO operations_reader, operations_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA operations TO operations_reader, operations_writer;
GRANT UPDATE (unschedulable) ON operations.nodes TO operations_writer;
GRANT UPDATE ON operations.bare_nodes, operations.deployments TO operations_writer;
GRANT DELETE ON operations.pods, operations.shop_pods TO operations_writer;
DELETE FROM dbnet.operation;

SET ROLE operations_reader;
SELECT throws_ok($$SELECT dbnet.uncordon('operations.nodes', 'n1')$$, '42501', NULL, 'who may only read cannot change the row');
SELECT throws_ok($$SELECT dbnet.cordon('operations.bare_nodes', 'n1')$$, '42501', 'permission denied for table operations.bare_nodes', 'nor ask for an operation');
SELECT throws_ok($$SELECT dbnet.evict('operations.pods', 'shop/web-1')$$, '42501', 'permission denied for table operations.pods', 'nor evict');
SELECT throws_ok($$SELECT dbnet.restart('operations.deployments', 'shop/web')$$, '42501', NULL, 'nor restart');
SELECT throws_ok($$SELECT dbnet.drain('operations.nodes', 'n1', 'operations.pods')$$, '42501', 'permission denied for table operations.pods', 'nor drain');
SELECT throws_ok($$INSERT INTO dbnet.operation (server, relation, name, uid, operation, requested_by) VALUES ('operations_lab', 'operations.nodes', 'n1', '', 'drain', 'postgres')$$,
    '42501', NULL, 'nor write the table');
SET ROLE operations_writer;
SELECT throws_ok($$SELECT dbnet.drain('operations.nodes', 'n1')$$, '42501', 'permission denied for table operations.nodes', 'pods that are looked up at the server go with the right to delete the node');
SELECT throws_ok($$SELECT dbnet.drain('operations.nodes', 'n1', 'operations.shop_pods')$$, '42501', 'permission denied for table operations.nodes', 'as does a mirror that has the pods of one namespace');
SELECT lives_ok($$SELECT dbnet.drain('operations.nodes', 'n1', 'operations.pods')$$, 'those of a mirror with the right to delete them');
SELECT lives_ok($$SELECT dbnet.cordon('operations.bare_nodes', 'n1')$$, 'UPDATE lets cordon');
SELECT lives_ok($$SELECT dbnet.evict('operations.pods', 'shop/web-1')$$, 'DELETE lets evict');
SELECT results_eq($$SELECT operation, requested_by FROM dbnet.operation_status ORDER BY id$$,
    $$VALUES ('drain', 'operations_writer'::name), ('cordon', 'operations_writer'), ('evict', 'operations_writer')$$, 'who asked is on record');
SET ROLE operations_reader;
SELECT is(count(*), 3::bigint, 'who may read the table sees what was asked for') FROM dbnet.operation_status;
SELECT throws_ok(format('SELECT dbnet.cancel_operation(%s)', min(id)), '42501', 'operation ' || min(id) || ' was asked for by operations_writer', 'and cannot give it up') FROM dbnet.operation;
SET ROLE operations_writer;
SELECT ok(dbnet.cancel_operation(min(id)), 'who asked can') FROM dbnet.operation;
SET ROLE operations_steward;
SELECT ok(dbnet.cancel_operation(max(id)), 'and so can an operator') FROM dbnet.operation;
RESET ROLE;
SELECT results_eq($$SELECT operation, state, message FROM dbnet.operation_status WHERE finished_at IS NOT NULL ORDER BY id$$,
    $$VALUES ('drain', 'cancelled', 'cancelled by operations_writer'), ('evict', 'cancelled', 'cancelled by operations_steward')$$, 'both say by whom');
REVOKE SELECT ON operations.nodes FROM operations_reader;
SET ROLE operations_reader;
SELECT is_empty($$SELECT FROM dbnet.operation_status WHERE relation = 'operations.nodes'::regclass$$, 'who may not read the table sees nothing of it');
RESET ROLE;
ALTER TABLE operations.pods ENABLE ROW LEVEL SECURITY;
SET ROLE operations_writer;
SELECT throws_ok($$SELECT dbnet.evict('operations.pods', 'shop/web-1')$$, '42501', NULL, 'row-level security forbids what it hides');
RESET ROLE;
DROP OWNED BY operations_writer;
DROP ROLE operations_writer;
SET ROLE operations_steward;
SELECT ok(dbnet.cancel_operation(id), 'an operator can when the role that asked was dropped') FROM dbnet.operation WHERE finished_at IS NULL;
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
