// Spans in protobuf; see otlp_protobuf.hpp. Any process that takes telemetry.
#include "telemetry/otlp/otlp_protobuf.hpp"

namespace dbnet::telemetry::protobuf {
namespace {

bool read_event(Intake &intake, std::string_view bytes, uint32_t ordinal) {
    if (!intake.has_room())
        return false;
    SpanEvent event{};
    event.span = static_cast<uint32_t>(intake.batch.spans.size());
    event.ordinal = ordinal;
    intake.part.clear();
    Reader reader(bytes);
    while (reader.next()) {
        switch (reader.tag_and_type()) {
        case fixed64_field(1):
            event.time_unix_nano = reader.get_fixed64();
            break;
        case bytes_field(2):
            event.name = intake.text(reader.bytes());
            break;
        case bytes_field(3):
            if (!read_attribute(intake, intake.part, reader.bytes()))
                return false;
            break;
        case varint_field(4):
            event.dropped_attributes_count = reader.get_uint32();
            break;
        default:
            reader.skip();
        }
    }
    if (!intake.finish_attributes(intake.part, event.attributes))
        return false;
    intake.batch.span_events.push_back(event);
    return true;
}

bool read_link(Intake &intake, std::string_view bytes, uint32_t ordinal) {
    if (!intake.has_room())
        return false;
    SpanLink link{};
    link.span = static_cast<uint32_t>(intake.batch.spans.size());
    link.ordinal = ordinal;
    intake.part.clear();
    Reader reader(bytes);
    bool is_kept = true;
    while (reader.next()) {
        switch (reader.tag_and_type()) {
        case bytes_field(1):
            is_kept = read_id(intake, "trace_id", reader.bytes(), link.linked_trace_id);
            break;
        case bytes_field(2):
            is_kept = read_id(intake, "span_id", reader.bytes(), link.linked_span_id);
            break;
        case bytes_field(3):
            link.trace_state = intake.text(reader.bytes());
            break;
        case bytes_field(4):
            is_kept = read_attribute(intake, intake.part, reader.bytes());
            break;
        case varint_field(5):
            link.dropped_attributes_count = reader.get_uint32();
            break;
        case fixed32_field(6):
            link.flags = reader.get_fixed32();
            break;
        default:
            reader.skip();
        }
        if (!is_kept)
            return false;
    }
    if (!intake.finish_attributes(intake.part, link.attributes))
        return false;
    intake.batch.span_links.push_back(link);
    return true;
}

bool read_status(Intake &intake, std::string_view bytes, Span &span) {
    Reader reader(bytes);
    while (reader.next()) {
        switch (reader.tag_and_type()) {
        case bytes_field(2):
            span.status_message = intake.text(reader.bytes());
            break;
        case varint_field(3):
            if (!read_enumeration(intake, "status code", reader.get_enum(), span.status_code))
                return false;
            break;
        default:
            reader.skip();
        }
    }
    return true;
}

bool read_fields(Intake &intake, std::string_view bytes, Span &span) {
    uint32_t events = 0, links = 0;
    Reader reader(bytes);
    while (reader.next()) {
        bool is_good = true;
        switch (reader.tag_and_type()) {
        case bytes_field(1):
            is_good = read_id(intake, "trace_id", reader.bytes(), span.trace_id);
            break;
        case bytes_field(2):
            is_good = read_id(intake, "span_id", reader.bytes(), span.span_id);
            break;
        case bytes_field(3):
            span.trace_state = intake.text(reader.bytes());
            break;
        case bytes_field(4):
            is_good = read_id(intake, "parent_span_id", reader.bytes(), span.parent_span_id);
            break;
        case bytes_field(5):
            span.name = intake.text(reader.bytes());
            break;
        case varint_field(6):
            is_good = read_enumeration(intake, "kind", reader.get_enum(), span.kind);
            break;
        case fixed64_field(7):
            span.start_time_unix_nano = reader.get_fixed64();
            break;
        case fixed64_field(8):
            span.end_time_unix_nano = reader.get_fixed64();
            break;
        case bytes_field(9):
            is_good = read_attribute(intake, intake.item, reader.bytes());
            break;
        case varint_field(10):
            span.dropped_attributes_count = reader.get_uint32();
            break;
        case bytes_field(11):
            is_good = read_event(intake, reader.bytes(), events) || intake.within("event " + std::to_string(events));
            ++events;
            break;
        case varint_field(12):
            span.dropped_events_count = reader.get_uint32();
            break;
        case bytes_field(13):
            is_good = read_link(intake, reader.bytes(), links) || intake.within("link " + std::to_string(links));
            ++links;
            break;
        case varint_field(14):
            span.dropped_links_count = reader.get_uint32();
            break;
        case bytes_field(15):
            is_good = read_status(intake, reader.bytes(), span);
            break;
        case fixed32_field(16):
            span.flags = reader.get_fixed32();
            break;
        default:
            reader.skip();
        }
        if (is_good)
            continue;
        while (reader.next()) // what is rejected is told by name
            if (reader.tag_and_type() == bytes_field(5))
                span.name = intake.text(reader.bytes());
            else
                reader.skip();
        return false;
    }
    return true;
}

} // namespace

void read_span(Intake &intake, std::string_view bytes) {
    intake.begin_span();
    Span span{};
    const bool is_kept = read_fields(intake, bytes, span);
    intake.end_span(span, is_kept);
}

} // namespace dbnet::telemetry::protobuf

#include "pg/no_postgres.hpp"
