-- Example 1 of the paper, traffic load balancing: what is known of the network, one row for each device.
-- Plain tables. mirrors.sql ties four of them to Kubernetes, policy.sql makes them act.

CREATE SCHEMA net;
COMMENT ON SCHEMA net IS 'Devices: what is written here happens in the cluster, what happens there is written here';
CREATE SCHEMA metrics;
COMMENT ON SCHEMA metrics IS 'What the devices report, added up';
CREATE SCHEMA policy;
COMMENT ON SCHEMA policy IS 'What is to be done about it';

CREATE TABLE net.nodes (
    name        text PRIMARY KEY,
    labels      jsonb,
    pool        text GENERATED ALWAYS AS (labels ->> 'pool') STORED,
    ready       text,
    ingress_rps numeric NOT NULL DEFAULT 0,
    cpu_percent numeric NOT NULL DEFAULT 0
);
COMMENT ON TABLE net.nodes IS 'Machines (Node)';
COMMENT ON COLUMN net.nodes.ready IS 'True, False or Unknown as the cluster reports it; NULL = has not reported yet';
COMMENT ON COLUMN net.nodes.ingress_rps IS 'telemetry: requests per second that arrive';
COMMENT ON COLUMN net.nodes.cpu_percent IS 'telemetry: CPU in use';

CREATE TABLE net.pods (
    name  text PRIMARY KEY,
    node  text,
    phase text
);
COMMENT ON TABLE net.pods IS 'Where the application runs (Pod); read only, they belong to their auto-scaler';

CREATE TABLE net.autoscalers (
    name          text PRIMARY KEY,
    replicas      integer,
    selector      jsonb,
    pod_labels    jsonb,
    node_selector jsonb,
    tolerations   jsonb,
    containers    jsonb,
    pods_ready    integer,
    pool          text UNIQUE,
    node_labels   jsonb,
    nodes         integer NOT NULL DEFAULT 0,
    nodes_maximum integer,
    cpu_percent   numeric NOT NULL DEFAULT 0
);
COMMENT ON TABLE net.autoscalers IS 'An application and the pool of nodes it runs on, one pod on each (Deployment)';
COMMENT ON COLUMN net.autoscalers.pool IS 'NULL = one that somebody else made: it is shown, and none of the policy''s business';
COMMENT ON COLUMN net.autoscalers.node_labels IS 'what a new node of the pool is labelled with';
COMMENT ON COLUMN net.autoscalers.nodes IS 'nodes of the pool, those included that are still starting';
COMMENT ON COLUMN net.autoscalers.nodes_maximum IS 'the policy provisions no more than these';
COMMENT ON COLUMN net.autoscalers.cpu_percent IS 'average of the nodes that are ready';

CREATE TABLE net.load_balancers (
    name           text PRIMARY KEY,
    selector       jsonb,
    ports          jsonb,
    weights        text,
    pool           text REFERENCES net.autoscalers (pool),
    node_limit_rps numeric,
    capacity_rps   numeric NOT NULL DEFAULT 0,
    ingress_rps    numeric NOT NULL DEFAULT 0,
    node_rps       numeric,
    pod_rps        numeric
);
COMMENT ON TABLE net.load_balancers IS 'What spreads the traffic over the nodes of a pool (Service)';
COMMENT ON COLUMN net.load_balancers.pool IS 'NULL = one that somebody else made';
COMMENT ON COLUMN net.load_balancers.weights IS 'share of each node in percent, {"node": share} as text: an annotation, and they are texts';
COMMENT ON COLUMN net.load_balancers.node_limit_rps IS 'requests per second that one node shall carry at most';
COMMENT ON COLUMN net.load_balancers.capacity_rps IS 'what all nodes of the pool may carry, those included that are still starting';
COMMENT ON COLUMN net.load_balancers.ingress_rps IS 'sum over the nodes';
COMMENT ON COLUMN net.load_balancers.node_rps IS 'ingress for each node that is ready; NULL = none is';
COMMENT ON COLUMN net.load_balancers.pod_rps IS 'ingress for each pod that runs; NULL = none does';

CREATE TABLE metrics.history (
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    transaction   xid8 NOT NULL DEFAULT pg_current_xact_id(),
    load_balancer text NOT NULL,
    ingress_rps   numeric,
    capacity_rps  numeric,
    node_rps      numeric,
    pod_rps       numeric
);
COMMENT ON TABLE metrics.history IS 'Every change of a load-balancer''s metrics, and the transaction that made it';

CREATE VIEW metrics.pools AS
SELECT scaler.pool,
       count(node.name) AS nodes,
       count(node.name) FILTER (WHERE node.ready = 'True') AS nodes_ready,
       (SELECT count(*) FROM net.pods AS pod JOIN net.nodes AS host ON host.name = pod.node
        WHERE host.pool = scaler.pool AND pod.phase = 'Running') AS pods_running,
       coalesce(sum(node.ingress_rps), 0) AS ingress_rps,
       coalesce(round(avg(node.cpu_percent) FILTER (WHERE node.ready = 'True'), 1), 0) AS cpu_percent
FROM net.autoscalers AS scaler
LEFT JOIN net.nodes AS node ON node.pool = scaler.pool
WHERE scaler.pool IS NOT NULL
GROUP BY scaler.pool;
COMMENT ON VIEW metrics.pools IS 'What the nodes and pods of each pool add up to now';
