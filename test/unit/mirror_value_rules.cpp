// What a schema lets through and what it calls equal, from the schema to the stored rules to the verdict.
#include "mirror/values/mapping.hpp"

#include "kubernetes/schema/openapi.hpp"

#include <gtest/gtest.h>

#include "pg/no_postgres.hpp"

namespace {

using namespace dbnet::mirror;
using dbnet::kubernetes::FieldPath;
using dbnet::kubernetes::OpenApiDocument;

constexpr const char *rules_document = R"x({"openapi": "3.0.0", "components": {"schemas": {
  "Thing": {"x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "Thing"}], "type": "object", "properties": {
    "spec": {"allOf": [{"$ref": "#/components/schemas/Spec"}], "default": {}},
    "labels": {"type": "object", "additionalProperties": {"type": "string"}}}},
  "Spec": {"type": "object", "properties": {
    "replicas": {"type": "integer", "format": "int32"}, "total": {"type": "integer"}, "ratio": {"type": "number"},
    "asn": {"type": "integer", "format": "int64", "minimum": 1, "maximum": 65535}, "share": {"type": "number", "minimum": 0, "exclusiveMinimum": true},
    "mode": {"type": "string", "enum": ["edge", "core"]}, "level": {"type": "integer", "enum": [1, 2]},
    "host": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 5},
    "since": {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.Time"},
    "renewed": {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"},
    "port": {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.util.intstr.IntOrString"},
    "step": {"x-kubernetes-int-or-string": true},
    "limits": {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity"}},
    "containers": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
      "items": {"allOf": [{"$ref": "#/components/schemas/Container"}], "default": {}}},
    "tree": {"$ref": "#/components/schemas/Tree"},
    "anything": {"x-kubernetes-preserve-unknown-fields": true}}},
  "Container": {"type": "object", "properties": {"name": {"type": "string"}, "image": {"type": "string"}, "stdin": {"type": "boolean"},
    "ports": {"type": "array", "items": {"type": "object", "properties": {"containerPort": {"type": "integer", "format": "int32"}}}}}},
  "Tree": {"type": "object", "properties": {"size": {"type": "integer", "format": "int32"}, "branches": {"type": "array",
    "items": {"$ref": "#/components/schemas/Tree"}}}},
  "io.k8s.apimachinery.pkg.apis.meta.v1.Time": {"type": "string", "format": "date-time"},
  "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": {"type": "string", "format": "date-time"},
  "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
  "io.k8s.apimachinery.pkg.api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]}}}})x";

std::string stored(std::string_view path) {
    static const OpenApiDocument parsed = OpenApiDocument::parse(rules_document);
    return parsed.schema("", "v1", "Thing").rules(FieldPath::parse(path)).dump();
}

// "place: problem" of the first violation, "" when there is none.
std::string refusal(std::string_view path, const char *value) {
    const auto rules = ValueRules::parse(stored(path));
    if (!rules)
        return "";
    const auto found = rules->check(Json::parse(value));
    return !found ? "" : found->place.empty() ? found->problem : found->place + ": " + found->problem;
}

bool same(std::string_view path, const char *left, const char *right) {
    return ValueRules::parse(stored(path))->same(Json::parse(left), Json::parse(right));
}
bool covers(std::string_view path, const char *live, const char *wanted) {
    return ValueRules::parse(stored(path))->covers(Json::parse(live), Json::parse(wanted));
}

TEST(MirrorValueRules, StoredFormIsSmall) {
    EXPECT_EQ(stored("spec.replicas"), R"("int32")");
    EXPECT_EQ(stored("spec.since"), R"("time")");
    EXPECT_EQ(stored("spec.renewed"), R"("micro_time")"); // the document says date-time of both
    EXPECT_EQ(stored("labels"), R"({"type":"object","values":"string"})");
    EXPECT_EQ(stored("spec.anything"), R"("any")");
    EXPECT_EQ(
        stored("spec.tree"),
        R"({"named":{"Tree":{"fields":{"branches":{"items":{"ref":"Tree"},"type":"array"},"size":"int32"},"type":"object"}},"ref":"Tree"})");
    EXPECT_FALSE(ValueRules::parse(stored("spec.anything")));
    EXPECT_FALSE(ValueRules::parse(""));
    EXPECT_TRUE(ValueRules::parse(stored("spec.replicas"))->is_plain());
    EXPECT_FALSE(ValueRules::parse(stored("labels"))->is_plain());
}

TEST(MirrorValueRules, Integers) {
    EXPECT_EQ(refusal("spec.replicas", "2147483647"), "");
    EXPECT_EQ(refusal("spec.replicas", "-2147483648"), "");
    EXPECT_EQ(refusal("spec.replicas", "3.0"), "");
    EXPECT_EQ(refusal("spec.replicas", "2147483648"), "2147483648 is out of range for a field of 32 bits");
    EXPECT_EQ(refusal("spec.replicas", "-2147483649"), "-2147483649 is out of range for a field of 32 bits");
    EXPECT_EQ(refusal("spec.replicas", "3.5"), "3.5 is not a whole number");
    EXPECT_EQ(refusal("spec.replicas", "\"3\""), "\"3\" is not a whole number");
    EXPECT_EQ(refusal("spec.total", "9223372036854775807"), "");
    EXPECT_EQ(refusal("spec.total", "9223372036854775808"),
              "9223372036854775808 is out of range for a field of 64 bits");
    EXPECT_EQ(refusal("spec.total", "1e300"), "1e+300 is out of range for a field of 64 bits");
    EXPECT_EQ(refusal("spec.asn", "0"), "0 is too small");
    EXPECT_EQ(refusal("spec.asn", "65536"), "65536 is too large");
    EXPECT_EQ(refusal("spec.share", "0"), "0 is too small");
    EXPECT_EQ(refusal("spec.share", "0.1"), "");
    EXPECT_EQ(refusal("spec.level", "3"), "3 is not one of the values that the field takes");
}

TEST(MirrorValueRules, TextsAndWhatLooksLikeThem) {
    EXPECT_EQ(refusal("spec.mode", "\"edge\""), "");
    EXPECT_EQ(refusal("spec.mode", "\"middle\""), "\"middle\" is not one of the values that the field takes");
    EXPECT_EQ(refusal("spec.host", "\"ab\""), "");
    EXPECT_EQ(refusal("spec.host", "\"a\""), "\"a\" is too short");
    EXPECT_EQ(refusal("spec.host", "\"abcdef\""), "\"abcdef\" is too long");
    EXPECT_EQ(refusal("spec.host", "\"aB\""), "\"aB\" does not match the field's pattern");
    EXPECT_EQ(refusal("spec.port", "80"), "");
    EXPECT_EQ(refusal("spec.port", "\"http\""), "");
    EXPECT_EQ(refusal("spec.port", "2147483648"), "2147483648 is out of range for a field of 32 bits");
    EXPECT_EQ(refusal("spec.port", "true"), "true is not a whole number or text");
    EXPECT_EQ(refusal("spec.step", "2147483648"), "");
    EXPECT_EQ(refusal("spec.since", "\"2026-11-23T08:44:46Z\""), "");
    EXPECT_EQ(refusal("spec.since", "\"soon\""), "\"soon\" is not a time");
}

TEST(MirrorValueRules, InsideDocuments) {
    EXPECT_EQ(refusal("labels", R"({"zone": 5})"), "zone: 5 is not text");
    EXPECT_EQ(refusal("labels", R"({"app.kubernetes.io/name": 5})"), R"(["app.kubernetes.io/name"]: 5 is not text)");
    EXPECT_EQ(refusal("labels", "[1]"), "[1] is not an object");
    EXPECT_EQ(refusal("spec.limits", R"({"cpu": "100m", "memory": 5})"), "");
    EXPECT_EQ(refusal("spec.limits", R"({"cpu": "much"})"), "cpu: \"much\" is not a quantity");
    EXPECT_EQ(refusal("spec.containers",
                      R"([{"name": "app", "ports": [{"containerPort": 80}, {"containerPort": 99999999999}]}])"),
              "[name=app].ports[1].containerPort: 99999999999 is out of range for a field of 32 bits");
    EXPECT_EQ(refusal("spec.containers", R"([{"stdin": "yes"}])"), "[0].stdin: \"yes\" is not true or false");
    EXPECT_EQ(refusal("spec", R"({"containers": [{"name": "a b", "image": 1}]})"),
              R"(containers[name="a b"].image: 1 is not text)");
    EXPECT_EQ(refusal("spec.tree", R"({"branches": [{"branches": [{"size": 1.5}]}]})"),
              "branches[0].branches[0].size: 1.5 is not a whole number");
    EXPECT_EQ(refusal("spec", R"({"nobody": {"knows": 99999999999999999999}, "anything": [1.5]})"), "");
}

TEST(MirrorValueRules, EqualInMeaning) {
    EXPECT_TRUE(same("spec.limits", R"({"cpu": "0.1", "memory": "1.5Gi"})", R"({"memory": "1536Mi", "cpu": "100m"})"));
    EXPECT_FALSE(same("spec.limits", R"({"cpu": "0.1"})", R"({"cpu": "101m"})"));
    EXPECT_FALSE(same("spec.limits", R"({"cpu": "0.1"})", R"({"cpu": "0.1", "memory": "1"})"));
    EXPECT_TRUE(same("spec.limits", R"({"cpu": 2})", R"({"cpu": "2"})"));
    EXPECT_TRUE(same("spec", R"({"since": "2026-11-23T10:00:00+02:00"})", R"({"since": "2026-11-23T08:00:00Z"})"));
    EXPECT_FALSE(same("labels", R"({"version": "1.0"})", R"({"version": "1"})")); // text, though both are amounts
    EXPECT_TRUE(covers("spec.limits", R"({"cpu": "1m"})", R"({"cpu": "0.0001"})"));
    EXPECT_FALSE(covers("labels", R"({"version": "1"})", R"({"version": "1.0"})"));
    EXPECT_TRUE(covers("spec.containers", R"([{"name": "app", "image": "a", "stdin": false}, {"name": "more"}])",
                       R"([{"name": "app", "image": "a"}])"));
}

TEST(MirrorValueRules, OddStoredFormsCheckNothing) {
    for (const char *text : {"{", "5", "[]", R"({"ref": "nowhere"})", R"({"ref": "a", "named": {"a": {"ref": "a"}}})",
                             R"({"type": 5, "fields": [], "enum": "x", "named": []})"}) {
        const auto rules = ValueRules::parse(text);
        EXPECT_TRUE(!rules || !rules->check(Json::parse(R"({"a": [1]})"))) << text;
    }
}

// What a column makes of it: the words name column, field and place.
TEST(MirrorValueRules, OfAColumn) {
    Column column;
    column.name = "template";
    column.path = "spec.containers";
    column.type = ValueType::json;
    column.rules = ValueRules::parse(stored("spec.containers"));
    const auto problem = check_value(column, Json::parse(R"([{"name": "app", "image": 1}])"));
    ASSERT_TRUE(problem);
    EXPECT_EQ(problem->message, "column \"template\" (spec.containers): at [name=app].image: 1 is not text");
    EXPECT_FALSE(check_value(column, Json::parse(R"([{"name": "app"}])")));
}

} // namespace
