// Implementation of report_deadline.hpp. Runs in the mirror worker.
#include "bgworker/report_deadline.hpp"

extern "C" {
#include "miscadmin.h"
#include "utils/timeout.h"
}

namespace dbnet::bgworker {

ReportDeadline::ReportDeadline(int milliseconds) {
    if (milliseconds <= 0)
        return;
    pg::call([&] { enable_timeout_after(STATEMENT_TIMEOUT, milliseconds); });
    armed_ = true;
}

ReportDeadline::~ReportDeadline() {
    if (!armed_)
        return;
    pg::call_noexcept([] { disable_timeout(STATEMENT_TIMEOUT, false); });
    // It may have fired after the last check for interrupts: what runs next must not pay for it.
    QueryCancelPending = false;
}

} // namespace dbnet::bgworker
