# An API server that vanishes without a word, as when a cable is cut: no FIN, no RST, no answer to a packet. Its watches and
# requests notice, whoever has another server goes on meanwhile, and when it is there again all is sent.
use DBNet::OwnNetwork;
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::NearAndFar;
use DBNet::Process;
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(time);

DBNet::Need::need('own_servers', 'own_network');
my $api = DBNet::Api->start(nodes_ready => 0, controllers => 0, proxy => 0);
my $node = DBNet::Cluster->started('vanished_peer');
my $space = $api->namespace;
my ($port) = $api->url =~ /:(\d+)/;
my $relay_port = DBNet::Process::free_port();

# Between the database and the API server. USR1: vanish; USR2: be there again, with none of the connections.
sub relay {
    my $is_away = 0;
    my ($wanted, %peer) = (0);
    local $SIG{USR1} = sub { $wanted = 1 };
    local $SIG{USR2} = sub { $wanted = 0 };
    local $SIG{PIPE} = 'IGNORE';
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $relay_port, Listen => 64, ReuseAddr => 1) or die "listen: $!";
    STDOUT->autoflush(1);
    my (@clients, $readable);
    while (1) {
        if ($wanted && !$is_away) {
            DBNet::OwnNetwork::cut_off($_) for $listener, grep { defined fileno $_ } @clients;
            $is_away = 1;
            print "away\n";
        } elsif (!$wanted && $is_away) {
            $_->close for map { @$_ } values %peer;
            (%peer, @clients) = ();
            DBNet::OwnNetwork::join_again($listener);
            $is_away = 0;
            print "there\n";
        }
        if ($is_away) { select undef, undef, undef, 0.05; next }
        $readable = IO::Select->new($listener, map { $_->[0] } values %peer);
        for my $from ($readable->can_read(0.05)) {
            if ($from == $listener) {
                my $client = $listener->accept or next;
                my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or die "connect: $!";
                push @clients, $client;
                $peer{ fileno $client } = [ $client, $server ];
                $peer{ fileno $server } = [ $server, $client ];
                next;
            }
            my $pair = $peer{ fileno($from) // next } // next;    # it may have gone with its peer just now
            my ($size, $to) = (sysread($from, my $bytes, 65536), $pair->[1]);
            if (!$size) {
                delete @peer{ map { fileno $_ } @$pair };
                $_->close for @$pair;
                next;
            }
            while (length $bytes) { my $sent = syswrite($to, $bytes) // last; substr $bytes, 0, $sent, '' }
        }
    }
}
my $log = "$ENV{TESTLOGDIR}/relay.log";
my $relay = DBNet::Process->start(name => 'relay', log => $log, code => \&relay);
my $times = sub { my ($word) = @_; return scalar(() = PostgreSQL::Test::Utils::slurp_file($log) =~ /^$word$/mg) };

DBNet::NearAndFar::set_up($node, $api, PostgreSQL::Test::Utils::slurp_file($api->kubeconfig) =~ s/:$port\b/:$relay_port/r);

my $began = time;
my $note = sub { note(sprintf '%s: %.0f s', $_[0], time - $began) };
$relay->signal('USR1');
$api->wait_until(sub { $times->('away') == 1 }, 'one vanishes');
$node->psql_ok(q{UPDATE net.far SET data = '{"turn": "1"}'}, 'a change of its row');
$node->psql_ok(q{INSERT INTO net.near (name, data) SELECT 'n-' || n, '{"v": "1"}' FROM generate_series(1, 50) AS n}, 'rows of the other');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s', 'net.near')}, '', 'are sent meanwhile');
# 45 s; a watch by itself lasts for five minutes at least.
$node->wait_for(q{SELECT phase IN ('pending', 'uncertain') AND message <> '' FROM dbnet.object WHERE name = 'far'}, 'the request has noticed', timeout => 180);
$note->('the request has noticed');
$node->wait_for(q{SELECT state FROM dbnet.mirror_status WHERE server = 'far'}, 'so has the watch', expected => 'degraded', timeout => 180);
$note->('the watch has noticed');
$node->query_is(q{SELECT state FROM dbnet.mirror_status WHERE server = 'near'}, 'synced', 'the other one is well');
$api->expect_success($api->create("/api/v1/namespaces/$space/configmaps", { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'by-others', labels => { of => 'far' } }, data => { turn => 'theirs' } }));

$relay->signal('USR2');
$api->wait_until(sub { $times->('there') == 1 }, 'it is there again');
$node->wait_for(q{SELECT phase || (live -> 'data' ->> 'turn') FROM dbnet.object WHERE name = 'far'}, 'the change is sent', expected => 'synced1');
$node->wait_for(q{SELECT data ->> 'turn' FROM net.far WHERE name = 'by-others'}, 'what was done meanwhile is seen', expected => 'theirs');
$node->wait_for(q{SELECT DISTINCT state FROM dbnet.mirror_status}, 'both are watched', expected => 'synced');

$relay->stop;
$node->no_crash_in_log;
done_testing();
