# What telemetry costs on its way through the gateway, beside a binary COPY of the same rows into the same table: in as many
# transactions, on as many connections. On a server of its own. Called by run.pl.
package Bench::Gateway;

use strict;
use warnings FATAL => 'all';
use Bench::Process qw(cpu_seconds);
use DBNet::Cluster;
use DBNet::Gateway;
use DBNet::Wait qw(wait_until);
use Demo::Example2;
use IPC::Run ();
use Time::HiRes qw(sleep time);

my ($load, $probe) = map { "$ENV{DBNET_TOP}/build/bench_$_" } qw(otlp probe);
# Requests by spans per request: enough of them for a second or more.
my %requests = (1 => 2000, 10 => 2000, 100 => 1000, 1000 => 200);
# What architecture.md's bars are for: requests of so many spans, on so many connections.
my $headline = '1000x1';
my $spans_of_trace = 10;    # of bench_otlp

# wanted(name), result(name, value, unit, runs, reference), median(values): of run.pl.
sub run {
    my (%harness) = @_;
    my ($wanted, $result, $median, $percentile) = @harness{qw(wanted result median percentile)};
    return if !grep { $wanted->($_) } qw(gateway. paper.traces otlp.protobuf_copy_ratio otlp.json_copy_ratio policy.react_gateway);
    my $node = DBNet::Cluster->started('bench_gateway', fsync => 1, conf => "shared_buffers = '256MB'\nmin_wal_size = '4GB'\nmax_wal_size = '8GB'\n");
    my $self = bless { node => $node, gateway => DBNet::Gateway->open($node) }, __PACKAGE__;
    # As a server is that has been at work: plans, partitions and caches are there, its buffers are memory that it has, and
    # WAL goes into files that it has had before (a new one is filled with zeros by whoever commits first). Nothing is left to
    # autovacuum, to the checkpointer or, of what was measured before, to the kernel.
    $self->send('protobuf', 20, 1000, 800);
    $node->safe_psql('postgres', 'VACUUM (ANALYZE)');
    $node->safe_psql('postgres', 'CHECKPOINT');
    system('sync') == 0 or die "sync failed\n";

    if ($wanted->('paper.traces_20x100_ms')) {
        my $spans = 100 * $spans_of_trace;    # of a client: one request
        my @sent = map { $self->send('protobuf', 20, $spans, 20) } 1 .. 11;
        $result->('paper.traces_20x100_ms', $median->(map { 1000 * 20 * $spans / $_->{rate} } @sent), 'ms', scalar @sent, 80);
        # The gateway's own of it; the rest is the disk, and waiting for a core that somebody else has.
        $result->('paper.traces_20x100_cpu_ms', $median->(map { 20 * $spans / 1000 * $_->{cpu} } @sent), 'ms of CPU', scalar @sent);
    }
    for my $encoding ('protobuf', 'json') {
        my $bar = $encoding eq 'protobuf' ? 0.6 : 0.35;
        for my $connections (1, 20) {
            for my $spans (sort { $a <=> $b } keys %requests) {
                my $size = "${spans}x$connections";
                my $name = "gateway.${encoding}_$size";
                my $is_headline = $size eq $headline && $wanted->("otlp.${encoding}_copy_ratio");
                next if !$wanted->($name) && !$is_headline;
                $self->send($encoding, $connections, $spans, $requests{$spans} / 10);    # its own caches
                $node->safe_psql('postgres', 'CHECKPOINT');
                my $runs = $is_headline ? 7 : 3;
                my (@sent, @copied);
                for (1 .. $runs) {
                    push @sent, $self->send($encoding, $connections, $spans, $requests{$spans});
                    push @copied, $self->copy($connections, $spans, $requests{$spans});
                }
                my $of = sub { my ($what, @figures) = @_; return $median->(map { $_->{$what} } @figures) };
                my $ratio = $median->(map { $sent[$_]{rate} / $copied[$_]{rate} } 0 .. $runs - 1);
                $result->("otlp.${encoding}_copy_ratio", $ratio, 'ratio', $runs, $bar) if $is_headline;
                $result->($name, $of->('rate', @sent), 'spans/s', $runs, $of->('rate', @copied));
                $result->("${name}_ratio", $ratio, 'ratio', $runs, $bar);
                $result->("${name}_p50_ms", $of->('p50', @sent), 'ms', $runs, $of->('p50', @copied));
                $result->("${name}_p99_ms", $of->('p99', @sent), 'ms', $runs, $of->('p99', @copied));
                $result->("${name}_cpu", $of->('cpu', @sent), 's/Mspans', $runs, $of->('cpu', @copied));
            }
        }
    }
    if ($wanted->('gateway.protobuf_10x1000')) {
        my $sent = $self->send('protobuf', 1000, 10, 20_000);
        $result->('gateway.protobuf_10x1000', $sent->{rate}, 'spans/s', 1);
        $result->('gateway.protobuf_10x1000_p99_ms', $sent->{p99}, 'ms', 1);
    }
    if ($wanted->('policy.react_gateway')) {
        my ($rate, @reactions) = $self->react(60);
        $result->('policy.react_gateway_ms_p50', $percentile->(0.5, @reactions), 'ms', scalar @reactions);
        $result->('policy.react_gateway_ms_p99', $percentile->(0.99, @reactions), 'ms', scalar @reactions, 250);
        $result->('policy.react_gateway_load', $rate, 'spans/s', 1);
    }
    if ($wanted->('gateway.kill9')) {
        my @kills = map { $self->kill_under_load } 1 .. 3;
        # Of three, the worst. Sent and not answered: at most one request of a connection; a sender sends it again.
        $result->('gateway.kill9_lost_requests', $percentile->(1, map { $_->{lost} } @kills), 'requests', scalar @kills, 0);
        $result->('gateway.kill9_acknowledged_requests', $median->(map { $_->{acknowledged} } @kills), 'requests', scalar @kills);
        $result->('gateway.kill9_unanswered_requests', $percentile->(1, map { $_->{unanswered} } @kills), 'requests', scalar @kills, 20);
    }
    $node->stop;
    return;
}

# While the gateway takes all that twenty connections send: the load in spans/s, and ms from an exporter's request to the
# action of a policy that its spans make act, for each of so many nodes that turn bad.
sub react {
    my ($self, $nodes) = @_;
    my $node = $self->{node};
    $node->safe_psql('postgres', q{
        CREATE SCHEMA bench;
        CREATE TABLE bench.called (node text, at timestamptz);
        CREATE PROCEDURE bench.act(event dbnet.policy_event) LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO bench.called VALUES (event.grouping ->> 'node', clock_timestamp());
        END $$;
        SELECT dbnet.create_policy('bad', 'spans', aggregate => 'error_rate', threshold => 0.1, minimum_count => 20, group_by => '{node}', action => 'bench.act(dbnet.policy_event)', mode => 'act')});
    $node->worker_pid('policy worker');
    my $out = '';
    my $sent = IPC::Run::start([ $load, $self->{gateway}->port, 'protobuf', 20, 100, 1_000_000 ], '>', \$out);
    my $count = sub { return $node->safe_psql('postgres', 'SELECT coalesce(sum(count), 0) FROM otel.span_pane WHERE rule = 0') };
    sleep 1;
    my ($begun, $spans) = (time, $count->());
    my %sent;
    for my $n (1 .. $nodes) {
        my (undef, $request) = Demo::Example2::spans("bad-$n", count => 100, errors => 50, milliseconds => 20);
        $sent{"bad-$n"} = time;
        my $answer = $self->{gateway}->post('/v1/traces', body => $request);
        die "spans were refused: $answer->{status} $answer->{body}\n" if $answer->{status} != 200;
        sleep 0.05;
    }
    my $rate = ($count->() - $spans) / (time - $begun);
    $node->poll_query_until('postgres', "SELECT count(DISTINCT node) = $nodes FROM bench.called") or die "actions were not called\n";
    $sent->kill_kill;
    my %called = map { split /\|/ } split /\n/, $node->safe_psql('postgres', 'SELECT node, min(extract(epoch FROM at)) FROM bench.called GROUP BY node');
    return ($rate, map { 1000 * ($called{$_} - $sent{$_}) } keys %sent);
}

# Kills the gateway worker while it takes all that twenty connections send, and with it every session: what was
# acknowledged and is not there (lost), or is there and was not acknowledged (unanswered).
sub kill_under_load {
    my ($self) = @_;
    my ($node, $spans) = ($self->{node}, 100);
    my $stored = sub { return $node->safe_psql('postgres', 'SELECT count(*) FROM otel.span') };
    my $before = $stored->();
    my ($out, $err) = ('', '');
    my $sent = IPC::Run::start([ $load, $self->{gateway}->port, 'protobuf', 20, $spans, 1_000_000 ], '>', \$out, '2>', \$err);
    $node->poll_query_until('postgres', "SELECT count(*) > $before + 100000 FROM otel.span") or die "spans do not come\n";
    kill 'KILL', $node->worker_pid('gateway worker');
    $sent->finish;
    my ($acknowledged, $connections) = split ' ', $out;
    die "$load ended otherwise: $out$err\n" if $sent->result != 3 || $connections != 20;
    wait_until(sub { my ($status) = $node->run_sql('SELECT 1'); return $status == 0 }, 120) or die "the server does not come back\n";
    $node->worker_pid('gateway worker');
    my $requests = ($stored->() - $before) / $spans;
    my $lost = $acknowledged > $requests ? $acknowledged - $requests : 0;
    return { acknowledged => $acknowledged, lost => $lost, unanswered => $requests - $acknowledged + $lost };
}

sub cpu {
    my ($self) = @_;
    return cpu_seconds($self->{node}->worker_pid('gateway worker'));
}

sub send {
    my ($self, $encoding, $connections, $spans, $requests) = @_;
    my ($out, $err);
    my $before = $self->cpu;
    IPC::Run::run([ $load, $self->{gateway}->port, $encoding, $connections, $spans, $requests ], '>', \$out, '2>', \$err) or die "$load: $err\n";
    my ($rate, $p50, $p99, $refused) = split ' ', $out;
    die "$refused of $requests requests were refused\n" if $refused;
    return { rate => $rate, p50 => $p50, p99 => $p99, cpu => ($self->cpu - $before) / ($spans * $requests) * 1e6 };
}

# The same of COPY: of rows that the gateway has written, without what it does beside.
sub copy {
    my ($self, $connections, $spans, $requests) = @_;
    my ($out, $err);
    IPC::Run::run([ $probe, 'copy', $self->{node}->connstr('postgres'), $connections, $spans, $requests ], '>', \$out, '2>', \$err) or die "$probe: $err\n";
    my ($rate, $p50, $p99, $cpu) = split ' ', $out;
    return { rate => $rate, p50 => $p50, p99 => $p99, cpu => $cpu / ($spans * $requests) * 1e6 };
}

1;
