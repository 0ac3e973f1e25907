// Deletion: preconditions, finalizers, terminating objects, collections.
#include "api_bodies.hpp"
#include "pod_spec.hpp"
#include "representation.hpp"
#include "selectors.hpp"

#include <algorithm>
#include <ctime>

namespace kubesim {

namespace {

bool protected_namespace(const std::string &name) {
    return name == "default" || name == "kube-system" || name == "kube-public";
}

} // namespace

Api::DeleteOptions Api::delete_options(const Request &request) {
    DeleteOptions out;
    out.propagation = request.parameter("propagationPolicy");
    out.dry_run = request.parameter("dryRun") == "All";
    if (uint64_t seconds; parse_revision(request.parameter("gracePeriodSeconds"), seconds))
        out.grace_seconds = static_cast<int64_t>(seconds);
    json body;
    if (!request.body.empty()) {
        ParsedBody parsed = parse_json_body(request.body);
        if (!parsed.error.empty() || !parsed.value.is_object())
            throw ApiError::internal("couldn't get version/kind; json parse error: " + parsed.error);
        if (std::string kind = text_of(parsed.value, "kind"); !kind.empty() && kind != "DeleteOptions")
            throw ApiError::internal(
                "no kind " + go_quoted(kind) + " is registered for version " +
                go_quoted(text_of(parsed.value, "apiVersion")) +
                " in scheme \"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27\"");
        body = std::move(parsed.value);
    }
    return delete_options(body, std::move(out));
}

// `given`: what the query says already; `body` may be null.
Api::DeleteOptions Api::delete_options(const json &body, DeleteOptions given) {
    DeleteOptions out = std::move(given);
    if (const json *preconditions = find(body, "preconditions"))
        out.preconditions = *preconditions;
    if (std::string policy = text_of(body, "propagationPolicy"); !policy.empty())
        out.propagation = policy;
    if (const json *seconds = find(body, "gracePeriodSeconds"); seconds && seconds->is_number_integer())
        out.grace_seconds = std::max<int64_t>(0, seconds->get<int64_t>());
    if (const json *orphan = find(body, "orphanDependents"); orphan && orphan->is_boolean()) {
        if (!out.propagation.empty())
            throw ApiError::invalid(
                "meta.k8s.io", "DeleteOptions", "",
                {FieldError::invalid("propagationPolicy", go_quoted(out.propagation),
                                     "orphanDependents and deletionPropagation cannot be both set")});
        out.propagation = *orphan == true ? "Orphan" : "Background";
    }
    if (const json *dry_run = find(body, "dryRun"); dry_run && dry_run->is_array() && !dry_run->empty())
        out.dry_run = true;
    const std::string &policy = out.propagation;
    if (!policy.empty() && policy != "Orphan" && policy != "Background" && policy != "Foreground")
        throw ApiError::invalid("meta.k8s.io", "DeleteOptions", "",
                                {FieldError::not_supported("propagationPolicy", go_quoted(policy),
                                                           {"Foreground", "Background", "Orphan", "nil"})});
    return out;
}

void Api::check_preconditions(const Kind &kind, const Stored &live, const DeleteOptions &options) {
    const json &metadata = live.body.at("metadata");
    std::string name = text_of(metadata, "name");
    // Here the server puts the kind where other conflicts have the plural.
    auto refuse = [&](const std::string &what, const std::string &wanted, const std::string &have,
                      const std::string &hint) {
        throw ApiError::conflict(kind.group, kind.kind, name,
                                 "the " + what + " in the precondition (" + wanted + ") does not match the " + what +
                                     " in record (" + have + "). The object might have been " + hint);
    };
    std::string uid = text_of(options.preconditions, "uid");
    if (!uid.empty() && uid != text_of(metadata, "uid"))
        refuse("UID", uid, text_of(metadata, "uid"), "deleted and then recreated");
    std::string revision = text_of(options.preconditions, "resourceVersion");
    if (!revision.empty() && revision != std::to_string(live.revision))
        refuse("ResourceVersion", revision, std::to_string(live.revision), "modified");
}

StoredPtr Api::begin_delete(const Kind &kind, const StoredPtr &live, const DeleteOptions &options) {
    check_preconditions(kind, *live, options);
    json object = live->body;
    json &after = object["metadata"];
    if (options.propagation == "Orphan" || options.propagation == "Foreground") {
        json &finalizers = after["finalizers"];
        if (!finalizers.is_array())
            finalizers = json::array();
        std::string wanted = options.propagation == "Orphan" ? "orphan" : "foregroundDeletion";
        if (std::find(finalizers.begin(), finalizers.end(), json(wanted)) == finalizers.end())
            finalizers.push_back(wanted);
    }
    bool spec_finalizers = kind.behaviour.has_spec_finalizers && has_items(object["spec"], "finalizers");
    const bool first = !find(after, "deletionTimestamp");
    if (first && kind.behaviour.prepare_delete)
        kind.behaviour.prepare_delete(object);
    // What takes its time to end is asked once more only to hurry.
    int64_t grace = kind.behaviour.grace_seconds ? kind.behaviour.grace_seconds(object) : 0;
    if (grace > 0 && options.grace_seconds >= 0)
        grace = options.grace_seconds;
    if (find(after, "deletionTimestamp"))
        grace = std::min(grace, integer_of(after, "deletionGracePeriodSeconds", 0));
    if (grace == 0 && !has_items(after, "finalizers") && !spec_finalizers) {
        if (!options.dry_run)
            store_.remove(kind, live->key);
        return nullptr;
    }
    if (first || grace < integer_of(after, "deletionGracePeriodSeconds", 0)) {
        after["deletionTimestamp"] = rfc3339_time(time(nullptr) + grace);
        if (kind.behaviour.has_spec_finalizers)
            object["status"]["phase"] = "Terminating";
        else if (!kind.behaviour.prepare_delete)
            after["deletionGracePeriodSeconds"] = grace;
        if (const json *generation = find(after, "generation"); generation && first && !kind.behaviour.prepare_delete)
            after["generation"] = generation->get<int64_t>() + 1;
    }
    if (object == live->body)
        return live;
    if (options.dry_run)
        return unstored(kind, live->key, std::move(object), live->revision);
    return store_.put(kind, live->key, std::move(object));
}

// What becomes of the dependents when nobody said so; a warning where that may surprise.
void Api::choose_propagation(const Kind &kind, DeleteOptions &options, Response &response) {
    if (!options.propagation.empty() || !kind.behaviour.orphans_dependents)
        return;
    options.propagation = "Orphan";
    add_warnings(response, {"child pods are preserved by default when jobs are deleted; set "
                            "propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress "
                            "this warning"});
}

Response Api::remove(const Target &target, const Request &request) {
    Representation how = Representation::negotiate(request.header("accept"));
    const Kind &kind = *target.kind;
    DeleteOptions options = delete_options(request);
    if (kind.kind == "Namespace" && protected_namespace(target.name))
        throw ApiError::forbidden("", kind.plural, target.name, "this namespace may not be deleted");
    StoredPtr live = store_.get(kind, target.key());
    if (!live)
        throw ApiError::not_found(kind.group, kind.plural, target.name);
    Response response;
    choose_propagation(kind, options, response);
    StoredPtr left = begin_delete(kind, live, options);
    response.content_type = how.content_type();
    if (!left && kind.behaviour.returns_deleted) {
        json last = live->body;
        if (kind.behaviour.grace_seconds) {
            last["metadata"]["deletionTimestamp"] = rfc3339_now();
            last["metadata"]["deletionGracePeriodSeconds"] = 0;
        }
        left = unstored(kind, live->key, std::move(last), store_.revision());
    }
    if (left) {
        response.body = how.object(*left);
        return response;
    }
    json details = {{"name", target.name}, {"kind", kind.plural}, {"uid", live->body.at("metadata").at("uid")}};
    if (!kind.group.empty())
        details["group"] = kind.group;
    response.body = dump({{"kind", "Status"},
                          {"apiVersion", "v1"},
                          {"metadata", json::object()},
                          {"status", "Success"},
                          {"details", details}});
    return response;
}

Response Api::remove_collection(const Target &target, const Request &request) {
    Representation how = Representation::negotiate(request.header("accept"));
    DeleteOptions options = delete_options(request);
    Response response;
    choose_propagation(*target.kind, options, response);
    json list_metadata;
    std::vector<StoredPtr> items =
        select(target, request, store_.objects(*target.kind), store_.revision(), 0, "", list_metadata);
    std::vector<StoredPtr> answer;
    for (const auto &item : items) {
        StoredPtr left = begin_delete(*target.kind, seen_as(*target.kind, item), options);
        answer.push_back(left ? left : item);
    }
    list_metadata["resourceVersion"] = std::to_string(store_.revision());
    response.content_type = how.content_type();
    response.body = how.list(*target.kind, answer, list_metadata);
    return response;
}

void Api::remove_by_controller(const Kind &kind, const std::string &key, int64_t grace_seconds,
                               const char *propagation) {
    DeleteOptions options;
    options.propagation = propagation;
    options.grace_seconds = grace_seconds;
    if (StoredPtr live = store_.get(kind, key))
        begin_delete(kind, live, options);
}

} // namespace kubesim
