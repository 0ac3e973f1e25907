# Policies on what exporters send: gauges and counters with a reset, logs by severity and attribute, spans by an attribute
# of theirs, as the decoders and the writer of telemetry bring it in.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Policies;
use Test::More;

my $node = DBNet::Cluster->started('policy_signals');
my $policies = DBNet::Policies->new($node);
$node->psql_ok('DROP TRIGGER wake ON otel.span_pane', 'the writer itself wakes the worker');
my $act = q{action => 'net.act(dbnet.policy_event)', mode => 'act', time_window => '10 minutes'};
$policies->create(qq{'gauge', 'metrics', aggregate => 'last', threshold => 0.9, match => '{"metric": "cpu.utilization"}', group_by => '{node,cpu}', $act});
$policies->create(qq{'quantile', 'metrics', aggregate => 'p50', threshold => 0.94, match => '{"metric": "cpu.utilization", "service_name": "agent"}', $act});
$policies->create(qq{'counter', 'metrics', aggregate => 'rate', threshold => 0.04, match => '{"metric": "requests"}', $act});
$policies->create(qq{'histogram', 'metrics', aggregate => 'p90', threshold => 150, match => '{"metric": "latency"}', group_by => '{route}', $act});
$policies->create(qq{'exponential', 'metrics', aggregate => 'p50', threshold => 3, minimum_count => 10, match => '{"metric": "sizes"}', $act});
$policies->create(qq{'counted', 'metrics', aggregate => 'rate', threshold => 0.09, match => '{"metric": "latency", "route": "/a"}', $act});
$policies->create(qq{'late', 'metrics', aggregate => 'count', threshold => 1, match => '{"metric": "late"}', $act});
$policies->create(qq{'ahead', 'metrics', aggregate => 'count', threshold => 0.5, match => '{"metric": "ahead"}', $act});
$policies->create(qq{'logs', 'logs', aggregate => 'count', threshold => 2, match => '{"minimum_severity": "ERROR", "event": "boom"}', group_by => '{service_name}', $act});
$policies->create(qq{'routes', 'spans', aggregate => 'p99', threshold => 500, match => '{"kind": "server"}', group_by => '{node,http.route}', minimum_count => 20, $act});
$node->worker_pid('policy worker');
$node->psql_ok(<<'SQL', 'what exporters send');
CREATE FUNCTION net.resource(service text, node text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('attributes', jsonb_build_array(jsonb_build_object('key', 'service.name', 'value', jsonb_build_object('stringValue', service)),
                                                              jsonb_build_object('key', 'host.name', 'value', jsonb_build_object('stringValue', node))))
$$;
CREATE FUNCTION net.nano(at timestamptz) RETURNS text LANGUAGE sql AS $$ SELECT (extract(epoch FROM at) * 1000000000)::bigint::text $$;
CREATE FUNCTION net.metrics(utilization float8, requests float8, at timestamptz) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('resourceMetrics', jsonb_build_array(jsonb_build_object('resource', net.resource('agent', 'h1'), 'scopeMetrics', jsonb_build_array(jsonb_build_object('metrics', jsonb_build_array(
        jsonb_build_object('name', 'cpu.utilization', 'gauge', jsonb_build_object('dataPoints', jsonb_build_array(jsonb_build_object('asDouble', utilization, 'timeUnixNano', net.nano(at),
            'attributes', '[{"key": "cpu", "value": {"stringValue": "0"}}]'::jsonb)))),
        jsonb_build_object('name', 'requests', 'sum', jsonb_build_object('aggregationTemporality', 2, 'isMonotonic', true, 'dataPoints', jsonb_build_array(
            jsonb_build_object('asDouble', requests, 'startTimeUnixNano', '1000', 'timeUnixNano', net.nano(at)))))))))))
$$;
-- One metric with one point; what it is of: histogram, exponentialHistogram or gauge.
CREATE FUNCTION net.metric(name text, kind text, temporality integer, point jsonb, at timestamptz DEFAULT now()) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('resourceMetrics', jsonb_build_array(jsonb_build_object('resource', net.resource('agent', 'h1'), 'scopeMetrics', jsonb_build_array(jsonb_build_object('metrics', jsonb_build_array(
        jsonb_build_object('name', name, kind, jsonb_build_object('aggregationTemporality', temporality, 'dataPoints', jsonb_build_array(
            point || jsonb_build_object('startTimeUnixNano', '1000', 'timeUnixNano', net.nano(at)))))))))))
$$;
CREATE FUNCTION net.latencies(route text, counts integer[], at timestamptz DEFAULT now(), temporality integer DEFAULT 1) RETURNS jsonb LANGUAGE sql AS $$
    SELECT net.metric('latency', 'histogram', temporality, jsonb_build_object('count', (SELECT sum(c) FROM unnest(counts) AS c), 'sum', 100, 'bucketCounts', counts, 'explicitBounds', '[100, 200, 400]'::jsonb,
        'attributes', jsonb_build_array(jsonb_build_object('key', 'route', 'value', jsonb_build_object('stringValue', route)))), at)
$$;
CREATE FUNCTION net.sizes(counts integer[], at timestamptz, scale integer DEFAULT 0) RETURNS jsonb LANGUAGE sql AS $$
    SELECT net.metric('sizes', 'exponentialHistogram', 2, jsonb_build_object('count', (SELECT sum(c) FROM unnest(counts) AS c), 'sum', 100, 'scale', scale, 'zeroCount', 0, 'positive', jsonb_build_object('offset', 0, 'bucketCounts', counts)), at)
$$;
CREATE FUNCTION net.logs(boom integer, severity integer) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('resourceLogs', jsonb_build_array(jsonb_build_object('resource', net.resource('shop', 'h2'), 'scopeLogs', jsonb_build_array(jsonb_build_object('logRecords', (
        SELECT jsonb_agg(jsonb_build_object('timeUnixNano', net.nano(now()), 'severityNumber', severity, 'traceId', md5(n::text),
            'attributes', jsonb_build_array(jsonb_build_object('key', 'event', 'value', jsonb_build_object('stringValue', CASE WHEN n <= boom THEN 'boom' ELSE 'ok' END)))))
        FROM generate_series(1, 10) AS n))))))
$$;
CREATE FUNCTION net.spans(route text, milliseconds integer, kind integer) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('resourceSpans', jsonb_build_array(jsonb_build_object('resource', net.resource('shop', 'h2'), 'scopeSpans', jsonb_build_array(jsonb_build_object('spans', (
        SELECT jsonb_agg(jsonb_build_object('traceId', md5(route || n), 'spanId', left(md5(n::text), 16), 'name', 'GET', 'kind', kind, 'startTimeUnixNano', net.nano(now() - milliseconds * interval '1 ms'),
            'endTimeUnixNano', net.nano(now()), 'attributes', jsonb_build_array(jsonb_build_object('key', 'http.route', 'value', jsonb_build_object('stringValue', route)))))
        FROM generate_series(1, 30) AS n))))))
$$;
SQL
my $done = q{SELECT place, round(value::numeric, 3), count FROM net.done WHERE policy = '%s'};

# The counter goes 100, 120, and begins anew at 5: it has grown by 25 in ten minutes.
$node->psql_ok(q{SELECT otel.ingest_metrics(net.metrics(0.5, 100, clock_timestamp() - interval '4 s'))}, 'a first point');
$node->psql_ok(q{SELECT otel.ingest_metrics(net.metrics(0.95, 120, clock_timestamp() - interval '2 s'))}, 'a second');
$node->wait_for(sprintf($done, 'gauge'), 'the last value, by a name of the resource and one of the series', expected => '0/h1|0.950|2');
$node->query_is(sprintf($done, 'counter'), '', '20 in ten minutes is not enough');
$node->psql_ok(q{SELECT otel.ingest_metrics(net.metrics(0.97, 5, clock_timestamp()))}, 'a third, of a counter that began anew');
$node->wait_for(sprintf($done, 'counter'), 'the rate of a counter', expected => '|0.042|3');
$node->wait_for(q{SELECT count, abs(value - 0.95) < 0.01 FROM net.done WHERE policy = 'quantile'}, 'a quantile of values', expected => '3|t');

# What a clock ahead of ours sends is looked at before its time, and counts when that has come.
$node->psql_ok(q{SELECT otel.ingest_metrics(net.metric('ahead', 'gauge', 0, '{"asDouble": 1}', clock_timestamp() + interval '3 s'))}, 'a point of a time to come');
$node->wait_for(sprintf($done, 'ahead'), 'counts when its time has come', expected => '|1.000|1');

# What comes late counts, too, also when its time was looked at long ago: the last lines of this test.
$node->psql_ok(q{SELECT otel.ingest_metrics(net.metric('late', 'gauge', 0, '{"asDouble": 1}'))}, 'one point');
$node->wait_for(q{SELECT value FROM dbnet.policy_state WHERE policy = 'late'}, 'is counted', expected => '1');
$node->psql_ok(q{SELECT otel.ingest_metrics(net.metric('late', 'gauge', 0, '{"asDouble": 1}', now() - interval '5 minutes'))}, 'another, five minutes late');

# Histograms, of the counts since the point before: 60 of 100 up to 100 ms, 40 up to 200 ms are no p90 above 150 (it is 175).
$node->psql_ok(q{SELECT otel.ingest_metrics(net.latencies('/a', '{100,0,0,0}'))}, 'fast ones');
$node->psql_ok(q{SELECT otel.ingest_metrics(net.latencies('/b', '{60,40,0,0}'))}, 'slow ones of another route');
$node->wait_for(q{SELECT place, abs(value - 175) < 5, count FROM net.done WHERE policy = 'histogram'}, 'a quantile from buckets, by an attribute of the series', expected => '/b|t|100');
$node->wait_for(q{SELECT count FROM net.done WHERE policy = 'counted'}, 'the rate of what a histogram counts', expected => '100');
# A cumulative exponential histogram: 100 values of 1 to 2 long ago, since then 20 of 4 to 8; its scale got coarser meanwhile.
$node->psql_ok(q{SELECT otel.ingest_metrics(net.sizes('{50,50,0,0,0,0}', now() - interval '3 s', 1))}, 'a first point');
$node->psql_ok(q{SELECT otel.ingest_metrics(net.sizes('{100,0,20}', now() - interval '1 s'))}, 'a second');
$node->wait_for(q{SELECT value BETWEEN 4 AND 8, count FROM net.done WHERE policy = 'exponential'}, 'a quantile of what was counted in between', expected => 't|20');

$node->psql_ok(q{SELECT otel.ingest_logs(net.logs(10, 9))}, 'ten that are no errors');
$node->psql_ok(q{SELECT otel.ingest_logs(net.logs(2, 17))}, 'two that are');
$node->wait_for(q{SELECT grouping, value FROM dbnet.policy_state AS s WHERE policy = 'logs' AND value = 2}, 'are counted', expected => '{"service_name": "shop"}|2');
$node->psql_ok(q{SELECT otel.ingest_logs(net.logs(1, 21))}, 'one more');
$node->wait_for(sprintf($done, 'logs'), 'are too many', expected => 'shop|3.000|3');

$node->psql_ok(q{SELECT otel.ingest_traces(net.spans('/slow', 900, 3))}, 'slow calls of a client');
$node->psql_ok(q{SELECT otel.ingest_traces(net.spans('/fast', 20, 2))}, 'fast ones of a server');
$node->psql_ok(q{SELECT otel.ingest_traces(net.spans('/slow', 900, 2))}, 'slow ones of a server');
$node->wait_for(q{SELECT place, abs(value - 900) < 10, count FROM net.done WHERE policy = 'routes'}, 'a quantile by an attribute of spans', expected => '/slow/h2|t|30');
$node->query_is(q{SELECT count(*), count(DISTINCT t) FROM dbnet.policy_event, unnest(trace_ids) AS t WHERE policy = 'routes' AND t IN (SELECT md5('/slow' || n)::otel.trace_id FROM generate_series(1, 30) AS n)},
    '5|5', 'the traces are of that route');
$node->wait_for(q{SELECT value, count FROM net.done WHERE policy = 'late'}, 'what came late', expected => '2|2', timeout => 120);
$node->no_crash_in_log;
done_testing();
