// Quantities, resource versions, similar names, base64, header texts, health: the small value rules of the client.
#include "kubernetes/base64.hpp"
#include "kubernetes/header_text.hpp"
#include "kubernetes/health.hpp"
#include "kubernetes/json_access.hpp"
#include "kubernetes/nearest.hpp"
#include "kubernetes/quantity.hpp"
#include "kubernetes/resource_version.hpp"

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
    EXPECT_EQ(health(R"({"kind": "Deployment", "metadata": {"generation": 1}, "status": {}})"),
              "in_progress: generation 1 is not observed yet");
    EXPECT_EQ(health(R"({"kind": "Router", "metadata": {"generation": 1}})"), "current");
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
    EXPECT_EQ(health(R"({"kind": "Node", "status": {"conditions": [{"type": "Ready", "status": "True"}]}})"),
              "current");
    EXPECT_EQ(health(R"({"kind": "Node", "status": {}})"), "in_progress: the node has not reported to be ready");
    EXPECT_EQ(health(R"({"kind": "Node", "status": {"conditions": [{"type": "Ready", "status": "Unknown",
                         "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}]}})"),
              "failed: NodeStatusUnknown: Kubelet stopped posting node status.");
    EXPECT_EQ(health(R"({"kind": "Namespace", "status": {"phase": "Active"}})"), "current");
    EXPECT_EQ(health(R"({"kind": "Namespace", "status": {"phase": "Terminating"}})"),
              "terminating: the namespace is being deleted");
    EXPECT_EQ(health(R"({"kind": "Namespace"})"), "in_progress: the namespace is not active yet");
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
