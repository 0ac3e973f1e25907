-- Credentials go to the endpoint they were given for, and nowhere else.
\set SHOW_CONTEXT never
CREATE ROLE regress_dbnet_owner;
CREATE ROLE regress_dbnet_user;
GRANT USAGE ON FOREIGN DATA WRAPPER dbnet_kubernetes TO regress_dbnet_owner;
CREATE VIEW good AS
    SELECT server, role, given_by, credential.fingerprint = endpoint.fingerprint AS good
    FROM dbnet.credential JOIN dbnet.endpoint USING (server) WHERE server = 'shared' ORDER BY role;

SET ROLE regress_dbnet_owner;
CREATE SERVER shared FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://127.0.0.1:1');
GRANT USAGE ON FOREIGN SERVER shared TO regress_dbnet_user;
CREATE USER MAPPING FOR PUBLIC SERVER shared OPTIONS (token 'owner');
SET ROLE regress_dbnet_user;
CREATE USER MAPPING FOR regress_dbnet_user SERVER shared OPTIONS (token 'user');
RESET ROLE;
SELECT * FROM good;

-- The owner leads the server elsewhere: its own credentials follow, those of others do not.
SET ROLE regress_dbnet_owner;
ALTER SERVER shared OPTIONS (SET api_url 'https://127.0.0.1:2');
RESET ROLE;
SELECT * FROM good;
GRANT EXECUTE ON FUNCTION dbnet.kinds(name) TO regress_dbnet_user;
SET ROLE regress_dbnet_user;
SELECT * FROM dbnet.kinds('shared');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;

-- What is not a change of the endpoint revives nothing, whoever makes it.
ALTER SERVER shared OWNER TO regress_dbnet_owner;
ALTER SERVER shared VERSION '2';
SELECT * FROM good;

-- Nor does leading it back.
SET ROLE regress_dbnet_owner;
ALTER SERVER shared OPTIONS (ADD insecure_skip_tls_verify 'true');
RESET ROLE;
SELECT * FROM good;

-- Given again, they are good again; a superuser takes all good ones along.
SET ROLE regress_dbnet_user;
ALTER USER MAPPING FOR regress_dbnet_user SERVER shared OPTIONS (SET token 'again');
RESET ROLE;
SELECT * FROM good;
ALTER SERVER shared OPTIONS (SET api_url 'https://127.0.0.1:3');
SELECT * FROM good;

-- USAGE is asked for first.
REVOKE USAGE ON FOREIGN SERVER shared FROM regress_dbnet_user;
SET ROLE regress_dbnet_user;
SELECT * FROM dbnet.kinds('shared');
SELECT * FROM dbnet.kinds('nowhere');
RESET ROLE;
CREATE FOREIGN DATA WRAPPER other;
CREATE SERVER strange FOREIGN DATA WRAPPER other;
SELECT * FROM dbnet.kinds('strange');

-- What is dropped is forgotten, and a new server of the same name inherits nothing.
DROP SERVER shared CASCADE;
DROP FOREIGN DATA WRAPPER other CASCADE;
CREATE SERVER shared FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://127.0.0.1:3');
SELECT * FROM good;
DROP SERVER shared;
DROP VIEW good;
REVOKE EXECUTE ON FUNCTION dbnet.kinds(name) FROM regress_dbnet_user;
DROP OWNED BY regress_dbnet_owner, regress_dbnet_user;
DROP ROLE regress_dbnet_owner, regress_dbnet_user;
