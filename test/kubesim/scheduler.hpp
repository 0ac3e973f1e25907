// Pods that nobody has placed go to Ready Nodes, or say why they cannot.
#pragma once

#include "api.hpp"
#include "work_queue.hpp"

#include <set>

namespace kubesim {

class Scheduler {
public:
    Scheduler(EventLoop &loop, Api &api, Store &store, const Kinds &kinds)
        : api_(api), store_(store), pods_(*kinds.by_kind("", "Pod")), nodes_(*kinds.by_kind("", "Node")),
          queue_(loop, [this](const std::string &) { place_all(); }) {}

    void observe(const Change &change);

private:
    struct Use { // of a node by its pods
        int64_t pods = 0;
        std::set<int64_t> host_ports;
    };

    void place_all();
    // The node's name, or "" and why there is none.
    std::string choose(const json &pod, const std::map<std::string, Use> &uses, std::string &why) const;
    static std::string obstacle(const json &pod, const json &node, const Use &use);

    Api &api_;
    Store &store_;
    const Kind &pods_;
    const Kind &nodes_;
    std::set<std::string> waiting_; // keys of pods
    WorkQueue queue_;
};

} // namespace kubesim
