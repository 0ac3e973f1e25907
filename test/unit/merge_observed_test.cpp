// What is kept of an object that the server showed.
#include "merge_support.hpp"
#include "mirror/decision/observed.hpp"

#include "kubernetes/failure.hpp"

#include <gtest/gtest.h>

using namespace dbnet::mirror;

namespace {

const std::string ours = "dbnet-0123456789abcdef";

Json node() {
    return Json::parse(R"({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": "n1", "uid": "u-1", "resourceVersion": "77", "generation": 3, "labels": {"zone": "a"},
            "annotations": {"dbnet.io/stamp": "7312/1/0/16B3748/0"},
            "ownerReferences": [{"kind": "Set", "name": "loose"}, {"kind": "Pool", "name": "p", "controller": true}],
            "managedFields": [
                {"manager": "dbnet-0123456789abcdef", "operation": "Apply", "apiVersion": "v1",
                 "time": "2026-11-23T08:44:46Z", "fieldsType": "FieldsV1",
                 "fieldsV1": {"f:metadata": {"f:annotations": {"f:dbnet.io/stamp": {}}}, "f:spec": {"f:unschedulable": {}}}},
                {"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "subresource": "status",
                 "time": "2026-11-23T08:44:49Z", "fieldsType": "FieldsV1",
                 "fieldsV1": {"f:status": {"f:conditions": {"k:{\"type\":\"Ready\"}": {".": {}, "f:status": {}}}}}}]},
        "spec": {"unschedulable": true, "podCIDR": null},
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "capacity": {"memory": "2Gi"}}})");
}

Observed seen_in(const Json &body, const Mapping &mapping, const std::string &field_manager) {
    return observe(body, body.dump(), mapping, field_manager);
}

TEST(Observed, KeepsIdentityMappedValuesAndManagers) {
    Mirror mirror = dbnet::test::node_mirror();
    Observed seen = seen_in(node(), mirror.mapping, ours);
    EXPECT_EQ(seen.name_space, "");
    EXPECT_EQ(seen.name, "n1");
    EXPECT_EQ(seen.uid, "u-1");
    EXPECT_EQ(seen.resource_version, "77");
    EXPECT_EQ(seen.generation, 3);
    EXPECT_EQ(seen.controller, "Pool/p");
    EXPECT_EQ(seen.stamp, "7312/1/0/16B3748/0");
    EXPECT_EQ(seen.last_manager, "kubelet");
    EXPECT_EQ(seen.health, "ready");
    EXPECT_FALSE(seen.terminating);
    EXPECT_EQ(seen.values, (Fields{{"metadata.labels", {{"zone", "a"}}},
                                   {"spec.unschedulable", true},
                                   {"status.conditions[type=Ready].status", "True"},
                                   {"status.capacity.memory", "2Gi"}}));
    EXPECT_EQ(seen.managers, (Json{{"spec.unschedulable", {"dbnet-0123456789abcdef", "2026-11-23T08:44:46Z"}},
                                   {"status.conditions[type=Ready].status", {"kubelet", "2026-11-23T08:44:49Z"}}}));
}

TEST(Observed, WhoCreatedItShowsWhileOurEntryIsAsOldAsTheObject) {
    Mirror mirror = dbnet::test::node_mirror();
    Json body = node();
    const auto created_at = [&](const char *time) {
        body["metadata"]["creationTimestamp"] = time;
        return seen_in(body, mirror.mapping, ours).is_created_by_us;
    };
    EXPECT_TRUE(created_at("2026-11-23T08:44:46Z"));
    EXPECT_TRUE(created_at("2026-11-23T08:44:47Z")) << "a second began in between";
    EXPECT_FALSE(created_at("2026-11-23T08:44:45Z")) << "we came later, or wrote again";
    EXPECT_FALSE(created_at("2026-11-23T08:44:49Z")) << "a status is no creation";
    Json &entries = body["metadata"]["managedFields"];
    entries.push_back({{"manager", "kubectl"}, {"operation", "Update"}, {"time", "2026-11-23T08:44:46Z"}});
    EXPECT_FALSE(created_at("2026-11-23T08:44:46Z")) << "one of two";
    entries = Json::array();
    EXPECT_FALSE(created_at("2026-11-23T08:44:46Z"));
    body["metadata"].erase("creationTimestamp");
    EXPECT_FALSE(seen_in(body, mirror.mapping, ours).is_created_by_us);
}

TEST(Observed, TheStampIsOursOnlyIfOurManagerPutItThere) {
    Mirror mirror = dbnet::test::node_mirror();
    EXPECT_EQ(seen_in(node(), mirror.mapping, "dbnet-of-another").stamp, "");
    Json copied = node();
    copied["metadata"]["managedFields"][0]["fieldsV1"].erase("f:metadata");
    EXPECT_EQ(seen_in(copied, mirror.mapping, ours).stamp, "");
}

TEST(Observed, WhatIsNoTimeIsNone) {
    Mirror mirror = dbnet::test::node_mirror();
    for (const char *time :
         {"yesterday", "2026-02-30T08:44:46Z", "2026-11-23T24:30:00Z", "2026-11-23T08:44:46+20:00", ""}) {
        Json body = node();
        for (Json &entry : body["metadata"]["managedFields"])
            entry["time"] = time;
        EXPECT_EQ(seen_in(body, mirror.mapping, ours).managers["spec.unschedulable"],
                  (Json{"dbnet-0123456789abcdef", nullptr}))
            << time;
    }
}

TEST(Observed, OwnedIsWhatOurManagerHasAnyPartOf) {
    Mirror mirror = dbnet::test::node_mirror();
    mirror.mapping.columns.push_back(
        dbnet::test::column("notes", "metadata.annotations", Role::meta, ValueType::json, "jsonb"));
    Json body = node();
    Json &ours_and_theirs = body["metadata"]["managedFields"];
    ours_and_theirs[0]["fieldsV1"]["f:metadata"] = {{"f:labels", {{"f:zone", Json::object()}}},
                                                    {"f:annotations", {{"f:dbnet.io/stamp", Json::object()}}}};
    ours_and_theirs[1]["fieldsV1"]["f:metadata"] = {{"f:labels", {{"f:other", Json::object()}}}};
    Observed seen = seen_in(body, mirror.mapping, ours);
    EXPECT_EQ(seen.managers["metadata.labels"][0], "kubelet");                               // the newest
    EXPECT_EQ(seen.owned, (std::set<std::string>{"metadata.labels", "spec.unschedulable"})); // the stamp is no column's
    EXPECT_TRUE(seen_in(body, mirror.mapping, "dbnet-of-another").owned.empty());
    ours_and_theirs[0]["fieldsV1"]["f:metadata"]["f:annotations"]["f:team"] = Json::object();
    EXPECT_EQ(seen_in(body, mirror.mapping, ours).owned.count("metadata.annotations"), 1u);
}

TEST(Observed, LiveIsTheWholeObjectWithoutManagedFields) {
    Mirror mirror = dbnet::test::node_mirror();
    Json expected = node();
    expected["metadata"].erase("managedFields");
    EXPECT_EQ(Json::parse(seen_in(node(), mirror.mapping, ours).live), expected);
}

TEST(Observed, LiveCanBeStoredAsJsonb) {
    Mirror mirror = dbnet::test::node_mirror();
    Json body = node();
    body["metadata"]["annotations"]["odd"] = std::string("a\0b", 3);
    EXPECT_EQ(Json::parse(seen_in(body, mirror.mapping, ours).live)["metadata"]["annotations"]["odd"], "a\xEF\xBF\xBD"
                                                                                                       "b");
}

TEST(Observed, TerminatingObject) {
    Mirror mirror = dbnet::test::node_mirror();
    Json body = node();
    body["metadata"]["deletionTimestamp"] = "2026-11-23T09:00:00Z";
    Observed seen = seen_in(body, mirror.mapping, ours);
    EXPECT_TRUE(seen.terminating);
    EXPECT_EQ(seen.health, "terminating");
}

TEST(Observed, OddMetadataIsNoCrash) {
    Mirror mirror = dbnet::test::node_mirror();
    Observed seen = seen_in(Json::parse(R"({"metadata": {"name": "x", "uid": 5, "generation": "one",
        "ownerReferences": ["a", null, {"controller": 1}], "managedFields": [3, {"manager": 4}], "annotations": []}})"),
                            mirror.mapping, ours);
    EXPECT_EQ(seen.uid, "");
    EXPECT_FALSE(seen.generation);
    EXPECT_EQ(seen.controller, "");
    EXPECT_EQ(seen.last_manager, "");
}

TEST(Observed, RefusesWhatIsNoObject) {
    Mirror mirror = dbnet::test::node_mirror();
    for (const char *text : {"null", "[]", "{}", R"({"metadata": []})", R"({"metadata": {"name": ""}})"})
        EXPECT_THROW(seen_in(Json::parse(text), mirror.mapping, ours), dbnet::kubernetes::Failure) << text;
}

// The text of the object is kept as it came: only managedFields are cut out, wherever they stand.
TEST(Observed, KeepsTheTextWithoutManagedFields) {
    Mirror mirror = dbnet::test::node_mirror();
    const auto live = [&](const std::string &text) {
        Json body = Json::parse(text);
        body["apiVersion"] = "v1";
        body["kind"] = "Node";
        return observe(body, text, mirror.mapping, ours).live;
    };
    const std::string head = R"({"apiVersion":"v1","kind":"Node",)";
    EXPECT_EQ(live(R"({"metadata":{"name":"n","managedFields":[{"a":"]\"}"}],"uid":"u"},"spec":{"x":150}})"),
              head + R"("metadata":{"name":"n","uid":"u"},"spec":{"x":150}})");
    EXPECT_EQ(live(R"({"metadata":{"name":"n"},"spec":{"x":[1e-20000]}})"),
              head + R"("metadata":{"name":"n"},"spec":{"x":[0.0]}})")
        << "which numeric cannot hold";
    EXPECT_EQ(live(R"({"spec":{"metadata":{}},"metadata":{"name":"n","managedFields":[]}})"),
              head + R"("spec":{"metadata":{}},"metadata":{"name":"n"}})");
    EXPECT_EQ(live(R"({"metadata" : { "managedFields" : [ ] , "name" : "n" } })"),
              head + R"("metadata" : {  "name" : "n" } })");
    EXPECT_EQ(live(R"({"metadata":{"name":"n"}})"), head + R"("metadata":{"name":"n"}})");
    EXPECT_EQ(live(R"({"kind":"Node","metadata":{"name":"n"},"apiVersion":"v1"})"),
              R"({"kind":"Node","metadata":{"name":"n"},"apiVersion":"v1"})");
    EXPECT_EQ(live(R"({"metadata":{"name":"n","labels":{"a":"\u003c\u0000"}}})"),
              R"({"apiVersion":"v1","kind":"Node","metadata":{"labels":{"a":"<)"
              "\xEF\xBF\xBD"
              R"("},"name":"n"}})");
}

} // namespace
