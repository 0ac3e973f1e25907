# 100 000 changes through a mirror, to the server and back: the memory and the descriptors of the mirror worker end where
# they were after the first tenth.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use DBNet::Need;
use Test::More;

DBNet::Need::need('own_servers');

my ($objects, $rounds) = (500, 200);
my $allowed_growth = 2048;      # kB: 23 bytes for each change would fail
my $allowed_descriptors = 20;   # the pool's connections come and go; one left open in 1000 requests would make 90

my $node = DBNet::Cluster->started('memory', conf => "dbnet.hold_objects = 100000\ndbnet.hold_minimum = 100000");
my $api = DBNet::Api->start;
my $mirrors = DBNet::Mirrors->new($node, $api);
my $pid = $node->worker_pid('mirror worker');

# Private memory, in kB: shared buffers would count as growth until each page was touched.
sub memory {
    open my $in, '<', "/proc/$pid/status" or die "the worker $pid is gone: $!\n";
    my ($size) = map { /^RssAnon:\s+(\d+) kB/ } <$in>;
    return $size;
}
sub descriptors { my @open = glob "/proc/$pid/fd/*"; return scalar @open }

$node->psql_ok(qq{INSERT INTO net.configs (name, data) SELECT 'c' || i, '{"round": "0"}' FROM generate_series(1, $objects) AS i}, 'insert');
is($mirrors->wait_synced, '', 'all are created');

my (@memory, $open_before);
for my $round (1 .. $rounds) {
    $node->safe_psql('postgres', qq{UPDATE net.configs SET data = jsonb_build_object('round', '$round', 'text', repeat(name, 50))});
    $node->safe_psql('postgres', q{SELECT count(*) FROM dbnet.wait_synced('60 s')}) eq '0' or die "round $round is not settled\n" . $node->diagnostics;
    next if $round % ($rounds / 10);
    push @memory, memory();
    $open_before //= descriptors();
    note("after $round rounds: $memory[-1] kB");
}
is($mirrors->config("c$objects")->{data}{round}, $rounds, 'the last change arrived');
is($node->worker_pid('mirror worker'), $pid, 'it is the same worker all the time');
cmp_ok($memory[-1] - $memory[0], '<', $allowed_growth, "its memory is flat (kB after each tenth: @memory)");
cmp_ok(descriptors(), '<', $open_before + $allowed_descriptors, 'descriptors do not pile up');
$node->no_crash_in_log;
done_testing();
