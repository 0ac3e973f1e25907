# What goes to a server that is told who has asked is what that role has committed, and nothing of anybody else's: while the worker is behind, while others
# commit in the midst of its reading, and while a row is written all the time.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use IPC::Run ();
use JSON::PP ();
use Test::More;

DBNet::Need::need('own_servers');
my $api   = DBNet::Api->start(controllers => 0, nodes_ready => 0);
my $node  = DBNet::Cluster->started('main');
my $space = $api->namespace;
my $maps  = "/api/v1/namespaces/$space/configmaps";

sub settled { my ($name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s', 'net.maps')}, '', $name) }
sub written_as { my ($since, $name) = @_; return join ' ', map { $_->{acts_as} || '-' } $api->requests(since => $since, method => 'PATCH', path => qr{$maps/$name\?}) }
sub writes { my ($role, $name) = @_; return qq{UPDATE net.maps SET who = '$role' WHERE name = '$name'} }
sub content { my ($name) = @_; return $api->get("$maps/$name")->{body}{data}{of} }

$node->psql_ok($api->create_server('prod', impersonate => 'required') . qq{
    CREATE ROLE alice; CREATE ROLE bob; GRANT dbnet_viewer TO alice, bob; CREATE SCHEMA net; GRANT USAGE ON SCHEMA net TO alice, bob;
    SELECT dbnet.map_role('prod', 'alice', 'alice', '{system:masters}'), dbnet.map_role('prod', 'bob', 'bob', '{system:masters}');
    CREATE TYPE net.pace AS ENUM ('quick', 'slow'); CREATE TABLE net.reader (pid int); CREATE TABLE net.others (number int);
    CREATE FUNCTION net.to_json(net.pace) RETURNS json LANGUAGE plpgsql AS \$\$
    BEGIN
        WHILE \$1 = 'slow' AND EXISTS (SELECT FROM net.reader WHERE pid = pg_backend_pid()) LOOP
            PERFORM pg_sleep(0.02);
        END LOOP;
        RETURN to_json(\$1::text);
    END \$\$;
    CREATE CAST (net.pace AS json) WITH FUNCTION net.to_json(net.pace);
    CREATE TABLE net.maps (name text PRIMARY KEY, who text, turn text DEFAULT '0', pace net.pace DEFAULT 'quick'); GRANT ALL ON net.maps TO alice, bob;
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.maps', '{"name": "metadata.name", "who": "data.of", "turn": "data.turn", "pace": "data.pace"}',
        namespace => '$space', label_selector => '!for', mode => 'manage');
    ALTER SYSTEM SET dbnet.report_statement_timeout = '60s'; SELECT pg_reload_conf();
    SET ROLE alice; INSERT INTO net.maps (name, who) SELECT name, 'alice' FROM unnest(ARRAY['far', 'late', 'between', 'unsaid', 'hot']) AS name},
    'a server that is told who has asked, and rows that take as long to read as is wanted');
settled('they are sent');
my $worker = $node->worker_pid('mirror worker');
my $waits = "SELECT count(*) = 1 FROM pg_locks WHERE pid = $worker AND NOT granted";
my $other = $node->background_psql('postgres');

# --- the worker reads of one commit, and the other is far behind it in the WAL ---
my $since = $api->request_position;
kill STOP => $worker;
$node->safe_psql('postgres', $_) for 'SET ROLE bob; ' . writes('bob', 'far'), 'INSERT INTO net.others SELECT generate_series(1, 30000)', 'SET ROLE alice; ' . writes('alice, again', 'far');
kill CONT => $worker;
settled('what two have committed while the worker was behind is sent');
is(written_as($since, 'far'), 'alice', 'as who has committed it');
is(content('far'), 'alice, again', 'and that is what has come');

# --- one commits while the worker waits to read the row for another ---
$since = $api->request_position;
kill STOP => $worker;
$node->safe_psql('postgres', 'SET ROLE bob; ' . writes('bob', 'late'));
$other->query_safe('SET ROLE alice; BEGIN; LOCK TABLE net.maps IN ACCESS EXCLUSIVE MODE; ' . writes('alice, again', 'late'));
kill CONT => $worker;
$node->wait_for($waits, 'the worker knows of bob\'s commit, and waits for the table');
$other->query_safe('COMMIT');
settled('what alice has committed meanwhile is sent');
is(written_as($since, 'late'), 'alice', 'as hers');
is(content('late'), 'alice, again', 'and that is what has come');

# --- one commits in the midst of the reading ---
$since = $api->request_position;
$node->safe_psql('postgres', "INSERT INTO net.reader VALUES ($worker)");
$node->psql_ok(q{SET ROLE bob; UPDATE net.maps SET who = 'bob', pace = 'slow' WHERE name = 'between'}, 'bob commits');
$node->wait_for("SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $worker", 'the worker reads it');
$node->psql_ok('SET ROLE alice; ' . writes('alice, again', 'between'), 'alice commits');
$node->safe_psql('postgres', 'DELETE FROM net.reader');
settled('what they have committed is sent');
is(written_as($since, 'between'), 'bob alice', 'as of each of them what is theirs');
is(content('between'), 'alice, again', 'hers last');

# --- a commit that does not say which rows it has changed ---
$since = $api->request_position;
$node->psql_ok('GRANT EXECUTE ON FUNCTION dbnet.record_change TO bob', 'bob may commit without saying what');
kill STOP => $worker;
$node->safe_psql('postgres', $_) for 'SET ROLE alice; ' . writes('alice, once more', 'unsaid'), q{SET ROLE bob; BEGIN; SELECT dbnet.record_change('net.maps', 'C'); } . writes('bob', 'unsaid') . '; COMMIT';
kill CONT => $worker;
settled('it is sent');
is(written_as($since, 'unsaid'), 'bob', 'as who has written the row by the record');
is(content('unsaid'), 'bob', 'and that is what has come');

# --- a row that is written all the time ---
$since = $api->request_position;
my $events = '';
my $version = $api->get("$maps/hot")->{body}{metadata}{resourceVersion};
my $watch = IPC::Run::start([ 'curl', '-sS', '-N', '-g', '--http1.1', '--noproxy', '*', '--max-time', 300, @{ $api->{credentials} },
        $api->url . "$maps?watch=true&fieldSelector=metadata.name%3Dhot&resourceVersion=$version" ], '>', \$events, '2>', \my $errors);
my $writer = $node->background_psql('postgres');
$writer->query_until(qr/begun/, q{\echo begun
SET synchronous_commit = off;
DO $$
DECLARE
    count  int := 0;
    writer name;
BEGIN
    LOOP
        count := count + 1;
        writer := CASE WHEN random() < 0.5 THEN 'alice' ELSE 'bob' END;
        PERFORM set_config('role', writer, true);
        UPDATE net.maps SET who = writer, turn = count WHERE name = 'hot';
        COMMIT;
        EXIT WHEN EXISTS (SELECT FROM net.others WHERE number = 0);
    END LOOP;
END
$$;
});
$api->wait_until(sub { 40 <= (my @sent = split / /, written_as($since, 'hot')) }, 'it is sent again and again');
pass('a row that is written all the time is sent all the same');
$node->psql_ok('INSERT INTO net.others VALUES (0)', 'that was enough');
$writer->quit;
settled('the last of it is sent');
my @sent = split / /, written_as($since, 'hot');
$api->wait_until(sub { $watch->pump_nb; (() = $events =~ /^\{.*"MODIFIED".*\}$/mg) >= @sent }, 'the server has told of all of it');
$watch->kill_kill;
my @come = map { JSON::PP::decode_json($_)->{object}{data}{of} } $events =~ /^(\{.*"MODIFIED".*\})$/mg;
is_deeply(\@come, \@sent, 'each time as who has committed what was sent');
cmp_ok(scalar(grep { $sent[$_] ne $sent[ $_ - 1 ] } 1 .. $#sent), '>', 10, 'now one, now the other');

$other->quit;
$node->no_crash_in_log;
done_testing();
