// What an API server does with CustomResourceDefinitions.
#include "definition_controller.hpp"

#include "conditions.hpp"

#include <algorithm>

namespace kubesim {

namespace {

const char *const manager = "kube-apiserver";
const char *const cleanup_finalizer = "customresourcecleanup.apiextensions.k8s.io";

void put_condition(json &definition, const char *type, const char *reason, const char *message) {
    json &conditions = definition["status"]["conditions"];
    if (!conditions.is_array())
        conditions = json::array();
    conditions.push_back({{"type", type},
                          {"status", "True"},
                          {"lastTransitionTime", rfc3339_now()},
                          {"reason", reason},
                          {"message", message}});
}

} // namespace

void DefinitionController::observe(const Change &change) {
    if (change.kind != &definitions_)
        return;
    if (change.after)
        return queue_.add_after(change.after->key, delay_);
    cut_watches(custom_.kinds_of(change.before->body));
    custom_.forget(change.before->body);
    served_.erase(change.before->key);
}

void DefinitionController::resume() {
    for (const auto &[key, stored] : store_.objects(definitions_)) {
        if (is_true(stored->body, "Established"))
            served_[key] = stored->body.at("spec");
        queue_.add(key);
    }
}

void DefinitionController::sync(const std::string &key) {
    StoredPtr definition = store_.get(definitions_, key);
    if (!definition)
        return;
    if (is_deleting(definition->body))
        return clean_up(*definition);
    if (!is_true(definition->body, "Established"))
        return establish(key);
    const json &spec = definition->body.at("spec");
    if (served_[key] == spec)
        return;
    // The new schema has a cache of its own: what runs is cut, and what happened before is not known to it.
    served_[key] = spec;
    cut_watches(custom_.kinds_of(definition->body));
    custom_.define(definition->body, store_.revision());
}

void DefinitionController::establish(const std::string &key) {
    api_.control(definitions_, key, manager, "status", [](json &object) {
        object["status"]["acceptedNames"] = object["spec"]["names"];
        put_condition(object, "NamesAccepted", "NoConflicts", "no conflicts found");
    });
    api_.control(definitions_, key, manager, "status", [](json &object) {
        put_condition(object, "Established", "InitialNamesAccepted", "the initial names have been accepted");
    });
    StoredPtr definition = store_.get(definitions_, key);
    served_[key] = definition->body.at("spec");
    custom_.define(definition->body, 0);
}

void DefinitionController::clean_up(const Stored &definition) {
    bool left = false;
    for (const Kind *kind : custom_.kinds_of(definition.body)) {
        std::vector<std::string> keys;
        for (const auto &[key, stored] : store_.objects(*kind))
            keys.push_back(key);
        for (const auto &key : keys) {
            api_.remove_by_controller(*kind, key);
            left |= store_.get(*kind, key) != nullptr; // held by a finalizer
        }
    }
    if (left)
        return queue_.add_after(definition.key, std::max(delay_, std::chrono::milliseconds(100)));
    api_.control(definitions_, definition.key, manager, "", [](json &object) {
        json &finalizers = object["metadata"]["finalizers"];
        auto it = std::find(finalizers.begin(), finalizers.end(), json(cleanup_finalizer));
        if (it != finalizers.end())
            finalizers.erase(it);
    });
}

void DefinitionController::cut_watches(const std::vector<const Kind *> &kinds) {
    watches_.end_of(kinds);
}

} // namespace kubesim
