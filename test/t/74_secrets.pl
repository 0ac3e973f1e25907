# Secrets: digests in the database by default, values on request; a canary in a Secret is found nowhere.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use MIME::Base64 qw(encode_base64);
use Test::More;

my $node = DBNet::Cluster->started('secrets');
my $api = DBNet::Api->start(nodes_ready => 0);
my $space = $api->namespace;
my $secrets = "/api/v1/namespaces/$space/secrets";
my $canary = 'CANARY0secret0value0';
my $encoded = encode_base64($canary, '');
my $other = encode_base64('CANARY1secret1value1', '');
my $escaped = $canary =~ s/C/\\u0043/r;
sub settled { my ($name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', $name) }
sub secret { my ($name, %more) = @_; return { apiVersion => 'v1', kind => 'Secret', metadata => { name => $name, namespace => $space, ($more{annotations} ? (annotations => $more{annotations}) : ()) }, data => $more{data} } }
sub make { my ($name, %more) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $api->expect_success($api->create($secrets, secret($name, %more))) }

make('db', data => { password => $encoded, user => encode_base64('shop', '') },
    annotations => { team => 'shop', 'kubectl.kubernetes.io/last-applied-configuration' => qq({"data": {"password": "$encoded"}}) });

$node->psql_ok($api->create_server('prod') . 'CREATE SCHEMA net', 'a server');
$node->query_is(qq{SELECT dbnet.mirror('prod', 'v1', 'Secret', 'net.secrets', namespace => '$space')}, 'net.secrets', 'a mirror of Secrets');
settled('is imported');
$node->query_is(q{SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'net.secrets'::regclass AND attnum > 0},
    'name data immutable type labels annotations', 'what the server never shows has no column');
$node->query_is(q{SELECT data ->> 'password' ~ '^hmac-sha256:[0-9a-f]{64}$', data ->> 'user' ~ '^hmac-sha256:', data ->> 'user' <> data ->> 'password', type FROM net.secrets WHERE name = 'db'},
    't|t|t|Opaque', 'digests stand for the values');
$node->query_is(q{SELECT annotations FROM net.secrets WHERE name = 'db'}, '{"team": "shop"}', 'the copy of kubectl is left out');
$node->query_is(q{SELECT dbnet.object('net.secrets', 'db') -> 'data' ->> 'password' = data ->> 'password' FROM net.secrets WHERE name = 'db'}, 't', 'the whole object has them too');
$node->query_is(q{SELECT role, writable, description IS NOT NULL FROM dbnet.describe('net.secrets') WHERE column_name = 'data'}, 'status|f|t', 'users do not set them');
$node->fails_like(q{UPDATE net.secrets SET data = '{}'}, '42501', qr/column "data"/, 'and cannot');

# --- what changes is seen ---
my $before = $node->safe_psql('postgres', q{SELECT data ->> 'password' FROM net.secrets});
$api->expect_success($api->patch("$secrets/db", { data => { password => $other } }));
$node->wait_for(qq{SELECT data ->> 'password' <> '$before' FROM net.secrets}, 'another value has another digest');
$api->expect_success($api->patch("$secrets/db", { data => { password => $encoded } }));
$node->wait_for(qq{SELECT data ->> 'password' = '$before' FROM net.secrets}, 'the same value has the same digest');

# --- what else a row says is sent, and what it does not say stays ---
$node->psql_ok(qq{SELECT dbnet.alter_mirror('net.secrets', mode => 'manage'); UPDATE net.secrets SET labels = '{"tier": "data"}'; INSERT INTO net.secrets (name, type, labels) VALUES ('made', 'example.com/token', '{"tier": "data"}')},
    'labels, and a Secret without data');
settled('are sent');
is($api->get("$secrets/db")->{body}{metadata}{labels}{tier}, 'data', 'the label is there');
is($api->get("$secrets/db")->{body}{data}{password}, $encoded, 'the value is as it was');
like($api->get("$secrets/db")->{body}{metadata}{annotations}{'kubectl.kubernetes.io/last-applied-configuration'}, qr/\Q$encoded/, 'and so is the copy of kubectl');
is($api->get("$secrets/made")->{body}{type}, 'example.com/token', 'the new one is made');
$api->expect_success($api->patch("$secrets/made", { data => { token => $encoded } }));
$node->wait_for(q{SELECT data ->> 'token' ~ '^hmac-sha256:' FROM net.secrets WHERE name = 'made'}, 'its data are somebody else\'s to give');
$node->query_is(q{SELECT a.data ->> 'token' <> b.data ->> 'password' FROM net.secrets AS a, net.secrets AS b WHERE a.name = 'made' AND b.name = 'db'}, 't', 'one value in two places: two digests');
$node->query_is(q{DELETE FROM net.secrets WHERE name = 'made' RETURNING name}, 'made', 'its row is deleted');
settled('and the Secret');
is($api->get("$secrets/made")->{status}, 404, 'is gone');

# --- bodies that are spelt in other ways ---
$node->psql_ok(qq{SELECT dbnet.unmirror('net.secrets'); CREATE TABLE net.typed (name text PRIMARY KEY, token text, ready boolean, raw bytea)}, 'a table of its own');
$node->fails_like(qq{SELECT dbnet.mirror('prod', 'v1', 'Secret', 'net.typed', namespace => '$space', columns => '{"name": "metadata.name", "raw": "data.password"}')}, '42804',
    qr/column "raw" \(data\.password\) would hold digests, which are text: it cannot be bytea.*HINT:.*secret_values => 'plain'/s, 'digests are no bytes');
$node->fails_like(qq{SELECT dbnet.mirror('prod', 'v1', 'Secret', 'net.typed', namespace => '$space', columns => '{"name": "metadata.name", "token": "stringData.password"}')}, '22023',
    qr/column "token" \(stringData\.password\) cannot be mirrored: no server ever shows it.*HINT:.*Map data/s, 'nothing but data');
$node->fails_like(q{SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes', secret_values => 'plain')}, '22023', qr/secret_values has no meaning for kind Node/, 'of Secrets only');
$node->fails_like(q{SELECT dbnet.mirror('prod', 'v1', 'Secret', 'net.s', secret_values => 'hidden')}, '22023', qr/secret_values/, 'digest or plain');
$node->psql_ok(qq{SELECT dbnet.mirror('prod', 'v1', 'Secret', 'net.typed', namespace => '$space', columns => '{"name": "metadata.name", "token": "data.password"}')}, 'a text column');
settled('is imported');
$node->query_is(qq{SELECT token = '$before' FROM net.typed WHERE name = 'db'}, 't', 'has the same digest');

# --- the canary: heap, WAL, dump, log, views ---
$node->psql_ok(q{CHECKPOINT}, 'all is on disk');
my $data = $node->data_dir;
for my $place (grep { -d $_ } map { "$data/$_" } qw(base global pg_wal)) {
    for my $text ($canary, $encoded, $other) {
        my $found = `grep -rl -a -F '$text' '$place' 2>/dev/null`;
        is($found, '', "no '$text' below " . ($place =~ s{.*/}{}r));
    }
}
unlike($node->log_since, qr/CANARY|\Q$encoded\E|\Q$other\E/, 'nor in the log');
unlike($node->safe_psql('postgres', q{SELECT string_agg(query, ' ') FROM pg_stat_activity}), qr/CANARY|\Q$encoded/, 'nor in pg_stat_activity');

# --- in plain, on request ---
$node->psql_ok(qq{SELECT dbnet.unmirror('net.typed'); DROP TABLE net.typed, net.secrets}, 'another way');
$node->query_is(qq{SELECT dbnet.mirror('prod', 'v1', 'Secret', 'net.secrets', namespace => '$space', secret_values => 'plain', mode => 'manage')}, 'net.secrets', 'a mirror of values');
settled('is imported');
$node->query_is(q{SELECT data ->> 'password' FROM net.secrets WHERE name = 'db'}, $encoded, 'they are there');
$node->psql_ok(qq{INSERT INTO net.secrets (name, data) VALUES ('plain', '{"key": "$encoded"}'); UPDATE net.secrets SET data = dbnet.set(data, 'password', '"$other"') WHERE name = 'db'}, 'and can be set');
settled('which is sent');
is($api->get("$secrets/plain")->{body}{data}{key}, $encoded, 'a new one');
is($api->get("$secrets/db")->{body}{data}{password}, $other, 'another value');
$node->psql_ok(qq{INSERT INTO net.secrets (name, data) VALUES ('bad key!', '{"key": "$encoded"}')}, 'a name that the server refuses');
$node->wait_for(q{SELECT phase FROM dbnet.object_status WHERE name = 'bad key!'}, 'is told', expected => 'invalid');
$node->query_is(qq{SELECT count(*) FROM dbnet.actuation WHERE actuation::text LIKE '%$encoded%'}, '0', 'the log of calls has no values');
$node->query_is(q{SELECT redacted_columns, enabled FROM dbnet.tracked_relation WHERE relation = 'net.secrets'::regclass}, '{data,annotations}|t', 'what becomes of the rows is on record without them');
$node->query_is(q{SELECT v.operation, v.old ->> 'data' ~ '^hmac-sha256:', v.new ->> 'data' ~ '^hmac-sha256:' FROM dbnet.entity_version AS v JOIN dbnet.tracked_relation AS t ON t.number = v.relation
                  WHERE t.relation = 'net.secrets'::regclass AND key ->> 'name' IN ('plain', 'db') AND v.new ? 'data' ORDER BY v.id DESC LIMIT 2}, "U|t|t\nI||t", 'a digest stands for them');
sub others_settled { my ($name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s') WHERE key !~ 'bad key'}, '', $name) }
# What undo() keeps of an object has none either: of one that is still going, and of one that is gone.
$node->psql_ok(qq{
    SELECT dbnet.pause('net.secrets', 'a look');
    DELETE FROM net.secrets WHERE name = 'plain';
    SELECT dbnet.restore_object((SELECT event FROM dbnet.history('net.secrets', 'plain', most => 1)));
    INSERT INTO net.secrets (name, data) VALUES ('plain', '{"key": "$encoded"}');
    SELECT dbnet.resume('net.secrets')}, 'a Secret that is made again');
others_settled('at once');
is($api->get("$secrets/plain")->{body}{data}{key}, $encoded, 'from the row');
$node->psql_ok(q{DELETE FROM net.secrets WHERE name = 'plain'}, 'is deleted');
others_settled('and gone');
$node->query_is(q{SELECT count(*) > 1, bool_and(last_body ->> 'kind' = 'Secret' AND last_body ? 'type'), bool_or(last_body ?| '{data,stringData}') FROM dbnet.deleted_object WHERE name = 'plain'}, 't|t|f', 'kept without values');
$node->query_is(qq{SELECT (SELECT count(*) FROM dbnet.entity_version AS v WHERE v::text ~ '$encoded|$other') + (SELECT count(*) FROM dbnet.activity AS a WHERE a::text ~ '$encoded|$other|$canary')},
    '0', 'no value is on record, nor a statement that holds one');
$node->psql_ok(q{CHECKPOINT}, 'all is on disk');
isnt(`grep -rl -a -F '$encoded' '$data/pg_wal' 2>/dev/null`, '', 'the search for the canary finds it now');
unlike($node->safe_psql('postgres', q{SELECT string_agg(message, ' ') FROM dbnet.object_status}), qr/\Q$encoded/, 'nor have messages');

done_testing();
