// Quantities as the server writes them. Follows k8s.io/apimachinery/pkg/api/resource.
#include "quantity.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace kubesim {

namespace {

using Wide = __int128;

constexpr int smallest_exponent = -9; // nano: what is finer is rounded up

struct Suffix {
    std::string_view text;
    int exponent; // of 10 or of 2
};

constexpr std::array<Suffix, 9> decimal = {
    {{"n", -9}, {"u", -6}, {"m", -3}, {"", 0}, {"k", 3}, {"M", 6}, {"G", 9}, {"T", 12}, {"P", 15}}};
constexpr Suffix exa = {"E", 18};
constexpr std::array<Suffix, 6> binary = {{{"Ki", 10}, {"Mi", 20}, {"Gi", 30}, {"Ti", 40}, {"Pi", 50}, {"Ei", 60}}};

enum class Format { decimal_suffix, binary_suffix, exponent };

struct Parsed {
    bool negative = false;
    std::string digits; // without the point
    int exponent = 0;   // of 10, for the last digit
    int bits = 0;       // of 2
    Format format = Format::decimal_suffix;
};

bool parse_suffix(std::string_view text, Parsed &out) {
    for (const auto &suffix : binary)
        if (text == suffix.text) {
            out.bits = suffix.exponent;
            out.format = Format::binary_suffix;
            return true;
        }
    for (const auto &suffix : decimal)
        if (text == suffix.text) {
            out.exponent += suffix.exponent;
            return true;
        }
    if (text == exa.text) {
        out.exponent += exa.exponent;
        return true;
    }
    if (text.size() < 2 || (text[0] != 'e' && text[0] != 'E'))
        return false;
    const std::string number(text.substr(1));
    char *end = nullptr;
    const long exponent = strtol(number.c_str(), &end, 10);
    if (*end || exponent < -100 || exponent > 100)
        return false;
    out.exponent += static_cast<int>(exponent);
    out.format = Format::exponent;
    return true;
}

bool parse(std::string_view text, Parsed &out) {
    size_t at = 0;
    if (!text.empty() && (text[0] == '+' || text[0] == '-'))
        out.negative = text[at++] == '-';
    bool point = false, any = false;
    for (; at < text.size() && ((text[at] >= '0' && text[at] <= '9') || (text[at] == '.' && !point)); at++) {
        if (text[at] == '.') {
            point = true;
            continue;
        }
        any = true;
        out.digits += text[at];
        out.exponent -= point;
    }
    return any && parse_suffix(text.substr(at), out);
}

std::string printed(Wide value) {
    std::string out;
    do
        out.insert(out.begin(), static_cast<char>('0' + static_cast<int>(value % 10)));
    while ((value /= 10) != 0);
    return out;
}

} // namespace

bool canonical_quantity(const std::string &text, std::string &canonical) {
    Parsed parsed;
    if (!parse(text, parsed))
        return false;
    // The value in units of nano; more than 2^63-1 is capped there by the server.
    constexpr Wide most = static_cast<Wide>(INT64_MAX) * 1000000000;
    Wide nano = 0;
    for (char digit : parsed.digits)
        nano = std::min<Wide>(nano * 10 + (digit - '0'), most);
    for (int i = 0; i < parsed.bits; i++)
        nano = std::min<Wide>(nano * 2, most);
    int exponent = parsed.exponent - smallest_exponent;
    for (; exponent > 0; exponent--)
        nano = std::min<Wide>(nano * 10, most);
    bool inexact = false;
    for (; exponent < 0; exponent++) {
        inexact |= nano % 10 != 0;
        nano /= 10;
    }
    nano += inexact;

    const std::string sign = parsed.negative && nano != 0 ? "-" : "";
    constexpr Wide one = 1000000000;
    if (parsed.format == Format::binary_suffix && nano % one == 0 && nano >= 1024 * one) {
        Wide value = nano / one;
        size_t unit = 0;
        for (; value % 1024 == 0 && unit < binary.size(); unit++)
            value /= 1024;
        canonical = sign + printed(value) + std::string(unit ? binary[unit - 1].text : "");
        return true;
    }
    int power = smallest_exponent;
    for (; nano != 0 && nano % 1000 == 0 && power < exa.exponent; power += 3)
        nano /= 1000;
    if (nano == 0)
        power = 0;
    if (parsed.format == Format::exponent) {
        canonical = sign + printed(nano) + (power ? "e" + std::to_string(power) : "");
        return true;
    }
    std::string_view suffix = exa.text;
    for (const auto &one_of : decimal)
        if (one_of.exponent == power)
            suffix = one_of.text;
    canonical = sign + printed(nano) + std::string(suffix);
    return true;
}

} // namespace kubesim
