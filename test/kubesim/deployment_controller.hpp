// Deployments: one ReplicaSet per template, rolled over as kube-controller-manager does, and the status that tells.
#pragma once

#include "api.hpp"
#include "work_queue.hpp"

namespace kubesim {

class DeploymentController {
public:
    DeploymentController(EventLoop &loop, Api &api, Store &store, const Kinds &kinds)
        : api_(api), store_(store), deployments_(*kinds.by_kind("apps", "Deployment")),
          sets_(*kinds.by_kind("apps", "ReplicaSet")), queue_(loop, [this](const std::string &key) { sync(key); }) {}

    void observe(const Change &change);

private:
    struct Sets {
        StoredPtr current;          // has the Deployment's template; may be null
        std::vector<StoredPtr> old; // oldest first
        std::vector<StoredPtr> all() const;
    };

    void sync(const std::string &key);
    Sets sets_of(const Stored &deployment) const;
    void create_set(const StoredPtr &deployment, const Sets &sets);
    void announce(const StoredPtr &deployment, const Sets &sets);
    void scale(const Stored &set, int64_t replicas);
    bool resize(const Stored &deployment, const Sets &sets);
    bool roll(const Stored &deployment, const Sets &sets);
    void shrink_old(const Stored &deployment, const Sets &sets);
    void report(const StoredPtr &deployment, const Sets &sets);
    void forget_old(const Stored &deployment, const Sets &sets);

    Api &api_;
    Store &store_;
    const Kind &deployments_;
    const Kind &sets_;
    WorkQueue queue_;
};

} // namespace kubesim
