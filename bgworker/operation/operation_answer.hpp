// What the answer to a request of an operation means: done, again later, or given up. Pure C++; mirror worker.
#pragma once

#include "kubernetes/error.hpp"

#include <cstdint>
#include <string>

namespace dbnet::bgworker {

struct OperationVerdict {
    enum class Next {
        accepted,
        gone,  // the object of the uid is not there (any more)
        again, // after delay_ms
        stop   // nothing helps until somebody acts
    };
    Next next = Next::accepted;
    std::string message; // the server's words, with those about the disruption budget
    std::string reason;
    int64_t delay_ms = 0;
};

// `attempt`: from 1, failed ones in a row; `random` in [0, 1).
OperationVerdict judge_operation(const kubernetes::Outcome &outcome, int attempt, double random);

} // namespace dbnet::bgworker
