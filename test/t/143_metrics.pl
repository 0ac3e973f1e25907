# What /metrics counts of mirrors and of what is on record beside telemetry, by what was done: watches' events, calls to
# devices, events of provenance, with their durations. Names, types and helps are what Prometheus wants.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Gateway;
use DBNet::Mirrors;
use DBNet::Wait qw(wait_until);
use Test::More;

my $api = DBNet::Api->start;
my $node = DBNet::Cluster->started('metrics');
my $gateway = DBNet::Gateway->open($node);

# All samples: {series => value}.
sub metrics {
    my %value = map { /^([a-z]\S*) (\S+)$/ ? ($1 => $2) : () } split /\n/, $gateway->get('/metrics')->{body};
    return \%value;
}

# Waits until each of these series is so much above what it was: what is done is counted a moment after it shows.
sub grows {
    my ($before, $name, %by) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $now;
    my $grown = sub { return join ' ', map { "$_ " . ($now->{$_} - ($before->{$_} // 0)) } sort keys %by };
    my $wanted = join ' ', map { "$_ $by{$_}" } sort keys %by;
    wait_until(sub { $now = metrics(); return $grown->() eq $wanted });
    return is($grown->(), $wanted, $name);
}

# Before there are mirrors: what these record comes at any time.
subtest 'what is put on record' => sub {
    $node->psql_ok(q{CREATE TABLE notes (id int PRIMARY KEY); SELECT dbnet.track('notes')}, 'a table');
    my $before = metrics();
    my $newest = $node->safe_psql('postgres', 'SELECT max(id) FROM dbnet.transaction');
    $node->psql_ok('INSERT INTO notes SELECT generate_series(1, 100)', 'a hundred rows');
    $node->psql_ok('BEGIN; INSERT INTO notes VALUES (0); ROLLBACK', 'one that is not committed');
    my $events = $node->safe_psql('postgres', "SELECT events FROM dbnet.transaction WHERE id > $newest");
    cmp_ok($events, '>=', 100, 'are on record in one transaction');
    grows($before, 'counted', dbnet_provenance_events_total => $events, dbnet_provenance_write_duration_seconds_count => 1, dbnet_provenance_failures_total => 0);
};

my $mirrors = DBNet::Mirrors->new($node, $api);

sub watch { my (%counts) = @_; return map { (qq{dbnet_watch_events_total{type="$_"}} => $counts{$_} // 0) } qw(added modified deleted) }

subtest 'what watches bring' => sub {
    my $path = "/api/v1/namespaces/" . $api->namespace . '/configmaps';
    my ($added, $recorded) = ('dbnet_watch_events_total{type="added"}', 'dbnet_watch_record_duration_seconds_count');
    # What comes at first may be in a list.
    my $made = 0;
    ok(wait_until(sub {
        $made++;
        $api->expect_success($api->create($path, { metadata => { name => "early-$made", labels => $api->labels } }));
        return metrics()->{$added} > 0;
    }), 'watches run');
    $node->wait_for('SELECT count(*) FROM net.configs', 'all of that has come', expected => $made);
    ok(wait_until(sub { my $now = metrics(); return $now->{$added} == $now->{$recorded} }), 'and is counted');
    my $before = metrics();
    $api->expect_success($api->create($path, { metadata => { name => 'seen', labels => $api->labels }, data => { a => '1' } }));
    $node->wait_for(q{SELECT data ->> 'a' = '1' FROM net.configs WHERE name = 'seen'}, 'an object');
    grows($before, 'added', watch(added => 1), $recorded => 1);
    for my $value (2, 3) {
        $api->expect_success($api->patch("$path/seen", { data => { a => "$value" } }));
        $node->wait_for("SELECT data ->> 'a' = '$value' FROM net.configs WHERE name = 'seen'", "changed to $value");
    }
    grows($before, 'modified', watch(added => 1, modified => 2), $recorded => 3);
    $api->expect_success($api->delete("$path/seen"));
    $node->wait_for(q{SELECT count(*) FROM net.configs WHERE name = 'seen'}, 'gone', expected => '0');
    grows($before, 'deleted', watch(added => 1, modified => 2, deleted => 1), $recorded => 4);
    cmp_ok(metrics()->{dbnet_watch_record_duration_seconds_sum}, '>', 0, 'and it took a while');
};

subtest 'calls to devices' => sub {
    my $before = metrics();
    $node->psql_ok($mirrors->config_row('made', { a => '1' }), 'a row');
    is($mirrors->wait_synced, '', 'is sent');
    my $labels = '{operation="apply",status="201"}';
    grows($before, 'counted', "dbnet_actuations_total$labels" => 1, "dbnet_actuation_duration_seconds_count$labels" => 1);
};

subtest 'as Prometheus wants it' => sub {
    my $text = $gateway->get('/metrics')->{body};
    my (%help, %type, %seen, %bucket);
    for my $line (split /\n/, $text) {
        if ($line =~ /^# HELP (\S+) \S.*\.$/) { ok(!$help{$1}++, "one HELP of $1"); next }
        if (my ($family, $kind) = $line =~ /^# TYPE (\S+) (counter|gauge|histogram)$/) {
            $type{$family} = $kind;
            ok($help{$family}, "HELP before TYPE of $family");
            is($family =~ /_total$/ ? 1 : 0, $kind eq 'counter' ? 1 : 0, "counters alone are called _total: $family");
            like($family, qr/_seconds$/, "unit of $family") if $kind eq 'histogram';
            like($family, qr/^dbnet_[a-z_]+$/, "name $family");
            next;
        }
        my ($name, $labels, $value) = $line =~ /^([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)+\})? (\S+)$/ or fail("no sample: $line");
        ok(!$seen{ $name . ($labels // '') }++, "once: $name" . ($labels // ''));
        my $family = $name =~ s/_(?:bucket|sum|count)$//r;
        ok(($type{$name} // '') =~ /counter|gauge/ || ($type{$family} // '') eq 'histogram', "TYPE before $name");
        next if $name !~ /_bucket$/;
        my ($others, $bound) = $labels =~ /^\{(.*?),?le="(.*)"\}$/;
        my $last = $bucket{"$family $others"} //= 0;
        cmp_ok($value, '>=', $last, "$family: as many up to $bound") if $value < $last;
        $bucket{"$family $others"} = $value;
        like($text, qr/^\Q${family}_count\E(?:\{\Q$others\E\})? $value$/m, "$family: all up to infinity") if $bound eq '+Inf';
    }
    ok($type{$_}, $_) for qw(dbnet_gateway_requests_total dbnet_gateway_accepted_items_total dbnet_gateway_commit_duration_seconds
        dbnet_actuations_total dbnet_actuation_duration_seconds dbnet_watch_events_total dbnet_watch_record_duration_seconds dbnet_kubernetes_events_total
        dbnet_provenance_events_total dbnet_provenance_write_duration_seconds dbnet_provenance_failures_total);
};

$node->no_crash_in_log;
$node->stop;
$api->stop;
done_testing();
