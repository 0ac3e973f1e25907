// A Deployment that is scaled while it rolls: each of its ReplicaSets gets its share.
#include "deployment_scaling.hpp"

#include "deployment_status.hpp"
#include "pod_spec.hpp"

#include <algorithm>
#include <cmath>

namespace kubesim {

namespace {

int64_t size_of(const json &set) {
    return integer_of(set.at("spec"), "replicas", 0);
}

// How many more (or fewer) pods keep the set's share of all.
int64_t share_of(const json &set, const json &deployment) {
    const json &spec = deployment.at("spec");
    const int64_t wanted = integer_of(spec, "replicas", 0);
    if (wanted == 0)
        return -size_of(set);
    const json *annotations = find(set.at("metadata"), "annotations");
    const std::string most = annotations ? text_of(*annotations, "deployment.kubernetes.io/max-replicas") : "";
    const int64_t before = most.empty() ? integer_of(deployment.at("status"), "replicas", 0) : std::stoll(most);
    if (before <= 0)
        return 0;
    const double size =
        static_cast<double>(size_of(set)) * static_cast<double>(wanted + surge_of(spec)) / static_cast<double>(before);
    return static_cast<int64_t>(std::round(size)) - size_of(set);
}

} // namespace

std::map<std::string, int64_t> proportional_sizes(const json &deployment, const std::vector<json> &sets) {
    const json &spec = deployment.at("spec");
    const int64_t wanted = integer_of(spec, "replicas", 0);
    int64_t all = 0;
    for (const auto &set : sets)
        all += size_of(set);
    const int64_t missing = (wanted > 0 ? wanted + surge_of(spec) : 0) - all;
    // The largest comes first; among equals the newest when pods are added, the oldest when they go.
    std::vector<const json *> order;
    for (const auto &set : sets)
        order.push_back(&set);
    std::stable_sort(order.begin(), order.end(), [&](const json *a, const json *b) {
        if (size_of(*a) != size_of(*b))
            return size_of(*a) > size_of(*b);
        const std::string left = text_of(a->at("metadata"), "creationTimestamp");
        const std::string right = text_of(b->at("metadata"), "creationTimestamp");
        return missing > 0 ? left > right : left < right;
    });
    std::map<std::string, int64_t> sizes;
    int64_t given = 0;
    for (const json *set : order) {
        const int64_t left = missing - given, share = share_of(*set, deployment);
        const int64_t step = missing > 0 ? std::min(share, left) : missing < 0 ? std::max(share, left) : 0;
        sizes[text_of(set->at("metadata"), "name")] = size_of(*set) + step;
        given += step;
    }
    if (!order.empty()) // what rounding left over
        sizes[text_of(order.front()->at("metadata"), "name")] =
            std::max<int64_t>(0, sizes[text_of(order.front()->at("metadata"), "name")] + missing - given);
    for (const auto &set : sets)
        if (sizes[text_of(set.at("metadata"), "name")] == size_of(set))
            sizes.erase(text_of(set.at("metadata"), "name"));
    return sizes;
}

} // namespace kubesim
