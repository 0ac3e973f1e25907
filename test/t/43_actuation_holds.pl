# Mass changes and dangerous deletes wait for somebody's decision; approve lets them go, reject gives the rows back.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

my $node = DBNet::Cluster->started('actuation_holds', conf => "dbnet.hold_objects = 12\ndbnet.hold_minimum = 8\ndbnet.hold_percent = 50");
my $api = DBNet::Api->start;
my $mirrors = DBNet::Mirrors->new($node, $api);

sub sent { my ($operation) = @_; return $node->safe_psql('postgres', "SELECT count(*) FROM dbnet.actuation WHERE operation = '$operation'") }

# How many objects dbnet.held shows once it shows any.
sub held_at_first_sight {
    return $node->safe_psql('postgres', q{
        SET statement_timeout = '60 s';
        DO $$ BEGIN
            LOOP
                PERFORM set_config('test.objects', objects::text, false) FROM dbnet.held;
                EXIT WHEN FOUND;
                PERFORM pg_sleep(0.002);
                COMMIT;
            END LOOP;
        END $$;
        SELECT current_setting('test.objects')});
}

# Stops a process where it waits for something to do: within a transaction it would keep others waiting for its locks.
sub stopped_at_rest {
    my ($pid) = @_;
    my $deadline = time + 60;
    while (time < $deadline) {
        kill('STOP', $pid) or die "STOP $pid: $!";
        return 1 if $node->safe_psql('postgres', "SELECT xact_start IS NULL AND wait_event_type IN ('Activity', 'Extension') FROM pg_stat_activity WHERE pid = $pid") eq 't';
        kill 'CONT', $pid;
        $node->worker_pid('mirror worker'); # it goes on for as long as this takes
    }
    return 0;
}

# Creates destroy nothing.
$node->psql_ok(join('', 'BEGIN;', (map { $mirrors->config_row("c$_", { v => '1' }) } 10 .. 29), 'COMMIT;'), 'insert 20 rows');
is($mirrors->wait_synced, '', 'none is held');
is(sent('apply'), 20, 'all are created');

# More than hold_objects.
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "2"}'}, 'update 20 rows');
$node->wait_for(q{SELECT objects || ' ' || operation || ': ' || replace(reason, transaction::text, 'N') FROM dbnet.held}, 'the transaction is held as one',
    expected => '20 apply: transaction N updates 20 of 20 objects (held are more than 12, and from 8 on more than 50 %)');
$node->query_is(q{SELECT phase, count(*) FROM dbnet.object_status WHERE relation = 'net.configs'::regclass GROUP BY phase}, 'held|20', 'every object says so');
is(sent('apply'), 20, 'nothing was sent');
is($mirrors->config('c10')->{data}{v}, '1', 'nothing changed');

# Approved.
$node->query_is(q{BEGIN; SAVEPOINT s; SELECT dbnet.approve(id) FROM dbnet.held; COMMIT}, '20', 'approve, in a savepoint');
$node->wait_for(q{SELECT count(*) = 20 FROM dbnet.object_status WHERE relation = 'net.configs'::regclass AND phase = 'synced'}, 'all go through');
is($mirrors->config('c29')->{data}{v}, '2', 'the value arrived');
$node->query_is('SELECT count(*) FROM dbnet.held_change', '0', 'nothing is held any more');

# Rejected.
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "3"}'}, 'update them again');
$node->wait_for('SELECT objects = 20 FROM dbnet.held', 'held');
my $before = sent('apply');
$node->query_is(q{SELECT dbnet.reject(id) FROM dbnet.held}, '20', 'reject');
$node->wait_for(q{SELECT count(*) = 20 FROM net.configs WHERE data = '{"v": "2"}'}, 'the rows are as the devices are');
$node->wait_for(q{SELECT count(*) = 20 FROM dbnet.object_status WHERE relation = 'net.configs'::regclass AND phase = 'synced'}, 'and all is well');
$node->wait_for('SELECT count(*) = 0 FROM dbnet.held_change', 'nothing is held any more');
is(sent('apply'), $before, 'nothing was sent');

# A transaction that is far bigger than what is decided at a time shows in dbnet.held as a whole or not at all.
my $many = 700;
$node->psql_ok(join('', 'BEGIN;', (map { $mirrors->config_row("many$_", { v => '1' }) } 1 .. $many), 'COMMIT;'), "insert $many rows");
is($mirrors->wait_synced, '', 'all are created');
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "2"}' WHERE name LIKE 'many%'}, 'update them all');
is(held_at_first_sight(), $many, 'at first sight all of it is held');
$node->query_is(q{SELECT dbnet.approve(id) FROM dbnet.held}, $many, 'approve');
is($mirrors->wait_synced, '', 'all go through');
$node->query_is('SELECT count(*) FROM dbnet.held_change', '0', 'nothing is held any more');
$node->psql_ok(q{DELETE FROM net.configs WHERE name LIKE 'many%'}, 'delete them all');
is(held_at_first_sight(), $many, 'all deletes as well');
$node->query_is(q{SELECT dbnet.approve(id) FROM dbnet.held}, $many, 'approve');
$node->wait_for(q{SELECT count(*) = 0 FROM dbnet.object WHERE name LIKE 'many%'}, 'they are gone');

# Deletes: more than hold_percent, from hold_minimum on.
$node->psql_ok(q{DELETE FROM net.configs WHERE name < 'c21'}, 'delete 11 of 20 rows');
$node->wait_for('SELECT objects = 11 AND operation = $$delete$$ FROM dbnet.held', 'held');
is(sent('delete'), $many, 'nothing was deleted');
$node->query_is(q{SELECT dbnet.reject(id) FROM dbnet.held}, '11', 'reject');
$node->wait_for('SELECT count(*) = 20 FROM net.configs', 'the rows are back');
$node->wait_for('SELECT count(*) = 0 FROM dbnet.held_change', 'nothing is held any more');
$node->wait_for('SELECT count(*) = 0 FROM dbnet.tombstone', 'nor waits to be deleted');
is(sent('delete'), $many, 'nothing was deleted');
$node->psql_ok(q{DELETE FROM net.configs WHERE name < 'c21'}, 'delete them again');
$node->wait_for('SELECT objects = 11 FROM dbnet.held', 'held');
$node->query_is(q{SELECT dbnet.approve(id) FROM dbnet.held}, '11', 'approve');
$node->wait_for('SELECT count(*) = 9 FROM dbnet.object WHERE relation = $$net.configs$$::regclass', 'the objects go');
is($api->get($mirrors->config_path('c10'))->{status}, 404, 'and are gone');

# Many small transactions within a minute come to the same.
$node->psql_ok(join('', map { qq(UPDATE net.configs SET data = '{"one": "by one"}' WHERE name = 'c$_';) } 21 .. 29), 'nine transactions, one row each');
$node->wait_for(q{SELECT count(*) = 2 FROM dbnet.object_status WHERE relation = 'net.configs'::regclass AND phase = 'held'}, 'what is beyond the share is held');
$node->query_is('SELECT bool_and(dbnet.approve(id) = 1) FROM dbnet.held', 't', 'approve');
$node->wait_for(q{SELECT count(*) = 9 FROM dbnet.object_status WHERE relation = 'net.configs'::regclass AND phase = 'synced'}, 'all go through');

# Rejected, while somebody is at a row: what was rejected goes back, what was committed since is somebody's word.
$node->replace_worker('mirror worker', 'TERM'); # which begins to count anew
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "4"}'}, 'update them again');
$node->wait_for('SELECT objects = 9 FROM dbnet.held', 'held');
$before = sent('apply');
my $session = $node->background_psql('postgres', on_error_stop => 1);
$session->query_safe(q{BEGIN});
$session->query_safe(q{UPDATE net.configs SET labels = labels || '{"team": "network"}' WHERE name = 'c21'});
$node->query_is(q{SELECT dbnet.reject(id) FROM dbnet.held}, '9', 'reject');
$node->wait_for(q{SELECT count(*) = 8 FROM net.configs WHERE data = '{"one": "by one"}'}, 'the other rows are as the devices are');
$session->query_safe('COMMIT');
$session->quit;
is($mirrors->wait_synced, '', 'all is settled');
$node->query_is(q{SELECT data ->> 'one', labels ->> 'team' FROM net.configs WHERE name = 'c21'}, 'by one|network', 'one column went back, the other was written since');
my $theirs = $mirrors->config('c21');
is($theirs->{data}{one} . ' ' . $theirs->{metadata}{labels}{team}, 'by one network', 'and that was sent');
is(sent('apply'), $before + 1, 'by one request');
$node->query_is('SELECT count(*) FROM dbnet.held_change', '0', 'nothing is held any more');

# The same of a rejection that the worker has yet to see: it counts from when it was said.
$node->replace_worker('mirror worker', 'TERM');
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "5"}'}, 'update them again');
$node->wait_for('SELECT objects = 9 FROM dbnet.held', 'held');
my $worker = $node->worker_pid('mirror worker');
ok(stopped_at_rest($worker), 'the worker stands still');
$node->query_is(q{SELECT dbnet.reject(id) FROM dbnet.held}, '9', 'reject, while the worker stands still');
$node->psql_ok(q{UPDATE net.configs SET labels = labels || '{"team": "storage"}' WHERE name = 'c22'}, 'a column that was not rejected');
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "6"}' WHERE name = 'c23'}, 'one that was');
kill 'CONT', $worker;
$node->wait_for(q{SELECT count(*) = 8 FROM net.configs WHERE data = '{"one": "by one"}'}, 'the rows are as the devices are');
is($mirrors->wait_synced, '', 'all is settled');
$node->query_is(q{SELECT string_agg(concat_ws(' ', name, data ->> 'one', data ->> 'v', labels ->> 'team'), ', ' ORDER BY name) FROM net.configs WHERE name IN ('c22', 'c23')},
    'c22 by one storage, c23 6', 'what was written after the rejection stays');
is($mirrors->config('c22')->{metadata}{labels}{team} . $mirrors->config('c23')->{data}{v}, 'storage6', 'and was sent');
$node->query_is('SELECT count(*) FROM dbnet.held_change', '0', 'nothing is held any more');

# An object that DBNet did not create.
$api->expect_success($api->create('/api/v1/namespaces/' . $api->namespace . '/configmaps', { metadata => { name => 'theirs', labels => $api->labels }, data => { a => '1' } }));
$node->wait_for(q{SELECT count(*) = 1 FROM net.configs WHERE name = 'theirs'}, 'an object of somebody else appears');
$node->psql_ok(q{DELETE FROM net.configs WHERE name = 'theirs'}, 'delete its row');
$node->wait_for('SELECT reason FROM dbnet.held', 'held', expected => 'the object was not created by DBNet');
is($api->get($mirrors->config_path('theirs'))->{status}, 200, 'the object is still there');
$node->query_is('SELECT dbnet.approve(id) FROM dbnet.held', '1', 'approve');
$api->wait_for_object($mirrors->config_path('theirs'), sub { $_[0]{status} == 404 });
pass('it is gone');

# A column of a type of one's own: only the worker reads that, so it goes back whoever wrote it since.
my ($namespace, $label) = ($api->namespace, $api->label_key);
$node->psql_ok(qq{CREATE TYPE net.level AS ENUM ('low', 'high', 'top'); CREATE TABLE net.levels (name text PRIMARY KEY, labels jsonb DEFAULT '{"$label": "levels"}', level net.level);
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.levels', namespace => '$namespace', label_selector => '$label=levels', mode => 'manage',
        columns => '{"name": "metadata.name", "labels": "metadata.labels", "level": "data.level"}');
    INSERT INTO net.levels (name, level) SELECT 'l' || n, 'low' FROM generate_series(1, 9) AS n}, 'a column of an enum');
is($mirrors->wait_synced, '', 'rows of it');
$node->psql_ok(q{UPDATE net.levels SET level = 'high'}, 'update them');
$node->wait_for('SELECT objects = 9 FROM dbnet.held', 'held');
$worker = $node->worker_pid('mirror worker');
ok(stopped_at_rest($worker), 'the worker stands still');
$node->query_is(q{SELECT dbnet.reject(id) FROM dbnet.held}, '9', 'reject');
$node->psql_ok(q{UPDATE net.levels SET level = 'top' WHERE name = 'l1'; UPDATE net.levels SET labels = labels || '{"team": "storage"}' WHERE name = 'l2'}, 'written afterwards');
kill 'CONT', $worker;
$node->wait_for(q{SELECT count(*) FROM net.levels WHERE level = 'low'}, 'all of it goes back', expected => '9');
is($mirrors->wait_synced, '', 'all is settled');
is($mirrors->config('l1')->{data}{level} . ' ' . $mirrors->config('l2')->{metadata}{labels}{team}, 'low storage', 'and nothing else');

$node->no_crash_in_log;
done_testing();
