// One epoll descriptor with a timer in it; see the header. Runs in the mirror worker and in backends.
#include "kubernetes/transport/event_poll.hpp"

#include "kubernetes/failure.hpp"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

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

bool EventPoll::is_forgotten(int socket) const noexcept {
    return static_cast<size_t>(socket) < forgotten_.size() && forgotten_[static_cast<size_t>(socket)];
}

void EventPoll::watch(int socket, uint32_t events) noexcept {
    epoll_event event{};
    event.events = events;
    event.data.fd = socket;
    if (events != 0) {
        if (is_forgotten(socket))
            forgotten_[static_cast<size_t>(socket)] = false;
        // Without memory for a new one the request runs into its time limit.
        if (epoll_ctl(epoll_, EPOLL_CTL_MOD, socket, &event) != 0 && errno == ENOENT)
            epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &event);
        return;
    }
    // A connection rests between two requests most of the time only for microseconds: it stays registered until an
    // event comes that nobody wants. A socket closed meanwhile is dropped by the kernel.
    try {
        if (forgotten_.size() <= static_cast<size_t>(socket))
            forgotten_.resize(static_cast<size_t>(socket) + 64);
        forgotten_[static_cast<size_t>(socket)] = true;
    } catch (const std::bad_alloc &) {
        epoll_ctl(epoll_, EPOLL_CTL_DEL, socket, &event);
    }
}

// False for the timer, which is taken back, and for a forgotten socket, which is dropped for good.
bool EventPoll::is_reportable(int socket) noexcept {
    if (socket == timer_) {
        uint64_t expirations;
        if (read(timer_, &expirations, sizeof expirations) > 0)
            armed_ = Clock::time_point::max();
        return false;
    }
    if (!is_forgotten(socket))
        return true;
    epoll_event event{};
    epoll_ctl(epoll_, EPOLL_CTL_DEL, socket, &event);
    return false;
}

std::span<const epoll_event> EventPoll::ready() noexcept {
    const int count = epoll_wait(epoll_, events_, std::size(events_), 0);
    if (count <= 0)
        return {};
    auto *end = std::remove_if(events_, events_ + count,
                               [this](const epoll_event &event) { return !is_reportable(event.data.fd); });
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
