-- The policy of Example 1 under pgTAP: what each situation makes it send. No cluster, no worker.
\ir ../offline.sql
BEGIN;
SELECT plan(6);

UPDATE net.nodes SET ingress_rps = 100 WHERE name = 'web-1';
SELECT is_empty('SELECT * FROM dbnet.plan()', 'three nodes carry 100 requests per second');

SAVEPOINT quiet;
UPDATE net.nodes SET ingress_rps = 150;
SELECT results_eq(
    'SELECT step, mirror::text, key, operation, verdict FROM dbnet.plan()',
    $$VALUES (1, 'net.nodes', 'web-4', 'create', 'send'),
             (2, 'net.load_balancers', 'shop/web', 'update', 'send'),
             (3, 'net.autoscalers', 'shop/web', 'update', 'send')$$,
    'they do not carry 450: one node more, and the load-balancer and the auto-scaler with it');
SELECT is(fields, '{"spec.replicas": 4}', 'a pod for the new node')
FROM dbnet.plan() WHERE mirror = 'net.autoscalers'::regclass;
SELECT matches(cause, '^procedure policy\.scale_out\(text\).*trigger overload on net\.load_balancers',
    'the overload trigger provisioned the node')
FROM dbnet.plan() WHERE operation = 'create';

-- What is rolled back is not planned any more.
ROLLBACK TO quiet;
SELECT is_empty('SELECT * FROM dbnet.plan()', 'nothing is left of it');

UPDATE net.autoscalers SET nodes_maximum = 3;
SELECT lives_ok('UPDATE net.nodes SET ingress_rps = 150', 'a pool that is as large as it may be gets no node');
SELECT finish();
ROLLBACK;
