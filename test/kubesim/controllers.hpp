// Small stand-ins for the control plane: nodes become Ready, deleted namespaces empty themselves, owners take their
// dependents with them; and the controllers of workloads, which have files of their own.
#pragma once

#include "api.hpp"
#include "autoscaler_controller.hpp"
#include "claim_controller.hpp"
#include "daemon_set_controller.hpp"
#include "deployment_controller.hpp"
#include "disruption_controller.hpp"
#include "endpoints_controller.hpp"
#include "event_loop.hpp"
#include "job_controller.hpp"
#include "kubelet.hpp"
#include "replica_set_controller.hpp"
#include "scheduler.hpp"
#include "stateful_set_controller.hpp"

#include <functional>
#include <map>
#include <set>

namespace kubesim {

class Controllers {
public:
    struct Options {
        int node_ready_delay_ms = 50;       // -1: nobody looks after nodes
        int namespace_delete_delay_ms = 20; // between a namespace's deletion and the end of its contents
        Kubelet::Options pods;
    };

    Controllers(EventLoop &loop, Api &api, Store &store, const Kinds &kinds, Options options)
        : loop_(loop), api_(api), store_(store), kinds_(kinds), options_(options),
          deployments_(loop, api, store, kinds), replica_sets_(loop, api, store, kinds),
          stateful_sets_(loop, api, store, kinds), daemon_sets_(loop, api, store, kinds),
          jobs_(loop, api, store, kinds), scheduler_(loop, api, store, kinds),
          kubelet_(loop, api, store, kinds, options.pods), endpoints_(loop, api, store, kinds),
          disruptions_(loop, api, store, kinds), autoscalers_(loop, api, store, kinds),
          claims_(loop, api, store, kinds) {}

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
    void each_dependent(const std::string &uid, const std::function<void(const StoredPtr &)> &work);
    bool holds(const json &owner, const std::string &name_space) const;
    void drop_owners(const StoredPtr &stored, const std::function<bool(const json &owner)> &which);
    void collect(const StoredPtr &stored);
    void collect_dependents(const Stored &owner);
    void release_owner(const StoredPtr &stored);

    EventLoop &loop_;
    Api &api_;
    Store &store_;
    const Kinds &kinds_;
    Options options_;
    std::set<std::string> owners_; // uids that an ownerReference has ever named: what else goes has no dependents
    std::map<std::string, StoredPtr> waiting_; // by uid: owners whose deletion waits for their dependents
    DeploymentController deployments_;
    ReplicaSetController replica_sets_;
    StatefulSetController stateful_sets_;
    DaemonSetController daemon_sets_;
    JobController jobs_;
    Scheduler scheduler_;
    Kubelet kubelet_;
    EndpointsController endpoints_;
    DisruptionController disruptions_;
    AutoscalerController autoscalers_;
    ClaimController claims_;
};

} // namespace kubesim
