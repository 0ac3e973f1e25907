-- dbnet.why, impact, graph: exact chains, and documents whose every reference resolves.
SELECT no_plan();
CREATE SCHEMA net;
CREATE TABLE net.pool (name text PRIMARY KEY, n int);
CREATE TABLE net.node (id int PRIMARY KEY, pool text REFERENCES net.pool ON DELETE CASCADE, note text);
CREATE TABLE net.policy (name text PRIMARY KEY, most int);
SELECT lives_ok(format('SELECT dbnet.track(%L)', name), name) FROM unnest(ARRAY['net.pool', 'net.node', 'net.policy']) AS wanted(name);
CREATE PROCEDURE net.grow(pool text, n int) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dbnet.used('net.policy', 'limit');
    INSERT INTO net.node VALUES (n, grow.pool, '"quoted" \ <b>&</b> | [x]');
END $$;
CREATE FUNCTION net.scale() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN CALL net.grow(NEW.name, NEW.n); RETURN NULL; END $$;
CREATE TRIGGER scale AFTER UPDATE ON net.pool FOR EACH ROW EXECUTE FUNCTION net.scale();
INSERT INTO net.policy VALUES ('limit', 5);
INSERT INTO net.pool VALUES ('web', 1);
SELECT event AS pool_made FROM dbnet.history('net.pool', 'web') \gset
BEGIN;
SELECT lives_ok(format('SELECT dbnet.set_cause(%s, ''ticket "7"'')', :pool_made), 'a cause');
SET LOCAL dbnet.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
UPDATE net.pool SET n = 2;
COMMIT;
CREATE FUNCTION pg_temp.told(what text) RETURNS text LANGUAGE sql AS $$ SELECT regexp_replace(what, 'transaction \d+', 'transaction n') $$;

SELECT event AS node_made FROM dbnet.history('net.node', '2') \gset
SELECT results_eq(format('SELECT depth, kind, pg_temp.told(what) FROM dbnet.why_steps(%s)', :node_made), $$VALUES
    (0, 'row', 'INSERT net.node 2: note "\"quoted\" \\ <b>&</b> | [x]", pool "web"'),
    (0, 'statement', $s$INSERT INTO net.node VALUES (n, grow.pool, '"quoted" \ <b>&</b> | [x]') (line 4)$s$),
    (0, 'call', 'net.grow(n => 2, pool => "web") (line 1)'),
    (0, 'statement', 'CALL net.grow(NEW.name, NEW.n) (line 1)'),
    (0, 'trigger', 'scale on net.pool, after update'),
    (1, 'row', 'UPDATE net.pool web: n 1 → 2'),
    (1, 'statement', 'UPDATE net.pool SET n = 2'),
    (1, 'who', 'postgres, psql, from this machine, transaction n, reason: ticket "7", traceparent 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'),
    (2, 'row', 'INSERT net.pool web: n 1'),
    (2, 'statement', $s$INSERT INTO net.pool VALUES ('web', 1)$s$),
    (2, 'who', 'postgres, psql, from this machine, transaction n'),
    (1, 'row', 'INSERT net.policy limit: most 5'),
    (1, 'statement', $s$INSERT INTO net.policy VALUES ('limit', 5)$s$),
    (1, 'who', 'postgres, psql, from this machine, transaction n')$$, 'why: statement, call, trigger, the row that fired it, who, the cause that was named, and what the procedure used');
SELECT results_eq(format('SELECT step, event FROM dbnet.why_steps(%s, 3)', :node_made), format('SELECT step, event FROM dbnet.why_steps(%s) WHERE step <= 3', :node_made), 'so many steps at most');
SELECT results_eq(format('SELECT dbnet.why(%s)', :node_made), format($$SELECT to_char(at, 'YYYY-MM-DD HH24:MI:SS.MS') || '  ' || repeat('  ', depth) || rpad(kind, 9) || '  ' || what FROM dbnet.why_steps(%s)$$, :node_made), 'as text');
SELECT results_eq($$SELECT dbnet.why('net.node', '2')$$, format('SELECT dbnet.why(%s)', :node_made), 'by table and key');
SELECT results_eq($$SELECT dbnet.why('net.node', '9')$$, $$VALUES ('nothing is on record of 9 in net.node')$$, 'of a row that never was');
SELECT matches((SELECT dbnet.why('net.node', '2', '2020-01-01')), '^nothing is on record of 2 in net.node up to 2020-01-01', 'before it was');
SELECT is_empty('SELECT dbnet.why(NULL)', 'of nothing, nothing');

SELECT results_eq(format('SELECT depth, kind, what FROM dbnet.impact_steps(%s)', :pool_made), $$VALUES
    (0, 'row', 'INSERT net.pool web: n 1'),
    (1, 'statement', 'UPDATE net.pool SET n = 2'),
    (2, 'row', 'UPDATE net.pool web: n 1 → 2'),
    (3, 'trigger', 'scale on net.pool, after update'),
    (4, 'statement', 'CALL net.grow(NEW.name, NEW.n) (line 1)'),
    (5, 'call', 'net.grow(n => 2, pool => "web") (line 1)'),
    (6, 'statement', $s$INSERT INTO net.node VALUES (n, grow.pool, '"quoted" \ <b>&</b> | [x]') (line 4)$s$),
    (7, 'row', 'INSERT net.node 2: note "\"quoted\" \\ <b>&</b> | [x]", pool "web"')$$, 'impact, through the transaction that named the event');
SELECT results_eq($$SELECT depth, kind, what FROM dbnet.impact_steps((SELECT event FROM dbnet.history('net.policy', 'limit'))) LIMIT 2$$, $$VALUES
    (0, 'row', 'INSERT net.policy limit: most 5'), (1, 'call', 'net.grow(n => 2, pool => "web") (line 1)')$$, 'what used a row');

-- A cascade leads to the row that was deleted.
DELETE FROM net.pool;
SELECT results_eq($$SELECT depth, kind, pg_temp.told(what) FROM dbnet.why_steps((SELECT event FROM dbnet.history('net.node', '2', most => 1)))$$, $$VALUES
    (0, 'row', 'DELETE net.node 2'), (0, 'statement', $s$foreign key node_pool_fkey: DELETE FROM ONLY "net"."node" WHERE $1 OPERATOR(pg_catalog.=) "pool"$s$),
    (1, 'row', 'DELETE net.pool web'), (1, 'statement', 'DELETE FROM net.pool'), (1, 'who', 'postgres, psql, from this machine, transaction n')$$, 'a cascade');

-- Graphs ----------------------------------------------------------------------------------------------------------------------------------
CREATE TEMPORARY TABLE graph AS SELECT format, dbnet.graph(:node_made, format) AS text FROM unnest('{dot,mermaid,prov-json,provn}'::text[]) AS format;
CREATE TEMPORARY TABLE line AS SELECT format, line, number FROM graph, regexp_split_to_table(text, E'\n') WITH ORDINALITY AS l(line, number);
SELECT is_empty($$SELECT line FROM line WHERE format = 'dot' AND line !~
    '^(digraph why \{|  rankdir = BT;|  [aeg]\d+ \[label = "([^"\\]|\\["\\])*", shape = (box|ellipse|house)\];|  [aeg]\d+ -> [aeg]\d+ \[label = "\w+"\];|\})$'$$, 'DOT: every line');
SELECT is_empty($$SELECT line FROM line WHERE format = 'mermaid' AND line !~
    '^(flowchart BT|  a\d+\["[^"<>&]*"\]|  e\d+\(\["[^"<>&]*"\]\)|  g\d+\[/"[^"<>&]*"\\\]|  [aeg]\d+ -->\|\w+\| [aeg]\d+|)$'$$, 'Mermaid: every line');
SELECT is_empty($$SELECT line FROM line WHERE format = 'provn' AND line !~
    '^(document|  prefix dbnet <urn:dbnet:event:>|  activity\(dbnet:a\d+, \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00, -, \[prov:label="([^"\\]|\\["\\])*"\]\)|  (entity|agent)\(dbnet:[eg]\d+, \[prov:label="([^"\\]|\\["\\])*"\]\)|  wasStartedBy\(dbnet:a\d+, dbnet:e\d+, -, -\)|  wasInformedBy\(dbnet:a\d+, dbnet:a\d+\)|  wasGeneratedBy\(dbnet:e\d+, dbnet:a\d+, -\)|  used\(dbnet:a\d+, dbnet:e\d+, -\)|  wasAssociatedWith\(dbnet:a\d+, dbnet:g\d+, -\)|endDocument)$'$$, 'PROV-N: every line');
-- Every node that an edge names is declared, once.
SELECT is_empty(format($$SELECT name FROM line, regexp_matches(line, '\m[aeg]\d{10,}', 'g') AS m(names), LATERAL (SELECT names[1]) AS n(name) WHERE format = %L AND line ~ %L
    EXCEPT SELECT substring(line FROM '[aeg]\d{10,}') FROM line WHERE format = %L AND line ~ %L$$, format, edge, format, node), format || ': edges lead to nodes')
FROM (VALUES ('dot', '->', 'shape ='), ('mermaid', '-->', '"'), ('provn', '\((dbnet:\S+), dbnet:', 'label')) AS f(format, edge, node);
SELECT is_empty(format($$SELECT substring(line FROM '[aeg]\d{10,}') FROM line WHERE format = %L AND line ~ %L GROUP BY 1 HAVING count(*) > 1$$, format, node), format || ': nodes are declared once')
FROM (VALUES ('dot', 'shape ='), ('mermaid', '"'), ('provn', 'label')) AS f(format, node);
SELECT results_eq($$SELECT substring(line FROM '"(\w+)"\]') AS edge, count(*) FROM line WHERE format = 'dot' AND line ~ '->' GROUP BY 1 ORDER BY 1$$,
    $$VALUES ('used', 2::bigint), ('wasAssociatedWith', 3), ('wasGeneratedBy', 4), ('wasInformedBy', 4), ('wasStartedBy', 1)$$, 'the edges of PROV');
SELECT results_eq($$SELECT count(*) FROM line WHERE format = 'dot' AND line ~ '^  a\d+ -> e$$ || :pool_made || $$ \[label = "used"\]'$$, 'VALUES (1::bigint)', 'one leads to the cause that was named');
CREATE TEMPORARY TABLE document AS SELECT text::jsonb AS body FROM graph WHERE format = 'prov-json';
SELECT results_eq('SELECT key FROM document, jsonb_each(body) ORDER BY key COLLATE "C"', $$VALUES ('activity'), ('agent'), ('entity'), ('prefix'), ('used'), ('wasAssociatedWith'), ('wasGeneratedBy'), ('wasInformedBy'), ('wasStartedBy')$$, 'PROV-JSON: its parts');
SELECT is_empty($$SELECT reference FROM document, jsonb_each(body) AS part(kind, members), jsonb_each(members) AS member(id, attributes), jsonb_each_text(attributes) AS attribute(name, reference)
    WHERE kind IN ('used', 'wasAssociatedWith', 'wasGeneratedBy', 'wasInformedBy', 'wasStartedBy')
    AND NOT body -> CASE name WHEN 'prov:entity' THEN 'entity' WHEN 'prov:trigger' THEN 'entity' WHEN 'prov:agent' THEN 'agent' ELSE 'activity' END ? reference$$, 'every reference resolves to what it should be');
SELECT is_empty($$SELECT id FROM document, jsonb_each(body) AS part(kind, members), jsonb_object_keys(members) AS id WHERE kind <> 'prefix' AND id !~ '^(dbnet|_):\w+$'$$, 'names have a declared prefix');
SELECT is((SELECT body #>> '{prefix,dbnet}' FROM document), 'urn:dbnet:event:', 'which is this');
SELECT throws_ok(format('SELECT dbnet.graph(%s, ''svg'')', :node_made), '22023', 'unknown format "svg"', 'another format');
SELECT is((SELECT count(*) FROM regexp_matches(dbnet.graph(:pool_made), '->', 'g')), 2::bigint, 'a graph of one change');
SELECT * FROM finish();
