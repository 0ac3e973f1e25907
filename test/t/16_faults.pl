# The faults that other tests ask for, each seen with a plain client: in the simulator, and in the proxy before real servers
# (with DBNET_PROXY=1 before the simulator, too). What a fault does not touch comes as it is.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Process;
use JSON::PP ();
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(time);

DBNet::Need::need('own_servers', 'faults');
my $api = DBNet::Api->start(nodes_ready => 0, controllers => 0, arguments => [ '--bookmark-interval-ms', 100 ]);
my $maps = '/api/v1/namespaces/' . $api->namespace . '/configmaps';
my $json = JSON::PP->new->utf8;

sub map_of { my ($name, $value) = @_; return { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => $name, labels => { t => '1' } }, data => { v => "$value" } } }
sub put_map { my ($name, $value) = @_; return $api->apply("$maps/$name", map_of($name, $value), force => 1) }
sub exists_as { my ($name) = @_; my $answer = $api->direct->get("$maps/$name"); return $answer->{status} == 200 ? $answer->{body}{data}{v} : $answer->{status} }
sub hits { return $api->disturb('state')->{fault_hits} }
sub revision { return $api->get("$maps?labelSelector=t")->{body}{metadata}{resourceVersion} }

# --- answers ---
my $status = { kind => 'Status', apiVersion => 'v1', metadata => {}, status => 'Failure', message => 'not now', reason => 'Timeout', code => 504 };
$api->fault({ method => 'PATCH', path => '/a\?', status => 429, content_type => 'text/plain', body => "Slow down\n", headers => { 'Retry-After' => '3' } });
my $answer = put_map('a', 1);
is("$answer->{status} $answer->{text}$answer->{headers}{'content-type'} $answer->{headers}{'retry-after'}", "429 Slow down\ntext/plain 3", 'a status with text and Retry-After');
is(exists_as('a'), 404, 'the request was not carried out');
$api->fault({ method => 'PATCH', path => '/a\?', status => 504, body => $status });
is(put_map('a', 1)->{body}{message}, 'not now', '504 and not carried out');
is(exists_as('a'), 404, 'the object is not there');
$api->fault({ method => 'PATCH', path => '/a\?', action => 'respond_after', status => 504, body => $status });
is(put_map('a', 1)->{body}{message}, 'not now', '504 and carried out');
is(exists_as('a'), 1, 'the object is there');
for my $case ([ reset_before => 1 ], [ reset_after => 2 ], [ hang => 2 ], [ hang_after => 3 ]) {
    my ($action, $value) = @$case;
    $api->fault({ method => 'PATCH', path => '/a\?', action => $action });
    my $answer = $api->apply("$maps/a", map_of('a', $action =~ /after/ ? $value : 'never'), timeout => 1, force => 1);
    is($answer->{status}, 0, "$action: no answer");
    like($answer->{error}, $action =~ /reset/ ? qr/reset|closed|empty reply|errno 104/i : qr/timed out/, "$action: as curl says it");
    is(exists_as('a'), $value, "$action: " . ($action =~ /after/ ? 'carried out' : 'not carried out'));
}
$api->fault({ method => 'GET', path => '/a$', action => 'delay', delay_ms => 300 });
my $began = time;
is($api->get("$maps/a")->{body}{data}{v}, 3, 'a late answer is the true one');
cmp_ok(time - $began, '>=', 0.3, 'and late');
$api->fault({ path => '/a$', status => 500, skip => 1, count => 2 });
is(join(' ', map { $api->get("$maps/a")->{status} } 1 .. 4), '200 500 500 200', 'one is let pass, two are hit');
$api->fault({ path => '/a$', status => 500, probability => 0.5, seed => 7, count => -1 });
my @first = map { $api->get("$maps/a")->{status} } 1 .. 12;
$api->no_faults;
$api->fault({ path => '/a$', status => 500, probability => 0.5, seed => 7, count => -1 });
is(join(' ', map { $api->get("$maps/a")->{status} } 1 .. 12), join(' ', @first), 'chance repeats itself with its seed');
ok((grep { $_ == 200 } @first) && (grep { $_ == 500 } @first), 'and is chance');
$api->no_faults;
my $wrong = $api->create('/_sim/faults', { action => 'explode' });
is("$wrong->{status} $wrong->{body}{error}", '400 unknown action explode', 'a fault that there is not');

# --- bodies ---
put_map('large', 'x' x 200_000);
my $whole = length $api->get("$maps/large")->{text};
cmp_ok($whole, '>', 200_000, 'an answer of 200 kB');
for my $how (qw(close reset hang)) {
    $api->fault({ path => '/large$', action => 'truncate', bytes => 1000, how => $how });
    my $answer = $api->get("$maps/large", timeout => 1);
    is("$answer->{status} " . length $answer->{text}, '200 1000', "$how: cut after 1000 bytes");
    isnt($answer->{error}, '', "$how: and curl says so");
}
$api->fault({ path => '/large$', action => 'slow', bytes_per_second => 400_000 });
$began = time;
is(length $api->get("$maps/large")->{text}, $whole, 'a slow answer is complete');
cmp_ok(time - $began, '>=', 0.4, 'and slow');
$api->fault({ path => '/large$', action => 'slow_head', bytes_per_second => 500 });
$began = time;
is(length $api->get("$maps/large")->{text}, $whole, 'so is one whose head is slow');
cmp_ok(time - $began, '>=', 0.2, 'and slow');
cmp_ok(time - $began, '<', 20, 'but only its head');

# --- revisions ---
my $revision = revision();
$api->fault({ path => 'configmaps\?', action => 'future_revision', by => 100_000 });
cmp_ok(revision() - $revision, '>=', 100_000, 'a list from the future');
cmp_ok(revision() - $revision, '<', 1000, 'and the next from today');
$api->fault({ path => 'continue=', status => 410, body => { %$status, reason => 'Expired', code => 410 } });
my $page = $api->get("$maps?limit=1");
is($api->get("$maps?limit=1&continue=$page->{body}{metadata}{continue}")->{body}{reason}, 'Expired', 'a continue token of a forgotten revision');
$api->fault({ path => 'watch=1', status => 410, body => { %$status, reason => 'Expired', code => 410 } });
is($api->get("$maps?watch=1&resourceVersion=$revision")->{status}, 410, 'so is a watch');

# --- watches ---
# Starts a watch, then does as asked; returns its lines when it has ended or has as many as expected, and curl's exit status.
my $watches = 0;
sub watch {
    my ($expected, $do, %options) = @_;
    my $log = $api->directory . '/watch' . ++$watches;
    my $from = $options{from} // revision();
    my $open = $api->disturb('state')->{watches};
    my $watch = DBNet::Process->start(name => 'curl', log => $log,
        command => [ 'curl', '-sS', '-N', '-g', '--noproxy', '*', @{ $api->{credentials} }, $api->url . "$maps?watch=1&labelSelector=t&resourceVersion=$from" . ($options{query} // '') ]);
    $api->wait_until(sub { $api->disturb('state')->{watches} == $open + 1 || !$watch->is_running }, 'the watch is open');
    $do->();
    my $lines = sub { return grep { !/^curl:/ } split /\n/, PostgreSQL::Test::Utils::slurp_file($log) };
    $api->wait_until(sub { !$watch->is_running || $expected && $lines->() >= $expected }, "the watch has $expected lines or ends");
    my $status = $watch->is_running ? 'open' : $watch->{status} >> 8;
    $watch->stop;
    $api->wait_until(sub { $api->disturb('state')->{watches} == $open }, 'the watch is closed');
    $api->no_faults;
    return ($status, $lines->());
}

# Events as name:value, others as their type.
sub short { return join ' ', map { my $event = eval { $json->decode($_) }; $event ? $event->{object}{data} ? "$event->{object}{metadata}{name}:$event->{object}{data}{v}" : $event->{type} : '-' } @_ }
sub changes { my ($name, @values) = @_; return sub { put_map($name, $_) for @values } }

my ($end, @lines) = watch(3, changes('w', 1, 2, 3));
is("$end " . short(@lines), 'open w:1 w:2 w:3', 'a watch as it is');
$api->fault({ action => 'drop_event', count => 2 });
($end, @lines) = watch(2, changes('w', 11 .. 14));
is("$end " . short(@lines), 'open w:13 w:14', 'two events are lost');
$api->fault({ action => 'drop_event', match => '"name":"v"', count => -1 });
($end, @lines) = watch(2, sub { put_map($_, 5) for qw(w v x) });
is("$end " . short(@lines), 'open w:5 x:5', 'those of one object');
$api->fault({ action => 'duplicate_event' });
($end, @lines) = watch(3, changes('w', 21, 22));
is("$end " . short(@lines), 'open w:21 w:21 w:22', 'one comes twice');
$api->fault({ action => 'stale_event' });
($end, @lines) = watch(5, sub { put_map('x', 31); put_map('w', 31); put_map('w', 32); put_map('w', 33) });
is("$end " . short(@lines), 'open x:31 w:31 w:32 w:31 w:33', 'an older one comes again');
for my $case ([ close => '18|56' ], [ reset => '56' ]) {
    my ($how, $expected) = @$case;
    $api->fault({ action => 'cut_event', skip => 1, how => $how });
    ($end, @lines) = watch(0, changes('w', "4$how", "5$how"));
    like("$end " . short(@lines), qr/^(?:$expected) w:4$how -$/, "$how: cut in the middle of the second");
}
$api->disturb('reset_counters');
$api->fault({ action => 'cut_event', bytes => 0, how => 'hang' });
($end, @lines) = watch(0, sub { changes('w', 51, 52)->(); $api->wait_until(sub { hits() }, 'hit'); $api->disturb('drop_connections') });
like("$end " . short(@lines), qr/^(?:18|56) $/, 'half open: no more events, and no end before it is cut');
$api->fault({ action => 'error_event', body => { %$status, reason => 'Expired', code => 410 } });
($end, @lines) = watch(0, changes('w', 61, 62));
is("$end " . short(@lines), '0 ERROR', 'an error in the stream ends it');
$api->fault({ action => 'end_event', skip => 1 });
($end, @lines) = watch(0, changes('w', 71, 72));
is("$end " . short(@lines), '0 w:71', 'a clean end');

# --- bookmarks ---
SKIP: {
    DBNet::Need::or_skip('simulator');    # others send the first after a minute
    my $bookmarks = '&allowWatchBookmarks=true';
    $api->fault({ watch => JSON::PP::true, action => 'future_revision', by => 100_000 });
    ($end, @lines) = watch(2, sub { put_map('w', 54) }, query => $bookmarks);
    like(short(@lines), qr/^w:54(?: BOOKMARK)+$/, 'bookmarks after an event');
    cmp_ok($json->decode($lines[1])->{object}{metadata}{resourceVersion}, '>=', 100_000 + revision(), 'from the future');
    $api->disturb('reset_counters');
    $api->fault({ action => 'drop_event', match => '"type":"BOOKMARK"', count => -1 });
    ($end, @lines) = watch(2, sub { put_map('w', 55); $api->wait_until(sub { hits() }, 'a bookmark is left out'); put_map('w', 56) }, query => $bookmarks);
    is(short(@lines), 'w:55 w:56', 'a watch without bookmarks');
}

# --- watches that are under way ---
for my $case ([ 'end_watches' => '0 w:end_watches' ], [ 'expire_watches' => '0 w:expire_watches ERROR' ], [ 'drop_watches?reset=1' => '56 w:drop_watches?reset=1' ]) {
    my ($call, $expected) = @$case;
    ($end, @lines) = watch(0, sub { put_map('w', $call); $api->wait_until(sub { -s $api->directory . "/watch$watches" }, 'the event is there'); $api->disturb($call) });
    is("$end " . short(@lines), $expected, $call);
}
($end, @lines) = watch(2, sub {
    $api->disturb('hold_watches');
    changes('w', 81, 82)->();
    is(-s $api->directory . "/watch$watches", 0, 'held events do not come');
    $api->disturb('hold_watches?on=false');
});
is("$end " . short(@lines), 'open w:81 w:82', 'and come when they are released');

# --- requests and connections ---
my $before = $api->request_position;
$api->get("$maps/a");
my ($request) = $api->requests(since => $before, agent => qr/^curl/);
is("$request->{method} $request->{path} $request->{status}", "GET $maps/a 200", 'the log of requests');
done_testing;
