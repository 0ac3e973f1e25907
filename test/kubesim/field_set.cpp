// Sets of field paths in the form metadata.managedFields stores them ("FieldsV1").
#include "field_set.hpp"

namespace kubesim {

namespace {

// Drops children that hold nothing.
void keep(FieldSet &into, const std::string &element, FieldSet &&child) {
    if (child.member || !child.children.empty())
        into.children.emplace(element, std::move(child));
}

void collect(const FieldSet &set, const std::string &prefix, std::vector<std::string> &out) {
    for (const auto &[element, child] : set.children)
        if (child.member)
            out.push_back(prefix + FieldSet::printed(element));
    for (const auto &[element, child] : set.children)
        collect(child, prefix + FieldSet::printed(element), out);
}

} // namespace

FieldSet FieldSet::from_json(const json &fields_v1) {
    FieldSet set;
    if (!fields_v1.is_object())
        return set;
    bool has_children = false;
    for (const auto &[key, value] : fields_v1.items()) {
        if (key == ".") {
            set.member = true;
            continue;
        }
        if (key.size() < 2 || key[1] != ':')
            continue;
        has_children = true;
        FieldSet child = from_json(value);
        if (child.children.empty())
            child.member = true;
        set.children.emplace(key, std::move(child));
    }
    if (!has_children && fields_v1.empty())
        set.member = true;
    return set;
}

json FieldSet::to_json() const {
    json out = json::object();
    for (const auto &[element, child] : children) {
        json sub = child.to_json();
        if (child.member && !child.children.empty())
            sub["."] = json::object();
        out[element] = std::move(sub);
    }
    return out;
}

bool FieldSet::empty() const {
    return children.empty();
}

const FieldSet *FieldSet::child(const std::string &element) const {
    auto it = children.find(element);
    return it == children.end() ? nullptr : &it->second;
}

void FieldSet::insert(const std::vector<std::string> &path) {
    FieldSet *at = this;
    for (const auto &element : path)
        at = &at->children[element];
    at->member = true;
}

std::vector<std::string> FieldSet::paths() const {
    std::vector<std::string> out;
    collect(*this, "", out);
    return out;
}

std::string FieldSet::printed(const std::string &element) {
    std::string rest = element.substr(2);
    switch (element[0]) {
    case 'f':
        return "." + rest;
    case 'i':
        return "[" + rest + "]";
    case 'v':
        return "[=" + rest + "]";
    default: {
        json keys = json::parse(rest, nullptr, false);
        std::string out;
        if (keys.is_object())
            for (const auto &[name, value] : keys.items())
                out += (out.empty() ? "" : ",") + name + "=" + dump(value);
        return "[" + out + "]";
    }
    }
}

FieldSet unite(const FieldSet &a, const FieldSet &b) {
    FieldSet out = a;
    out.member = a.member || b.member;
    for (const auto &[element, child] : b.children) {
        auto it = out.children.find(element);
        if (it == out.children.end())
            out.children.emplace(element, child);
        else
            it->second = unite(it->second, child);
    }
    return out;
}

FieldSet intersect(const FieldSet &a, const FieldSet &b) {
    FieldSet out;
    out.member = a.member && b.member;
    for (const auto &[element, child] : a.children)
        if (const FieldSet *other = b.child(element))
            keep(out, element, intersect(child, *other));
    return out;
}

FieldSet subtract(const FieldSet &a, const FieldSet &b) {
    FieldSet out;
    out.member = a.member && !b.member;
    for (const auto &[element, child] : a.children) {
        const FieldSet *other = b.child(element);
        keep(out, element, other ? subtract(child, *other) : FieldSet(child));
    }
    return out;
}

FieldSet subtract_recursively(const FieldSet &a, const FieldSet &b) {
    FieldSet out;
    out.member = a.member && !b.member;
    for (const auto &[element, child] : a.children) {
        const FieldSet *other = b.child(element);
        if (!other)
            keep(out, element, FieldSet(child));
        else if (!other->member)
            keep(out, element, subtract_recursively(child, *other));
    }
    return out;
}

} // namespace kubesim
