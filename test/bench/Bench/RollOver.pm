# A day of telemetry in partitions of an hour: what ingest waits while partitions are made and dropped; on a server of its
# own. Called by run.pl, see roll_over.sql.
package Bench::RollOver;

use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;

my $requests_per_minute = 4;

# wanted(name), result(name, value, unit, runs, reference): of run.pl.
sub run {
    my (%harness) = @_;
    my ($wanted, $result) = @harness{qw(wanted result)};
    return if !$wanted->('telemetry.roll_over');
    my $node = DBNet::Cluster->started('bench_roll_over', fsync => 1,
        conf => "shared_buffers = '256MB'\nmax_wal_size = '4GB'\ndbnet.telemetry_partition = 'hour'\ndbnet.telemetry_retention = '25h'\n");
    $node->safe_psql('postgres', PostgreSQL::Test::Utils::slurp_file("$ENV{DBNET_TOP}/test/bench/roll_over.sql"));
    my $housekeeping = $node->background_psql('postgres');
    $housekeeping->{stdin} .= "CALL bench.keep_house();\n";
    $housekeeping->{run}->pump_nb;
    $node->safe_psql('postgres', "CALL bench.ingest_day($requests_per_minute)");
    $housekeeping->quit;
    # The first finds no partitions and makes its own.
    my ($calls, $first, $median, $p99, $longest) = split /\|/, $node->safe_psql('postgres', q{
        SELECT count(*), max(ms) FILTER (WHERE is_first), percentile_cont(0.5) WITHIN GROUP (ORDER BY ms),
            percentile_cont(0.99) WITHIN GROUP (ORDER BY ms), max(ms) FILTER (WHERE NOT is_first)
        FROM (SELECT ms, row_number() OVER (ORDER BY span_time) = 1 AS is_first FROM bench.call) AS call});
    my ($made, $dropped) = split /\|/, $node->safe_psql('postgres', 'SELECT sum(made), sum(dropped) FROM bench.housekeeping');
    $result->('telemetry.roll_over_first_ms', $first, 'ms', 1);
    $result->('telemetry.roll_over_median_ms', $median, 'ms', $calls);
    $result->('telemetry.roll_over_p99_ms', $p99, 'ms', $calls);
    $result->('telemetry.roll_over_longest_ms', $longest, 'ms', $calls);
    $result->('telemetry.roll_over_longest_ratio', $longest / $median, 'ratio', $calls, $median);
    $result->('telemetry.roll_over_made', $made, 'partitions', 1);
    $result->('telemetry.roll_over_dropped', $dropped, 'partitions', 1);
    $node->stop;
    return;
}

1;
