// One thread's epoll loop with timers of microsecond resolution.
#include "event_loop.hpp"

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace kubesim {

EventLoop::EventLoop() : epoll_(epoll_create1(EPOLL_CLOEXEC)), timer_(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK)) {
    if (epoll_ < 0 || timer_ < 0)
        throw std::runtime_error("cannot create the event loop's descriptors");
    add(timer_, EPOLLIN, [this](uint32_t) {
        uint64_t expirations;
        (void)!read(timer_, &expirations, sizeof expirations);
        armed_ = Clock::time_point::max();
    });
}

EventLoop::~EventLoop() {
    close(timer_);
    close(epoll_);
}

void EventLoop::add(int descriptor, uint32_t epoll_events, Handler handler) {
    epoll_event event{};
    event.events = epoll_events;
    event.data.fd = descriptor;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) != 0)
        throw std::runtime_error("epoll_ctl failed");
    handlers_[descriptor] = std::make_shared<Handler>(std::move(handler));
}

void EventLoop::modify(int descriptor, uint32_t epoll_events) {
    epoll_event event{};
    event.events = epoll_events;
    event.data.fd = descriptor;
    epoll_ctl(epoll_, EPOLL_CTL_MOD, descriptor, &event);
}

void EventLoop::remove(int descriptor) {
    epoll_ctl(epoll_, EPOLL_CTL_DEL, descriptor, nullptr);
    handlers_.erase(descriptor);
}

void EventLoop::after(std::chrono::microseconds delay, std::function<void()> task) {
    timers_.push({Clock::now() + delay, order_++, std::move(task)});
}

void EventLoop::arm() {
    if (timers_.empty() || timers_.top().due >= armed_)
        return;
    armed_ = timers_.top().due;
    auto wait = std::chrono::duration_cast<std::chrono::nanoseconds>(armed_ - Clock::now()).count();
    wait = std::max<int64_t>(wait, 1); // zero would disarm
    itimerspec spec{};
    spec.it_value.tv_sec = wait / 1'000'000'000;
    spec.it_value.tv_nsec = wait % 1'000'000'000;
    timerfd_settime(timer_, 0, &spec, nullptr);
}

void EventLoop::run_due() {
    auto now = Clock::now();
    while (!timers_.empty() && timers_.top().due <= now) {
        auto task = std::move(const_cast<Timer &>(timers_.top()).task);
        timers_.pop();
        task();
    }
}

void EventLoop::run() {
    epoll_event events[256];
    while (running_) {
        run_due();
        if (turn_end_)
            turn_end_();
        arm();
        int count = epoll_wait(epoll_, events, 256, -1);
        if (count < 0 && errno != EINTR)
            throw std::runtime_error("epoll_wait failed");
        for (int i = 0; i < count; i++) {
            auto it = handlers_.find(events[i].data.fd);
            if (it == handlers_.end())
                continue; // removed by an earlier handler of this turn
            auto handler = it->second;
            (*handler)(events[i].events);
        }
    }
}

} // namespace kubesim
