# Offline servers: mirrors without a cluster. Nothing connects, all is kept; when the server goes online what was committed
# is sent, held where it would have been, and when it goes offline again the worker lets go. dbnet.plan() of one session
# knows nothing of another's.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use JSON::PP ();
use Test::More;

my $node = DBNet::Cluster->started('offline', conf => "dbnet.hold_objects = 100\ndbnet.hold_minimum = 4\ndbnet.hold_percent = 50");
my $api = DBNet::Api->start(controllers => 0);
my ($space, $selector) = ($api->namespace, $api->selector);
my $labels = JSON::PP->new->canonical->encode($api->labels);
my $maps = "/api/v1/namespaces/$space/configmaps";
my $since = $api->kind eq 'cluster' ? undef : $api->request_position;

sub not_asked { my ($what) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is(defined $since ? scalar(() = $api->requests(since => $since)) : 0, 0, $what) }
# An hour's timeout and a minute to be back: what waits for an offline server is told at once.
sub unsettled { return $node->safe_psql('postgres', q{SET statement_timeout = '60 s'; SELECT key, phase, message FROM dbnet.wait_synced('1 hour') ORDER BY 1}) }
sub config { my ($name) = @_; my $answer = $api->get("$maps/$name"); return $answer->{status} == 200 ? $answer->{body}{data} : $answer->{status} }

$api->expect_success($api->create($maps, { metadata => { name => 'theirs', labels => $api->labels }, data => { v => '1' } }));
$node->psql_ok($api->create_server('lab', offline => 'true') . qq{
    CREATE SCHEMA net;
    CREATE TABLE net.maps (name text PRIMARY KEY, labels jsonb DEFAULT '$labels', data jsonb, uid text);
    INSERT INTO net.maps (name, data) SELECT 'fixture' || n, '{"v": "0"}' FROM generate_series(1, 6) AS n;
    SELECT dbnet.mirror('lab', 'v1', 'ConfigMap', 'net.maps', namespace => '$space', label_selector => '$selector', mode => 'manage',
        columns => '{"name": "metadata.name", "labels": "metadata.labels", "data": "data", "uid": "metadata.uid"}')}, 'a mirror of an offline server');

# --- offline ---
is(unsettled(), '', 'rows that were there are what the cluster has');
$node->psql_ok(q{UPDATE net.maps SET uid = 'played' WHERE name = 'fixture6'}, 'a test plays the device');
$node->psql_ok(q{INSERT INTO net.maps (name, data) VALUES ('new', '{"v": "1"}'); INSERT INTO net.maps (name, data) VALUES ('bad', '{"v": 1e400}')}, 'new rows');
is(unsettled(), qq($space/bad|invalid|the row holds a number outside the range of double precision\n$space/new|pending|server "lab" is offline), 'one waits, one cannot be sent');
$node->query_is(q{SELECT next_step LIKE '%SET offline%' FROM dbnet.object_status WHERE name = 'new'}, 't', 'it says what for');
$node->query_is(q{SELECT state, message, waiting, watch_age FROM dbnet.mirror_status}, 'offline|server "lab" is offline|1|', 'so does the mirror');
$node->query_is(q{SELECT operation, path, verdict FROM dbnet.preview('net.maps') WHERE key LIKE '%/new' ORDER BY path}, "create|data|send\ncreate|metadata.labels|send", 'preview');
$node->psql_ok(q{DELETE FROM net.maps WHERE name = 'bad'; UPDATE net.maps SET data = '{"v": "1"}' WHERE name IN ('fixture1', 'fixture2', 'fixture3', 'fixture4', 'fixture5')}, 'many changes');
is(unsettled() =~ s/\|transaction \d+ (.*?) \(.*$/|$1/mgr, join("\n", qq($space/bad|pending|server "lab" is offline),
        (map { "$space/fixture$_|held|updates 5 of 8 objects" } 1 .. 5), qq($space/new|pending|server "lab" is offline)), 'they are held');
$node->query_is(q{SELECT objects FROM dbnet.held}, '5', 'as one');
$node->psql_ok(q{DELETE FROM net.maps WHERE name = 'fixture6'}, 'a delete of what DBNet did not create');
$node->wait_for(q{SELECT count(*) FROM dbnet.held WHERE operation = 'delete'}, 'is held', expected => '1');

# --- another worker: who asks is told what its compare finds, however long that takes ---
my $lock = $node->background_psql('postgres');
$lock->query_safe('BEGIN; LOCK TABLE net.maps IN ACCESS EXCLUSIVE MODE');
$node->query_is(q{SELECT dbnet.reject(id) FROM dbnet.held WHERE operation = 'delete'}, '1', 'rejected');
$node->replace_worker('mirror worker', 'TERM');
my $asking = $node->background_psql('postgres');
$asking->query_until(qr/asking/, qq{\\echo asking\nCREATE TABLE told AS SELECT key, phase, message FROM dbnet.wait_synced('1 hour');\n});
$node->wait_for(q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE TABLE told%' AND wait_event = 'Extension'}, 'somebody asks', expected => '1');
$lock->query_safe('COMMIT');
$lock->quit;
$node->wait_for(q{SELECT to_regclass('told') IS NOT NULL}, 'and is told');
$asking->quit;
$node->query_is(q{SELECT data->>'v' FROM net.maps WHERE name = 'fixture6'}, '0', 'the row is back');
is($node->safe_psql('postgres', 'SELECT key, phase, message FROM told ORDER BY 1') =~ s/ [^\n]*//gr, join("\n", "$space/bad|pending|server", (map { "$space/fixture$_|held|transaction" } 1 .. 5), "$space/new|pending|server"), 'another worker sees the same');
$node->query_is('SELECT count(*) FROM dbnet.actuation', '0', 'nothing was sent');
not_asked('nobody has connected');

# --- plan() is the session's own ---
my $session = $node->background_psql('postgres');
$session->query_safe(q{BEGIN; UPDATE net.maps SET data = '{"v": "2"}' WHERE name = 'fixture6'});
is($session->query_safe('SELECT key, operation, fields, verdict FROM dbnet.plan()'), qq($space/fixture6|update|{"data": {"v": "2"}}|send), 'what a session is about to send');
$node->query_is('SELECT * FROM dbnet.plan()', '', 'another session has nothing to send');
$node->query_is(q{BEGIN; UPDATE net.maps SET data = '{"v": "3"}' WHERE name = 'new'; SELECT key, operation FROM dbnet.plan(); ROLLBACK}, "$space/new|create", 'or something else');
$session->query_safe('ROLLBACK');
is($session->query_safe('SELECT * FROM dbnet.plan()'), '', 'a rolled back transaction has nothing to send');
$session->quit;

# --- online ---
$node->psql_ok(q{ALTER SERVER lab OPTIONS (SET offline 'false')}, 'the server goes online');
$node->wait_for(q{SELECT state FROM dbnet.mirror_status}, 'it is listed', expected => 'synced');
$node->wait_for(q{SELECT phase FROM dbnet.object_status WHERE name = 'new'}, 'what waited is sent', expected => 'synced');
is_deeply(config('new'), { v => '1' }, 'and arrived');
$node->query_is(q{SELECT claimed FROM dbnet.fields('net.maps', 'new') WHERE path = 'data'}, 't', 'it is claimed');
$node->query_is(q{SELECT data->>'v' FROM net.maps WHERE name = 'theirs'}, '1', 'what the cluster has is imported');
$node->query_is(q{SELECT count(*) FROM dbnet.object WHERE uid = 'offline'}, '0', 'what was assumed is forgotten');
is(config('fixture1'), 404, 'what was held is held');
$node->query_is(q{SELECT dbnet.approve(id) FROM dbnet.held}, '5', 'approved');
is(unsettled(), '', 'all is settled');
is_deeply(config('fixture1'), { v => '1' }, 'a held change went out');
$node->query_is(q{SELECT uid <> 'played' FROM net.maps WHERE name = 'fixture6'}, 't', 'what was played is over');
is_deeply(config('fixture6'), { v => '0' }, 'a row that nobody has changed is made as well: rows are the truth');

# --- offline again ---
$node->psql_ok(q{ALTER SERVER lab OPTIONS (SET offline 'true')}, 'the server goes offline');
$node->wait_for(q{SELECT state, watch_age FROM dbnet.mirror_status}, 'the worker lets go', expected => 'offline|');
$since = $api->request_position if defined $since;
$node->fails_like(q{UPDATE net.maps SET uid = 'x' WHERE name = 'new'}, '42501', qr/"uid" of mirror net\.maps is written by device reports only/, 'what a device has reported is not played with');
$node->psql_ok(q{UPDATE net.maps SET data = '{"v": "5"}' WHERE name = 'new'; DELETE FROM net.maps WHERE name = 'fixture6'}, 'changes');
is(unsettled(), join("\n", map { qq($space/$_|pending|server "lab" is offline) } 'fixture6', 'new'), 'wait');
$api->expect_success($api->patch("$maps/theirs", { data => { v => '9' } }));
is_deeply(config('new'), { v => '1' }, 'nothing is sent');
not_asked('nobody asks');
$node->psql_ok(q{ALTER SERVER lab OPTIONS (SET offline 'false')}, 'online');
$node->wait_for(q{SELECT count(*) FROM dbnet.object_status WHERE waiting}, 'all goes on', expected => '0');
$node->wait_for(q{SELECT data->>'v' FROM net.maps WHERE name = 'theirs'}, 'what happened meanwhile is seen', expected => '9');
is(unsettled(), '', 'settled');
is_deeply(config('new'), { v => '5' }, 'the change arrived');
is(config('fixture6'), 404, 'and the delete');

$node->no_crash_in_log;
done_testing();
