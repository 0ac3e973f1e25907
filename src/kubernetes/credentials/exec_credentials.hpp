// The credentials that a connection's program gives: asked for when they are needed, remembered while they are good,
// asked for again shortly before they expire and when the server refuses them. Part of an Endpoint; never waits.
#pragma once

#include "kubernetes/credentials/exec_credential.hpp"
#include "kubernetes/credentials/exec_process.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>

namespace dbnet::kubernetes {

class ExecCredentials {
public:
    using Clock = std::chrono::steady_clock;
    enum class State { ready, awaited, failed };

    explicit ExecCredentials(const Connection &connection) : connection_(connection) {} // which outlives this

    // Whether a request may go; starts the program where it is time to. Throws std::bad_alloc only.
    State state();
    const ExecCredential &current() const noexcept { return current_; } // while ready
    const std::string &problem() const noexcept { return problem_; }    // why it failed
    uint64_t generation() const noexcept { return generation_; }        // of current(), from 1
    // When state() starts the program although what it gave before is still good.
    Clock::time_point due() const noexcept {
        return process_ ? Clock::time_point::max() : std::max(renew_at_, not_before_);
    }

    // The server has refused those of a generation. True: others are there or will be asked for.
    bool refuse(uint64_t generation) noexcept;

    int descriptor() const noexcept { return process_ ? process_->descriptor() : -1; } // of the program that runs
    bool run();                                                                        // true once it is over

private:
    bool is_usable(Clock::time_point now) const noexcept;
    void start();
    void take(std::string_view output);
    void fail(const std::string &problem);

    const Connection &connection_;
    std::unique_ptr<ExecProcess> process_;
    ExecCredential current_;
    uint64_t generation_ = 0;
    bool is_refused_ = false;
    Clock::time_point expires_at_ = Clock::time_point::max();
    Clock::time_point renew_at_ = Clock::time_point::max();
    Clock::time_point given_at_;                              // current()
    Clock::time_point not_before_ = Clock::time_point::min(); // after a failure: when the program may run again
    std::string problem_;
};

} // namespace dbnet::kubernetes
