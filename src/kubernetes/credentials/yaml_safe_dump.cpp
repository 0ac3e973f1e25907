// JSON that survives being read as YAML (kubernetes.md A2): a server parses the body of a server-side apply with a YAML
// reader, which refuses some of JSON's escapes and silently changes some characters that JSON leaves alone. Runs in the
// mirror worker.
#include "kubernetes/api.hpp"

#include <nlohmann/json.hpp>

namespace dbnet::kubernetes {
namespace {

using nlohmann::json;

constexpr size_t longest_key = 1024; // characters, quotation marks and escapes included

// How many bytes at text[at] the YAML reader must not see as they are, and their code point: DEL and C1 controls, line
// and paragraph separator, byte order mark, U+FFFE, U+FFFF.
size_t unsafe_at(std::string_view text, size_t at, unsigned &code_point) noexcept {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(at + i < text.size() ? text[at + i] : 0); };
    switch (byte(0)) {
    case 0x7F:
        code_point = 0x7F;
        return 1;
    case 0xC2:
        code_point = byte(1);
        return byte(1) <= 0x9F ? 2 : 0;
    case 0xE2:
        code_point = 0x2000 + (byte(2) & 0x3F);
        return byte(1) == 0x80 && (byte(2) == 0xA8 || byte(2) == 0xA9) ? 3 : 0;
    case 0xEF:
        code_point = 0xF000 + (byte(1) & 0x3Fu) * 64 + (byte(2) & 0x3Fu);
        return (byte(1) == 0xBB && byte(2) == 0xBF) || (byte(1) == 0xBF && byte(2) >= 0xBE) ? 3 : 0;
    default:
        return 0;
    }
}

std::string escape_unsafe(std::string text) {
    constexpr std::string_view starts = "\x7F\xC2\xE2\xEF";
    constexpr char digits[] = "0123456789abcdef";
    size_t at = text.find_first_of(starts);
    if (at == std::string::npos)
        return text;
    std::string safe;
    safe.reserve(text.size() + 64);
    size_t copied = 0;
    for (; at != std::string::npos; at = text.find_first_of(starts, at)) {
        unsigned code_point = 0;
        const size_t length = unsafe_at(text, at, code_point);
        if (length == 0) {
            ++at;
            continue;
        }
        safe.append(text, copied, at - copied);
        safe += "\\u";
        for (int shift = 12; shift >= 0; shift -= 4)
            safe += digits[(code_point >> shift) & 15];
        at += length;
        copied = at;
    }
    safe.append(text, copied);
    return safe;
}

std::string dump(const json &value) {
    try {
        return escape_unsafe(value.dump());
    } catch (const json::type_error &) {
        throw Failure("a string of the object is not valid UTF-8");
    }
}

void check_keys(const json &value) {
    if (value.is_object()) {
        for (const auto &[key, child] : value.items()) {
            // A character takes at most six in JSON, so only long keys need the exact count.
            if (key.size() > (longest_key - 2) / 6) {
                size_t characters = 0;
                for (const char c : dump(json(key)))
                    characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
                if (characters > longest_key)
                    throw Failure("the key \"" + key.substr(0, 40) + "...\" is longer than the " +
                                  std::to_string(longest_key) + " characters that an API server reads");
            }
            check_keys(child);
        }
    } else if (value.is_array()) {
        for (const json &child : value)
            check_keys(child);
    }
}

} // namespace

std::string yaml_safe_dump(const json &document) {
    check_keys(document);
    return dump(document);
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
