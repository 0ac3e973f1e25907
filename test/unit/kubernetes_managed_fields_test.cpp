// Who owns a field, read from managedFields as a real server wrote them.
#include "kubernetes/managed_fields.hpp"

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

TEST(KubernetesManagedFields, AnEmptyMapOwnsNothingInside) {
    EXPECT_EQ(owners("data.a"), "kubectl"); // m3 applied data: {} and owns no key of it
    EXPECT_EQ(owners("data.b"), "");
}

TEST(KubernetesManagedFields, OwnersOfPartsComeLast) {
    EXPECT_EQ(owners("metadata.labels"), "kubectl(part) m1(part)");
    EXPECT_EQ(owners("data"), "kubectl(part)"); // m3 has the map, but nothing in it
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
