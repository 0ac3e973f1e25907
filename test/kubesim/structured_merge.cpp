// Structured merge of server-side apply: which paths a value has, how two values differ, how they merge.
#include "structured_merge.hpp"

#include "errors.hpp"

#include <optional>
#include <set>

namespace kubesim {

namespace {

using Shape = Type::Shape;
using ListKind = Type::ListKind;

// What a node is handled as; an undeclared type takes the form of its value.
Shape shape_of(const Type *type, const json *value) {
    if (type && type->shape != Shape::any)
        return type->shape == Shape::structure ? Shape::map : type->shape;
    if (value && value->is_object())
        return Shape::map;
    if (value && value->is_array())
        return Shape::list;
    return Shape::scalar;
}

const Type *member_type(const Type *type, const std::string &name) {
    if (!type)
        return nullptr;
    if (type->shape == Shape::structure) {
        const Field *field = type->field(name);
        return field ? field->type : nullptr;
    }
    return type->shape == Shape::map ? type->element : nullptr;
}

bool atomic_list(const Type *type) {
    return !type || type->shape == Shape::any || type->list_kind == ListKind::atomic;
}
bool atomic_map(const Type *type) {
    return type && type->atomic;
}

// The path element of a list item, or nothing when the item lacks a key.
std::optional<std::string> item_element(const Type *type, const json &item) {
    if (type->list_kind == ListKind::set)
        return "v:" + dump(item);
    if (!item.is_object())
        return std::nullopt;
    json keys = json::object();
    for (const auto &name : type->list_keys) {
        const json *value = find(item, name);
        const Field *field = type->element ? type->element->field(name) : nullptr;
        if (value && !value->is_null())
            keys[name] = *value;
        else if (field && !field->default_value.is_null())
            keys[name] = field->default_value;
        else
            return std::nullopt;
    }
    return "k:" + dump(keys);
}

// ---- validation -----------------------------------------------------------------------------------------------

std::string missing_key(const Type *type, const json &item) {
    for (const auto &name : type->list_keys)
        if (!find(item, name))
            return name;
    return type->list_keys.front();
}

void validate(const Type *type, const json &value, const std::string &path, std::vector<std::string> &errors) {
    if (value.is_null() || !type || type->shape == Shape::any)
        return;
    auto fail = [&](const std::string &text) { errors.push_back((path.empty() ? "" : path + ": ") + text); };
    switch (type->shape) {
    case Shape::scalar:
        switch (type->scalar) {
        case Type::Scalar::string:
        case Type::Scalar::bytes:
            if (!value.is_string())
                fail("expected string, got &value.valueUnstructured{Value:" + go_value(value, true) + "}");
            break;
        case Type::Scalar::integer32:
        case Type::Scalar::integer64:
        case Type::Scalar::number:
            if (!value.is_number())
                fail("expected numeric (int or float), got " + go_type(value));
            break;
        case Type::Scalar::boolean:
            if (!value.is_boolean())
                fail("expected boolean, got &{" + go_value(value, false) + "}");
            break;
        default:
            if (value.is_structured())
                fail("expected any scalar, got &{" + go_value(value, false) + "}");
        }
        break;
    case Shape::list: {
        if (!value.is_array()) {
            fail("expected list, got &{" + go_value(value, false) + "}");
            break;
        }
        std::set<std::string> seen;
        for (size_t i = 0; i < value.size(); i++) {
            std::string element = "i:" + std::to_string(i);
            if (type->list_kind != ListKind::atomic) {
                auto key = item_element(type, value[i]);
                if (!key) {
                    std::string why = value[i].is_object()
                                          ? "associative list with keys has an element that omits key field " +
                                                go_quoted(missing_key(type, value[i])) +
                                                " (and doesn't have default value)"
                                          : "associative list with keys may not have non-map elements";
                    fail("element " + std::to_string(i) + ": " + why);
                    continue;
                }
                element = *key;
                if (!seen.insert(element).second)
                    fail("duplicate entries for key " + FieldSet::printed(element));
            }
            validate(type->element, value[i], path + FieldSet::printed(element), errors);
        }
        break;
    }
    default:
        if (!value.is_object()) {
            fail("expected map, got &{" + go_value(value, false) + "}");
            break;
        }
        for (const auto &[name, member] : value.items()) {
            if (type->shape == Shape::structure && !type->field(name) && !type->open) {
                errors.push_back(path + "." + name + ": field not declared in schema");
                continue;
            }
            validate(member_type(type, name), member, path + "." + name, errors);
        }
    }
}

// ---- comparison -----------------------------------------------------------------------------------------------

bool is_empty(const json *value) {
    return !value || value->is_null() || value->empty();
}

Comparison compare_nodes(const Type *type, const json *before, const json *after);

void attach(Comparison &into, const std::string &element, Comparison &&child) {
    auto put = [&](FieldSet &set, FieldSet &&sub) {
        if (sub.member || !sub.children.empty())
            set.children[element] = std::move(sub);
    };
    put(into.added, std::move(child.added));
    put(into.removed, std::move(child.removed));
    put(into.modified, std::move(child.modified));
}

Comparison leaf(const json *before, const json *after) {
    Comparison out;
    if (!before)
        out.added.member = true;
    else if (!after)
        out.removed.member = true;
    else if (*before != *after)
        out.modified.member = true;
    return out;
}

Comparison compare_nodes(const Type *type, const json *before, const json *after) {
    if (type && type->shape == Shape::any)
        type = nullptr;
    Shape shape = shape_of(type, after ? after : before);
    if (!type && before && after && shape_of(nullptr, before) != shape)
        return leaf(before, after);
    bool both_empty = is_empty(before) && is_empty(after);
    if (shape == Shape::scalar || both_empty || (shape == Shape::list && atomic_list(type)) ||
        (shape == Shape::map && atomic_map(type)))
        return leaf(before, after);

    Comparison out;
    if (!before)
        out.added.member = true;
    else if (!after)
        out.removed.member = true;
    std::map<std::string, std::pair<const json *, const json *>> pairs;
    if (shape == Shape::list) {
        auto collect = [&](const json *list, bool first) {
            if (!list || !list->is_array())
                return;
            for (const auto &item : *list)
                if (auto element = item_element(type, item))
                    (first ? pairs[*element].first : pairs[*element].second) = &item;
        };
        collect(before, true);
        collect(after, false);
        for (const auto &[element, pair] : pairs)
            attach(out, element, compare_nodes(type->element, pair.first, pair.second));
        return out;
    }
    auto collect = [&](const json *map, bool first) {
        if (!map || !map->is_object())
            return;
        for (const auto &[name, member] : map->items())
            (first ? pairs[name].first : pairs[name].second) = &member;
    };
    collect(before, true);
    collect(after, false);
    for (const auto &[name, pair] : pairs)
        attach(out, "f:" + name, compare_nodes(member_type(type, name), pair.first, pair.second));
    return out;
}

// ---- paths of a configuration ---------------------------------------------------------------------------------

// The root's `member` says whether the caller shall insert the node itself.
FieldSet field_set(const Type *type, const json &value) {
    if (type && type->shape == Shape::any)
        type = nullptr;
    FieldSet out;
    Shape shape = shape_of(type, &value);
    if (shape == Shape::scalar || (shape == Shape::list && atomic_list(type)) ||
        (shape == Shape::map && atomic_map(type))) {
        out.member = true;
        return out;
    }
    if (shape == Shape::list) {
        if (value.is_array())
            for (const auto &item : value)
                if (auto element = item_element(type, item)) {
                    FieldSet child = field_set(type->element, item);
                    child.member = true;
                    out.children[*element] = std::move(child);
                }
        return out;
    }
    if (!value.is_object())
        return out;
    for (const auto &[name, member] : value.items()) {
        FieldSet child = field_set(member_type(type, name), member);
        bool declared = type && type->shape == Shape::structure && type->field(name);
        if (member.is_null() || (member.is_object() && member.empty()) || !declared)
            child.member = true;
        if (child.member || !child.children.empty())
            out.children["f:" + name] = std::move(child);
    }
    return out;
}

} // namespace

std::string schema_errors(const Type *type, const json &value) {
    std::vector<std::string> errors;
    validate(type, value, "", errors);
    if (errors.empty())
        return "";
    if (errors.size() == 1)
        return errors[0];
    std::string out = "errors:";
    for (const auto &error : errors)
        out += "\n  " + error;
    return out;
}

FieldSet to_field_set(const Type *type, const json &value) {
    FieldSet set = field_set(type, value);
    set.member = false;
    return set;
}

Comparison compare(const Type *type, const json &before, const json &after) {
    Comparison out = compare_nodes(type, &before, &after);
    out.added.member = out.removed.member = out.modified.member = false;
    return out;
}

json merge(const Type *type, const json &under, const json &over) {
    if (type && type->shape == Shape::any)
        type = nullptr;
    Shape shape = shape_of(type, &over);
    if (over.is_null() || under.is_null() || shape == Shape::scalar || (shape == Shape::list && atomic_list(type)) ||
        (shape == Shape::map && atomic_map(type)))
        return over;
    if (shape == Shape::list) {
        if (!over.is_array() || !under.is_array())
            return over;
        // Elements that were there keep their places, new ones follow in the configuration's order.
        std::map<std::string, const json *> wanted;
        for (const auto &item : over)
            if (auto element = item_element(type, item))
                wanted[*element] = &item;
        json out = json::array();
        std::set<std::string> seen;
        for (const auto &item : under) {
            auto element = item_element(type, item);
            if (!element) {
                out.push_back(item);
                continue;
            }
            seen.insert(*element);
            auto it = wanted.find(*element);
            out.push_back(it == wanted.end() ? item : merge(type->element, item, *it->second));
        }
        for (const auto &item : over)
            if (auto element = item_element(type, item); element && !seen.contains(*element))
                out.push_back(item);
        return out;
    }
    if (!over.is_object() || !under.is_object())
        return over;
    json out = under;
    for (const auto &[name, member] : over.items()) {
        auto it = out.find(name);
        if (it == out.end())
            out[name] = member;
        else
            *it = merge(member_type(type, name), *it, member);
    }
    return out;
}

json remove_items(const Type *type, const json &value, const FieldSet &paths) {
    if (type && type->shape == Shape::any)
        type = nullptr;
    Shape shape = shape_of(type, &value);
    if (shape == Shape::scalar || (shape == Shape::list && atomic_list(type)) ||
        (shape == Shape::map && atomic_map(type)))
        return value;
    if (shape == Shape::list) {
        if (!value.is_array() || value.empty())
            return value;
        json out = json::array();
        for (const auto &item : value) {
            auto element = item_element(type, item);
            const FieldSet *below = element ? paths.child(*element) : nullptr;
            if (below && below->member)
                continue;
            out.push_back(below ? remove_items(type->element, item, *below) : item);
        }
        return out.empty() ? json() : out;
    }
    if (!value.is_object() || value.empty())
        return value;
    json out = json::object();
    for (const auto &[name, member] : value.items()) {
        const FieldSet *below = paths.child("f:" + name);
        if (below && below->member)
            continue;
        out[name] = below ? remove_items(member_type(type, name), member, *below) : member;
    }
    return out.empty() ? json() : out;
}

FieldSet with_named_fields(const Type *type, const FieldSet &set) {
    FieldSet out;
    out.member = set.member;
    for (const auto &[element, child] : set.children) {
        std::string name = element.substr(2);
        bool field = element[0] == 'f';
        const Type *below = field ? member_type(type, name) : (type ? type->element : nullptr);
        FieldSet sub = with_named_fields(below, child);
        if (field && type && type->shape == Shape::structure && type->field(name) && !child.children.empty())
            sub.member = true;
        out.children.emplace(element, std::move(sub));
    }
    return out;
}

} // namespace kubesim
