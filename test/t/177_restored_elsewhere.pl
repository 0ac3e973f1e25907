# What is on record of a database that was restored into another cluster, whose transactions have numbers of their own: those of
# before say nothing there, and may be the same.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use PostgreSQL::Test::Utils ();
use Test::More;

my $old = DBNet::Cluster->started('original');
$old->psql_ok(q{
    CREATE SCHEMA net;
    CREATE PROCEDURE net.pass(until xid8) LANGUAGE plpgsql AS $$ BEGIN WHILE pg_current_xact_id() < until LOOP COMMIT; END LOOP; END $$;
    CREATE TABLE net.far (id int PRIMARY KEY, a int);
    CREATE TABLE net.quiet (id int PRIMARY KEY);
    INSERT INTO net.far SELECT i, 0 FROM generate_series(1, 3) AS i;
    INSERT INTO net.quiet VALUES (1)}, 'rows of before they are tracked');
$old->psql_ok(q{CALL net.pass('4000')}, 'transactions pass by');
$old->psql_ok(q{SELECT dbnet.track('net.far'), dbnet.track('net.quiet')}, 'from now on');
$old->psql_ok($_, $_) for 'INSERT INTO net.far VALUES (4, 0), (5, 0)', 'UPDATE net.far SET a = 1 WHERE id = 4', 'DELETE FROM net.far WHERE id = 5', 'INSERT INTO net.quiet VALUES (2)';
$old->psql_ok(q{
    CREATE PROCEDURE net.fill() LANGUAGE plpgsql AS $$ BEGIN
        FOR i IN 101..120 LOOP INSERT INTO net.far VALUES (i, 0); COMMIT; PERFORM pg_current_xact_id(); COMMIT; PERFORM pg_current_xact_id(); COMMIT; END LOOP;
    END $$;
    CALL net.fill()}, 'a row in every third transaction');
my $gaps = join(' UNION ALL ', map { "SELECT relation, key, regexp_replace(gap, 'transaction \\d+', 'transaction n') FROM dbnet.gaps('$_')" } qw(net.far net.quiet)) . ' ORDER BY 2, 1';
$old->query_is($gaps, '', 'they are no gap');
my $updated = $old->safe_psql('postgres', q{SELECT transaction FROM dbnet.history('net.far', '4', most => 1)});
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
$old->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-h', $old->host, '-p', $old->port, 'postgres' ], 'pg_dump');

# A cluster that comes to those numbers later, and one that is far beyond them.
for my $name (qw(younger older)) {
    my $new = DBNet::Cluster->new($name);
    $new->init;
    $new->start;
    $new->psql_ok('CREATE PROCEDURE pass(until xid8) LANGUAGE plpgsql AS $$ BEGIN WHILE pg_current_xact_id() < until LOOP COMMIT; END LOOP; END $$; CALL pass(10000::text::xid8); DROP PROCEDURE pass',
        "$name: transactions pass by") if $name eq 'older';
    $new->command_ok([ 'pg_restore', '-e', '-d', 'postgres', '-h', $new->host, '-p', $new->port, $dump ], "$name: pg_restore");
    cmp_ok($new->safe_psql('postgres', 'SELECT pg_current_xact_id()'), $name eq 'older' ? '>' : '<', $updated, "$name: the number of its next transaction");
    $new->query_is($gaps, '', "$name: what is restored is no gap");
    $new->psql_ok('SET dbnet.provenance = off; INSERT INTO net.far VALUES (6, 0); UPDATE net.far SET a = 2 WHERE id = 4; DELETE FROM net.quiet WHERE id = 2; INSERT INTO net.quiet VALUES (3)', "$name: past the record");
    my $found = "net.quiet|2|deleted without a record\nnet.quiet|3|written without a record, by transaction n\nnet.far|4|changed without a record, by transaction n: a\nnet.far|6|written without a record, by transaction n";
    $new->query_is($gaps, $found, "$name: is told");
    $new->psql_ok('INSERT INTO net.far VALUES (7, 0); INSERT INTO net.quiet VALUES (8)', "$name: what is on record");
    $new->query_is($gaps, $found, "$name: is not, and the others still are");
    $new->no_crash_in_log;
    next if $name eq 'older';

    # In transactions of the same numbers as those that made rows 101 to 120 other rows are made, and every second of these is changed past the record.
    $new->psql_ok(q{
        CREATE PROCEDURE net.meet(numbers xid8[]) LANGUAGE plpgsql AS $$ BEGIN
            FOR i IN 1..20 LOOP
                CALL net.pass(numbers[i]);
                PERFORM set_config('dbnet.provenance', CASE i % 2 WHEN 0 THEN 'off' ELSE 'on' END, false);
                INSERT INTO net.far SELECT 200 + i, 0 WHERE i % 2 = 1;
                UPDATE net.far SET a = 1 WHERE id = 100 + i AND i % 2 = 0;
                COMMIT;
            END LOOP;
        END $$;
        DO $$ DECLARE
            numbers xid8[] := ARRAY(SELECT h.transaction FROM generate_series(101, 120) AS i, LATERAL dbnet.history('net.far', i::text) AS h ORDER BY i);
        BEGIN
            CALL net.meet(numbers);
        END $$}, 'numbers of before come again');
    $new->query_is(q{SELECT count(*) > 0 FROM net.far AS f, LATERAL dbnet.history('net.far', f.id::text) AS h WHERE f.id BETWEEN 101 AND 120 AND f.xmin = h.transaction::xid}, 't', 'rows that were changed by one');
    $new->query_is(q{SELECT count(*) FROM dbnet.gaps('net.far') WHERE key ~ '^1..$' AND gap ~ 'changed without a record, by transaction \d+: a$'}, '10', 'are told as the others are');
    my $number = $new->safe_psql('postgres', 'SELECT transaction FROM dbnet.transaction GROUP BY transaction HAVING count(*) > 1 LIMIT 1');
    isnt($number, '', 'two transactions on record with one number');
    $new->fails_like("SELECT * FROM dbnet.undo(transaction => '$number', dry_run => false)", '22023', qr/2 transactions have the number $number/, 'which is to be taken back is not known');
    $new->query_is("SELECT key ~ '^2..\$', outcome FROM dbnet.undo(activity => (SELECT max(id) FROM dbnet.transaction WHERE transaction = '$number'), dry_run => false)", 't|done', 'the one that is meant is');
    $new->query_is("SELECT count(*) FROM net.far WHERE id > 100", '29', 'and it alone');
    $new->no_crash_in_log;
}
done_testing();
