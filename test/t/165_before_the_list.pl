# Nothing is sent for a mirror before its first complete list is in: a new worker that may not list waits, however long.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Mirrors;
use DBNet::Need;
use Test::More;

DBNet::Need::need('own_servers', 'faults');
my $node = DBNet::Cluster->started('main');
my $api  = DBNet::Api->start(controllers => 0, nodes_ready => 0);
my $mirrors = DBNet::Mirrors->new($node, $api);
sub writes { my ($since) = @_; return join ' ', map { "$_->{method} $_->{path}" } grep { $_->{method} =~ /^(?:PATCH|DELETE|POST|PUT)$/ } $api->requests(path => qr/configmaps/, since => $since) }

$node->psql_ok($mirrors->config_row('changed', { v => '1' }) . $mirrors->config_row('deleted', { v => '1' }), 'rows');
is($mirrors->wait_synced, '', 'are sent');

$api->fault({ method => 'GET', path => 'configmaps\?', count => -1, action => 'respond', status => 403,
    body => { kind => 'Status', apiVersion => 'v1', status => 'Failure', message => 'configmaps is forbidden: not yet', reason => 'Forbidden', code => 403 } });
$node->replace_worker('mirror worker', 'TERM');
$node->wait_for(q{SELECT state = 'degraded' AND message LIKE '%not yet%' FROM dbnet.mirror_status WHERE relation = 'net.configs'::regclass}, 'a new worker may not list');
my $position = $api->request_position;
$node->psql_ok($mirrors->config_row('new', { v => '1' }) . q{UPDATE net.configs SET data = '{"v": "2"}' WHERE name = 'changed'; DELETE FROM net.configs WHERE name = 'deleted'}, 'an insert, an update and a delete');
$node->wait_for(q{SELECT string_agg(name || ' ' || phase || ' ' || message, ', ' ORDER BY name) FROM dbnet.object WHERE relation = 'net.configs'::regclass}, 'wait and say for what',
    expected => join ', ', map { "$_ pending waits until the mirror's objects have been listed" } qw(changed deleted new));
$node->psql_ok($mirrors->node_row('n1'), 'a row of another mirror, which may');
$node->wait_for(q{SELECT phase FROM dbnet.object WHERE relation = 'net.nodes'::regclass}, 'is sent', expected => 'synced');
is(writes($position), '', 'nothing was sent for the one that may not');

$api->no_faults;
is($mirrors->wait_synced, '', 'all is sent once it is listed');
is($mirrors->config('changed')->{data}{v} . $mirrors->config('new')->{data}{v}, '21', 'as the rows say');
is($api->get($mirrors->config_path('deleted'))->{status}, 404, 'also the deletion');

$node->no_crash_in_log;
done_testing();
