// The rules of otel.pane_rule: what is counted beside everything. Any process that takes telemetry.
#pragma once

#include "telemetry/panes.hpp"

namespace dbnet::telemetry {

// Counts what the rules ask for. `buckets`: of each span, or log record. In the running transaction, from C++ frames.
void count_by_rules(const Batch &batch, Signal signal, const std::vector<Instant> &buckets, Panes &panes);

} // namespace dbnet::telemetry
