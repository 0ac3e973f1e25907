// One thread's epoll loop with timers of microsecond resolution.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <unordered_map>
#include <vector>

namespace kubesim {

class EventLoop {
public:
    using Clock = std::chrono::steady_clock;
    using Handler = std::function<void(uint32_t epoll_events)>;

    EventLoop();
    ~EventLoop();
    EventLoop(const EventLoop &) = delete;
    EventLoop &operator=(const EventLoop &) = delete;

    void add(int descriptor, uint32_t epoll_events, Handler handler);
    void modify(int descriptor, uint32_t epoll_events);
    void remove(int descriptor); // does not close it

    // Runs `task` once after the delay; with zero, at the end of this turn. Tasks cannot be cancelled: those that refer
    // to a connection hold a weak pointer.
    void after(std::chrono::microseconds delay, std::function<void()> task);
    // Called at the end of every turn.
    void at_turn_end(std::function<void()> task) { turn_end_ = std::move(task); }

    void run();
    void stop() { running_ = false; }

private:
    struct Timer {
        Clock::time_point due;
        uint64_t order; // same instant: first come, first served
        std::function<void()> task;
    };
    struct Later {
        bool operator()(const Timer &a, const Timer &b) const {
            return a.due != b.due ? a.due > b.due : a.order > b.order;
        }
    };
    void arm();
    void run_due();

    int epoll_;
    int timer_;
    bool running_ = true;
    uint64_t order_ = 0;
    Clock::time_point armed_ = Clock::time_point::max();
    std::unordered_map<int, std::shared_ptr<Handler>> handlers_;
    std::priority_queue<Timer, std::vector<Timer>, Later> timers_;
    std::function<void()> turn_end_;
};

} // namespace kubesim
