-- Options of servers and user mappings: which are accepted, and what is said about the others.
\set SHOW_CONTEXT never

-- Accepted.
CREATE SERVER plain FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://10.0.0.1:6443');
CREATE SERVER loopback FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'http://127.0.0.1:8080');
CREATE SERVER checked FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://k.example.com/prefix', ca E'-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n', tls_server_name 'kubernetes', proxy_url 'socks5://proxy:1080');
CREATE SERVER unchecked FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://10.0.0.1:6443', insecure_skip_tls_verify 'Yes');
CREATE SERVER by_file FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (kubeconfig '/etc/dbnet/prod.yaml', context 'prod');
CREATE SERVER inside FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (in_cluster 'true', http_version '2');
ALTER SERVER by_file OPTIONS (SET context 'test');

-- Where the server is.
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes;
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (in_cluster 'false');
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://10.0.0.1', kubeconfig '/etc/k');
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://10.0.0.1', context 'prod');
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (kubeconfig '/etc/k', ca_file '/etc/ca');
ALTER SERVER by_file OPTIONS (DROP kubeconfig);
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (offline 'false');
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (offline 'perhaps');
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (offline 'true', api_url 'https://10.0.0.1', kubeconfig '/etc/k');
CREATE SERVER lab FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (offline 'true');
ALTER SERVER lab OPTIONS (SET offline 'false');
ALTER SERVER lab OPTIONS (DROP offline);
ALTER SERVER lab OPTIONS (SET offline 'on', ADD api_url 'https://10.0.0.1');
ALTER SERVER lab OPTIONS (SET offline 'off');
SELECT dbnet.is_offline('lab'), dbnet.is_offline('nowhere');
ALTER SERVER lab OPTIONS (SET offline 'YES');
SELECT dbnet.is_offline('lab');
SELECT * FROM dbnet.check_server('lab');
SELECT * FROM dbnet.kinds('lab');
DROP SERVER lab;

-- Values.
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://10.0.0.1', host 'x');
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url '');
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://10.0.0.1', http_version '3');
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'ftp://10.0.0.1');
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'http://10.0.0.1');
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://admin:secret@10.0.0.1');
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://10.0.0.1', insecure_skip_tls_verify 'maybe');
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://10.0.0.1', ca 'LS0tLS1CRUdJTi');
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://10.0.0.1', ca E'-----BEGIN CERTIFICATE-----\nMIIB\n-----END PRIVATE KEY-----');
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://10.0.0.1', ca_file 'ca.crt');
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://10.0.0.1', ca_file '/ca', ca E'-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----');
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://10.0.0.1', ca_file '/ca', insecure_skip_tls_verify 'on');
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://10.0.0.1', proxy_url 'gopher://proxy');
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://10.0.0.1', proxy_url 'http://me:secret@proxy');

-- Credentials belong to user mappings, and only they do.
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://10.0.0.1', token 'abc');
\echo :LAST_ERROR_SQLSTATE
CREATE USER MAPPING FOR PUBLIC SERVER plain OPTIONS (api_url 'https://10.0.0.1');
CREATE USER MAPPING FOR PUBLIC SERVER plain OPTIONS (password 'x');
CREATE USER MAPPING FOR PUBLIC SERVER plain;
CREATE USER MAPPING FOR PUBLIC SERVER plain OPTIONS (token E'abc\r\nX-Evil: 1');
CREATE USER MAPPING FOR PUBLIC SERVER plain OPTIONS (token 'abc', token_file '/t');
CREATE USER MAPPING FOR PUBLIC SERVER plain OPTIONS (client_cert_file '/cert');
CREATE USER MAPPING FOR PUBLIC SERVER plain OPTIONS (client_key_file '/key');
CREATE USER MAPPING FOR PUBLIC SERVER plain OPTIONS (client_cert_file '/cert', client_key 'key');
CREATE USER MAPPING FOR PUBLIC SERVER plain OPTIONS (client_cert E'-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----', client_key E'-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----');
ALTER USER MAPPING FOR PUBLIC SERVER plain OPTIONS (DROP client_key);

-- The wrapper itself has no options, and there are no foreign tables.
ALTER FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (ADD x 'y');
CREATE FOREIGN TABLE pods (name text) SERVER plain;
IMPORT FOREIGN SCHEMA x FROM SERVER plain INTO public;

-- Options that make the server process read files are for those who may read its files.
CREATE ROLE regress_dbnet_owner;
GRANT USAGE ON FOREIGN DATA WRAPPER dbnet_kubernetes TO regress_dbnet_owner;
GRANT CREATE ON DATABASE :"DBNAME" TO regress_dbnet_owner;
ALTER SERVER by_file OWNER TO regress_dbnet_owner;
SET ROLE regress_dbnet_owner;
CREATE SERVER own FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://10.0.0.1');
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (kubeconfig '/etc/passwd');
\echo :LAST_ERROR_SQLSTATE
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (in_cluster 'true');
CREATE SERVER bad FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://10.0.0.1', ca_file '/etc/ca');
CREATE USER MAPPING FOR PUBLIC SERVER own OPTIONS (token_file '/var/lib/secret');
CREATE USER MAPPING FOR PUBLIC SERVER own OPTIONS (client_cert_file '/a', client_key_file '/b');
ALTER SERVER by_file OPTIONS (SET context 'admin');
RESET ROLE;
GRANT pg_read_server_files TO regress_dbnet_owner;
SET ROLE regress_dbnet_owner;
CREATE USER MAPPING FOR PUBLIC SERVER own OPTIONS (token_file '/var/lib/secret');
RESET ROLE;

DROP SERVER plain CASCADE;
DROP SERVER own CASCADE;
DROP SERVER loopback, checked, unchecked, by_file, inside;
DROP OWNED BY regress_dbnet_owner;
DROP ROLE regress_dbnet_owner;
