-- Fields of JSON documents by path, elements of lists by their keys: what nested columns of mirrors are read and edited
-- with. Code: src/mirror/functions/functions_document.cpp.

CREATE FUNCTION dbnet.get(document jsonb, path text) RETURNS jsonb
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'dbnet_get';
COMMENT ON FUNCTION dbnet.get(jsonb, text) IS
    'The value at a path. Arguments: a document; a path such as spec.containers[name=app].image, labels["app.kubernetes.io/name"], ports[port=53,protocol=UDP], [type=Ready].status. Returns NULL when a field is absent. Errors: 22033 no element of a list matches, 22034 several do, 2203C or 22039 the path leads through a value that is no object or no list, 22023 bad path';

CREATE FUNCTION dbnet.set(document jsonb, path text, value jsonb) RETURNS jsonb
    LANGUAGE c IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'dbnet_set';
COMMENT ON FUNCTION dbnet.set(jsonb, text, jsonb) IS
    'The document with another value at a path; objects that are missing on the way are made, elements of lists are not (append them: document || ''[{...}]''). Arguments: a document, NULL = an empty object; a path as for dbnet.get(); the value: text is written as ''"nginx"'' or to_jsonb(''nginx''::text). Errors: those of dbnet.get(), 22004 the value is NULL';

CREATE FUNCTION dbnet.unset(document jsonb, path text) RETURNS jsonb
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'dbnet_unset';
COMMENT ON FUNCTION dbnet.unset(jsonb, text) IS
    'The document without the field or the list element at a path. Arguments: a document; a path as for dbnet.get(). Errors: those of dbnet.get(), 2203A there is no such field';
