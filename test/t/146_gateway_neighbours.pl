# The gateway takes what has come in one transaction: what one sender sends, locks or makes a trigger do costs the others
# nothing but a moment, and the gateway no more memory than one request may.
use strict;
use warnings FATAL => 'all';
use Compress::Zlib ();
use DBNet::Cluster;
use DBNet::Gateway;
use Test::More;

my $node = DBNet::Cluster->started('gateway_neighbours');
my $gateway = DBNet::Gateway->open($node);
my $json = $DBNet::Gateway::json;

sub traces_bytes {
    my ($name, %options) = @_;
    return DBNet::Gateway::request_bytes('POST', '/v1/traces', type => 'application/json', body => DBNet::Gateway::traces(1, name => $name, %options));
}

# A trigger that does as the span's name says. 'wait' holds the gateway, so that what comes meanwhile is served together.
$node->safe_psql('postgres', q{
    CREATE TABLE gate (closed int); GRANT SELECT ON gate TO PUBLIC;
    CREATE FUNCTION obey() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.name = 'wait' THEN
            WHILE EXISTS (SELECT FROM public.gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
        ELSIF NEW.name = 'hang' THEN PERFORM pg_sleep(1000);
        ELSIF NEW.name ~ '^raise' THEN RAISE EXCEPTION '%', NEW.name USING ERRCODE = substr(NEW.name, 7);
        ELSIF NEW.name = 'count' THEN INSERT INTO public.counted VALUES (1);
        END IF;
        RETURN NULL; END $$;
    CREATE TRIGGER obey AFTER INSERT ON otel.spans FOR EACH ROW EXECUTE FUNCTION obey()});

# Answers to requests that the gateway finds all at once.
sub together {
    my (@requests) = @_;
    my ($first, @clients) = map { $gateway->connect } 0 .. @requests;
    $node->safe_psql('postgres', 'INSERT INTO gate VALUES (1)');
    $first->send(traces_bytes('wait'));
    $node->wait_for(q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')}, 'the gateway is held');
    $clients[$_]->send($requests[$_]) for 0 .. $#requests;
    $node->safe_psql('postgres', 'DELETE FROM gate');
    $first->answer;
    return map { $_->answer } @clients;
}

sub statuses { return join ' ', map { $_->{status} } @_ }

sub failed_transactions {
    my ($count) = $gateway->get('/metrics')->{body} =~ /^dbnet_gateway_failed_transactions_total (\d+)$/m;
    return $count;
}

subtest 'a transaction has a number of records, however small they are' => sub {
    my $field = sub {
        my ($tag, $bytes) = @_;
        my ($length, $varint) = (length $bytes, '');
        for (; $length > 127; $length >>= 7) { $varint .= chr($length & 127 | 128) }
        return $tag . $varint . chr($length) . $bytes;
    };
    my $body = Compress::Zlib::memGzip($field->("\x0a", $field->("\x12", "\x12\x00" x 250_000)));
    cmp_ok(length $body, '<', 2000, 'a request is small');
    my $request = DBNet::Gateway::request_bytes('POST', '/v1/logs', type => 'application/x-protobuf', headers => ['Content-Encoding: gzip'], body => $body);
    is(statuses(together($request, $request)), '200 200', 'two are taken');
    $node->query_is(q{SELECT count(*), sum(items), count(DISTINCT xmin::text) FROM otel.batch WHERE signal = 'logs'}, '2|500000|2', 'one after the other');
};

subtest 'a lock that one sender waits for' => sub {
    my $session = $node->background_psql('postgres');
    my $request = DBNet::Gateway::traces(1, service => 'held');
    $session->query_safe("BEGIN; SELECT accepted FROM otel.ingest_traces('$request'::json)");
    my @answers = together(traces_bytes('good'), traces_bytes('held', service => 'held'), traces_bytes('good'));
    is(statuses(@answers), '200 503 200', 'is refused, the others are taken');
    like($answers[1]{body}, qr/lock timeout/, 'why');
    my $before = failed_transactions();
    is(statuses(together((traces_bytes('held', service => 'held')) x 12)), join(' ', (503) x 12), 'many that wait for it');
    cmp_ok(failed_transactions() - $before, '<=', 6, 'are not all tried: no more than a second goes on what fails');
    is($gateway->get('/readyz')->{status}, 503, 'not ready');
    $session->query_safe('ROLLBACK');
    $session->quit;
    is(statuses(together(traces_bytes('held', service => 'held'))), '200', 'later it is taken');
    is($gateway->get('/readyz')->{status}, 200, 'ready');
};

subtest 'a trigger that says that something is locked, or canceled, for one span' => sub {
    for my $state ('55000', '57014', '40001') {
        my @answers = together(traces_bytes('good'), traces_bytes("raise $state"), traces_bytes('good'));
        is(statuses(@answers), '200 503 200', "SQLSTATE $state");
        like($answers[1]{body}, qr/raise $state/, 'in its words');
    }
    is(statuses(together(traces_bytes('good'), traces_bytes('raise 53100'), traces_bytes('good'))), '503 503 503', 'what is everybody\'s concern is not tried again');
};

subtest 'a trigger that does not come to its end' => sub {
    my $start = $node->log_position;
    my ($answer) = together(traces_bytes('hang'));
    is("$answer->{status}, Retry-After: " . ($answer->{headers}{'retry-after'} // ''), '503, Retry-After: 1', 'to be sent again');
    is($json->decode($answer->{body})->{message}, 'the database says: triggers on otel.spans took longer than 10 s', 'what happened');
    like($node->log_since($start), qr/LOG:  DBNet: telemetry is refused: .*triggers on otel\.spans took longer than 10 s\n.*HINT:  .*otel\.on_batch/, 'the log has a hint');
    is(statuses(together(traces_bytes('good'))), '200', 'the gateway goes on');
};

subtest 'a trigger whose function is at fault: the data stays with the sender until it is mended' => sub {
    my $tried = sub {
        my ($status, $pattern, $name) = @_;
        my ($answer) = together(traces_bytes('count'));
        is($answer->{status}, $status, $name);
        like($answer->{body}, $pattern, 'why');
    };
    $tried->(503, qr/relation \\?"public\.counted\\?" does not exist/, 'a table that is gone');
    is($gateway->get('/readyz')->{status}, 503, 'not ready');
    $node->safe_psql('postgres', 'CREATE TABLE counted (n int)');
    $tried->(503, qr/permission denied for table counted/, 'rights that are missing');
    $node->safe_psql('postgres', 'GRANT INSERT ON counted TO dbnet_ingest');
    $tried->(200, qr/\A\{\}\z/, 'mended');
    # A query with more rows than it may have, a CASE without the case, no RETURN, an exception of another language, a schema that is
    # gone, INTO STRICT without a row, an ASSERT, a row moved to another partition, one changed twice, a foreign server.
    for my $state (qw(21000 20000 2F005 38000 3F000 P0002 P0004 0A000 27000 HV000)) {
        my @answers = together(traces_bytes('good'), traces_bytes("raise $state"), traces_bytes('good'));
        is(statuses(@answers), '200 503 200', "SQLSTATE $state, and the others are taken");
        is($answers[1]{headers}{'retry-after'}, '1', 'to be sent again');
    }
    my ($refused, $internal) = map { together(traces_bytes("raise $_")) } 'P0001', 'XX000';
    is($refused->{status}, 400, 'RAISE EXCEPTION refuses');
    is($internal->{status}, 500, 'an internal error');
};

$node->no_crash_in_log;
done_testing();
