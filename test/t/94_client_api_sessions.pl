# The sessions of the client API: one role each, no more than settings and roles allow, cancelled when nobody waits, ended
# when idle; what becomes of requests when a session or the server dies; how databases are dropped under them.
use strict;
use warnings FATAL => 'all';
use DBNet::ClientApi;
use DBNet::Cluster;
use DBNet::Wait qw(wait_until);
use IO::Select;
use IO::Socket::INET;
use PostgreSQL::Test::Utils ();
use Test::More;

my $node = DBNet::Cluster->started('main', conf => "dbnet.api_sessions = 3\nmax_worker_processes = 12");
my $api  = DBNet::ClientApi->new($node);
$node->psql_ok(q{CREATE ROLE a LOGIN; CREATE ROLE b LOGIN; CREATE ROLE c LOGIN; CREATE ROLE d LOGIN; CREATE TABLE public.done (who text, n integer);
    GRANT INSERT, SELECT ON public.done TO a, b, c, d}, 'roles');
my %token = map { $_ => $api->token($_, "token of $_") } qw(a b c d);
my $sessions = q{SELECT string_agg(usename, ',' ORDER BY usename, pid) FROM pg_stat_activity WHERE backend_type = 'dbnet api session'};
my $write = sub {
    my ($who, $n, $pause) = @_;
    return $api->post($token{$who}, '/transactions', { operations => [ { execute => { statement => 'INSERT INTO done VALUES (current_user, $1)', parameters => [$n] } },
        { execute => { statement => 'SELECT pg_sleep($1)', parameters => [ $pause // 0 ] } } ] })->{status};
};
my $sleeping = sub { my ($role) = @_; return qq{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'dbnet api session' AND usename = '$role' AND state = 'active'} };

# --- one process serves a role's requests one after the other; it is not shared with another role ---
is($write->('a', $_), 200, "request $_") for 1 .. 3;
$node->query_is($sessions, 'a', 'one session');
is($write->('b', 1), 200, 'of another role');
$node->query_is($sessions, 'a,b', 'a session of its own');

# --- many at once, of several roles: no more sessions than dbnet.api_sessions, and all are served ---
my @all = map { my $n = $_; map { my $who = $_; sub { $write->($who, $n, 0.05) } } qw(a b c d) } 10 .. 15;
my %statuses;
$statuses{$_}++ for $api->at_once(@all);
is_deeply(\%statuses, { 200 => 24 }, '24 requests of four roles at once');
$node->query_is('SELECT who, count(*) FROM done WHERE n >= 10 GROUP BY 1 ORDER BY 1', "a|6\nb|6\nc|6\nd|6", 'each was carried out once, as its role');
$node->query_is(q{SELECT count(*) <= 3 FROM pg_stat_activity WHERE backend_type = 'dbnet api session'}, 't', 'in three sessions at most');

# --- limits of the role ---
$node->psql_ok('ALTER ROLE a CONNECTION LIMIT 1', 'a role with one connection');
my @two = $api->at_once(sub { $write->('a', 20, 0.5) }, sub { $write->('a', 21, 0.5) });
is("@two", '200 200', 'its requests wait for each other');
$node->query_is(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dbnet api session' AND usename = 'a'}, '1', 'in one session');
$node->psql_ok('ALTER ROLE a CONNECTION LIMIT 0', 'a role without any');
$api->answers($api->get($token{a}, '/schemas'), 503, 'is refused', '53300', qr/too many connections for role "a"/);
$node->psql_ok('ALTER ROLE a CONNECTION LIMIT -1', 'without a limit again');
is($write->('a', 22), 200, 'it is served again');

# --- settings of the role are those of a login, also when they change while a session is there ---
is($api->rows($token{a}, 'SHOW work_mem')->[0]{work_mem}, '4MB', 'a setting');
$node->psql_ok(q{ALTER ROLE a SET work_mem = '7MB'}, 'ALTER ROLE … SET');
is($api->rows($token{a}, 'SHOW work_mem')->[0]{work_mem}, '7MB', 'is in force in the next request');
$node->psql_ok(q{ALTER ROLE a IN DATABASE postgres SET statement_timeout = '300ms'}, 'a time limit of the role');
$api->answers($api->post($token{a}, '/transactions', { operations => [ { execute => { statement => 'SELECT pg_sleep(30)' } } ] }), 504, 'is kept', '57014', qr/statement timeout/);
$node->psql_ok(q{ALTER ROLE a IN DATABASE postgres RESET statement_timeout}, 'none again');
$api->answers($api->post($token{a}, '/query', { statement => 'SELECT pg_sleep(30)', timeout => 100 }), 504, 'a query\'s own time limit', '57014');
$api->answers($api->post($token{a}, '/query', { statement => q{DO $$ BEGIN PERFORM pg_sleep(30); EXCEPTION WHEN query_canceled THEN PERFORM pg_sleep(30); END $$}, timeout => 100 }),
    504, 'who catches it is cancelled again', '57014');

# --- nobody waits any more: what runs is cancelled, what waits is not begun ---
{
    my $hasty = bless { %$api, timeout => 1 }, ref $api;
    $hasty->post($token{b}, '/transactions', { operations => [ { execute => { statement => q{INSERT INTO done VALUES ('hasty', 1)} } }, { execute => { statement => 'SELECT pg_sleep(600)' } } ] });
    $node->wait_for(q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'dbnet api session' AND state = 'active')}, 'the statement is cancelled when the client hangs up');
    $node->query_is(q{SELECT count(*) FROM done WHERE who = 'hasty'}, '0', 'and rolled back');
    is($write->('b', 30), 200, 'the session goes on');
}

# --- who hangs up before the session has seen the request: it is not begun ---
{
    my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'dbnet api session' AND usename = 'b'});
    kill 'STOP', $pid;
    my $hasty = bless { %$api, timeout => 1 }, ref $api;
    $hasty->post($token{b}, '/transactions', { operations => [ { execute => { statement => q{INSERT INTO done VALUES ('early', 1)} } } ] });
    my $pending = 0;
    for (1 .. 80) { # until it is told; it is ended after 10 s
        open my $status, '<', "/proc/$pid/status" or die "status of $pid: $!";
        ($pending) = map { /^ShdPnd:\s*([0-9a-f]+)/ ? hex($1) & 2 : () } <$status>;
        last if $pending;
        select undef, undef, undef, 0.1;
    }
    kill 'CONT', $pid;
    ok($pending, 'a session is told before it has seen the request');
    is($write->('b', 31), 200, 'it serves the next one');
    $node->query_is(q{SELECT count(*) FROM done WHERE who = 'early'}, '0', 'and has not begun the other');
}

# --- a session that is terminated ---
my ($status) = $api->at_once(sub {
        my $answer = $api->post($token{c}, '/calls', { name => 'pg_sleep', arguments => [600] });
        return "$answer->{status} $answer->{content}";
    }, sub {
        $node->poll_query_until('postgres', $sleeping->('c'));
        $node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'dbnet api session' AND usename = 'c'});
        return '';
    });
like($status, qr/^500 .*"57P01".*Whether the request was carried out is not known/, 'its client is told');
is($write->('c', 40), 200, 'the next request gets another one');

# --- no process is to be had: the request waits, and says why when none comes ---
$node->psql_ok(q{ALTER ROLE d SET session_preload_libraries = 'no_such_library'}, 'a role that cannot begin a session');
$api->answers($api->get($token{d}, '/schemas'), 500, 'its client gets the server\'s words', '58P01', qr/no_such_library/);
$node->psql_ok(q{ALTER ROLE d RESET session_preload_libraries}, 'it can again');
is($write->('d', 41), 200, 'and is served');

# --- idle sessions end ---
$node->append_conf('postgresql.conf', "dbnet.api_idle_timeout = '1s'");
$node->reload;
$node->wait_for($sessions =~ s/string_agg\(.*\) FROM/count(*) = 0 FROM/r, 'idle sessions end');
is($write->('a', 50), 200, 'and begin again');

# --- a role that is dropped ---
$node->psql_ok('DROP OWNED BY d; DROP ROLE d', 'a role is dropped');
$api->answers($api->get($token{d}, '/schemas'), 401, 'its token is void', undef, qr/role of the token was dropped/);

# --- a database is dropped while a request runs in it ---
$node->psql_ok('CREATE DATABASE shop', 'another database');
$node->psql_ok('CREATE EXTENSION dbnet', 'with the extension', database => 'shop');
my $port = PostgreSQL::Test::Cluster::get_free_port();
$node->psql_ok("ALTER DATABASE shop SET dbnet.api_listen = '127.0.0.1:$port'", 'and an API of its own');
$node->restart;
my $shop = bless { %$api, port => $port, url => "http://127.0.0.1:$port/api/v1" }, ref $api;
$shop->wait_until_served;
my $shop_token = $node->safe_psql('shop', q{SELECT dbnet.create_token('a', 'shop')});
is($shop->rows($shop_token, 'SELECT current_database() AS d')->[0]{d}, 'shop', 'it is served there');
$api->answers($api->get($shop_token, '/schemas'), 401, 'its token is none of the other database\'s');
my ($lost, $dropped) = $api->at_once(sub { $shop->post($shop_token, '/calls', { name => 'pg_sleep', arguments => [600] })->{status} }, sub {
        $node->poll_query_until('postgres', $sleeping->('a'));
        return ($node->run_sql('DROP DATABASE shop'))[0];
    });
is($dropped, 0, 'DROP DATABASE ends the session');
isnt($lost, 200, 'and the request');

# --- kill -9 of a session: the server restarts, as for any process, and serves again ---
is($write->('a', 60), 200, 'before');
my $worker = $node->worker_pid('api worker');
ok(wait_until(sub {
    my ($pid) = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'dbnet api session' AND datname = 'postgres' AND state = 'idle' ORDER BY backend_start DESC LIMIT 1});
    return $pid && kill 'KILL', $pid; # or it has ended by itself
}), 'a session is killed');
$node->worker_pid('api worker', other_than => $worker);
$api->wait_until_served;
is($write->('a', 61), 200, 'after');
$node->query_is('SELECT count(*) FROM done WHERE n IN (60, 61)', '2', 'nothing was lost or done twice');

# --- too many wait: who comes then is told to come later; when all hang up nothing of it is left ---
{
    $node->append_conf('postgresql.conf', 'dbnet.api_sessions = 1');
    $node->reload;
    my $body = '{"name": "pg_sleep", "arguments": [600]}';
    my $request = join "\r\n", 'POST /api/v1/calls HTTP/1.1', 'Host: here', "Authorization: Bearer $token{a}", 'Content-Type: application/json', 'Content-Length: ' . length $body, '', $body;
    my @clients = map {
        my $client = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $api->{port}) or die "connect: $!";
        print {$client} $request;
        $client->flush;
        $client;
    } 1 .. 260; # more than run and wait, 1 and 256
    my ($ready) = IO::Select->new(@clients)->can_read(60);
    my $answer = $ready ? do { sysread $ready, my $text, 4096; $text } : 'none';
    like($answer, qr{^HTTP/1\.1 429 .*^Retry-After: 1\r.*too many requests wait}ms, 'one more than can wait is told to come later');
    close $_ for @clients;
    $node->wait_for(q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'dbnet api session' AND state = 'active')}, 'the others are not begun when they hang up');
    is($write->('b', 70), 200, 'the next one is served');
}

# --- the listener opens anew: who had not begun may send again, of who had nobody knows ---
{
    my @clients = map {
        my ($name, $argument) = @$_;
        my $body = qq({"name": "$name", "arguments": [$argument]});
        my $client = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $api->{port}) or die "connect: $!";
        print {$client} join "\r\n", 'POST /api/v1/calls HTTP/1.1', 'Host: here', "Authorization: Bearer $token{a}", 'Content-Type: application/json', 'Content-Length: ' . length $body, '', $body;
        $client->flush;
        $node->wait_for(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dbnet api session' AND state = 'active'}, "$name is asked for");
        $client;
    } [ 'pg_sleep', 600 ], [ 'upper', '"x"' ];
    is($api->get($token{a}, '/no_such')->{status}, 404, 'both have been read');
    $node->append_conf('postgresql.conf', "dbnet.gateway_body_limit = '3MB'");
    $node->reload;
    my @answers = map { my $client = $_; IO::Select->new($client)->can_read(60) ? do { sysread $client, my $text, 4096; $text } : 'none' } @clients;
    like($answers[0], qr{^HTTP/1\.1 500 .*57P01.*Whether the request was carried out is not known}s, 'one that runs is not to be sent again');
    like($answers[1], qr{^HTTP/1\.1 (?:503 .*^Retry-After: 1\r.*the request was cancelled|200 .*"X")}ms, 'one that waits is, unless a new session got to it first');
    is($write->('b', 71), 200, 'the next one is served');
}

# --- a dump has no tokens: a copy does not let in who may enter the original ---
my ($dump) = PostgreSQL::Test::Utils::run_command([ 'pg_dump', '-h', $node->host, '-p', $node->port, 'postgres' ]);
ok($dump =~ /CREATE EXTENSION.*dbnet/ && $dump !~ /COPY dbnet\.token/, 'tokens are not dumped');

# --- a port that is taken is tried again ---
{
    my $taken = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1, ReuseAddr => 1) or die "listen: $!";
    my $number = $taken->sockport;
    $node->append_conf('postgresql.conf', "dbnet.api_listen = '127.0.0.1:$number'");
    $node->restart;
    $node->wait_for(q{SELECT last_error LIKE '%Address already in use%' FROM dbnet.worker WHERE process = 'api worker'}, 'a port that is taken');
    $taken->close;
    my $elsewhere = bless { %$api, url => "http://127.0.0.1:$number/api/v1" }, ref $api;
    $elsewhere->wait_until_served;
}

# --- beyond loopback only with TLS ---
$node->append_conf('postgresql.conf', "dbnet.api_listen = '0.0.0.0:$port'");
$node->restart;
$node->wait_for(q{SELECT last_error LIKE '%does not listen there without TLS%' FROM dbnet.worker WHERE process = 'api worker'}, 'without TLS nothing beyond loopback');


# --- with TLS it is served, also beyond loopback, and certificates of clients are asked for when somebody signs them ---
my $files = PostgreSQL::Test::Utils::tempdir();
for my $name ('server', 'client') {
    PostgreSQL::Test::Utils::run_log([ 'openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', "/CN=$name",
        '-addext', 'subjectAltName = IP:127.0.0.1', '-keyout', "$files/$name.key", '-out', "$files/$name.pem" ]);
}
$node->append_conf('postgresql.conf', "dbnet.gateway_certificate_file = '$files/server.pem'\ndbnet.gateway_key_file = '$files/server.key'");
$node->restart;
my $curl = sub {
    my ($out) = PostgreSQL::Test::Utils::run_command([ 'curl', '-s', '--max-time', '30', '--retry', '20', '--retry-connrefused', '--retry-delay', '1', '--cacert', "$files/server.pem",
        '-H', "Authorization: Bearer $token{a}", @_, "https://127.0.0.1:$port/api/v1/schemas?schema=public" ]);
    return $out;
};
like($curl->(), qr/"name": "public"/, 'served with TLS');
$node->append_conf('postgresql.conf', "dbnet.gateway_client_ca_file = '$files/client.pem'");
$node->reload;
my $refused = '?';
for (1 .. 100) { # until the worker has read the configuration
    $refused = $curl->();
    last if $refused eq '';
    select undef, undef, undef, 0.1;
}
is($refused, '', 'a client without certificate is refused');
like($curl->('--cert', "$files/client.pem", '--key', "$files/client.key"), qr/"name": "public"/, 'one with a certificate comes in');

# --- the extension goes, and its processes with it ---
$node->psql_ok('DROP EXTENSION dbnet', 'the extension is dropped');
$node->wait_for(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'dbnet api %'}, 'worker and sessions are gone');

done_testing();
