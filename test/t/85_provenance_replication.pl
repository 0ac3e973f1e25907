# What another server did, applied by logical replication, is on record as that; a standby answers questions and records nothing.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;

my $table = 'CREATE SCHEMA net; CREATE TABLE net.nodes (name text PRIMARY KEY, zone text)';
my $source = DBNet::Cluster->started('source', allows_streaming => 'logical');
$source->safe_psql('postgres', "$table; CREATE PUBLICATION nodes FOR TABLE net.nodes");
my $node = DBNet::Cluster->started('target', allows_streaming => 'logical');
$node->safe_psql('postgres', "$table; SELECT dbnet.track('net.nodes'); CREATE TABLE net.seen (name text PRIMARY KEY); SELECT dbnet.track('net.seen');
    CREATE FUNCTION net.see() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN INSERT INTO net.seen VALUES (NEW.name); RETURN NULL; END \$\$;
    CREATE TRIGGER see AFTER INSERT ON net.nodes FOR EACH ROW EXECUTE FUNCTION net.see(); ALTER TABLE net.nodes ENABLE ALWAYS TRIGGER see;
    ALTER TABLE net.seen ENABLE ALWAYS TRIGGER dbnet_track");
$node->safe_psql('postgres', q{CREATE SUBSCRIPTION nodes CONNECTION '} . $source->connstr('postgres') =~ s/'/''/gr . q{' PUBLICATION nodes WITH (copy_data = false)});

# --- logical replication ---
$source->safe_psql('postgres', q{INSERT INTO net.nodes VALUES ('a', 'x'), ('b', 'x')});
$source->safe_psql('postgres', q{UPDATE net.nodes SET zone = 'y' WHERE name = 'a'; DELETE FROM net.nodes WHERE name = 'b'});
$node->wait_for(q{SELECT string_agg(name || zone, ' ') FROM net.nodes}, 'the changes are applied', expected => 'ay');
my $chain = q{ -- the worker has another name since 17
    SELECT v.operation, v.key ->> 'name', a.name, a.kind, t.origin ~ '^pg_\d+$', replace(s.process, ' apply ', ' '), v.old, v.new
    FROM dbnet.entity_version AS v JOIN dbnet.activity AS a ON a.id = v.activity JOIN dbnet.transaction AS t ON t.id = a.transaction JOIN dbnet.session AS s ON s.id = t.session
    WHERE v.relation = (SELECT number FROM dbnet.tracked_relation WHERE table_name = 'nodes') ORDER BY v.id};
$node->query_is($chain, join("\n",
        'I|a|replication|S|t|logical replication worker||{"name": "a", "zone": "x"}',
        'I|b|replication|S|t|logical replication worker||{"name": "b", "zone": "x"}',
        'U|a|replication|S|t|logical replication worker|{"zone": "x"}|{"zone": "y"}',
        'D|b|replication|S|t|logical replication worker|{"name": "b", "zone": "x"}|'), 'each is on record, as applied from the other server');
# Another key, several changes in one transaction of which a savepoint took one back, TRUNCATE.
my $before = $node->safe_psql('postgres', 'SELECT max(id) FROM dbnet.entity_version');
$source->safe_psql('postgres', q{BEGIN; UPDATE net.nodes SET name = 'c', zone = 'z' WHERE name = 'a'; INSERT INTO net.nodes VALUES ('d', 'x');
    SAVEPOINT s; INSERT INTO net.nodes VALUES ('gone', 'x'); ROLLBACK TO s; COMMIT; TRUNCATE net.nodes; INSERT INTO net.nodes VALUES ('e', 'x')});
$node->wait_for(q{SELECT string_agg(name || zone, ' ') FROM net.nodes}, 'those are applied', expected => 'ex');
$node->query_is($chain =~ s/WHERE /WHERE v.id > $before AND /r =~ s/v\.old, v\.new/v.old, v.new, t.events/r, join("\n",
        'U|c|replication|S|t|logical replication worker|{"name": "a", "zone": "y"}|{"name": "c", "zone": "z"}|7',
        'R|a|replication|S|t|logical replication worker|||7',
        'I|d|replication|S|t|logical replication worker||{"name": "d", "zone": "x"}|7',
        'T||replication|S|t|logical replication worker|||4',
        'D|c|replication|S|t|logical replication worker|{"name": "c", "zone": "z"}||4',
        'D|d|replication|S|t|logical replication worker|{"name": "d", "zone": "x"}||4',
        'I|e|replication|S|t|logical replication worker||{"name": "e", "zone": "x"}|5'), 'each transaction of the other server is one here');
$node->query_is(q{SELECT string_agg(regexp_replace(line, '^\S+ \S+ +', ''), E'\n') FROM dbnet.why('net.seen', 'b') AS line WHERE line !~ ' who '}, join("\n",
        'row        INSERT net.seen b',
        'statement  INSERT INTO net.seen VALUES (NEW.name) (line 1)',
        'trigger    see on net.nodes, after insert',
        'row        INSERT net.nodes b: zone "x"',
        'statement  replication'), 'a trigger leads back to the row that was applied');
$node->query_is(q{SELECT count(*) FROM dbnet.why('net.seen', 'b') AS line WHERE line ~ ' who .*logical replication (apply )?worker.*replicated from ''pg_'}, '1', 'and to the server that it came from');
$node->query_is('SELECT count(*) FROM dbnet.verify()', '0', 'the chain of hashes holds');
$source->stop;

# --- a standby ---
$node->safe_psql('postgres', q{CREATE FUNCTION net.look() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM net.nodes); END'; SELECT dbnet.track_function('net.look()')});
$node->backup('base', backup_options => ['--checkpoint=fast']);
my $standby = DBNet::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
$standby->query_is('SELECT net.look()', '1', 'a tracked function runs on a standby');
$standby->query_is(q{SELECT dbnet.used('net.nodes', 'a')}, '', 'and what it has used need not be recorded');
$standby->query_is(q{SELECT count(*) > 3 FROM dbnet.why('net.seen', 'b')}, 't', 'a standby answers why');
$standby->query_is(q{SELECT count(*) FROM dbnet.as_of(NULL::net.nodes, (SELECT event FROM dbnet.history('net.nodes', 'b') WHERE operation = 'INSERT'))}, '2', 'and as_of');
$node->query_is(q{SELECT count(*) FROM dbnet.activity WHERE name LIKE 'net.look%'}, '0', 'nothing of it is on record');
$standby->stop;
$node->no_crash_in_log;
$node->stop;
done_testing();
