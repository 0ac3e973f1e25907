// Request bodies in Kubernetes' protobuf form, as "kubectl create configmap" and "kubectl create namespace" send them.
#include "protobuf.hpp"

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

void add_pair(json &map, std::string_view entry) {
    std::string key, value;
    each_field(entry, [&](uint32_t number, std::string_view bytes, uint64_t) {
        (number == 1 ? key : value) = std::string(bytes);
    });
    map[key] = value;
}

json object_meta(std::string_view message) {
    json out = json::object();
    each_field(message, [&](uint32_t number, std::string_view bytes, uint64_t) {
        std::string text(bytes);
        if (text.empty())
            return;
        if (number == 1)
            out["name"] = text;
        else if (number == 2)
            out["generateName"] = text;
        else if (number == 3)
            out["namespace"] = text;
        else if (number == 11)
            add_pair(out["labels"], bytes);
        else if (number == 12)
            add_pair(out["annotations"], bytes);
        else if (number == 14)
            out["finalizers"].push_back(text);
    });
    return out;
}

json config_map(std::string_view message) {
    json out = json::object();
    each_field(message, [&](uint32_t number, std::string_view bytes, uint64_t varint) {
        if (number == 1)
            out["metadata"] = object_meta(bytes);
        else if (number == 2)
            add_pair(out["data"], bytes);
        else if (number == 3)
            add_pair(out["binaryData"], bytes);
        else if (number == 4)
            out["immutable"] = varint != 0;
    });
    if (out.contains("binaryData"))
        for (auto &value : out["binaryData"])
            value = base64(value.get<std::string>());
    return out;
}

json name_space(std::string_view message) {
    json out = json::object();
    each_field(message, [&](uint32_t number, std::string_view bytes, uint64_t) {
        if (number == 1)
            out["metadata"] = object_meta(bytes);
    });
    return out;
}

} // namespace

json decode_protobuf(const std::string &body) {
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
    json out;
    if (kind == "ConfigMap")
        out = config_map(raw);
    else if (kind == "Namespace")
        out = name_space(raw);
    else
        throw ApiError::bad_request("the simulator reads protobuf bodies of ConfigMap and Namespace only, not of " +
                                    kind);
    out["apiVersion"] = version;
    out["kind"] = kind;
    return out;
}

} // namespace kubesim
