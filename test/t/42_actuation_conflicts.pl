# Fields that others own, and what the server refuses: taken once where nobody minds, else told in the server's words.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

my $node = DBNet::Cluster->started('actuation_conflicts', conf => q{dbnet.respected_managers = 'argocd-controller, helm'});
my $api = DBNet::Api->start;
my $configs = '/api/v1/namespaces/' . $api->namespace . '/configmaps';

sub theirs {
    my ($name, $manager) = @_;
    return $api->expect_success($api->apply("$configs/$name", { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => $name, labels => $api->labels }, data => { a => '1' } }, manager => $manager));
}
theirs('common', 'kubectl');
theirs('respected', 'helm');
my $mirrors = DBNet::Mirrors->new($node, $api);
$node->wait_for('SELECT count(*) >= 2 FROM net.configs', 'objects are imported');

# A first write takes the field, once.
$node->psql_ok(q{UPDATE net.configs SET data = '{"a": "2"}' WHERE name = 'common'}, 'change what kubectl owns');
is($mirrors->wait_synced, '', 'settled');
is($mirrors->config('common')->{data}{a}, '2', 'the value is ours');
$node->query_is(q{SELECT attempt, http_status, reason, forced FROM dbnet.actuation WHERE name = 'common' ORDER BY at},
    "1|409|Conflict|f\n2|200||t", 'the log has the conflict and the forced call');

# Somebody takes it back: that is not a first write any more.
$api->expect_success($api->apply("$configs/common", { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'common', labels => $api->labels }, data => { a => '3' } }, manager => 'kubectl', force => 1));
$node->wait_for(q{SELECT phase = 'drifted' FROM dbnet.object_status WHERE name = 'common'}, 'the drift is reported');
$node->psql_ok(q{UPDATE net.configs SET data = '{"a": "4"}' WHERE name = 'common'}, 'change it again');
$node->wait_for(q{SELECT phase = 'conflict' AND message LIKE '%kubectl%' AND needs_action FROM dbnet.object_status WHERE name = 'common'}, 'a conflict, naming the owner');
is($mirrors->config('common')->{data}{a}, '3', 'the object is as it was');

# The owner lets go, and the user asks once more.
$api->expect_success($api->apply("$configs/common", { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'common', labels => $api->labels } }, manager => 'kubectl'));
$node->psql_ok(q{SELECT dbnet.retry('net.configs')}, 'retry');
$node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object_status WHERE name = 'common'}, 'it goes through');
is($mirrors->config('common')->{data}{a}, '4', 'with the last value');

# A respected manager's field is never taken.
$node->psql_ok(q{UPDATE net.configs SET data = '{"a": "2"}' WHERE name = 'respected'}, 'change what helm owns');
$node->wait_for(q{SELECT phase = 'conflict' AND message LIKE '%helm%' FROM dbnet.object_status WHERE name = 'respected'}, 'a conflict at once');
is($mirrors->config('respected')->{data}{a}, '1', 'the object is as it was');
$node->query_is(q{SELECT count(*) FROM dbnet.actuation WHERE name = 'respected' AND forced}, '0', 'no call was forced');
$node->psql_ok(q{UPDATE net.configs SET data = '{"a": "1"}' WHERE name = 'respected'}, 'the user gives in');
$node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object_status WHERE name = 'respected'}, 'and the conflict is over');

# The server refuses a name.
$node->psql_ok($mirrors->config_row('Bad_Name', { a => '1' }) . $mirrors->config_row('good', { a => '1' }), 'a bad name and a good one');
$node->wait_for(q{SELECT phase = 'invalid' AND message LIKE '%RFC 1123%' FROM dbnet.object_status WHERE name = 'Bad_Name'}, 'refused, in the words of the server');
$node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object_status WHERE name = 'good'}, 'the other one is not held up');
$node->query_is(q{SELECT count(*), min(http_status) FROM dbnet.actuation WHERE name = 'Bad_Name'}, '1|422', 'it was tried once');
$node->psql_ok(q{DELETE FROM net.configs WHERE name = 'Bad_Name'}, 'give up');
is($mirrors->wait_synced, '', 'settled');
$node->query_is(q{SELECT count(*) FROM dbnet.object WHERE name = 'Bad_Name'}, '0', 'nothing is left of it');

# A value that does not fit the schema: it is refused at once; where the schema is not known, the server says 500 without
# a reason.
$node->fails_like(q{UPDATE net.configs SET data = '{"a": {"deep": 1}}' WHERE name = 'good'}, '23514', qr/column "data" \(data\): at a: \{"deep":1\} is not text/, 'refused');
$node->psql_ok('UPDATE dbnet.mirrored_column SET rules = NULL', 'a mirror that knows no schema');
$node->psql_ok(q{UPDATE net.configs SET data = '{"a": {"deep": 1}}' WHERE name = 'good'}, 'a structure where text belongs');
$node->wait_for(q{SELECT phase = 'invalid' AND message <> '' FROM dbnet.object_status WHERE name = 'good'}, 'invalid after a few tries');
$node->query_is(q{SELECT count(*) BETWEEN 1 AND 5 FROM dbnet.actuation WHERE name = 'good' AND http_status >= 400}, 't', 'five at most');
$node->psql_ok(q{UPDATE net.configs SET data = '{"a": "mended"}' WHERE name = 'good'}, 'mend it');
is($mirrors->wait_synced, '', 'a new commit is tried at once');

$node->no_crash_in_log;
done_testing();
