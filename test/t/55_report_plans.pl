# The worker's plans: its own statements go by index however small the tables were when they were planned, and a user's
# trigger is planned as the user configured it. An answer that tells the row nothing writes no row.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Mirrors;
use Test::More;

my $api = DBNet::Api->start;
my $node = DBNet::Cluster->started('main');
my $mirrors = DBNet::Mirrors->new($node, $api);
my $count = 300;

sub counted {
    my ($column) = @_;
    return $node->safe_psql('postgres', "SELECT coalesce($column, 0) FROM pg_stat_user_tables WHERE relid = 'net.configs'::regclass");
}

# First plans, made while the tables are empty.
$node->safe_psql('postgres', $mirrors->config_row("first-$_", { n => "v$_" })) for 1 .. 7;
is($mirrors->wait_synced, '', 'the first rows');
my $scans = counted('seq_scan');
my $changes = counted('n_tup_upd');
$node->safe_psql('postgres', join '', map { $mirrors->config_row("row-$_", { n => "v$_" }) } 1 .. $count);
is($mirrors->wait_synced, '', 'many more rows');
$node->wait_for(qq{SELECT idx_scan >= $count FROM pg_stat_user_tables WHERE relid = 'net.configs'::regclass}, 'they were read by index');
is(counted('seq_scan'), $scans, 'no scan of the whole table');
is(counted('n_tup_upd'), $changes, 'no row was written: the answers told nothing new');

# A policy in the worker, planned as its owner configured.
$node->psql_ok(q{
    CREATE TABLE net.planner (seqscan text, hashjoin text, jit text);
    CREATE FUNCTION net.policy() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO net.planner VALUES (current_setting('enable_seqscan'), current_setting('enable_hashjoin'), current_setting('jit'));
        RETURN NULL;
    END $$;
    CREATE TRIGGER policy AFTER INSERT ON net.configs FOR EACH ROW EXECUTE FUNCTION net.policy();
    ALTER DATABASE postgres SET enable_hashjoin = off}, 'a policy');
$node->restart; # settings of a database count from the start of a process
$mirrors->wait_listed;
my $maps = '/api/v1/namespaces/' . $api->namespace . '/configmaps';
$api->create($maps, { metadata => { name => 'outside', labels => $api->labels }, data => { n => '1' } });
$node->wait_for(q{SELECT count(*) > 0 FROM net.planner}, 'a report fires it');
$node->query_is(q{SELECT DISTINCT seqscan, hashjoin, jit FROM net.planner}, 'on|off|on', 'the planner is as configured');
done_testing();
