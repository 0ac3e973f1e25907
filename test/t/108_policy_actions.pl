# When policies act: a transition wakes the worker; a policy that is being changed decides when that has ended; a process that
# never began was no attempt; a backlog is worked off without being read again for each action.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Policies;
use DBNet::Wait qw(wait_until);
use Test::More;

my $node = DBNet::Cluster->started('policy_actions');
my $policies = DBNet::Policies->new($node);
my $act = q{action => 'net.act(dbnet.policy_event)', mode => 'act'};

# A transition -----------------------------------------------------------------------------------------------------------------
# Nothing else wakes the worker: by itself it looks again after a minute.
$node->psql_ok(q{SET ROLE policy_owner; CREATE TABLE net.nodes (name text PRIMARY KEY, ready boolean); SELECT dbnet.track('net.nodes'); INSERT INTO net.nodes VALUES ('n1', true)}, 'a tracked table');
$policies->create(qq{'down', 'transitions', aggregate => 'count', operator => '>=', threshold => 1, match => '{"relation": "net.nodes", "column": "ready"}', $act});
$node->wait_for(q{SELECT state FROM dbnet.policy_status WHERE policy = 'down'}, 'the policy is evaluated', expected => 'inactive');
$node->psql_ok(q{UPDATE net.nodes SET ready = false}, 'a transition');
$node->wait_for(q{SELECT count(*) FROM net.done WHERE policy = 'down'}, 'acts on it, woken by its commit', expected => '1', timeout => 25);
$node->psql_ok(q{SET ROLE policy_owner; SELECT dbnet.drop_policy('down')}, 'drop it');

# A change under way ---------------------------------------------------------------------------------------------------------------
# It holds up nobody, and nothing is lost when it is rolled back. A policy that decides every two seconds shows that there was time to.
$policies->create(qq{'acts', 'query', threshold => 1, query => 'SELECT place, value FROM net.control', every => '100 ms', $act});
$policies->create(q{'watches', 'query', threshold => 1, query => 'SELECT place, value FROM net.control', every => '2 s'});
my $position = $node->log_position;
my $change = $node->background_psql('postgres');
$change->query_safe(q{BEGIN; SELECT dbnet.alter_policy('acts', threshold => 2)});
for my $place (qw(a b)) {
    $policies->control($place => [5]);
    $node->wait_for("SELECT count(*) FROM dbnet.policy_event WHERE policy = 'watches' AND grouping ->> 'place' = '$place'", "another policy decides on $place", expected => '1');
}
$node->query_is(q{SELECT count(*) FROM dbnet.policy_event WHERE policy = 'acts'}, '0', 'the one that is being changed does not');
$change->query_safe('ROLLBACK');
$change->quit;
$node->wait_for(q{SELECT string_agg(place, '' ORDER BY id) FROM net.done WHERE policy = 'acts'}, 'and then does', expected => 'ab');
unlike($node->log_since($position), qr/lock timeout/, 'nobody waited');
$node->psql_ok(q{SET ROLE policy_owner; SELECT dbnet.drop_policy('watches')}, 'drop it');

# Two changes at once: each is of what the other has left.
my $first = $node->background_psql('postgres');
$first->query_safe(q{BEGIN; SELECT dbnet.alter_policy('acts', hold_time => '0 s', minimum_count => 1)});
my $second = $node->background_psql('postgres');
$second->{stdin} .= "SELECT dbnet.alter_policy('acts', cooldown => '1 s');\n";
$second->{run}->pump_nb;
$node->wait_for(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%cooldown%' AND pid <> pg_backend_pid()}, 'the second waits', expected => '1');
$first->query_safe('COMMIT');
$_->quit for $first, $second;
$node->query_is(q{SELECT minimum_count, cooldown FROM dbnet.policy WHERE name = 'acts'}, '1|00:00:01', 'both count');

# A process that cannot begin ------------------------------------------------------------------------------------------------------
my $refused = sub { return scalar(() = $node->log_since($position) =~ /FATAL:  database "postgres" is not currently accepting connections/g) };
my @other = (database => 'template1');
my $session = $node->background_psql('postgres');
$position = $node->log_position;
$node->psql_ok(q{UPDATE pg_database SET datallowconn = false WHERE datname = 'postgres'}, 'nobody else may connect', @other);
$node->psql_ok(q{SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE backend_type = 'dbnet policy action'}, 'the process that runs actions ends', @other);
$session->query_safe(q{INSERT INTO net.control VALUES ('c', 5)});
ok(wait_until($refused, 60), 'another cannot begin');
my $seen = $refused->();
ok(wait_until(sub { $refused->() > $seen }, 60), 'and is tried again');
is($session->query_safe(q{SELECT action_state, attempts, error FROM dbnet.policy_event WHERE grouping ->> 'place' = 'c'}), 'waiting|0|', 'which is no attempt of the action');
is($session->query_safe(q{SELECT last_error FROM dbnet.worker WHERE process = 'policy worker'}), 'a process for actions of policies ended before it began', 'the worker says so');
is(scalar(() = $node->log_since($position) =~ /ended before it began/g), 1, 'and the log, once');
$node->psql_ok(q{UPDATE pg_database SET datallowconn = true WHERE datname = 'postgres'}, 'who wants may connect again', @other);
$session->quit;
$node->wait_for(q{SELECT action_state, attempts FROM dbnet.policy_event WHERE grouping ->> 'place' = 'c'}, 'the action is run', expected => 'done|1');
$node->wait_for(q{SELECT coalesce(last_error, '') FROM dbnet.worker WHERE process = 'policy worker'}, 'nothing is wrong any more', expected => '');

# A backlog --------------------------------------------------------------------------------------------------------------------------
my $rows = q{SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relid = 'dbnet.policy_event'::regclass};
my $before = $node->safe_psql('postgres', $rows);
$node->psql_ok(q{INSERT INTO net.control SELECT 'many' || n, 5 FROM generate_series(1, 1000) AS n}, 'a thousand at once');
$node->wait_for(q{SELECT count(*) FROM net.done WHERE place LIKE 'many%'}, 'all are done', expected => '1000', timeout => 180);
$node->replace_worker('policy worker', 'TERM');    # what it counted is told
cmp_ok($node->safe_psql('postgres', $rows) - $before, '<', 100_000, 'a hundred rows read for each at most');
$node->no_crash_in_log;
done_testing();
