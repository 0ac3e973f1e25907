// Kinds of servers that nobody can ask: names and scopes against those that real servers give.
#include "kubernetes/schema/assumed_kind.hpp"

#include "kubernetes/failure.hpp"

#include <gtest/gtest.h>

namespace dbnet::kubernetes {
namespace {

std::string described(const char *api_version, const char *kind, bool has_namespace = false) {
    const Resource resource = assumed_resource(api_version, kind, has_namespace);
    return resource.group + "/" + resource.version + " " + resource.plural + (resource.namespaced ? " namespaced" : "");
}

TEST(AssumedKind, KubernetesOwnKinds) {
    EXPECT_EQ(described("v1", "Node", true), "/v1 nodes") << "a Node has no namespace, whatever the map says";
    EXPECT_EQ(described("v1", "Namespace"), "/v1 namespaces");
    EXPECT_EQ(described("v1", "ConfigMap"), "/v1 configmaps namespaced");
    EXPECT_EQ(described("v1", "Endpoints"), "/v1 endpoints namespaced");
    EXPECT_EQ(described("apps/v1", "Deployment"), "apps/v1 deployments namespaced");
    EXPECT_EQ(described("networking.k8s.io/v1", "Ingress"), "networking.k8s.io/v1 ingresses namespaced");
    EXPECT_EQ(described("networking.k8s.io/v1", "IngressClass"), "networking.k8s.io/v1 ingressclasses");
    EXPECT_EQ(described("networking.k8s.io/v1", "NetworkPolicy"), "networking.k8s.io/v1 networkpolicies namespaced");
    EXPECT_EQ(described("storage.k8s.io/v1", "StorageClass"), "storage.k8s.io/v1 storageclasses");
    EXPECT_EQ(described("autoscaling/v2", "HorizontalPodAutoscaler"),
              "autoscaling/v2 horizontalpodautoscalers namespaced");
}

TEST(AssumedKind, OthersLiveWhereTheMapSays) {
    EXPECT_EQ(described("gateway.networking.k8s.io/v1", "Gateway", true),
              "gateway.networking.k8s.io/v1 gateways namespaced");
    EXPECT_EQ(described("gateway.networking.k8s.io/v1", "GatewayClass"), "gateway.networking.k8s.io/v1 gatewayclasses");
    EXPECT_EQ(described("example.com/v1", "Proxy", true), "example.com/v1 proxies namespaced");
    EXPECT_EQ(described("example.com/v1", "Switch"), "example.com/v1 switches");
    EXPECT_EQ(described("example.com/v1", "Y"), "example.com/v1 ys");
}

TEST(AssumedKind, WhatIsNoKindIsRefused) {
    EXPECT_THROW(assumed_resource("v1", "node", false), Failure);
    EXPECT_THROW(assumed_resource("v1", "", false), Failure);
    EXPECT_THROW(assumed_resource("v1", "No de", false), Failure);
    EXPECT_THROW(assumed_resource("apps/v1/x", "Node", false), Failure);
}

} // namespace
} // namespace dbnet::kubernetes
