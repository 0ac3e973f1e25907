# What was acknowledged is there, whatever dies under load: the worker, or the whole server. Senders send again what was
# not acknowledged; so rows are no fewer than acknowledged ones, and none of them is half there.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Gateway;
use DBNet::Process;
use Test::More;
use DBNet::Wait qw(wait_until);
use Time::HiRes qw(sleep);

my $node = DBNet::Cluster->started('gateway_kill', fsync => 1);
my $gateway = DBNet::Gateway->open($node);
my $folder = PostgreSQL::Test::Utils::tempdir();
my $spans_per_request = 20;

# Sends requests, each with a name of its own, one after the other; notes the names of those that were acknowledged.
sub send_until_stopped {
    my ($number) = @_;
    open my $noted, '>', "$folder/acknowledged.$number" or die $!;
    $noted->autoflush(1);
    my $sent = 0;
    my $client;
    while (!-e "$folder/stop") {
        my $name = "$number-" . ++$sent;
        $client //= eval { $gateway->connect } // do { sleep 0.05; next };
        my $answer = eval {
            $client->send(DBNet::Gateway::request_bytes('POST', '/v1/traces', type => 'application/json',
                body => DBNet::Gateway::traces($spans_per_request, name => $name)));
            $client->answer;
        };
        if (!$answer) { undef $client }
        elsif ($answer->{status} == 200) { print $noted "$name\n" }
    }
    return;
}

sub acknowledged {
    return map { split /\n/, PostgreSQL::Test::Utils::slurp_file($_) } glob "$folder/acknowledged.*";
}

sub wait_for_more {
    my ($more) = @_;
    my $wanted = acknowledged() + $more;
    wait_until(sub { acknowledged() >= $wanted }, 120);
    cmp_ok(scalar(acknowledged()), '>=', $wanted, 'requests go on');
    return;
}

my @senders = map { my $number = $_; DBNet::Process->start(name => "sender $number", log => "$folder/sender.$number", code => sub { send_until_stopped($number) }) } 1 .. 4;
for my $round (1 .. 3) {
    wait_for_more(40);
    my $pid = $node->worker_pid('gateway worker');
    kill 'KILL', $pid;
    note("killed the gateway worker $pid");
    wait_until(sub { my ($status) = $node->run_sql('SELECT 1'); return $status == 0 }, 120);
}
wait_for_more(40);
$node->kill9;
note('killed the postmaster');
$node->start;
wait_for_more(40);
$node->stop('immediate');
$node->start;
wait_for_more(40);
PostgreSQL::Test::Utils::append_to_file("$folder/stop", '');
for my $sender (@senders) { waitpid $sender->pid, 0 }

my @acknowledged = acknowledged();
note(@acknowledged . ' requests were acknowledged');
$node->safe_psql('postgres', 'CREATE TABLE acknowledged (name text PRIMARY KEY)');
$node->safe_psql('postgres', 'INSERT INTO acknowledged VALUES ' . join ',', map { "('$_')" } @acknowledged);
$node->query_is(qq{
    SELECT count(*) FROM acknowledged AS a WHERE $spans_per_request <> (SELECT count(*) FROM otel.spans AS s WHERE s.name = a.name)}, '0',
    'each acknowledged request is there, once');
$node->query_is(qq{SELECT count(*) FROM (SELECT name FROM otel.spans GROUP BY name HAVING count(*) <> $spans_per_request) AS s}, '0', 'and none in part');
$node->query_is('SELECT (SELECT sum(items) FROM otel.batch) = (SELECT count(*) FROM otel.spans)', 't', 'batches count their spans');
$node->query_is('SELECT (SELECT sum(count) FROM otel.span_pane WHERE rule = 0) = (SELECT count(*) FROM otel.spans)', 't', 'and so do panes');
done_testing();
