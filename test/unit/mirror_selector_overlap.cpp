// Label selectors: what they match, as the API server reads them, which of them certainly exclude each other, and which
// objects a mirror has because of its own.
#include "mirror/definition/selector_overlap.hpp"

#include "kubernetes/object/label_selector.hpp"
#include "mirror/decision/scope.hpp"

#include <gtest/gtest.h>

#include "pg/no_postgres.hpp"

namespace {

using dbnet::mirror::may_overlap;

void expect_both_ways(bool expected, const char *left, const char *right) {
    EXPECT_EQ(may_overlap(left, right), expected) << left << " | " << right;
    EXPECT_EQ(may_overlap(right, left), expected) << right << " | " << left;
}

TEST(SelectorOverlap, Excluding) {
    expect_both_ways(false, "app=web", "app=db");
    expect_both_ways(false, "zone=a,app==web", "app = db , tier=x");
    expect_both_ways(false, "app=web", "app!=web");
    expect_both_ways(false, "app=web", "!app");
    expect_both_ways(false, "tier in (a,b),app=web", "app=db");
    expect_both_ways(false, "app in (a,b)", "app in (c)");
    expect_both_ways(false, "app in (a,b)", "app notin (a,b,c)");
    expect_both_ways(false, "size=3", "size>3");
}

TEST(SelectorOverlap, PerhapsOverlapping) {
    expect_both_ways(true, "", "");
    expect_both_ways(true, "", "app=web");
    expect_both_ways(true, "app=web", "app=web");
    expect_both_ways(true, "app=web", "tier=db");
    expect_both_ways(true, "app=web", "app!=db");
    expect_both_ways(true, "app!=web", "app!=db");
    expect_both_ways(true, "!app", "app!=web");
    expect_both_ways(true, "app", "app=web");
    expect_both_ways(true, "app in (a,b)", "app in (b,c)");
    expect_both_ways(true, "app in (a,b)", "app notin (a)");
    expect_both_ways(true, "app notin (a),(", "((,,=");
}

using dbnet::kubernetes::LabelSelector;
using nlohmann::json;

bool selects(const char *selector, const json &labels) {
    const auto parsed = LabelSelector::parse(selector);
    EXPECT_TRUE(parsed) << selector;
    return parsed && parsed->matches(labels);
}

TEST(LabelSelector, WhatEachFormMatches) {
    const json web = {{"app", "web"}, {"size", "3"}, {"empty", ""}};
    for (const char *selector : {"", " ", "app", "app=web", "app==web", "app = web", "app!=db", "app in (db, web)",
                                 "app notin (db)", "!gone", "gone!=x", "gone notin (x)", "empty=", "empty in ()",
                                 "empty in (a,)", "size>2", "size < 4", "app=web,size=3", "app,!gone,size in (3)"})
        EXPECT_TRUE(selects(selector, web)) << selector;
    for (const char *selector : {"gone", "app=db", "app!=web", "app in (db)", "app notin (db,web)", "!app",
                                 "app=", "size>3", "size<3", "app>1", "gone<1", "gone in (x)", "app=web,size=4"})
        EXPECT_FALSE(selects(selector, web)) << selector;
}

TEST(LabelSelector, LabelsThatAreNone) {
    for (const json &none : {json(), json::object(), json("text"), json::array(), json({{"app", nullptr}})}) {
        EXPECT_TRUE(selects("", none));
        EXPECT_TRUE(selects("!app", none));
        EXPECT_FALSE(selects("app", none));
    }
}

TEST(LabelSelector, WhatTheServerRefuses) {
    for (const char *selector : {",", "app,", "=web", "app=web db", "app in", "app in web", "app in (", "app in (a",
                                 "()", "app>x", "app<", "!app=web", "!", "app=(x)", "app in (a) b", "a b"})
        EXPECT_FALSE(LabelSelector::parse(selector)) << selector;
}

TEST(LabelSelector, RemembersItsText) {
    EXPECT_EQ(LabelSelector::parse(" app = web")->text(), " app = web");
    EXPECT_TRUE(LabelSelector().matches_all());
    EXPECT_FALSE(LabelSelector::parse("app")->matches_all());
}

} // namespace

// Objects that a mirror's label selector takes in and leaves out ----------------------------------------------------

namespace {

class Scope : public testing::Test {
protected:
    Scope() {
        add("name", "metadata.name", Role::key);
        add("labels", "metadata.labels", Role::meta);
        add("data", "data", Role::spec);
        settings.kind = "ConfigMap";
        settings.manage = true;
        select("app=web");
    }

    void add(const char *name, const char *path, Role role) {
        Column column;
        column.name = name;
        column.path = path;
        column.field = dbnet::kubernetes::FieldPath::parse(path);
        column.role = role;
        column.type = ValueType::json;
        mapping.columns.push_back(column);
    }
    void select(const char *selector) { settings.selector = *dbnet::kubernetes::LabelSelector::parse(selector); }

    // An object that DBNet created, with both columns claimed.
    void created(const Json &labels) {
        object.emplace();
        object->uid = "u1";
        object->phase = Phase::synced;
        object->created_by_us = true;
        object->live = {{"metadata", {{"labels", labels}}}, {"data", {{"a", "1"}}}};
        object->claimed = {"metadata.labels", "data"};
        object->applied = object->base = {{"metadata.labels", {{"app", "web"}}}, {"data", {{"a", "1"}}}};
        row.values = object->base;
    }

    Decision decided(bool has_row = true) {
        Situation situation;
        situation.mapping = &mapping;
        situation.settings = &settings;
        situation.name = "n";
        situation.row = has_row ? &row : nullptr;
        situation.object = object ? &*object : nullptr;
        situation.tombstone = has_row ? nullptr : &tombstone;
        return decide(situation);
    }
    void expect_refused() {
        const Decision decision = decided();
        EXPECT_EQ(decision.action, Action::refuse);
        EXPECT_EQ(decision.phase, Phase::invalid);
        EXPECT_EQ(decision.message, "with the row's labels the object would not match the mirror's label selector \"" +
                                        settings.selector.text() + "\", and the mirror would not see it");
        EXPECT_EQ(decision.hint, "Give column \"labels\" labels that match.");
    }

    Mapping mapping;
    MirrorSettings settings;
    RowFields row;
    std::optional<ObjectRecord> object;
    TombstoneRecord tombstone{"u1"};
};

const Json left = {{"app", "db"}};

TEST_F(Scope, ARowThatTheMirrorWouldNotSeeIsNotMade) {
    row.values = {{"data", {{"a", "1"}}}};
    expect_refused();
    row.values["metadata.labels"] = left;
    expect_refused();
    row.values["metadata.labels"] = {{"app", "web"}, {"tier", "x"}};
    EXPECT_EQ(decided().action, Action::create);
}

TEST_F(Scope, WithoutAColumnForLabels) {
    mapping.columns.erase(mapping.columns.begin() + 1);
    row.values = {{"data", {{"a", "1"}}}};
    EXPECT_EQ(decided().hint, "Map metadata.labels to a column and give the row labels that match, or mirror the kind "
                              "without that selector.");
    select("app!=web");
    EXPECT_EQ(decided().action, Action::create);
}

TEST_F(Scope, ASingleLabelAsAColumn) {
    mapping.columns.pop_back();
    mapping.columns.pop_back();
    add("app", "metadata.labels.app", Role::meta);
    row.values = {{"metadata.labels.app", "db"}};
    EXPECT_EQ(decided().hint, "Give column \"app\" labels that match.");
    row.values = {{"metadata.labels.app", "web"}};
    EXPECT_EQ(decided().action, Action::create);
}

TEST_F(Scope, TheServerLabelsNamespacesByTheirName) {
    select("kubernetes.io/metadata.name=n");
    expect_refused();
    settings.kind = "Namespace";
    EXPECT_EQ(decided().action, Action::create);
}

TEST_F(Scope, ARowDoesNotTakeItsObjectAway) {
    created({{"app", "web"}, {"others", "x"}});
    row.values["metadata.labels"] = left;
    expect_refused();
    row.values["metadata.labels"] = Json::object(); // what was applied goes
    expect_refused();
    row.values["metadata.labels"] = {{"app", "web"}, {"more", "y"}};
    EXPECT_EQ(decided().action, Action::update);
    select("others");
    row.values["metadata.labels"] = {{"app", "db"}};
    EXPECT_EQ(decided().action, Action::update) << "what others have set stays";
}

TEST_F(Scope, WhatHasLeftIsNotDeleted) {
    created(left);
    settings.on_external_delete = OnExternalDelete::recreate;
    object->phase = Phase::drifted;
    const Decision decision = decided();
    EXPECT_EQ(decision.action, Action::nothing);
    EXPECT_EQ(decision.phase, Phase::drifted);
    EXPECT_EQ(decision.message, "the object does not match the mirror's label selector \"app=web\" any more");

    row.values["data"] = {{"a", "2"}};
    EXPECT_EQ(decided().action, Action::update) << "it is still the row's";
    EXPECT_EQ(decided().uid, "u1");
    row.values["metadata.labels"] = {{"app", "web"}, {"more", "y"}};
    EXPECT_EQ(decided().action, Action::update) << "that brings it back";
    row.values["metadata.labels"] = {{"app", "cache"}};
    expect_refused();
}

TEST_F(Scope, EnforcedLabelsBringItBack) {
    created(left);
    settings.on_drift = OnDrift::enforce;
    const Decision decision = decided();
    EXPECT_EQ(decision.action, Action::update);
    EXPECT_TRUE(decision.only_reverts);
    EXPECT_EQ(decision.changed, std::vector<std::string>{"metadata.labels"});
}

TEST_F(Scope, ADeletedRowDeletesTheObjectThatHasLeft) {
    created(left);
    object->phase = Phase::drifted;
    EXPECT_EQ(decided(false).action, Action::remove);
    EXPECT_EQ(decided(false).uid, "u1");
}

TEST_F(Scope, OfNoObjectNothingIsSaid) {
    EXPECT_FALSE(has_left_selector(settings, Json()));
    EXPECT_TRUE(has_left_selector(settings, Json::object()));
    select("");
    EXPECT_FALSE(has_left_selector(settings, Json::object()));
}

} // namespace
