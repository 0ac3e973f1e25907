// StatefulSets: pods with numbers, one after the other, each of the template that its number calls for.
#pragma once

#include "api.hpp"
#include "work_queue.hpp"

namespace kubesim {

class StatefulSetController {
public:
    StatefulSetController(EventLoop &loop, Api &api, Store &store, const Kinds &kinds)
        : api_(api), store_(store), sets_(*kinds.by_kind("apps", "StatefulSet")), pods_(*kinds.by_kind("", "Pod")),
          claims_(*kinds.by_kind("", "PersistentVolumeClaim")),
          revisions_(*kinds.by_kind("apps", "ControllerRevision")),
          queue_(loop, [this](const std::string &key) { sync(key); }) {}

    void observe(const Change &change);

private:
    // The names of the templates that pods have and are to have.
    struct Revisions {
        std::string current;
        std::string update;
    };

    void sync(const std::string &key);
    Revisions revisions_of(const Stored &set);
    void move_pods(const Stored &set, const Revisions &revisions);
    void update_pods(const Stored &set, const Revisions &revisions, const std::map<int64_t, StoredPtr> &pods);
    void create_pod(const Stored &set, const Revisions &revisions, int64_t number);
    void create_claims(const Stored &set, json &pod);
    void report(const Stored &set, const Revisions &revisions);
    std::map<int64_t, StoredPtr> pods_of(const Stored &set) const;
    // Ready for as long as spec.minReadySeconds says.
    bool is_available(const Stored &set, const json &pod);

    Api &api_;
    Store &store_;
    const Kind &sets_;
    const Kind &pods_;
    const Kind &claims_;
    const Kind &revisions_;
    WorkQueue queue_;
};

} // namespace kubesim
