// Types of API objects, read from the recorded OpenAPI v3 documents.
//
// The same tree serves two purposes: structured merge (which lists are maps or sets, which maps are atomic) and the
// shape of the Go structs behind the API (which members are always written, which integers are 32 bits wide).
#pragma once

#include "json.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace kubesim {

struct Type;

struct Field {
    const Type *type = nullptr;
    bool always_written = false; // a Go struct value or a scalar without omitempty
    bool pointer = false; // a Go pointer: false, 0 and "" are kept, and an unset one is written as null if at all
    json default_value;   // of a scalar; null = none
};

struct Type {
    enum class Shape { any, scalar, list, map, structure };
    enum class Scalar {
        string,
        bytes,
        time,
        micro_time,
        integer32,
        integer64,
        number,
        boolean,
        int_or_string,
        quantity
    };
    enum class ListKind { atomic, set, map };

    Shape shape = Shape::any;
    Scalar scalar = Scalar::string;
    std::string go_name;                 // last part of the schema's name, for messages
    std::map<std::string, Field> fields; // structure
    const Type *element = nullptr;       // list, map
    ListKind list_kind = ListKind::atomic;
    std::vector<std::string> list_keys;
    std::string patch_strategy; // of the list, for strategic merge patches
    std::string merge_key;
    bool atomic = false; // structure or map replaced as a whole
    bool open = false;   // structure that takes undeclared members, of any type

    const Field *field(const std::string &name) const {
        auto it = fields.find(name);
        return it == fields.end() ? nullptr : &it->second;
    }
};

class Schemas {
public:
    // What OpenAPI does not say: which optional scalars are Go pointers. {"io.k8s.api.core.v1.PodSpec": ["priority",
    // …]}
    void load_pointers(const json &fields) { pointers_ = fields; }
    // Adds every schema of an OpenAPI v3 document.
    void load(const json &document);
    // The type of a schema by its full name, e.g. "io.k8s.api.core.v1.Node"; throws std::out_of_range.
    const Type *named(const std::string &name) const { return named_.at(name); }
    // The schema with this x-kubernetes-group-version-kind, or nullptr.
    const Type *of_kind(const std::string &group, const std::string &version, const std::string &kind) const;

private:
    Type *fresh();
    const Type *build(const json &schema, const json &schemas);
    void fill(Type &type, const json &schema, const json &schemas);
    const Type *reference(const std::string &ref, const json &schemas);

    std::vector<std::unique_ptr<Type>> owned_;
    json pointers_;
    std::map<std::string, const Type *> named_;
    std::map<std::string, const Type *> kinds_;
};

} // namespace kubesim
