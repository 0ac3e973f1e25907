# The owner of a mirror's table may be anybody. What he defines runs as himself, for a limited time, and takes nothing
# from the worker nor from the mirrors of others: casts, defaults, triggers now and deferred, settings, roles, locks.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

my $node = DBNet::Cluster->started('hostile_owner', conf => "dbnet.report_statement_timeout = '300ms'");
my $api = DBNet::Api->start;
my $mirrors = DBNet::Mirrors->new($node, $api);
my $space = $api->namespace;
my $selector = DBNet::Api::quote($api->selector);
my $labels = DBNet::Api::quote(JSON::PP->new->canonical->encode($api->labels));
my $pid = $node->worker_pid('mirror worker');
my $maps = "/api/v1/namespaces/$space/configmaps";
my $turn = 0;

sub put {
    my ($name, %data) = @_;
    my $answer = $api->patch("$maps/$name", { data => \%data });
    return $api->expect_success($answer) if $answer->{status} == 200;
    return $api->expect_success($api->create($maps, { metadata => { name => $name, labels => $api->labels }, data => \%data }));
}

# Another mirror, of another owner, goes on in both directions.
sub others_go_on {
    my ($what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $turn++;
    $node->safe_psql('postgres', "UPDATE net.nodes SET labels = labels || '{\"dbnet.io/turn\": \"$turn\"}'");
    $node->wait_for("SELECT phase = 'synced' AND live->'metadata'->'labels'->>'dbnet.io/turn' = '$turn' FROM dbnet.object WHERE relation = 'net.nodes'::regclass", "$what: the mirror of somebody else goes on");
    return;
}

$node->psql_ok($mirrors->node_row('n'), 'a Node');
is($mirrors->wait_synced, '', 'settled');
$node->psql_ok(<<"SQL", 'a mirror of mallory');
SELECT dbnet.unmirror('net.configs');
CREATE ROLE mallory LOGIN;
GRANT USAGE ON FOREIGN SERVER prod TO mallory;
GRANT dbnet_admin TO mallory;
CREATE SCHEMA own AUTHORIZATION mallory;
CREATE TABLE public.seen (who name, what text, id bigint GENERATED ALWAYS AS IDENTITY);
GRANT INSERT, SELECT ON public.seen TO PUBLIC;
SET SESSION AUTHORIZATION mallory;
CREATE TYPE own.mood AS ENUM ('good', 'slow', 'stubborn');
CREATE TABLE own.maps (name text PRIMARY KEY, labels jsonb DEFAULT $labels, mood own.mood, value text, local text);
SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'own.maps', namespace => '$space', label_selector => $selector, mode => 'manage',
    columns => '{"name": "metadata.name", "labels": "metadata.labels", "mood": "data.mood", "value": "data.value"}');
SQL
$mirrors->wait_listed;
$node->psql_ok(q{INSERT INTO own.maps (name, mood, value) VALUES ('a', 'good', '1'), ('b', 'good', '1')}, 'rows', role => 'mallory');
$node->wait_for(q{SELECT count(*) = 2 FROM dbnet.object WHERE relation = 'own.maps'::regclass AND phase = 'synced'}, 'they are sent');

# A cast that the worker's reading of rows runs: it sleeps, and it catches being cancelled.
$node->psql_ok(<<'SQL', 'a cast that sleeps', role => 'mallory');
CREATE FUNCTION own.to_json(own.mood) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.seen (who, what) VALUES (current_user, 'cast');
    IF $1 = 'slow' THEN
        PERFORM pg_sleep(3600);
    ELSIF $1 = 'stubborn' THEN
        LOOP
            BEGIN
                PERFORM pg_sleep(3600);
            EXCEPTION WHEN query_canceled THEN
                NULL;
            END;
        END LOOP;
    END IF;
    RETURN to_json($1::text);
END $$;
CREATE CAST (own.mood AS json) WITH FUNCTION own.to_json(own.mood);
SQL
for my $mood (qw(slow stubborn)) {
    $node->psql_ok("UPDATE own.maps SET mood = '$mood' WHERE name = 'a'", "a row whose cast is $mood", role => 'mallory');
    $node->wait_for("SELECT last_error LIKE 'row $space/a of own.maps could not be read: canceling statement due to%' FROM dbnet.worker WHERE process = 'mirror worker'", "$mood: it is cancelled");
    others_go_on($mood);
    $node->psql_ok("UPDATE own.maps SET mood = 'good', value = '$mood' WHERE name = 'a'", 'mended', role => 'mallory');
    $node->wait_for(qq{SELECT phase = 'synced' AND live->'data'->>'value' = '$mood' FROM dbnet.object WHERE relation = 'own.maps'::regclass AND name = 'a'}, "$mood: and sent once it is mended");
}
$node->query_is(q{SELECT DISTINCT who FROM public.seen}, 'mallory', 'the cast ran as mallory');
$node->psql_ok('DROP CAST (own.mood AS json)', 'enough of it', role => 'mallory');

# What a function in a DEFAULT of the reported table writes into another mirror is an intent like any other.
$node->psql_ok(<<"SQL", 'a DEFAULT that writes another mirror');
CREATE TABLE own.others (name text PRIMARY KEY, labels jsonb DEFAULT $labels);
ALTER TABLE own.others OWNER TO mallory;
SELECT dbnet.mirror('prod', 'v1', 'Namespace', 'own.others', label_selector => $selector, mode => 'manage', columns => '{"name": "metadata.name", "labels": "metadata.labels"}');
SET SESSION AUTHORIZATION mallory;
CREATE FUNCTION own.note() RETURNS text LANGUAGE plpgsql AS \$\$
BEGIN
    INSERT INTO own.others (name) VALUES ('$space-default') ON CONFLICT DO NOTHING;
    RETURN 'noted';
END \$\$;
ALTER TABLE own.maps ALTER COLUMN local SET DEFAULT own.note();
SQL
$mirrors->wait_listed;
put('imported', mood => 'good', value => '1');
$node->wait_for(q{SELECT local = 'noted' FROM own.maps WHERE name = 'imported'}, 'a report inserts a row, whose default runs');
$api->wait_for_object("/api/v1/namespaces/$space-default", sub { $_[0]{status} == 200 });
pass('what the default wrote reaches the server');
$node->psql_ok('ALTER TABLE own.maps ALTER COLUMN local DROP DEFAULT', 'enough of it', role => 'mallory');

# Triggers of a report.
$node->safe_psql('postgres', 'TRUNCATE public.seen');
$node->psql_ok(<<'SQL', 'a trigger that tries things', role => 'mallory');
CREATE TABLE own.attack (sql text);
CREATE FUNCTION own.attack() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE statement text;
BEGIN
    INSERT INTO public.seen (who, what) VALUES (current_user, tg_name);
    FOR statement IN SELECT sql FROM own.attack LOOP EXECUTE statement; END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER attack AFTER INSERT OR UPDATE ON own.maps FOR EACH ROW EXECUTE FUNCTION own.attack();
CREATE CONSTRAINT TRIGGER later AFTER INSERT OR UPDATE ON own.maps DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION own.attack();
SQL
my %attacks = (
    'SET ROLE'                => 'SET ROLE postgres',
    'RESET ROLE'              => 'RESET ROLE',
    'SET SESSION AUTHORIZATION' => 'SET SESSION AUTHORIZATION postgres',
    'set_config'              => q{SELECT set_config('lock_timeout', '0', false), set_config('search_path', 'own', false), set_config('session_replication_role', 'replica', false)},
    'statement_timeout'       => q{SELECT set_config('statement_timeout', '1', false), set_config('row_security', 'on', false)},
    'an advisory lock'        => 'SELECT pg_advisory_lock(42)',
    'deferring'               => 'SET CONSTRAINTS ALL DEFERRED',
    'DDL'                     => 'ALTER TABLE own.maps ADD COLUMN IF NOT EXISTS more text',
    'a temporary table'       => 'CREATE TEMPORARY TABLE pg_class_of_mine (a int)',
    'unmirror'                => q{SELECT dbnet.unmirror('own.others')},
    'a cursor WITH HOLD'      => 'DECLARE held CURSOR WITH HOLD FOR SELECT 1',
    'LISTEN'                  => 'LISTEN mallory',
    'division by zero'        => 'SELECT 1 / 0',
    'cancelling the worker'   => 'SELECT pg_cancel_backend(pg_backend_pid())',
    'a stubborn loop'         => q{DO $do$ BEGIN LOOP BEGIN PERFORM pg_sleep(3600); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $do$},
    'recursion'               => q{UPDATE own.maps SET value = value || 'x' WHERE name = 'imported'},
);
for my $what (sort keys %attacks) {
    $turn++;
    $node->safe_psql('postgres', 'TRUNCATE own.attack; INSERT INTO own.attack VALUES (' . DBNet::Cluster::quote($attacks{$what}) . ')');
    put('imported', mood => 'good', value => "v$turn");
    $node->wait_for(qq{SELECT live->'data'->>'value' = 'v$turn' FROM dbnet.object WHERE relation = 'own.maps'::regclass AND name = 'imported'}, "$what: what the object is like is recorded");
    others_go_on($what);
    $node->query_is(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'}, '0', "$what: no lock is left");
}
$node->safe_psql('postgres', 'TRUNCATE own.attack');
$node->query_is(q{SELECT DISTINCT who FROM public.seen}, 'mallory', 'his triggers ran as mallory, now and deferred');
$node->query_is(q{SELECT count(*) FROM pg_roles WHERE rolsuper AND rolname <> 'postgres'}, '0', 'nobody became a superuser');
is($node->worker_pid('mirror worker'), $pid, 'all that was one worker');

$node->no_crash_in_log;
done_testing();
