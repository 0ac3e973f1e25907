// ReplicaSets: as many pods as they ask for, and the status that counts them.
#pragma once

#include "api.hpp"
#include "work_queue.hpp"

namespace kubesim {

class ReplicaSetController {
public:
    ReplicaSetController(EventLoop &loop, Api &api, Store &store, const Kinds &kinds)
        : api_(api), store_(store), sets_(*kinds.by_kind("apps", "ReplicaSet")), pods_(*kinds.by_kind("", "Pod")),
          queue_(loop, [this](const std::string &key) { sync(key); }) {}

    void observe(const Change &change);

private:
    void sync(const std::string &key);
    std::vector<StoredPtr> active_pods(const Stored &set) const;
    void report(const StoredPtr &set, const std::vector<StoredPtr> &pods);

    Api &api_;
    Store &store_;
    const Kind &sets_;
    const Kind &pods_;
    WorkQueue queue_;
};

} // namespace kubesim
