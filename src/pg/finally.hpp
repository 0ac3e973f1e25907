// What must be put back, also when PostgreSQL raises an error on the way: for hooks that wrap a call of PostgreSQL's
// and own nothing. Cheaper than a guard, which would copy the error, and safe around statements that end transactions.
// Backends.
#pragma once

#include "pg/compat.hpp"

#include <type_traits>

namespace dbnet::pg {

// Runs f; then `after`, which must not raise, also when f is left by longjmp, which goes on. No C++ object that has a
// destructor may be alive in f or around this.
template<class F, class After> void finally(F f, After after) {
    static_assert(std::is_trivially_destructible_v<F> && std::is_trivially_destructible_v<After>);
    sigjmp_buf *const stack = PG_exception_stack;
    ErrorContextCallback *const context = error_context_stack;
    sigjmp_buf here;
    const bool has_failed = sigsetjmp(here, 0) != 0;
    if (!has_failed) {
        PG_exception_stack = &here;
        f();
    }
    PG_exception_stack = stack;
    error_context_stack = context;
    after();
    if (has_failed)
        PG_RE_THROW();
}

} // namespace dbnet::pg
