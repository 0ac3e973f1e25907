# Transactions of every kind: savepoints, prepared ones, those that a start of the tail cuts in two, very big ones.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Feed;
use Test::More;

my $node = DBNet::Cluster->started('transactions', conf => 'max_prepared_transactions = 10');
my $feed = DBNet::Feed->new($node)->start;

# --- savepoints ---
$feed->sql(<<'SQL');
BEGIN;
INSERT INTO net.nodes VALUES ('top');
SAVEPOINT s1;
INSERT INTO net.nodes VALUES ('kept');
SAVEPOINT s2;
INSERT INTO net.nodes VALUES ('undone');
ROLLBACK TO s2;
RELEASE s1;
COMMIT;
SQL
$feed->is("I |top\nI |kept", 'savepoints: what was kept');
$feed->sql(q{DO $$ BEGIN INSERT INTO net.nodes VALUES ('block'); BEGIN INSERT INTO net.nodes VALUES ('block'); EXCEPTION WHEN unique_violation THEN NULL; END; END $$});
$feed->is('I |block', 'an exception block');
is($feed->sql(q{BEGIN; SAVEPOINT s; INSERT INTO net.nodes VALUES ('xid'); RELEASE s; SELECT pg_current_xact_id(); COMMIT}),
    $feed->poll('xid'), 'a change is ascribed to the top-level transaction');
$feed->sql(q{BEGIN; INSERT INTO net.nodes VALUES ('never'); SAVEPOINT s; INSERT INTO net.nodes VALUES ('never2'); ROLLBACK});
$feed->is('', 'an aborted transaction with a savepoint');

# --- order of commits, not of writes ---
my ($one, $two) = ($feed->open_session, $feed->open_session);
$one->query_safe(q{BEGIN; INSERT INTO net.nodes VALUES ('first written')});
$two->query_safe(q{BEGIN; INSERT INTO net.nodes VALUES ('first committed')});
$feed->is('', 'nothing before the commit');
$two->query_safe('COMMIT');
$one->query_safe('COMMIT');
$feed->is("I |first committed\nI |first written", 'commits come in their order');

# --- prepared transactions ---
$feed->sql(q{BEGIN; INSERT INTO net.nodes VALUES ('prepared'); SAVEPOINT s; INSERT INTO net.nodes VALUES ('prepared too'); PREPARE TRANSACTION 'p1'});
$feed->is('', 'PREPARE TRANSACTION is no commit');
$feed->sql(q{COMMIT PREPARED 'p1'});
$feed->is("I |prepared\nI |prepared too", 'COMMIT PREPARED is one');
$feed->sql(q{BEGIN; INSERT INTO net.nodes VALUES ('rolled back'); PREPARE TRANSACTION 'p2'; ROLLBACK PREPARED 'p2'});
$feed->is('', 'ROLLBACK PREPARED');
$one->query_safe(q{BEGIN; INSERT INTO net.nodes VALUES ('after'); PREPARE TRANSACTION 'p3'});
$one->query_safe(q{INSERT INTO net.nodes VALUES ('same session')});
$feed->is('I |same session', 'a session that prepared starts with nothing pending');
$feed->sql(q{ROLLBACK PREPARED 'p3'});

# --- a start between the messages and the commit ---
$feed->sql(q{BEGIN; INSERT INTO net.nodes VALUES ('forgotten'); PREPARE TRANSACTION 'forgotten'});
$feed->sql(q{BEGIN; INSERT INTO net.nodes VALUES ('decided'); PREPARE TRANSACTION 'decided'});
$feed->start;
$feed->is('', 'started after the messages of two prepared transactions');
$feed->sql(q{INSERT INTO net.nodes VALUES ('other')});
my $end = $feed->flushed;
$feed->is('I |other', 'they delay no other');
$feed->is_compare_due(0, 'nor cause a compare');
$feed->has_reached($end, 'nor hold the position back');
$feed->sql(q{COMMIT PREPARED 'decided'});
$feed->is('', 'the messages of one that commits are not known');
$feed->is_compare_due(1, 'so a compare is due');
$feed->poll;
$feed->is_compare_due(0, 'once');
$feed->sql(q{ROLLBACK PREPARED 'forgotten'});
$feed->poll;
$feed->is_compare_due(0, 'one that is rolled back needs none');

$one->query_safe(q{BEGIN; INSERT INTO net.nodes VALUES ('running')});
$feed->start;
$one->query_safe('COMMIT');
$feed->is('I |running', 'a transaction that was running at the start and wrote its messages afterwards is seen');
$feed->is_compare_due(1, 'and a compare is due all the same: the start cannot know');
$one->query_safe(q{BEGIN; INSERT INTO net.nodes VALUES ('running 2')});
$feed->start;
$one->query_safe('ROLLBACK');
$feed->is('', 'one that is rolled back');
$feed->is_compare_due(0, 'needs no compare');

# As a worker that was restarted at a noted position with a noted snapshot.
$feed->sql(q{BEGIN; INSERT INTO net.nodes VALUES ('snapshot'); PREPARE TRANSACTION 'snapshot'});
my $from = $node->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()');
my $running = $node->safe_psql('postgres', q{SELECT transaction FROM pg_prepared_xacts WHERE gid = 'snapshot'});
$feed->sql(q{COMMIT PREPARED 'snapshot'});
$feed->start($from, running => [$running])->is('', 'a transaction of the snapshot that has ended before the first poll');
$feed->is_compare_due(1, 'asks for a compare');
$feed->start($from)->is('', 'and the commit of a transaction that nothing is known of');
$feed->is_compare_due(0, 'asks for nothing');

# --- crash between message and commit record: the prepared transaction outlives the server ---
$feed->sql(q{BEGIN; INSERT INTO net.nodes VALUES ('survivor'); PREPARE TRANSACTION 'survivor'});
$_->quit for $one, $two, $feed;
$node->stop('immediate');
$node->start;
$feed = DBNet::Feed->new($node, create => 0)->start;
$feed->sql(q{INSERT INTO net.nodes VALUES ('new life')});
$feed->is('I |new life', 'after a crash');
$feed->sql(q{COMMIT PREPARED 'survivor'});
$feed->is('', 'a transaction that was prepared before the crash');
$feed->is_compare_due(1, 'asks for a compare when it commits');

# --- big transactions ---
my $summary = q{concat_ws(' ', count(*), count(DISTINCT name), count(DISTINCT xid), string_agg(DISTINCT operation, ''))};
my $messages = sub {
    my ($since) = @_;
    my $dump = `pg_waldump --path=@{[ $node->data_dir ]}/pg_wal --start=$since --rmgr=LogicalMessage 2>/dev/null`;
    return scalar(() = $dump =~ /prefix "dbnet"/g);
};
my $lsn = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
$feed->sql(q{INSERT INTO net.nodes SELECT 'node-' || i FROM generate_series(1, 20000) i});
is($feed->poll($summary), '20000 20000 1 I', 'a transaction of 20000 rows, in one commit');
my $count = $messages->($lsn);
ok($count >= 4 && $count <= 8, "in messages of about 64 kB: $count");
is($feed->state('compare_due'), 'f', 'no compare');

$lsn = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
$feed->set("dbnet.capture_buffer_limit = '64kB'");
$feed->sql(q{BEGIN; DELETE FROM net.nodes WHERE name = 'new life';
    SELECT dbnet.record_change('dbnet.object', 'S');
    UPDATE net.nodes SET labels = '1'; UPDATE net.nodes SET labels = '2' WHERE name = 'top'; COMMIT});
is($feed->poll(q{string_agg(operation || ' ' || relation || name, ', ')}), 'S dbnet.object, C net.nodes',
    'beyond dbnet.capture_buffer_limit a transaction asks for a compare of the mirror');
is($messages->($lsn), 1, 'in one message');
$feed->sql(q{UPDATE net.nodes SET labels = '3' WHERE name = 'top'});
$feed->is('U |top', 'the next transaction starts anew');

$feed->sql('CREATE TABLE net.pods (LIKE net.nodes)');
$feed->sql(q{CREATE TRIGGER dbnet_capture AFTER INSERT ON net.pods FOR EACH ROW EXECUTE FUNCTION dbnet.capture('', 'name', '', '')});
$feed->start($node->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()'), memory_limit => 100_000);
$one = $feed->open_session;
$one->query_safe(q{BEGIN; INSERT INTO net.nodes SELECT 'big-' || i FROM generate_series(1, 5000) i; INSERT INTO net.pods SELECT name FROM net.nodes WHERE name LIKE 'big%'; PREPARE TRANSACTION 'big'});
$feed->is('', 'a prepared transaction larger than the tail keeps');
$feed->sql(q{INSERT INTO net.nodes VALUES ('small')});
$feed->is('I |small', 'takes the room of no other');
$feed->sql(q{COMMIT PREPARED 'big'});
is($feed->poll(q{string_agg(operation || ' ' || relation || name, ', ')}), 'C net.nodes, C net.pods',
    'and asks for a compare of its mirrors when it commits');
$feed->sql(q{INSERT INTO net.nodes SELECT 'fits-' || i FROM generate_series(1, 100) i});
is($feed->poll($summary), '100 100 1 I', 'the room is free again');

$feed->sql(qq{INSERT INTO net.nodes VALUES (repeat('x', 1025)), (repeat('y', 1024))});
is($feed->poll(q{string_agg(operation || length(name), ' ')}), 'C0 I1024', 'a name longer than any server takes is compared, not carried');

$one->quit;
$feed->quit;
$node->no_crash_in_log(except => qr/received immediate shutdown/);
done_testing();
