# What DDL around mirrors leads to: partitions, one server each, the key, the owner, the server.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

my $api   = DBNet::Api->start(controllers => 0, nodes_ready => 0);
my $node  = DBNet::Cluster->started('main', conf => "dbnet.hold_objects = 1000\ndbnet.hold_minimum = 1000");
my $space = $api->namespace;
my $other = "$space-other";
$api->expect_success($api->create('/api/v1/namespaces', { metadata => { name => $other, labels => $api->labels } }));
sub maps { my ($where) = @_; return join ' ', sort map { "$_->{metadata}{name}=$_->{data}{a}" } grep { ($_->{metadata}{labels}{part} // '') eq 'yes' } @{ $api->get("/api/v1/namespaces/$where/configmaps")->{body}{items} } }
sub settled { my ($name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', $name) }
sub mirror_sql {
    my ($server, $table, $namespace) = @_;
    return qq{SELECT dbnet.mirror('$server', 'v1', 'ConfigMap', '$table', namespace => '$namespace', label_selector => 'part=yes', mode => 'manage',
        columns => '{"name": "metadata.name", "labels": "metadata.labels", "data": "data"}');};
}

# --- a partitioned table: a partition for each server ---
$node->psql_ok($api->create_server('east') . $api->create_server('west') . q{
    CREATE SCHEMA net;
    CREATE TABLE net.maps (region text, name text, labels jsonb DEFAULT '{"part": "yes"}', data jsonb, PRIMARY KEY (region, name)) PARTITION BY LIST (region);
    CREATE TABLE net.east PARTITION OF net.maps FOR VALUES IN ('east');
    CREATE TABLE net.west (region text NOT NULL DEFAULT 'west', name text NOT NULL, labels jsonb DEFAULT '{"part": "yes"}', data jsonb);
    ALTER TABLE net.east ALTER region SET DEFAULT 'east', ADD UNIQUE (name);}, 'a partitioned table');
$node->fails_like(mirror_sql('east', 'net.maps', $space), '42809', qr/partitioned table.*partitions/s, 'is no mirror itself');
$node->fails_like(mirror_sql('west', 'net.west', $other), '42P10', qr/ADD PRIMARY KEY \(name\)/, 'nor what has no key');
$node->psql_ok('ALTER TABLE net.west ADD UNIQUE (name);' . mirror_sql('east', 'net.east', $space) . mirror_sql('west', 'net.west', $other), 'its partition is, and a table');
$node->wait_for(q{SELECT bool_and(state = 'synced') FROM dbnet.mirror_status}, 'both are listed');
$node->psql_ok(q{INSERT INTO net.maps (region, name, data) VALUES ('east', 'one', '{"a": "1"}'); INSERT INTO net.west (name, data) VALUES ('two', '{"a": "2"}')}, 'rows');
settled('are sent');
is(maps($space) . ', ' . maps($other), 'one=1, two=2', 'each to its own');
$node->psql_ok(q{ALTER TABLE net.maps ATTACH PARTITION net.west FOR VALUES IN ('west'); UPDATE net.maps SET data = '{"a": "3"}'}, 'a mirror becomes a partition');
settled('and goes on');
is(maps($space) . ', ' . maps($other), 'one=3, two=3', 'written through the parent');
$node->psql_ok(q{UPDATE net.maps SET region = 'west' WHERE name = 'one'}, 'a row moves to the other server');
settled('is settled');
is(maps($space) . ', ' . maps($other), ', one=3 two=3', 'and its object with it');
$node->query_is(q{SELECT relation, operation FROM dbnet.actuation WHERE name = 'one' ORDER BY at DESC LIMIT 2}, "net.east|delete\nnet.west|apply", 'made there before it was deleted here');
$node->psql_ok(q{ALTER TABLE net.maps DETACH PARTITION net.west; UPDATE net.west SET data = '{"a": "4"}'}, 'a partition goes');
settled('the mirror stays');
is(maps($other), 'one=4 two=4', 'and sends');

# --- the key goes, and comes back ---
$node->psql_ok('ALTER TABLE net.west DROP CONSTRAINT west_name_key', 'the unique key is dropped');
$node->wait_for(q{SELECT state = 'degraded' AND message LIKE '%no unique key on (name) any more%' FROM dbnet.mirror_status WHERE relation = 'net.west'::regclass}, 'the mirror says so');
$node->psql_ok(q{UPDATE net.west SET data = '{"a": "5"}' WHERE name = 'one'}, 'a row is changed meanwhile');
$api->expect_success($api->patch("/api/v1/namespaces/$other/configmaps/two", { data => { b => 'x' } }));
$node->psql_ok('ALTER TABLE net.west ADD UNIQUE (name)', 'another key');
$node->wait_for(q{SELECT state = 'synced' FROM dbnet.mirror_status WHERE relation = 'net.west'::regclass}, 'and all is well');
settled('what was written is sent');
is(maps($other), 'one=5 two=4', 'as it was committed');

# --- TRUNCATE deletes nothing at the server ---
$node->psql_ok('BEGIN; TRUNCATE net.west; ROLLBACK; TRUNCATE net.east', 'TRUNCATE');
$node->psql_ok('TRUNCATE net.west', 'and the other');
$node->wait_for(q{SELECT string_agg(name || '=' || (data->>'a'), ' ' ORDER BY name) FROM net.west}, 'the rows come back from the server', expected => 'one=5 two=4');
settled('and nothing is left to do');
is(maps($other), 'one=5 two=4', 'objects stay');
$node->query_is(q{SELECT name, claimed FROM dbnet.object WHERE relation = 'net.west'::regclass ORDER BY 1}, "one|{data,metadata.labels}\ntwo|{data,metadata.labels}", 'with what is DBNet\'s');
$node->psql_ok(q{BEGIN; TRUNCATE net.west; INSERT INTO net.west (name, data) VALUES ('one', '{"a": "9"}'); COMMIT}, 'a table that is loaded anew');
settled('is settled');
is(maps($other), 'one=9 two=4', 'rows are sent, objects without one stay');
$node->wait_for(q{SELECT string_agg(name || '=' || (data->>'a'), ' ' ORDER BY name) FROM net.west}, 'and get theirs back', expected => 'one=9 two=4');

# --- the server goes and comes back; its mirrors know it by name ---
$node->psql_ok('DROP SERVER west', 'the server is dropped');
$node->wait_for(q{SELECT state = 'degraded' AND message LIKE '%"west" does not exist%' FROM dbnet.mirror_status WHERE relation = 'net.west'::regclass}, 'the mirror says so');
$node->psql_ok(q{UPDATE net.west SET data = '{"a": "6"}' WHERE name = 'one'}, 'a change');
$node->psql_ok($api->create_server('west'), 'a server of this name');
$node->wait_for(q{SELECT state = 'synced' FROM dbnet.mirror_status WHERE relation = 'net.west'::regclass}, 'takes the mirror up');
settled('the change is sent');
is(maps($other), 'one=6 two=4', 'to it');

# --- the owner ---
$node->psql_ok(q{CREATE ROLE ann LOGIN; CREATE ROLE bea LOGIN; GRANT ALL ON SCHEMA net TO ann, bea; GRANT USAGE ON FOREIGN SERVER west TO ann;
    ALTER TABLE net.west OWNER TO ann; UPDATE net.west SET data = '{"a": "7"}' WHERE name = 'one'}, 'another owner, who may use the server');
settled('acts for the mirror');
is(maps($other), 'one=7 two=4', 'with her rights');
$node->psql_ok(q{REASSIGN OWNED BY ann TO bea; UPDATE net.west SET data = '{"a": "8"}' WHERE name = 'one'}, 'an owner who may not');
$node->wait_for(q{SELECT state = 'degraded' AND message ILIKE '%permission denied%west%' FROM dbnet.mirror_status WHERE relation = 'net.west'::regclass}, 'degrades it');
is(maps($other), 'one=7 two=4', 'and nothing is sent');
$node->psql_ok('DROP OWNED BY bea; DROP ROLE bea; DROP OWNED BY ann; DROP ROLE ann', 'the owner goes with all that is hers');
$node->query_is(q{SELECT relation FROM dbnet.mirrored_relation}, 'net.east', 'and the mirror with the table');
is(maps($other), 'one=7 two=4', 'the objects stay');

$api->delete("/api/v1/namespaces/$other");
$node->no_crash_in_log;
done_testing();
