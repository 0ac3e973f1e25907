# jsonb that the telemetry decoders build themselves is what PostgreSQL would have made, byte for byte; a request in jsonb is
# read as one in json.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;

my $node = DBNet::Cluster->started('jsonb');
my $library = $ENV{DBNET_TEST_LIBRARY};
$node->safe_psql('postgres', <<"SQL");
CREATE FUNCTION built(bigint) RETURNS text LANGUAGE c STRICT AS '$library', 'dbnet_test_jsonb';
CREATE FUNCTION number(double precision) RETURNS jsonb LANGUAGE c STRICT AS '$library', 'dbnet_test_jsonb_number';
SQL

is($node->safe_psql('postgres', 'SELECT left(built(seed), 500) FROM generate_series(1, 20000) seed WHERE built(seed) IS NOT NULL LIMIT 3'),
    '', '20000 random documents are equal');

# Numbers that print in few digits or many, tiny and huge.
is($node->safe_psql('postgres', q{
    SELECT setseed(0.5);
    SELECT number(x), to_jsonb(x) FROM (
        SELECT unnest('{0, -0, 0.1, -0.5, 1e-5, 123456.789, 1e15, 1e22, 5e-324, 1.7976931348623157e308, 9007199254740993, 0.30000000000000004,
            1e-64, 1e64, 1e256, 1.5e300, NaN, Infinity, -Infinity}'::double precision[]) x
        UNION ALL SELECT (random() - 0.5) * 10.0 ^ (random() * 600 - 300)::integer FROM generate_series(1, 50000)
        UNION ALL SELECT round((random() * 1e6)::numeric, 2)::double precision FROM generate_series(1, 20000)) numbers
    WHERE number(x)::text <> to_jsonb(x)::text LIMIT 5}), '', 'numbers are as to_jsonb has them');

# Every character that JSON has an escape for, and some that it has none for; in keys, too; empty parts, numbers, null.
$node->safe_psql('postgres', q{
    CREATE TABLE request AS SELECT jsonb_build_object('resourceLogs', jsonb_build_array(jsonb_build_object('scopeLogs', jsonb_build_array(
        jsonb_build_object('scope', '{}'::jsonb, 'logRecords', (SELECT jsonb_agg(jsonb_build_object(
            'timeUnixNano', extract(epoch FROM now())::bigint || '000000000', 'severityNumber', n % 24, 'body', jsonb_build_object('stringValue', repeat(chr(n), n % 5) || 'x' || chr(n)),
            'attributes', jsonb_build_array(
                jsonb_build_object('key', 'k' || chr(n) || '"\\', 'value', jsonb_build_object('arrayValue', jsonb_build_object('values', jsonb_build_array(
                    jsonb_build_object('doubleValue', n / 7.0), jsonb_build_object('doubleValue', 1e-300), jsonb_build_object('boolValue', n % 2 = 0), '{}'::jsonb)))),
                jsonb_build_object('key', 'number', 'value', jsonb_build_object('intValue', -n), 'unknown', '[[], {}, [null]]'::jsonb))) ORDER BY n)
            FROM (SELECT generate_series(1, 700) UNION ALL VALUES (65533), (65536), (128169)) AS of (n))))))) AS body;
    CREATE VIEW kept AS SELECT string_agg(concat_ws(' ', severity_number, body, attributes), E'\n' ORDER BY body, attributes) FROM otel.logs});
is($node->safe_psql('postgres', 'SELECT accepted, rejected FROM request, otel.ingest_logs(body::text::json)'), '703|0', 'a request in json');
my $of_json = $node->safe_psql('postgres', 'SELECT * FROM kept');
$node->safe_psql('postgres', 'TRUNCATE otel.logs');
is($node->safe_psql('postgres', 'SELECT accepted, rejected FROM request, otel.ingest_logs(body)'), '703|0', 'and in jsonb');
is($node->safe_psql('postgres', 'SELECT * FROM kept'), $of_json, 'becomes the same rows');

done_testing();
