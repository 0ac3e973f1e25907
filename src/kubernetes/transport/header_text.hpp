// The few response headers that matter to the client, taken apart. Used by the transport.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dbnet::kubernetes {

// The trimmed value when the header line has this (lower case) name.
std::optional<std::string_view> header_value(std::string_view line, std::string_view name) noexcept;

// Seconds of a Retry-After header; -1 when it is no plain number (the API server never sends dates).
int retry_after_seconds(std::string_view value) noexcept;

// 299 - "unknown field \"spec.x\"" → unknown field "spec.x". Other codes than 299: empty.
std::string warning_text(std::string_view value);

} // namespace dbnet::kubernetes
