// Statements of clients (see run_statement.hpp). No C++ object with a destructor is alive in any of this.
#include "gateway/client_api/run_statement.hpp"

#include "gateway/client_api/sql_text.hpp"

extern "C" {
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/params.h"
#include "parser/parse_param.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
}

namespace dbnet::gateway {
namespace {

constexpr long rows_at_once = 1000;

// Types of $1, $2, …, which the parser finds out from their use.
struct Parameters {
    Oid *types;
    int count;
};

extern "C" void dbnet_setup_parameters(ParseState *state, void *argument) {
    auto &parameters = *static_cast<Parameters *>(argument);
    setup_parse_variable_parameters(state, &parameters.types, &parameters.count);
}

int element_count(Jsonb *parameters) {
    if (parameters == nullptr)
        return 0;
    if (!JB_ROOT_IS_ARRAY(parameters) || JB_ROOT_IS_SCALAR(parameters))
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "parameters is not a JSON array")
            .hint("The first element is for $1, and so on.");
    return static_cast<int>(JB_ROOT_COUNT(parameters));
}

ParamListInfo bind(Jsonb *values, const Parameters &parameters) {
    if (parameters.count == 0)
        return nullptr;
    const ConvertedValues bound = converted(values, nullptr, parameters.types, parameters.count);
    const ParamListInfo list = makeParamList(parameters.count);
    for (int index = 0; index < parameters.count; ++index) {
        list->params[index].value = bound.values[index];
        list->params[index].isnull = bound.nulls[index] == 'n';
        list->params[index].pflags = PARAM_FLAG_CONST;
        list->params[index].ptype = parameters.types[index];
    }
    return list;
}

// Writes rows, in either format.
class RowWriter {
public:
    RowWriter(StatementFormat format, int64 byte_limit, StringInfo out) noexcept
        : format_(format), byte_limit_(byte_limit), out_(out) {}

    void begin(TupleDesc columns) {
        if (format_ == StatementFormat::csv) {
            for (int index = 0; index < columns->natts; ++index)
                add_csv(index, NameStr(TupleDescAttr(columns, index)->attname));
            appendStringInfoString(out_, "\r\n");
        }
    }
    void add(HeapTuple row, TupleDesc columns) {
        if (format_ == StatementFormat::csv) {
            for (int index = 0; index < columns->natts; ++index)
                add_csv(index, SPI_getvalue(row, columns, index + 1));
            appendStringInfoString(out_, "\r\n");
        } else {
            if (count_ > 0)
                appendStringInfoChar(out_, ',');
            const text *json = DatumGetTextPP(DirectFunctionCall1(row_to_json, heap_copy_tuple_as_datum(row, columns)));
            appendBinaryStringInfo(out_, VARDATA_ANY(json), static_cast<int>(VARSIZE_ANY_EXHDR(json)));
        }
        ++count_;
        if (out_->len > byte_limit_)
            throw pg::error(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                            "the answer is larger than " + std::to_string(byte_limit_ / 1024) + " kB")
                .hint("Ask for fewer rows or columns.");
    }
    int64 count() const noexcept { return count_; }

private:
    void add_csv(int index, const char *value) {
        if (index > 0)
            appendStringInfoChar(out_, ',');
        if (value == nullptr)
            return;
        if (*value != '\0' && strpbrk(value, ",\"\r\n") == nullptr) {
            appendStringInfoString(out_, value);
            return;
        }
        appendStringInfoChar(out_, '"');
        for (const char *c = value; *c != '\0'; ++c) {
            if (*c == '"')
                appendStringInfoChar(out_, '"');
            appendStringInfoChar(out_, *c);
        }
        appendStringInfoChar(out_, '"');
    }

    StatementFormat format_;
    int64 byte_limit_;
    StringInfo out_;
    int64 count_ = 0;
};

// Rows of a cursor up to the limit. True: there are more.
bool write_rows(Portal portal, int64 limit, RowWriter &writer) {
    // What a batch needs is given back after it.
    const MemoryContext batch =
        AllocSetContextCreateInternal(CurrentMemoryContext, "DBNet answer", ALLOCSET_DEFAULT_SIZES);
    for (;;) {
        SPI_cursor_fetch(portal, true, rows_at_once);
        const uint64 rows = SPI_processed;
        if (rows == 0)
            return false;
        BlessTupleDesc(SPI_tuptable->tupdesc);
        const MemoryContext before = MemoryContextSwitchTo(batch);
        for (uint64 row = 0; row < rows; ++row) {
            if (limit >= 0 && writer.count() >= limit) {
                MemoryContextSwitchTo(before);
                return true;
            }
            writer.add(SPI_tuptable->vals[row], SPI_tuptable->tupdesc);
        }
        MemoryContextSwitchTo(before);
        MemoryContextReset(batch);
        SPI_freetuptable(SPI_tuptable);
    }
}

void describe_columns(TupleDesc columns, StringInfo out) {
    for (int index = 0; index < columns->natts; ++index) {
        const FormData_pg_attribute *column = TupleDescAttr(columns, index);
        appendStringInfoString(out, index > 0 ? ",{\"name\":" : "{\"name\":");
        escape_json(out, NameStr(column->attname));
        appendStringInfoString(out, ",\"type\":");
        escape_json(out, format_type_with_typemod(column->atttypid, column->atttypmod));
        appendStringInfoChar(out, '}');
    }
}

// What a plan without rows did.
int64 execute(SPIPlanPtr plan, ParamListInfo parameters, bool is_read_only) {
    const int code = SPI_execute_plan_with_paramlist(plan, parameters, is_read_only, 0);
    if (code == SPI_ERROR_TRANSACTION || code == SPI_ERROR_COPY)
        throw pg::error(ERRCODE_FEATURE_NOT_SUPPORTED,
                        code == SPI_ERROR_COPY ? "COPY needs a client connection of PostgreSQL"
                                               : "statements that begin or end transactions are not supported")
            .hint(code == SPI_ERROR_COPY ? "INSERT rows, or COPY in psql."
                                         : "What is wrapped runs in one transaction.");
    if (code < 0)
        throw pg::error(ERRCODE_INTERNAL_ERROR, std::string("SPI: ") + SPI_result_code_string(code));
    return static_cast<int64>(SPI_processed);
}

} // namespace

ConvertedValues converted(Jsonb *values, const char *const *names, const Oid *types, int count) {
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfoString(
        &sql, names == nullptr
                  ? "SELECT r.* FROM pg_catalog.jsonb_to_record((SELECT pg_catalog.jsonb_object_agg(e.n, e.v)"
                    " FROM pg_catalog.jsonb_array_elements($1) WITH ORDINALITY AS e(v, n))) AS r("
                  : "SELECT r.* FROM pg_catalog.jsonb_to_record($1) AS r(");
    for (int index = 0; index < count; ++index) {
        const char *name = names == nullptr ? psprintf("%d", index + 1) : names[index];
        const char *type =
            types[index] == UNKNOWNOID || types[index] == InvalidOid ? "text" : format_type_be_qualified(types[index]);
        appendStringInfo(&sql, "%s%s %s", index > 0 ? ", " : "", quote_identifier(name), type);
    }
    appendStringInfoChar(&sql, ')');
    Oid type = JSONBOID;
    Datum value = JsonbPGetDatum(values);
    SPI_execute_with_args(sql.data, 1, &type, &value, nullptr, true, 1);
    ConvertedValues result{static_cast<Datum *>(palloc0(sizeof(Datum) * count)), static_cast<char *>(palloc0(count))};
    for (int index = 0; index < count; ++index) {
        bool is_null = true;
        if (SPI_processed == 1)
            result.values[index] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, index + 1, &is_null);
        result.nulls[index] = is_null ? 'n' : ' ';
    }
    return result;
}

bool run_statement(const char *statement, Jsonb *values, const StatementLimits &limits, StatementFormat format,
                   StringInfo answer) {
    const char *command = command_of(statement);
    const int given = element_count(values);
    Parameters parameters{static_cast<Oid *>(palloc0(sizeof(Oid) * (given + 1))), given};
    SPI_connect();
    SPIPlanPtr plan = SPI_prepare_params(statement, dbnet_setup_parameters, &parameters, 0);
    if (plan == nullptr)
        throw pg::error(ERRCODE_INTERNAL_ERROR, std::string("SPI: ") + SPI_result_code_string(SPI_result));
    if (parameters.count > given)
        throw pg::error(ERRCODE_UNDEFINED_PARAMETER, "the statement has a parameter $" +
                                                         std::to_string(parameters.count) + ", and " +
                                                         std::to_string(given) + " parameters were given");
    const ParamListInfo bound = bind(values, parameters);
    RowWriter writer(format, limits.bytes, answer);
    const bool is_json = format == StatementFormat::json;
    bool is_cut = false;
    if (is_json) {
        appendStringInfoString(answer, "{\"command\":");
        escape_json(answer, command);
    }
    if (SPI_is_cursor_plan(plan)) {
        const Portal portal = SPI_cursor_open_with_paramlist(nullptr, plan, bound, limits.is_read_only);
        if (is_json) {
            appendStringInfoString(answer, ",\"columns\":[");
            describe_columns(portal->tupDesc, answer);
            appendStringInfoString(answer, "],\"rows\":[");
        }
        writer.begin(portal->tupDesc);
        is_cut = write_rows(portal, limits.rows, writer);
        SPI_cursor_close(portal);
        if (is_json)
            appendStringInfo(answer, "],\"row_count\":" INT64_FORMAT ",\"truncated\":%s}", writer.count(),
                             is_cut ? "true" : "false");
    } else {
        const int64 rows = execute(plan, bound, limits.is_read_only);
        if (is_json)
            appendStringInfo(answer, ",\"columns\":[],\"rows\":[],\"row_count\":" INT64_FORMAT ",\"truncated\":false}",
                             rows);
    }
    SPI_finish();
    return is_cut;
}

} // namespace dbnet::gateway
