# What telemetry costs on its way through the gateway, beside a binary COPY of the same rows into the same table; on a
# server of its own. Called by run.pl.
package Bench::Gateway;

use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Gateway;
use IPC::Run ();
use POSIX ();
use Time::HiRes qw(time);

my $load = "$ENV{DBNET_TOP}/build/bench_otlp";
my $runs = 3;

# Requests by spans per request: enough of them for a second or so.
my %requests = (1 => 10_000, 10 => 5_000, 100 => 2_000, 1000 => 300);

# wanted(name), result(name, value, unit, runs, reference), median(values): of run.pl.
sub run {
    my (%harness) = @_;
    my ($wanted, $result, $median) = @harness{qw(wanted result median)};
    return if !$wanted->('gateway.') && !$wanted->('paper.traces');
    my $node = DBNet::Cluster->started('bench_gateway', fsync => 1, conf => "shared_buffers = '512MB'\nmax_wal_size = '8GB'\n");
    my $self = bless { node => $node, gateway => DBNet::Gateway->open($node) }, __PACKAGE__;
    $self->send('protobuf', 1, 1000, 20);    # plans, partitions and caches are there

    if ($wanted->('paper.traces_20x100_ms')) {
        my @ms = map { 1000 * 20 * 100 / $self->send('protobuf', 20, 100, 20)->{rate} } 1 .. 11;
        $result->('paper.traces_20x100_ms', $median->(@ms), 'ms', scalar @ms, 80);
    }
    for my $encoding ('protobuf', 'json') {
        my (@spans, @copied);
        for my $connections (1, 20) {
            for my $spans (sort { $a <=> $b } keys %requests) {
                my $name = "gateway.${encoding}_${spans}x$connections";
                next if !$wanted->($name);
                my @sent = map { my $sent = $self->send($encoding, $connections, $spans, $requests{$spans}); push @copied, $self->copy; $sent } 1 .. $runs;
                my $rate = $median->(map { $_->{rate} } @sent);
                my $copy = $median->(@copied[ -$runs .. -1 ]);
                $result->($name, $rate, 'spans/s', $runs, $copy);
                $result->("${name}_ratio", $rate / $copy, 'ratio', $runs, $encoding eq 'protobuf' ? 0.6 : 0.35);
                $result->("${name}_p50_ms", $median->(map { $_->{p50} } @sent), 'ms', $runs);
                $result->("${name}_p99_ms", $median->(map { $_->{p99} } @sent), 'ms', $runs);
                $result->("${name}_cpu", $median->(map { $_->{cpu} } @sent), 's/Mspans', $runs);
            }
        }
    }
    if ($wanted->('gateway.protobuf_10x1000')) {
        my $sent = $self->send('protobuf', 1000, 10, 20_000);
        $result->('gateway.protobuf_10x1000', $sent->{rate}, 'spans/s', 1);
        $result->('gateway.protobuf_10x1000_p99_ms', $sent->{p99}, 'ms', 1);
    }
    $node->stop;
    return;
}

sub cpu {
    my ($self) = @_;
    my $pid = $self->{node}->worker_pid('gateway worker');
    my @fields = split ' ', PostgreSQL::Test::Utils::slurp_file("/proc/$pid/stat") =~ s/.*\) //r;
    return ($fields[11] + $fields[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
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

# Rows/s of a binary COPY of spans that the gateway has written, in one session, without what the gateway does beside.
sub copy {
    my ($self) = @_;
    my $node = $self->{node};
    my $file = PostgreSQL::Test::Utils::tempdir_short() . '/spans';
    my $rows = $node->safe_psql('postgres', 'SELECT count(*) FROM (SELECT FROM otel.spans LIMIT 200000) AS s');
    $node->safe_psql('postgres', "COPY (SELECT * FROM otel.spans LIMIT 200000) TO '$file' (FORMAT binary)");
    my $start = time;
    $node->safe_psql('postgres', "COPY otel.spans FROM '$file' (FORMAT binary)");
    my $seconds = time - $start;
    unlink $file;
    return $rows / $seconds;
}

1;
