// HorizontalPodAutoscalers of a cluster without metrics: the number of replicas is kept within its limits.
#pragma once

#include "api.hpp"
#include "work_queue.hpp"

namespace kubesim {

class AutoscalerController {
public:
    AutoscalerController(EventLoop &loop, Api &api, Store &store, const Kinds &kinds)
        : api_(api), store_(store), kinds_(kinds),
          autoscalers_(*kinds.by_kind("autoscaling", "HorizontalPodAutoscaler")),
          queue_(loop, [this](const std::string &key) { sync(key); }) {}

    void observe(const Change &change);

private:
    void sync(const std::string &key);

    Api &api_;
    Store &store_;
    const Kinds &kinds_;
    const Kind &autoscalers_;
    WorkQueue queue_;
};

} // namespace kubesim
