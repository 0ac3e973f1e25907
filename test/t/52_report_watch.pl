# The watch survives what servers and networks do to it, and no change is lost: ends, cuts, 410, a restarted or restored
# server, lost events, a killed worker, refusals.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

DBNet::Need::need('own_servers', 'faults');
my $api  = DBNet::Api->start(nodes_ready => 0, controllers => 0, durable => 1);
my $node = DBNet::Cluster->started('main');
my $space = $api->namespace;
my $maps  = "/api/v1/namespaces/$space/configmaps";
my $turn  = 0;

sub map_of { my ($name, $value) = @_; return { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => $name }, data => { a => "$value" } } }
sub create { my ($name) = @_; return $api->expect_success($api->create($maps, map_of($name, 0))) }

# Puts a new value into an object, unseen by the watch while it is away if `meanwhile` sees to that, and awaits it in the row.
sub change { my ($name) = @_; $turn++; return $api->expect_success($api->patch("$maps/$name", { data => { a => "$turn" } })) }
sub follows {
    my ($name, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $node->wait_for(qq{SELECT data->>'a' = '$turn' FROM net.maps WHERE name = '$name'}, $what);
}

# More than one page, and objects in no order of names.
create("m$_") for 1 .. 30;
$node->psql_ok($api->create_server('prod') . qq{
    CREATE SCHEMA net;
    CREATE TABLE net.maps (name text PRIMARY KEY, data jsonb);
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.maps', '{"name": "metadata.name", "data": "data"}', namespace => '$space')}, 'a mirror');
$node->wait_for(q{SELECT count(*) FROM net.maps WHERE name LIKE 'm%'}, 'objects are imported', expected => '30');
change('m1');
follows('m1', 'a watch');

$api->kill_server;
$api->start_server;
change('m2');
follows('m2', 'after the server was killed and started');
$node->wait_for(q{SELECT state = 'synced' AND message IS NULL FROM dbnet.mirror_state}, 'the mirror is well');

{
    $api->disturb('end_watches');
    change('m2');
    follows('m2', 'after the watch was ended in order');
    $api->disturb('drop_watches?reset=1');
    change('m3');
    follows('m3', 'after its connection was cut');
    $node->query_is(q{SELECT state, message IS NULL FROM dbnet.mirror_state}, 'synced|t', 'all is well again');

    $api->disturb('expire_watches');
    change('m4');
    follows('m4', 'after a 410 in the stream');

    # What happens while nobody watches is found by the list: changes, deletions, another object of the same name.
    $api->disturb('hold_watches');
    my $uid = $api->get("$maps/m7")->{body}{metadata}{uid};
    $api->delete("$maps/m6");
    $api->delete("$maps/m7");
    create('m7');
    change('m5');
    $api->compact;
    $api->disturb('drop_watches');
    $api->disturb('hold_watches?on=false');
    follows('m5', 'a change before the watch was too old');
    $node->wait_for(q{SELECT NOT EXISTS (SELECT FROM net.maps WHERE name = 'm6')}, 'a deletion that no event told of');
    $node->wait_for(qq{SELECT uid <> '$uid' FROM dbnet.object WHERE name = 'm7'}, 'another object of the same name');

    # --- refusals keep the rows ---
    $api->fault({ method => 'GET', path => 'configmaps', count => -1, action => 'respond', status => 403,
        body => { kind => 'Status', apiVersion => 'v1', status => 'Failure', message => 'configmaps is forbidden: not today', reason => 'Forbidden', code => 403 } });
    $api->disturb('expire_watches');
    $node->wait_for(q{SELECT state = 'degraded' AND message LIKE '%not today%' FROM dbnet.mirror_state}, 'a refused list degrades the mirror, in the words of the server');
    $node->query_is(q{SELECT count(*) FROM net.maps WHERE name LIKE 'm%'}, '29', 'and keeps every row');
    $api->no_faults;
    change('m8');
    follows('m8', 'after the refusal');
    $node->wait_for(q{SELECT state = 'synced' AND message IS NULL FROM dbnet.mirror_state}, 'the mirror is well again');
}

# --- a killed worker ---
$node->replace_worker('mirror worker', 'KILL');
change('m9');
follows('m9', 'after kill -9 of the worker');
$node->stop;
$api->delete("$maps/m10");
change('m11');
$node->start;
follows('m11', 'what changed while the database was down');
$node->wait_for(q{SELECT NOT EXISTS (SELECT FROM net.maps WHERE name = 'm10')}, 'what was deleted while the database was down');

# --- the same, and the server has forgotten the version from which the watch would go on ---
$node->stop;
$api->delete("$maps/m16");
my $former = $api->get("$maps/m17")->{body}{metadata}{uid};
$api->delete("$maps/m17");
create('m17');
change('m11');
$api->compact;
$api->kill_server;
$api->start_server;
$node->start;
follows('m11', 'a change of a forgotten version');
$node->wait_for(q{SELECT NOT EXISTS (SELECT FROM net.maps WHERE name = 'm16')}, 'a forgotten deletion');
$node->wait_for(qq{SELECT uid <> '$former' FROM dbnet.object WHERE name = 'm17'}, 'another object of the same name');

# --- a server restored from a backup: versions go back, watches would stay silent ---
$api->save_store;
change('m12') for 1 .. 100;    # far more than a server writes when it starts
follows('m12', 'changes after the backup');
$api->restore_store;
$turn = 0;
$node->wait_for(q{SELECT data->>'a' = '0' FROM net.maps WHERE name = 'm12'}, 'the restored state, although its versions are older', timeout => 120);
$turn = 1000;
change('m12');
follows('m12', 'changes after the restore');

# --- the same, unnoticed: its versions have passed ours before we ask ---
my $compare = sub {
    my ($interval) = @_;
    return $node->psql_ok("ALTER SYSTEM SET dbnet.compare_interval = $interval; SELECT pg_reload_conf()", "compare every $interval s");
};
$api->save_store;
change('m12');
create('m31');
follows('m12', 'a change after the backup');
$node->wait_for(q{SELECT count(*) = 1 FROM net.maps WHERE name = 'm31'}, 'an object after the backup');
$node->stop;
$api->restore_store;
change('m18') for 1 .. 5;
$node->start;
$compare->(1);
follows('m18', 'the watch goes on');
$node->wait_for(q{SELECT data->>'a' = '1001' FROM net.maps WHERE name = 'm12'}, 'a compare finds the older state');
$node->wait_for(q{SELECT count(*) = 0 FROM net.maps WHERE name = 'm31'}, 'and what is not there any more');
$compare->(600);

# --- events that the server itself loses ---
{
    $api->fault({ action => 'drop_event', path => 'configmaps', count => 2 });
    change('m14');
    $api->delete("$maps/m15");
    $compare->(1);
    follows('m14', 'a change that no event told of');
    $node->wait_for(q{SELECT NOT EXISTS (SELECT FROM net.maps WHERE name = 'm15')}, 'and a deletion');
    $compare->(600);
}

# --- a server that does not answer at all ---
my $count = grep { $_->{metadata}{name} =~ /^m/ } @{ $api->get($maps)->{body}{items} };
$node->wait_for(q{SELECT count(*) FROM net.maps WHERE name LIKE 'm%'}, 'every row is there', expected => $count);
$api->freeze;
$node->query_is(q{SELECT count(*) FROM net.maps WHERE name LIKE 'm%'}, $count, 'a frozen server takes no row');
$api->thaw;
change('m13');
follows('m13', 'after the server hung');

$node->no_crash_in_log(except => qr{mirror worker.*signal 9});
done_testing();
