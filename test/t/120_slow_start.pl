# A worker that does not get as far as its database within 30 s is ended, says so, and is tried again.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;

my $node = DBNet::Cluster->started('slow', extension => 0);
$node->safe_psql('postgres', 'CREATE DATABASE slow');
# Every new process of this database waits for ten minutes when it connects; who asks is in another one.
my $session = $node->background_psql('slow');
$session->query_safe('CREATE EXTENSION dbnet');
$node->wait_for(q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'slow' AND backend_type = 'dbnet mirror worker'}, 'a worker', expected => '1');
my $pid = $session->query_safe(q{SELECT pid FROM dbnet.worker WHERE process = 'mirror worker'});
my $asker = $node->background_psql('postgres');
$asker->query_safe(q{ALTER SYSTEM SET post_auth_delay = 600});
$asker->query_safe('SELECT pg_reload_conf()');
kill 'TERM', $pid or die "kill: $!";
my $state = q{SELECT state || coalesce(': ' || last_error, '') FROM dbnet.worker WHERE process = 'mirror worker'};
sub becomes { my ($expected, $name) = @_;
    my ($last, $deadline) = ('', time + 120);
    select undef, undef, undef, 0.1 while ($last = $session->query_safe($state)) !~ $expected && time < $deadline;
    return like($last, $expected, $name) }
becomes(qr/^starting/, 'its successor starts');
becomes(qr/^failed: .*30 s/, 'after 30 s it is given up, and says so');
$asker->query_safe(q{ALTER SYSTEM RESET post_auth_delay});
$asker->query_safe('SELECT pg_reload_conf()');
becomes(qr/^running/, 'tried again, it runs');
$session->query_safe(q{SELECT 1});
$_->quit for $session, $asker;
$node->no_crash_in_log;
done_testing();
