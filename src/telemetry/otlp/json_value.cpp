// Scalars of a JSON body; see the header. Any process that takes telemetry.
#include "telemetry/otlp/json_value.hpp"

#include "telemetry/otlp/base64_bytes.hpp"

#include <charconv>
#include <cmath>

namespace dbnet::telemetry::json {
namespace {

int hexadecimal_digit(char c) noexcept {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// The four digits of a \u escape; -1: they are not.
int32_t code_unit(std::string_view digits) noexcept {
    if (digits.size() < 4)
        return -1;
    int32_t unit = 0;
    for (int i = 0; i < 4; ++i) {
        const int digit = hexadecimal_digit(digits[static_cast<size_t>(i)]);
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

bool is_number(std::string_view text) noexcept {
    const size_t first = text.starts_with('-') ? 1 : 0;
    return text.size() > first && text[first] >= '0' && text[first] <= '9'; // "inf" and "nan" are none
}

// False: not a number of this range.
bool parse(std::string_view text, double &number) noexcept {
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (!is_number(text) || end != text.data() + text.size())
        return false;
    if (problem == std::errc() || (text.find("e-") == text.npos && text.find("E-") == text.npos))
        return problem == std::errc();
    number = 0; // too small for a double
    return true;
}

template<class Integer> bool parse(std::string_view text, Integer &number) noexcept {
    const char *const end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, number);
    if (result.ec == std::errc() && result.ptr == end)
        return true;
    // 1.0 and 1e3 are integers, too.
    double floating;
    constexpr double beyond = -2.0 * static_cast<double>(std::numeric_limits<Integer>::min() / 2);
    if (text.find_first_of(".eE") == text.npos || !parse(text, floating) || floating != std::trunc(floating))
        return false;
    if constexpr (std::is_signed_v<Integer>) {
        if (floating < -beyond || floating >= beyond)
            return false;
    } else if (floating < 0 || floating >= std::ldexp(1.0, std::numeric_limits<Integer>::digits)) {
        return false;
    }
    number = static_cast<Integer>(floating);
    return true;
}

} // namespace

void unreadable(simdjson::error_code problem) {
    throw Unreadable("the body is no JSON of an OTLP request: " + std::string(simdjson::error_message(problem)));
}

std::string_view unescaped(Intake &intake, std::string_view raw) {
    if (std::memchr(raw.data(), '\\', raw.size()) == nullptr)
        return raw;
    char *const start = intake.batch.arena.allocate(raw.size()); // no escape is shorter than what it means
    char *to = start;
    bool has_zeros = false, is_invalid = false;
    for (size_t at = 0; at < raw.size();) {
        if (raw[at] != '\\') {
            *to++ = raw[at++];
            continue;
        }
        const char kind = at + 1 < raw.size() ? raw[at + 1] : 0;
        at += 2;
        if (kind != 'u') {
            constexpr std::string_view kinds = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
            const size_t known = kinds.find(kind);
            if (kind == 0 || known == kinds.npos)
                throw Unreadable("the body is no JSON of an OTLP request: a string has an unknown escape");
            *to++ = meanings[known];
            continue;
        }
        const int32_t unit = code_unit(raw.substr(std::min(at, raw.size())));
        if (unit < 0)
            throw Unreadable("the body is no JSON of an OTLP request: \\u is not followed by four hexadecimal digits");
        at += 4;
        uint32_t code_point = static_cast<uint32_t>(unit);
        if (unit >= 0xD800 && unit < 0xE000) {
            const int32_t low = unit < 0xDC00 && raw.substr(at).starts_with("\\u") ? code_unit(raw.substr(at + 2)) : -1;
            const bool is_pair = low >= 0xDC00 && low < 0xE000;
            code_point =
                is_pair ? 0x10000 + (static_cast<uint32_t>(unit - 0xD800) << 10) + static_cast<uint32_t>(low - 0xDC00)
                        : 0xFFFD;
            at += is_pair ? 6 : 0;
            is_invalid = is_invalid || !is_pair;
        } else if (unit == 0) {
            code_point = 0xFFFD;
            has_zeros = true;
        }
        to = put_utf8(to, code_point);
    }
    intake.faults.zeros += has_zeros;
    intake.faults.invalid += is_invalid;
    intake.batch.arena.give_back(to);
    return {start, static_cast<size_t>(to - start)};
}

std::string_view Value::scalar() const noexcept {
    return token_.substr(0, token_.find_last_not_of(" \t\r\n") + 1);
}

std::string_view Value::number_text() const noexcept {
    std::string_view text = scalar();
    if (text.size() >= 2 && text.starts_with('"'))
        text = text.substr(1, text.size() - 2);
    return text;
}

bool Value::refuse(Intake &intake, const char *name, const char *what) const {
    return intake.refuse(std::string(name) + " " + what);
}

bool Value::read(Intake &intake, const char *name, std::string_view &text) const {
    if (!token_.starts_with('"'))
        return refuse(intake, name, "is no string");
    const std::string_view whole = scalar();
    text = intake.kept_text(unescaped(intake, whole.substr(1, whole.size() - 2)));
    return true;
}

bool Value::read(Intake &intake, const char *name, bool &flag) const {
    const std::string_view text = scalar();
    flag = text == "true";
    return flag || text == "false" || refuse(intake, name, "is neither true nor false");
}

bool Value::read(Intake &intake, const char *name, double &number) const {
    const std::string_view text = number_text();
    if (token_.starts_with('"')) {
        number = text == "NaN"         ? std::numeric_limits<double>::quiet_NaN()
                 : text == "Infinity"  ? std::numeric_limits<double>::infinity()
                 : text == "-Infinity" ? -std::numeric_limits<double>::infinity()
                                       : 0;
        if (number != 0)
            return true;
    }
    return parse(text, number) || refuse(intake, name, "is no number");
}

template<class Integer> bool Value::read_integer(Intake &intake, const char *name, Integer &number) const {
    return parse(number_text(), number) ||
           refuse(intake, name,
                  std::is_signed_v<Integer>
                      ? sizeof number == 8 ? "is no integer of 64 bits" : "is no integer of 32 bits"
                  : sizeof number == 8 ? "is no unsigned integer of 64 bits"
                                       : "is no unsigned integer of 32 bits");
}

bool Value::read(Intake &intake, const char *name, int64_t &number) const {
    return read_integer(intake, name, number);
}
bool Value::read(Intake &intake, const char *name, uint64_t &number) const {
    return read_integer(intake, name, number);
}
bool Value::read(Intake &intake, const char *name, int32_t &number) const {
    return read_integer(intake, name, number);
}
bool Value::read(Intake &intake, const char *name, uint32_t &number) const {
    return read_integer(intake, name, number);
}

bool Value::read_enumeration(Intake &intake, const char *name, int16_t &number) const {
    int32_t wide;
    if (token_.starts_with('"') || !parse(scalar(), wide))
        return refuse(intake, name, "is no integer; OTLP has enumerations as numbers");
    number = static_cast<int16_t>(wide);
    return number == wide || refuse(intake, name, "is out of range");
}

bool Value::read_bytes(Intake &intake, const char *name, std::string_view &bytes) const {
    std::string_view text;
    if (!read(intake, name, text))
        return false;
    char *const start = intake.batch.arena.allocate(text.size());
    char *const end = read_base64(start, text);
    if (end == nullptr)
        return refuse(intake, name, "is no base64");
    intake.batch.arena.give_back(end);
    bytes = {start, static_cast<size_t>(end - start)};
    return true;
}

template<class Id> bool Value::read_any_id(Intake &intake, const char *name, Id &id) const {
    std::string_view text;
    if (!read(intake, name, text))
        return false;
    id = {};
    if (text.empty())
        return true;
    if (text.size() != id.size() * 2)
        return intake.refuse(std::string(name) + " has " + std::to_string(text.size()) + " characters instead of " +
                             std::to_string(id.size() * 2) + " hexadecimal digits");
    int wrong = 0;
    for (size_t i = 0; i < id.size(); ++i) {
        const int high = hexadecimal_digit(text[i * 2]), low = hexadecimal_digit(text[i * 2 + 1]);
        wrong |= high | low; // negative once one is
        id[i] = static_cast<uint8_t>(high * 16 + low);
    }
    return wrong >= 0 || refuse(intake, name, "is not hexadecimal");
}

bool Value::read_id(Intake &intake, const char *name, TraceId &id) const {
    return read_any_id(intake, name, id);
}
bool Value::read_id(Intake &intake, const char *name, SpanId &id) const {
    return read_any_id(intake, name, id);
}

} // namespace dbnet::telemetry::json

#include "pg/no_postgres.hpp"
