# dbnet.preview(), dbnet.fields() and dbnet.wait_synced(): what they show agrees with what the worker then does.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

my $api  = DBNet::Api->start(controllers => 0);
my $node = DBNet::Cluster->started('main');
my ($space, $maps) = ($api->namespace, '/api/v1/namespaces/' . $api->namespace . '/configmaps');
sub map_of { my ($name, %data) = @_; return { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => $name, labels => { app => $name } }, data => \%data } }
$api->expect_success($api->apply("$maps/kept", map_of('kept', a => '1'), manager => 'argocd-controller'));
$api->expect_success($api->apply("$maps/taken", map_of('taken', a => '1'), manager => 'somebody'));

$node->psql_ok($api->create_server('prod') . qq{
    CREATE SCHEMA net;
    CREATE TABLE net.maps (name text PRIMARY KEY, labels jsonb, data jsonb, uid text, note text);
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.maps', '{"name": "metadata.name", "labels": "metadata.labels", "data": "data", "uid": "metadata.uid"}',
        namespace => '$space', label_selector => 'app')}, 'a mirror');
$node->wait_for(q{SELECT state = 'synced' FROM dbnet.mirror_status}, 'its first list is complete');
$node->wait_for(q{SELECT count(*) = 2 FROM net.maps WHERE uid IS NOT NULL}, 'objects are imported');

# --- observed only ---
$node->query_is(q{SELECT * FROM dbnet.preview('net.maps')}, '', 'nothing is to be sent');
$node->query_is(qq{SELECT path, row_value, live_value, claimed, manager FROM dbnet.fields('net.maps', '$space/taken') WHERE path IN ('data', 'metadata.labels') ORDER BY path},
    qq(data|{"a": "1"}|{"a": "1"}|f|somebody\nmetadata.labels|{"app": "taken"}|{"app": "taken"}|f|somebody), 'fields of an observed object');
$node->query_is(q{SELECT count(*) FROM dbnet.fields('net.maps', 'taken')}, '4', 'the fixed namespace may be left out of the key');
$node->query_is(q{SELECT since > now() - interval '1 hour' FROM dbnet.fields('net.maps', 'taken') WHERE path = 'data'}, 't', 'since when');
$node->query_is(q{SELECT * FROM dbnet.fields('net.maps', 'nothing')}, '', 'no object, no fields');
$node->fails_like(q{SELECT * FROM dbnet.fields('net.maps', '')}, '22023', qr/not a key of net\.maps/, 'no key');

# --- writes in observe mode are shown and not sent ---
$node->psql_ok(qq{INSERT INTO net.maps (name, labels, data) VALUES ('new', '{"app": "new"}', '{"b": "2"}');
    UPDATE net.maps SET data = '{"a": "2"}' WHERE name <> 'new'; DELETE FROM net.maps WHERE name = 'kept'; INSERT INTO net.maps (name) VALUES ('bad') ON CONFLICT DO NOTHING}, 'writes');
$node->query_is(q{SELECT key, operation, path, row_value, live_value, manager, verdict FROM dbnet.preview('net.maps') WHERE key LIKE '%/taken'},
    qq($space/taken|update|data|{"a": "2"}|{"a": "1"}|somebody|force: taken from somebody once), 'a field of somebody else is taken once');
$node->query_is(q{SELECT key, operation, path, row_value, live_value, verdict FROM dbnet.preview('net.maps') WHERE key LIKE '%/new' ORDER BY path},
    qq($space/new|create|data|{"b": "2"}||send\n$space/new|create|metadata.labels|{"app": "new"}||send), 'an object is created');
$node->query_is(q{SELECT operation, path, verdict LIKE 'held: %' FROM dbnet.preview('net.maps') WHERE key LIKE '%/kept'}, 'delete||t', 'a delete of a foreign object would be held');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('30 s')}, '', 'nothing to wait for');
is($api->get("$maps/new")->{status}, 404, 'nothing was created');
is($api->get("$maps/taken")->{body}{data}{a}, '1', 'nothing was changed');
is($api->get("$maps/kept")->{status}, 200, 'nothing was deleted');

# --- manage does what was shown ---
$node->psql_ok(q{DELETE FROM net.maps WHERE name = 'bad'; SELECT dbnet.alter_mirror('net.maps', mode => 'manage')}, 'manage');
$node->query_is(q{SELECT key, phase FROM dbnet.wait_synced('60 s')}, "$space/kept|held", 'what is left waits for a decision');
is($api->get("$maps/new")->{body}{data}{b}, '2', 'created');
is($api->get("$maps/taken")->{body}{data}{a}, '2', 'changed');
is($api->get("$maps/kept")->{status}, 200, 'held');
$node->query_is(q{SELECT operation, objects, first_keys FROM dbnet.held}, "delete|1|{$space/kept}", 'the held delete');
$node->query_is(q{SELECT claimed FROM dbnet.fields('net.maps', 'taken') WHERE path = 'data'}, 't', 'the field is claimed');
$node->query_is(q{SELECT manager LIKE 'dbnet-%' FROM dbnet.fields('net.maps', 'taken') WHERE path = 'data'}, 't', 'and ours');
$node->query_is(q{SELECT dbnet.approve(id) FROM dbnet.held}, '1', 'approved');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'all is settled');
is($api->get("$maps/kept")->{status}, 404, 'deleted');
$node->query_is(q{SELECT count(*) FROM dbnet.held}, '0', 'nothing is held any more');

# --- plan tells before the commit what the worker then does ---
$api->expect_success($api->apply("$maps/others", map_of('others', a => '1'), manager => 'argocd-controller'));
$api->expect_success($api->apply("$maps/plain", map_of('plain', a => '1'), manager => 'somebody'));
$node->wait_for(q{SELECT count(*) = 2 FROM net.maps WHERE name IN ('others', 'plain') AND uid IS NOT NULL}, 'objects of others');
my $changes = q{INSERT INTO net.maps (name, labels, data) VALUES ('planned', '{"app": "x"}', '{"a": "1"}');
    UPDATE net.maps SET data = '{"a": "5"}' WHERE name IN ('plain', 'taken'); UPDATE net.maps SET note = 'n' WHERE name = 'new'; DELETE FROM net.maps WHERE name = 'new';};
my $planned = qq($space/plain|update|{"data": {"a": "5"}}|send: takes data from somebody
$space/planned|create|{"data": {"a": "1"}, "metadata.labels": {"app": "x"}}|send
$space/taken|update|{"data": {"a": "5"}}|send
$space/new|delete||send);
$node->query_is(q{BEGIN; UPDATE net.maps SET data = '{"a": "5"}' WHERE name = 'others'; SELECT key, operation, fields, verdict FROM dbnet.plan(); ROLLBACK},
    qq($space/others|update|{"data": {"a": "5"}}|conflict: fields of the object belong to argocd-controller), 'before a rollback');
$node->query_is('SELECT * FROM dbnet.plan()', '', 'nothing is left of it');
my $position = $node->safe_psql('postgres', 'SELECT count(*) FROM dbnet.actuation');
$node->query_is("BEGIN; $changes SELECT key, operation, fields, verdict FROM dbnet.plan(); COMMIT", $planned, 'before a commit');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'all is settled');
is($api->get("$maps/$_")->{body}{data}{a}, $_ eq 'planned' ? '1' : '5', "$_ was sent") for 'plain', 'planned', 'taken';
is($api->get("$maps/new")->{status}, 404, 'new was deleted');
$node->query_is("SELECT string_agg(DISTINCT operation || ' ' || name, ', ' ORDER BY operation || ' ' || name) FROM (SELECT * FROM dbnet.actuation ORDER BY at OFFSET $position) AS sent",
    'apply plain, apply planned, apply taken, delete new', 'and nothing else');
$api->expect_success($api->delete("$maps/others"));
$node->wait_for(q{SELECT count(*) FROM net.maps WHERE name = 'others'}, 'its owner deletes it', expected => '0');

# --- wait_synced tells what needs somebody ---
$node->psql_ok(q{UPDATE net.maps SET labels = labels || '{"bad label!": "x"}' WHERE name = 'taken'}, 'a value that the server refuses');
$node->query_is(q{SELECT key, phase, message <> '', next_step <> '' FROM dbnet.wait_synced('60 s', 'net.maps')}, "$space/taken|invalid|t|t", 'is told');
$node->psql_ok(q{UPDATE net.maps SET labels = labels - 'bad label!', data = '{"a": "3"}' WHERE name = 'taken'}, 'a good one');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s', 'net.maps')}, '', 'settles');
is($api->get("$maps/taken")->{body}{data}{a}, '3', 'at the server');
my ($status, $output, $errors) = $node->run_sql(q{BEGIN; UPDATE net.maps SET note = 'x'; SELECT * FROM dbnet.wait_synced('1 s'); COMMIT});
like($errors, qr/WARNING:.*what this transaction has changed is sent after its commit/, 'waiting for oneself is warned of');
$node->fails_like(q{SET statement_timeout = '100ms'; SELECT dbnet.pause('prod', 'test'); UPDATE net.maps SET data = '{"a": "4"}'; SELECT * FROM dbnet.wait_synced('60 s')},
    '57014', qr/statement timeout/, 'statement_timeout ends the wait');
$node->query_is(q{SELECT dbnet.resume('prod')}, 't', 'resume');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s', 'net.maps')}, '', 'all is sent');

# --- a worker that has not seen another session's commit yet has not settled it ---
my $worker = $node->worker_pid('mirror worker');
kill 'STOP', $worker;
$node->psql_ok(q{INSERT INTO net.maps (name, labels, data) VALUES ('unseen', '{"app": "new"}', '{"a": "1"}')}, 'a commit while the worker is stopped');
$node->fails_like(q{SELECT * FROM dbnet.wait_synced('300 ms')}, '55000', qr/has not got to the end of what was committed/, 'another session does not take silence for success');
kill 'CONT', $worker;

# --- who may look ---
$node->psql_ok(q{CREATE ROLE viewer LOGIN IN ROLE dbnet_viewer; GRANT USAGE ON SCHEMA net TO viewer}, 'a viewer');
$node->fails_like(q{SELECT * FROM dbnet.preview('net.maps')}, '42501', qr/permission denied for table maps/, 'needs SELECT', role => 'viewer');
$node->psql_ok(q{GRANT SELECT ON net.maps TO viewer}, 'SELECT');
$node->query_is(q{SELECT count(*) FROM dbnet.fields('net.maps', 'taken')}, '4', 'is enough', role => 'viewer');
$node->psql_ok(q{ALTER TABLE net.maps ENABLE ROW LEVEL SECURITY}, 'row-level security');
$node->fails_like(q{SELECT * FROM dbnet.fields('net.maps', 'taken')}, '42501', qr/row-level security hides rows/, 'hides all', role => 'viewer');

$node->no_crash_in_log;
done_testing();
