# A standby of a server on which everything runs: it runs nothing and can be asked; promoted, it has every process within
# moments, does what its primary had not done, and goes on where it was.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Everything;
use Test::More;

DBNet::Need::need('own_servers');
my $api = DBNet::Api->start(controllers => 0, durable => 1);
my $primary = DBNet::Cluster->started('primary', conf => DBNet::Everything::conf());
my $all = DBNet::Everything->new($primary, $api);
$all->runs('one process of each kind');
$all->works('on the primary');
$primary->backup('base', backup_options => ['--checkpoint=fast']);
my $standby = DBNet::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

$api->kill_server;
$primary->psql_ok($all->{mirrors}->config_row('late', { v => '1' }), 'a row that the primary cannot send any more');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
$standby->query_is(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'dbnet%'}, '0', 'a standby has no process of DBNet');
$standby->query_is(q{SELECT count(*) FROM net.configs WHERE name = 'late'}, '1', 'rows can be read');
$standby->query_is(q{SELECT count(*) FROM dbnet.mirror_status}, '2', 'and how mirrors stand');
$standby->fails_like(q{SELECT dbnet.pause('prod', 'standby')}, '25006', qr/read-only transaction/, 'nothing can be changed');
$standby->fails_like(q{UPDATE net.configs SET note = 'x'}, '25006', qr/read-only transaction/, 'rows neither');

# The primary is gone from one moment to the next; it has sent nothing since there was no server.
$primary->stop('immediate');
$standby->wait_for('SELECT pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn()', 'all that it has said is on the standby');
my $calls = $standby->safe_psql('postgres', 'SELECT count(*) FROM dbnet.actuation');
$api->start_server;
is($api->get($all->{mirrors}->config_path('late'))->{status}, 404, 'the device has not heard of it');
$standby->query_is('SELECT count(*) FROM dbnet.actuation', $calls, 'and the standby sends nothing');
$standby->promote;
$all->move_to($standby);
$all->runs('promoted: one process of each kind');
is($all->{mirrors}->wait_synced, '', 'what the primary had not sent');
is($all->{mirrors}->config('late')->{data}{v}, '1', 'is sent');
$standby->query_is(q{SELECT process FROM dbnet.worker WHERE restarts > 0}, '', 'no process had to be started twice');
$all->works('on the new primary');
$standby->no_crash_in_log;
done_testing();
