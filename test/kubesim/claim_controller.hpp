// PersistentVolumeClaims: bound when they name a storage class, kept as long as pods use them. And the ServiceAccount
// that every Namespace has.
#pragma once

#include "api.hpp"
#include "work_queue.hpp"

namespace kubesim {

class ClaimController {
public:
    ClaimController(EventLoop &loop, Api &api, Store &store, const Kinds &kinds)
        : api_(api), store_(store), claims_(*kinds.by_kind("", "PersistentVolumeClaim")),
          pods_(*kinds.by_kind("", "Pod")), accounts_(*kinds.by_kind("", "ServiceAccount")),
          namespaces_(*kinds.by_kind("", "Namespace")), queue_(loop, [this](const std::string &key) { sync(key); }),
          populating_(loop, [this](const std::string &name) { populate(name); }) {}

    void observe(const Change &change);

private:
    void sync(const std::string &key);
    void bind(const Stored &claim);
    bool in_use(const Stored &claim) const;
    void populate(const std::string &name_space);

    Api &api_;
    Store &store_;
    const Kind &claims_;
    const Kind &pods_;
    const Kind &accounts_;
    const Kind &namespaces_;
    WorkQueue queue_;
    WorkQueue populating_;
};

} // namespace kubesim
