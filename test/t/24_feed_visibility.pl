# A commit counts when others can see it: synchronous replication, asynchronous commit.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Feed;
use Test::More;

my $node = DBNet::Cluster->started('visibility', conf => 'max_prepared_transactions = 5');
my $feed = DBNet::Feed->new($node)->start;

# --- synchronous replication: the commit record is in the WAL long before the transaction is visible ---
$feed->set("synchronous_standby_names = 'standby'");
my $waiting = $feed->open_session;
$waiting->query_until(qr/started/, "\\echo started\nINSERT INTO net.nodes VALUES ('waits');\n");
$node->wait_for(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'}, 'a commit waits for the standby', expected => '1');
$node->query_is(q{SELECT count(*) FROM net.nodes}, '0', 'it is not visible');
$feed->is('', 'and not handed out');
my $position = $feed->state('at');
$feed->is('', 'nor by the next poll');

$feed->sql(q{SET synchronous_commit = local; INSERT INTO net.nodes VALUES ('passes')});
$feed->is('I |passes', 'a commit that does not wait is handed out');
is($feed->state('at'), $position, 'the position stays before the one that waits');

# Started anew meanwhile: the commit record lies before the start, the transaction is still in progress.
my $second = DBNet::Feed->new($node, create => 0)->start;
$second->is('', 'a tail that starts now does not see it');
$second->is_compare_due(0, 'and need not compare yet');

my $standby = DBNet::Cluster->new('standby');
$node->backup('base', backup_options => [ '--checkpoint=fast' ]);
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "primary_conninfo = '" . $node->connstr . " application_name=standby'");
$standby->start;
$node->wait_for(q{SELECT count(*) FROM net.nodes}, 'with a standby the commit becomes visible', expected => '2');
$feed->is('I |waits', 'and is handed out');
$second->is('', 'the other tail cannot know what it changed');
$second->is_compare_due(1, 'so there a compare is due');
$feed->sql(q{INSERT INTO net.nodes VALUES ('replicated')});
$feed->is('I |replicated', 'the standby follows');

# COMMIT PREPARED waits likewise.
$standby->stop;
$waiting->query_safe(q{SET synchronous_commit = local; BEGIN; INSERT INTO net.nodes VALUES ('prepared'); PREPARE TRANSACTION 'p'; SET synchronous_commit = on});
$waiting->query_until(qr/started/, "\\echo started\nCOMMIT PREPARED 'p';\n");
$node->wait_for(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'}, 'COMMIT PREPARED waits for the standby', expected => '1');
$feed->is('', 'and is not handed out');
$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'});
$node->wait_for(q{SELECT count(*) FROM net.nodes WHERE name = 'prepared'}, 'a cancelled wait makes it visible', expected => '1');
$feed->is('I |prepared', 'and it is handed out');
$feed->set("synchronous_standby_names = ''");
$_->quit for $second, $waiting;

# --- asynchronous commit: visible before it is in the WAL on disk ---
# The WAL writer sleeps for long, so that only the tail's own flush can bring the commit in.
$feed->set("wal_writer_delay = '10s'");
my $session = $feed->open_session;
$session->query_safe('SET synchronous_commit = off');
my $late = 0;
for my $number (1 .. 20) {
    $session->query_safe("INSERT INTO net.nodes VALUES ('async $number')");
    $late++ if $feed->poll ne "I |async $number";
}
is($late, 0, 'asynchronous commits are seen by the first poll after them');
$session->quit;

$feed->quit;
$node->no_crash_in_log;
done_testing();
