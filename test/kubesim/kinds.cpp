// The kinds the simulator serves, from the recorded discovery and OpenAPI documents.
#include "kinds.hpp"

#include "go_form.hpp"

#include <stdexcept>

namespace kubesim {

const FieldSet *Kind::untracked(const std::string &subresource) const {
    auto it = behaviour.untracked.find(subresource);
    return it == behaviour.untracked.end() ? nullptr : &it->second;
}

Behaviour behaviour_of(const std::string &group, const std::string &version, const std::string &kind) {
    if (kind == "Deployment" || kind == "ReplicaSet")
        return apps_behaviour(kind);
    if (group == "apps")
        return set_behaviour(kind);
    if (group == "batch")
        return batch_behaviour(kind);
    if (group == "autoscaling")
        return autoscaler_behaviour(version);
    if (group == "policy")
        return disruption_budget_behaviour();
    if (kind == "Event")
        return event_behaviour(group);
    if (kind == "PersistentVolumeClaim")
        return claim_behaviour();
    if (kind == "CustomResourceDefinition")
        return definition_behaviour();
    if (kind == "Pod")
        return pod_behaviour();
    if (kind == "Secret")
        return secret_behaviour();
    if (kind == "Service" || kind == "Endpoints" || group == "discovery.k8s.io")
        return service_behaviour(kind);
    return core_behaviour(kind);
}

FieldSet path_set(std::initializer_list<std::vector<std::string>> paths) {
    FieldSet set;
    for (const auto &path : paths) {
        std::vector<std::string> elements;
        for (const auto &name : path)
            elements.push_back("f:" + name);
        set.insert(elements);
    }
    return set;
}

void keep_member(json &after, const json &before, const char *name) {
    if (const json *old = find(before, name))
        after[name] = *old;
    else
        after.erase(name);
}

json Kind::decode(const json &object, Decoder decoder, std::vector<std::string> *unknown) const {
    if (behaviour.decode)
        return behaviour.decode(object, decoder, unknown);
    json out = go_form(type, object, decoder, unknown);
    out.erase("kind");
    out.erase("apiVersion");
    return out;
}

void Kinds::load(const json &resource_list, const Schemas &schemas) {
    std::string group_version = resource_list.at("groupVersion");
    size_t slash = group_version.find('/');
    std::string group = slash == std::string::npos ? "" : group_version.substr(0, slash);
    std::string version = slash == std::string::npos ? group_version : group_version.substr(slash + 1);
    for (const auto &resource : resource_list.at("resources")) {
        std::string name = resource.at("name");
        if (group == "authorization.k8s.io") { // asked, and not stored
            review_type_ = schemas.of_kind(group, version, resource.at("kind"));
            continue;
        }
        auto verbs = resource.at("verbs").get<std::set<std::string>>();
        size_t sub = name.find('/');
        if (sub != std::string::npos) {
            for (auto &kind : kinds_)
                if (kind.group == group && kind.version == version && kind.plural == name.substr(0, sub))
                    kind.verbs[name.substr(sub + 1)] = verbs;
            continue;
        }
        Kind kind;
        kind.group = group;
        kind.version = version;
        kind.kind = resource.at("kind");
        kind.plural = name;
        kind.namespaced = resource.at("namespaced");
        kind.verbs[""] = verbs;
        kind.type = schemas.of_kind(group, version, kind.kind);
        if (!kind.type)
            throw std::runtime_error("no schema for " + kind.printed());
        kind.zero = go_form(kind.type, json::object(), Decoder::json);
        kind.behaviour = behaviour_of(group, version, kind.kind);
        if (const auto &form = kind.behaviour.kept_as)
            kind.storage = by_plural(form->group, form->version, name);
        kinds_.push_back(std::move(kind));
    }
    if (const Type *scale = schemas.of_kind("autoscaling", "v1", "Scale"))
        scale_type_ = scale;
}

Kind &Kinds::put(Kind kind) {
    for (auto &one : kinds_)
        if (one.group == kind.group && one.version == kind.version && one.plural == kind.plural)
            return one = std::move(kind);
    kinds_.push_back(std::move(kind));
    return kinds_.back();
}

void Kinds::remove(const Kind &kind) {
    for (auto &one : kinds_)
        if (&one == &kind)
            one.gone = true;
}

const Kind *Kinds::by_plural(const std::string &group, const std::string &version, const std::string &plural) const {
    for (const auto &kind : kinds_)
        if (kind.plural == plural && kind.group == group && kind.version == version && !kind.gone)
            return &kind;
    return nullptr;
}

const Kind *Kinds::by_kind(const std::string &group, const std::string &name) const {
    for (const auto &kind : kinds_)
        if (kind.kind == name && kind.group == group && !kind.gone)
            return &kind;
    return nullptr;
}

} // namespace kubesim
