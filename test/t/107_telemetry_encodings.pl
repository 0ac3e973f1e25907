# Telemetry in databases that are not in UTF-8: texts are in the database's encoding, with "?" for what it does not have;
# nothing fails, and nothing is stored that the database could not read back. Mirrors are for UTF-8 alone, and say so.
use strict;
use warnings FATAL => 'all';
use utf8;
use DBNet::Cluster;
use DBNet::Gateway;
use Encode ();
use Test::More;

my $node = DBNet::Cluster->started('telemetry_encodings', conf => 'max_worker_processes = 32');
my $text = "é日😀";
my $bytes = Encode::encode_utf8($text);
my $now = int(time) . '000000000';

sub field { my ($number, $value) = @_; return chr($number << 3 | 2) . chr(length $value) . $value }    # short ones
my $attribute = field(1, "k$bytes") . field(2, field(1, $bytes));
my $protobuf = field(1, field(2, field(2, field(1, "\x01" x 16) . field(2, "\x02" x 8) . field(5, "protobuf $bytes") . field(9, $attribute) . "\x39" . pack('Q<', $now) . "\x41" . pack('Q<', $now))));
my $json = sub {
    my ($name, $trace) = @_;
    return qq({"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "$text"}}]}, "scopeSpans": [{"spans": [)
      . qq({"traceId": "$trace", "spanId": "0000000000000002", "name": "$name $text", "startTimeUnixNano": "$now", "endTimeUnixNano": "$now",)
      . qq("attributes": [{"key": "k\\u00e9日😀", "value": {"stringValue": "$text"}}]}]}]}]});
};
my $trace = '0' x 31 . '1';

# What is kept of é, 日 and 😀; as UTF-8, for who reads it.
for my $case ([ 'latin1', 'LATIN1', 'é??' ], [ 'cyrillic', 'KOI8R', '???' ], [ 'japanese', 'EUC_JP', 'é日?' ], [ 'ascii', 'SQL_ASCII', $text ], [ 'utf8', 'UTF8', $text ]) {
    my ($database, $encoding, $kept) = @$case;
    subtest $encoding => sub {
        $node->safe_psql('postgres', "CREATE DATABASE $database ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
        $node->safe_psql($database, 'CREATE EXTENSION dbnet');
        my $to = $encoding eq 'SQL_ASCII' ? 'SQL_ASCII' : 'UTF8';
        my $utf8 = sub { return Encode::decode_utf8(pack 'H*', $node->safe_psql($database, "SELECT encode(convert_to(s, '$to'), 'hex') FROM ($_[0]) AS s(s)")) };
        my $gateway = DBNet::Gateway->open($node, database => $database);
        is($gateway->post('/v1/traces', body => Encode::encode_utf8($json->('http', $trace)))->{status}, 200, 'JSON over HTTP');
        is($gateway->post('/v1/traces', type => 'application/x-protobuf', body => $protobuf)->{status}, 200, 'protobuf over HTTP');
        my $hex = unpack 'H*', $protobuf;
        $node->psql_ok("SELECT otel.ingest_traces('\\x$hex'::bytea)", 'protobuf in SQL', database => $database);
        for my $name ('http', 'protobuf') {
            is($utf8->("SELECT DISTINCT name FROM otel.spans WHERE name LIKE '$name%'"), "$name $kept", "$name: the name");
            is($utf8->("SELECT DISTINCT attributes::text FROM otel.spans WHERE name LIKE '$name%'"), qq({"k$kept": "$kept"}), "$name: keys and values");
            is($utf8->("SELECT DISTINCT attributes::text::jsonb::text FROM otel.spans WHERE name LIKE '$name%'"), qq({"k$kept": "$kept"}), "$name: the database reads its own jsonb");
        }
        is($utf8->(q{SELECT service_name FROM otel.resources WHERE service_name IS NOT NULL AND service_name <> ''}), $kept, 'resources');
        my $sql = q{SET client_encoding = 'UTF8'; SELECT otel.ingest_traces($$} . $json->('sql', $trace) . q{$$::json)};
        $sql =~ s/[é日😀]//g if $encoding eq 'KOI8R';
        $sql =~ s/[日😀]//g if $encoding eq 'LATIN1';
        $sql =~ s/😀//g if $encoding eq 'EUC_JP';
        $node->psql_ok(Encode::encode_utf8($sql), 'JSON in SQL, in the encoding of the database', database => $database) if $encoding ne 'SQL_ASCII';
        my $answer = $gateway->post('/v1/traces', body => Encode::encode_utf8($json->('bad', '0' x 32)));
        is(JSON::PP->new->utf8->decode($answer->{body})->{partialSuccess}{rejectedSpans}, '1', 'what is told of an item that is rejected is UTF-8');
        $node->safe_psql('postgres', "ALTER DATABASE $database RESET dbnet.gateway_listen");
        is($utf8->("SELECT dbnet.short_text('one two three', 8) || ' ' || dbnet.arrow()"), $encoding eq 'UTF8' ? 'one two… →' : 'one t... ->', 'signs that the encoding may lack');
        my @refused = $encoding =~ /UTF8|ASCII/ ? ('3F000', qr/schema net does not exist/) : ('0A000', qr/mirrors need a database in UTF8, and this one is in $encoding/);
        $node->fails_like("SELECT dbnet.mirror('none', 'v1', 'Node', 'net.nodes')", @refused, 'a mirror', database => $database);
    };
}

# A conversion that somebody else has made is not used, whatever the search_path of who delivers.
my $library = $ENV{DBNET_TEST_LIBRARY};
my $hex = unpack 'H*', $protobuf =~ s/protobuf /searched /r;
$node->psql_ok(<<"SQL", 'telemetry in SQL, with a conversion ahead of those of pg_catalog', database => 'latin1');
CREATE SCHEMA own;
CREATE FUNCTION own.convert(integer, integer, cstring, internal, integer, boolean) RETURNS integer LANGUAGE c STRICT AS '$library', 'dbnet_test_conversion';
CREATE DEFAULT CONVERSION own.to_latin1 FOR 'UTF8' TO 'LATIN1' FROM own.convert;
SET search_path = own, pg_catalog;
SELECT otel.ingest_traces('\\x$hex'::bytea);
SQL
is($node->safe_psql('latin1', "SELECT encode(name::bytea, 'hex') FROM otel.spans WHERE name LIKE 'searched%'"), unpack('H*', "searched \xe9??"), 'is as ever');

$node->no_crash_in_log;
done_testing();
