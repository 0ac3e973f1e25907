// What is special about CustomResourceDefinitions.
#include "kinds.hpp"

#include "api.hpp"
#include "pod_spec.hpp"
#include "validation.hpp"

#include <algorithm>
#include <set>

namespace kubesim {

namespace {

void definition_defaults(json &object) {
    json &spec = object["spec"], &names = spec["names"];
    const std::string kind = text_of(names, "kind");
    std::string lower = kind;
    std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return tolower(c); });
    if (text_of(names, "singular").empty() && !lower.empty())
        names["singular"] = lower;
    if (text_of(names, "listKind").empty() && !kind.empty())
        names["listKind"] = kind + "List";
    if (!spec.contains("conversion"))
        spec["conversion"] = {{"strategy", "None"}};
}

void remember_stored_version(json &object) {
    json &stored = object["status"]["storedVersions"];
    if (!stored.is_array())
        stored = json::array();
    for (const auto &version : object["spec"]["versions"])
        if (version.at("storage") == true &&
            std::find(stored.begin(), stored.end(), version.at("name")) == stored.end())
            stored.push_back(version.at("name"));
}

void definition_prepare_create(json &object) {
    object["metadata"]["generation"] = 1;
    object["status"] = {{"conditions", nullptr}, {"acceptedNames", {{"plural", ""}, {"kind", ""}}}};
    if (object["spec"]["versions"].is_array())
        remember_stored_version(object);
}

void definition_prepare_update(json &after, const json &before, const std::string &subresource) {
    if (subresource == "status")
        return keep_member(after, before, "spec");
    keep_member(after, before, "status");
    if (after.at("spec") != before.at("spec"))
        after["metadata"]["generation"] = integer_of(before.at("metadata"), "generation", 0) + 1;
    if (after["spec"]["versions"].is_array())
        remember_stored_version(after);
}

void definition_prepare_delete(json &object) {
    json &finalizers = object["metadata"]["finalizers"];
    if (!finalizers.is_array())
        finalizers = json::array();
    finalizers.push_back("customresourcecleanup.apiextensions.k8s.io");
    json &conditions = object["status"]["conditions"];
    if (!conditions.is_array())
        conditions = json::array();
    conditions.push_back(
        {{"type", "Terminating"},
         {"status", "True"},
         {"lastTransitionTime", rfc3339_now()},
         {"reason", "InstanceDeletionPending"},
         {"message", "CustomResourceDefinition marked for deletion; CustomResource deletion will begin "
                     "soon"}});
}

// A structural schema says the type of everything it names.
void validate_schema(const json &schema, const std::string &path, bool root, std::vector<FieldError> &errors) {
    if (!schema.is_object())
        return;
    auto is_set = [&](const char *name) { return find(schema, name) && schema.at(name) == true; };
    if (const json *properties = find(schema, "properties"))
        for (const auto &[name, inner] : properties->items())
            validate_schema(inner, path + ".properties[" + name + "]", false, errors);
    for (const char *name : {"items", "additionalProperties"})
        if (const json *inner = find(schema, name))
            validate_schema(*inner, path + "." + name, false, errors);
    const std::string type = text_of(schema, "type");
    if (type.empty() && !is_set("x-kubernetes-int-or-string") && !is_set("x-kubernetes-preserve-unknown-fields"))
        errors.push_back(FieldError::required(path + ".type", root ? "must not be empty at the root"
                                                                   : "must not be empty for specified object fields"));
    else if (root && type != "object")
        errors.push_back(FieldError::invalid(path + ".type", go_quoted(type), "must be object at the root"));
    if (type == "array" && !schema.contains("items"))
        errors.push_back(FieldError::required(path + ".items", "must be specified"));
    if (text_of(schema, "x-kubernetes-list-type") == "map" && !schema.contains("x-kubernetes-list-map-keys"))
        errors.push_back(FieldError::required(path + ".x-kubernetes-list-map-keys",
                                              "must not be empty if x-kubernetes-list-type is map"));
}

void validate_versions(const json &spec, std::vector<FieldError> &errors) {
    const json *versions = find(spec, "versions");
    size_t storing = 0;
    std::set<std::string> names;
    for (size_t i = 0; versions && i < versions->size(); i++) {
        const json &version = (*versions)[i];
        const std::string path = "spec.versions[" + std::to_string(i) + "]", name = text_of(version, "name");
        storing += version.at("storage") == true;
        for (const auto &why : name_errors(NameRule::label, name))
            errors.push_back(FieldError::invalid(path + ".name", go_quoted(name), why));
        if (!names.insert(name).second)
            errors.push_back(
                FieldError::invalid("spec.versions", go_value(*versions, true), "must contain unique version names"));
        const json *holder = find(version, "schema");
        const json *schema = holder ? find(*holder, "openAPIV3Schema") : nullptr;
        // With one version, messages name the place where schemas once were.
        if (!schema)
            errors.push_back(FieldError::required(path + ".schema.openAPIV3Schema", "schemas are required"));
        else
            validate_schema(
                *schema, versions->size() == 1 ? "spec.validation.openAPIV3Schema" : path + ".schema.openAPIV3Schema",
                true, errors);
    }
    if (!versions || storing != 1)
        errors.push_back(FieldError::invalid("spec.versions", versions ? go_value(*versions, true) : "null",
                                             "must have exactly one version marked as storage version"));
    if (storing == 0)
        errors.push_back(
            FieldError::invalid("status.storedVersions", "[]string(nil)", "must have at least one stored version"));
}

void validate_names(const json &names, std::vector<FieldError> &errors) {
    for (const char *member : {"plural", "kind"})
        if (text_of(names, member).empty())
            errors.push_back(FieldError::required(std::string("spec.names.") + member, ""));
    for (const char *member : {"plural", "singular", "kind", "listKind"}) {
        const std::string name = text_of(names, member);
        const bool is_mixed = std::string(member).ends_with("ind");
        std::string lower = name;
        if (is_mixed)
            std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return tolower(c); });
        if (!name.empty())
            for (const auto &why : name_errors(NameRule::letter_first, lower))
                errors.push_back(
                    FieldError::invalid(std::string("spec.names.") + member, go_quoted(name),
                                        (is_mixed ? "may have mixed case, but should otherwise match: " : "") + why));
    }
}

void definition_validate(const json &after, const json *before, std::vector<FieldError> &errors) {
    const json &spec = after.at("spec"), &names = spec.at("names");
    const std::string name = text_of(after.at("metadata"), "name"), group = text_of(spec, "group");
    const std::string plural = text_of(names, "plural"), scope = text_of(spec, "scope");
    if (name != plural + "." + group)
        errors.push_back(
            FieldError::invalid("metadata.name", go_quoted(name), "must be spec.names.plural+\".\"+spec.group"));
    if (group.empty())
        errors.push_back(FieldError::required("spec.group", ""));
    else if (group.find('.') == std::string::npos)
        errors.push_back(
            FieldError::invalid("spec.group", go_quoted(group), "should be a domain with at least one dot"));
    if (scope.empty())
        errors.push_back(FieldError::required("spec.scope", ""));
    else if (scope != "Cluster" && scope != "Namespaced")
        errors.push_back(FieldError::not_supported("spec.scope", go_quoted(scope), {"Cluster", "Namespaced"}));
    validate_names(names, errors);
    validate_versions(spec, errors);
    if (!before)
        return;
    for (const char *member : {"group", "scope"})
        if (spec.at(member) != before->at("spec").at(member))
            errors.push_back(
                FieldError::invalid(std::string("spec.") + member, dump(spec.at(member)), "field is immutable"));
}

} // namespace

Behaviour definition_behaviour() {
    Behaviour out;
    out.untracked = {{"", path_set({{"status"}})}, {"status", path_set({{"metadata"}, {"spec"}})}};
    out.needs_revision = true;
    out.set_defaults = definition_defaults;
    out.prepare_create = definition_prepare_create;
    out.prepare_update = definition_prepare_update;
    out.validate = definition_validate;
    out.prepare_delete = definition_prepare_delete;
    out.columns = {{"Created At", "date", "",
                    "CreationTimestamp is a timestamp representing the server time when this object was created.", 0}};
    out.cells = [](const json &object) { return json::array({text_of(object.at("metadata"), "creationTimestamp")}); };
    out.hides_age = true;
    return out;
}

} // namespace kubesim
