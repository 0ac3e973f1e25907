// The stamp annotation, and the body of an object that is made again.
#include "mirror/decision/restored.hpp"
#include "mirror/decision/stamp.hpp"

#include <gtest/gtest.h>

using namespace dbnet::mirror;

TEST(Stamp, FormatsAndParses) {
    const Stamp stamp{7438291045561234567u, 3, 0x1'11A2B3C8u, 42};
    EXPECT_EQ(format(stamp), "7438291045561234567/3/1/11A2B3C8/42");
    EXPECT_EQ(parse_stamp(format(stamp)), stamp);
    EXPECT_EQ(format(Stamp{1, 1, 0xABu, 0}), "1/1/0/AB/0");
    const Stamp largest{~0ull, ~0u, ~0ull, ~0ull};
    EXPECT_EQ(parse_stamp(format(largest)), largest);
}

TEST(Stamp, RefusesEverythingElse) {
    for (const char *text :
         {"", "1", "1/1/0/AB", "1/1/0/AB/", "1/1/0/AB/0/", "1/1/0/AB/0 ", " 1/1/0/AB/0", "-1/1/0/AB/0", "x/1/0/AB/0",
          "1/4294967296/0/AB/0", "1/1/100000000/AB/0", "18446744073709551616/1/0/AB/0", "1//0/AB/0"})
        EXPECT_EQ(parse_stamp(text), std::nullopt) << text;
}

TEST(Stamp, OfACopyIsNotOfOurHistory) {
    const History history{7, {{3, 500}, {2, 300}, {1, 100}}};
    EXPECT_TRUE(history.has({7, 3, 499, 0}));
    EXPECT_TRUE(history.has({7, 1, 99, 5}));
    EXPECT_FALSE(history.has({7, 3, 500, 0})) << "later than anything that we have written";
    EXPECT_FALSE(history.has({7, 2, 300, 0})) << "written on the old timeline after we had left it";
    EXPECT_FALSE(history.has({7, 4, 10, 0})) << "a timeline that we have not seen";
    EXPECT_FALSE(history.has({8, 3, 1, 0})) << "another system";
}

TEST(Stamp, WhatARecoveryToAPointInTimeLeftOut) {
    EXPECT_EQ(cut_timelines(""), std::set<uint32_t>{});
    EXPECT_EQ(cut_timelines("1\t0/3000148\tno recovery target specified\n\n2\t0/4000000\tbefore transaction 735\n\n"
                            "3\t0/5000000\tat restore point \"a\tb\"\n4\t0/6000000\treached consistency"),
              (std::set<uint32_t>{2, 3, 4}));
    EXPECT_EQ(cut_timelines("# a comment\n1\n\t0/1\tx\n1\t0/1\n"), std::set<uint32_t>{});
    const History history{7, {{4, 500, false}, {3, 400, true}, {2, 300, false}, {1, 100, false}}};
    EXPECT_TRUE(history.is_cut_after({7, 2, 299, 0}));
    EXPECT_TRUE(history.is_cut_after({7, 3, 399, 0}));
    EXPECT_FALSE(history.is_cut_after({7, 4, 499, 0})) << "written since";
}

TEST(Restored, HoldsWhatCanBeMadeAgain) {
    const Json last = Json::parse(
        R"({"apiVersion": "v1", "kind": "ConfigMap", "data": {"x": "1"}, "immutable": true, "status": {"x": 1},
        "metadata": {"name": "a", "namespace": "net", "uid": "1", "resourceVersion": "2", "generation": 3, "creationTimestamp": "2026-01-01T00:00:00Z",
                     "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 1, "ownerReferences": [{"uid": "3"}], "labels": {"l": "1"},
                     "annotations": {"team": "blue", "dbnet.io/stamp": "old", "kubectl.kubernetes.io/last-applied-configuration": "{}"}}})");
    EXPECT_EQ(restored_body(last, "new"),
              Json::parse(R"({"apiVersion": "v1", "kind": "ConfigMap", "data": {"x": "1"}, "immutable": true,
        "metadata": {"name": "a", "namespace": "net", "labels": {"l": "1"}, "annotations": {"team": "blue", "dbnet.io/stamp": "new"}}})"));
}

TEST(Restored, KeepsWhatAKindOfTheNameInAnotherGroupHolds) {
    const Json last = Json::parse(
        R"({"apiVersion": "example.com/v1", "kind": "Secret", "data": {"x": "1"}, "metadata": {"name": "a"}})");
    EXPECT_EQ(restored_body(last, "s")["data"], last["data"]);
}

TEST(Restored, MakesNoValueOfASecretsDigest) {
    const Json last = Json::parse(
        R"({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": {"x": "digest"}, "stringData": {}, "metadata": {"name": "a"}})");
    EXPECT_EQ(
        restored_body(last, "s"),
        Json::parse(
            R"({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"name": "a", "annotations": {"dbnet.io/stamp": "s"}}})"));
}
