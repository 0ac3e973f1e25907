// What kubectl drain knows: which pods of a node are to go, which stay and which forbid it, in its words; the requests
// that make a pod go. Pure C++; used by the mirror worker.
#pragma once

#include "kubernetes/api.hpp"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dbnet::kubernetes {

// With the defaults of kubectl.
struct DrainOptions {
    bool ignore_daemonsets = false;
    bool delete_emptydir_data = false;
    bool force = false;
};

struct PodOfNode {
    std::string name_space, name, uid;
    bool is_terminating = false;
};
PodOfNode pod_of_node(const nlohmann::json &pod);

// The DaemonSet that looks after the pod; empty: none does, or the pod is over, and then nobody asks.
std::string daemon_set_of(const nlohmann::json &pod);

struct PodVerdict {
    enum Kind { go, stay, forbid };
    Kind kind = go;
    std::string message; // why it stays or forbids, or what is to be warned of; kubectl's words
};

// `daemon_set_error`: the server's words when it does not know the DaemonSet of daemon_set_of(); empty: it does.
PodVerdict judge_pod(const nlohmann::json &pod, const DrainOptions &options, const std::string &daemon_set_error);

struct Forbidden {
    std::string key; // namespace/name
    std::string message;
};
// "cannot delete Pods with local storage (use …): shop/a, shop/b; cannot delete …"
std::string refusal(const std::vector<Forbidden> &pods);

const Resource &pod_resource();

Request pods_of_node_request(std::string_view node, std::string_view label_selector);

// Both for this incarnation and no other, so that they may be repeated.
struct EvictionOptions {
    int64_t grace_seconds = -1; // -1: as the pod itself says
    bool is_dry_run = false;    // the server says what it would answer, and does nothing
};
Request eviction_request(const PodOfNode &pod, const EvictionOptions &options);
Request remove_pod_request(const PodOfNode &pod, const EvictionOptions &options);

// spec.unschedulable of this incarnation of a node.
Request cordon_request(const Resource &nodes, std::string_view name, std::string_view uid,
                       std::string_view field_manager, bool unschedulable);

} // namespace dbnet::kubernetes
