// Log records in protobuf; see otlp_protobuf.hpp. Any process that takes telemetry.
#include "telemetry/otlp/otlp_protobuf.hpp"

namespace dbnet::telemetry::protobuf {
namespace {

bool read_fields(Intake &intake, std::string_view bytes, LogRecord &record) {
    JsonbBuilder &body_values = intake.part;
    AnyValue body(body_values);
    bool has_body = false;
    Reader reader(bytes);
    while (reader.next()) {
        bool is_good = true;
        switch (reader.tag_and_type()) {
        case fixed64_field(1):
            record.time_unix_nano = reader.get_fixed64();
            break;
        case varint_field(2):
            is_good = read_enumeration(intake, "severity_number", reader.get_enum(), record.severity_number);
            break;
        case bytes_field(3):
            record.severity_text = intake.text(reader.bytes());
            break;
        case bytes_field(5):
            has_body = true;
            is_good = body.read(intake, reader.bytes()) || intake.within("body");
            break;
        case bytes_field(6):
            is_good = read_attribute(intake, intake.item, reader.bytes());
            break;
        case varint_field(7):
            record.dropped_attributes_count = reader.get_uint32();
            break;
        case fixed32_field(8):
            record.flags = reader.get_fixed32();
            break;
        case bytes_field(9):
            intake.take_id(record.trace_id, read_id(intake, "trace_id", reader.bytes(), record.trace_id));
            break;
        case bytes_field(10):
            intake.take_id(record.span_id, read_id(intake, "span_id", reader.bytes(), record.span_id));
            break;
        case fixed64_field(11):
            record.observed_time_unix_nano = reader.get_fixed64();
            break;
        case bytes_field(12):
            record.event_name = intake.text(reader.bytes());
            break;
        default:
            reader.skip();
        }
        if (!is_good)
            return false;
    }
    if (!has_body)
        return true;
    body.end();
    record.body = body_values.finish_value(intake.batch.arena);
    return record.body != nullptr || intake.refuse("body holds too many values");
}

} // namespace

void read_log_record(Intake &intake, std::string_view bytes) {
    intake.begin_log_record();
    LogRecord record{};
    const bool is_kept = read_fields(intake, bytes, record);
    intake.end_log_record(record, is_kept);
}

} // namespace dbnet::telemetry::protobuf

#include "pg/no_postgres.hpp"
