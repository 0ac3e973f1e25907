# DDL on the table of a live mirror: OWNER TO, RENAME, SET SCHEMA, columns dropped, renamed and given another type. No
# statement of the worker runs as a role that does not own the table any more, nor meets a table that is no mirror.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

my $node = DBNet::Cluster->started('report_ddl');
my $api = DBNet::Api->start;
my $mirrors = DBNet::Mirrors->new($node, $api);
$node->psql_ok($mirrors->config_row('c', { turn => '0' }) . $mirrors->config_row('d', { turn => '0' }), 'rows');
is($mirrors->wait_synced, '', 'settled');
my $pid = $node->worker_pid('mirror worker');

my $turn = 0;
sub report {
    my ($name) = @_;
    $turn++;
    return $api->expect_success($api->patch($mirrors->config_path($name // 'd'), { metadata => { annotations => { turn => "$turn" } } }));
}
# A row changes c; an object of the server becomes a row.
sub arrives {
    my ($what, $table) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $turn++;
    $node->safe_psql('postgres', qq{UPDATE $table SET data = '{"turn": "$turn"}' WHERE name = 'c'});
    $api->wait_for_object($mirrors->config_path('c'), sub { $_[0]{body}{data}{turn} eq "$turn" });
    pass("$what: a row reaches the server");
    $api->expect_success($api->create('/api/v1/namespaces/' . $api->namespace . '/configmaps', { metadata => { name => "r$turn", labels => $api->labels }, data => { from => 'server' } }));
    $node->wait_for(qq{SELECT data->>'from' = 'server' FROM $table WHERE name = 'r$turn'}, "$what: an object reaches the table");
    return;
}
arrives('at first', 'net.configs');

# The superuser's table becomes bob's. His trigger must see bob, never the superuser.
$node->psql_ok(<<'SQL', 'a role that may use the server');
CREATE ROLE bob LOGIN;
GRANT USAGE ON FOREIGN SERVER prod TO bob;
GRANT ALL ON SCHEMA net TO bob;
CREATE TABLE net.seen (who name, what text);
GRANT ALL ON net.seen TO bob;
SQL
# The worker must not get to reading the configuration between the two: its first statement meets both.
kill('STOP', $pid) or die $!;
$node->psql_ok('ALTER TABLE net.configs OWNER TO bob', 'the table is given to him');
$node->psql_ok(<<'SQL', 'he adds a trigger', role => 'bob');
CREATE FUNCTION net.who() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO net.seen VALUES (current_user, tg_op); RETURN NEW; END $$;
CREATE TRIGGER who BEFORE INSERT OR UPDATE ON net.configs FOR EACH ROW EXECUTE FUNCTION net.who();
SQL
$api->expect_success($api->create('/api/v1/namespaces/' . $api->namespace . '/configmaps', { metadata => { name => 'new', labels => $api->labels }, data => { a => '1' } }));
kill('CONT', $pid) or die $!;
$node->wait_for(q{SELECT count(*) = 1 FROM net.configs WHERE name = 'new'}, 'the next report is written');
$node->query_is('SELECT DISTINCT who FROM net.seen', 'bob', 'his trigger ran as bob');
$node->psql_ok('DROP TRIGGER who ON net.configs', 'enough of it');
arrives('the new owner', 'net.configs');

# Another table takes the name of the mirror.
kill('STOP', $pid) or die $!;
$node->psql_ok(<<'SQL', 'RENAME, and a table that is no mirror has the old name');
ALTER TABLE net.configs RENAME TO renamed;
CREATE TABLE net.configs (LIKE net.renamed INCLUDING ALL);
INSERT INTO net.configs (name, data) VALUES ('c', '{"turn": "false"}'), ('decoy', '{"turn": "false"}');
SQL
$api->expect_success($api->create('/api/v1/namespaces/' . $api->namespace . '/configmaps', { metadata => { name => 'newer', labels => $api->labels }, data => { a => '1' } }));
$node->psql_ok(q{UPDATE net.renamed SET data = '{"turn": "true"}' WHERE name = 'c'}, 'the mirror is written');
kill('CONT', $pid) or die $!;
$node->wait_for(q{SELECT count(*) = 1 FROM net.renamed WHERE name = 'newer'}, 'the report is in the mirror');
$api->wait_for_object($mirrors->config_path('c'), sub { $_[0]{body}{data}{turn} ne $turn });
is($mirrors->config('c')->{data}{turn}, 'true', 'what is sent comes from the mirror');
$node->query_is('SELECT name FROM net.configs ORDER BY 1', "c\ndecoy", 'the other table got nothing');
is($api->get($mirrors->config_path('decoy'))->{status}, 404, 'and sent nothing');
arrives('RENAME', 'net.renamed');

$node->psql_ok('CREATE SCHEMA other; ALTER TABLE net.renamed SET SCHEMA other; GRANT USAGE ON SCHEMA other TO bob', 'SET SCHEMA');
arrives('SET SCHEMA', 'other.renamed');
$node->psql_ok('ALTER SCHEMA other RENAME TO another', 'ALTER SCHEMA … RENAME');
arrives('ALTER SCHEMA … RENAME', 'another.renamed');

# Columns.
$node->psql_ok('ALTER TABLE another.renamed ADD COLUMN more integer DEFAULT 7, DROP COLUMN note', 'columns that no mirror knows');
arrives('other columns', 'another.renamed');
$node->psql_ok('ALTER TABLE another.renamed ALTER COLUMN data TYPE json USING data::json', 'ALTER TYPE of a mapped column');
arrives('ALTER TYPE', 'another.renamed');
$node->psql_ok('ALTER TABLE another.renamed ALTER COLUMN data TYPE jsonb USING data::jsonb', 'and back');

# A type that does not hold what is there PostgreSQL refuses; where it does not hold what comes, that row alone waits.
my $theirs = "r$turn";
my $long = 'x' x 100;
sub their_note { my ($note) = @_; return $api->expect_success($api->patch($mirrors->config_path($theirs), { data => { note => $note } })) }
sub note_is { my ($expected, $name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->wait_for(qq{SELECT coalesce(data->>'note', '') FROM another.renamed WHERE name = '$theirs'}, $name, expected => $expected) }
$node->psql_ok('CREATE DOMAIN net.brief AS jsonb CHECK (octet_length(VALUE::text) < 60)', 'a narrow type');
their_note($long);
note_is($long, 'a long value');
$node->fails_like('ALTER TABLE another.renamed ALTER COLUMN data TYPE net.brief', '23514', qr/value for domain net\.brief violates check constraint/, 'ALTER TYPE with a value that does not fit');
arrives('a type that was refused', 'another.renamed');
their_note('short');
note_is('short', 'a short value');
$node->psql_ok('ALTER TABLE another.renamed ALTER COLUMN data TYPE net.brief', 'ALTER TYPE');
arrives('a narrow type', 'another.renamed');
their_note($long);
$node->wait_for(qq{SELECT phase || ' ' || (live->'data'->>'note') || ' ' || message FROM dbnet.object WHERE name = '$theirs'}, 'a value that does not fit is on record, and why the row has it not',
    expected => qq{report_failed $long value for domain net.brief violates check constraint "brief_check"});
note_is('short', 'the row is as it was');
arrives('others', 'another.renamed');
$node->psql_ok('ALTER TABLE another.renamed ALTER COLUMN data TYPE jsonb', 'a type that holds it');
note_is($long, 'the row has it');
$node->wait_for(qq{SELECT phase IS NULL FROM dbnet.object WHERE name = '$theirs'}, 'and nothing is wrong');
arrives('the right type', 'another.renamed');

$node->psql_ok('ALTER TABLE another.renamed RENAME COLUMN data TO content', 'RENAME of a mapped column');
$node->wait_for(q{SELECT state = 'degraded' AND message LIKE 'column "data" (data) is not in the table any more%' FROM dbnet.mirror_status WHERE relation = 'another.renamed'::regclass}, 'the mirror says so');
$node->fails_like(q{UPDATE another.renamed SET content = '{"turn": "lost"}' WHERE name = 'c'}, '42703', qr/mirror another\.renamed has lost its column "data".*HINT:  Give the column its name back/s, 'and so does whoever writes it');
report('d');
$node->wait_for(qq{SELECT live->'metadata'->'annotations'->>'turn' = '$turn' FROM dbnet.object WHERE name = 'd'}, 'what objects are like is recorded all the same');
$node->psql_ok('ALTER TABLE another.renamed RENAME COLUMN content TO data', 'its name is given back');
arrives('the column is back', 'another.renamed');
$node->psql_ok('ALTER TABLE another.renamed DROP COLUMN data', 'DROP COLUMN of a mapped column');
$node->wait_for(q{SELECT state = 'degraded' AND message LIKE 'column "data" (data) is not in the table any more%' FROM dbnet.mirror_status WHERE relation = 'another.renamed'::regclass}, 'the mirror says so');
$node->psql_ok('ALTER TABLE another.renamed ADD COLUMN data jsonb', 'a new column of that name');
$node->wait_for(q{SELECT phase = 'invalid' AND message LIKE 'column "data" (data) is NULL, but DBNet owns this field%' FROM dbnet.object WHERE name = 'c'}, 'its NULLs delete nothing: who wrote the field is asked for a value');
is($mirrors->config('c')->{data}{turn}, "$turn", 'the object is as it was');
$node->psql_ok(q{UPDATE another.renamed SET data = '{"turn": "given"}' WHERE name IN ('c', 'd')}, 'give them one');
is($mirrors->wait_synced, '', 'all is settled');
is($mirrors->config('d')->{data}{turn}, 'given', 'and arrives');
arrives('a new column', 'another.renamed');

# The other mirror was never in the way, and the worker is the same.
$node->psql_ok($mirrors->node_row('n'), 'another mirror');
is($mirrors->wait_synced, '', 'all is settled');
is($node->worker_pid('mirror worker'), $pid, 'all that was one worker');

# Its rows go, the objects stay.
$node->psql_ok('TRUNCATE another.renamed', 'TRUNCATE');
is($api->get($mirrors->config_path('c'))->{status}, 200, 'deletes nothing');
$node->psql_ok('DROP TABLE another.renamed', 'DROP TABLE');
$node->wait_for('SELECT count(*) = 1 FROM dbnet.mirror_status', 'ends the mirror');
is($api->get($mirrors->config_path('c'))->{status}, 200, 'and deletes nothing');
$node->query_is(q{SELECT (SELECT count(*) FROM dbnet.object WHERE relation NOT IN (SELECT oid FROM pg_class)), (SELECT count(*) FROM dbnet.mirrored_column WHERE relation NOT IN (SELECT oid FROM pg_class))}, '0|0', 'nothing of it is left');

$node->no_crash_in_log;
done_testing();
