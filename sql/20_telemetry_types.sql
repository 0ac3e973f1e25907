-- Schema otel and the types of telemetry: ids that read and print hex as every tool of OpenTelemetry does, and sketches.
--
-- The operators of the ids are in pg_catalog: `WHERE trace_id = '5b8e...'` then works under every search_path, as it does for PostgreSQL's own types. In otel it
-- would need OPERATOR(otel.=) of all who have not put otel in theirs.

CREATE SCHEMA otel;
COMMENT ON SCHEMA otel IS 'Telemetry of OpenTelemetry: traces, metrics and logs as they were sent, and what is counted of them';

-- Trace ids --------------------------------------------------------------------------------------------------------------
-- 16 bytes, compared and hashed as uuid is.

CREATE TYPE otel.trace_id;
CREATE FUNCTION otel.trace_id_in(cstring) RETURNS otel.trace_id LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbnet_trace_id_in';
CREATE FUNCTION otel.trace_id_out(otel.trace_id) RETURNS cstring LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbnet_trace_id_out';
CREATE FUNCTION otel.trace_id_recv(internal) RETURNS otel.trace_id LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'uuid_recv';
CREATE FUNCTION otel.trace_id_send(otel.trace_id) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'uuid_send';
CREATE TYPE otel.trace_id (
    INPUT = otel.trace_id_in, OUTPUT = otel.trace_id_out, RECEIVE = otel.trace_id_recv, SEND = otel.trace_id_send,
    INTERNALLENGTH = 16, ALIGNMENT = char, STORAGE = plain);
COMMENT ON TYPE otel.trace_id IS 'Id of a trace: 32 hexadecimal digits, read in either case and with or without the dashes of a uuid, printed in lower case';
COMMENT ON FUNCTION otel.trace_id_in(cstring) IS 'Reads a trace id. Errors: 22P02 not 32 hexadecimal digits';
COMMENT ON FUNCTION otel.trace_id_out(otel.trace_id) IS 'Prints a trace id: 32 digits in lower case';
COMMENT ON FUNCTION otel.trace_id_recv(internal) IS 'Reads a trace id in binary: 16 bytes';
COMMENT ON FUNCTION otel.trace_id_send(otel.trace_id) IS 'The 16 bytes of a trace id';

-- Span ids ---------------------------------------------------------------------------------------------------------------
-- 8 bytes, most significant first, as the unsigned number that they are: compared and hashed as xid8 is.

CREATE TYPE otel.span_id;
CREATE FUNCTION otel.span_id_in(cstring) RETURNS otel.span_id LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbnet_span_id_in';
CREATE FUNCTION otel.span_id_out(otel.span_id) RETURNS cstring LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbnet_span_id_out';
CREATE FUNCTION otel.span_id_recv(internal) RETURNS otel.span_id LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'int8recv';
CREATE FUNCTION otel.span_id_send(otel.span_id) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'int8send';
CREATE TYPE otel.span_id (
    INPUT = otel.span_id_in, OUTPUT = otel.span_id_out, RECEIVE = otel.span_id_recv, SEND = otel.span_id_send,
    INTERNALLENGTH = 8, PASSEDBYVALUE, ALIGNMENT = double, STORAGE = plain);
COMMENT ON TYPE otel.span_id IS 'Id of a span: 16 hexadecimal digits, read in either case, printed in lower case';
COMMENT ON FUNCTION otel.span_id_in(cstring) IS 'Reads a span id. Errors: 22P02 not 16 hexadecimal digits';
COMMENT ON FUNCTION otel.span_id_out(otel.span_id) IS 'Prints a span id: 16 digits in lower case';
COMMENT ON FUNCTION otel.span_id_recv(internal) IS 'Reads a span id in binary: 8 bytes';
COMMENT ON FUNCTION otel.span_id_send(otel.span_id) IS 'The 8 bytes of a span id';

-- Operators --------------------------------------------------------------------------------------------------------------

DO $$
DECLARE
    id record;
    comparison record;
BEGIN
    FOR id IN SELECT * FROM (VALUES ('trace_id', 'uuid_', 'uuid_hash', 'uuid_hash_extended'), ('span_id', 'xid8', 'hashint8', 'hashint8extended')) AS v(type, prefix, hash, hash_extended) LOOP
        FOR comparison IN SELECT * FROM (VALUES ('lt', '<', '>', '>=', 'scalarlt'), ('le', '<=', '>=', '>', 'scalarle'), ('eq', '=', '=', '<>', 'eq'),
                ('ge', '>=', '<=', '<', 'scalarge'), ('gt', '>', '<', '<=', 'scalargt'), ('ne', '<>', '<>', '=', 'neq')) AS v(name, operator, commutator, negator, selectivity) LOOP
            EXECUTE pg_catalog.format('CREATE FUNCTION otel.%1$s_%2$s(otel.%1$s, otel.%1$s) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS %3$L',
                id.type, comparison.name, id.prefix || comparison.name);
            EXECUTE pg_catalog.format('COMMENT ON FUNCTION otel.%1$s_%2$s(otel.%1$s, otel.%1$s) IS ''Implements %3$s''', id.type, comparison.name, comparison.operator);
            EXECUTE pg_catalog.format('CREATE OPERATOR pg_catalog.%2$s (LEFTARG = otel.%1$s, RIGHTARG = otel.%1$s, FUNCTION = otel.%1$s_%3$s, COMMUTATOR = OPERATOR(pg_catalog.%4$s),
                NEGATOR = OPERATOR(pg_catalog.%5$s), RESTRICT = %6$ssel, JOIN = %6$sjoinsel%7$s)', id.type, comparison.operator, comparison.name, comparison.commutator, comparison.negator,
                comparison.selectivity, CASE WHEN comparison.name = 'eq' THEN ', HASHES, MERGES' ELSE '' END);
        END LOOP;
        EXECUTE pg_catalog.format('CREATE FUNCTION otel.%1$s_cmp(otel.%1$s, otel.%1$s) RETURNS integer LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS %2$L',
            id.type, id.prefix || 'cmp');
        EXECUTE pg_catalog.format('COMMENT ON FUNCTION otel.%1$s_cmp(otel.%1$s, otel.%1$s) IS ''Order of two ids, for btrees''', id.type);
        EXECUTE pg_catalog.format('CREATE FUNCTION otel.%1$s_hash(otel.%1$s) RETURNS integer LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS %2$L', id.type, id.hash);
        EXECUTE pg_catalog.format('COMMENT ON FUNCTION otel.%1$s_hash(otel.%1$s) IS ''Hash of an id''', id.type);
        EXECUTE pg_catalog.format('CREATE FUNCTION otel.%1$s_hash_extended(otel.%1$s, bigint) RETURNS bigint LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS %2$L', id.type, id.hash_extended);
        EXECUTE pg_catalog.format('COMMENT ON FUNCTION otel.%1$s_hash_extended(otel.%1$s, bigint) IS ''Hash of an id, with a seed''', id.type);
        EXECUTE pg_catalog.format('CREATE OPERATOR CLASS otel.%1$s_ops DEFAULT FOR TYPE otel.%1$s USING btree AS
            OPERATOR 1 pg_catalog.<, OPERATOR 2 pg_catalog.<=, OPERATOR 3 pg_catalog.=, OPERATOR 4 pg_catalog.>=, OPERATOR 5 pg_catalog.>,
            FUNCTION 1 otel.%1$s_cmp(otel.%1$s, otel.%1$s), FUNCTION 4 pg_catalog.btequalimage(oid)', id.type);
        EXECUTE pg_catalog.format('CREATE OPERATOR CLASS otel.%1$s_ops DEFAULT FOR TYPE otel.%1$s USING hash AS
            OPERATOR 1 pg_catalog.=, FUNCTION 1 otel.%1$s_hash(otel.%1$s), FUNCTION 2 otel.%1$s_hash_extended(otel.%1$s, bigint)', id.type);
    END LOOP;
END
$$;

CREATE FUNCTION otel.trace_id(bytea) RETURNS otel.trace_id LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbnet_trace_id_from_bytes';
COMMENT ON FUNCTION otel.trace_id(bytea) IS 'A trace id by its bytes. Errors: 22P03 not 16 bytes';
CREATE FUNCTION otel.span_id(bytea) RETURNS otel.span_id LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbnet_span_id_from_bytes';
COMMENT ON FUNCTION otel.span_id(bytea) IS 'A span id by its bytes. Errors: 22P03 not 8 bytes';
CREATE CAST (otel.trace_id AS bytea) WITH FUNCTION otel.trace_id_send(otel.trace_id);
CREATE CAST (bytea AS otel.trace_id) WITH FUNCTION otel.trace_id(bytea);
CREATE CAST (otel.trace_id AS uuid) WITHOUT FUNCTION;
CREATE CAST (uuid AS otel.trace_id) WITHOUT FUNCTION;
CREATE CAST (otel.span_id AS bytea) WITH FUNCTION otel.span_id_send(otel.span_id);
CREATE CAST (bytea AS otel.span_id) WITH FUNCTION otel.span_id(bytea);

-- Sketches ---------------------------------------------------------------------------------------------------------------
-- Exponential histograms of OpenTelemetry, as src/telemetry/panes/exponential_histogram.hpp writes them. What is read from outside is checked.

CREATE TYPE otel.sketch;
CREATE FUNCTION otel.sketch_in(cstring) RETURNS otel.sketch LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbnet_sketch_in';
CREATE FUNCTION otel.sketch_out(otel.sketch) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'byteaout';
CREATE FUNCTION otel.sketch_recv(internal) RETURNS otel.sketch LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbnet_sketch_recv';
CREATE FUNCTION otel.sketch_send(otel.sketch) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'byteasend';
CREATE TYPE otel.sketch (
    INPUT = otel.sketch_in, OUTPUT = otel.sketch_out, RECEIVE = otel.sketch_recv, SEND = otel.sketch_send,
    INTERNALLENGTH = VARIABLE, STORAGE = main);
COMMENT ON TYPE otel.sketch IS 'How values are distributed: an exponential histogram of OpenTelemetry, of at most 160 buckets on either side of zero, which becomes coarser by itself. Printed as bytea is';
COMMENT ON FUNCTION otel.sketch_in(cstring) IS 'Reads a sketch as it is printed. Errors: 22P02 not the bytes of a sketch';
COMMENT ON FUNCTION otel.sketch_out(otel.sketch) IS 'Prints a sketch: its bytes in hexadecimal';
COMMENT ON FUNCTION otel.sketch_recv(internal) IS 'Reads a sketch in binary. Errors: 22P03 not the bytes of a sketch';
COMMENT ON FUNCTION otel.sketch_send(otel.sketch) IS 'The bytes of a sketch';

CREATE FUNCTION otel.sketch(double precision[]) RETURNS otel.sketch LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbnet_sketch_of';
COMMENT ON FUNCTION otel.sketch(double precision[]) IS 'The sketch of some values; NULLs and what is not finite do not count';
CREATE FUNCTION otel.sketch_count(otel.sketch) RETURNS bigint LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbnet_sketch_count';
COMMENT ON FUNCTION otel.sketch_count(otel.sketch) IS 'How many values a sketch holds';
CREATE FUNCTION otel.quantile(sketch otel.sketch, quantile double precision) RETURNS double precision LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbnet_sketch_quantile';
COMMENT ON FUNCTION otel.quantile(otel.sketch, double precision) IS 'A quantile of the values of a sketch: 0.5 the median, 0.95 ... NULL: it holds none. Errors: 22023 not from 0 to 1';
CREATE FUNCTION otel.sketch_merge(otel.sketch, otel.sketch) RETURNS otel.sketch LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbnet_sketch_merge';
COMMENT ON FUNCTION otel.sketch_merge(otel.sketch, otel.sketch) IS 'The sketch of the values of both';
CREATE FUNCTION otel.sketch_add(internal, otel.sketch) RETURNS internal LANGUAGE c PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbnet_sketch_add';
COMMENT ON FUNCTION otel.sketch_add(internal, otel.sketch) IS 'Internal: step of the aggregate otel.merge';
CREATE FUNCTION otel.sketch_combine(internal, internal) RETURNS internal LANGUAGE c PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbnet_sketch_combine';
COMMENT ON FUNCTION otel.sketch_combine(internal, internal) IS 'Internal: joins what parallel workers have of the aggregate otel.merge';
CREATE FUNCTION otel.sketch_final(internal) RETURNS otel.sketch LANGUAGE c PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbnet_sketch_final';
COMMENT ON FUNCTION otel.sketch_final(internal) IS 'Internal: result of the aggregate otel.merge';
CREATE FUNCTION otel.sketch_serialize(internal) RETURNS bytea LANGUAGE c STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbnet_sketch_serialize';
COMMENT ON FUNCTION otel.sketch_serialize(internal) IS 'Internal: hands what a parallel worker has of the aggregate otel.merge over';
CREATE FUNCTION otel.sketch_deserialize(bytea, internal) RETURNS internal LANGUAGE c STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbnet_sketch_deserialize';
COMMENT ON FUNCTION otel.sketch_deserialize(bytea, internal) IS 'Internal: takes what a parallel worker has of the aggregate otel.merge';
CREATE AGGREGATE otel.merge(otel.sketch) (
    SFUNC = otel.sketch_add, STYPE = internal, FINALFUNC = otel.sketch_final, COMBINEFUNC = otel.sketch_combine,
    SERIALFUNC = otel.sketch_serialize, DESERIALFUNC = otel.sketch_deserialize, PARALLEL = SAFE);
COMMENT ON AGGREGATE otel.merge(otel.sketch) IS 'The sketch of the values of all; NULL of none';
