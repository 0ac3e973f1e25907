// Which tokens there are: one that nobody has made is told from those without a transaction, so that a flood of them
// costs little. It says no to none that there is: what makes tokens is heard of with its commit. Gateway worker and api
// worker.
#pragma once

#include "gateway/token/token.hpp"
#include "pg/shared_memory.hpp"

#include <chrono>
#include <set>

namespace dbnet::gateway {

class KnownTokens {
public:
    explicit KnownTokens(pg::WorkerSlot &slot) noexcept : slot_(slot) {} // of the worker

    // False: there is no such token. Outside transactions; runs one when tokens were made since the last, and once a
    // second, for what nobody told of.
    bool may_know(std::string_view token);

private:
    using Clock = std::chrono::steady_clock;

    void read();

    pg::WorkerSlot &slot_;
    uint64 configuration_ = 0; // of the slot when they were read
    Clock::time_point read_again_;
    bool is_complete_ = false; // false: there are too many to keep
    std::set<std::string, std::less<>> hashes_;
};

} // namespace dbnet::gateway
