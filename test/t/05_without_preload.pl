# Without shared_preload_libraries: the extension can be created, nothing runs, and what needs a process says how to get it.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;

my $node = DBNet::Cluster->started('without_preload', preload => 0);
my $hint = qr/HINT:  Add dbnet to shared_preload_libraries in postgresql\.conf \(shared_preload_libraries = 'dbnet'\) and restart the server\./;
$node->query_is(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'dbnet%'}, '0', 'no process');
$node->fails_like('SELECT * FROM dbnet.worker', '55000', qr/DBNet is not loaded at server start.*$hint/s, 'dbnet.worker says why and what to do');
$node->fails_like('SELECT * FROM dbnet.worker_status()', '55000', $hint, 'the function behind it too');
$node->query_is(q{SELECT 1; SELECT count(*) FROM pg_extension WHERE extname = 'dbnet'}, "1\n1", 'the session goes on');

# Settings exist once the library is loaded; they are checked as ever.
$node->query_is(q{LOAD 'dbnet'; SHOW dbnet.hold_objects}, '50', 'settings after LOAD');
$node->fails_like(q{LOAD 'dbnet'; SET dbnet.hold_percent = 101}, '22023', qr/101 is outside the valid range/, 'with their limits');
$node->psql_ok(q{CREATE DATABASE other}, 'DDL on databases is not touched');
$node->psql_ok(q{DROP DATABASE other}, 'at all');
$node->psql_ok('DROP EXTENSION dbnet CASCADE', 'DROP EXTENSION');

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'dbnet'");
$node->restart;
$node->safe_psql('postgres', 'CREATE EXTENSION dbnet');
$node->wait_for(q{SELECT state FROM dbnet.worker WHERE process = 'mirror worker'}, 'what the hint says helps', expected => 'running');

$node->no_crash_in_log;
done_testing();
