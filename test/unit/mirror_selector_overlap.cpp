// Which label selectors certainly exclude each other.
#include "mirror/definition/selector_overlap.hpp"

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
    expect_both_ways(true, "app in (a,b)", "app in (c)");
    expect_both_ways(true, "app notin (a),(", "((,,=");
}

} // namespace
