// Panes into otel.span_pane and otel.log_pane, added to what this process has there. Any process that takes telemetry.
#pragma once

#include "telemetry/panes/groupings.hpp"
#include "telemetry/panes/panes.hpp"
#include "telemetry/tables/partitioned_table.hpp"

namespace dbnet::telemetry {

// Room that is needed inside pg::call and owned outside.
struct PaneScratch {
    SpanPane merged;
    ExponentialHistogram stored;
    std::string bytes;
};

// Inside pg::call; may longjmp. Rows that the command has written before must be visible: CommandCounterIncrement().
void write_span_panes(PartitionedTable &table, std::vector<SpanPane> &panes, const Groupings &groupings,
                      const std::vector<int64_t> &resources, PaneScratch &scratch, RowMemory &memory);
void write_log_panes(PartitionedTable &table, std::vector<LogPane> &panes, const Groupings &groupings,
                     const std::vector<int64_t> &resources);

} // namespace dbnet::telemetry
