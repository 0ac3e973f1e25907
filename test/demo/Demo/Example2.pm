# Example 2 of the paper on the network of Example 1: its set-up, and what becomes of a node that is replaced. Used by
# the demo and by its test; what the example *does* is in the SQL files of ../example2.
#
#   my $replacement = Demo::Example2->new($example);    # a Demo::Example1 with devices
#   $replacement->set_up; my $report = $replacement->replace('web-2');    # {old, new, transaction, operation, notices}
#   $replacement->send_spans('web-2', count => 100, errors => 40, milliseconds => 800); $report = $replacement->replaced('web-2');
package Demo::Example2;

use strict;
use warnings FATAL => 'all';
use DBNet::Gateway;
use File::Temp ();
use IPC::Run ();
use JSON::PP ();
use Time::HiRes qw(time);

sub new { my ($class, $example) = @_; return bless { example => $example }, $class }

sub sql_file { my (undef, $name) = @_; return "$DBNet::Environment::top/test/demo/example2/$name.sql" }

sub set_up {
    my ($self) = @_;
    my $example = $self->{example};
    $example->run_sql_file($self->sql_file($_)) for qw(nodes policy telemetry);
    $example->query('GRANT dbnet_ingest TO telemetry');
    $self->{token} = $example->query(q{SELECT dbnet.create_token('telemetry', 'node agents', expires => '1 day', scope => 'ingest')});
    $self->{gateway} = DBNet::Gateway->open($example->{node});
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

# Spans of a service on the node that end now, as an exporter would say it: their trace, and an OTLP request of JSON.
# Options: count, errors (so many of them), milliseconds (that each took).
sub spans {
    my ($node, %options) = @_;
    my $now = int(time * 1e6) * 1000;
    my $trace = sprintf '%016x%016x', int(rand 2**48), $now;
    my @spans = map { {
            traceId => $trace, spanId => sprintf('%016x', $_), name => 'GET /cart', kind => 2,
            startTimeUnixNano => '' . ($now - $options{milliseconds} * 1_000_000), endTimeUnixNano => "$now",
            status => $_ <= $options{errors} ? { code => 2, message => 'upstream reset' } : {} } } 1 .. $options{count};
    return ($trace, JSON::PP->new->canonical->encode({ resourceSpans => [ {
                resource => { attributes => [ map { { key => $_->[0], value => { stringValue => $_->[1] } } } [ 'service.name', 'shop' ], [ 'k8s.node.name', $node ] ] },
                scopeSpans => [ { scope => { name => 'demo' }, spans => \@spans } ] } ] }));
}

# Sends them over HTTP, with a token. Returns the trace.
sub send_spans {
    my ($self, $node, %options) = @_;
    my ($trace, $request) = spans($node, %options);
    $self->{body} //= File::Temp->new(SUFFIX => '.json');
    open my $body, '>', "$self->{body}" or die "$self->{body}: $!\n";
    print $body $request;
    close $body;
    # The token is not for everybody who can see the processes.
    my $settings = qq{header = "Authorization: Bearer $self->{token}"\n};
    my @curl = ('curl', $self->url, '--header', 'Content-Type: application/json', '--data', "\@$self->{body}", '--silent', '--show-error', '--write-out', ' %{http_code}', '--config', '-');
    IPC::Run::run(\@curl, '<', \$settings, '>', \my $answer, '2>', \my $problem);
    die "spans were refused: $answer $problem\n" if $answer ne '{} 200';
    return $trace;
}

# The same without a process in between, for who measures: when the request left (s).
sub send_spans_at {
    my ($self, $node, %options) = @_;
    my (undef, $request) = spans($node, %options);
    my $sent = time;
    my $answer = $self->{gateway}->post('/v1/traces', body => $request, headers => ["Authorization: Bearer $self->{token}"]);
    die "spans were refused: $answer->{status} $answer->{body}\n" if $answer->{status} != 200;
    return $sent;
}

# Where the database takes spans.
sub url { my ($self) = @_; return "http://127.0.0.1:@{[ $self->{gateway}->port ]}/v1/traces" }

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
