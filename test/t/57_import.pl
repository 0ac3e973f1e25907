# The first list of a mirror: many objects at once, into tables that take them, refuse some of them, hold others already or
# are locked; cut off, killed and expired in the middle; objects too large to be in memory together. All of it converges.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

DBNet::Need::need('own_servers', 'faults');
my $count = 1300; # three pages
my $api  = DBNet::Api->start(nodes_ready => 0, controllers => 0);
my $node = DBNet::Cluster->started('main', conf => "dbnet.hold_objects = 100000\ndbnet.hold_minimum = 100000");
my $space = $api->namespace;
my $columns = q{'{"name": "metadata.name", "labels": "metadata.labels", "value": "data.value", "zone": "data.zone"}'};

sub mirror {
    my ($table, $more) = @_;
    return "SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.$table', $columns, namespace => '$space'" . ($more // ", label_selector => 'import=small'") . ');';
}
sub create_and_mirror {
    my ($table, $constraints, $more) = @_;
    return "CREATE TABLE net.$table (name text PRIMARY KEY, labels jsonb, value text, zone text, note text $constraints);" . mirror($table, $more);
}
sub imported {
    my ($table, $what, $expected) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $node->wait_for("SELECT state = 'synced' FROM dbnet.mirror_status WHERE relation = 'net.$table'::regclass", "$what: the list is complete");
    return $node->query_is("SELECT count(*), count(*) FILTER (WHERE value = 'v' || right(name, 4) AND labels->>'import' = 'small') FROM net.$table",
        ($expected // $count) . '|' . ($expected // $count), "$what: every row is there and holds what its object has");
}

# --- the objects, made by a mirror ---
$node->psql_ok($api->create_server('prod') . 'CREATE SCHEMA net;' . create_and_mirror('source', '', ", label_selector => 'import', mode => 'manage'"), 'a mirror that makes them');
$node->psql_ok(qq{INSERT INTO net.source SELECT to_char(n, '"object-"FM0000'), '{"import": "small"}', to_char(n, '"v"FM0000'),
    CASE WHEN n % 2 = 0 THEN 'even' WHEN n = 301 THEN 'nowhere' ELSE 'odd' END FROM generate_series(1, $count) AS n}, 'objects');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('120 s')}, '', 'they are there');
$node->psql_ok(q{SELECT dbnet.unmirror('net.source')}, 'and their mirror is not');

# --- a table that takes them all ---
$node->psql_ok(create_and_mirror('plain', ''), 'a mirror with nothing in the way');
imported('plain', 'plain');
$node->query_is(q{SELECT listed, expected FROM dbnet.mirror_status WHERE relation = 'net.plain'::regclass}, "$count|$count", 'what was listed is told');
$node->query_is(q{SELECT count(*), count(*) FILTER (WHERE phase IS NULL AND claimed = '{}' AND base->>'data.value' = live->'data'->>'value' AND uid IS NOT NULL
    AND managers->'data.value'->>0 LIKE 'dbnet-%') FROM dbnet.object WHERE relation = 'net.plain'::regclass}, "$count|$count", 'every object is recorded, and nothing is claimed');
$node->query_is(q{SELECT count(*) FROM dbnet.preview('net.plain')}, '0', 'nothing would be sent');
$node->psql_ok(q{DELETE FROM dbnet.object WHERE relation = 'net.plain'::regclass AND name = 'object-0007'; DELETE FROM dbnet.tombstone}, 'a record is lost');
$node->psql_ok(q{SELECT dbnet.resync('net.plain')}, 'a second list');
$node->wait_for(q{SELECT count(*) = 1 FROM dbnet.object WHERE relation = 'net.plain'::regclass AND name = 'object-0007'}, 'finds it');

# --- constraints and triggers ---
$node->psql_ok(q{
    CREATE TABLE net.zones (name text PRIMARY KEY);
    INSERT INTO net.zones VALUES ('odd'), ('even');
    CREATE FUNCTION net.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
        IF NEW.name = 'object-0200' THEN RAISE EXCEPTION 'not this one'; END IF;
        IF NEW.name = 'object-0201' THEN RETURN NULL; END IF;
        NEW.note := 'seen';
        RETURN NEW;
    END$$;} . create_and_mirror('refusing', q{, CHECK (value <> 'v0100'), FOREIGN KEY (zone) REFERENCES net.zones}) .
    'CREATE TRIGGER refuse BEFORE INSERT ON net.refusing FOR EACH ROW EXECUTE FUNCTION net.refuse();', 'a table that refuses some');
imported('refusing', 'refusing', $count - 4);
$node->query_is(q{SELECT key, phase FROM dbnet.object_status WHERE relation = 'net.refusing'::regclass AND needs_action ORDER BY 1},
    join("\n", map { "$space/object-$_|report_failed" } qw(0100 0200 0201 0301)), 'those it refuses need action');
$node->query_is(q{SELECT count(*) FROM dbnet.object_status WHERE relation = 'net.refusing'::regclass AND
    message ~ 'refusing_value_check|not this one|left the row out|refusing_zone_fkey'}, '4', 'and say why');
$node->query_is(q{SELECT count(*) FROM dbnet.object WHERE relation = 'net.refusing'::regclass AND live IS NOT NULL}, $count, 'what all objects are like is recorded');
$node->query_is(q{SELECT count(*) FROM net.refusing WHERE note = 'seen'}, $count - 4, 'the trigger has seen the others');
$node->psql_ok(q{DROP TRIGGER refuse ON net.refusing; ALTER TABLE net.refusing DROP CONSTRAINT refusing_value_check; INSERT INTO net.zones VALUES ('nowhere');
    SELECT dbnet.resync('net.refusing')}, 'nothing refuses any more');
$node->wait_for(q{SELECT count(*) FROM net.refusing}, 'all rows come', expected => $count);
$node->wait_for(q{SELECT count(*) FROM dbnet.object_status WHERE relation = 'net.refusing'::regclass AND needs_action}, 'and nothing needs action', expected => 0);

# --- everything fails; triggers are too slow for a batch ---
$node->psql_ok(create_and_mirror('hopeless', q{, CHECK (value IS NULL)}), 'a table that refuses all');
$node->wait_for(q{SELECT count(*) FROM dbnet.object_status WHERE relation = 'net.hopeless'::regclass AND phase = 'report_failed'}, 'all of them fail, one by one', expected => $count, timeout => 120);
$node->psql_ok(q{SELECT dbnet.unmirror('net.hopeless')}, 'enough');
$node->psql_ok(q{CREATE FUNCTION net.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.004); RETURN NEW; END';} . create_and_mirror('slow', '') .
    'CREATE TRIGGER slow BEFORE INSERT ON net.slow FOR EACH ROW EXECUTE FUNCTION net.slow();', 'a table whose triggers take 5 s for all rows, 2 s for a batch');
$node->wait_for('SELECT count(*) FROM net.slow', 'all rows come nevertheless', expected => $count);
$node->query_is(q{SELECT count(*) FROM dbnet.object_status WHERE relation = 'net.slow'::regclass AND message IS NOT NULL}, '0', 'with their triggers');

# --- a table that has rows ---
$node->psql_ok(q{CREATE TABLE net.full (name text PRIMARY KEY, labels jsonb, value text, zone text, note text);
    INSERT INTO net.full (name, value, note) SELECT to_char(n, '"object-"FM0000'), CASE WHEN n = 5 THEN 'mine' ELSE to_char(n, '"v"FM0000') END, 'kept' FROM generate_series(1, 700) AS n;
    INSERT INTO net.full (name, value) VALUES ('only-here', 'x');} . mirror('full'), 'a table with rows, of which one differs and one has no object');
$node->wait_for(q{SELECT state = 'synced' FROM dbnet.mirror_status WHERE relation = 'net.full'::regclass}, 'the list is complete');
$node->query_is(q{SELECT count(*), count(*) FILTER (WHERE note = 'kept'), count(labels), string_agg(name, ',' ORDER BY name) FILTER (WHERE value <> 'v' || right(name, 4)) FROM net.full},
    ($count + 1) . "|700|$count|object-0005,only-here", 'rows are completed and added, what a user wrote is kept');

# --- a locked table ---
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN;' . create_and_mirror('locked', ''));
$api->freeze;
$session->query_safe('COMMIT');
$session->query_safe('BEGIN; LOCK TABLE net.locked IN ACCESS EXCLUSIVE MODE');
$api->thaw;
$node->wait_for(q{SELECT count(*) FROM dbnet.object WHERE relation = 'net.locked'::regclass}, 'a locked table: all objects are recorded', expected => $count);
$session->query_safe('ROLLBACK');
$session->quit;
$node->wait_for('SELECT count(*) FROM net.locked', 'and their rows come when it is free', expected => $count);

# --- in the middle of a list ---
{
    $node->psql_ok("SELECT dbnet.unmirror('net.$_')", "net.$_ is looked at no more") for qw(plain refusing slow full locked);
    my %second_page = (method => 'GET', path => 'limit=500&continue=');
    $api->fault({ %second_page, count => 1, action => 'hang' });
    $node->psql_ok(create_and_mirror('killed', '', ", mode => 'manage'"), 'a list that hangs after its first page'); # no selector: the server tells how many there are
    $node->wait_for(q{SELECT state, listed >= 500 AND expected > listed FROM dbnet.mirror_status WHERE relation = 'net.killed'::regclass}, 'its progress is told', expected => 'starting|t');
    $node->wait_for(q{SELECT count(*) >= 400 FROM net.killed}, 'the first page is in the table');
    $node->psql_ok(q{UPDATE net.killed SET zone = 'new' WHERE name = 'object-0001'}, 'a change of what is there already');
    $node->replace_worker('mirror worker', 'KILL');
    imported('killed', 'killed in the middle');
    $node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s', 'net.killed')}, '', 'the change is sent after the list');
    is($api->get("/api/v1/namespaces/$space/configmaps/object-0001")->{body}{data}{zone}, 'new', 'to the object');
    $api->no_faults;
    $node->psql_ok(q{SELECT dbnet.unmirror('net.killed')}, 'enough');

    # Twice the snapshot is forgotten after the first page, then all is asked for in one answer.
    $api->fault({ %second_page, count => 2, action => 'respond', status => 410, body => { kind => 'Status', apiVersion => 'v1', status => 'Failure',
        message => 'The provided continue parameter is too old', reason => 'Expired', code => 410, metadata => { continue => 'inconsistent' } } });
    $node->psql_ok(create_and_mirror('expired', ''), 'a list whose pages expire');
    imported('expired', 'expired');
    is((grep { $_->{method} eq 'GET' && $_->{path} =~ m{/configmaps\?labelSelector=} && $_->{path} !~ /watch=true/ } $api->requests), 1, 'in the end it was read as a whole');
}

# --- large objects: what one page holds would not fit ---
my $pid = $node->worker_pid('mirror worker');
sub memory { my ($what) = @_; open my $in, '<', "/proc/$pid/status" or die "status: $!"; my ($kb) = join('', <$in>) =~ /^$what:\s*(\d+) kB/m; return $kb / 1024 }
# Of its own: shared buffers touched are no growth.
sub growth_of {
    my ($work) = @_;
    my $before = memory('VmRSS') - memory('RssShmem');
    open my $clear, '>', "/proc/$pid/clear_refs" or die "clear_refs: $!";
    print $clear '5'; # VmHWM begins anew
    close $clear;
    $work->();
    return memory('VmHWM') - memory('RssShmem') - $before;
}
my $growth = growth_of(sub {
    $node->psql_ok(create_and_mirror('large_source', '', ", label_selector => 'import=large', mode => 'manage'") .
        q{INSERT INTO net.large_source SELECT to_char(n, '"large-"FM0000'), '{"import": "large"}', repeat(chr(97 + n % 26), 900000) FROM generate_series(1, 300) AS n}, '270 MB in one page');
    $node->query_is(q{SELECT * FROM dbnet.wait_synced('600 s')}, '', 'are there');
});
cmp_ok($growth, '<', 400, "they were sent in bounded memory: $growth MB more");
$node->psql_ok(q{SELECT dbnet.unmirror('net.large_source')}, 'without a mirror');
$pid = $node->replace_worker('mirror worker', 'TERM'); # what the last one freed would hide what the import takes
$growth = growth_of(sub {
    $node->psql_ok(create_and_mirror('large', '', ", label_selector => 'import=large'"), 'a mirror of them');
    $node->wait_for(q{SELECT count(*), sum(length(value)) FROM net.large}, 'they are imported', expected => '300|270000000', timeout => 300);
});
cmp_ok($growth, '<', 192, "in bounded memory, less than the page takes as text: $growth MB more");

$node->no_crash_in_log(except => qr/dbnet mirror worker.*was terminated by signal 9/);
done_testing();
