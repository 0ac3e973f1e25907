// From CustomResourceDefinitions to kinds that are served.
#include "custom_kinds.hpp"

#include "custom_openapi.hpp"
#include "custom_schema.hpp"
#include "pod_spec.hpp"

#include <algorithm>

namespace kubesim {

namespace {

const std::set<std::string> all_verbs = {"create", "delete", "deletecollection", "get",
                                         "list",   "patch",  "update",           "watch"};
const std::set<std::string> subresource_verbs = {"get", "patch", "update"};

// .spec.replicas → {"spec", "replicas"}
std::vector<std::string> path_parts(const std::string &path) {
    std::vector<std::string> out;
    for (size_t at = 0; at < path.size();) {
        const size_t end = std::min(path.find('.', at + 1), path.size());
        out.push_back(path.substr(at + 1, end - at - 1));
        at = end;
    }
    return out;
}

const json *at_path(const json &object, const std::vector<std::string> &path) {
    const json *at = &object;
    for (const auto &name : path)
        if (at)
            at = find(*at, name);
    return at;
}

void set_columns(Behaviour &behaviour, const json &version) {
    std::vector<std::vector<std::string>> paths;
    if (const json *columns = find(version, "additionalPrinterColumns")) {
        behaviour.hides_age = true;
        for (const auto &column : *columns) {
            const std::string path = text_of(column, "jsonPath"), description = text_of(column, "description");
            behaviour.columns.push_back(
                {text_of(column, "name"), text_of(column, "type"), text_of(column, "format"),
                 description.empty() ? "Custom resource definition column (in JSONPath format): " + path : description,
                 static_cast<int>(integer_of(column, "priority", 0))});
            paths.push_back(path_parts(path));
        }
    }
    behaviour.cells = [paths](const json &object) {
        json out = json::array();
        for (const auto &path : paths) {
            const json *value = at_path(object, path);
            out.push_back(value ? *value : json());
        }
        return out;
    };
}

bool same_but(json a, json b, std::initializer_list<const char *> members) {
    for (const char *name : members) {
        a.erase(name);
        b.erase(name);
    }
    return a == b;
}

// Generation and status of an object with or without the status subresource.
void set_life(Behaviour &behaviour, bool has_status) {
    behaviour.prepare_create = [has_status](json &object) {
        object["metadata"]["generation"] = 1;
        if (has_status)
            object.erase("status");
    };
    behaviour.prepare_update = [has_status](json &after, const json &before, const std::string &subresource) {
        if (subresource == "status") {
            // In place: the caller holds on to the metadata.
            const json written = after;
            for (const auto &[name, value] : written.items())
                if (name != "status" && name != "metadata")
                    keep_member(after, before, name.c_str());
            for (const auto &[name, value] : before.items())
                if (name != "status" && name != "metadata")
                    after[name] = value;
            json metadata = before.at("metadata");
            keep_member(metadata, after.at("metadata"), "managedFields");
            after["metadata"] = std::move(metadata);
            return;
        }
        if (has_status)
            keep_member(after, before, "status");
        const bool same =
            has_status ? same_but(after, before, {"metadata", "status"}) : same_but(after, before, {"metadata"});
        if (!same)
            after["metadata"]["generation"] = integer_of(before.at("metadata"), "generation", 0) + 1;
    };
    if (has_status)
        behaviour.untracked = {{"", path_set({{"status"}})}, {"status", path_set({{"spec"}})}};
}

json resource(const std::string &name, const std::string &singular, const CustomNames &names, const std::string &kind,
              std::initializer_list<const char *> verbs) {
    json out = {{"name", name}, {"singularName", singular}, {"namespaced", names.namespaced}, {"kind", kind}};
    out["verbs"] = verbs;
    if (kind == "Scale") {
        out["group"] = "autoscaling";
        out["version"] = "v1";
    }
    return out;
}

json resources(const CustomNames &names, const json &spec) {
    json main = resource(names.plural, text_of(spec.at("names"), "singular"), names, names.kind,
                         {"delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"});
    for (const char *name : {"shortNames", "categories"})
        if (const json *list = find(spec.at("names"), name))
            main[name] = *list;
    json out = json::array({main});
    if (names.has_status)
        out.push_back(resource(names.plural + "/status", "", names, names.kind, {"get", "patch", "update"}));
    if (names.has_scale)
        out.push_back(resource(names.plural + "/scale", "", names, "Scale", {"get", "patch", "update"}));
    return out;
}

} // namespace

Kind CustomKinds::make(const json &spec, const json &version, uint64_t revision) {
    const json &own_names = spec.at("names");
    const json none = json::object();
    const json *found = find(version, "subresources");
    const json &subresources = found ? *found : none;
    CustomNames names;
    names.group = text_of(spec, "group");
    names.version = text_of(version, "name");
    names.kind = text_of(own_names, "kind");
    names.list_kind = text_of(own_names, "listKind");
    names.plural = text_of(own_names, "plural");
    names.namespaced = text_of(spec, "scope") == "Namespaced";
    names.has_status = subresources.contains("status");
    names.has_scale = subresources.contains("scale");

    const json &schema = version.at("schema").at("openAPIV3Schema");
    Published &published = published_[names.group + "/" + names.version][names.plural];
    published.resources = resources(names, spec);
    published.openapi = custom_openapi(names, schema, discovery_.openapi("apis/apps/v1"));
    published.schemas = std::make_unique<Schemas>();
    published.schemas->load(published.openapi);

    Kind kind;
    kind.custom = true;
    kind.group = names.group;
    kind.version = names.version;
    kind.kind = names.kind;
    kind.plural = names.plural;
    kind.namespaced = names.namespaced;
    kind.served_from = revision;
    if (version.value("deprecated", false)) {
        const std::string words = text_of(version, "deprecationWarning");
        kind.deprecation = words.empty() ? kind.api_version() + " " + kind.kind + " is deprecated" : words;
    }
    kind.type = published.schemas->of_kind(names.group, names.version, names.kind);
    kind.zero = {{"metadata", json::object()}};
    kind.verbs[""] = all_verbs;
    if (names.has_status)
        kind.verbs["status"] = subresource_verbs;
    Behaviour &behaviour = kind.behaviour;
    if (names.has_scale) {
        kind.verbs["scale"] = subresource_verbs;
        const json &scale = subresources.at("scale");
        const auto selector = path_parts(text_of(scale, "labelSelectorPath"));
        behaviour.scale = {path_parts(text_of(scale, "specReplicasPath")),
                           path_parts(text_of(scale, "statusReplicasPath")), [selector](const json &object) {
                               const json *text = selector.empty() ? nullptr : at_path(object, selector);
                               return text && text->is_string() ? text->get<std::string>() : std::string();
                           }};
    }
    auto rules =
        std::make_shared<CustomSchema>(schema, schemas_.named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"));
    behaviour.needs_revision = true;
    behaviour.decode = [rules](const json &object, Decoder decoder, std::vector<std::string> *unknown) {
        return rules->decode(object, decoder, unknown);
    };
    behaviour.validate = [rules](const json &after, const json *, std::vector<FieldError> &errors) {
        rules->validate(after, errors);
    };
    set_life(behaviour, names.has_status);
    set_columns(behaviour, version);
    return kind;
}

std::vector<const Kind *> CustomKinds::define(const json &definition, uint64_t revision) {
    const json &spec = definition.at("spec");
    std::vector<const Kind *> out;
    for (const auto &version : spec.at("versions")) {
        if (version.at("served") != true)
            continue;
        Kind kind = make(spec, version, revision);
        // Without conversion an object is the same in all versions: it is kept under the first.
        kind.storage = out.empty() ? nullptr : out.front();
        out.push_back(&kinds_.put(std::move(kind)));
        publish(out.back()->api_version());
    }
    return out;
}

void CustomKinds::forget(const json &definition) {
    for (const Kind *kind : kinds_of(definition)) {
        kinds_.remove(*kind);
        published_[kind->api_version()].erase(kind->plural);
        publish(kind->api_version());
    }
}

std::vector<const Kind *> CustomKinds::kinds_of(const json &definition) const {
    const json &spec = definition.at("spec");
    std::vector<const Kind *> out;
    for (const Kind &kind : kinds_.all())
        if (kind.custom && !kind.gone && kind.group == text_of(spec, "group") &&
            kind.plural == text_of(spec.at("names"), "plural"))
            out.push_back(&kind);
    return out;
}

// The documents of a group version are those of all its kinds together.
void CustomKinds::publish(const std::string &group_version) {
    const auto &kinds = published_[group_version];
    if (kinds.empty())
        return discovery_.remove("apis/" + group_version);
    json all = json::array(), openapi;
    for (const auto &[plural, one] : kinds) {
        all.insert(all.end(), one.resources.begin(), one.resources.end());
        if (openapi.is_null())
            openapi = one.openapi;
        openapi["paths"].update(one.openapi.at("paths"));
        openapi["components"]["schemas"].update(one.openapi.at("components").at("schemas"));
    }
    discovery_.set(
        "apis/" + group_version,
        {{"kind", "APIResourceList"}, {"apiVersion", "v1"}, {"groupVersion", group_version}, {"resources", all}},
        openapi);
}

} // namespace kubesim
