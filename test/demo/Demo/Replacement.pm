# Tells Example 2 while it happens, on the network of Example 1: a node is replaced. Every number that is printed was
# read or measured in this run.
package Demo::Replacement;

use strict;
use warnings FATAL => 'all';
use Demo::Example2;
use Demo::Screen;
use Demo::Story;
use Demo::Timeline;
use PostgreSQL::Test::Utils ();

my ($example, $replacement);

sub tell {
    ($example, my $watch) = @_;
    $replacement = Demo::Example2->new($example);
    tell_policy();
    my $report = tell_request();
    tell_timeline($report, $watch);
    tell_result($report);
    tell_why($report);
    return;
}

sub line      { return Demo::Screen::line(@_) }
sub paragraph { return Demo::Screen::paragraph($_[0], 2) }
sub short     { return Demo::Story::short_names(@_) }

sub tell_policy {
    Demo::Screen::heading('9. Example 2 of the paper: a node that is ill is replaced');
    paragraph('The procedure of the policy. What no row can say is asked for by functions (dbnet.cordon, dbnet.drain), as part of the same transaction:');
    line();
    Demo::Screen::sql(PostgreSQL::Test::Utils::slurp_file($replacement->sql_file('policy')));
    line();
    $replacement->set_up;
    paragraph('A disruption budget, a row of net.disruption_budgets, lets one pod of the application be missing at a time.');
    return;
}

sub tell_request {
    my $old = $example->query(q{SELECT min(name) FROM net.nodes WHERE name LIKE '%-2'});
    Demo::Screen::heading('10. Spans of a node fail');
    Demo::Screen::sql(PostgreSQL::Test::Utils::slurp_file($replacement->sql_file('telemetry')));
    line();
    paragraph('Agents deliver spans of all nodes: OTLP over HTTP to dbnet.gateway_listen, with a token for that alone (dbnet.create_token); of ' . short($old) . ' 60 of 100 have failed, after 700~ms each:');
    line();
    line('    curl ' . $replacement->url . ' --oauth2-bearer "$TOKEN" \\');
    line(q{         --header 'Content-Type: application/json' --data @spans.json});
    line();
    $replacement->send_spans($_, count => 100, errors => $_ eq $old ? 60 : 1, milliseconds => $_ eq $old ? 700 : 20)
      for split /\n/, $example->query('SELECT name FROM net.nodes WHERE pool IS NOT NULL ORDER BY name');
    return $replacement->replaced($old);
}

sub tell_timeline {
    my ($report, $watch) = @_;
    $replacement->wait_until_replaced($report);
    my $of_transaction = "transaction = '$report->{transaction}'";
    my $started = $example->query("SELECT extract(epoch FROM min(requested_at)) FROM dbnet.operation WHERE $of_transaction");
    my ($committed, $finished) = split /\|/, $example->query("SELECT extract(epoch FROM pg_xact_commit_timestamp(('$report->{transaction}'::xid8)::xid)),
        extract(epoch FROM finished_at) FROM dbnet.operation WHERE id = $report->{operation}");
    my @calls = Demo::Timeline::rows($example, "SELECT extract(epoch FROM at), operation,
            CASE WHEN operation = 'evict' THEN 'Pod' ELSE (SELECT kind FROM dbnet.mirrored_relation AS mirror WHERE mirror.relation = call.relation) END,
            name, http_status, round(latency_ms::numeric, 1) FROM dbnet.actuation AS call WHERE $of_transaction ORDER BY id",
        qw(at operation kind name status latency));
    my $ready;
    $example->{api}->wait_until(sub { $ready = $watch->ready_at($report->{new}, $started) }, "the watch has shown $report->{new} Ready");
    my @events = (
        [ $committed, "COMMIT, transaction $report->{transaction}: rows and requests, all or none" ],
        (map { [ $_->{at}, '<- ' . "$_->{status} for $_->{operation} $_->{kind} " . short($_->{name}) . " after $_->{latency} ms" ] } @calls),
        [ $ready, short($report->{new}) . ' is Ready: the demo sees it in a watch of its own' ],
        [ $finished, 'the drain is done: ' . $example->query("SELECT message FROM dbnet.operation WHERE id = $report->{operation}") ]);
    Demo::Screen::table([ 'ms', 'what' ], map { [ sprintf('%.1f', 1000 * ($_->[0] - $started)), $_->[1] ] } sort { $a->[0] <=> $b->[0] } @events);
    my ($last) = grep { $_->{operation} eq 'delete' } @calls;
    die "the old node was not deleted after its drain\n" if !$last || $last->{at} < $finished - 0.001;
    return;
}

sub tell_result {
    my ($report) = @_;
    line();
    paragraph('Traffic went elsewhere at once; the old Node went when its last pod had gone. What the cluster has now:');
    line();
    Demo::Story::tell_nodes();
    return;
}

sub tell_why {
    my ($report) = @_;
    Demo::Screen::heading('11. Why was that node provisioned, and by whom?');
    my $sql = "SELECT dbnet.why((SELECT min(id) FROM dbnet.actuation WHERE name = '$report->{new}'));\n";
    Demo::Screen::sql(short($sql));
    line();
    my @steps = split /\n/, $example->query($sql);
    line('    ' . Demo::Story::shortened(short($_), 96)) for @steps;
    my ($sender) = map { / trace .* of shop: GET \/cart.*; sent by (.*)/ ? $1 : () } @steps;
    die "dbnet.why() does not lead from the call to the spans and their sender\n"
      if $steps[0] !~ /apply Node .* 201/ || !grep({ /policy\.replace_node/ } @steps) || ($sender // '') !~ /^curl\S* as node agents from 127\.0\.0\.1$/;
    line();
    paragraph("From the device call back to the policy that asked for it, the spans it saw, and who sent these: $sender.");
    return;
}

1;
