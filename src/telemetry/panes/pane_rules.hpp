// The rules of otel.pane_rule: what is counted beside everything. Any process that takes telemetry.
#pragma once

#include "telemetry/panes/groupings.hpp"
#include "telemetry/panes/panes.hpp"

namespace dbnet::telemetry {

// Counts what the rules ask for; the times are those that the writer has placed. In the running transaction, from C++
// frames.
void count_by_rules(const Batch &batch, const std::vector<Instant> &span_times, const std::vector<Instant> &log_times,
                    Panes &panes, Groupings &groupings);

} // namespace dbnet::telemetry
