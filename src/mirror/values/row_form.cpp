// Implementation of row_form.hpp. Runs in the mirror worker.
#include "mirror/values/row_form.hpp"

#include <cmath>

#include "pg/no_postgres.hpp"

namespace dbnet::mirror {

namespace {

// Base64 (RFC 4648) to bytea's hexadecimal input; nullopt when it is no base64.
std::optional<std::string> hexadecimal(const std::string &base64) {
    constexpr char digits[] = "0123456789abcdef";
    std::string result = "\\x";
    unsigned bits = 0;
    int count = 0;
    size_t padding = 0;
    for (char c : base64) {
        if (c == '=') {
            padding++;
            continue;
        }
        int value = c >= 'A' && c <= 'Z'   ? c - 'A'
                    : c >= 'a' && c <= 'z' ? c - 'a' + 26
                    : c >= '0' && c <= '9' ? c - '0' + 52
                    : c == '+'             ? 62
                    : c == '/'             ? 63
                                           : -1;
        if (value < 0 || padding > 0)
            return std::nullopt;
        bits = bits << 6 | static_cast<unsigned>(value);
        count += 6;
        if (count >= 8) {
            count -= 8;
            unsigned byte = bits >> count & 0xFF;
            result += {digits[byte >> 4], digits[byte & 15]};
        }
    }
    return padding <= 2 && base64.size() % 4 == 0 ? std::optional(result) : std::nullopt;
}

} // namespace

Json to_row_form(const Column &column, const Json &value) {
    if (column.column_type == "bytea" && value.is_string()) {
        if (auto text = hexadecimal(value.get_ref<const std::string &>()))
            return *text;
    } else if (column.type == ValueType::integer && value.is_number_float()) {
        // 3.0 is a whole number to the API, but not to the input function of an integer column.
        double number = value.get<double>();
        if (number == std::floor(number) && std::abs(number) < 0x1p63)
            return static_cast<int64_t>(number);
    }
    return value;
}

} // namespace dbnet::mirror
