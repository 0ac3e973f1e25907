# The mirror worker among faults of requests and watches: what is said and not done, done and not said, lost, doubled, out of
# date, cut, silent or of the future. In the end rows and objects agree, nothing is made twice and nothing is lost.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use JSON::PP ();
use Test::More;

DBNet::Need::need('own_servers', 'faults');
my $node = DBNet::Cluster->started('faults', conf => "dbnet.hold_objects = 1000\ndbnet.hold_minimum = 1000");
my $api = DBNet::Api->start(nodes_ready => 0, controllers => 0, arguments => [ '--bookmark-interval-ms', 100 ]);
my $mirrors = DBNet::Mirrors->new($node, $api);
my $expired = { kind => 'Status', apiVersion => 'v1', metadata => {}, status => 'Failure', message => 'too old resource version: 1 (2)', reason => 'Expired', code => 410 };
my $timeout = { kind => 'Status', apiVersion => 'v1', metadata => {}, status => 'Failure', message => 'Timeout: request did not complete within the allotted time', reason => 'Timeout', code => 504 };
my $is_watch = JSON::PP::true;

# Past the faults.
sub live { my ($name) = @_; return $api->direct->get($mirrors->config_path($name)) }
sub row { my ($name, $value) = @_; return $node->safe_psql('postgres', qq{UPDATE net.configs SET data = '{"v": "$value"}' WHERE name = '$name'}) }
sub settles {
    my ($what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is($mirrors->wait_synced, '', "$what: all is settled");
}
sub hits { my ($count, $what) = @_; $api->wait_until(sub { $api->disturb('state')->{fault_hits} >= $count }, $what); return $api->disturb('reset_counters') }
sub compare { my ($seconds) = @_; return $node->safe_psql('postgres', "ALTER SYSTEM SET dbnet.compare_interval = $seconds; SELECT pg_reload_conf()") }

# --- writes: done or not done, and said otherwise ---
my %answer = (
    'not done, 504' => { action => 'respond', status => 504, body => $timeout }, 'done, 504' => { action => 'respond_after', status => 504, body => $timeout },
    'not done, reset' => { action => 'reset_before' }, 'done, reset' => { action => 'reset_after' },
    'done, answer cut' => { action => 'truncate', bytes => 20 }, 'not done, 503' => { action => 'respond', status => 503, body => 'Service Unavailable', content_type => 'text/plain', headers => { 'Retry-After' => '1' } });
my %name;
@name{ sort keys %answer } = map { "w$_" } 1 .. keys %answer;
$api->fault(map { { %{ $answer{$_} }, path => "configmaps/$name{$_}\\b", method => 'PATCH' } } sort keys %answer);
$node->safe_psql('postgres', join '', map { $mirrors->config_row($_, { v => '1' }) } sort values %name);
settles('inserts');
is(live($name{$_})->{body}{data}{v}, 1, "insert, $_: the object is there") for sort keys %answer;
my %uid = map { $_ => live($_)->{body}{metadata}{uid} } values %name;
is($api->disturb('state')->{faults}, 0, 'all faults were met');
$api->fault(map { { %{ $answer{$_} }, path => "configmaps/$name{$_}\\b", method => 'PATCH' } } sort keys %answer);
$node->safe_psql('postgres', q{UPDATE net.configs SET data = '{"v": "2"}'});
settles('updates');
is(live($name{$_})->{body}{data}{v}, 2, "update, $_: the value is there") for sort keys %answer;
is(join(' ', map { live($_)->{body}{metadata}{uid} } sort keys %uid), join(' ', map { $uid{$_} } sort keys %uid), 'they are the objects of the first day');
$node->query_is(q{SELECT count(*) FROM dbnet.object o WHERE relation = 'net.configs'::regclass AND (phase <> 'synced' OR NOT created_by_us)}, '0', 'and no doubt is left, whoever was told of the creation');
$node->safe_psql('postgres', join '', map { $mirrors->config_row("d$_", { v => '1' }) } sort values %name);
settles('objects to be deleted');
$api->fault(map { { %{ $answer{$_} }, path => "configmaps/d$name{$_}\\b", method => 'DELETE' } } sort keys %answer);
$node->safe_psql('postgres', q{DELETE FROM net.configs WHERE name LIKE 'd%'});
settles('deletes');
is(live("d$name{$_}")->{status}, 404, "delete, $_: the object is gone") for sort keys %answer;
is($api->disturb('state')->{faults}, 0, 'all faults were met');

# --- watches: each change that others make arrives once, and the rows never go back ---
$node->psql_ok(q{
    CREATE TABLE net.seen (name text, value int, number bigint GENERATED ALWAYS AS IDENTITY);
    CREATE FUNCTION net.see() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO net.seen (name, value) VALUES (new.name, (new.data->>'v')::int); RETURN new; END$$;
    CREATE TRIGGER see AFTER INSERT OR UPDATE ON net.configs FOR EACH ROW EXECUTE FUNCTION net.see();}
      . join('', map { $mirrors->config_row($_, { v => '0' }) } qw(a b c)) . q{SELECT dbnet.alter_mirror('net.configs', on_drift => 'follow')}, 'objects that others change');
settles('before the watches');
$mirrors->wait_listed;
my $turn = 0;
sub theirs { my ($name) = @_; $turn++; return $api->expect_success($api->direct->patch($mirrors->config_path($name), { data => { v => "$turn" } })) }
sub follows {
    my ($name, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $node->wait_for(qq{SELECT data->>'v' FROM net.configs WHERE name = '$name'}, $what, expected => $turn);
}
$api->disturb('reset_counters');
my %configs = (path => 'configmaps');

$api->fault({ %configs, action => 'duplicate_event', count => 2 });
theirs('a') for 1 .. 3;
follows('a', 'events that come twice');
$api->no_faults;
$api->fault({ %configs, action => 'stale_event', count => 2 });
theirs('b') for 1 .. 4;
follows('b', 'older events that come again');
$api->no_faults;
for my $how (qw(close reset)) {
    $api->disturb('reset_counters');
    $api->fault({ %configs, action => 'cut_event', how => $how });
    theirs('a');
    hits(1, 'the event is cut');
    follows('a', "a line that is cut in the middle ($how)");
}
$api->fault({ %configs, action => 'end_event' });
theirs('a');
follows('a', 'a clean end instead of an event');
$api->fault({ %configs, action => 'error_event', body => $expired });
theirs('b');
follows('b', '410 in the stream instead of an event');
$api->fault({ %configs, watch => $is_watch, status => 410, body => $expired });
$api->disturb('end_watches');
theirs('c');
follows('c', 'HTTP 410 to a watch');
$api->fault({ %configs, watch => $is_watch, status => 429, content_type => 'text/plain', body => "Too many requests\n", headers => { 'Retry-After' => '1' } });
$api->disturb('end_watches');
theirs('c');
follows('c', '429 to a watch');

# What no event told is found by the next compare.
sub is_found {
    my ($fault, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $api->disturb('reset_counters');
    $api->fault({ %configs, %$fault });
    theirs('a');
    hits(1, $what);
    compare(1);
    follows('a', $what);
    compare(600);
    $api->no_faults;
    theirs('b');
    return follows('b', "$what: and what comes after it");
}
is_found({ action => 'drop_event' }, 'an event that is lost');
is_found({ action => 'cut_event', bytes => 10, how => 'hang' }, 'a watch that falls silent with its connection open');

# A list from the future: the watch that goes on from there hears nothing until the next compare.
$api->disturb('reset_counters');
$api->fault({ %configs, method => 'GET', watch => JSON::PP::false, action => 'future_revision', by => 1_000_000 });
$node->safe_psql('postgres', q{SELECT dbnet.resync('net.configs')});
hits(1, 'a list from the future');
theirs('c');
compare(1);
follows('c', 'a list from the future');
compare(600);
theirs('c');
follows('c', 'and the present again');
SKIP: {
    DBNet::Need::or_skip('simulator');    # real servers send the first bookmark after a minute
    $api->fault({ %configs, action => 'future_revision', by => 1_000_000 });
    theirs('a');
    hits(1, 'a bookmark from the future');
    follows('a', 'the watch goes on');
    $api->disturb('end_watches');
    theirs('a');
    compare(1);
    follows('a', 'and so does the next, once a compare has seen the present');
    compare(600);
}
$node->query_is(q{SELECT count(*) FROM (SELECT value < max(value) OVER (PARTITION BY name ORDER BY number) AS is_older, value = lag(value) OVER (PARTITION BY name ORDER BY number) AS is_same FROM net.seen) s
                  WHERE is_older OR is_same}, '0', 'no row went back or was written twice');
settles('after the watches');

# --- all together, by chance ---
my $before = $api->request_position;
my $seed = 1;
$api->fault(map { { path => 'configmaps', count => -1, probability => 0.08, seed => $seed++, %$_ } }
    (map { { method => 'PATCH', %$_ } } values %answer),
    (map { { action => $_ } } qw(drop_event duplicate_event stale_event cut_event)));
my $count = 40;
$node->safe_psql('postgres', join '', map { $mirrors->config_row("m$_", { v => '0' }) } 1 .. $count);
row("m$_", 1) for map { 2 * $_ } 1 .. $count / 2;
$node->safe_psql('postgres', q{UPDATE net.configs SET data = '{"v": "2"}' WHERE name LIKE 'm%'});
settles('forty objects');
$api->no_faults;
compare(1);
$node->wait_for(q{SELECT count(*) FROM dbnet.object WHERE name LIKE 'm%' AND live->'data'->>'v' = '2' AND phase = 'synced'}, 'all are seen as they are', expected => $count);
my @live = grep { $_->{metadata}{name} =~ /^m/ && $_->{data}{v} eq '2' } @{ $api->direct->get('/api/v1/namespaces/' . $api->namespace . '/configmaps')->{body}{items} };
is(scalar @live, $count, 'all have their last value');
$node->query_is(q{SELECT count(*) FROM net.configs WHERE name LIKE 'm%' AND data->>'v' = '2'}, $count, 'and all rows');
is(scalar(grep { $_->{method} eq 'DELETE' } $api->requests(since => $before, path => qr/configmaps/)), 0, 'nothing was deleted and made again');
$node->query_is(q{SELECT count(*) FROM dbnet.object WHERE name LIKE 'm%' AND uid IN ('} . join("','", map { $_->{metadata}{uid} } @live) . q{')}, $count, 'each is the object that the row stands for');

$node->no_crash_in_log;
done_testing();
