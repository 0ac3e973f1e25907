// Kubernetes' own kinds and the rule for the others (see assumed_kind.hpp). Pure C++; backends.
#include "kubernetes/schema/assumed_kind.hpp"

#include "kubernetes/failure.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <tuple>
#include <utility>

#include "pg/no_postgres.hpp"

namespace dbnet::kubernetes {
namespace {

constexpr std::array own_groups{std::string_view(""), std::string_view("apps"), std::string_view("autoscaling"),
                                std::string_view("batch"), std::string_view("policy")};

// Of Kubernetes' own kinds these live outside namespaces.
constexpr std::array<std::pair<std::string_view, std::string_view>, 22> cluster_scoped{{
    {"", "ComponentStatus"},
    {"", "Namespace"},
    {"", "Node"},
    {"", "PersistentVolume"},
    {"admissionregistration.k8s.io", "MutatingWebhookConfiguration"},
    {"admissionregistration.k8s.io", "ValidatingAdmissionPolicy"},
    {"admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"},
    {"admissionregistration.k8s.io", "ValidatingWebhookConfiguration"},
    {"apiextensions.k8s.io", "CustomResourceDefinition"},
    {"apiregistration.k8s.io", "APIService"},
    {"certificates.k8s.io", "CertificateSigningRequest"},
    {"flowcontrol.apiserver.k8s.io", "FlowSchema"},
    {"flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"},
    {"networking.k8s.io", "IngressClass"},
    {"node.k8s.io", "RuntimeClass"},
    {"rbac.authorization.k8s.io", "ClusterRole"},
    {"rbac.authorization.k8s.io", "ClusterRoleBinding"},
    {"scheduling.k8s.io", "PriorityClass"},
    {"storage.k8s.io", "CSIDriver"},
    {"storage.k8s.io", "CSINode"},
    {"storage.k8s.io", "StorageClass"},
    {"storage.k8s.io", "VolumeAttachment"},
}};

// Groups below k8s.io belong to Kubernetes, those below x-k8s.io and the like to everybody.
bool is_own_group(std::string_view group) {
    constexpr std::array served{std::string_view("admissionregistration.k8s.io"),
                                std::string_view("apiextensions.k8s.io"),
                                std::string_view("apiregistration.k8s.io"),
                                std::string_view("certificates.k8s.io"),
                                std::string_view("coordination.k8s.io"),
                                std::string_view("discovery.k8s.io"),
                                std::string_view("events.k8s.io"),
                                std::string_view("flowcontrol.apiserver.k8s.io"),
                                std::string_view("networking.k8s.io"),
                                std::string_view("node.k8s.io"),
                                std::string_view("rbac.authorization.k8s.io"),
                                std::string_view("scheduling.k8s.io"),
                                std::string_view("storage.k8s.io")};
    return std::ranges::find(own_groups, group) != own_groups.end() || std::ranges::find(served, group) != served.end();
}

std::string plural_of(std::string_view kind) {
    std::string name(kind);
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    const auto ends = [&](std::string_view end) { return name.ends_with(end); };
    if (name == "endpoints")
        return name;
    if (ends("y") && name.size() > 1 && std::string_view("aeiou").find(name[name.size() - 2]) == std::string_view::npos)
        return name.substr(0, name.size() - 1) + "ies";
    return name + (ends("s") || ends("x") || ends("z") || ends("ch") || ends("sh") ? "es" : "s");
}

} // namespace

Resource assumed_resource(std::string_view api_version, std::string_view kind, bool has_namespace) {
    Resource resource;
    std::tie(resource.group, resource.version) = split_api_version(api_version);
    const bool is_spelt = !kind.empty() && kind.front() >= 'A' && kind.front() <= 'Z' &&
                          std::ranges::all_of(kind, [](unsigned char c) { return std::isalnum(c); });
    if (!is_spelt)
        throw Failure("\"" + std::string(kind) + "\" is not the name of a kind",
                      "Kinds are spelt as in manifests: Deployment, Node.");
    resource.kind = kind;
    resource.plural = plural_of(kind);
    resource.namespaced =
        is_own_group(resource.group)
            ? std::ranges::find(cluster_scoped, std::pair<std::string_view, std::string_view>(resource.group, kind)) ==
                  cluster_scoped.end()
            : has_namespace;
    return resource;
}

} // namespace dbnet::kubernetes
