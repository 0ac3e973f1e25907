# jsonb that the telemetry decoders build themselves is what PostgreSQL would have made, byte for byte.
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

done_testing();
