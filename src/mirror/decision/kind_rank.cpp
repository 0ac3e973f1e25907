// Ranks of kinds (after cli-utils, ordering/sort.go). Pure C++; mirror worker and dbnet.plan.
#include "mirror/decision/kind_rank.hpp"

#include <array>

#include "pg/no_postgres.hpp"

namespace dbnet::mirror {

namespace {

struct Kind {
    std::string_view group;
    std::string_view name;
    int rank;
};

// Kinds that are not listed have rank `other`. Those of equal rank do not need each other.
constexpr int other = 50;
constexpr int last = 100;
constexpr std::array<Kind, 30> kinds{{
    {"", "Namespace", 1},
    {"", "Node", 1}, // needs nothing, and takes longest to become ready
    {"", "ResourceQuota", 2},
    {"storage.k8s.io", "StorageClass", 3},
    {"apiextensions.k8s.io", "CustomResourceDefinition", 4},
    {"admissionregistration.k8s.io", "MutatingWebhookConfiguration", 5},
    {"", "ServiceAccount", 6},
    {"policy", "PodSecurityPolicy", 7},
    {"rbac.authorization.k8s.io", "Role", 8},
    {"rbac.authorization.k8s.io", "ClusterRole", 8},
    {"rbac.authorization.k8s.io", "RoleBinding", 9},
    {"rbac.authorization.k8s.io", "ClusterRoleBinding", 9},
    {"", "ConfigMap", 10},
    {"", "Secret", 10},
    {"", "PersistentVolume", 11},
    {"", "PersistentVolumeClaim", 12},
    {"", "Endpoints", 13},
    {"", "Service", 13},
    {"", "LimitRange", 14},
    {"scheduling.k8s.io", "PriorityClass", 15},
    {"", "Pod", 20},
    {"", "ReplicationController", 20},
    {"apps", "Deployment", 20},
    {"apps", "StatefulSet", 20},
    {"apps", "DaemonSet", 20},
    {"apps", "ReplicaSet", 20},
    {"batch", "Job", 20},
    {"batch", "CronJob", 20},
    {"policy", "PodDisruptionBudget", 21},
    {"admissionregistration.k8s.io", "ValidatingWebhookConfiguration", last},
}};

} // namespace

int apply_rank(std::string_view group, std::string_view kind) {
    for (const Kind &known : kinds)
        if (known.group == group && known.name == kind)
            return known.rank;
    return other;
}

int remove_rank(std::string_view group, std::string_view kind) {
    return 2 * last + 1 - apply_rank(group, kind);
}

} // namespace dbnet::mirror
