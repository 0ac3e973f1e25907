# A policy that has seen nothing sleeps for ever: that it decides proves that the commit of the gateway's transaction has woken its worker, for
# telemetry of each signal. Each is the only policy at its time: another one, which has seen something, would be evaluated every second.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Gateway;
use Test::More;

my $node = DBNet::Cluster->started('policy_wake');
my $gateway = DBNet::Gateway->open($node);
for my $signal ([ 'spans', 'traces', '{}' ], [ 'logs', 'logs', '{}' ], [ 'metrics', 'metrics', '{"metric": "m"}' ]) {
    my ($source, $path, $match) = @$signal;
    $node->psql_ok("SELECT dbnet.create_policy('$source', '$source', aggregate => 'count', threshold => 2, match => '$match')", "a policy on $source");
    $node->wait_for(q{SELECT state, count FROM dbnet.policy_status}, 'has seen nothing', expected => 'inactive|0');
    is($gateway->post("/v1/$path", body => DBNet::Gateway->can($path)->(3))->{status}, 200, "$source are sent");
    $node->wait_for(q{SELECT policy, decision, value FROM dbnet.policy_event ORDER BY id DESC LIMIT 1}, 'it decides', expected => "$source|act|3");
    $node->psql_ok("SELECT dbnet.drop_policy('$source')", 'drop it');
}

$node->no_crash_in_log;
done_testing();
