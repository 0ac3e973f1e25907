# A database with everything that DBNet can run in one: mirrors in mode manage, gateway, policy, client API with a session,
# telemetry, provenance. For tests of what happens to all processes and all data at once.
#
#   my $node = DBNet::Cluster->started('main', conf => DBNet::Everything::conf());
#   my $all = DBNet::Everything->new($node, $api);      # server 'prod', net.nodes and net.configs of DBNet::Mirrors
#   $all->runs('all run');                              # one process of each kind, a session of the client API included
#   $all->works('all work');                            # a row reaches the device, a span a table, a decision its action
package DBNet::Everything;

use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::ClientApi;
use DBNet::Gateway;
use DBNet::Mirrors;
use Test::More;

# Not those that run actions: they are there as policies act.
# Sessions of the client API count once: there may be one more for a request that came meanwhile.
our $processes = q{SELECT string_agg(backend_type, ', ' ORDER BY backend_type) FROM (
    SELECT DISTINCT backend_type, CASE WHEN backend_type <> 'dbnet api session' THEN pid END FROM pg_stat_activity
    WHERE backend_type LIKE 'dbnet %' AND backend_type <> 'dbnet policy action' AND coalesce(datname, 'postgres') = 'postgres') AS process};
our $all_processes = 'dbnet api session, dbnet api worker, dbnet gateway worker, dbnet launcher, dbnet mirror worker, dbnet policy worker';

sub conf { return "dbnet.api_sessions = 2\nmax_worker_processes = 16\ndbnet.lease_duration = 3\n" }

sub new {
    my ($class, $node, $api) = @_;
    my $self = bless { node => $node, kubernetes => $api, turn => 0 }, $class;
    $self->{mirrors} = DBNet::Mirrors->new($node, $api);
    $self->{gateway} = DBNet::Gateway->open($node);
    $self->{client} = DBNet::ClientApi->new($node);
    $node->psql_ok(<<'SQL', 'a policy, roles, a tracked table');
CREATE ROLE app LOGIN;
CREATE ROLE policy_owner LOGIN;
GRANT dbnet_admin TO policy_owner;
GRANT CREATE, USAGE ON SCHEMA net TO policy_owner, app;
CREATE TABLE net.done (event bigint PRIMARY KEY, value float8);
GRANT SELECT, INSERT ON net.done TO policy_owner;
SELECT dbnet.track('net.done');
CREATE TABLE net.control (place text PRIMARY KEY, value float8, count bigint DEFAULT 100);
INSERT INTO net.control VALUES ('here', 0);
GRANT SELECT ON net.control TO policy_owner, app;
SET ROLE policy_owner;
CREATE PROCEDURE net.act(event dbnet.policy_event) LANGUAGE sql AS 'INSERT INTO net.done VALUES (event.id, event.value)';
SELECT dbnet.create_policy('load', 'query', query => 'SELECT place, value, count FROM net.control', every => '100 ms', threshold => 10,
    action => 'net.act(dbnet.policy_event)', mode => 'act');
SQL
    $self->{token} = $self->{client}->token('app', 'everything');
    return $self;
}

# From now on it is looked for on another node: a promoted standby, an upgraded or restored cluster.
sub move_to {
    my ($self, $node) = @_;
    $_->{node} = $node for $self, @{$self}{qw(mirrors gateway client)};
    return;
}

# Waits until each process runs; the session of the client API begins with a request.
sub runs {
    my ($self, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $self->{client}->wait_until_served;
    $self->{gateway}->wait_until_open;
    my $served = eval { $self->{client}->rows($self->{token}, 'SELECT 1 AS one')->[0]{one} } // $@;
    is($served, 1, 'a request to the client API');
    return $self->{node}->wait_for($processes, $name, expected => $all_processes);
}

# Each process does its work.
sub works {
    my ($self, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($node, $turn) = ($self->{node}, ++$self->{turn});
    my $done = $node->safe_psql('postgres', 'SELECT count(*) FROM net.done');
    $node->psql_ok($self->{mirrors}->config_row("c$turn", { v => "$turn" }) . "UPDATE net.control SET value = 20", "$name: a row, and a value that is too high");
    is($self->{mirrors}->wait_synced, '', 'the row is synced');
    is($self->{mirrors}->config("c$turn")->{data}{v}, "$turn", 'the device has it');
    $node->wait_for("SELECT count(*) > $done FROM net.done", 'the policy has acted');
    $node->psql_ok('UPDATE net.control SET value = 0', 'it is over');
    $node->wait_for(q{SELECT state <> 'firing' FROM dbnet.policy_state WHERE policy = 'load'}, 'and seen');
    is($self->{gateway}->post('/v1/traces', body => DBNet::Gateway::traces(1, name => "span $turn"))->{status}, 200, 'a span is taken');
    $node->query_is("SELECT count(*) FROM otel.spans WHERE name = 'span $turn'", '1', 'and written');
    return;
}

1;
