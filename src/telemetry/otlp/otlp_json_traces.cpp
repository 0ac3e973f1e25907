// Spans in JSON; see otlp_json.hpp. Any process that takes telemetry.
#include "telemetry/otlp/otlp_json.hpp"

namespace dbnet::telemetry::json {
namespace {

bool read_event(Intake &intake, Value &value, uint32_t ordinal) {
    SpanEvent event{};
    event.span = static_cast<uint32_t>(intake.batch.spans.size());
    event.ordinal = ordinal;
    intake.part.clear();
    const bool is_kept = value.each_field(intake, "it", [&](std::string_view key, Value &field) {
        if (key == "timeUnixNano")
            return field.read(intake, "timeUnixNano", event.time_unix_nano);
        if (key == "name")
            return field.read(intake, "name", event.name);
        if (key == "attributes")
            return read_attributes(intake, intake.part, field);
        if (key == "droppedAttributesCount")
            return field.read(intake, "droppedAttributesCount", event.dropped_attributes_count);
        return true;
    });
    if (!is_kept || !intake.has_room() || !intake.finish_attributes(intake.part, event.attributes))
        return intake.within("event " + std::to_string(ordinal));
    intake.batch.span_events.push_back(event);
    return true;
}

bool read_link(Intake &intake, Value &value, uint32_t ordinal) {
    SpanLink link{};
    link.span = static_cast<uint32_t>(intake.batch.spans.size());
    link.ordinal = ordinal;
    intake.part.clear();
    const bool is_kept = value.each_field(intake, "it", [&](std::string_view key, Value &field) {
        if (key == "traceId")
            return field.read_id(intake, "traceId", link.linked_trace_id);
        if (key == "spanId")
            return field.read_id(intake, "spanId", link.linked_span_id);
        if (key == "traceState")
            return field.read(intake, "traceState", link.trace_state);
        if (key == "attributes")
            return read_attributes(intake, intake.part, field);
        if (key == "droppedAttributesCount")
            return field.read(intake, "droppedAttributesCount", link.dropped_attributes_count);
        if (key == "flags")
            return field.read(intake, "flags", link.flags);
        return true;
    });
    if (!is_kept || !intake.has_room() || !intake.finish_attributes(intake.part, link.attributes))
        return intake.within("link " + std::to_string(ordinal));
    intake.batch.span_links.push_back(link);
    return true;
}

bool read_status(Intake &intake, Value &value, Span &span) {
    return value.each_field(intake, "status", [&](std::string_view key, Value &field) {
        if (key == "message")
            return field.read(intake, "message", span.status_message);
        return key != "code" || field.read_enumeration(intake, "code", span.status_code);
    });
}

bool read_field(Intake &intake, std::string_view key, Value &field, Span &span) {
    if (key == "traceId")
        return field.read_id(intake, "traceId", span.trace_id);
    if (key == "spanId")
        return field.read_id(intake, "spanId", span.span_id);
    if (key == "parentSpanId")
        return field.read_id(intake, "parentSpanId", span.parent_span_id);
    if (key == "traceState")
        return field.read(intake, "traceState", span.trace_state);
    if (key == "name")
        return field.read(intake, "name", span.name);
    if (key == "kind")
        return field.read_enumeration(intake, "kind", span.kind);
    if (key == "startTimeUnixNano")
        return field.read(intake, "startTimeUnixNano", span.start_time_unix_nano);
    if (key == "endTimeUnixNano")
        return field.read(intake, "endTimeUnixNano", span.end_time_unix_nano);
    if (key == "attributes")
        return read_attributes(intake, intake.item, field);
    if (key == "droppedAttributesCount")
        return field.read(intake, "droppedAttributesCount", span.dropped_attributes_count);
    if (key == "events") {
        uint32_t ordinal = 0;
        return field.each_element(intake, "events", [&](Value &event) { return read_event(intake, event, ordinal++); });
    }
    if (key == "droppedEventsCount")
        return field.read(intake, "droppedEventsCount", span.dropped_events_count);
    if (key == "links") {
        uint32_t ordinal = 0;
        return field.each_element(intake, "links", [&](Value &link) { return read_link(intake, link, ordinal++); });
    }
    if (key == "droppedLinksCount")
        return field.read(intake, "droppedLinksCount", span.dropped_links_count);
    if (key == "status")
        return read_status(intake, field, span);
    return key != "flags" || field.read(intake, "flags", span.flags);
}

} // namespace

void read_span(Intake &intake, Value &value) {
    intake.begin_span();
    Span span{};
    bool is_kept = true;
    const bool is_object = value.each_field(intake, "it", [&](std::string_view key, Value &field) {
        if (is_kept)
            is_kept = read_field(intake, key, field, span);
        else if (key == "name") // what is rejected is told by name
            return field.read(intake, "name", span.name);
        return true;
    });
    intake.end_span(span, is_object && is_kept);
}

} // namespace dbnet::telemetry::json

#include "pg/no_postgres.hpp"
