// SQL from C++ (see spi.hpp); workers and backends.
#include "pg/spi.hpp"

#include <charconv>

extern "C" {
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "pgstat.h"
#include "utils/array.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
}

namespace dbnet::pg {

void (*at_transaction_start)() = nullptr;

namespace {

Snapshot one_snapshot = nullptr; // in_one_snapshot(): SPI takes a new one for each statement otherwise

// Not where code of a user's that a statement runs has come back to us, a trigger of ours for one: that may write.
bool is_in_one_snapshot() noexcept {
    return one_snapshot != nullptr && GetActiveSnapshot() == one_snapshot;
}

Datum text_datum(const void *pointer, size_t length) {
    return PointerGetDatum(cstring_to_text_with_len(static_cast<const char *>(pointer), static_cast<int>(length)));
}

void check_size(size_t length) {
    if (length > MaxAllocSize / 2)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("value of %zu bytes is too long", length)));
}

template<class Value, class GetText> Datum array_datum(const Value *values, size_t count, GetText get_text) {
    check_size(count * sizeof(Datum));
    auto *datums = static_cast<Datum *>(palloc(sizeof(Datum) * (count + 1)));
    auto *nulls = static_cast<bool *>(palloc0(sizeof(bool) * (count + 1)));
    for (size_t i = 0; i < count; ++i) {
        const std::string *text = get_text(values[i]);
        nulls[i] = text == nullptr;
        datums[i] = text ? text_datum(text->data(), text->size()) : Datum{0};
    }
    int dimensions[1] = {static_cast<int>(count)};
    int lower_bounds[1] = {1};
    return PointerGetDatum(construct_md_array(datums, nulls, count == 0 ? 0 : 1, dimensions, lower_bounds, TEXTOID, -1,
                                              false, TYPALIGN_INT));
}

template<class T> T parsed(const char *text) noexcept {
    T value{};
    if (text)
        std::from_chars(text, text + strlen(text), value);
    return value;
}

} // namespace

Oid Argument::type() const noexcept {
    switch (kind_) {
    case Kind::text:
        return TEXTOID;
    case Kind::bytea:
        return BYTEAOID;
    case Kind::integer:
        return INT8OID;
    case Kind::floating:
        return FLOAT8OID;
    case Kind::boolean:
        return BOOLOID;
    case Kind::oid:
        return OIDOID;
    case Kind::text_array:
    case Kind::nullable_text_array:
        return TEXTARRAYOID;
    }
    return TEXTOID;
}

Datum Argument::datum() const {
    switch (kind_) {
    case Kind::text:
    case Kind::bytea: // same layout
        check_size(length_);
        return text_datum(pointer_, length_);
    case Kind::integer:
        return Int64GetDatum(integer_);
    case Kind::floating:
        return Float8GetDatum(floating_);
    case Kind::boolean:
        return BoolGetDatum(integer_ != 0);
    case Kind::oid:
        return ObjectIdGetDatum(static_cast<Oid>(integer_));
    case Kind::text_array:
        return array_datum(static_cast<const std::string *>(pointer_), length_,
                           [](const std::string &value) { return &value; });
    case Kind::nullable_text_array:
        return array_datum(static_cast<const std::optional<std::string> *>(pointer_), length_,
                           [](const std::optional<std::string> &value) { return value ? &*value : nullptr; });
    }
    return Datum{0};
}

int64 Result::integer(size_t row, size_t column) const noexcept {
    return parsed<int64>(at(row, column));
}
Oid Result::oid(size_t row, size_t column) const noexcept {
    return parsed<Oid>(at(row, column));
}
bool Result::boolean(size_t row, size_t column) const noexcept {
    const char *value = at(row, column);
    return value && value[0] == 't';
}

// What execute() does inside its guard; all of it may longjmp, `result` lives outside.
struct StatementAccess {
    static SPIPlanPtr plan_of(const Statement &statement, std::span<const Argument> arguments) {
        bool is_current = statement.plan_ && statement.argument_count_ == static_cast<int>(arguments.size());
        for (size_t i = 0; is_current && i < arguments.size(); ++i)
            is_current = statement.types_[i] == arguments[i].type();
        if (is_current)
            return statement.plan_;
        if (statement.plan_) {
            SPIPlanPtr old = statement.plan_;
            statement.plan_ = nullptr;
            SPI_freeplan(old);
        }
        if (arguments.size() > Statement::argument_limit)
            elog(ERROR, "DBNet statement has more than %d arguments", Statement::argument_limit);
        for (size_t i = 0; i < arguments.size(); ++i)
            statement.types_[i] = arguments[i].type();
        statement.argument_count_ = static_cast<int>(arguments.size());
        SPIPlanPtr plan = SPI_prepare_cursor(statement.sql_, statement.argument_count_, statement.types_,
                                             statement.planned_ == Planned::once ? CURSOR_OPT_GENERIC_PLAN : 0);
        if (plan == nullptr)
            elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
        if (SPI_keepplan(plan) != 0)
            elog(ERROR, "SPI_keepplan failed");
        statement.plan_ = plan;
        return plan;
    }

    static void bind(std::span<const Argument> arguments, Datum *values, char *nulls) {
        for (size_t i = 0; i < arguments.size(); ++i) {
            nulls[i] = arguments[i].is_null() ? 'n' : ' ';
            values[i] = arguments[i].is_null() ? Datum{0} : arguments[i].datum();
        }
    }

    static void collect(Result &result, int code, MemoryContext work) {
        if (code < 0)
            elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(code));
        result.affected_ = SPI_processed;
        SPITupleTable *table = SPI_tuptable;
        if (table == nullptr)
            return;
        const TupleDesc descriptor = table->tupdesc;
        const int columns = descriptor->natts;
        result.columns_ = static_cast<size_t>(columns);
        auto *outputs = static_cast<FmgrInfo *>(palloc(sizeof(FmgrInfo) * static_cast<size_t>(columns + 1)));
        for (int column = 0; column < columns; ++column) {
            Oid function = InvalidOid;
            bool is_variable_length = false;
            getTypeOutputInfo(TupleDescAttr(descriptor, column)->atttypid, &function, &is_variable_length);
            fmgr_info(function, &outputs[column]);
        }
        result.offsets_.reserve(result.columns_ * table->numvals);
        const MemoryContext row_context =
            AllocSetContextCreateInternal(work, "DBNet result row", ALLOCSET_DEFAULT_SIZES);
        const MemoryContext before = MemoryContextSwitchTo(row_context);
        for (uint64 row = 0; row < table->numvals; ++row) {
            for (int column = 0; column < columns; ++column) {
                bool is_null = false;
                const Datum value = heap_getattr(table->vals[row], column + 1, descriptor, &is_null);
                if (is_null) {
                    result.offsets_.push_back(Result::null);
                    continue;
                }
                const char *text = OutputFunctionCall(&outputs[column], value);
                result.offsets_.push_back(result.text_.size());
                result.text_.append(text, strlen(text) + 1);
            }
            MemoryContextReset(row_context);
        }
        MemoryContextSwitchTo(before);
        SPI_freetuptable(table);
    }
};

namespace {

// Guards one execution; what it needs in PostgreSQL's memory is freed at its end, or with the transaction on error.
template<class Run> Result guarded_execution(std::span<const Argument> arguments, Run run_plan) {
    Result result;
    call([&] {
        const MemoryContext before = CurrentMemoryContext;
        const MemoryContext work = AllocSetContextCreateInternal(before, "DBNet statement", ALLOCSET_DEFAULT_SIZES);
        MemoryContextSwitchTo(work);
        auto *values = static_cast<Datum *>(palloc(sizeof(Datum) * (arguments.size() + 1)));
        auto *nulls = static_cast<char *>(palloc(arguments.size() + 1));
        StatementAccess::bind(arguments, values, nulls);
        const int code = run_plan(values, nulls);
        StatementAccess::collect(result, code, work);
        MemoryContextSwitchTo(before);
        MemoryContextDelete(work);
    });
    return result;
}

} // namespace

Result execute(const Statement &statement, std::span<const Argument> arguments) {
    return guarded_execution(arguments, [&](Datum *values, const char *nulls) {
        return SPI_execute_plan(StatementAccess::plan_of(statement, arguments), values, nulls, is_in_one_snapshot(), 0);
    });
}

Result execute_once(const std::string &sql, std::span<const Argument> arguments) {
    return guarded_execution(arguments, [&](Datum *values, const char *nulls) {
        auto *types = static_cast<Oid *>(palloc(sizeof(Oid) * (arguments.size() + 1)));
        for (size_t i = 0; i < arguments.size(); ++i)
            types[i] = arguments[i].type();
        return SPI_execute_with_args(sql.c_str(), static_cast<int>(arguments.size()), types, values, nulls,
                                     is_in_one_snapshot(), 0);
    });
}

std::string quoted_name(std::string_view name) {
    const std::string terminated(name);
    std::string quoted;
    call([&] { quoted = quote_identifier(terminated.c_str()); });
    return quoted;
}

std::string qualified_name(Oid relation) {
    std::string name;
    call([&] {
        const char *relation_name = get_rel_name(relation);
        if (relation_name == nullptr)
            return;
        const char *schema = get_namespace_name(get_rel_namespace(relation));
        name = quote_qualified_identifier(schema, relation_name);
    });
    return name;
}

namespace internal {

void begin_transaction() {
    call([] {
        SetCurrentStatementStartTimestamp();
        pgstat_report_activity(STATE_RUNNING, nullptr);
        StartTransactionCommand();
        if (SPI_connect() != SPI_OK_CONNECT)
            elog(ERROR, "SPI_connect failed");
        PushActiveSnapshot(GetTransactionSnapshot());
    });
}

void commit_transaction() {
    call([] {
        PopActiveSnapshot();
        if (SPI_finish() != SPI_OK_FINISH)
            elog(ERROR, "SPI_finish failed");
        CommitTransactionCommand();
        pgstat_report_stat(false);
        pgstat_report_activity(STATE_IDLE, nullptr);
    });
}

void abort_transaction(MemoryContext before) noexcept {
    const bool is_aborted = call_noexcept([before] {
        AbortCurrentTransaction();
        MemoryContextSwitchTo(before);
        pgstat_report_stat(false);
        pgstat_report_activity(STATE_IDLE, nullptr);
    });
    if (!is_aborted)
        ereport(FATAL, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("DBNet could not abort a transaction")));
}

void begin_one_snapshot() {
    call([] {
        CommandCounterIncrement();
        PushActiveSnapshot(GetTransactionSnapshot());
        one_snapshot = GetActiveSnapshot();
    });
}

void end_one_snapshot() {
    one_snapshot = nullptr;
    call([] { PopActiveSnapshot(); });
}

void leave_one_snapshot() noexcept {
    one_snapshot = nullptr;
}

void connect_spi() {
    call([] {
        if (SPI_connect() != SPI_OK_CONNECT)
            elog(ERROR, "SPI_connect failed");
    });
}

void finish_spi() {
    call([] {
        if (SPI_finish() != SPI_OK_FINISH)
            elog(ERROR, "SPI_finish failed");
    });
}

Subtransaction begin_subtransaction() {
    const Subtransaction before{CurrentMemoryContext, CurrentResourceOwner};
    call([before] {
        BeginInternalSubTransaction(nullptr);
        MemoryContextSwitchTo(before.memory_context);
    });
    return before;
}

void commit_subtransaction(Subtransaction before) {
    call([before] {
        ReleaseCurrentSubTransaction();
        MemoryContextSwitchTo(before.memory_context);
        CurrentResourceOwner = before.resource_owner;
    });
}

void abort_subtransaction(Subtransaction before) noexcept {
    const bool is_aborted = call_noexcept([before] {
        RollbackAndReleaseCurrentSubTransaction();
        MemoryContextSwitchTo(before.memory_context);
        CurrentResourceOwner = before.resource_owner;
    });
    if (!is_aborted)
        ereport(FATAL, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("DBNet could not abort a subtransaction")));
}

} // namespace internal
} // namespace dbnet::pg
