# dbnet.undo() on a mirror that manages: what is taken back in the table is taken back at the server; an object whose row was
# deleted is made again as it was, also where no column tells of it, and goes on as any other.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

my $node = DBNet::Cluster->started('provenance_undo_live');
my $api = DBNet::Api->start;
my $mirrors = DBNet::Mirrors->new($node, $api);
my $path = $mirrors->config_path('a');

sub undo {
    my ($name, $what) = @_;
    $node->query_is("SELECT outcome FROM dbnet.undo(event => (SELECT event FROM dbnet.history('net.configs', '$name', most => 1)), dry_run => false)", 'done', $what);
    return is($mirrors->wait_synced, '', 'settled');
}

sub managers {
    my ($name) = @_;
    return join ' ', map { $_->{manager} } @{ $mirrors->config($name)->{metadata}{managedFields} };
}

sub deleted {
    my ($name) = @_;
    $node->psql_ok("DELETE FROM net.configs WHERE name = '$name'", 'DELETE');
    is($mirrors->wait_synced, '', 'settled');
    return is($api->get($mirrors->config_path($name))->{status}, 404, 'the object is gone');
}

$node->psql_ok($mirrors->config_row('a', { x => '1' }), 'a row');
is($mirrors->wait_synced, '', 'settled');
my $first = $mirrors->config('a')->{metadata}{uid};
# Somebody else's, of which no column tells.
$api->expect_success($api->patch($path, { metadata => { annotations => { team => 'blue' } }, binaryData => { y => 'AAEC' } }, query => { fieldManager => 'kubectl' }));
$node->wait_for(q{SELECT live -> 'binaryData' ->> 'y' = 'AAEC' FROM dbnet.object WHERE name = 'a'}, 'it was seen');

# --- changes ---
$node->psql_ok(q{UPDATE net.configs SET data = '{"x": "2"}' WHERE name = 'a'}, 'UPDATE');
is($mirrors->wait_synced, '', 'settled');
undo('a', 'its undo');
is_deeply([ @{ $mirrors->config('a') }{qw(data binaryData)} ], [ { x => '1' }, { y => 'AAEC' } ], 'is done at the server');

# --- a DELETE ---
deleted('a');
undo('a', 'its undo');
my $again = $mirrors->config('a');
isnt($again->{metadata}{uid}, $first, 'another object');
is_deeply([ @$again{qw(data binaryData)}, $again->{metadata}{annotations}{team} ], [ { x => '1' }, { y => 'AAEC' }, 'blue' ], 'as it was, with what no column tells of');
$node->query_is(q{SELECT data, labels ->> (SELECT jsonb_object_keys(labels) LIMIT 1) IS NOT NULL FROM net.configs WHERE name = 'a'}, '{"x": "1"}|t', 'the row, too');
$node->query_is(q{SELECT string_agg(operation || ' ' || http_status, ', ' ORDER BY id) FROM dbnet.actuation WHERE name = 'a' AND id > (SELECT max(id) FROM dbnet.actuation WHERE name = 'a' AND operation = 'delete')},
    'restore 201, apply 200, release 200', 'made again, then claimed, by the row alone');
unlike(managers('a'), qr/-restore/, 'what made it owns nothing of it');
$node->query_is(q{SELECT created_by_us, phase FROM dbnet.object WHERE name = 'a'}, 't|synced', 'and counts as made by DBNet');
$node->query_is('SELECT count(*) FROM dbnet.ownership_request', '0', 'nothing is left to be done');
$node->query_is(q{SELECT c.operation, v.operation FROM dbnet.actuation AS c JOIN dbnet.entity_version AS v ON v.id = c.cause WHERE c.name = 'a' ORDER BY c.id DESC LIMIT 1}, 'release|I', 'because of the row');

# It goes on as any other: the claims are the row's, the rest is nobody's.
$node->psql_ok(q{UPDATE net.configs SET data = '{"x": "3"}' WHERE name = 'a'}, 'UPDATE');
is($mirrors->wait_synced, '', 'no conflict');
is_deeply([ @{ $mirrors->config('a') }{qw(data binaryData)} ], [ { x => '3' }, { y => 'AAEC' } ], 'the change is there, and the rest is');
$node->psql_ok(q{UPDATE net.configs SET data = '{"z": "1"}' WHERE name = 'a'}, 'another field');
is($mirrors->wait_synced, '', 'no conflict');
is_deeply($mirrors->config('a')->{data}, { z => '1' }, 'in the place of the other one');

# --- at once: the object is not gone yet, and changed in the same transaction ---
$node->psql_ok(q{
    DELETE FROM net.configs WHERE name = 'a';
    SELECT dbnet.undo(event => (SELECT event FROM dbnet.history('net.configs', 'a', most => 1)), dry_run => false);
    UPDATE net.configs SET data = '{"z": "2"}' WHERE name = 'a'}, 'DELETE, its undo and a change, one after the other');
is($mirrors->wait_synced, '', 'settled');
is_deeply([ @{ $mirrors->config('a') }{qw(data binaryData)} ], [ { z => '2' }, { y => 'AAEC' } ], 'nothing is lost');
$node->query_is('SELECT count(*) FROM dbnet.ownership_request', '0', 'nothing is left to be done');
deleted('a');
$node->psql_ok(q{BEGIN;
    SELECT dbnet.undo(event => (SELECT event FROM dbnet.history('net.configs', 'a', most => 1)), dry_run => false);
    UPDATE net.configs SET data = '{"z": "3"}' WHERE name = 'a';
    COMMIT}, 'taken back and changed in one transaction');
is($mirrors->wait_synced, '', 'settled');
is_deeply([ @{ $mirrors->config('a') }{qw(data binaryData)} ], [ { z => '3' }, { y => 'AAEC' } ], 'the row goes before what was there');

# --- a key that is dropped first of all ---
$node->psql_ok(q{UPDATE net.configs SET data = '{"kept": "1", "dropped": "1"}' WHERE name = 'a'}, 'two keys');
is($mirrors->wait_synced, '', 'settled');
deleted('a');
undo('a', 'undo');
unlike(managers('a'), qr/-restore/, 'what made it owns nothing of it');
$node->psql_ok(q{UPDATE net.configs SET data = '{"kept": "1"}' WHERE name = 'a'}, 'one of them goes');
is($mirrors->wait_synced, '', 'settled');
is_deeply([ @{ $mirrors->config('a') }{qw(data binaryData)} ], [ { kept => '1' }, { y => 'AAEC' } ], 'at the server, too');

# --- an INSERT ---
$node->psql_ok($mirrors->config_row('b', { x => '1' }), 'another row');
is($mirrors->wait_synced, '', 'settled');
undo('b', 'undo of the INSERT');
is($api->get($mirrors->config_path('b'))->{status}, 404, 'deletes the object');
undo('b', 'undo of that');
is_deeply($mirrors->config('b')->{data}, { x => '1' }, 'makes it again');

# Somebody has made one of the name meanwhile.
deleted('b');
$api->expect_success($api->create('/api/v1/namespaces/' . $api->namespace . '/configmaps', { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'b' }, data => { other => '1' } }));
undo('b', 'undo beside an object of somebody else');
is($mirrors->config('b')->{data}{x}, '1', q{the row's claims are applied to it});
$node->query_is(q{SELECT count(*) FROM dbnet.ownership_request}, '0', 'nothing is left to be done');

# What may be done: the right to insert rows.
$node->psql_ok(q{CREATE ROLE reader; GRANT dbnet_viewer TO reader; GRANT USAGE ON SCHEMA net TO reader; GRANT SELECT ON net.configs TO reader}, 'who may read');
$node->fails_like(q{SET ROLE reader; SELECT dbnet.restore_object((SELECT max(event) FROM dbnet.history('net.configs', 'b') WHERE operation = 'DELETE'))}, '42501', qr/permission denied for table net.configs/, 'makes nothing');

# Who may insert rows and does not decide on the table gets the row back, without what no column tells of.
$node->psql_ok('CREATE ROLE writer; GRANT dbnet_viewer TO writer; GRANT USAGE ON SCHEMA net TO writer; GRANT SELECT, INSERT ON net.configs TO writer', 'who may write');

sub undone_by_writer {
    my ($what, $binary_data) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    deleted('c');
    # What undo() does, in one transaction.
    $node->psql_ok(q{SET ROLE writer; BEGIN; INSERT INTO net.configs (name, data) VALUES ('c', '{"z": "3"}');
        SELECT dbnet.restore_object((SELECT event FROM dbnet.history('net.configs', 'c', most => 1))); COMMIT}, $what);
    is($mirrors->wait_synced, '', 'settled');
    return is_deeply([ @{ $mirrors->config('c') }{qw(data binaryData)} ], [ { z => '3' }, $binary_data ], 'is made by it');
}
sub set_by_others {
    $api->expect_success($api->patch($mirrors->config_path('c'), { binaryData => { y => 'AAEC' } }, query => { fieldManager => 'kubectl' }));
    return $node->wait_for(q{SELECT live -> 'binaryData' ->> 'y' = 'AAEC' FROM dbnet.object WHERE name = 'c'}, 'it was seen');
}
$node->psql_ok($mirrors->config_row('c', { z => '3' }), 'a row');
is($mirrors->wait_synced, '', 'settled');
set_by_others();
undone_by_writer('INSERT alone: the row', undef);
set_by_others();
$node->psql_ok('GRANT dbnet_operator TO writer', 'an operator');
undone_by_writer('the object as it was', { y => 'AAEC' });

$node->no_crash_in_log;
done_testing();
