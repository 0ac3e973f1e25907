// Who owns a field of an object, read from metadata.managedFields (FieldsV1: f: fields, k: list elements, v: set
// members, "." the node itself). Used by the mirror worker.
#pragma once

#include "kubernetes/object/path.hpp"

#include <nlohmann/json_fwd.hpp>

#include <optional>
#include <string>
#include <vector>

namespace dbnet::kubernetes {

struct FieldOwner {
    std::string manager;
    std::string operation;   // "Apply" or "Update"
    std::string subresource; // "scale", "status"; "" = the object itself
    std::string time;        // RFC 3339; "" where the server recorded none
    enum class Extent {
        whole, // owns the field, or a value around it that the server treats as one (atomic)
        part   // owns something inside it only
    } extent = Extent::whole;
};

// Every owner of the path, owners of the whole first and within that the newest first.
std::vector<FieldOwner> owners_of(const nlohmann::json &object, const FieldPath &path);

// The first of these; the object's metadata.managedFields may be absent.
std::optional<FieldOwner> owner_of(const nlohmann::json &object, const FieldPath &path);

// Another manager that owns the field at the path, or a part of it, that `manager` owns too; "" when there is none.
std::string co_owner_of(const nlohmann::json &object, const FieldPath &path, std::string_view manager);

// What one manager owns of `value`, which the object has at `path`: of granular maps its keys, of lists by key its
// elements and their fields. `fields`: the manager's FieldsV1.
nlohmann::json owned_part(const nlohmann::json &value, const nlohmann::json &fields, const FieldPath &path);

// The object's metadata.managedFields in which `manager` owns the paths, and what lies below them, no more: what it
// lets go of in this way keeps its value, while an apply without the fields would delete them. Null: it owns none of
// them.
nlohmann::json without_ownership(const nlohmann::json &object, std::string_view manager,
                                 const std::vector<FieldPath> &paths);

} // namespace dbnet::kubernetes
