// Label selectors: what they match, as the API server reads them, and which of them certainly exclude each other.
#include "mirror/definition/selector_overlap.hpp"

#include "kubernetes/object/label_selector.hpp"

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
