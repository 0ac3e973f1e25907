-- Tokens: who may speak to the gateway and to the client API over HTTP, and as which role. Code: src/gateway/token/token.*,
-- functions_token.cpp. A token is shown once; the database keeps its SHA-256 alone, in a table of its own that nobody reads.
--
-- Not dumped: a copy of the database must not let in who may enter the original. pg_upgrade keeps them. Roles are kept by oid, so a
-- token follows a role that is renamed; with DROP ROLE it is void at once, and its row goes with the mirror worker's next look.

CREATE TABLE dbnet.token (
    id                  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name                text        NOT NULL CHECK (pg_catalog.length(name) BETWEEN 1 AND 128),
    role                regrole     NOT NULL,
    scope               text        NOT NULL CHECK (scope IN ('api', 'ingest')),
    resource_attributes jsonb       NOT NULL DEFAULT '{}' CHECK (pg_catalog.jsonb_typeof(resource_attributes) = 'object'),
    privileged          boolean     NOT NULL DEFAULT false,
    created_by          text        NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT pg_catalog.now(),
    expires_at          timestamptz,
    revoked_at          timestamptz,
    revoked_by          text
);
CREATE UNIQUE INDEX token_name ON dbnet.token (name) WHERE revoked_at IS NULL;
COMMENT ON TABLE dbnet.token IS 'Bearer tokens of the gateway and the client API, without what they are made of. Change it with dbnet.create_token and dbnet.revoke_token';
COMMENT ON COLUMN dbnet.token.id IS 'number of the token';
COMMENT ON COLUMN dbnet.token.name IS 'what it is for; one at a time has it';
COMMENT ON COLUMN dbnet.token.role IS 'role as which it acts';
COMMENT ON COLUMN dbnet.token.scope IS 'api = the client API; ingest = may deliver telemetry and nothing else';
COMMENT ON COLUMN dbnet.token.resource_attributes IS 'ingest: resource attributes that everything delivered with it gets, whatever the sender says';
COMMENT ON COLUMN dbnet.token.privileged IS 'a superuser said that it may act as a role that could reach beyond the database';
COMMENT ON COLUMN dbnet.token.created_by IS 'role that created it';
COMMENT ON COLUMN dbnet.token.created_at IS 'when it was created';
COMMENT ON COLUMN dbnet.token.expires_at IS 'when it ends; NULL = never';
COMMENT ON COLUMN dbnet.token.revoked_at IS 'when it was revoked; NULL = it was not';
COMMENT ON COLUMN dbnet.token.revoked_by IS 'role that revoked it';

-- Written once a minute at most while a token is used.
CREATE TABLE dbnet.token_secret (
    hash         bytea  PRIMARY KEY CHECK (pg_catalog.octet_length(hash) = 32),
    token        bigint NOT NULL UNIQUE REFERENCES dbnet.token ON DELETE CASCADE,
    last_used_at timestamptz,
    last_client  text
) WITH (fillfactor = 50);
COMMENT ON TABLE dbnet.token_secret IS 'By what a token is recognised, until it is revoked; and when it was last used';
COMMENT ON COLUMN dbnet.token_secret.hash IS 'SHA-256 of the token; for nobody but the extension';
COMMENT ON COLUMN dbnet.token_secret.token IS 'dbnet.token.id';
COMMENT ON COLUMN dbnet.token_secret.last_used_at IS 'when it was last used, to the minute';
COMMENT ON COLUMN dbnet.token_secret.last_client IS 'address from which it was';

CREATE FUNCTION dbnet.notify_tokens() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'dbnet_notify_tokens';
COMMENT ON FUNCTION dbnet.notify_tokens() IS 'Trigger (AFTER, FOR EACH ROW, ENABLE ALWAYS) of dbnet.token_secret: the workers that serve HTTP know of a token from the commit on that makes it';
CREATE TRIGGER dbnet_notify AFTER INSERT OR UPDATE OF hash ON dbnet.token_secret FOR EACH ROW EXECUTE FUNCTION dbnet.notify_tokens();
ALTER TABLE dbnet.token_secret ENABLE ALWAYS TRIGGER dbnet_notify;

ALTER TABLE dbnet.token ENABLE ROW LEVEL SECURITY;
CREATE POLICY viewer ON dbnet.token FOR SELECT TO dbnet_viewer
    USING (EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.oid = role) AND pg_catalog.pg_has_role(role, 'MEMBER'));
COMMENT ON POLICY viewer ON dbnet.token IS 'Tokens of roles of which one is a member';
CREATE POLICY operator ON dbnet.token FOR SELECT TO dbnet_operator USING (true);
COMMENT ON POLICY operator ON dbnet.token IS 'Every token';
ALTER TABLE dbnet.token_secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY viewer ON dbnet.token_secret FOR SELECT TO dbnet_viewer USING (EXISTS (SELECT FROM dbnet.token AS t WHERE t.id = token));
COMMENT ON POLICY viewer ON dbnet.token_secret IS 'Of tokens that one sees';

-- Who created and revoked which token is on record, as all configuration is.
INSERT INTO dbnet.tracked_relation (number, relation, schema_name, table_name, key_columns)
    VALUES (11, 'dbnet.token', 'dbnet', 'token', '{id}');
CREATE TRIGGER dbnet_track AFTER INSERT OR UPDATE OR DELETE ON dbnet.token FOR EACH ROW EXECUTE FUNCTION dbnet.track_row();
ALTER TABLE dbnet.token ENABLE ALWAYS TRIGGER dbnet_track;

-- What a role can do beyond the database ----------------------------------------------------------------------------------

CREATE FUNCTION dbnet.privilege_beyond(role oid) RETURNS text
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN (SELECT CASE WHEN r.oid = $1 THEN '' ELSE format('is a member of role "%s", which ', r.rolname) END
                   || CASE WHEN r.rolsuper THEN 'is a superuser' WHEN r.rolcreaterole THEN 'may create roles'
                           WHEN r.rolreplication THEN 'may replicate' ELSE 'may use files or programs of the server' END
            FROM pg_roles AS r
            WHERE (r.rolsuper OR r.rolcreaterole OR r.rolreplication
                   OR r.rolname IN ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program'))
              AND pg_has_role($1, r.oid, 'MEMBER')
            ORDER BY r.oid <> $1, r.rolname LIMIT 1);
END
$$;
COMMENT ON FUNCTION dbnet.privilege_beyond(oid) IS
    'Internal: by what a role, itself or as another one whose member it is, could reach beyond the database''s own rights; NULL = by nothing. Argument: a role that exists';

CREATE FUNCTION dbnet.token_problem(token dbnet.token) RETURNS text
    LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN CASE
        WHEN token.revoked_at IS NOT NULL THEN 'the token was revoked'
        WHEN token.expires_at <= clock_timestamp() THEN 'the token has expired'
        WHEN NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = token.role) THEN 'the role of the token was dropped'
    END;
END
$$;
COMMENT ON FUNCTION dbnet.token_problem(dbnet.token) IS 'Internal: why a token is valid no more; NULL = it is';

CREATE FUNCTION dbnet.role_problem(token dbnet.token) RETURNS text
    LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN (SELECT CASE
                WHEN token.scope = 'ingest' AND NOT pg_has_role(r.oid, 'dbnet_ingest', 'USAGE')
                    THEN format('role "%s" does not have the rights of dbnet_ingest', r.rolname)
                WHEN token.scope = 'api' AND NOT r.rolcanlogin THEN format('role "%s" is not permitted to log in', r.rolname)
                WHEN token.scope = 'api' AND NOT has_database_privilege(r.oid, current_database(), 'CONNECT')
                    THEN format('role "%s" has no CONNECT privilege on database "%s"', r.rolname, current_database())
                WHEN NOT token.privileged THEN format('role "%s" ', r.rolname) || dbnet.privilege_beyond(r.oid)
            END
            FROM pg_roles AS r WHERE r.oid = token.role);
END
$$;
COMMENT ON FUNCTION dbnet.role_problem(dbnet.token) IS 'Internal: why the role of a token may not do what the token is for; NULL = it may';

-- Creating and revoking --------------------------------------------------------------------------------------------------

CREATE FUNCTION dbnet.answer_create_token(caller oid, role regrole, name text, expires interval, scope text, resource_attributes jsonb,
                                          expires_at timestamptz, privileged boolean, hash bytea) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    caller_is_superuser boolean := (SELECT rolsuper FROM pg_roles WHERE oid = caller);
    token dbnet.token;
    problem text;
BEGIN
    IF role IS NULL OR name IS NULL OR scope IS NULL OR privileged IS NULL THEN
        RAISE EXCEPTION 'role, name, scope and privileged must not be NULL' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF length(name) NOT BETWEEN 1 AND 128 THEN
        RAISE EXCEPTION 'the name of a token has 1 to 128 characters' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF scope NOT IN ('api', 'ingest') THEN
        RAISE EXCEPTION 'unknown scope "%"', scope USING ERRCODE = 'invalid_parameter_value', HINT = 'It is api or ingest.';
    END IF;
    -- Since 16 a member may be barred from SET ROLE.
    IF NOT pg_has_role(caller, role, CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END) THEN
        RAISE EXCEPTION 'must be a member of role %', role
            USING ERRCODE = 'insufficient_privilege', DETAIL = 'Who has a token of a role acts as that role.';
    END IF;
    IF privileged AND NOT caller_is_superuser THEN
        RAISE EXCEPTION 'must be superuser to create a privileged token' USING ERRCODE = 'insufficient_privilege';
    END IF;
    resource_attributes := coalesce(resource_attributes, '{}');
    IF jsonb_typeof(resource_attributes) <> 'object'
       OR EXISTS (SELECT FROM jsonb_each(resource_attributes) AS a WHERE jsonb_typeof(a.value) NOT IN ('string', 'number', 'boolean')) THEN
        RAISE EXCEPTION 'resource_attributes is not an object of texts, numbers and booleans' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'For example {"k8s.cluster.name": "prod"}.';
    END IF;
    IF scope = 'api' AND resource_attributes <> '{}' THEN
        RAISE EXCEPTION 'resource_attributes are for tokens with scope ingest' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    expires_at := coalesce(expires_at, now() + expires);
    IF expires_at <= now() THEN
        RAISE EXCEPTION 'the token would have expired at %', expires_at USING ERRCODE = 'invalid_parameter_value';
    END IF;

    token.role := role;
    token.scope := scope;
    token.privileged := privileged;
    problem := dbnet.role_problem(token);
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'the token would be refused: %', problem
            USING ERRCODE = 'insufficient_privilege',
                  HINT = CASE WHEN scope = 'ingest' AND NOT pg_has_role(role, 'dbnet_ingest', 'USAGE') THEN format('GRANT dbnet_ingest TO %s;', role)
                              WHEN dbnet.privilege_beyond(role) IS NOT NULL AND NOT privileged
                                  THEN 'Use a plain role. A superuser may say privileged => true.'
                              WHEN scope = 'api' AND NOT (SELECT rolcanlogin FROM pg_roles WHERE oid = role) THEN format('ALTER ROLE %s LOGIN;', role)
                              ELSE format('GRANT CONNECT ON DATABASE %I TO %s;', current_database(), role) END;
    END IF;
    DELETE FROM dbnet.token AS t WHERE t.name = answer_create_token.name AND t.revoked_at IS NULL AND dbnet.token_problem(t) IS NOT NULL;
    IF EXISTS (SELECT FROM dbnet.token AS t WHERE t.name = answer_create_token.name AND t.revoked_at IS NULL) THEN
        RAISE EXCEPTION 'there is a token called "%"', name
            USING ERRCODE = 'duplicate_object', HINT = 'Give another name, or dbnet.revoke_token() it first.';
    END IF;
    INSERT INTO dbnet.token (name, role, scope, resource_attributes, privileged, created_by, expires_at)
        VALUES (name, role, scope, resource_attributes, privileged, pg_get_userbyid(caller), expires_at) RETURNING * INTO token;
    INSERT INTO dbnet.token_secret (hash, token) VALUES (hash, token.id);
END
$$;
COMMENT ON FUNCTION dbnet.answer_create_token(oid, regrole, text, interval, text, jsonb, timestamptz, boolean, bytea) IS
    'Internal: notes what dbnet.create_token() has made';

CREATE FUNCTION dbnet.create_token(role regrole, name text, expires interval DEFAULT '90 days', scope text DEFAULT 'api',
                                   resource_attributes jsonb DEFAULT '{}', expires_at timestamptz DEFAULT NULL, privileged boolean DEFAULT false)
    RETURNS text LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dbnet_create_token';
COMMENT ON FUNCTION dbnet.create_token(regrole, text, interval, text, jsonb, timestamptz, boolean) IS
    'Creates a bearer token for HTTP and returns it: now and never again, for only its SHA-256 is kept. Arguments: role as which it acts, of which the caller must be a member; name: what it is for; expires: after what time, NULL = never, or expires_at: when; scope: api (the client API, dbnet.api_listen; the role must be able to log in) | ingest (telemetry alone, dbnet.gateway_listen; the role must have the rights of dbnet_ingest); resource_attributes: ingest: what all that is delivered with it gets, whatever the sender says; privileged: true = the role may be one that reaches beyond the database (superuser, CREATEROLE, REPLICATION, files and programs of the server), for superusers to say. Errors: 42501 rights of the caller or the role, 42710 the name is taken, 22023 bad value';

CREATE FUNCTION dbnet.answer_revoke_token(caller oid, name text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
BEGIN
    UPDATE dbnet.token AS t SET revoked_at = now(), revoked_by = pg_get_userbyid(caller)
        WHERE t.name = answer_revoke_token.name AND t.revoked_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no token called "%"', name USING ERRCODE = 'undefined_object', HINT = 'SELECT name, state FROM dbnet.token_status;';
    END IF;
    DELETE FROM dbnet.token_secret AS s USING dbnet.token AS t WHERE t.id = s.token AND t.revoked_at IS NOT NULL;
END
$$;
COMMENT ON FUNCTION dbnet.answer_revoke_token(oid, text) IS 'Internal: does what dbnet.revoke_token() asks for';
CREATE FUNCTION dbnet.revoke_token(name text) RETURNS void
    LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'dbnet_request';
COMMENT ON FUNCTION dbnet.revoke_token(text) IS
    'Ends a token: from the commit on no request is let in with it. Argument: its name. Errors: 42704 there is no such token, or it is revoked already';

CREATE VIEW dbnet.token_status WITH (security_invoker = true) AS
SELECT t.name, CASE WHEN r.rolname IS NULL THEN NULL ELSE t.role END AS role, t.scope,
       CASE WHEN t.revoked_at IS NOT NULL THEN 'revoked' WHEN dbnet.token_problem(t) IS NOT NULL THEN 'expired'
            WHEN dbnet.role_problem(t) IS NOT NULL THEN 'refused' ELSE 'valid' END AS state,
       coalesce(dbnet.token_problem(t), dbnet.role_problem(t)) AS reason,
       t.created_by, t.created_at, t.expires_at, s.last_used_at, s.last_client, t.revoked_by, t.revoked_at, t.resource_attributes, t.privileged
FROM dbnet.token AS t LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = t.role LEFT JOIN dbnet.token_secret AS s ON s.token = t.id;
COMMENT ON VIEW dbnet.token_status IS 'Bearer tokens: viewers see those of roles of which they are members, operators all';
COMMENT ON COLUMN dbnet.token_status.name IS 'What it is for.';
COMMENT ON COLUMN dbnet.token_status.role IS 'Role as which it acts; NULL = it was dropped.';
COMMENT ON COLUMN dbnet.token_status.scope IS 'api or ingest.';
COMMENT ON COLUMN dbnet.token_status.state IS 'valid; expired (also: its role was dropped); revoked; refused: its role may not do what the token is for, see reason.';
COMMENT ON COLUMN dbnet.token_status.reason IS 'Why it is not valid; NULL = it is.';
COMMENT ON COLUMN dbnet.token_status.created_by IS 'Role that created it.';
COMMENT ON COLUMN dbnet.token_status.created_at IS 'When it was created.';
COMMENT ON COLUMN dbnet.token_status.expires_at IS 'When it ends; NULL = never.';
COMMENT ON COLUMN dbnet.token_status.last_used_at IS 'When it was last used, to the minute; NULL = never, or it is revoked.';
COMMENT ON COLUMN dbnet.token_status.last_client IS 'Address from which it was.';
COMMENT ON COLUMN dbnet.token_status.revoked_by IS 'Role that revoked it.';
COMMENT ON COLUMN dbnet.token_status.revoked_at IS 'When it was revoked.';
COMMENT ON COLUMN dbnet.token_status.resource_attributes IS 'Resource attributes that everything delivered with it gets.';
COMMENT ON COLUMN dbnet.token_status.privileged IS 'A superuser said that its role may be one that reaches beyond the database.';

-- For the workers ----------------------------------------------------------------------------------------------------------

CREATE FUNCTION dbnet.remove_ended_tokens() RETURNS void
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    DELETE FROM dbnet.token AS t
        WHERE coalesce(t.revoked_at, t.expires_at) < pg_catalog.now() - interval '90 days'
           OR NOT EXISTS (SELECT FROM pg_catalog.pg_authid AS r WHERE r.oid = t.role);
END;
COMMENT ON FUNCTION dbnet.remove_ended_tokens() IS
    'Internal, for the mirror worker: removes tokens whose role was dropped, and those that have been revoked or expired for 90 days';
