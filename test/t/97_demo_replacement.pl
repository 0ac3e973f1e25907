# Example 2 of the paper, the device half: a procedure cordons, drains and deletes a node and inserts another, in one
# transaction; the cluster does so in an order in which no pod is lost.
use strict;
use warnings FATAL => 'all';
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../demo';
use DBNet::Api;
use DBNet::Cluster;
use Demo::Example1;
use Demo::Example2;
use JSON::PP ();
use Test::More;

DBNet::Api::need('controllers');
my $api = DBNet::Api->start(pods_running => 1);
my $node = DBNet::Cluster->started('demo_replacement');
my $example = Demo::Example1->new($node, $api);
my $replacement = Demo::Example2->new($example);
my $web = $api->name('web');

sub nodes { return join ' ', sort map { $_->{metadata}{name} } @{ $api->expect_success($api->get('/api/v1/nodes', query => { labelSelector => $api->selector }))->{items} } }
sub weights {
    my $service = $api->expect_success($api->get('/api/v1/namespaces/' . $api->namespace . '/services/web'));
    return JSON::PP::decode_json($service->{metadata}{annotations}{'lb.example/weights'});
}

$example->set_up;
$example->insert_devices;
$replacement->set_up;

# A budget that allows nothing: traffic goes elsewhere at once, the rest waits.
$example->as_sre(q{UPDATE net.disruption_budgets SET max_unavailable = '0'});
$example->settle;
$example->wait_for('SELECT disruptions_allowed = 0 FROM net.disruption_budgets', 'no pod may be missing');
my $report = $replacement->replace("$web-2");
is_deeply($report->{notices}, ["pool $web: $web-2 is replaced by $web-4"], 'the procedure says what it does');
$node->wait_for("SELECT message LIKE '%disruption budget web needs 3 healthy pods and has 3 currently' FROM dbnet.operation_status WHERE id = $report->{operation}", 'the budget holds the drain up');
$node->wait_for("SELECT ready = 'True' FROM net.nodes WHERE name = '$web-4'", 'the new node is there');
is(nodes(), join(' ', map { "$web-$_" } 1 .. 4), 'the old one still is, too');
is($api->get("/api/v1/nodes/$web-2")->{body}{spec}{unschedulable}, JSON::PP::true, 'cordoned');
is_deeply(weights(), { "$web-1" => 34, "$web-3" => 33, "$web-4" => 33 }, 'and has no share of the traffic');
$node->query_is("SELECT phase, message FROM dbnet.object_status WHERE key = '$web-2'", "deleting|the object is to be drained first: operation $report->{operation} is under way", 'its row says what it waits for');

# One that lets go.
$example->as_sre(q{UPDATE net.disruption_budgets SET max_unavailable = '1'});
$replacement->wait_until_replaced($report);
$api->wait_for_object("/api/v1/nodes/$web-2", sub { $_[0]{status} == 404 });
is(nodes(), join(' ', map { "$web-$_" } 1, 3, 4), 'the node is replaced');
$node->query_is(q{SELECT string_agg(DISTINCT node, ' ' ORDER BY node) FROM net.pods WHERE phase = 'Running'}, join(' ', map { "$web-$_" } 1, 3, 4), 'its pod runs on the new one');
$node->query_is("SELECT string_agg(operation || ' ' || http_status, ', ' ORDER BY id) FROM dbnet.actuation WHERE transaction = '$report->{transaction}' AND http_status < 300 AND operation <> 'apply'",
    'cordon 200, evict 201, delete 200', 'the calls, in their order');

# Why.
my $why = $node->safe_psql('postgres', "SELECT dbnet.why('net.nodes', '$web-4')");
like($why, qr{INSERT net\.nodes \Q$web\E-4.*policy\.replace_node\(node_name => "\Q$web\E-2"\).*who\s+sre}s, 'why of the new node leads to the procedure and its caller');
$why = $node->safe_psql('postgres', "SELECT dbnet.why((SELECT max(id) FROM dbnet.actuation WHERE operation = 'evict'))");
like($why, qr{evict Pod .* 201.*INSERT dbnet\.operation $report->{operation}: drain net\.nodes \Q$web\E-2, .*policy\.replace_node}s, 'and so does that of the eviction');

# By itself: spans of a node fail.
$replacement->send_spans("$web-$_", count => 100, errors => 1, milliseconds => 20) for 1, 3, 4;
my $trace = $replacement->send_spans("$web-3", count => 100, errors => 60, milliseconds => 700);
$report = $replacement->replaced("$web-3");
is($report->{new}, "$web-5", 'a policy replaces the node whose spans fail');
$replacement->wait_until_replaced($report);
$api->wait_for_object("/api/v1/nodes/$web-3", sub { $_[0]{status} == 404 });
is(nodes(), join(' ', map { "$web-$_" } 1, 4, 5), 'the others stay');
$node->query_is(q{SELECT count(*) FROM dbnet.operation WHERE operation = 'drain' AND requested_by = 'sre'}, '2', 'once, also where errors and latency say the same');
$why = $node->safe_psql('postgres', "SELECT dbnet.why('net.nodes', '$web-5')");
like($why, qr{INSERT net\.nodes \Q$web\E-5.*policy\.on_ill_node.*policy +node (?:errors|latency) on node \Q$web\E-3.*trace +$trace of shop: GET /cart.*sent by curl/\S+ as node agents from 127\.0\.0\.1}s, 'why of the new node leads to the spans and their sender');
$example->close;
$node->no_crash_in_log;
done_testing();
