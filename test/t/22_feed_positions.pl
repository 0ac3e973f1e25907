# The tail starts at any WAL position: inside records, at page and segment boundaries, in the zeros after a WAL switch.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Feed;
use Test::More;

# Nobody but the test writes WAL here.
my $node = DBNet::Cluster->started('positions',
    conf => "wal_writer_delay = '10ms'\nwal_level = minimal\nmax_wal_senders = 0\nautovacuum = off\ncheckpoint_timeout = '1h'");
my $feed = DBNet::Feed->new($node);

# --- the end of the WAL, again and again, while others write asynchronously ---
my $writer = $feed->open_session;
$writer->query_safe('SET synchronous_commit = off; CREATE TABLE noise (x text)');
my ($wrong, $compares) = (0, 0);
for my $number (1 .. 60) {
    $writer->query_safe(q{INSERT INTO noise SELECT repeat('x', (random() * 3000)::int) FROM generate_series(1, 5)});
    $feed->start;
    $compares++ if $feed->poll ne '';
    $feed->sql("INSERT INTO net.nodes VALUES ('end $number')");
    $wrong++ if $feed->poll ne "I |end $number";
}
is("$wrong $compares", '0 0', 'started at the end of the WAL it sees exactly what comes then');

# --- every position ---
# Transactions with their begin and commit; noise between them makes records that span pages.
$feed->sql('CREATE TABLE history (begin pg_lsn, commit pg_lsn, name text)');
my $from = $feed->flushed;
for my $number (1 .. 40) {
    my $begin = $node->safe_psql('postgres', q{SELECT pg_current_wal_insert_lsn()});
    $feed->sql(q{SELECT pg_logical_emit_message(false, 'noise', repeat('x', } . (37 * $number * ($number % 9)) . '))');
    $feed->sql("INSERT INTO net.nodes VALUES ('any $number')");
    $feed->sql("INSERT INTO history VALUES ('$begin', pg_current_wal_flush_lsn(), 'any $number')");
}
my $to = $feed->flushed;
my $session = $feed->{session};
$session->query_safe(<<'SQL');
CREATE FUNCTION try_positions(first pg_lsn, last pg_lsn, step integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    here pg_lsn := first;
    found text[];
    tried integer := 0;
BEGIN
    WHILE here <= last LOOP
        PERFORM feed_start(here);
        found := (SELECT array_agg(name) FROM feed_poll());
        IF (SELECT compare_due OR lost > 0 FROM feed_state()) THEN
            RETURN 'compare at ' || here;
        ELSIF found IS DISTINCT FROM (SELECT array_agg(name ORDER BY commit) FROM history WHERE begin >= here)
            AND found IS DISTINCT FROM (SELECT array_agg(name ORDER BY commit) FROM history WHERE commit > here) THEN
            RETURN 'at ' || here || ' found ' || found::text;
        END IF;
        here := here + step;
        tried := tried + 1;
    END LOOP;
    RETURN 'all ' || (tried > 3000);
END
$$
SQL
my $step = int($node->safe_psql('postgres', "SELECT '$to'::pg_lsn - '$from'::pg_lsn") / 4000) || 1;
$step++ if $step % 8 == 0;
is($session->query_safe("SELECT try_positions('$from', '$to', $step)"), 'all true', 'from any byte on it sees what was begun there or later');
my $page = $node->safe_psql('postgres', "SELECT pg_lsn '0/0' + (ceil(('$from'::pg_lsn - '0/0') / 8192) * 8192)");
is($session->query_safe("SELECT try_positions('$page'::pg_lsn - 1600, '$page'::pg_lsn + 1600, 1)"), 'all true', 'around a page boundary: every byte');

# --- inside one record of many pages, written and not yet written ---
my $before = $feed->flushed;
$feed->sql(q{SELECT pg_logical_emit_message(true, 'noise', repeat('x', 200000))});
$feed->sql(q{INSERT INTO net.nodes VALUES ('behind')});
for my $offset (5000, 8192, 65536, 150000, 199000) {
    my $inside = $node->safe_psql('postgres', "SELECT '$before'::pg_lsn + $offset");
    $feed->start($inside)->is('I |behind', "$offset bytes into a record of many pages");
}

# --- the switch to another segment ---
$feed->start;
$feed->sql('SELECT pg_switch_wal()');
$feed->is('', 'a WAL switch is passed');
$feed->sql(q{INSERT INTO net.nodes VALUES ('switch 1')});
$feed->is('I |switch 1', 'and what follows is seen');
$feed->sql('SELECT pg_switch_wal()');
my $boundary = $feed->flushed;
like($boundary, qr{/[0-9A-F]*000000$}, 'the WAL ends at a segment boundary');
$feed->start->is('', 'started there, there is no record yet');
$feed->is('', 'nor later');
is($feed->state('at'), $boundary, 'the position is kept');
$feed->sql(q{INSERT INTO net.nodes VALUES ('switch 2')});
$feed->is('I |switch 2', 'the first record of the segment is the one to come');
for my $offset (1, 8, 8191, 8192, 8193, 100000, 8 * 1024 * 1024) {
    my $inside = $node->safe_psql('postgres', "SELECT '$boundary'::pg_lsn - $offset");
    $feed->start($inside)->is('I |switch 2', "$offset bytes before the boundary, in the zeros");
}
is($feed->state('compare_due OR lost > 0'), 'f', 'none of that counts as lost');
$feed->start;
$feed->sql(q{SELECT pg_switch_wal() FROM (SELECT) AS once; INSERT INTO net.nodes VALUES ('switch 3'); SELECT pg_switch_wal()});
$feed->sql(q{INSERT INTO net.nodes VALUES ('switch 4'); SELECT pg_switch_wal()});
my $end = $feed->flushed;
$feed->is("I |switch 3\nI |switch 4", 'several switches in one go');
$feed->has_reached($end, 'to the end');

$writer->quit;
$feed->quit;
$node->no_crash_in_log;
done_testing();
