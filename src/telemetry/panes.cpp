// Counting spans and log records of a batch (see panes.hpp). Pure C++.
#include "telemetry/panes.hpp"

#include <algorithm>
#include <cstring>

#include "pg/no_postgres.hpp"

namespace dbnet::telemetry {
namespace {

constexpr int16_t status_error = 2;

} // namespace

uint32_t Panes::grouping(std::string_view jsonb) {
    const auto [found, is_new] =
        grouping_places_.try_emplace(std::string(jsonb), static_cast<uint32_t>(groupings_.size() + 1));
    if (is_new) {
        groupings_.push_back(std::make_unique<char[]>(jsonb.size())); // aligned as new char[] is: to 16 bytes
        std::memcpy(groupings_.back().get(), jsonb.data(), jsonb.size());
    }
    return found->second;
}

void count(Pane &pane, const Span &span) {
    const int64_t duration = duration_nano(span.start_time_unix_nano, span.end_time_unix_nano);
    ++pane.count;
    pane.error_count += span.status_code == status_error;
    pane.duration_sum += static_cast<double>(duration);
    pane.duration_min = std::min(pane.duration_min, duration);
    pane.duration_max = std::max(pane.duration_max, duration);
    pane.durations.add(static_cast<double>(std::max<int64_t>(duration, 0)));
}

void count_spans(const Batch &batch, const std::vector<Instant> &buckets, Panes &panes) {
    for (size_t place = 0; place < batch.spans.size(); ++place) {
        const Span &span = batch.spans[place];
        count(panes.at({start_of_second(buckets[place]), 0, span.resource, Panes::no_grouping, span.kind}), span);
    }
}

void count_logs(const Batch &batch, const std::vector<Instant> &buckets, Panes &panes) {
    for (size_t place = 0; place < batch.log_records.size(); ++place) {
        const LogRecord &record = batch.log_records[place];
        ++panes.at({start_of_second(buckets[place]), 0, record.resource, Panes::no_grouping, record.severity_number})
              .count;
    }
}

} // namespace dbnet::telemetry
