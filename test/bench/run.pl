# Runs the measurements and writes test/bench/results.json: an array of {name, value, unit, reference, runs, target}.
# Called by test/check.pl --bench with the environment of the tests; its argument limits the run to names with that prefix.
# Each measurement starts from an idle system; ratios pair their runs with the reference's, in turn.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use lib "$ENV{DBNET_TOP}/test/demo", "$ENV{DBNET_TOP}/test/bench";
use Bench::Gateway;
use Bench::Process qw(cpu_seconds private_memory_mb);
use Bench::RollOver;
use Bench::Scale;
use Demo::Example1;
use Demo::Example2;
use Demo::Timeline;
use Demo::Watch;
use IO::Handle;
use IPC::Run ();
use JSON::PP ();
use Time::HiRes qw(sleep time);

open my $terminal, '>&', Test::More->builder->output or die "standard output: $!"; # STDOUT belongs to the harness' log
$terminal->autoflush;
Test::More->builder->output(\*STDOUT);    # and so do the notes of the harness' sessions
my $only = $ARGV[0] // '';
my $probe = "$ENV{DBNET_TOP}/build/bench_probe";
my $request_log;
my (@results, %raw);

sub wanted { my ($name) = @_; return index($name, $only) == 0 || index($only, $name) == 0 }
sub percentile { my ($share, @values) = @_; @values = sort { $a <=> $b } @values; return $values[ int($share * $#values + 0.5) ] }
sub median { return percentile(0.5, @_) }

sub result {
    my ($name, $value, $unit, $runs, $reference) = @_;
    push @results, { name => $name, value => 0 + sprintf('%.4g', $value), unit => $unit, runs => 0 + $runs,
        reference => defined $reference ? 0 + sprintf('%.4g', $reference) : undef, target => target() };
    printf {$terminal} "%-40s %10.4g %-12s %s\n", $name, $value, $unit, defined $reference ? sprintf('(reference %.4g)', $reference) : '';
}

sub run_probe {
    my (@arguments) = @_;
    my ($out, $err);
    IPC::Run::run([ $probe, @arguments ], '>', \$out, '2>', \$err) or die "probe @arguments: $err\n";
    return $out;
}

# --- the system under test: one server, one API ---
my $api;
my $node;

sub target { return $api->kind eq 'simulator' ? 'simulator' : 'cluster' }

sub start {
    $request_log = PostgreSQL::Test::Utils::tempdir('requests') . '/requests.jsonl';
    my @simulator = DBNet::Need::kind() eq 'simulator' ? (arguments => [ '--service-time-ms', 1, '--request-log', $request_log ]) : ();
    $api = DBNet::Api->start(@simulator);
    # PostgreSQL's harness writes every statement into the log.
    $node = DBNet::Cluster->started('bench', fsync => 1, conf => "dbnet.hold_objects = 1000000\ndbnet.hold_minimum = 1000000\nlog_statement = none\nshared_buffers = '256MB'\nmax_wal_size = '4GB'\n");
    $node->safe_psql('postgres', $api->create_server('prod'));
    $node->safe_psql('postgres', 'CREATE SCHEMA bench');
}

sub mirror_config_maps {
    my ($table, $selector) = @_;
    $node->safe_psql('postgres', qq{
        CREATE TABLE bench.$table (namespace text NOT NULL, name text NOT NULL, value text, labels jsonb, PRIMARY KEY (namespace, name));
        SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'bench.$table', label_selector => 'bench=$table', mode => 'manage',
            columns => '{"namespace": "metadata.namespace", "name": "metadata.name", "value": "data.value", "labels": "metadata.labels"}')});
    $node->poll_query_until('postgres', "SELECT state = 'synced' FROM dbnet.mirror_status WHERE relation = 'bench.$table'::regclass") or die "mirror bench.$table did not start";
}

sub worker_cpu { return cpu_seconds($node->worker_pid('mirror worker')) }

# The requests that the simulator saw since a byte position of its log: {path => time received in µs}, newest wins.
sub requests_since {
    my ($position, $method) = @_;
    open my $in, '<', $request_log or die "$request_log: $!";
    seek $in, $position, 0;
    my %seen;
    while (<$in>) {
        my $request = JSON::PP::decode_json($_);
        $seen{ $request->{path} =~ s/\?.*//r } = $request->{time} * 1e6 if $request->{method} eq $method;
    }
    return \%seen;
}

# The same of a server that keeps no such log, by what is on record: when a call was made, without its way to the server.
sub calls_since {
    my ($begun) = @_;
    return { map { split /\|/ } split /\n/, $node->safe_psql('postgres', "SELECT '/api/v1/namespaces/' || namespace || '/configmaps/' || name,
        max(extract(epoch FROM at) * 1e6 - latency_ms * 1000) FROM dbnet.actuation WHERE at > to_timestamp($begun) GROUP BY 1") };
}

# --- rows actuated per second beside a bare libcurl loop ---
sub actuation_rows {
    return if !wanted('actuation.rows_ratio');
    my $count = 5000;
    my (@ours, @bare, @cpu, @bare_cpu);
    mirror_config_maps('throughput', 'bench=throughput');
    for my $run (1 .. 5) {
        my ($seconds, $cpu_seconds) = split ' ', run_probe('bare', $api->url, credential_files(), $count, 64);
        push @bare, $count / $seconds;
        push @bare_cpu, 1e6 / $count * $cpu_seconds;
        delete_bare($count);
        my $start = time;
        my $cpu_before = worker_cpu();
        $node->safe_psql('postgres', "INSERT INTO bench.throughput SELECT 'default', 'throughput-$run-' || n, 'value', '{\"bench\": \"throughput\"}' FROM generate_series(1, $count) AS n");
        my $committed = time;
        settled('throughput', $count);
        push @ours, $count / (time - $committed);
        push @cpu, 1e6 / $count * (worker_cpu() - $cpu_before);
        printf {$terminal} "run %d: %.0f rows/s, bare %.0f requests/s, insert %.2f s\n", $run, $ours[-1], $bare[-1], $committed - $start;
        $raw{insert_seconds} = $committed - $start;
    }
    result('actuation.rows_ratio', median(map { $ours[$_] / $bare[$_] } 0 .. $#ours), 'ratio', scalar @ours, median(@bare));
    result('actuation.rows_per_second', median(@ours), 'rows/s', scalar @ours);
    result('actuation.worker_us_per_row', median(@cpu), 'µs of CPU', scalar @cpu, median(@bare_cpu));
}

# Where the harness has put the PEM files of the kubeconfig.
sub credential_files { return map { $api->directory . "/kubeconfig.$_.pem" } qw(certificate-authority client-certificate client-key) }

sub delete_bare {
    my ($count) = @_;
    $api->request('DELETE', '/api/v1/namespaces/default/configmaps?labelSelector=!bench');
}

# --- commit returned -> request at the server ---
sub commit_to_request {
    return if !wanted('actuation.commit_to_request');
    my $count = 200;
    mirror_config_maps('latency', 'bench=latency');
    $node->safe_psql('postgres', "INSERT INTO bench.latency SELECT 'default', 'latency-' || n, 'value', '{\"bench\": \"latency\"}' FROM generate_series(0, $count - 1) AS n");
    settled('latency', $count);
    one_latency('', $count);
    $node->safe_psql('postgres', "UPDATE bench.latency SET value = 'value'");
    settled('latency', $count);
    $node->safe_psql('postgres', 'CREATE TABLE bench.load (n int, text text)');
    my $rate = '';
    my $load = IPC::Run::start([ $probe, 'load', $node->connstr('postgres'), 200_000, 12 ], '>', \$rate);
    sleep 1;
    one_latency('loaded_', $count);
    $load->finish;
    result('actuation.load_rows_per_second', $rate, 'rows/s', 1);
    $node->safe_psql('postgres', 'DROP TABLE bench.load');
}

sub one_latency {
    my ($infix, $count) = @_;
    my ($position, $begun) = (target() eq 'simulator' ? -s $request_log : undef, time);
    my %committed = map { /^(\S+) (\d+)$/ } split /\n/, run_probe('commits', $node->connstr('postgres'), $count, 20);
    settled('latency', $count);
    my $seen = defined $position ? requests_since($position, 'PATCH') : calls_since($begun);
    my @latencies = map { my $at = $seen->{"/api/v1/namespaces/default/configmaps/$_"}; defined $at ? ($at - $committed{$_}) / 1000 : () } keys %committed;
    die 'requests are missing in the log' if @latencies != $count;
    result("actuation.commit_to_request_${infix}ms_p50", percentile(0.5, @latencies), 'ms', $count);
    result("actuation.commit_to_request_${infix}ms_p99", percentile(0.99, @latencies), 'ms', $count);
}

sub settled {
    my ($table, $count) = @_;
    my $left = $node->safe_psql('postgres', "SELECT count(*) FROM dbnet.wait_synced('60 s', 'bench.$table')");
    die "bench.$table: $left objects are not settled\n" . $node->diagnostics if $left;
}

# --- event at the server -> row visible ---
sub event_to_row {
    return if !wanted('watch.event_to_row_ms_p50');
    my @latencies;
    my $maps = '/api/v1/namespaces/default/configmaps';
    mirror_config_maps('event', 'bench=event');
    my ($seen, $watch) = ('');
    if (target() ne 'simulator') {
        $watch = IPC::Run::start([ $probe, 'watch', $api->url, credential_files(), $maps ], '>', \$seen);
        $watch->pump until $seen =~ /^ready/;
    }
    for my $i (1 .. 100) {
        my $key = "event-$i";
        my $watcher = IPC::Run::start([ $probe, 'rows', $node->connstr('postgres'), 'SELECT FROM bench.event WHERE name = $1', $key, 20 ], '>', \my $out);
        $watcher->pump until $out =~ /ready/;
        $api->create($maps, { metadata => { name => $key, labels => { bench => 'event' } }, data => { value => '1' } });
        $watcher->finish or die "no row for $key";
        my ($visible) = $out =~ /(\d+)\s*$/;
        $watch->pump until !$watch || $seen =~ /^\Q$key\E \d+\n/m;
        push @latencies, ($visible - ($watch ? $seen =~ /^\Q$key\E (\d+)/m && $1 : answered_at())) / 1000;
    }
    $watch->kill_kill if $watch;
    result('watch.event_to_row_ms_p50', median(@latencies), 'ms', scalar @latencies);
    result('watch.event_to_row_ms_p99', percentile(0.99, @latencies), 'ms', scalar @latencies);
}

# When the simulator had made the object: it logs that. Of another server a client that watches tells when the event came.
sub answered_at {
    open my $in, '<', $request_log or die "$request_log: $!";
    my $size = -s $request_log;
    seek $in, $size > 4000 ? $size - 4000 : 0, 0;
    my $at;
    while (<$in>) { my $r = eval { JSON::PP::decode_json($_) } // next; $at = $r->{answered} * 1e6 if $r->{method} eq 'POST' }
    return $at;
}

# --- what the capture trigger costs a backend ---
sub capture_cost {
    return if !wanted('capture.');
    mirror_config_maps('tracked', 'bench=tracked');
    $node->safe_psql('postgres', q{
        SELECT dbnet.alter_mirror('bench.tracked', mode => 'observe');
        CREATE TABLE bench.untracked (LIKE bench.tracked INCLUDING ALL);
        INSERT INTO bench.untracked SELECT 'default', 'row-' || n, '0', '{"bench": "tracked"}' FROM generate_series(1, 1000) AS n;
        INSERT INTO bench.tracked SELECT * FROM bench.untracked;});
    settled('tracked', 1000);
    without_disk(sub {
        extra_cost('capture.one_row_update_us', "UPDATE bench.%s SET value = (value::int + 1)::text WHERE namespace = 'default' AND name = 'row-7'", 1, 500, 30);
        extra_cost('capture.bulk_update_row_us', 'UPDATE bench.%s SET value = (value::int + 1)::text', 1000, 2, 30);
    });
}

# What a backend's work costs, as far as it is its own: each commit writes its WAL itself, or it would wake the WAL writer, and the more
# often the longer it takes; and goes without the disk, whose driver takes several times what is measured.
sub without_disk {
    my ($measure) = @_;
    set_fsync('SET fsync = off', 'off');
    $measure->();
    set_fsync('RESET fsync', 'on');
    $node->safe_psql('postgres', 'CHECKPOINT');
    system('sync') == 0 or die 'sync';    # what was left out is not for the next measurement
}

sub set_fsync {
    my ($change, $value) = @_;
    $node->safe_psql('postgres', "ALTER SYSTEM $change");
    $node->reload;
    $node->poll_query_until('postgres', 'SHOW fsync', $value) or die 'fsync';
}

# The median of what a statement costs more on the tracked table than on the other, in µs of the backend's CPU for each of `$rows` rows.
sub extra_cost {
    my ($name, $statement, $rows, $count, $blocks) = @_;
    my @pairs = map { [ map { 1e6 / $count / $rows * $_ } split ' ' ] } split /\n/,
        run_probe('backend', $node->connstr('postgres'), $count, $blocks, sprintf($statement, 'untracked'), sprintf($statement, 'tracked'));
    result($name, median(map { $_->[1] - $_->[0] } @pairs), 'µs of CPU', $blocks, median(map { $_->[0] } @pairs));
    settled('tracked', 1000);
}

# --- what it costs to have every change on record, beside an audit trigger in PL/pgSQL that records the same facts ---
sub provenance {
    return if !wanted('provenance.');
    $node->safe_psql('postgres', 'CREATE DATABASE provenance');
    $node->safe_psql('provenance', 'CREATE EXTENSION dbnet');
    $node->safe_psql('provenance', slurp("$ENV{DBNET_TOP}/test/bench/audit.sql"));
    my $rows = PostgreSQL::Test::Utils::tempdir('copy') . '/rows';
    PostgreSQL::Test::Utils::append_to_file($rows, qq{1\tnginx:1.29\t{"app": "web", "team": "edge"}\tx\n} x 10_000);
    without_disk(sub {
        provenance_ratio('', 100, 600, 1, 'UPDATE audit.%s SET replicas = replicas + 1 WHERE id = (SELECT 1 + floor(random() * 1000)::int)');
        provenance_ratio('insert_', 1, 7, 10_000, q{INSERT INTO audit.%s (replicas, image, labels, note) SELECT n, 'nginx:1.29', '{"app": "web", "team": "edge"}', 'x' FROM generate_series(1, 10000) AS n});
        provenance_ratio('copy_', 1, 7, 10_000, "COPY audit.%s (replicas, image, labels, note) FROM '$rows'");
        provenance_ratio('update_', 1, 7, 10_000, 'UPDATE audit.%s SET replicas = replicas + 1 WHERE id BETWEEN 1001 AND 11000');
    });
    provenance_clients();
    provenance_calls();
    without_disk(sub { provenance_size(); provenance_questions() });
    $node->safe_psql('postgres', 'DROP DATABASE provenance WITH (FORCE)');
}

sub slurp { return PostgreSQL::Test::Utils::slurp_file($_[0]) }

# Extra CPU of the tracked table ÷ extra CPU of the audited one; and that extra in µs for each of `$rows` rows.
sub provenance_ratio {
    my ($infix, $count, $blocks, $rows, $statement) = @_;
    my @blocks = map { [ split ' ' ] } split /\n/,
        run_probe('backend', $node->connstr('provenance'), $count, $blocks, map { sprintf $statement, $_ } qw(plain tracked audited));
    my $us = 1e6 / $count / $rows;
    # Of blocks that followed each other: how fast the machine is changes more slowly than that.
    my ($tracked, $audited) = map { my $column = $_; median(map { $us * ($_->[$column] - $_->[0]) } @blocks) } 1, 2;
    result("provenance.${infix}extra_cpu_ratio", $tracked / $audited, 'ratio', $blocks, 0.5);
    result("provenance.${infix}extra_us", $tracked, 'µs of CPU', $blocks, $audited);
}

# Eight clients that change rows of one table; and of a mirror, whose rows are sent meanwhile.
sub provenance_clients {
    mirror_config_maps('clients', 'bench=clients');
    $node->safe_psql('postgres', q{INSERT INTO bench.clients SELECT 'default', 'clients-' || n, '0', '{"bench": "clients"}' FROM generate_series(1, 1000) AS n});
    settled('clients', 1000);
    my $script = PostgreSQL::Test::Utils::tempdir('hot') . '/update';
    my %statement = map { $_ => "UPDATE audit.$_ SET replicas = replicas + 1 WHERE id = :id" } qw(plain tracked audited);
    $statement{mirrored} = "UPDATE bench.clients SET value = (value::int + 1)::text WHERE namespace = 'default' AND name = 'clients-' || :id";
    PostgreSQL::Test::Utils::append_to_file("$script.$_", "\\set id random(1, 1000)\n$statement{$_};\n") for keys %statement;
    my %tps;
    for my $run (1 .. 3) {
        for my $table (qw(plain tracked audited mirrored)) {
            my ($database, $out) = $table eq 'mirrored' ? 'postgres' : 'provenance';
            IPC::Run::run([ 'pgbench', '-n', '-M', $table eq 'mirrored' ? 'simple' : 'prepared', '-c', 8, '-j', 2, '-T', 4, '-f', "$script.$table", $node->connstr($database) ], '>', \$out) or die "pgbench: $out";
            push @{ $tps{$table} }, $out =~ /tps = ([\d.]+)/;
        }
        settled('clients', 1000);
    }
    result('provenance.clients_8_mirror_tps', median(@{ $tps{mirrored} }), 'tps', 3);
    result('provenance.clients_8_tps', median(@{ $tps{tracked} }), 'tps', 3, median(@{ $tps{audited} }));
    result('provenance.clients_8_untracked_tps', median(@{ $tps{plain} }), 'tps', 3);
}

# A call of a PL/pgSQL function that changes nothing, with and without a frame.
sub provenance_calls {
    my $statement = 'SELECT count(audit.no_op(n)) FROM generate_series(1, 100000) AS n';
    my (@on, @off);
    for my $run (1 .. 7) {
        push @on, split /\n/, run_probe('backend', $node->connstr('provenance'), 1, 3, $statement);
        push @off, split /\n/, run_probe('backend', $node->connstr('provenance') . q{ options='-c dbnet.provenance=off'}, 1, 3, $statement);
    }
    result('provenance.call_us', 10 * (median(@on) - median(@off)), 'µs of CPU', scalar @on, 0.5);
}

sub bytes_on_record {
    return $node->safe_psql('provenance', q{SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relnamespace = 'dbnet'::regnamespace AND relkind = 'r' AND relname ~ '^(activity|entity_version|session|code|used_version)'});
}

sub events_on_record { return $node->safe_psql('provenance', 'SELECT sum(events) FROM dbnet.transaction') }

# Bytes, with indexes, of each event: in transactions of one row, and of 10 000.
sub provenance_size {
    my ($bytes, $events) = (bytes_on_record(), events_on_record());
    run_probe('backend', $node->connstr('provenance'), 20_000, 1, 'UPDATE audit.tracked SET replicas = replicas + 1 WHERE id = (SELECT 1 + floor(random() * 1000)::int)');
    my ($bytes_single, $events_single) = (bytes_on_record(), events_on_record());
    result('provenance.bytes_per_event', ($bytes_single - $bytes) / ($events_single - $events), 'bytes', $events_single - $events, 350);
    run_probe('backend', $node->connstr('provenance'), 10, 1, 'UPDATE audit.tracked SET replicas = replicas + 1 WHERE id BETWEEN 1001 AND 11000');
    result('provenance.bulk_bytes_per_event', (bytes_on_record() - $bytes_single) / (events_on_record() - $events_single), 'bytes', events_on_record() - $events_single, 350);
}

# One million events of a table of 10 000 rows, and a chain of eight changes that triggers made.
sub provenance_questions {
    my $first = $node->safe_psql('provenance', q{
        INSERT INTO audit.asked (id, replicas, image, labels, note) SELECT n, 1, 'nginx:1.29', '{"app": "web", "team": "edge"}', 'x' FROM generate_series(1, 10000) AS n;
        SELECT max(id) FROM dbnet.transaction});
    run_probe('backend', $node->connstr('provenance'), 50, 1, 'UPDATE audit.asked SET replicas = replicas + 1'); # twice: for the caches, and for the measurement
    $node->safe_psql('provenance', 'INSERT INTO audit.chain_1 VALUES (1, 1); ANALYZE');
    my $events = events_on_record();
    my $ms = sub { my ($count, $blocks, $statement) = @_; return median(map { 1000 * $_ / $count } split /\n/, run_probe('backend', $node->connstr('provenance'), $count, $blocks, $statement)) };
    my $depth = $node->safe_psql('provenance', q{SELECT count(*) FROM dbnet.why('audit.chain_8', '1') AS line WHERE line ~ ' row '});
    die "the chain has $depth changes" if $depth != 8;
    result('provenance.why_ms', $ms->(20, 5, q{SELECT count(*) FROM dbnet.why('audit.chain_8', '1')}), 'ms of CPU', $events, 10);
    result('provenance.history_ms', $ms->(20, 5, q{SELECT count(*) FROM dbnet.history('audit.asked', '77')}), 'ms of CPU', $events);
    result('provenance.as_of_ms', $ms->(1, 5, "SELECT count(*) FROM dbnet.as_of('audit.asked'::regclass, $first)"), 'ms of CPU', $events, 1000);
    result('provenance.gaps_ms', $ms->(1, 3, q{SELECT count(*) FROM dbnet.gaps('audit.asked')}), 'ms of CPU', $events, 2000);
    result('provenance.verify_ms', $ms->(1, 3, 'SELECT count(*) FROM dbnet.verify()'), 'ms of CPU', $events, 2000);
    result('provenance.why_not_ms', $ms->(1, 3, q{SELECT count(*) FROM dbnet.why_not('audit.chain_8', '77')}), 'ms of CPU', $events);
}

# --- policies: from the commit of telemetry to the call of the action, idle and while two sessions do nothing but ingest ---
sub policies {
    return if !wanted('policy.');
    $node->safe_psql('postgres', 'CREATE DATABASE policy');
    $node->safe_psql('policy', 'CREATE EXTENSION dbnet');
    $node->safe_psql('policy', PostgreSQL::Test::Utils::slurp_file("$ENV{DBNET_TOP}/test/bench/policy.sql"));
    $node->worker_pid('policy worker', database => 'policy');
    policy_reaction('warm', 20);
    my @idle = policy_reaction('idle', 100);
    my @sessions = map { my $session = $node->background_psql('policy'); $session->{stdin} .= "CALL bench.load($_);\n"; $session->{run}->pump_nb; $session } 1 .. 2;
    my $before = $node->safe_psql('policy', 'SELECT coalesce(sum(count), 0) FROM otel.span_pane WHERE rule = 0');
    my $start = time;
    my @loaded = policy_reaction('loaded', 100);
    my $rate = ($node->safe_psql('policy', 'SELECT sum(count) FROM otel.span_pane WHERE rule = 0') - $before) / (time - $start);
    $node->safe_psql('policy', 'INSERT INTO bench.stop DEFAULT VALUES');
    $_->quit for @sessions;
    result('policy.react_ms_p50', percentile(0.5, @idle), 'ms', scalar @idle);
    result('policy.react_ms_p99', percentile(0.99, @idle), 'ms', scalar @idle, 50);
    result('policy.react_loaded_ms_p50', percentile(0.5, @loaded), 'ms', scalar @loaded);
    result('policy.react_loaded_ms_p99', percentile(0.99, @loaded), 'ms', scalar @loaded, 250);
    result('policy.react_load', $rate, 'spans/s', scalar @loaded);
    $node->safe_psql('postgres', 'DROP DATABASE policy WITH (FORCE)');
}

# Milliseconds, one per node that turned bad.
sub policy_reaction {
    my ($name, $nodes) = @_;
    $node->safe_psql('policy', "CALL bench.turn_bad('$name', $nodes)");
    $node->poll_query_until('policy', "SELECT count(*) = $nodes FROM bench.called WHERE node LIKE '$name%'") or die "actions of '$name' were not called";
    return split /\n/, $node->safe_psql('policy', "SELECT extract(epoch FROM c.at - s.at) * 1000 FROM bench.sent AS s JOIN bench.called AS c USING (node) WHERE node LIKE '$name%'");
}

# --- the paper's Example 1, on servers of its own: see test/demo ---
sub paper {
    return if !wanted('paper.');
    client_api_setup() if wanted('paper.client_api_ratio');
    return if !grep { wanted("paper.$_") } qw(setup example1_ms example2_ms);
    my $cluster = DBNet::Api->start(node_ready_delay_ms => 50, pods_running => 1);
    my $database = DBNet::Cluster->started('paper', fsync => 1, conf => "track_commit_timestamp = on\n");
    my $example = Demo::Example1->new($database, $cluster);
    paper_setup($database, $example) if wanted('paper.setup');
    my $watch;
    if (wanted('paper.example1_ms') || wanted('paper.example2_ms')) {
        $example->set_up;
        $watch = Demo::Watch->start($cluster);
        $example->insert_devices;
    }
    paper_example1($example, $watch) if wanted('paper.example1_ms');
    paper_example2($example, $watch) if wanted('paper.example2_ms');
    $watch->stop if $watch;
    $example->close;
    $database->stop;
    $cluster->stop;
}

# The same tables, procedures and triggers in a database with the extension and in one without.
sub paper_setup {
    my ($database, $example) = @_;
    my %ms;
    my $clock = 'SELECT extract(epoch FROM clock_timestamp());';
    $database->safe_psql('postgres', 'CREATE ROLE telemetry');
    for my $run (1 .. 7) {
        for my $kind (qw(bare dbnet)) {
            $database->safe_psql('postgres', 'CREATE DATABASE paper');
            $database->safe_psql('paper', 'CREATE EXTENSION dbnet') if $kind eq 'dbnet';
            $database->safe_psql('postgres', 'CHECKPOINT');
            my @clock = split /\n/, $database->safe_psql('paper', join "\n", $clock, (map { '\i ' . $example->sql_file($_) } qw(tables policy)), $clock);
            push @{ $ms{$kind} }, 1000 * ($clock[-1] - $clock[0]);
            $database->safe_psql('postgres', 'DROP DATABASE paper WITH (FORCE)');
        }
    }
    $database->safe_psql('postgres', 'DROP ROLE telemetry');
    result('paper.setup_ms', median(@{ $ms{dbnet} }), 'ms', 7, 350);
    result('paper.setup_ratio', median(map { $ms{dbnet}[$_] / $ms{bare}[$_] } 0 .. 6), 'ratio', 7, median(@{ $ms{bare} }));
}

# The paper's counts (7 schemas, 7 tables, 9 procedures, 5 triggers) through dbnet.create_…() and as plain statements, in the
# same database, each a transaction.
sub client_api_setup {
    my $database = DBNet::Cluster->started('client_api', fsync => 1);
    my (@plain, @api);
    for my $i (1 .. 7) {
        push @plain, "CREATE SCHEMA s$i";
        push @api,   "SELECT dbnet.create_schema('s$i')";
    }
    for my $i (1 .. 7) {
        push @plain, "CREATE TABLE s$i.t (name text PRIMARY KEY, zone text NOT NULL, cpu numeric DEFAULT 0 CHECK (cpu >= 0), traffic double precision)";
        push @api,   qq{SELECT dbnet.create_table('s$i.t', '[{"name": "name", "type": "text", "primary_key": true}, {"name": "zone", "type": "text", "not_null": true},
            {"name": "cpu", "type": "numeric", "default": "0", "check": "cpu >= 0"}, {"name": "traffic", "type": "double precision"}]')};
    }
    for my $i (1 .. 9) {
        my $schema = 's' . ($i > 7 ? $i - 7 : $i);
        my ($returns, $body) = $i <= 5 ? ('trigger', "BEGIN UPDATE $schema.t SET cpu = 1 WHERE name = NEW.zone; RETURN NULL; END") : (undef, "BEGIN UPDATE $schema.t SET cpu = 0; END");
        push @plain, $returns ? "CREATE FUNCTION $schema.p$i() RETURNS trigger LANGUAGE plpgsql AS '$body'" : "CREATE PROCEDURE $schema.p$i() LANGUAGE plpgsql AS '$body'";
        push @api, "SELECT dbnet.create_procedure('$schema.p$i', '$body'" . ($returns ? ", returns => 'trigger'" : '') . ')';
    }
    for my $i (1 .. 5) {
        push @plain, "CREATE TRIGGER g AFTER UPDATE ON s$i.t FOR EACH ROW WHEN (NEW.traffic > 100) EXECUTE FUNCTION s$i.p$i()";
        push @api,   "SELECT dbnet.create_trigger('g', 's$i.t', 's$i.p$i', '[\"update\"]', condition => 'NEW.traffic > 100')";
    }
    my $clock = 'SELECT extract(epoch FROM clock_timestamp())';
    my %ms;
    for my $run (1 .. 9) {
        for my $kind ($run % 2 ? qw(plain api) : qw(api plain)) {
            $database->safe_psql('postgres', 'CHECKPOINT');
            my @clock = split /\n/, $database->safe_psql('postgres', join ";\n", $clock, ($kind eq 'api' ? @api : @plain), $clock);
            push @{ $ms{$kind} }, 1000 * ($clock[-1] - $clock[0]);
            $database->safe_psql('postgres', join ' ', map { "DROP SCHEMA s$_ CASCADE;" } 1 .. 7);
        }
    }
    result('paper.client_api_ratio', median(map { $ms{api}[$_] / $ms{plain}[$_] } 0 .. 8), 'ratio', 9, median(@{ $ms{plain} }));
    $database->stop;
}

# DBNet's and PostgreSQL's own time from the traffic that is too much to the metrics recalculated with the new node.
sub paper_example1 {
    my ($example, $watch) = @_;
    my @own;
    for my $run (1 .. 10) {
        $example->send_traffic(300);
        my $timeline = Demo::Timeline->new($example, $watch, $example->send_traffic(384));
        push @own, $timeline->own_ms;
        $example->send_traffic(300);
        $example->as_sre("BEGIN; DELETE FROM net.nodes WHERE name = '$timeline->{node}'; UPDATE net.autoscalers SET replicas = 3;
            CALL policy.rebalance('" . $example->pool . "'); COMMIT");
        $example->settle;
        $example->wait_for('SELECT nodes_ready = 3 AND pods_running = 3 AND (SELECT pods_ready = 3 FROM net.autoscalers) FROM metrics.pools', 'three nodes again');
    }
    result('paper.example1_ms', median(@own), 'ms', scalar @own, 27);
}

# The same of Example 2: from the exporter's request, whose spans make a policy act, to the first request to the cluster;
# and from the new node's readiness, as a watch of the bench's own shows it, to the commit of its row. What the cluster
# does in between (pods that leave, a machine that starts) is not DBNet's.
sub paper_example2 {
    my ($example, $watch) = @_;
    my $replacement = Demo::Example2->new($example);
    $replacement->set_up;
    $example->as_sre("SELECT dbnet.alter_policy(name, max_actions => 100) FROM unnest(ARRAY['node errors', 'node latency']) AS policy(name)");
    my (@own, @reaction);    # ten nodes in a minute would be a mass change, and held
    for my $run (1 .. 8) {
        my ($old) = split /\n/, $example->query('SELECT name FROM net.nodes WHERE pool IS NOT NULL ORDER BY name LIMIT 1');
        my $sent = $replacement->send_spans_at($old, count => 100, errors => 60, milliseconds => 700);
        $watch->wait_for_new_node($example->{api}, $sent);
        my $report = $replacement->replaced($old);
        $replacement->wait_until_replaced($report);
        my $called = $example->query("SELECT extract(epoch FROM min(at - latency_ms * interval '1 ms')) FROM dbnet.actuation WHERE transaction = '$report->{transaction}'");
        my $ready;
        $example->{api}->wait_until(sub { $ready = $watch->ready_at($report->{new}, $sent) }, "the watch has shown $report->{new} Ready");
        my $counted = $example->query("SELECT extract(epoch FROM min(at)) FROM dbnet.history('net.nodes', '$report->{new}') WHERE new ->> 'ready' = 'True'");
        push @reaction, 1000 * ($called - $sent);
        # The watch of the bench can be later than DBNet's.
        push @own, $reaction[-1] + 1000 * ($counted > $ready ? $counted - $ready : 0);
    }
    result('paper.example2_ms', median(@own), 'ms', scalar @own, 45);
    result('paper.example2_reaction_ms', median(@reaction), 'ms', scalar @reaction);
}

# --- decoding telemetry, without a server: nanoseconds ---
sub telemetry_decode {
    return if !wanted('telemetry.decode');
    my $out;
    IPC::Run::run([ "$ENV{DBNET_TOP}/build/bench_telemetry" ], '>', \$out) or die "bench_telemetry failed\n";
    for (split /\n/, $out) {
        my ($name, $value) = split ' ';
        result("telemetry.decode.$name", $value, $name =~ /bytes/ ? 'B' : 'ns', 20);
    }
}

# --- import of a large mirror beside the server's own list ---
sub import_objects {
    return if !wanted('import.');
    my ($count, $list) = (50_000, '/api/v1/namespaces/import/configmaps');
    $node->safe_psql('postgres', 'SELECT dbnet.unmirror(relation) FROM dbnet.mirrored_relation'); # which a restarted worker would compare meanwhile
    $api->expect_success($api->create('/api/v1/namespaces', { metadata => { name => 'import' } }));
    run_probe('fill', $api->url, credential_files(), $count, 1000);
    my (@ours, @list, @memory, @cpu);
    for my $run (1 .. 3) {
        $node->restart; # a worker that has imported nothing yet
        my $session = $node->background_psql('postgres');
        my ($seconds, $objects) = split ' ', run_probe('list', $api->url, credential_files(), $list);
        die "the list has $objects objects" if $objects < $count;    # controllers may add some
        push @list, $seconds;
        my $pid = $node->safe_psql('postgres', "SELECT pid FROM dbnet.worker WHERE process = 'mirror worker'");
        my ($cpu, $before) = (worker_cpu(), private_memory_mb($pid));
        my $most = $before;
        my $start = time;
        $node->safe_psql('postgres', qq{
            CREATE TABLE bench.import (name text PRIMARY KEY, labels jsonb, value text);
            SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'bench.import', namespace => 'import',
                columns => '{"name": "metadata.name", "value": "data.value", "labels": "metadata.labels"}')});
        while ($session->query_safe("SELECT count(*) FROM dbnet.mirror_state WHERE relation = 'bench.import'::regclass AND state = 'synced'") ne '1') {
            my $now = private_memory_mb($pid);
            $most = $now if $now > $most;
            die "the import did not end\n" . $node->diagnostics if time - $start > 300;
            sleep 0.02;
        }
        push @ours, time - $start;
        push @memory, $most - $before;
        push @cpu, 1e6 / $count * (worker_cpu() - $cpu);
        my $rows = $node->safe_psql('postgres', 'SELECT count(*) FROM bench.import');
        die "$rows rows of $objects were imported" if $rows != $objects;
        $node->safe_psql('postgres', 'DROP TABLE bench.import; VACUUM dbnet.object');
        $session->quit;
    }
    result('import.objects_50k_s', median(@ours), 's', scalar @ours, median(@list));
    result('import.list_50k_s', median(@list), 's', scalar @list);
    result('import.memory_mb', median(@memory), 'MB', scalar @memory);
    result('import.worker_us_per_object', median(@cpu), 'µs of CPU', scalar @cpu);
    $api->request('DELETE', $list);
}

# --- telemetry through a SQL function beside binary COPY of the same rows into the same table, a transaction each ---
sub telemetry_ingest {
    for my $encoding (qw(protobuf json jsonb)) {
        for my $spans (1, 10, 100, 1000) {
            next if !wanted("otlp.${encoding}_copy_ratio_$spans");
            my $requests = { 1 => 1000, 10 => 500, 100 => 200, 1000 => 40 }->{$spans};
            my @blocks = map { [split] } split /\n/, run_probe('telemetry', $node->connstr('postgres'), $encoding, $spans, $requests, 7);
            my $number = $spans * $requests;
            result("otlp.${encoding}_copy_ratio_$spans", median(map { $_->[1] / $_->[0] } @blocks), 'ratio', scalar @blocks, $number / median(map { $_->[1] } @blocks));
            result("otlp.${encoding}_spans_per_second_$spans", $number / median(map { $_->[0] } @blocks), 'spans/s', scalar @blocks);
            result("otlp.${encoding}_us_per_span_$spans", 1e6 / $number * median(map { $_->[2] } @blocks), 'µs of CPU', scalar @blocks, 1e6 / $number * median(map { $_->[3] } @blocks));
        }
    }
}

start();
paper();
actuation_rows();
commit_to_request();
event_to_row();
capture_cost();
provenance();
telemetry_ingest();
policies();
import_objects();
# What follows has servers of its own, and would wait for the cores and the disk that these still want.
$node->stop;
$api->stop;
Bench::Scale::run(wanted => \&wanted, result => \&result, median => \&median);
Bench::Gateway::run(wanted => \&wanted, result => \&result, median => \&median, percentile => \&percentile);
Bench::RollOver::run(wanted => \&wanted, result => \&result, median => \&median);
telemetry_decode();

# A part replaces its own results and leaves the others.
my $file = "$ENV{DBNET_TOP}/test/bench/results.json";
my %is_new = map { ("$_->{name} $_->{target}" => 1) } @results;
my $known = -e $file ? JSON::PP->new->decode(slurp($file)) : [];
my @all = ((grep { !$is_new{"$_->{name} $_->{target}"} } @$known), @results);
open my $out, '>', $file or die "$file: $!";
print $out JSON::PP->new->canonical->pretty->encode(\@all);
