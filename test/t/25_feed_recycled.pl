# WAL that is gone before it was read: nothing holds it back for the tail, so that must end in a compare and go on.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Feed;
use Test::More;

my $node = DBNet::Cluster->started('recycled', extra => ['--wal-segsize=1'],
    conf => "max_prepared_transactions = 5\nmin_wal_size = '2MB'\nmax_wal_size = '2MB'\nwal_keep_size = 0");
my $feed = DBNet::Feed->new($node)->start;
my $segment = sub { $node->safe_psql('postgres', "SELECT pg_walfile_name('$_[0]')") };

# Writes WAL until the segment of this position is no longer there; with `reuse`, until its file serves a later position.
sub recycle {
    my ($lsn) = @_;
    my $file = $node->data_dir . '/pg_wal/' . $segment->($lsn);
    for (1 .. 100) {
        $node->safe_psql('postgres', q{SELECT pg_logical_emit_message(false, 'noise', repeat('x', 1000000)) FROM generate_series(1, 4)}) ;
        $node->safe_psql('postgres', 'CHECKPOINT');
        last if !-e $file;
    }
    ok(!-e $file, 'the segment is gone');
    # Recycled files are renamed for later positions and written over only then.
    $node->safe_psql('postgres', q{SELECT pg_logical_emit_message(false, 'noise', repeat('x', 1000000)) FROM generate_series(1, 12)});
}

# --- a file that is not there ---
$feed->sql(q{INSERT INTO net.nodes VALUES ('seen')});
$feed->is('I |seen', 'the tail reads');
$feed->sql(q{BEGIN; INSERT INTO net.nodes VALUES ('before the gap'); PREPARE TRANSACTION 'before'});
$feed->is('', 'a message before the gap is read');
$feed->sql('SELECT pg_switch_wal()');    # the segment that the tail has open stays readable
my $gap = $node->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
$feed->sql(q{INSERT INTO net.nodes VALUES ('in the gap')});
$feed->sql(q{BEGIN; INSERT INTO net.nodes VALUES ('in the gap 2'); PREPARE TRANSACTION 'inside'});
recycle($gap);
my $end = $feed->flushed;
$feed->is('', 'what was in the gap is not seen');
is($feed->state(q{compare_due || ' ' || lost}), 'true 1', 'a compare is due');
$feed->has_reached($end, 'the tail stands at the end of the WAL');
$feed->sql(q{INSERT INTO net.nodes VALUES ('after the gap')});
$feed->is('I |after the gap', 'and goes on');
is($feed->state(q{compare_due || ' ' || lost}), 'false 1', 'without another compare');
$feed->sql(q{COMMIT PREPARED 'before'});
$feed->is('', 'the messages before the gap were forgotten');
$feed->is_compare_due(1, 'so their transaction asks for a compare');
$feed->sql(q{COMMIT PREPARED 'inside'});
$feed->is('', 'messages in the gap were not read');
$feed->is_compare_due(1, 'so their transaction asks for a compare too');

# --- started at a position that is gone ---
my $fresh = DBNet::Feed->new($node, create => 0)->start($gap);
$fresh->is('', 'started at a position whose segment is gone');
is($fresh->state(q{compare_due || ' ' || lost}), 'true 1', 'a compare is due');
$feed->sql(q{INSERT INTO net.nodes VALUES ('fresh')});
$fresh->is('I |fresh', 'and it goes on');
$fresh->quit;

# --- a file that holds something else by now ---
# The segment is overwritten in place with a later one, as recycling does, while the tail has it open.
$feed->poll;
my $at = $feed->state('at');
my $file = $node->data_dir . '/pg_wal/' . $segment->($at);
my ($offset) = $node->safe_psql('postgres', "SELECT file_offset FROM pg_walfile_name_offset('$at')");
ok(length $offset, "the tail stands in the middle of $file");
$feed->sql('SELECT pg_switch_wal()');
$feed->sql(q{INSERT INTO net.nodes VALUES ('next segment')});
{
    my $page = 8192 * int($offset / 8192);
    open my $in, '+<:raw', $file or die "$file: $!";
    seek $in, $page + 8, 0;
    print $in pack 'Q<', 1 << 40;    # xlp_pageaddr
    close $in;
}
$feed->is('', 'a page of another position');
is($feed->state(q{compare_due || ' ' || lost}), 'true 2', 'a compare is due');
$feed->sql(q{INSERT INTO net.nodes VALUES ('goes on')});
$feed->is('I |goes on', 'and the tail goes on');

# --- nothing is held back ---
$node->query_is('SELECT count(*) FROM pg_replication_slots', '0', 'there is no replication slot');

$feed->quit;
$node->no_crash_in_log;
done_testing();
