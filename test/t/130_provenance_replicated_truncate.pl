# A TRUNCATE that logical replication applies is on record as one of a session is: of single partitions, whenever they were
# made, of a partitioned table as a whole, and of mirrors.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;

my $tables = q{CREATE SCHEMA net;
    CREATE TABLE net.nodes (zone text, name text, PRIMARY KEY (zone, name)) PARTITION BY LIST (zone);
    CREATE TABLE net.nodes_x PARTITION OF net.nodes FOR VALUES IN ('x');
    CREATE TABLE net.maps (namespace text, name text, PRIMARY KEY (namespace, name));};
my $later = q{CREATE TABLE net.nodes_y PARTITION OF net.nodes FOR VALUES IN ('y');
    CREATE TABLE net.nodes_z (zone text NOT NULL, name text NOT NULL); ALTER TABLE net.nodes ATTACH PARTITION net.nodes_z FOR VALUES IN ('z');};
my $source = DBNet::Cluster->started('source', allows_streaming => 'logical');
$source->safe_psql('postgres', "$tables $later CREATE PUBLICATION nodes FOR TABLE net.nodes, net.maps");
my $node = DBNet::Cluster->started('target', allows_streaming => 'logical');
$node->safe_psql('postgres', "$tables SELECT dbnet.track('net.nodes');
    CREATE SERVER lab FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (offline 'true'); SELECT dbnet.mirror('lab', 'v1', 'ConfigMap', 'net.maps', columns => '{\"namespace\": \"metadata.namespace\", \"name\": \"metadata.name\"}');
    $later");
$node->safe_psql('postgres', q{CREATE SUBSCRIPTION nodes CONNECTION '} . $source->connstr('postgres') =~ s/'/''/gr . q{' PUBLICATION nodes WITH (copy_data = false)});

# What was recorded after an event: operation, key and in which activity, each by its place.
my $recorded = q{SELECT string_agg(v.operation::text || coalesce(' ' || (v.key ->> 'zone'), '') || coalesce(' ' || (v.key ->> 'name'), ''), ', ' ORDER BY v.id) || ': ' || string_agg(DISTINCT a.name, ', ')
    FROM dbnet.entity_version AS v JOIN dbnet.activity AS a ON a.id = v.activity
    WHERE v.id > %s AND v.relation = (SELECT number FROM dbnet.tracked_relation WHERE table_name = '%s')};

sub applied {
    my ($table, $sql, $expected, $name) = @_;
    my $before = $node->safe_psql('postgres', 'SELECT coalesce(max(id), 0) FROM dbnet.entity_version');
    $source->safe_psql('postgres', $sql);
    $source->wait_for_catchup('nodes');
    return $node->query_is(sprintf($recorded, $before, $table), $expected, $name);
}

my $rows = q{INSERT INTO net.nodes VALUES ('x', 'a'), ('x', 'b'), ('y', 'c'), ('z', 'd')};
applied('nodes', $rows, 'I x a, I x b, I y c, I z d: replication', 'rows of three partitions');
applied('nodes', 'TRUNCATE net.nodes_x', 'T, D x a, D x b: replication', 'a partition that was there when the table was tracked');
applied('nodes', 'TRUNCATE net.nodes_y', 'T, D y c: replication', 'one that was made later');
applied('nodes', 'TRUNCATE net.nodes_z', 'T, D z d: replication', 'one that was attached');
applied('nodes', $rows, 'I x a, I x b, I y c, I z d: replication', 'the rows again');
applied('nodes', 'TRUNCATE net.nodes', 'T, D x a, D x b, D y c, D z d: replication', 'all partitions at once, of which the other server names each');
applied('nodes', $rows, 'I x a, I x b, I y c, I z d: replication', 'the rows once more');
$source->safe_psql('postgres', 'ALTER PUBLICATION nodes SET (publish_via_partition_root = true)');
$node->safe_psql('postgres', 'ALTER SUBSCRIPTION nodes REFRESH PUBLICATION WITH (copy_data = false)');
applied('nodes', 'TRUNCATE net.nodes', 'T, D x a, D x b, D y c, D z d: replication', 'the table by its name');

applied('maps', q{INSERT INTO net.maps VALUES ('default', 'a'), ('default', 'b')}, 'I a, I b: replication', 'rows of a mirror');
applied('maps', 'TRUNCATE net.maps', 'T, D a, D b: replication', 'a mirror');
$node->query_is('SELECT * FROM dbnet.gaps() WHERE key IS NOT NULL', '', 'no row has escaped');
$node->query_is('SELECT count(*) FROM dbnet.verify()', '0', 'the chain of hashes holds');

# --- the triggers go as they came ---
my $triggers = q{SELECT string_agg(tgrelid::regclass::text, ' ' ORDER BY tgrelid::regclass::text) FROM pg_trigger WHERE tgname = 'dbnet_track_truncate' AND tgenabled = 'A'};
$node->query_is($triggers, 'net.maps net.nodes net.nodes_x net.nodes_y net.nodes_z', 'each table has its trigger');
$node->psql_ok(q{SELECT dbnet.untrack('net.nodes'), dbnet.unmirror('net.maps')}, 'the tables are tracked no more');
$node->query_is($triggers, '', 'and have none');

# Partitions that are mirrors, of a table that is tracked: each of both goes by itself.
$node->psql_ok(q{
    CREATE TABLE net.sites (namespace text, name text, PRIMARY KEY (namespace, name)) PARTITION BY LIST (namespace);
    CREATE TABLE net.sites_a PARTITION OF net.sites FOR VALUES IN ('a');
    CREATE TABLE net.sites_b (namespace text NOT NULL, name text NOT NULL, PRIMARY KEY (namespace, name));
    CREATE TABLE net.sites_c (namespace text NOT NULL, name text NOT NULL, PRIMARY KEY (namespace, name));
    SELECT dbnet.mirror('lab', 'v1', 'ConfigMap', part, columns => '{"namespace": "metadata.namespace", "name": "metadata.name"}') FROM unnest('{net.sites_b,net.sites_c}'::text[]) AS part;
    ALTER TABLE net.sites ATTACH PARTITION net.sites_b FOR VALUES IN ('b');
    ALTER TABLE net.sites ATTACH PARTITION net.sites_c FOR VALUES IN ('c');
    SELECT dbnet.track('net.sites')}, 'a table, and mirrors that are partitions of it');
my $all = 'net.sites net.sites_a net.sites_b net.sites_c';
$node->query_is($triggers, $all, 'each has one trigger');
$node->psql_ok(q{SELECT dbnet.unmirror('net.sites_b')}, 'no mirror any more');
$node->query_is($triggers, $all, 'the table above it is still tracked');
$node->psql_ok(q{SELECT dbnet.untrack('net.sites')}, 'tracked no more');
$node->query_is($triggers, 'net.sites_c', 'the mirror still is');
$source->stop;
$node->no_crash_in_log;
$node->stop;
done_testing();
