// Compressed bodies: gzip (of one or several members) and zstd, never to more than a limit. Pure C++.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dbnet::telemetry {

enum class Inflated { ok, too_large, broken };

// Replaces `plain`; when the answer is not ok, what is in it is of no use. Raises std::bad_alloc only.
Inflated inflate_gzip(std::string_view packed, size_t limit, std::string &plain);
Inflated inflate_zstd(std::string_view packed, size_t limit, std::string &plain);

} // namespace dbnet::telemetry
