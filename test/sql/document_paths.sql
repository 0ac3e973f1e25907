-- dbnet.get, set and unset: fields by path, list elements by their keys, and an error where nothing matches.
\set SHOW_CONTEXT never
CREATE TEMP TABLE document (d jsonb);
INSERT INTO document VALUES ('{"replicas": 3, "big": 12345678901234567890.10, "none": null, "labels": {"app.kubernetes.io/name": "web", "a\"b": 1},
    "containers": [{"name": "app", "image": "nginx", "ports": [{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP", "on": true}]}, {"name": "8", "image": "side"}], "plain": ["a", 1, null]}');

-- get
SELECT dbnet.get(d, 'replicas'), dbnet.get(d, 'labels["app.kubernetes.io/name"]'), dbnet.get(d, 'labels["a\"b"]'), dbnet.get(d, 'containers[name=app].image') FROM document;
SELECT dbnet.get(d, 'containers[name=app].ports[port=53,protocol=UDP]'), dbnet.get(d, 'containers[name=app].ports[on=true].port'), dbnet.get(d, 'containers[name=8].image') FROM document;
SELECT dbnet.get(d, 'big'), dbnet.get(d, 'none') IS NULL AS none_is_sql_null, dbnet.get(d, 'absent'), dbnet.get(d, 'absent.below.that'), dbnet.get(d, 'none.below') FROM document;
SELECT dbnet.get('[{"type": "Ready", "status": "True"}]', '[type=Ready].status'), dbnet.get(NULL, 'a'), dbnet.get('{}', NULL);
SELECT dbnet.get(d, 'containers[name=lost].image') FROM document;
\echo :LAST_ERROR_SQLSTATE
SELECT dbnet.get(d, 'containers[name=app].ports[port=53].protocol') FROM document;
\echo :LAST_ERROR_SQLSTATE
SELECT dbnet.get(d, 'replicas[name=a]') FROM document;
\echo :LAST_ERROR_SQLSTATE
SELECT dbnet.get(d, 'containers.image') FROM document;
\echo :LAST_ERROR_SQLSTATE
SELECT dbnet.get(d, 'plain[name=a]') FROM document;
SELECT dbnet.get(d, 'containers[0].image') FROM document;
\echo :LAST_ERROR_SQLSTATE
SELECT dbnet.get(d, '') FROM document;
SELECT dbnet.get('5', 'a');

-- set
SELECT dbnet.set('{"a": 1}', 'a', '2'), dbnet.set('{"a": 1}', 'b.c["d.e"]', '"x"'), dbnet.set(NULL, 'a.b', 'true'), dbnet.set('{"a": null}', 'a.b', '[]'), dbnet.set('null', 'a', '1');
SELECT dbnet.get(dbnet.set(d, 'containers[name=app].image', '"nginx:2"'), 'containers[name=app]') FROM document;
SELECT dbnet.set(d, 'containers[name=app].ports[port=53,protocol=UDP].port', '5353') -> 'containers' -> 0 -> 'ports' FROM document;
SELECT dbnet.set('[{"name": "a", "x": 1}, {"name": "b"}]', '[name=b]', '{"name": "c"}'), dbnet.set('[{"name": "a"}]', '[name=a].deep.er', '{"k": [1.50]}');
SELECT dbnet.set(d, 'big', dbnet.get(d, 'big')) = d AS digits_are_kept FROM document;
SELECT dbnet.set(d, 'containers[name=lost].image', '"x"') FROM document;
\echo :LAST_ERROR_SQLSTATE
SELECT dbnet.set('{}', 'containers[name=app].image', '"x"');
\echo :LAST_ERROR_SQLSTATE
SELECT dbnet.set('{"a": 1}', 'a.b', '1');
\echo :LAST_ERROR_SQLSTATE
SELECT dbnet.set('{}', 'a', NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT dbnet.set('{}', NULL, '1');

-- unset
SELECT dbnet.unset('{"a": 1, "b": {"c": 2, "d": 3}}', 'b.c'), dbnet.unset('[{"name": "a"}, {"name": "b"}]', '[name=a]'), dbnet.unset('{"a": null}', 'a'), dbnet.unset(NULL, 'a');
SELECT dbnet.unset(d, 'containers[name=app].ports[port=53,protocol=TCP]') #> '{containers,0,ports}' FROM document;
SELECT dbnet.unset('{"a": {"b": 1}}', 'a.c');
\echo :LAST_ERROR_SQLSTATE
SELECT dbnet.unset(d, 'containers[name=lost]') FROM document;
\echo :LAST_ERROR_SQLSTATE

-- Anybody may use them, in an index as well.
CREATE ROLE regress_dbnet_nobody;
SET ROLE regress_dbnet_nobody;
SELECT dbnet.set('{}', 'a', '1');
RESET ROLE;
CREATE INDEX ON document (dbnet.get(d, 'replicas'));
DROP ROLE regress_dbnet_nobody;
