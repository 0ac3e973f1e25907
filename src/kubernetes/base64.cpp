// Standard base64; see the header. Runs in the mirror worker and in backends.
#include "kubernetes/base64.hpp"

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

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
