// Ownership of fields from FieldsV1; see the header. Runs in the mirror worker.
#include "kubernetes/managed_fields.hpp"

#include "kubernetes/json_access.hpp"

#include <algorithm>

namespace dbnet::kubernetes {
namespace {

using nlohmann::json;

bool is_leaf(const json &set) {
    return set.is_object() && set.empty();
}

// The child of a FieldsV1 set that a segment names. List elements are keyed k:{"name":"app"}; a segment that gives only
// some of an element's keys finds it as well.
const json *step(const json &set, const Segment &segment) {
    if (!set.is_object())
        return nullptr;
    if (!segment.is_element()) {
        const auto found = set.find("f:" + segment.name);
        return found == set.end() ? nullptr : &*found;
    }
    for (const auto &[key, child] : set.items()) {
        if (!key.starts_with("k:"))
            continue;
        if (const json keys = parse_json(std::string_view(key).substr(2)); matches(segment, keys))
            return &child;
    }
    return nullptr;
}

// How far one manager's set goes along a path.
struct Walk {
    size_t depth = 0;           // segments found
    const json *node = nullptr; // the set there
};

Walk walk(const json &fields, const FieldPath &path) {
    Walk result{0, &fields};
    for (const Segment &segment : path.segments()) {
        const json *child = step(*result.node, segment);
        if (child == nullptr)
            break;
        result.node = child;
        ++result.depth;
    }
    return result;
}

const json *managers(const json &object) {
    return array_member(member(&object, "metadata"), "managedFields");
}

const json *fields_of(const json &entry) {
    const json *fields = member(&entry, "fieldsV1");
    return fields != nullptr && fields->is_object() ? fields : nullptr;
}

// A set that ends above the path owns it only when the value there is atomic. An empty granular map looks the same
// ("f:data": {}),
// but then somebody else's set goes deeper.
bool someone_goes_deeper(const json &entries, const FieldPath &path, size_t depth) {
    return std::any_of(entries.begin(), entries.end(), [&](const json &entry) {
        const json *fields = fields_of(entry);
        if (fields == nullptr)
            return false;
        const auto &all = path.segments();
        const Walk found = walk(*fields, FieldPath({all.begin(), all.begin() + static_cast<ptrdiff_t>(depth)}));
        return found.depth == depth && !is_leaf(*found.node);
    });
}

bool has_all(const json &element, const json &keys) {
    if (!element.is_object() || !keys.is_object())
        return false;
    for (const auto &[key, value] : keys.items())
        if (const auto found = element.find(key); found == element.end() || *found != value)
            return false;
    return true;
}

json part_of(const json &value, const json &set);

// Elements of a list by key, or members of a set, in the list's order.
json elements_of(const json &list, const json &set) {
    json part = json::array();
    for (const json &element : list)
        for (const auto &[key, child] : set.items()) {
            if (!key.starts_with("k:") && !key.starts_with("v:"))
                continue;
            const json named = parse_json(std::string_view(key).substr(2));
            if (key.starts_with("v:") && named == element) {
                part.push_back(element);
            } else if (key.starts_with("k:") && has_all(element, named)) {
                part.push_back(part_of(element, child));
                part.back().update(named); // a key may be a default that nobody owns
            }
        }
    return part;
}

json part_of(const json &value, const json &set) {
    if (!set.is_object() || set.empty())
        return value;
    if (value.is_array())
        return elements_of(value, set);
    if (!value.is_object())
        return value;
    json part = json::object();
    for (const auto &[name, member] : value.items())
        if (const auto child = set.find("f:" + name); child != set.end())
            part[name] = part_of(member, *child);
    return part;
}

} // namespace

json owned_part(const json &value, const json &fields, const FieldPath &path) {
    const Walk found = walk(fields, path);
    return found.depth == path.segments().size() ? part_of(value, *found.node) : value;
}

std::vector<FieldOwner> owners_of(const json &object, const FieldPath &path) {
    std::vector<FieldOwner> owners;
    const json *entries = managers(object);
    if (entries == nullptr || path.empty())
        return owners;
    for (const json &entry : *entries) {
        const json *fields = fields_of(entry);
        if (fields == nullptr)
            continue;
        const Walk found = walk(*fields, path);
        FieldOwner::Extent extent = FieldOwner::Extent::whole;
        if (found.depth == path.segments().size()) {
            if (!is_leaf(*found.node))
                extent = FieldOwner::Extent::part;
            else if (someone_goes_deeper(*entries, path, found.depth))
                continue; // what a manager keeps of a map whose every key was taken from it
        } else if (found.depth == 0 || !is_leaf(*found.node) || someone_goes_deeper(*entries, path, found.depth)) {
            continue;
        }
        owners.push_back({text_member(&entry, "manager"), text_member(&entry, "operation"),
                          text_member(&entry, "subresource"), text_member(&entry, "time"), extent});
    }
    // Times are RFC 3339 in UTC with whole seconds, so their texts sort as they do.
    std::stable_sort(owners.begin(), owners.end(), [](const FieldOwner &left, const FieldOwner &right) {
        return left.extent != right.extent ? left.extent < right.extent : left.time > right.time;
    });
    return owners;
}

std::optional<FieldOwner> owner_of(const json &object, const FieldPath &path) {
    std::vector<FieldOwner> owners = owners_of(object, path);
    if (owners.empty())
        return std::nullopt;
    return std::move(owners.front());
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
