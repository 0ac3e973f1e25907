# What deletes no object, whatever becomes of rows and mirrors: TRUNCATE, DROP TABLE, dbnet.unmirror(), a mirror that only
# observes, DROP EXTENSION; neither at once nor by the rows that are deleted afterwards. And several mirrors over one object.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

my $api  = DBNet::Api->start(controllers => 0, nodes_ready => 0);
my $node = DBNet::Cluster->started('main', conf => "dbnet.hold_objects = 100000\ndbnet.hold_minimum = 100000");
my $space = $api->namespace;
my $maps = "/api/v1/namespaces/$space/configmaps";
sub settled { my ($name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(q{SELECT key, phase, message FROM dbnet.wait_synced('60 s')}, '', $name) }

my @mirrors = qw(truncated dropped unmirrored observed extension);
my $columns = q{'{"name": "metadata.name", "labels": "metadata.labels", "data": "data"}'};
my $mirror = sub {
    my ($table, $set, $mode) = @_;
    return qq{CREATE TABLE net.$table (name text PRIMARY KEY, labels jsonb DEFAULT '{"set": "$set"}', data jsonb);
        SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.$table', $columns, namespace => '$space', label_selector => 'set=$set', mode => '$mode');};
};
$node->psql_ok($api->create_server('prod') . 'CREATE SCHEMA net;' . join('', map { $mirror->($_, $_, 'manage') } @mirrors), 'mirrors');
$node->wait_for(q{SELECT bool_and(state = 'synced') FROM dbnet.mirror_status}, 'all are listed');
$node->psql_ok(join('', map { my $table = $_; map { qq{INSERT INTO net.$table (name, data) VALUES ('$table-$_', '{"a": "1"}');} } 1 .. 3 } @mirrors), 'rows');
settled('are sent');
sub objects {
    my $list = $api->expect_success($api->get($maps, query => { labelSelector => 'set' }));
    return { map { $_->{metadata}{name} => $_->{metadata}{uid} } @{ $list->{items} } };
}
my $objects = objects();
is(keys %$objects, 15, 'objects');
my $position = $api->request_position;
# All that the worker has read of the log before this it has carried out.
sub is_through {
    my ($name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $node->psql_ok(q{UPDATE net.extension SET data = data || '{"turn": "} . $name . q{"}' WHERE name = 'extension-1'}, 'a last change');
    settled("$name: settled");
    is_deeply(objects(), $objects, "$name: all objects stay");
    return is(scalar(() = $api->requests(since => $position, method => 'DELETE')), 0, "$name: no delete was sent");
}

$node->psql_ok('TRUNCATE net.truncated', 'TRUNCATE');
is_through('TRUNCATE');
$node->wait_for('SELECT count(*) FROM net.truncated', 'and the rows come back', expected => '3');
$node->psql_ok('DROP TABLE net.dropped', 'DROP TABLE');
is_through('DROP TABLE');
$node->psql_ok(q{SELECT dbnet.unmirror('net.unmirrored'); DELETE FROM net.unmirrored}, 'unmirror, and the rows go');
is_through('unmirror');
$node->psql_ok(q{SELECT dbnet.alter_mirror('net.observed', mode => 'observe'); DELETE FROM net.observed}, 'a mirror that observes, and the rows go');
is_through('observe');

# --- several mirrors over one object: one of them writes it, the others follow ---
$node->psql_ok(qq{CREATE TABLE net.beside (name text PRIMARY KEY, labels jsonb, a text);
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.beside', '{"name": "metadata.name", "labels": "metadata.labels", "a": "data.a"}', namespace => '$space', label_selector => 'set=extension')}, 'another mirror of the same objects');
$node->wait_for('SELECT count(*) FROM net.beside', 'has them too', expected => '3');
$node->psql_ok(q{UPDATE net.extension SET data = '{"a": "2"}' WHERE name = 'extension-2'}, 'one is written');
$node->wait_for(q{SELECT a FROM net.beside WHERE name = 'extension-2'}, 'and the other row follows', expected => '2');
$node->psql_ok(q{UPDATE net.beside SET a = '3' WHERE name = 'extension-2'; DELETE FROM net.beside WHERE name = 'extension-3'}, 'what the other one is told');
is_through('beside');
is($api->get("$maps/extension-2")->{body}{data}{a}, '2', 'is told to nobody');
$node->fails_like(q{SELECT dbnet.alter_mirror('net.beside', mode => 'manage')}, '42710', qr/mirror net\.extension manages the same objects/, 'only one may write');
$node->psql_ok(q{DELETE FROM net.extension WHERE name = 'extension-2'}, 'who writes it deletes it');
$node->wait_for(q{SELECT NOT EXISTS (SELECT FROM dbnet.object WHERE relation = 'net.extension'::regclass AND name = 'extension-2')}, 'gone');
delete $objects->{'extension-2'};
is_deeply(objects(), $objects, 'the object');
$node->wait_for(q{SELECT phase = 'absent' FROM dbnet.object WHERE relation = 'net.beside'::regclass AND name = 'extension-2'}, 'which the other one is told: its row, changed by a user, stays');
$position = $api->request_position;

$node->psql_ok('SET client_min_messages = warning; DROP EXTENSION dbnet CASCADE; DELETE FROM net.extension', 'DROP EXTENSION, and the rows go');
$node->wait_for(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dbnet mirror worker'}, 'its worker ends', expected => '0');
is_deeply(objects(), $objects, 'DROP EXTENSION: all objects stay');
is(scalar(() = $api->requests(since => $position, method => 'DELETE')), 0, 'and no delete was sent');

$node->no_crash_in_log;
done_testing();
