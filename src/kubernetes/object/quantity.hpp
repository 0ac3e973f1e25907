// Kubernetes quantities ("100m", "1.5Gi", "1e3"): exact comparison by value, not by text. Used by the mirror worker and
// by backends.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

namespace dbnet::kubernetes {

// A quantity in billionths; the server rounds finer values up (away from zero) and caps what exceeds 2^63-1.
class Quantity {
public:
    // No value when the text is no quantity.
    static std::optional<Quantity> parse(std::string_view text) noexcept;

    Quantity rounded_up_to_milli() const noexcept;
    std::string decimal() const; // plain decimal number for SQL numeric: "0.1", "1610612736"

    auto operator<=>(const Quantity &) const = default;

private:
    explicit Quantity(__int128 nanos) : nanos_(nanos) {}
    __int128 nanos_ = 0;
};

// True when the server would keep `desired` as `live`: equal values, or equal once rounded up to thousandths as the
// server does in resource lists. Texts that are no quantities are compared as texts.
bool same_quantity(std::string_view desired, std::string_view live) noexcept;

} // namespace dbnet::kubernetes
