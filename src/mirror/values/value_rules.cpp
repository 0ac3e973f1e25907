// Checks and comparisons of values by their field's rules (see value_rules.hpp). Backends and the mirror worker.
#include "mirror/values/value_rules.hpp"

#include "kubernetes/instant.hpp"
#include "kubernetes/object/quantity.hpp"
#include "kubernetes/schema/pattern.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>

namespace dbnet::mirror {

using Json = nlohmann::json;
using kubernetes::Quantity;

struct ValueRules::Node {
    enum class Type {
        any,
        string,
        int32,
        int64,
        int32_or_string,
        int64_or_string,
        number,
        boolean,
        object,
        array,
        quantity,
        time,
        micro_time
    };

    Type type = Type::any;
    std::optional<double> minimum, maximum;
    bool exclusive_minimum = false, exclusive_maximum = false;
    std::optional<double> min_length, max_length;
    std::vector<Json> enumeration;
    std::string expression; // of `pattern`
    std::unique_ptr<const kubernetes::Pattern> pattern;
    std::map<std::string, Node, std::less<>> fields;
    std::unique_ptr<const Node> values; // of members that are not in `fields`
    std::unique_ptr<const Node> items;
    std::vector<std::string> keys;
    std::string reference; // to a named node; resolved when it is followed
};

struct ValueRules::Content {
    Node root;
    std::map<std::string, Node, std::less<>> named;

    const Node *follow(const Node *node) const {
        for (int hops = 0; node != nullptr && !node->reference.empty(); hops++) {
            const auto found = named.find(node->reference);
            node = found == named.end() || hops == 8 ? nullptr : &found->second;
        }
        return node;
    }
    const Node *member(const Node *node, std::string_view name) const {
        if (node == nullptr)
            return nullptr;
        const auto found = node->fields.find(name);
        return follow(found == node->fields.end() ? node->values.get() : &found->second);
    }
    const Node *element(const Node *node) const { return node == nullptr ? nullptr : follow(node->items.get()); }
};

namespace {

using Node = ValueRules::Node;
using Type = Node::Type;
using Violation = ValueRules::Violation;

constexpr int deepest = 200; // documents nested deeper are left to the server

constexpr std::array<const char *, 13> json_type_names{
    "any",    "string", "int32",    "int64", "int32_or_string", "int64_or_string", "number", "boolean",
    "object", "array",  "quantity", "time",  "micro_time"};

Type parse_type(const std::string &text) {
    const auto found = std::ranges::find(json_type_names, text);
    return found == json_type_names.end() ? Type::any : static_cast<Type>(found - json_type_names.begin());
}

std::optional<double> number_at(const Json &from, const char *key) {
    const auto found = from.find(key);
    return found != from.end() && found->is_number() ? std::optional(found->get<double>()) : std::nullopt;
}
std::string text_at(const Json &from, const char *key) {
    const auto found = from.find(key);
    return found != from.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Node parse_node(const Json &from, int depth) {
    Node node;
    if (from.is_string())
        node.type = parse_type(from.get<std::string>());
    if (!from.is_object() || depth > deepest)
        return node;
    node.type = parse_type(text_at(from, "type"));
    node.reference = text_at(from, "ref");
    node.minimum = number_at(from, "minimum");
    node.maximum = number_at(from, "maximum");
    node.min_length = number_at(from, "min_length");
    node.max_length = number_at(from, "max_length");
    node.exclusive_minimum = from.contains("exclusive_minimum");
    node.exclusive_maximum = from.contains("exclusive_maximum");
    if (const auto values = from.find("enum"); values != from.end() && values->is_array())
        node.enumeration.assign(values->begin(), values->end());
    node.expression = text_at(from, "pattern");
    if (!node.expression.empty())
        node.pattern = kubernetes::Pattern::compile(node.expression);
    if (const auto fields = from.find("fields"); fields != from.end() && fields->is_object())
        for (const auto &[name, field] : fields->items())
            node.fields.emplace(name, parse_node(field, depth + 1));
    if (const auto values = from.find("values"); values != from.end())
        node.values = std::make_unique<const Node>(parse_node(*values, depth + 1));
    if (const auto items = from.find("items"); items != from.end())
        node.items = std::make_unique<const Node>(parse_node(*items, depth + 1));
    if (const auto keys = from.find("keys"); keys != from.end() && keys->is_array())
        for (const Json &key : *keys)
            if (key.is_string())
                node.keys.push_back(key.get<std::string>());
    return node;
}

size_t count_characters(std::string_view text) {
    return static_cast<size_t>(
        std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string number_text(double value) {
    return Json(value == std::floor(value) && std::abs(value) < 0x1p53 ? Json(static_cast<int64_t>(value))
                                                                       : Json(value))
        .dump();
}

std::string list_text(const std::vector<Json> &values) {
    std::string list;
    for (const Json &value : values)
        list += (list.empty() ? "" : ", ") + shown(value);
    return list;
}

std::optional<Violation> wrong(std::string problem, std::string hint = {}) {
    return Violation{{}, std::move(problem), std::move(hint)};
}

std::optional<Violation> check_integer(const Json &value, bool is_narrow) {
    constexpr const char *wraps = "The server would silently store another number.";
    if (value.is_number_float()) {
        const double number = value.get<double>();
        if (number != std::floor(number))
            return wrong(shown(value) + " is not a whole number");
        const double limit = is_narrow ? 0x1p31 : 0x1p63;
        if (number < -limit || number >= limit)
            return wrong(shown(value) + " is out of range for a field of " + (is_narrow ? "32" : "64") + " bits",
                         wraps);
        return std::nullopt;
    }
    const bool fits =
        value.is_number_unsigned()
            ? value.get<uint64_t>() <= static_cast<uint64_t>(is_narrow ? std::numeric_limits<int32_t>::max()
                                                                       : std::numeric_limits<int64_t>::max())
            : !is_narrow || value.get<int64_t>() >= std::numeric_limits<int32_t>::min();
    if (!fits)
        return wrong(shown(value) + " is out of range for a field of " + (is_narrow ? "32" : "64") + " bits", wraps);
    return std::nullopt;
}

std::optional<Violation> check_type(const Node &node, const Json &value) {
    const auto needs = [&](bool fits, const char *what) {
        return fits ? std::nullopt : wrong(shown(value) + " is not " + what);
    };
    switch (node.type) {
    case Type::any:
        return std::nullopt;
    case Type::string:
        return needs(value.is_string(), "text");
    case Type::int32:
    case Type::int64:
        if (!value.is_number())
            return wrong(shown(value) + " is not a whole number");
        return check_integer(value, node.type == Type::int32);
    case Type::int32_or_string:
    case Type::int64_or_string:
        if (value.is_number())
            return check_integer(value, node.type == Type::int32_or_string);
        return needs(value.is_string(), "a whole number or text");
    case Type::number:
        return needs(value.is_number(), "a number");
    case Type::boolean:
        return needs(value.is_boolean(), "true or false");
    case Type::object:
        return needs(value.is_object(), "an object");
    case Type::array:
        return needs(value.is_array(), "a list");
    case Type::quantity:
        if (value.is_number() || (value.is_string() && Quantity::parse(value.get_ref<const std::string &>())))
            return std::nullopt;
        return wrong(shown(value) + " is not a quantity", "Quantities look like 500m, 2, 1.5Gi or 1e3.");
    case Type::time:
    case Type::micro_time:
        if (value.is_string() && kubernetes::parse_instant(value.get_ref<const std::string &>()))
            return std::nullopt;
        return wrong(shown(value) + " is not a time", "Times look like 2026-11-23T08:44:46Z.");
    }
    return std::nullopt;
}

std::optional<Violation> check_limits(const Node &node, const Json &value) {
    if (!node.enumeration.empty() && std::ranges::find(node.enumeration, value) == node.enumeration.end())
        return wrong(shown(value) + " is not one of the values that the field takes",
                     "They are " + list_text(node.enumeration) + ".");
    if (value.is_number()) {
        const double number = value.get<double>();
        if (node.minimum && (number < *node.minimum || (node.exclusive_minimum && number == *node.minimum)))
            return wrong(shown(value) + " is too small", std::string("It must be ") +
                                                             (node.exclusive_minimum ? "more than " : "at least ") +
                                                             number_text(*node.minimum) + ".");
        if (node.maximum && (number > *node.maximum || (node.exclusive_maximum && number == *node.maximum)))
            return wrong(shown(value) + " is too large", std::string("It must be ") +
                                                             (node.exclusive_maximum ? "less than " : "at most ") +
                                                             number_text(*node.maximum) + ".");
    }
    if (value.is_string()) {
        const auto &text = value.get_ref<const std::string &>();
        const auto length = static_cast<double>(count_characters(text));
        if (node.min_length && length < *node.min_length)
            return wrong(shown(value) + " is too short",
                         "It must have at least " + number_text(*node.min_length) + " characters.");
        if (node.max_length && length > *node.max_length)
            return wrong(shown(value) + " is too long",
                         "It must have at most " + number_text(*node.max_length) + " characters.");
        if (node.pattern && !node.pattern->matches(text))
            return wrong(shown(value) + " does not match the field's pattern",
                         "The pattern is " + node.expression + " .");
    }
    return std::nullopt;
}

bool is_plain(std::string_view name) {
    return !name.empty() && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    });
}

std::string element_place(const Node &list, const Json &element, size_t index) {
    std::string place;
    for (const std::string &key : list.keys)
        if (const auto found = element.is_object() ? element.find(key) : element.end();
            element.is_object() && found != element.end() && found->is_primitive())
            place += (place.empty() ? "[" : ",") + key + "=" +
                     (found->is_string() && is_plain(found->get_ref<const std::string &>()) ? found->get<std::string>()
                                                                                            : shown(*found));
    return place.empty() ? "[" + std::to_string(index) + "]" : place + "]";
}

void put_before(std::string &place, const std::string &part) {
    place = part + (place.empty() || place.starts_with('[') ? "" : ".") + place;
}

std::optional<Violation> check_node(const ValueRules::Content &content, const Node *node, const Json &value,
                                    int depth) {
    if (node == nullptr || depth > deepest || value.is_null())
        return std::nullopt;
    if (auto found = check_type(*node, value))
        return found;
    if (auto found = check_limits(*node, value))
        return found;
    if (value.is_object())
        for (const auto &[name, member] : value.items())
            if (auto found = check_node(content, content.member(node, name), member, depth + 1)) {
                put_before(found->place, is_plain(name) ? name : "[" + Json(name).dump() + "]");
                return found;
            }
    if (value.is_array()) {
        const Node *element = content.element(node);
        for (size_t i = 0; i < value.size(); i++)
            if (auto found = check_node(content, element, value[i], depth + 1)) {
                put_before(found->place, element_place(*node, value[i], i));
                return found;
            }
    }
    return std::nullopt;
}

bool is_amount(const Node *node, const Json &value) {
    return node != nullptr && node->type == Type::quantity && (value.is_string() || value.is_number());
}
std::string amount_text(const Json &value) {
    return value.is_string() ? value.get<std::string>() : value.dump();
}

// Equal as one value; what is nested is compared by the callers.
bool same_scalar(const Node *node, const Json &left, const Json &right) {
    if (is_amount(node, left) && is_amount(node, right)) {
        const auto amount = Quantity::parse(amount_text(left));
        return amount ? amount == Quantity::parse(amount_text(right)) : left == right;
    }
    if (node != nullptr && (node->type == Type::time || node->type == Type::micro_time) && left.is_string() &&
        right.is_string()) {
        const auto instant = kubernetes::parse_instant(left.get_ref<const std::string &>());
        return instant ? instant == kubernetes::parse_instant(right.get_ref<const std::string &>()) : left == right;
    }
    return left == right;
}

bool same_node(const ValueRules::Content &content, const Node *node, const Json &left, const Json &right, int depth) {
    if (depth > deepest)
        return left == right;
    if (left.is_object() && right.is_object())
        return left.size() == right.size() && std::ranges::all_of(left.items(), [&](const auto &member) {
                   const auto found = right.find(member.key());
                   return found != right.end() &&
                          same_node(content, content.member(node, member.key()), member.value(), *found, depth + 1);
               });
    if (left.is_array() && right.is_array())
        return std::ranges::equal(left, right, [&](const Json &one, const Json &other) {
            return same_node(content, content.element(node), one, other, depth + 1);
        });
    return same_scalar(node, left, right);
}

bool covers_node(const ValueRules::Content &content, const Node *node, const Json &live, const Json &wanted,
                 int depth) {
    if (depth > deepest)
        return live == wanted;
    if (wanted.is_object() && live.is_object()) {
        for (const auto &[name, member] : wanted.items()) {
            const auto found = live.find(name);
            if (found == live.end() ? !is_zero(member)
                                    : !covers_node(content, content.member(node, name), *found, member, depth + 1))
                return false;
        }
        return true;
    }
    if (wanted.is_array() && live.is_array()) {
        // Servers keep lists in order, but others may add elements to a list of objects.
        auto at = live.begin();
        for (const Json &element : wanted) {
            at = std::find_if(at, live.end(), [&](const Json &candidate) {
                return covers_node(content, content.element(node), candidate, element, depth + 1);
            });
            if (at == live.end())
                return false;
            ++at;
        }
        return wanted.size() == live.size() || (!wanted.empty() && wanted.front().is_object());
    }
    // Resource lists are rounded up to thousandths.
    if (is_amount(node, wanted) && is_amount(node, live))
        return kubernetes::same_quantity(amount_text(wanted), amount_text(live));
    return same_scalar(node, wanted, live);
}

} // namespace

ValueRules::ValueRules(std::unique_ptr<const Content> content) : content_(std::move(content)) {}
ValueRules::~ValueRules() = default;

std::shared_ptr<const ValueRules> ValueRules::parse(std::string_view text) {
    const Json stored = Json::parse(text, nullptr, false);
    if (stored.is_discarded() || stored.is_null() || stored == "any")
        return nullptr;
    auto content = std::make_unique<Content>();
    content->root = parse_node(stored, 0);
    if (stored.is_object())
        if (const auto named = stored.find("named"); named != stored.end() && named->is_object())
            for (const auto &[name, node] : named->items())
                content->named.emplace(name, parse_node(node, 0));
    return std::shared_ptr<const ValueRules>(new ValueRules(std::move(content)));
}

std::optional<Violation> ValueRules::check(const Json &value) const {
    return check_node(*content_, content_->follow(&content_->root), value, 0);
}

bool ValueRules::same(const Json &left, const Json &right) const {
    return same_node(*content_, content_->follow(&content_->root), left, right, 0);
}

bool ValueRules::covers(const Json &live, const Json &wanted) const {
    return covers_node(*content_, content_->follow(&content_->root), live, wanted, 0);
}

bool ValueRules::is_plain() const {
    const Node &root = content_->root;
    return root.reference.empty() && root.fields.empty() && !root.values && !root.items && root.enumeration.empty() &&
           !root.pattern && !root.minimum && !root.maximum && !root.min_length && !root.max_length;
}

std::vector<std::string> ValueRules::enumeration() const {
    std::vector<std::string> texts;
    for (const Json &value : content_->root.enumeration)
        texts.push_back(value.is_string() ? value.get<std::string>() : value.dump());
    return texts;
}

bool is_zero(const Json &value) {
    return value.is_null() || value == false || (value.is_number() && value == 0) || value == "" ||
           (value.is_structured() && value.empty());
}

std::string shown(const Json &value) {
    std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (text.size() <= 64)
        return text;
    size_t end = 64;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
        end--;
    return text.substr(0, end) + "...";
}

} // namespace dbnet::mirror

#include "pg/no_postgres.hpp"
