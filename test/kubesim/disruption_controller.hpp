// PodDisruptionBudgets: how many of their pods are well, and how many more may be evicted.
#pragma once

#include "api.hpp"
#include "work_queue.hpp"

namespace kubesim {

class DisruptionController {
public:
    DisruptionController(EventLoop &loop, Api &api, Store &store, const Kinds &kinds)
        : api_(api), store_(store), kinds_(kinds), budgets_(*kinds.by_kind("policy", "PodDisruptionBudget")),
          pods_(*kinds.by_kind("", "Pod")), queue_(loop, [this](const std::string &key) { sync(key); }) {}

    void observe(const Change &change);

private:
    void sync(const std::string &key);
    // Pods that the workloads behind these pods ask for.
    int64_t asked_for(const std::vector<StoredPtr> &pods) const;

    Api &api_;
    Store &store_;
    const Kinds &kinds_;
    const Kind &budgets_;
    const Kind &pods_;
    WorkQueue queue_;
};

} // namespace kubesim
