// Who owns a field, read from managedFields as a real server wrote them.
#include "kubernetes/object/managed_fields.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

using namespace dbnet::kubernetes;
using nlohmann::json;

namespace {

const char *const object_text = R"({"metadata": {"name": "web", "managedFields": [
  {"manager": "m1", "operation": "Apply", "time": "2026-11-23T08:44:46Z", "fieldsV1": {
     "f:metadata": {"f:labels": {"f:app.kubernetes.io/name": {}}},
     "f:spec": {"f:selector": {}, "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:targetPort": {}}},
                "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}}}}}}}},
  {"manager": "hpa", "operation": "Update", "subresource": "scale", "time": "2026-11-23T08:50:00Z",
     "fieldsV1": {"f:spec": {"f:replicas": {}}}},
  {"manager": "kubectl", "operation": "Update", "time": "2026-11-23T09:00:00Z",
     "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:team": {}}}, "f:spec": {"f:replicas": {}},
                  "f:data": {"f:a": {}}}},
  {"manager": "m3", "operation": "Apply", "fieldsV1": {"f:data": {}}}]}})";

std::string owners(std::string_view path) {
    std::string text;
    for (const FieldOwner &owner : owners_of(json::parse(object_text), FieldPath::parse(path)))
        text += (text.empty() ? "" : " ") + owner.manager + (owner.extent == FieldOwner::Extent::part ? "(part)" : "");
    return text;
}

} // namespace

TEST(KubernetesManagedFields, NewestOwnerComesFirst) {
    EXPECT_EQ(owners("spec.replicas"), "kubectl hpa");
    const auto owner = owner_of(json::parse(object_text), FieldPath::parse("spec.replicas"));
    ASSERT_TRUE(owner);
    EXPECT_EQ(owner->manager, "kubectl");
    EXPECT_EQ(owner->operation, "Update");
    EXPECT_EQ(owner->time, "2026-11-23T09:00:00Z");
    EXPECT_EQ(owners_of(json::parse(object_text), FieldPath::parse("spec.replicas"))[1].subresource, "scale");
}

TEST(KubernetesManagedFields, FollowsKeysOfMapsAndLists) {
    EXPECT_EQ(owners("metadata.labels[\"app.kubernetes.io/name\"]"), "m1");
    EXPECT_EQ(owners("spec.template.spec.containers[name=c].image"), "m1");
    EXPECT_EQ(owners("spec.template.spec.containers[name=other].image"), "");
    EXPECT_EQ(owners("spec.ports[port=80].targetPort"), "m1"); // a part of the element's keys is enough to find it
    EXPECT_EQ(owners("spec.ports[port=80,protocol=UDP].targetPort"), "");
}

TEST(KubernetesManagedFields, WholeOfAnAtomicValueOwnsWhatIsInside) {
    EXPECT_EQ(owners("spec.selector.app"), "m1");
    EXPECT_EQ(owners("spec.selector.matchLabels.app"), "m1");
}

TEST(KubernetesManagedFields, APartIsWhatOneManagerOwnsOfAValue) {
    const json fields = json::parse(object_text)["metadata"]["managedFields"][0]["fieldsV1"];
    const auto part = [&](const char *path, const char *value) {
        return owned_part(json::parse(value), fields, FieldPath::parse(path));
    };
    EXPECT_EQ(part("metadata.labels", R"({"app.kubernetes.io/name": "web", "team": "blue"})"),
              json::parse(R"({"app.kubernetes.io/name": "web"})"));
    EXPECT_EQ(part("spec.selector", R"({"any": {"thing": 1}})"), json::parse(R"({"any": {"thing": 1}})")) << "atomic";
    EXPECT_EQ(part("spec.selector.any", R"({"thing": 1})"), json::parse(R"({"thing": 1})")) << "inside an atomic value";
    EXPECT_EQ(
        part(
            "spec.ports",
            R"([{"port": 443, "protocol": "TCP"}, {"port": 80, "protocol": "TCP", "targetPort": 8080, "nodePort": 30000}])"),
        json::parse(R"([{"port": 80, "protocol": "TCP", "targetPort": 8080}])"))
        << "elements by all of their keys, which belong to them";
    EXPECT_EQ(part("spec.template.spec.containers",
                   R"([{"name": "c", "image": "i", "imagePullPolicy": "Always"}, {"name": "sidecar"}])"),
              json::parse(R"([{"name": "c", "image": "i"}])"));
    EXPECT_EQ(owned_part({"a", "b"}, json::parse(R"({"f:finalizers": {".": {}, "v:\"b\"": {}}})"),
                         FieldPath::parse("finalizers")),
              json::parse(R"(["b"])"))
        << "members of a set";
}

TEST(KubernetesManagedFields, AnEmptyMapOwnsNothingInside) {
    EXPECT_EQ(owners("data.a"), "kubectl"); // m3 applied data: {} and owns no key of it
    EXPECT_EQ(owners("data.b"), "");
}

TEST(KubernetesManagedFields, OwnersOfPartsComeLast) {
    EXPECT_EQ(owners("metadata.labels"), "kubectl(part) m1(part)");
    EXPECT_EQ(owners("data"), "kubectl(part)"); // m3 has the map, but nothing in it
}

TEST(KubernetesManagedFields, CoOwnersOwnTheSame) {
    const json object = json::parse(object_text);
    const auto other = [&](const char *path, std::string_view manager) {
        return co_owner_of(object, FieldPath::parse(path), manager);
    };
    EXPECT_EQ(other("spec.replicas", "hpa"), "kubectl");
    EXPECT_EQ(other("spec.replicas", "m1"), "") << "it does not own the field";
    EXPECT_EQ(other("metadata.labels", "kubectl"), "") << "m1 has another key";
    EXPECT_EQ(other("metadata.labels.team", "kubectl"), "");
    const json both = json::parse(R"({"metadata": {"managedFields": [
        {"manager": "a", "fieldsV1": {"f:data": {".": {}, "f:x": {}, "f:y": {}}}}, null,
        {"manager": "b", "fieldsV1": {"f:data": {".": {}, "f:y": {}}}}, {"manager": "c", "fieldsV1": {"f:data": {".": {}}}}]}})");
    EXPECT_EQ(co_owner_of(both, FieldPath::parse("data"), "a"), "b");
    EXPECT_EQ(co_owner_of(both, FieldPath::parse("data"), "c"), "");
}

TEST(KubernetesManagedFields, LettingGoLeavesNothingThatAnApplyWouldDelete) {
    const auto kept = [](std::string_view manager, std::initializer_list<const char *> texts) {
        std::vector<FieldPath> paths;
        for (const char *text : texts)
            paths.push_back(FieldPath::parse(text));
        return without_ownership(json::parse(object_text), manager, paths);
    };
    json entries = json::parse(object_text)["metadata"]["managedFields"], expected = entries;
    expected[0]["fieldsV1"]["f:spec"].erase("f:template");
    EXPECT_EQ(kept("m1", {"spec.template.spec.containers[name=c].image"}), expected)
        << "a list element of which we own the keys alone would be deleted";
    expected = entries;
    expected[0]["fieldsV1"]["f:spec"].erase("f:ports");
    EXPECT_EQ(kept("m1", {"spec.ports[port=80,protocol=TCP].targetPort"}), expected);
    expected = entries;
    expected[0]["fieldsV1"]["f:spec"].erase("f:selector");
    EXPECT_EQ(kept("m1", {"spec.selector.matchLabels"}), expected) << "an atomic value is owned as a whole";
    expected = entries;
    expected.erase(1);
    EXPECT_EQ(kept("hpa", {"spec.replicas"}), expected) << "an entry without fields goes, whatever its subresource";
    expected = entries;
    expected[2]["fieldsV1"]["f:metadata"]["f:labels"].erase("f:team");
    expected[2]["fieldsV1"].erase("f:metadata");
    EXPECT_EQ(kept("kubectl", {"metadata.labels.team", "metadata.annotations"}), expected);
    EXPECT_EQ(kept("m1", {"spec.replicas"}), json()) << "others' fields are others'";
    EXPECT_EQ(kept("nobody", {"spec.replicas"}), json());
    const json alone = json::parse(R"({"metadata": {"managedFields": [{"manager": "m", "fieldsV1": {"f:a": {}}}]}})");
    EXPECT_EQ(without_ownership(alone, "m", {FieldPath::parse("a")}), json::parse("[{}]"))
        << "an empty list would change nothing";
    EXPECT_EQ(
        without_ownership(json::parse(R"({"metadata": {"managedFields": [null, {"manager": "m", "fieldsV1": 3}]}})"),
                          "m", {FieldPath::parse("a")}),
        json());
}

TEST(KubernetesManagedFields, OddDocumentsHaveNoOwners) {
    const FieldPath path = FieldPath::parse("a.b");
    for (const char *text :
         {"{}", "null", "[]", R"({"metadata": null})", R"({"metadata": {"managedFields": {}}})",
          R"({"metadata": {"managedFields": [null, 1, {}, {"fieldsV1": 3}, {"fieldsV1": {"f:a": 1}}]}})",
          R"({"metadata": {"managedFields": [{"fieldsV1": {"k:broken": {}}}]}})"})
        EXPECT_FALSE(owner_of(json::parse(text), path)) << text;
    EXPECT_FALSE(owner_of(json::parse(object_text), FieldPath()));
}
