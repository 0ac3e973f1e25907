# A network of the test's own, in which packets may be lost. Who is not root may have one in a user namespace: this module,
# used before any other, runs the program again in one, where the servers that it starts are, too.
#
#   use DBNet::OwnNetwork;                         # first
#   DBNet::Need::need('own_network');
#   DBNet::OwnNetwork::cut_off($socket);           # every packet to this socket is lost: nobody is there
#   DBNet::OwnNetwork::join_again($socket);
#   DBNet::OwnNetwork::names('far.example');       # resolve to 127.0.0.1; the lookup of any other hangs for minutes
package DBNet::OwnNetwork;

use strict;
use warnings FATAL => 'all';
use Socket qw(AF_INET INADDR_ANY SOCK_DGRAM SOL_SOCKET pack_sockaddr_in);

use constant { SIOCSIFFLAGS => 0x8914, IFF_UP => 1, SO_ATTACH_FILTER => 26, SO_DETACH_FILTER => 27 };

BEGIN {
    if (!defined $ENV{DBNET_HAS_NETWORK}) {
        my @command = qw(unshare --user --map-current-user --keep-caps --net --mount);
        $ENV{DBNET_HAS_NETWORK} = system("@command true > /dev/null 2>&1") == 0 ? 1 : 0;
        exec @command, $^X, (map { "-I$_" } @INC), $0, @ARGV if $ENV{DBNET_HAS_NETWORK};
    }
}
if (is_possible()) {
    socket(my $any, AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
    my $up = pack 'Z16 s x22', 'lo', IFF_UP;
    ioctl($any, SIOCSIFFLAGS, $up) or die "loopback interface: $!";
}

sub is_possible { return $ENV{DBNET_HAS_NETWORK} }

sub cut_off {
    my ($socket) = @_;
    my $drop_all = pack 'S C C L', 0x06, 0, 0, 0;    # BPF: return 0
    setsockopt($socket, SOL_SOCKET, SO_ATTACH_FILTER, pack('S x6 P', 1, $drop_all)) or die "SO_ATTACH_FILTER: $!";
    return;
}

sub join_again {
    my ($socket) = @_;
    setsockopt($socket, SOL_SOCKET, SO_DETACH_FILTER, pack 'i', 0) or die "SO_DETACH_FILTER: $!";
    return;
}

# Three name servers that never say a word, each of which is given five times 30 s.
my %content = (
    '/etc/nsswitch.conf' => "hosts: files dns\n",
    '/etc/resolv.conf'   => join('', map { "nameserver 127.0.0.$_\n" } 1 .. 3) . "options timeout:30 attempts:5\n",
    '/etc/hosts'         => "127.0.0.1 localhost\n",
);
my $name_server;

sub names {
    my @names = @_;
    if (!$name_server) {
        socket($name_server, AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
        bind($name_server, pack_sockaddr_in(53, INADDR_ANY)) or die "port 53: $!";
        for my $file (sort keys %content) {
            put("$ENV{TESTDATADIR}/names", $content{$file});
            system('mount', '--bind', "$ENV{TESTDATADIR}/names", $file) == 0 or die "cannot mount $file\n";
            unlink "$ENV{TESTDATADIR}/names";
        }
    }
    return put('/etc/hosts', join '', $content{'/etc/hosts'}, map { "127.0.0.1 $_\n" } @names);
}

sub put {
    my ($file, $text) = @_;
    open my $out, '>', $file or die "$file: $!";
    print $out $text;
    close $out or die "$file: $!";
    return;
}

1;
