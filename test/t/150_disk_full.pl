# The disk is full while the mirror worker works. The database's: the views say so, and when there is room everything is
# recorded and sent, once. That of the WAL: the server stops, as PostgreSQL
# does, and what was committed is there and sent after a start with room.
use DBNet::SmallDisk;
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Need;
use DBNet::Wait qw(wait_until);
use PostgreSQL::Test::Utils ();
use Test::More;

DBNet::Need::need('small_disk', 'own_servers');
my $api = DBNet::Api->start(nodes_ready => 0, controllers => 0);
my $maps = '/api/v1/namespaces/' . $api->namespace . '/configmaps';
my $directory = PostgreSQL::Test::Utils::tempdir();
my $conf = "dbnet.hold_objects = 100000\ndbnet.hold_minimum = 100000\n";

sub make_mirror {
    my ($node, $label, $table) = @_;
    $node->psql_ok("CREATE TABLE $table (name text PRIMARY KEY, labels jsonb DEFAULT '{\"disk\": \"$label\"}', data jsonb);
        SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', '$table', namespace => '${\$api->namespace}', label_selector => 'disk=$label', mode => 'manage',
            columns => '{\"name\": \"metadata.name\", \"labels\": \"metadata.labels\", \"data\": \"data\"}')", 'a mirror');
    return;
}
sub names { my ($label) = @_; return join ' ', sort map { $_->{metadata}{name} } @{ $api->expect_success($api->get($maps, query => { labelSelector => "disk=$label" }))->{items} } }
sub rows { my ($node) = @_; return $node->safe_psql($node->{database}, q{SELECT string_agg(name, ' ' ORDER BY name COLLATE "C") FROM net.configs}) }

# --- the disk of the database ---
my $disk = DBNet::SmallDisk->new("$directory/database", '64m');
my $node = DBNet::Cluster->started('disk_full', extension => 0, conf => $conf);
mkdir $disk->directory . '/space', 0700;
$node->psql_ok("CREATE TABLESPACE small LOCATION '${\$disk->directory}/space'", 'a tablespace on a small disk');
$node->psql_ok('CREATE DATABASE small TABLESPACE small', 'a database there');
$node->{database} = 'small';
$node->psql_ok('CREATE EXTENSION dbnet', 'with the extension');
$node->psql_ok($api->create_server('prod') . 'CREATE SCHEMA net', 'a server');
make_mirror($node, 'database', 'net.configs');
$node->psql_ok(q{INSERT INTO net.configs (name, data) SELECT 'a-' || n, '{"v": "1"}' FROM generate_series(1, 50) AS n}, 'rows');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'settled');
# Sessions that are there already: PostgreSQL may have no room for what a new one needs.
my $session = $node->background_psql('small', on_error_stop => 0);
my $full = q{SELECT bool_or(message LIKE '%No space left on device%') FROM (SELECT message FROM dbnet.mirror_status UNION ALL SELECT last_error FROM dbnet.worker) AS told};
my $objects_full = q{SELECT last_error ~ '^(objects?|answer|calls) .*No space left on device' FROM dbnet.worker WHERE process = 'mirror worker'};
sub is_told { my ($query, $what) = @_; return ok(wait_until(sub { ($session->query($query) // '') eq 't' }), $what) || diag($node->diagnostics) }
my $server = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'});

$disk->fill;
for my $number (1 .. 100) {
    $api->expect_success($api->create($maps, { metadata => { name => "x-$number", labels => { disk => 'database' } }, data => { text => 'x' x 5000 } }));
}
is_told($full, 'full while others make objects: the views say so');
is($session->query(q{SELECT count(*) < 100 FROM net.configs WHERE name LIKE 'x-%'}), 't', 'not all of them are there');
$disk->empty;
$node->wait_for(q{SELECT count(*) FROM net.configs WHERE name LIKE 'x-%'}, 'there is room: all of them are', expected => '100', timeout => 120);
is(names('database'), rows($node), 'every object has its row');

$node->safe_psql('postgres', 'ALTER SYSTEM SET dbnet.actuate = off');
$node->reload;
$node->psql_ok(q{INSERT INTO net.configs (name, data) SELECT 'b-' || n, jsonb_build_object('text', repeat(n::text, 3000)) FROM generate_series(1, 100) AS n}, 'rows, while nothing is sent');
$node->wait_for(q{SELECT count(*) FROM dbnet.object WHERE name LIKE 'b-%' AND message = 'dbnet.actuate is off'}, 'they wait', expected => '100');
my $position = $api->request_position;
my $sender = $node->worker_pid('mirror worker');
$disk->fill;
$node->safe_psql('postgres', 'ALTER SYSTEM SET dbnet.actuate = on');
$node->reload;
is_told($objects_full, 'full while rows are sent: the view says so');
$disk->empty;
$node->wait_for(q{SELECT count(*) FROM dbnet.object WHERE phase <> 'synced'}, 'there is room: all is settled', expected => '0', timeout => 120);
is(names('database'), rows($node), 'every row has its object');
my %created;
$created{ $_->{path} =~ m{/(b-\d+)} ? $1 : '' }++ for grep { $_->{status} == 201 } $api->requests(method => 'PATCH', since => $position);
is(join(' ', grep { $created{$_} != 1 } sort keys %created), '', 'made once');
is(scalar keys %created, 100, 'all of them');
SKIP: {
    skip 'a worker that had to begin anew has forgotten what was not on record', 1 if $node->worker_pid('mirror worker') != $sender;
    $node->wait_for(q{SELECT count(*) FROM dbnet.actuation WHERE name LIKE 'b-%' AND http_status = 201}, 'each call that made one is on record', expected => '100');
}

# --- that of one table ---
my $other = DBNet::SmallDisk->new("$directory/table", '2m');
mkdir $other->directory . '/space', 0700;
$node->psql_ok("CREATE TABLESPACE other LOCATION '${\$other->directory}/space'", 'another small disk');
make_mirror($node, 'table', 'net.others');
$node->psql_ok('ALTER TABLE net.others SET TABLESPACE other', 'for one table');
$node->wait_for(q{SELECT state FROM dbnet.mirror_status WHERE relation = 'net.others'::regclass}, 'which is mirrored', expected => 'synced');
my $worker = $node->worker_pid('mirror worker');
$other->fill;
for my $number (1 .. 40) {
    $api->expect_success($api->create($maps, { metadata => { name => "o-$number", labels => { disk => 'table' } }, data => { text => 'x' x 1500, number => "$number" } }));
}
$node->wait_for(q{SELECT count(*) > 0 FROM dbnet.object_status WHERE name LIKE 'o-%' AND phase = 'report_failed' AND message LIKE '%No space left on device%'}, 'full while others make objects: its objects say so');
$node->psql_ok(q{UPDATE net.configs SET data = '{"v": "2"}' WHERE name = 'a-1'}, 'a row of another table');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s', 'net.configs')}, '', 'is sent');
$other->empty;
$node->wait_for(q{SELECT count(*) FROM net.others}, 'there is room: all rows are there', expected => '40');
$node->wait_for(q{SELECT count(*) FROM dbnet.object_status WHERE phase = 'report_failed'}, 'and their objects are well', expected => '0');
is($node->worker_pid('mirror worker'), $worker, 'the worker has gone on all the time');

$node->query_is(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'}, $server, 'the server has not been restarted');
$node->query_is(q{SELECT restarts < 25 FROM dbnet.worker WHERE process = 'mirror worker'}, 't', 'nor the worker in a loop');
$session->quit;
$node->no_crash_in_log;
$node->stop;

# --- the disk of the WAL ---
my $log = DBNet::SmallDisk->new("$directory/wal", '100m');
$node = DBNet::Cluster->new('wal_full');
$node->init(conf => $conf . "max_wal_size = '32MB'\nmin_wal_size = '32MB'\nwal_recycle = off\n");
my $place = $node->data_dir . '/pg_wal';
system('cp', '-a', $place, $log->directory . '/pg_wal') == 0 && system('rm', '-r', $place) == 0 && symlink($log->directory . '/pg_wal', $place) or die "pg_wal: $!";
$node->start;
$node->{database} = 'postgres';
$node->psql_ok('CREATE EXTENSION dbnet', 'WAL on a small disk');
$node->psql_ok($api->create_server('prod') . 'CREATE SCHEMA net', 'a server');
make_mirror($node, 'wal', 'net.configs');
$node->psql_ok('CREATE TABLE filler (text text)', 'and a table that makes WAL');
my @committed;
for my $number (1 .. 300) {
    $log->fill if $number == 5;
    my ($status) = $node->run_sql(qq{BEGIN; INSERT INTO net.configs (name, data) VALUES ('w-$number', '{"v": "$number"}'); INSERT INTO filler SELECT repeat(md5(n::text), 30) FROM generate_series(1, 1000) AS n; COMMIT});
    last if $status != 0;
    push @committed, "w-$number";
}
cmp_ok(scalar @committed, '<', 300, 'the disk is full: nothing can be committed');
my $postmaster = $node->{_pid};
ok(wait_until(sub { !kill 0, $postmaster }), 'the server has stopped: it cannot recover without room') or diag($node->diagnostics);
like($node->log_since, qr/PANIC:.*No space left on device/, 'as PostgreSQL does');
$node->{_pid} = undef;
$log->empty;
$node->start;
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'there is room: all is settled');
my %row = map { $_ => 1 } split / /, rows($node);
is(join(' ', grep { !$row{$_} } @committed), '', 'what was committed is there');
is(names('wal'), rows($node), 'every object is of a row, every row has its object');
$node->psql_ok(q{INSERT INTO net.configs (name, data) VALUES ('after', '{}')}, 'another row');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s')}, '', 'is sent');
$node->no_crash_in_log(except => qr/PANIC:.*No space left on device|terminated by signal 6/);
done_testing();
