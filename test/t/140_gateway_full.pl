# The gateway of a database that has no room on its disk: what is sent then is refused with 503 and Retry-After, nothing of
# it stays, and it is taken when that is over. And of one that is read-only by default.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Gateway;
use Test::More;

my $node = DBNet::Cluster->started('gateway_full');
my $gateway = DBNet::Gateway->open($node);
my $json = $DBNet::Gateway::json;

sub send_spans { my ($name) = @_; return $gateway->post('/v1/traces', body => DBNet::Gateway::traces(3, name => $name)) }

sub is_refused {
    my ($name, $pattern) = @_;
    my $answer = send_spans($name);
    is("$answer->{status}, Retry-After: " . ($answer->{headers}{'retry-after'} // ''), '503, Retry-After: 1', "$name: to be sent again");
    my $said = eval { $json->decode($answer->{body}) } // {};
    is($said->{code}, 14, 'a google.rpc.Status: unavailable');
    like($said->{message}, $pattern, 'in the database\'s words');
    my $ready = $gateway->get('/readyz');
    is($ready->{status}, 503, 'not ready');
    like($ready->{body}, $pattern, 'and why');
    is($gateway->get('/healthz')->{status}, 200, 'but alive');
    return;
}

sub is_taken {
    my ($name) = @_;
    $gateway->wait_until_open;
    is(send_spans($name)->{status}, 200, "$name: taken");
    is($gateway->get('/readyz')->{status}, 200, 'ready');
    return;
}

# --- no room: the partitions' files are the device that never has any ---
SKIP: {
    skip 'there is no /dev/full', 1 if !-c '/dev/full';
    my $files = $node->safe_psql('postgres', q{SELECT pg_relation_filepath(inhrelid) FROM pg_inherits WHERE inhparent = 'otel.spans'::regclass});
    my @files = map { $node->data_dir . "/$_" } split /\n/, $files;
    cmp_ok(@files, '>=', 2, 'partitions of today and tomorrow');
    $node->stop;
    for my $file (@files) {
        is(-s $file, 0, 'is empty');
        rename $file, "$file.away" or die "$file: $!";
        symlink '/dev/full', $file or die "$file: $!";
    }
    $node->start;
    $gateway->wait_until_open;
    is_refused('full', qr/could not extend file .*: No space left on device/);
    is($gateway->post('/v1/logs', body => DBNet::Gateway::logs(1))->{status}, 200, 'what has room is taken');
    $node->stop;
    for my $file (@files) {
        unlink $file or die "$file: $!";
        rename "$file.away", $file or die "$file: $!";
    }
    $node->start;
    is_taken('with room');
}

# --- read-only by default: a word to sessions, of which the gateway has none; on a standby it does not run (t/116) ---
$node->safe_psql('postgres', 'ALTER SYSTEM SET default_transaction_read_only = on');
$node->restart;
$node->fails_like('CREATE TABLE refused ()', '25006', qr/read-only transaction/, 'sessions write nothing');
is_taken('sessions are read-only');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET default_transaction_read_only');
$node->restart;

$node->query_is(q{SELECT string_agg(DISTINCT name, ', ' ORDER BY name) FROM otel.spans}, 'sessions are read-only, with room', 'nothing stays of what was refused');
$node->no_crash_in_log;
done_testing();
