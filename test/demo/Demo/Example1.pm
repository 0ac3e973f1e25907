# Example 1 of the paper on a PostgreSQL node and a Kubernetes API of the harness: its set-up, its traffic, and what has
# become of it. Used by the demo and by its test; what the example *does* is in the SQL files of ../example1.
#
#   my $example = Demo::Example1->new($node, $api);
#   $example->set_up; $example->insert_devices;
#   my $report = $example->send_traffic(372);      # {transaction, started (s), notices}
package Demo::Example1;

use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use JSON::PP ();
use List::Util qw(sum0);

my $json = JSON::PP->new->utf8->canonical;

sub new {
    my ($class, $node, $api) = @_;
    return bless { node => $node, api => $api, pool => $api->name('web') }, $class;
}

sub pool     { return $_[0]{pool} }
sub sql_file { my (undef, $name) = @_; return "$DBNet::Environment::top/test/demo/example1/$name.sql" }

sub node_labels { my ($self) = @_; return $json->encode({ %{ $self->{api}->labels }, pool => $self->pool }) }

# The server, and two roles: sre owns tables and policy, telemetry may write down what nodes report and nothing else.
# Then tables, policy and mirrors, as sre. Returns the seconds that each of the files took.
sub set_up {
    my ($self) = @_;
    $self->{node}->safe_psql('postgres', $self->{api}->create_server('prod') . q{
        CREATE ROLE sre LOGIN;
        GRANT dbnet_admin TO sre;
        GRANT CREATE ON DATABASE postgres TO sre;
        GRANT USAGE ON FOREIGN SERVER prod TO sre;
        CREATE ROLE telemetry LOGIN;});
    my %seconds = map { $_ => $self->run_file($_) } qw(tables policy mirrors);
    $self->as_sre('GRANT USAGE ON SCHEMA net TO telemetry; GRANT SELECT, UPDATE (ingress_rps, cpu_percent) ON net.nodes TO telemetry');
    $self->wait_for(q{SELECT bool_and(state = 'synced') FROM dbnet.mirror_status}, 'the mirrors have listed their objects');
    return \%seconds;
}

# Three nodes, an auto-scaler, a load-balancer; returns when the cluster has them and all of it runs.
sub insert_devices {
    my ($self) = @_;
    $self->run_file('devices');
    $self->settle;
    $self->wait_for(q{SELECT count(*) = 3 FROM net.nodes WHERE ready = 'True'}, 'three nodes are ready');
    $self->wait_for(q{SELECT pods_ready = replicas FROM net.autoscalers}, 'its pods run');
    return;
}

# Everything committed has reached the cluster.
sub settle {
    my ($self) = @_;
    my $left = $self->query(q{SELECT concat_ws(' ', mirror, key, phase, message, next_step) FROM dbnet.wait_synced('60 s')});
    die "not as its row says: $left\n" if $left ne '';
    return;
}

sub query  { my ($self, $sql) = @_; return $self->{node}->safe_psql('postgres', $sql) }
sub as_sre { my ($self, $sql) = @_; return $self->{node}->safe_psql('postgres', $sql, extra_params => [ '-U', 'sre' ]) }

sub run_file { my ($self, $name) = @_; return $self->run_sql_file($self->sql_file($name)) }

# As sre, with psql's variables that the files use. Returns the seconds that it took.
sub run_sql_file {
    my ($self, $file) = @_;
    my %variables = (server => 'prod', namespace => $self->{api}->namespace, selector => $self->{api}->selector,
        pool => $self->pool, node_labels => $self->node_labels);
    my $clock = 'SELECT extract(epoch FROM clock_timestamp());';
    my $output = $self->as_sre(join "\n", (map { "\\set $_ " . DBNet::Api::quote($variables{$_}) } sort keys %variables),
        $clock, "\\i $file", $clock);
    my @lines = split /\n/, $output;
    return $lines[-1] - $lines[0];
}

sub wait_for {
    my ($self, $sql, $what, $timeout) = @_;
    return if eval { $self->{api}->wait_until(sub { $self->query($sql) eq 't' }, $what, $timeout); 1 };
    my $why = $@;
    die $why . $self->{node}->diagnostics;
}

# --- traffic: outside of the database, as in the world ---
# Traffic goes where the cluster says: to the Nodes that are Ready, by the weights that the Service carries.
sub shares {
    my ($self) = @_;
    my $api = $self->{api};
    my $service = $api->expect_success($api->get('/api/v1/namespaces/' . $api->namespace . '/services/web'));
    my $weight = $json->decode($service->{metadata}{annotations}{'lb.example/weights'});
    my $nodes = $api->expect_success($api->get('/api/v1/nodes', query => { labelSelector => $api->selector }));
    my @ready = sort grep { defined $weight->{$_} } map { $_->{metadata}{name} }
      grep { grep { $_->{type} eq 'Ready' && $_->{status} eq 'True' } @{ $_->{status}{conditions} // [] } } @{ $nodes->{items} };
    my $sum = sum0(map { $weight->{$_} } @ready);
    return { map { $_ => $weight->{$_} / $sum } @ready };
}

# What the nodes report of that much traffic: one UPDATE by role telemetry, in a session that stays open. The policy has
# run when it returns.
sub send_traffic {
    my ($self, $total) = @_;
    my $shares = $self->shares;
    my $left = $total;
    my @names = sort keys %$shares;
    my %rps = map { $_ => int($total * $shares->{$_} + 0.5) } @names;
    $rps{ $names[-1] } += $total - sum0(values %rps);    # so that they add up
    my $values = join ', ', map { sprintf '(%s, %d, %d)', DBNet::Api::quote($_), $rps{$_}, $rps{$_} * 0.6 } @names;
    my $session = $self->{telemetry} //= $self->{node}->background_psql('postgres', extra_params => [ '-U', 'telemetry' ]);
    $session->{stderr} = '';
    my $output = $session->query("UPDATE net.nodes SET ingress_rps = rps, cpu_percent = cpu FROM (VALUES $values) AS report (node, rps, cpu)"
          . ' WHERE name = node RETURNING pg_current_xact_id(), extract(epoch FROM now())');
    die "telemetry was refused: $session->{stderr}\n" if $session->{stderr} =~ /ERROR|FATAL/ || $output eq '';
    my ($transaction, $started) = split /\|/, (split /\n/, $output)[0];
    my @notices = $session->{stderr} =~ /(?:NOTICE|WARNING):  (.*)/g;
    return { transaction => $transaction, started => $started, notices => \@notices, rps => \%rps, sql => $values };
}

sub close { my ($self) = @_; (delete $self->{telemetry})->quit if $self->{telemetry}; return }

1;
