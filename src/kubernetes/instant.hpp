// Points in time as PostgreSQL and the Kubernetes API write them (RFC 3339). Pure C++.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dbnet::kubernetes {

// Microseconds since 1970-01-01 00:00 UTC. Takes a date alone, a time without zone (read as UTC), fractions of any
// length (cut to microseconds); years 0001 to 9999. nullopt for anything else, 'infinity' included.
std::optional<int64_t> parse_instant(std::string_view text);

// 2026-11-23T08:44:46Z, or with six digits of fraction. Cut, not rounded: a rounded time could lie in the future.
std::string format_instant(int64_t microseconds, bool with_fraction);

} // namespace dbnet::kubernetes
