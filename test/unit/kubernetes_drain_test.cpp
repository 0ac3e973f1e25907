// Which pods of a node go, stay and forbid a drain; the requests that make them go.
#include "kubernetes/drain.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

using namespace dbnet::kubernetes;
using nlohmann::json;

namespace {

json pod(json spec = json::object(), const char *controller = nullptr, const char *phase = "Running") {
    json object = {{"metadata", {{"namespace", "shop"}, {"name", "web-1"}, {"uid", "u1"}}},
                   {"spec", std::move(spec)},
                   {"status", {{"phase", phase}}}};
    if (controller)
        object["metadata"]["ownerReferences"] = {{{"kind", controller}, {"name", "owner"}, {"controller", true}}};
    return object;
}

const json empty_dir = {{"volumes", {{{"name", "data"}, {"emptyDir", json::object()}}}}};

PodVerdict judged(const json &object, DrainOptions options = {}, const std::string &daemon_set_error = "") {
    return judge_pod(object, options, daemon_set_error);
}

} // namespace

TEST(Drain, AManagedPodGoes) {
    EXPECT_EQ(judged(pod({}, "ReplicaSet")).kind, PodVerdict::go);
    EXPECT_EQ(judged(pod({}, "ReplicaSet")).message, "");
}

TEST(Drain, APodWithoutControllerNeedsForce) {
    EXPECT_EQ(judged(pod()).kind, PodVerdict::forbid);
    EXPECT_EQ(judged(pod()).message, "Pods that declare no controller (use force => true to override)");
    const PodVerdict forced = judged(pod(), {.force = true});
    EXPECT_EQ(forced.kind, PodVerdict::go);
    EXPECT_EQ(forced.message, "deleting Pods that declare no controller");
}

TEST(Drain, AnOwnerThatIsNoControllerDoesNotCount) {
    json object = pod({}, "ReplicaSet");
    object["metadata"]["ownerReferences"][0]["controller"] = false;
    EXPECT_EQ(judged(object).kind, PodVerdict::forbid);
}

TEST(Drain, LocalStorageNeedsAWord) {
    EXPECT_EQ(judged(pod(empty_dir, "ReplicaSet")).kind, PodVerdict::forbid);
    EXPECT_EQ(judged(pod(empty_dir, "ReplicaSet"), {.delete_emptydir_data = true}).kind, PodVerdict::go);
    EXPECT_EQ(judged(pod(empty_dir), {.delete_emptydir_data = true}).kind, PodVerdict::forbid) << "that is one of two";
}

TEST(Drain, PodsOfDaemonSetsStayOrForbid) {
    EXPECT_EQ(daemon_set_of(pod({}, "DaemonSet")), "owner");
    EXPECT_EQ(daemon_set_of(pod({}, "ReplicaSet")), "");
    EXPECT_EQ(judged(pod({}, "DaemonSet")).kind, PodVerdict::forbid);
    EXPECT_EQ(judged(pod({}, "DaemonSet"), {.force = true}).kind, PodVerdict::forbid);
    EXPECT_EQ(judged(pod({}, "DaemonSet"), {.ignore_daemonsets = true}).kind, PodVerdict::stay);
}

TEST(Drain, PodsOfADaemonSetThatIsGoneNeedForce) {
    const char *words = "daemonsets.apps \"owner\" not found";
    EXPECT_EQ(judged(pod({}, "DaemonSet"), {.ignore_daemonsets = true}, words).kind, PodVerdict::forbid);
    EXPECT_EQ(judged(pod({}, "DaemonSet"), {}, words).message, words);
    EXPECT_EQ(judged(pod({}, "DaemonSet"), {.force = true}, words).kind, PodVerdict::go);
}

TEST(Drain, WhatIsOverAlwaysGoes) {
    for (const char *phase : {"Succeeded", "Failed"}) {
        EXPECT_EQ(judged(pod(empty_dir, nullptr, phase)).kind, PodVerdict::go);
        EXPECT_EQ(judged(pod({}, "DaemonSet", phase)).kind, PodVerdict::go);
    }
}

TEST(Drain, StaticPodsStay) {
    json object = pod(empty_dir);
    object["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "hash";
    EXPECT_EQ(judged(object).kind, PodVerdict::stay);
}

TEST(Drain, OddPodsAreNoReasonToFail) {
    EXPECT_EQ(judged(json()).kind, PodVerdict::forbid);
    EXPECT_EQ(judged({{"spec", {{"volumes", 1}}}, {"metadata", 7}}).kind, PodVerdict::forbid);
}

TEST(Drain, RefusalNamesPodsByReason) {
    EXPECT_EQ(refusal({{"shop/b", "Pods with x"}, {"shop/a", "Pods with x"}, {"shop/c", "Pods of y"}}),
              "cannot delete Pods of y: shop/c; cannot delete Pods with x: shop/b, shop/a");
}

TEST(Drain, EvictionNamesTheIncarnation) {
    const Request request = eviction_request({"shop", "web-1", "u1", false}, {30});
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.path, "/api/v1/namespaces/shop/pods/web-1/eviction");
    EXPECT_TRUE(request.idempotent);
    EXPECT_EQ(json::parse(request.body), json::parse(R"({"apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": "web-1", "namespace": "shop"},
        "deleteOptions": {"preconditions": {"uid": "u1"}, "gracePeriodSeconds": 30}})"));
    const json as_the_pod_says = json::parse(eviction_request({"shop", "web-1", "u1", false}, {}).body);
    EXPECT_EQ(as_the_pod_says["deleteOptions"], json::parse(R"({"preconditions": {"uid": "u1"}})"));
}

TEST(Drain, ADryRunSaysSoInEitherRequest) {
    const auto dry_run_of = [](const Request &request) { return json::parse(request.body); };
    EXPECT_EQ(dry_run_of(eviction_request({"shop", "web-1", "u1", false}, {-1, true}))["deleteOptions"]["dryRun"],
              json({"All"}));
    EXPECT_EQ(dry_run_of(remove_pod_request({"shop", "web-1", "u1", false}, {-1, true}))["dryRun"], json({"All"}));
}

TEST(Drain, PodsAreListedByNode) {
    const Request request = pods_of_node_request("n1", "app=web");
    EXPECT_EQ(request.path, "/api/v1/pods");
    EXPECT_EQ(request.query, "labelSelector=app%3Dweb&fieldSelector=spec.nodeName%3Dn1");
}

TEST(Drain, CordonNamesTheIncarnation) {
    const Resource nodes{"", "v1", "Node", "nodes", false};
    EXPECT_EQ(json::parse(cordon_request(nodes, "n1", "u1", "dbnet-1", true).body),
              json::parse(R"({"metadata": {"uid": "u1"}, "spec": {"unschedulable": true}})"));
    EXPECT_EQ(json::parse(cordon_request(nodes, "n1", "u1", "dbnet-1", false).body),
              json::parse(R"({"metadata": {"uid": "u1"}, "spec": {"unschedulable": null}})"));
}
