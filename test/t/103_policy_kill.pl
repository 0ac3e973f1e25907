# kill -9 of the policy worker, and of the process that runs an action, while it acts and right after it has: each event's action happens once, whatever came
# between.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Policies;
use Test::More;
use Time::HiRes qw(sleep);

my $node = DBNet::Cluster->started('policy_kill');
my $policies = DBNet::Policies->new($node);
$node->psql_ok(<<'SQL', 'an action that waits after it has written');
SET ROLE policy_owner;
CREATE TABLE net.gate (closed boolean);
CREATE PROCEDURE net.wait(event dbnet.policy_event) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO net.done (policy, place, event) VALUES (event.policy, event.grouping ->> 'place', event.id);
    WHILE EXISTS (SELECT FROM net.gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
END
$$;
INSERT INTO net.gate VALUES (true);
SQL
$policies->control(a => [5]);
$policies->create(q{'once', 'query', threshold => 1, query => 'SELECT place, value FROM net.control', every => '100 ms', action => 'net.wait(dbnet.policy_event)', mode => 'act', action_timeout => '2 minutes'});
my $running = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dbnet policy action' AND wait_event = 'PgSleep'};
$node->wait_for($running, 'the action runs', expected => '1');
$node->query_is('SELECT action_state FROM dbnet.policy_event', 'waiting', 'its event is committed and waits');
kill KILL => $node->worker_pid('policy worker');
$node->wait_for('SELECT count(*) FROM net.done', 'nothing is left of the action', expected => '0');
$node->wait_for($running, 'it runs again', expected => '1');
kill KILL => $node->safe_psql('postgres', $running =~ s/count\(\*\)/pid/r);
$node->wait_for('SELECT count(*) FROM net.done', 'nothing is left when its own process is killed', expected => '0');
$node->wait_for($running, 'it runs once more', expected => '1');
$node->psql_ok('DELETE FROM net.gate', 'let it end');
$node->wait_for('SELECT action_state, attempts FROM dbnet.policy_event', 'done', expected => 'done|1');
kill KILL => $node->worker_pid('policy worker');
$node->wait_for(q{SELECT count(*) FROM dbnet.worker WHERE process = 'policy worker' AND pid IS NOT NULL}, 'another worker', expected => '1');
$policies->control(b => [5]);
$node->wait_for(q{SELECT string_agg(place, '' ORDER BY id) FROM net.done}, 'what was done is not done again', expected => 'ab');
$node->query_is(q{SELECT count(*) FROM dbnet.policy_event}, '2', 'nor decided again');

# Many, with a kill every now and then.
$node->psql_ok(q{INSERT INTO net.control SELECT 'many' || n, 5 FROM generate_series(1, 300) AS n}, 'three hundred at once');
for (1 .. 3) {
    $node->wait_for(q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'dbnet policy worker'}, 'a worker is there');
    sleep 0.05 * $_;
    kill KILL => $node->worker_pid('policy worker');
    $node->wait_for('SELECT true', 'the server is back');
}
$node->wait_for(q{SELECT count(*) FROM dbnet.policy_event WHERE action_state = 'done'}, 'all are done', expected => '302');
$node->query_is(q{SELECT count(*), count(DISTINCT place), count(DISTINCT event) FROM net.done}, '302|302|302', 'each once');
$node->query_is(q{SELECT count(*) FROM net.done AS d LEFT JOIN dbnet.policy_event AS e ON e.id = d.event WHERE e.action_state IS DISTINCT FROM 'done'}, '0', 'none without its event');
done_testing();
