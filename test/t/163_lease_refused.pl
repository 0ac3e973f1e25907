# A Lease that may not be had: what is refused to one owner is asked with the credentials of another; a renewal that is
# refused, or a namespace that is missing, makes nobody write without it.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Need;
use PostgreSQL::Test::Utils ();
use Test::More;

DBNet::Need::need('own_servers', 'faults');
my $api   = DBNet::Api->start(controllers => 0, nodes_ready => 0);
my $node  = DBNet::Cluster->started('main', conf => 'dbnet.lease_duration = 3');
my $space = $api->namespace;
my $maps  = "/api/v1/namespaces/$space/configmaps";
my $leases = '/apis/coordination.k8s.io/v1/namespaces';
my ($ca, $cert, $key) = map { DBNet::Api::quote(PostgreSQL::Test::Utils::slurp_file($api->credentials($_)->[1])) } qw(--cacert --cert --key);
my $weak = $api->token('read');    # of ConfigMaps: on real servers no Lease at all, on the simulator to look at

sub leases { my ($namespace) = @_; return @{ $api->expect_success($api->get("$leases/$namespace/leases"))->{items} } }
sub status { my ($name) = @_; return qq{SELECT concat_ws('|', phase, message) FROM dbnet.object_status WHERE name = '$name'} }

# --- two owners: the one whose mirror was made first may not have Leases ---
$node->psql_ok(qq{CREATE SERVER prod FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url '@{[ $api->url ]}', ca $ca, lease_namespace '$space');
    CREATE ROLE weak; CREATE ROLE strong; GRANT dbnet_admin TO weak, strong; GRANT USAGE ON FOREIGN SERVER prod TO weak, strong;
    CREATE USER MAPPING FOR weak SERVER prod OPTIONS (token '$weak');
    CREATE USER MAPPING FOR strong SERVER prod OPTIONS (client_cert $cert, client_key $key);
    CREATE SCHEMA net; GRANT ALL ON SCHEMA net TO weak, strong;
    SET ROLE weak;
    CREATE TABLE net.weak (name text PRIMARY KEY, labels jsonb);
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.weak', '{"name": "metadata.name", "labels": "metadata.labels"}', namespace => '$space', label_selector => 'part=yes', mode => 'manage');
    SET ROLE strong;
    CREATE TABLE net.strong (name text PRIMARY KEY, data jsonb);
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.strong', '{"name": "metadata.name", "data": "data"}', namespace => '$space', label_selector => 'part!=yes', mode => 'manage')}, 'mirrors of two owners');
$node->query_is(q{SELECT 'net.weak'::regclass < 'net.strong'::regclass}, 't', 'the weak one is asked first');
$node->psql_ok(q{INSERT INTO net.strong VALUES ('one', '{"v": "1"}')}, 'a row of the strong one');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s', 'net.strong')}, '', 'is sent');
is(scalar leases($space), 1, 'with a Lease, which was had with the credentials of the strong one');
my $renewed = (leases($space))[0]{spec}{renewTime};
$api->wait_until(sub { (leases($space))[0]{spec}{renewTime} gt $renewed }, 'it is renewed');

# --- renewals are refused: it was ours, and may be another's ---
$api->fault({ method => 'PUT', path => 'leases', count => -1, action => 'respond', status => 403,
    body => { kind => 'Status', apiVersion => 'v1', status => 'Failure', message => 'leases is forbidden: not now', reason => 'Forbidden', code => 403 } });
my $refused = (leases($space))[0]{spec}{renewTime};
my $is_closed = sub { return $node->safe_psql('postgres', q{SELECT string_agg(message, '|') FROM dbnet.object_status WHERE name LIKE 'try-%' AND phase = 'pending'}) =~ /^the server's lease could not be taken or renewed: .*forbidden/ };
my $tries = 0;
$api->wait_until(sub {
    $node->safe_psql('postgres', "INSERT INTO net.strong VALUES ('try-" . ++$tries . q{', '{"v": "1"}')});
    return $is_closed->();
}, 'nothing is sent once the Lease is over');
is((leases($space))[0]{spec}{renewTime}, $refused, 'which nobody has renewed');
my $position = $api->request_position;
$node->psql_ok(q{INSERT INTO net.strong VALUES ('refused', '{"v": "1"}')}, 'another row');
$node->wait_for(status('refused') =~ s/concat_ws.*message\)/phase/r, 'waits', expected => 'pending');
is(scalar(() = $api->requests(since => $position, method => 'PATCH')), 0, 'and nothing is sent');
$api->no_faults;
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s', 'net.strong')}, '', 'all is sent when it may be renewed');

# --- there is no such namespace ---
$node->psql_ok(qq{ALTER SERVER prod OPTIONS (SET lease_namespace '$space-none'); INSERT INTO net.strong VALUES ('nowhere', '{"v": "1"}')}, 'a namespace that does not exist');
$node->wait_for(status('nowhere') . qq{ AND message LIKE '%"$space-none" not found%'}, 'nothing is sent, and it is said why',
    expected => qq{pending|the server's lease could not be taken or renewed: namespaces "$space-none" not found});
is($api->get("$maps/nowhere")->{status}, 404, 'there is no such object');
$api->expect_success($api->create('/api/v1/namespaces', { metadata => { name => "$space-none" } }));
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s', 'net.strong')}, '', 'once it is there the row is sent');
is(scalar leases("$space-none"), 1, 'with a Lease');

$node->no_crash_in_log;
done_testing();
