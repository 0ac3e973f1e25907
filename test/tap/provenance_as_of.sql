-- dbnet.as_of against copies that were kept at the time: a random workload of several hundred transactions.
SELECT no_plan();
CREATE SCHEMA net;
CREATE TABLE net.rows (id int, part text, a int, b text, c jsonb, at timestamptz, n numeric, PRIMARY KEY (part, id));
SELECT lives_ok($$SELECT dbnet.track('net.rows')$$, 'net.rows');
SET TimeZone = 'Asia/Kathmandu';
CREATE TABLE kept (number int PRIMARY KEY, event bigint, moment timestamptz, line jsonb);

DO $$
DECLARE
    kind int;
BEGIN
    PERFORM setseed(0.42);
    INSERT INTO net.rows SELECT i, 'p' || i % 3, i, 'b' || i, jsonb_build_object('i', i), timestamptz '2026-01-01' + i * interval '1 hour', i + 0.50 FROM generate_series(1, 30) AS i;
    COMMIT;
    FOR step IN 1..400 LOOP
        FOR change IN 1..(1 + random() * 3)::int LOOP
            kind := (random() * 100)::int;
            IF kind < 25 THEN
                INSERT INTO net.rows VALUES ((random() * 60)::int, 'p' || (random() * 2)::int, step, CASE WHEN random() < 0.3 THEN NULL ELSE 'new' || step END, NULL, now(), NULL) ON CONFLICT DO NOTHING;
            ELSIF kind < 55 THEN
                UPDATE net.rows SET a = a + 1, b = CASE WHEN random() < 0.2 THEN NULL ELSE b || 'x' END WHERE id % 7 = (random() * 6)::int;
            ELSIF kind < 65 THEN
                UPDATE net.rows SET c = coalesce(c, '{}') || jsonb_build_object('s', step), n = n * 1.10 WHERE id = (random() * 60)::int;
            ELSIF kind < 80 THEN -- another key, and perhaps back again
                UPDATE net.rows AS r SET id = r.id + 100 WHERE id < 100 AND id % 11 = (random() * 10)::int AND NOT EXISTS (SELECT FROM net.rows AS o WHERE o.part = r.part AND o.id = r.id + 100);
            ELSIF kind < 88 THEN
                UPDATE net.rows AS r SET id = r.id - 100, a = step WHERE id >= 100 AND NOT EXISTS (SELECT FROM net.rows AS o WHERE o.part = r.part AND o.id = r.id - 100);
            ELSIF kind < 99 THEN
                DELETE FROM net.rows WHERE id % 13 = (random() * 12)::int;
            ELSE
                TRUNCATE net.rows;
            END IF;
        END LOOP;
        IF random() < 0.1 THEN
            ROLLBACK;
        ELSE
            COMMIT;
        END IF;
        IF step % 8 = 0 THEN
            INSERT INTO kept SELECT step, (SELECT max(id) FROM dbnet.transaction), clock_timestamp(), (SELECT coalesce(jsonb_agg(to_jsonb(r) ORDER BY r.part, r.id), '[]') FROM net.rows AS r);
            COMMIT;
            PERFORM pg_sleep(0.0001);
        END IF;
    END LOOP;
END
$$;

SELECT cmp_ok((SELECT count(*) FROM dbnet.transaction), '>', 200::bigint, 'hundreds of transactions');
SELECT cmp_ok((SELECT count(*) FROM dbnet.entity_version WHERE operation = 'R'), '>', 20::bigint, 'rows got other keys');
SELECT cmp_ok((SELECT count(*) FROM dbnet.entity_version WHERE operation = 'T'), '>', 2::bigint, 'and were truncated');
CREATE FUNCTION pg_temp.rows(lines jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT coalesce(jsonb_agg(to_jsonb(r) ORDER BY r.part, r.id), '[]') FROM jsonb_populate_recordset(NULL::net.rows, lines) AS r $$;

SELECT is_empty($$SELECT number FROM kept WHERE line <> (SELECT coalesce(jsonb_agg(to_jsonb(r) ORDER BY r.part, r.id), '[]') FROM dbnet.as_of(NULL::net.rows, kept.event) AS r)$$, 'as rows, by event');
SELECT is_empty($$SELECT number FROM kept WHERE line <> (SELECT coalesce(jsonb_agg(to_jsonb(r) ORDER BY r.part, r.id), '[]') FROM dbnet.as_of(NULL::net.rows, kept.moment) AS r)$$, 'as rows, by time');
SELECT is_empty($$SELECT number FROM kept WHERE pg_temp.rows(line) <> pg_temp.rows((SELECT coalesce(jsonb_agg(j), '[]') FROM dbnet.as_of('net.rows'::regclass, kept.event) AS j))$$, 'as JSON, by event');
SELECT is_empty($$SELECT number FROM kept WHERE pg_temp.rows(line) <> pg_temp.rows((SELECT coalesce(jsonb_agg(j), '[]') FROM dbnet.as_of('net.rows'::regclass, kept.moment) AS j))$$, 'as JSON, by time');
SELECT isnt_empty('SELECT FROM kept WHERE jsonb_array_length(line) > 10', 'of tables with rows in them');

-- Every row's history ends as the row is: replayed forwards from its newest INSERT.
SELECT results_eq($$SELECT to_jsonb(r) FROM dbnet.as_of(NULL::net.rows, 'infinity') AS r ORDER BY r.part, r.id$$, 'SELECT to_jsonb(r) FROM net.rows AS r ORDER BY r.part, r.id', 'a time as a literal');
SELECT is((SELECT count(*) FROM dbnet.as_of('net.rows'::regclass, 'infinity')), (SELECT count(*) FROM net.rows), 'as JSON, too');
SELECT results_eq('SELECT to_jsonb(r) FROM dbnet.as_of(NULL::net.rows, now()) AS r ORDER BY r.part, r.id', 'SELECT to_jsonb(r) FROM net.rows AS r ORDER BY r.part, r.id', 'now it is as it is');

-- Any event of a transaction means its end.
BEGIN;
DELETE FROM net.rows;
INSERT INTO net.rows (part, id) VALUES ('p', 1), ('p', 2), ('p', 3);
COMMIT;
SELECT is((SELECT count(*) FROM dbnet.as_of(NULL::net.rows, (SELECT id + offset_by FROM dbnet.transaction ORDER BY id DESC LIMIT 1))), 3::bigint, 'event ' || offset_by)
FROM (VALUES (0), (1), (2)) AS o(offset_by);

-- Columns that came, went and were renamed.
ALTER TABLE net.rows ADD COLUMN later text DEFAULT 'default';
UPDATE net.rows SET later = 'changed' WHERE id = 1;
SELECT results_eq($$SELECT name, text FROM dbnet.activity WHERE kind = 'D' AND id = (SELECT id FROM dbnet.transaction ORDER BY id DESC OFFSET 1 LIMIT 1)$$,
    $$VALUES ('ALTER TABLE', 'ALTER TABLE net.rows ADD COLUMN later text DEFAULT ''default''')$$, 'a new column is on record');
SELECT is((SELECT string_agg(coalesce(later, '-'), ',' ORDER BY id) FROM dbnet.as_of(NULL::net.rows, (SELECT id FROM dbnet.transaction ORDER BY id DESC OFFSET 2 LIMIT 1))), 'default,default,default',
    'a column that came later holds what it was filled with');

-- Before tracking, and beyond a TRUNCATE of too many rows.
SELECT throws_like($$SELECT * FROM dbnet.as_of('net.rows'::regclass, '2026-01-01'::timestamptz)$$, 'table net.rows is tracked since % only', 'before it was tracked');
SELECT throws_ok($$SELECT * FROM dbnet.as_of('net.rows'::regclass, '2026-01-01'::timestamptz)$$, '55000', NULL, 'is refused');
CREATE TABLE net.many (id int PRIMARY KEY);
SELECT lives_ok($$SELECT dbnet.track('net.many')$$, 'net.many');
INSERT INTO net.many SELECT generate_series(1, 10001);
SELECT max(id) AS full FROM dbnet.transaction \gset
TRUNCATE net.many;
SELECT max(id) AS empty FROM dbnet.transaction \gset
INSERT INTO net.many VALUES (5);
SELECT throws_ok(format($$SELECT * FROM dbnet.as_of('net.many'::regclass, %s::bigint)$$, :full), '55000', 'the table has been truncated since, and had too many rows for them to be recorded', 'too many rows were truncated');
SELECT is((SELECT count(*) FROM dbnet.as_of('net.many'::regclass, :empty::bigint)), 0::bigint, 'but after that all is known');

-- Redacted columns that changed later come as digests, others as they are.
CREATE TABLE net.redacted (id int PRIMARY KEY, password text, note text);
SELECT lives_ok($$SELECT dbnet.track('net.redacted', redact => '{password}')$$, 'net.redacted');
INSERT INTO net.redacted VALUES (1, 'old', 'a'), (2, 'same', 'b');
SELECT max(id) AS before FROM dbnet.transaction \gset
UPDATE net.redacted SET password = 'new', note = 'c' WHERE id = 1;
SELECT results_eq(format('SELECT id, password LIKE ''hmac-sha256:%%'', note FROM dbnet.as_of(NULL::net.redacted, %s::bigint) ORDER BY id', :before), $$VALUES (1, true, 'a'), (2, false, 'b')$$, 'redacted columns');
SELECT * FROM finish();
