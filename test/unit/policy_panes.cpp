// Values over windows of panes.
#include "policy/panes.hpp"

#include <gtest/gtest.h>

using namespace dbnet::policy;

namespace {

Pane pane(std::int64_t count, std::int64_t errors, double sum, double min, double max, double last = 0,
          Time last_at = 0) {
    Pane pane;
    pane.count = count;
    pane.errors = errors;
    pane.increase = static_cast<double>(count);
    pane.sum = sum;
    pane.min = min;
    pane.max = max;
    pane.last = last;
    pane.last_at = last_at;
    return pane;
}

double value(const Series &series, const char *aggregate, Second first, Second last) {
    return series.observe(*measure_of(aggregate), first, last).value.value_or(-1);
}

} // namespace

TEST(PolicyPanes, Aggregates) {
    for (const char *text : {"rate", "error_rate", "count", "average", "min", "max", "sum", "last", "absent"})
        EXPECT_TRUE(measure_of(text)) << text;
    EXPECT_EQ(measure_of("p50")->quantile, 0.5);
    EXPECT_DOUBLE_EQ(measure_of("p99.9")->quantile, 0.999);
    for (const char *text : {"", "p", "p0", "p100", "p-1", "p99%", "median", "p1e400", "pnan"})
        EXPECT_FALSE(measure_of(text)) << text;
}

TEST(PolicyPanes, ValuesOfAWindow) {
    Series series;
    series.add(100, pane(10, 1, 100, 5, 20, 7, 1));
    series.add(102, pane(10, 4, 300, 1, 90, 9, 3));
    series.add(102, pane(20, 0, 200, 2, 10, 8, 2)); // another process, the same second
    EXPECT_EQ(value(series, "count", 100, 102), 40);
    EXPECT_DOUBLE_EQ(value(series, "rate", 93, 102), 4);
    EXPECT_DOUBLE_EQ(value(series, "error_rate", 100, 102), 0.125);
    EXPECT_DOUBLE_EQ(value(series, "average", 100, 102), 15);
    EXPECT_EQ(value(series, "min", 100, 102), 1);
    EXPECT_EQ(value(series, "max", 100, 102), 90);
    EXPECT_EQ(value(series, "sum", 100, 102), 600);
    EXPECT_EQ(value(series, "last", 100, 102), 9);
    EXPECT_EQ(value(series, "count", 101, 102), 30) << "the first second is over";
    EXPECT_EQ(value(series, "count", 100, 101), 10) << "the last is yet to come";
    EXPECT_EQ(series.observe(*measure_of("error_rate"), 100, 102).count, 40);
    EXPECT_TRUE(series.has_begun(100));
    EXPECT_FALSE(series.has_begun(99)) << "all of it lies ahead";
    EXPECT_FALSE(Series().has_begun(100));
}

TEST(PolicyPanes, Nothing) {
    const Series series;
    for (const char *aggregate : {"error_rate", "average", "min", "max", "sum", "last", "p99", "absent"})
        EXPECT_FALSE(series.observe(*measure_of(aggregate), 1, 60).value) << aggregate;
    EXPECT_EQ(series.observe(*measure_of("rate"), 1, 60).value, 0);
    EXPECT_EQ(series.observe(*measure_of("count"), 1, 60).value, 0);
}

TEST(PolicyPanes, Quantiles) {
    Series series;
    for (int index = 1; index <= 100; index++) {
        Pane one = pane(1, 0, index, index, index);
        one.values.add(index * 1e6); // nanoseconds
        series.add(100 + index % 3, one);
    }
    Measure measure = *measure_of("p95");
    measure.unit = 1e-6;
    EXPECT_NEAR(*series.observe(measure, 100, 102).value, 95, 1.1);
    measure.quantile = 0.5;
    EXPECT_NEAR(*series.observe(measure, 100, 102).value, 50, 1.1);
}

TEST(PolicyPanes, Forgetting) {
    Panes panes;
    panes.of("a").add(1, pane(1, 0, 1, 1, 1));
    panes.of("a").add(2, pane(1, 0, 1, 1, 1));
    panes.of("b").add(1, pane(1, 0, 1, 1, 1));
    panes.forget_before(2);
    ASSERT_EQ(panes.groups().size(), 1u) << "a group that has nothing is forgotten";
    EXPECT_EQ(value(panes.of("a"), "count", 0, 9), 1);
    panes.forget(2);
    EXPECT_TRUE(panes.of("a").empty());
}

TEST(PolicyPanes, Windows) {
    EXPECT_EQ(window_at(100 * second + 1, 60 * second).first, 41);
    EXPECT_EQ(window_at(100 * second + 1, 60 * second).last, 100);
    EXPECT_EQ(window_at(99 * second + 999'999, 60 * second).last, 99);
    EXPECT_EQ(window_at(-1, 1 * second).first, -1) << "before 2000";
    EXPECT_EQ(window_at(100 * second, second / 2).first, 100) << "no less than a second";
}

// A window over minutes that are added up says what its seconds say, also when some of them change afterwards.
TEST(PolicyPanes, MinutesAreTheirSeconds) {
    Series series;
    for (Second second = -200; second <= 400; ++second)
        series.add(second, pane(1, 0, static_cast<double>(second), static_cast<double>(second),
                                static_cast<double>(second), static_cast<double>(second), second));
    const auto expect_window = [&](Second first, Second last, double count, double sum) {
        EXPECT_EQ(value(series, "count", first, last), count) << first << " to " << last;
        EXPECT_EQ(value(series, "sum", first, last), sum) << first << " to " << last;
    };
    expect_window(-130, 299, 430, (-130 + 299) * 430 / 2.0);
    expect_window(0, 59, 60, 59 * 60 / 2.0);
    expect_window(1, 60, 60, 61 * 60 / 2.0);
    EXPECT_EQ(value(series, "max", 0, 179), 179);
    EXPECT_EQ(value(series, "last", 0, 179), 179);
    series.add(30, pane(1, 0, 1000, 1000, 1000));
    expect_window(0, 59, 61, 59 * 60 / 2.0 + 1000);
    series.forget(30);
    expect_window(0, 59, 59, 59 * 60 / 2.0 - 30);
    series.forget_from(90);
    expect_window(60, 179, 30, (60 + 89) * 30 / 2.0);
    series.forget_before(10);
    expect_window(0, 119, 79, (10 + 89) * 80 / 2.0 - 30);
}

TEST(PolicyPanes, ForgetsFrom) {
    Panes panes;
    panes.of("a").add(1, pane(1, 0, 1, 1, 1));
    panes.of("a").add(2, pane(1, 0, 2, 2, 2));
    panes.of("b").add(2, pane(1, 0, 2, 2, 2));
    panes.forget_from(2);
    EXPECT_EQ(value(panes.of("a"), "count", 0, 9), 1);
    EXPECT_EQ(value(panes.of("b"), "count", 0, 9), 0);
}
