-- No function and no setting lets a role open a connection of its choosing: connections come of foreign servers, which
-- need USAGE on the wrapper to be made, and USAGE on the server to be used, whatever else the role may do.
BEGIN;
SELECT no_plan();
CREATE SERVER lab FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://192.0.2.1:6443');
CREATE ROLE connection_plain;
CREATE ROLE connection_admin IN ROLE dbnet_admin;
CREATE SCHEMA connection_rights;
GRANT ALL ON SCHEMA connection_rights TO connection_admin;
CREATE TABLE connection_rights.known_nodes (name text PRIMARY KEY);
ALTER TABLE connection_rights.known_nodes OWNER TO connection_admin;

-- What everybody may call connects nowhere: the client API, which does what the role could do itself, and helpers without side effects.
SELECT set_eq($$SELECT DISTINCT proname::text FROM pg_proc WHERE pronamespace = 'dbnet'::regnamespace AND has_function_privilege('connection_plain', oid, 'EXECUTE')$$,
    ARRAY['call_procedure', 'create_procedure', 'create_schema', 'create_table', 'create_trigger', 'execute', 'wrap_transaction',
          'event_at', 'event_time', 'get', 'is_report', 'set', 'set_cause', 'unset', 'used'], 'functions of everybody');
SELECT is_empty($$SELECT oid::regprocedure FROM pg_proc WHERE pronamespace IN ('dbnet'::regnamespace, 'otel'::regnamespace)
    AND (proargnames && '{url,host,address,port,endpoint,kubeconfig,connection}' OR prosecdef)$$, 'no function takes an address, none is SECURITY DEFINER');

CREATE FUNCTION pg_temp.refused(role name, statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role);
    RETURN NEXT throws_ok(statement, '42501', NULL, format('%s: %s', role, statement));
    RESET ROLE;
END $$;
SELECT pg_temp.refused(role, statement) FROM unnest(ARRAY['connection_plain', 'connection_admin']) AS r(role), unnest(ARRAY[
    $$CREATE SERVER own FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://192.0.2.2:6443')$$,
    $$ALTER SERVER lab OPTIONS (SET api_url 'https://192.0.2.2:6443')$$,
    $$CREATE USER MAPPING FOR CURRENT_USER SERVER lab OPTIONS (token 'x')$$,
    $$CREATE FOREIGN DATA WRAPPER own$$,
    $$SET dbnet.gateway_listen = '127.0.0.1:1'$$,
    $$SET dbnet.gateway_require_token = off$$,
    $$SET dbnet.gateway_allowed_origins = '*'$$,
    $$SET dbnet.api_listen = '127.0.0.1:1'$$,
    $$ALTER DATABASE postgres SET dbnet.gateway_listen = '127.0.0.1:1'$$,
    $$SELECT dbnet.check_server('lab')$$,
    $$SELECT dbnet.kinds('lab')$$,
    $$SELECT dbnet.mirror('lab', 'v1', 'Node', 'connection_rights.nodes')$$,
    $$SELECT dbnet.mirror('lab', 'v1', 'Node', 'connection_rights.known_nodes', '{"name": "metadata.name"}')$$]) AS s(statement)
    WHERE NOT (statement LIKE '%dbnet.mirror%' AND role = 'connection_plain');
SET ROLE connection_plain;
SELECT throws_ok($$SELECT dbnet.mirror('lab', 'v1', 'Node', 'connection_rights.nodes')$$, '42501', 'permission denied for function mirror', 'mirrors are for dbnet_admin');
RESET ROLE;
-- Not even as somebody else's action or through the client API.
SET ROLE connection_admin;
SELECT throws_ok($$SELECT dbnet.execute('CREATE SERVER own FOREIGN DATA WRAPPER dbnet_kubernetes')$$, '42501', NULL, 'the client API has the caller''s rights');
RESET ROLE;
SELECT * FROM finish();
ROLLBACK;
