# The traces that a decision names are those of its group and window, also where another service sends very much more, and
# where the window began in a partition that is over.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Policies;
use Test::More;

my $node = DBNet::Cluster->started('policy_traces');
my $policies = DBNet::Policies->new($node);
my ($failed, $passed, $earlier) = map { $_ x 32 } qw(a b c);

# A worker looks far back a tenth of its time at most: another one has not done so yet.
sub rest {
    my $pid = $node->worker_pid('policy worker');
    $node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
    return $node->wait_for("SELECT count(*) FROM dbnet.worker WHERE process = 'policy worker' AND pid <> $pid", 'another policy worker', expected => '1');
}

my $policy_count = 0;    # without a policy there is no worker
sub traces_are {
    my ($policy, $arguments, $traces, $name) = @_;
    rest() if $policy_count++;
    $policies->create("'$policy', $arguments");
    my $acts = "FROM dbnet.policy_event WHERE policy = '$policy' AND decision = 'act'";
    $node->wait_for("SELECT count(*) $acts", "$policy decides", expected => '1');
    return $node->query_is("SELECT trace_ids $acts", $traces, $name);
}

$policies->spans(service => 'sick', node => 'n1', count => 50, errors => 50, trace => $failed);
$policies->spans(service => 'noisy', node => 'n1', count => 20_000);
traces_are('alone', q{'spans', aggregate => 'error_rate', threshold => 0.1, match => '{"service_name": "sick"}', time_window => '10 minutes'},
    "{$failed}", 'traces of a service are found behind those of another');
traces_are('any', q{'spans', aggregate => 'count', threshold => 10, match => '{"service_name": "sick"}', time_window => '10 minutes'},
    "{$failed}", 'also where errors are not asked for');

$policies->spans(service => 'sick', node => 'n1', count => 50, trace => $passed);
traces_are('behind', q{'spans', aggregate => 'error_rate', threshold => 0.1, match => '{"service_name": "sick"}', time_window => '10 minutes'},
    "{$failed,$passed}", 'of an error rate those that failed, though others came last');

# The last second of the day before is in the window of a day, and in another partition than now.
my $yesterday = q{date_trunc('day', now(), 'UTC') - interval '1 second'};
$node->psql_ok("SELECT otel.ensure_partitions($yesterday, $yesterday)", 'the partition of yesterday');
$policies->spans(service => 'early', node => 'n1', count => 50, errors => 50, trace => $earlier, at => $yesterday);
traces_are('yesterday', q{'spans', aggregate => 'error_rate', threshold => 0.1, match => '{"service_name": "early"}', time_window => '1 day'},
    "{$earlier}", 'those of the partition before');
$policies->spans(service => 'early', node => 'n1', count => 50, trace => $passed);
traces_are('since', q{'spans', aggregate => 'error_rate', threshold => 0.1, match => '{"service_name": "early"}', time_window => '1 day'},
    "{$earlier,$passed}", 'of both');

# Of a metric, what its exemplars name.
my ($high, $low) = map { $_ x 32 } qw(d e);
$node->psql_ok(sprintf(q{
    SELECT otel.ingest_metrics(replace('{"resourceMetrics": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "agent"}}]}, "scopeMetrics": [{"metrics": [
        {"name": "cpu", "gauge": {"dataPoints": [{"timeUnixNano": "AT", "asDouble": 0.95, "exemplars": [
            {"timeUnixNano": "AT", "asDouble": 0.2, "traceId": "%s", "spanId": "0000000000000001"}, {"timeUnixNano": "AT", "asDouble": 0.9, "traceId": "%s", "spanId": "0000000000000002"},
            {"timeUnixNano": "AT", "asDouble": 0.99}]}]}}]}]}]}', 'AT', ((extract(epoch FROM now()) - 2) * 1000000000)::bigint::text)::jsonb)}, $low, $high), 'a metric with exemplars');
traces_are('metric', q{'metrics', aggregate => 'last', threshold => 0.9, match => '{"metric": "cpu"}', time_window => '10 minutes'},
    "{$high,$low}", 'of a metric those of its exemplars, the highest first');

$node->no_crash_in_log;
done_testing();
