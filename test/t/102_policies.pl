# Policies on a real server: they react to what is committed, act once as their owner, say why they do not, try again,
# and stand in no other's way.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Policies;
use Test::More;

my $node = DBNet::Cluster->started('policies');
my $policies = DBNet::Policies->new($node);
my $act = q{action => 'net.act(dbnet.policy_event)', mode => 'act'};
$node->query_is(q{SELECT count(*) FROM dbnet.worker WHERE process = 'policy worker'}, '0', 'no policy, no policy worker');

# Reaction --------------------------------------------------------------------------------------------------------------------
$policies->create(qq{'errors', 'spans', aggregate => 'error_rate', threshold => 0.1, group_by => '{node}', minimum_count => 20, time_window => '1 hour', $act});
$node->worker_pid('policy worker');
$policies->spans(node => 'n2', errors => 1);
$policies->spans(node => 'n1', errors => 40);
$node->wait_for(q{SELECT policy, place, value, count, who FROM net.done}, 'acts for the node that is bad, as its owner', expected => 'errors|n1|0.4|100|policy_owner');
$node->query_is(q{SELECT decision, state, grouping, value, operator, threshold, count, window_end - window_start, trace_ids, mode, action_state, attempts, transaction IS NOT NULL
    FROM dbnet.policy_event}, 'act|firing|{"node": "n1"}|0.4|>|0.1|100|01:00:00|{5b8efff798038103d269b633813fc60c}|act|done|1|t', 'the event says what was seen');
$policies->spans(node => 'n1', errors => 50);
$policies->spans(node => 'n3', errors => 50);
$node->wait_for(q{SELECT string_agg(place, ' ' ORDER BY id) FROM net.done}, 'once each time it fires', expected => 'n1 n3');
$node->query_is(q{SELECT grouping ->> 'node', state FROM dbnet.policy_status ORDER BY 1}, "n1|firing\nn2|inactive\nn3|firing", 'every group has its state');
my $why = $node->safe_psql('postgres', q{SELECT dbnet.why('net.done', '1')});
like($why, qr/row +INSERT net\.done 1:.*call +net\.act\(.*who +policy_owner, dbnet policy action, transaction \d+, reason: policy errors\n/s, 'why names the action');
like($why, qr/\n\S+ \S+ +policy +errors on node n1: error_rate 0\.4000 > 0\.1 \(100 from [\d:]+ to [\d:]+\) → act, done\n/, 'the decision');
like($why, qr/\n\S+ \S+ +trace +5b8efff798038103d269b633813fc60c of checkout: POST \/pay, 20\.0 ms, \d+ of \d+ spans failed; sent by otel-js\/1\.9 as edge from 10\.1\.2\.3\n/,
    'the trace and who sent it');
like($why, qr/INSERT dbnet\.policy errors:.*SELECT dbnet\.create_policy/s, 'and who made the policy');
my $graph = $node->safe_psql('postgres', q{SELECT dbnet.graph((SELECT event FROM dbnet.history('net.done', '1')), 'dot')});
my %name_of = map { /^  (\w+) \[label = "(.*)", shape/ ? ($2 => $1) : () } split /\n/, $graph;
my ($decision) = map { $name_of{$_} } grep { /^errors on node n1/ } keys %name_of;
my ($trace) = map { $name_of{$_} } grep { /^5b8efff798038103d269b633813fc60c of checkout/ } keys %name_of;
like($graph, qr/^  $_\];$/m, 'so does its graph') for qq(a\\d+ -> $decision \\[label = "wasInformedBy"), qq($decision -> e\\d+ \\[label = "used"), qq($decision -> $trace \\[label = "used");
$node->query_is(q{SELECT count(*) FROM dbnet.policy_event AS e, dbnet.impact(e.id) AS line WHERE e.grouping ->> 'node' = 'n1' AND line ~ 'INSERT net.done 1'}, '1', 'impact goes the other way');
$node->query_is(q{SELECT object, what ~ '^node n1: error_rate 0.4000 > 0.1 .* → act, done$', who FROM dbnet.timeline(tstzrange(now() - interval '1 hour', now()), 'net.done', '1') WHERE kind = 'policy'},
    'errors|t|policy_owner', 'and the timeline of the row has it');

# Reasons for not acting, of a policy on a query -----------------------------------------------------------------------------------
sub decisions { my ($policy) = @_; return qq{SELECT string_agg(concat_ws(':', decision, reason), ' ' ORDER BY id) FROM dbnet.policy_event WHERE policy = '$policy'} }
my $query = q{query => 'SELECT place, value, count FROM net.control WHERE place = ''%s''', every => '100 ms'};
$policies->control(a => [0]);
$policies->create(sprintf(qq{'brakes', 'query', threshold => 100, clear_threshold => 50, minimum_count => 10, cooldown => '1 hour', $query, $act}, 'a'));
$node->wait_for(q{SELECT state FROM dbnet.policy_state WHERE policy = 'brakes'}, 'inactive', expected => 'inactive');
$policies->control(a => [97]);
$node->wait_for(decisions('brakes'), 'just missed', expected => 'not acting:just missed');
$policies->control(a => [200, 3]);
$node->wait_for(decisions('brakes'), 'below minimum count', expected => 'not acting:just missed not acting:below minimum count');
$policies->control(a => [200, 30]);
$node->wait_for(decisions('brakes') . q{ AND decision <> 'not acting'}, 'acts', expected => 'act');
$policies->control(a => [70, 30]);
$node->wait_for(q{SELECT reason || ' ' || state FROM dbnet.policy_event WHERE policy = 'brakes' ORDER BY id DESC LIMIT 1}, 'within hysteresis', expected => 'within hysteresis firing');
$policies->control(a => [10, 30]);
$node->wait_for(q{SELECT decision || ' ' || state FROM dbnet.policy_event WHERE policy = 'brakes' ORDER BY id DESC LIMIT 1}, 'resolved', expected => 'resolved resolved');
$policies->control(a => [300, 30]);
$node->wait_for(decisions('brakes') . q{ AND id > (SELECT max(id) FROM dbnet.policy_event WHERE decision = 'resolved')}, 'cooling down', expected => 'not acting:cooling down');
$node->query_is(q{SELECT state, reason FROM dbnet.policy_status WHERE policy = 'brakes'}, 'firing|cooling down', 'it fires and says why it does nothing');
$node->query_is(q{SELECT count(*) FROM net.done WHERE policy = 'brakes'}, '1', 'acted once');
$node->psql_ok(q{SET ROLE policy_owner; SELECT dbnet.alter_policy('brakes', reset => '{cooldown}')}, 'no cooldown any more');
$node->wait_for(q{SELECT count(*) FROM net.done WHERE policy = 'brakes'}, 'what was put off is done, as it still fires', expected => '2');

# All groups share the budget.
$policies->control(b => [5], c => [5], d => [5]);
$policies->create(qq{'budget', 'query', threshold => 1, max_actions => 2, max_actions_interval => '1 hour', query => 'SELECT place, value, count FROM net.control WHERE place IN (''b'', ''c'', ''d'')', every => '100 ms', $act});
$node->wait_for(decisions('budget'), 'two of three', expected => 'act act not acting:flap budget used');
$node->psql_ok(q{SET ROLE policy_owner; SELECT dbnet.alter_policy('budget', max_actions => 3)}, 'three are allowed');
$node->wait_for(q{SELECT string_agg(place, '' ORDER BY place) FROM net.done WHERE policy = 'budget'}, 'the third, and none twice: what was done is remembered', expected => 'bcd');

# A condition of the user's.
$policies->control(e => [5]);
$node->psql_ok('SET ROLE policy_owner; CREATE TABLE net.maintenance (place text)', 'a table of maintenance');
$node->psql_ok(q{INSERT INTO net.maintenance VALUES ('e')}, 'under maintenance');
$policies->create(sprintf(qq{'careful', 'query', threshold => 1, only_if => 'NOT EXISTS (SELECT FROM net.maintenance AS m WHERE m.place = event.grouping ->> ''place'')', $query, $act}, 'e'));
$node->wait_for(decisions('careful'), 'only_if is false', expected => 'not acting:only_if is false');
$node->psql_ok('DELETE FROM net.maintenance', 'maintenance is over');
$node->wait_for(decisions('careful'), 'acts as soon as it is true', expected => 'not acting:only_if is false act');
$policies->control(f => [5]);
$node->psql_ok(q{SET ROLE policy_owner; CREATE FUNCTION net.sneak() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO net.maintenance VALUES ('x'); RETURN true; END $$}, 'a condition that writes');
$policies->create(sprintf(qq{'writes', 'query', threshold => 1, only_if => 'net.sneak()', $query, $act}, 'f'));
$node->wait_for(q{SELECT decision, reason, error FROM dbnet.policy_event WHERE policy = 'writes'}, 'is refused, and says so',
    expected => 'not acting|error|only_if: cannot execute INSERT in a read-only transaction');

# Shadow.
$policies->control(g => [5]);
$policies->create(sprintf(qq{'shadowed', 'query', threshold => 1, action => 'net.act(dbnet.policy_event)', $query}, 'g'));
$node->wait_for(q{SELECT decision, reason, action_state FROM dbnet.policy_event WHERE policy = 'shadowed'}, 'decides', expected => 'act|shadow|shadow');
$node->query_is(q{SELECT count(*) FROM net.done WHERE policy = 'shadowed'}, '0', 'and does nothing');
$node->psql_ok(q{SET ROLE policy_owner; SELECT dbnet.alter_policy('shadowed', mode => 'act')}, 'let it act');
$node->wait_for(q{SELECT count(*) FROM net.done WHERE policy = 'shadowed'}, 'what it decided and still holds is done', expected => '1');

# Changes that are committed in another order than they were made in.
$policies->control(k => [5]);
$policies->create(sprintf(qq{'late', 'query', threshold => 10, $query, $act}, 'k'));
my $late = $node->background_psql('postgres', on_error_stop => 1);
$late->query_safe(q{SET ROLE policy_owner; BEGIN; SELECT dbnet.alter_policy('late', threshold => 1)});
$policies->create(sprintf(qq{'early', 'query', threshold => 1, $query, $act}, 'k'));
$node->wait_for(q{SELECT count(*) FROM net.done WHERE policy = 'early'}, 'one that was made later acts', expected => '1');
$late->query_safe('COMMIT');
$late->quit;
$node->wait_for(q{SELECT count(*) FROM net.done WHERE policy = 'late'}, 'and so does the one that was committed last', expected => '1');

# A query without threshold: its rows are conditions.
$policies->create(qq{'rows', 'query', query => 'SELECT place, value FROM net.control WHERE place = ''h''', every => '100 ms', $act});
$policies->control(h => [-7]);
$node->wait_for(q{SELECT place, value FROM net.done WHERE policy = 'rows'}, 'a row is a condition that holds, whatever its value', expected => 'h|-7');
$node->psql_ok(q{DELETE FROM net.control WHERE place = 'h'}, 'the row is gone');
$node->wait_for(q{SELECT state FROM dbnet.policy_state WHERE policy = 'rows'}, 'resolved', expected => 'resolved');

# Groups that come and go: what is not seen any more makes room for what is.
$policies->control(many => [0]);
$policies->create(q{'many', 'query', threshold => 10, query => 'SELECT n + c.value AS n, 1 AS value FROM net.control AS c, generate_series(1, 6000) AS n WHERE c.place = ''many''', every => '100 ms'});
my $many = q{SELECT count(*), min((grouping ->> 'n')::integer) FROM dbnet.policy_state WHERE policy = 'many'};
$node->wait_for($many, 'six thousand groups', expected => '6000|1');
$policies->control(many => [6000]);
$node->wait_for($many, 'six thousand others', expected => '6000|6001');
$node->psql_ok(q{SET ROLE policy_owner; SELECT dbnet.drop_policy('many')}, 'drop it');

# Actions that fail -----------------------------------------------------------------------------------------------------------------
$node->psql_ok(<<'SQL', 'an action that fails until it may not');
SET ROLE policy_owner;
CREATE TABLE net.ready (at timestamptz);
CREATE FUNCTION net.fail(event dbnet.policy_event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO net.done (policy, place) VALUES (event.policy, 'half');
    IF NOT EXISTS (SELECT FROM net.ready) THEN RAISE EXCEPTION 'not ready'; END IF;
END $$;
SQL
$policies->control(i => [5]);
$policies->create(sprintf(qq{'fails', 'query', threshold => 1, action => 'net.fail(dbnet.policy_event)', mode => 'act', $query}, 'i'));
$node->wait_for(q{SELECT action_state, error, attempts >= 2 FROM dbnet.policy_event WHERE policy = 'fails'}, 'it is tried again', expected => 'waiting|not ready|t');
$node->query_is(q{SELECT count(*) FROM net.done WHERE policy = 'fails'}, '0', 'nothing is left of attempts that failed');
$node->query_is(q{SELECT action_state, error FROM dbnet.policy_status WHERE policy = 'fails'}, 'waiting|not ready', 'the view says what is wrong');
$node->psql_ok('INSERT INTO net.ready VALUES (now())', 'ready');
$node->wait_for(q{SELECT action_state, error FROM dbnet.policy_event WHERE policy = 'fails'}, 'done in the end', expected => 'done|');
$node->query_is(q{SELECT count(*) FROM net.done WHERE policy = 'fails'}, '1', 'once');

$node->psql_ok('DELETE FROM net.ready', 'not ready');
$policies->control(j => [5]);
$policies->create(sprintf(qq{'gives_up', 'query', threshold => 1, action => 'net.fail(dbnet.policy_event)', mode => 'act', $query}, 'j'));
for my $attempt (1 .. 4) {
    $node->wait_for(qq{SELECT attempts >= $attempt FROM dbnet.policy_event WHERE policy = 'gives_up'}, "attempt $attempt");
    $node->safe_psql('postgres', q{UPDATE dbnet.policy_event SET next_attempt_at = NULL WHERE policy = 'gives_up'});
}
$node->wait_for(q{SELECT action_state, error, attempts, finished_at IS NOT NULL FROM dbnet.policy_event WHERE policy = 'gives_up'}, 'gives up after five attempts', expected => 'failed|not ready|5|t');

# The right is asked for at every run.
$node->psql_ok('REVOKE EXECUTE ON PROCEDURE net.act(dbnet.policy_event) FROM PUBLIC, policy_owner', 'the owner loses EXECUTE');
$policies->spans(node => 'n4', errors => 50);
$node->wait_for(q{SELECT action_state, error FROM dbnet.policy_event WHERE policy = 'errors' AND grouping ->> 'node' = 'n4'}, 'the action is not run', expected => 'waiting|permission denied for net.act(dbnet.policy_event)');
$node->psql_ok('GRANT EXECUTE ON PROCEDURE net.act(dbnet.policy_event) TO policy_owner', 'and gets it back');
$node->wait_for(q{SELECT count(*) FROM net.done WHERE place = 'n4'}, 'it is run', expected => '1');
$node->psql_ok('CREATE ROLE mallory; ALTER PROCEDURE net.act(dbnet.policy_event) OWNER TO mallory', 'the action is of somebody else now');
$policies->spans(node => 'n5', errors => 50);
$node->wait_for(q{SELECT error FROM dbnet.policy_event WHERE policy = 'errors' AND grouping ->> 'node' = 'n5'}, 'is not run', expected => 'net.act(dbnet.policy_event) belongs to mallory now');
$node->psql_ok('ALTER PROCEDURE net.act(dbnet.policy_event) OWNER TO policy_owner; GRANT EXECUTE ON PROCEDURE net.act(dbnet.policy_event) TO policy_owner', 'and back');
$node->wait_for(q{SELECT count(*) FROM net.done WHERE place = 'n5'}, 'it is run', expected => '1');

# In nobody's way --------------------------------------------------------------------------------------------------------------------
$node->psql_ok(q{SET ROLE policy_owner; CREATE PROCEDURE net.sleep(event dbnet.policy_event) LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1000); END'}, 'an action that takes for ever');
$policies->create(q{'slow', 'timer', every => '1 hour', action => 'net.sleep(dbnet.policy_event)', mode => 'act', action_timeout => '200 ms'});
$node->psql_ok(q{UPDATE dbnet.policy SET created_at = now() - interval '59 minutes 59.9 s', version = nextval('dbnet.generation') WHERE name = 'slow'}, 'due in a moment');
$node->wait_for(q{SELECT error FROM dbnet.policy_event WHERE policy = 'slow'}, 'is cancelled', expected => 'canceling statement due to statement timeout');
$policies->create(q{'broken', 'query', threshold => 1, query => 'SELECT 1 / (SELECT count(*) FROM net.ready) AS value', every => '100 ms'});
$node->wait_for(q{SELECT decision, reason, error FROM dbnet.policy_event WHERE policy = 'broken'}, 'a query that fails says so, once', expected => 'not acting|error|division by zero');
$policies->spans(node => 'n6', errors => 50);
$node->wait_for(q{SELECT count(*) FROM net.done WHERE place = 'n6'}, 'others go on', expected => '1');

# Actions that run for long: neither the evaluation nor other policies wait for them, and those of one policy come in order.
$node->psql_ok(<<'SQL', 'an action that waits for a gate');
SET ROLE policy_owner;
CREATE TABLE net.gate (policy text PRIMARY KEY);
CREATE PROCEDURE net.wait(event dbnet.policy_event) LANGUAGE plpgsql AS $$
BEGIN
    WHILE EXISTS (SELECT FROM net.gate AS g WHERE g.policy = event.policy) LOOP PERFORM pg_sleep(0.01); END LOOP;
    INSERT INTO net.done (policy, place, value, count, event) VALUES (event.policy, event.grouping ->> 'place', event.value, event.count, event.id);
END
$$;
SQL
for my $long (qw(long1 long2 long3)) {
    $node->psql_ok("INSERT INTO net.gate VALUES ('$long')", "close the gate of $long");
    $policies->control("${long}_first" => [5]);
    $policies->create(qq{'$long', 'query', threshold => 1, query => 'SELECT place, value FROM net.control WHERE place LIKE ''$long%''', every => '100 ms', action => 'net.wait(dbnet.policy_event)', mode => 'act', action_timeout => '5 minutes'});
}
my $running = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dbnet policy action' AND state = 'active' AND query LIKE 'policy long%'};
$node->wait_for($running, 'three run beside each other', expected => '3');
$policies->control(long1_second => [6], long1_third => [7]);
$node->wait_for(q{SELECT count(*) FROM dbnet.policy_event WHERE policy = 'long1' AND action_state = 'waiting'}, 'the same policy decides on', expected => '3');
$policies->spans(node => 'n10', errors => 50);
$node->wait_for(q{SELECT count(*) FROM net.done WHERE place = 'n10'}, 'another one acts', expected => '1');
$node->query_is($running, '3', 'while they run');
$node->query_is(q{SELECT usename, query FROM pg_stat_activity WHERE query LIKE 'policy long1%' AND backend_type = 'dbnet policy action'},
    'postgres|policy long1: CALL net.wait($1::dbnet.policy_event)', 'what runs can be seen');
$node->psql_ok(q{DELETE FROM net.gate WHERE policy = 'long1'}, 'open one gate');
$node->wait_for(q{SELECT count(*) FROM net.done WHERE policy = 'long1'}, 'all three of it', expected => '3');
$node->query_is(q{SELECT bool_and(before IS NULL OR before < event) FROM (SELECT event, lag(event) OVER (ORDER BY id) AS before FROM net.done WHERE policy = 'long1') AS d}, 't', 'in the order of their events');
# One that is cancelled is tried again, and one whose process is ended.
$node->psql_ok(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'policy long2%' AND state = 'active' AND backend_type = 'dbnet policy action'}, 'cancel an action');
$node->wait_for(q{SELECT action_state, error FROM dbnet.policy_event WHERE policy = 'long2'}, 'is put on record', expected => 'waiting|canceling statement due to user request');
$node->psql_ok(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'policy long3%' AND state = 'active' AND backend_type = 'dbnet policy action'}, 'end the process of another');
$node->wait_for(q{SELECT action_state, error FROM dbnet.policy_event WHERE policy = 'long3'}, 'is put on record, too', expected => 'waiting|the process that ran it ended');
$node->psql_ok('DELETE FROM net.gate', 'open all gates');
$node->wait_for(qq{SELECT count(*), count(DISTINCT place) FROM net.done WHERE policy = '$_'}, "$_ is done, once", expected => '1|1') for qw(long2 long3);
# No action outlives the policy worker: it would be in the way of DROP DATABASE.
$node->psql_ok(q{INSERT INTO net.gate VALUES ('long2')}, 'close a gate');
$policies->control(long2_second => [5]);
$node->wait_for($running, 'it runs', expected => '1');
my $runner = $node->safe_psql('postgres', $running =~ s/count\(\*\)/pid/r);
$node->replace_worker('policy worker', 'TERM');
$node->wait_for("$running AND pid <> $runner", 'it runs again, in another process', expected => '1');
$node->query_is("SELECT count(*) FROM pg_stat_activity WHERE pid = $runner", '0', 'the first is gone');
$node->query_is(q{SELECT attempts FROM dbnet.policy_event WHERE policy = 'long2' AND action_state = 'waiting'}, '0', 'no attempt is counted');
$node->psql_ok('DELETE FROM net.gate', 'open the gate');
$node->wait_for(q{SELECT count(*), count(DISTINCT place) FROM net.done WHERE policy = 'long2'}, 'both once', expected => '2|2');

# An event that somebody has locked.
$policies->create(q{'held', 'timer', every => '1 hour', action => 'net.act(dbnet.policy_event)', mode => 'act'});
$node->psql_ok(q{SELECT dbnet.disable_policy('held'); INSERT INTO dbnet.policy_event (id, at, policy, policy_version, owner, grouping, decision, state, mode, action_state)
    SELECT dbnet.take_event(), now(), name, version, owner, '{}', 'act', 'inactive', 'act', 'waiting' FROM dbnet.policy WHERE name = 'held'}, 'an action waits');
my $holder = $node->background_psql('postgres', on_error_stop => 1);
$holder->query_safe(q{BEGIN; SELECT FROM dbnet.policy_event WHERE policy = 'held' FOR UPDATE});
$node->psql_ok(q{SELECT dbnet.enable_policy('held')}, 'it may be run, but for the lock');
$policies->spans(node => 'n9', errors => 50);
$node->wait_for(q{SELECT count(*) FROM net.done WHERE place = 'n9'}, 'others go on', expected => '1');
$holder->query_safe('COMMIT');
$holder->quit;
$node->wait_for(q{SELECT count(*) FROM net.done WHERE policy = 'held'}, 'and it is run when it is free', expected => '1');

# Absence ---------------------------------------------------------------------------------------------------------------------------------
$policies->create(qq{'silence', 'spans', aggregate => 'absent', match => '{"service_name": "heart"}', group_by => '{node}', time_window => '2 s', $act});
$policies->spans(service => 'heart', node => 'h1');
$node->wait_for(q{SELECT grouping ->> 'node', state FROM dbnet.policy_status WHERE policy = 'silence'}, 'data is there', expected => 'h1|inactive');
$node->wait_for(q{SELECT place FROM net.done WHERE policy = 'silence'}, 'no data any more: acts', expected => 'h1');
$policies->spans(service => 'heart', node => 'h1');
$node->wait_for(q{SELECT decision FROM dbnet.policy_event WHERE policy = 'silence' ORDER BY id DESC LIMIT 1}, 'it is back', expected => 'resolved');

# Flaps of a row ------------------------------------------------------------------------------------------------------------------------------
$node->psql_ok(q{SET ROLE policy_owner; CREATE TABLE net.nodes (name text PRIMARY KEY, ready boolean, note text); SELECT dbnet.track('net.nodes'); INSERT INTO net.nodes VALUES ('n1', true), ('n2', true)}, 'a tracked table');
$policies->create(qq{'flaps', 'transitions', aggregate => 'count', operator => '>=', threshold => 3, match => '{"relation": "net.nodes", "column": "ready"}', group_by => '{key}', $act});
$node->psql_ok(q{UPDATE net.nodes SET ready = NOT ready WHERE name = 'n1'}, 'flap') for 1 .. 2;
$node->psql_ok(q{UPDATE net.nodes SET note = n WHERE name = 'n2'} =~ s/n W/'$_' W/r, 'another column') for 1 .. 4;
$node->psql_ok(q{UPDATE net.nodes SET ready = NOT ready WHERE name = 'n1'}, 'the third flap');
$node->wait_for(q{SELECT place, value FROM net.done WHERE policy = 'flaps'}, 'acts for the row that flaps', expected => 'n1|3');

# Timers, and a new process ----------------------------------------------------------------------------------------------------------------------
$policies->create(qq{'ticks', 'timer', every => '100 ms', $act});
$node->wait_for(q{SELECT count(*) > 2 FROM net.done WHERE policy = 'ticks'}, 'ticks');
$node->psql_ok(q{SELECT dbnet.disable_policy('ticks')}, 'disable');
$node->query_is(q{SELECT count(*) = count(DISTINCT event) FROM net.done WHERE policy = 'ticks'}, 't', 'each tick once');
my $states = q{SELECT policy, grouping, state, acted_at FROM dbnet.policy_state WHERE policy IN ('errors', 'brakes', 'budget') ORDER BY 1, 2};
my $before = $node->safe_psql('postgres', $states);
$node->replace_worker('policy worker', 'TERM');
$policies->spans(node => 'n1', errors => 50);
$policies->spans(node => 'n7', errors => 50);
$node->wait_for(q{SELECT count(*) FROM net.done WHERE place = 'n7'}, 'another worker goes on', expected => '1');
$node->query_is("$states LIMIT 100" =~ s/'budget'\)/'budget') AND grouping <> '{"node": "n7"}'/r, $before, 'with the states that there were');
$node->query_is(q{SELECT count(*) FROM net.done WHERE place = 'n1' AND policy = 'errors'}, '1', 'and does nothing twice');
$node->restart;
$node->worker_pid('policy worker');
$policies->spans(node => 'n8', errors => 50);
$node->wait_for(q{SELECT count(*) FROM net.done WHERE place = 'n8'}, 'and after a restart of the server', expected => '1');
$node->query_is(q{SELECT count(*) FROM net.done WHERE place = 'n1' AND policy = 'errors'}, '1', 'too');

$node->psql_ok(q{SET ROLE policy_owner; SELECT dbnet.drop_policy(name) FROM dbnet.policy}, 'drop all');
$node->wait_for(q{SELECT count(*) FROM dbnet.worker WHERE process = 'policy worker' AND pid IS NOT NULL}, 'no policy, no policy worker', expected => '0');
$node->no_crash_in_log;
done_testing();
