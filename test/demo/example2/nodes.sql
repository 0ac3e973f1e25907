-- Example 2 of the paper goes on where Example 1 ends: what else is to be known of nodes that are to be replaced.
-- psql variables: server, namespace, selector (labels of the Nodes that are ours).

ALTER TABLE net.nodes ADD COLUMN cordoned boolean;
COMMENT ON COLUMN net.nodes.cordoned IS 'no new pod is placed on it';

SELECT dbnet.alter_mirror('net.nodes', columns => '{
    "name":     "metadata.name",
    "labels":   "metadata.labels",
    "cordoned": "spec.unschedulable",
    "ready":    "status.conditions[type=Ready].status"}');

CREATE TABLE net.disruption_budgets (
    name                text PRIMARY KEY,
    max_unavailable     text,
    selector            jsonb,
    disruptions_allowed integer
);
COMMENT ON TABLE net.disruption_budgets IS 'How many pods of an application may be missing at a time (PodDisruptionBudget)';
COMMENT ON COLUMN net.disruption_budgets.disruptions_allowed IS 'how many more may be evicted now';

SELECT dbnet.mirror(:'server', 'policy/v1', 'PodDisruptionBudget', 'net.disruption_budgets', namespace => :'namespace', mode => 'manage', columns => '{
    "name":                "metadata.name",
    "max_unavailable":     "spec.maxUnavailable",
    "selector":            "spec.selector",
    "disruptions_allowed": "status.disruptionsAllowed"}');

INSERT INTO net.disruption_budgets (name, max_unavailable, selector) VALUES ('web', '1', '{"matchLabels": {"app": "web"}}');
