// SQL from C++: transactions of a worker, subtransactions, prepared statements and their results as C strings.
//
//     static pg::Statement find{"SELECT name FROM net.nodes WHERE zone = $1"};
//     pg::in_transaction([&] { auto found = pg::execute(find, zone); … found.at(0, 0) … });
//
// Workers use in_transaction(); functions called by a user's backend use in_spi(). in_subtransaction() works inside
// both.
#pragma once

#include "pg/guard.hpp"

struct _SPI_plan; // of executor/spi.h

namespace dbnet::pg {

// once: whatever the values are; most statements run seldom, and a plan costs more than they do. by_values: anew for
// values, where they decide which plan is good, as in `$1 IS NULL OR relation = $1`.
enum class Planned { once, by_values };

// SQL text with a plan that is prepared at the first execute() and kept as long as the process. Must have static
// storage and constant text. The types of the arguments are part of the plan: other types prepare it anew. Use
// different statements inside and outside as_owner(): a plan belongs to one role and search_path.
class Statement {
public:
    explicit constexpr Statement(const char *sql, Planned planned = Planned::once) noexcept
        : sql_(sql), planned_(planned) {}
    Statement(const Statement &) = delete;
    Statement &operator=(const Statement &) = delete;

    const char *sql() const noexcept { return sql_; }

private:
    friend struct StatementAccess;
    static constexpr int argument_limit = 32;

    const char *sql_;
    Planned planned_;
    mutable ::_SPI_plan *plan_ = nullptr;
    mutable Oid types_[argument_limit] = {};
    mutable int argument_count_ = 0;
};

// An argument that is bytea; std::string_view alone is text.
struct Bytes {
    std::string_view bytes;
};

// One bound argument; refers to the caller's memory.
//   std::string_view, const char *, std::string, nullptr → text ($1::jsonb and the like cast in the SQL)
//   int64_t, int → bigint   double → double precision   bool → boolean   Oid → oid (pass Oid typed variables)
//   Bytes → bytea   span or vector of std::string or std::optional<std::string> → text[]
//   std::optional<T> → as T, empty is NULL
class Argument {
public:
    enum class Kind : uint8 { text, bytea, integer, floating, boolean, oid, text_array, nullable_text_array };

    Argument(std::nullptr_t) noexcept : is_null_(true) {}
    Argument(std::string_view value) noexcept : pointer_(value.data()), length_(value.size()) {}
    Argument(const std::string &value) noexcept : Argument(std::string_view(value)) {}
    Argument(const char *value) noexcept : Argument(std::string_view(value ? value : "")) { is_null_ = !value; }
    Argument(Bytes value) noexcept : Argument(value.bytes) { kind_ = Kind::bytea; }
    Argument(double value) noexcept : kind_(Kind::floating), floating_(value) {}
    template<std::integral T> Argument(T value) noexcept : integer_(static_cast<int64>(value)) {
        kind_ = std::same_as<T, bool> ? Kind::boolean : std::same_as<T, Oid> ? Kind::oid : Kind::integer;
    }
    Argument(std::span<const std::string> values) noexcept
        : kind_(Kind::text_array), pointer_(values.data()), length_(values.size()) {}
    Argument(const std::vector<std::string> &values) noexcept : Argument(std::span<const std::string>(values)) {}
    Argument(std::span<const std::optional<std::string>> values) noexcept
        : kind_(Kind::nullable_text_array), pointer_(values.data()), length_(values.size()) {}
    Argument(const std::vector<std::optional<std::string>> &values) noexcept
        : Argument(std::span<const std::optional<std::string>>(values)) {}
    template<class T>
    Argument(const std::optional<T> &value) noexcept : Argument(value ? Argument(*value) : Argument(T{})) {
        is_null_ = !value;
    }

    Oid type() const noexcept;
    bool is_null() const noexcept { return is_null_; }
    Datum datum() const; // palloc'd in the current context; may longjmp

private:
    Kind kind_ = Kind::text;
    bool is_null_ = false;
    const void *pointer_ = nullptr;
    size_t length_ = 0;
    int64 integer_ = 0;
    double floating_ = 0;
};

// The rows of one execution, in text form, in C++ memory: valid as long as the object, also after the transaction.
class Result {
public:
    size_t rows() const noexcept { return columns_ == 0 ? 0 : offsets_.size() / columns_; }
    size_t columns() const noexcept { return columns_; }
    // Zero-terminated text of a value, nullptr for NULL. Column counted from 0.
    const char *at(size_t row, size_t column) const noexcept {
        const size_t offset = offsets_[row * columns_ + column];
        return offset == null ? nullptr : text_.data() + offset;
    }
    // Same, NULL as empty text.
    std::string_view text(size_t row, size_t column) const noexcept {
        const char *value = at(row, column);
        return value ? std::string_view(value) : std::string_view();
    }
    int64 integer(size_t row, size_t column) const noexcept; // NULL is 0
    bool boolean(size_t row, size_t column) const noexcept;  // NULL is false
    Oid oid(size_t row, size_t column) const noexcept;       // NULL is InvalidOid
    // Rows returned, or changed by INSERT, UPDATE, DELETE.
    uint64 affected() const noexcept { return affected_; }

private:
    friend struct StatementAccess;
    static constexpr size_t null = static_cast<size_t>(-1);

    std::string text_;
    std::vector<size_t> offsets_;
    size_t columns_ = 0;
    uint64 affected_ = 0;
};

// Runs a statement inside in_transaction(), in_subtransaction() or in_spi(). Its own writes and those of earlier
// statements are visible to it.
Result execute(const Statement &statement, std::span<const Argument> arguments);
template<class... Values> Result execute(const Statement &statement, const Values &...values) {
    if constexpr (sizeof...(Values) == 0) {
        return execute(statement, std::span<const Argument>());
    } else {
        const Argument arguments[] = {Argument(values)...};
        return execute(statement, std::span<const Argument>(arguments));
    }
}
// Runs SQL text made at run time (a user's table is named in it), planned anew each time. `sql` must not hold values:
// quote names with quoted_name(), pass values as arguments.
Result execute_once(const std::string &sql, std::span<const Argument> arguments = {});

// quote_identifier() in C++ memory.
std::string quoted_name(std::string_view name);
// 'schema.table', quoted, of a relation; empty when it does not exist.
std::string qualified_name(Oid relation);

namespace internal {

void begin_transaction();
void commit_transaction();
void abort_transaction(MemoryContext before) noexcept; // ends the process (FATAL) when even this fails
void begin_one_snapshot();
void end_one_snapshot();
void leave_one_snapshot() noexcept;
void connect_spi();
void finish_spi();

struct Subtransaction {
    MemoryContext memory_context;
    ResourceOwner resource_owner;
};
Subtransaction begin_subtransaction();
void commit_subtransaction(Subtransaction before);
void abort_subtransaction(Subtransaction before) noexcept;

template<class F, class Commit, class Abort>
auto finish(F &f, Commit commit, Abort abort) -> std::invoke_result_t<F &> {
    try {
        if constexpr (std::is_void_v<std::invoke_result_t<F &>>) {
            f();
            commit();
        } else {
            auto result = f();
            commit();
            return result;
        }
    } catch (...) {
        abort();
        throw;
    }
}

} // namespace internal

// Called at the start of each transaction of in_transaction(), inside it, before f. A worker sets it to lock the
// extension and to leave when the extension is gone.
extern void (*at_transaction_start)();

// A worker's transaction: starts one, SPI connected and a snapshot active inside f; commits, or aborts and rethrows.
// The memory context of the caller is current again afterwards.
template<class F> auto in_transaction(F &&f) -> std::invoke_result_t<F &> {
    const MemoryContext before = CurrentMemoryContext;
    auto body = [&]() -> std::invoke_result_t<F &> {
        internal::begin_transaction();
        if (at_transaction_start)
            at_transaction_start();
        return f();
    };
    return internal::finish(
        body,
        [before] {
            internal::commit_transaction();
            MemoryContextSwitchTo(before);
        },
        [before] { internal::abort_transaction(before); });
}

// A savepoint around f: what f did is undone when it throws, and the transaction goes on for whoever catches it.
template<class F> auto in_subtransaction(F &&f) -> std::invoke_result_t<F &> {
    const internal::Subtransaction before = internal::begin_subtransaction();
    return internal::finish(
        f, [before] { internal::commit_subtransaction(before); }, [before] { internal::abort_subtransaction(before); });
}

// What f reads by execute() is of one moment, its beginning, with all that the transaction has written before; f writes
// nothing. When f throws, the (sub)transaction around this must be aborted: the abort lets go of the snapshot.
template<class F> auto in_one_snapshot(F &&f) -> std::invoke_result_t<F &> {
    internal::begin_one_snapshot();
    return internal::finish(
        f, [] { internal::end_one_snapshot(); }, [] { internal::leave_one_snapshot(); });
}

// SPI inside the running transaction of a user's backend (a SQL function's body). When f throws, the error must reach
// the function's entry (or an in_subtransaction() around this): the abort closes SPI.
template<class F> auto in_spi(F &&f) -> std::invoke_result_t<F &> {
    internal::connect_spi();
    return internal::finish(
        f, [] { internal::finish_spi(); }, [] {});
}

} // namespace dbnet::pg
