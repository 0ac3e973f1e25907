# Example 2 of the paper on the network of Example 1: its set-up, and what becomes of a node that is replaced. Used by
# the demo and by its test; what the example *does* is in the SQL files of ../example2.
#
#   my $replacement = Demo::Example2->new($example);    # a Demo::Example1 with devices
#   $replacement->set_up; my $report = $replacement->replace('web-2');    # {old, new, transaction, operation, notices}
package Demo::Example2;

use strict;
use warnings FATAL => 'all';

sub new { my ($class, $example) = @_; return bless { example => $example }, $class }

sub sql_file { my (undef, $name) = @_; return "$DBNet::Environment::top/test/demo/example2/$name.sql" }

sub set_up {
    my ($self) = @_;
    my $example = $self->{example};
    $example->run_sql_file($self->sql_file($_)) for qw(nodes policy);
    $example->settle;
    $example->wait_for(q{SELECT disruptions_allowed = 1 FROM net.disruption_budgets WHERE name = 'web'}, 'the budget counts its pods');
    return;
}

# Calls the policy's procedure for the node, as role sre. Returns when its transaction is committed.
sub replace {
    my ($self, $node) = @_;
    my $example = $self->{example};
    my $session = $example->{node}->background_psql('postgres', extra_params => [ '-U', 'sre' ]);
    $session->{stderr} = '';
    my $output = $session->query('BEGIN; CALL policy.replace_node(' . DBNet::Api::quote($node) . '); SELECT pg_current_xact_id(); COMMIT');
    my $said = $session->{stderr};
    $session->quit;
    die "the policy was refused: $said\n" if $said =~ /ERROR|FATAL/;
    my ($transaction) = $output =~ /^(\d+)$/m;
    my ($operation) = $example->query("SELECT id FROM dbnet.operation WHERE transaction = '$transaction'");
    my ($new) = $said =~ /is replaced by (\S+)/;
    return { old => $node, new => $new, transaction => $transaction, operation => $operation, notices => [ $said =~ /NOTICE:  (.*)/g ] };
}

# The old node is gone, the new one carries its pod.
sub wait_until_replaced {
    my ($self, $report) = @_;
    my $example = $self->{example};
    $example->wait_for("SELECT state = 'done' FROM dbnet.operation WHERE id = $report->{operation}", 'the node is drained', 120);
    $example->settle;
    $example->wait_for("SELECT ready = 'True' FROM net.nodes WHERE name = " . DBNet::Api::quote($report->{new}), 'the new node is ready');
    $example->wait_for('SELECT pods_ready = replicas FROM net.autoscalers WHERE pool IS NOT NULL', 'all pods run');
    return;
}

1;
