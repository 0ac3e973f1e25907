// Panes: what goes where, and that nothing is left out.
#include "telemetry/panes/panes.hpp"

#include <gtest/gtest.h>

namespace dbnet::telemetry {
namespace {

constexpr uint64_t second = 1'000'000'000;
constexpr uint64_t at_2026 = 1'767'225'600 * second; // nanoseconds since 1970
constexpr Instant now = instant_of(at_2026);

Span span(uint64_t start, uint64_t end, int16_t kind = 2, uint32_t resource = 0, int16_t status = 0) {
    Span made{};
    made.start_time_unix_nano = start;
    made.end_time_unix_nano = end;
    made.kind = kind;
    made.resource = resource;
    made.status_code = status;
    return made;
}

TEST(TelemetryPanes, SpansAreFiledByTheSecondInWhichTheyArePlaced) {
    Batch batch;
    batch.spans = {span(1499 * second, 1500 * second), span(1500 * second, 1500 * second + 5, 2, 0, 2),
                   span(1500 * second, 1501 * second - 1, 3), span(1500 * second, 1501 * second),
                   span(1500 * second, 1500 * second + 7, 2, 1)};
    const std::vector<Instant> times = {now, now + 999'999, now + 5, now + second_us, now};
    Panes panes;
    panes.add(batch, times, {});
    ASSERT_EQ(panes.spans().size(), 4u);
    const SpanPane &first = panes.spans()[0];
    EXPECT_EQ(first.key, (PaneKey{now, 0, 0, 0, 2}));
    EXPECT_EQ(first.count, 2u);
    EXPECT_EQ(first.error_count, 1u);
    EXPECT_EQ(first.duration_sum, 1e9 + 5);
    EXPECT_EQ(first.duration_min, 5);
    EXPECT_EQ(first.duration_max, 1'000'000'000);
    EXPECT_EQ(first.durations.count(), 2u);
    EXPECT_EQ(panes.spans()[1].key, (PaneKey{now, 0, 0, 0, 3}));
    EXPECT_EQ(panes.spans()[2].key, (PaneKey{now + second_us, 0, 0, 0, 2}));
    EXPECT_EQ(panes.spans()[3].key, (PaneKey{now, 1, 0, 0, 2}));
    panes.clear();
    EXPECT_TRUE(panes.spans().empty());
    panes.add(batch, times, {});
    EXPECT_EQ(panes.spans().size(), 4u);
}

TEST(TelemetryPanes, OddDurations) {
    EXPECT_EQ(duration_of(span(0, UINT64_MAX)), 0);
    EXPECT_EQ(duration_of(span(1500 * second, 0)), 0);
    EXPECT_EQ(duration_of(span(1, UINT64_MAX)), INT64_MAX);
    EXPECT_EQ(duration_of(span(1501 * second, 1500 * second)), -1'000'000'000);
}

TEST(TelemetryPlacement, TimesThatAreKeptStandOthersGoOutOfTheWay) {
    const Placement week(now, 7 * day_us);
    EXPECT_EQ(week.place(at_2026 - 6 * 86'400 * second), now - 6 * day_us);
    EXPECT_EQ(week.place(at_2026 + 300 * second), now + 300 * second_us);
    EXPECT_EQ(week.place(0), now) << "no time was sent";
    for (const uint64_t odd : {uint64_t{1}, at_2026 - 8 * 86'400 * second, at_2026 + 301 * second, UINT64_MAX})
        EXPECT_EQ(week.place(odd), now - day_us) << odd;
    EXPECT_EQ(Placement(now, hour_us).place(1), now - hour_us / 2) << "kept for half of a short retention";
    EXPECT_EQ(start_of_second(now + 1), now);
    EXPECT_EQ(start_of_second(-1), -second_us) << "before 2000";
    EXPECT_EQ(instant_of(UINT64_MAX), instant_of(INT64_MAX));
}

TEST(TelemetryPanes, ManyKeysKeepEveryRecord) {
    Panes panes;
    for (int round = 0; round < 2; ++round)
        for (uint32_t i = 0; i < 5000; ++i)
            panes.add_log({static_cast<int64_t>(i % 50), i / 50, static_cast<int32_t>(i % 3), i % 7, 0});
    EXPECT_EQ(panes.logs().size(), 5000u);
    for (const LogPane &pane : panes.logs())
        EXPECT_EQ(pane.count, 2u);
}

} // namespace
} // namespace dbnet::telemetry
