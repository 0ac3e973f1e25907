// Rows of records, column by column in the order of table_forms.hpp (see table_rows.hpp).
#include "telemetry/tables/table_rows.hpp"

#include "telemetry/panes/panes.hpp"

namespace dbnet::telemetry {
namespace {

const char *word_for(Signal signal) noexcept {
    return signal == Signal::traces ? "traces" : signal == Signal::metrics ? "metrics" : "logs";
}

void fill_point_start(Row &row, const Point &point, const RowContext &context) {
    row.big(context.ids.series[point.series]);
    row.big(instant_of(point.time_unix_nano));
    row.big(pinned(point.time_unix_nano));
    row.big(pinned(point.start_time_unix_nano));
}

void fill_point_sender(Row &row, const Point &point, const RowContext &context) {
    row.big(context.batch_ids[point.request]);
    row.big(point.flags);
}

} // namespace

void fill(Row &row, const Request &request, size_t place, const RowContext &context) {
    row.big(context.batch_ids[place]);
    row.big(context.now);
    row.text(word_for(request.signal));
    row.text(request.sender.client);
    row.text_unless_empty(request.sender.token);
    row.text_unless_empty(request.sender.user_agent);
    row.integer(pinned_integer(request.items));
    row.big(request.rejected);
}

void fill(Row &row, const Span &span, const RowContext &context) {
    row.trace_id(span.trace_id);
    row.span_id(span.span_id);
    row.span_id_unless_zero(span.parent_span_id);
    row.big(instant_of(span.start_time_unix_nano));
    row.big(pinned(span.start_time_unix_nano));
    row.big(pinned(span.end_time_unix_nano));
    row.big(duration_of(span));
    row.big(context.batch_ids[span.request]);
    row.big(span.flags);
    row.integer(static_cast<int32_t>(context.ids.resources[span.resource]));
    row.integer(static_cast<int32_t>(context.ids.scopes[span.scope]));
    row.integer(pinned_integer(span.dropped_attributes_count));
    row.integer(pinned_integer(span.dropped_events_count));
    row.integer(pinned_integer(span.dropped_links_count));
    row.small(span.kind);
    row.small(span.status_code);
    row.text(span.name);
    row.text_unless_empty(span.trace_state);
    row.text_unless_empty(span.status_message);
    row.attributes(span.attributes);
}

void fill(Row &row, const SpanEvent &event, const Span &span) {
    row.trace_id(span.trace_id);
    row.span_id(span.span_id);
    row.big(instant_of(event.time_unix_nano));
    row.big(pinned(event.time_unix_nano));
    row.integer(pinned_integer(event.ordinal));
    row.integer(pinned_integer(event.dropped_attributes_count));
    row.text(event.name);
    row.attributes(event.attributes);
}

void fill(Row &row, const SpanLink &link, const Span &span) {
    row.trace_id(span.trace_id);
    row.span_id(span.span_id);
    row.trace_id(link.linked_trace_id);
    row.span_id(link.linked_span_id);
    row.big(link.flags);
    row.integer(pinned_integer(link.ordinal));
    row.integer(pinned_integer(link.dropped_attributes_count));
    row.text_unless_empty(link.trace_state);
    row.attributes(link.attributes);
}

void fill(Row &row, const NumberPoint &point, const RowContext &context) {
    fill_point_start(row, point, context);
    row.floating_if(point.floating, point.which == NumberPoint::Value::floating);
    point.which == NumberPoint::Value::integer ? row.big(point.integer) : row.null();
    fill_point_sender(row, point, context);
    row.jsonb(point.exemplars);
}

void fill(Row &row, const HistogramPoint &point, const RowContext &context) {
    fill_point_start(row, point, context);
    row.big(pinned(point.count));
    row.floating_if(point.sum, point.has_sum);
    row.floating_if(point.min, point.has_min);
    row.floating_if(point.max, point.has_max);
    fill_point_sender(row, point, context);
    row.array(point.bucket_counts);
    row.array(point.explicit_bounds);
    row.jsonb(point.exemplars);
}

void fill(Row &row, const ExponentialHistogramPoint &point, const RowContext &context) {
    fill_point_start(row, point, context);
    row.big(pinned(point.count));
    row.floating_if(point.sum, point.has_sum);
    row.floating_if(point.min, point.has_min);
    row.floating_if(point.max, point.has_max);
    row.big(pinned(point.zero_count));
    row.floating(point.zero_threshold);
    fill_point_sender(row, point, context);
    row.integer(point.scale);
    row.integer(point.positive_offset);
    row.integer(point.negative_offset);
    row.array(point.positive_counts);
    row.array(point.negative_counts);
    row.jsonb(point.exemplars);
}

void fill(Row &row, const SummaryPoint &point, const RowContext &context) {
    fill_point_start(row, point, context);
    row.big(pinned(point.count));
    row.floating(point.sum);
    fill_point_sender(row, point, context);
    row.array(point.quantiles);
    row.array(point.quantile_values);
}

void fill(Row &row, const LogRecord &record, const RowContext &context) {
    const uint64_t time = time_of(record);
    row.big(time != 0 ? instant_of(time) : context.now);
    row.big(pinned(record.time_unix_nano));
    row.big(pinned(record.observed_time_unix_nano));
    row.span_id_unless_zero(record.span_id);
    row.big(context.batch_ids[record.request]);
    row.big(record.flags);
    row.integer(static_cast<int32_t>(context.ids.resources[record.resource]));
    row.integer(static_cast<int32_t>(context.ids.scopes[record.scope]));
    row.integer(pinned_integer(record.dropped_attributes_count));
    row.small(record.severity_number);
    row.trace_id_unless_zero(record.trace_id);
    row.text_unless_empty(record.severity_text);
    row.text_unless_empty(record.event_name);
    row.jsonb(record.body);
    row.attributes(record.attributes);
}

} // namespace dbnet::telemetry
