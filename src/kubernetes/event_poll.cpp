// One epoll descriptor with a timer in it; see the header. Runs in the mirror worker and in backends.
#include "kubernetes/event_poll.hpp"

#include "kubernetes/failure.hpp"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace dbnet::kubernetes {

EventPoll::EventPoll()
    : epoll_(epoll_create1(EPOLL_CLOEXEC)), timer_(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = timer_;
    if (epoll_ >= 0 && timer_ >= 0 && epoll_ctl(epoll_, EPOLL_CTL_ADD, timer_, &event) == 0)
        return;
    const int error = errno;
    close();
    throw Failure(std::string("cannot wait for network events: ") + std::strerror(error));
}

EventPoll::~EventPoll() {
    close();
}

void EventPoll::close() noexcept {
    if (epoll_ >= 0)
        ::close(epoll_);
    if (timer_ >= 0)
        ::close(timer_);
}

void EventPoll::watch(int socket, uint32_t events) noexcept {
    epoll_event event{};
    event.events = events;
    event.data.fd = socket;
    if (events == 0)
        epoll_ctl(epoll_, EPOLL_CTL_DEL, socket, &event); // fails when the socket is closed already: same result
    else if (epoll_ctl(epoll_, EPOLL_CTL_MOD, socket, &event) != 0 && errno == ENOENT)
        epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &event); // without memory for it the request runs into its time limit
}

std::span<const epoll_event> EventPoll::ready() noexcept {
    const int count = epoll_wait(epoll_, events_, std::size(events_), 0);
    if (count <= 0)
        return {};
    auto *end =
        std::remove_if(events_, events_ + count, [this](const epoll_event &event) { return event.data.fd == timer_; });
    if (end != events_ + count) {
        uint64_t expirations;
        if (read(timer_, &expirations, sizeof expirations) > 0)
            armed_ = Clock::time_point::max();
    }
    return {events_, static_cast<size_t>(end - events_)};
}

void EventPoll::wake_at(Clock::time_point when) noexcept {
    if (when >= armed_)
        return;
    armed_ = when;
    // steady_clock is CLOCK_MONOTONIC. A time of zero would switch the timer off.
    const auto nanoseconds =
        std::max<int64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count(), 1);
    itimerspec spec{};
    spec.it_value.tv_sec = nanoseconds / 1'000'000'000;
    spec.it_value.tv_nsec = nanoseconds % 1'000'000'000;
    timerfd_settime(timer_, TFD_TIMER_ABSTIME, &spec, nullptr);
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
