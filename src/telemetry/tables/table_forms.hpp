// The partitioned tables of sql/21_telemetry_tables.sql as the writer fills them: columns in order.
#pragma once

#include "telemetry/tables/partitioned_table.hpp"

#include <array>

extern "C" {
#include "catalog/pg_type.h"
}

namespace dbnet::telemetry {

template<size_t... Sizes> constexpr auto joined(const Column (&...parts)[Sizes]) {
    std::array<Column, (Sizes + ...)> columns{};
    size_t place = 0;
    const auto add = [&](const auto &part) {
        for (const Column &column : part)
            columns[place++] = column;
    };
    (add(parts), ...);
    return columns;
}

inline constexpr Column batch_columns[] = {{"bucket_time", TIMESTAMPTZOID},
                                           {"batch_id", INT8OID},
                                           {"received_at", TIMESTAMPTZOID},
                                           {"signal", TEXTOID},
                                           {"client", TEXTOID},
                                           {"token", TEXTOID, true},
                                           {"user_agent", TEXTOID, true},
                                           {"items", INT4OID},
                                           {"rejected", INT8OID}};
inline constexpr Column span_columns[] = {{"bucket_time", TIMESTAMPTZOID},
                                          {"trace_id", Column::trace_id},
                                          {"span_id", Column::span_id},
                                          {"parent_span_id", Column::span_id, true},
                                          {"start_time", TIMESTAMPTZOID},
                                          {"start_time_unix_nano", INT8OID},
                                          {"end_time_unix_nano", INT8OID},
                                          {"duration_nano", INT8OID},
                                          {"batch_id", INT8OID},
                                          {"flags", INT8OID},
                                          {"resource_id", INT4OID},
                                          {"scope_id", INT4OID},
                                          {"dropped_attributes_count", INT4OID},
                                          {"dropped_events_count", INT4OID},
                                          {"dropped_links_count", INT4OID},
                                          {"kind", INT2OID},
                                          {"status_code", INT2OID},
                                          {"name", TEXTOID},
                                          {"trace_state", TEXTOID, true},
                                          {"status_message", TEXTOID, true},
                                          {"attributes", JSONBOID}};
inline constexpr Column span_event_columns[] = {{"bucket_time", TIMESTAMPTZOID},
                                                {"trace_id", Column::trace_id},
                                                {"span_id", Column::span_id},
                                                {"time", TIMESTAMPTZOID},
                                                {"time_unix_nano", INT8OID},
                                                {"ordinal", INT4OID},
                                                {"dropped_attributes_count", INT4OID},
                                                {"name", TEXTOID},
                                                {"attributes", JSONBOID}};
inline constexpr Column span_link_columns[] = {{"bucket_time", TIMESTAMPTZOID},
                                               {"trace_id", Column::trace_id},
                                               {"span_id", Column::span_id},
                                               {"linked_trace_id", Column::trace_id},
                                               {"linked_span_id", Column::span_id},
                                               {"flags", INT8OID},
                                               {"ordinal", INT4OID},
                                               {"dropped_attributes_count", INT4OID},
                                               {"trace_state", TEXTOID, true},
                                               {"attributes", JSONBOID}};
// Of points of all types; what is its type's own comes behind.
inline constexpr Column point_columns[] = {{"bucket_time", TIMESTAMPTZOID},
                                           {"series_id", INT8OID},
                                           {"time", TIMESTAMPTZOID},
                                           {"time_unix_nano", INT8OID},
                                           {"start_time_unix_nano", INT8OID}};
inline constexpr auto number_point_columns = joined(point_columns, {{"value_double", FLOAT8OID, true},
                                                                    {"value_int", INT8OID, true},
                                                                    {"batch_id", INT8OID},
                                                                    {"flags", INT8OID},
                                                                    {"exemplars", JSONBOID, true}});
inline constexpr auto histogram_point_columns = joined(point_columns, {{"count", INT8OID},
                                                                       {"sum", FLOAT8OID, true},
                                                                       {"min", FLOAT8OID, true},
                                                                       {"max", FLOAT8OID, true},
                                                                       {"batch_id", INT8OID},
                                                                       {"flags", INT8OID},
                                                                       {"bucket_counts", INT8ARRAYOID},
                                                                       {"explicit_bounds", FLOAT8ARRAYOID},
                                                                       {"exemplars", JSONBOID, true}});
inline constexpr auto exponential_histogram_point_columns = joined(point_columns, {{"count", INT8OID},
                                                                                   {"sum", FLOAT8OID, true},
                                                                                   {"min", FLOAT8OID, true},
                                                                                   {"max", FLOAT8OID, true},
                                                                                   {"zero_count", INT8OID},
                                                                                   {"zero_threshold", FLOAT8OID},
                                                                                   {"batch_id", INT8OID},
                                                                                   {"flags", INT8OID},
                                                                                   {"scale", INT4OID},
                                                                                   {"positive_offset", INT4OID},
                                                                                   {"negative_offset", INT4OID},
                                                                                   {"positive_counts", INT8ARRAYOID},
                                                                                   {"negative_counts", INT8ARRAYOID},
                                                                                   {"exemplars", JSONBOID, true}});
inline constexpr auto summary_point_columns = joined(point_columns, {{"count", INT8OID},
                                                                     {"sum", FLOAT8OID},
                                                                     {"batch_id", INT8OID},
                                                                     {"flags", INT8OID},
                                                                     {"quantiles", FLOAT8ARRAYOID},
                                                                     {"quantile_values", FLOAT8ARRAYOID}});
inline constexpr Column log_columns[] = {{"bucket_time", TIMESTAMPTZOID},
                                         {"time", TIMESTAMPTZOID},
                                         {"time_unix_nano", INT8OID},
                                         {"observed_time_unix_nano", INT8OID},
                                         {"span_id", Column::span_id, true},
                                         {"batch_id", INT8OID},
                                         {"flags", INT8OID},
                                         {"resource_id", INT4OID},
                                         {"scope_id", INT4OID},
                                         {"dropped_attributes_count", INT4OID},
                                         {"severity_number", INT2OID},
                                         {"trace_id", Column::trace_id, true},
                                         {"severity_text", TEXTOID, true},
                                         {"event_name", TEXTOID, true},
                                         {"body", JSONBOID, true},
                                         {"attributes", JSONBOID}};
inline constexpr Column span_pane_columns[] = {
    {"bucket", TIMESTAMPTZOID}, {"count", INT8OID},        {"error_count", INT8OID}, {"duration_sum", FLOAT8OID},
    {"duration_min", INT8OID},  {"duration_max", INT8OID}, {"rule", INT4OID},        {"resource_id", INT4OID},
    {"kind", INT2OID},          {"worker", INT2OID},       {"grouping", JSONBOID},   {"durations", Column::sketch}};
inline constexpr Column log_pane_columns[] = {
    {"bucket", TIMESTAMPTZOID},   {"count", INT8OID},  {"rule", INT4OID},     {"resource_id", INT4OID},
    {"severity_number", INT2OID}, {"worker", INT2OID}, {"grouping", JSONBOID}};

inline constexpr TableForm batch_form{"batch", batch_columns}, span_form{"spans", span_columns},
    span_event_form{"span_events", span_event_columns}, span_link_form{"span_links", span_link_columns},
    number_point_form{"number_points", number_point_columns},
    histogram_point_form{"histogram_points", histogram_point_columns},
    exponential_histogram_point_form{"exponential_histogram_points", exponential_histogram_point_columns},
    summary_point_form{"summary_points", summary_point_columns}, log_form{"logs", log_columns},
    span_pane_form{"span_pane", span_pane_columns}, log_pane_form{"log_pane", log_pane_columns};

} // namespace dbnet::telemetry
