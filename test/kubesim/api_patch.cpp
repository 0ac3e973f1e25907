// The four kinds of patch: JSON patch, merge patch, strategic merge patch and server-side apply.
#include "api_bodies.hpp"

#include "patch.hpp"
#include "representation.hpp"

namespace kubesim {

Response Api::patch(const Target &target, const Request &request) {
    Representation::negotiate(request.header("accept"));
    const Kind &kind = *target.kind;
    Write write = begin_write(target, request, "PatchOptions");
    StoredPtr live = store_.get(kind, target.key());
    const bool is_apply = write.writer.operation == "Apply";
    if (!live && (!is_apply || !target.subresource.empty())) {
        if (is_apply)
            configuration_of(request); // a body that cannot be read is told first
        throw ApiError::not_found(kind.group, kind.plural, target.name);
    }
    json object =
        is_apply ? applied(write, request, live ? &live->body : nullptr) : patched(write, request, live->body);
    if (!live)
        return answer(request, write, insert(write, std::move(object), true), 201);
    if (!is_apply)
        track_update(management(target), live->body, object, write.writer, false, rfc3339_now());
    json gone;
    StoredPtr stored = update(write, live, std::move(object), &gone);
    return answer(request, write, stored ? stored : unstored(kind, live->key, gone, live->revision), 200);
}

// What JSON, merge and strategic merge patches make of the object.
json Api::patched(Write &write, const Request &request, const json &live) {
    const Kind &kind = *write.target.kind;
    const std::string type = media_type(request);
    const bool merge = type == "application/merge-patch+json";
    const bool strategic = type == "application/strategic-merge-patch+json";
    ParsedBody parsed = parse_json_body(request.body);
    if (!parsed.error.empty())
        throw ApiError::bad_request("error decoding patch: " + parsed.error);
    if ((merge || strategic) && parsed.value.is_null())
        throw ApiError::bad_request("Invalid JSON Patch");
    if ((merge || strategic) && !parsed.value.is_object())
        throw ApiError::bad_request("error decoding patch: json: cannot unmarshal " + json_type(parsed.value) +
                                    " into Go value of type map[string]interface {}");
    json current = with_type(kind, live);
    json patched = merge       ? merge_patch(current, parsed.value)
                   : strategic ? strategic_merge_patch(kind.type, current, parsed.value)
                               : json_patch(current, parsed.value);
    std::vector<std::string> problems;
    for (const auto &duplicate : parsed.duplicates)
        problems.push_back("duplicate field " + go_quoted(duplicate.path));
    // A strategic merge works on decoded objects, the others on JSON text; their messages show what they worked on.
    std::string shown = go_quoted(strategic ? go_value(parsed.value, false) : dump(patched));
    json object;
    try {
        if (text_of(patched, "kind") != kind.kind || text_of(patched, "apiVersion") != kind.api_version())
            throw TypeMismatch(not_registered(text_of(patched, "kind"), text_of(patched, "apiVersion")));
        std::vector<std::string> unknown;
        object = kind.decode(patched, strategic ? Decoder::unstructured : Decoder::json, &unknown);
        for (const auto &path : unknown)
            problems.push_back("unknown field " + go_quoted(path));
    } catch (const TypeMismatch &error) {
        throw ApiError::invalid("", "", "", {FieldError::invalid("patch", shown, error.what())});
    }
    check_unknown_fields(kind, problems, write, &shown);
    if (kind.behaviour.set_defaults)
        kind.behaviour.set_defaults(object);
    return object;
}

json Api::configuration_of(const Request &request, std::vector<DuplicateMember> *duplicates) {
    ParsedBody parsed = parse_yaml_body(request.body);
    if (parsed.error.empty() && !parsed.value.is_object() && !parsed.value.is_null())
        parsed.error = "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal " +
                       json_type(parsed.value) + " into Go value of type map[string]interface {}";
    if (!parsed.error.empty())
        throw ApiError::bad_request("error decoding YAML: " + parsed.error);
    if (duplicates)
        *duplicates = std::move(parsed.duplicates);
    return parsed.value.is_null() ? json::object() : std::move(parsed.value);
}

// What server-side apply makes of the object (null: there is none yet).
json Api::applied(Write &write, const Request &request, const json *live) {
    const Target &target = write.target;
    const Kind &kind = *target.kind;
    std::vector<DuplicateMember> duplicates;
    json configuration = configuration_of(request, &duplicates);
    std::string version = text_of(configuration, "apiVersion"), name = text_of(configuration, "kind");
    if (version != kind.api_version())
        throw ApiError::bad_request("Incorrect version specified in apply patch. Specified patch version: " + version +
                                    ", expected: " + kind.api_version());
    const json *metadata = find(configuration, "metadata");
    std::string described = (metadata ? text_of(*metadata, "namespace") + "/" + text_of(*metadata, "name") : "/") +
                            "; " + kind.group + "/" + kind.version + ", Kind=" + name;
    if (name != kind.kind)
        throw ApiError::internal("failed to create typed patch object (" + described + "): no corresponding type for " +
                                 kind.group + "/" + kind.version + ", Kind=" + name);

    std::string described_live = target.name_space + "/" + target.name + "; " + kind.printed();
    const json &before = live ? *live : kind.zero;
    json object = apply_configuration(management(target), before, without_type(configuration), write.writer,
                                      request.flag("force"), !live, described, described_live, rfc3339_now());
    try {
        object = kind.decode(object, Decoder::unstructured);
    } catch (const TypeMismatch &error) {
        throw ApiError::internal("failed to convert new object (" + described +
                                 ") to proper version: unable to convert "
                                 "unstructured object to " +
                                 kind.printed() + ": " + error.what());
    }
    if (!duplicates.empty() && write.field_validation != "Ignore") {
        std::string all = "error converting YAML to JSON: yaml: unmarshal errors:";
        for (const auto &duplicate : duplicates) {
            std::string one =
                "line " + std::to_string(duplicate.line) + ": key " + go_quoted(duplicate.key) + " already set in map";
            all += "\n  " + one;
            write.warnings.push_back(one);
        }
        if (write.field_validation == "Strict")
            throw ApiError::bad_request("error strict decoding YAML: " + all);
    }
    if (kind.behaviour.set_defaults)
        kind.behaviour.set_defaults(object);

    if (std::string uid = text_of(object["metadata"], "uid"); !live && !uid.empty())
        throw ApiError::conflict(kind.group, kind.plural, target.name,
                                 "uid mismatch: the provided object specified uid " + uid +
                                     ", and no existing object was found");
    return object;
}

} // namespace kubesim
