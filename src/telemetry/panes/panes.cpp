// Counting records into panes; see the header. Any process that takes telemetry.
#include "telemetry/panes/panes.hpp"

#include <algorithm>

namespace dbnet::telemetry {

int64_t duration_of(const Span &span) noexcept {
    if (span.start_time_unix_nano == 0 || span.end_time_unix_nano == 0)
        return 0;
    const bool is_forward = span.end_time_unix_nano >= span.start_time_unix_nano;
    const uint64_t distance = is_forward ? span.end_time_unix_nano - span.start_time_unix_nano
                                         : span.start_time_unix_nano - span.end_time_unix_nano;
    const auto duration = static_cast<int64_t>(std::min<uint64_t>(distance, INT64_MAX));
    return is_forward ? duration : -duration;
}

void Panes::add_span(const Span &span, const PaneKey &key) {
    constexpr int16_t error = 2; // STATUS_CODE_ERROR
    SpanPane &pane = spans_.at(key);
    const int64_t duration = duration_of(span);
    ++pane.count;
    pane.error_count += span.status_code == error;
    pane.duration_sum += static_cast<double>(duration);
    pane.duration_min = std::min(pane.duration_min, duration);
    pane.duration_max = std::max(pane.duration_max, duration);
    pane.durations.add(static_cast<double>(duration));
}

void Panes::add(const Batch &batch, const std::vector<Instant> &span_times, const std::vector<Instant> &log_times) {
    for (size_t at = 0; at < batch.spans.size(); ++at)
        add_span(batch.spans[at],
                 {start_of_second(span_times[at]), batch.spans[at].resource, 0, 0, batch.spans[at].kind});
    for (size_t at = 0; at < batch.log_records.size(); ++at)
        add_log({start_of_second(log_times[at]), batch.log_records[at].resource, 0, 0,
                 batch.log_records[at].severity_number});
}

} // namespace dbnet::telemetry

#include "pg/no_postgres.hpp"
