-- Who a role is to a server: with the server's option impersonate what a role commits is sent as its Kubernetes user, so that the
-- cluster's own RBAC decides and its audit log tells who has asked. Code: src/mirror/decision/committers.*, src/kubernetes/impersonation.*.
--
-- No option of user mappings: whoever has USAGE on a server may make one for himself, and would say whom DBNet's credentials are to act as.

CREATE FUNCTION dbnet.impersonation(server name) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT coalesce(dbnet.server_option($1, 'impersonate'), 'off');
END;
COMMENT ON FUNCTION dbnet.impersonation(name) IS
    'Option impersonate of a foreign server. Argument: the server. off: all that is sent goes as who the credentials are; mapped: what a role of dbnet.mapped_role has committed goes as its user; required: and what any other role has committed is not sent';

CREATE TABLE dbnet.mapped_role (
    server    name        NOT NULL,
    role      regrole     NOT NULL,
    user_name text        NOT NULL,
    uid       text,
    groups    text[]      NOT NULL DEFAULT '{}',
    extra     jsonb       NOT NULL DEFAULT '{}',
    mapped_by name        NOT NULL,
    mapped_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (server, role)
);
COMMENT ON TABLE dbnet.mapped_role IS 'Which user of a cluster each role is, where option impersonate of the server is on. Change it with dbnet.map_role and dbnet.unmap_role';
COMMENT ON COLUMN dbnet.mapped_role.server IS 'foreign server';
COMMENT ON COLUMN dbnet.mapped_role.role IS 'role whose changes go as that user, by itself: what members of it commit as themselves is theirs';
COMMENT ON COLUMN dbnet.mapped_role.user_name IS 'user, or system:serviceaccount:<namespace>:<name>';
COMMENT ON COLUMN dbnet.mapped_role.uid IS 'its uid; NULL = none is told';
COMMENT ON COLUMN dbnet.mapped_role.groups IS 'its groups beside system:authenticated; of a service account {} = those that it has';
COMMENT ON COLUMN dbnet.mapped_role.extra IS 'further words about it for authorisers and audit: {key: [value]}';
COMMENT ON COLUMN dbnet.mapped_role.mapped_by IS 'role that said so';
COMMENT ON COLUMN dbnet.mapped_role.mapped_at IS 'when';
-- The number of a role that was dropped is another role's where the dump is restored.
SELECT pg_catalog.pg_extension_config_dump('dbnet.mapped_role', 'WHERE role::oid IN (SELECT oid FROM pg_catalog.pg_roles)');
CREATE TRIGGER dbnet_notify AFTER INSERT OR UPDATE OR DELETE ON dbnet.mapped_role
    FOR EACH STATEMENT EXECUTE FUNCTION dbnet.notify_configuration();

INSERT INTO dbnet.tracked_relation (number, relation, schema_name, table_name, key_columns)
    VALUES (12, 'dbnet.mapped_role', 'dbnet', 'mapped_role', '{server,role}');
CREATE TRIGGER dbnet_track AFTER INSERT OR UPDATE OR DELETE ON dbnet.mapped_role FOR EACH ROW EXECUTE FUNCTION dbnet.track_row();
ALTER TABLE dbnet.mapped_role ENABLE ALWAYS TRIGGER dbnet_track;

CREATE FUNCTION dbnet.check_maps_roles(caller oid, server name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    owner oid := (SELECT srvowner FROM pg_foreign_server JOIN pg_foreign_data_wrapper AS w ON w.oid = srvfdw
                  WHERE srvname = check_maps_roles.server AND fdwname = 'dbnet_kubernetes');
BEGIN
    IF owner IS NULL THEN
        RAISE undefined_object USING MESSAGE = format('server "%s" is no server of dbnet_kubernetes', server), HINT = 'SELECT srvname FROM pg_foreign_server lists all servers.';
    END IF;
    IF NOT pg_has_role(caller, owner, 'USAGE') THEN
        RAISE insufficient_privilege USING MESSAGE = format('must be owner of foreign server %s', server),
            DETAIL = 'Who says which user a role is says as whom the credentials of the server''s mirrors act.';
    END IF;
END
$$;
COMMENT ON FUNCTION dbnet.check_maps_roles(oid, name) IS 'Internal: raises an error unless a role may say which user of a server each role is';

CREATE FUNCTION dbnet.answer_map_role(caller oid, server name, role regrole, user_name text, groups text[], uid text, extra jsonb) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    named text;
BEGIN
    PERFORM dbnet.check_maps_roles(caller, server);
    groups := coalesce(groups, '{}');
    extra := coalesce(extra, '{}');
    IF NOT EXISTS (SELECT FROM pg_roles WHERE oid = role) THEN
        RAISE undefined_object USING MESSAGE = format('role %s does not exist', role);
    END IF;
    IF jsonb_typeof(extra) <> 'object'
       OR EXISTS (SELECT FROM jsonb_each(extra) AS e WHERE e.key = '' OR jsonb_typeof(e.value) <> 'array'
                  OR EXISTS (SELECT FROM jsonb_array_elements(e.value) AS v WHERE jsonb_typeof(v) <> 'string')) THEN
        RAISE invalid_parameter_value USING MESSAGE = 'extra is not an object of arrays of texts', HINT = 'It looks like {"example.com/team": ["net"]}.';
    END IF;
    -- What a header says must be what was meant.
    FOREACH named IN ARRAY ARRAY[user_name, coalesce(uid, 'none')] || groups || ARRAY(SELECT v FROM jsonb_each(extra) AS e, jsonb_array_elements_text(e.value) AS v) LOOP
        IF named IS NULL OR named = '' OR named ~ '^ | $|[\x01-\x1f\x7f]' THEN
            RAISE invalid_parameter_value USING MESSAGE = format('"%s" is no name of a user, uid or group, nor an extra value', named),
                HINT = 'It may not be empty, begin or end with a space, or hold line breaks and other control characters.';
        END IF;
    END LOOP;
    INSERT INTO dbnet.mapped_role AS known (server, role, user_name, uid, groups, extra, mapped_by)
    VALUES (server, role, user_name, uid, groups, extra, pg_get_userbyid(caller))
    ON CONFLICT ON CONSTRAINT mapped_role_pkey DO UPDATE
    SET user_name = excluded.user_name, uid = excluded.uid, groups = excluded.groups, extra = excluded.extra, mapped_by = excluded.mapped_by, mapped_at = now();
END
$$;
COMMENT ON FUNCTION dbnet.answer_map_role(oid, name, regrole, text, text[], text, jsonb) IS 'Internal: answers dbnet.map_role()';

CREATE FUNCTION dbnet.map_role(server name, role regrole, user_name text, groups text[] DEFAULT '{}', uid text DEFAULT NULL, extra jsonb DEFAULT '{}') RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbnet_request';
COMMENT ON FUNCTION dbnet.map_role(name, regrole, text, text[], text, jsonb) IS
    'Says which user of a cluster a role is: with option impersonate of the server, what the role commits from then on, and what waits, is sent as that user. What goes out is what the newest row says, as the role that committed it (SET ROLE counts, SECURITY DEFINER does not). Reads go as who the credentials are, which need RBAC''s verb impersonate (dbnet.rbac); the user needs the rights to what the mirrors send. Arguments: foreign server, of the caller; role; user_name, or system:serviceaccount:<namespace>:<name>; groups (none: those that every user has, or the service account); uid (NULL: none is told); extra: {key: [value]}. Errors: 42704 no such server or role, 42501 not its owner, 22023 what no request can name';

CREATE FUNCTION dbnet.answer_unmap_role(caller oid, server name, role regrole) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM dbnet.check_maps_roles(caller, server);
    DELETE FROM dbnet.mapped_role AS m WHERE m.server = answer_unmap_role.server AND m.role = answer_unmap_role.role;
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('role %s is no user of server "%s"', role, server), HINT = 'SELECT * FROM dbnet.mapped_role lists those that are.';
    END IF;
END
$$;
COMMENT ON FUNCTION dbnet.answer_unmap_role(oid, name, regrole) IS 'Internal: answers dbnet.unmap_role()';

CREATE FUNCTION dbnet.unmap_role(server name, role regrole) RETURNS void
    LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'dbnet_request';
COMMENT ON FUNCTION dbnet.unmap_role(name, regrole) IS
    'A role is no user of the cluster any more. Arguments: foreign server, of the caller; role. Errors: 42704 no such server, or the role is none, 42501 not its owner';
