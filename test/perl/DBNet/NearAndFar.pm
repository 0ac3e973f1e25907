# Two servers of one API in a database, each with a mirror and a row: `near` is reached as ever, `far` by a kubeconfig of the
# test's own. For tests in which what is far fails, and near does not notice.
#
#   DBNet::NearAndFar::set_up($node, $api, $text_of_the_kubeconfig, lease_namespace => $namespace);    # options of near
#
# Makes servers far and near, tables net.far and net.near (name, labels, data). Returns when both mirrors are watched.
package DBNet::NearAndFar;

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Utils ();
use Test::More;

sub set_up {
    my ($node, $api, $kubeconfig, %near) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $file = $api->directory . '/far';
    PostgreSQL::Test::Utils::append_to_file($file, $kubeconfig);
    my %options = (far => { kubeconfig => $file }, near => \%near);
    $node->psql_ok(join('', 'CREATE SCHEMA net;', map { $api->create_server($_, %{ $options{$_} }) . mirror($_, $api->namespace) } sort keys %options), 'two servers');
    $node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'rows of both are sent');
    return $node->wait_for(q{SELECT DISTINCT state FROM dbnet.mirror_status}, 'both are watched', expected => 'synced');
}

sub mirror {
    my ($server, $namespace) = @_;
    return qq{CREATE TABLE net.$server (name text PRIMARY KEY, labels jsonb DEFAULT '{"of": "$server"}', data jsonb);
        SELECT dbnet.mirror('$server', 'v1', 'ConfigMap', 'net.$server', namespace => '$namespace', label_selector => 'of=$server', mode => 'manage',
            columns => '{"name": "metadata.name", "labels": "metadata.labels", "data": "data"}');
        INSERT INTO net.$server (name, data) VALUES ('$server', '{"turn": "0"}');};
}

1;
