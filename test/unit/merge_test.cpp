// Three-way merge of a report with a row: what a report may write and what it must leave alone.
#include "merge_support.hpp"
#include "mirror/decision/merge.hpp"

#include <gtest/gtest.h>

using namespace dbnet::mirror;

namespace {

constexpr char ready[] = "status.conditions[type=Ready].status";

// What a merge writes, as {column: object form}.
Json written(const Merge &merge) {
    Json columns = Json::object();
    for (const auto &[column, value] : merge.set)
        columns[column->name] = value;
    return columns;
}

class MergeTest : public testing::Test {
protected:
    // The state after a report of live values into a row.
    void reported(Fields live) {
        object.live = live;
        object.base = std::move(live);
        object.base["metadata.name"] = true;
    }

    Mirror nodes = dbnet::test::node_mirror();
    ReportedObject object;
};

TEST_F(MergeTest, NewObjectFillsEveryMappedColumnItHas) {
    object.live = {{"metadata.labels", {{"zone", "a"}}}, {ready, "True"}};
    Merge result = merge_new(nodes, object);
    EXPECT_EQ(written(result), (Json{{"labels", {{"zone", "a"}}}, {"ready", "True"}}));
    EXPECT_TRUE(is_reported(nodes.mapping, result.base));
    object.base = result.base;
    EXPECT_FALSE(needs_report(nodes, object));
}

TEST_F(MergeTest, LiveValueReplacesWhatTheRowAndTheBaseAgreeOn) {
    reported({{"spec.unschedulable", false}, {ready, "False"}});
    object.live = {{"spec.unschedulable", true}, {ready, "True"}};
    EXPECT_TRUE(needs_report(nodes, object));
    Merge result = merge(nodes, object, {{"name", "n1"}, {"unschedulable", false}, {"ready", "False"}});
    EXPECT_EQ(written(result), (Json{{"unschedulable", true}, {"ready", "True"}}));
    EXPECT_EQ(result.base.at("spec.unschedulable"), true);
    EXPECT_TRUE(result.base_changed);
}

TEST_F(MergeTest, ValueThatWentAwayBecomesNull) {
    reported({{"metadata.labels", {{"zone", "a"}}}});
    object.live = {};
    Merge result = merge(nodes, object, {{"labels", {{"zone", "a"}}}});
    EXPECT_EQ(written(result), (Json{{"labels", nullptr}}));
    EXPECT_EQ(result.base.count("metadata.labels"), 0u);
}

TEST_F(MergeTest, UnsentChangeOfTheUserSurvives) {
    reported({{"spec.unschedulable", false}, {"metadata.labels", {{"zone", "a"}}}});
    object.live = {{"spec.unschedulable", false}, {"metadata.labels", {{"zone", "b"}}}, {ready, "True"}};
    Row row = {{"unschedulable", true}, {"labels", {{"zone", "c"}}}, {"ready", nullptr}};
    Merge result = merge(nodes, object, row);
    EXPECT_EQ(written(result), (Json{{"ready", "True"}}));
    EXPECT_EQ(result.base.at("metadata.labels"), (Json{{"zone", "a"}})) << "else the change would look like an echo";
    EXPECT_TRUE(has_unsent_change(nodes, object.base, row));
}

TEST_F(MergeTest, UserWhoWroteWhatTheDeviceHasMeanwhileKeepsHisChange) {
    reported({{"spec.unschedulable", false}});
    object.live = {{"spec.unschedulable", true}};
    Merge result = merge(nodes, object, {{"unschedulable", true}});
    EXPECT_EQ(written(result), Json::object());
    EXPECT_EQ(result.base.at("spec.unschedulable"), false);
}

TEST_F(MergeTest, ClaimedColumnIsNeverOverwritten) {
    for (OnDrift on_drift : {OnDrift::report, OnDrift::enforce}) {
        nodes.settings.on_drift = on_drift;
        reported({{"spec.unschedulable", true}});
        object.claimed = {"spec.unschedulable"};
        object.applied = {{"spec.unschedulable", true}};
        object.live = {{ready, "True"}};
        Merge result = merge(nodes, object, {{"unschedulable", true}});
        EXPECT_EQ(written(result), (Json{{"ready", "True"}}));
        ASSERT_EQ(drifted(nodes, object).size(), 1u);
        EXPECT_EQ(drifted(nodes, object)[0]->path, "spec.unschedulable");
    }
}

TEST_F(MergeTest, DriftOfAClaimedColumnAloneNeedsNoReport) {
    reported({{"spec.unschedulable", true}});
    object.claimed = {"spec.unschedulable"};
    object.applied = {{"spec.unschedulable", true}};
    object.live = {{"spec.unschedulable", false}};
    EXPECT_FALSE(needs_report(nodes, object));
}

TEST_F(MergeTest, SeedIsSharedWhenSomebodyElseOwnsIt) {
    const Json ours = {{"spec.unschedulable", {"dbnet-1", nullptr}}},
               theirs = {{"spec.unschedulable", {"dbnet-1", nullptr, "hpa"}}};
    const std::set<std::string> claimed{"spec.unschedulable"};
    EXPECT_FALSE(has_shared_seed(nodes, claimed, theirs));
    nodes.mapping.columns[2].on_drift = OnDrift::seed;
    EXPECT_TRUE(has_shared_seed(nodes, claimed, theirs));
    EXPECT_FALSE(has_shared_seed(nodes, claimed, ours));
    EXPECT_FALSE(has_shared_seed(nodes, {}, theirs));
    EXPECT_FALSE(has_shared_seed(nodes, claimed, Json::object()));
}

class MergeOthersWin : public MergeTest, public testing::WithParamInterface<OnDrift> {};
INSTANTIATE_TEST_SUITE_P(Rules, MergeOthersWin, testing::Values(OnDrift::follow, OnDrift::seed));

TEST_P(MergeOthersWin, ColumnGoesWithWhoeverChangedItAndIsReleased) {
    nodes.mapping.columns[2].on_drift = GetParam();
    reported({{"spec.unschedulable", true}});
    object.claimed = {"spec.unschedulable"};
    object.applied = {{"spec.unschedulable", true}};
    object.live = {{"spec.unschedulable", false}};
    EXPECT_TRUE(needs_report(nodes, object));
    Merge result = merge(nodes, object, {{"unschedulable", true}});
    EXPECT_EQ(written(result), (Json{{"unschedulable", false}}));
    EXPECT_EQ(result.released, std::set<std::string>{"spec.unschedulable"});

    result = merge(nodes, object, {{"unschedulable", false}});
    EXPECT_TRUE(result.released.empty()) << "the user has just changed it: his change goes first";
}

TEST_F(MergeTest, ClaimThatWasNeverAppliedHasNotDrifted) {
    nodes.settings.on_drift = OnDrift::follow;
    reported({});
    object.claimed = {"spec.podCIDR"};
    object.live = {{"spec.podCIDR", "10.0.0.0/24"}};
    EXPECT_TRUE(drifted(nodes, object).empty());
    EXPECT_TRUE(merge(nodes, object, {{"pod_cidr", nullptr}}).released.empty());
}

TEST_F(MergeTest, NullIsNoOpinionAndIsFilledAgain) {
    reported({{"spec.podCIDR", "10.0.0.0/24"}});
    object.live = {{"spec.podCIDR", "10.0.1.0/24"}};
    Row row = {{"pod_cidr", nullptr}};
    EXPECT_FALSE(has_unsent_change(nodes, object.base, row));
    EXPECT_EQ(written(merge(nodes, object, row)), (Json{{"pod_cidr", "10.0.1.0/24"}}));
}

TEST_F(MergeTest, EqualInMeaningIsEqual) {
    reported({{"status.capacity.memory", "1Gi"}});
    object.live = {{"status.capacity.memory", "1024Mi"}};
    EXPECT_FALSE(needs_report(nodes, object));
    EXPECT_EQ(written(merge(nodes, object, {{"memory", "1Gi"}})), Json::object());
}

TEST_F(MergeTest, ZeroValueIsAsGoodAsNone) {
    object.live = {};
    Row row = {{"unschedulable", false}};
    Merge result = merge(nodes, object, row);
    EXPECT_EQ(written(result), Json::object());
    EXPECT_EQ(result.base.at("spec.unschedulable"), false) << "the base is what the row holds";
    object.base = result.base;
    EXPECT_FALSE(needs_report(nodes, object));
    EXPECT_FALSE(has_unsent_change(nodes, object.base, row));
    object.live = {{"spec.unschedulable", true}};
    EXPECT_EQ(written(merge(nodes, object, row)), (Json{{"unschedulable", true}}));
}

TEST_F(MergeTest, RowThatWasThereBeforeItsObjectIsTreatedAsTheMirrorSays) {
    object.live = {{"spec.podCIDR", "10.0.0.0/24"}, {"spec.unschedulable", true}, {ready, "True"}};
    Row row = {{"pod_cidr", "10.9.0.0/24"}, {"unschedulable", true}, {"ready", "Unknown"}};
    for (Initial initial : {Initial::compare, Initial::push}) {
        nodes.initial = initial;
        Merge result = merge(nodes, object, row);
        EXPECT_EQ(written(result), (Json{{"ready", "True"}}));
        EXPECT_EQ(result.base.count("spec.podCIDR"), 0u);
        EXPECT_EQ(result.base.count("spec.unschedulable"), initial == Initial::push ? 0u : 1u)
            << "an equal value is agreed upon, but claimed under push";
        EXPECT_TRUE(is_reported(nodes.mapping, result.base));
    }
    nodes.initial = Initial::pull;
    EXPECT_EQ(written(merge(nodes, object, row)), (Json{{"pod_cidr", "10.0.0.0/24"}, {"ready", "True"}}));
}

TEST_F(MergeTest, RowValueThatCannotBeReadIsTheUsers) {
    reported({{"spec.unschedulable", false}});
    nodes.mapping.columns[2].column_type = "text";
    object.live = {{"spec.unschedulable", true}};
    Row row = {{"unschedulable", "perhaps"}};
    EXPECT_EQ(written(merge(nodes, object, row)), Json::object());
    EXPECT_TRUE(has_unsent_change(nodes, object.base, row));
}

TEST_F(MergeTest, RejectedChangeGetsLiveValuesAndClaimsWhatWasApplied) {
    reported({{"spec.podCIDR", "10.0.0.0/24"}, {"spec.unschedulable", false}});
    object.claimed = {"spec.unschedulable"};
    object.applied = {{"spec.unschedulable", false}};
    object.live = {{"spec.podCIDR", "10.0.1.0/24"}, {"spec.unschedulable", true}};
    Row row = {{"pod_cidr", "10.5.0.0/24"}, {"unschedulable", true}, {"labels", {{"zone", "z"}}}};
    Merge result = restore(nodes, object, row);
    EXPECT_EQ(written(result), (Json{{"labels", nullptr}, {"pod_cidr", "10.0.1.0/24"}, {"unschedulable", false}}));
    object.base = result.base;
    EXPECT_FALSE(has_unsent_change(nodes, object.base, {{"pod_cidr", "10.0.1.0/24"}, {"unschedulable", false}}));
}

TEST_F(MergeTest, RejectedEnforcementAcceptsWhatTheDeviceHas) {
    reported({{"spec.podCIDR", "10.0.0.0/24"}, {"spec.unschedulable", false}});
    object.claimed = {"spec.unschedulable", "spec.podCIDR"};
    object.applied = {{"spec.podCIDR", "10.0.0.0/24"}, {"spec.unschedulable", false}};
    object.live = {{"spec.podCIDR", "10.0.0.0/24"}, {"spec.unschedulable", true}};
    nodes.settings.on_drift = OnDrift::enforce;
    const Merge result = restore(nodes, object, {{"pod_cidr", "10.0.0.0/24"}, {"unschedulable", false}});
    EXPECT_EQ(written(result), (Json{{"unschedulable", true}}));
    EXPECT_EQ(result.accepted, (Fields{{"spec.unschedulable", true}}));
    EXPECT_EQ(result.base.at("spec.unschedulable"), true);
}

TEST_F(MergeTest, WhatWasWrittenAfterARejectionStaysAsUnsent) {
    reported({{"spec.podCIDR", "10.0.0.0/24"}, {"spec.unschedulable", false}});
    object.live = {{"spec.podCIDR", "10.0.0.0/24"}, {"spec.unschedulable", false}};
    const RowDigest rejected(
        nodes.mapping, nodes.mapping.to_object_form({{"pod_cidr", "10.5.0.0/24"}, {"unschedulable", false}}), "key");
    const Row row = {{"pod_cidr", "10.5.0.0/24"}, {"unschedulable", true}, {"labels", {{"zone", "z"}}}};
    const Merge result = restore(nodes, object, row, &rejected);
    EXPECT_EQ(written(result), (Json{{"pod_cidr", "10.0.0.0/24"}}));
    EXPECT_TRUE(has_unsent_change(nodes, result.base, {{"pod_cidr", "10.0.0.0/24"}, {"unschedulable", true}}));
    EXPECT_TRUE(has_unsent_change(nodes, result.base, {{"pod_cidr", "10.0.0.0/24"}, {"labels", {{"zone", "z"}}}}));
}

} // namespace
