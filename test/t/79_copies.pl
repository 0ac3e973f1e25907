# Copies of a database that are no clones of its files at rest: a database made from it as a template, and a recovery to a
# point in time, of which the server's objects have seen more than it knows. Not one request that changes anything is sent
# before dbnet.claim(), and afterwards nothing of what was done since is undone unasked.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Mirrors;
use Test::More;

my $node = DBNet::Cluster->started('copied', has_archiving => 1, conf => "dbnet.lease_duration = 3\n");
my $api = DBNet::Api->start(nodes_ready => 0);
my $mirrors = DBNet::Mirrors->new($node, $api);
sub value { my ($name) = @_; my $map = $mirrors->config($name); return $map->{data} ? $map->{data}{v} : 'none' }
# Requests of DBNet that change ConfigMaps (leases are renewed all the while).
sub changes { my ($since) = @_; return join ', ', map { "$_->{method} $_->{path}" } grep { $_->{method} ne 'GET' } $api->requests(since => $since, path => qr/configmaps/) }
# When the lease of the server was renewed last: it says how far the log of who writes has come.
sub renewed { my ($lease) = grep { ($_->{metadata}{annotations} // {})->{'dbnet.io/server'} } @{ $api->expect_success($api->get('/apis/coordination.k8s.io/v1/leases'))->{items} }; return $lease->{spec}{renewTime} }
sub disarmed {
    my ($where, $message, $name, %options) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $where->wait_for("SELECT state = 'disarmed' AND message LIKE '$message' FROM dbnet.mirror_status WHERE relation = 'net.configs'::regclass", $name, %options);
}

$node->psql_ok(join('', map { $mirrors->config_row($_, { v => '1' }) } qw(kept changed deleted)), 'rows');
is($mirrors->wait_synced, '', 'are sent');

# --- a database made from it ---
$node->psql_ok('CREATE DATABASE copy TEMPLATE postgres', 'a copy in the same server', database => 'template1');
my @copy = (database => 'copy');
disarmed($node, '%dbnet.claim()%', 'says that it is one', @copy);
my $start = $api->request_position;
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "copy"}' WHERE name = 'changed'; DELETE FROM net.configs WHERE name = 'deleted'; INSERT INTO net.configs (name, data) VALUES ('made', '{"v": "copy"}')}, 'changes there', @copy);
$node->wait_for(q{SELECT string_agg(name, ' ' ORDER BY name) FROM dbnet.object_status WHERE relation = 'net.configs'::regclass AND phase = 'pending' AND message LIKE 'disarmed: %'}, 'wait', expected => 'changed deleted made', @copy);
is(changes($start), '', 'nothing is sent');
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "2"}' WHERE name = 'kept'}, 'a change in the original');
is($mirrors->wait_synced, '', 'is sent');
$node->wait_for(q{SELECT live -> 'data' ->> 'v' FROM dbnet.object WHERE name = 'kept'}, 'and seen by the copy, which goes on looking', expected => '2', @copy);
$node->query_is(q{SELECT data ->> 'v' FROM net.configs WHERE name = 'kept'}, '1', 'and keeps to what it claims', @copy);
$node->psql_ok('DROP DATABASE copy', 'the copy goes');
is(join(' ', map { value($_) } qw(kept changed deleted made)), '2 1 1 none', 'and has done nothing');

# --- recovery to a point in time ---
$node->backup('base', backup_options => ['--checkpoint=fast']);
$node->psql_ok($mirrors->config_row('between', { v => '1' }), 'a row that both know');
is($mirrors->wait_synced, '', 'is sent');
$node->psql_ok(q{SELECT pg_create_restore_point('before')}, 'the point');
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "3"}' WHERE name = 'changed'; DELETE FROM net.configs WHERE name = 'deleted';} . $mirrors->config_row('after', { v => '1' }), 'what came after it');
is($mirrors->wait_synced, '', 'is sent, too');
my $renewed = renewed();
$api->wait_until(sub { renewed() gt $renewed }, 'the lease is renewed after it');
my $segment = $node->safe_psql('postgres', 'SELECT pg_walfile_name(pg_current_wal_lsn())');
$node->psql_ok('SELECT pg_switch_wal()', 'and archived');
$node->wait_for("SELECT last_archived_wal >= '$segment' FROM pg_stat_archiver", 'all of it');
$node->stop('immediate');

my $past = DBNet::Cluster->new('past');
$past->init_from_backup($node, 'base', has_restoring => 1, standby => 0);
$past->append_conf('postgresql.conf', "recovery_target_name = 'before'\nrecovery_target_action = 'promote'\narchive_mode = off\n");
$start = $api->request_position;
$past->start;
$past->wait_for('SELECT NOT pg_is_in_recovery()', 'the database is as it was at the point');
$past->query_is(q{SELECT string_agg(name || '=' || (data ->> 'v'), ' ' ORDER BY name) FROM net.configs WHERE name <> 'after'}, 'between=1 changed=1 deleted=1 kept=2', 'with the rows of then');
disarmed($past, '%older copy%dbnet.claim()%', 'and knows that it is older than what was written');
$past->psql_ok(q{UPDATE net.configs SET data = '{"v": "past"}' WHERE name = 'kept'}, 'a change there');
$past->wait_for(q{SELECT phase = 'pending' AND message LIKE 'disarmed: %' FROM dbnet.object_status WHERE name = 'kept' AND relation = 'net.configs'::regclass}, 'waits');
$past->wait_for(q{SELECT phase FROM dbnet.object WHERE name = 'deleted' AND relation = 'net.configs'::regclass}, 'an object that was deleted since is seen to be gone', expected => 'absent');
is(changes($start), '', 'nothing is sent');
is(join(' ', map { value($_) } qw(kept changed deleted between after)), '2 3 none 1 1', 'all is as it was left');

$past->psql_ok('SELECT dbnet.claim()', 'somebody decides for it');
$past->wait_for(q{SELECT phase = 'synced' FROM dbnet.object_status WHERE name = 'kept' AND relation = 'net.configs'::regclass}, 'what was committed since is sent');
is(value('kept'), 'past', 'and done');
$past->wait_for(q{SELECT phase = 'held' AND message LIKE 'the object was last written by a copy of this database%' FROM dbnet.object_status WHERE name = 'changed' AND relation = 'net.configs'::regclass}, 'what has a newer stamp waits for a decision');
$past->wait_for(q{SELECT phase = 'absent' AND needs_action FROM dbnet.object_status WHERE name = 'deleted' AND relation = 'net.configs'::regclass}, 'what was deleted is not made again');
$past->wait_for(q{SELECT data ->> 'v' FROM net.configs WHERE name = 'after'}, 'what was made since has a row', expected => '1');
is(join(' ', map { value($_) } qw(changed deleted after)), '3 none 1', 'the objects stay as they were');
$past->query_is(q{SELECT dbnet.reject(id) FROM dbnet.held}, '1', 'the newer value was right');
$past->wait_for(q{SELECT data ->> 'v' FROM net.configs WHERE name = 'changed'}, 'the row gets it', expected => '3');

$_->no_crash_in_log for $node, $past;
done_testing();
