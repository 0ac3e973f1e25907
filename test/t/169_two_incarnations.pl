# Several objects of one name that come and go before the first one's end is recorded: their events are one by then, of
# the last, and the row goes with it; with a label selector, too.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

my $api   = DBNet::Api->start(controllers => 0, nodes_ready => 0);
my $node  = DBNet::Cluster->started('main');
my $space = $api->namespace;
my $maps  = "/api/v1/namespaces/$space/configmaps";

sub create { my ($name) = @_; return $api->expect_success($api->create($maps, { metadata => { name => $name, labels => { app => 'web' } }, data => { a => '1' } }))->{metadata}{uid} }
sub delete_of { my ($name) = @_; return $api->expect_success($api->delete("$maps/$name")) }

sub mirror {
    my ($table, $selector) = @_;
    return qq{CREATE TABLE net.$table (name text PRIMARY KEY, data jsonb);
        SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.$table', '{"name": "metadata.name", "data": "data"}', namespace => '$space', label_selector => $selector);};
}
$node->psql_ok($api->create_server('prod') . 'CREATE SCHEMA net;' . mirror('maps', 'NULL') . mirror('chosen', q{'app=web'}), 'two mirrors, one with a selector');
create($_) for qw(gone stays);
my $rows = q{SELECT (SELECT string_agg(name, ' ' ORDER BY name) FROM net.maps WHERE name <> 'kube-root-ca.crt'), (SELECT string_agg(name, ' ' ORDER BY name) FROM net.chosen)};
$node->wait_for($rows, 'objects of others', expected => 'gone stays|gone stays');

# What is known of both cannot be written meanwhile.
my $session = $node->background_psql('postgres');
$session->query_safe(q{BEGIN; SELECT FROM dbnet.object WHERE name IN ('gone', 'stays') FOR UPDATE});
for my $name (qw(gone stays)) {
    delete_of($name);
    create($name);
    delete_of($name);
}
my $last = create('stays');
create('after');    # seen after all the others
$node->wait_for($rows, 'the mirrors have seen what came after', expected => 'after gone stays|after gone stays');
$session->query_safe('COMMIT');
$session->quit;

$node->wait_for($rows, 'the row of what is gone goes', expected => 'after stays|after stays');
$node->wait_for(q{SELECT string_agg(name || ' ' || uid, ', ' ORDER BY relation) FROM dbnet.object WHERE name IN ('gone', 'stays')}, 'and what is there again is known',
    expected => "stays $last, stays $last");
$node->query_is(q{SELECT sum(repaired) FROM dbnet.mirror_status}, '0', 'without a compare');

$node->no_crash_in_log;
done_testing();
