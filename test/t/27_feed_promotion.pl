# A promoted standby: another timeline, another cookie, transactions that were in progress on the old primary.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Feed;
use Test::More;

my $primary = DBNet::Cluster->started('primary', conf => 'max_prepared_transactions = 5');
my $feed = DBNet::Feed->new($primary);
$primary->backup('base', backup_options => [ '--checkpoint=fast' ]);
my $standby = DBNet::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$feed->sql(q{INSERT INTO net.nodes VALUES ('old')});
$feed->sql(q{BEGIN; INSERT INTO net.nodes VALUES ('prepared'); PREPARE TRANSACTION 'p'});
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
my $before = $standby->safe_psql('postgres', 'SELECT pg_last_wal_replay_lsn()');
my $last_messages = $primary->safe_psql('postgres', q{SELECT '0/0'::pg_lsn + (floor((pg_current_wal_lsn() - '0/0') / 8192) - 1) * 8192});
$feed->quit;
$primary->stop('immediate');
$standby->promote;

my $promoted = DBNet::Feed->new($standby, create => 0)->start;
$promoted->is('', 'a promoted standby starts at the end of its WAL');
$promoted->sql(q{INSERT INTO net.nodes VALUES ('new')});
$promoted->is('I |new', 'and sees what is committed on the new timeline');
$promoted->is_compare_due(0, 'without a compare');
$promoted->sql('CHECKPOINT');
is($promoted->sql('SELECT timeline_id FROM pg_control_checkpoint()'), '2', 'which is another one');
$promoted->sql(q{COMMIT PREPARED 'p'});
$promoted->is('', 'a transaction that was prepared on the old primary');
$promoted->is_compare_due(1, 'asks for a compare when it commits');

# The position may lie before the switch of timelines: the tail reads over it. The old primary's messages carry its cookie.
$promoted->start($before)->is('I |new', 'from the end of the old timeline on');
is($promoted->state('compare_due OR lost > 0'), 'f', 'nothing is lost');
$promoted->start($last_messages)->is('I |new', 'from before the messages of the old primary: those are not ours');
is($promoted->state('compare_due OR lost > 0'), 'f', 'nothing is lost');
$promoted->sql(q{SELECT pg_switch_wal() FROM (SELECT) AS once; INSERT INTO net.nodes VALUES ('newer')});
$promoted->is('I |newer', 'into the next segment of the new timeline');

$promoted->quit;
$standby->no_crash_in_log;
done_testing();
