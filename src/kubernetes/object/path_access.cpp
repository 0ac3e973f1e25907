// Reading and changing documents by field path; see path.hpp. Runs in the mirror worker and in backends.
#include "kubernetes/object/path.hpp"

#include <nlohmann/json.hpp>

namespace dbnet::kubernetes {
namespace {

using nlohmann::json;

bool matches_value(const Selector &selector, const json &value) {
    if (value.is_string())
        return value.get_ref<const std::string &>() == selector.value;
    if (selector.type == Selector::Type::string)
        return false;
    return (value.is_number_integer() || value.is_boolean()) && value.dump() == selector.value;
}

json selector_value(const Selector &selector) {
    switch (selector.type) {
    case Selector::Type::integer:
        return std::stoll(selector.value);
    case Selector::Type::boolean:
        return selector.value == "true";
    case Selector::Type::string:
        break;
    }
    return selector.value;
}

// The child a segment names; nullptr when there is none.
const json *step(const json &node, const Segment &segment) {
    if (segment.is_element()) {
        if (!node.is_array())
            return nullptr;
        for (const json &element : node)
            if (matches(segment, element))
                return &element;
        return nullptr;
    }
    if (!node.is_object())
        return nullptr;
    const auto found = node.find(segment.name);
    return found == node.end() ? nullptr : &*found;
}

json *step(json &node, const Segment &segment) {
    return const_cast<json *>(step(std::as_const(node), segment));
}

std::string place(const FieldPath &path, size_t length) {
    if (length == 0)
        return "the document";
    const auto &all = path.segments();
    return FieldPath({all.begin(), all.begin() + static_cast<ptrdiff_t>(length)}).text();
}

} // namespace

bool matches(const Segment &segment, const json &element) {
    if (!element.is_object())
        return false;
    for (const Selector &selector : segment.selectors) {
        const auto found = element.find(selector.key);
        if (found == element.end() || !matches_value(selector, *found))
            return false;
    }
    return true;
}

const json *get(const json &document, const FieldPath &path) {
    const json *node = &document;
    for (const Segment &segment : path.segments())
        if ((node = step(*node, segment)) == nullptr)
            return nullptr;
    return node;
}

void set(json &document, const FieldPath &path, json value) {
    json *node = &document;
    for (size_t depth = 0; depth < path.segments().size(); ++depth) {
        const Segment &segment = path.segments()[depth];
        if (node->is_null())
            *node = segment.is_element() ? json::array() : json::object();
        if (segment.is_element() ? !node->is_array() : !node->is_object())
            throw Failure("cannot set " + path.text() + ": " + place(path, depth) + " is " +
                          (node->is_object() || node->is_array() ? "an " : "a ") + node->type_name() + ", not " +
                          (segment.is_element() ? "a list" : "an object"));
        json *child = step(*node, segment);
        if (child == nullptr && segment.is_element()) {
            json element = json::object();
            for (const Selector &selector : segment.selectors)
                element[selector.key] = selector_value(selector);
            node->push_back(std::move(element));
            child = &node->back();
        } else if (child == nullptr) {
            child = &(*node)[segment.name];
        }
        node = child;
    }
    *node = std::move(value);
}

bool erase(json &document, const FieldPath &path) {
    if (path.empty())
        return false;
    json *parent = &document;
    for (size_t depth = 0; depth + 1 < path.segments().size(); ++depth)
        if ((parent = step(*parent, path.segments()[depth])) == nullptr)
            return false;
    const Segment &last = path.segments().back();
    const json *child = step(*parent, last);
    if (child == nullptr)
        return false;
    if (last.is_element())
        parent->erase(static_cast<size_t>(child - &parent->front()));
    else
        parent->erase(last.name);
    return true;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
