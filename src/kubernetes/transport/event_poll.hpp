// Private to the transport: one epoll descriptor that holds sockets and one timer, so that whoever waits needs to watch
// a single descriptor. Runs in the mirror worker and in backends.
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <span>
#include <vector>

namespace dbnet::kubernetes {

class EventPoll {
public:
    using Clock = std::chrono::steady_clock;

    EventPoll(); // throws Failure when the process has no descriptors left
    ~EventPoll();
    EventPoll(const EventPoll &) = delete;
    EventPoll &operator=(const EventPoll &) = delete;

    int descriptor() const noexcept { return epoll_; }

    // events: EPOLLIN, EPOLLOUT or both; 0 forgets the socket: it may be closed then.
    void watch(int socket, uint32_t events) noexcept;

    // What is ready now; never waits. A timer that went off is taken back and not reported.
    std::span<const epoll_event> ready() noexcept;

    // Makes the descriptor readable at `when` at the latest (max(): no wish). A later time than before does not move
    // the timer: one needless wake-up is cheaper than a system call for each request.
    void wake_at(Clock::time_point when) noexcept;

private:
    void close() noexcept;
    bool is_forgotten(int socket) const noexcept;
    bool is_reportable(int socket) noexcept;

    int epoll_ = -1;
    int timer_ = -1;
    Clock::time_point armed_ = Clock::time_point::max();
    std::vector<bool> forgotten_; // by socket: still registered although nobody wants its events
    epoll_event events_[64];
};

} // namespace dbnet::kubernetes
