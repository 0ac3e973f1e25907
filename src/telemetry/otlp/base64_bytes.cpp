// Base64; see the header. Any process that takes telemetry.
#include "telemetry/otlp/base64_bytes.hpp"

#include <array>
#include <cstdint>

namespace dbnet::telemetry {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr auto values = [] {
    std::array<int8_t, 256> table{};
    table.fill(-1);
    for (size_t i = 0; i < alphabet.size(); ++i)
        table[static_cast<unsigned char>(alphabet[i])] = static_cast<int8_t>(i);
    table['-'] = table['+']; // of URLs
    table['_'] = table['/'];
    return table;
}();

} // namespace

char *put_base64(char *to, std::string_view bytes) noexcept {
    for (size_t at = 0; at < bytes.size(); at += 3) {
        uint32_t group = 0;
        for (size_t i = 0; i < 3; ++i)
            group = group << 8 | (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0);
        for (size_t i = 0; i < 4; ++i)
            *to++ = at + i <= bytes.size() ? alphabet[group >> (18 - 6 * i) & 0x3F] : '=';
    }
    return to;
}

char *read_base64(char *to, std::string_view text) noexcept {
    if (text.size() % 4 == 0)
        for (int padding = 0; padding < 2 && text.ends_with('='); ++padding)
            text.remove_suffix(1);
    if (text.size() % 4 == 1)
        return nullptr;
    uint32_t group = 0;
    for (size_t at = 0; at < text.size(); ++at) {
        const int value = values[static_cast<unsigned char>(text[at])];
        if (value < 0)
            return nullptr;
        group = group << 6 | static_cast<uint32_t>(value);
        if (at % 4 != 0)
            *to++ = static_cast<char>(group >> (6 - 2 * (at % 4)));
    }
    return to;
}

} // namespace dbnet::telemetry

#include "pg/no_postgres.hpp"
