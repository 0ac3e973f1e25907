# A server that leads to another cluster from one moment to the next, or to a store that was restored while there was no
# connection: what is not there is gone, although it was recorded with versions that the other store has yet to reach.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Need;
use Test::More;

DBNet::Need::need('own_servers');
my $first  = DBNet::Api->start(nodes_ready => 0, controllers => 0, durable => 1);
my $second = DBNet::Api->start(nodes_ready => 0, controllers => 0, kind => 'simulator', proxy => 0);
my $node   = DBNet::Cluster->started('main');
my $space  = $first->namespace;
my $maps   = "/api/v1/namespaces/$space/configmaps";
my $kubeconfig = $first->directory . '/current';

sub lead_to {
    my ($api) = @_;
    open my $out, '>', "$kubeconfig.new" or die "$kubeconfig.new: $!";
    print $out PostgreSQL::Test::Utils::slurp_file($api->kubeconfig);
    close $out or die "$kubeconfig.new: $!";
    return rename("$kubeconfig.new", $kubeconfig) || die "$kubeconfig: $!";
}
sub version { my ($api) = @_; return $api->get($maps)->{body}{metadata}{resourceVersion} }
sub create { my ($api, $name) = @_; return $api->expect_success($api->create($maps, { metadata => { name => $name, labels => { part => 'yes' } }, data => { a => '0' } })) }
sub rows { my ($expected, $what) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->wait_for(q{SELECT string_agg(name, ' ' ORDER BY name) FROM net.maps WHERE name LIKE '%-one'}, $what, expected => $expected, timeout => 120) }
sub phase { my ($name) = @_; return qq{SELECT phase FROM dbnet.object WHERE relation = 'net.maps'::regclass AND name = '$name'} }

$second->expect_success($second->create('/api/v1/namespaces', { metadata => { name => $space } }));
create($first, 'foreign-one');
create($second, 'second-one');
lead_to($first);
$node->psql_ok(qq{CREATE SERVER prod FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (kubeconfig '$kubeconfig', lease_namespace '$space');
    CREATE SCHEMA net;
    CREATE TABLE net.maps (name text PRIMARY KEY, data jsonb);
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.maps', '{"name": "metadata.name", "data": "data"}', namespace => '$space', mode => 'manage');
    CREATE TABLE net.parts (name text PRIMARY KEY, labels jsonb);
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.parts', '{"name": "metadata.name", "labels": "metadata.labels"}', namespace => '$space', label_selector => 'part=yes')},
    'two mirrors, one of them with a selector');
rows('foreign-one', 'what the first cluster has');
my $turn = 0;
while (version($first) < version($second) + 50) {
    $turn++;
    $first->expect_success($first->patch("$maps/foreign-one", { data => { a => "$turn" } }));
}
$node->psql_ok(q{INSERT INTO net.maps VALUES ('ours-one', '{"a": "1"}')}, 'a row');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'is sent');
$node->wait_for(qq{SELECT data->>'a' FROM net.maps WHERE name = 'foreign-one'}, 'and the newest is here', expected => $turn);
cmp_ok(version($first), '>', version($second) + 20, 'the versions of the first cluster are ahead of the second');

# --- another cluster ---
lead_to($second);
rows('ours-one second-one', 'the kubeconfig leads to the second cluster: its objects come, foreign ones of the first go');
$node->wait_for(phase('ours-one'), 'what a row had made there is flagged', expected => 'absent', timeout => 120);
$node->wait_for(q{SELECT string_agg(name, ' ') FROM net.parts}, 'the same behind a selector', expected => 'second-one', timeout => 120);
is($second->get("$maps/ours-one")->{status}, 404, 'nothing is made unasked');
$node->psql_ok(q{UPDATE net.maps SET data = '{"a": "2"}' WHERE name = 'second-one'}, 'rows write to the second cluster');
$second->wait_for_object("$maps/second-one", sub { $_[0]{body}{data}{a} eq '2' });

# --- back, by another server of the same name ---
my $options = $node->safe_psql('postgres', q{SELECT string_agg(format('%I %L', option_name, option_value), ', ') FROM pg_foreign_server, pg_options_to_table(srvoptions) WHERE srvname = 'prod'});
$node->psql_ok('DROP SERVER prod', 'the server is dropped');
$node->wait_for(q{SELECT DISTINCT state FROM dbnet.mirror_status}, 'its mirrors are cut off', expected => 'degraded');
lead_to($first);
$node->psql_ok("CREATE SERVER prod FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS ($options)", 'and made again, for the first cluster');
$node->wait_for(phase('ours-one'), 'the object is found again', expected => 'synced', timeout => 120);
$node->wait_for(q{SELECT count(*) FROM net.parts WHERE name = 'second-one'}, 'what the second cluster had is gone', expected => '0', timeout => 120);

# --- a store that was restored while the mirrors had no connection ---
$first->save_store;
create($first, 'later-one');
$node->wait_for(q{SELECT (SELECT count(*) FROM net.maps WHERE name = 'later-one') + (SELECT count(*) FROM net.parts WHERE name = 'later-one')}, 'an object that the backup does not have', expected => '2');
rename $kubeconfig, "$kubeconfig.away" or die $!;
$node->wait_for(q{SELECT DISTINCT state FROM dbnet.mirror_status}, 'there is no connection', expected => 'degraded');
$first->restore_store;
rename "$kubeconfig.away", $kubeconfig or die $!;
$node->wait_for(q{SELECT (SELECT count(*) FROM net.maps WHERE name = 'later-one') + (SELECT count(*) FROM net.parts WHERE name = 'later-one')}, 'the restored store does not have it', expected => '0', timeout => 120);
$node->wait_for(q{SELECT DISTINCT state FROM dbnet.mirror_status}, 'all is well', expected => 'synced', timeout => 120);

$node->no_crash_in_log;
done_testing();
