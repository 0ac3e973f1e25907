// Endpoints and EndpointSlices of Services follow the pods that their selectors choose.
#pragma once

#include "api.hpp"
#include "work_queue.hpp"

namespace kubesim {

class EndpointsController {
public:
    EndpointsController(EventLoop &loop, Api &api, Store &store, const Kinds &kinds)
        : api_(api), store_(store), services_(*kinds.by_kind("", "Service")), pods_(*kinds.by_kind("", "Pod")),
          endpoints_(*kinds.by_kind("", "Endpoints")), slices_(*kinds.by_kind("discovery.k8s.io", "EndpointSlice")),
          queue_(loop, [this](const std::string &key) { sync(key); }) {}

    void observe(const Change &change);

private:
    void sync(const std::string &key);
    void put(const Kind &kind, const std::string &key, json object);
    std::string slice_key(const Stored &service) const;

    Api &api_;
    Store &store_;
    const Kind &services_;
    const Kind &pods_;
    const Kind &endpoints_;
    const Kind &slices_;
    WorkQueue queue_;
};

} // namespace kubesim
