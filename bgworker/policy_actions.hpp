// Runs what policies have decided: each event's action once, in a transaction of its own, as the policy's owner. Policy
// worker.
#pragma once

#include "policy/state_machine.hpp"

#include <set>
#include <string>
#include <vector>

namespace dbnet::bgworker {

class PolicyActions {
public:
    // Something may wait that turn() has not seen.
    void hurry() noexcept { due_ = 0; }

    // Runs one action that is due: the oldest first, those that have failed last, and after all others those of
    // policies whose last action was slow. True: there may be another.
    bool turn(policy::Time now);

    // When an action is tried again; INT64_MAX: none waits.
    policy::Time due() const noexcept { return due_; }

private:
    policy::Time due_ = 0;
    std::set<std::string> slow_;      // policies
    std::vector<std::string> locked_; // ids of events that are left out for a moment
};

} // namespace dbnet::bgworker
