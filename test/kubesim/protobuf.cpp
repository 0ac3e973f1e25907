// Request bodies in Kubernetes' protobuf form.
#include "protobuf.hpp"

#include "api.hpp"
#include "errors.hpp"
#include "file.hpp"

#include <cstdint>
#include <functional>
#include <string_view>

namespace kubesim {

namespace {

[[noreturn]] void broken() {
    throw ApiError::bad_request("proto: illegal wireType or truncated message");
}

// Calls `field` for each length-delimited or varint field of a message.
void each_field(std::string_view message,
                const std::function<void(uint32_t number, std::string_view bytes, uint64_t varint)> &field) {
    auto varint = [&]() -> uint64_t {
        uint64_t value = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            if (message.empty())
                broken();
            auto byte = static_cast<unsigned char>(message.front());
            message.remove_prefix(1);
            value |= static_cast<uint64_t>(byte & 0x7F) << shift;
            if (byte < 0x80)
                return value;
        }
        broken();
    };
    while (!message.empty()) {
        uint64_t tag = varint();
        auto number = static_cast<uint32_t>(tag >> 3);
        if ((tag & 7) == 0) {
            field(number, {}, varint());
        } else if ((tag & 7) == 2) {
            uint64_t length = varint();
            if (length > message.size())
                broken();
            field(number, message.substr(0, length), 0);
            message.remove_prefix(length);
        } else {
            broken();
        }
    }
}

json &all_fields() {
    static json fields;
    return fields;
}

// One field as it was on the wire.
struct Value {
    std::string_view bytes;
    uint64_t number;
};

json decode_structure(const std::string &name, const Type *type, std::string_view message);
json decode_value(const Type *type, const Value &value);

std::string text_field(std::string_view message, uint32_t wanted) {
    std::string out;
    each_field(message, [&](uint32_t number, std::string_view bytes, uint64_t) {
        if (number == wanted)
            out = std::string(bytes);
    });
    return out;
}

uint64_t number_field(std::string_view message, uint32_t wanted) {
    uint64_t out = 0;
    each_field(message, [&](uint32_t number, std::string_view, uint64_t value) {
        if (number == wanted)
            out = value;
    });
    return out;
}

json decode_scalar(const Type *type, const Value &value) {
    switch (type->scalar) {
    case Type::Scalar::integer32:
    case Type::Scalar::integer64:
        return static_cast<int64_t>(value.number);
    case Type::Scalar::boolean:
        return value.number != 0;
    case Type::Scalar::bytes:
        return base64(std::string(value.bytes));
    case Type::Scalar::quantity:
        return text_field(value.bytes, 1);
    case Type::Scalar::int_or_string: // type, integer, string
        return number_field(value.bytes, 1) == 0 ? json(static_cast<int64_t>(number_field(value.bytes, 2)))
                                                 : json(text_field(value.bytes, 3));
    case Type::Scalar::time:
    case Type::Scalar::micro_time: {
        const auto seconds = static_cast<int64_t>(number_field(value.bytes, 1));
        return seconds == 0 || value.bytes.empty() ? json() : json(rfc3339_time(static_cast<time_t>(seconds)));
    }
    default:
        return std::string(value.bytes);
    }
}

json decode_value(const Type *type, const Value &value) {
    return type->shape == Type::Shape::scalar      ? decode_scalar(type, value)
           : type->shape == Type::Shape::structure ? decode_structure(type->go_name, type, value.bytes)
                                                   : json();
}

// `name`: of the struct whose numbers these are; `type` has the members, its own or those of the struct around it.
json decode_structure(const std::string &name, const Type *type, std::string_view message) {
    json out = json::object();
    const json *numbers = find(all_fields(), name);
    if (!numbers)
        return out;
    each_field(message, [&](uint32_t number, std::string_view bytes, uint64_t varint) {
        const std::string member = text_of(*numbers, std::to_string(number));
        if (member.starts_with('+')) {
            out.update(decode_structure(member.substr(1), type, bytes));
            return;
        }
        const Field *field = member.empty() ? nullptr : type->field(member);
        if (!field)
            return;
        if (field->type->shape == Type::Shape::list) {
            out[member].push_back(decode_value(field->type->element, {bytes, varint}));
        } else if (field->type->shape == Type::Shape::map) {
            std::string key;
            Value inner{{}, 0};
            each_field(bytes, [&](uint32_t part, std::string_view text, uint64_t value) {
                if (part == 1)
                    key = std::string(text);
                else
                    inner = {text, value};
            });
            out[member][key] = decode_value(field->type->element, inner);
        } else {
            out[member] = decode_value(field->type, {bytes, varint});
        }
    });
    return out;
}

} // namespace

void load_protobuf_fields(json fields) {
    all_fields() = std::move(fields);
}

json decode_protobuf(const std::string &body, const Type *type) {
    std::string_view rest = body;
    if (!rest.starts_with(std::string_view("k8s\0", 4)))
        throw ApiError::bad_request(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
    rest.remove_prefix(4);
    std::string version, kind;
    std::string_view raw;
    each_field(rest, [&](uint32_t number, std::string_view bytes, uint64_t) {
        if (number == 1)
            each_field(bytes, [&](uint32_t inner, std::string_view text, uint64_t) {
                (inner == 1 ? version : kind) = std::string(text);
            });
        else if (number == 2)
            raw = bytes;
    });
    json out = decode_structure(kind, type, raw);
    out["apiVersion"] = version;
    out["kind"] = kind;
    return out;
}

} // namespace kubesim
