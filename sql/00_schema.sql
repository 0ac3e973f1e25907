-- Ground of the extension: who owns the schema, the sequence of configuration generations, the four roles.
-- Joined first into dbnet--0.1.sql; run once by CREATE EXTENSION as a superuser.

-- A schema that somebody else made beforehand could hold look-alikes of our functions.
DO $$
DECLARE
    schema_owner name := (SELECT pg_catalog.pg_get_userbyid(nspowner) FROM pg_catalog.pg_namespace WHERE nspname = 'dbnet');
BEGIN
    IF schema_owner <> current_user THEN
        RAISE EXCEPTION 'schema "dbnet" exists and belongs to role "%"', schema_owner
            USING ERRCODE = 'duplicate_schema',
                  HINT = 'Drop or rename that schema, then run CREATE EXTENSION dbnet again.';
    END IF;
END
$$;

COMMENT ON SCHEMA dbnet IS 'DBNet: devices are rows, policies are SQL, a committed change is carried out by a background worker';

-- Roles belong to the whole server: another database may have made them already. Their rights are in 99_grants.sql.
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES
            ('dbnet_viewer', 'DBNet: may read status of the mirrors whose tables it may SELECT'),
            ('dbnet_operator', 'DBNet: dbnet_viewer, and may pause, resume, retry, resync, approve and reject'),
            ('dbnet_admin', 'DBNet: dbnet_operator, and may create, alter and remove mirrors of tables it owns, and claim a restored database'),
            ('dbnet_ingest', 'DBNet: may deliver telemetry')) AS role(name, comment)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted.name) THEN
            EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted.name);
            EXECUTE pg_catalog.format('COMMENT ON ROLE %I IS %L', wanted.name, wanted.comment);
        END IF;
    END LOOP;
END
$$;

CREATE SEQUENCE dbnet.generation;
COMMENT ON SEQUENCE dbnet.generation IS
    'Number of configuration changes; a mirror that is dropped and made again gets a new one, so late answers for the old one are recognised';
SELECT pg_catalog.pg_extension_config_dump('dbnet.generation', '');
