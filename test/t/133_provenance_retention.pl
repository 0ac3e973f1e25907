# What dbnet.provenance_retention removes is told in the chain: dbnet.verify() knows it from what somebody else has removed.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;

my $node = DBNet::Cluster->started('provenance_retention');
my $day = 86_400_000_000 * 1024;
my $now = $node->safe_psql('postgres', 'SELECT dbnet.event_at(now())');
# Ids are kept in stretches of 2^51 (25.5 days); in each of these two transactions.
my @stretches = map { ($now >> 51) - $_ << 51 } 3, 2, 1;
my @ids = map { ($_ + 7, $_ + 7 + $day) } @stretches;

# A database with a past: as it is restored from a dump. Its worker meets all of it at once.
$node->psql_ok('CREATE DATABASE past', 'a database');
my $past = join '', map { "INSERT INTO dbnet.activity (id, transaction, kind, name, role, started_at, status, checksum, events, transaction_number, root) VALUES ($_, $_, 'S', 'UPDATE', 'r', now(), 'd', 0, 1, '1', '');" } @ids;
$node->psql_ok(qq{
    BEGIN;
    CREATE EXTENSION dbnet;
    $past
    UPDATE dbnet.activity SET checksum = ('x' || encode(substr(dbnet.event_hash(a), 1, 4), 'hex'))::bit(32)::integer, root = sha256(dbnet.event_hash(a)) FROM dbnet.activity AS a
        WHERE activity.id = a.id AND a.id IN (} . join(', ', @ids) . q{);
    COMMIT;}, 'with a past', database => 'past');

# A reload makes the worker look at once: the first look takes note of a moment, a later one seals what came before it.
sub wait_until {
    my ($query, $what) = @_;
    for (1 .. 60) {
        $node->safe_psql('postgres', 'SELECT pg_reload_conf()');
        return pass($what) if $node->poll_query_until('past', $query, 't', 2);
    }
    return fail($what . "\n" . $node->diagnostics);
}
my $sealed = "(SELECT count(*) FROM dbnet.provenance_block AS b, unnest(b.transactions) AS t(id) WHERE t.id = ANY ('{" . join(',', @ids) . "}'))";
wait_until("SELECT $sealed = 6", 'it is sealed');
my $blocks = q{SELECT string_agg(concat_ws(' ', b.number, cardinality(b.transactions), b.removed_before, encode(b.last_removed, 'hex')), ', ' ORDER BY b.number)
    FROM dbnet.provenance_block AS b};
$node->query_is("$blocks WHERE transactions[1] < $now - 10 * $day", '1 2, 2 2, 3 2', 'in blocks that end with the stretch', database => 'past');
$node->query_is('SELECT * FROM dbnet.verify()', '', 'and intact', database => 'past');

my $root = $node->safe_psql('past', 'SELECT encode(root, \'hex\') FROM dbnet.provenance_block WHERE number = 1');
my $kept_days = int(($now - $stretches[1]) / $day);    # the oldest that is kept is in the second one
$node->append_conf('postgresql.conf', "dbnet.provenance_retention = '${kept_days}d'");
wait_until("SELECT NOT EXISTS (SELECT FROM dbnet.activity WHERE id < $stretches[1]) AND NOT EXISTS (SELECT FROM dbnet.provenance_block WHERE number = 1)", 'a shorter retention removes the oldest, and its block');
like($node->safe_psql('past', "$blocks WHERE removed_before IS NOT NULL"), qr/^\d+ 0 $stretches[1] $root$/, 'the chain tells so');
$node->query_is('SELECT * FROM dbnet.verify()', '', 'nothing else is missing', database => 'past');
$node->query_is("SELECT count(*) FROM dbnet.activity WHERE id = ANY ('{" . join(',', @ids) . "}')", '4', 'the others are there', database => 'past');

my $removal = q{SELECT max(number) FROM dbnet.provenance_block WHERE removed_before IS NOT NULL};
my $told = $node->safe_psql('past', $removal);
wait_until('SELECT true', 'another look');
$node->query_is($removal, $told, 'once', database => 'past');

# Somebody else removes what comes next.
$node->psql_ok("DELETE FROM dbnet.activity WHERE id = $ids[2]", 'a transaction is removed', database => 'past');
$node->query_is('SELECT * FROM dbnet.verify()', "2|$ids[2]||the transaction was removed", 'and named', database => 'past');
$node->psql_ok("DELETE FROM dbnet.activity WHERE id = $ids[3]; DELETE FROM dbnet.provenance_block WHERE number = 2", 'the other one, and their block', database => 'past');
$node->query_is('SELECT * FROM dbnet.verify()', '3|||blocks before it were removed, and not by retention', 'that is named, too', database => 'past');

$node->no_crash_in_log;
done_testing();
