# A day of a busy database, 120 times as fast (an hour is 30 s, with the periods that can be set or disturbed scaled alike):
# rows and objects made, changed and deleted on both sides, watches that end, are cut and expire, bookmarks, compaction,
# compares, failing requests, tokens that change, telemetry with partitions that come and go, policies that act, requests to
# the client API. At rest, memory and descriptors of each process are after the day what they were after its first
# half, and every object is its row.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Everything;
use DBNet::Need;
use JSON::PP ();
use MIME::Base64 qw(decode_base64);
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(sleep time);

DBNet::Need::need('own_servers', 'faults');

my ($hours, $warm_up) = (24, 12);                # by then statements for what is rare have plans, too
my $rest = 130;                                 # s; libcurl closes a connection that was not used for 118 s, and how many there are is chance
my $rounds = 10;                                # of churn in an hour
my $seconds = 30;                               # of an hour, when the machine keeps up; the work of one is always the same
my ($changed, $replaced) = (100, 20);           # rows of each mirror in a round; of 400
my $allowed_growth = 2048;                      # kB between the two rests; 60 bytes for each change, 44 for each span would fail
my $allowed_descriptors = 5;                    # a watch that begins anew
my $json = JSON::PP->new->utf8->canonical;

my $api = DBNet::Api->start(controllers => 0, nodes_ready => 0, arguments => [ '--bookmark-interval-ms', 500 ]);
my $node = DBNet::Cluster->started('day', conf => DBNet::Everything::conf()
      . "dbnet.compare_interval = '5 s'\ndbnet.api_idle_timeout = '1 h'\ndbnet.hold_objects = 100000\ndbnet.hold_minimum = 100000\ndbnet.telemetry_partition = hour\nmax_wal_size = '256MB'\nshared_buffers = '64MB'\n");
my $all = DBNet::Everything->new($node, $api);
my $maps = '/api/v1/namespaces/' . $api->namespace . '/configmaps';

# --- another server of the same API, with a token in a file that is replaced every hour ---
my $directory = PostgreSQL::Test::Utils::tempdir();
my @tokens;

sub rotate_token {
    push @tokens, $api->token('all');
    open my $out, '>', "$directory/token.new" or die "token: $!";
    print $out $tokens[-1];
    close $out or die "token: $!";
    rename "$directory/token.new", "$directory/token" or die "token: $!";
    $api->revoke(shift @tokens) if @tokens > 2;
    return;
}
rotate_token();
my ($authority) = PostgreSQL::Test::Utils::slurp_file($api->kubeconfig) =~ /certificate-authority-data: *"?([^\s"]+)/;
my %labels = (configs => $json->encode($api->labels), rotated => '{"rotated": "yes"}');
$node->psql_ok("CREATE SERVER rotating FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url '${\$api->url}', ca " . DBNet::Api::quote(decode_base64($authority)) . ");
    CREATE USER MAPPING FOR PUBLIC SERVER rotating OPTIONS (token_file '$directory/token');
    CREATE TABLE net.rotated (name text PRIMARY KEY, labels jsonb DEFAULT '$labels{rotated}', data jsonb);
    SELECT dbnet.mirror('rotating', 'v1', 'ConfigMap', 'net.rotated', namespace => '${\$api->namespace}', label_selector => 'rotated', mode => 'manage',
        columns => '{\"name\": \"metadata.name\", \"labels\": \"metadata.labels\", \"data\": \"data\"}');
    SET ROLE policy_owner;
    SELECT dbnet.create_policy('errors', 'spans', aggregate => 'error_rate', threshold => 0.5, action => 'net.act(dbnet.policy_event)', mode => 'shadow')", 'a mirror whose token changes, a policy on spans');
$node->psql_ok(join('', map { qq{INSERT INTO net.$_ (name, data) SELECT '$_-' || n, '{"hour": "0"}' FROM generate_series(1, 400) AS n;} } sort keys %labels), 'rows');
$node->query_is(q{SELECT count(*) FROM dbnet.wait_synced('120 s')}, '0', 'are objects');
$all->runs('all processes');

# --- what is watched ---
my @processes = map { "dbnet $_" } 'launcher', 'mirror worker', 'gateway worker', 'policy worker', 'policy action', 'api worker', 'api session';
sub pids {
    return map { split /\|/ } split /\n/, $node->safe_psql('postgres', q{SELECT DISTINCT ON (backend_type) backend_type, pid FROM pg_stat_activity
        WHERE backend_type LIKE 'dbnet %' AND coalesce(datname, 'postgres') = 'postgres' ORDER BY backend_type, backend_start});
}
# Private memory in kB: shared buffers would count as growth until each page was touched.
sub memory { my ($pid) = @_; my ($kb) = PostgreSQL::Test::Utils::slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m; return $kb }
# Connections and the like: PostgreSQL keeps files of relations open on purpose, within max_files_per_process.
sub descriptors { my ($pid) = @_; return scalar grep { (readlink($_) // '') =~ /^(?:socket|pipe|anon_inode):/ } glob "/proc/$pid/fd/*" }

# --- an hour ---
my ($turn, @theirs) = (0);

# Telemetry of the simulated hour and of now: partitions of the past days' hours are made and dropped as retention goes.
sub send_telemetry {
    my ($hour) = @_;
    my $then = time - 3600 * ($hours + 2 - $hour);
    for my $at ($then, time) {
        my %bodies = (traces => DBNet::Gateway::traces(200), metrics => DBNet::Gateway::metrics(50), logs => DBNet::Gateway::logs(50));
        for my $signal (sort keys %bodies) {
            my $body = $bodies{$signal} =~ s/"\d{10}(000000000)"/'"' . int($at) . qq{$1"}/gre;
            my $status = $all->{gateway}->post("/v1/$signal", body => $body)->{status};
            die "the gateway answers $status\n" if $status != 200;
        }
    }
    return;
}

# Others make, change and delete objects of their own, and annotate ours.
sub change_theirs {
    for my $mirror (sort keys %labels) {
        my $name = "x-$mirror-" . ++$turn;
        push @theirs, $name;
        $api->expect_success($api->create($maps, { metadata => { name => $name, labels => $json->decode($labels{$mirror}) }, data => { hour => "$turn" } }));
        $api->expect_success($api->patch("$maps/$theirs[rand @theirs]", { data => { hour => "changed $turn" } }));
        $api->expect_success($api->patch("$maps/$mirror-" . (1 + int rand 50), { metadata => { annotations => { theirs => "$turn" } } })) for 1 .. 4;
    }
    $api->expect_success($api->delete("$maps/" . shift @theirs)) while @theirs > 20;
    return;
}

# Names up to 50 stay, others come and go.
sub change_ours {
    for my $mirror (sort keys %labels) {
        $node->safe_psql('postgres', qq{
            WITH gone AS (DELETE FROM net.$mirror WHERE name IN (SELECT name FROM net.$mirror WHERE name ~ '^$mirror-' AND substr(name, length('$mirror') + 2)::int > 50
                ORDER BY random() LIMIT $replaced) RETURNING name) SELECT count(*) FROM gone;
            INSERT INTO net.$mirror (name, data) SELECT '$mirror-' || n, '{"hour": "new"}' FROM generate_series(51, 400) AS n
                WHERE NOT EXISTS (SELECT FROM net.$mirror WHERE name = '$mirror-' || n) ORDER BY random() LIMIT $replaced;
            UPDATE net.$mirror SET data = jsonb_build_object('hour', '$turn', 'text', repeat(name, 20))
                WHERE name IN (SELECT name FROM net.$mirror WHERE name ~ '^$mirror-' ORDER BY random() LIMIT $changed)});
    }
    return;
}

sub live_an_hour {
    my ($hour) = @_;
    my $began = time;
    rotate_token();
    # A day and two hours ago is the beginning of this day.
    $node->safe_psql('postgres', sprintf q{ALTER SYSTEM SET dbnet.telemetry_retention = '%d min'}, 60 * ($hours + 4 - $hour));
    $node->reload;
    for my $round (1 .. $rounds) {
        change_ours();
        change_theirs();
        $api->disturb('end_watches');
        $api->fault({ method => 'PATCH', path => 'fieldManager=dbnet', status => 503, body => 'busy', count => 5 },
            { method => 'PATCH', path => 'fieldManager=dbnet', action => 'reset_after', count => 2 }) if $round == 3;
        $api->disturb('drop_watches?reset=1') if $round == 5;
        $api->compact, $api->disturb('expire_watches') if $round == 7;
        send_telemetry($hour);
        $node->safe_psql('postgres', 'UPDATE net.control SET value = ' . ($round % 2 ? 20 : 0));
        $all->{client}->rows($all->{token}, 'SELECT count(*) FROM net.control') for 1 .. 5;
        my $rest = $began + $seconds * $round / $rounds - time;
        sleep $rest if $rest > 0;
    }
    my $left = $node->safe_psql('postgres', q{SELECT count(*) FROM dbnet.wait_synced('120 s')});
    die "hour $hour: $left rows are not settled\n" . $node->diagnostics if $left ne '0';
    return;
}

my (%first, %at_rest);
sub note_processes {
    my ($when) = @_;
    my %pid = pids();
    %first = %pid if !%first;
    my %now = map { $_ => [ memory($pid{$_} // die "no $_\n"), descriptors($pid{$_}) ] } @processes;
    note("$when: " . join ', ', map { "$_ $now{$_}[0] kB $now{$_}[1]" } @processes);
    is(join(' ', grep { $pid{$_} != $first{$_} } @processes), '', "$when: the processes are the same");
    return \%now;
}
for my $hour (1 .. $hours) {
    live_an_hour($hour);
    note_processes("hour $hour");
    if ($hour == $warm_up || $hour == $hours) {
        sleep $rest;
        $at_rest{$hour} = note_processes("after a rest");
    }
}
for my $process (@processes) {
    my ($then, $now) = map { $at_rest{$_}{$process} } $warm_up, $hours;
    cmp_ok($now->[0] - $then->[0], '<', $allowed_growth, "the memory of $process is flat ($then->[0] kB, then $now->[0])");
    cmp_ok($now->[1] - $then->[1], '<=', $allowed_descriptors, "its descriptors do not pile up ($then->[1], then $now->[1])");
}

# --- the end of the day ---
# A quiet watch that ended this often begins anew after up to 60 s, and is taken for accepted after 3 s.
$node->wait_for(q{SELECT coalesce(string_agg(concat_ws(' ', relation, state, message), E'\n'), 'synced') FROM dbnet.mirror_status WHERE state <> 'synced'},
    'all mirrors are well', expected => 'synced', timeout => 120);
$node->query_is(q{SELECT phase, count(*) FROM dbnet.object WHERE phase <> 'synced' GROUP BY 1}, '', 'all objects are settled');
for my $mirror (sort keys %labels) {
    my ($label) = keys %{ $json->decode($labels{$mirror}) };
    my $list = $api->expect_success($api->get($maps, query => { labelSelector => $label }));
    my $objects = join "\n", sort map { "$_->{metadata}{name} " . $json->encode($_->{data}) } @{ $list->{items} };
    $node->wait_for(qq{SELECT count(*) FROM net.$mirror WHERE name LIKE 'x-%'}, "$mirror: those of others are there", expected => scalar grep { /^x-$mirror/ } @theirs);
    my %row = map { split /\|/, $_, 2 } split /\n/, $node->safe_psql('postgres', "SELECT name, data FROM net.$mirror");
    is(join("\n", sort map { "$_ " . $json->encode($json->decode($row{$_})) } keys %row), $objects, "$mirror: every object is its row");
}
$node->query_is(q{SELECT count(*) > 0 FROM net.done}, 't', 'the policy has acted');
my $oldest = $node->safe_psql('postgres', q{SELECT extract(epoch FROM now() - min(from_time)) / 3600 FROM otel.partitions});
cmp_ok($oldest, '<', 8, 'partitions of the day have gone');

$node->no_crash_in_log;
done_testing();
