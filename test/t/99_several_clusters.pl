# Several clusters in one database: ten servers of which one refuses, one is silent, one is slow and others hang never delay
# the rest; a partitioned table with a partition for each cluster, whose rows move between them, one by one and all at once,
# also away from a cluster that is lost.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Need;
use Test::More;

DBNet::Need::need('own_servers');
my $per_server = 4;    # requests in flight
my $node = DBNet::Cluster->started('several_clusters', conf => "dbnet.requests_in_flight = $per_server");
my @names = map { chr ord('a') + $_ } 0 .. 9;
# The first one is what the run is on, the others simulators.
my %api = map { $_ => DBNet::Api->start(nodes_ready => 0, controllers => 0, proxy => 0, $_ eq 'a' ? () : (kind => 'simulator', durable => 1)) } @names;
my ($dead, $silent, $slow, @hanging) = @names[ 2 .. 9 ];

sub maps_of { my ($name) = @_; return '/api/v1/namespaces/' . $api{$name}->namespace . '/configmaps' }
sub objects { my ($name) = @_; return @{ $api{$name}->get(maps_of($name), query => { labelSelector => 'cluster' })->{body}{items} // [] } }
sub names_in { my ($name) = @_; return join ' ', sort map { $_->{metadata}{name} } objects($name) }
sub synced { my ($name, $value) = @_; return qq{SELECT count(*) FROM dbnet.object WHERE relation = 'net.maps_$name'::regclass AND phase = 'synced' AND live -> 'data' ->> 'v' = '$value'} }
sub count_of { my ($name, $phases) = @_; return qq{SELECT count(*) FROM dbnet.object WHERE relation = 'net.maps_$name'::regclass AND phase IN ($phases)} }

# --- one table, a partition for each cluster ---
$node->psql_ok(q{CREATE SCHEMA net;
    CREATE TABLE net.maps (cluster text, name text, labels jsonb DEFAULT '{"cluster": "yes"}', data jsonb, PRIMARY KEY (cluster, name)) PARTITION BY LIST (cluster)}, 'a partitioned table');
$node->psql_ok($api{$_}->create_server("cluster_$_") . qq{CREATE TABLE net.maps_$_ PARTITION OF net.maps (UNIQUE (name)) FOR VALUES IN ('$_'); ALTER TABLE net.maps_$_ ALTER cluster SET DEFAULT '$_';
    SELECT dbnet.mirror('cluster_$_', 'v1', 'ConfigMap', 'net.maps_$_', namespace => '} . $api{$_}->namespace . q{', label_selector => 'cluster', mode => 'manage',
        columns => '{"name": "metadata.name", "labels": "metadata.labels", "data": "data"}')}, "a partition for cluster $_") for @names;
$node->psql_ok(qq{INSERT INTO net.maps (cluster, name, data) SELECT cluster, 'm-' || n, '{"v": "1"}' FROM unnest('{@{[ join ',', @names ]}}'::text[]) AS cluster, generate_series(1, 8) AS n},
    'rows of all clusters in one statement');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('120 s')}, '', 'all are sent');
is(names_in($_), join(' ', map { "m-$_" } 1 .. 8), "cluster $_ has its own") for @names;

# --- one is gone, one accepts and says nothing, one is slow, the others take requests and do not answer them ---
$api{$dead}->kill_server;
$api{$silent}->freeze;
$api{$slow}->fault({ action => 'delay', delay_ms => 5000, count => -1, path => 'configmaps', watch => JSON::PP::false });
$api{$_}->disturb('pause') for @hanging;
$node->psql_ok(q{UPDATE net.maps SET data = '{"v": "2"}' WHERE cluster NOT IN ('a', 'b')}, 'changes for those clusters');
# As many as are let are under way at each that hangs: more than the transport lets be under way at a single server.
$node->wait_for("SELECT count(*) = 1 + @{[ scalar @hanging ]} FROM (SELECT relation FROM dbnet.object WHERE phase = 'applying' AND relation::regclass::text <> 'net.maps_$slow'
    GROUP BY relation HAVING count(*) >= $per_server) AS hanging", 'requests hang at each');
cmp_ok((1 + @hanging) * $per_server, '>', 4 * $per_server, 'together more than are let be under way at one');

for my $round (1 .. 2) {
    for my $name (qw(a b)) {
        $node->psql_ok(qq{INSERT INTO net.maps (cluster, name, data) SELECT '$name', 'r$round-' || n, '{"v": "r$round"}' FROM generate_series(1, 50) AS n}, "round $round: 50 rows of $name");
        $node->wait_for(synced($name, "r$round"), 'are actuated', expected => 50);
    }
}
$node->query_is("SELECT count(*) > 0 FROM dbnet.object WHERE phase = 'applying' AND relation::regclass::text <> 'net.maps_$slow'", 't', 'while the requests of others still hang');
$api{$_}->expect_success($api{$_}->create(maps_of($_), { metadata => { name => 'theirs', labels => { cluster => 'yes' } }, data => { v => 'theirs' } })) for qw(a b);
$node->wait_for(q{SELECT string_agg(cluster || data, ' ' ORDER BY cluster) FROM net.maps WHERE name = 'theirs'}, 'their watches go on', expected => 'a{"v": "theirs"} b{"v": "theirs"}');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s', 'net.maps_a') UNION ALL SELECT * FROM dbnet.wait_synced('60 s', 'net.maps_b')}, '', 'who waits for them waits for nobody else');
$node->wait_for(count_of($dead, "'pending', 'uncertain'") . qq{ AND message LIKE '%connect to%'}, 'what goes to the one that is gone waits and says why', expected => 8);
$node->wait_for(synced($slow, '2'), 'the slow one gets all, if slowly', expected => 8, timeout => 180);
$node->wait_for(qq{SELECT state = 'degraded' AND message LIKE '%connect to%' FROM dbnet.mirror_status WHERE relation = 'net.maps_$dead'::regclass}, 'and its mirror says so');
$node->query_is(q{SELECT DISTINCT state FROM dbnet.mirror_status WHERE relation IN ('net.maps_a'::regclass, 'net.maps_b'::regclass)}, 'synced', 'those of a and b are well');

# --- rows move ---
$node->psql_ok(q{UPDATE net.maps SET cluster = 'b', name = 'moved' WHERE cluster = 'a' AND name = 'm-1'}, 'one row moves, and is renamed');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s', 'net.maps_a') UNION ALL SELECT * FROM dbnet.wait_synced('60 s', 'net.maps_b')}, '', 'settled');
is($api{a}->get(maps_of('a') . '/m-1')->{status}, 404, 'it is gone there');
is($api{b}->get(maps_of('b') . '/moved')->{body}{data}{v}, '1', 'and is here');
$node->query_is(q{SELECT (SELECT min(at) FROM dbnet.actuation WHERE relation = 'net.maps_b'::regclass AND name = 'moved') < (SELECT min(at) FROM dbnet.actuation WHERE relation = 'net.maps_a'::regclass AND name = 'm-1' AND operation = 'delete')},
    't', 'made here before it was deleted there');

$node->psql_ok(qq{UPDATE net.maps SET cluster = '$dead', name = 'guest' WHERE cluster = 'a' AND name = 'm-2'}, 'a row moves to the cluster that is gone');
$node->wait_for(qq{SELECT phase IN ('pending', 'uncertain') AND message LIKE '%connect to%' FROM dbnet.object WHERE relation = 'net.maps_$dead'::regclass AND name = 'guest'}, 'it waits');
$node->psql_ok(q{UPDATE net.maps SET data = '{"v": "later"}' WHERE cluster = 'a' AND name = 'm-3'}, 'another change');
$node->query_is(q{SELECT count(*) FROM dbnet.wait_synced('60 s', 'net.maps_b')}, '0', 'is sent');
$node->wait_for(q{SELECT phase FROM dbnet.object WHERE relation = 'net.maps_a'::regclass AND name = 'm-3'}, 'and settled', expected => 'synced');
is($api{a}->get(maps_of('a') . '/m-2')->{status}, 200, 'its object is not deleted before it is anywhere else');

# --- failover: all rows of the lost cluster, in one statement ---
$node->psql_ok(qq{UPDATE net.maps SET cluster = 'b', name = 'from-' || name WHERE cluster = '$dead'}, 'all rows of the lost cluster go to another');
$node->wait_for(q{SELECT count(*) FROM dbnet.object WHERE relation = 'net.maps_b'::regclass AND name LIKE 'from-m-%' AND phase = 'synced' AND live -> 'data' ->> 'v' = '2'},
    'they are there at once, with what was committed last', expected => 8);
my $failed_over = join ' ', 'from-guest', map { "from-m-$_" } 1 .. 8;
is(join(' ', grep { /^from-/ } split / /, names_in('b')), $failed_over, 'all of them, also the one that was on its way');

# --- the clusters come back ---
$api{$slow}->no_faults;
$api{$silent}->thaw;
$api{$_}->disturb('pause?on=false') for @hanging;
$api{$dead}->start_server;
$node->wait_for(synced($_, '2'), "cluster $_ gets what was committed", expected => 8, timeout => 180) for $silent, $slow, @hanging;
$node->wait_for(q{SELECT count(*) FROM dbnet.object WHERE phase <> 'synced'}, 'all is settled', expected => 0, timeout => 180);
$node->wait_for(q{SELECT count(*) FROM dbnet.mirror_status WHERE state <> 'synced'}, 'all mirrors are well', expected => 0);
is(names_in($dead), '', 'what was moved away is gone from the cluster that was lost');
is(join(' ', grep { /^from-/ } split / /, names_in('b')), $failed_over, 'and where it was moved to');
is($api{a}->get(maps_of('a') . '/m-2')->{status}, 404, 'nothing is in two clusters');

$node->no_crash_in_log;
done_testing();
