// Jobs: pods until enough have succeeded or too many have failed.
#pragma once

#include "api.hpp"
#include "work_queue.hpp"

namespace kubesim {

class JobController {
public:
    JobController(EventLoop &loop, Api &api, Store &store, const Kinds &kinds)
        : api_(api), store_(store), jobs_(*kinds.by_kind("batch", "Job")), pods_(*kinds.by_kind("", "Pod")),
          queue_(loop, [this](const std::string &key) { sync(key); }),
          abandoned_(loop, [this](const std::string &key) { let_go(key); }) {}

    void observe(const Change &change);

private:
    // What a Job's pods come to.
    struct Count {
        int64_t active = 0, ready = 0, succeeded = 0, failed = 0;
        std::vector<StoredPtr> running;
        std::vector<StoredPtr> ended; // counted, and not yet let go
        std::set<int64_t> done;       // indexes that have succeeded
        std::set<int64_t> taken;      // indexes that have, or run
    };

    void sync(const std::string &key);
    Count count(const Stored &job) const;
    void create_pods(const Stored &job, const Count &pods);
    void remove_pods(const std::vector<StoredPtr> &pods, size_t how_many);
    // The condition that ends the Job; null: it goes on.
    json end_of(const Stored &job, const Count &pods);
    void report(const Stored &job, Count pods, const json &end);
    void clean_up(const Stored &job);
    // Takes the finalizer from a pod, which keeps it until it is counted.
    void let_go(const std::string &key);

    Api &api_;
    Store &store_;
    const Kind &jobs_;
    const Kind &pods_;
    WorkQueue queue_;
    WorkQueue abandoned_;
};

} // namespace kubesim
