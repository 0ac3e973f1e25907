-- Example 1 without a cluster, for tests of its policy: the rows that are there before the mirrors are made are what the
-- cluster is taken to have.
CREATE SERVER lab FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (offline 'true');
\set server lab
\set namespace shop
\set selector pool=web
\set pool web
\set node_labels '{"pool": "web"}'
\ir example1/tables.sql
\ir example1/policy.sql
\ir example1/devices.sql
UPDATE net.nodes SET ready = 'True', cpu_percent = 20;
\ir example1/mirrors.sql
