-- dbnet.gaps: what escaped the record. dbnet.verify and digest: what was changed, removed, added or put in another order.
SELECT no_plan();
-- What is sealed, and when, is this test's to say: the mirror worker seals nothing here.
CREATE FUNCTION public.is_by_client() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE (SELECT backend_type FROM pg_stat_activity WHERE pid = pg_backend_pid()) WHEN 'client backend' THEN NEW END;
END $$;
CREATE TRIGGER is_by_client BEFORE INSERT ON dbnet.provenance_block FOR EACH ROW EXECUTE FUNCTION public.is_by_client();
CREATE SCHEMA net;
CREATE TABLE net.gap (id int PRIMARY KEY, a text, n numeric, at timestamptz);
CREATE TABLE net.chain (id int PRIMARY KEY, a int);
SELECT lives_ok(format('SELECT dbnet.track(%L)', name), name) FROM unnest(ARRAY['net.gap', 'net.chain']) AS wanted(name);
CREATE VIEW gaps AS SELECT key, regexp_replace(gap, 'transaction \d+', 'transaction n') AS gap, event IS NOT NULL AS compared FROM dbnet.gaps('net.gap');

-- No gaps -----------------------------------------------------------------------------------------------------------------------------------
INSERT INTO net.gap SELECT i, 'x' || i, i + 0.50, '2026-01-01' FROM generate_series(1, 9) AS i;
SELECT is_empty('TABLE gaps', 'nothing escaped');
UPDATE net.gap SET a = a WHERE id = 1;
SELECT is_empty('TABLE gaps', 'nor an UPDATE that changes nothing');
SET session_replication_role = replica;
UPDATE net.gap SET a = 'replica' WHERE id = 2;
RESET session_replication_role;
SELECT is_empty('TABLE gaps', 'session_replication_role = replica is recorded as all else');
SET TimeZone = 'America/New_York';
SELECT is_empty('TABLE gaps', 'times in another zone are the same');
RESET TimeZone;
BEGIN; SAVEPOINT a; UPDATE net.gap SET a = 'no'; ROLLBACK TO a; COMMIT;
UPDATE net.gap SET id = 50 WHERE id = 5;
DELETE FROM net.gap WHERE id = 6;
ALTER TABLE net.gap ADD COLUMN later int;
VACUUM FULL net.gap;
SELECT is_empty('TABLE gaps', 'what savepoints took back, other keys, deleted rows, new columns, VACUUM FULL');

-- Rows of before dbnet.track() are no gap, be anything on record of the table or not; what comes then is one.
CREATE TABLE net.filled (id int PRIMARY KEY);
INSERT INTO net.filled VALUES (1);
SELECT lives_ok($$SELECT dbnet.track('net.filled')$$, 'a table that has rows');
SELECT is_empty($$SELECT * FROM dbnet.gaps('net.filled')$$, 'which are no gap');
SET dbnet.provenance = off;
INSERT INTO net.filled VALUES (2);
RESET dbnet.provenance;
SELECT results_eq($$SELECT key FROM dbnet.gaps('net.filled')$$, $$VALUES ('2')$$, 'one that came since is');
INSERT INTO net.filled VALUES (3);
SELECT results_eq($$SELECT key FROM dbnet.gaps('net.filled')$$, $$VALUES ('2')$$, 'and stays one when another goes on record');

-- Gaps --------------------------------------------------------------------------------------------------------------------------------------
SET dbnet.provenance = off;
UPDATE net.gap SET a = 'unseen' WHERE id = 1;
DELETE FROM net.gap WHERE id = 2;
INSERT INTO net.gap VALUES (6, 'back'), (20, 'new');
RESET dbnet.provenance;
SELECT results_eq('SELECT * FROM gaps ORDER BY key', $$VALUES ('1', 'changed without a record, by transaction n: a', true), ('2', 'deleted without a record', true),
    ('20', 'written without a record, by transaction n', false), ('6', 'came back without a record, by transaction n', true)$$, 'dbnet.provenance = off: rows that were changed, deleted, made and brought back');
UPDATE net.gap SET a = 'seen' WHERE id = 1;
SELECT is_empty($$SELECT * FROM gaps WHERE key = '1'$$, 'once more on record');
INSERT INTO net.gap VALUES (2, 'again');
DELETE FROM net.gap WHERE id IN (6, 20);
SELECT is_empty('TABLE gaps', 'all are');

ALTER TABLE net.gap DISABLE TRIGGER dbnet_track;
SELECT results_eq('SELECT * FROM gaps ORDER BY gap', $$VALUES (NULL, 'its trigger is disabled: changes are not recorded', false),
    (NULL, 'may have changed rows without a record: ALTER TABLE net.gap DISABLE TRIGGER dbnet_track', true)$$, 'a disabled trigger');
ALTER TABLE net.gap ENABLE TRIGGER dbnet_track;
SELECT results_eq($$SELECT * FROM gaps WHERE NOT compared$$, $$VALUES (NULL, 'its trigger does not fire in every mode of session_replication_role', false)$$, 'one that is not ALWAYS');
DROP TRIGGER dbnet_track ON net.gap;
SELECT results_eq($$SELECT * FROM gaps WHERE NOT compared$$, $$VALUES (NULL, 'its trigger is missing: changes are not recorded', false)$$, 'one that is missing');
SELECT isnt_empty($$SELECT * FROM gaps WHERE gap = 'may have changed rows without a record: DROP TRIGGER dbnet_track ON net.gap'$$, 'and how it went');
SELECT lives_ok($$SELECT dbnet.track('net.gap')$$, 'track makes it anew');
SELECT is_empty('SELECT * FROM gaps WHERE NOT compared', 'and all is well');
ALTER TABLE net.gap ALTER COLUMN n TYPE numeric USING n * 2;
SELECT isnt_empty($$SELECT * FROM gaps WHERE gap = 'may have changed rows without a record: ALTER TABLE net.gap ALTER COLUMN n TYPE numeric USING n * 2'$$, 'ALTER TYPE USING');
SELECT is((SELECT count(*) FROM gaps WHERE gap = 'changed without a record, by transaction n: n'), 6::bigint, 'has changed these rows');
SELECT lives_ok($$SELECT dbnet.untrack('net.chain')$$, 'untrack');
SELECT results_eq($$SELECT relation::text, gap FROM dbnet.gaps('net.chain') WHERE event IS NULL$$, $$VALUES ('net.chain', 'tracked no more')$$, 'tracked no more');
SELECT lives_ok($$SELECT dbnet.track('net.chain')$$, 'and again');
SELECT throws_ok($$SELECT * FROM dbnet.gaps('pg_class')$$, '42704', 'table pg_class is not tracked', 'a table that is not tracked');

-- What is read for that: of each row its newest version, and more of those only that somebody else has written.
CREATE TABLE net.often (id int PRIMARY KEY, a int, b int DEFAULT 7, c text DEFAULT 'c');
SELECT lives_ok($$SELECT dbnet.track('net.often')$$, 'a table');
INSERT INTO net.often SELECT generate_series(1, 20);
DO $$ BEGIN FOR i IN 1..200 LOOP UPDATE net.often SET a = i; END LOOP; END $$;
CREATE FUNCTION pg_temp.versions_read(question text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    counted text := 'SELECT sum(idx_tup_fetch) FROM pg_stat_xact_user_tables WHERE schemaname = ''dbnet'' AND relname ~ ''^entity_version''';
    before numeric;
    after numeric;
BEGIN
    EXECUTE counted INTO before;
    EXECUTE question;
    EXECUTE counted INTO after;
    RETURN after - before;
END $$;
SELECT is_empty($$SELECT * FROM dbnet.gaps('net.often')$$, 'rows that changed often');
SELECT cmp_ok(pg_temp.versions_read($$SELECT * FROM dbnet.gaps('net.often')$$), '<', 50::numeric, 'of each its newest version is read');
SET dbnet.provenance = off;
UPDATE net.often SET c = 'd' WHERE id = 3;
UPDATE net.often SET a = a WHERE id = 4;
RESET dbnet.provenance;
SELECT results_eq($$SELECT key, regexp_replace(gap, 'transaction \d+', 'transaction n') FROM dbnet.gaps('net.often')$$, $$VALUES ('3', 'changed without a record, by transaction n: c')$$, 'what somebody has changed, by what is known since the INSERT');
SELECT cmp_ok(pg_temp.versions_read($$SELECT * FROM dbnet.gaps('net.often')$$), '<', 500::numeric, 'of these two all versions are read');
SET dbnet.provenance = off;
UPDATE net.often SET b = 8;
RESET dbnet.provenance;
SELECT results_eq($$SELECT count(*), count(*) FILTER (WHERE gap ~ ': b, c$'), count(*) FILTER (WHERE gap ~ ': b$') FROM dbnet.gaps('net.often')$$, 'VALUES (20::bigint, 1::bigint, 19::bigint)', 'all of them: the record is read as a whole');
INSERT INTO net.often SELECT generate_series(21, 3000);
SELECT is((SELECT count(*) FROM dbnet.gaps('net.often')), 20::bigint, 'more rows than versions to be passed over');

-- The chain ------------------------------------------------------------------------------------------------------------------------------------
SELECT is_empty('SELECT * FROM dbnet.verify()', 'nothing was tampered with');
SELECT is_empty('SELECT * FROM dbnet.digest()', 'nothing is sealed yet');
INSERT INTO net.chain SELECT i, 0 FROM generate_series(1, 3) AS i;
DO $$ BEGIN FOR i IN 1..20 LOOP UPDATE net.chain SET a = a + 1 WHERE id = 1 + i % 3; COMMIT; END LOOP; END $$;
SELECT lives_ok($$SELECT dbnet.used('net.chain', '1'); UPDATE net.chain SET a = 0 WHERE id = 1$$, 'a read');
-- As the mirror worker seals: of four transactions each.
CREATE PROCEDURE pg_temp.seal() LANGUAGE plpgsql AS $$
DECLARE
    previous bytea;
    block bigint[];
BEGIN
    FOR block IN SELECT array_agg(id ORDER BY id) FROM (SELECT id, (row_number() OVER (ORDER BY id) - 1) / 4 AS part FROM dbnet.transaction) AS t GROUP BY part ORDER BY part LOOP
        INSERT INTO dbnet.provenance_block (number, transactions, previous, root)
            SELECT (SELECT count(*) + 1 FROM dbnet.provenance_block), block, previous, sha256(coalesce(previous, '') || (SELECT string_agg(root, '' ORDER BY id) FROM dbnet.transaction WHERE id = ANY (block)))
            RETURNING provenance_block.root INTO previous;
    END LOOP;
END $$;
CALL pg_temp.seal();
SELECT is_empty('SELECT * FROM dbnet.verify()', 'nor what is sealed');
SELECT results_eq('SELECT block, root, transactions FROM dbnet.digest()', $$SELECT (SELECT max(number) FROM dbnet.provenance_block), (SELECT encode(root, 'hex') FROM dbnet.provenance_block ORDER BY number DESC LIMIT 1),
    (SELECT count(*) FROM dbnet.transaction)$$, 'digest');

-- Each kind of tampering, in a transaction that is rolled back.
SELECT id AS event, activity FROM dbnet.entity_version WHERE operation = 'U' AND relation = (SELECT number FROM dbnet.tracked_relation WHERE relation = 'net.chain'::regclass) ORDER BY id OFFSET 10 LIMIT 1 \gset
SELECT transaction AS in_transaction FROM dbnet.activity WHERE id = :activity \gset
SELECT number AS in_block FROM dbnet.provenance_block WHERE :in_transaction = ANY (transactions) \gset
-- Findings, with the names of block, transaction and event that were tampered with.
CREATE FUNCTION pg_temp.findings(tampering text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE found text;
BEGIN
    EXECUTE tampering;
    SELECT string_agg(concat_ws(' ', block, transaction, event, finding), '; ' ORDER BY block, transaction, event, finding) INTO found FROM dbnet.verify();
    RAISE EXCEPTION USING ERRCODE = 'P1234', MESSAGE = coalesce(found, 'nothing');
EXCEPTION WHEN SQLSTATE 'P1234' THEN
    RETURN sqlerrm;
END $$;
SELECT v.id AS other_event, a.transaction AS other_transaction FROM dbnet.entity_version AS v JOIN dbnet.activity AS a ON a.id = v.activity WHERE v.id > :event AND v.operation = 'U' ORDER BY v.id LIMIT 1 \gset
SELECT transactions[2] AS sealed, transactions[2] + 512 AS added FROM dbnet.provenance_block WHERE number = :in_block \gset
SELECT is(pg_temp.findings(format(tampering, :event, :in_transaction, :in_block, :sealed, :added, :other_event, :other_transaction)),
          format(wanted, :event, :in_transaction, :in_block, :sealed, :added, :other_event, :other_transaction), tampering) FROM (VALUES
    ('UPDATE dbnet.entity_version SET new = ''{"a": 99}'' WHERE id = %1$s', '%2$s %1$s the record was changed'),
    ('UPDATE dbnet.entity_version SET old = NULL WHERE id = %1$s', '%2$s %1$s the record was changed'),
    ('UPDATE dbnet.entity_version SET new = ''{"a": 99}'', checksum = (''x'' || encode(substr(dbnet.event_hash(v), 1, 4), ''hex''))::bit(32)::integer FROM dbnet.entity_version AS v WHERE v.id = %1$s AND entity_version.id = v.id',
        '%2$s %1$s the record was changed'),
    ('UPDATE dbnet.activity SET role = ''innocent'' WHERE id = %2$s', '%2$s %2$s the record was changed'),
    ('UPDATE dbnet.activity SET reason = ''planned'' WHERE id = %2$s', '%2$s %2$s the record was changed'),
    ('DELETE FROM dbnet.entity_version WHERE id = %1$s', '%2$s %1$s the record was removed'),
    ('INSERT INTO dbnet.entity_version SELECT * FROM dbnet.entity_version WHERE id = %1$s', '%2$s %1$s the record stands twice'),
    ('DELETE FROM dbnet.activity WHERE id = %2$s; DELETE FROM dbnet.entity_version WHERE id = %1$s', '%3$s %2$s the transaction was removed'),
    ('DELETE FROM dbnet.activity WHERE id = %2$s', '%3$s %2$s the transaction was removed; %2$s %1$s its transaction was removed'),
    ('UPDATE dbnet.activity SET root = sha256(root) WHERE id = %2$s', '%3$s the block is not as it was sealed; %2$s the transaction is not as it was recorded'),
    ('UPDATE dbnet.provenance_block SET transactions = (SELECT array_agg(t ORDER BY t DESC) FROM unnest(transactions) AS t) WHERE number = %3$s', '%3$s the block is not as it was sealed'),
    ('INSERT INTO dbnet.activity SELECT (jsonb_populate_record(a, jsonb_build_object(''id'', a.id + 512, ''transaction'', a.id + 512, ''events'', 1))).* FROM dbnet.activity AS a WHERE a.id = %4$s',
        '%3$s %5$s the transaction was added after the block was sealed; %5$s %5$s the record was changed'),
    ('UPDATE dbnet.entity_version SET id = CASE id WHEN %1$s THEN %6$s ELSE %1$s END WHERE id IN (%1$s, %6$s)', '%2$s %1$s the record was changed; %7$s %6$s the record was changed'),
    ('UPDATE dbnet.session SET session_user_name = ''innocent''', '')
) AS t(tampering, wanted) WHERE wanted <> '';
SELECT matches(pg_temp.findings('UPDATE dbnet.session SET session_user_name = ''innocent'''), '^\d+ the transaction is not as it was recorded; ', 'another user: every transaction of the session');
-- However many those are: the record is read once.
CREATE FUNCTION pg_temp.scans(tampering text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    scans text := 'SELECT sum(seq_scan + coalesce(idx_scan, 0)) FROM pg_stat_xact_user_tables WHERE schemaname = ''dbnet'' AND relname ~ ''^(activity|entity_version|used_version)''';
    before numeric;
    after numeric;
BEGIN
    EXECUTE scans INTO before;
    PERFORM pg_temp.findings(tampering);
    EXECUTE scans INTO after;
    RETURN after - before;
END $$;
SELECT is(pg_temp.scans('UPDATE dbnet.session SET session_user_name = ''innocent'''), pg_temp.scans('SET LOCAL work_mem = 4096'), 'with as many scans as when all is well');
SELECT is(pg_temp.findings(format('UPDATE dbnet.provenance_block SET root = sha256(root) WHERE number = %s', :in_block)),
    format('%s the block is not as it was sealed; %s the block does not follow the one before: one was changed, removed or put elsewhere', :in_block, :in_block + 1), 'a block''s root');
SELECT is(pg_temp.findings(format('DELETE FROM dbnet.provenance_block WHERE number = %s', :in_block)),
    format('%s the block does not follow the one before: one was changed, removed or put elsewhere', :in_block + 1), 'a removed block');
SELECT is(pg_temp.findings(format('UPDATE dbnet.provenance_block SET number = -number WHERE number IN (%1$s, %1$s + 1); UPDATE dbnet.provenance_block SET number = CASE -number WHEN %1$s THEN %1$s + 1 ELSE %1$s END WHERE number < 0', :in_block)),
    format('%1$s the block does not follow the one before: one was changed, removed or put elsewhere; %2$s the block does not follow the one before: one was changed, removed or put elsewhere; %3$s the block does not follow the one before: one was changed, removed or put elsewhere',
        :in_block, :in_block + 1, :in_block + 2), 'blocks in another order');

-- The old end: retention tells in the chain what it removes; whatever else is missing was not removed by it.
CREATE PROCEDURE pg_temp.remove_blocks(until bigint) LANGUAGE sql AS $$
    DELETE FROM dbnet.entity_version WHERE activity IN (SELECT a.id FROM dbnet.activity AS a WHERE a.transaction IN (SELECT unnest(transactions) FROM dbnet.provenance_block WHERE number <= until));
    DELETE FROM dbnet.activity WHERE transaction IN (SELECT unnest(transactions) FROM dbnet.provenance_block WHERE number <= until);
    DELETE FROM dbnet.provenance_block WHERE number <= until;
$$;
-- As the mirror worker does.
CREATE PROCEDURE pg_temp.retain_after(gone bigint) LANGUAGE sql AS $$
    INSERT INTO dbnet.provenance_block (number, transactions, previous, root, removed_before, last_removed)
    SELECT last.number + 1, '{}', last.root, dbnet.block_root(last.root, NULL, kept.first, kept.previous), kept.first, kept.previous
    FROM (SELECT * FROM dbnet.provenance_block ORDER BY number DESC LIMIT 1) AS last, (SELECT transactions[1] AS first, previous FROM dbnet.provenance_block WHERE number = gone + 1) AS kept;
    CALL pg_temp.remove_blocks(gone);
$$;
SELECT is(pg_temp.findings(tampering), wanted, tampering) FROM (VALUES
    ('DELETE FROM dbnet.provenance_block WHERE number = 1', '2 blocks before it were removed, and not by retention'),
    ('CALL pg_temp.remove_blocks(1)', '2 blocks before it were removed, and not by retention'),
    ('CALL pg_temp.remove_blocks(3)', '4 blocks before it were removed, and not by retention'),
    ('CALL pg_temp.remove_blocks(1); UPDATE dbnet.provenance_block SET number = number - 1', '1 blocks before it were removed, and not by retention'),
    ('CALL pg_temp.retain_after(2)', 'nothing'),
    ('CALL pg_temp.retain_after(2); CALL pg_temp.retain_after(4)', 'nothing'),
    ('CALL pg_temp.retain_after(2); CALL pg_temp.remove_blocks(3)', '4 blocks before it were removed, and not by retention'),
    ('CALL pg_temp.retain_after(2); CALL pg_temp.retain_after(4); CALL pg_temp.remove_blocks(5)', '6 blocks before it were removed, and not by retention'),
    ('DELETE FROM dbnet.entity_version WHERE id < (SELECT transactions[2] FROM dbnet.provenance_block WHERE number = 1); DELETE FROM dbnet.activity WHERE id < (SELECT transactions[2] FROM dbnet.provenance_block WHERE number = 1)',
        format('1 %s the transaction was removed', (SELECT transactions[1] FROM dbnet.provenance_block WHERE number = 1)))
) AS t(tampering, wanted);
SELECT is(pg_temp.findings('CALL pg_temp.retain_after(2); UPDATE dbnet.provenance_block SET removed_before = removed_before + 1 WHERE removed_before IS NOT NULL'),
    format('%s the block is not as it was sealed', (SELECT max(number) + 1 FROM dbnet.provenance_block)), 'what retention is said to have removed');
SELECT is_empty('SELECT * FROM dbnet.verify()', 'all of it was rolled back');
SELECT is_empty(format('SELECT * FROM dbnet.verify(until => %L)', (SELECT dbnet.event_time(:event) - interval '1 ms')), 'an earlier time');
SELECT * FROM finish();
