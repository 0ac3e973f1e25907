# Fields and objects that are taken over on request, whoever owns them; and the whole object for who owns its table.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

my $node = DBNet::Cluster->started('adopt', conf => q{dbnet.respected_managers = 'helm'});
my $api = DBNet::Api->start(nodes_ready => 0);
my $space = $api->namespace;
my $configs = "/api/v1/namespaces/$space/configmaps";
sub settled { my ($name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', $name) }
sub config { my ($name) = @_; return $api->get("$configs/$name")->{body} }
sub theirs {
    my ($name, $data, $manager) = @_;
    return $api->expect_success($api->apply("$configs/$name", { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => $name, labels => { team => 'shop' } }, data => $data }, manager => $manager, force => 1));
}

theirs('web', { a => '1', b => '1' }, 'helm');
theirs('calm', { a => '1' }, 'helm');
$node->psql_ok($api->create_server('prod') . <<"SQL", 'a mirror');
CREATE SCHEMA net;
CREATE TABLE net.configs (name text PRIMARY KEY, a text, b text, labels jsonb, uid text, note text);
SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.configs', namespace => '$space', label_selector => 'team', mode => 'manage',
    columns => '{"name": "metadata.name", "a": "data.a", "b": "data.b", "labels": "metadata.labels", "uid": "metadata.uid"}');
SQL
settled('it is listed');

# --- what cannot be adopted ---
$node->psql_ok(q{INSERT INTO net.configs (name, labels) VALUES ('Bad_Name', '{"team": "x"}')}, 'a row that the server refuses');
$node->wait_for(q{SELECT phase FROM dbnet.object_status WHERE name = 'Bad_Name'}, 'is refused', expected => 'invalid');
my @refused = (
    [ q{'net.configs', 'nobody'},        '42704', qr{net\.configs has no row "\Q$space\E/nobody"},                              'no such row' ],
    [ q{'net.configs', 'Bad_Name'},      '55000', qr/there is no object of .*: nothing of it can be adopted/,                   'no object' ],
    [ q{'net.configs', 'web', '{note}'}, '42703', qr/column "note" of net\.configs mirrors no field/,                           'a local column' ],
    [ q{'net.configs', 'web', '{uid}'},  '22023', qr/column "uid" \(metadata\.uid\) is nothing that DBNet could own/,           'a status column' ],
    [ q{'net.configs', 'calm', '{b}'},   '22004', qr{column "b" \(data\.b\) of "\Q$space\E/calm" of net\.configs is NULL},      'a column without value' ],
    [ q{'pg_class', 'web'},              '42704', qr/is not a mirror/,                                                          'no mirror' ]);
$node->fails_like("SELECT dbnet.adopt($_->[0])", $_->[1], $_->[2], $_->[3]) for @refused;
$node->psql_ok(q{DELETE FROM net.configs WHERE name = 'Bad_Name'}, 'away with it');

# --- one field ---
$node->psql_ok(q{UPDATE net.configs SET a = '2' WHERE name = 'web'}, 'change what helm owns');
$node->wait_for(q{SELECT phase = 'conflict' AND next_step LIKE 'Another manager owns the fields: take them with dbnet.adopt()%' FROM dbnet.object_status WHERE name = 'web'}, 'a conflict that names the way out');
$node->query_is(q{BEGIN; SELECT dbnet.adopt('net.configs', 'web', '{a}'); SELECT path, verdict FROM dbnet.preview('net.configs'); ROLLBACK}, "1\ndata.a|force: taken from helm once", 'preview tells what it would do');
is(config('web')->{data}{a}, '1', 'what is rolled back adopts nothing');
$node->query_is(q{SELECT dbnet.adopt('net.configs', 'web', '{a}')}, '1', 'the field is adopted');
settled('and it is sent');
is_deeply(config('web')->{data}, { a => '2', b => '1' }, 'with the value of the row');
$node->query_is(q{SELECT claimed, created_by_us FROM dbnet.object WHERE name = 'web'}, '{data.a}|f', 'nothing else is claimed, and the object is helm\'s');
$node->query_is(q{SELECT manager LIKE 'dbnet-%' FROM dbnet.fields('net.configs', 'web') WHERE path = 'data.a'}, 't', 'the field is ours');
$node->query_is(q{SELECT count(*) FROM dbnet.ownership_request}, '0', 'the request is done');

# --- a field beside one that is adopted is not taken along ---
theirs('web', { a => '2', b => '1' }, 'helm');
settled('helm shares the field');
$node->psql_ok(q{BEGIN; UPDATE net.configs SET a = '3', b = '3' WHERE name = 'web'; SELECT dbnet.adopt('net.configs', 'web', '{a}'); COMMIT}, 'two fields, one of them adopted');
$node->wait_for(q{SELECT phase = 'conflict' AND message LIKE '%data.b%' FROM dbnet.object_status WHERE name = 'web'}, 'the other one is a conflict');
is_deeply(config('web')->{data}, { a => '2', b => '1' }, 'and nothing is taken by force');
$node->query_is(q{SELECT dbnet.release('net.configs', 'web', '{b}')}, '1', 'the other one is given up');
$node->wait_for(q{SELECT phase = 'synced' AND b = '1' FROM dbnet.object_status JOIN net.configs USING (name) WHERE name = 'web'}, 'then it goes through');
is_deeply(config('web')->{data}, { a => '3', b => '1' }, 'what was adopted is sent');

# --- drift: what somebody else has changed is taken back once ---
theirs('web', { a => '9', b => '1' }, 'helm');
$node->wait_for(q{SELECT phase FROM dbnet.object_status WHERE name = 'web'}, 'somebody changes the field', expected => 'drifted');
$node->query_is(q{SELECT dbnet.adopt('net.configs', 'web', '{a}')}, '1', 'it is adopted again');
settled('and sent');
is(config('web')->{data}{a}, '3', 'the row has its way');

# --- the object as a whole ---
$node->query_is(q{SELECT dbnet.adopt('net.configs', 'calm')}, '2', 'all that has a value');
settled('is sent');
$node->query_is(q{SELECT claimed, created_by_us, managers -> 'data.a' ->> 2 FROM dbnet.object WHERE name = 'calm'}, '{data.a,metadata.labels}|t|helm', 'ours, beside helm');
is($node->safe_psql('postgres', q{SELECT count(*) FROM dbnet.actuation WHERE name = 'calm' AND forced}), '0', 'nothing had to be forced');
$node->psql_ok(q{DELETE FROM net.configs WHERE name = 'calm'}, 'its row is deleted');
settled('without approval');
is($api->get("$configs/calm")->{status}, 404, 'and it is gone');
$node->psql_ok(q{DELETE FROM net.configs WHERE name = 'web'}, 'the other one, which was not adopted');
$node->wait_for(q{SELECT phase = 'held' AND message LIKE 'the object was not created by DBNet%' FROM dbnet.object_status WHERE name = 'web'}, 'waits for approval');

# --- the whole object, and who may see it ---
$node->query_is(q{SELECT o ->> 'kind', o #>> '{metadata,name}', o #> '{metadata,managedFields}' IS NULL, o -> 'data' ->> 'a' FROM dbnet.object('net.configs', 'web') AS o}, 'ConfigMap|web|t|3', 'the object of a deleted row');
$node->query_is(q{SELECT dbnet.object('net.configs', 'nobody') IS NULL}, 't', 'nobody knows it');
$node->psql_ok(q{CREATE ROLE reader IN ROLE dbnet_operator; GRANT USAGE ON SCHEMA net TO reader; GRANT SELECT ON net.configs TO reader}, 'a reader');
$node->fails_like(q{SET ROLE reader; SELECT dbnet.object('net.configs', 'web')}, '42501', qr/must be owner of table net\.configs.*HINT:.*dbnet\.fields\(\)/s, 'sees the columns alone');
$node->fails_like(q{SET ROLE reader; SELECT dbnet.adopt('net.configs', 'web')}, '42704', qr/no row/, 'adopts nothing that is not there');

# --- in mode observe it waits ---
$node->psql_ok(q{SELECT dbnet.approve(id) FROM dbnet.held}, 'the deletion is approved');
settled('and done');
theirs('later', { a => '1' }, 'helm');
$node->wait_for(q{SELECT count(*) FROM net.configs WHERE name = 'later'}, 'another object', expected => '1');
$node->fails_like(q{SET ROLE reader; SELECT dbnet.adopt('net.configs', 'later', '{a}')}, '42501', qr/permission denied for column "a".*HINT:.*UPDATE/s, 'who may not UPDATE adopts nothing');
$node->psql_ok(q{SELECT dbnet.alter_mirror('net.configs', mode => 'observe'); UPDATE net.configs SET a = '5' WHERE name = 'later'; SELECT dbnet.adopt('net.configs', 'later')}, 'adopted in mode observe');
settled('nothing is open');
is(config('later')->{data}{a}, '1', 'nothing is sent');
$node->psql_ok(q{SELECT dbnet.alter_mirror('net.configs', mode => 'manage')}, 'mode manage');
$node->wait_for(q{SELECT phase = 'synced' AND created_by_us FROM dbnet.object_status WHERE name = 'later'}, 'sends it');
is(config('later')->{data}{a}, '5', 'by force');

done_testing();
