// How many requests a server is given at a time. It halves when the server says that it is too much (429); servers with
// priority and fairness rather let requests wait in line than refuse them, so it also shrinks while answers take more
// than a second and much longer than they can; else it grows by one for each windowful of answers. Pure C++ without
// clock; mirror worker.
#pragma once

#include <algorithm>
#include <cstddef>

namespace dbnet::bgworker {

class RequestWindow {
public:
    // Of answers to requests that the server took. `most`: the setting.
    void on_answer(double latency_ms, double most) {
        start(most);
        // Forgotten by half in 70 000 answers: a server may move farther away.
        fastest_ms_ = fastest_ms_ < 0 ? latency_ms : std::min(latency_ms, fastest_ms_ * 1.00001);
        if (latency_ms > slow_ms && latency_ms > fastest_ms_ * queued)
            size_ = std::max(1.0, size_ - shrink_share); // by a fifth for each windowful of slow answers
        else
            size_ = std::min(most, size_ + 1 / size_);
    }
    void on_overload(double most) {
        start(most);
        size_ = std::max(1.0, size_ / 2);
    }

    size_t size(double most) const { return static_cast<size_t>(size_ > 0 ? std::min(size_, most) : most); }

private:
    static constexpr double slow_ms = 1000;    // no longer should a new commit wait behind earlier ones
    static constexpr double queued = 4;        // times the fastest answer: most of it is waiting
    static constexpr double shrink_share = .2; // of a request, for each slow answer

    void start(double most) {
        if (size_ <= 0)
            size_ = most;
    }

    double size_ = 0; // 0: not set yet
    double fastest_ms_ = -1;
};

} // namespace dbnet::bgworker
