// The kinds the simulator serves. Names, verbs and types come from the recorded discovery and OpenAPI documents in
// data/; what a kind does beyond that (defaults, checks, table columns) is its Behaviour.
#pragma once

#include "errors.hpp"
#include "field_set.hpp"
#include "json.hpp"
#include "schema.hpp"

#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace kubesim {

enum class NameRule { subdomain, label };

struct Column {
    std::string name;
    std::string type;
    std::string format;
    std::string description;
    int priority; // above 0: only shown by -o wide
};

struct Behaviour {
    NameRule name_rule = NameRule::subdomain;
    std::vector<std::string> field_selectors = {"metadata.name", "metadata.namespace"};
    // Paths an endpoint ("" = the object itself) leaves as they are and therefore never owns.
    std::map<std::string, FieldSet> untracked;
    bool has_spec_finalizers = false; // gone only when spec.finalizers is empty too (Namespace)

    void (*set_defaults)(json &object) = nullptr;
    void (*prepare_create)(json &object) = nullptr;
    void (*prepare_update)(json &after, const json &before, const std::string &subresource) = nullptr;
    void (*validate)(const json &after, const json *before, std::vector<FieldError> &errors) = nullptr;

    std::vector<Column> columns;                 // after Name, before Age
    std::vector<Column> wide_columns;            // after Age
    json (*cells)(const json &object) = nullptr; // the values of columns and wide_columns
};

struct Kind {
    std::string group;
    std::string version;
    std::string kind;
    std::string plural;
    bool namespaced = false;
    std::map<std::string, std::set<std::string>> verbs; // by subresource, "" = the object itself
    const Type *type = nullptr;
    json zero; // the empty object as its Go struct encodes, without kind and apiVersion
    Behaviour behaviour;

    std::string api_version() const { return group.empty() ? version : group + "/" + version; }
    std::string qualified_kind() const { return group.empty() ? kind : kind + "." + group; }
    // As messages print a GroupVersionKind: "/v1, Kind=ConfigMap"
    std::string printed() const { return group + "/" + version + ", Kind=" + kind; }
    const FieldSet *untracked(const std::string &subresource) const;
};

class Kinds {
public:
    // One APIResourceList and the schemas of its kinds.
    void load(const json &resource_list, const Schemas &schemas);
    const Kind *by_plural(const std::string &group, const std::string &version, const std::string &plural) const;
    const Kind *by_kind(const std::string &group, const std::string &kind) const;
    const std::deque<Kind> &all() const { return kinds_; }

private:
    std::deque<Kind> kinds_; // stable addresses
};

// Defined by kinds_core.cpp: what is special about a kind.
Behaviour behaviour_of(const std::string &group, const std::string &kind);

} // namespace kubesim
