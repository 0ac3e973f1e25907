// Standard base64; see the header. Runs in the mirror worker and in backends.
#include "kubernetes/credentials/base64.hpp"

namespace dbnet::kubernetes {
namespace {

int value_of(char c) noexcept {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

} // namespace

std::optional<std::string> base64_decode(std::string_view text) {
    std::string bytes;
    bytes.reserve(text.size() / 4 * 3);
    unsigned bits = 0;
    size_t characters = 0; // padding included
    size_t padding = 0;
    for (const char c : text) {
        if (c == '\n' || c == '\r' || c == ' ' || c == '\t')
            continue;
        ++characters;
        if (c == '=') {
            ++padding;
            continue;
        }
        const int value = value_of(c);
        if (value < 0 || padding > 0)
            return std::nullopt;
        bits = (bits << 6 | static_cast<unsigned>(value)) & 0xFFFFFF;
        if (characters % 4 == 2)
            bytes += static_cast<char>(bits >> 4 & 0xFF);
        else if (characters % 4 == 3)
            bytes += static_cast<char>(bits >> 2 & 0xFF);
        else if (characters % 4 == 0)
            bytes += static_cast<char>(bits & 0xFF);
    }
    if (characters % 4 != 0 || padding > 2)
        return std::nullopt;
    return bytes;
}

std::string base64_encode(std::string_view bytes) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (size_t at = 0; at < bytes.size(); at += 3) {
        const auto byte = [&](size_t next) {
            return at + next < bytes.size() ? static_cast<unsigned char>(bytes[at + next]) : 0U;
        };
        const unsigned bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        text += digits[bits >> 18];
        text += digits[bits >> 12 & 63];
        text += at + 1 < bytes.size() ? digits[bits >> 6 & 63] : '=';
        text += at + 2 < bytes.size() ? digits[bits & 63] : '=';
    }
    return text;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
