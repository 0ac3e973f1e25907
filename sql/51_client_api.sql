-- The client API: what programs in any language need to set up tables, procedures and triggers, to call them and to wrap several
-- steps in one transaction, with arguments in JSON. Code: src/gateway/client_api/functions_client_api.cpp. Over HTTP the same: dbnet.api_listen.
--
-- Everything runs with the caller's rights and search_path: nothing can be done by these functions that the caller could not do by
-- statements. Names of tables, procedures and schemas are written as in SQL ('net.nodes', 'net."Load balancers"'); names of columns,
-- arguments, triggers and constraints, and of a schema to be created, are taken letter by letter.

CREATE FUNCTION dbnet.create_schema(name text, if_not_exists boolean DEFAULT false, comment text DEFAULT NULL)
    RETURNS regnamespace LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbnet_create_schema';
COMMENT ON FUNCTION dbnet.create_schema(text, boolean, text) IS
    'Creates a schema. Arguments: name, taken letter by letter; if_not_exists: one that is there is well; comment. Returns it. Errors: as of CREATE SCHEMA';

CREATE FUNCTION dbnet.create_table(name text, columns jsonb, constraints jsonb DEFAULT '[]', if_not_exists boolean DEFAULT false,
                                   comment text DEFAULT NULL, track boolean DEFAULT false)
    RETURNS regclass LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbnet_create_table';
COMMENT ON FUNCTION dbnet.create_table(text, jsonb, jsonb, boolean, text, boolean) IS
    'Creates a table. Arguments: name; columns: [{"name", "type", "not_null", "primary_key", "unique", "default", "check", "references" (a table, with "columns", "on_delete", "on_update"), "generated", "comment"}], all but name and type optional, default, check and generated being SQL expressions; constraints: [{"name", "primary_key": [columns] | "unique": [columns] | "check": expression | "foreign_key": [columns] with "references", "columns", "on_delete", "on_update"}]; if_not_exists; comment; track: record every change of it from now on, as dbnet.track(). Returns it. Errors: 22023 wrong JSON, 42601 no expression or type; as of CREATE TABLE';

CREATE FUNCTION dbnet.create_procedure(name text, body text, arguments jsonb DEFAULT '[]', returns text DEFAULT NULL,
                                       language text DEFAULT 'plpgsql', replace boolean DEFAULT false, comment text DEFAULT NULL)
    RETURNS regprocedure LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbnet_create_procedure';
COMMENT ON FUNCTION dbnet.create_procedure(text, text, jsonb, text, text, boolean, text) IS
    'Creates a stored procedure, or a function when it returns something. Arguments: name; body in its language, for plpgsql from DECLARE or BEGIN to END; arguments: [{"name", "type", "mode": "in | out | inout | variadic", "default"}]; returns: type of a function''s result, ''trigger'' for one that triggers execute, NULL = a procedure; language; replace: one that is there; comment. It runs with the rights of who calls it. Returns it. Errors: 22023 wrong JSON, 42601 no expression or type; as of CREATE PROCEDURE';

CREATE FUNCTION dbnet.create_trigger(name text, relation text, procedure text, events jsonb DEFAULT '["insert", "update", "delete"]',
                                     columns jsonb DEFAULT '[]', timing text DEFAULT 'after', level text DEFAULT 'row',
                                     condition text DEFAULT NULL, arguments jsonb DEFAULT '[]', old_table text DEFAULT NULL,
                                     new_table text DEFAULT NULL, replace boolean DEFAULT false)
    RETURNS text LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbnet_create_trigger';
COMMENT ON FUNCTION dbnet.create_trigger(text, text, text, jsonb, jsonb, text, text, text, jsonb, text, text, boolean) IS
    'Creates a trigger. Arguments: name; relation: the table; procedure: a function that returns trigger, also as dbnet.create_procedure() has returned it; events: of insert, update, delete, truncate; columns: of update, these columns alone; timing before | after | instead of; level row | statement; condition: an SQL expression of NEW and OLD; arguments: texts for the procedure; old_table, new_table: names under which a statement-level trigger sees the rows; replace: one that is there. Returns its name. Errors: 22023 wrong JSON or word, 42601 no expression; as of CREATE TRIGGER';

CREATE FUNCTION dbnet.call_procedure(name text, arguments jsonb DEFAULT '{}')
    RETURNS jsonb LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbnet_call_procedure';
COMMENT ON FUNCTION dbnet.call_procedure(text, jsonb) IS
    'Calls a procedure or function. Arguments: name; arguments: an object by name, or an array by place, converted as jsonb_to_record() does. Returns of a procedure an object of its OUT arguments, of a function its value, of one that returns a set an array; NULL: nothing. Errors: 42883 nothing of the name takes these arguments, 42725 more than one does, 22P02 a value is not of its type; what it raises';

CREATE FUNCTION dbnet.execute(statement text, parameters jsonb DEFAULT '[]')
    RETURNS jsonb LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbnet_execute';
COMMENT ON FUNCTION dbnet.execute(text, jsonb) IS
    'Runs one statement. Arguments: statement; parameters: an array of the values of $1, $2, .... Returns {"command", "columns": [{"name", "type"}], "rows": [{column: value}], "row_count", "truncated": false}. Errors: 42601 not one statement, 42P02 a parameter is missing, 0A000 it would begin or end a transaction; what it raises';

CREATE FUNCTION dbnet.wrap_transaction(operations jsonb)
    RETURNS jsonb LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbnet_wrap_transaction';
COMMENT ON FUNCTION dbnet.wrap_transaction(jsonb) IS
    'Runs several operations one after the other: all of them, or none when one fails. Argument: an array of objects with one member each: create_schema, create_table, create_procedure, create_trigger, call_procedure or execute, with the arguments of the function of that name in dbnet, for example [{"call_procedure": {"name": "net.drain", "arguments": {"node": "n1"}}}, {"execute": {"statement": "UPDATE ...", "parameters": []}}]. Returns an array of their results. Errors: 22023 wrong JSON; what an operation raises, with its number in the CONTEXT';

-- What is created goes on record as a call with its arguments, also where nothing that is tracked was touched. Not
-- call_procedure, wrap_transaction and execute: what they call does, and their arguments may hold what must not be kept.
INSERT INTO dbnet.tracked_function (function)
SELECT identity FROM pg_catalog.pg_proc, pg_catalog.pg_identify_object('pg_catalog.pg_proc'::regclass, pg_proc.oid, 0)
WHERE pronamespace = 'dbnet'::regnamespace AND proname IN ('create_schema', 'create_table', 'create_procedure', 'create_trigger');
