// How objects are shown: as themselves, as a Table for kubectl, or as metadata only.
#pragma once

#include "store.hpp"

#include <string>
#include <vector>

namespace kubesim {

struct Representation {
    enum class As { object, table, partial };
    As as = As::object;
    std::string meta_version = "v1"; // of meta.k8s.io, for tables and partial objects
    std::string include_object;      // of a table's rows: "", "Metadata", "Object", "None"
    bool yaml = false;               // content type only: JSON is YAML

    const char *content_type() const { return yaml ? "application/yaml" : "application/json"; }

    // Chooses from the Accept header; throws ApiError 406.
    static Representation negotiate(const std::string &accept);

    std::string object(const Stored &stored) const;
    std::string list(const Kind &kind, const std::vector<StoredPtr> &items, const json &list_metadata) const;
    // One line of a watch. The first table of a watch has the column definitions.
    std::string event(const char *type, const Stored &stored, bool first) const;
    // `zero`: the kind's empty object. `annotations` may be null.
    std::string bookmark(const Kind &kind, uint64_t revision, const json &annotations) const;
};

} // namespace kubesim
