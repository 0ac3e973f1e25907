// Compressed bodies of requests. Pure C++.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dbnet::telemetry {

enum class Compression : uint8_t { none, gzip, zstd };

enum class Inflated : uint8_t { whole, malformed, too_large };

// Decompresses gzip (one or more members) or zstd (one or more frames) into `text`, which is no longer than `limit`
// then: what would be is too_large, however small the packed form. Raises std::bad_alloc only.
Inflated inflate(Compression compression, std::string_view packed, size_t limit, std::string &text);

} // namespace dbnet::telemetry
