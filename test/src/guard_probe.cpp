// Test-only SQL functions that raise, catch and pass errors through nested frames of C++ and PostgreSQL. Backends.
#include "pg/memory.hpp"
#include "pg/spi.hpp"

#include <cstdint>

extern "C" {
#include "utils/builtins.h"
}

namespace {

using namespace dbnet;

std::string argument_text(FunctionCallInfo fcinfo, int index) {
    std::string value;
    pg::call([&] { value = text_to_cstring(PG_GETARG_TEXT_PP(index)); });
    return value;
}

Datum text_datum(const std::string &text) {
    return pg::call(
        [&] { return PointerGetDatum(cstring_to_text_with_len(text.data(), static_cast<int>(text.size()))); });
}

// Counts destructions: a frame that a longjmp skips would not be counted.
struct Witness {
    static inline int64 alive = 0;
    Witness() { ++alive; }
    ~Witness() { --alive; }
};

std::string every_field(const pg::pg_error &caught) {
    const pg::ErrorFields &fields = caught.fields();
    std::string text = std::string("sqlstate=") + unpack_sql_state(fields.sqlstate) + "\nmessage=" + fields.message;
    const std::pair<const char *, const std::optional<std::string> &> named[] = {
        {"detail", fields.detail},          {"hint", fields.hint},
        {"context", fields.context},        {"schema", fields.schema_name},
        {"table", fields.table_name},       {"column", fields.column_name},
        {"datatype", fields.datatype_name}, {"constraint", fields.constraint_name},
        {"query", fields.internal_query},
    };
    for (const auto &[name, value] : named)
        if (value)
            text += std::string("\n") + name + "=" + *value;
    if (fields.internal_position > 0)
        text += "\nposition=" + std::to_string(fields.internal_position);
    return text;
}

} // namespace

// dbnet_test_raise(kind): ends with an error of C++ or PostgreSQL.
DBNET_FUNCTION(dbnet_test_raise) {
    const std::string kind = argument_text(fcinfo, 0);
    const Witness witness;
    if (kind == "error")
        throw pg::error(ERRCODE_DIVISION_BY_ZERO, "own message").detail("own detail").hint("own hint");
    if (kind == "exception")
        throw std::runtime_error("something unforeseen");
    if (kind == "foreign")
        throw 42;
    if (kind == "no C++ memory")
        return PointerGetDatum(::operator new(PTRDIFF_MAX));
    if (kind == "no PostgreSQL memory")
        return PointerGetDatum(pg::call([] { return palloc_extended(SIZE_MAX / 4, MCXT_ALLOC_HUGE); }));
    pg::call([&] {
        ereport(ERROR,
                (errcode(ERRCODE_CHECK_VIOLATION), errmsg("raised by PostgreSQL"), errdetail("a detail"),
                 errhint("a hint"), errcontext("a context"), err_generic_string(PG_DIAG_SCHEMA_NAME, "s"),
                 err_generic_string(PG_DIAG_TABLE_NAME, "t"), err_generic_string(PG_DIAG_COLUMN_NAME, "c"),
                 err_generic_string(PG_DIAG_DATATYPE_NAME, "d"), err_generic_string(PG_DIAG_CONSTRAINT_NAME, "k")));
    });
    PG_RETURN_VOID();
}

// dbnet_test_run(sql): runs SQL in a frame of C++; returns its first value. Errors pass through.
DBNET_FUNCTION(dbnet_test_run) {
    const std::string sql = argument_text(fcinfo, 0);
    const Witness witness;
    std::string value;
    pg::in_spi([&] {
        const pg::Result result = pg::execute_once(sql);
        value = result.rows() > 0 ? std::string(result.text(0, 0)) : std::string();
    });
    return text_datum(value);
}

// dbnet_test_catch(sql): runs SQL in a subtransaction; returns all fields of its error, or 'finished'.
DBNET_FUNCTION(dbnet_test_catch) {
    const std::string sql = argument_text(fcinfo, 0);
    std::string outcome = "finished";
    const int64 before = Witness::alive;
    pg::in_spi([&] {
        try {
            pg::in_subtransaction([&] {
                const Witness witness;
                pg::execute_once(sql);
            });
        } catch (const pg::pg_error &caught) {
            outcome = every_field(caught);
        }
    });
    if (Witness::alive != before)
        outcome += "\na destructor did not run";
    return text_datum(outcome);
}

// dbnet_test_catch_many(sql, times): like dbnet_test_catch, many times; returns how often it failed.
DBNET_FUNCTION(dbnet_test_catch_many) {
    const std::string sql = argument_text(fcinfo, 0);
    const int32 times = PG_GETARG_INT32(1);
    int64 failures = 0;
    pg::in_spi([&] {
        for (int32 i = 0; i < times; ++i) {
            pg::check_for_interrupts();
            try {
                pg::in_subtransaction([&] {
                    const Witness witness;
                    pg::execute_once(sql);
                });
            } catch (const std::exception &) {
                ++failures;
            }
        }
    });
    PG_RETURN_INT64(Witness::alive == 0 ? failures : -1);
}

// dbnet_test_guard_state(): what PostgreSQL keeps in globals must be as before when a guard has caught an error.
DBNET_FUNCTION(dbnet_test_guard_state) {
    sigjmp_buf *const exception_stack = PG_exception_stack;
    ErrorContextCallback *const context_stack = error_context_stack;
    const MemoryContext memory_context = CurrentMemoryContext;
    const ResourceOwner resource_owner = CurrentResourceOwner;
    const uint64 swallowed = pg::swallowed_errors();
    HOLD_INTERRUPTS();
    HOLD_CANCEL_INTERRUPTS();
    const uint32 interrupt_holdoff = InterruptHoldoffCount;
    const uint32 cancel_holdoff = QueryCancelHoldoffCount;
    const bool finished = pg::call_noexcept([] {
        ErrorContextCallback callback{error_context_stack, [](void *) {}, nullptr};
        error_context_stack = &callback;
        MemoryContextSwitchTo(TopMemoryContext);
        CurrentResourceOwner = nullptr;
        HOLD_INTERRUPTS();
        elog(ERROR, "for the guard to catch");
    });
    std::string changed;
    changed += finished ? " finished" : "";
    changed += pg::swallowed_errors() != swallowed + 1 ? " swallowed_errors" : "";
    changed += InterruptHoldoffCount != interrupt_holdoff ? " InterruptHoldoffCount" : "";
    changed += QueryCancelHoldoffCount != cancel_holdoff ? " QueryCancelHoldoffCount" : "";
    changed += PG_exception_stack != exception_stack ? " PG_exception_stack" : "";
    changed += error_context_stack != context_stack ? " error_context_stack" : "";
    changed += CurrentMemoryContext != memory_context ? " CurrentMemoryContext" : "";
    changed += CurrentResourceOwner != resource_owner ? " CurrentResourceOwner" : "";
    InterruptHoldoffCount = interrupt_holdoff;
    QueryCancelHoldoffCount = cancel_holdoff;
    RESUME_CANCEL_INTERRUPTS();
    RESUME_INTERRUPTS();
    return text_datum(changed.empty() ? "unchanged" : "changed:" + changed);
}

// dbnet_test_fail_holding(): an error leaves C++ code that holds interrupts; nobody else is going to resume them.
DBNET_FUNCTION(dbnet_test_fail_holding) {
    HOLD_INTERRUPTS();
    HOLD_CANCEL_INTERRUPTS();
    pg::call([] { elog(ERROR, "while interrupts are held"); });
    PG_RETURN_VOID();
}

// dbnet_test_holdoff(): interrupts held by this backend between statements; must be 0.
DBNET_FUNCTION(dbnet_test_holdoff) {
    PG_RETURN_INT64(InterruptHoldoffCount + QueryCancelHoldoffCount);
}

// dbnet_test_arguments(): each kind of argument that execute() binds comes back as it was.
DBNET_FUNCTION(dbnet_test_arguments) {
    static const pg::Statement show{
        "SELECT concat_ws(' ', $1::text, $2::bigint, $3::boolean, $4::oid, $5::double precision, encode($6, 'hex'),"
        " $7::text[], $8::text[], $9 IS NULL, $10 IS NULL)"};
    const std::vector<std::string> texts{"a,b", "", "\"q\""};
    const std::vector<std::optional<std::string>> nullable{"x", std::nullopt};
    const std::optional<int64> none;
    std::string shown;
    pg::in_spi([&] {
        for (int i = 0; i < 3; ++i) // the kept plan serves again
            shown = pg::execute(show, std::string_view("a\xC3\xA4"), int64{-5}, true, Oid{16384}, 1.5,
                                pg::Bytes{std::string_view("\0\1", 2)}, texts, nullable, nullptr, none)
                        .text(0, 0);
    });
    return text_datum(shown);
}

// dbnet_test_types_change(): one statement with arguments of another type is prepared anew.
DBNET_FUNCTION(dbnet_test_types_change) {
    static const pg::Statement show{"SELECT pg_typeof($1)::text"};
    std::string shown;
    pg::in_spi([&] {
        shown = pg::execute(show, int64{1}).text(0, 0);
        shown += ", " + std::string(pg::execute(show, "text").text(0, 0));
        shown += ", " + std::string(pg::execute(show, true).text(0, 0));
    });
    return text_datum(shown);
}

// dbnet_test_subtransactions(sql_kept, sql_undone): the first stays, the second is undone by an exception of C++.
DBNET_FUNCTION(dbnet_test_subtransactions) {
    const std::string kept = argument_text(fcinfo, 0), undone = argument_text(fcinfo, 1);
    pg::in_spi([&] {
        pg::in_subtransaction([&] { pg::execute_once(kept); });
        try {
            pg::in_subtransaction([&] {
                pg::execute_once(undone);
                throw std::runtime_error("undo");
            });
        } catch (const std::runtime_error &) {
        }
    });
    PG_RETURN_VOID();
}

// dbnet_test_memory_scope(times): what is allocated in a scope is gone at reset and end; objects built with construct()
// are destroyed with their context. Returns how many bytes TopMemoryContext and its children grew.
DBNET_FUNCTION(dbnet_test_memory_scope) {
    const int32 times = PG_GETARG_INT32(0);
    const auto total = [] { return static_cast<int64>(MemoryContextMemAllocated(TopMemoryContext, true)); };
    int64 before = 0;
    for (int32 i = 0; i < times; ++i) {
        if (i == 1)
            before = total(); // the first turn may fill free lists
        pg::MemoryScope scope("DBNet test");
        for (int turn = 0; turn < 10; ++turn) {
            pg::call([] { palloc(1000); });
            pg::construct<Witness>(scope.context());
            scope.reset();
        }
        pg::construct<Witness>(scope.context());
    }
    PG_RETURN_INT64(Witness::alive == 0 ? total() - before : -1);
}
