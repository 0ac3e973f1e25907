# A server that answers nonsense: no JSON, wrong types, depth without end, to every kind of request. The server process
# and its sessions never suffer, the mirror says what is wrong, and all is well once the answers are.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

DBNet::Need::need('own_servers', 'faults');
my $node = DBNet::Cluster->started('hostile_server', conf => "dbnet.hold_objects = 1000\ndbnet.hold_minimum = 1000");
my $api = DBNet::Api->start;
my $mirrors = DBNet::Mirrors->new($node, $api);
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');

my $deep = 100_000;
my %nonsense = (
    'nothing' => '',
    'text' => 'Bad Gateway',
    'a page' => '<html><body>login</body></html>',
    'half an object' => '{"metadata": {"name": "x", "uid": "1',
    'null' => 'null',
    'a number' => '1e999',
    'a list' => '[1, 2, 3]',
    'text in quotes' => '"x"',
    'no metadata' => '{}',
    'wrong metadata' => '{"metadata": 5, "items": 5, "code": "x"}',
    'wrong members' => '{"metadata": {"name": ["x"], "uid": 5, "resourceVersion": {}, "continue": 7, "managedFields": {"a": 1}, "ownerReferences": "x", "deletionTimestamp": []}, "items": {"a": 1}}',
    'wrong managers' => '{"metadata": {"name": "x", "uid": "1", "resourceVersion": "1", "managedFields": [1, null, {"manager": {}, "fieldsV1": 3, "operation": 5, "time": false}, {"manager": "m", "operation": "Apply", "fieldsV1": {"f:data": [], "k:{": {}}}]}, "data": []}',
    'wrong items' => '{"metadata": {"resourceVersion": "1"}, "items": [null, 5, [], {"metadata": 7}, {"metadata": {"name": 1}}, {"metadata": {"name": "x", "namespace": []}, "data": "x"}]}',
    'depth' => '{"metadata": {"name": "x", "uid": "1"}, "data": ' . '[' x $deep . ']' x $deep . '}',
    'depth of objects' => '{"a":' x $deep . '1' . '}' x $deep,
    'depth in items' => '{"metadata": {"resourceVersion": "1"}, "items": [' . '{"spec":' x $deep . '1' . '}' x $deep . ']}',
);

sub fault {
    my (%fault) = @_;
    return $api->fault({ count => -1, %fault });
}

# Settles what the wrong answers left behind; a change of the server's rights ends every waiting for it.
sub recovers {
    my ($what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $api->no_faults;
    $node->safe_psql('postgres', 'GRANT USAGE ON FOREIGN SERVER prod TO postgres');
    $mirrors->wait_listed;
    # An object that was said to be there and is not, was deleted: that may stay.
    # What a wrong answer settled, a list may open once more.
    $node->wait_for(q{SELECT string_agg(concat_ws(' ', key, phase, message), '; ') FROM dbnet.object_status WHERE (waiting OR needs_action) AND phase <> 'absent'}, "$what: nothing is left to do afterwards", expected => '');
    $node->query_is(q{SELECT key, phase FROM dbnet.wait_synced('60 s') WHERE phase <> 'absent'}, '', "$what: and all is settled");
    $node->query_is('SELECT pg_postmaster_start_time()', $started, "$what: the server has not restarted");
    return;
}

my @names = sort keys %nonsense;
for my $status (200, 201, 500) {
    # Writes, each object with another answer: what creates, changes, deletes; the look for what was never known.
    for my $method (qw(PATCH DELETE GET)) {
        fault(method => $method, path => "configmaps/n-$status-$_\\b", status => $status, body => $nonsense{ $names[$_] }, count => 2) for 0 .. $#names;
    }
    $node->safe_psql('postgres', join '', map { $mirrors->config_row("n-$status-$_", { v => '1' }) } 0 .. $#names);
    $api->wait_until(sub { scalar(() = $api->requests(method => 'PATCH', path => qr{configmaps/n-$status-})) >= 2 * @names }, 'all have been answered twice');
    recovers("writes answered $status");
    fault(method => 'PATCH', path => "configmaps/n-$status-$_\\b", status => $status, body => $nonsense{ $names[$_] }, count => 2) for 0 .. $#names;
    $node->safe_psql('postgres', qq{UPDATE net.configs SET data = '{"v": "2"}' WHERE name LIKE 'n-$status-%'; DELETE FROM net.configs WHERE name LIKE 'n-$status-%' AND name > 'n-$status-5'});
    recovers("updates and deletes answered $status");
    # Lists and watches, one after the other.
    for my $name (@names) {
        my $before = $api->request_position;
        fault(method => 'GET', path => 'configmaps\?', status => $status, body => $nonsense{$name}, count => 1);
        $node->safe_psql('postgres', q{SELECT dbnet.resync('net.configs')});
        $api->wait_until(sub { scalar(() = $api->requests(since => $before, method => 'GET', path => qr/configmaps\?/)) >= 1 }, "$name has been listed");
    }
    recovers("lists answered $status");
    for my $name (@names) {
        my $before = $api->request_position;
        fault(method => 'GET', path => 'configmaps\?.*watch=', status => $status, body => "$nonsense{$name}\n", count => 1);
        $node->safe_psql('postgres', 'GRANT USAGE ON FOREIGN SERVER prod TO postgres');
        $api->disturb('end_watches');
        $api->wait_until(sub { scalar(() = $api->requests(since => $before, method => 'GET', path => qr/configmaps\?.*watch=/)) >= 1 }, "$name has been watched");
    }
    recovers("watches answered $status");
}
# A list that never was one at the worker's start, and what a backend asks.
for my $name (@names) {
    fault(path => '^/(?!_sim)', status => 200, body => $nonsense{$name});
    my ($status) = $node->run_sql(q{SELECT * FROM dbnet.check_server('prod')});
    isnt($status, 2, "$name: dbnet.check_server says something");
    ($status) = $node->run_sql(q{SELECT * FROM dbnet.kinds('prod')});
    isnt($status, 2, "$name: dbnet.kinds says something");
    $api->no_faults;
}
fault(method => 'GET', path => 'configmaps', status => 200, body => $nonsense{depth});
$node->replace_worker('mirror worker', 'TERM');
$node->wait_for(q{SELECT state <> 'synced' AND message <> '' FROM dbnet.mirror_status WHERE relation = 'net.configs'::regclass}, 'a start with such a list: the mirror says what is wrong');
recovers('a new worker');
$node->safe_psql('postgres', 'DELETE FROM net.configs; ' . $mirrors->config_row('good', { v => '1' }));
is($mirrors->wait_synced, '', 'what was deleted is gone');
is(join(' ', map { $_->{metadata}{name} } @{ $api->get('/api/v1/namespaces/' . $api->namespace . '/configmaps', query => { labelSelector => $api->selector })->{body}{items} }), 'good', 'and the objects are what the rows say');

$node->no_crash_in_log;
done_testing();
