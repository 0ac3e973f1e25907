# OTLP/HTTP as the specification and the OpenTelemetry Collector have it, told by the bytes on the wire: what is taken,
# what is refused with which status and body, and that an answer of 200 means rows.
use strict;
use warnings FATAL => 'all';
use Compress::Zlib ();
use DBNet::Cluster;
use DBNet::Gateway;
use Test::More;
use DBNet::Wait qw(wait_until);

my $node = DBNet::Cluster->started('gateway_http');
my $gateway = DBNet::Gateway->open($node);
my $protobuf = 'application/x-protobuf';
my $json = $DBNet::Gateway::json;

sub spans { return $node->safe_psql('postgres', 'SELECT count(*) FROM otel.spans') }

sub refused {
    my ($answer, $status, $pattern, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $said = eval { $json->decode($answer->{body}) } // {};
    ok($answer->{status} == $status && $answer->{headers}{'content-type'} eq 'application/json' && ($said->{message} // '') =~ $pattern
          && ($said->{code} // 0) > 0, $name)
      or diag("wanted $status and $pattern: " . explain($answer));
    return $answer;
}

subtest 'what is good is taken: 200, the request\'s media type, and an empty answer' => sub {
    for my $case ([ '/v1/traces', DBNet::Gateway::traces(3) ], [ '/v1/metrics', DBNet::Gateway::metrics(2) ], [ '/v1/logs', DBNet::Gateway::logs(4) ]) {
        my ($path, $body) = @$case;
        my $answer = $gateway->post($path, body => $body);
        is("$answer->{status} $answer->{headers}{'content-type'} $answer->{body}", '200 application/json {}', $path);
    }
    $node->query_is('SELECT (SELECT count(*) FROM otel.spans), (SELECT count(*) FROM otel.number_points), (SELECT count(*) FROM otel.logs)', '3|2|4',
        'and is there');
    # ExportTraceServiceRequest {resource_spans {scope_spans {spans {trace_id, span_id, name}}}}
    my $span = "\x0a\x10" . ("\x01" x 16) . "\x12\x08" . ("\x02" x 8) . "\x2a\x03pbx";
    my $scope_spans = "\x12" . chr(length $span) . $span;
    my $resource_spans = "\x12" . chr(length $scope_spans) . $scope_spans;
    my $answer = $gateway->post('/v1/traces', type => $protobuf, body => "\x0a" . chr(length $resource_spans) . $resource_spans);
    is("$answer->{status} $answer->{headers}{'content-type'} [$answer->{body}]", "200 $protobuf []", 'protobuf: an answer of no bytes');
    $node->query_is(q{SELECT trace_id, span_id, name FROM otel.spans WHERE name = 'pbx'}, ('01' x 16) . '|' . ('02' x 8) . '|pbx', 'and is there');
};

subtest 'a hook that does not come to its end costs nothing but itself' => sub {
    $node->psql_ok(q{CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1000); RETURN NULL; END'; SELECT otel.on_batch('hang()')}, 'a hook');
    my $before = spans();
    is($gateway->post('/v1/traces', body => DBNet::Gateway::traces(3))->{status}, 200, 'status');
    is(spans() - $before, 3, 'is there');
    $node->psql_ok(q{SELECT otel.remove_on_batch('hang()')}, 'remove it');
};

subtest 'a hook that fails is told of once a minute, one that is made anew is called' => sub {
    $node->psql_ok(q{CREATE TABLE hooked (n bigint); CREATE FUNCTION count_them() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''not today''; END'; SELECT otel.on_batch('count_them()')}, 'a hook');
    my $start = $node->log_position;
    my $before = spans();
    is($gateway->post('/v1/traces', body => DBNet::Gateway::traces(2))->{status}, 200, 'taken') for 1 .. 3;
    is(spans() - $before, 6, 'and there');
    my @told = $node->log_since($start) =~ /WARNING:  function public\.count_them\(\) of otel\.on_batch failed: not today/g;
    is(scalar @told, 1, 'the log says it once');
    $node->psql_ok(q{DROP FUNCTION count_them(); CREATE FUNCTION count_them() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.hooked SELECT count(*) FROM new_spans; RETURN NULL; END'}, 'made anew');
    is($gateway->post('/v1/traces', body => DBNet::Gateway::traces(4))->{status}, 200, 'taken');
    $node->query_is('TABLE hooked', '4', 'the function has run');
    $node->psql_ok(q{DROP FUNCTION count_them(); SELECT otel.remove_on_batch('public.count_them()')}, 'removed when it is gone');
    is($gateway->post('/v1/traces', body => DBNet::Gateway::traces(1))->{status}, 200, 'taken');
};

subtest 'requests with nothing in them are good' => sub {
    my $before = spans();
    for my $case ([ $protobuf, '' ], [ 'application/json', '{}' ], [ 'application/json', '{"resourceSpans":[]}' ],
        [ 'application/json', '{"resourceSpans":[{"scopeSpans":[{"spans":[]}]}]}' ], [ $protobuf, "\x0a\x00" ]) {
        my $answer = $gateway->post('/v1/traces', type => $case->[0], body => $case->[1]);
        is("$answer->{status} $answer->{body}", '200 ' . ($case->[0] eq $protobuf ? '' : '{}'), "$case->[0] of " . length($case->[1]) . ' bytes');
    }
    is(spans(), $before, 'nothing is written');
};

subtest 'a part that is bad costs that part' => sub {
    my $request = $json->decode(DBNet::Gateway::traces(3, name => 'partly'));
    $request->{resourceSpans}[0]{scopeSpans}[0]{spans}[1]{traceId} = '';
    my $answer = $gateway->post('/v1/traces', body => $json->encode($request));
    my $partial = $json->decode($answer->{body})->{partialSuccess};
    is($answer->{status}, 200, 'status');
    is($partial->{rejectedSpans}, '1', 'how many, a number as text');
    like($partial->{errorMessage}, qr/trace_?id/i, 'and why');
    $node->query_is(q{SELECT count(*) FROM otel.spans WHERE name = 'partly'}, '2', 'the others are there');
    $node->query_is('SELECT items, rejected FROM otel.batch ORDER BY batch_id DESC LIMIT 1', '2|1', 'and the request is on record');
};

subtest 'what is kept otherwise than it was sent is told, and nothing is rejected' => sub {
    my $request = $json->decode(DBNet::Gateway::traces(2, name => 'warned'));
    $request->{resourceSpans}[0]{scopeSpans}[0]{spans}[1]{name} = "warned\0";
    my $answer = $gateway->post('/v1/traces', body => $json->encode($request));
    my $partial = $json->decode($answer->{body})->{partialSuccess};
    is("$answer->{status} " . ($partial->{rejectedSpans} // 0), '200 0', 'none');
    like($partial->{errorMessage}, qr/U\+0000/, 'a warning');
    $node->query_is(q{SELECT count(*) FROM otel.spans WHERE name LIKE 'warned%'}, '2', 'both are there');
    $node->query_is('SELECT items, rejected FROM otel.batch ORDER BY batch_id DESC LIMIT 1', '2|0', 'as the request is on record');
};

subtest 'an answer is short, whatever there is to say' => sub {
    my $request = $json->decode(DBNet::Gateway::traces(2000, name => 'x' x 5000));
    $_->{traceId} = '' for @{ $request->{resourceSpans}[0]{scopeSpans}[0]{spans} };
    my $answer = $gateway->post('/v1/traces', body => $json->encode($request));
    is($json->decode($answer->{body})->{partialSuccess}{rejectedSpans}, '2000', 'of ten megabytes that are rejected');
    cmp_ok(length $answer->{body}, '<', 5000, 'a few lines');
    $answer = refused($gateway->post('/v1/traces', body => '{}', headers => [ 'Content-Encoding: ' . 'x' x 10_000 ]), 400, qr/unsupported Content-Encoding/, 'of a header that is refused');
    cmp_ok(length $answer->{body}, '<', 5000, 'a few lines');
};

subtest 'browsers of other origins are not let in' => sub {
    my $origin = 'Origin: https://shop.example';
    my $preflight = $gateway->request('OPTIONS', '/v1/traces', headers => [ $origin, 'Access-Control-Request-Method: POST', 'Access-Control-Request-Headers: content-type' ]);
    is($preflight->{status}, 405, 'a preflight');
    my $answer = $gateway->post('/v1/traces', body => DBNet::Gateway::traces(1), headers => [$origin]);
    is($answer->{status}, 200, 'a request that comes without one is answered');
    is(join(' ', grep { /^access-control/ } map { keys %{ $_->{headers} } } $preflight, $answer), '', 'and neither tells the browser that it may read that');
};

subtest 'what cannot be read is 400 with a google.rpc.Status, and is not to be sent again' => sub {
    my $violation = sub {
        my ($body, $pattern, $name, @headers) = @_;
        my $said = $json->decode(refused($gateway->post('/v1/traces', body => $body, headers => \@headers), 400, $pattern, $name)->{body});
        is(join(' ', map { $_->{'@type'} } @{ $said->{details} }), 'type.googleapis.com/google.rpc.BadRequest', 'with what is bad of it');
        my @violations = @{ $said->{details}[0]{fieldViolations} };
        is(scalar @violations, 1, 'one thing');
        is($violations[0]{description}, $said->{message}, 'as the message says');
        return $violations[0]{field};
    };
    is($violation->('{"resourceSpans":[{}', qr/JSON/, 'JSON that is cut'), undef, 'nobody knows where');
    is($violation->('{"resourceSpans":[{},{"scopeSpans" 5}]}', qr/JSON/, 'JSON that is none'), 'resourceSpans[1]', 'the place');
    is($violation->('', qr/JSON/, 'no JSON'), undef, 'all of it');
    is($violation->('{"resourceSpans":[{},{"scopeSpans":5}]}', qr/scopeSpans is no array/, 'another type'), 'resourceSpans[1].scopeSpans', 'the place');
    is($violation->('{}', qr/Content-Encoding: br/, 'a coding', 'Content-Encoding: br'), 'Content-Encoding', 'the header');
    $node->safe_psql('postgres', q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''not that''; END';
        CREATE TRIGGER refuse BEFORE INSERT ON otel.spans FOR EACH ROW EXECUTE FUNCTION refuse()});
    is($violation->(DBNet::Gateway::traces(1), qr/the database says: not that/, 'a trigger refuses'), undef, 'in its words');
    $node->safe_psql('postgres', 'DROP FUNCTION refuse() CASCADE');
    # resource_spans {scope_spans {spans {}, spans (cut)}}
    my $answer = $gateway->post('/v1/traces', type => $protobuf, body => "\x0a\x07\x12\x05\x12\x00\x12\x01\x0a");
    my $message = 'the body is no protobuf of an OTLP request: end of buffer exception';
    my $field = sub { my ($tag, $bytes) = @_; return chr($tag) . (length $bytes < 128 ? chr(length $bytes) : chr(128 | length($bytes) & 127) . chr(length($bytes) >> 7)) . $bytes };
    my $bad_request = $field->(0x0a, $field->(0x0a, 'resourceSpans[0].scopeSpans[0].spans[1]') . $field->(0x12, $message));
    is("$answer->{status} $answer->{headers}{'content-type'}", "400 $protobuf", 'protobuf');
    is($answer->{body}, "\x08\x03" . $field->(0x12, $message) . $field->(0x1a, $field->(0x0a, 'type.googleapis.com/google.rpc.BadRequest') . $field->(0x12, $bad_request)),
        'code, message and details, as protobuf');
    ok(!defined $answer->{headers}{'retry-after'}, 'no Retry-After');
};

subtest 'media types' => sub {
    for my $type ('application/json; charset=utf-8', 'APPLICATION/JSON', 'Application/Json;x=y') {
        is($gateway->post('/v1/traces', type => $type, body => '{}')->{status}, 200, $type);
    }
    for my $type (undef, 'text/plain', 'application/protobuf', '') {
        my $answer = $gateway->post('/v1/traces', type => $type, body => '{}');
        is("$answer->{status} $answer->{headers}{'content-type'} $answer->{body}",
            '415 text/plain 415 unsupported media type, supported: [application/json, application/x-protobuf]', $type // 'none');
    }
};

subtest 'methods and paths' => sub {
    for my $method ('GET', 'PATCH', 'PUT', 'DELETE', 'OPTIONS') {
        my $answer = $gateway->request($method, '/v1/traces', type => 'application/json');
        is("$answer->{status} $answer->{headers}{'content-type'} $answer->{headers}{allow} $answer->{body}",
            '405 text/plain POST 405 method not allowed, supported: [POST]', $method);
    }
    is($gateway->post($_, body => '{}')->{status}, 404, $_) for '/', '/v1/trace', '/v1/traces/', '/opentelemetry.proto.collector.trace.v1.TraceService/Export';
    is($gateway->get('/healthz')->{body}, "ok\n", 'health');
    is($gateway->get('/readyz')->{body}, "ready\n", 'readiness');
    is($gateway->post('/metrics', body => '')->{status}, 405, 'metrics are read');
};

subtest 'compressed bodies' => sub {
    my $before = spans();
    my $body = DBNet::Gateway::traces(5, name => 'packed');
    is($gateway->post('/v1/traces', body => Compress::Zlib::memGzip($body), headers => ["Content-Encoding: $_"])->{status}, 200, $_) for 'gzip', 'GZIP', 'x-gzip';
    is($gateway->post('/v1/traces', body => $body, headers => ["Content-Encoding: $_"])->{status}, 200, $_) for 'identity', 'none';
    my $file = PostgreSQL::Test::Utils::tempdir() . '/body';
    PostgreSQL::Test::Utils::append_to_file($file, $body);
    if (system("zstd -q $file -o $file.zst 2>/dev/null") == 0) {
        is($gateway->post('/v1/traces', body => PostgreSQL::Test::Utils::slurp_file("$file.zst"), headers => ['Content-Encoding: zstd'])->{status}, 200, 'zstd');
    }
    cmp_ok(spans(), '>=', $before + 25, 'are there');
    refused($gateway->post('/v1/traces', body => $body, headers => ['Content-Encoding: gzip']), 400, qr/decompress/, 'what is not gzip');
    refused($gateway->post('/v1/traces', body => substr(Compress::Zlib::memGzip($body), 0, -9), headers => ['Content-Encoding: gzip']), 400, qr/decompress/, 'cut gzip');
    refused($gateway->post('/v1/traces', body => $body, headers => ['Content-Encoding: br']), 400, qr/unsupported Content-Encoding: br/, 'another coding');
};

subtest 'bodies above the limit, also after decompression' => sub {
    $node->safe_psql('postgres', 'ALTER SYSTEM SET dbnet.gateway_body_limit = 64; SELECT pg_reload_conf()');
    $node->wait_for(q{SELECT setting = '64' FROM pg_settings WHERE name = 'dbnet.gateway_body_limit'}, 'limit set');
    my $large = '{"x":"' . ('x' x 70_000) . '"}';
    # The worker reads the configuration in its time, opens its port anew, and closes who is there.
    my $answered = sub { my ($status) = @_; return (($gateway->post('/v1/traces', body => $large) // {})->{status} // 0) == $status };
    wait_until(sub { $answered->(413) });
    refused($gateway->post('/v1/traces', body => $large), 413, qr/too large/, 'as sent');
    my $chunked = sprintf("%x\r\n%s\r\n0\r\n\r\n", length $large, $large);
    my $client = $gateway->connect;
    $client->send("POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n$chunked");
    refused($client->answer, 413, qr/too large/, 'in chunks');
    my $bomb = Compress::Zlib::memGzip('{"x":"' . ('x' x 50_000_000) . '"}');
    cmp_ok(length $bomb, '<', 60_000, 'a bomb is small');
    refused($gateway->post('/v1/traces', body => $bomb, headers => ['Content-Encoding: gzip']), 413, qr/decompressed/, 'decompressed');
    is($gateway->post('/v1/traces', body => '{}')->{status}, 200, 'what is small is taken');
    $node->safe_psql('postgres', 'ALTER SYSTEM RESET dbnet.gateway_body_limit; SELECT pg_reload_conf()');
    wait_until(sub { $answered->(200) });
    is($gateway->post('/v1/traces', body => $large)->{status}, 200, 'the limit is the old one again');
};

subtest 'connections: kept, pipelined, chunked, with 100 Continue' => sub {
    my $client = $gateway->connect;
    my $body = DBNet::Gateway::traces(1, name => 'pipelined');
    $client->send(join '', map { DBNet::Gateway::request_bytes('POST', '/v1/traces', type => 'application/json', body => $body) } 1 .. 10);
    is(join(' ', map { $client->answer->{status} } 1 .. 10), join(' ', (200) x 10), 'ten requests in one piece');
    $node->query_is(q{SELECT count(*) FROM otel.spans WHERE name = 'pipelined'}, '10', 'are there');

    $client->send("POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    for my $byte (split //, DBNet::Gateway::traces(1, name => 'dripped')) { $client->send("1\r\n$byte\r\n") }
    $client->send("0\r\n\r\n");
    is($client->answer->{status}, 200, 'one byte in a chunk');

    $client->send("POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    $client->read_more;
    is($client->{rest}, "HTTP/1.1 100 Continue\r\n\r\n", 'asked to go on');
    $client->send('{}');
    is($client->answer->{status}, 200, 'and answered');
};

subtest 'a token is looked at before the body' => sub {
    $node->safe_psql('postgres', 'CREATE ROLE sender; GRANT dbnet_ingest TO sender');
    my $token = $node->safe_psql('postgres', q{SELECT dbnet.create_token('sender', 'sender', scope => 'ingest')});
    my $begin = sub {
        my ($shown) = @_;
        my $client = $gateway->connect;
        $client->send("POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nAuthorization: Bearer $shown\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
        $client->read_more;
        return $client;
    };
    for my $shown ("${token}x", 'x') {
        like($begin->($shown)->{rest}, qr/\AHTTP\/1\.1 401 /, 'one that is not known: refused, and no body asked for');
    }
    for my $time ('first', 'second') {
        my $client = $begin->($token);
        is($client->{rest}, "HTTP/1.1 100 Continue\r\n\r\n", "one that is good, the $time time");
        $client->send('{}');
        is($client->answer->{status}, 200, 'taken');
    }
    my $client = $begin->($token);
    $node->safe_psql('postgres', q{SELECT dbnet.revoke_token('sender')});
    $client->send('{}');
    is($client->answer->{status}, 401, 'revoked while the body comes');
    like($begin->($token)->{rest}, qr/\AHTTP\/1\.1 401 /, 'and then refused before the body');
};

subtest 'requests whose end is in doubt are refused and the connection closed' => sub {
    for my $case ([ 400, "Content-Length: 2\r\nTransfer-Encoding: chunked" ], [ 400, "Content-Length: 2\r\nContent-Length: 2" ],
        [ 501, 'Transfer-Encoding: gzip, chunked' ], [ 431, 'X: ' . ('x' x 17_000) ]) {
        my ($status, $headers) = @$case;
        my $client = $gateway->connect;
        $client->send("POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n$headers\r\n\r\n{}");
        is($client->answer->{status}, $status, substr $headers, 0, 60);
        ok($client->is_closed, 'closed');
    }
};

subtest 'what is refused for the database\'s sake is to be sent again' => sub {
    my $session = $node->background_psql('postgres');
    $session->query_safe('BEGIN; LOCK TABLE otel.batch IN ACCESS EXCLUSIVE MODE');
    my $answer = refused($gateway->post('/v1/traces', body => DBNet::Gateway::traces(1, name => 'locked')), 503, qr/lock/, 'a lock');
    is($answer->{headers}{'retry-after'}, '1', 'Retry-After');
    is($gateway->get('/readyz')->{status}, 503, 'not ready');
    $session->query_safe('ROLLBACK');
    $session->quit;
    is($gateway->post('/v1/traces', body => DBNet::Gateway::traces(1, name => 'locked'))->{status}, 200, 'later it is taken');
    is($gateway->get('/readyz')->{status}, 200, 'ready');
};

subtest 'a database that is full or takes no writes is not the sender\'s fault' => sub {
    $node->safe_psql('postgres', q{
        CREATE TABLE trouble (state text); GRANT SELECT ON trouble TO PUBLIC;
        CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE troubled text := (SELECT state FROM public.trouble); BEGIN
            IF troubled IS NOT NULL THEN RAISE EXCEPTION 'trouble %', troubled USING ERRCODE = troubled; END IF;
            RETURN NULL; END $$;
        CREATE TRIGGER trouble AFTER INSERT ON otel.spans FOR EACH ROW EXECUTE FUNCTION trouble()});
    # disk_full, out_of_memory, read_only_sql_transaction, serialization_failure, admin_shutdown, io_error
    for my $state (qw(53100 53200 25006 40001 57P01 58030)) {
        $node->safe_psql('postgres', "TRUNCATE trouble; INSERT INTO trouble VALUES ('$state')");
        my $answer = refused($gateway->post('/v1/traces', body => DBNet::Gateway::traces(1, name => "trouble $state")), 503, qr/trouble $state/, $state);
        is($answer->{headers}{'retry-after'}, '1', 'to be sent again');
    }
    is($gateway->get('/readyz')->{status}, 503, 'not ready');
    $node->safe_psql('postgres', 'TRUNCATE trouble');
    is($gateway->post('/v1/traces', body => DBNet::Gateway::traces(1, name => 'trouble over'))->{status}, 200, 'taken when that is over');
    is($gateway->get('/readyz')->{status}, 200, 'ready');
    $node->query_is(q{SELECT string_agg(name, ',') FROM otel.spans WHERE name LIKE 'trouble%'}, 'trouble over', 'and nothing was kept of what was refused');
    $node->safe_psql('postgres', 'DROP TRIGGER trouble ON otel.spans');
};

subtest 'a trigger of a user refuses one request and not its neighbours, and runs without the extension\'s rights' => sub {
    $node->safe_psql('postgres', q{
        CREATE TABLE seen (name text, who name); GRANT INSERT ON seen TO PUBLIC;
        CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.name = 'poison' THEN RAISE EXCEPTION 'poison is not taken'; END IF;
            INSERT INTO public.seen VALUES (NEW.name, current_user); RETURN NULL; END $$;
        CREATE TRIGGER look AFTER INSERT ON otel.spans FOR EACH ROW EXECUTE FUNCTION look()});
    my @clients = map { $gateway->connect } 1 .. 6;
    my $session = $node->background_psql('postgres');    # holds the gateway for a moment, so that all come together
    $session->query_safe('BEGIN; LOCK TABLE otel.batch IN ACCESS EXCLUSIVE MODE');
    $clients[0]->send(DBNet::Gateway::request_bytes('POST', '/v1/traces', type => 'application/json', body => DBNet::Gateway::traces(1, name => 'first')));
    for my $number (1 .. 5) {
        $clients[$number]->send(DBNet::Gateway::request_bytes('POST', '/v1/traces', type => 'application/json',
            body => DBNet::Gateway::traces(2, name => $number == 3 ? 'poison' : "good $number")));
    }
    $session->query_safe('ROLLBACK');
    $session->quit;
    $clients[0]->answer;
    my @answers = map { $clients[$_]->answer } 1 .. 5;
    is(join(' ', map { $_->{status} } @answers), '200 200 400 200 200', 'who is refused');
    like($answers[2]{body}, qr/poison is not taken/, 'in the trigger\'s words');
    $node->query_is(q{SELECT count(*), string_agg(DISTINCT name, ',' ORDER BY name) FROM otel.spans WHERE name ~ '^good|poison'},
        '8|good 1,good 2,good 4,good 5', 'the rows');
    $node->query_is(q{SELECT DISTINCT s.rolsuper FROM seen JOIN pg_roles AS s ON rolname = who}, 'f', 'no superuser runs it');
    $node->safe_psql('postgres', 'DROP TRIGGER look ON otel.spans');
};

subtest 'metrics for Prometheus' => sub {
    my $answer = $gateway->get('/metrics');
    is("$answer->{status} $answer->{headers}{'content-type'}", '200 text/plain; version=0.0.4; charset=utf-8', 'media type');
    my $taken = $node->safe_psql('postgres', q{SELECT sum(items) FROM otel.batch WHERE signal = 'traces'});
    like($answer->{body}, qr/^dbnet_gateway_accepted_items_total\{signal="traces"\} $taken$/m, 'items');
    like($answer->{body}, qr/^dbnet_gateway_rejected_items_total\{signal="traces"\} 2001$/m, 'rejected items');
    like($answer->{body}, qr/^dbnet_gateway_requests_total\{signal="traces",status="415"\} 4$/m, 'requests by status');
    like($answer->{body}, qr/^dbnet_gateway_commit_duration_seconds_count \d+$/m, 'durations');
    like($answer->{body}, qr/^dbnet_worker_up\{process="gateway worker"\} 1$/m, 'workers');
    like($answer->{body}, qr/^dbnet_provenance_failures_total 0$/m, 'provenance');
    my ($family, %typed);
    for my $line (split /\n/, $answer->{body}) {
        $typed{$1} = $2 if $line =~ /^# TYPE (\S+) (counter|gauge|histogram)$/;
        next if $line =~ /^#/;
        my ($name) = $line =~ /^(\w+)/;
        $name =~ s/_(bucket|sum|count)$// if !$typed{$name};
        fail("no TYPE before: $line") if !$typed{$name};
    }
};

subtest 'tokens that nobody made are told from others without a look at the tables' => sub {
    my $status = sub { my ($token) = @_; return $gateway->post('/v1/traces', body => '{}', headers => ["Authorization: Bearer $token"])->{status} };
    my $looks = 'SELECT seq_scan + idx_scan FROM pg_stat_user_tables WHERE relid = \'dbnet.token_secret\'::regclass';
    $node->replace_worker('gateway worker', 'TERM');    # what it counted is told when it ends
    $gateway->wait_until_open;
    my $before = $node->safe_psql('postgres', $looks);
    my $start = time;
    is(join(' ', map { $status->("dbnet_unknown$_") } 1 .. 300), join(' ', (401) x 300), 'three hundred');
    my $seconds = time - $start;
    $node->replace_worker('gateway worker', 'TERM');
    cmp_ok($node->safe_psql('postgres', $looks) - $before, '<=', 5 + $seconds, 'one look a second at most');
    $gateway->wait_until_open;
    # One that was refused a moment ago, and then is made.
    for my $number (1 .. 10) {
        my $token = "dbnet_made$number";
        is($status->($token), 401, 'not yet');
        $node->safe_psql('postgres', "WITH made AS (INSERT INTO dbnet.token (name, role, scope, created_by) VALUES ('made$number', 'sender', 'ingest', 'test') RETURNING id)
            INSERT INTO dbnet.token_secret (hash, token) SELECT sha256('$token'), id FROM made");
        is($status->($token), 200, 'good from its commit on');
    }
};

subtest 'browsers of allowed origins are let in' => sub {
    my @asks = ('Access-Control-Request-Method: POST', 'Access-Control-Request-Headers: authorization,content-type');
    my $preflight = sub { my ($origin) = @_; return $gateway->request('OPTIONS', '/v1/traces', headers => [ "Origin: $origin", @asks ]) };
    my $cors = sub {
        my ($answer) = @_;
        return join ' ', $answer->{status}, map { "$_=$answer->{headers}{$_}" } grep { /^access-control|^vary$/ } sort keys %{ $answer->{headers} };
    };
    my $readable = 'access-control-allow-credentials=true';
    my $allowed = sub { my ($origin) = @_; return "access-control-allow-origin=$origin access-control-expose-headers=Retry-After vary=Origin" };
    $node->safe_psql('postgres', q{ALTER SYSTEM SET dbnet.gateway_allowed_origins = 'https://shop.example, http://localhost:*'; SELECT pg_reload_conf()});
    wait_until(sub { $preflight->('https://shop.example')->{status} == 204 });
    is($cors->($preflight->('http://localhost:3000')),
        "204 $readable access-control-allow-headers=Content-Type, Content-Encoding, Authorization, X-Requested-With, traceparent, tracestate, baggage"
          . ' access-control-allow-methods=POST access-control-allow-origin=http://localhost:3000 access-control-expose-headers=Retry-After access-control-max-age=7200 vary=Origin',
        'a preflight');
    my $sent = sub { my ($origin, $body, @headers) = @_; return $cors->($gateway->post('/v1/traces', body => $body, headers => [ "Origin: $origin", @headers ])) };
    my $shop = $allowed->('https://shop.example');
    is($sent->('https://shop.example', DBNet::Gateway::traces(1, name => 'page')), "200 $readable $shop", 'spans');
    $node->query_is(q{SELECT count(*) FROM otel.spans WHERE name = 'page'}, '1', 'are there');
    is($sent->('https://shop.example', '{'), "400 $readable $shop", 'what cannot be read');
    is($sent->('https://shop.example', '{}', 'Authorization: Bearer x'), "401 $readable $shop", 'a token that nobody made');
    my $session = $node->background_psql('postgres');
    $session->query_safe('BEGIN; LOCK TABLE otel.batch IN ACCESS EXCLUSIVE MODE');
    is($sent->('https://shop.example', DBNet::Gateway::traces(1)), "503 $readable $shop", 'what the database does not take now');
    $session->query_safe('ROLLBACK');
    $session->quit;
    is($cors->($preflight->('https://other.example')), '405', 'a preflight of another origin');
    is($sent->('https://other.example', DBNet::Gateway::traces(1)), '200', 'whose request without one is answered, for nobody to read');
    $node->safe_psql('postgres', 'ALTER SYSTEM RESET dbnet.gateway_allowed_origins; SELECT pg_reload_conf()');
    ok(wait_until(sub { $cors->($preflight->('https://shop.example')) eq '405' }), 'nobody is let in any more');
};

subtest 'a token is required on loopback, too, where that is set' => sub {
    my $token = $node->safe_psql('postgres', q{SELECT dbnet.create_token('sender', 'required', scope => 'ingest')});
    my $send = sub { my (@headers) = @_; return $gateway->post('/v1/traces', body => DBNet::Gateway::traces(1, name => 'required'), headers => \@headers) };
    $node->safe_psql('postgres', 'ALTER DATABASE postgres SET dbnet.gateway_require_token = on');
    ok(wait_until(sub { ((eval { $gateway->post('/v1/logs', body => '{}') } // {})->{status} // 0) == 401 }), 'at once');
    my $answer = refused($send->(), 401, qr/a bearer token is required/, 'without a token');
    is($answer->{headers}{'www-authenticate'}, 'Bearer', 'as beyond loopback');
    refused($send->("Authorization: Bearer ${token}x"), 401, qr/./, 'with another');
    is($send->("Authorization: Bearer $token")->{status}, 200, 'with one');
    $node->query_is(q{SELECT count(*) FROM otel.spans WHERE name = 'required'}, '1', 'nothing else is there');
    is($gateway->get($_)->{status}, 200, "$_ needs none") for '/healthz', '/readyz';
    is($gateway->get('/metrics')->{status}, 401, 'metrics need one');
    $node->safe_psql('postgres', 'ALTER DATABASE postgres RESET dbnet.gateway_require_token');
    ok(wait_until(sub { ((eval { $send->() } // {})->{status} // 0) == 200 }), 'and not any more');
};

$node->no_crash_in_log;
done_testing();
