// Sets of field paths in the form metadata.managedFields stores them ("FieldsV1").
#pragma once

#include "json.hpp"

#include <map>
#include <string>
#include <vector>

namespace kubesim {

// A tree of path elements ("f:name", "k:{…}", "v:…", "i:N"). `member` says that the path up to here is in the set.
struct FieldSet {
    bool member = false;
    std::map<std::string, FieldSet> children;

    static FieldSet from_json(const json &fields_v1);
    json to_json() const;

    bool empty() const; // nothing in it, the root's own membership not counted
    const FieldSet *child(const std::string &element) const;
    void insert(const std::vector<std::string> &path);
    // Paths in the order and form the server prints them, e.g. .spec.containers[name="c"].image
    std::vector<std::string> paths() const;
    // One path element as printed in messages: .name, [key="value"], [="value"], [3]
    static std::string printed(const std::string &element);

    bool operator==(const FieldSet &) const = default;
};

FieldSet unite(const FieldSet &a, const FieldSet &b);
FieldSet intersect(const FieldSet &a, const FieldSet &b);
FieldSet subtract(const FieldSet &a, const FieldSet &b);
// Leaves out every path of `b` and all below it.
FieldSet subtract_recursively(const FieldSet &a, const FieldSet &b);

} // namespace kubesim
