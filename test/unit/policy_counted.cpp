// Growth of histograms and exponential histograms from point to point.
#include "policy/counted.hpp"

#include <gtest/gtest.h>

using namespace dbnet::policy;

namespace {

CountedPoint explicit_point(std::vector<std::uint64_t> counts, double sum, std::int64_t start = 1) {
    CountedPoint point;
    point.start = start;
    point.bounds = {10, 20, 40};
    for (const std::uint64_t count : counts)
        point.count += count;
    point.counts = std::move(counts);
    point.sum = sum;
    return point;
}

CountedPoint exponential_point(std::int32_t scale, std::int32_t offset, std::vector<std::uint64_t> counts,
                               std::uint64_t zeros = 0) {
    CountedPoint point;
    point.start = 1;
    point.is_exponential = true;
    point.scale = scale;
    point.positive_offset = offset;
    point.zero_count = zeros;
    point.count = zeros;
    for (const std::uint64_t count : counts)
        point.count += count;
    point.positive = std::move(counts);
    return point;
}

} // namespace

TEST(PolicyCounted, PointsThatCountByThemselves) {
    const Pane pane = growth(nullptr, explicit_point({0, 100, 0, 0}, 1500), true);
    EXPECT_EQ(pane.count, 100);
    EXPECT_EQ(pane.increase, 100);
    EXPECT_EQ(pane.sum, 1500);
    EXPECT_EQ(pane.last, 15);
    EXPECT_NEAR(pane.values.quantile(0.5), 15, 0.5) << "values are spread over their bucket";
    EXPECT_NEAR(pane.values.quantile(0.9), 19, 0.5);
    EXPECT_NEAR(pane.min, 10, 0.5);
    EXPECT_NEAR(pane.max, 20, 0.5);
    EXPECT_EQ(growth(nullptr, explicit_point({0, 100, 0, 0}, 1500), false).values.count(), 0) << "not asked for";
    EXPECT_EQ(growth(nullptr, explicit_point({0, 0, 0, 0}, 0), true).count, 0);
}

TEST(PolicyCounted, OpenBucketsEndAtWhatWasSeen) {
    const Pane pane = growth(nullptr, explicit_point({10, 0, 0, 10}, 500), true);
    EXPECT_NEAR(pane.values.quantile(0.25), 5, 1) << "from 0";
    EXPECT_NEAR(pane.values.quantile(0.99), 40, 2) << "to the last bound";
    CountedPoint seen = explicit_point({10, 0, 0, 10}, 500);
    seen.min = 8;
    seen.max = 80;
    const Pane known = growth(nullptr, seen, true);
    EXPECT_NEAR(known.values.quantile(0.01), 8, 0.5);
    EXPECT_NEAR(known.values.quantile(0.99), 79, 2);
    EXPECT_EQ(known.min, 8);
    EXPECT_EQ(known.max, 80);
}

TEST(PolicyCounted, CumulativeGrowth) {
    const CountedPoint before = explicit_point({5, 5, 0, 0}, 100);
    const Pane pane = growth(&before, explicit_point({5, 5, 8, 0}, 340), true);
    EXPECT_EQ(pane.count, 8);
    EXPECT_EQ(pane.sum, 240);
    EXPECT_NEAR(pane.values.quantile(0.5), 30, 2);
    EXPECT_EQ(growth(&before, before, true).count, 0) << "nothing was counted";
}

TEST(PolicyCounted, BegunAnew) {
    const CountedPoint before = explicit_point({5, 5, 0, 0}, 100);
    EXPECT_EQ(growth(&before, explicit_point({1, 0, 2, 0}, 70), true).count, 3) << "counts less";
    EXPECT_EQ(growth(&before, explicit_point({4, 5, 9, 0}, 400), true).count, 18) << "less in one bucket";
    EXPECT_EQ(growth(&before, explicit_point({5, 5, 9, 0}, 400, 2), true).count, 19) << "another start";
    CountedPoint other = explicit_point({5, 5, 9, 0}, 400);
    other.bounds = {1, 2, 3};
    EXPECT_EQ(growth(&before, other, true).count, 19) << "other buckets";
    EXPECT_EQ(growth(&before, exponential_point(0, 0, {30}), true).count, 30) << "another kind";
}

TEST(PolicyCounted, ExponentialGrowthOverScales) {
    // Scale 1: bucket 2 is (2, 2.83], bucket 3 is (2.83, 4]; at scale 0 both are bucket 1: (2, 4].
    const CountedPoint before = exponential_point(1, 2, {3, 4}, 1);
    const CountedPoint now = exponential_point(0, 1, {10, 5}, 3);
    const Pane pane = growth(&before, now, true);
    EXPECT_EQ(pane.count, 18 - 8);
    EXPECT_EQ(pane.values.count(), 10U) << "2 zeros, 3 in (2, 4], 5 in (4, 8]";
    EXPECT_EQ(pane.values.quantile(0.1), 0);
    EXPECT_GT(pane.values.quantile(0.4), 2);
    EXPECT_LT(pane.values.quantile(0.4), 4.01);
    EXPECT_GT(pane.values.quantile(0.9), 4);
    const CountedPoint less = exponential_point(0, 1, {6, 5}, 3);
    EXPECT_EQ(growth(&before, less, true).count, 14) << "less in one bucket: it began anew";
    const CountedPoint lower = exponential_point(1, 0, {2, 0, 3, 4}, 1);
    EXPECT_EQ(growth(&before, lower, true).count, 2) << "buckets that begin earlier";
}

TEST(PolicyCounted, HostilePoints) {
    CountedPoint strange = explicit_point({1, 2, 3}, 10); // one count is missing
    EXPECT_EQ(growth(nullptr, strange, true).values.count(), 0U);
    strange.bounds = {};
    strange.counts = {6};
    EXPECT_EQ(growth(nullptr, strange, true).values.count(), 0U) << "count and sum alone";
    CountedPoint far = exponential_point(INT32_MAX, INT32_MAX, {1});
    const CountedPoint before = exponential_point(INT32_MIN, INT32_MIN, {1});
    EXPECT_EQ(growth(&before, far, true).count, 1);
    CountedPoint wide = exponential_point(0, 1000000000, {1, 1});
    const CountedPoint near = exponential_point(0, -1000000000, {1, 1});
    EXPECT_EQ(growth(&near, wide, true).count, 2);
}
