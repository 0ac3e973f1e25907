# What a server answers and stores, from the user's side: texts that YAML readers change, large objects, values it
# refuses, namespaces that are missing or end, finalizers, objects that somebody else replaces.
use strict;
use warnings FATAL => 'all';
use utf8;
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

DBNet::Need::may_need('faults');
my $node = DBNet::Cluster->started('actuation_answers', extra => [ '--encoding=UTF8', '--no-locale' ]);
my $api = DBNet::Api->start;
my $mirrors = DBNet::Mirrors->new($node, $api);
my $maps = '/api/v1/namespaces/' . $api->namespace . '/configmaps';
my ($space, $key) = ($api->namespace, $api->label_key);
my ($fixed, $everywhere) = ("$space-fixed", "$space-everywhere");    # values of the label, so that no two mirrors have the same objects
sub phase_like {
    my ($name, $phase, $message, $next_step, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $node->wait_for(qq{SELECT phase = '$phase' AND message LIKE '$message' AND next_step LIKE '$next_step' FROM dbnet.object_status WHERE name = '$name'}, $what);
}
sub forced { my ($name) = @_; return $node->safe_psql('postgres', "SELECT count(*) FROM dbnet.actuation WHERE name = '$name' AND forced") }

# --- every text arrives as it is, and comes back so ---
my %hostile = (
    yes => 'yes', null => 'null', hex => '0x1f', octal => '0o17', empty => '', colon => "a: b\n- c", hash => '# no comment', tab => "\ta\t", quote => q{'"\\/},
    lines => "a\r\nb\n\n", nel => "a\x{85}b", separators => "a \x{2028} b\x{2029}", bom => "\x{feff}a", delete => "a\x{7f}\x{80}\x{9f}b", emoji => "\x{1f600}", accent => "e\x{301}",
    control => "\x{1}\x{1f}", anchor => '&a *a', tag => '!!int 1', date => '2001-01-01', float => '1e3', percent => '%YAML', trailing => "a  \n ", long => 'x' x 5000);
my $json = JSON::PP->new->canonical->ascii;
$node->psql_ok('INSERT INTO net.configs (name, data) VALUES ($q$hostile$q$, $q$' . $json->encode(\%hostile) . '$q$)', 'texts that YAML readers change');
is($mirrors->wait_synced, '', 'are settled');
is_deeply($mirrors->config('hostile')->{data}, \%hostile, 'and there as they were');
$api->expect_success($api->create($maps, { metadata => { name => 'theirs', labels => $api->labels }, data => \%hostile }));
$node->wait_for('SELECT data = $q$' . $json->encode(\%hostile) . '$q$ FROM net.configs WHERE name = $q$theirs$q$', 'the same from the other side');

# --- size ---
$node->psql_ok(q{INSERT INTO net.configs (name, data) SELECT 'large', jsonb_build_object('a', repeat('x', 1000000)); INSERT INTO net.configs (name, data) SELECT 'too-large', jsonb_build_object('a', repeat('x', 1100000))}, 'large objects');
phase_like('too-large', 'invalid', '%Too long%', '%message says which%', 'one that is too large is refused, in the words of the server');
$node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object_status WHERE name = 'large'}, 'one that just fits');
is(length $mirrors->config('large')->{data}{a}, 1_000_000, 'is there');
$node->psql_ok(q{UPDATE net.configs SET data = jsonb_build_object('a', repeat('y', 1000000)) WHERE name = 'large'; DELETE FROM net.configs WHERE name = 'too-large'}, 'mend it');
is($mirrors->wait_synced, '', 'settled');
$node->psql_ok(q{DELETE FROM net.configs WHERE name = 'large'}, 'the large one goes');

# Each key counts twice there, once more in managedFields: the API server takes the object, and etcd does not.
$node->psql_ok(q{INSERT INTO net.configs (name, data) SELECT 'many-keys', jsonb_object_agg(repeat('k', 240) || i, '') FROM generate_series(1, 4000) AS i}, 'an object with thousands of keys');
phase_like('many-keys', 'invalid', '%etcdserver: request is too large%', '%', 'is refused by what the server keeps it in, and is not sent for ever');
$node->psql_ok(q{DELETE FROM net.configs WHERE name = 'many-keys'}, 'it goes');
is($mirrors->wait_synced, '', 'settled');

# --- fields that cannot be changed any more ---
$node->psql_ok(qq{
    CREATE TABLE net.fixed (name text PRIMARY KEY, labels jsonb DEFAULT '{"$key": "$fixed"}', data jsonb, immutable boolean);
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.fixed', namespace => '$space', label_selector => '$key=$fixed', mode => 'manage',
        columns => '{"name": "metadata.name", "labels": "metadata.labels", "data": "data", "immutable": "immutable"}');
    INSERT INTO net.fixed (name, data, immutable) VALUES ('fixed', '{"a": "1"}', true)}, 'an immutable ConfigMap');
is($mirrors->wait_synced, '', 'settled');
$node->psql_ok(q{UPDATE net.fixed SET data = '{"a": "2"}'}, 'change it');
phase_like('fixed', 'invalid', '%field is immutable when `immutable` is set%', 'The field can be set only when the object is made%', 'refused');
$node->psql_ok(q{UPDATE net.fixed SET data = '{"a": "1"}'}, 'give in');
is($mirrors->wait_synced, '', 'all is well');

# --- a namespace that is missing, then there, then ending ---
$space = $api->name('answers');
$node->psql_ok(qq{
    CREATE TABLE net.everywhere (namespace text, name text, labels jsonb DEFAULT '{"$key": "$everywhere"}', data jsonb, PRIMARY KEY (namespace, name));
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.everywhere', label_selector => '$key=$everywhere', mode => 'manage',
        columns => '{"namespace": "metadata.namespace", "name": "metadata.name", "labels": "metadata.labels", "data": "data"}');
    INSERT INTO net.everywhere (namespace, name, data) VALUES ('$space', 'early', '{"a": "1"}')}, 'an object in a namespace that is not there');
phase_like('early', 'pending', '%namespaces "' . $space . '" not found%', 'Create what is missing%', 'waits and says for what');
$api->expect_success($api->create('/api/v1/namespaces', { metadata => { name => $space, labels => $api->labels } }));
$node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object_status WHERE name = 'early'}, 'goes through once somebody has made it');
$api->expect_success($api->patch("/api/v1/namespaces/$space/configmaps/early", { metadata => { finalizers => ['example.com/hold'] } }));
$api->expect_success($api->delete("/api/v1/namespaces/$space"));
$node->psql_ok(qq{INSERT INTO net.everywhere (namespace, name, data) VALUES ('$space', 'late', '{"a": "1"}')}, 'an object in a namespace that ends');
phase_like('late', 'pending', '%because it is being terminated%', '%if the namespace is made again%', 'waits and says for what');
SKIP: {
    DBNet::Need::or_skip('controllers');
    $api->wait_for_object("/api/v1/namespaces/$space/configmaps/early", sub { $_[0]{body}{metadata}{deletionTimestamp} });
    $api->expect_success($api->patch("/api/v1/namespaces/$space/configmaps/early", { metadata => { finalizers => undef } }));
    $api->wait_for_object("/api/v1/namespaces/$space", sub { $_[0]{status} == 404 });
    $node->wait_for(q{SELECT phase = 'absent' AND needs_action FROM dbnet.object_status WHERE name = 'early'}, 'what was in it is gone, and its row says so');
    $api->expect_success($api->create('/api/v1/namespaces', { metadata => { name => $space, labels => $api->labels } }));
    $node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object_status WHERE name = 'late'}, 'the waiting one goes into the new namespace');
    is($api->get("/api/v1/namespaces/$space/configmaps/early")->{status}, 404, 'the other one is not made anew unasked');
    $node->psql_ok(qq{DELETE FROM net.everywhere}, 'all rows go');
    is($mirrors->wait_synced, '', 'settled');
}

# --- finalizers ---
$node->psql_ok($mirrors->config_row('held-back', { a => '1' }), 'insert');
is($mirrors->wait_synced, '', 'settled');
my $uid = $mirrors->config('held-back')->{metadata}{uid};
$api->expect_success($api->patch("$maps/held-back", { metadata => { finalizers => [ 'example.com/one', 'example.com/two' ] } }));
$node->wait_for(q{SELECT live->'metadata' ? 'finalizers' FROM dbnet.object WHERE name = 'held-back'}, 'finalizers');
$node->psql_ok(q{DELETE FROM net.configs WHERE name = 'held-back'}, 'delete');
phase_like('held-back', 'deleting', '%finalizers: example.com/one, example.com/two%', 'Nothing%', 'the deletion waits, and says for which finalizers');
$node->psql_ok($mirrors->config_row('held-back', { a => '2' }), 'insert it again');
phase_like('held-back', 'waiting_deleted', '%', '%finalizers%', 'the new row waits until the old object is gone');
$api->expect_success($api->patch("$maps/held-back", { metadata => { finalizers => undef } }));
is($mirrors->wait_synced, '', 'settled');
is($mirrors->config('held-back')->{data}{a}, '2', 'the object of the new row is there');
isnt($mirrors->config('held-back')->{metadata}{uid}, $uid, 'and is another one');

# Somebody else's object: its row goes with it, also when a compare has found it ending.
$api->expect_success($api->create($maps, { metadata => { name => 'ending', labels => $api->labels, finalizers => ['example.com/one'] }, data => { a => '1' } }));
$node->wait_for(q{SELECT count(*) FROM net.configs WHERE name = 'ending'}, 'an object of somebody else', expected => '1');
$api->expect_success($api->delete("$maps/ending"));
$node->wait_for(q{SELECT live->'metadata' ? 'deletionTimestamp' FROM dbnet.object WHERE name = 'ending'}, 'is being deleted');
$node->psql_ok(q{SELECT dbnet.resync('net.configs')}, 'a compare');
phase_like('ending', 'waiting_deleted', '%finalizers%', '%finalizers%', 'finds it so');
$api->expect_success($api->patch("$maps/ending", { metadata => { finalizers => undef } }));
$node->wait_for(q{SELECT (SELECT count(*) FROM net.configs WHERE name = 'ending') + (SELECT count(*) FROM dbnet.object WHERE name = 'ending')}, 'row and record go with it', expected => '0');

# --- an object that somebody replaces by one of the same name is not taken from them unasked ---
$node->psql_ok(join('', map { $mirrors->config_row($_, { a => '1' }) } qw(replaced flagged)), 'insert');
is($mirrors->wait_synced, '', 'settled');
my $theirs = sub { my ($name) = @_; return $api->create($maps, { metadata => { name => $name, labels => $api->labels }, data => { a => 'theirs' } }, query => { fieldManager => 'somebody' }) };
$api->delete("$maps/replaced");
$api->expect_success($theirs->('replaced'));
phase_like('replaced', 'conflict', '%conflict with "somebody"%', 'Another manager owns the fields%', 'replaced at once: a conflict, naming the owner');
$api->delete("$maps/flagged");
$node->wait_for(q{SELECT phase = 'absent' FROM dbnet.object_status WHERE name = 'flagged'}, 'deleted by somebody');
$api->expect_success($theirs->('flagged'));
phase_like('flagged', 'conflict', '%conflict with "somebody"%', 'Another manager owns the fields%', 'and made anew: a conflict, naming the owner');
is($mirrors->config($_)->{data}{a}, 'theirs', "$_: their object stays as it is") for qw(replaced flagged);
is(forced($_), '0', "$_: no force was used") for qw(replaced flagged);
$node->query_is(qq{SELECT path, row_value, live_value, manager FROM dbnet.fields('net.configs', 'replaced') WHERE path = 'data'}, 'data|{"a": "1"}|{"a": "theirs"}|somebody', 'fields shows both');
$node->psql_ok(q{UPDATE net.configs SET data = '{"a": "theirs"}' WHERE name = 'replaced'}, 'the user gives in');
$node->psql_ok(q{SELECT dbnet.alter_mirror('net.configs', on_drift => 'enforce')}, 'or insists');
$node->wait_for(q{SELECT count(*) = 2 FROM dbnet.object_status WHERE name IN ('replaced', 'flagged') AND phase = 'synced'}, 'all is well');
is($mirrors->config('flagged')->{data}{a}, '1', 'with the value of the row');
$node->query_is(q{SELECT manager LIKE 'dbnet-%' FROM dbnet.fields('net.configs', 'flagged') WHERE path = 'data'}, 't', 'which is ours');

# --- what the server does, though not gladly ---
my $properties = { spec => { type => 'object', properties => { size => { type => 'integer' } } } };
$api->expect_success($api->create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
    apiVersion => 'apiextensions.k8s.io/v1', kind => 'CustomResourceDefinition', metadata => { name => 'olds.answers.dbnet.io', labels => $api->labels },
    spec => { group => 'answers.dbnet.io', scope => 'Namespaced', names => { plural => 'olds', singular => 'old', kind => 'Old', listKind => 'OldList' },
        versions => [ { name => 'v1', served => JSON::PP::true, storage => JSON::PP::true, deprecated => JSON::PP::true, deprecationWarning => 'answers.dbnet.io/v1 Old "goes" soon',
            schema => { openAPIV3Schema => { type => 'object', properties => $properties } } } ] } }));
$api->wait_until(sub { $api->get('/openapi/v3/apis/answers.dbnet.io/v1')->{status} == 200 }, 'the kind is served');
$space = $api->namespace;
$node->psql_ok(qq{
    CREATE TABLE net.olds (name text PRIMARY KEY, size bigint);
    SELECT dbnet.mirror('prod', 'answers.dbnet.io/v1', 'Old', 'net.olds', namespace => '$space', mode => 'manage', columns => '{"name": "metadata.name", "size": "spec.size"}');
    INSERT INTO net.olds VALUES ('a', 1), ('b', 2)}, 'objects of a version that goes soon');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s', 'net.olds')}, '', 'are there');
$node->query_is(q{SELECT relation, warning, calls, split_part(last_key, '/', 2) IN ('a', 'b'), first_at <= last_at FROM dbnet.warnings}, 'net.olds|answers.dbnet.io/v1 Old "goes" soon|2|t|t', 'and the warning is told, once');
$node->psql_ok(q{SELECT dbnet.unmirror('net.olds')}, 'the mirror goes');
$api->delete('/apis/apiextensions.k8s.io/v1/customresourcedefinitions/olds.answers.dbnet.io');

# --- an object that is gone without an event: the refusal of its uid is looked into ---
SKIP: {
    DBNet::Need::or_skip('faults');
    $node->psql_ok(q{SELECT dbnet.alter_mirror('net.configs', on_drift => 'report');} . $mirrors->config_row('vanished', { a => '1' }), 'insert');
    is($mirrors->wait_synced, '', 'settled');
    $api->fault({ action => 'drop_event', match => '"vanished"' });
    $api->delete("$maps/vanished");
    $node->psql_ok(q{UPDATE net.configs SET data = '{"a": "2"}' WHERE name = 'vanished'}, 'change what is not there');
    phase_like('vanished', 'absent', 'the object was deleted at the server by somebody else%', '%delete the row%', 'it is found to be gone');

    # The same, and no event told of another one of its name either. The mirror has a selector: only a list knows whether it
    # is to be seen.
    $node->psql_ok(q{DELETE FROM net.configs WHERE name = 'vanished';} . $mirrors->config_row('followed', { a => '1' }), 'insert');
    is($mirrors->wait_synced, '', 'settled');
    $api->fault({ action => 'drop_event', match => '"followed"', count => 2 });
    $api->delete("$maps/followed");
    my $other = $api->expect_success($api->create($maps, { metadata => { name => 'followed', labels => $api->labels }, data => { b => 'theirs' } }));
    $node->psql_ok(q{UPDATE net.configs SET data = '{"a": "2"}' WHERE name = 'followed'}, 'change what is another one now');
    $node->wait_for(qq{SELECT uid = '$other->{metadata}{uid}' AND live->'data'->>'b' = 'theirs' FROM dbnet.object WHERE name = 'followed'}, 'the other one is found, as it is');
}

$node->no_crash_in_log;
done_testing();
