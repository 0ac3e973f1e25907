// A value in a JSON body while it is walked (simdjson on demand): what it may be read as, by OTLP's rules for JSON.
// What has a wrong type is refused with a reason, for the record that it is in; what is no JSON at all throws
// Unreadable. Pure C++.
#pragma once

#include "telemetry/otlp/intake.hpp"

#include <simdjson.h>

#include <type_traits>

namespace dbnet::telemetry::json {

[[noreturn]] void unreadable(simdjson::error_code problem);

// The text between the quotes of a JSON string, without escapes: `raw` itself when it has none, else in the arena.
std::string_view unescaped(Intake &intake, std::string_view raw);

class Value {
public:
    explicit Value(simdjson::ondemand::value value) : value_(value), token_(value_.raw_json_token()) {}

    bool is_null() const noexcept { return token_.starts_with("null") && scalar() == "null"; }
    bool is_object() const noexcept { return token_.starts_with('{'); }
    bool is_array() const noexcept { return token_.starts_with('['); }

    // --- Parts: `use` returns whether to go on. False when it said so, or when this is no object or array. ---
    template<class Use> bool each_field(Intake &intake, const char *name, Use use); // use(key, value); not of null
    template<class Use> bool each_element(Intake &intake, const char *name, Use use);

    // --- Scalars; `name` is for the reason. A number may be a string: JavaScript's have 53 bits. ---
    bool read(Intake &intake, const char *name, std::string_view &text) const;
    bool read(Intake &intake, const char *name, bool &flag) const;
    bool read(Intake &intake, const char *name, double &number) const;
    bool read(Intake &intake, const char *name, int64_t &number) const;
    bool read(Intake &intake, const char *name, uint64_t &number) const;
    bool read(Intake &intake, const char *name, int32_t &number) const;
    bool read(Intake &intake, const char *name, uint32_t &number) const;
    bool read_enumeration(Intake &intake, const char *name, int16_t &number) const;
    bool read_bytes(Intake &intake, const char *name, std::string_view &bytes) const; // base64
    bool read_id(Intake &intake, const char *name, TraceId &id) const;                // hexadecimal
    bool read_id(Intake &intake, const char *name, SpanId &id) const;

private:
    std::string_view scalar() const noexcept; // without white space behind it
    std::string_view number_text() const noexcept;
    bool refuse(Intake &intake, const char *name, const char *what) const;
    template<class Integer> bool read_integer(Intake &intake, const char *name, Integer &number) const;
    template<class Id> bool read_any_id(Intake &intake, const char *name, Id &id) const;

    simdjson::ondemand::value value_;
    std::string_view token_;
};

// The key of a field; almost never has it an escape.
inline std::string_view key_text(Intake &intake, const char *raw) {
    size_t size = 0;
    bool has_escape = false;
    for (; raw[size] != '"'; ++size)
        if (raw[size] == '\\') {
            has_escape = true;
            ++size;
        }
    return has_escape ? unescaped(intake, {raw, size}) : std::string_view(raw, size);
}

template<class Use> bool Value::each_field(Intake &intake, const char *name, Use use) {
    if (!is_object())
        return refuse(intake, name, "is no object");
    simdjson::ondemand::object object;
    if (const auto problem = value_.get_object().get(object))
        unreadable(problem);
    for (auto entry : object) {
        simdjson::ondemand::field field;
        if (const auto problem = std::move(entry).get(field))
            unreadable(problem);
        Value value(field.value());
        if (!value.is_null() && !use(key_text(intake, field.key().raw()), value))
            return false;
    }
    return true;
}

template<class Use> bool Value::each_element(Intake &intake, const char *name, Use use) {
    if (!is_array())
        return refuse(intake, name, "is no array");
    simdjson::ondemand::array array;
    if (const auto problem = value_.get_array().get(array))
        unreadable(problem);
    for (auto entry : array) {
        simdjson::ondemand::value element;
        if (const auto problem = std::move(entry).get(element))
            unreadable(problem);
        if (Value value(element); !use(value))
            return false;
    }
    return true;
}

} // namespace dbnet::telemetry::json
