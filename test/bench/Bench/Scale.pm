# Much at once, and nothing at all: a hundred mirrors on ten servers beside one mirror, a row that changes a thousand times
# a second, a transaction of ten thousand rows, processes that have nothing to do. On a database and a simulator of its own,
# which answers after 1 ms. Called by run.pl.
package Bench::Scale;

use strict;
use warnings FATAL => 'all';
use Bench::Process qw(cpu_seconds private_memory_mb);
use DBNet::Api;
use DBNet::Cluster;
use IPC::Run ();
use JSON::PP ();
use Time::HiRes qw(sleep time);

my ($servers, $mirrors_each, $rows_each) = (10, 10, 60);
my $columns = '{"name": "metadata.name", "value": "data.value", "labels": "metadata.labels"}';

# wanted(name), result(name, value, unit, runs, reference), median(values): of run.pl.
sub run {
    my (%harness) = @_;
    my ($wanted, $result, $median) = @harness{qw(wanted result median)};
    return if !grep { $wanted->($_) } qw(scale. idle. actuation.hot_row actuation.transaction_10k);
    my $log = PostgreSQL::Test::Utils::tempdir('requests') . '/requests.jsonl';
    my @simulator = DBNet::Need::kind() eq 'simulator' ? (arguments => [ '--service-time-ms', 1, '--request-log', $log ]) : ();
    my $api = DBNet::Api->start(nodes_ready => 0, controllers => 0, @simulator);
    my $node = DBNet::Cluster->started('bench_scale', fsync => 1, conf => "dbnet.hold_objects = 1000000\ndbnet.hold_minimum = 1000000\nshared_buffers = '256MB'\nmax_wal_size = '4GB'\n");
    my $self = bless { %harness, node => $node, api => $api, log => $log }, __PACKAGE__;
    if ($wanted->('idle.')) {
        sleep 5;    # what begins with the server
        $result->('idle.cpu_ms_per_minute', $median->(map { $self->idle_ms } 1 .. 3), 'ms of CPU', 3);
    }
    $node->safe_psql('postgres', $api->create_server('one') . 'CREATE SCHEMA bench');
    $self->hot_row if $wanted->('actuation.hot_row');
    $self->transaction_10k if $wanted->('actuation.transaction_10k');
    $self->hundred_mirrors if $wanted->('scale.') || $wanted->('idle.');
    $node->stop;
    $api->stop;
    return;
}

sub namespace { my ($self, $name) = @_; $self->{api}->expect_success($self->{api}->create('/api/v1/namespaces', { metadata => { name => $name } })); return $name }

# Of the ConfigMaps of a namespace.
sub mirror_sql {
    my ($server, $table, $namespace, $selector) = @_;
    return "CREATE TABLE $table (name text PRIMARY KEY, value text, labels jsonb);
        SELECT dbnet.mirror('$server', 'v1', 'ConfigMap', '$table', namespace => '$namespace', label_selector => '$selector', mode => 'manage', columns => '$columns');";
}

sub wait_listed {
    my ($self) = @_;
    $self->{node}->poll_query_until('postgres', q{SELECT bool_and(state = 'synced') FROM dbnet.mirror_status}) or die "mirrors are not listed\n" . $self->{node}->diagnostics;
    return;
}

sub wait_settled {
    my ($self, $what) = @_;
    my $left = $self->{node}->safe_psql('postgres', q{SELECT count(*) FROM dbnet.wait_synced('120 s')});
    die "$what: $left objects are not settled\n" . $self->{node}->diagnostics if $left;
    return;
}

sub worker { my ($self) = @_; return $self->{node}->worker_pid('mirror worker') }

# --- one row that changes a thousand times a second: more commits of one session than many a disk can do, so without it ---
sub hot_row {
    my ($self) = @_;
    my ($node, $api, $seconds) = ($self->{node}, $self->{api}, 5);
    $node->safe_psql('postgres', mirror_sql('one', 'bench.hot', $self->namespace('hot'), 'hot') . q{INSERT INTO bench.hot VALUES ('hot', '0', '{"hot": "yes"}')});
    $self->wait_listed;
    $self->wait_settled('the hot row');
    $node->safe_psql('postgres', 'ALTER SYSTEM SET fsync = off');
    $node->reload;
    my (@rate, @share, @lag);
    for my $run (1 .. 5) {
        my ($position, $begun) = (-s $self->{log}, time);
        my $out;
        IPC::Run::run([ "$ENV{DBNET_TOP}/build/bench_probe", 'hot', $node->connstr('postgres'), 1000, $seconds ], '>', \$out) or die "probe hot failed\n";
        my ($updates, $last, $committed) = split ' ', $out;
        $self->wait_settled('the hot row');
        my $value = $api->get('/api/v1/namespaces/hot/configmaps/hot')->{body}{data}{value};
        die "the last value is $last, the object has $value\n" if $value ne $last;
        my @sent = defined $position ? $self->requests_since($position) : $self->calls_since($begun);
        push @rate, $updates / $seconds;
        push @share, @sent / $updates;
        push @lag, ($sent[-1] - $committed) / 1000;
    }
    my $median = $self->{median};
    $self->{result}->('actuation.hot_row_requests_per_update', $median->(@share), 'ratio', scalar @share);
    $self->{result}->('actuation.hot_row_lag_ms', $median->(@lag), 'ms', scalar @lag);
    $self->{result}->('actuation.hot_row_updates_per_second', $median->(@rate), 'updates/s', scalar @rate, 1000);
    $node->safe_psql('postgres', 'ALTER SYSTEM RESET fsync');
    $node->safe_psql('postgres', 'DROP TABLE bench.hot');
    $node->reload;
    return;
}

# When the simulator got each PATCH, in µs, since a position of its log.
sub requests_since {
    my ($self, $position) = @_;
    open my $in, '<', $self->{log} or die "$self->{log}: $!";
    seek $in, $position, 0;
    return map { $_->{time} * 1e6 } grep { $_->{method} eq 'PATCH' } map { JSON::PP::decode_json($_) } <$in>;
}

# The same of a server without such a log, by what is on record: when a call was made.
sub calls_since {
    my ($self, $begun) = @_;
    return split /\n/, $self->{node}->safe_psql('postgres', "SELECT extract(epoch FROM at) * 1e6 - latency_ms * 1000 AS sent FROM dbnet.actuation
        WHERE relation = 'bench.hot'::regclass AND at > to_timestamp($begun) ORDER BY sent");
}

# --- one transaction of 10 000 rows ---
sub transaction_10k {
    my ($self) = @_;
    my $node = $self->{node};
    $self->namespace('large');
    my (@commit, @settled, @memory);
    for my $run (1 .. 3) {
        $node->safe_psql('postgres', mirror_sql('one', "bench.large_$run", 'large', "large=r$run"));
        $node->restart;    # a worker that has done nothing yet
        $self->wait_listed;
        my $pid = $self->worker;
        my $before = my $most = private_memory_mb($pid);
        my ($begun, $done) = split /\n/, $node->safe_psql('postgres', qq{BEGIN;
            INSERT INTO bench.large_$run SELECT 'row-$run-' || n, 'value', '{"large": "r$run"}' FROM generate_series(1, 10000) AS n;
            SELECT extract(epoch FROM clock_timestamp());
            COMMIT;
            SELECT extract(epoch FROM clock_timestamp())});
        push @commit, 1000 * ($done - $begun);
        my $out = '';
        my $waits = IPC::Run::start([ 'psql', '-XAtq', $node->connstr('postgres'), '-c', "WITH waited AS MATERIALIZED (SELECT count(*) AS unsettled FROM dbnet.wait_synced('120 s', 'bench.large_$run')) SELECT extract(epoch FROM CASE WHEN unsettled >= 0 THEN clock_timestamp() END), unsettled FROM waited" ], '>', \$out);
        while ($waits->pumpable) {
            $waits->pump_nb;
            my $now = private_memory_mb($pid);
            $most = $now if $now > $most;
            sleep 0.02;
        }
        $waits->finish;
        my ($settled, $left) = $out =~ /^([\d.]+)\|(\d+)$/ or die "wait_synced: $out\n";
        die "$left rows are not settled\n" . $node->diagnostics if $left;
        push @settled, $settled - $done;
        push @memory, $most - $before;
    }
    my $median = $self->{median};
    $self->{result}->('actuation.transaction_10k_commit_ms', $median->(@commit), 'ms', 3);
    $self->{result}->('actuation.transaction_10k_settled_s', $median->(@settled), 's', 3);
    $self->{result}->('actuation.transaction_10k_memory_mb', $median->(@memory), 'MB', 3);
    $node->safe_psql('postgres', join '', map { "DROP TABLE bench.large_$_;" } 1 .. 3);
    return;
}

# --- ten mirrors on each of ten servers, and the same rows in one mirror ---
sub hundred_mirrors {
    my ($self) = @_;
    my ($node, $api) = @{$self}{qw(node api)};
    my @tables;
    for my $server (1 .. $servers) {
        my $sql = $api->create_server("s$server");
        for my $mirror (1 .. $mirrors_each) {
            push @tables, "bench.s${server}_$mirror";
            $sql .= mirror_sql("s$server", $tables[-1], $self->namespace("s$server-$mirror"), 'scale');
        }
        $node->safe_psql('postgres', $sql);
    }
    $node->safe_psql('postgres', mirror_sql('one', 'bench.one', $self->namespace('one'), 'scale'));
    $self->wait_listed;
    if ($self->{wanted}->('scale.')) {
        my (@one, @hundred, @cpu_one, @cpu_hundred);
        for my $run (1 .. 5) {
            my ($rate, $cpu) = $self->actuate($run, 'bench.one');
            push @one, $rate;
            push @cpu_one, $cpu;
            ($rate, $cpu) = $self->actuate($run, @tables);
            push @hundred, $rate;
            push @cpu_hundred, $cpu;
        }
        my $median = $self->{median};
        $self->{result}->('scale.rows_ratio', $median->(map { $hundred[$_] / $one[$_] } 0 .. 4), 'ratio', 5);
        $self->{result}->('scale.rows_per_second', $median->(@hundred), 'rows/s', 5, $median->(@one));
        $self->{result}->('scale.worker_us_per_row', $median->(@cpu_hundred), 'µs of CPU', 5, $median->(@cpu_one));
    }
    if ($self->{wanted}->('idle.')) {
        sleep 10;
        $self->{result}->('idle.hundred_mirrors_cpu_ms_per_minute', $self->{median}->(map { $self->idle_ms } 1 .. 3), 'ms of CPU', 3);
    }
    return;
}

# As many new rows in all, spread over the tables, in one transaction: rows/s and the worker's µs of CPU for each.
sub actuate {
    my ($self, $run, @tables) = @_;
    my $rows = $servers * $mirrors_each * $rows_each;
    my $each = $rows / @tables;
    my $cpu = cpu_seconds($self->worker);
    my $sql = join '', map { qq{INSERT INTO $_ SELECT 'row-$run-' || n, 'value', '{"scale": "yes"}' FROM generate_series(1, $each) AS n;} } @tables;
    $self->{node}->safe_psql('postgres', "BEGIN; $sql COMMIT");
    my $committed = time;
    $self->wait_settled("$rows rows in " . @tables . ' mirrors');
    my $seconds = time - $committed;
    return ($rows / $seconds, 1e6 / $rows * (cpu_seconds($self->worker) - $cpu));
}

# What all processes of DBNet use in a minute, measured in half of one.
sub idle_ms {
    my ($self) = @_;
    my @pids = split /\n/, $self->{node}->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'dbnet %'});
    my %before = map { $_ => cpu_seconds($_) } @pids;
    sleep 30;
    my $used = 0;
    $used += cpu_seconds($_) - $before{$_} for grep { -e "/proc/$_" } @pids;
    return 2 * 1000 * $used;
}

1;
