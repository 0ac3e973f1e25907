// Which functions of the database are running right now, read from PostgreSQL's own stack of error contexts: outside of
// any function that stack is empty, and nothing is read. Runs in backends.
#pragma once

#include "capture/causes.hpp"
#include "pg/compat.hpp"

#include <array>

namespace dbnet::capture {

struct CallStack {
    std::array<Frame, 8> frames; // the innermost ones; texts are in memory of the current context
    std::size_t count = 0;

    Cause cause() const { return {frames.data(), count}; }
};

// Called once per process, by _PG_init.
void install_call_stack();

// Something is running that an error message would name. The common case, a plain statement, is no.
inline bool is_inside_function() noexcept {
    return error_context_stack != nullptr;
}

// The line at which the innermost running PL/pgSQL function is; 0: there is none, or it has not begun. Costs a walk
// through a few pointers.
int current_line() noexcept;

// Inside pg::call. Costs a walk through a few pointers where all is PL/pgSQL; others have to be asked for their words.
CallStack call_stack();

} // namespace dbnet::capture
