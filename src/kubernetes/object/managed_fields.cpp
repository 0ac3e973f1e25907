// Ownership of fields from FieldsV1; see the header. Runs in the mirror worker.
#include "kubernetes/object/managed_fields.hpp"

#include "kubernetes/json_access.hpp"

#include <algorithm>
#include <span>

namespace dbnet::kubernetes {
namespace {

using nlohmann::json;

bool is_leaf(const json &set) {
    return set.is_object() && set.empty();
}

// The child of a FieldsV1 set that a segment names. List elements are keyed k:{"name":"app"}; a segment that gives only
// some of an element's keys finds it as well.
const json *member_set(const json &set, const Segment &segment) {
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
        const json *child = member_set(*result.node, segment);
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

// What is left of a list element's set are its keys, or of a map's the map: enough to delete the element with the next
// apply, and all that others have put into it.
bool holds_itself_only(const json &set, std::string_view name) {
    const json keys = name.starts_with("k:") ? parse_json(name.substr(2)) : json();
    return std::ranges::all_of(set.items(), [&](const auto &member) {
        const std::string &key = member.key();
        return key == "." || (key.starts_with("f:") && keys.is_object() && keys.contains(key.substr(2)));
    });
}

// What an entry owns at the path, or of a value around it that is owned as one; nullptr: nothing.
const json *owned_at(const json &entry, const FieldPath &path) {
    const json *fields = fields_of(entry);
    if (fields == nullptr)
        return nullptr;
    const Walk found = walk(*fields, path);
    const bool is_there = found.depth == path.segments().size() || (found.depth > 0 && is_leaf(*found.node));
    return is_there ? found.node : nullptr;
}

bool overlap(const json &left, const json &right) {
    if (is_leaf(left) || is_leaf(right))
        return true;
    return left.is_object() && right.is_object() && std::ranges::any_of(left.items(), [&](const auto &member) {
               const auto other = right.find(member.key());
               return member.key() != "." && other != right.end() && overlap(member.value(), *other);
           });
}

enum class Removal { none, part, whole }; // whole: the set has no meaning any more

Removal remove_from(json &set, std::string_view name, std::span<const Segment> path) {
    if (path.empty() || is_leaf(set)) // a value around the field that is owned as one
        return Removal::whole;
    const json *found = member_set(set, path.front());
    if (found == nullptr)
        return Removal::none;
    auto child = std::ranges::find_if(set, [&](const json &one) { return &one == found; });
    const std::string child_name = child.key();
    const Removal removal = remove_from(*child, child_name, path.subspan(1));
    if (removal != Removal::whole)
        return removal;
    set.erase(child);
    return holds_itself_only(set, name) ? Removal::whole : Removal::part;
}

} // namespace

std::string co_owner_of(const json &object, const FieldPath &path, std::string_view manager) {
    const json *entries = managers(object);
    for (size_t i = 0; entries != nullptr && i < entries->size(); i++) {
        const json *ours = text_member(&(*entries)[i], "manager") == manager ? owned_at((*entries)[i], path) : nullptr;
        if (ours == nullptr)
            continue;
        for (const json &entry : *entries)
            if (std::string other = text_member(&entry, "manager"); other != manager)
                if (const json *theirs = owned_at(entry, path); theirs != nullptr && overlap(*ours, *theirs))
                    return other;
    }
    return {};
}

json without_ownership(const json &object, std::string_view manager, const std::vector<FieldPath> &paths) {
    const json *entries = managers(object);
    json kept = json::array();
    bool has_changed = false;
    for (size_t i = 0; entries != nullptr && i < entries->size(); i++) {
        json entry = (*entries)[i];
        Removal removal = Removal::none;
        if (fields_of(entry) != nullptr && text_member(&entry, "manager") == manager)
            for (const FieldPath &path : paths) {
                json &fields = entry["fieldsV1"];
                if (!fields.empty())
                    removal = std::max(removal, remove_from(fields, {}, path.segments()));
            }
        has_changed |= removal != Removal::none;
        if (removal != Removal::whole)
            kept.push_back(std::move(entry));
    }
    if (!has_changed)
        return nullptr;
    if (kept.empty())
        kept.push_back(json::object()); // an empty list would mean "as it was"
    return kept;
}

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
