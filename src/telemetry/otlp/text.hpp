// Text from outside as PostgreSQL can keep it: valid UTF-8 without U+0000. What cannot be kept becomes U+FFFD, so that
// a string that a client cut in the middle of a character does not cost the record. Pure C++.
#pragma once

#include "telemetry/arena.hpp"

#include <cstdint>
#include <cstring>
#include <string_view>

namespace dbnet::telemetry {

// How many strings were changed.
struct TextFaults {
    uint64_t zeros = 0;   // had a U+0000
    uint64_t invalid = 0; // had bytes that are no UTF-8, or lone surrogates
};

constexpr std::string_view replacement_character = "\xEF\xBF\xBD";

// All bytes are 0x01..0x7F.
inline bool is_plain_ascii(std::string_view text) noexcept {
    constexpr uint64_t ones = 0x0101010101010101, high_bits = 0x8080808080808080;
    const char *at = text.data();
    size_t left = text.size();
    uint64_t found = 0;
    for (; left >= 8; at += 8, left -= 8) {
        uint64_t word;
        std::memcpy(&word, at, 8);
        found |= (word - ones) | word; // a zero byte borrows and so sets a high bit
    }
    uint64_t rest = ones;
    if (left > 0) // a text that was not sent has no address
        std::memcpy(&rest, at, left);
    found |= (rest - ones) | rest;
    return (found & high_bits) == 0;
}

// `text` itself where it can be kept as it is, else a copy in the arena.
std::string_view repaired_text(std::string_view text, Arena &arena, TextFaults &faults);
inline std::string_view clean_text(std::string_view text, Arena &arena, TextFaults &faults) {
    return is_plain_ascii(text) ? text : repaired_text(text, arena, faults);
}

// Makes of UTF-8 text what a database in another encoding keeps: in the arena, with "?" for what it cannot express. For
// text that is not plain ASCII.
using TextEncoder = std::string_view (*)(std::string_view text, Arena &arena);

// Writes the code point (no surrogate) as UTF-8, returns the end.
char *put_utf8(char *to, uint32_t code_point) noexcept;

} // namespace dbnet::telemetry
