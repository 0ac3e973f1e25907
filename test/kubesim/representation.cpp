// How objects are shown: as themselves, as a Table for kubectl, or as metadata only.
#include "representation.hpp"

#include "times.hpp"

namespace kubesim {

namespace {

const char *const name_description =
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a "
    "client to request the generation of an appropriate name automatically. Name is primarily intended for creation "
    "idempotence and configuration definition. Cannot be updated. More info: "
    "http://kubernetes.io/docs/user-guide/identifiers#names";
const char *const age_description =
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed "
    "to be set in happens-before order across separate operations. Clients may not set this value. It is represented "
    "in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

json column(const Column &one) {
    return {{"name", one.name},
            {"type", one.type},
            {"format", one.format},
            {"description", one.description},
            {"priority", one.priority}};
}

json column_definitions(const Kind &kind) {
    json out = json::array();
    if (!kind.behaviour.hides_name)
        out.push_back(column({"Name", "string", "name", name_description, 0}));
    for (const auto &one : kind.behaviour.columns)
        out.push_back(column(one));
    if (!kind.behaviour.hides_age)
        out.push_back(column({"Age", "string", "", age_description, 0}));
    for (const auto &one : kind.behaviour.wide_columns)
        out.push_back(column(one));
    return out;
}

json partial_object(const Stored &stored, const std::string &meta_version) {
    return {{"kind", "PartialObjectMetadata"},
            {"apiVersion", "meta.k8s.io/" + meta_version},
            {"metadata", stored.body.at("metadata")}};
}

json row(const Stored &stored, const Representation &how) {
    const json &metadata = stored.body.at("metadata");
    json cells = json::array();
    if (!stored.kind->behaviour.hides_name)
        cells.push_back(text_of(metadata, "name"));
    json values = stored.kind->behaviour.cells ? stored.kind->behaviour.cells(stored.body) : json::array();
    size_t before_age = stored.kind->behaviour.columns.size();
    for (size_t i = 0; i < values.size() && i < before_age; i++)
        cells.push_back(values[i]);
    if (!stored.kind->behaviour.hides_age)
        cells.push_back(age(text_of(metadata, "creationTimestamp")));
    for (size_t i = before_age; i < values.size(); i++)
        cells.push_back(values[i]);
    json out = {{"cells", cells}};
    if (how.include_object == "Object")
        out["object"] = json::parse(stored.text());
    else if (how.include_object != "None")
        out["object"] = partial_object(stored, how.meta_version);
    return out;
}

json table(const Kind &kind, const std::vector<const Stored *> &items, const json &metadata, bool with_columns,
           const Representation &how) {
    json rows = json::array();
    for (const Stored *item : items)
        rows.push_back(row(*item, how));
    return {{"kind", "Table"},
            {"apiVersion", "meta.k8s.io/" + how.meta_version},
            {"metadata", metadata},
            {"columnDefinitions", with_columns ? column_definitions(kind) : json()},
            {"rows", rows}};
}

std::string trim(std::string text) {
    size_t from = text.find_first_not_of(" \t");
    size_t to = text.find_last_not_of(" \t");
    return from == std::string::npos ? "" : text.substr(from, to - from + 1);
}

std::vector<std::string> split(const std::string &text, char by) {
    std::vector<std::string> out;
    for (size_t at = 0; at <= text.size();) {
        size_t end = std::min(text.find(by, at), text.size());
        out.push_back(trim(text.substr(at, end - at)));
        at = end + 1;
    }
    return out;
}

} // namespace

Representation Representation::negotiate(const std::string &accept) {
    if (accept.empty())
        return {};
    for (const auto &option : split(accept, ',')) {
        auto parts = split(option, ';');
        const std::string &type = parts[0];
        Representation out;
        if (type == "application/yaml")
            out.yaml = true;
        else if (type != "application/json" && type != "*/*" && type != "application/*")
            continue;
        std::string as, group;
        for (size_t i = 1; i < parts.size(); i++) {
            if (parts[i].starts_with("as="))
                as = parts[i].substr(3);
            else if (parts[i].starts_with("v="))
                out.meta_version = parts[i].substr(2);
            else if (parts[i].starts_with("g="))
                group = parts[i].substr(2);
        }
        if (as.empty())
            return out;
        if (group != "meta.k8s.io" || (out.meta_version != "v1" && out.meta_version != "v1beta1"))
            continue;
        if (as == "Table")
            out.as = As::table;
        else if (as == "PartialObjectMetadata" || as == "PartialObjectMetadataList")
            out.as = As::partial;
        else
            continue;
        return out;
    }
    throw ApiError::generic(406, "NotAcceptable",
                            "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, "
                            "application/vnd.kubernetes.protobuf");
}

std::string Representation::object(const Stored &stored) const {
    switch (as) {
    case As::table: {
        json metadata = {{"resourceVersion", std::to_string(stored.revision)}};
        return dump(table(*stored.kind, {&stored}, metadata, true, *this));
    }
    case As::partial:
        return dump(partial_object(stored, meta_version));
    default:
        return stored.text();
    }
}

std::string Representation::list(const Kind &kind, const std::vector<StoredPtr> &items,
                                 const json &list_metadata) const {
    if (as == As::table) {
        std::vector<const Stored *> plain;
        for (const auto &item : items)
            plain.push_back(item.get());
        return dump(table(kind, plain, list_metadata, true, *this));
    }
    bool partial = as == As::partial;
    json metadata = list_metadata;
    if (kind.custom && !partial && !metadata.contains("continue"))
        metadata["continue"] = ""; // custom resources have no Go struct that leaves it out
    std::string out = "{\"kind\":\"" + (partial ? "PartialObjectMetadataList" : kind.kind + "List") +
                      "\",\"apiVersion\":\"" + (partial ? "meta.k8s.io/" + meta_version : kind.api_version()) +
                      "\",\"metadata\":" + dump(metadata) + ",\"items\":[";
    for (size_t i = 0; i < items.size(); i++) {
        if (i)
            out += ',';
        out += partial       ? dump(partial_object(*items[i], meta_version))
               : kind.custom ? items[i]->text()
                             : items[i]->item_text();
    }
    return out + "]}";
}

std::string Representation::event(const char *type, const Stored &stored, bool first) const {
    std::string text;
    if (as == As::table) {
        json metadata = {{"resourceVersion", std::to_string(stored.revision)}};
        text = dump(table(*stored.kind, {&stored}, metadata, first, *this));
    } else {
        text = object(stored);
    }
    return std::string("{\"type\":\"") + type + "\",\"object\":" + text + "}\n";
}

std::string Representation::bookmark(const Kind &kind, uint64_t revision, const json &annotations) const {
    json object = as == As::object ? kind.zero : json{{"metadata", {{"creationTimestamp", nullptr}}}};
    object["metadata"]["resourceVersion"] = std::to_string(revision);
    if (!annotations.is_null())
        object["metadata"]["annotations"] = annotations;
    if (as == As::table) {
        json metadata = {{"resourceVersion", std::to_string(revision)}};
        if (!annotations.is_null())
            metadata["annotations"] = annotations;
        object = table(kind, {}, metadata, false, *this);
    } else {
        object["kind"] = as == As::partial ? "PartialObjectMetadata" : kind.kind;
        object["apiVersion"] = as == As::partial ? "meta.k8s.io/" + meta_version : kind.api_version();
    }
    return "{\"type\":\"BOOKMARK\",\"object\":" + dump(object) + "}\n";
}

} // namespace kubesim
