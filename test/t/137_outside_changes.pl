# What others change on the devices: dbnet.blame names them, dbnet.timeline has each change as it was seen, also long after.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

my $node = DBNet::Cluster->started('outside_changes');
my $api = DBNet::Api->start;
my $configs = '/api/v1/namespaces/' . $api->namespace . '/configmaps';

sub set_by {
    my ($manager, $name, %part) = @_;
    my %labels = (%{ $api->labels }, %{ delete $part{labels} // {} });
    return $api->expect_success($api->apply("$configs/$name",
            { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => $name, labels => \%labels }, %part }, manager => $manager, force => 1));
}

# Lines of the timeline of one object: kind, what, who. Times of the server are whole seconds, so they are not in order.
sub timeline {
    my ($name, @kinds) = @_;
    my $kinds = join ', ', map { "'$_'" } @kinds;
    return "SELECT kind, object, regexp_replace(what, ', [\\d.]+ ms\$', ', N ms'), who FROM dbnet.timeline(tstzrange(now() - interval '1 hour', NULL), 'net.configs', '$name') WHERE kind IN ($kinds) ORDER BY 1, 3, 4";
}

sub blame { my ($name) = @_; return "SELECT column_name, value, statement, session_user_name, manager, manager_since IS NOT NULL FROM dbnet.blame('net.configs', '$name')" }

set_by('installer', 'a', data => { x => '1' });
my $mirrors = DBNet::Mirrors->new($node, $api);
my $ours = $node->safe_psql('postgres', q{SELECT field_manager FROM dbnet.mirrored_relation WHERE relation = 'net.configs'::regclass});
my $labels = $node->safe_psql('postgres', q{SELECT labels FROM net.configs WHERE name = 'a'});

# --- imported: nobody here has set anything, and the object tells who has ---
$node->query_is(blame('a'), qq(data|{"x": "1"}|device report||installer|t\nlabels|$labels|device report||installer|t\nname|"a"|device report|||f), 'the manager of an imported row');
$node->query_is(timeline('a', 'outside'), 'outside|net.configs a|data, metadata.labels set|installer', 'and when it did that');

# --- a column of the row's user, one of somebody else there ---
$node->psql_ok(q{UPDATE net.configs SET data = '{"x": "2"}' WHERE name = 'a'}, 'a change of ours');
is($mirrors->wait_synced, '', 'settled');
$node->query_is(timeline('a', 'outside'), "outside|net.configs a|data set|installer\noutside|net.configs a|metadata.labels set|installer", 'what was set before is not forgotten');
$api->expect_success($api->apply("$configs/a",
        { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'a', labels => { %{ $api->labels }, team => 'edge' } } }, manager => 'editor', force => 1));
$node->wait_for(q{SELECT labels ->> 'team' = 'edge' FROM net.configs WHERE name = 'a'}, 'somebody sets labels');
$labels = $node->safe_psql('postgres', q{SELECT labels FROM net.configs WHERE name = 'a'});
$node->query_is(blame('a'), qq(data|{"x": "2"}|UPDATE net.configs SET data = '{"x": "2"}' WHERE name = 'a'|postgres|$ours|t\nlabels|$labels|device report||editor|t\nname|"a"|device report|||f), 'each column has its own');
$node->query_is(timeline('a', 'outside'),
    "outside|net.configs a|data set|installer\noutside|net.configs a|metadata.labels set|editor\noutside|net.configs a|metadata.labels set|installer", 'both have set labels');

# --- what others set of ours: the row keeps its value, the device has another ---
set_by('kubectl-edit', 'a', data => { x => '3' });
$node->wait_for(q{SELECT phase = 'drifted' FROM dbnet.object_status WHERE name = 'a'}, 'drift');
$node->query_is(q{SELECT value, statement, manager FROM dbnet.blame('net.configs', 'a') WHERE column_name = 'data'},
    qq({"x": "2"}|UPDATE net.configs SET data = '{"x": "2"}' WHERE name = 'a'|kubectl-edit), 'the row is as its user set it, and the device has another manager');
$node->psql_ok(q{SELECT dbnet.adopt('net.configs', 'a', '{data}')}, 'taken over again');
$node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object_status WHERE name = 'a'}, 'and sent');
is($mirrors->config('a')->{data}{x}, '2', 'the value of the row');
$node->query_is(timeline('a', 'outside') =~ s/WHERE kind/WHERE what ~ '^data' AND kind/r,
    "outside|net.configs a|data set|installer\noutside|net.configs a|data set|kubectl-edit", 'the drift that is over is in the timeline');

# --- a field that is removed, an object that is deleted ---
my $labels_of_run = $node->safe_psql('postgres', q{SELECT labels - 'team' FROM net.configs WHERE name = 'a'});
set_by('helm', 'b', data => { x => '1' });
$node->wait_for(q{SELECT data IS NOT NULL FROM net.configs WHERE name = 'b'}, 'another object');
$api->expect_success($api->patch("$configs/b", { data => undef }, query => { fieldManager => 'kubectl-patch' }));
$node->wait_for(q{SELECT data IS NULL FROM net.configs WHERE name = 'b'}, 'its data is removed');
$node->query_is(timeline('b', 'outside') =~ s/WHERE kind/WHERE what ~ '^data' AND kind/r, "outside|net.configs b|data removed|\noutside|net.configs b|data set|helm", 'by whom is not known where that sets nothing; and who had set it');
$node->query_is(timeline('b', 'report'), "report|net.configs b|INSERT: data {\"x\": \"1\"}, labels $labels_of_run|device\nreport|net.configs b|UPDATE: data {\"x\": \"1\"} → NULL|device", 'beside what was reported');
set_by('helm', 'b', data => { y => '1' });
$node->wait_for(q{SELECT data IS NOT NULL FROM net.configs WHERE name = 'b'}, 'data again');
my $second = $api->get("$configs/b")->{body}{metadata}{managedFields}[0]{time};
$node->wait_for("SELECT clock_timestamp() >= timestamptz '$second' + interval '1 s'", 'the next second, by which the server tells changes apart');
set_by('helm', 'b');
$node->wait_for(q{SELECT data IS NULL FROM net.configs WHERE name = 'b'}, 'removed again, by somebody who keeps labels');
$node->query_is(timeline('b', 'outside') =~ s/WHERE kind/WHERE what ~ '^data removed' AND kind/r, "outside|net.configs b|data removed|helm\noutside|net.configs b|data removed|", 'who is known');
$api->expect_success($api->delete("$configs/b"));
$node->wait_for(q{SELECT count(*) = 0 FROM net.configs WHERE name = 'b'}, 'deleted there');
$node->query_is(timeline('b', 'outside') =~ s/WHERE kind/WHERE what !~ '^metadata' AND kind/r, "outside|net.configs b|data removed|helm\noutside|net.configs b|data removed|\noutside|net.configs b|data set|helm\noutside|net.configs b|data set|helm\noutside|net.configs b|deleted|",
    'after its end everything is still there');

set_by('helm', 'c', data => { x => '1' });
$node->wait_for(q{SELECT count(*) = 1 FROM net.configs WHERE name = 'c'}, 'an object that nobody changes');
$api->expect_success($api->delete("$configs/c"));
$node->wait_for(q{SELECT count(*) = 0 FROM net.configs WHERE name = 'c'}, 'until it is deleted');
$node->query_is(timeline('c', 'outside'), "outside|net.configs c|data, metadata.labels set|helm\noutside|net.configs c|deleted|", 'who made it is known then, too');

# --- an update of what nobody maps is none, nor is ours ---
my $seen = $node->safe_psql('postgres', 'SELECT count(*) FROM dbnet.outside_change');
$node->psql_ok($mirrors->config_row('mine', { x => '1' }), 'an object of ours');
is($mirrors->wait_synced, '', 'settled');
$api->expect_success($api->patch("$configs/mine", { metadata => { annotations => { note => 'x' } } }, query => { fieldManager => 'annotator' }));
$node->wait_for(q{SELECT last_manager = 'annotator' FROM dbnet.object WHERE name = 'mine'}, 'somebody annotates it');
$node->psql_ok(q{UPDATE net.configs SET data = '{"x": "2"}' WHERE name = 'mine'}, 'changed by us');
is($mirrors->wait_synced, '', 'settled');
$node->query_is('SELECT count(*) FROM dbnet.outside_change', $seen, 'nobody else has changed a mirrored field');

# --- device calls, held changes ---
$node->query_is(timeline('mine', 'device', 'outside'), join("\n",
        'device|net.configs mine|apply ConfigMap ' . $api->namespace . '/mine: data, metadata.labels → 200, N ms|postgres',
        'device|net.configs mine|apply ConfigMap ' . $api->namespace . '/mine: data, metadata.labels → 201, N ms|postgres'), 'calls, and nothing from outside');
$node->psql_ok(q{DELETE FROM net.configs WHERE name = 'a'}, 'a row of an object that is not of our making is deleted');
$node->wait_for('SELECT count(*) = 1 FROM dbnet.held', 'which waits for a decision');
$node->query_is(timeline('a', 'held'), 'held|net.configs a|delete held: ' . $node->safe_psql('postgres', 'SELECT reason FROM dbnet.held') . '|', 'and says so');

# --- Kubernetes Events ---
$node->psql_ok(q{SELECT dbnet.mirror('prod', 'v1', 'Event', 'net.events', namespace => '} . $api->namespace . q{')}, 'Events are mirrored');
for my $name (qw(mine unknown)) {
    $api->expect_success($api->create('/api/v1/namespaces/' . $api->namespace . '/events', {
                metadata => { name => "$name.1" }, reason => 'TooBig', message => "is too\nbig", type => 'Warning', count => 3, source => { component => 'checker' },
                firstTimestamp => '2026-01-02T03:04:05Z', lastTimestamp => '2026-01-02T03:05:05Z',
                involvedObject => { apiVersion => 'v1', kind => 'ConfigMap', namespace => $api->namespace, name => $name } }));
}
$node->wait_for(q{SELECT count(*) = 2 FROM net.events WHERE name ~ '^(mine|unknown)\.1$'}, 'two Events');
my $events = q{SELECT at = '2026-01-02 03:05:05+00', kind, object, what, who FROM dbnet.timeline('[2026-01-02 03:05:00+00, 2026-01-02 03:06:00+00)'};
my $event = 't|event|net.configs mine|Warning TooBig: is too big (3 times)|checker';
$node->query_is("$events, 'net.configs', 'mine')", $event, 'the Event of the object');
$node->query_is("$events)", $event, 'of all that are mirrored');
$node->query_is("$events, 'net.nodes')", '', 'not of another kind');
$node->query_is("SELECT count(*) FROM dbnet.timeline('[2026-01-02 03:04:00+00, 2026-01-02 03:05:00+00)') WHERE kind = 'event'", '0', 'nor at another time');

# --- rights, retention, dump ---
$node->psql_ok(q{CREATE ROLE viewer LOGIN IN ROLE dbnet_viewer; GRANT USAGE ON SCHEMA net TO viewer; GRANT SELECT ON net.configs TO viewer}, 'a viewer of one table');
my $as_viewer = sub { return "SET ROLE viewer; $_[0]" };
$node->query_is($as_viewer->("$events)"), '', 'who may not read the Events sees none');
$node->query_is($as_viewer->(q{SELECT DISTINCT relation FROM dbnet.outside_change}), 'net.configs', 'what is of the table');
$node->psql_ok(q{REVOKE SELECT ON net.configs FROM viewer}, 'no longer');
$node->query_is($as_viewer->(q{SELECT count(*) FROM dbnet.outside_change}), '0', 'and no more');
$node->query_is($as_viewer->(q{SELECT count(*) FROM dbnet.timeline(tstzrange(NULL, NULL)) WHERE kind = 'outside'}), '0', 'nor in the timeline');
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
my $all = q{SELECT md5(string_agg(c::text, E'\n' ORDER BY id)) FROM dbnet.outside_change AS c};
my $content = $node->safe_psql('postgres', $all);
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-h', $node->host, '-p', $node->port, 'postgres' ], 'pg_dump');
$node->psql_ok('CREATE DATABASE copy', 'another database');
$node->command_ok([ 'pg_restore', '-e', '-d', 'copy', '-h', $node->host, '-p', $node->port, $dump ], 'pg_restore');
$node->query_is($all, $content, 'has the same', database => 'copy');
$node->psql_ok(q{INSERT INTO dbnet.outside_change VALUES (dbnet.event_at('2020-01-01'), '2020-01-01', 'net.configs', '', 'old', 'set', '{data}', 'kubectl')}, 'a change of another year');
$node->safe_psql('postgres', 'SELECT pg_reload_conf()');
$node->wait_for(q{SELECT count(*) = 0 FROM dbnet.outside_change WHERE name = 'old'}, 'goes with the retention of what is on record');
$node->query_is($all, $content, 'alone');

$node->no_crash_in_log;
done_testing;
