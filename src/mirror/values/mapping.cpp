// Values between row form and object form. Pure C++; mirror worker and SQL functions.
#include "mirror/values/mapping.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "kubernetes/instant.hpp"
#include "kubernetes/object/quantity.hpp"
#include "mirror/values/secret_values.hpp"
#include "pg/no_postgres.hpp"

namespace dbnet::mirror {

namespace {

template<typename Enum, size_t count> using Names = std::array<std::pair<Enum, const char *>, count>;

constexpr Names<Role, 4> role_names{
    {{Role::key, "key"}, {Role::spec, "spec"}, {Role::status, "status"}, {Role::meta, "meta"}}};
constexpr Names<ValueType, 8> type_names{{{ValueType::string, "string"},
                                          {ValueType::integer, "integer"},
                                          {ValueType::number, "number"},
                                          {ValueType::boolean, "boolean"},
                                          {ValueType::json, "json"},
                                          {ValueType::time, "time"},
                                          {ValueType::quantity, "quantity"},
                                          {ValueType::int_or_string, "int_or_string"}}};
constexpr Names<OnDrift, 4> drift_names{
    {{OnDrift::report, "report"}, {OnDrift::enforce, "enforce"}, {OnDrift::follow, "follow"}, {OnDrift::seed, "seed"}}};

template<typename Enum, size_t count>
std::optional<Enum> parse_name(const Names<Enum, count> &names, std::string_view text) {
    for (const auto &[value, name] : names)
        if (text == name)
            return value;
    return std::nullopt;
}

template<typename Enum, size_t count> const char *name_of(const Names<Enum, count> &names, Enum wanted) {
    for (const auto &[value, name] : names)
        if (value == wanted)
            return name;
    return "";
}

bool is_text_column(const Column &column) {
    return column.column_type == "text" || column.column_type == "name" || column.column_type.starts_with("char");
}

ValueError error(const Column &column, const std::string &what, std::string hint = {}) {
    return {column.name, column.path, "column \"" + column.name + "\" (" + column.path + "): " + what, std::move(hint)};
}

using Converted = std::variant<std::optional<Json>, ValueError>;

Converted to_string_value(const Column &column, const Json &value) {
    if (value.is_string()) {
        const auto &text = value.get_ref<const std::string &>();
        // bytea arrives as \x and hexadecimal digits; the API wants base64.
        if (column.column_type != "bytea")
            return Json(text);
        static constexpr char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        std::string encoded;
        unsigned bits = 0;
        int count = 0;
        for (size_t i = 2; i + 1 < text.size(); i += 2) {
            unsigned byte = 0;
            std::from_chars(text.data() + i, text.data() + i + 2, byte, 16);
            bits = bits << 8 | byte;
            for (count += 8; count >= 6; count -= 6)
                encoded.push_back(alphabet[bits >> (count - 6) & 63]);
            bits &= (1u << count) - 1;
        }
        if (count > 0)
            encoded.push_back(alphabet[bits << (6 - count) & 63]);
        while (encoded.size() % 4)
            encoded.push_back('=');
        return Json(std::move(encoded));
    }
    if (value.is_primitive())
        return Json(value.dump());
    return error(column, "the field takes text, not " + shown(value));
}

std::optional<int64_t> as_integer(const Json &value) {
    if (value.is_number_unsigned()) {
        const uint64_t number = value.get<uint64_t>();
        if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
            return std::nullopt;
        return static_cast<int64_t>(number);
    }
    if (value.is_number_integer())
        return value.get<int64_t>();
    if (value.is_number_float()) {
        const double number = value.get<double>();
        // 2^63 itself is a double and out of range.
        if (number == std::floor(number) && number >= -0x1p63 && number < 0x1p63)
            return static_cast<int64_t>(number);
        return std::nullopt;
    }
    if (value.is_string()) {
        const auto &text = value.get_ref<const std::string &>();
        int64_t number = 0;
        const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (failure == std::errc() && end == text.data() + text.size() && !text.empty())
            return number;
    }
    return std::nullopt;
}

Converted to_integer_value(const Column &column, const Json &value) {
    const bool narrow = column.format == "int32";
    const std::optional<int64_t> number = as_integer(value);
    if (!number)
        return error(column, shown(value) + " is not a whole number" + (value.is_number() ? " of 64 bits" : ""));
    if (narrow && (*number < std::numeric_limits<int32_t>::min() || *number > std::numeric_limits<int32_t>::max()))
        return error(column, std::to_string(*number) + " is out of range for a 32-bit field",
                     "The server would silently store another number.");
    return Json(*number);
}

Converted to_number_value(const Column &column, const Json &value) {
    if (value.is_number_float() && !std::isfinite(value.get<double>()))
        return error(column, shown(value) + " is not a finite number");
    if (value.is_number())
        return value;
    if (value.is_string()) {
        const auto &text = value.get_ref<const std::string &>();
        double number = 0;
        const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (failure == std::errc() && end == text.data() + text.size() && std::isfinite(number))
            return Json(number);
    }
    return error(column, shown(value) + " is not a finite number");
}

Converted to_boolean_value(const Column &column, const Json &value) {
    if (value.is_boolean())
        return value;
    if (value == "true" || value == "false")
        return Json(value == "true");
    return error(column, shown(value) + " is not a boolean");
}

Json without_null_members(const Json &value) {
    if (value.is_array()) {
        Json result = Json::array();
        for (const Json &element : value)
            result.push_back(without_null_members(element));
        return result;
    }
    if (!value.is_object())
        return value;
    Json result = Json::object();
    for (const auto &[name, member] : value.items())
        if (!member.is_null())
            result[name] = without_null_members(member);
    return result;
}

Converted to_json_value(const Column &column, const Json &value) {
    if (!is_text_column(column) || !value.is_string())
        return without_null_members(value);
    Json parsed = Json::parse(value.get_ref<const std::string &>(), nullptr, false);
    if (parsed.is_discarded())
        return error(column, shown(value) + " is not JSON", "A jsonb column would have refused it at once.");
    if (parsed.is_null())
        return std::optional<Json>();
    return without_null_members(parsed);
}

Converted to_time_value(const Column &column, const Json &value) {
    const std::optional<int64_t> instant =
        value.is_string() ? kubernetes::parse_instant(value.get_ref<const std::string &>()) : std::nullopt;
    if (!instant)
        return error(column, shown(value) + " is not a time between the years 0001 and 9999");
    return Json(kubernetes::format_instant(*instant, column.format == "micro-time"));
}

Converted to_quantity_value(const Column &column, const Json &value) {
    const std::string text = value.is_string() ? value.get<std::string>() : value.is_number() ? value.dump() : "";
    if (!kubernetes::Quantity::parse(text))
        return error(column, shown(value) + " is not a quantity", "Quantities look like 500m, 2, 1.5Gi or 1e3.");
    return Json(text);
}

Converted to_int_or_string_value(const Column &column, const Json &value) {
    if (value.is_number() || (value.is_string() && is_text_column(column))) {
        // A text column cannot tell 80 from "80"; a server refuses the latter.
        if (const std::optional<int64_t> number = as_integer(value))
            return Json(*number);
    }
    if (value.is_string())
        return value;
    return error(column, shown(value) + " is neither a whole number nor text");
}

// Everything wanted is in live; members that the server added do not count. For fields whose rules are not known: any
// two texts may be quantities.
bool covers(const Json &live, const Json &wanted) {
    if (wanted.is_object() && live.is_object()) {
        for (const auto &[name, member] : wanted.items()) {
            const auto found = live.find(name);
            if (found == live.end() ? !is_zero(member) : !covers(*found, member))
                return false;
        }
        return true;
    }
    if (wanted.is_array() && live.is_array()) {
        // Servers keep lists in order, but others may add elements to a list of objects.
        auto at = live.begin();
        for (const Json &element : wanted) {
            at = std::find_if(at, live.end(), [&](const Json &candidate) { return covers(candidate, element); });
            if (at == live.end())
                return false;
            ++at;
        }
        return wanted.size() == live.size() || (!wanted.empty() && wanted.front().is_object());
    }
    if (wanted.is_string() && live.is_string())
        return kubernetes::same_quantity(wanted.get_ref<const std::string &>(), live.get_ref<const std::string &>());
    return wanted == live;
}

} // namespace

std::optional<Role> parse_role(std::string_view text) {
    return parse_name(role_names, text);
}
std::optional<ValueType> parse_value_type(std::string_view text) {
    return parse_name(type_names, text);
}
std::optional<OnDrift> parse_on_drift(std::string_view text) {
    return parse_name(drift_names, text);
}
const char *to_text(Role role) {
    return name_of(role_names, role);
}
const char *to_text(ValueType type) {
    return name_of(type_names, type);
}
const char *to_text(OnDrift on_drift) {
    return name_of(drift_names, on_drift);
}

bool lets_others_win(OnDrift on_drift) {
    return on_drift == OnDrift::follow || on_drift == OnDrift::seed;
}

const Column *Mapping::by_name(std::string_view name) const {
    const auto found = std::find_if(columns.begin(), columns.end(), [&](const Column &c) { return c.name == name; });
    return found == columns.end() ? nullptr : &*found;
}

const Column *Mapping::by_path(std::string_view path) const {
    const auto found = std::find_if(columns.begin(), columns.end(), [&](const Column &c) { return c.path == path; });
    return found == columns.end() ? nullptr : &*found;
}

namespace {

std::string hash_of(const Column &column, const RowFields &row, const std::string &key) {
    const Json *value = find_field(row.values, column.path);
    return keyed_digest(column.path + '\0' + (value ? value->dump() : ""), key).substr(0, 16);
}

} // namespace

RowDigest::RowDigest(const Mapping &mapping, const RowFields &row, std::string key)
    : hashes_(Json::object()), key_(std::move(key)) {
    for (const Column &column : mapping.columns)
        if (column.role == Role::spec || column.role == Role::meta)
            hashes_[column.path] = hash_of(column, row, key_);
}

bool RowDigest::holds_still(const Column &column, const RowFields &row) const {
    const auto hash = hashes_.find(column.path);
    return hash == hashes_.end() || *hash == hash_of(column, row, key_);
}

RowFields Mapping::to_object_form(const Json &row) const {
    RowFields result;
    if (row.is_discarded()) // its parser's word
        result.errors.push_back({"", "", "the row holds a number outside the range of double precision", ""});
    for (const Column &column : columns) {
        if (column.role == Role::key || column.role == Role::status)
            continue;
        const auto found = row.find(column.name);
        if (found == row.end())
            continue;
        Converted converted = mirror::to_object_form(column, *found);
        if (auto *failure = std::get_if<ValueError>(&converted))
            result.errors.push_back(std::move(*failure));
        else if (auto &value = std::get<std::optional<Json>>(converted))
            result.values.emplace(column.path, std::move(*value));
    }
    return result;
}

namespace {

// A value that the server stored while the field had another type, as the field says it now: 3 and "3". What cannot be
// said so stays as it is.
Json in_declared_type(const Column &column, Json value) {
    if (column.type == ValueType::string && (value.is_number() || value.is_boolean()))
        return value.dump();
    const bool reads_text =
        column.type == ValueType::integer || column.type == ValueType::number || column.type == ValueType::boolean;
    if (!reads_text || !value.is_string())
        return value;
    Json read = Json::parse(value.get_ref<const std::string &>(), nullptr, false);
    const bool fits = column.type == ValueType::boolean   ? read.is_boolean()
                      : column.type == ValueType::integer ? read.is_number_integer()
                                                          : read.is_number();
    return fits ? read : value;
}

} // namespace

Fields Mapping::from_live(const Json &live) const {
    Fields result;
    for (const Column &column : columns) {
        if (column.role == Role::key)
            continue;
        const Json *value = kubernetes::get(live, column.field);
        if (value && !value->is_null())
            result.emplace(column.path, in_declared_type(column, without_null_members(*value)));
    }
    return result;
}

namespace {

// Words about a value of a secret field that repeat nothing of it.
ValueError without_value(const Column &column, ValueError said) {
    if (column.is_secret)
        return error(column, "the value is none that the field takes", "It is secret and not repeated here.");
    return said;
}

Converted converted(const Column &column, const Json &value) {
    switch (column.type) {
    case ValueType::string:
        return to_string_value(column, value);
    case ValueType::integer:
        return to_integer_value(column, value);
    case ValueType::number:
        return to_number_value(column, value);
    case ValueType::boolean:
        return to_boolean_value(column, value);
    case ValueType::json:
        return to_json_value(column, value);
    case ValueType::time:
        return to_time_value(column, value);
    case ValueType::quantity:
        return to_quantity_value(column, value);
    case ValueType::int_or_string:
        return to_int_or_string_value(column, value);
    }
    return error(column, "unknown type of value");
}

} // namespace

Converted to_object_form(const Column &column, const Json &value) {
    if (value.is_null())
        return std::optional<Json>();
    Converted result = converted(column, value);
    if (auto *failure = std::get_if<ValueError>(&result))
        return without_value(column, std::move(*failure));
    return result;
}

std::optional<ValueError> check_value(const Column &column, const Json &value) {
    if (!column.rules)
        return std::nullopt;
    auto violation = column.rules->check(value);
    if (!violation)
        return std::nullopt;
    const std::string place = violation->place.empty() ? "" : "at " + violation->place + ": ";
    return without_value(column, error(column, place + violation->problem, std::move(violation->hint)));
}

bool same_value(const Column &column, const Json *left, const Json *right) {
    const bool left_null = !left || left->is_null();
    const bool right_null = !right || right->is_null();
    if (left_null || right_null)
        return left_null && right_null;
    if (column.type == ValueType::json && column.rules)
        return column.rules->same(*left, *right);
    if (left->is_string() && right->is_string()) {
        const auto &left_text = left->get_ref<const std::string &>();
        const auto &right_text = right->get_ref<const std::string &>();
        if (column.type == ValueType::quantity) {
            const auto left_amount = kubernetes::Quantity::parse(left_text);
            return left_amount ? left_amount == kubernetes::Quantity::parse(right_text) : left_text == right_text;
        }
        if (column.type == ValueType::time) {
            const auto left_instant = kubernetes::parse_instant(left_text);
            return left_instant ? left_instant == kubernetes::parse_instant(right_text) : left_text == right_text;
        }
    }
    return *left == *right;
}

bool has_effect(const Column &column, const Json *wanted, const Json *live) {
    if (!wanted || wanted->is_null())
        return true;
    if (!live || live->is_null())
        return is_zero(*wanted);
    if (column.type == ValueType::json && column.rules)
        return column.rules->covers(*live, *wanted);
    if (column.type == ValueType::json || column.type == ValueType::quantity)
        return covers(*live, *wanted);
    return same_value(column, wanted, live);
}

const Json *find_field(const Fields &fields, const std::string &path) {
    const auto found = fields.find(path);
    return found == fields.end() || found->second.is_null() ? nullptr : &found->second;
}

namespace {

std::string without_nul(std::string text) {
    for (size_t at = 0; (at = text.find('\0', at)) != std::string::npos;)
        text.replace(at, 1, "\xEF\xBF\xBD");
    return text;
}

void make_storable(Json &value) {
    if (value.is_string()) {
        auto &text = value.get_ref<std::string &>();
        if (text.find('\0') != std::string::npos)
            text = without_nul(std::move(text));
    } else if (value.is_number_float()) {
        if (!std::isfinite(value.get<double>()))
            value = nullptr;
    } else if (value.is_array()) {
        for (Json &element : value)
            make_storable(element);
    } else if (value.is_object()) {
        std::vector<std::string> renamed;
        for (auto &[name, member] : value.get_ref<Json::object_t &>()) {
            make_storable(member);
            if (name.find('\0') != std::string::npos)
                renamed.push_back(name);
        }
        for (std::string &name : renamed) {
            Json member = std::move(value[name]);
            value.erase(name);
            value[without_nul(std::move(name))] = std::move(member);
        }
    }
}

} // namespace

Json storable(Json value) {
    make_storable(value);
    return value;
}

} // namespace dbnet::mirror
