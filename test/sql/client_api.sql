-- The client API as SQL functions, and tokens. Run as a plain role: everything has the caller's rights.
\set SHOW_CONTEXT never
\set VERBOSITY default
CREATE ROLE regress_dbnet_developer;
CREATE ROLE regress_dbnet_stranger;
CREATE ROLE regress_dbnet_root SUPERUSER LOGIN;
CREATE ROLE regress_dbnet_token_admin IN ROLE dbnet_admin, regress_dbnet_developer;
DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO regress_dbnet_developer', current_database()); END $$;
SET ROLE regress_dbnet_developer;

-- schemas: names letter by letter
SELECT dbnet.create_schema('net', comment => 'it''s the network');
SELECT dbnet.create_schema('net');
SELECT dbnet.create_schema('net', if_not_exists => true);
SELECT dbnet.create_schema('My "odd" net');
SELECT dbnet.create_schema('');
SELECT dbnet.create_schema(NULL);
SELECT obj_description('net'::regnamespace, 'pg_namespace');

-- tables
SELECT dbnet.create_table('net.pods', '[{"name": "namespace", "type": "text"}, {"name": "name", "type": "text"}]', '[{"primary_key": ["namespace", "name"]}]');
SELECT dbnet.create_table('net."Nodes"', '[
    {"name": "name", "type": "text", "primary_key": true, "comment": "as in Kubernetes"},
    {"name": "Pod", "type": "text", "not_null": true},
    {"name": "cpu", "type": "numeric(5,2) -- percent", "default": "0 -- none", "check": "cpu BETWEEN 0 AND 100"},
    {"name": "load", "type": "numeric", "generated": "cpu / 100"},
    {"name": "serial", "type": "integer", "unique": true},
    {"name": "space", "type": "text", "default": "''shop''"}]',
    constraints => '[{"name": "its pod", "foreign_key": ["space", "Pod"], "references": "net.pods", "columns": ["namespace", "name"], "on_delete": "cascade", "on_update": "set_null"},
                     {"unique": ["Pod", "serial"]}, {"check": "name <> ''''"}]',
    comment => 'Nodes of the cluster');
\d net."Nodes"
SELECT obj_description('net."Nodes"'::regclass), col_description('net."Nodes"'::regclass, 1);
SELECT dbnet.create_table('net."Nodes"', '[]', if_not_exists => true);

-- what is no type, no expression, no name, and members that nobody knows
SELECT dbnet.create_table('net.x', '[{"name": "a", "type": "int, b int"}]');
SELECT dbnet.create_table('net.x', '[{"name": "a", "type": "int); DROP SCHEMA net CASCADE; --"}]');
SELECT dbnet.create_table('net.x', '[{"name": "a", "type": "int", "default": "1) , b int default (2"}]');
SELECT dbnet.create_table('net.x', '[{"name": "a", "type": "int", "check": "a > 0, a < 5"}]');
SELECT dbnet.create_table('net.x', '[{"name": "a", "type": "int", "check": "true FROM pg_class"}]');
SELECT dbnet.create_table('net.x; DROP SCHEMA net', '[]');
SELECT dbnet.create_table('net.x', '[{"name": "a"}]');
SELECT dbnet.create_table('net.x', '[{"name": "a", "type": "int", "nott_null": true}]');
SELECT dbnet.create_table('net.x', '[{"name": "a", "type": "int", "not_null": "yes"}]');
SELECT dbnet.create_table('net.x', '{"a": "int"}');
SELECT dbnet.create_table('net.x', '[{"name": "a", "type": "int"}]', '[{"unique": ["a"], "check": "a > 0"}]');
SELECT dbnet.create_table('net.x', '[{"name": "a", "type": "int", "references": "net.pods", "on_delete": "explode"}]');
SELECT dbnet.create_table('pg_catalog.x', '[]');

-- procedures and functions
SELECT dbnet.create_procedure('net.set_load', 'BEGIN UPDATE net."Nodes" SET cpu = percent WHERE name = node; GET DIAGNOSTICS changed = ROW_COUNT; END',
    '[{"name": "node", "type": "text"}, {"name": "percent", "type": "numeric"}, {"name": "changed", "type": "bigint", "mode": "out"}]', comment => 'sets it');
SELECT dbnet.create_procedure('net.names', 'SELECT name FROM net."Nodes" ORDER BY 1', returns => 'SETOF text', language => 'sql');
CREATE FUNCTION net.columns() RETURNS TABLE (result integer, other text) LANGUAGE sql AS $$VALUES (1, 'a'), (2, 'b')$$;
SELECT dbnet.create_procedure('net.total', 'SELECT sum(x) FROM unnest(numbers) AS x', '[{"name": "numbers", "type": "integer[]", "mode": "variadic"}]', returns => 'bigint', language => 'sql');
SELECT dbnet.create_procedure('net.hello', 'BEGIN RETURN ''hello '' || who; END', '[{"name": "who", "type": "text", "default": "''world''"}]', 'text');
SELECT dbnet.create_procedure('net.hello', 'BEGIN RETURN ''hi '' || who; END', '[{"name": "who", "type": "text", "default": "''world''"}]', 'text');
SELECT dbnet.create_procedure('net.hello', 'BEGIN RETURN ''hi '' || who; END', '[{"name": "who", "type": "text", "default": "''world''"}]', 'text', replace => true);
SELECT dbnet.create_procedure('net.hello', 'BEGIN RETURN n; END', '[{"name": "n", "type": "integer"}]', 'text');
SELECT dbnet.create_procedure('net.nothing', 'BEGIN PERFORM 1; END', returns => 'void');
SELECT dbnet.create_procedure('net.grow', 'BEGIN INSERT INTO net.pods VALUES (''shop'', NEW.name || TG_ARGV[0]); RETURN NULL; END', returns => 'trigger');
SELECT dbnet.create_procedure('net.bad', 'BEGIN nonsense END');
SELECT dbnet.create_procedure('net.bad', 'END', '[{"name": "a", "type": "text", "mode": "sideways"}]');

-- triggers
SELECT dbnet.create_trigger('on high load', 'net."Nodes"', 'net.grow', '["update", "insert"]', columns => '["cpu"]', condition => 'NEW.cpu > 90', arguments => '["''; --"]');
SELECT dbnet.create_trigger('statement', 'net."Nodes"', 'net.grow', '["update"]', level => 'statement', old_table => 'before', new_table => 'after');
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'net."Nodes"'::regclass AND NOT tgisinternal AND tgname NOT LIKE 'dbnet_track%' ORDER BY tgname;
DROP TRIGGER statement ON net."Nodes";
SELECT dbnet.create_trigger('t', 'net."Nodes"', 'net.grow', '["upsert"]');
SELECT dbnet.create_trigger('t', 'net."Nodes"', 'net.grow', '[]');
SELECT dbnet.create_trigger('t', 'net."Nodes"', 'net.grow', timing => 'sometimes');
SELECT dbnet.create_trigger('t', 'net."Nodes"', 'net.grow', '["delete"]', columns => '["cpu"]');
SELECT dbnet.create_trigger('t', 'net."Nodes"', 'net.grow', condition => 'true) EXECUTE FUNCTION x(); --');
SELECT dbnet.create_trigger('t', 'net.nowhere', 'net.grow');

-- calls
SELECT dbnet.execute('INSERT INTO net.pods VALUES ($1, $2)', '["shop", "p"]');
SELECT dbnet.execute('INSERT INTO net."Nodes" (name, "Pod", cpu) VALUES ($1, $2, $3), (''n2'', ''p'', 0) RETURNING name, cpu', '["n1", "p", 12.5]');
SELECT dbnet.call_procedure('net.set_load', '{"node": "n1", "percent": "95.5"}');
SELECT dbnet.call_procedure('net.set_load', '["n2", 10]');
SELECT dbnet.call_procedure('net.names');
SELECT dbnet.call_procedure('net.total', '{"numbers": [1, 2, 3]}');
SELECT dbnet.call_procedure('net.hello'), dbnet.call_procedure('net.hello', '{"who": "you"}'), dbnet.call_procedure('net.hello', '{"n": 5}');
SELECT dbnet.call_procedure('net.columns');
SELECT dbnet.call_procedure('net.nothing') IS NULL AS nothing;
SELECT dbnet.call_procedure('upper', '["x"]'), dbnet.call_procedure('pg_catalog.jsonb_typeof', '[{"a": 1}]');
SELECT dbnet.call_procedure('net.hello', '["you"]');
SELECT dbnet.call_procedure('net.set_load', '{"node": "n1"}');
SELECT dbnet.call_procedure('net.set_load', '{"node": "n1", "percent": 1, "changed": 1}');
SELECT dbnet.call_procedure('net.set_load', '{"node": "n1", "percent": "much"}');
SELECT dbnet.call_procedure('net.set_load', '"n1"');
SELECT dbnet.call_procedure('net.no_such');
SELECT dbnet.call_procedure('no_such.thing');
SELECT * FROM net.pods ORDER BY 1, 2;

-- statements
SELECT dbnet.execute('SELECT $1::int + $2 AS sum, $3::jsonb AS document, $4 AS text, $5::int[] AS list, $1 IS NULL AS again', '[1, "2", {"a": [1]}, null, [1, null]]');
SELECT dbnet.execute('UPDATE net."Nodes" SET cpu = 1 WHERE name = ANY ($1)', '[["n1", "n9"]]');
SELECT dbnet.execute('CREATE TABLE net.plain (a integer)');
SELECT dbnet.execute('SHOW search_path');
SELECT dbnet.execute('SELECT 1; SELECT 2');
SELECT dbnet.execute('');
SELECT dbnet.execute('COMMIT');
SELECT dbnet.execute('SAVEPOINT a');
SELECT dbnet.execute('COPY net.plain FROM STDIN');
SELECT dbnet.execute('SELECT $2::int', '[1]');
SELECT dbnet.execute('SELECT 1', '{"a": 1}');
SELECT dbnet.execute('SELECT * FROM net.nowhere');

-- transactions: all or nothing
\set SHOW_CONTEXT errors
SELECT jsonb_pretty(dbnet.wrap_transaction('[
    {"create_table": {"name": "net.links", "columns": [{"name": "a", "type": "text"}]}},
    {"execute": {"statement": "INSERT INTO net.links VALUES ($1)", "parameters": ["x"]}},
    {"call_procedure": {"name": "net.set_load", "arguments": {"node": "n1", "percent": 3}}},
    {"call_procedure": {"name": "net.nothing"}}]'));
SELECT dbnet.wrap_transaction('[{"execute": {"statement": "DELETE FROM net.links"}}, {"call_procedure": {"name": "net.set_load", "arguments": {"node": "n1", "percent": 300}}}]');
SELECT dbnet.wrap_transaction('[{"execute": {"statement": "DELETE FROM net.links"}}, {"drop_table": {"name": "net.links"}}]');
SELECT dbnet.wrap_transaction('[{"execute": {"statement": "SELECT 1"}, "call_procedure": {}}]');
SELECT dbnet.wrap_transaction('{}');
SELECT dbnet.wrap_transaction('[]');
SELECT * FROM net.links;
\set SHOW_CONTEXT never

-- the caller's rights, and no others
SET ROLE regress_dbnet_stranger;
SELECT dbnet.create_schema('theirs');
SELECT dbnet.create_table('net.theirs', '[]');
SELECT dbnet.execute('SELECT * FROM net.links');
SELECT dbnet.call_procedure('net.names');
SELECT dbnet.create_trigger('t', 'net."Nodes"', 'net.grow');
SELECT dbnet.create_token('regress_dbnet_stranger', 'mine');
SELECT * FROM dbnet.token_status;

-- tokens
SET ROLE regress_dbnet_token_admin;
SELECT dbnet.create_token('regress_dbnet_developer', 'ci');
RESET ROLE;
ALTER ROLE regress_dbnet_developer LOGIN;
SET ROLE regress_dbnet_token_admin;
SELECT regexp_replace(dbnet.create_token('regress_dbnet_developer', 'ci', '1 hour'), '[A-Za-z0-9_-]{43}$', '<43>') AS token;
SELECT dbnet.create_token('regress_dbnet_developer', 'ci');
SELECT dbnet.create_token('regress_dbnet_stranger', 'other');
SELECT dbnet.create_token('regress_dbnet_root', 'root');
SELECT dbnet.create_token('regress_dbnet_developer', 'x', scope => 'everything');
SELECT dbnet.create_token('regress_dbnet_developer', 'x', scope => 'ingest');
SELECT dbnet.create_token('regress_dbnet_developer', 'x', resource_attributes => '{"k8s.cluster.name": "prod"}');
SELECT dbnet.create_token('regress_dbnet_developer', 'x', privileged => true);
SELECT dbnet.create_token('regress_dbnet_developer', 'x', expires_at => '2001-01-01 00:00+00');
SELECT dbnet.create_token('regress_dbnet_developer', '');
SELECT name, role, scope, state, reason, created_by, expires_at - created_at AS lasts, last_used_at FROM dbnet.token_status;
SELECT hash FROM dbnet.token_secret;
INSERT INTO dbnet.token (name, role, scope, created_by) VALUES ('forged', 'regress_dbnet_root', 'api', 'nobody');
SELECT dbnet.revoke_token('ci');
SELECT dbnet.revoke_token('ci');
RESET ROLE;
SELECT dbnet.create_token('regress_dbnet_root', 'root');
SELECT count(*) FROM dbnet.token_secret;
GRANT dbnet_ingest TO regress_dbnet_developer;
ALTER ROLE regress_dbnet_developer CREATEROLE;
SELECT dbnet.create_token('regress_dbnet_developer', 'ci');
SELECT length(dbnet.create_token('regress_dbnet_developer', 'ci', NULL, 'ingest', '{"k8s.cluster.name": "prod"}', privileged => true)), length(dbnet.create_token('regress_dbnet_developer', 'collector', '1 s', privileged => true));
SELECT name, role, scope, state, revoked_by, expires_at IS NULL AS for_ever, resource_attributes, privileged FROM dbnet.token_status ORDER BY name, state;
SELECT dbnet.create_token('regress_dbnet_developer', 'x', scope => 'ingest', resource_attributes => '{"a": [1]}', privileged => true);

-- the role is dropped: void at once, removed by housekeeping
DROP SCHEMA net CASCADE;
DROP OWNED BY regress_dbnet_developer CASCADE;
DROP ROLE regress_dbnet_developer;
SELECT name, role, state, reason FROM dbnet.token_status ORDER BY name, state;
SELECT dbnet.remove_ended_tokens();
SELECT count(*) FROM dbnet.token;
DROP ROLE regress_dbnet_stranger;
DROP ROLE regress_dbnet_root;
DROP ROLE regress_dbnet_token_admin;
