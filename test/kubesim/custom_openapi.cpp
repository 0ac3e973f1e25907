// The OpenAPI v3 document of one version of a custom resource, as the server publishes it.
#include "custom_openapi.hpp"

#include <algorithm>
#include <set>
#include <vector>

namespace kubesim {

namespace {

const std::string pattern_path = "/apis/apps/v1/";
const std::string pattern_schema = "io.k8s.api.apps.v1.Deployment";

void replace_all(std::string &text, const std::string &from, const std::string &to) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
        text.replace(at, from.size(), to);
}

// net.example.com → NetExampleCom
std::string camel(const std::string &dotted, bool first_upper) {
    std::string out;
    bool upper = first_upper;
    for (char c : dotted) {
        if (c == '.' || c == '-')
            upper = true;
        else {
            out += upper ? static_cast<char>(toupper(static_cast<unsigned char>(c))) : c;
            upper = false;
        }
    }
    return out;
}

// Custom resources speak neither protobuf nor strategic merge patches.
void drop_media_types(json &value) {
    if (value.is_object())
        for (auto it = value.begin(); it != value.end();)
            it = it.key().find("protobuf") != std::string::npos || it.key() == "application/strategic-merge-patch+json"
                     ? value.erase(it)
                     : std::next(it);
    if (value.is_structured())
        for (auto &member : value)
            drop_media_types(member);
}

// Without the defaults the server keeps to itself: those of metadata's members it publishes as they are.
void collect_references(const json &value, std::set<std::string> &into) {
    if (value.is_object())
        if (const json *reference = find(value, "$ref"); reference && reference->is_string())
            into.insert(reference->get<std::string>().substr(reference->get<std::string>().rfind('/') + 1));
    if (value.is_structured())
        for (const auto &member : value)
            collect_references(member, into);
}

json type_member(const json &pattern, const char *name) {
    return pattern.at("components").at("schemas").at(pattern_schema).at("properties").at(name);
}

json kind_schema(const CustomNames &names, const json &schema, const json &pattern) {
    json out = schema;
    json &properties = out["properties"];
    for (const char *name : {"apiVersion", "kind", "metadata"})
        properties[name] = type_member(pattern, name);
    properties["metadata"].erase("default");
    out["x-kubernetes-group-version-kind"] =
        json::array({{{"group", names.group}, {"kind", names.kind}, {"version", names.version}}});
    return out;
}

json list_schema(const CustomNames &names, const json &pattern) {
    json out = pattern.at("components").at("schemas").at(pattern_schema + "List");
    out["description"] = names.list_kind + " is a list of " + names.kind;
    out["properties"]["items"] = {
        {"type", "array"},
        {"description", "List of " + names.plural +
                            ". More info: https://git.k8s.io/community/contributors/devel/sig-architecture/"
                            "api-conventions.md"},
        {"items", {{"$ref", "#/components/schemas/" + names.schema_name()}}}};
    out["x-kubernetes-group-version-kind"] =
        json::array({{{"group", names.group}, {"kind", names.list_kind}, {"version", names.version}}});
    return out;
}

} // namespace

std::string CustomNames::schema_name() const {
    std::string out;
    for (size_t end = group.size(); end != std::string::npos;) {
        const size_t dot = end == 0 ? std::string::npos : group.rfind('.', end - 1);
        out +=
            group.substr(dot == std::string::npos ? 0 : dot + 1, end - (dot == std::string::npos ? 0 : dot + 1)) + ".";
        end = dot;
    }
    return out + version + "." + kind;
}

json custom_openapi(const CustomNames &names, const json &schema, const json &pattern) {
    json paths = json::object();
    const std::string base = "/apis/" + names.group + "/" + names.version + "/";
    for (const auto &[path, item] : pattern.at("paths").items()) {
        const std::string in_namespace = "namespaces/{namespace}/";
        std::string rest = path.substr(pattern_path.size());
        const bool scoped = rest.starts_with(in_namespace);
        if (scoped)
            rest = rest.substr(in_namespace.size());
        if (!rest.starts_with("deployments") || (rest.ends_with("/status") && !names.has_status) ||
            (rest.ends_with("/scale") && !names.has_scale) || (!scoped && !names.namespaced))
            continue;
        std::string text = dump(item);
        replace_all(text, pattern_schema, names.schema_name());
        replace_all(text, "\"apps\"", dump(names.group));
        replace_all(text, "\"apps_v1\"", dump(camel(names.group, false) + "_" + names.version));
        replace_all(text, "AppsV1", camel(names.group, true) + camel(names.version, true));
        replace_all(text, "Deployment", names.kind);
        json own = json::parse(text);
        drop_media_types(own);
        if (json *parameters = own.contains("parameters") && !names.namespaced ? &own["parameters"] : nullptr)
            for (auto it = parameters->begin(); it != parameters->end();)
                it = text_of(*it, "name") == "namespace" ? parameters->erase(it) : std::next(it);
        paths[base + (scoped && names.namespaced ? in_namespace : "") + names.plural + rest.substr(11)] =
            std::move(own);
    }
    json schemas = {{names.schema_name(), kind_schema(names, schema, pattern)},
                    {names.schema_name() + "List", list_schema(names, pattern)}};
    std::set<std::string> wanted;
    collect_references(paths, wanted);
    collect_references(schemas, wanted);
    for (bool more = true; more;) {
        more = false;
        for (const auto &name : std::set<std::string>(wanted))
            if (!schemas.contains(name)) {
                schemas[name] = pattern.at("components").at("schemas").at(name);
                collect_references(schemas[name], wanted);
                more = true;
            }
    }
    json out = {{"openapi", "3.0.0"}, {"info", pattern.at("info")}, {"paths", paths}};
    out["components"] = {{"schemas", schemas}};
    return out;
}

} // namespace kubesim
