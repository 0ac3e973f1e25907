# Lists, pages and watches: what a mirror's reflector stands on.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Process;
use JSON::PP ();
use PostgreSQL::Test::Utils ();
use Test::More;

DBNet::Api::need('simulator');
my $api = DBNet::Api->start(arguments => [ '--future-wait-ms', 20, '--bookmark-interval-ms', 100 ]);
my $maps = '/api/v1/namespaces/' . $api->namespace . '/configmaps';
my $json = JSON::PP->new->utf8;

sub simulator { my ($call, %options) = @_; return $api->create("/_sim/$call", $options{body} // {})->{body} }
sub newest    { return $api->direct->disturb('state')->{revision} }
sub revision  { return $_[0]{body}{metadata}{resourceVersion} }
sub names     { return join ' ', map { $_->{metadata}{name} } @{ $_[0]{body}{items} } }

sub put_map {
    my ($name, $value, %metadata) = @_;
    return $api->apply("$maps/$name", { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => $name, %metadata }, data => { v => "$value" } },
        force => 1);
}

# The events of a watch that ends by its timeout, as [type, name, value].
sub events {
    my ($query) = @_;
    my $answer = $api->get("$maps?watch=1&timeoutSeconds=1&$query");
    return map { $json->decode($_) } split /\n/, $answer->{text};
}

sub short {
    return join ' ', map {
        my $object = $_->{object};
        join ':', $_->{type}, $object->{metadata}{name} // $object->{code}, $object->{data}{v} // ()
    } @_;
}

# --- pages are of one revision ---
put_map("m$_", 0) for 1 .. 5;
my $first = $api->get("$maps?limit=2");
is(names($first), 'm1 m2', 'a page');
is($first->{body}{metadata}{remainingItemCount}, 3, 'says how many follow');
put_map('m3', 1);
$api->delete("$maps/m4");
put_map('m6', 0);
my $second = $api->get("$maps?limit=2&continue=$first->{body}{metadata}{continue}");
is(names($second), 'm3 m4', 'the next page is of the first one\'s revision: the deleted is there');
is($second->{body}{items}[0]{data}{v}, '0', 'the changed has its old value');
is(revision($second), revision($first), 'and says so');
my $third = $api->get("$maps?continue=$second->{body}{metadata}{continue}");
is(names($third), 'm5', 'the last page has not what came later');
ok(!exists $third->{body}{metadata}{continue}, 'and no token');
is(join(' ', sort split / /, names($api->get("$maps?limit=2&resourceVersion=0"))), 'm1 m2 m3 m5 m6', 'resourceVersion=0 ignores the limit, and any order');
is(names($api->get("$maps?limit=2&resourceVersion=" . revision($first))), 'm1 m2', 'limit with a revision is exact');

# --- forgotten revisions ---
simulator('compact');
my $expired = $api->get("$maps?limit=2&continue=$first->{body}{metadata}{continue}");
is("$expired->{status} $expired->{body}{reason}", '410 Expired', 'a token of a forgotten revision');
like($expired->{body}{message}, qr/^The provided continue parameter is too old/, 'in the server\'s words');
my $rest = $api->get("$maps?continue=$expired->{body}{metadata}{continue}");
is(names($rest), 'm3 m5 m6', 'the token of the error goes on without consistency');
my ($too_old) = events('resourceVersion=' . revision($first));
is("$too_old->{type} $too_old->{object}{code} $too_old->{object}{reason}", 'ERROR 410 Expired', 'a watch from there: 410 in the stream');
like($too_old->{object}{message}, qr/^too old resource version: \d+ \(\d+\)$/, 'with both revisions');
my $future = $api->get("$maps?resourceVersion=99999999");
is("$future->{status} $future->{body}{details}{causes}[0]{reason} $future->{headers}{'retry-after'}", '504 ResourceVersionTooLarge 1',
    'a revision of the future');
$future = $api->get("$maps?limit=1&resourceVersion=99999999");
is("$future->{status} " . ($future->{body}{reason} // 'none'), '500 none', 'with a limit it is a 500 without a reason');
is(short(events('resourceVersion=99999999')), '', 'a watch from there is silent');

# --- events ---
my $start = revision($api->get($maps));
put_map('w', 1);
put_map('w', 1);
put_map('w', 2);
$api->delete("$maps/w");
is(short(events("resourceVersion=$start")), 'ADDED:w:1 MODIFIED:w:2 DELETED:w:2', 'all changes since a list, no more');
my @all = events("resourceVersion=$start");
ok($all[0]{object}{metadata}{resourceVersion} < $all[1]{object}{metadata}{resourceVersion}
      && $all[1]{object}{metadata}{resourceVersion} < $all[2]{object}{metadata}{resourceVersion}, 'with growing revisions, the deletion too');
is(join(' ', sort map { "$_->{type}:$_->{object}{metadata}{name}" } events('')), 'ADDED:m1 ADDED:m2 ADDED:m3 ADDED:m5 ADDED:m6',
    'without a revision: what is there, as ADDED');

# --- selectors ---
$start = revision($api->get($maps));
put_map('l', 1, labels => { color => 'red' });
put_map('l', 2, labels => { color => 'red', size => 'big' });
put_map('l', 3, labels => { color => 'blue' });
put_map('l', 4, labels => { color => 'red' });
put_map('other', 1);
my @red = events("resourceVersion=$start&labelSelector=color%3Dred");
is(short(@red), 'ADDED:l:1 MODIFIED:l:2 DELETED:l:2 ADDED:l:4', 'leaving the selector is DELETED with the old state');
cmp_ok($red[2]{object}{metadata}{resourceVersion}, '>', $red[1]{object}{metadata}{resourceVersion}, 'but the revision of the change');
is(names($api->get("$maps?labelSelector=color")), 'l', 'label exists');
is(names($api->get("$maps?labelSelector=color+notin+(red)%2C!size&fieldSelector=metadata.name!%3Dm1")), 'm2 m3 m5 m6 other', 'set and field selectors');
is(short(events("resourceVersion=$start&fieldSelector=metadata.name%3Dother")), 'ADDED:other:1', 'a watch of one name');

# --- bookmarks ---
my @marks = grep { $_->{type} eq 'BOOKMARK' } events("resourceVersion=$start&allowWatchBookmarks=true&labelSelector=color%3Dnone");
ok(@marks > 0, 'bookmarks come when asked for');
my ($last) = map { $_->{object}{metadata}{resourceVersion} } (events("resourceVersion=$start"))[-1];
is($marks[-1]{object}{metadata}{resourceVersion}, $last, 'with the version of the kind\'s newest change, though nothing matched');
is($marks[-1]{object}{kind}, 'ConfigMap', 'and the kind');
is(scalar(grep { $_->{type} eq 'BOOKMARK' } events("resourceVersion=$start")), 0, 'and not else');
is(scalar(events("resourceVersion=$last&allowWatchBookmarks=true")), 0, 'nor where nothing has happened since');

# --- an open watch: other representations, ends of all kinds ---
my $partial = $api->get("$maps?watch=1&timeoutSeconds=1&resourceVersion=$start",
    accept => 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io');
is($json->decode((split /\n/, $partial->{text})[0])->{object}{kind}, 'PartialObjectMetadata', 'a watch of metadata only');

sub open_watch {
    my ($log) = @_;
    my $watch = DBNet::Process->start(name => 'curl', log => $log, command =>
        [ 'curl', '-sS', '-N', '--noproxy', '*', @{ $api->{credentials} }, $api->url . "$maps?watch=1&resourceVersion=" . newest() ]);
    $api->wait_until(sub { simulator('state')->{watches} == 1 }, 'the watch is open');
    return $watch;
}

for my $end ([ 'end_watches', '', 0 ], [ 'drop_watches?reset=1', '', 56 ], [ 'expire_watches', '"code":410', 0 ]) {
    my ($call, $last, $status) = @$end;
    my $log = $api->directory . '/' . ($call =~ s/\W.*//r);
    my $watch = open_watch($log);
    put_map('ends', $call);
    simulator($call);
    $api->wait_until(sub { !$watch->is_running }, "$call ends the watch");
    my @lines = split /\n/, PostgreSQL::Test::Utils::slurp_file($log);
    like($lines[0], qr/"type":"(?:ADDED|MODIFIED)".*"name":"ends"/, "$call: the event before it arrived");
    like($lines[-1], qr/\Q$last\E/, "$call: the last line") if $last ne '';
    is($watch->{status} >> 8, $status, "$call: curl's exit status");
}

# --- terminating objects, deletion with finalizers ---
$start = revision($api->get($maps));
$api->create($maps, { metadata => { name => 'f', finalizers => ['example.com/hold'] } });
my $uid = $api->get("$maps/f")->{body}{metadata}{uid};
is($api->delete("$maps/f", body => { preconditions => { uid => '0-0' } })->{status}, 409, 'a wrong uid deletes nothing');
my $deleted = $api->delete("$maps/f", body => { preconditions => { uid => $uid } });
ok($deleted->{body}{metadata}{deletionTimestamp}, 'a finalizer keeps it, terminating');
is($api->apply("$maps/f", { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'f' }, data => { v => '1' } })->{status}, 200,
    'an apply is still accepted');
$api->patch("$maps/f", { metadata => { finalizers => undef } });
is($api->get("$maps/f")->{status}, 404, 'gone with its last finalizer');
my @life = events("resourceVersion=$start");
is(short(@life), 'ADDED:f MODIFIED:f MODIFIED:f:1 DELETED:f:1', 'seen by a watch');
is_deeply($life[3]{object}{metadata}{finalizers}, ['example.com/hold'], 'the last event shows the finalizer');

# --- namespaces ---
my $in = $api->name('short-lived');
$api->create('/api/v1/namespaces', { metadata => { name => $in } });
$api->create("/api/v1/namespaces/$in/configmaps", { metadata => { name => 'held', finalizers => ['example.com/hold'] } });
is($api->delete("/api/v1/namespaces/$in")->{body}{status}{phase}, 'Terminating', 'a deleted namespace terminates');
my $refused = $api->create("/api/v1/namespaces/$in/configmaps", { metadata => { name => 'late' } });
is("$refused->{status} $refused->{body}{details}{causes}[0]{reason}", '403 NamespaceTerminating', 'and takes nothing new');
$api->wait_for_object("/api/v1/namespaces/$in/configmaps/held", sub { $_[0]{body}{metadata}{deletionTimestamp} });
is($api->get("/api/v1/namespaces/$in")->{status}, 200, 'what a finalizer holds holds the namespace');
$api->patch("/api/v1/namespaces/$in/configmaps/held", { metadata => { finalizers => undef } });
$api->wait_for_object("/api/v1/namespaces/$in", sub { $_[0]{status} == 404 });
pass('and both go');

# --- faults a test asks for ---
my $path = "$maps/faulty";
my $faulty = { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'faulty' } };
$api->fault({ method => 'PATCH', path => '/faulty', status => 429, content_type => 'text/plain', body => 'Too many requests', headers => { 'Retry-After' => '1' } });
my $busy = $api->apply($path, $faulty);
is("$busy->{status} $busy->{text} $busy->{headers}{'retry-after'}", '429 Too many requests 1', 'a wanted answer');
is($api->get($path)->{status}, 404, 'the request was not carried out');
$api->fault({ method => 'PATCH', path => '/faulty', action => 'reset_after' });
is($api->apply($path, $faulty)->{status}, 0, 'a connection cut after the work');
is($api->get($path)->{status}, 200, 'the request was carried out');
is($api->apply($path, $faulty)->{status}, 200, 'a fault hits as often as it says');
done_testing;
