// What the kubelets of all Nodes do with the pods placed on them: they start, become ready, and end when deleted; those
// that are not restarted always end by themselves when their command is true, false or sleep.
#pragma once

#include "api.hpp"
#include "work_queue.hpp"

namespace kubesim {

class Kubelet {
public:
    struct Options {
        int start_delay_ms = 50; // from its placement until a pod is Ready; -1: never
        int stop_delay_ms = 20;  // from its deletion until a pod that ran is gone
    };

    Kubelet(EventLoop &loop, Api &api, Store &store, const Kinds &kinds, Options options)
        : api_(api), store_(store), pods_(*kinds.by_kind("", "Pod")), nodes_(*kinds.by_kind("", "Node")),
          options_(options), queue_(loop, [this](const std::string &key) { sync(key); }),
          starting_(loop, [this](const std::string &key) { start(key); }),
          finishing_(loop, [this](const std::string &key) { finish(key); }),
          ending_(loop, [this](const std::string &key) { end(key); }) {}

    void observe(const Change &change);

private:
    void sync(const std::string &key);
    void start(const std::string &key);
    void finish(const std::string &key);
    void end(const std::string &key);
    // The pod's node when it is there and Ready, else null.
    StoredPtr node_of(const json &pod) const;
    std::string new_address();

    Api &api_;
    Store &store_;
    const Kind &pods_;
    const Kind &nodes_;
    Options options_;
    WorkQueue queue_;
    WorkQueue starting_;
    WorkQueue finishing_;
    WorkQueue ending_;
    uint32_t addresses_ = 0;
};

} // namespace kubesim
