# Beside other libraries that watch statements by the same hooks, in either order, and with parallel query: what is on record is
# the same.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;

my $setup = q{
    CREATE SCHEMA net;
    CREATE TABLE net.pools (name text PRIMARY KEY, replicas int);
    CREATE TABLE net.nodes (id int PRIMARY KEY, pool text REFERENCES net.pools ON DELETE CASCADE);
    SELECT dbnet.track('net.pools'), dbnet.track('net.nodes');
    CREATE PROCEDURE net.grow(pool text, replicas int) LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO net.nodes SELECT n, grow.pool FROM generate_series(1, replicas) AS n;
        BEGIN
            INSERT INTO net.nodes VALUES (1, grow.pool);
        EXCEPTION WHEN unique_violation THEN
            UPDATE net.nodes SET pool = grow.pool || '' WHERE id = 1;
        END;
    END
    $$;
    CREATE FUNCTION net.follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN CALL net.grow(NEW.name, NEW.replicas); RETURN NULL; END $$;
    CREATE TRIGGER follow AFTER INSERT ON net.pools FOR EACH ROW EXECUTE FUNCTION net.follow();
    CREATE PROCEDURE net.steps() LANGUAGE plpgsql AS $$
    DECLARE
        one record;
    BEGIN
        FOR one IN SELECT id FROM net.nodes ORDER BY id LOOP
            INSERT INTO net.pools VALUES ('step ' || one.id, 0);
            COMMIT;
        END LOOP;
    END
    $$};
my $work = q{
    INSERT INTO net.pools VALUES ('web', 2);
    CALL net.steps();
    DELETE FROM net.pools WHERE name = 'web';
    BEGIN; DECLARE c CURSOR FOR SELECT id FROM net.nodes; FETCH 1 FROM c; UPDATE net.pools SET replicas = 1 WHERE name = 'step 1'; COMMIT;};
# Versions with what they came from, in order: numbers are places in that order.
my $chain = q{
    WITH ran AS (SELECT a.*, row_number() OVER (ORDER BY a.id) AS place FROM dbnet.activity AS a WHERE a.kind <> 'D' AND a.id > (SELECT max(id) FROM dbnet.activity WHERE kind = 'D'))
    SELECT concat_ws(' ', r.place, p.place, r.kind, r.status, r.name, r.arguments, r.rows, (SELECT string_agg(v.operation::text || v.key, ',' ORDER BY v.id) FROM dbnet.entity_version AS v WHERE v.activity = r.id))
    FROM ran AS r LEFT JOIN ran AS p ON p.id = r.parent ORDER BY r.id};
my $expected = join "\n",
    '1 S p INSERT 1 I{"name": "web"}', # p: the second INSERT of net.grow() has failed, and was caught
    '2 1 G p follow',
    '3 2 S p CALL',
    '4 3 C p net.grow(text, integer) {"pool": "web", "replicas": 2}',
    '5 4 S d INSERT 2 I{"id": 1},I{"id": 2}',
    '6 S p CALL',
    '7 6 C p net.steps()',
    '8 7 S p INSERT 1 I{"name": "step 1"}',
    '9 8 G p follow',
    '10 9 S p CALL',
    '11 10 C p net.grow(text, integer) {"pool": "step 1", "replicas": 0}',
    '12 11 S d UPDATE 1 U{"id": 1}',
    '13 7 S p INSERT 1 I{"name": "step 2"}',
    '14 13 G p follow',
    '15 14 S p CALL',
    '16 15 C p net.grow(text, integer) {"pool": "step 2", "replicas": 0}',
    '17 16 S d UPDATE 1 U{"id": 1}',
    '18 S d DELETE 1 D{"name": "web"}',
    '19 18 S d DELETE 1 D{"id": 2}',
    '20 S d UPDATE 1 U{"name": "step 1"}';

# --- pg_stat_statements and auto_explain, which are told of every statement within functions, too ---
for my $libraries ('dbnet, pg_stat_statements, auto_explain', 'auto_explain, pg_stat_statements, dbnet') {
    my $node = DBNet::Cluster->started('beside_' . substr($libraries, 0, 4), preload => 0, conf => "
        shared_preload_libraries = '$libraries'
        pg_stat_statements.track = all
        auto_explain.log_min_duration = 0
        auto_explain.log_analyze = on
        auto_explain.log_triggers = on
        auto_explain.log_nested_statements = on");
    $node->psql_ok('CREATE EXTENSION pg_stat_statements', "$libraries: extension");
    my $from = $node->log_position;
    $node->psql_ok($setup, "$libraries: tables");
    $node->psql_ok($work, "$libraries: work");
    $node->query_is($chain, $expected, "$libraries: the chain");
    $node->query_is('SELECT dbnet.provenance_failures(), (SELECT count(*) FROM dbnet.verify()), (SELECT count(*) FROM dbnet.gaps())', '0|0|0', "$libraries: no failures, no gaps");
    $node->query_is(q{SELECT calls, rows FROM pg_stat_statements WHERE query LIKE 'INSERT INTO net.nodes SELECT n, grow.pool%'}, '3|2', "$libraries: pg_stat_statements has counted what a procedure ran");
    like($node->log_since($from), qr/Query Text: INSERT INTO net\.nodes SELECT n, grow\.pool.*?actual time=/s, "$libraries: auto_explain has logged its plan");
    $node->no_crash_in_log;
    $node->stop;
}

# --- parallel query: forced for every statement that allows it ---
my $node = DBNet::Cluster->started('parallel', conf => "max_parallel_workers_per_gather = 2\nparallel_setup_cost = 0\nparallel_tuple_cost = 0\nmin_parallel_table_scan_size = 0");
my $forced = $node->safe_psql('postgres', q{SELECT name FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')});
$node->safe_psql('postgres', "ALTER DATABASE postgres SET $forced = on");
$node->psql_ok($setup, 'parallel: tables');
$node->psql_ok($work, 'parallel: work');
$node->query_is($chain, $expected, 'parallel: the chain');
$node->query_is('SELECT dbnet.provenance_failures(), (SELECT count(*) FROM dbnet.verify()), (SELECT count(*) FROM dbnet.gaps())', '0|0|0', 'parallel: no failures, no gaps');
$node->query_is(q{SELECT count(*) FROM dbnet.as_of('net.pools'::regclass, (SELECT min(event) FROM dbnet.history('net.nodes', '1')))}, '1', 'parallel: as_of');
$node->psql_ok('CREATE TABLE net.copy AS SELECT id FROM generate_series(1, 10000) AS id; INSERT INTO net.pools SELECT DISTINCT id::text, 0 FROM net.copy WHERE id % 1000 = 0', 'parallel: rows that workers have found');
$node->query_is(q{SELECT count(*) FROM net.pools AS p, dbnet.history('net.pools', p.name) AS h WHERE p.name ~ '^\d' AND h.statement LIKE 'INSERT INTO net.pools SELECT%'}, '10', 'parallel: are on record');
# A function that is read anew while a parallel statement runs; and one of which every call is recorded.
$node->psql_ok(q{CREATE FUNCTION net.is_large(id int) RETURNS boolean LANGUAGE plpgsql PARALLEL RESTRICTED AS $$ BEGIN RETURN id > 9990; END $$}, 'parallel: a function that is kept to the leader');
my $asked = 'SELECT count(*) FROM net.copy WHERE id > 9985 AND net.is_large(id)';
$node->query_is($asked, '10', 'parallel: is called');
$node->psql_ok(q{SELECT dbnet.track_function('net.is_large(int)')}, 'parallel: and tracked');
$node->query_is($asked, '10', 'parallel: is called again');
$node->query_is(q{SELECT count(*), count(DISTINCT arguments) FROM dbnet.activity WHERE name = 'net.is_large(integer)'}, '15|15', 'parallel: and every call is on record');
$node->psql_ok('ALTER FUNCTION net.is_large(int) PARALLEL SAFE', 'parallel: one that may run in workers');
$node->query_is($asked, '10', 'parallel: runs there');
my (undef, undef, $warning) = $node->run_sql(q{SELECT dbnet.track_function('net.is_large(int)')});
like($warning, qr/WARNING:  01000: calls of net\.is_large\(integer\) in parallel workers are not recorded\nHINT:  ALTER FUNCTION net\.is_large\(integer\) PARALLEL RESTRICTED keeps it out of them\./, 'parallel: which dbnet.track_function() says');
$node->no_crash_in_log;
$node->stop;

done_testing();
