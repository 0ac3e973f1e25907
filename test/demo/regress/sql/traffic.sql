-- The policy of Example 1 under pg_regress: what each situation makes it send. No cluster, no worker.
\getenv directory PG_ABS_SRCDIR
\set setup :directory '/../offline.sql'
\set ECHO none
\set QUIET on
\o /dev/null
\i :setup
\o
\set ECHO all
-- The order of sending; causes without line numbers, so that a comment in the policy changes nothing here.
\set plan 'SELECT step, mirror, key, operation, fields, verdict, regexp_replace(cause, \' line \\d+\', \'\', \'g\') AS cause FROM dbnet.plan()'
\x on

-- Traffic that three nodes can carry: nothing happens.
BEGIN;
UPDATE net.nodes SET ingress_rps = 100 WHERE name = 'web-1';
:plan;
ROLLBACK;

-- More than that: a node, a pod for it, and new weights.
BEGIN;
UPDATE net.nodes SET ingress_rps = 150;
:plan;
ROLLBACK;

-- The largest pool is large enough.
BEGIN;
UPDATE net.autoscalers SET nodes_maximum = 3;
UPDATE net.nodes SET ingress_rps = 150;
:plan;
ROLLBACK;
