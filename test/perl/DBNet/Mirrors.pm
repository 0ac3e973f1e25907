# Two mirrors that most tests of actuation use: net.nodes (v1 Node; cluster-scoped) and net.configs (v1 ConfigMap in the
# run's namespace). Both see objects with the run's label only: real servers put ConfigMaps of their own everywhere.
#
#   my $mirrors = DBNet::Mirrors->new($node, $api);          # server 'prod', schema net, both mirrors in mode manage
#   $mirrors->insert_node('n1', unschedulable => 'true');    $mirrors->node('n1')->{spec}
package DBNet::Mirrors;

use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use JSON::PP ();

my $json = JSON::PP->new->utf8->canonical;

# Options: mode (default manage), more (text: further arguments of dbnet.mirror, beginning with a comma).
sub new {
    my ($class, $node, $api, %options) = @_;
    my $self = bless { node => $node, api => $api }, $class;
    my $mode = $options{mode} // 'manage';
    my $more = $options{more} // '';
    my $selector = DBNet::Api::quote($api->selector);
    my $namespace = DBNet::Api::quote($api->namespace);
    my $labels = DBNet::Api::quote($json->encode($api->labels));
    $node->safe_psql('postgres', $api->create_server('prod') . <<"SQL");
CREATE SCHEMA net;
CREATE TABLE net.nodes (name text PRIMARY KEY, labels jsonb, unschedulable boolean, ready text, note text);
CREATE TABLE net.configs (name text PRIMARY KEY, labels jsonb DEFAULT $labels, data jsonb, note text);
SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes', label_selector => $selector, mode => '$mode', columns => '{
    "name": "metadata.name", "labels": "metadata.labels", "unschedulable": "spec.unschedulable",
    "ready": "status.conditions[type=Ready].status"}'$more);
SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.configs', namespace => $namespace, label_selector => $selector, mode => '$mode',
    columns => '{"name": "metadata.name", "labels": "metadata.labels", "data": "data"}'$more);
SQL
    $self->wait_listed;
    return $self;
}

sub wait_listed {
    my ($self) = @_;
    $self->{node}->poll_query_until('postgres', q{SELECT bool_and(state = 'synced') FROM dbnet.mirror_status})
      or die "mirrors are not listed\n" . $self->{node}->diagnostics;
    return;
}

# SQL that inserts a Node's row with the label of the run. Further columns: texts of SQL expressions.
sub node_row {
    my ($self, $name, %columns) = @_;
    $columns{labels} //= DBNet::Api::quote($json->encode($self->{api}->labels));
    my @names = sort keys %columns;
    return 'INSERT INTO net.nodes (' . join(', ', 'name', @names) . ') VALUES (' .
      join(', ', DBNet::Api::quote($self->{api}->name($name)), @columns{@names}) . ');';
}

sub config_row {
    my ($self, $name, $data) = @_;
    return 'INSERT INTO net.configs (name, data) VALUES (' . DBNet::Api::quote($name) . ', ' . DBNet::Api::quote($json->encode($data)) . ');';
}

sub node_path   { my ($self, $name) = @_; return '/api/v1/nodes/' . $self->{api}->name($name) }
sub config_path { my ($self, $name) = @_; return '/api/v1/namespaces/' . $self->{api}->namespace . "/configmaps/$name" }
sub node        { my ($self, $name) = @_; return $self->{api}->get($self->node_path($name))->{body} }
sub config      { my ($self, $name) = @_; return $self->{api}->get($self->config_path($name))->{body} }

# Waits until everything the test committed is settled; returns what is not, as text.
sub wait_synced {
    my ($self) = @_;
    return $self->{node}->safe_psql('postgres', q{SELECT mirror, key, phase, message FROM dbnet.wait_synced('60 s') ORDER BY 1, 2});
}

1;
