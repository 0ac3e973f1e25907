// Small stand-ins for the control plane: nodes become Ready, deleted namespaces empty themselves, owners take their
// dependents with them.
#pragma once

#include "api.hpp"
#include "event_loop.hpp"

#include <set>

namespace kubesim {

class Controllers {
public:
    struct Options {
        int node_ready_delay_ms = 50;       // -1: nobody looks after nodes
        int namespace_delete_delay_ms = 20; // between a namespace's deletion and the end of its contents
    };

    Controllers(EventLoop &loop, Api &api, Store &store, const Kinds &kinds, Options options)
        : loop_(loop), api_(api), store_(store), kinds_(kinds), options_(options) {}

    // default, kube-system, kube-public and kube-node-lease
    void create_system_namespaces();
    // After a restart: what an earlier process left half done.
    void resume();
    void observe(const Change &change);

private:
    void node_created(const std::string &name);
    void node_ready(const std::string &name, const std::string &uid);
    void taint_cordoned(const std::string &name);
    void empty_namespace(const std::string &name);
    void collect_dependents(const Stored &owner);
    void release_owner(const StoredPtr &stored);

    EventLoop &loop_;
    Api &api_;
    Store &store_;
    const Kinds &kinds_;
    Options options_;
    std::set<std::string> owners_; // uids that an ownerReference has ever named: what else goes has no dependents
};

} // namespace kubesim
