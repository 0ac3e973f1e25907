-- Values of every type as they are on record: the very bytes that PostgreSQL's own jsonb has.
\getenv abs_srcdir PG_ABS_SRCDIR
\set chain :abs_srcdir '/include/chain.sql'
\set ECHO none
\i :chain
\set ECHO all
CREATE SCHEMA lab;
SET search_path = lab;

CREATE DOMAIN percent AS int CHECK (value BETWEEN 0 AND 100);
CREATE DOMAIN label AS text;
CREATE TYPE mood AS ENUM ('down', 'up', 'it''s "odd"');
CREATE TYPE pair AS (a int, "b c" text);
CREATE TYPE nested AS (one pair, many pair[]);

CREATE TABLE value (
    id int PRIMARY KEY, b boolean, i2 smallint, i4 int, i8 bigint, f4 real, f8 double precision, n numeric, t text, v varchar(20), c char(10),
    "char" "char", nm name, by bytea, d date, tm time, tz timetz, ts timestamp, tstz timestamptz, iv interval, u uuid, ip inet, net cidr, mac macaddr,
    j json, jb jsonb, p percent, l label, m mood, pr pair, ne nested, ia int[], ta text[], ma mood[], ja jsonb[], pa pair[], r int4range, mr int8multirange,
    tr tstzrange, pt point, bx box, bits bit(5), vb varbit, x xml, o oid, reg regclass, rp regprocedure, money money, ls pg_lsn, q tsquery, tv tsvector);
CALL chain.track('value', '{id}');

-- PostgreSQL's own opinion; times in UTC
CREATE FUNCTION differences(since bigint) RETURNS TABLE (id int, side text, problem text) LANGUAGE sql AS $$
    WITH versions AS (
        SELECT (key ->> 'id')::int AS id, side, image
        FROM dbnet.entity_version AS v, LATERAL (VALUES ('old', v.old), ('new', v.new)) AS both_sides (side, image)
        WHERE v.id > since AND image IS NOT NULL AND relation = (SELECT number FROM dbnet.tracked_relation WHERE relation = 'value'::regclass)),
    wanted AS (SELECT id, (SELECT jsonb_object_agg(key, value) FROM jsonb_each(to_jsonb(value)) WHERE value <> 'null' OR (key IN ('j', 'jb') AND (CASE key WHEN 'j' THEN j IS NOT NULL ELSE jb IS NOT NULL END))) AS image FROM value)
    SELECT id, side, 'not its own text: ' || image::text FROM versions WHERE image::text::jsonb <> image
    UNION ALL SELECT id, side, 'not of its size' FROM versions
        WHERE octet_length(jsonb_send(image)) <> octet_length(jsonb_send(image::text::jsonb)) OR (octet_length(image::text) < 1500 AND pg_column_size(jsonb_build_array(image)) <> pg_column_size(jsonb_build_array(image::text::jsonb)))
    UNION ALL SELECT id, side, 'not the row: ' || k.key || ' is ' || coalesce((versions.image -> k.key)::text, 'nothing') || ', not ' || coalesce((wanted.image -> k.key)::text, 'nothing')
        FROM versions JOIN wanted USING (id), LATERAL jsonb_object_keys(versions.image || wanted.image) AS k (key)
        WHERE side = 'new' AND versions.image -> k.key IS DISTINCT FROM wanted.image -> k.key AND NOT (k.key = 'j' AND versions.image -> 'j' = (wanted.image -> 'j')::jsonb)
    ORDER BY 1, 2, 3
$$;
SET timezone = 'UTC';
SET extra_float_digits = 1; SET datestyle = 'ISO'; SET intervalstyle = 'postgres';
SELECT event AS since FROM chain.seen \gset
INSERT INTO value (id) VALUES (0);
INSERT INTO value VALUES (1, true, -32768, 2147483647, -9223372036854775808, 1.5, 1e300, 12345678901234567890.0987654321, 'text', 'varchar', 'char',
    'x', 'name', '\x00ff', '2026-02-28', '12:34:56.789', '12:34:56+02', '2026-01-02 03:04:05.678901', '2026-01-02 03:04:05+02', '1 year 2 mons 3 days 04:05:06', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '10.0.0.1/24', '10.0.0.0/8', '08:00:2b:01:02:03',
    '{"a": [1, 2, {"b": null}], "a": 1e2}', '{"a": [1, 2.50, {"b": null}], "c": {}}', 50, 'label', 'it''s "odd"', '(1,"x y")', '("(1,a)","{""(2,b)"",""(3,\\""c\\"")""}")', '{1,NULL,3}', '{a,NULL,"b,c"}', '{up,down}', ARRAY['{"x": 1}', '[]']::jsonb[], '{"(1,a)",NULL}', '[1,5)', '{[1,2),[5,9)}',
    '[2026-01-01,2026-02-01)', '(1,2)', '((1,1),(0,0))', B'10101', B'1', '<a>1</a>', 42, 'value', 'lower(text)', '12.34', '16/B374D848', 'a & b', 'a:1 b:2');
-- not a number, infinite, empty, signs and scales
INSERT INTO value (id, f4, f8, n, i2, t, v, c, "char", by, ia, ta, jb, j, iv, d, ts, tstz, r) VALUES
    (2, 'NaN', 'Infinity', 'NaN', 0, '', '', '', '', '', '{}', '{}', '{}', '[]', '0', 'infinity', '-infinity', 'infinity', 'empty'),
    (3, '-Infinity', '-0', 'Infinity', -1, E'\x01\x1f "\\/', E'\t\n\r\b\f', 'ä', 'ä', '\xdeadbeef', '{{1,2},{3,4}}', '{{"a","b"}}', '"string"', 'null', '-1 day', '-infinity', '0044-03-15 BC', '10000-01-01', '(,)'),
    (4, 1e-40, 5e-324, '-Infinity', 1, '😀 ünïcode ￿', '日本', '日', 'a', '\x', '[5:6]={1,2}', '{"null"}', 'null', '"x"', '1 month -1 day', '0001-01-01 BC', '4713-01-01 BC', '4714-11-24 00:00:00+00 BC', '[1,1]'),
    (5, 3.4028235e38, 1.7976931348623157e308, 0.00, NULL, 'null', 'true', '0', '"', NULL, '{NULL}', '{NULL}', '0.00', '-0.0', '178000000 years', 'epoch', 'epoch', 'epoch', '(1,2)'),
    (6, 0.1, 0.1, -0.000000000000000000001, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'true', 'false', NULL, NULL, NULL, NULL, NULL),
    (7, NULL, 100000000000000000000, 1e130000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '1e1000', '1E-1000', NULL, NULL, NULL, NULL, NULL),
    (8, NULL, 1e-7, 1e-16383, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"": {"": [[], {}, [[]], ""]}}', '{"\u00e4": "\ud83d\ude00", "x": "\\u0041"}', NULL, NULL, NULL, NULL, NULL);
-- more than one varlena header's worth; numerics of odd lengths between strings: alignment
INSERT INTO value (id, t, v, n, jb, by, ta) SELECT 100 + n, repeat('x', n), repeat('y', n % 20), (repeat('9', n) || '.' || repeat('1', n))::numeric,
    jsonb_build_object(repeat('k', n), n, 'a', repeat('z', n), 'b', jsonb_build_array(n, repeat('q', n), n * 1.5)), decode(repeat('00', n), 'hex'), ARRAY[repeat('x', n), NULL] FROM generate_series(1, 40) AS n;
-- large ones: 1 MB, compressed and out of line
INSERT INTO value (id, t, by, jb) VALUES (200, repeat('large ', 180000), decode(repeat('ab', 500000), 'hex'), (SELECT jsonb_object_agg('key ' || n, repeat('v', n % 90)) FROM generate_series(1, 10000) AS n));
INSERT INTO value (id, t) SELECT 201, string_agg(md5(n::text), '') FROM generate_series(1, 32768) AS n;
SELECT * FROM differences(:since);
SELECT count(*), max(octet_length(new::text)) FROM dbnet.entity_version WHERE id > :since;

-- a large value that is left alone is not on record; one that changes is, both sides
UPDATE value SET i4 = 1, t = t WHERE id = 201;
UPDATE value SET t = left(t, -1) || 'x' WHERE id = 201;
SELECT operation, octet_length(old ->> 't') AS old, octet_length(new ->> 't') AS new, new - 't' AS rest FROM dbnet.entity_version WHERE id > :since ORDER BY id DESC LIMIT 2;

-- every column to NULL and back: old and new have the same
CREATE TABLE before AS SELECT * FROM value;
DELETE FROM value;
SELECT event AS since FROM chain.seen \gset
SELECT max(id) AS since FROM dbnet.entity_version \gset
INSERT INTO value SELECT * FROM before;
SELECT * FROM differences(:since);
SELECT count(*) AS deleted_as_inserted FROM dbnet.entity_version AS d JOIN dbnet.entity_version AS i ON i.key = d.key AND i.old IS NULL AND i.new = d.old
    WHERE d.operation = 'D' AND i.operation = 'I' AND i.id > :since AND d.relation = i.relation;

-- a session's own way to show values changes nothing
SET datestyle = 'SQL, DMY'; SET intervalstyle = 'iso_8601'; SET bytea_output = 'escape'; SET timezone = 'Asia/Tokyo'; SET extra_float_digits = -10; SET xmloption = 'document';
CREATE TABLE shown (id int PRIMARY KEY, d date, tstz timestamptz, f8 double precision, iv interval, by bytea, tr tstzrange, ta timestamptz[]);
CALL chain.track('shown', '{id}');
INSERT INTO shown VALUES (1, '28/02/2026', '2026-01-02 03:04:05+00', 0.30000000000000004, '1 year 2 days', '\x00ff', '[2026-01-02 00:00:00+00,)', '{2026-01-02 00:00:00+00}');
SELECT * FROM shown;
SELECT * FROM chain.show();
RESET datestyle; RESET intervalstyle; RESET bytea_output; RESET timezone; RESET extra_float_digits; RESET xmloption;

-- 1600 columns
SELECT 'CREATE TABLE wide (id int PRIMARY KEY, ' || string_agg('c' || n || ' int', ', ') || ')' FROM generate_series(1, 1599) AS n \gexec
CALL chain.track('wide', '{id}');
SELECT 'INSERT INTO wide VALUES (1, ' || string_agg(n::text, ', ') || ')' FROM generate_series(1, 1599) AS n \gexec
UPDATE wide SET c1599 = NULL, c1 = 0;
SELECT v.operation, (SELECT count(*) FROM jsonb_object_keys(v.new)) AS columns, v.new = v.new::text::jsonb AS is_sound, CASE v.operation WHEN 'U' THEN v.new END AS new
FROM dbnet.entity_version AS v WHERE v.id > (SELECT event FROM chain.seen) ORDER BY v.id;
CALL chain.skip();

-- keys of every shape, among them jsonb and values that look alike
CREATE TABLE keyed (a numeric, b timestamptz, c jsonb, d text, PRIMARY KEY (a, b, c, d));
CALL chain.track('keyed', '{a,b,c,d}');
INSERT INTO keyed VALUES (1.0, '2026-01-01 00:00:00+00', '{"x": 1}', ''), (1.5, 'infinity', 'null', 'null'), ('NaN', '-infinity', '"s"', 's');
DELETE FROM keyed WHERE d = 's';
SELECT * FROM chain.show();
CREATE TABLE counted (a int2, b int4, c int8, d percent, e mood, f oid, g boolean);
CALL chain.track('counted', '{c,b,a,d,e,f,g}');
INSERT INTO counted VALUES (-32768, -2147483648, -9223372036854775808, 7, 'up', 4294967295, true), (32767, 2147483647, 9223372036854775807, 0, 'down', 0, false), (0, 0, 0, 0, 'up', 1, NULL),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL);
SELECT count(*), count(DISTINCT v.key_hash), bool_and(v.key_hash = dbnet.key_hash(t.key_columns, v.key)) AS is_found FROM dbnet.entity_version AS v JOIN dbnet.tracked_relation AS t ON t.number = v.relation
WHERE t.schema_name = 'lab' AND t.table_name IN ('keyed', 'counted');

RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA lab CASCADE;
