# The whole chain of a device, exactly: client, row, trigger, procedure, device call, report; asked backwards, forwards, as graphs;
# blamed, compared, taken back; and the same after a dump.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use JSON::PP ();
use Test::More;


my $node = DBNet::Cluster->started('device_chain');
my $api = DBNet::Api->start;
my $mirrors = DBNet::Mirrors->new($node, $api);
my $labels = DBNet::Api::quote(JSON::PP->new->canonical->encode($api->labels));
my $prefix = $api->name('');
$node->safe_psql('postgres', qq{
    CREATE SCHEMA policy;
    CREATE ROLE collector LOGIN;
    GRANT USAGE ON SCHEMA net TO collector;
    CREATE TABLE net.traffic (pool text PRIMARY KEY, rps int, limit_rps int);
    GRANT SELECT, UPDATE ON net.traffic TO collector;
    INSERT INTO net.traffic VALUES ('web', 40, 120), ('api', 40, 500);
    SELECT dbnet.track('net.traffic');
    CREATE PROCEDURE policy.provision(pool text) LANGUAGE plpgsql AS \$\$
    BEGIN
        INSERT INTO net.nodes (name, labels, note) VALUES ('$prefix' || provision.pool, $labels, provision.pool);
    END
    \$\$;
    CREATE FUNCTION policy.on_overload() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \$\$
    BEGIN
        CALL policy.provision(NEW.pool);
        RETURN NULL;
    END
    \$\$;
    CREATE TRIGGER overload AFTER UPDATE OF rps ON net.traffic FOR EACH ROW WHEN (NEW.rps > NEW.limit_rps) EXECUTE FUNCTION policy.on_overload()});

# Without what is another in every run: times, milliseconds, numbers of transactions, the run's label. Events are numbered as they come.
sub plain {
    my ($text) = @_;
    my %number;
    $text =~ s/\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:\+00(?::00)?)?/TIME/g;
    $text =~ s/(?<!\d)(\d{18})(?!\d)/$number{$1} \/\/= 1 + keys %number/ge;
    $text =~ s/\btransaction \d+/transaction T/g;
    $text =~ s/\b[\d.]+ ms\b/N ms/g;
    $text =~ s/\b\Q${\ $api->namespace }\E\b/RUN/g;
    $text =~ s/ready \S+ →/ready OLD →/g;    # servers tell of it in one step or more
    return $text;
}

sub asked { my ($sql) = @_; return plain($node->safe_psql('postgres', "SET TimeZone = 'UTC'; $sql")) }

# --- a client's statement, with a comment at its end, as a server connection gets it ---
my $parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
my $statement = "UPDATE net.traffic SET rps = 384 WHERE pool = 'web'";
{
    local $ENV{PGAPPNAME} = 'collector';
    $node->command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') . ' user=collector', '-c', "$statement /*application='shop',traceparent='$parent'*/" ], 'the client');
}
$node->wait_for(q{SELECT ready = 'True' FROM net.nodes}, 'the node is provisioned, and ready');
is($mirrors->wait_synced, '', 'settled');
$node->query_is('SELECT traceparent FROM dbnet.transaction WHERE traceparent IS NOT NULL', $parent, 'the trace of a comment at the end of a statement');


my $web = $api->name('web');
my $insert = "INSERT INTO net.nodes (name, labels, note) VALUES ('$prefix' || provision.pool, '{\"${\ $api->label_key }\":\"RUN\"}', provision.pool)";
my $made = "INSERT net.nodes $web: labels {\"${\ $api->label_key }\": \"RUN\"}, note \"web\"";
my $who = "collector, collector, from this machine, transaction T, traceparent $parent";
my $newest = "(SELECT event FROM dbnet.history('net.nodes', '$web', most => 1))";
my $first = q{(SELECT event FROM dbnet.history('net.traffic', 'web', most => 1))};

# --- backwards ---
is(asked("SELECT dbnet.why('net.nodes', '$web')"), <<"END" =~ s/\n\z//r, 'why: from the report to the client');
TIME  row        UPDATE net.nodes $web: ready OLD → "True"
TIME  report     device report on net.nodes
TIME  who        postgres, dbnet mirror worker, transaction T
TIME    device     apply Node $web: metadata.labels → 201, N ms
TIME      row        $made
TIME      statement  $insert (line 3)
TIME      call       policy.provision(pool => "web") (line 3)
TIME      statement  CALL policy.provision(NEW.pool) (line 3)
TIME      trigger    overload on net.traffic, after update
TIME        row        UPDATE net.traffic web: rps 40 → 384
TIME        statement  $statement
TIME        who        $who
END
is(asked("SELECT step, depth, kind, event = $newest FROM dbnet.why_steps($newest) WHERE depth < 2"), "1|0|row|t\n2|0|report|f\n3|0|who|f\n4|1|device|f", 'the same as rows');

# --- forwards ---
my $forwards = <<"END" =~ s/\n\z//r;
TIME  row        UPDATE net.traffic web: rps 40 → 384
TIME    trigger    overload on net.traffic, after update
TIME      statement  CALL policy.provision(NEW.pool) (line 3)
TIME        call       policy.provision(pool => "web") (line 3)
TIME          statement  $insert (line 3)
TIME            row        $made
TIME              device     apply Node $web: metadata.labels → 201, N ms
TIME                row        UPDATE net.nodes $web: ready OLD → "True"
END
is(asked("SELECT dbnet.impact($first)"), $forwards, 'impact: from the client to the report');

# --- as graphs: each node and edge once, of the right kind ---
my $dot = asked("SELECT dbnet.graph($newest, 'dot')");
my %node_of; # text => its name in the graph
for my $line ($dot =~ /^  (\w+ \[label = .*)$/mg) {
    my ($name, $text, $shape) = $line =~ /^(\w+) \[label = "(.*)", shape = (\w+)\];$/ or die $line;
    $node_of{$shape . ' ' . $text =~ s/\\(.)/$1/gr} = $name;
}
my @steps = (
    "ellipse UPDATE net.nodes $web: ready OLD → \"True\"", 'box device report on net.nodes', 'house postgres, dbnet mirror worker, transaction T',
    "box apply Node $web: metadata.labels → 201, N ms", "ellipse $made", "box $insert (line 3)", 'box policy.provision(pool => "web") (line 3)',
    'box CALL policy.provision(NEW.pool) (line 3)', 'box overload on net.traffic, after update', 'ellipse UPDATE net.traffic web: rps 40 → 384',
    "box $statement", "house $who");
is_deeply([ sort keys %node_of ], [ sort @steps ], 'dot: a node for each step');
my ($ready, $report, $worker, $call, $row, $statement_of_row, $procedure, $call_of_it, $trigger, $cause, $client_statement, $client) = map { $node_of{$_} } @steps;
my @edges = (
    "$ready wasGeneratedBy $report", "$report wasAssociatedWith $worker", "$report wasInformedBy $call", "$call used $row", "$row wasGeneratedBy $statement_of_row",
    "$statement_of_row wasInformedBy $procedure", "$procedure wasInformedBy $call_of_it", "$call_of_it wasInformedBy $trigger", "$trigger wasStartedBy $cause",
    "$trigger wasInformedBy $client_statement", "$cause wasGeneratedBy $client_statement", "$client_statement wasAssociatedWith $client");
is_deeply([ sort map { /^(\w+) -> (\w+) \[label = "(\w+)"\];$/ ? "$1 $3 $2" : () } map { s/^  //r } split /\n/, $dot ], [ sort @edges ], 'and an edge for each link');
is_deeply([ sort map { /^  (\w+) -->\|(\w+)\| (\w+)$/ ? "$1 $2 $3" : () } split /\n/, asked("SELECT dbnet.graph($newest, 'mermaid')") ], [ sort @edges ], 'mermaid has the same');
is_deeply([ sort map { /^  (\w+)\(dbnet:(\w+), dbnet:(\w+)/ ? "$2 $1 $3" : () } split /\n/, asked("SELECT dbnet.graph($newest, 'provn')") ], [ sort @edges ], 'so has PROV-N');
my $prov = JSON::PP->new->decode(asked("SELECT dbnet.graph($newest, 'prov-json')"));
my @relations;
for my $edge (qw(wasGeneratedBy wasAssociatedWith wasInformedBy wasStartedBy used)) {
    for my $link (values %{ $prov->{$edge} }) {
        my ($from, $to) = @{ { wasGeneratedBy => [qw(entity activity)], wasAssociatedWith => [qw(activity agent)], wasInformedBy => [qw(informed informant)],
                wasStartedBy => [qw(activity trigger)], used => [qw(activity entity)] }->{$edge} };
        push @relations, join ' ', map { s/^dbnet://r } $link->{"prov:$from"}, $edge =~ s/^/dbnet:/r, $link->{"prov:$to"};
    }
}
is(scalar @relations, scalar @edges, 'and PROV-JSON');
is_deeply([ map { scalar keys %{ $prov->{$_} } } qw(entity activity agent) ], [ 3, 7, 2 ], 'with its nodes');

# --- who set what ---
$node->query_is("SELECT column_name, session_user_name, application, statement ~ '^INSERT', manager = (SELECT field_manager FROM dbnet.mirrored_relation WHERE relation = 'net.nodes'::regclass), event = $newest FROM dbnet.blame('net.nodes', '$web') WHERE column_name <> 'ready'",
    "labels|collector|collector|t|t|f\nname|collector|collector|t||f\nnote|collector|collector|t||f", 'blame: the client');
$node->query_is("SELECT value, role, session_user_name, statement, manager <> '' AND manager !~ '^dbnet', manager_since IS NOT NULL, event = $newest FROM dbnet.blame('net.nodes', '$web') WHERE column_name = 'ready'",
    '"True"|||device report|t|t|t', 'and the device');

# --- compared with what did not happen, without a request to the server ---
$node->psql_ok(q{UPDATE net.traffic SET rps = 384 WHERE pool = 'api'}, 'another pool');
is($mirrors->wait_synced, '', 'settled');
SKIP: {
    my $position = eval { $api->request_position } // skip('no log of requests', 1);
    is(asked(qq{SELECT verdict, difference FROM dbnet.diff((SELECT event FROM dbnet.history('net.nodes', '$web') WHERE operation = 'INSERT'),
                     (SELECT event FROM dbnet.history('net.traffic', 'api', most => 1))) WHERE verdict NOT IN ('same', 'only good')}),
        "first difference|limit_rps 500 instead of 120\nproved|done again with limit_rps 120, all other rows as they are now: INSERT net.nodes ${\ $api->name('api') }; as it was: nothing becomes of net.nodes", 'diff: proved by a trial');
    $node->psql_ok($mirrors->config_row('barrier', { x => '1' }), 'a change after it');
    is($mirrors->wait_synced, '', 'settled');
    is_deeply([ map { "$_->{method} " . $_->{path} =~ s/\?.*//r } grep { $_->{method} ne 'GET' && $_->{path} !~ m{/leases/} } $api->requests(since => $position) ], [ 'PATCH ' . $mirrors->config_path('barrier') ], 'of which no device has heard');
}
$node->query_is(q{SELECT count(*) FROM net.nodes WHERE note = 'api'}, '0', 'nor is a row left');

# --- taken back, on the device too ---
$node->psql_ok(q{UPDATE net.configs SET data = '{"x": "2"}' WHERE name = 'barrier'}, 'a change');
is($mirrors->wait_synced, '', 'settled');
$node->query_is(q{SELECT relation, key, outcome FROM dbnet.undo(event => (SELECT event FROM dbnet.history('net.configs', 'barrier', most => 1)), dry_run => false)}, 'net.configs|barrier|done', 'undo of an event');
is($mirrors->wait_synced, '', 'settled');
is($mirrors->config('barrier')->{data}{x}, '1', 'the device has what it had');
is(asked(q{SELECT what FROM dbnet.why_steps((SELECT event FROM dbnet.newest_event('net.configs', 'barrier', NULL))) WHERE kind IN ('device', 'row', 'who')}) =~ s/[\w.]+\.pl/APPLICATION/gr, <<"END" =~ s/\n\z//r, 'why tells of it');
apply ConfigMap RUN/barrier: data, metadata.labels → 200, N ms
UPDATE net.configs barrier: data {"x": "2"} → {"x": "1"}
postgres, APPLICATION, from this machine, transaction T, reason: undo
UPDATE net.configs barrier: data {"x": "1"} → {"x": "2"}
postgres, APPLICATION, from this machine, transaction T
END
$node->query_is(q{SELECT operation, name, http_status FROM dbnet.actuation WHERE name = 'barrier' ORDER BY id}, "apply|barrier|201\napply|barrier|200\napply|barrier|200", 'by a call each');

my $provisioned = "(SELECT min(event) FROM dbnet.history('net.nodes', '$web'))";
$node->query_is("SELECT count(*) > 1 FROM dbnet.history('net.nodes', '$web')", 't', 'a node that was provisioned, and has reported since');
$node->query_is("SELECT relation, key, outcome FROM dbnet.undo(event => $provisioned, dry_run => false)", "net.nodes|$web|done", 'is taken back all the same');
$api->wait_for_object("/api/v1/nodes/$web", sub { $_[0]{status} == 404 });
is($mirrors->wait_synced, '', 'settled');
$node->query_is(q{SELECT relation, gap FROM dbnet.gaps() WHERE relation IN ('net.nodes'::regclass, 'net.configs'::regclass)}, '', 'and nothing of it has escaped the record');

$node->no_crash_in_log;
done_testing;
