// Panes: what goes where, and that nothing is left out.
#include "telemetry/panes.hpp"

#include <gtest/gtest.h>

namespace dbnet::telemetry {
namespace {

constexpr uint64_t second = 1'000'000'000;
constexpr TimeWindow window{1000, 2000};

Span span(uint64_t start, uint64_t end, int16_t kind = 2, uint32_t resource = 0, int16_t status = 0) {
    Span made{};
    made.start_time_unix_nano = start;
    made.end_time_unix_nano = end;
    made.kind = kind;
    made.resource = resource;
    made.status_code = status;
    return made;
}

TEST(TelemetryPanes, SpansAreFiledByTheSecondOfTheirEnd) {
    Batch batch;
    batch.spans = {span(1499 * second, 1500 * second), span(1500 * second, 1500 * second + 5, 2, 0, 2),
                   span(1500 * second, 1501 * second - 1, 3), span(1500 * second, 1501 * second),
                   span(1500 * second, 1500 * second + 7, 2, 1)};
    Panes panes;
    panes.add(batch, window, 1700);
    ASSERT_EQ(panes.spans().size(), 4u);
    const SpanPane &first = panes.spans()[0];
    EXPECT_EQ(first.key, (PaneKey{1500, 0, 0, 0, 2}));
    EXPECT_EQ(first.count, 2u);
    EXPECT_EQ(first.error_count, 1u);
    EXPECT_EQ(first.duration_sum, 1e9 + 5);
    EXPECT_EQ(first.duration_min, 5);
    EXPECT_EQ(first.duration_max, 1'000'000'000);
    EXPECT_EQ(first.durations.count(), 2u);
    EXPECT_EQ(panes.spans()[1].key, (PaneKey{1500, 0, 0, 0, 3}));
    EXPECT_EQ(panes.spans()[2].key, (PaneKey{1501, 0, 0, 0, 2}));
    EXPECT_EQ(panes.spans()[3].key, (PaneKey{1500, 1, 0, 0, 2}));
    panes.clear();
    EXPECT_TRUE(panes.spans().empty());
    panes.add(batch, window, 1700);
    EXPECT_EQ(panes.spans().size(), 4u);
}

TEST(TelemetryPanes, OddTimes) {
    Batch batch;
    batch.spans = {span(0, 1), span(0, UINT64_MAX), span(1500 * second, 0), span(1501 * second, 1500 * second),
                   span(1, UINT64_MAX)};
    Panes panes;
    panes.add(batch, window, 1700);
    ASSERT_EQ(panes.spans().size(), 4u);
    EXPECT_EQ(panes.spans()[0].key.second, 1000);
    EXPECT_EQ(panes.spans()[1].key.second, 2000);
    EXPECT_EQ(panes.spans()[1].duration_max, INT64_MAX);
    EXPECT_EQ(panes.spans()[2].key.second, 1700);
    EXPECT_EQ(panes.spans()[2].duration_max, 0);
    EXPECT_EQ(panes.spans()[3].duration_min, -1'000'000'000);
}

TEST(TelemetryPanes, LogRecordsHaveTheTimeThatIsKnown) {
    Batch batch;
    batch.log_records.resize(3);
    batch.log_records[0].time_unix_nano = 1500 * second;
    batch.log_records[0].observed_time_unix_nano = 1600 * second;
    batch.log_records[1].observed_time_unix_nano = 1600 * second;
    batch.log_records[2].severity_number = 17;
    Panes panes;
    panes.add(batch, window, 1700);
    ASSERT_EQ(panes.logs().size(), 3u);
    EXPECT_EQ(panes.logs()[0].key, (PaneKey{1500, 0, 0, 0, 0}));
    EXPECT_EQ(panes.logs()[1].key, (PaneKey{1600, 0, 0, 0, 0}));
    EXPECT_EQ(panes.logs()[2].key, (PaneKey{1700, 0, 0, 0, 17}));
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
