# What one transaction of the traffic set in motion, from its start to the metrics recalculated with the new node: read
# from PostgreSQL's commit timestamps, dbnet.actuation, metrics.history and the demo's own watch. All clocks are this
# machine's; times are in milliseconds from the start of the transaction.
package Demo::Timeline;

use strict;
use warnings FATAL => 'all';
use List::Util qw(first min);

# report: what Demo::Example1::send_traffic returned. Waits until the new node is ready and counted.
sub new {
    my ($class, $example, $watch, $report) = @_;
    my $self = bless { example => $example, start => $report->{started}, transaction => $report->{transaction} }, $class;
    my $of_transaction = "transaction = '$self->{transaction}'";
    $watch->wait_for_new_node($example->{api}, $self->{start});
    $example->wait_for("SELECT count(*) = 3 FROM dbnet.actuation WHERE $of_transaction AND http_status < 300", 'three device calls have been answered');
    $self->{calls} = [ calls($example, $of_transaction) ];
    my ($node) = map { $_->{name} } grep { $_->{kind} eq 'Node' } @{ $self->{calls} };
    $self->{node} = $node;
    ($self->{before}, $self->{provisioned}) = $self->history($of_transaction);
    my $counted = "transaction > '$self->{transaction}' AND node_rps < $self->{provisioned}{node_rps}";
    $example->wait_for("SELECT count(*) > 0 FROM metrics.history WHERE $counted", "the metrics are recalculated with $node", 120);
    ($self->{after}) = $self->history($counted);
    $example->{api}->wait_until(sub { $self->{ready} = $watch->ready_at($node, $self->{start}) }, "the watch has shown $node Ready");
    $self->{committed} = $self->commit_time($self->{transaction});
    $self->{recalculated} = $self->commit_time($self->{after}{transaction});
    return $self;
}

# Device calls, in the order in which they were sent.
sub calls {
    my ($example, $condition) = @_;
    return rows($example, "SELECT extract(epoch FROM at) - latency_ms / 1000, extract(epoch FROM at), latency_ms,
        (SELECT kind FROM dbnet.mirrored_relation AS mirror WHERE mirror.relation = call.relation),
        name, operation, array_to_string(paths, ', '), http_status FROM dbnet.actuation AS call WHERE $condition ORDER BY 1",
        qw(sent answered latency kind name operation paths status));
}

sub history {
    my ($self, $condition) = @_;
    return rows($self->{example}, "SELECT extract(epoch FROM at), transaction, ingress_rps, capacity_rps, node_rps, pod_rps FROM metrics.history WHERE $condition ORDER BY at",
        qw(at transaction ingress_rps capacity_rps node_rps pod_rps));
}

sub rows {
    my ($example, $sql, @names) = @_;
    return map { my @values = split /\|/, $_, -1; +{ map { $names[$_] => $values[$_] } 0 .. $#names } } split /\n/, $example->query($sql);
}

# A commit record's time: PostgreSQL keeps it, the demo's cluster has track_commit_timestamp on.
sub commit_time {
    my ($self, $transaction) = @_;
    return $self->{example}->query("SELECT extract(epoch FROM pg_xact_commit_timestamp(('$transaction'::xid8)::xid))");
}

sub ms { my ($self, $time) = @_; return 1000 * ($time - $self->{start}) }

# Both parts of DBNet's own time, and the whole, in ms.
sub policy_ms  { my ($self) = @_; return $self->ms((first { $_->{kind} eq 'Node' } @{ $self->{calls} })->{sent}) }
# On a busy machine the watch can be later than DBNet: what is certain is then the time since the metrics were written.
sub report_ms  { my ($self) = @_; return 1000 * ($self->{recalculated} - min($self->{ready}, $self->{after}{at})) }
sub own_ms     { my ($self) = @_; return $self->policy_ms + $self->report_ms }
sub total_ms   { my ($self) = @_; return $self->ms($self->{recalculated}) }

1;
