# When policies on timers and schedules are due: cron fires on its minute, one that was missed is made up for once, and a
# policy whose time zone is gone says so and is in no other's way.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Policies;
use Test::More;

my $node = DBNet::Cluster->started('policy_schedules');
my $policies = DBNet::Policies->new($node);
my $act = q{action => 'net.act(dbnet.policy_event)', mode => 'act'};

# As if its last turn had been so long ago: what the worker reads when a policy has changed.
sub last_turn {
    my ($policy, $at) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $node->psql_ok(qq{INSERT INTO dbnet.policy_state (policy, grouping, state, since, held_at) VALUES ('$policy', '{}', 'inactive', now(), $at)
        ON CONFLICT (policy, md5(grouping::text)) DO UPDATE SET held_at = excluded.held_at;
        UPDATE dbnet.policy SET version = nextval('dbnet.generation') WHERE name = '$policy'}, "last turn of $policy: $at");
}
sub turns { my ($policy) = @_; return "SELECT count(*) FROM net.done WHERE policy = '$policy'" }

# Cron ------------------------------------------------------------------------------------------------------------------------
# Of a schedule that is due every minute: the turn of this minute comes at once, and the next one on its minute.
$policies->create(qq{'minutes', 'cron', schedule => '* * * * *', $act});
last_turn('minutes', q{date_trunc('minute', now()) - interval '30 s'});
$node->wait_for(turns('minutes') . ' AND id = 1', 'the turn of the running minute', expected => '1');
$node->wait_for(turns('minutes') . ' AND id = 2', 'the next minute', expected => '1', timeout => 90);
$node->query_is(q{SELECT at - date_trunc('minute', at) < interval '1 s' AND at > date_trunc('minute', now()) - interval '1 minute'
    FROM dbnet.policy_event WHERE policy = 'minutes' ORDER BY id DESC LIMIT 1}, 't', 'comes within its first second');
$node->query_is(q{SELECT decision, reason, value, count, window_start FROM dbnet.policy_event WHERE policy = 'minutes' ORDER BY id LIMIT 1}, 'act||||', 'a turn has no value');

# Schedules of another clock, or of times that do not come, are not due.
$policies->create(qq{'never', 'cron', schedule => '0 0 30 2 *', $act});
$policies->create(qq{'next_year', 'cron', schedule => '0 0 1 1 *', time_zone => 'Europe/Berlin', $act});
last_turn($_, 'now()') for qw(never next_year);

# Missed (the worker makes up for ten minutes): one turn is made up for when it is not long ago, none of those before.
$policies->create(qq{'missed', 'timer', every => '1 minute', $act});
last_turn('missed', q{now() - interval '9 minutes 30 s'});
$policies->create(qq{'long_ago', 'timer', every => '1 hour', $act});
$node->psql_ok(q{UPDATE dbnet.policy SET created_at = now() - interval '90 minutes' WHERE name = 'long_ago'}, 'its turn was half an hour ago');
last_turn('long_ago', q{now() - interval '80 minutes'});
$node->wait_for(turns('missed'), 'a turn that was missed', expected => '1');

# A time zone that is gone -------------------------------------------------------------------------------------------------------
my $worker = $node->worker_pid('policy worker');
$policies->create(qq{'zone', 'cron', schedule => '* * * * *', time_zone => 'Europe/Berlin', $act});
$node->psql_ok(q{UPDATE dbnet.policy SET time_zone = 'Europe/Atlantis', version = nextval('dbnet.generation') WHERE name = 'zone'}, 'a dump of a server with other time zones');
my $zone = q{SELECT state, reason, error FROM dbnet.policy_status WHERE policy = 'zone'};
$node->wait_for($zone, 'the policy says so', expected => 'inactive|error|time zone "Europe/Atlantis" not recognized. SELECT name FROM pg_timezone_names;');
$policies->spans(node => 'n1', errors => 40);
$policies->create(qq{'errors', 'spans', aggregate => 'error_rate', threshold => 0.1, group_by => '{node}', $act});
$node->wait_for(turns('errors'), 'another policy goes on', expected => '1');
$node->query_is(q{SELECT pid, restarts, last_error FROM dbnet.worker WHERE process = 'policy worker'}, "$worker|0|", 'in the same worker');
$node->replace_worker('policy worker', 'TERM');
$node->wait_for($zone, 'so does the next worker', expected => 'inactive|error|time zone "Europe/Atlantis" not recognized. SELECT name FROM pg_timezone_names;');
$node->psql_ok(q{SET ROLE policy_owner; SELECT dbnet.alter_policy('zone', time_zone => 'UTC')}, 'mended');
last_turn('zone', q{date_trunc('minute', now()) - interval '30 s'});
$node->wait_for(turns('zone') . ' HAVING count(*) > 0', 'it is due again', expected => '1');
$node->wait_for($zone, 'and nothing is wrong any more', expected => 'inactive||');

# A query that fails, of a policy whose groups come from it: its own line says so, and goes when it is mended.
$policies->control(a => [5]);
$policies->create(qq{'query', 'query', threshold => 1, query => 'SELECT place, 1 / (value - 5) AS value FROM net.control', every => '100 ms', $act});
my $query = q{SELECT grouping, state, reason, error FROM dbnet.policy_status WHERE policy = 'query'};
$node->wait_for($query, 'the policy says what is wrong', expected => '{}|inactive|error|division by zero');
$policies->control(a => [5.5]);
$node->wait_for($query, 'and that it is mended', expected => '{"place": "a"}|firing||');

$node->query_is("SELECT string_agg(DISTINCT policy, ' ' ORDER BY policy) FROM net.done", 'errors minutes missed query zone', 'nothing else was due');
$node->query_is(turns('missed') . q{ AND event < (SELECT max(event) FROM net.done WHERE policy = 'errors')}, '1', 'what was missed was made up for once');
$node->no_crash_in_log;
done_testing();
