// Quantities, resource versions, similar names, base64, header texts, health: the small value rules of the client.
#include "kubernetes/credentials/base64.hpp"
#include "kubernetes/json_access.hpp"
#include "kubernetes/object/health.hpp"
#include "kubernetes/object/nearest.hpp"
#include "kubernetes/object/quantity.hpp"
#include "kubernetes/object/resource_version.hpp"
#include "kubernetes/transport/header_text.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

using namespace dbnet::kubernetes;
using nlohmann::json;

namespace {

std::string decimal(std::string_view text) {
    const auto quantity = Quantity::parse(text);
    return quantity ? quantity->decimal() : "none";
}

} // namespace

TEST(KubernetesQuantity, ReadsEverySuffix) {
    EXPECT_EQ(decimal("0"), "0");
    EXPECT_EQ(decimal("100m"), "0.1");
    EXPECT_EQ(decimal("0.1"), "0.1");
    EXPECT_EQ(decimal("1.5Gi"), "1610612736");
    EXPECT_EQ(decimal("1e3"), "1000");
    EXPECT_EQ(decimal("1E3"), "1000");
    EXPECT_EQ(decimal("1E"), "1000000000000000000");
    EXPECT_EQ(decimal("2k"), "2000");
    EXPECT_EQ(decimal("1Ki"), "1024");
    EXPECT_EQ(decimal("1Ei"), "1152921504606846976");
    EXPECT_EQ(decimal("5n"), "0.000000005");
    EXPECT_EQ(decimal("3u"), "0.000003");
    EXPECT_EQ(decimal("-1.25"), "-1.25");
    EXPECT_EQ(decimal("+.5"), "0.5");
    EXPECT_EQ(decimal("5."), "5");
    EXPECT_EQ(decimal("1e-3"), "0.001");
    EXPECT_EQ(decimal("1.000000000000000000000000000Gi"), "1073741824");
    EXPECT_EQ(decimal("000000000000000000000000000000000000000001"), "1");
}

TEST(KubernetesQuantity, RoundsUpAndCaps) {
    EXPECT_EQ(decimal("0.1n"), "0.000000001");
    EXPECT_EQ(decimal("-0.1n"), "-0.000000001");
    EXPECT_EQ(decimal("1.0000000001"), "1.000000001");
    EXPECT_EQ(decimal("9.9999999999999999999999999999999"), "10");
    EXPECT_EQ(decimal("1e40"), "9223372036854775807");
    EXPECT_EQ(decimal("-1e99999999999"), "-9223372036854775807");
    EXPECT_EQ(decimal("1e-99999999999"), "0.000000001");
    EXPECT_EQ(decimal("99999999999999999999999999999999999999999999999"), "9223372036854775807");
    EXPECT_EQ(decimal("9999999999999999Ei"), "9223372036854775807");
}

TEST(KubernetesQuantity, RefusesOtherTexts) {
    for (const char *text :
         {"", "m", "1.2.3", "1 Gi", "1gi", "1mi", "e3", "1e", "1e+", "-", "+", ".", "--1", "0x10", "1Gib", "1K"})
        EXPECT_EQ(decimal(text), "none") << text;
}

TEST(KubernetesQuantity, SameMeansKeptByTheServer) {
    EXPECT_TRUE(same_quantity("0.1", "100m"));
    EXPECT_TRUE(same_quantity("1.5Gi", "1536Mi"));
    EXPECT_TRUE(same_quantity("1024Mi", "1Gi"));
    EXPECT_TRUE(same_quantity("0.0001", "1m"));
    EXPECT_TRUE(same_quantity("1e3", "1e3"));
    EXPECT_TRUE(same_quantity("no quantity", "no quantity"));
    EXPECT_FALSE(same_quantity("1m", "0.0001")); // what is there is not what the server would make of the wish
    EXPECT_FALSE(same_quantity("1Gi", "1G"));
    EXPECT_FALSE(same_quantity("1", "x"));
    EXPECT_LT(*Quantity::parse("-1"), *Quantity::parse("1n"));
}

TEST(KubernetesResourceVersion, ComparesDecimalsOfAnyLength) {
    using std::strong_ordering;
    EXPECT_EQ(compare_resource_versions("9", "10"), strong_ordering::less);
    EXPECT_EQ(compare_resource_versions("12052", "12051"), strong_ordering::greater);
    EXPECT_EQ(compare_resource_versions("99999999999999999999999", "100000000000000000000000"), strong_ordering::less);
    EXPECT_EQ(compare_resource_versions("7", "7"), strong_ordering::equal);
}

TEST(KubernetesResourceVersion, OthersAreOpaque) {
    EXPECT_EQ(compare_resource_versions("abc", "abc"), std::strong_ordering::equal);
    for (const auto &[left, right] :
         {std::pair("abc", "1"), {"", "1"}, {"01", "1"}, {"0", "1"}, {"-1", "1"}, {"1 ", "1"}})
        EXPECT_EQ(compare_resource_versions(left, right), std::nullopt) << left;
    EXPECT_TRUE(is_not_newer("5", "5"));
    EXPECT_TRUE(is_not_newer("5", "6"));
    EXPECT_FALSE(is_not_newer("6", "5"));
    EXPECT_FALSE(is_not_newer("a", "b"));
}

TEST(KubernetesNearest, SimilarNamesFirst) {
    const std::vector<std::string> names = {"replicas", "template", "selector", "revisionHistoryLimit"};
    EXPECT_EQ(nearest("replica", names, 1), std::vector<std::string>{"replicas"});
    EXPECT_EQ(nearest("Selector", names, 2).front(), "selector");
    EXPECT_EQ(nearest(std::string(1000, 'x'), names, 9).size(), 4u);
    EXPECT_TRUE(nearest("x", {}, 3).empty());
}

TEST(KubernetesBase64, DecodesStrictly) {
    EXPECT_EQ(base64_decode(""), "");
    EXPECT_EQ(base64_decode("Zg=="), "f");
    EXPECT_EQ(base64_decode("Zm8="), "fo");
    EXPECT_EQ(base64_decode("Zm9v\nYmFy"), "foobar");
    EXPECT_EQ(base64_decode("+/+/"), "\xfb\xff\xbf");
    for (const char *text : {"Z", "Zg", "Zg=", "Z===", "Zg==Zg==", "Zm9-", "====", "Zm9v!"})
        EXPECT_EQ(base64_decode(text), std::nullopt) << text;
}

TEST(KubernetesHeaders, AreTakenApart) {
    EXPECT_EQ(header_value("Retry-After: 10\r\n", "retry-after"), "10");
    EXPECT_EQ(header_value("RETRY-AFTER:10", "retry-after"), "10");
    EXPECT_EQ(header_value("Retry-After-Not: 10", "retry-after"), std::nullopt);
    EXPECT_EQ(header_value("Retry", "retry-after"), std::nullopt);
    EXPECT_EQ(retry_after_seconds("1"), 1);
    EXPECT_EQ(retry_after_seconds("Wed, 21 Oct 2026 07:28:00 GMT"), -1);
    EXPECT_EQ(retry_after_seconds("-3"), -1);
    EXPECT_EQ(retry_after_seconds("99999999999999"), -1);
    EXPECT_EQ(warning_text(R"(299 - "unknown field \"spec.x\"")"), "unknown field \"spec.x\"");
    EXPECT_EQ(warning_text(R"(299 - "policy/v1beta1 PodSecurityPolicy is deprecated")"),
              "policy/v1beta1 PodSecurityPolicy is deprecated");
    EXPECT_EQ(warning_text("199 - \"other\""), "");
    EXPECT_EQ(warning_text("299 - unquoted"), "");
}

namespace {

std::string health(const char *object) {
    const Health health = health_of(json::parse(object));
    return std::string(name(health.status)) + (health.message.empty() ? "" : ": " + health.message);
}

} // namespace

TEST(KubernetesHealth, DeletionComesFirst) {
    EXPECT_EQ(health(R"({"kind": "Node", "metadata": {"deletionTimestamp": "2026-11-23T08:44:52Z"},
                         "status": {"conditions": [{"type": "Ready", "status": "True"}]}})"),
              "terminating: deletion was requested at 2026-11-23T08:44:52Z");
}

TEST(KubernetesHealth, GenerationMustBeObserved) {
    EXPECT_EQ(health(R"({"kind": "Router", "metadata": {"generation": 2}, "status": {"observedGeneration": 1}})"),
              "in_progress: generation 2 is not observed yet, but 1");
    EXPECT_EQ(health(R"({"kind": "Router", "metadata": {"generation": 2}, "status": {"observedGeneration": 2}})"),
              "current");
    EXPECT_EQ(health(R"({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"generation": 1}, "status": {}})"),
              "in_progress: generation 1 is not observed yet");
    EXPECT_EQ(health(R"({"kind": "Router", "metadata": {"generation": 1}})"), "current");
    EXPECT_EQ(health(R"({"kind": "Deployment", "apiVersion": "example.com/v1", "metadata": {"generation": 1}})"),
              "current")
        << "the name alone does not make the kind";
}

TEST(KubernetesHealth, ConditionsOfAnyKind) {
    EXPECT_EQ(
        health(R"({"kind": "Router", "status": {"conditions": [{"type": "Stalled", "status": "True", "reason": "NoLink",
                         "message": "cable cut"}]}})"),
        "failed: NoLink: cable cut");
    EXPECT_EQ(health(R"({"kind": "Router", "status": {"conditions": [{"type": "Reconciling", "status": "True"}]}})"),
              "in_progress: reconciling");
    EXPECT_EQ(
        health(
            R"({"kind": "Router", "status": {"conditions": [{"type": "Ready", "status": "False", "message": "booting"}]}})"),
        "in_progress: booting");
    EXPECT_EQ(health(R"({"kind": "Router", "status": {"conditions": [{"type": "Ready", "status": "True"}]}})"),
              "current");
    EXPECT_EQ(health(R"({"kind": "ConfigMap", "data": {}})"), "current");
    EXPECT_EQ(health(R"({"kind": 1, "metadata": [], "status": {"conditions": [1, null]}})"), "current");
}

TEST(KubernetesHealth, NodesAndNamespaces) {
    EXPECT_EQ(
        health(
            R"({"kind": "Node", "apiVersion": "v1", "status": {"conditions": [{"type": "Ready", "status": "True"}]}})"),
        "current");
    EXPECT_EQ(health(R"({"kind": "Node", "apiVersion": "v1", "status": {}})"),
              "in_progress: the node has not reported to be ready");
    EXPECT_EQ(
        health(R"({"kind": "Node", "apiVersion": "v1", "status": {"conditions": [{"type": "Ready", "status": "Unknown",
                         "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}]}})"),
        "failed: NodeStatusUnknown: Kubelet stopped posting node status.");
    EXPECT_EQ(health(R"({"kind": "Namespace", "apiVersion": "v1", "status": {"phase": "Active"}})"), "current");
    EXPECT_EQ(health(R"({"kind": "Namespace", "apiVersion": "v1", "status": {"phase": "Terminating"}})"),
              "terminating: the namespace is being deleted");
    EXPECT_EQ(health(R"({"kind": "Namespace", "apiVersion": "v1"})"), "in_progress: the namespace is not active yet");
}

namespace {

// Of an object of the kind with the members given, as JSON.
std::string health(const char *api_version, const char *kind, const char *spec, const char *status) {
    const std::string object = std::string(R"({"apiVersion": ")") + api_version + R"(", "kind": ")" + kind +
                               R"(", "spec": )" + spec + R"(, "status": )" + status + "}";
    return health(object.c_str());
}

} // namespace

TEST(KubernetesHealth, DeploymentsRollOut) {
    const auto of = [](const char *spec, const char *status) { return health("apps/v1", "Deployment", spec, status); };
    const char *three = R"({"replicas": 3, "progressDeadlineSeconds": 600})";
    EXPECT_EQ(of(three, R"({"replicas": 2})"), "in_progress: 2 of 3 replicas are there");
    EXPECT_EQ(of(three, R"({"replicas": 1, "conditions": [{"type": "ReplicaFailure", "status": "True",
                            "reason": "FailedCreate", "message": "pods \"web-x\" is forbidden: exceeded quota"}]})"),
              "in_progress: FailedCreate: pods \"web-x\" is forbidden: exceeded quota");
    EXPECT_EQ(of(three, R"({"replicas": 3, "updatedReplicas": 1})"), "in_progress: 1 of 3 replicas are updated");
    EXPECT_EQ(of(three, R"({"replicas": 4, "updatedReplicas": 3})"), "in_progress: 1 old replicas have not ended");
    EXPECT_EQ(of(three, R"({"replicas": 3, "updatedReplicas": 3, "availableReplicas": 2})"),
              "in_progress: 2 of 3 updated replicas are available");
    EXPECT_EQ(of(three, R"({"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, "readyReplicas": 2})"),
              "in_progress: 2 of 3 replicas are ready");
    EXPECT_EQ(of(three, R"({"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, "readyReplicas": 3,
                            "conditions": [{"type": "Available", "status": "True"},
                                           {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}]})"),
              "in_progress: ReplicaSetUpdated");
    EXPECT_EQ(of(three, R"({"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, "readyReplicas": 3,
                            "conditions": [{"type": "Progressing", "status": "True",
                                            "reason": "NewReplicaSetAvailable"}]})"),
              "in_progress: not available");
    EXPECT_EQ(of(three, R"({"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, "readyReplicas": 3,
                            "conditions": [{"type": "Available", "status": "True"},
                                           {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]})"),
              "current");
    EXPECT_EQ(
        of(three, R"({"replicas": 3, "updatedReplicas": 1, "conditions": [{"type": "Progressing", "status": "False",
                            "reason": "ProgressDeadlineExceeded", "message": "timed out progressing"}]})"),
        "failed: ProgressDeadlineExceeded: timed out progressing");
    EXPECT_EQ(of(R"({"replicas": 0})", R"({"conditions": [{"type": "Available", "status": "True"}]})"), "current");
    EXPECT_EQ(of("[]", R"({"replicas": "three"})"), "in_progress: 0 of 1 replicas are there");
}

TEST(KubernetesHealth, SetsHaveTheirReplicas) {
    EXPECT_EQ(health("apps/v1", "ReplicaSet", R"({"replicas": 2})", R"({"replicas": 2, "fullyLabeledReplicas": 2})"),
              "in_progress: 0 of 2 replicas are available");
    EXPECT_EQ(health("apps/v1", "ReplicaSet", R"({"replicas": 1})",
                     R"({"replicas": 2, "fullyLabeledReplicas": 2, "availableReplicas": 2, "readyReplicas": 2})"),
              "in_progress: 1 replicas have not ended");
    EXPECT_EQ(health("apps/v1", "ReplicaSet", R"({"replicas": 0})", "{}"), "current");
    EXPECT_EQ(health("apps/v1", "StatefulSet", R"({"replicas": 3})", R"({"replicas": 3, "readyReplicas": 2})"),
              "in_progress: 2 of 3 replicas are ready");
    EXPECT_EQ(health("apps/v1", "StatefulSet", R"({"replicas": 3})",
                     R"({"replicas": 3, "readyReplicas": 3, "currentReplicas": 1, "updatedReplicas": 2})"),
              "in_progress: 2 of 3 replicas are updated");
    EXPECT_EQ(health("apps/v1", "StatefulSet", R"({"replicas": 3})",
                     R"({"replicas": 3, "readyReplicas": 3, "currentReplicas": 3, "updatedReplicas": 3,
                         "currentRevision": "a", "updateRevision": "b"})"),
              "in_progress: the update to revision b is not complete");
    const char *partitioned =
        R"({"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}})";
    EXPECT_EQ(
        health("apps/v1", "StatefulSet", partitioned, R"({"replicas": 3, "readyReplicas": 3, "updatedReplicas": 1})"),
        "in_progress: 1 of 2 replicas above the partition are updated");
    EXPECT_EQ(
        health("apps/v1", "StatefulSet", partitioned, R"({"replicas": 3, "readyReplicas": 3, "updatedReplicas": 2})"),
        "current");
    EXPECT_EQ(health("apps/v1", "StatefulSet", R"({"updateStrategy": {"type": "OnDelete"}})", "{}"), "current");
    EXPECT_EQ(health("apps/v1", "DaemonSet", "{}", "{}"), "in_progress: its controller has not counted nodes yet");
    EXPECT_EQ(health("apps/v1", "DaemonSet", "{}",
                     R"({"desiredNumberScheduled": 2, "currentNumberScheduled": 2, "updatedNumberScheduled": 2,
                         "numberAvailable": 1})"),
              "in_progress: 1 of 2 nodes have an available pod");
    EXPECT_EQ(health("apps/v1", "DaemonSet", "{}", R"({"desiredNumberScheduled": 0})"), "current");
}

TEST(KubernetesHealth, PodsAndJobsEnd) {
    const auto pod = [](const char *status) { return health("v1", "Pod", "{}", status); };
    EXPECT_EQ(pod("{}"), "in_progress: the pod has not started");
    EXPECT_EQ(
        pod(R"({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                      "message": "0/3 nodes are available"}]})"),
        "in_progress: Unschedulable: 0/3 nodes are available");
    EXPECT_EQ(pod(R"({"phase": "Pending", "containerStatuses": [{"name": "web", "state": {"waiting":
                      {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}}]})"),
              "in_progress: web: ImagePullBackOff: Back-off pulling image");
    EXPECT_EQ(pod(R"({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})"), "current");
    EXPECT_EQ(
        pod(R"({"phase": "Running", "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]})"),
        "in_progress: ContainersNotReady");
    EXPECT_EQ(pod(R"({"phase": "Running", "containerStatuses": [{"name": "side", "state": {"running": {}}},
                      {"name": "web", "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m"}}}]})"),
              "failed: web: CrashLoopBackOff: back-off 5m");
    EXPECT_EQ(pod(R"({"phase": "Succeeded"})"), "current");
    EXPECT_EQ(pod(R"({"phase": "Failed", "reason": "Evicted", "message": "low on memory"})"),
              "failed: Evicted: low on memory");
    const auto job = [](const char *status) { return health("batch/v1", "Job", "{}", status); };
    EXPECT_EQ(job("{}"), "in_progress: the job has not started");
    EXPECT_EQ(job(R"({"startTime": "2026-11-23T08:44:52Z", "active": 1})"), "current");
    EXPECT_EQ(job(R"({"conditions": [{"type": "Complete", "status": "True"}]})"), "current");
    EXPECT_EQ(job(R"({"conditions": [{"type": "Suspended", "status": "True"}]})"), "in_progress: the job is suspended");
    EXPECT_EQ(job(R"({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]})"),
              "failed: BackoffLimitExceeded");
}

TEST(KubernetesHealth, OtherKinds) {
    EXPECT_EQ(health("v1", "PersistentVolumeClaim", "{}", R"({"phase": "Pending"})"),
              "in_progress: the claim is not bound to a volume");
    EXPECT_EQ(health("v1", "PersistentVolumeClaim", "{}", R"({"phase": "Bound"})"), "current");
    EXPECT_EQ(health("v1", "PersistentVolumeClaim", "{}", R"({"phase": "Lost"})"),
              "failed: the volume of the claim is lost");
    EXPECT_EQ(health("v1", "Service", R"({"type": "LoadBalancer"})", "{}"),
              "in_progress: the service has no address in the cluster");
    EXPECT_EQ(health("v1", "Service", R"({"type": "ClusterIP"})", "{}"), "current");
    EXPECT_EQ(health("serving.knative.dev/v1", "Service", "{}",
                     R"({"conditions": [{"type": "Ready", "status": "False", "reason": "RevisionFailed"}]})"),
              "in_progress: RevisionFailed")
        << "the name alone does not make the kind";
    EXPECT_EQ(health("policy/v1", "PodDisruptionBudget", "{}", R"({"observedGeneration": 0})"),
              "in_progress: its controller has not counted pods yet");
    EXPECT_EQ(health("policy/v1", "PodDisruptionBudget", "{}", R"({"desiredHealthy": 2, "currentHealthy": 1})"),
              "in_progress: 1 of 2 pods that the budget asks for are healthy");
    EXPECT_EQ(health("policy/v1", "PodDisruptionBudget", "{}", R"({"desiredHealthy": 2, "currentHealthy": 2})"),
              "current");
    const auto definition = [](const char *status) {
        return health("apiextensions.k8s.io/v1", "CustomResourceDefinition", "{}", status);
    };
    EXPECT_EQ(definition("{}"), "in_progress: the kind is not served yet");
    EXPECT_EQ(definition(R"({"conditions": [{"type": "Established", "status": "False", "reason": "Installing"}]})"),
              "in_progress: the kind is not served yet");
    EXPECT_EQ(definition(R"({"conditions": [{"type": "Established", "status": "True"}]})"), "current");
    EXPECT_EQ(definition(R"({"conditions": [{"type": "NamesAccepted", "status": "False", "reason": "ListKindConflict",
                             "message": "\"RouterList\" is already in use"}]})"),
              "failed: ListKindConflict: \"RouterList\" is already in use");
    EXPECT_EQ(health("v1", "ConfigMap", "{}", R"({"conditions": [{"type": "Ready", "status": "False"}]})"), "current");
}

TEST(KubernetesJson, IsReadAsTheOtherParserReadsIt) {
    for (const char *text : {"0", "-1", "9223372036854775807", "9223372036854775808", "18446744073709551615",
                             "18446744073709551616", "-9223372036854775808", "-9223372036854775809", "1.5", "1e3",
                             "1e-400", "true", "null", R"("\u00e9\ud83d\ude00")", "[]", "{}",
                             R"( [1 , {"a" : [ ] } ] )", R"({"a": 1, "b": 2, "a": 3})", "\xEF\xBB\xBF{}"}) {
        const json expected = json::parse(text);
        const json document = parse_json(text);
        EXPECT_EQ(document, expected) << text;
        EXPECT_EQ(document.type(), expected.type()) << text;
    }
    EXPECT_EQ(parse_json("-0"), json(0));
    for (const char *text :
         {"", " ", "{", "[1,]", "01", "1e999", R"("\ud800")", "\"\xff\"", "\"\n\"", "{} {}", "nul", "{a: 1}"})
        EXPECT_TRUE(parse_json(text).is_discarded()) << text;
}

TEST(KubernetesJson, IsNotReadBeyondADepth) {
    const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
    EXPECT_FALSE(parse_json(nested(900)).is_discarded());
    EXPECT_TRUE(parse_json(nested(1100)).is_discarded());
    EXPECT_TRUE(parse_json(nested(100'000)).is_discarded());
}
