# Messages that are not ours: anybody may write WAL messages with our prefix.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Feed;
use Test::More;

my $node = DBNet::Cluster->started('forged');
my $feed = DBNet::Feed->new($node)->start;
$feed->sql('CREATE ROLE mallory; CREATE DATABASE other');

# A payload as DBNet writes it, for cookie and operation: version, cookie, role, provenance, relation, operation, event, keys.
sub payload {
    my ($cookie) = @_;
    my $relation = $node->safe_psql('postgres', q{SELECT 'net.nodes'::regclass::oid});
    return unpack 'H*', pack 'C a16 L< Q< L< a L< S< S< a*', 2, $cookie, 10, 0, $relation, 'D', 0, 0, 6, 'victim';
}

sub emit {
    my ($payload, %options) = @_;
    my $prefix = $options{prefix} // 'dbnet';
    return $node->safe_psql($options{database} // 'postgres',
        "SET ROLE " . ($options{role} // 'mallory') . "; SELECT pg_logical_emit_message(" . ($options{transactional} // 'true') . ", '$prefix', '\\x$payload'::bytea)");
}

# The real cookie, as only a superuser can find it: in the WAL.
my $lsn = $node->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
$feed->sql(q{INSERT INTO net.nodes VALUES ('mine')});
$feed->is('I |mine', 'our own message counts');
my $wal = '';
{
    my $file = $node->safe_psql('postgres', "SELECT pg_walfile_name('$lsn')");
    open my $in, '<:raw', $node->data_dir . "/pg_wal/$file" or die "$file: $!";
    local $/;
    $wal = <$in>;
}
my ($cookie) = $wal =~ /dbnet\0\x02(.{16})/s;
is(length $cookie, 16, 'the test knows the cookie');

emit(payload('x' x 16));
emit(payload("\0" x 16));
emit(payload($cookie ^ "\1" . "\0" x 15));
emit(unpack 'H*', 'garbage');
emit('');
emit(unpack('H*', "\x02"));
$feed->is('', 'messages of a plain role with a guessed cookie are ignored');

emit(payload($cookie), prefix => 'dbnetx');
emit(payload($cookie), prefix => 'dbne');
emit(payload($cookie), prefix => '');
emit(payload($cookie), transactional => 'false');
emit(payload($cookie), database => 'other', role => 'postgres');
$feed->is('', 'so are other prefixes, messages outside a transaction and those of other databases');

my $whole = payload($cookie);
emit(substr $whole, 0, $_ * 2) for grep { $_ != 29 } 1 .. length($whole) / 2 - 1;
$feed->is('', 'damaged messages are ignored, wherever they are cut off');

emit($whole);
$feed->is('D |victim', 'the cookie is what makes the difference');

$node->restart;
my $after = DBNet::Feed->new($node, create => 0)->start;
emit($whole);
$after->is('', 'the cookie of an earlier server start is worth nothing');
$feed->sql(q{INSERT INTO net.nodes VALUES ('mine too')});
$after->is('I |mine too', 'the new one counts');
$after->quit;

$node->no_crash_in_log;
done_testing();
