# What a table's rows mean that were there before its mirror: initial compare, pull and push, for rows that differ from
# their objects, rows without object and objects without row.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

my $api  = DBNet::Api->start(controllers => 0, nodes_ready => 0);
my $node = DBNet::Cluster->started('main');
my $space = $api->namespace;
my $maps = "/api/v1/namespaces/$space/configmaps";
sub settled { my ($name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', $name // 'settled') }
sub value { my ($name) = @_; return $api->get("$maps/$name")->{body}{data}{a} }

# Objects and rows of one table, told apart from the other tables' by a label.
sub objects { my ($set, @names) = @_; $api->expect_success($api->create($maps, { metadata => { name => "$set-$_", labels => { set => $set } }, data => { a => '1' } })) for @names; return }
sub table {
    my ($set, %values) = @_;
    return qq{CREATE TABLE net.$set (name text PRIMARY KEY, labels jsonb, data jsonb);}
      . join '', map { qq{INSERT INTO net.$set VALUES ('$set-$_', '{"set": "$set"}', '{"a": "$values{$_}"}');} } sort keys %values;
}
sub mirror {
    my ($set, $arguments) = @_;
    return qq{SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.$set', '{"name": "metadata.name", "labels": "metadata.labels", "data": "data"}',
        namespace => '$space', label_selector => 'set=$set', $arguments);};
}
sub rows_are { my ($set, $rows, $name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(qq{SELECT string_agg(replace(name, '$set-', '') || '=' || (data->>'a'), ' ' ORDER BY name) FROM net.$set}, $rows, $name) }
sub listed { my ($set) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->wait_for(qq{SELECT state = 'synced' FROM dbnet.mirror_status WHERE relation = 'net.$set'::regclass}, "$set: listed") }
# The last object to be imported is there and so is everything before it.
sub imported { my ($set) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->wait_for(qq{SELECT count(*) = 3 FROM dbnet.object WHERE relation = 'net.$set'::regclass AND base ? 'metadata.name'}, "$set: reported") }
sub ours { my ($name) = @_; return scalar grep { $_->{manager} =~ /^dbnet-/ } @{ $api->get("$maps/$name")->{body}{metadata}{managedFields} } }

objects($_, qw(equal differs theirs)) for qw(compare pull push);
$node->psql_ok($api->create_server('prod') . 'CREATE SCHEMA net;' . join('', map { table($_, equal => 1, differs => 2, mine => 3) } qw(compare pull push)), 'rows and objects');

# --- compare: nothing is touched until somebody says so ---
$node->fails_like(mirror('compare', q{mode => 'manage'}), '55000', qr/net\.compare has rows.*HINT:.*initial => 'push'.*initial => 'pull'/s, 'not under manage: it would send');
$node->psql_ok(mirror('compare', q{mode => 'observe'}), 'compare');
listed('compare');
imported('compare');
rows_are('compare', 'differs=2 equal=1 mine=3 theirs=1', 'rows stay, objects without row are imported');
$node->query_is(q{SELECT key, operation, path, row_value, live_value FROM dbnet.preview('net.compare') WHERE path = 'data' ORDER BY key},
    qq{$space/compare-differs|update|data|{"a": "2"}|{"a": "1"}\n$space/compare-mine|create|data|{"a": "3"}|}, 'preview shows what differs');
is(value('compare-differs') . $api->get("$maps/compare-mine")->{status}, '1404', 'objects stay');
$node->psql_ok(q{SELECT dbnet.alter_mirror('net.compare', mode => 'manage')}, 'manage, after a look');
settled();
is(value('compare-differs') . value('compare-mine') . value('compare-theirs'), '231', 'what preview showed is sent');
$node->query_is(q{SELECT string_agg(replace(name, 'compare-', '') || claimed::text, ' ' ORDER BY name) FROM dbnet.object WHERE relation = 'net.compare'::regclass},
    'differs{data} equal{} mine{data,metadata.labels} theirs{}', 'what was equal is not claimed');

# --- pull: the server is right ---
$node->psql_ok(mirror('pull', q{mode => 'manage', initial => 'pull'}), 'pull, under manage');
listed('pull');
imported('pull');
$node->query_is(q{SELECT phase FROM dbnet.wait_synced('60 s')}, 'absent', 'nothing waits');
rows_are('pull', 'differs=1 equal=1 mine=3 theirs=1', 'rows take the values of their objects, none is deleted');
$node->query_is(q{SELECT key, phase, message, needs_action FROM dbnet.object_status WHERE relation = 'net.pull'::regclass AND phase IS NOT NULL},
    "$space/pull-mine|absent|the row was there before the mirror, and the server has no such object|t", 'a row without object is flagged');
is($api->get("$maps/pull-mine")->{status}, 404, 'and not created');
is(ours('pull-differs') + ours('pull-equal'), 0, 'nothing was sent');
$node->query_is(q{SELECT count(*) FROM dbnet.preview('net.pull')}, '0', 'nothing is going to be');
$node->psql_ok(q{DELETE FROM net.pull WHERE name = 'pull-mine'}, 'delete that row');
settled();
$node->wait_for(q{SELECT count(*) = 0 FROM dbnet.object WHERE name = 'pull-mine'}, 'nothing is left of it');
$node->psql_ok(q{INSERT INTO net.pull VALUES ('pull-mine', '{"set": "pull"}', '{"a": "4"}')}, 'a row that is inserted under the mirror');
settled();
is(value('pull-mine'), '4', 'is created');

# --- push: the rows are right ---
$node->psql_ok(mirror('push', q{initial => 'push'}), 'push, and observe');
listed('push');
imported('push');
rows_are('push', 'differs=2 equal=1 mine=3 theirs=1', 'rows stay');
$node->query_is(q{SELECT string_agg(DISTINCT split_part(key, '/push-', 2) || ' ' || operation, ', ') FROM dbnet.preview('net.push')}, 'differs update, equal update, mine create', 'all of them are wishes');
is(ours('push-differs') + ours('push-equal'), 0, 'nothing is sent in observe');
$node->psql_ok(q{SELECT dbnet.alter_mirror('net.push', mode => 'manage')}, 'manage');
settled();
is(value('push-differs') . value('push-mine') . value('push-equal') . value('push-theirs'), '2311', 'is sent');
$node->query_is(q{SELECT string_agg(replace(name, 'push-', '') || claimed::text, ' ' ORDER BY name) FROM dbnet.object WHERE relation = 'net.push'::regclass},
    'differs{data,metadata.labels} equal{data,metadata.labels} mine{data,metadata.labels} theirs{}', 'every value of a row is claimed, equal or not');
is(ours('push-equal'), 1, 'on the server too');

# --- push of many: held ---
my @many = map { "m$_" } 1 .. 12;
objects('many', @many);
$node->psql_ok(table('many', map { $_ => 2 } @many) . mirror('many', q{mode => 'manage', initial => 'push'}), 'twelve rows over twelve objects');
$node->wait_for(q{SELECT sum(objects) = 12 FROM dbnet.held}, 'are held');
is(join('', map { value("many-$_") } @many), '1' x 12, 'none is sent');
$node->psql_ok(q{SELECT dbnet.approve(id) FROM dbnet.held}, 'approve');
settled();
is(join('', map { value("many-$_") } @many), '2' x 12, 'all are');

$node->no_crash_in_log;
done_testing();
