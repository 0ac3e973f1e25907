// Counting records into panes; see the header. Any process that takes telemetry.
#include "telemetry/panes.hpp"

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

void Panes::add(const Batch &batch, const TimeWindow &window, int64_t now) {
    const auto second_of = [&](uint64_t time) { return time == 0 ? now : window.second_of(time); };
    for (const Span &span : batch.spans)
        add_span(span, {second_of(span.end_time_unix_nano), span.resource, 0, 0, span.kind});
    for (const LogRecord &record : batch.log_records)
        add_log({second_of(time_of(record)), record.resource, 0, 0, record.severity_number});
}

} // namespace dbnet::telemetry

#include "pg/no_postgres.hpp"
