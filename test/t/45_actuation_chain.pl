# Triggers of users act on what devices report: a trigger fired by a report writes the same row, another row and another
# mirror, and all of it reaches the server; the report itself sends nothing.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

my $node = DBNet::Cluster->started('actuation_chain');
my $api = DBNet::Api->start;
my $mirrors = DBNet::Mirrors->new($node, $api);

$node->psql_ok($mirrors->node_row('other') . $mirrors->config_row('count', { nodes => '0' }), 'rows that the trigger will change');
is($mirrors->wait_synced, '', 'settled');
$node->wait_for(q{SELECT count(*) = 1 FROM net.nodes WHERE ready = 'True'}, 'the Node is ready');
my $other = $api->name('other');
$node->psql_ok(<<"SQL", 'a policy: when a Node becomes ready, cordon it and another one, and count it');
CREATE FUNCTION net.became_ready() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
    IF dbnet.is_report() THEN
        UPDATE net.nodes SET unschedulable = true WHERE name IN (NEW.name, '$other');
        UPDATE net.configs SET data = jsonb_build_object('nodes', '1') WHERE name = 'count';
    END IF;
    RETURN NULL;
END \$\$;
CREATE TRIGGER became_ready AFTER UPDATE OF ready ON net.nodes FOR EACH ROW
    WHEN (NEW.ready = 'True' AND OLD.ready IS DISTINCT FROM NEW.ready) EXECUTE FUNCTION net.became_ready();
SQL
my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM dbnet.actuation');
$node->psql_ok($mirrors->node_row('new'), 'insert a Node');
$api->wait_for_object($mirrors->node_path('new'), sub { ($_[0]{body}{spec}{unschedulable} // 0) == 1 });
pass('the same row: the new Node is cordoned');
$api->wait_for_object($mirrors->node_path('other'), sub { ($_[0]{body}{spec}{unschedulable} // 0) == 1 });
pass('another row: the other Node is cordoned');
$api->wait_for_object($mirrors->config_path('count'), sub { $_[0]{body}{data}{nodes} eq '1' });
pass('another mirror: it is counted');
is($mirrors->wait_synced, '', 'all is settled');
$node->query_is(q{SELECT bool_and(unschedulable) AND count(*) = 2 FROM net.nodes}, 't', 'the rows say the same');
$node->query_is("SELECT count(*) - $before FROM dbnet.actuation", '4', 'one create and three updates were sent: no echo');

$node->no_crash_in_log;
done_testing();
