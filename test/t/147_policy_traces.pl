# The traces that a decision names are those of its group and window, also where another service sends very much more, and
# where the window began in a partition that is over; of what failed also from however far behind.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Policies;
use Test::More;

my $node = DBNet::Cluster->started('policy_traces');
my $policies = DBNet::Policies->new($node);
my ($failed, $passed, $earlier) = map { $_ x 32 } qw(a b c);

# A worker looks far back a tenth of its time at most: another one has not done so yet.
sub rest { return $node->replace_worker('policy worker', 'TERM') }

sub traces_are {
    my ($policy, $arguments, $traces, $name) = @_;
    $policies->create("'$policy', $arguments");
    my $acts = "FROM dbnet.policy_event WHERE policy = '$policy' AND decision = 'act'";
    $node->wait_for("SELECT count(*) $acts", "$policy decides", expected => '1');
    return $node->query_is("SELECT trace_ids $acts", $traces, $name);
}

$policies->spans(service => 'sick', node => 'n1', count => 50, errors => 50, trace => $failed);
$policies->spans(service => 'noisy', node => 'n1', count => 20_000);
traces_are('alone', q{'spans', aggregate => 'error_rate', threshold => 0.1, match => '{"service_name": "sick"}', time_window => '10 minutes'},
    "{$failed}", 'traces of a service are found behind those of another');
rest();
traces_are('any', q{'spans', aggregate => 'count', threshold => 10, match => '{"service_name": "sick"}', time_window => '10 minutes'},
    "{$failed}", 'also where errors are not asked for');

$policies->spans(service => 'sick', node => 'n1', count => 50, trace => $passed);
traces_are('behind', q{'spans', aggregate => 'error_rate', threshold => 0.1, match => '{"service_name": "sick"}', time_window => '10 minutes'},
    "{$failed,$passed}", 'of an error rate those that failed, though others came last');

# The last second of the day before is in the window of a day, and in another partition than now.
my $yesterday = q{date_trunc('day', now(), 'UTC') - interval '1 second'};
$node->psql_ok("SELECT otel.ensure_partitions($yesterday, $yesterday)", 'the partition of yesterday');
$policies->spans(service => 'early', node => 'n1', count => 50, errors => 50, trace => $earlier, at => $yesterday);
rest();
traces_are('yesterday', q{'spans', aggregate => 'count', threshold => 10, match => '{"service_name": "early"}', time_window => '1 day'},
    "{$earlier}", 'those of the partition before');
$policies->spans(service => 'early', node => 'n1', count => 50, trace => $passed);
traces_are('since', q{'spans', aggregate => 'error_rate', threshold => 0.1, match => '{"service_name": "early"}', time_window => '1 day'},
    "{$earlier,$passed}", 'of both');

# What failed has an index: it is found however much came since.
$policies->create(q{'route', 'spans', aggregate => 'error_rate', threshold => 0.4, minimum_count => 100, match => '{"service_name": "shop"}', group_by => '{http.route}', time_window => '10 minutes'});
$policies->create(q{'filtered', 'spans', aggregate => 'count', threshold => 55, match => '{"service_name": "shop", "http.route": "/pay", "status_code": 2}', time_window => '10 minutes'});
$node->wait_for(q{SELECT state FROM dbnet.policy_status WHERE policy = 'filtered'}, 'policies on a route', expected => 'inactive');
my ($of_pay, $of_cart, $since_then) = map { $_ x 32 } qw(1 2 3);
sub shop {
    my ($route, $trace, $status, $count) = @_;
    return $node->psql_ok(sprintf(q{SELECT otel.ingest_traces(format('{"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}, "scopeSpans": [{"spans": [%%s]}]}]}',
            string_agg(format('{"traceId": "%s", "spanId": "%%s", "name": "request", "startTimeUnixNano": %%s, "endTimeUnixNano": %%2$s, "status": {"code": %d}, "attributes": [{"key": "http.route", "value": {"stringValue": "%s"}}]}',
                lpad(n::text, 16, '0'), ((extract(epoch FROM now()) - 1) * 1000000000)::bigint), ', '))::jsonb) FROM generate_series(1, %d) AS n}, $trace, $status, $route, $count), "$count spans of $route");
}
shop('/pay', $of_pay, 2, 50);
shop('/cart', $of_cart, 2, 50);
$policies->spans(service => 'noisy', node => 'n1', count => 100_000);
$node->query_is(q{SELECT max(pg_relation_size(partition)) / current_setting('block_size')::integer > 1700 FROM otel.partitions WHERE relation = 'otel.spans'::regclass}, 't', 'more than is looked at');
traces_are('far', q{'spans', aggregate => 'error_rate', threshold => 0.1, match => '{"service_name": "sick"}', time_window => '10 minutes'},
    "{$failed}", 'those that failed, from very far behind');
shop('/pay', $since_then, 0, 50);
$node->wait_for(q{SELECT grouping ->> 'http.route', trace_ids FROM dbnet.policy_event WHERE policy = 'route' AND decision = 'act'}, 'of a route, though another one of the service failed last',
    expected => "/pay|{$of_pay,$since_then}");
shop('/pay', $since_then, 2, 10);
$node->wait_for(q{SELECT trace_ids FROM dbnet.policy_event WHERE policy = 'filtered' AND decision = 'act'}, 'of a count of what failed', expected => "{$of_pay,$since_then}");

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
