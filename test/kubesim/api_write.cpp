// Writes of the resource API: create, replace, and what every write ends in.
#include "api.hpp"
#include "api_bodies.hpp"
#include "representation.hpp"
#include "validation.hpp"

#include <algorithm>
#include <ctime>

namespace kubesim {

namespace {

ApiError bad_revision(const std::string &revision) {
    return ApiError::internal("strconv.ParseUint: parsing " + go_quoted(revision) + ": invalid syntax");
}

// The group that is named when an object is refused: the one in whose form it was looked at.
const std::string &checked_as(const Kind &kind) {
    return kind.behaviour.kept_as ? kind.behaviour.kept_as->group : kind.group;
}

} // namespace

std::string rfc3339_now() {
    return rfc3339_time(time(nullptr));
}

std::string rfc3339_time(time_t time) {
    tm parts{};
    gmtime_r(&time, &parts);
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
    for (const char *field : {"resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"})
        metadata.erase(field);
    metadata["uid"] = new_uid();
    metadata["creationTimestamp"] = rfc3339_now();
    if (kind.behaviour.prepare_create)
        kind.behaviour.prepare_create(object);
    std::vector<FieldError> errors;
    validate_metadata(kind, metadata, errors);
    if (kind.behaviour.validate)
        kind.behaviour.validate(object, nullptr, errors);
    if (!errors.empty())
        throw ApiError::invalid(checked_as(kind), kind.kind, name, errors);
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
        throw ApiError::invalid(checked_as(kind), kind.kind, target.name, errors);

    // Nothing changed but the times of managedFields: nothing is written, the revision stays.
    if (same_but_times(object, live->body))
        return live;
    bool finalized = !has_items(metadata, "finalizers") &&
                     !(kind.behaviour.has_spec_finalizers && has_items(object["spec"], "finalizers"));
    const json *grace = find(metadata, "deletionGracePeriodSeconds");
    if (find(metadata, "deletionTimestamp") && finalized && (!grace || *grace == 0)) {
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
    response.body = how.object(*seen_as(*write.target.kind, stored));
    add_warnings(response, write.warnings);
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
    if (!live && kind.behaviour.created_by_update && target.subresource.empty())
        return answer(request, write, insert(write, std::move(object), false), 201);
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
    const std::string revision = text_of(object["metadata"], "resourceVersion");
    if (kind.behaviour.needs_revision && (revision.empty() || revision == "0"))
        throw ApiError::invalid(
            kind.group, kind.plural, target.name,
            {FieldError::invalid("metadata.resourceVersion", "0x0", "must be specified for an update")});
    track_update(management(target), live->body, object, write.writer, false, rfc3339_now());
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
    object = kind.decode(object, Decoder::json);
    track_update(management(target), live->body, object, write.writer, false, rfc3339_now());
    json gone;
    update(write, live, std::move(object), &gone);
}

void Api::create_by_controller(const Kind &kind, json object, const std::string &manager) {
    Target target{&kind, text_of(object["metadata"], "namespace"), "", "", false};
    Write write{target, {manager, "Update", kind.api_version(), ""}, false, "", {}};
    object = kind.decode(object, Decoder::json);
    if (kind.behaviour.set_defaults)
        kind.behaviour.set_defaults(object);
    insert(write, std::move(object), false);
}

} // namespace kubesim
