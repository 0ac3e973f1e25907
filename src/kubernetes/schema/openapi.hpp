// What the server's OpenAPI v3 documents say about a field of a kind: type, range, how a list is keyed, where unknown
// fields are allowed. Used by backends (column maps, checks of user writes) and the mirror worker.
#pragma once

#include "kubernetes/object/path.hpp"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dbnet::kubernetes {

struct FieldSchema {
    enum class Type {
        any, // no type is declared, or a union of types
        string,
        integer,
        number,
        boolean,
        object,
        array,
        quantity,
        int_or_string
    };
    enum class ListType { none, atomic, set, map };

    Type type = Type::any;
    std::string format; // "int32", "int64", "double", "date-time", "byte" …
    std::string description;
    std::vector<std::string> enumeration; // allowed values, as text
    std::optional<double> minimum;
    std::optional<double> maximum;
    bool nullable = false;
    bool read_only = false;
    bool preserve_unknown = false; // fields the schema does not know are kept
    bool open_map = false;         // object of additionalProperties: any key
    bool atomic = false;           // owned as one (x-kubernetes-map-type or list-type atomic)
    ListType list_type = ListType::none;
    std::vector<std::string> list_keys; // of a map list: the fields that identify an element
    std::string merge_key;              // x-kubernetes-patch-merge-key
    bool required = false;              // by the object around it
    // Why server-side apply cannot own this field on its own (it lies inside an atomic value, or the path does not name
    // a list element by all of its keys); empty when it can.
    std::string not_ownable;
};

const char *name(FieldSchema::Type type) noexcept; // "int_or_string", as in the enum

// The schema of one kind. Cheap to copy; keeps its document alive.
class Schema {
public:
    // Throws Failure when the path does not exist, naming the nearest fields that do.
    FieldSchema at(const FieldPath &path) const;

    // The fields directly below a path, in the document's order of names. Empty for anything but an object with
    // declared fields.
    std::vector<std::pair<std::string, FieldSchema>> children(const FieldPath &path) const;

    // Which values the field takes, all that lies below it included, without descriptions: JSON to be stored beside the
    // column and read by mirror::ValueRules. A node is the name of a type ("int32", "string", "any" …) or an object:
    //   type; minimum, maximum (and exclusive_…: true); enum; pattern; min_length, max_length (of text, characters)
    //   fields {name: node}, values (node of all other members); items (node), keys (that tell elements apart)
    //   ref (name in the root's "named" {name: node})
    // Throws Failure as at() does.
    nlohmann::json rules(const FieldPath &path) const;

private:
    friend class OpenApiDocument;
    struct Document;
    Schema(std::shared_ptr<const Document> document, const nlohmann::json *root)
        : document_(std::move(document)), root_(root) {}
    std::shared_ptr<const Document> document_;
    const nlohmann::json *root_;
};

class OpenApiDocument {
public:
    // One document of /openapi/v3/…; keeps only its schemas. Throws Failure.
    static OpenApiDocument parse(std::string_view body);

    // Throws Failure when the document does not describe the kind.
    Schema schema(std::string_view group, std::string_view version, std::string_view kind) const;

private:
    explicit OpenApiDocument(std::shared_ptr<const Schema::Document> document) : document_(std::move(document)) {}
    std::shared_ptr<const Schema::Document> document_;
};

// The path of a group version's document in the index that GET /openapi/v3 returns, hash included
// ("/openapi/v3/apis/apps/v1?hash=…"); empty when the server has none. Throws Failure when the body is no index.
std::string openapi_path(std::string_view index_body, std::string_view group, std::string_view version);

} // namespace dbnet::kubernetes
