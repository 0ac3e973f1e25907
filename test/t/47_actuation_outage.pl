# The API server is killed and started again while rows change: with a request under way, with the worker and the whole
# database restarted meanwhile. Every commit arrives, once; the watch goes on; nothing is lost on either side.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

DBNet::Need::need('own_servers');
my $node = DBNet::Cluster->started('actuation_outage', conf => "dbnet.hold_objects = 1000\ndbnet.hold_percent = 100");
my $api = DBNet::Api->start(durable => 1);
my $mirrors = DBNet::Mirrors->new($node, $api);
my $maps = '/api/v1/namespaces/' . $api->namespace . '/configmaps';

# What the server has of the mirror, and what the rows say: name and value of each.
sub objects {
    my $list = $api->expect_success($api->get($maps, query => { labelSelector => $api->selector }));
    return join ' ', sort map { "$_->{metadata}{name}=$_->{data}{v}" } @{ $list->{items} };
}
sub is_settled {
    my ($expected, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($mirrors->wait_synced, '', "$name: all is settled");
    # What others changed comes in by itself, some time after what was committed here went out.
    $node->wait_for(q{SELECT string_agg(name || '=' || (data->>'v'), ' ' ORDER BY name COLLATE "C") FROM net.configs}, "$name: the rows", expected => $expected);
    is(objects(), $expected, "$name: the objects");
    $node->wait_for(q{SELECT bool_and(state = 'synced' AND message IS NULL) FROM dbnet.mirror_status}, "$name: the mirrors are well");
    return;
}

$node->psql_ok(join('', 'BEGIN;', (map { $mirrors->config_row($_, { v => '1' }) } qw(hot keep lost old u1 u2)), 'COMMIT;'), 'rows');
is_settled('hot=1 keep=1 lost=1 old=1 u1=1 u2=1', 'before');
my %uid = map { $_ => $mirrors->config($_)->{metadata}{uid} } qw(hot u1 keep);

# --- killed with a request under way: nobody knows whether it was carried out ---
$api->freeze;
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "2"}' WHERE name = 'hot'}, 'update while the server hangs');
$node->wait_for(q{SELECT phase = 'applying' FROM dbnet.object_status WHERE name = 'hot'}, 'the request is under way');
$api->kill_server;
$node->wait_for(q{SELECT phase IN ('uncertain', 'pending') AND message <> '' FROM dbnet.object_status WHERE name = 'hot'}, 'its answer is lost, and the object says so');

# --- while it is away ---
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "2"}' WHERE name = 'u1';
    DELETE FROM net.configs WHERE name = 'lost';
    UPDATE net.configs SET name = 'new' WHERE name = 'old'} . '; BEGIN;' . $mirrors->config_row('born', { v => '1' }) . 'COMMIT;'
      . $mirrors->config_row('never', { v => '1' }) . q{DELETE FROM net.configs WHERE name = 'never';
    UPDATE net.configs SET data = '{"v": "9"}' WHERE name = 'keep'; UPDATE net.configs SET data = '{"v": "1"}' WHERE name = 'keep'}, 'rows change');
$node->wait_for(q{SELECT count(*) = 3 FROM dbnet.object_status WHERE name IN ('u1', 'new', 'born') AND phase = 'pending' AND message <> ''}, 'objects wait and say why');
$node->wait_for(q{SELECT next_step LIKE '%when the server can be reached%' FROM dbnet.object_status WHERE name = 'u1'}, 'and what they wait for');
$node->wait_for(q{SELECT bool_and(state = 'degraded' AND message LIKE '%' || split_part(split_part(srvoptions::text, '://', 2), '"', 1) || '%') FROM dbnet.mirror_status, pg_foreign_server},
    'the mirrors are degraded and say why');
$node->query_is(q{SELECT phase FROM dbnet.object_status WHERE name = 'keep'}, 'synced', 'what was taken back is nothing to send');
$node->query_is(q{SELECT state FROM dbnet.check_server('prod') WHERE item = 'connection'}, 'failed', 'check_server says it too');
$node->query_is(q{SELECT count(*) > 0 FROM dbnet.wait_synced('1 s')}, 't', 'wait_synced tells what is not settled');
$node->query_is(q{SELECT count(*) FROM dbnet.object_status WHERE needs_action}, '0', 'nobody has to do anything');

# --- it is back ---
my $log = $node->log_position;
$api->start_server;
is_settled('born=1 hot=2 keep=1 new=1 u1=2 u2=1', 'after the outage');
is($mirrors->config($_)->{metadata}{uid}, $uid{$_}, "$_ is the same object") for sort keys %uid;
$node->query_is(q{SELECT string_agg(name, ' ' ORDER BY name) FROM dbnet.actuation WHERE http_status = 201 AND name IN ('born', 'new', 'never')}, 'born new', 'each was created once');
$node->query_is('SELECT count(*) FROM dbnet.tombstone', '0', 'no tombstone is left');
$api->expect_success($api->patch("$maps/u2", { data => { v => 'theirs' } }));
$node->wait_for(q{SELECT phase = 'drifted' FROM dbnet.object_status WHERE name = 'u2'}, 'the watch goes on');
$api->expect_success($api->patch("$maps/u2", { data => { v => '1' } }));
$node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object_status WHERE name = 'u2'}, 'and sees the end of it');

# --- others change objects before the watch is back ---
$api->kill_server;
$node->wait_for(q{SELECT bool_and(state = 'degraded') FROM dbnet.mirror_status}, 'away again');
$api->start_server;
$api->delete("$maps/born");
$api->expect_success($api->create($maps, { metadata => { name => 'foreign', labels => $api->labels }, data => { v => '1' } }));
$node->wait_for(q{SELECT phase = 'absent' FROM dbnet.object_status WHERE name = 'born'}, 'what was deleted');
$node->wait_for(q{SELECT count(*) = 1 FROM net.configs WHERE name = 'foreign'}, 'what was created');
$node->psql_ok(q{DELETE FROM net.configs WHERE name = 'born'}, 'its row goes, too');

# --- the worker, then the whole database, restart while the server is away ---
$api->kill_server;
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "3"}' WHERE name = 'u1'}, 'update');
$node->replace_worker('mirror worker', 'KILL');
$node->psql_ok(q{DELETE FROM net.configs WHERE name = 'new'}, 'delete');
$node->kill9;
$node->start;
isnt(($node->run_sql(q{SELECT count(*) FROM dbnet.wait_synced('1 s')}))[1], '0', 'wait_synced does not say that all is well before anybody can know');
$node->psql_ok($mirrors->config_row('last', { v => '1' }), 'insert');
$node->wait_for(q{SELECT bool_and(state = 'degraded') FROM dbnet.mirror_status}, 'a worker that never reached the server says so');
$api->start_server;
is_settled('foreign=1 hot=2 keep=1 last=1 u1=3 u2=1', 'after three restarts');
$node->query_is('SELECT count(*) FROM dbnet.tombstone', '0', 'no tombstone is left');
is($mirrors->config($_)->{metadata}{uid}, $uid{$_}, "$_ is still the same object") for sort keys %uid;

# --- the server comes back and has forgotten the history ---
$api->kill_server;
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "4"}' WHERE name = 'u1'}, 'update');
$api->start_server;
$api->delete("$maps/foreign");
$api->compact;
$node->wait_for(q{SELECT count(*) = 0 FROM net.configs WHERE name = 'foreign'}, 'what was deleted meanwhile is found');
is_settled('hot=2 keep=1 last=1 u1=4 u2=1', 'after a compaction');

$node->no_crash_in_log(except => qr/terminated by signal 9/);
done_testing();
