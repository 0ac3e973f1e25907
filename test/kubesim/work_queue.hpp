// Keys that a controller shall look at soon, each once however often it was asked for.
#pragma once

#include "errors.hpp"
#include "event_loop.hpp"

#include <cstdio>
#include <functional>
#include <set>
#include <string>

namespace kubesim {

class WorkQueue {
public:
    WorkQueue(EventLoop &loop, std::function<void(const std::string &key)> work)
        : loop_(loop), work_(std::move(work)) {}

    void add(const std::string &key) {
        if (soon_.insert(key).second)
            loop_.after(std::chrono::microseconds(0), [this, key] { run(key); });
    }
    void add_after(const std::string &key, std::chrono::milliseconds delay) {
        loop_.after(delay, [this, key] { add(key); });
    }

private:
    void run(const std::string &key) {
        soon_.erase(key);
        try {
            work_(key);
        } catch (const ApiError &error) {
            // As a controller would: its next look comes with the next change.
            fprintf(stderr, "kubesim: a controller's write of %s failed: %s\n", key.c_str(), error.what());
        }
    }

    EventLoop &loop_;
    std::function<void(const std::string &key)> work_;
    std::set<std::string> soon_;
};

} // namespace kubesim
