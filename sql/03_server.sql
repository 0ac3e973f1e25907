-- Clusters are SQL/MED servers: PostgreSQL keeps their owners, rights and hidden credentials.
-- Code: src/mirror/server/server_options.*, src/mirror/functions/functions_server.cpp.

CREATE FUNCTION dbnet.validate_options(options text[], catalog oid) RETURNS void
    LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_validate_options';
COMMENT ON FUNCTION dbnet.validate_options(text[], oid) IS
    'Validator of foreign-data wrapper dbnet_kubernetes. Arguments: options as name=value; catalog of the object that has them. Errors: HV00D unknown option, 22023 bad value or combination, 42501 file-valued option set by a role that may not read server files';

CREATE FOREIGN DATA WRAPPER dbnet_kubernetes NO HANDLER VALIDATOR dbnet.validate_options;
COMMENT ON FOREIGN DATA WRAPPER dbnet_kubernetes IS
    'Kubernetes API servers. Server options: api_url (with ca or ca_file, tls_server_name, insecure_skip_tls_verify), kubeconfig (with context) or in_cluster; proxy_url; http_version: 1.1 (default) or 2; lease_namespace: where the Lease is by which of several servers of one database one writes (default); lease: false = there is none; impersonate: mapped or required = changes go as the Kubernetes users of the roles that committed them (dbnet.map_role); events: true = what becomes of objects is told in Kubernetes Events; offline: true = DBNet never connects, for tests of policies. User mapping options: token or token_file; client_cert and client_key, or client_cert_file and client_key_file; with them impersonate_user, impersonate_uid, impersonate_groups (JSON array) and impersonate_extra (JSON object of arrays): as whom all is asked for';

CREATE FUNCTION dbnet.server_option(server name, option text) RETURNS text
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN (SELECT set.option_value FROM pg_foreign_server AS found, pg_options_to_table(found.srvoptions) AS set
            WHERE found.srvname = $1 AND set.option_name = $2);
END
$$;
COMMENT ON FUNCTION dbnet.server_option(name, text) IS
    'Internal: an option of a foreign server. Arguments: the server; the name of the option. NULL when it is not set, or there is no such server';

CREATE FUNCTION dbnet.is_offline(server name) RETURNS boolean
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN coalesce(dbnet.server_option($1, 'offline')::boolean, false);
END
$$;
COMMENT ON FUNCTION dbnet.is_offline(name) IS
    'Whether option offline of a foreign server is on: DBNet never connects to it, its mirrors are for tests. Argument: the server. False when there is no such server';

CREATE FUNCTION dbnet.lease_namespace(server name) RETURNS text
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN CASE WHEN coalesce(dbnet.server_option($1, 'lease')::boolean, true)
                THEN coalesce(dbnet.server_option($1, 'lease_namespace'), 'default') END;
END
$$;
COMMENT ON FUNCTION dbnet.lease_namespace(name) IS
    'The namespace of the Lease by which one of several servers of this database writes to a foreign server. Argument: the server. NULL when its option lease is off';

CREATE FUNCTION dbnet.writes_events(server name) RETURNS boolean
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN coalesce(dbnet.server_option($1, 'events')::boolean, false);
END
$$;
COMMENT ON FUNCTION dbnet.writes_events(name) IS
    'Whether option events of a foreign server is on: what its mirrors in mode manage do to objects, and what is refused or held, is told in Kubernetes Events, which kubectl describe shows. Argument: the server. False when there is no such server';

-- Who gave credentials knew one endpoint. When somebody else changes the server's options, those credentials must not
-- travel to the new endpoint: they count only while the server's options are those they were given for. By name, since
-- pg_upgrade keeps these rows but not the oids of user mappings. Not dumped: a restored mapping is noted as it is created.
CREATE TABLE dbnet.endpoint (
    server      name PRIMARY KEY,
    fingerprint text NOT NULL
);
COMMENT ON TABLE dbnet.endpoint IS 'Where each server leads: tells which change of a server''s options is a change of the endpoint';
COMMENT ON COLUMN dbnet.endpoint.server IS 'foreign server';
COMMENT ON COLUMN dbnet.endpoint.fingerprint IS 'SHA-256 of its options, hexadecimal';

CREATE TABLE dbnet.credential (
    server      name NOT NULL,
    role        name NOT NULL,
    given_by    name NOT NULL,
    fingerprint text NOT NULL,
    PRIMARY KEY (server, role)
);
COMMENT ON TABLE dbnet.credential IS 'For which endpoint the credentials of each user mapping were given, and by whom';
COMMENT ON COLUMN dbnet.credential.server IS 'foreign server';
COMMENT ON COLUMN dbnet.credential.role IS 'whose mapping it is; public = everybody''s';
COMMENT ON COLUMN dbnet.credential.given_by IS 'role that created or last altered the mapping';
COMMENT ON COLUMN dbnet.credential.fingerprint IS 'dbnet.endpoint.fingerprint for which the credentials are good';

CREATE FUNCTION dbnet.record_credentials() RETURNS event_trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_record_credentials';
COMMENT ON FUNCTION dbnet.record_credentials() IS
    'Event trigger: mirrors, pauses, credentials and mapped roles follow a renamed server; what an offline server was taken to have is forgotten when it goes online; notes for which endpoint credentials are given; a changed endpoint keeps those of the role that changed it (of all roles if it is a superuser) and invalidates the others';
CREATE EVENT TRIGGER dbnet_record_credentials ON ddl_command_end
    WHEN TAG IN ('CREATE SERVER', 'ALTER SERVER', 'CREATE USER MAPPING', 'ALTER USER MAPPING')
    EXECUTE FUNCTION dbnet.record_credentials();
-- Also where session_replication_role is replica: a mapping made unseen would be useless.
ALTER EVENT TRIGGER dbnet_record_credentials ENABLE ALWAYS;

CREATE FUNCTION dbnet.check_server(server name, OUT item text, OUT state text, OUT detail text, OUT hint text)
    RETURNS SETOF record
    LANGUAGE c STRICT VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_check_server';
COMMENT ON FUNCTION dbnet.check_server(name) IS
    'Asks an API server whether DBNet can work with it; changes nothing. Argument: foreign server on which the caller has USAGE. Rows: endpoint, connection (round trip in milliseconds), version, identity (who the credentials are), one item ''rights of <mirror>'' per mirror of the server, and, with option impersonate, one ''rights to act as <role>'' per role of dbnet.mapped_role; of an offline server the endpoint alone; state is ok, failed or unknown; detail holds the server''s own words; hint says what to do. Errors: 42704 no such server, 42501 no USAGE, 57014 cancelled';

CREATE FUNCTION dbnet.kinds(server name, OUT api_version text, OUT kind text, OUT resource text, OUT namespaced boolean,
                            OUT verbs text[], OUT short_names text[], OUT preferred boolean)
    RETURNS SETOF record
    LANGUAGE c STRICT VOLATILE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_kinds';
COMMENT ON FUNCTION dbnet.kinds(name) IS
    'Every kind that an API server serves now, custom resources included, without subresources. Argument: foreign server on which the caller has USAGE. preferred: the version is the one the server prefers for its group. A group that does not answer is left out with a WARNING. Errors: 42704 no such server, 42501 no USAGE, 08006 the server does not answer, 55000 it is offline, 57014 cancelled';
