// Log records in JSON; see otlp_json.hpp. Any process that takes telemetry.
#include "telemetry/otlp/otlp_json.hpp"

namespace dbnet::telemetry::json {
namespace {

bool read_body(Intake &intake, Value &field, LogRecord &record) {
    intake.part.clear();
    if (!read_any_value(intake, intake.part, field))
        return intake.within("body");
    record.body = intake.part.finish_value(intake.batch.arena);
    return record.body != nullptr || intake.refuse("body holds too many values");
}

bool read_field(Intake &intake, std::string_view key, Value &field, LogRecord &record) {
    if (key == "timeUnixNano")
        return field.read(intake, "timeUnixNano", record.time_unix_nano);
    if (key == "observedTimeUnixNano")
        return field.read(intake, "observedTimeUnixNano", record.observed_time_unix_nano);
    if (key == "severityNumber")
        return field.read_enumeration(intake, "severityNumber", record.severity_number);
    if (key == "severityText")
        return field.read(intake, "severityText", record.severity_text);
    if (key == "body")
        return read_body(intake, field, record);
    if (key == "attributes")
        return read_attributes(intake, intake.item, field);
    if (key == "droppedAttributesCount")
        return field.read(intake, "droppedAttributesCount", record.dropped_attributes_count);
    if (key == "flags")
        return field.read(intake, "flags", record.flags);
    if (key == "traceId")
        return intake.take_id(record.trace_id, field.read_id(intake, "traceId", record.trace_id));
    if (key == "spanId")
        return intake.take_id(record.span_id, field.read_id(intake, "spanId", record.span_id));
    return key != "eventName" || field.read(intake, "eventName", record.event_name);
}

} // namespace

void read_log_record(Intake &intake, Value &value) {
    intake.begin_log_record();
    LogRecord record{};
    const bool is_kept = value.each_field(
        intake, "it", [&](std::string_view key, Value &field) { return read_field(intake, key, field, record); });
    intake.end_log_record(record, is_kept);
}

} // namespace dbnet::telemetry::json

#include "pg/no_postgres.hpp"
