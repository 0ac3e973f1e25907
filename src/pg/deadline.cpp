// Implementation of deadline.hpp. Runs in the mirror worker.
#include "pg/deadline.hpp"

extern "C" {
#include "miscadmin.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
}

namespace dbnet::pg {
namespace {

// PostgreSQL calls this for every error that is raised, before anybody can catch it.
extern "C" void dbnet_deadline_on_error(void *due) {
    if (geterrcode() != ERRCODE_QUERY_CANCELED || GetCurrentTimestamp() < *static_cast<TimestampTz *>(due))
        return;
    QueryCancelPending = true;
    InterruptPending = true;
}

} // namespace

Deadline::Deadline(int milliseconds) {
    if (milliseconds <= 0)
        return;
    const TimestampTz due = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds);
    call([&] { enable_timeout_at(STATEMENT_TIMEOUT, due); });
    due_ = due;
    watch_.previous = error_context_stack;
    watch_.callback = dbnet_deadline_on_error;
    watch_.arg = &due_;
    error_context_stack = &watch_;
}

bool Deadline::is_over() const noexcept {
    return due_ != 0 && GetCurrentTimestamp() >= due_;
}

Deadline::~Deadline() {
    if (due_ == 0)
        return;
    error_context_stack = watch_.previous;
    call_noexcept([] { disable_timeout(STATEMENT_TIMEOUT, false); });
    // It may have fired after the last check for interrupts: what runs next must not pay for it.
    QueryCancelPending = false;
}

} // namespace dbnet::pg
