// Three-way merge of a report with a row: what a report may write and what it must leave alone.
#include "merge_support.hpp"
#include "mirror/merge.hpp"

#include <gtest/gtest.h>

using namespace dbnet::mirror;

namespace {

constexpr char ready[] = "status.conditions[type=Ready].status";

// What a merge writes, as {column: object form}.
Json written(const Merge &merge) {
    Json result = Json::object();
    for (const auto &[column, value] : merge.set)
        result[column->name] = value;
    return result;
}

class MergeTest : public testing::Test {
protected:
    // The state after a report of live values into a row.
    void report(Fields live) {
        object.live = live;
        object.base = std::move(live);
        object.base["metadata.name"] = true;
    }

    Mirror mirror = dbnet::test::node_mirror();
    ReportedObject object;
};

TEST_F(MergeTest, NewObjectFillsEveryMappedColumnItHas) {
    object.live = {{"metadata.labels", {{"zone", "a"}}}, {ready, "True"}};
    Merge merge = merge_new(mirror, object);
    EXPECT_EQ(written(merge), (Json{{"labels", {{"zone", "a"}}}, {"ready", "True"}}));
    EXPECT_TRUE(is_reported(mirror.mapping, merge.base));
    object.base = merge.base;
    EXPECT_FALSE(needs_report(mirror, object));
}

TEST_F(MergeTest, LiveValueReplacesWhatTheRowAndTheBaseAgreeOn) {
    report({{"spec.unschedulable", false}, {ready, "False"}});
    object.live = {{"spec.unschedulable", true}, {ready, "True"}};
    EXPECT_TRUE(needs_report(mirror, object));
    Merge merge = mirror::merge(mirror, object, {{"name", "n1"}, {"unschedulable", false}, {"ready", "False"}});
    EXPECT_EQ(written(merge), (Json{{"unschedulable", true}, {"ready", "True"}}));
    EXPECT_EQ(merge.base.at("spec.unschedulable"), true);
    EXPECT_TRUE(merge.base_changed);
}

TEST_F(MergeTest, ValueThatWentAwayBecomesNull) {
    report({{"metadata.labels", {{"zone", "a"}}}});
    object.live = {};
    Merge merge = mirror::merge(mirror, object, {{"labels", {{"zone", "a"}}}});
    EXPECT_EQ(written(merge), (Json{{"labels", nullptr}}));
    EXPECT_EQ(merge.base.count("metadata.labels"), 0u);
}

TEST_F(MergeTest, UnsentChangeOfTheUserSurvives) {
    report({{"spec.unschedulable", false}, {"metadata.labels", {{"zone", "a"}}}});
    object.live = {{"spec.unschedulable", false}, {"metadata.labels", {{"zone", "b"}}}, {ready, "True"}};
    Row row = {{"unschedulable", true}, {"labels", {{"zone", "c"}}}, {"ready", nullptr}};
    Merge merge = mirror::merge(mirror, object, row);
    EXPECT_EQ(written(merge), (Json{{"ready", "True"}}));
    EXPECT_EQ(merge.base.at("metadata.labels"), (Json{{"zone", "a"}})) << "else the change would look like an echo";
    EXPECT_TRUE(has_unsent_change(mirror, object, row));
}

TEST_F(MergeTest, UserWhoWroteWhatTheDeviceHasMeanwhileKeepsHisChange) {
    report({{"spec.unschedulable", false}});
    object.live = {{"spec.unschedulable", true}};
    Merge merge = mirror::merge(mirror, object, {{"unschedulable", true}});
    EXPECT_EQ(written(merge), Json::object());
    EXPECT_EQ(merge.base.at("spec.unschedulable"), false);
}

TEST_F(MergeTest, ClaimedColumnIsNeverOverwritten) {
    for (OnDrift on_drift : {OnDrift::report, OnDrift::enforce}) {
        mirror.settings.on_drift = on_drift;
        report({{"spec.unschedulable", true}});
        object.claimed = {"spec.unschedulable"};
        object.applied = {{"spec.unschedulable", true}};
        object.live = {{ready, "True"}};
        Merge merge = mirror::merge(mirror, object, {{"unschedulable", true}});
        EXPECT_EQ(written(merge), (Json{{"ready", "True"}}));
        EXPECT_EQ(drifted(mirror, object), std::vector<std::string>{"spec.unschedulable"});
    }
}

TEST_F(MergeTest, DriftOfAClaimedColumnAloneNeedsNoReport) {
    report({{"spec.unschedulable", true}});
    object.claimed = {"spec.unschedulable"};
    object.applied = {{"spec.unschedulable", true}};
    object.live = {{"spec.unschedulable", false}};
    EXPECT_FALSE(needs_report(mirror, object));
}

TEST_F(MergeTest, FollowedColumnGoesWithWhoeverChangedItAndIsReleased) {
    mirror.mapping.columns[2].on_drift = OnDrift::follow;
    report({{"spec.unschedulable", true}});
    object.claimed = {"spec.unschedulable"};
    object.applied = {{"spec.unschedulable", true}};
    object.live = {{"spec.unschedulable", false}};
    EXPECT_TRUE(needs_report(mirror, object));
    Merge merge = mirror::merge(mirror, object, {{"unschedulable", true}});
    EXPECT_EQ(written(merge), (Json{{"unschedulable", false}}));
    EXPECT_EQ(merge.released, std::set<std::string>{"spec.unschedulable"});

    merge = mirror::merge(mirror, object, {{"unschedulable", false}});
    EXPECT_TRUE(merge.released.empty()) << "the user has just changed it: his change goes first";
}

TEST_F(MergeTest, ClaimThatWasNeverAppliedHasNotDrifted) {
    mirror.settings.on_drift = OnDrift::follow;
    report({});
    object.claimed = {"spec.podCIDR"};
    object.live = {{"spec.podCIDR", "10.0.0.0/24"}};
    EXPECT_TRUE(drifted(mirror, object).empty());
    EXPECT_TRUE(mirror::merge(mirror, object, {{"pod_cidr", nullptr}}).released.empty());
}

TEST_F(MergeTest, NullIsNoOpinionAndIsFilledAgain) {
    report({{"spec.podCIDR", "10.0.0.0/24"}});
    object.live = {{"spec.podCIDR", "10.0.1.0/24"}};
    Row row = {{"pod_cidr", nullptr}};
    EXPECT_FALSE(has_unsent_change(mirror, object, row));
    EXPECT_EQ(written(mirror::merge(mirror, object, row)), (Json{{"pod_cidr", "10.0.1.0/24"}}));
}

TEST_F(MergeTest, EqualInMeaningIsEqual) {
    report({{"status.capacity.memory", "1Gi"}});
    object.live = {{"status.capacity.memory", "1024Mi"}};
    EXPECT_FALSE(needs_report(mirror, object));
    EXPECT_EQ(written(mirror::merge(mirror, object, {{"memory", "1Gi"}})), Json::object());
}

TEST_F(MergeTest, ZeroValueIsAsGoodAsNone) {
    object.live = {};
    Row row = {{"unschedulable", false}};
    Merge merge = mirror::merge(mirror, object, row);
    EXPECT_EQ(written(merge), Json::object());
    EXPECT_EQ(merge.base.at("spec.unschedulable"), false) << "the base is what the row holds";
    object.base = merge.base;
    EXPECT_FALSE(needs_report(mirror, object));
    EXPECT_FALSE(has_unsent_change(mirror, object, row));
    object.live = {{"spec.unschedulable", true}};
    EXPECT_EQ(written(mirror::merge(mirror, object, row)), (Json{{"unschedulable", true}}));
}

TEST_F(MergeTest, RowThatWasThereBeforeItsObjectIsTreatedAsTheMirrorSays) {
    object.live = {{"spec.podCIDR", "10.0.0.0/24"}, {"spec.unschedulable", true}, {ready, "True"}};
    Row row = {{"pod_cidr", "10.9.0.0/24"}, {"unschedulable", true}, {"ready", "Unknown"}};
    for (Initial initial : {Initial::compare, Initial::push}) {
        mirror.initial = initial;
        Merge merge = mirror::merge(mirror, object, row);
        EXPECT_EQ(written(merge), (Json{{"ready", "True"}}));
        EXPECT_EQ(merge.base.count("spec.podCIDR"), 0u);
        EXPECT_EQ(merge.base.at("spec.unschedulable"), true);
        EXPECT_TRUE(is_reported(mirror.mapping, merge.base));
    }
    mirror.initial = Initial::pull;
    EXPECT_EQ(written(mirror::merge(mirror, object, row)), (Json{{"pod_cidr", "10.0.0.0/24"}, {"ready", "True"}}));
}

TEST_F(MergeTest, RowValueThatCannotBeReadIsTheUsers) {
    report({{"spec.unschedulable", false}});
    mirror.mapping.columns[2].column_type = "text";
    object.live = {{"spec.unschedulable", true}};
    Row row = {{"unschedulable", "perhaps"}};
    EXPECT_EQ(written(mirror::merge(mirror, object, row)), Json::object());
    EXPECT_TRUE(has_unsent_change(mirror, object, row));
}

TEST_F(MergeTest, RejectedChangeGetsLiveValuesAndClaimsWhatWasApplied) {
    report({{"spec.podCIDR", "10.0.0.0/24"}, {"spec.unschedulable", false}});
    object.claimed = {"spec.unschedulable"};
    object.applied = {{"spec.unschedulable", false}};
    object.live = {{"spec.podCIDR", "10.0.1.0/24"}, {"spec.unschedulable", true}};
    Row row = {{"pod_cidr", "10.5.0.0/24"}, {"unschedulable", true}, {"labels", {{"zone", "z"}}}};
    Merge merge = restore(mirror, object, row);
    EXPECT_EQ(written(merge),
              (Json{{"labels", nullptr}, {"pod_cidr", "10.0.1.0/24"}, {"unschedulable", false}}));
    object.base = merge.base;
    EXPECT_FALSE(has_unsent_change(mirror, object, {{"pod_cidr", "10.0.1.0/24"}, {"unschedulable", false}}));
}

} // namespace
