// Base64 (RFC 4648) between buffers: both alphabets are read, with and without padding, the standard one is written.
// Pure C++.
#pragma once

#include <cstddef>
#include <string_view>

namespace dbnet::telemetry {

constexpr size_t base64_size(size_t bytes) noexcept {
    return (bytes + 2) / 3 * 4;
}

// Writes base64_size() characters, returns the end.
char *put_base64(char *to, std::string_view bytes) noexcept;

// Writes at most text.size() bytes, returns the end; nullptr: no base64.
char *read_base64(char *to, std::string_view text) noexcept;

} // namespace dbnet::telemetry
