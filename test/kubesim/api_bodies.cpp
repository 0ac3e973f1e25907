// Options and bodies of writes: what a request asks for, decoded and checked against its kind.
#include "api_bodies.hpp"

#include "body_parser.hpp"
#include "protobuf.hpp"

namespace kubesim {

namespace {

constexpr size_t manager_limit = 128; // bytes of a field manager's name

// Without fieldManager the client's name is taken: User-Agent up to the first slash.
std::string manager_of(const Request &request) {
    std::string manager = request.parameter("fieldManager");
    if (!manager.empty())
        return manager;
    std::string agent = request.header("user-agent");
    return agent.substr(0, agent.find('/')).substr(0, manager_limit);
}

std::string header_safe(std::string text) {
    for (char &c : text)
        if (static_cast<unsigned char>(c) < 0x20)
            c = ' ';
    return text;
}

// The start of a body that is no object, as messages show it: JSON text as it is, other bytes in hexadecimal.
std::string snippet(const std::string &body) {
    if (body.empty())
        return "<empty>";
    if (body[0] == '{')
        return body.size() > 30 ? body.substr(0, 30) + " ..." : body;
    std::string out;
    char hex[3];
    for (unsigned char byte : body.substr(0, 30)) {
        snprintf(hex, sizeof hex, "%02x", byte);
        out += hex;
    }
    return body.size() > 30 ? out + " ..." : out;
}

// A custom resource is decoded without a Go type: kind and version must be in the body.
void check_custom_type(const Kind &kind, const json &object, const std::string &body) {
    const std::string version = text_of(object, "apiVersion"), name = text_of(object, "kind");
    if (name.empty())
        throw ApiError::bad_request("the object provided is unrecognized (must be of type " + kind.kind +
                                    "): Object 'Kind' is missing in '" + body + "' (" + snippet(body) + ")");
    if (version != kind.api_version())
        throw ApiError::bad_request("the API version in the data (" + version +
                                    ") does not match the expected API version (" + kind.api_version() + ")");
    if (name != kind.kind)
        throw ApiError::invalid(kind.group, name, text_of(object.value("metadata", json()), "name"),
                                {FieldError::invalid("kind", go_quoted(name), "must be " + kind.kind)});
}

} // namespace

std::string media_type(const Request &request) {
    std::string type = request.header("content-type");
    type = type.substr(0, type.find(';'));
    while (type.ends_with(' '))
        type.pop_back();
    return type;
}

json without_type(json object) {
    object.erase("kind");
    object.erase("apiVersion");
    return object;
}

json with_type(const Kind &kind, json object) {
    object["kind"] = kind.kind;
    object["apiVersion"] = kind.api_version();
    return object;
}

std::string not_registered(const std::string &kind, const std::string &version) {
    return "no kind " + go_quoted(kind) + " is registered for version " + go_quoted(version) +
           " in scheme \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\"";
}

std::string json_type(const json &value) {
    return value.is_array() ? "array" : value.is_string() ? "string" : value.is_boolean() ? "bool" : "number";
}

bool has_items(const json &object, const char *name) {
    const json *list = find(object, name);
    return list && list->is_array() && !list->empty();
}

void add_warnings(Response &response, const std::vector<std::string> &warnings) {
    for (const auto &warning : warnings)
        response.headers.emplace_back("Warning", "299 - " + go_quoted(header_safe(warning)));
}

Api::Write Api::begin_write(const Target &target, const Request &request, const char *options_kind) {
    Write write{target, {manager_of(request), "Update", target.kind->api_version(), target.subresource}, false, "", {}};
    std::vector<FieldError> errors;
    if (target.kind->custom && media_type(request) == "application/strategic-merge-patch+json")
        throw ApiError(415, "UnsupportedMediaType",
                       "the body of the request was in an unknown format - accepted media types include: "
                       "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml");
    bool is_patch = std::string(options_kind) == "PatchOptions";
    if (std::string type = media_type(request);
        is_patch && type != "application/merge-patch+json" && type != "application/strategic-merge-patch+json" &&
        type != "application/json-patch+json" && type != "application/apply-patch+yaml")
        throw ApiError::generic(415, "UnsupportedMediaType", "415: Unsupported Media Type");
    bool is_apply = is_patch && media_type(request) == "application/apply-patch+yaml";
    std::string manager = request.parameter("fieldManager");
    if (is_patch && !is_apply && request.has_parameter("force"))
        errors.push_back(FieldError::forbidden("force", "may not be specified for non-apply patch"));
    if (is_apply && manager.empty())
        errors.push_back(FieldError::required("fieldManager", "is required for apply patch"));
    if (manager.size() > manager_limit)
        errors.push_back(FieldError::too_long("fieldManager", manager_limit));
    for (size_t i = 0; i < manager.size(); i++)
        if (static_cast<unsigned char>(manager[i]) < 0x20 || manager[i] == 0x7F) {
            char why[64];
            snprintf(why, sizeof why, "invalid character U+%04X (at position %zu)", manager[i], i);
            errors.push_back(FieldError::invalid("fieldManager", go_quoted(manager), why));
        }
    std::string dry_run = request.parameter("dryRun");
    if (!dry_run.empty() && dry_run != "All")
        errors.push_back(FieldError::not_supported("dryRun", "[]string{" + go_quoted(dry_run) + "}", {"All"}));
    write.field_validation = request.parameter("fieldValidation");
    const std::string &validation = write.field_validation;
    if (!validation.empty() && validation != "Ignore" && validation != "Warn" && validation != "Strict")
        errors.push_back(
            FieldError::not_supported("fieldValidation", go_quoted(validation), {"", "Ignore", "Strict", "Warn"}));
    if (!errors.empty())
        throw ApiError::invalid("meta.k8s.io", options_kind, "", errors);
    write.dry_run = dry_run == "All";
    if (is_apply)
        write.writer.operation = "Apply";
    if (!target.kind->deprecation.empty())
        write.warnings.push_back(target.kind->deprecation);
    return write;
}

// Unknown and duplicate fields: an error with Strict, a warning by default, nothing with Ignore.
void Api::check_unknown_fields(const Kind &kind, const std::vector<std::string> &problems, Write &write,
                               const std::string *patch) {
    if (problems.empty() || write.field_validation == "Ignore")
        return;
    if (write.field_validation != "Strict") {
        for (const auto &problem : problems)
            write.warnings.push_back(problem);
        return;
    }
    std::string all;
    for (const auto &problem : problems)
        all += (all.empty() ? "" : ", ") + problem;
    std::string why = "strict decoding error: " + all;
    if (patch)
        throw ApiError::invalid("", "", "", {FieldError::invalid("patch", *patch, why)});
    throw ApiError::bad_request(kind.kind + " in version " + go_quoted(kind.version) + " cannot be handled as a " +
                                kind.kind + ": " + why);
}

json Api::decode_object(const Target &target, const Request &request, Write &write) {
    const Kind &kind = *target.kind;
    std::string type = media_type(request);
    const std::string unrecognised = "the object provided is unrecognized (must be of type " + kind.kind + "): ";
    ParsedBody parsed;
    if (type == "application/json" || type.empty()) {
        parsed = parse_json_body(request.body);
        if (!parsed.error.empty())
            throw ApiError::bad_request(unrecognised + "couldn't get version/kind; json parse error: " + parsed.error +
                                        " (" + snippet(request.body) + ")");
    } else if (type == "application/yaml") {
        parsed = parse_yaml_body(request.body);
        if (!parsed.error.empty())
            throw ApiError::bad_request(unrecognised + "couldn't get version/kind; " + parsed.error);
    } else if (type == "application/vnd.kubernetes.protobuf") {
        parsed.value = decode_protobuf(request.body, kind.type);
    } else {
        throw ApiError(415, "UnsupportedMediaType",
                       "the body of the request was in an unknown format - accepted media types include: "
                       "application/json, application/yaml, application/vnd.kubernetes.protobuf");
    }
    json &object = parsed.value;
    if (object.is_null())
        object = json::object();
    if (!object.is_object())
        throw ApiError::bad_request(
            unrecognised + "couldn't get version/kind; json parse error: json: cannot unmarshal " + json_type(object) +
            " into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; "
            "Kind string \"json:\\\"kind,omitempty\\\"\" } (" +
            snippet(request.body) + ")");
    for (const char *member : {"apiVersion", "kind"})
        if (const json *value = find(object, member); value && !value->is_string() && !value->is_null())
            throw ApiError::bad_request(
                unrecognised + "couldn't get version/kind; json parse error: json: cannot unmarshal " +
                (value->is_object() ? "object" : json_type(*value)) + " into Go struct field ." + member +
                " of type string (" + snippet(request.body) + ")");
    std::string version = text_of(object, "apiVersion"), name = text_of(object, "kind");
    if (kind.custom)
        check_custom_type(kind, object, request.body);
    bool other_version = !version.empty() && version != kind.api_version();
    if (other_version && (name.empty() || name == kind.kind))
        throw ApiError::bad_request((name.empty() ? kind.kind : name) + " in version " + go_quoted(version) +
                                    " cannot be handled as a " + kind.kind + ": " + not_registered(kind.kind, version));
    if (other_version || (!name.empty() && name != kind.kind))
        throw ApiError::bad_request(name + " in version " + go_quoted(kind.version) + " cannot be handled as a " +
                                    kind.kind + ": converting (" + kind.version + "." + name + ") to (core." +
                                    kind.kind + "): unknown conversion");
    std::vector<std::string> problems;
    for (const auto &duplicate : parsed.duplicates)
        problems.push_back("duplicate field " + go_quoted(duplicate.path));
    try {
        std::vector<std::string> unknown;
        object = kind.decode(object, Decoder::json, &unknown);
        for (const auto &path : unknown)
            problems.push_back("unknown field " + go_quoted(path));
    } catch (const TypeMismatch &error) {
        throw ApiError::bad_request(kind.kind + " in version " + go_quoted(kind.version) + " cannot be handled as a " +
                                    kind.kind + ": " + error.what());
    }
    check_unknown_fields(kind, problems, write, nullptr);
    if (kind.behaviour.set_defaults)
        kind.behaviour.set_defaults(object);
    return object;
}

} // namespace kubesim
