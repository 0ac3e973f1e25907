-- Ties the tables of Example 1 to Kubernetes. psql variables: server, namespace (of pods, Deployment and Service),
-- selector (labels of the Nodes that are ours).

SELECT dbnet.mirror(:'server', 'v1', 'Node', 'net.nodes', label_selector => :'selector', mode => 'manage', columns => '{
    "name":   "metadata.name",
    "labels": "metadata.labels",
    "ready":  "status.conditions[type=Ready].status"}');

-- Observed only: pods are made by their Deployment.
SELECT dbnet.mirror(:'server', 'v1', 'Pod', 'net.pods', namespace => :'namespace', columns => '{
    "name":  "metadata.name",
    "node":  "spec.nodeName",
    "phase": "status.phase"}');

SELECT dbnet.mirror(:'server', 'apps/v1', 'Deployment', 'net.autoscalers', namespace => :'namespace', mode => 'manage', columns => '{
    "name":          "metadata.name",
    "replicas":      "spec.replicas",
    "selector":      "spec.selector",
    "pod_labels":    "spec.template.metadata.labels",
    "node_selector": "spec.template.spec.nodeSelector",
    "tolerations":   "spec.template.spec.tolerations",
    "containers":    "spec.template.spec.containers",
    "pods_ready":    "status.readyReplicas"}');

SELECT dbnet.mirror(:'server', 'v1', 'Service', 'net.load_balancers', namespace => :'namespace', mode => 'manage', columns => '{
    "name":     "metadata.name",
    "selector": "spec.selector",
    "ports":    "spec.ports",
    "weights":  "metadata.annotations[\"lb.example/weights\"]"}');
