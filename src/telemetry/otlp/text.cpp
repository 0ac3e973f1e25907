// Repair of text; see the header. Any process that takes telemetry.
#include "telemetry/otlp/text.hpp"

#include <simdjson.h>

#include <algorithm>

namespace dbnet::telemetry {
namespace {

// Length of the valid character at the start of `text`; 0: none, and `wrong` bytes are to be replaced by one U+FFFD
// (the longest start of a character, as the Unicode Standard recommends).
size_t character_length(std::string_view text, size_t &wrong) noexcept {
    const auto byte = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
    wrong = 1;
    const unsigned first = byte(0);
    if (first < 0x80)
        return 1;
    if (first < 0xC2 || first > 0xF4)
        return 0;
    const size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    // No overlong forms, no surrogates, nothing above U+10FFFF.
    unsigned low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    for (size_t at = 1; at < length; ++at, low = 0x80, high = 0xBF) {
        if (at >= text.size() || byte(at) < low || byte(at) > high) {
            wrong = at;
            return 0;
        }
    }
    return length;
}

} // namespace

std::string_view repaired_text(std::string_view text, Arena &arena, TextFaults &faults) {
    const bool has_zeros = std::memchr(text.data(), 0, text.size()) != nullptr;
    const bool is_valid = simdjson::validate_utf8(text.data(), text.size());
    faults.zeros += has_zeros;
    faults.invalid += !is_valid;
    if (!has_zeros && is_valid)
        return text;
    char *const start = arena.allocate(text.size() * replacement_character.size());
    char *to = start;
    while (!text.empty()) {
        size_t wrong;
        const size_t length = character_length(text, wrong);
        const bool is_kept = length > 0 && text[0] != 0;
        const std::string_view piece = is_kept ? text.substr(0, length) : replacement_character;
        to = std::copy(piece.begin(), piece.end(), to);
        text.remove_prefix(length > 0 ? length : wrong);
    }
    arena.give_back(to);
    return {start, static_cast<size_t>(to - start)};
}

char *put_utf8(char *to, uint32_t code_point) noexcept {
    const auto put = [&](uint32_t byte) { *to++ = static_cast<char>(byte); };
    if (code_point < 0x80) {
        put(code_point);
    } else if (code_point < 0x800) {
        put(0xC0 | code_point >> 6);
        put(0x80 | (code_point & 0x3F));
    } else if (code_point < 0x10000) {
        put(0xE0 | code_point >> 12);
        put(0x80 | (code_point >> 6 & 0x3F));
        put(0x80 | (code_point & 0x3F));
    } else {
        put(0xF0 | code_point >> 18);
        put(0x80 | (code_point >> 12 & 0x3F));
        put(0x80 | (code_point >> 6 & 0x3F));
        put(0x80 | (code_point & 0x3F));
    }
    return to;
}

} // namespace dbnet::telemetry

#include "pg/no_postgres.hpp"
