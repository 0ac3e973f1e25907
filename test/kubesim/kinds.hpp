// The kinds the simulator serves. Names, verbs and types come from the recorded discovery and OpenAPI documents in
// data/; what a kind does beyond that (defaults, checks, table columns) is its Behaviour.
#pragma once

#include "errors.hpp"
#include "field_set.hpp"
#include "go_form.hpp"
#include "json.hpp"
#include "schema.hpp"

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace kubesim {

enum class NameRule { subdomain, label, letter_first };

struct Column {
    std::string name;
    std::string type;
    std::string format;
    std::string description;
    int priority; // above 0: only shown by -o wide
};

// Where a kind keeps what its scale subresource shows.
struct ScaleFields {
    std::vector<std::string> spec_replicas;   // {"spec", "replicas"}
    std::vector<std::string> status_replicas; // may be empty
    // Text of the selector of the pods it counts.
    std::function<std::string(const json &object)> selector;
};

// Of a kind whose objects are kept in the form of another version or group.
struct KeptAs {
    std::string group;
    std::string version;
    std::function<json(json object)> to_kept, from_kept;
};

struct Behaviour {
    NameRule name_rule = NameRule::subdomain;
    std::vector<std::string> field_selectors = {"metadata.name", "metadata.namespace"};
    // Paths an endpoint ("" = the object itself) leaves as they are and therefore never owns.
    std::map<std::string, FieldSet> untracked;
    bool hides_age = false;           // the last column is not added: definitions, and kinds with columns of their own
    bool has_spec_finalizers = false; // gone only when spec.finalizers is empty too (Namespace)

    std::optional<ScaleFields> scale;
    std::optional<KeptAs> kept_as;
    bool needs_revision = false;    // a replacement must say which revision it replaces
    bool created_by_update = false; // a replacement of what is not there creates it
    bool hides_name = false;        // the first column is not the name: events, which show it last
    // A deletion that does not say what becomes of the dependents leaves them.
    bool orphans_dependents = false;

    // Of a custom resource, in place of the Go form of its type.
    std::function<json(const json &object, Decoder decoder, std::vector<std::string> *unknown)> decode;
    std::function<void(json &object)> set_defaults;
    std::function<void(json &object)> prepare_create;
    std::function<void(json &after, const json &before, const std::string &subresource)> prepare_update;
    std::function<void(const json &after, const json *before, std::vector<FieldError> &errors)> validate;
    bool returns_deleted = false; // a deletion that is done at once answers with the object, not with a Status
    // What the first deletion adds to the object, which then stays until its finalizers go.
    std::function<void(json &object)> prepare_delete;
    // Seconds an object is left to end by itself when it is deleted and the request says nothing; 0 = it goes at once.
    std::function<int64_t(const json &object)> grace_seconds;

    std::vector<Column> columns;                   // after Name, before Age
    std::vector<Column> wide_columns;              // after Age
    std::function<json(const json &object)> cells; // the values of columns and wide_columns
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
    // Of a custom resource:
    bool custom = false;
    std::string deprecation;       // the warning that answers carry; empty: none
    bool gone = false;             // its definition was deleted; the address stays, for what was stored under it
    const Kind *storage = nullptr; // the kind of another version that holds the objects
    uint64_t served_from = 0;      // what happened before this revision, no watch of this kind is told

    std::string api_version() const { return group.empty() ? version : group + "/" + version; }
    std::string qualified_kind() const { return group.empty() ? kind : kind + "." + group; }
    // As messages print a GroupVersionKind: "/v1, Kind=ConfigMap"
    std::string printed() const { return group + "/" + version + ", Kind=" + kind; }
    const FieldSet *untracked(const std::string &subresource) const;
    bool selects_own_fields() const { return custom || behaviour.field_selectors != Behaviour().field_selectors; }
    // Where its objects are.
    const Kind &stored_as() const { return storage ? *storage : *this; }
    // Without kind and apiVersion; throws TypeMismatch. `unknown` collects the paths of undeclared members.
    json decode(const json &object, Decoder decoder, std::vector<std::string> *unknown = nullptr) const;
};

class Kinds {
public:
    // One APIResourceList and the schemas of its kinds.
    void load(const json &resource_list, const Schemas &schemas);
    // Adds a kind, or takes the place of the one with its group, version and plural. The address stays.
    Kind &put(Kind kind);
    // Nobody finds it any more.
    void remove(const Kind &kind);
    const Kind *by_plural(const std::string &group, const std::string &version, const std::string &plural) const;
    const Kind *by_kind(const std::string &group, const std::string &kind) const;
    // Those that are gone, too: nothing is stored under them.
    const std::deque<Kind> &all() const { return kinds_; }
    // Of autoscaling/v1 Scale, which every scale subresource speaks.
    const Type *scale_type() const { return scale_type_; }
    // Of authorization.k8s.io/v1 SelfSubjectAccessReview.
    const Type *review_type() const { return review_type_; }

private:
    std::deque<Kind> kinds_; // stable addresses
    const Type *scale_type_ = nullptr;
    const Type *review_type_ = nullptr;
};

// What is special about a kind. Those of one group are together in a file: kinds_core.cpp (Namespace, Node, ConfigMap),
// kinds_pod.cpp, kinds_secret.cpp, kinds_storage.cpp (PersistentVolumeClaim), kinds_event.cpp, kinds_apps.cpp
// (Deployment, ReplicaSet), kinds_sets.cpp (StatefulSet, DaemonSet, ControllerRevision), kinds_batch.cpp,
// kinds_autoscaling.cpp, kinds_policy.cpp, kinds_service.cpp (also Endpoints and EndpointSlice), kinds_definition.cpp
// (CustomResourceDefinition).
Behaviour behaviour_of(const std::string &group, const std::string &version, const std::string &kind);
Behaviour core_behaviour(const std::string &kind);
Behaviour pod_behaviour();
Behaviour secret_behaviour();
Behaviour claim_behaviour();
Behaviour event_behaviour(const std::string &group);
Behaviour apps_behaviour(const std::string &kind);
Behaviour set_behaviour(const std::string &kind);
Behaviour batch_behaviour(const std::string &kind);
Behaviour autoscaler_behaviour(const std::string &version);
Behaviour disruption_budget_behaviour();
Behaviour service_behaviour(const std::string &kind);
Behaviour definition_behaviour();

// The set of one path, for Behaviour::untracked.
FieldSet path_set(std::initializer_list<std::vector<std::string>> paths);
// Takes the member over from `before`, also when it is not there.
void keep_member(json &after, const json &before, const char *name);

} // namespace kubesim
