// A mirror of Nodes as the tests of merge and observed use it.
#pragma once

#include "mirror/store/catalog.hpp"

namespace dbnet::test {

inline mirror::Column column(const char *name, const char *path, mirror::Role role, mirror::ValueType type,
                             const char *column_type) {
    mirror::Column result;
    result.name = name;
    result.path = path;
    result.field = kubernetes::FieldPath::parse(path);
    result.role = role;
    result.type = type;
    result.column_type = column_type;
    return result;
}

inline mirror::Mirror node_mirror() {
    using mirror::Role;
    using mirror::ValueType;
    mirror::Mirror mirror;
    mirror.resource = {"", "v1", "Node", "nodes", false};
    mirror.mapping.columns = {
        column("name", "metadata.name", Role::key, ValueType::string, "text"),
        column("labels", "metadata.labels", Role::meta, ValueType::json, "jsonb"),
        column("unschedulable", "spec.unschedulable", Role::spec, ValueType::boolean, "boolean"),
        column("pod_cidr", "spec.podCIDR", Role::spec, ValueType::string, "text"),
        column("ready", "status.conditions[type=Ready].status", Role::status, ValueType::string, "text"),
        column("memory", "status.capacity.memory", Role::status, ValueType::quantity, "text"),
    };
    return mirror;
}

} // namespace dbnet::test
