// Records of a batch as rows. Inside pg::call; may longjmp.
#pragma once

#include "telemetry/tables/dimensions.hpp"
#include "telemetry/tables/event_time.hpp"
#include "telemetry/tables/row.hpp"

namespace dbnet::telemetry {

// What rows hold beside what their record says, by index of the batch. Owned outside of pg::call.
struct RowContext {
    Instant now; // when the batch is written
    Dimensions ids;
    std::vector<int64_t> batch_ids;                                           // of requests
    std::vector<Instant> spans, log_records, number_points, histogram_points; // buckets
    std::vector<Instant> exponential_histogram_points, summary_points;
};

// Columns after the first, which is the bucket.
void fill(Row &row, const Request &request, size_t place, const RowContext &context);
void fill(Row &row, const Span &span, const RowContext &context);
void fill(Row &row, const SpanEvent &event, const Span &span);
void fill(Row &row, const SpanLink &link, const Span &span);
void fill(Row &row, const NumberPoint &point, const RowContext &context);
void fill(Row &row, const HistogramPoint &point, const RowContext &context);
void fill(Row &row, const ExponentialHistogramPoint &point, const RowContext &context);
void fill(Row &row, const SummaryPoint &point, const RowContext &context);
void fill(Row &row, const LogRecord &record, const RowContext &context);

// When a span ended; of one that says nothing sensible about that, when it began.
inline uint64_t time_of(const Span &span) noexcept {
    return span.end_time_unix_nano >= span.start_time_unix_nano ? span.end_time_unix_nano : span.start_time_unix_nano;
}

} // namespace dbnet::telemetry
