# Tokens shown to the client API: one that nobody made costs no transaction; one that is made is good from its commit on,
# also of a prepared transaction.
use strict;
use warnings FATAL => 'all';
use DBNet::ClientApi;
use DBNet::Cluster;
use Test::More;
use Time::HiRes qw(time);

my $node = DBNet::Cluster->started('main', conf => 'max_prepared_transactions = 1');
my $api = DBNet::ClientApi->new($node);
$node->psql_ok('CREATE ROLE app LOGIN', 'a role');
my $status = sub { my ($token) = @_; return $api->get($token, '/schemas')->{status} };
my $looks = q{SELECT seq_scan + idx_scan FROM pg_stat_user_tables WHERE relid = 'dbnet.token_secret'::regclass};

# What a process has counted is told when it ends.
sub restart_worker {
    $node->replace_worker('api worker', 'TERM');
    $api->wait_until_served;
    return $node->safe_psql('postgres', $looks);
}

my $before = restart_worker();
my $start = time;
is(join(' ', map { $status->("dbnet_unknown$_") } 1 .. 300), join(' ', (401) x 300), 'three hundred tokens that nobody made');
my $seconds = time - $start;
cmp_ok(restart_worker() - $before, '<=', 5 + $seconds, 'one look a second at most');

# One that was refused a moment ago, and then is made.
my $make = sub {
    my ($number) = @_;
    return "INSERT INTO dbnet.token (name, role, scope, created_by) VALUES ('made$number', 'app', 'api', 'test');
        INSERT INTO dbnet.token_secret (hash, token) SELECT sha256('dbnet_made$number'), id FROM dbnet.token WHERE name = 'made$number';";
};
for my $number (1 .. 10) {
    is($status->("dbnet_made$number"), 401, 'not yet');
    $node->psql_ok("BEGIN; ${\ $make->($number)} COMMIT", 'made');
    is($status->("dbnet_made$number"), 200, 'good from its commit on');
}
is($status->('dbnet_made11'), 401, 'not yet');
$node->psql_ok("BEGIN; ${\ $make->(11)} PREPARE TRANSACTION 'token'", 'made in a transaction that is prepared');
is($status->('dbnet_made11'), 401, 'not before its commit');
$node->psql_ok("COMMIT PREPARED 'token'", 'committed');
is($status->('dbnet_made11'), 200, 'and then');

$node->no_crash_in_log;
done_testing();
