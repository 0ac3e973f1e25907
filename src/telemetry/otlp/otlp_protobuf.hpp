// Reading OTLP's protobuf messages: what the three signals share. A field of another wire type than its own is unknown,
// and skipped; what comes twice is merged as protobuf has it. protozero throws on bytes that are no protobuf. Pure C++.
#pragma once

#include "telemetry/otlp/intake.hpp"

#include <protozero/pbf_reader.hpp>

namespace dbnet::telemetry::protobuf {

// Field numbers with wire types, for `switch (reader.tag_and_type())`.
constexpr uint32_t varint_field(uint32_t number) {
    return protozero::tag_and_type(number, protozero::pbf_wire_type::varint);
}
constexpr uint32_t fixed64_field(uint32_t number) {
    return protozero::tag_and_type(number, protozero::pbf_wire_type::fixed64);
}
constexpr uint32_t fixed32_field(uint32_t number) {
    return protozero::tag_and_type(number, protozero::pbf_wire_type::fixed32);
}
constexpr uint32_t bytes_field(uint32_t number) {
    return protozero::tag_and_type(number, protozero::pbf_wire_type::length_delimited);
}

class Reader : public protozero::pbf_reader {
public:
    explicit Reader(std::string_view bytes) : pbf_reader(bytes.data(), bytes.size()) {}

    // To the next field, past groups, which protozero refuses.
    bool next() {
        while (length() > 0 && (data().data()[0] & 7) >= 3 && (data().data()[0] & 7) <= 4)
            skip_group();
        return pbf_reader::next();
    }
    std::string_view bytes() {
        const protozero::data_view view = get_view();
        return {view.data(), view.size()};
    }

private:
    void skip_group();
};

// These return false when the record cannot be kept; the reason is in the intake.
bool read_attribute(Intake &intake, JsonbBuilder &attributes, std::string_view key_value);
bool read_id(Intake &intake, const char *field, std::string_view bytes, TraceId &id);
bool read_id(Intake &intake, const char *field, std::string_view bytes, SpanId &id);
bool read_enumeration(Intake &intake, const char *field, int32_t number, int16_t &value);

// An AnyValue, which may come in several pieces.
class AnyValue {
public:
    explicit AnyValue(JsonbBuilder &builder) : builder_(builder), position_(builder.position()) {}
    bool read(Intake &intake, std::string_view bytes, unsigned depth = 1);
    void end() { // no value is a value, too
        if (member_ == 0)
            builder_.null();
    }
    uint32_t position() const noexcept { return position_; }

private:
    bool read_values(Intake &intake, std::string_view bytes, unsigned depth);
    bool read_members(Intake &intake, std::string_view bytes, unsigned depth);
    void become(uint32_t member) {
        builder_.rewind(position_);
        member_ = member;
    }

    JsonbBuilder &builder_;
    uint32_t position_;
    uint32_t member_ = 0; // field number of the one that is set
};

// The requests of all three signals are alike: lists of resources, of scopes in them, of items in those. `read_item`
// gets the bytes of each Span, Metric or LogRecord.
using ReadItem = void (*)(Intake &intake, std::string_view bytes);
void read_request(Intake &intake, std::string_view request, ReadItem read_item);

void read_span(Intake &intake, std::string_view bytes);
void read_metric(Intake &intake, std::string_view bytes);
void read_log_record(Intake &intake, std::string_view bytes);

} // namespace dbnet::telemetry::protobuf
