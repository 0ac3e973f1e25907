// Writes of the resource API: create, replace and the four kinds of patch.
#include "api.hpp"
#include "body_parser.hpp"
#include "patch.hpp"
#include "protobuf.hpp"
#include "representation.hpp"
#include "validation.hpp"

#include <algorithm>
#include <ctime>

namespace kubesim {

namespace {

constexpr size_t manager_limit = 128; // bytes of a field manager's name

std::string media_type(const Request &request) {
    std::string type = request.header("content-type");
    type = type.substr(0, type.find(';'));
    while (type.ends_with(' '))
        type.pop_back();
    return type;
}

// Without fieldManager the client's name is taken: User-Agent up to the first slash.
std::string manager_of(const Request &request) {
    std::string manager = request.parameter("fieldManager");
    if (!manager.empty())
        return manager;
    std::string agent = request.header("user-agent");
    return agent.substr(0, agent.find('/')).substr(0, manager_limit);
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

std::string header_safe(std::string text) {
    for (char &c : text)
        if (static_cast<unsigned char>(c) < 0x20)
            c = ' ';
    return text;
}

ApiError bad_revision(const std::string &revision) {
    return ApiError::internal("strconv.ParseUint: parsing " + go_quoted(revision) + ": invalid syntax");
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

} // namespace

std::string rfc3339_now() {
    time_t now = time(nullptr);
    tm parts{};
    gmtime_r(&now, &parts);
    char text[32];
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text;
}

std::string Api::new_uid() {
    uint64_t high = random_(), low = random_();
    high = (high & ~0xF000ULL) | 0x4000;
    low = (low & ~(3ULL << 62)) | (2ULL << 62);
    char text[40];
    snprintf(text, sizeof text, "%08x-%04x-%04x-%04x-%012llx", static_cast<unsigned>(high >> 32),
             static_cast<unsigned>(high >> 16 & 0xFFFF), static_cast<unsigned>(high & 0xFFFF),
             static_cast<unsigned>(low >> 48), static_cast<unsigned long long>(low & 0xFFFFFFFFFFFFULL));
    return text;
}

std::string Api::random_suffix() {
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789"; // no vowels: no words
    std::string out;
    for (int i = 0; i < 5; i++)
        out += letters[random_() % (sizeof letters - 1)];
    return out;
}

FieldManagement Api::management(const Target &target) const {
    return {target.kind->type, &target.kind->zero, target.kind->api_version(),
            target.kind->untracked(target.subresource)};
}

Api::Write Api::begin_write(const Target &target, const Request &request, const char *options_kind) {
    Write write{target, {manager_of(request), "Update", target.kind->api_version(), target.subresource}, false, "", {}};
    std::vector<FieldError> errors;
    bool is_patch = std::string(options_kind) == "PatchOptions";
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
        parsed.value = decode_protobuf(request.body);
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
        object = without_type(go_form(kind.type, object, Decoder::json, &unknown));
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

// The NamespaceLifecycle admission plugin.
void Api::require_namespace(const Target &target, const std::string &name) {
    if (!target.kind->namespaced)
        return;
    const Kind *namespaces = kinds_.by_kind("", "Namespace");
    StoredPtr stored = store_.get(*namespaces, target.name_space);
    if (!stored)
        throw ApiError::not_found("", "namespaces", target.name_space);
    if (text_of(stored->body.at("status"), "phase") != "Terminating")
        return;
    ApiError error = ApiError::forbidden(target.kind->group, target.kind->plural, name,
                                         "unable to create new content in namespace " + target.name_space +
                                             " because it is being terminated");
    error.details["causes"] = json::array({{{"reason", "NamespaceTerminating"},
                                            {"message", "namespace " + target.name_space + " is being terminated"},
                                            {"field", "metadata.namespace"}}});
    throw error;
}

// Name and namespace of the body must be those of the path.
void Api::check_address(const Target &target, json &object) {
    json &metadata = object["metadata"];
    std::string name_space = text_of(metadata, "namespace"), name = text_of(metadata, "name");
    if (target.kind->namespaced) {
        if (name_space.empty())
            metadata["namespace"] = target.name_space;
        else if (name_space != target.name_space)
            throw ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request");
    } else {
        metadata.erase("namespace");
    }
    if (target.name.empty())
        return;
    if (name.empty())
        throw ApiError::bad_request("the name of the object (" + target.name +
                                    " based on URL) was undeterminable: name must be provided");
    if (name != target.name)
        throw ApiError::bad_request("the name of the object (" + name + ") does not match the name on the URL (" +
                                    target.name + ")");
}

StoredPtr Api::unstored(const Kind &kind, const std::string &key, json body, uint64_t revision) {
    auto out = std::make_shared<Stored>();
    out->kind = &kind;
    out->key = key;
    out->body = std::move(body);
    out->revision = revision;
    return out;
}

// Creates. For an apply `object` has its managedFields already.
StoredPtr Api::insert(Write &write, json object, bool is_apply) {
    const Target &target = write.target;
    const Kind &kind = *target.kind;
    check_address(target, object);
    json &metadata = object["metadata"];
    std::string revision = text_of(metadata, "resourceVersion");
    if (!is_apply) {
        // What a client says about these is ignored; ownership is recorded before the server adds its own fields.
        for (const char *name : {"uid", "deletionTimestamp", "deletionGracePeriodSeconds"})
            metadata.erase(name);
        json zero = kind.zero;
        track_update(management(target), zero, object, write.writer, true, rfc3339_now());
    }
    std::string prefix = text_of(metadata, "generateName");
    if (text_of(metadata, "name").empty() && !prefix.empty())
        metadata["name"] = prefix.substr(0, 58) + random_suffix();
    std::string name = text_of(metadata, "name");
    require_namespace(target, name);

    uint64_t ignored;
    if (is_apply && !revision.empty() && !parse_revision(revision, ignored))
        throw bad_revision(revision);
    for (const char *name : {"resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"})
        metadata.erase(name);
    metadata["uid"] = new_uid();
    metadata["creationTimestamp"] = rfc3339_now();
    if (kind.behaviour.prepare_create)
        kind.behaviour.prepare_create(object);
    std::vector<FieldError> errors;
    validate_metadata(kind, metadata, errors);
    if (kind.behaviour.validate)
        kind.behaviour.validate(object, nullptr, errors);
    if (!errors.empty())
        throw ApiError::invalid(kind.group, kind.kind, name, errors);
    if (!is_apply && parse_revision(revision, ignored) && ignored != 0)
        throw ApiError::internal("resourceVersion should not be set on objects to be created");

    std::string key = Store::key_of(kind, target.name_space, name);
    if (StoredPtr live = store_.get(kind, key))
        throw ApiError::already_exists(kind.group, kind.plural, name,
                                       find(live->body.at("metadata"), "deletionTimestamp") != nullptr);
    if (write.dry_run)
        return unstored(kind, key, std::move(object), 0);
    return store_.put(kind, key, std::move(object));
}

StoredPtr Api::update(Write &write, const StoredPtr &live, json object, json *gone) {
    const Target &target = write.target;
    const Kind &kind = *target.kind;
    check_address(target, object);
    const json &old_metadata = live->body.at("metadata");
    json &metadata = object["metadata"];

    std::string revision = text_of(metadata, "resourceVersion");
    uint64_t parsed;
    if (!revision.empty() && !parse_revision(revision, parsed))
        throw bad_revision(revision);
    if (!revision.empty() && revision != "0" && revision != std::to_string(live->revision))
        throw ApiError::conflict(
            kind.group, kind.plural, target.name,
            "the object has been modified; please apply your changes to the latest version and try again");
    metadata["resourceVersion"] = std::to_string(live->revision);
    // The server's own fields stay.
    if (text_of(metadata, "uid").empty())
        metadata["uid"] = old_metadata.at("uid");
    metadata["creationTimestamp"] = old_metadata.at("creationTimestamp");
    for (const char *name : {"generation", "deletionTimestamp", "deletionGracePeriodSeconds"}) {
        const json *old = find(old_metadata, name);
        if (old)
            metadata[name] = *old;
        else if (std::string(name) == "generation")
            metadata.erase(name); // setting one of the others is an error of its own
    }
    metadata.erase("selfLink");
    if (kind.behaviour.prepare_update)
        kind.behaviour.prepare_update(object, live->body, target.subresource);

    std::vector<FieldError> errors;
    validate_metadata_update(metadata, old_metadata, errors);
    validate_metadata_update(metadata, old_metadata, errors);
    if (kind.behaviour.validate)
        kind.behaviour.validate(object, &live->body, errors);
    if (!errors.empty())
        throw ApiError::invalid(kind.group, kind.kind, target.name, errors);

    // Nothing changed but the times of managedFields: nothing is written, the revision stays.
    if (same_but_times(object, live->body))
        return live;
    bool finalized = !has_items(metadata, "finalizers") &&
                     !(kind.behaviour.has_spec_finalizers && has_items(object["spec"], "finalizers"));
    if (find(metadata, "deletionTimestamp") && finalized) {
        *gone = std::move(object);
        if (!write.dry_run)
            store_.remove(kind, live->key);
        return nullptr;
    }
    if (write.dry_run)
        return unstored(kind, live->key, std::move(object), live->revision);
    return store_.put(kind, live->key, std::move(object));
}

Response Api::answer(const Request &request, const Write &write, const StoredPtr &stored, int status) {
    Representation how = Representation::negotiate(request.header("accept"));
    Response response;
    response.status = status;
    response.content_type = how.content_type();
    response.body = how.object(*stored);
    for (const auto &warning : write.warnings)
        response.headers.emplace_back("Warning", "299 - " + go_quoted(header_safe(warning)));
    return response;
}

Response Api::create(const Target &target, const Request &request) {
    Representation::negotiate(request.header("accept"));
    Write write = begin_write(target, request, "CreateOptions");
    json object = decode_object(target, request, write);
    return answer(request, write, insert(write, std::move(object), false), 201);
}

Response Api::replace(const Target &target, const Request &request) {
    Representation::negotiate(request.header("accept"));
    Write write = begin_write(target, request, "UpdateOptions");
    json object = decode_object(target, request, write);
    const Kind &kind = *target.kind;
    check_address(target, object);
    StoredPtr live = store_.get(kind, target.key());
    if (!live)
        throw ApiError::not_found(kind.group, kind.plural, target.name);
    std::string uid = text_of(object["metadata"], "uid");
    std::string live_uid = text_of(live->body.at("metadata"), "uid");
    if (!uid.empty() && uid != live_uid)
        throw ApiError::conflict(
            kind.group, kind.plural, target.name,
            "StorageError: invalid object, Code: 4, Key: /registry/" + kind.plural + "/" + live->key +
                ", ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: " + uid +
                ", UID in object meta: " + live_uid);
    track_update(management(target), live->body, object, write.writer, false, rfc3339_now());
    json gone;
    StoredPtr stored = update(write, live, std::move(object), &gone);
    return answer(request, write, stored ? stored : unstored(kind, live->key, gone, live->revision), 200);
}

Response Api::patch(const Target &target, const Request &request) {
    Representation::negotiate(request.header("accept"));
    const Kind &kind = *target.kind;
    std::string type = media_type(request);
    bool merge = type == "application/merge-patch+json";
    bool strategic = type == "application/strategic-merge-patch+json";
    bool apply_patch = type == "application/apply-patch+yaml";
    if (!merge && !strategic && !apply_patch && type != "application/json-patch+json")
        throw ApiError::generic(415, "UnsupportedMediaType", "415: Unsupported Media Type");
    Write write = begin_write(target, request, "PatchOptions");
    if (apply_patch)
        return apply(write, request);

    StoredPtr live = store_.get(kind, target.key());
    if (!live)
        throw ApiError::not_found(kind.group, kind.plural, target.name);
    ParsedBody parsed = parse_json_body(request.body);
    if (!parsed.error.empty())
        throw ApiError::bad_request("error decoding patch: " + parsed.error);
    if ((merge || strategic) && parsed.value.is_null())
        throw ApiError::bad_request("Invalid JSON Patch");
    if ((merge || strategic) && !parsed.value.is_object())
        throw ApiError::bad_request("error decoding patch: json: cannot unmarshal " + json_type(parsed.value) +
                                    " into Go value of type map[string]interface {}");
    json current = with_type(kind, live->body);
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
        object = without_type(go_form(kind.type, patched, strategic ? Decoder::unstructured : Decoder::json, &unknown));
        for (const auto &path : unknown)
            problems.push_back("unknown field " + go_quoted(path));
    } catch (const TypeMismatch &error) {
        throw ApiError::invalid("", "", "", {FieldError::invalid("patch", shown, error.what())});
    }
    check_unknown_fields(kind, problems, write, &shown);
    if (kind.behaviour.set_defaults)
        kind.behaviour.set_defaults(object);
    track_update(management(target), live->body, object, write.writer, false, rfc3339_now());
    json gone;
    StoredPtr stored = update(write, live, std::move(object), &gone);
    return answer(request, write, stored ? stored : unstored(kind, live->key, gone, live->revision), 200);
}

Response Api::apply(Write &write, const Request &request) {
    const Target &target = write.target;
    const Kind &kind = *target.kind;
    ParsedBody parsed = parse_yaml_body(request.body);
    if (parsed.error.empty() && !parsed.value.is_object() && !parsed.value.is_null())
        parsed.error = "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal " +
                       json_type(parsed.value) + " into Go value of type map[string]interface {}";
    if (!parsed.error.empty())
        throw ApiError::bad_request("error decoding YAML: " + parsed.error);
    json configuration = parsed.value.is_null() ? json::object() : std::move(parsed.value);

    StoredPtr live = store_.get(kind, target.key());
    if (!live && !target.subresource.empty())
        throw ApiError::not_found(kind.group, kind.plural, target.name);
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
    const json &before = live ? live->body : kind.zero;
    json object = apply_configuration(management(target), before, without_type(configuration), write.writer,
                                      request.flag("force"), !live, described, described_live, rfc3339_now());
    try {
        object = without_type(go_form(kind.type, object, Decoder::unstructured));
    } catch (const TypeMismatch &error) {
        throw ApiError::internal("failed to convert new object (" + described +
                                 ") to proper version: unable to convert "
                                 "unstructured object to " +
                                 kind.printed() + ": " + error.what());
    }
    if (!parsed.duplicates.empty() && write.field_validation != "Ignore") {
        std::string all = "error converting YAML to JSON: yaml: unmarshal errors:";
        for (const auto &duplicate : parsed.duplicates) {
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

    if (!live) {
        std::string uid = text_of(object["metadata"], "uid");
        if (!uid.empty())
            throw ApiError::conflict(kind.group, kind.plural, target.name,
                                     "uid mismatch: the provided object specified uid " + uid +
                                         ", and no existing object was found");
        return answer(request, write, insert(write, std::move(object), true), 201);
    }
    json gone;
    StoredPtr stored = update(write, live, std::move(object), &gone);
    return answer(request, write, stored ? stored : unstored(kind, live->key, gone, live->revision), 200);
}

void Api::control(const Kind &kind, const std::string &key, const std::string &manager, const std::string &subresource,
                  const std::function<void(json &object)> &change) {
    StoredPtr live = store_.get(kind, key);
    if (!live)
        return;
    const json &metadata = live->body.at("metadata");
    Target target{&kind, text_of(metadata, "namespace"), text_of(metadata, "name"), subresource, false};
    Write write{target, {manager, "Update", kind.api_version(), subresource}, false, "", {}};
    json object = live->body;
    change(object);
    object = without_type(go_form(kind.type, object, Decoder::json));
    track_update(management(target), live->body, object, write.writer, false, rfc3339_now());
    json gone;
    update(write, live, std::move(object), &gone);
}

void Api::create_by_controller(const Kind &kind, json object, const std::string &manager) {
    Target target{&kind, text_of(object["metadata"], "namespace"), "", "", false};
    Write write{target, {manager, "Update", kind.api_version(), ""}, false, "", {}};
    object = without_type(go_form(kind.type, object, Decoder::json));
    if (kind.behaviour.set_defaults)
        kind.behaviour.set_defaults(object);
    insert(write, std::move(object), false);
}

} // namespace kubesim
