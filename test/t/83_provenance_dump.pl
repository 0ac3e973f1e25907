# A dump carries what is on record: restored into another database, every question has the same answer.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;

my $node = DBNet::Cluster->started('provenance_dump');
$node->psql_ok(q{
    CREATE SCHEMA net;
    CREATE TABLE net.pools (name text PRIMARY KEY, n int);
    CREATE TABLE net.nodes (id int PRIMARY KEY, pool text REFERENCES net.pools ON DELETE CASCADE, secret text);
    CREATE TABLE net.dropped (zone text, id int, PRIMARY KEY (zone, id));
    SELECT dbnet.track('net.pools', activations => 'all'), dbnet.track('net.nodes', redact => '{secret}'), dbnet.track('net.dropped');
    CREATE PROCEDURE net.grow(pool text, n int) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO net.nodes SELECT i, grow.pool, 'x' FROM generate_series(1, n) AS i ON CONFLICT DO NOTHING; END $$;
    CREATE FUNCTION net.scale() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN CALL net.grow(NEW.name, NEW.n); RETURN NULL; END $$;
    CREATE TRIGGER scale AFTER UPDATE ON net.pools FOR EACH ROW EXECUTE FUNCTION net.scale();
    SELECT dbnet.track_function('net.grow(text, int)');
    INSERT INTO net.pools VALUES ('web', 1), ('db', 1);
    INSERT INTO net.dropped VALUES ('eu', 1);
    CREATE TABLE net.zones (zone text, id int, PRIMARY KEY (zone, id)) PARTITION BY LIST (zone);
    CREATE TABLE net.zones_eu PARTITION OF net.zones FOR VALUES IN ('eu');
    SELECT dbnet.track('net.zones');
    CREATE TABLE net.zones_us PARTITION OF net.zones FOR VALUES IN ('us');
    CREATE TABLE net.zones_as (LIKE net.zones INCLUDING ALL);
    ALTER TABLE net.zones ATTACH PARTITION net.zones_as FOR VALUES IN ('as');
    INSERT INTO net.zones VALUES ('us', 1)}, 'tables, triggers, rows, partitions');
$node->psql_ok($_, $_) for q{UPDATE net.pools SET n = 3 WHERE name = 'web'}, q{UPDATE net.pools SET name = 'store' WHERE name = 'db'}, q{DELETE FROM net.nodes WHERE id = 2},
  q{BEGIN; SELECT dbnet.set_cause(reason => 'ticket 1'); DELETE FROM net.pools WHERE name = 'web'; COMMIT}, q{DROP TABLE net.dropped};
$node->psql_ok(q{DO $$ BEGIN PERFORM dbnet.used('net.nodes', '3'); UPDATE net.pools SET n = 2 WHERE name = 'store'; END $$}, 'a read');
my $middle = $node->safe_psql('postgres', q{SELECT max(event) FROM dbnet.history('net.pools', 'web') WHERE operation = 'UPDATE'});
my ($grown) = $node->safe_psql('postgres', q{SELECT transaction FROM dbnet.history('net.pools', 'web') WHERE operation = 'UPDATE'});

my %question = (
    why      => q{SELECT dbnet.why('net.nodes', '3')},
    history  => q{SELECT * FROM dbnet.history('net.pools', 'web')},
    renamed  => q{SELECT * FROM dbnet.history('net.pools', 'db')},
    blame    => q{SELECT * FROM dbnet.blame('net.pools', 'store')},
    impact   => "SELECT dbnet.impact($middle)",
    as_of    => "SELECT * FROM dbnet.as_of(NULL::net.nodes, $middle) ORDER BY id",
    (map { $_ => "SELECT dbnet.graph($middle, '$_')" } qw(prov-json provn dot mermaid)),
    used     => q{SELECT dbnet.why('net.pools', 'store')},
    why_not  => q{SELECT dbnet.why_not('net.nodes', '9', '-infinity')},
    diff     => "SELECT * FROM dbnet.diff($middle, (SELECT min(event) FROM dbnet.history('net.pools', 'store')))",
    timeline => "SELECT * FROM dbnet.timeline(tstzrange(NULL, dbnet.event_time((SELECT max(id) FROM dbnet.transaction WHERE id <= (SELECT max(event) FROM dbnet.history('net.pools', 'web'))))), 'net.pools')",
    undo     => "SELECT * FROM dbnet.undo(transaction => '$grown')",
    verify   => 'SELECT * FROM dbnet.verify()',
    tracked  => 'SELECT number, relation, schema_name, table_name, key_columns, redacted_columns, activations, enabled, tracked_since FROM dbnet.tracked_relation WHERE number >= 100 ORDER BY 1',
    zones    => q{SELECT * FROM dbnet.history('net.zones', '{"zone": "us", "id": 1}')},
    truncate => q{SELECT tgrelid::regclass, tgenabled FROM pg_trigger WHERE tgname = 'dbnet_track_truncate' AND tgrelid::regclass::text LIKE 'net.zones%' ORDER BY tgrelid::regclass::text},
    code     => 'SELECT * FROM dbnet.code ORDER BY 1',
);
# A reload makes the worker look at once: the first look takes note of a moment, a later one seals what came before it.
for (1 .. 60) {
    $node->safe_psql('postgres', 'SELECT pg_reload_conf()');
    last if $node->poll_query_until('postgres', 'SELECT (SELECT max(id) FROM dbnet.transaction) = ANY (transactions) FROM dbnet.provenance_block ORDER BY number DESC LIMIT 1', 't', 2);
}
my %answer = map { $_ => $node->psql_ok($question{$_}, "$_ in the original") } sort keys %question;
isnt($answer{$_}, '', "$_ has an answer") for grep { $_ ne 'verify' } sort keys %answer;

like($answer{used}, qr/ net\.nodes 3\n/, 'what was read is told');
my $digest = $node->psql_ok('SELECT block, root FROM dbnet.digest()', 'digest of the original');

is($answer{truncate}, "net.zones|A\nnet.zones_as|A\nnet.zones_eu|A\nnet.zones_us|A", 'every partition tells of a TRUNCATE');

my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-h', $node->host, '-p', $node->port, 'postgres' ], 'pg_dump');
$node->psql_ok('CREATE DATABASE copy', 'another database');
$node->command_ok([ 'pg_restore', '-e', '-d', 'copy', '-h', $node->host, '-p', $node->port, $dump ], 'pg_restore');
my @copy = (database => 'copy');
$node->query_is($question{$_}, $answer{$_}, "$_ in the copy", @copy) for sort keys %question;
# What the restore itself did may be sealed by now.
$node->query_is("SELECT number, encode(root, 'hex') FROM dbnet.provenance_block WHERE number = " . ($digest =~ s/\|.*//r), $digest, 'the chain of the copy goes on from the same root', @copy);

# What is restored is no change of its own, and what is changed in the copy goes on record there.
$node->query_is(q{SELECT * FROM dbnet.gaps()}, $node->psql_ok('SELECT * FROM dbnet.gaps()', 'gaps of the original'), 'gaps of the copy', @copy);
$node->psql_ok(q{UPDATE net.pools SET n = 7 WHERE name = 'store'}, 'a change in the copy', @copy);
$node->query_is(q{SELECT operation, old, new FROM dbnet.history('net.pools', 'store', most => 1)}, 'UPDATE|{"n": 2}|{"n": 7}', 'is on record', @copy);
$node->query_is(q{SELECT count(*) FROM dbnet.history('net.pools', 'store')}, '2', 'of the copy alone');
$node->psql_ok(q{CREATE TABLE net.later (id int PRIMARY KEY); SELECT dbnet.track('net.later')}, 'a further table', @copy);
$node->query_is(q{SELECT count(*) = count(DISTINCT number) FROM dbnet.tracked_relation}, 't', 'gets a number of its own', @copy);
$node->no_crash_in_log;
done_testing();
