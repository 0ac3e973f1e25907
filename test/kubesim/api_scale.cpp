// The scale subresource: get, replace and patch, spoken in autoscaling/v1 Scale whatever the parent is.
#include "api_bodies.hpp"
#include "pod_spec.hpp"
#include "representation.hpp"

namespace kubesim {

namespace {

const json *at_path(const json &object, const std::vector<std::string> &path) {
    const json *at = &object;
    for (const auto &name : path)
        if (at)
            at = find(*at, name);
    return path.empty() ? nullptr : at;
}

int64_t number_at(const json &object, const std::vector<std::string> &path) {
    const json *value = at_path(object, path);
    return value && value->is_number_integer() ? value->get<int64_t>() : 0;
}

} // namespace

json Api::scale_of(const Stored &stored) const {
    const json &from = stored.body.at("metadata");
    const ScaleFields &fields = *stored.kind->behaviour.scale;
    json metadata = json::object();
    for (const char *name : {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"})
        if (const json *value = find(from, name))
            metadata[name] = *value;
    json scale = {{"metadata", metadata},
                  {"spec", json::object()},
                  {"status", {{"replicas", number_at(stored.body, fields.status_replicas)}}}};
    if (int64_t replicas = number_at(stored.body, fields.spec_replicas))
        scale["spec"]["replicas"] = replicas;
    if (std::string selector = fields.selector(stored.body); !selector.empty())
        scale["status"]["selector"] = selector;
    return scale;
}

Response Api::scale_answer(const Request &request, const Stored &stored, const std::vector<std::string> &warnings) {
    Representation how = Representation::negotiate(request.header("accept"));
    json scale = scale_of(stored);
    scale["kind"] = "Scale";
    scale["apiVersion"] = "autoscaling/v1";
    Response response;
    response.content_type = how.content_type();
    response.body = dump(scale);
    add_warnings(response, warnings);
    return response;
}

namespace {

// A custom resource has no Go zero value for replicas it lacks.
void require_replicas(const Stored &stored) {
    const auto &path = stored.kind->behaviour.scale->spec_replicas;
    if (!stored.kind->custom || at_path(stored.body, path))
        return;
    std::string text;
    for (const auto &name : path)
        text += "." + name;
    const std::string why = "the spec replicas field " + go_quoted(text) + " does not exist";
    throw ApiError(500, "InternalError", "Internal error occurred: " + why,
                   {{"causes", json::array({{{"message", why}}})}});
}

} // namespace

Response Api::get_scale(const Target &target, const Request &request) {
    StoredPtr live = store_.get(*target.kind, target.key());
    if (!live)
        throw ApiError::not_found(target.kind->group, target.kind->plural, target.name);
    require_replicas(*live);
    return scale_answer(request, *live, {});
}

Response Api::write_scale(const Target &target, const Request &request) {
    // What a request to a resource of its own would meet, had Scale one.
    const bool is_patch = request.method == "PATCH";
    const Kind &parent = *target.kind;
    Kind scale_kind;
    scale_kind.group = "autoscaling";
    scale_kind.version = "v1";
    scale_kind.kind = "Scale";
    scale_kind.plural = "scales";
    scale_kind.namespaced = parent.namespaced;
    scale_kind.type = kinds_.scale_type();
    scale_kind.zero = go_form(scale_kind.type, json::object(), Decoder::json);
    Target scale_target{&scale_kind, target.name_space, target.name, "scale", false};
    Write write = begin_write(scale_target, request, is_patch ? "PatchOptions" : "UpdateOptions");

    StoredPtr live = store_.get(parent, target.key());
    if (!live)
        throw ApiError::not_found(parent.group, parent.plural, target.name);
    const ScaleFields &fields = *parent.behaviour.scale;
    json before = scale_of(*live);
    show_in_scale(live->body, fields.spec_replicas, before);
    const bool is_apply = write.writer.operation == "Apply";
    json scale = is_apply   ? applied(write, request, &before)
                 : is_patch ? patched(write, request, before)
                            : decode_object(scale_target, request, write);
    if (!is_apply)
        track_update(management(scale_target), before, scale, write.writer, false, rfc3339_now());

    const std::string revision = text_of(scale["metadata"], "resourceVersion");
    if (!revision.empty() && revision != "0" && revision != std::to_string(live->revision))
        throw ApiError::conflict(
            parent.group, parent.plural, target.name,
            "the object has been modified; please apply your changes to the latest version and try again");
    const int64_t replicas = integer_of(scale["spec"], "replicas", 0);
    if (replicas < 0 && parent.custom)
        throw ApiError::invalid(
            parent.group, parent.kind, target.name,
            {FieldError::invalid(".spec.replicas", std::to_string(replicas), "should be a non-negative integer")});
    if (replicas < 0)
        throw ApiError::invalid(
            "autoscaling", "Scale", target.name,
            {FieldError::invalid("spec.replicas", std::to_string(replicas), "must be greater than or equal to 0")});
    json object = live->body;
    json *at = &object;
    for (const auto &name : fields.spec_replicas)
        at = &(*at)[name];
    *at = replicas;
    give_back(object, fields.spec_replicas, parent.api_version(), scale);
    Write parent_write{target, write.writer, write.dry_run, "", {}};
    json gone;
    StoredPtr stored = update(parent_write, live, std::move(object), &gone);
    return scale_answer(request, stored ? *stored : *live, write.warnings);
}

} // namespace kubesim
