# Stamps that are not on record: the answer to an apply was lost, or a copy of this database (a backup that was restored
# here, a clone) wrote the object. The first is done again, the second waits for somebody to decide.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

my $node = DBNet::Cluster->started('report_stamps');
my $api = DBNet::Api->start;
my $mirrors = DBNet::Mirrors->new($node, $api);
my $manager = $node->safe_psql('postgres', q{SELECT field_manager FROM dbnet.mirrored_relation WHERE relation = 'net.configs'::regclass});
my $system = $node->safe_psql('postgres', 'SELECT system_identifier FROM pg_control_system()');
my ($ours, $copy, $other) = ("$system/1/0/100/0", "$system/1/FFFFFFFF/0/0", '7000000000000000001/1/0/100/0');

# As the mirror's manager: what a lost request, or the copy that was dumped or cloned, does.
sub apply_as_dbnet {
    my ($name, $stamp, $value, %labels) = @_;
    return $api->expect_success($api->apply($mirrors->config_path($name), { apiVersion => 'v1', kind => 'ConfigMap', data => { v => $value },
        metadata => { name => $name, labels => { %{ $api->labels }, %labels }, annotations => { 'dbnet.io/stamp' => $stamp } } }, manager => $manager, force => 1));
}
sub stamp_of { my ($name) = @_; return $mirrors->config($name)->{metadata}{annotations}{'dbnet.io/stamp'} }
sub recorded { my ($name, $stamp) = @_; return $node->wait_for("SELECT stamp = '$stamp' FROM dbnet.object WHERE name = '$name'", "the stamp of $name is recorded") }

$node->psql_ok(join('', map { $mirrors->config_row($_, { v => '1' }) } qw(lost newer same)), 'insert');
is($mirrors->wait_synced, '', 'settled');

# An update of ours reached the server, its answer not us, and the row was taken back meanwhile.
apply_as_dbnet('lost', $ours, '2');
$api->wait_until(sub { $mirrors->config('lost')->{data}{v} eq '1' }, 'what the row says is applied again');
is($mirrors->wait_synced, '', 'that is no drift');
isnt(stamp_of('lost'), $ours, 'under a new stamp');

# An answer that told of a creation: the object is the row's as if it had arrived, and is deleted with it unasked.
$node->psql_ok(q{SELECT dbnet.pause('prod', 'so that nothing is sent')}, 'paused');
$node->psql_ok($mirrors->config_row('made', { v => '1' }), 'insert');
apply_as_dbnet('made', $ours, '1');
recorded('made', $ours);
$node->query_is(q{SELECT created_by_us FROM dbnet.object WHERE name = 'made'}, 't', 'created by us');
$node->psql_ok(q{SELECT dbnet.resume('prod')}, 'resumed');
$node->psql_ok(q{DELETE FROM net.configs WHERE name = 'made'}, 'delete');
is($mirrors->wait_synced, '', 'is not held');
is($api->get($mirrors->config_path('made'))->{status}, 404, 'the object is gone');

# A copy of this database wrote the same: nothing to decide. Others' labels are no difference.
$api->expect_success($api->patch($mirrors->config_path('same'), { metadata => { labels => { team => 'theirs' } } }));
my $calls = $node->safe_psql('postgres', 'SELECT count(*) FROM dbnet.actuation');
apply_as_dbnet('same', $other, '1');
recorded('same', $other);
is($mirrors->wait_synced, '', 'settled');
$node->query_is(q{SELECT phase FROM dbnet.object WHERE name = 'same'}, 'synced', 'all is as the row says');

# It wrote something else: this database may be an old one.
apply_as_dbnet('newer', $copy, '2');
$node->wait_for(q{SELECT phase = 'held' FROM dbnet.object WHERE name = 'newer'}, 'the row waits for a decision');
$node->query_is(q{SELECT data->>'v' FROM net.configs WHERE name = 'newer'}, '1', 'and stays as it was');
is($mirrors->config('newer')->{data}{v}, '2', 'so does the object');
$node->query_is(q{SELECT operation, objects, reason LIKE 'the object was last written by a copy of this database (stamp %): this one may be older, for example restored from a backup' FROM dbnet.held},
    'apply|1|t', 'and why is told');
$node->query_is('SELECT count(*) FROM dbnet.actuation', $calls, 'nothing was sent');
$node->replace_worker('mirror worker', 'TERM');
$mirrors->wait_listed;
$node->wait_for(q{SELECT phase = 'held' FROM dbnet.object WHERE name = 'newer'}, 'a new worker sees it in the same way');
$node->query_is(q{SELECT dbnet.reject(id) FROM dbnet.held}, '1', 'the copy was right');
$node->wait_for(q{SELECT data->>'v' = '2' FROM net.configs WHERE name = 'newer'}, 'the row gets what it wrote');
is($mirrors->wait_synced, '', 'settled');
is($mirrors->config('newer')->{data}{v}, '2', 'the object keeps it');

apply_as_dbnet('newer', $other, '3');
$node->wait_for(q{SELECT phase = 'held' FROM dbnet.object WHERE name = 'newer'}, 'another copy writes');
$node->query_is(q{SELECT dbnet.approve(id) FROM dbnet.held}, '1', 'this database was right');
is($mirrors->wait_synced, '', 'settled');
is($mirrors->config('newer')->{data}{v}, '2', 'the object gets what the row says');
like(stamp_of('newer'), qr{^$system/1/}, 'under our stamp');

# Who commits after that has decided.
apply_as_dbnet('same', $copy, '1');
recorded('same', $copy);
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "5"}' WHERE name = 'same'}, 'a new commit');
is($mirrors->wait_synced, '', 'is not held');
my $same = $mirrors->config('same');
is_deeply([ $same->{data}, $same->{metadata}{labels} ], [ { v => '5' }, { %{ $api->labels }, team => 'theirs' } ], 'is sent, and others keep what is theirs');

# A copy of the annotation under another manager says nothing about us.
$api->expect_success($api->apply($mirrors->config_path('lost'), { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'lost', annotations => { 'dbnet.io/stamp' => $copy } } },
    manager => 'somebody', force => 1));
$node->wait_for(q{SELECT last_manager = 'somebody' FROM dbnet.object WHERE name = 'lost'}, 'somebody copies the stamp');
$node->query_is(q{SELECT phase, stamp <> '} . $copy . q{' FROM dbnet.object WHERE name = 'lost'}, 'synced|t', 'that is nothing of ours');

$node->no_crash_in_log;
done_testing();
