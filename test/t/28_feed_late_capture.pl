# A mirror that is written while the transaction already commits: by another extension's PRE_COMMIT callback that comes
# after DBNet's own. Callbacks run in the reverse order of registration, so the other library is preloaded first.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Feed;
use Test::More;

my $node = DBNet::Cluster->new('late');
$node->init(conf => "max_prepared_transactions = 5");
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'dbnet_test, dbnet'");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION dbnet');
my $feed = DBNet::Feed->new($node)->start;
my $late = sub { my ($sql) = @_; $sql =~ s/'/''/g; return "SELECT feed_at_pre_commit('$sql')" };

$feed->sql('BEGIN; ' . $late->("INSERT INTO net.nodes VALUES ('late')") . '; COMMIT');
$feed->is('I |late', 'a change that comes after the flush, alone');
$feed->sql("BEGIN; INSERT INTO net.nodes VALUES ('in time'); " . $late->("INSERT INTO net.nodes VALUES ('late 2')") . '; COMMIT');
$feed->is("I |in time\nI |late 2", 'and after others');
is($feed->sql('BEGIN; SELECT pg_current_xact_id(); ' . $late->("UPDATE net.nodes SET labels = '1' WHERE name = 'late'") . '; COMMIT') =~ s/\s+//r,
    $feed->poll('xid'), 'under the top-level transaction');
$feed->sql('BEGIN; ' . $late->(
    "DO \$\$ BEGIN BEGIN INSERT INTO net.nodes VALUES ('sub'); EXCEPTION WHEN unique_violation THEN NULL; END; END \$\$") . '; COMMIT');
$feed->is('I |sub', 'in a subtransaction of the callback');
my ($status, undef, $errors) = $node->run_sql("BEGIN; INSERT INTO net.nodes VALUES ('failed'); " . $late->('SELECT 1/0') . '; COMMIT');
like($errors, qr/division by zero/, 'a callback that fails after the flush');
$feed->is('', 'aborts what was flushed');
$feed->sql('BEGIN; ' . $late->(q{INSERT INTO net.nodes SELECT 'many ' || i FROM generate_series(1, 1000) i}) . '; COMMIT');
is($feed->poll(q{concat_ws(' ', count(*), count(DISTINCT xid))}), '1000 1', 'many late changes');
my $session = $feed->open_session;
$session->query_safe("BEGIN; INSERT INTO net.nodes VALUES ('first')");
$session->query_safe($late->("INSERT INTO net.nodes VALUES ('late 3')"));
$session->query_safe('COMMIT');
$session->query_safe("INSERT INTO net.nodes VALUES ('next')");
$feed->is("I |first\nI |late 3\nI |next", 'the next transaction of the session is buffered again');
is($feed->state('compare_due OR lost > 0'), 'f', 'no compare was needed');

$session->quit;
$feed->quit;
$node->no_crash_in_log;
done_testing();
