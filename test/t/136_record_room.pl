# While much is recorded the worker makes the pages of what comes next; it makes none when little is, and what it has made is used. No
# VACUUM gives pages back, for it would lock the table against who commits.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use IPC::Run ();
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(sleep);

my $node = DBNet::Cluster->started('record_room', conf => "autovacuum = off\nlog_statement = none\n");
my $version = $node->safe_psql('postgres', 'SHOW server_version_num');
plan(skip_all => "none are made on $version, which may stumble over those that a crash takes away")
    if $version < 150007 || ($version >= 160000 && $version < 160003);
$node->psql_ok(q{
    CREATE TABLE public.counted (id int PRIMARY KEY, value int);
    INSERT INTO counted SELECT n, 0 FROM generate_series(1, 100) AS n;
    SELECT dbnet.track('counted');
    CREATE FUNCTION part(ring text) RETURNS regclass LANGUAGE sql AS $$ SELECT format('dbnet.%s_%s', ring, lpad(((dbnet.event_at(now()) >> 51) & 15)::text, 2, '0'))::regclass $$;
    -- Pages of the part that is written to, and those behind the last one that holds a row.
    CREATE FUNCTION pages(ring text, OUT all_pages bigint, OUT unused bigint) LANGUAGE plpgsql AS $$
    BEGIN
        all_pages := pg_relation_size(part(ring)) / current_setting('block_size')::int;
        EXECUTE format('SELECT %s - count(DISTINCT (ctid::text::point)[0]) FROM %s', all_pages, part(ring)) INTO unused;
    END
    $$}, 'a tracked table');

my $script = PostgreSQL::Test::Utils::tempdir('load') . '/update';
# Ten statements, each of which is on record with its row.
PostgreSQL::Test::Utils::append_to_file($script, "\\set id random(0, 9)\nBEGIN;\n" . join('', map { "UPDATE counted SET value = value + 1 WHERE id = 10 * $_ + :id + 1;\n" } 0 .. 9) . "COMMIT;\n");

sub change {
    my ($transactions) = @_;
    $node->command_ok([ 'pgbench', '-n', '-M', 'prepared', '-c', 4, '-t', $transactions / 4, '-f', $script, $node->connstr('postgres') ], "$transactions transactions");
    return;
}
sub pages { my ($ring) = @_; return split /\|/, $node->safe_psql('postgres', "SET dbnet.provenance = off; SELECT * FROM pages('$ring')") }

# The worker may still be about to make some.
sub settled_size {
    my ($ring) = @_;
    my ($before, $now) = ('', '');
    for (1 .. 100) {
        ($before, $now) = ($now, $node->safe_psql('postgres', "SELECT pg_relation_size(part('$ring'))"));
        return $now if $now eq $before;
        sleep 0.5;
    }
    die "$ring goes on growing\n";
}

# --- little ---
$node->safe_psql('postgres', 'UPDATE counted SET value = value + 1 WHERE id = 1') for 1 .. 50;
$node->query_is(q{SELECT (pages('activity')).unused, (pages('entity_version')).unused}, '0|0', 'what seldom comes has no room made for it');

# --- much ---
$node->psql_ok(q{
    CREATE EXTENSION pg_freespacemap;
    CREATE FUNCTION free(relation regclass) RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM pg_freespace(relation) WHERE avail > 8000 $$}, 'to look at free pages');
my @relations = split /\n/, $node->safe_psql('postgres', q{
    SELECT r.table FROM (VALUES (part('activity')), (part('entity_version'))) AS r("table")
    UNION ALL SELECT indexrelid::regclass FROM pg_index WHERE indrelid IN (part('activity'), part('entity_version')) AND indpred IS NULL ORDER BY 1});
is(scalar @relations, 5, 'two tables and three indexes grow');
my %free;
for (1 .. 30) {
    change(2000);
    %free = map { $_ => $node->safe_psql('postgres', "SELECT free('$_')") } @relations;
    last if !grep { $_ == 0 } values %free;
}
cmp_ok($free{$_}, '>', 0, "$_ has pages that nobody has used yet") for @relations;
cmp_ok($free{$_}, '<=', 600, "$_: and not without bound") for @relations;
$node->query_is(q{SELECT count(*) FROM dbnet.history('counted', '1', most => 1000000)}, $node->safe_psql('postgres', 'SELECT value FROM counted WHERE id = 1'), 'every change of a row is on record');
$node->query_is('SELECT * FROM dbnet.verify()', '', 'all of it intact');

# --- they are used ---
settled_size('activity');
my ($all, $unused) = pages('activity');
my $few = 100;    # of these some 20 fit into a page
$node->safe_psql('postgres', join ' ', map { "UPDATE counted SET value = value + 1 WHERE id = $_;" } 1 .. $few);
my ($all_then, $unused_then) = pages('activity');
is($all_then, $all, 'a few more need no new page');
cmp_ok($unused_then, '<', $unused, 'they are on those that were there');

# --- an index that is built meanwhile ---
$node->psql_ok('INSERT INTO counted SELECT n, 0 FROM generate_series(1001, 600000) AS n', 'large ones');
my $load = IPC::Run::start([ 'pgbench', '-n', '-M', 'prepared', '-c', 4, '-T', 300, '-f', $script, $node->connstr('postgres') ], '>', \my $output, '2>&1');
for my $part (qw(activity entity_version)) {
    $node->psql_ok("SELECT format('REINDEX TABLE CONCURRENTLY %s', part('$part')) \\gexec", "$part: its indexes are built anew while it grows") for 1 .. 4;
}
$load->kill_kill;
$node->psql_ok('CREATE EXTENSION amcheck', 'to check indexes');
my $indexes = q{SELECT i.indexrelid::regclass, bt_index_check(i.indexrelid, heapallindexed => true) FROM pg_index AS i WHERE i.indrelid IN (part('activity'), part('entity_version')) ORDER BY 1};
my $intact = join "\n", map { "$_|" } split /\n/, $node->safe_psql('postgres', q{SELECT indexrelid::regclass FROM pg_index WHERE indrelid IN (part('activity'), part('entity_version')) ORDER BY 1});
$node->query_is($indexes, $intact, 'they have every row');

# --- a crash ---
$node->stop('immediate');
$node->start;
$node->query_is('SELECT * FROM dbnet.verify()', '', 'after a crash all is intact');
change(40);
$node->query_is('SELECT * FROM dbnet.verify()', '', 'and what follows as well');

$node->query_is($indexes, $intact, 'every index has every row');

# --- VACUUM ---
my $size = q{SELECT pg_relation_size(part('entity_version'))};
my $before = settled_size('entity_version');
$node->psql_ok(q{SET dbnet.provenance_buffer_limit = '64kB'; BEGIN; INSERT INTO counted SELECT n, 0 FROM generate_series(600001, 750000) AS n; ROLLBACK}, 'much that was written is rolled back');
my $after = settled_size('entity_version');
cmp_ok($after, '>', $before + 8_000_000, 'its pages are there');
my $parts = $node->safe_psql('postgres', q{SELECT string_agg(DISTINCT part(ring)::text, ', ') || ', dbnet.session, dbnet.used_version' FROM (VALUES ('activity'), ('entity_version')) AS r(ring)});
$node->psql_ok("VACUUM $parts", 'VACUUM');
$node->query_is($size, $after, 'leaves them, for it would lock the table to take them away');
$node->query_is(q{
    WITH own AS (SELECT oid, reltoastrelid FROM pg_class WHERE relnamespace = 'dbnet'::regnamespace AND relkind = 'r' AND relname ~ '^((activity|entity_version)_\d\d|session|used_version|code)$')
    SELECT c.oid::regclass FROM own JOIN pg_class AS c ON c.oid IN (own.oid, own.reltoastrelid) WHERE NOT 'vacuum_truncate=off' = ANY (coalesce(c.reloptions, '{}'))}, '', 'nor those of any other table that commits write to');

$node->no_crash_in_log;
done_testing();
