# Two servers that run the same database: a Lease says which of them writes to the cluster, and dbnet.claim() decides.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

my $conf = "dbnet.lease_duration = 3\n";
my $old = DBNet::Cluster->started('lease_old', conf => $conf);
my $api = DBNet::Api->start(nodes_ready => 0);
my $space = $api->namespace;
my $configs = "/api/v1/namespaces/$space/configmaps";
my $leases = "/apis/coordination.k8s.io/v1/namespaces/$space/leases";
sub settled { my ($node, $name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', $name) }
sub value { my ($name) = @_; return $api->get("$configs/$name")->{body}{data}{v} }
sub leases { return $api->expect_success($api->get($leases))->{items} }
sub lease { my @all = @{ leases() }; return $all[0] }
sub holder { return lease()->{spec}{holderIdentity} }
sub calls { my ($node) = @_; return $node->safe_psql('postgres', 'SELECT count(*) FROM dbnet.actuation') }
sub wait_disarmed { my ($node, $like, $name) = @_; return $node->wait_for("SELECT state = 'disarmed' AND message LIKE '$like' FROM dbnet.mirror_status WHERE relation = 'net.configs'::regclass", $name) }
sub wait_armed { my ($node, $name) = @_; return $node->wait_for(q{SELECT state = 'synced' FROM dbnet.mirror_status WHERE relation = 'net.configs'::regclass}, $name) }
sub clone {
    my ($name, $backup, %options) = @_;
    my $clone = DBNet::Cluster->new($name);
    $clone->init_from_backup($old, $backup, %options);
    return $clone;
}

$old->psql_ok($api->create_server('prod', lease_namespace => $space) . <<"SQL", 'a mirror that looks');
CREATE SCHEMA net;
CREATE TABLE net.configs (name text PRIMARY KEY, data jsonb);
SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.configs', namespace => '$space', columns => '{"name": "metadata.name", "data": "data"}');
CREATE TABLE net.labels (name text PRIMARY KEY, labels jsonb);
SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.labels', namespace => '$space', columns => '{"name": "metadata.name", "labels": "metadata.labels"}');
SQL
settled($old, 'it is listed');
is(scalar @{ leases() }, 0, 'who only looks needs no lease');

# --- one writer: the lease is taken when it is to write, and held ---
$old->psql_ok(q{SELECT dbnet.alter_mirror('net.configs', mode => 'manage')}, 'it is to write');
$api->expect_success($api->create($configs, { metadata => { name => 'a' }, data => { v => '0' } }));
$old->wait_for(q{SELECT count(*) FROM net.configs WHERE name = 'a'}, 'an object', expected => '1');
$old->psql_ok(q{UPDATE net.configs SET data = '{"v": "1"}' WHERE name = 'a'}, 'a change');
settled($old, 'is sent');
is(value('a'), '1', 'and done');
my $first = lease();
is(scalar @{ leases() }, 1, 'one lease');
like($first->{metadata}{name}, qr/^dbnet-\d+-\d+-\d+$/, 'named after system, database and server');
is($first->{metadata}{annotations}{'dbnet.io/server'}, 'prod', 'it names the server');
is($first->{spec}{leaseDurationSeconds}, 3, 'the duration');
$api->wait_until(sub { lease()->{spec}{renewTime} gt $first->{spec}{renewTime} }, 'it is renewed');
is(lease()->{spec}{acquireTime}, $first->{spec}{acquireTime}, 'by the same holder');
my $owner = holder();
$old->replace_worker('mirror worker', 'KILL');
$old->psql_ok(q{UPDATE net.configs SET data = '{"v": "2"}' WHERE name = 'a'}, 'a worker that was killed');
settled($old, 'is followed by one that goes on');
is(holder(), $owner, 'under the same name');
$old->psql_ok(q{SELECT dbnet.pause('prod', 'test')}, 'a pause');
$old->wait_for(q{SELECT paused_reason IS NOT NULL FROM dbnet.mirror_status LIMIT 1}, 'is seen');
$old->psql_ok(q{SELECT dbnet.resume('prod')}, 'and over');
$old->psql_ok(q{UPDATE net.configs SET data = '{"v": "3"}' WHERE name = 'a'}, 'a change after it');
settled($old, 'is sent');

# --- a change without a version on record is its transaction's, and no copy's ---
$old->psql_ok(q{SELECT dbnet.alter_mirror('net.configs', on_drift => 'enforce'), dbnet.untrack('net.configs'); CREATE TABLE net.tracked (name text PRIMARY KEY); SELECT dbnet.track('net.tracked')},
    'a mirror that is not tracked');
$old->psql_ok(q{BEGIN; INSERT INTO net.tracked VALUES ('beside'); UPDATE net.configs SET data = '{"v": "untracked"}' WHERE name = 'a'; COMMIT}, 'a change');
settled($old, 'is sent');
$old->query_is(q{SELECT t.id IS NOT NULL FROM dbnet.actuation AS c LEFT JOIN dbnet.transaction AS t ON t.id = c.cause WHERE c.name = 'a' ORDER BY c.id DESC LIMIT 1}, 't', 'with the transaction as its cause');
$api->expect_success($api->patch("$configs/a", { data => { v => 'drifted' } }));
$api->wait_until(sub { value('a') eq 'untracked' }, 'drift from it is put back');
$old->psql_ok(q{SELECT dbnet.track('net.configs'), dbnet.alter_mirror('net.configs', on_drift => 'report')}, 'it is tracked again');

# --- a clone of the files beside a primary that lives: it looks on ---
$old->backup('base', backup_options => ['--checkpoint=fast']);
my $clone = clone('lease_clone', 'base');
$clone->start;
# By then the primary's log may have gone on: then the clone is told that it is an older copy.
wait_disarmed($clone, "%$owner, %lease $space/dbnet-%", 'a clone is told who writes');
$clone->wait_for(q{SELECT state FROM dbnet.mirror_status WHERE relation = 'net.labels'::regclass}, 'a mirror that only looks goes on there', expected => 'synced');
my $before = calls($clone);
$clone->psql_ok(q{UPDATE net.configs SET data = '{"v": "clone"}' WHERE name = 'a'; INSERT INTO net.configs VALUES ('made-by-clone', '{"v": "1"}')}, 'changes on the clone');
$clone->wait_for(q{SELECT count(*) FROM dbnet.object_status WHERE relation = 'net.configs'::regclass AND phase = 'pending' AND message LIKE 'disarmed: %lease %'}, 'wait there', expected => '2');
$old->psql_ok(q{UPDATE net.configs SET data = '{"v": "4"}' WHERE name = 'a'}, 'a change on the primary');
settled($old, 'is sent');
is(value('a'), '4', 'and stands');
is($api->get("$configs/made-by-clone")->{status}, 404, 'nothing came from the clone');
is(calls($clone), $before, 'not one call');
# From here on the positions that the clone's stamps name are in both logs: only the record tells whose they are.
$old->psql_ok(q{SELECT pg_switch_wal(); CREATE TABLE net.later (); SELECT pg_switch_wal()}, "the primary's log is ahead");

# --- claimed: the clone takes over, the primary sees it ---
$clone->psql_ok(q{SELECT dbnet.claim()}, 'the clone is claimed');
wait_armed($clone, 'it writes');
$api->wait_until(sub { $api->get("$configs/made-by-clone")->{status} == 200 }, 'what waited is sent');
$clone->wait_for(q{SELECT phase = 'held' AND message LIKE 'the object was last written by a copy of this database%' FROM dbnet.object_status WHERE relation = 'net.configs'::regclass AND name = 'a'},
    'but not over what the primary has written since');
is(value('a'), '4', 'which stands');
$clone->psql_ok(q{SELECT dbnet.approve(id) FROM dbnet.held}, 'the clone is right');
$api->wait_until(sub { value('a') eq 'clone' }, 'and writes it');
isnt(holder(), $owner, 'the lease has another holder');
is(lease()->{spec}{leaseTransitions}, 1, 'and has changed hands once');
wait_disarmed($old, '%dbnet.claim()%', 'the primary is told');
$before = calls($old);
$old->psql_ok(q{INSERT INTO net.configs VALUES ('made-by-old', '{"v": "1"}')}, 'a change there');
$old->wait_for(q{SELECT phase = 'pending' AND message LIKE 'disarmed: %' FROM dbnet.object_status WHERE relation = 'net.configs'::regclass AND name = 'made-by-old'}, 'waits');
is(calls($old), $before, 'and nothing is sent');
$old->psql_ok(q{SELECT dbnet.claim()}, 'claimed back');
wait_armed($old, 'it writes again');
$api->wait_until(sub { $api->get("$configs/made-by-old")->{status} == 200 }, 'what waited is sent');
is(holder(), $owner, 'under its name');
$old->wait_for(q{SELECT phase = 'held' AND message LIKE 'the object was last written by a copy of this database%' FROM dbnet.object_status WHERE relation = 'net.configs'::regclass AND name = 'a'},
    'what the clone wrote meanwhile waits for a decision');
$old->psql_ok(q{SELECT dbnet.reject(id) FROM dbnet.held}, 'the clone was right');
$old->wait_for(q{SELECT data ->> 'v' FROM net.configs WHERE name = 'a'}, 'the row gets what it wrote', expected => 'clone');
settled($old, 'and all is settled');
wait_disarmed($clone, '%dbnet.claim()%', 'and the clone looks on');
$clone->stop('fast');

# --- a promoted standby takes over by itself once the primary is gone ---
$old->backup('second', backup_options => ['--checkpoint=fast']);
my $standby = clone('lease_standby', 'second', has_streaming => 1);
$standby->start;
settled($old, 'the primary is at rest');
$old->stop('fast'); # with all that it has written at the standby: until the end it may write, and renew the lease with that
$standby->promote;
wait_armed($standby, 'the promoted standby writes');
$standby->psql_ok(q{UPDATE net.configs SET data = '{"v": "promoted"}' WHERE name = 'a'}, 'a change');
settled($standby, 'is sent');
is(value('a'), 'promoted', 'and done');
isnt(holder(), $owner, 'with the lease');

# --- the old primary comes back: it must not ---
$old->start;
wait_disarmed($old, '%this database is an older copy%which is not in the log of this one%dbnet.claim()%', 'the old primary sees that it is not the newest');
$old->psql_ok(q{UPDATE net.configs SET data = '{"v": "old"}' WHERE name = 'a'}, 'a change there');
$old->wait_for(q{SELECT phase = 'pending' AND message LIKE 'disarmed: %' FROM dbnet.object_status WHERE relation = 'net.configs'::regclass AND name = 'a'}, 'waits');
is(value('a'), 'promoted', 'nothing is sent');
$old->stop('fast');

# --- a backup that is older than what was written: not by itself, however long the lease is over ---
$standby->stop('fast');
my $restored = clone('lease_restored', 'second');
$restored->start;
wait_disarmed($restored, '%this database is an older copy%', 'a restored backup says that it is older');
$restored->psql_ok(q{INSERT INTO net.configs VALUES ('made-by-restored', '{"v": "1"}')}, 'a change there');
$restored->wait_for(q{SELECT phase = 'pending' FROM dbnet.object_status WHERE name = 'made-by-restored'}, 'waits');
is($api->get("$configs/made-by-restored")->{status}, 404, 'nothing is sent');
$restored->psql_ok(q{SELECT dbnet.claim()}, 'claimed');
wait_armed($restored, 'it writes');
$api->wait_until(sub { $api->get("$configs/made-by-restored")->{status} == 200 }, 'what waited is sent');
$restored->wait_for(q{SELECT phase = 'held' AND message LIKE 'the object was last written by a copy of this database%' FROM dbnet.object_status WHERE relation = 'net.configs'::regclass AND name = 'a'},
    'what was written since waits for a decision');
is(value('a'), 'promoted', 'and stays');

# --- without a lease ---
$restored->psql_ok(q{ALTER SERVER prod OPTIONS (ADD lease 'false')}, 'an option');
$restored->wait_for(q{SELECT count(*) FROM dbnet.mirror_status WHERE state = 'synced'}, 'all goes on', expected => '2');
my $last = lease()->{spec}{renewTime};
$restored->psql_ok(q{INSERT INTO net.configs VALUES ('free', '{"v": "1"}')}, 'a change');
$api->wait_until(sub { $api->get("$configs/free")->{status} == 200 }, 'is sent');
is(lease()->{spec}{renewTime}, $last, 'and the lease is left alone');
$restored->fails_like(q{ALTER SERVER prod OPTIONS (SET lease 'maybe')}, '22023', qr/invalid value for option "lease": it is not a Boolean/, 'true or false');

# --- recovery to a point in time that lies after the last renewal: what came after the point may have been sent ---
$restored->psql_ok(q{ALTER SERVER prod OPTIONS (SET lease 'true')}, 'with a lease again');
$api->wait_until(sub { lease()->{spec}{renewTime} gt $last }, 'it is renewed');
$restored->backup('third', backup_options => ['--checkpoint=fast']);
my $next_segment = 'CREATE TABLE passing (); DROP TABLE passing; SELECT pg_switch_wal()';
$restored->safe_psql('postgres', $next_segment); # far beyond what a copy of the backup writes by itself until it has read the lease
$restored->psql_ok(q{INSERT INTO net.configs VALUES ('after-the-backup', '{"v": "1"}')}, 'a change that the backup does not have');
my $written = $restored->lsn('flush');
sub position { my ($lsn) = lease()->{metadata}{annotations}{'dbnet.io/position'} =~ m{^\d+/\d+/(.*)/\d+$}; return $lsn }
$api->wait_until(sub { $restored->safe_psql('postgres', "SELECT '@{[ position() ]}'::pg_lsn >= '$written'") eq 't' }, 'the lease tells of it');
$restored->psql_ok(q{SELECT dbnet.pause('prod', 'test'); INSERT INTO net.configs VALUES ('paused', '{"v": "1"}')}, 'a pause');
$restored->wait_for(q{SELECT phase = 'pending' AND message LIKE 'paused: %' FROM dbnet.object_status WHERE name = 'paused'}, 'ends the renewals');
$restored->safe_psql('postgres', q{SELECT pg_create_restore_point('the point')});
$restored->psql_ok(q{INSERT INTO net.configs VALUES ('after-the-point', '{"v": "1"}')}, 'a change after the point');
my $point = DBNet::Cluster->new('lease_point');
$point->init_from_backup($restored, 'third', has_streaming => 1);
$point->append_conf('postgresql.conf', "recovery_target_name = 'the point'\nrecovery_target_action = 'promote'\n");
$point->start;
$point->wait_for(q{SELECT pg_is_in_recovery()}, 'a copy recovers to the point and goes on from there', expected => 'f');
$restored->stop('fast');

# --- an older copy on the same timeline: what it writes to its own log takes it past the position of the other ---
my $copy = DBNet::Cluster->new('lease_copy');
$copy->init_from_backup($restored, 'third');
$copy->start;
wait_disarmed($copy, '%this database is an older copy%which is not in the log of this one%', 'a copy of the files is told that it is older');
$copy->wait_for(q{SELECT older_than IS NOT NULL FROM dbnet.arming}, 'which is put on record');
$copy->psql_ok(q{INSERT INTO net.configs VALUES ('made-by-copy', '{"v": "1"}')}, 'a change there');
$copy->safe_psql('postgres', $next_segment) for 1 .. 2;
$copy->query_is("SELECT pg_current_wal_flush_lsn() > '@{[ position() ]}'", 't', 'its log has passed that position');
$copy->replace_worker('mirror worker', 'TERM');
wait_disarmed($copy, '%this database is an older copy%when that was not in the log of this one%', 'another worker knows all the same');
is($api->get("$configs/made-by-copy")->{status}, 404, 'nothing is sent');
$copy->stop('fast');

# --- the one that was recovered to the point ---
$point->query_is(q{SELECT string_agg(name, ' ' ORDER BY name) FROM net.configs WHERE name IN ('paused', 'after-the-point')}, 'paused', 'without the change');
my $position = lease()->{metadata}{annotations}{'dbnet.io/position'};
$point->psql_ok(q{SELECT dbnet.resume('prod')}, 'it is not to be paused');
wait_disarmed($point, "%this database is an older copy%$position at least, and this one was restored to a point in time after that%dbnet.claim()%", 'it says that it may not know all');
is($api->get("$configs/paused")->{status}, 404, 'nothing is sent');
$point->replace_worker('mirror worker', 'TERM');
wait_disarmed($point, '%this database is an older copy%', 'nor by another worker');
is($api->get("$configs/paused")->{status}, 404, 'nothing is sent');
$point->psql_ok(q{SELECT dbnet.claim()}, 'claimed');
wait_armed($point, 'it writes');
$api->wait_until(sub { $api->get("$configs/paused")->{status} == 200 }, 'what waited is sent');
$point->replace_worker('mirror worker', 'TERM');
$point->psql_ok(q{INSERT INTO net.configs VALUES ('as-ever', '{"v": "1"}')}, 'a change');
$api->wait_until(sub { $api->get("$configs/as-ever")->{status} == 200 }, 'from then on it writes as any other, also after a restart');

$_->no_crash_in_log(except => qr{mirror worker.* signal 9}) for $old, $clone, $standby, $restored, $copy, $point;
done_testing();
