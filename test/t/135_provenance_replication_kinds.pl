# Whatever way logical replication takes, what it applies is on record once, with where it came from: the rows that a
# subscription begins with, transactions that are streamed before they commit, and those that are prepared first.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;

my $tables = 'CREATE SCHEMA net; CREATE TABLE net.nodes (name text PRIMARY KEY, zone text); CREATE TABLE net.many (id int PRIMARY KEY, text text)';
my $source = DBNet::Cluster->started('source', allows_streaming => 'logical', conf => "max_prepared_transactions = 4\nlogical_decoding_work_mem = 64kB");
$source->safe_psql('postgres', "$tables; CREATE PUBLICATION nodes FOR TABLE net.nodes, net.many;
    INSERT INTO net.nodes VALUES ('a', 'x'), ('b', 'x'), ('c', NULL)");
my $node = DBNet::Cluster->started('target', allows_streaming => 'logical', conf => 'max_prepared_transactions = 4');
$node->safe_psql('postgres', "$tables; SELECT dbnet.track('net.nodes'), dbnet.track('net.many')");

# What was recorded after an event, and how often the transactions; of many rows only how many.
my $recorded = q{
    SELECT v.operation, v.key ->> 'name', v.old, v.new, a.name, a.kind, t.origin ~ '^pg_\d+', s.process ~ '^logical replication', t.events
    FROM dbnet.entity_version AS v JOIN dbnet.activity AS a ON a.id = v.activity JOIN dbnet.transaction AS t ON t.id = a.transaction JOIN dbnet.session AS s ON s.id = t.session
    WHERE v.id > %s AND v.relation = (SELECT number FROM dbnet.tracked_relation WHERE table_name = 'nodes') ORDER BY v.id};
my $newest = 'SELECT coalesce(max(id), 0) FROM dbnet.entity_version';

# --- the rows that it begins with ---
my $before = $node->safe_psql('postgres', $newest);
$node->safe_psql('postgres', q{CREATE SUBSCRIPTION nodes CONNECTION '} . $source->connstr('postgres') =~ s/'/''/gr . q{' PUBLICATION nodes WITH (streaming = on, two_phase = true)});
$node->wait_for_subscription_sync($source, 'nodes');
$node->query_is(sprintf($recorded, $before), join("\n", map { "I|$_->[0]||$_->[1]|replication|S|t|t|4" }
        [ 'a', '{"name": "a", "zone": "x"}' ], [ 'b', '{"name": "b", "zone": "x"}' ], [ 'c', '{"name": "c"}' ]), 'the first copy');

# --- streamed: too large to be kept until the commit, with a savepoint that was taken back ---
$node->wait_for(q{SELECT subtwophasestate = 'e' FROM pg_subscription}, 'two_phase is in effect');
$before = $node->safe_psql('postgres', $newest);
$source->safe_psql('postgres', q{BEGIN;
    INSERT INTO net.nodes VALUES ('d', 'x');
    INSERT INTO net.many SELECT i, repeat('x', 100) FROM generate_series(1, 3000) AS i;
    SAVEPOINT s; INSERT INTO net.nodes VALUES ('gone', 'x'); UPDATE net.many SET text = 'gone' WHERE id <= 2000; ROLLBACK TO s;
    UPDATE net.nodes SET zone = 'y' WHERE name = 'a';
    DELETE FROM net.many WHERE id <= 1000;
    COMMIT});
$source->wait_for_catchup('nodes');
$node->query_is(q{SELECT count(*) FROM net.many}, '2000', 'it is applied');
cmp_ok($source->safe_psql('postgres', 'SELECT sum(stream_txns) FROM pg_stat_replication_slots'), '>', 0, 'and was streamed') if $source->poll_query_until('postgres', 'SELECT sum(stream_txns) > 0 FROM pg_stat_replication_slots');
$node->query_is(sprintf($recorded, $before), "I|d||{\"name\": \"d\", \"zone\": \"x\"}|replication|S|t|t|4003\nU|a|{\"zone\": \"x\"}|{\"zone\": \"y\"}|replication|S|t|t|4003", 'a transaction that was streamed');
$node->query_is("SELECT operation, count(*), count(DISTINCT key_hash) FROM dbnet.entity_version WHERE id > $before AND relation = (SELECT number FROM dbnet.tracked_relation WHERE table_name = 'many') GROUP BY 1 ORDER BY 1",
    "D|1000|1000\nI|3000|3000", 'each of its rows once');

# --- prepared ---
$before = $node->safe_psql('postgres', $newest);
$source->safe_psql('postgres', q{BEGIN; UPDATE net.nodes SET zone = 'z' WHERE name = 'a'; PREPARE TRANSACTION 'kept'});
$source->safe_psql('postgres', q{BEGIN; UPDATE net.nodes SET zone = 'never' WHERE name = 'b'; PREPARE TRANSACTION 'dropped'});
$source->wait_for_catchup('nodes');
$node->query_is('SELECT count(*) FROM pg_prepared_xacts', '2', 'both are prepared');
$node->query_is(sprintf($recorded, $before), '', 'nothing is on record');
$source->safe_psql('postgres', q{ROLLBACK PREPARED 'dropped'});
$source->safe_psql('postgres', q{COMMIT PREPARED 'kept'});
$source->wait_for_catchup('nodes');
$node->query_is(sprintf($recorded, $before), 'U|a|{"zone": "y"}|{"zone": "z"}|replication|S|t|t|2', 'what was committed');

# --- refused, and applied once the obstacle is gone ---
$before = $node->safe_psql('postgres', $newest);
$node->safe_psql('postgres', q{ALTER TABLE net.nodes ADD CONSTRAINT obstacle CHECK (name <> 'e')});
$source->safe_psql('postgres', q{INSERT INTO net.nodes VALUES ('e', 'x')});
$node->wait_for(q{SELECT sum(apply_error_count) > 0 FROM pg_stat_subscription_stats}, 'it is refused');
$node->query_is(sprintf($recorded, $before), '', 'nothing is on record');
$node->safe_psql('postgres', q{ALTER TABLE net.nodes DROP CONSTRAINT obstacle});
$source->wait_for_catchup('nodes');
$node->query_is(sprintf($recorded, $before), 'I|e||{"name": "e", "zone": "x"}|replication|S|t|t|2', 'it is on record once');

$node->query_is(q{SELECT * FROM dbnet.gaps('net.nodes') WHERE key IS NOT NULL UNION ALL SELECT * FROM dbnet.gaps('net.many')}, '', 'no row has escaped');
$node->query_is('SELECT count(*) FROM dbnet.verify()', '0', 'the chain of hashes holds');
$source->stop;
$node->no_crash_in_log;
$node->stop;
done_testing();
