// What the signals' protobuf messages share; see the header. Any process that takes telemetry.
#include "telemetry/otlp/otlp_protobuf.hpp"

#include <bit>

namespace dbnet::telemetry::protobuf {
namespace {

// One field of whatever type but its tag; false: it was the end of a group.
bool skip_raw_field(const char *&at, const char *end, int &depth) {
    const uint64_t tag = protozero::decode_varint(&at, end);
    size_t length = 0;
    switch (tag & 7) {
    case 0:
        protozero::skip_varint(&at, end);
        break;
    case 1:
        length = 8;
        break;
    case 2:
        length = protozero::decode_varint(&at, end);
        break;
    case 3:
        ++depth;
        break;
    case 4:
        --depth;
        break;
    case 5:
        length = 4;
        break;
    default:
        throw protozero::unknown_pbf_wire_type_exception();
    }
    if (length > static_cast<size_t>(end - at))
        throw protozero::end_of_buffer_exception();
    at += length;
    return depth > 0;
}

} // namespace

void Reader::skip_group() {
    const char *at = data().data();
    const char *const end = at + length();
    if ((*at & 7) == 4)
        throw protozero::unknown_pbf_wire_type_exception(); // an end without a start
    int depth = 0;
    while (skip_raw_field(at, end, depth)) {
    }
    *this = Reader(std::string_view(at, static_cast<size_t>(end - at)));
}

bool AnyValue::read(Intake &intake, std::string_view bytes, unsigned depth) {
    if (depth > deepest_value)
        return intake.refuse("nested deeper than " + std::to_string(deepest_value) + " levels");
    Reader reader(bytes);
    while (reader.next()) {
        switch (reader.tag_and_type()) {
        case bytes_field(1):
            become(1);
            builder_.string(intake.text(reader.bytes()));
            break;
        case varint_field(2):
            become(2);
            builder_.boolean(reader.get_bool());
            break;
        case varint_field(3):
            become(3);
            builder_.integer(reader.get_int64());
            break;
        case fixed64_field(4):
            become(4);
            builder_.floating(reader.get_double());
            break;
        case bytes_field(5):
            if (member_ != 5) {
                become(5);
                builder_.open_array();
            }
            if (!read_values(intake, reader.bytes(), depth))
                return false;
            break;
        case bytes_field(6):
            if (member_ != 6) {
                become(6);
                builder_.open_object();
            }
            if (!read_members(intake, reader.bytes(), depth))
                return false;
            break;
        case bytes_field(7):
            become(7);
            builder_.bytes(reader.bytes());
            break;
        default:
            reader.skip();
        }
    }
    return true;
}

bool AnyValue::read_values(Intake &intake, std::string_view bytes, unsigned depth) {
    Reader reader(bytes);
    while (reader.next()) {
        if (reader.tag_and_type() != bytes_field(1)) {
            reader.skip();
            continue;
        }
        AnyValue value(builder_);
        if (!value.read(intake, reader.bytes(), depth + 1))
            return false;
        value.end();
    }
    builder_.close(position_);
    return true;
}

namespace {

bool read_key_value(Intake &intake, JsonbBuilder &builder, std::string_view bytes, unsigned depth) {
    std::string_view key;
    AnyValue value(builder);
    bool is_kept = true;
    Reader reader(bytes);
    while (reader.next()) {
        switch (reader.tag_and_type()) {
        case bytes_field(1):
            key = reader.bytes();
            break;
        case bytes_field(2):
            is_kept = is_kept && value.read(intake, reader.bytes(), depth);
            break;
        default:
            reader.skip();
        }
    }
    value.end();
    key = intake.text(key);
    builder.name(value.position(), key);
    return is_kept || (depth == 1 && intake.within("attribute", key));
}

} // namespace

bool AnyValue::read_members(Intake &intake, std::string_view bytes, unsigned depth) {
    Reader reader(bytes);
    while (reader.next()) {
        if (reader.tag_and_type() != bytes_field(1))
            reader.skip();
        else if (!read_key_value(intake, builder_, reader.bytes(), depth + 1))
            return false;
    }
    builder_.close(position_);
    return true;
}

bool read_attribute(Intake &intake, JsonbBuilder &attributes, std::string_view key_value) {
    return read_key_value(intake, attributes, key_value, 1);
}

namespace {

template<class Id> bool read_any_id(Intake &intake, const char *field, std::string_view bytes, Id &id) {
    if (bytes.size() == id.size())
        std::memcpy(id.data(), bytes.data(), id.size());
    else if (bytes.empty())
        id = {};
    else
        return intake.refuse(std::string(field) + " has " + std::to_string(bytes.size()) + " bytes instead of " +
                             std::to_string(id.size()));
    return true;
}

} // namespace

bool read_id(Intake &intake, const char *field, std::string_view bytes, TraceId &id) {
    return read_any_id(intake, field, bytes, id);
}

bool read_id(Intake &intake, const char *field, std::string_view bytes, SpanId &id) {
    return read_any_id(intake, field, bytes, id);
}

bool read_enumeration(Intake &intake, const char *field, int32_t number, int16_t &value) {
    value = static_cast<int16_t>(number);
    return value == number || intake.refuse(std::string(field) + " " + std::to_string(number) + " is out of range");
}

// --- Resources and scopes ---

namespace {

void put_entity_ref(Intake &intake, JsonbBuilder &refs, std::string_view bytes) {
    const uint32_t position = refs.position();
    refs.open_object();
    Reader reader(bytes);
    const auto put = [&](const char *name) {
        const uint32_t member = refs.position();
        refs.string(intake.text(reader.bytes()));
        refs.name(member, name);
    };
    // A list is in pieces between other fields; each is collected by itself.
    const auto put_list = [&](const char *name, uint32_t field) {
        const uint32_t member = refs.position();
        refs.open_array();
        for (Reader list(bytes); list.next();)
            if (list.tag_and_type() == bytes_field(field))
                refs.string(intake.text(list.bytes()));
            else
                list.skip();
        refs.close(member);
        refs.name(member, name);
    };
    while (reader.next()) {
        switch (reader.tag_and_type()) {
        case bytes_field(1):
            put("schema_url");
            break;
        case bytes_field(2):
            put("type");
            break;
        default:
            reader.skip();
        }
    }
    put_list("id_keys", 3);
    put_list("description_keys", 4);
    refs.close(position);
}

// A piece of a Resource message.
void read_resource(Intake &intake, std::string_view bytes) {
    Owner &resource = intake.resource;
    Reader reader(bytes);
    while (reader.next()) {
        switch (reader.tag_and_type()) {
        case bytes_field(1):
            if (!read_attribute(intake, resource.attributes, reader.bytes()))
                intake.refuse_owner(resource);
            break;
        case varint_field(2):
            resource.dropped_attributes_count = reader.get_uint32();
            break;
        case bytes_field(3):
            put_entity_ref(intake, resource.entity_refs, reader.bytes());
            break;
        default:
            reader.skip();
        }
    }
}

// A piece of an InstrumentationScope message.
void read_scope(Intake &intake, std::string_view bytes) {
    Owner &scope = intake.scope;
    Reader reader(bytes);
    while (reader.next()) {
        switch (reader.tag_and_type()) {
        case bytes_field(1):
            scope.name = intake.text(reader.bytes());
            break;
        case bytes_field(2):
            scope.version = intake.text(reader.bytes());
            break;
        case bytes_field(3):
            if (!read_attribute(intake, scope.attributes, reader.bytes()))
                intake.refuse_owner(scope);
            break;
        case varint_field(4):
            scope.dropped_attributes_count = reader.get_uint32();
            break;
        default:
            reader.skip();
        }
    }
}

// The pieces of a Resource or InstrumentationScope message that came so far, commonly one. The last is not read before
// the end: when it is the same as the one before, in this or another request of the batch, it need not be.
struct OwnerPieces {
    std::string_view last;
    size_t count = 0;

    void add(Intake &intake, std::string_view piece, ReadItem read) {
        if (count++ > 0)
            read(intake, last);
        last = piece;
    }
    bool are(const Batch::LastDecoded &decoded, const Owner &owner) const noexcept {
        return count <= 1 && decoded.index != Batch::LastDecoded::none && decoded.bytes == last &&
               decoded.schema_url == owner.schema_url;
    }
};

void read_scope_items(Intake &intake, std::string_view bytes, ReadItem read_item) {
    intake.begin_scope();
    OwnerPieces pieces;
    Reader reader(bytes);
    while (reader.next()) {
        switch (reader.tag_and_type()) {
        case bytes_field(1):
            pieces.add(intake, reader.bytes(), read_scope);
            break;
        case bytes_field(2):
            read_item(intake, reader.bytes());
            break;
        case bytes_field(3):
            intake.scope.schema_url = intake.text(reader.bytes());
            break;
        default:
            reader.skip();
        }
    }
    Batch::LastDecoded &last = intake.batch.last_scope;
    if (pieces.are(last, intake.scope))
        return intake.end_scope(last.index);
    read_scope(intake, pieces.last);
    if (const std::optional<uint32_t> index = intake.end_scope(); index && pieces.count <= 1)
        last = {pieces.last, intake.scope.schema_url, *index};
}

void read_resource_items(Intake &intake, std::string_view bytes, ReadItem read_item) {
    intake.begin_resource();
    OwnerPieces pieces;
    Reader reader(bytes);
    while (reader.next()) {
        switch (reader.tag_and_type()) {
        case bytes_field(1):
            pieces.add(intake, reader.bytes(), read_resource);
            break;
        case bytes_field(2):
            read_scope_items(intake, reader.bytes(), read_item);
            ++intake.scope_number;
            break;
        case bytes_field(3):
            intake.resource.schema_url = intake.text(reader.bytes());
            break;
        default:
            reader.skip();
        }
    }
    Batch::LastDecoded &last = intake.batch.last_resource;
    if (pieces.are(last, intake.resource))
        return intake.end_resource(last.index);
    read_resource(intake, pieces.last);
    if (const std::optional<uint32_t> index = intake.end_resource(); index && pieces.count <= 1)
        last = {pieces.last, intake.resource.schema_url, *index};
}

} // namespace

void read_request(Intake &intake, std::string_view request, ReadItem read_item) {
    Reader reader(request);
    while (reader.next()) {
        if (reader.tag_and_type() != bytes_field(1)) {
            reader.skip();
            continue;
        }
        read_resource_items(intake, reader.bytes(), read_item);
        ++intake.resource_number;
    }
}

} // namespace dbnet::telemetry::protobuf

#include "pg/no_postgres.hpp"
