// Writing numerics; see the header. Any process that takes telemetry.
#include "telemetry/tables/numeric_bytes.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

namespace dbnet::telemetry {
namespace {

using uint128 = unsigned __int128;

constexpr uint16_t is_short = 0x8000, short_negative = 0x2000, short_negative_weight = 0x0040, long_negative = 0x4000;

// significand * 10^exponent; significand below 10^20.
size_t put(char *to, bool negative, uint64_t significand, int exponent) noexcept {
    // Digits to base 10000, least first; their exponent must be a multiple of 4.
    int scale = exponent >= 0 ? exponent / 4 : -((3 - exponent) / 4);
    constexpr uint64_t powers[] = {1, 10, 100, 1000};
    uint128 rest = static_cast<uint128>(significand) * powers[exponent - scale * 4];
    int16_t digits[8];
    int count = 0;
    for (; rest != 0; rest /= 10000) {
        const auto digit = static_cast<int16_t>(rest % 10000);
        if (count == 0 && digit == 0)
            ++scale;
        else
            digits[count++] = digit;
    }
    const int weight = count == 0 ? 0 : scale + count - 1;
    const int display_scale = std::max(0, -exponent);
    char *at = to + 4;
    const auto append = [&](auto number) {
        std::memcpy(at, &number, sizeof number);
        at += sizeof number;
    };
    if (count == 0)
        negative = false;
    if (display_scale <= 0x3F && weight >= -64 && weight <= 63) {
        append(static_cast<uint16_t>(is_short | (negative ? short_negative : 0) | display_scale << 7 |
                                     (weight < 0 ? short_negative_weight : 0) | (weight & 0x3F)));
    } else {
        append(static_cast<uint16_t>((negative ? long_negative : 0) | display_scale));
        append(static_cast<int16_t>(weight));
    }
    while (count > 0)
        append(digits[--count]);
    const auto length = static_cast<uint32_t>(at - to);
    const uint32_t header = length << 2;
    std::memcpy(to, &header, sizeof header);
    return length;
}

struct Decimal { // significand * 10^exponent
    uint64_t significand;
    int exponent, digits;
};

// What std::to_chars printed in scientific form.
Decimal read(const char *at, const char *end) noexcept {
    Decimal decimal{0, 0, 0};
    bool is_fraction = false;
    for (; *at != 'e'; ++at) {
        if (*at == '.') {
            is_fraction = true;
            continue;
        }
        decimal.significand = decimal.significand * 10 + static_cast<uint64_t>(*at - '0');
        decimal.exponent -= is_fraction;
        ++decimal.digits;
    }
    int printed = 0;
    std::from_chars(at + (at[1] == '+' ? 2 : 1), end, printed);
    decimal.exponent += printed;
    for (; decimal.significand % 10 == 0 && decimal.exponent < 0; ++decimal.exponent) // asked for, not needed
        decimal.significand /= 10;
    return decimal;
}

// Exactly between `value` and a neighbour. Only numbers of few factors 5 and 54 bits can be.
bool is_half_way(const Decimal &decimal, double value) noexcept {
    if (decimal.exponent < -1 || decimal.exponent > 23)
        return false;
    int binary_exponent;
    const double fraction = std::frexp(value, &binary_exponent);
    const auto mantissa = static_cast<uint64_t>(std::ldexp(fraction, 53));
    const int shift = binary_exponent - 54 - decimal.exponent;
    if (shift < 0 || shift > 70)
        return false;
    uint128 left = decimal.significand;
    for (int i = 0; i < decimal.exponent; ++i)
        left *= 5;
    const int fives = decimal.exponent < 0 ? 5 : 1;
    return left == static_cast<uint128>((2 * mantissa + 1) * fives) << shift ||
           left == static_cast<uint128>((2 * mantissa - 1) * fives) << shift;
}

} // namespace

size_t put_numeric(char *to, uint64_t value) noexcept {
    return put(to, false, value, 0);
}

size_t put_numeric(char *to, int64_t value) noexcept {
    const auto magnitude = static_cast<uint64_t>(value);
    return put(to, value < 0, value < 0 ? 0 - magnitude : magnitude, 0);
}

size_t put_numeric(char *to, double value) noexcept {
    constexpr double exact = 9007199254740992; // 2^53: integers below are what they print as
    if (std::fabs(value) < exact && value == std::trunc(value))
        return put_numeric(to, static_cast<int64_t>(value));
    const double magnitude = std::fabs(value);
    char text[32]; // d.ddde-xxx
    Decimal decimal = read(text, std::to_chars(text, text + sizeof text, magnitude, std::chars_format::scientific).ptr);
    // PostgreSQL takes a digit more rather than a number half-way to the neighbouring double.
    for (int digits = decimal.digits + 1; is_half_way(decimal, magnitude) && digits <= 17; ++digits)
        decimal = read(
            text, std::to_chars(text, text + sizeof text, magnitude, std::chars_format::scientific, digits - 1).ptr);
    return put(to, std::signbit(value), decimal.significand, decimal.exponent);
}

} // namespace dbnet::telemetry

#include "pg/no_postgres.hpp"
