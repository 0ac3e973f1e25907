# The OpenTelemetry exporters of JavaScript send spans, metrics and logs, in protobuf and JSON, in chunks, compressed or
# not, and try again when the gateway says 503.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Environment;
use DBNet::Gateway;
use DBNet::Need;
use DBNet::Process;
use Test::More;

DBNet::Need::need('otel_js');
my $modules = DBNet::Environment::program('otel_js');
my $node = DBNet::Cluster->started('gateway_otel_js');
my $gateway = DBNet::Gateway->open($node);
my $url = 'http://127.0.0.1:' . $gateway->port;
my $count = 50;

sub export_command {
    my ($form, $compression, $service) = @_;
    return ('node', "$modules/export.js", $url, $form, $compression, $count, $service);
}

for my $form ('proto', 'json') {
    for my $compression ('none', 'gzip') {
        my $service = "$form-$compression";
        my ($output, $errors) = PostgreSQL::Test::Utils::run_command([ export_command($form, $compression, $service) ]);
        is($output, '{"traces":"ok","metrics":"ok","logs":"ok"}', "$service: the exporters are content") or diag($errors);
        $node->query_is(qq{
            SELECT count(*), count(*) FILTER (WHERE s.status_code = 2), min(s.attributes->>'umlaut'), bool_and(s.attributes->'flags' = '[true, false]'),
                   min((s.attributes->>'http.status_code')::int), max((s.attributes->>'http.status_code')::int)
            FROM otel.spans AS s JOIN otel.resources AS r USING (resource_id) WHERE r.service_name = '$service'},
            "$count|5|ü €|t|200|249", "$service: spans");
        $node->query_is(qq{
            SELECT count(*) FROM otel.span_events AS e JOIN otel.spans AS s USING (trace_id, span_id) JOIN otel.resources AS r USING (resource_id)
            WHERE r.service_name = '$service' AND e.name = 'cache miss'}, $count, "$service: their events");
        my $metric = "JOIN otel.series USING (series_id) JOIN otel.metrics AS m USING (metric_id) JOIN otel.resources AS r USING (resource_id) WHERE r.service_name = '$service'";
        $node->query_is(qq{SELECT coalesce(value_int, value_double) FROM otel.number_points $metric AND m.name = 'requests'}, $count, "$service: a counter");
        $node->query_is(qq{SELECT value_double FROM otel.number_points $metric AND m.name = 'temperature'}, '21.5', "$service: a gauge");
        $node->query_is(qq{SELECT count, sum, min, max FROM otel.histogram_points $metric AND m.name = 'latency'}, "$count|1225|0|49", "$service: a histogram");
        $node->query_is(qq{SELECT count, zero_count, sum FROM otel.exponential_histogram_points $metric AND m.name = 'latency.exponential'}, "$count|1|1225",
            "$service: an exponential histogram");
        $node->query_is(qq{
            SELECT count(*), min(severity_text), count(*) FILTER (WHERE body = to_jsonb('line ' || (l.attributes->>'i')))
            FROM otel.logs AS l JOIN otel.resources AS r USING (resource_id) WHERE r.service_name = '$service'}, "$count|INFO|$count", "$service: log records");
    }
}

# The exporter waits as Retry-After says and sends again.
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN; LOCK TABLE otel.batch IN ACCESS EXCLUSIVE MODE');
my $log = PostgreSQL::Test::Utils::tempdir() . '/export.log';
my $export = DBNet::Process->start(name => 'export', log => $log, command => [ export_command('proto', 'none', 'patient') ]);
for (1 .. 600) {
    last if $gateway->get('/metrics')->{body} =~ /^dbnet_gateway_requests_total\{signal="traces",status="503"\}/m;
    select undef, undef, undef, 0.1;
}
like($gateway->get('/metrics')->{body}, qr/^dbnet_gateway_requests_total\{signal="traces",status="503"\} [1-9]/m, 'the gateway said 503');
$session->query_safe('ROLLBACK');
$session->quit;
waitpid $export->{pid}, 0;
like(PostgreSQL::Test::Utils::slurp_file($log), qr/^\{"traces":"ok","metrics":"ok","logs":"ok"\}$/m, 'the exporter tried again');
$node->query_is(q{SELECT count(*) FROM otel.spans JOIN otel.resources USING (resource_id) WHERE service_name = 'patient'}, $count, 'and all is there once');

$node->no_crash_in_log;
done_testing();
