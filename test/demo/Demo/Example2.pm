# Example 2 of the paper on the network of Example 1: its set-up, and what becomes of a node that is replaced. Used by
# the demo and by its test; what the example *does* is in the SQL files of ../example2.
#
#   my $replacement = Demo::Example2->new($example);    # a Demo::Example1 with devices
#   $replacement->set_up; my $report = $replacement->replace('web-2');    # {old, new, transaction, operation, notices}
#   $replacement->send_spans('web-2', count => 100, errors => 40, milliseconds => 800); $report = $replacement->replaced('web-2');
package Demo::Example2;

use strict;
use warnings FATAL => 'all';
use JSON::PP ();
use Time::HiRes qw(time);

sub new { my ($class, $example) = @_; return bless { example => $example }, $class }

sub sql_file { my (undef, $name) = @_; return "$DBNet::Environment::top/test/demo/example2/$name.sql" }

sub set_up {
    my ($self) = @_;
    my $example = $self->{example};
    $example->run_sql_file($self->sql_file($_)) for qw(nodes policy telemetry);
    $example->query('GRANT dbnet_ingest TO telemetry');
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

# Spans of a service on the node that end now, as an exporter would send them: by role telemetry, in one OTLP request of
# JSON. Options: count, errors (so many of them), milliseconds (that each took).
sub send_spans {
    my ($self, $node, %options) = @_;
    my $example = $self->{example};
    my $now = int(time * 1e6) * 1000;
    my $trace = sprintf '%016x%016x', int(rand 2**48), $now;
    my @spans = map { {
            traceId => $trace, spanId => sprintf('%016x', $_), name => 'GET /cart', kind => 2,
            startTimeUnixNano => '' . ($now - $options{milliseconds} * 1_000_000), endTimeUnixNano => "$now",
            status => $_ <= $options{errors} ? { code => 2, message => 'upstream reset' } : {} } } 1 .. $options{count};
    my $request = JSON::PP->new->canonical->encode({ resourceSpans => [ {
                resource => { attributes => [ map { { key => $_->[0], value => { stringValue => $_->[1] } } } [ 'service.name', 'shop' ], [ 'k8s.node.name', $node ] ] },
                scopeSpans => [ { scope => { name => 'demo' }, spans => \@spans } ] } ] });
    my $session = $example->{telemetry} //= $example->{node}->background_psql('postgres', extra_params => [ '-U', 'telemetry' ]);
    $session->{stderr} = '';
    my $output = $session->query('SELECT accepted FROM otel.ingest_traces(' . DBNet::Api::quote($request) . '::jsonb)');
    die "spans were refused: $output $session->{stderr}\n" if $output !~ /^$options{count}$/m;
    return $trace;
}

# What a policy has asked for by itself, as replace() returns it.
sub replaced {
    my ($self, $node) = @_;
    my $example = $self->{example};
    my $name = DBNet::Api::quote($node);
    $example->wait_for("SELECT count(*) > 0 FROM dbnet.operation WHERE name = $name AND operation = 'drain'", "a policy drains $node");
    my ($operation, $transaction) = split /\|/, $example->query("SELECT id, transaction FROM dbnet.operation WHERE name = $name AND operation = 'drain' ORDER BY id DESC LIMIT 1");
    my $new = $example->query("SELECT name FROM net.nodes ORDER BY substring(name FROM '\\d+\$')::integer DESC LIMIT 1");
    return { old => $node, new => $new, transaction => $transaction, operation => $operation, notices => [] };
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
