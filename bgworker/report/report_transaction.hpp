// The transactions of the read direction. Runs in the mirror worker.
#pragma once

#include "pg/spi.hpp"
#include "settings.hpp"

#include <string>

namespace dbnet::bgworker {

// No wait for a lock is longer than dbnet.report_lock_timeout.
template<class F> void in_report_transaction(F &&f) {
    static const pg::Statement set_limits{"SELECT pg_catalog.set_config('lock_timeout', $1, true)"};
    pg::in_transaction([&] {
        pg::execute(set_limits, std::to_string(settings::report_lock_timeout) + "ms");
        f();
    });
}

} // namespace dbnet::bgworker
