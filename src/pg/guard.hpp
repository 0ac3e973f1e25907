// The guard between C++ and PostgreSQL, both ways; used in every process that loads the library.
//
//   C++ -> PostgreSQL   call(f): runs f, which may call anything of PostgreSQL; an ereport(ERROR) inside arrives as a
//   C++
//                       exception pg_error that keeps the whole ErrorData. f may be left by longjmp, so it must own
//                       only trivially destructible things: objects with destructors live *outside* and are captured by
//                       reference. After a pg_error the (sub)transaction is aborted before PostgreSQL is called again.
//   PostgreSQL -> C++   DBNET_FUNCTION, DBNET_WORKER_MAIN, enter(): an exception becomes an ereport(ERROR), raised when
//                       the catch block is left and no C++ object is alive any more.
//
// Frames nest to any depth: C++ -> PostgreSQL -> C++ -> PostgreSQL. FATAL (a terminated backend) ends the process
// through proc_exit inside PostgreSQL: destructors of C++ frames do not run then.
// One guard per batch, not one per value: a guard costs a sigsetjmp (about 10 ns).
#pragma once

#include "pg/compat.hpp"

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

namespace dbnet::pg {

// The content of an ErrorData in C++ memory. Absent texts are nullopt, as in PostgreSQL.
struct ErrorFields {
    int sqlstate = ERRCODE_INTERNAL_ERROR;
    std::string message;
    std::optional<std::string> detail, detail_log, hint, context, backtrace;
    std::optional<std::string> schema_name, table_name, column_name, datatype_name, constraint_name, internal_query;
    int cursor_position = 0, internal_position = 0, saved_errno = 0;
    bool hide_statement = false, hide_context = false, to_server = true, to_client = true;
    // Constant strings of the code that raised it; never freed.
    const char *filename = nullptr, *function = nullptr, *domain = nullptr, *context_domain = nullptr;
    const char *message_id = nullptr;
    int line = 0;
};

// An error that PostgreSQL raised inside call(). Leaving an entry it is re-raised with every field unchanged.
class pg_error : public std::exception {
public:
    explicit pg_error(std::shared_ptr<const ErrorFields> fields) noexcept : fields_(std::move(fields)) {}

    const char *what() const noexcept override { return fields_->message.c_str(); }
    const ErrorFields &fields() const noexcept { return *fields_; }
    int sqlstate() const noexcept { return fields_->sqlstate; }
    const std::string &message() const noexcept { return fields_->message; }
    std::string detail() const { return fields_->detail.value_or(""); }
    std::string hint() const { return fields_->hint.value_or(""); }

private:
    std::shared_ptr<const ErrorFields> fields_;
};

// An error of our own: `throw error(ERRCODE_…, "message").detail("…").hint("…")`.
class error : public std::runtime_error {
public:
    error(int sqlstate, const std::string &message) : std::runtime_error(message), sqlstate_(sqlstate) {}

    error &&detail(std::string text) && {
        detail_ = std::move(text);
        return std::move(*this);
    }
    error &&hint(std::string text) && {
        hint_ = std::move(text);
        return std::move(*this);
    }

    int sqlstate() const noexcept { return sqlstate_; }
    const std::string &detail_text() const noexcept { return detail_; }
    const std::string &hint_text() const noexcept { return hint_; }

private:
    int sqlstate_;
    std::string detail_, hint_;
};

namespace internal {

using Body = void (*)(void *argument) noexcept;

// Runs body under an own PG_exception_stack. False: PostgreSQL raised an error, which now waits in elog.c's stack for
// throw_pending(); memory context, resource owner, error context stack and interrupt holdoffs are as before the call.
bool run(Body body, void *argument) noexcept;
[[noreturn]] void throw_pending();

// What raise() needs, in PostgreSQL's memory (ErrorContext): trivially destructible, so it may be alive at a longjmp.
struct Failure {
    ErrorData *data;
    bool is_new; // raised by C++: PostgreSQL adds the CONTEXT lines of its callers; otherwise they are already in it
};
Failure current_exception_as_failure() noexcept;
[[noreturn]] void raise(Failure failure);
void count_swallowed() noexcept;

} // namespace internal

// Runs f, which may longjmp; returns its result. Throws pg_error, or what f itself throws.
template<class F> auto call(F &&f) -> std::invoke_result_t<F &> {
    using Result = std::invoke_result_t<F &>;
    static_assert(std::is_void_v<Result> || std::is_trivially_destructible_v<Result>,
                  "the result of a guarded function must be trivially destructible: fill a captured object instead");
    using Stored = std::conditional_t<std::is_void_v<Result>, char, Result>;
    struct Frame {
        std::remove_reference_t<F> &function;
        std::optional<Stored> result;
        std::exception_ptr exception;
    } frame{f, {}, {}};

    const bool finished = internal::run(
        [](void *argument) noexcept {
            auto &frame = *static_cast<Frame *>(argument);
            try {
                if constexpr (std::is_void_v<Result>)
                    frame.function();
                else
                    frame.result.emplace(frame.function());
            } catch (...) {
                frame.exception = std::current_exception();
            }
        },
        &frame);
    if (!finished)
        internal::throw_pending();
    if (frame.exception)
        std::rethrow_exception(std::move(frame.exception));
    if constexpr (!std::is_void_v<Result>)
        return *frame.result;
}

// For destructors and clean-up: runs f like call(), swallows and counts any error. True when f finished.
template<class F> bool call_noexcept(F &&f) noexcept {
    try {
        call(f);
        return true;
    } catch (...) {
        internal::count_swallowed();
        return false;
    }
}

// Errors swallowed by call_noexcept and enter_noexcept in this process so far.
uint64 swallowed_errors() noexcept;

// Entry from PostgreSQL: runs f; an exception becomes an ereport(ERROR). Used by hooks and callbacks that may raise.
template<class F> auto enter(F &&f) -> std::invoke_result_t<F &> {
    static_assert(std::is_trivially_destructible_v<std::remove_reference_t<F>>, "an entry must own nothing");
    internal::Failure failure;
    try {
        return f();
    } catch (...) {
        failure = internal::current_exception_as_failure();
    }
    internal::raise(failure);
}

// Entry from PostgreSQL at places that must not raise (commit, abort and exit callbacks): swallows and counts.
template<class F> void enter_noexcept(F &&f) noexcept {
    try {
        f();
    } catch (...) {
        internal::count_swallowed();
    }
}

// A message to the server log at level LOG (with a hint if not empty), safe to call from C++.
void log(const std::string &message, const std::string &hint = {});
// A WARNING to the client (and the log).
void warning(int sqlstate, const std::string &message, const std::string &hint = {});
// CHECK_FOR_INTERRUPTS() for C++: throws pg_error on a query cancel, ends the process on a termination.
void check_for_interrupts();

} // namespace dbnet::pg

// Defines the SQL-callable function `name`; the body that follows has `fcinfo` and returns Datum:
//     DBNET_FUNCTION(dbnet_example) { PG_RETURN_INT32(1); }
// At namespace scope; in any namespace (the symbol itself is extern "C").
#define DBNET_FUNCTION(name)                                                                                           \
    static Datum name##_body(FunctionCallInfo fcinfo);                                                                 \
    extern "C" {                                                                                                       \
    PG_FUNCTION_INFO_V1(name);                                                                                         \
    PGDLLEXPORT Datum name(PG_FUNCTION_ARGS) {                                                                         \
        return ::dbnet::pg::enter([fcinfo] { return name##_body(fcinfo); });                                           \
    }                                                                                                                  \
    }                                                                                                                  \
    static Datum name##_body([[maybe_unused]] FunctionCallInfo fcinfo)

// Defines the main function of a background worker; the body that follows has `Datum argument`.
#define DBNET_WORKER_MAIN(name)                                                                                        \
    static void name##_body(Datum argument);                                                                           \
    extern "C" PGDLLEXPORT void name(Datum argument);                                                                  \
    extern "C" void name(Datum argument) {                                                                             \
        ::dbnet::pg::enter([argument] { name##_body(argument); });                                                     \
    }                                                                                                                  \
    static void name##_body([[maybe_unused]] Datum argument)
