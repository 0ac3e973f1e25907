# Columns that are sent through a subresource: the status of a kind whose controller are policies in SQL, and the scale
# of whatever has one.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

DBNet::Need::may_need('faults');
my $api   = DBNet::Api->start(controllers => 0, nodes_ready => 0);
my $node  = DBNet::Cluster->started('main');
my $space = $api->namespace;
sub settled { my ($name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', $name) }

# The conflict that is left over from a is not waited for.
sub settled_but_a { my ($name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(q{SELECT key, phase FROM dbnet.wait_synced('60 s') WHERE key NOT LIKE '%/a'}, '', $name) }

my $properties = {
    spec   => { type => 'object', properties => { size => { type => 'integer', format => 'int32' }, zone => { type => 'string' } } },
    status => { type => 'object', properties => { size => { type => 'integer', format => 'int32' }, state => { type => 'string' }, seen => { type => 'string' } } } };
$api->expect_success($api->create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
    apiVersion => 'apiextensions.k8s.io/v1', kind => 'CustomResourceDefinition', metadata => { name => 'pools.parts.dbnet.io', labels => $api->labels },
    spec => { group => 'parts.dbnet.io', scope => 'Namespaced', names => { plural => 'pools', singular => 'pool', kind => 'Pool', listKind => 'PoolList' },
        versions => [{ name => 'v1', served => JSON::PP::true, storage => JSON::PP::true, schema => { openAPIV3Schema => { type => 'object', properties => $properties } },
            subresources => { status => {}, scale => { specReplicasPath => '.spec.size', statusReplicasPath => '.status.size' } } }] } }));
$api->wait_until(sub { $api->get('/openapi/v3/apis/parts.dbnet.io/v1')->{status} == 200 }, 'the kind is served');
my $pools = "/apis/parts.dbnet.io/v1/namespaces/$space/pools";
sub pool { my ($name) = @_; return $api->get("$pools/$name")->{body} }

$node->psql_ok($api->create_server('prod') . q{CREATE SCHEMA net; CREATE TABLE net.pools (name text PRIMARY KEY, zone text, size integer, state text, seen text);}, 'a table');
sub mirror_sql {
    my (%columns) = @_;
    my $columns = JSON::PP->new->canonical->encode({ name => 'metadata.name', zone => 'spec.zone', %columns });
    return qq{SELECT dbnet.mirror('prod', 'parts.dbnet.io/v1', 'Pool', 'net.pools', columns => '$columns', namespace => '$space', mode => 'manage')};
}

# --- what cannot be ---
$node->fails_like(mirror_sql(state => { path => 'status.state', subresource => 'finalize' }), '22023', qr/subresource of column "state" is "finalize".*"status" or "scale"/s, 'there are two subresources');
$node->fails_like(mirror_sql(size => { path => 'spec.size', subresource => 'status' }), '22023', qr/"size" \(spec\.size\) is no field below status/, 'the spec is not in the status');
$node->fails_like(mirror_sql(state => { path => 'status.state', subresource => 'scale' }), '22023', qr/"state" \(status\.state\) is no number of replicas/, 'the status is no scale');
$node->fails_like(q{SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.pools', columns => '{"name": "metadata.name", "state": {"path": "status.state", "subresource": "status"}}', namespace => 'default')},
    '22023', qr/status/, 'a kind without status has none to write');

# --- the object, its scale and its status ---
$node->psql_ok(mirror_sql(size => { path => 'spec.size', subresource => 'scale' }, state => { path => 'status.state', subresource => 'status' }, seen => 'status.seen'), 'a mirror that writes scale and status');
$node->query_is(q{SELECT column_name, role, subresource FROM dbnet.mirrored_column WHERE relation = 'net.pools'::regclass ORDER BY 1},
    "name|key|\nseen|status|\nsize|spec|scale\nstate|spec|status\nzone|spec|", 'what a user may write');
$node->fails_like(q{INSERT INTO net.pools (name, seen) VALUES ('a', 'x')}, undef, qr/seen/, 'other status columns are the server\'s');
$node->psql_ok(q{INSERT INTO net.pools (name, zone, size, state) VALUES ('a', 'north', 3, 'Filling')}, 'a row with all of it');
settled('is settled as a whole');
is_deeply(pool('a')->{spec}, { zone => 'north', size => 3 }, 'the object has its spec');
is_deeply(pool('a')->{status}, { state => 'Filling' }, 'and its status');
$node->query_is(q{SELECT paths, http_status, attempt FROM dbnet.actuation ORDER BY at}, "{spec.zone}|201|1\n{status.state}|200|1\n{spec.size}|200|1", 'by one request each');
$node->query_is(q{SELECT phase, claimed FROM dbnet.object WHERE name = 'a'}, 'synced|{spec.size,spec.zone,status.state}', 'all is claimed');

$node->psql_ok(q{UPDATE net.pools SET state = 'Full' WHERE name = 'a'}, 'the status alone');
settled('is settled');
is_deeply([pool('a')->@{qw(spec status)}], [{ zone => 'north', size => 3 }, { state => 'Full' }], 'is written, the spec stays');
$node->psql_ok(q{UPDATE net.pools SET zone = 'south' WHERE name = 'a'}, 'the spec alone');
settled('is settled');
is_deeply([pool('a')->@{qw(spec status)}], [{ zone => 'south', size => 3 }, { state => 'Full' }], 'is written, scale and status stay');
$node->query_is(q{SELECT count(*) FROM dbnet.actuation}, '5', 'by one request each');
my %owned = map { ($_->{subresource} // '') => $_->{manager} } pool('a')->{metadata}{managedFields}->@*;
is($owned{status}, $node->safe_psql('postgres', 'SELECT field_manager FROM dbnet.mirrored_relation'), 'the status is owned by the mirror\'s manager');

$node->fails_like(q{SELECT dbnet.alter_mirror('net.pools', columns => '{"name": "metadata.name", "zone": "spec.zone", "size": "spec.size", "state": {"path": "status.state", "subresource": "status"}}')},
    '55006', qr/claimed fields that the new column map leaves out, or sends another way.*spec\.size/s, 'a claimed field cannot be sent another way');

# --- somebody else ---
$api->expect_success($api->patch("$pools/a/status?fieldManager=other", { status => { state => 'Empty', seen => 'just now' } }));
$node->wait_for(q{SELECT seen = 'just now' AND state = 'Full' FROM net.pools WHERE name = 'a'}, 'what others write is seen, our word stays');
$node->wait_for(q{SELECT phase = 'drifted' AND message = 'changed on the server: status.state by other' FROM dbnet.object_status WHERE name = 'a'}, 'and the difference told');
$api->expect_success($api->patch("$pools/a/scale?fieldManager=other", { spec => { replicas => 7 } }));
$node->psql_ok(q{UPDATE net.pools SET size = 4, state = 'Fine' WHERE name = 'a'}, 'and written over by who asks later');
$node->wait_for(q{SELECT phase = 'conflict' AND message LIKE '%other%' FROM dbnet.object_status WHERE name = 'a'}, 'the status has another owner now');
$api->wait_until(sub { pool('a')->{spec}{size} == 4 }, 'what comes after it does not wait for it');
$node->wait_for(q{SELECT phase = 'conflict' AND message LIKE '%other%' AND applied -> 'spec.size' = '4' AND claimed @> '{spec.size,status.state}' FROM dbnet.object WHERE name = 'a'}, 'and the conflict stays told');
is(pool('a')->{status}{state}, 'Empty', 'the status is as the other one has it');

# --- an object that somebody made ---
$api->expect_success($api->create($pools, { apiVersion => 'parts.dbnet.io/v1', kind => 'Pool', metadata => { name => 'b' }, spec => { size => 1 } }));
$node->wait_for(q{SELECT count(*) = 1 FROM net.pools WHERE name = 'b' AND size = 1}, 'it is imported');
$node->psql_ok(q{UPDATE net.pools SET state = 'Seen' WHERE name = 'b'}, 'gets its status from here');
$node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object_status WHERE name = 'b'}, 'is settled');
is_deeply([pool('b')->@{qw(spec status)}], [{ size => 1 }, { state => 'Seen' }], 'and its spec is nobody\'s business');
$node->query_is(q{SELECT claimed FROM dbnet.object WHERE name = 'b'}, '{status.state}', 'only the status is claimed');

# --- an object that is made anew has all of its parts again; one approval covers them ---
$node->psql_ok(q{SELECT dbnet.alter_mirror('net.pools', on_external_delete => 'recreate'); INSERT INTO net.pools (name, zone, size, state) VALUES ('again', 'north', 5, 'Old')}, 'a row');
settled_but_a('is settled');
$api->delete("$pools/again");
$api->wait_until(sub { my $pool = pool('again'); ($pool->{spec}{size} // 0) == 5 && ($pool->{status}{state} // '') eq 'Old' }, 'deleted by somebody: made anew as a whole');
$node->psql_ok(q{INSERT INTO net.pools (name, zone, size, state) SELECT 'many-' || n, 'north', 1, 'New' FROM generate_series(1, 60) AS n}, 'sixty rows at once');
settled_but_a('are settled, none is held');
is(scalar(grep { $_->{metadata}{name} =~ /^many-/ && ($_->{status}{state} // '') eq 'New' && $_->{spec}{size} == 1 } @{ $api->get($pools)->{body}{items} }), 60, 'with all their parts');
$node->psql_ok(q{UPDATE net.pools SET zone = 'south', state = 'Moved' WHERE name LIKE 'many-%'}, 'a mass change');
$node->wait_for(q{SELECT count(*) FROM dbnet.object WHERE phase = 'held'}, 'is held', expected => '60');
$node->psql_ok(q{SELECT dbnet.approve((SELECT min(id)::text FROM dbnet.held))}, 'one approval');
$api->wait_until(sub { 60 == grep { $_->{metadata}{name} =~ /^many-/ && ($_->{status}{state} // '') eq 'Moved' && $_->{spec}{zone} eq 'south' } @{ $api->get($pools)->{body}{items} } }, 'sends all of it');

# --- preview and plan name them ---
my $change = q{UPDATE net.pools SET zone = 'east', size = 9, state = 'Planned' WHERE name = 'again'};
$node->query_is(qq{BEGIN; $change; SELECT operation, subresource, fields, verdict FROM dbnet.plan(); ROLLBACK},
    qq(update||{"spec.zone": "east"}|send\nupdate|status|{"status.state": "Planned"}|send\nupdate|scale|{"spec.size": 9}|send), 'plan: one line for each request, in their order');
$node->query_is(qq{BEGIN; $change; SELECT operation, path, subresource, row_value, live_value FROM dbnet.preview('net.pools') WHERE key = '$space/again' ORDER BY path; ROLLBACK},
    qq(update|spec.size|scale|9|5\nupdate|spec.zone||"east"|"north"\nupdate|status.state|status|"Planned"|"Old"), 'preview: where each field goes');
$node->query_is(q{BEGIN; INSERT INTO net.pools (name, state) VALUES ('planned', 'New'); SELECT operation, subresource, fields FROM dbnet.plan(); ROLLBACK},
    qq(create||{}\ncreate|status|{"status.state": "New"}), 'what is created goes before its status');
$node->query_is(q{BEGIN; DELETE FROM net.pools WHERE name = 'again'; SELECT operation, subresource, fields FROM dbnet.plan(); ROLLBACK}, 'delete||', 'a delete goes nowhere else');

# --- let go of: on the server too, and no value changes ---
sub owned_by_us {
    my ($name) = @_;
    my $manager = $node->safe_psql('postgres', 'SELECT field_manager FROM dbnet.mirrored_relation');
    return join ' ', sort map { my $entry = $_; map { my $top = $_; map { (($entry->{subresource} // 'object') . ":$top.$_") =~ s/f://gr } grep { $_ ne '.' } keys %{ $entry->{fieldsV1}{$top} } }
          grep { $_ ne 'f:metadata' } keys %{ $entry->{fieldsV1} } } grep { $_->{manager} eq $manager } pool($name)->{metadata}{managedFields}->@*;
}
is(owned_by_us('again'), 'object:spec.zone status:status.state', 'object and status are ours; of a scale that nobody owned the server notes no owner');
$node->query_is(q{BEGIN; SELECT dbnet.release('net.pools', 'again', '{state,size}'); SELECT operation, subresource, fields FROM dbnet.plan(); COMMIT},
    qq(2\nrelease||{"spec.size": 5, "status.state": "Old"}), 'status and scale are let go of by an edit of the object');
settled_but_a('is settled');
is(owned_by_us('again'), 'object:spec.zone', 'only the rest is ours');
is_deeply([pool('again')->@{qw(spec status)}], [{ zone => 'north', size => 5 }, { state => 'Old' }], 'no value has changed');
$node->query_is(q{SELECT claimed FROM dbnet.object WHERE name = 'again'}, '{spec.zone}', 'nor is more claimed');
$api->expect_success($api->patch("$pools/again/status?fieldManager=controller", { status => { state => 'Theirs' } }));
$api->expect_success($api->patch("$pools/again/scale?fieldManager=autoscaler", { spec => { replicas => 8 } }));
$node->wait_for(q{SELECT state = 'Theirs' AND size = 8 FROM net.pools WHERE name = 'again'}, 'the columns follow whoever sets them');
$node->query_is(q{SELECT phase FROM dbnet.object_status WHERE name = 'again'}, 'synced', 'which is no drift');
$node->psql_ok(q{UPDATE net.pools SET zone = 'west' WHERE name = 'again'}, 'a change of what is ours');
settled_but_a('is settled');
is_deeply([pool('again')->@{qw(spec status)}], [{ zone => 'west', size => 8 }, { state => 'Theirs' }], 'leaves them alone');
$node->psql_ok(q{UPDATE net.pools SET size = 3 WHERE name = 'again'}, 'whoever writes the scale again');
settled_but_a('is settled');
is(pool('again')->{spec}{size}, 3, 'sets it');

# --- an interruption between the parts ---
SKIP: {
    DBNet::Need::or_skip('faults');
    $api->fault({ method => 'PATCH', path => '/c/scale', count => 1, action => 'hang' });
    $node->psql_ok(q{INSERT INTO net.pools (name, zone, size, state) VALUES ('c', 'north', 2, 'New')}, 'the second of three requests hangs');
    $api->wait_until(sub { pool('c')->{spec} }, 'the object is there');
    $node->wait_for(q{SELECT phase = 'applying' FROM dbnet.object WHERE name = 'c'}, 'and is not said to be done');
    $node->replace_worker('mirror worker', 'KILL');
    $node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object_status WHERE name = 'c'}, 'the next worker goes on');
    is_deeply([pool('c')->@{qw(spec status)}], [{ zone => 'north', size => 2 }, { state => 'New' }], 'with what was left');

    # --- done, and not said: whoever goes back to the value before goes back there, too ---
    for my $part ([ 'scale', 'size', 6, 2 ], [ 'status', 'state', 'Lost', 'New' ]) {
        my ($subresource, $column, $new, $old) = @$part;
        my $value = sub { my $pool = pool('c'); return $subresource eq 'scale' ? $pool->{spec}{size} : $pool->{status}{state} };
        my $timeout = { kind => 'Status', apiVersion => 'v1', metadata => {}, status => 'Failure', message => 'Timeout: request did not complete within the allotted time', reason => 'Timeout', code => 504 };
        $api->fault({ method => 'PATCH', path => "/c/$subresource", count => -1, action => 'respond_after', status => 504, body => $timeout });
        $node->psql_ok("UPDATE net.pools SET $column = '$new' WHERE name = 'c'", "$subresource: the server does it, its answer is lost");
        $api->wait_until(sub { $value->() eq $new }, 'it is done');
        $node->wait_for(q{SELECT phase = 'uncertain' FROM dbnet.object WHERE name = 'c'}, 'which nobody knows');
        $node->psql_ok("UPDATE net.pools SET $column = '$old' WHERE name = 'c'", 'back to what was acknowledged last');
        $api->wait_until(sub { $value->() eq $old }, 'the object goes back as well');
        $api->no_faults;
        $node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object_status WHERE name = 'c'}, 'and all is well');
        $node->query_is("SELECT $column FROM net.pools WHERE name = 'c'", $old, 'the row is as it was written');
    }
}

$node->no_crash_in_log(except => qr/dbnet mirror worker.*was terminated by signal 9/);
done_testing();
