# The feed needs nothing of the WAL's configuration: wal_level minimal, compression, other segment sizes, checksums.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Feed;
use Test::More;

sub check {
    my ($feed, $name) = @_;
    $feed->sql(q{BEGIN; TRUNCATE net.nodes; INSERT INTO net.nodes VALUES ('one'); COMMIT});
    $feed->is('I |one', "$name: in a transaction whose data bypasses the WAL at wal_level minimal");
    $feed->sql(q{CHECKPOINT; UPDATE net.nodes SET labels = '1'});
    $feed->is('U |one', "$name: after a checkpoint, beside full page images");
    $feed->sql(q{BEGIN; DELETE FROM net.nodes; PREPARE TRANSACTION 'p'});
    $feed->is('', "$name: prepared");
    $feed->sql(q{COMMIT PREPARED 'p'});
    $feed->is('D |one', "$name: and committed");
    $feed->sql(q{INSERT INTO net.nodes SELECT i::text FROM generate_series(1, 5000) i});
    is($feed->poll(q{concat_ws(' ', count(*), count(DISTINCT name), count(DISTINCT xid))}), '5000 5000 1', "$name: a big transaction");
    is($feed->state('compare_due OR lost > 0'), 'f', "$name: nothing was missed");
}

my $node = DBNet::Cluster->started('minimal',
    conf => "wal_level = minimal\nmax_wal_senders = 0\nmax_prepared_transactions = 5\nwal_compression = off");
my $feed = DBNet::Feed->new($node)->start;
check($feed, 'minimal');
$feed->quit;

$node->append_conf('postgresql.conf', "wal_level = logical\nwal_compression = on\nwal_log_hints = on");
$node->restart;
$feed = DBNet::Feed->new($node, create => 0)->start;
check($feed, 'logical, compressed');
$feed->quit;
$node->no_crash_in_log;
$node->stop;

my $big = DBNet::Cluster->started('segments', extra => [ '--wal-segsize=64', '--data-checksums' ], conf => 'max_prepared_transactions = 5');
$feed = DBNet::Feed->new($big)->start;
check($feed, 'replica, segments of 64 MB');
$feed->quit;
$big->no_crash_in_log;
done_testing();
