// Digests of Secrets' values. Pure C++; mirror worker and SQL functions.
#include "mirror/values/secret_values.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <new>
#include <string>

#include "pg/no_postgres.hpp"

namespace dbnet::mirror {
namespace {

using nlohmann::json;

constexpr char last_applied[] = "kubectl.kubernetes.io/last-applied-configuration";

std::string hexadecimal(const unsigned char *bytes, size_t count) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (size_t i = 0; i < count; i++) {
        text += digits[bytes[i] >> 4];
        text += digits[bytes[i] & 15];
    }
    return text;
}

std::string text_member(const json &object, const char *name) {
    const auto found = object.find(name);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

} // namespace

std::string keyed_digest(const std::string &message, std::string_view key) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> code;
    unsigned length = 0;
    if (!HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
              reinterpret_cast<const unsigned char *>(message.data()), message.size(), code.data(), &length))
        throw std::bad_alloc(); // the one way in which it fails
    return hexadecimal(code.data(), length);
}

bool holds_secrets(std::string_view group, std::string_view kind) {
    return group.empty() && kind == "Secret";
}

bool is_secret_field(const kubernetes::FieldPath &path) {
    return !path.segments().empty() && (path.segments().front().name == "data" || is_write_only_field(path));
}

bool may_hold_copy(const kubernetes::FieldPath &path) {
    const auto &segments = path.segments();
    return !segments.empty() && segments.front().name == "metadata" &&
           (segments.size() == 1 || segments[1].name == "annotations");
}

bool is_write_only_field(const kubernetes::FieldPath &path) {
    return !path.segments().empty() && path.segments().front().name == "stringData";
}

void hide_secret_values(json &object, std::string_view key) {
    json &metadata = object["metadata"];
    if (const auto annotations = metadata.find("annotations");
        annotations != metadata.end() && annotations->is_object())
        annotations->erase(last_applied);
    // Names hold no zero byte, so that no two places share a prefix.
    const std::string place = text_member(metadata, "namespace") + '\0' + text_member(metadata, "name") + '\0';
    for (const char *member : {"data", "stringData"}) {
        const auto values = object.find(member);
        if (values == object.end() || values->is_null())
            continue;
        if (!values->is_object()) { // no server sends that
            object.erase(values);
            continue;
        }
        for (const auto &[name, value] : values->items())
            value =
                "hmac-sha256:" +
                keyed_digest(place + name + '\0' + (value.is_string() ? value.get<std::string>() : value.dump()), key);
    }
}

} // namespace dbnet::mirror
