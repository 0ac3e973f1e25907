# A day of telemetry in partitions of an hour: what ingest waits while partitions are made and dropped, beside a day whose
# partitions are all there and stay; on a server of its own, both days in turn, several times: the longest of so many calls
# is what else happens on the machine, or on the disk. Called by run.pl, see roll_over.sql.
package Bench::RollOver;

use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;

my $requests_per_minute = 4;
my $runs = 3;

# wanted(name), result(name, value, unit, runs, reference), median(values): of run.pl.
sub run {
    my (%harness) = @_;
    my ($wanted, $result, $median) = @harness{qw(wanted result median)};
    return if !$wanted->('telemetry.roll_over');
    my $node = DBNet::Cluster->started('bench_roll_over', fsync => 1,
        conf => "shared_buffers = '256MB'\nmax_wal_size = '4GB'\ndbnet.telemetry_partition = 'hour'\ndbnet.telemetry_retention = '25h'\n");
    my (@kept, @rolled);
    for (1 .. $runs) {
        push @kept, day($node, 0);
        push @rolled, day($node, 1);
    }
    my $of = sub { my ($what, @days) = @_; return $median->(map { $_->{$what} } @days) };
    # The first finds no partitions and makes its own.
    $result->('telemetry.roll_over_first_ms', $of->('first', @rolled), 'ms', $runs);
    for my $what (qw(median p99 longest)) {
        $result->("telemetry.roll_over_${what}_ms", $of->($what, @rolled), 'ms', $runs, $of->($what, @kept));
    }
    for my $what (qw(made dropped)) { $result->("telemetry.roll_over_$what", $of->($what, @rolled), 'partitions', $runs) }
    $node->stop;
    return;
}

# In a database of its own.
sub day {
    my ($node, $rolls) = @_;
    $node->safe_psql('postgres', 'CREATE DATABASE day');
    $node->safe_psql('day', 'CREATE EXTENSION dbnet');
    $node->safe_psql('day', PostgreSQL::Test::Utils::slurp_file("$ENV{DBNET_TOP}/test/bench/roll_over.sql"));
    my $housekeeping = $node->background_psql('day');
    if ($rolls) {
        $housekeeping->{stdin} .= "CALL bench.keep_house();\n";
        $housekeeping->{run}->pump_nb;
    } else {
        $housekeeping->query_safe("SELECT otel.ensure_partitions(now() - interval '25 hours', now() + interval '1 hour')");
    }
    $node->safe_psql('day', "CALL bench.ingest_day($requests_per_minute)");
    $housekeeping->quit;
    my %day;
    @day{qw(first median p99 longest made dropped)} = split /\|/, $node->safe_psql('day', q{
        SELECT max(ms) FILTER (WHERE is_first), percentile_cont(0.5) WITHIN GROUP (ORDER BY ms),
            percentile_cont(0.99) WITHIN GROUP (ORDER BY ms), max(ms) FILTER (WHERE NOT is_first),
            (SELECT coalesce(sum(made), 0) FROM bench.housekeeping), (SELECT coalesce(sum(dropped), 0) FROM bench.housekeeping)
        FROM (SELECT ms, row_number() OVER (ORDER BY span_time) = 1 AS is_first FROM bench.call) AS call});
    $node->safe_psql('postgres', 'DROP DATABASE day WITH (FORCE)');
    return \%day;
}

1;
