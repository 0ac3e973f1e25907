// Kubernetes quantities; see the header. Runs in the mirror worker and in backends.
#include "kubernetes/object/quantity.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace dbnet::kubernetes {
namespace {

using Wide = unsigned __int128; // magnitudes; the sign is kept apart

constexpr Wide nanos_per_unit = 1'000'000'000;
constexpr Wide largest = static_cast<Wide>(std::numeric_limits<int64_t>::max()) * nanos_per_unit;

struct Scale {
    int binary = 0;  // powers of 1024
    int decimal = 0; // powers of 10
};

bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

// "e3", "E-2", both with an optional sign; the exponent is cut at ±99, which is far outside of what can be represented.
std::optional<Scale> exponent(std::string_view suffix) noexcept {
    bool negative = false;
    suffix.remove_prefix(1);
    if (!suffix.empty() && (suffix.front() == '-' || suffix.front() == '+')) {
        negative = suffix.front() == '-';
        suffix.remove_prefix(1);
    }
    if (suffix.empty())
        return std::nullopt;
    int value = 0;
    for (const char c : suffix) {
        if (!is_digit(c))
            return std::nullopt;
        value = std::min(value * 10 + (c - '0'), 99);
    }
    return Scale{0, negative ? -value : value};
}

std::optional<Scale> scale_of(std::string_view suffix) noexcept {
    if (suffix.empty())
        return Scale{};
    if (suffix.size() == 2 && suffix[1] == 'i') {
        const size_t power = std::string_view("KMGTPE").find(suffix[0]);
        if (power != std::string_view::npos)
            return Scale{static_cast<int>(power) + 1, 0};
        return std::nullopt;
    }
    if (suffix.size() == 1) {
        constexpr std::string_view names = "numkMGTPE";
        constexpr int powers[] = {-9, -6, -3, 3, 6, 9, 12, 15, 18};
        if (const size_t at = names.find(suffix[0]); at != std::string_view::npos)
            return Scale{0, powers[at]};
        return std::nullopt;
    }
    if (suffix[0] == 'e' || suffix[0] == 'E')
        return exponent(suffix);
    return std::nullopt;
}

// mantissa · 1024^binary · 10^decimal billionths, rounded up, capped at `largest`. The mantissa is at most 10 times
// `largest`; `inexact` says that the value is a little more than it.
Wide scaled(Wide mantissa, Scale scale, bool inexact) noexcept {
    constexpr Wide room = ~Wide{0} / 1024;
    const auto divide = [&] {
        inexact = inexact || mantissa % 10 != 0;
        mantissa /= 10;
        ++scale.decimal;
    };
    for (; scale.binary > 0; --scale.binary) {
        while (mantissa > room && scale.decimal < 0)
            divide();
        if (mantissa > room)
            return largest;
        mantissa *= 1024;
    }
    for (; scale.decimal > 0 && mantissa <= largest; --scale.decimal)
        mantissa *= 10;
    while (scale.decimal < 0 && mantissa != 0)
        divide();
    return std::min(mantissa + (inexact ? 1 : 0), largest);
}

} // namespace

std::optional<Quantity> Quantity::parse(std::string_view text) noexcept {
    bool negative = false;
    if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
        negative = text.front() == '-';
        text.remove_prefix(1);
    }
    // The digits as one integer and how many of them stand behind the point. Digits that cannot matter any more (the
    // value is above the cap, or below a billionth even after the largest suffix) only count.
    Wide mantissa = 0;
    int behind_point = 0;
    bool point = false;
    bool lost = false;
    size_t digits = 0;
    size_t at = 0;
    for (; at < text.size(); ++at) {
        const char c = text[at];
        if (c == '.' && !point) {
            point = true;
            continue;
        }
        if (!is_digit(c))
            break;
        ++digits;
        const bool room = mantissa < largest;
        if (room) {
            mantissa = mantissa * 10 + (c - '0');
            behind_point += point ? 1 : 0;
        } else if (!point) {
            --behind_point;
        } else {
            lost = lost || c != '0';
        }
    }
    const std::optional<Scale> scale = scale_of(text.substr(at));
    if (digits == 0 || !scale)
        return std::nullopt;
    const Wide nanos = mantissa == 0 ? 0 : scaled(mantissa, {scale->binary, scale->decimal - behind_point + 9}, lost);
    const auto magnitude = static_cast<__int128>(nanos);
    return Quantity(negative ? -magnitude : magnitude);
}

Quantity Quantity::rounded_up_to_milli() const noexcept {
    constexpr __int128 milli = nanos_per_unit / 1000;
    const __int128 rest = nanos_ % milli;
    if (rest == 0)
        return *this;
    return Quantity(nanos_ - rest + (nanos_ < 0 ? -milli : milli));
}

std::string Quantity::decimal() const {
    const bool negative = nanos_ < 0;
    const auto magnitude = static_cast<Wide>(negative ? -nanos_ : nanos_);
    std::string text = std::to_string(static_cast<uint64_t>(magnitude / nanos_per_unit));
    if (const auto fraction = static_cast<uint64_t>(magnitude % nanos_per_unit)) {
        std::string digits = std::to_string(fraction);
        digits.insert(0, 9 - digits.size(), '0');
        digits.erase(digits.find_last_not_of('0') + 1);
        text += '.' + digits;
    }
    return negative ? '-' + text : text;
}

bool same_quantity(std::string_view desired, std::string_view live) noexcept {
    const auto left = Quantity::parse(desired);
    const auto right = Quantity::parse(live);
    if (!left || !right)
        return desired == live;
    return *left == *right || left->rounded_up_to_milli() == *right;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
