// Order of resource versions of one resource type (kubernetes.md W15): decimals without a leading zero compare as
// numbers of any length; anything else is opaque. Used by the mirror worker.
#pragma once

#include <compare>
#include <optional>
#include <string_view>

namespace dbnet::kubernetes {

// No value when the two cannot be ordered (equality is still equality of the texts: an equal pair always compares
// equal).
std::optional<std::strong_ordering> compare_resource_versions(std::string_view left, std::string_view right) noexcept;

// True when `version` is known to be older than `than`.
bool is_older(std::string_view version, std::string_view than) noexcept;

// True when `version` is known to be the same as `than` or older.
bool is_not_newer(std::string_view version, std::string_view than) noexcept;

} // namespace dbnet::kubernetes
