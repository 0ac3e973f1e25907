-- The network that the demo starts with: a pool of three nodes, an application on them, a load-balancer before it.
-- psql variables: pool, node_labels (jsonb; {"pool": …} among them).
BEGIN;

INSERT INTO net.nodes (name, labels)
SELECT format('%s-%s', :'pool', number), :'node_labels' FROM generate_series(1, 3) AS number;

-- The host port keeps a second pod off a node; the toleration lets pods onto nodes that have no machine.
INSERT INTO net.autoscalers (name, pool, node_labels, nodes_maximum, replicas, selector, pod_labels, node_selector, tolerations, containers)
VALUES ('web', :'pool', :'node_labels', 6, 3, '{"matchLabels": {"app": "web"}}', '{"app": "web"}', jsonb_build_object('pool', :'pool'),
        '[{"key": "dbnet.io/no-machine", "operator": "Exists"}]',
        '[{"name": "web", "image": "nginx", "ports": [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]}]');

INSERT INTO net.load_balancers (name, pool, node_limit_rps, selector, ports)
VALUES ('web', :'pool', 120, '{"app": "web"}', '[{"port": 80, "targetPort": 80, "protocol": "TCP"}]');

CALL policy.recalculate();
CALL policy.rebalance(:'pool');

COMMIT;
