// DaemonSets: one pod on every Node that takes it.
#pragma once

#include "api.hpp"
#include "work_queue.hpp"

namespace kubesim {

class DaemonSetController {
public:
    DaemonSetController(EventLoop &loop, Api &api, Store &store, const Kinds &kinds)
        : api_(api), store_(store), sets_(*kinds.by_kind("apps", "DaemonSet")), pods_(*kinds.by_kind("", "Pod")),
          nodes_(*kinds.by_kind("", "Node")), revisions_(*kinds.by_kind("apps", "ControllerRevision")),
          queue_(loop, [this](const std::string &key) { sync(key); }) {}

    void observe(const Change &change);

private:
    void sync(const std::string &key);
    // The names of the Nodes that shall have a pod.
    std::set<std::string> nodes_of(const Stored &set) const;
    void create_pod(const Stored &set, const std::string &node, const std::string &hash);
    void replace_old(const Stored &set, const std::string &hash, size_t wanted);
    void report(const Stored &set, const std::string &hash, const std::set<std::string> &wanted);

    Api &api_;
    Store &store_;
    const Kind &sets_;
    const Kind &pods_;
    const Kind &nodes_;
    const Kind &revisions_;
    WorkQueue queue_;
};

} // namespace kubesim
