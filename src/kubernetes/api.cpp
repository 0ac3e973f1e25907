// Builders of requests; see the header. Runs in the mirror worker and in backends.
#include "kubernetes/api.hpp"

#include "kubernetes/json_access.hpp"

#include <algorithm>

namespace dbnet::kubernetes {
namespace {

using nlohmann::json;

constexpr std::string_view json_type = "application/json";

class Query {
public:
    Query &add(std::string_view name, std::string_view value) {
        if (!text_.empty())
            text_ += '&';
        text_ += name;
        text_ += '=';
        text_ += percent_encode(value);
        return *this;
    }
    Query &add_if_given(std::string_view name, std::string_view value) {
        return value.empty() ? *this : add(name, value);
    }
    std::string take() { return std::move(text_); }

private:
    std::string text_;
};

Request request_for(std::string_view method, std::string path) {
    Request request;
    request.method = method;
    request.path = std::move(path);
    request.idempotent = method == "GET";
    return request;
}

} // namespace

std::pair<std::string, std::string> split_api_version(std::string_view api_version) {
    const size_t slash = api_version.find('/');
    const std::string_view group = slash == std::string_view::npos ? std::string_view() : api_version.substr(0, slash);
    const std::string_view version = slash == std::string_view::npos ? api_version : api_version.substr(slash + 1);
    if (version.empty() || version.find('/') != std::string_view::npos ||
        (slash != std::string_view::npos && group.empty()))
        throw Failure("\"" + std::string(api_version) + "\" is not an apiVersion",
                      "It looks like \"v1\" or \"apps/v1\".");
    return {std::string(group), std::string(version)};
}

std::string_view name_problem(std::string_view name) noexcept {
    if (name.empty())
        return "name may not be empty";
    if (name == ".")
        return "may not be '.'";
    if (name == "..")
        return "may not be '..'";
    if (name.find('/') != std::string_view::npos)
        return "may not contain '/'";
    if (name.find('%') != std::string_view::npos)
        return "may not contain '%'";
    return {};
}

std::string percent_encode(std::string_view text, std::string_view kept) {
    constexpr char digits[] = "0123456789ABCDEF";
    std::string encoded;
    encoded.reserve(text.size());
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
            c == '_' || c == '~' || kept.find(c) != std::string_view::npos) {
            encoded += c;
        } else {
            encoded += '%';
            encoded += digits[byte >> 4];
            encoded += digits[byte & 15];
        }
    }
    return encoded;
}

std::string resource_path(const Resource &resource, std::string_view name_space, std::string_view name,
                          std::string_view subresource) {
    std::string path = resource.group.empty() ? "/api" : "/apis/" + percent_encode(resource.group);
    path += '/' + percent_encode(resource.version);
    if (resource.namespaced && !name_space.empty())
        path += "/namespaces/" + percent_encode(name_space);
    path += '/' + percent_encode(resource.plural);
    if (!name.empty())
        path += '/' + percent_encode(name);
    if (!subresource.empty())
        path += '/' + percent_encode(subresource);
    return path;
}

Request get_request(const Resource &resource, std::string_view name_space, std::string_view name) {
    return request_for("GET", resource_path(resource, name_space, name));
}

Request list_request(const Resource &resource, std::string_view name_space, const ListOptions &options) {
    Request request = request_for("GET", resource_path(resource, name_space));
    Query query;
    if (options.limit > 0)
        query.add("limit", std::to_string(options.limit));
    query.add_if_given("continue", options.continue_token);
    if (options.continue_token.empty())
        query.add_if_given("resourceVersion", options.resource_version);
    query.add_if_given("labelSelector", options.label_selector);
    query.add_if_given("fieldSelector", options.field_selector);
    request.query = query.take();
    if (options.metadata_only)
        request.accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json";
    request.timeout = std::chrono::seconds(60);
    request.compressed = true;
    return request;
}

Request watch_request(const Resource &resource, std::string_view name_space, std::string_view resource_version,
                      std::string_view label_selector, double random) {
    Request request = request_for("GET", resource_path(resource, name_space));
    request.timeout = std::chrono::seconds(300 + static_cast<int>(std::clamp(random, 0.0, 1.0) * 300));
    request.query = Query()
                        .add("watch", "true")
                        .add("allowWatchBookmarks", "true")
                        .add("timeoutSeconds", std::to_string(request.timeout.count()))
                        .add_if_given("resourceVersion", resource_version)
                        .add_if_given("labelSelector", label_selector)
                        .take();
    return request;
}

Request probe_version_request(const Resource &resource, std::string_view name_space) {
    // No object can be called "-", and the store looks for one name only; of all namespaces it would go through every
    // object. Whether the namespace is there does not matter.
    const bool is_everywhere = resource.namespaced && name_space.empty();
    Request request = request_for("GET", resource_path(resource, is_everywhere ? "default" : name_space));
    request.query = Query().add("fieldSelector", "metadata.name=-").take();
    return request;
}

json apply_body(const Resource &resource, std::string_view name_space, std::string_view name, std::string_view uid,
                const std::vector<std::pair<FieldPath, json>> &fields,
                const std::vector<std::pair<std::string, std::string>> &annotations,
                std::string_view resource_version) {
    json body = {{"apiVersion", resource.api_version()}, {"kind", resource.kind}};
    // A field inside another one's value must come after it.
    std::vector<const std::pair<FieldPath, json> *> ordered;
    ordered.reserve(fields.size());
    for (const auto &field : fields)
        ordered.push_back(&field);
    std::stable_sort(ordered.begin(), ordered.end(), [](const auto *left, const auto *right) {
        return left->first.segments().size() < right->first.segments().size();
    });
    for (const auto *field : ordered)
        set(body, field->first, field->second);
    json &metadata = body["metadata"];
    metadata["name"] = name;
    if (resource.namespaced && !name_space.empty())
        metadata["namespace"] = name_space;
    if (!uid.empty())
        metadata["uid"] = uid;
    if (!resource_version.empty())
        metadata["resourceVersion"] = resource_version;
    for (const auto &[key, value] : annotations)
        metadata["annotations"][key] = value;
    return body;
}

Request apply_request(const Resource &resource, std::string_view name_space, std::string_view name,
                      std::string_view field_manager, bool force, const json &body, bool dry_run,
                      std::string_view subresource) {
    Request request = request_for("PATCH", resource_path(resource, name_space, name, subresource));
    request.query = Query()
                        .add("fieldManager", field_manager)
                        .add("force", force ? "true" : "false")
                        .add("fieldValidation", "Strict")
                        .add_if_given("dryRun", dry_run ? "All" : "")
                        .take();
    request.content_type = "application/apply-patch+yaml";
    request.body = yaml_safe_dump(body);
    request.idempotent = true;
    return request;
}

Request create_request(const Resource &resource, std::string_view name_space, std::string_view field_manager,
                       const json &body, bool dry_run) {
    Request request = request_for("POST", resource_path(resource, name_space));
    request.query = Query()
                        .add("fieldManager", field_manager)
                        .add("fieldValidation", "Strict")
                        .add_if_given("dryRun", dry_run ? "All" : "")
                        .take();
    request.content_type = json_type;
    request.body = body.dump();
    request.idempotent = true;
    return request;
}

Request remove_request(const Resource &resource, std::string_view name_space, std::string_view name,
                       std::string_view uid, std::string_view resource_version) {
    Request request = request_for("DELETE", resource_path(resource, name_space, name));
    json options = {{"apiVersion", "v1"}, {"kind", "DeleteOptions"}, {"propagationPolicy", "Background"}};
    if (!uid.empty())
        options["preconditions"]["uid"] = uid;
    if (!resource_version.empty())
        options["preconditions"]["resourceVersion"] = resource_version;
    request.content_type = json_type;
    request.body = options.dump();
    request.idempotent = !uid.empty(); // without it a second attempt could hit a new object of that name
    return request;
}

Request merge_patch_request(const Resource &resource, std::string_view name_space, std::string_view name,
                            std::string_view field_manager, const json &patch, std::string_view subresource) {
    Request request = request_for("PATCH", resource_path(resource, name_space, name, subresource));
    request.query = Query().add("fieldManager", field_manager).add("fieldValidation", "Strict").take();
    request.content_type = "application/merge-patch+json";
    request.body = patch.dump();
    request.idempotent = true;
    return request;
}

Request scale_request(const Resource &resource, std::string_view name_space, std::string_view name,
                      std::string_view uid, std::string_view field_manager, int64_t replicas,
                      std::string_view resource_version) {
    json patch = {{"spec", {{"replicas", replicas}}}};
    if (!uid.empty())
        patch["metadata"]["uid"] = uid;
    if (!resource_version.empty())
        patch["metadata"]["resourceVersion"] = resource_version;
    return merge_patch_request(resource, name_space, name, field_manager, patch, "scale");
}

Request path_request(std::string_view path, std::string_view accept) {
    Request request = request_for("GET", std::string(path.substr(0, path.find('?'))));
    if (const size_t mark = path.find('?'); mark != std::string_view::npos)
        request.query = path.substr(mark + 1);
    request.accept = accept;
    request.compressed = true;
    return request;
}

Request access_review_request(const Resource &resource, std::string_view name_space, std::string_view verb,
                              std::string_view subresource, std::string_view name) {
    Request request = request_for("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
    json attributes = {{"group", resource.group}, {"resource", resource.plural}, {"verb", verb}};
    if (resource.namespaced && !name_space.empty())
        attributes["namespace"] = name_space;
    if (!subresource.empty())
        attributes["subresource"] = subresource;
    if (!name.empty())
        attributes["name"] = name;
    request.content_type = json_type;
    request.body = json({{"apiVersion", "authorization.k8s.io/v1"},
                         {"kind", "SelfSubjectAccessReview"},
                         {"spec", {{"resourceAttributes", std::move(attributes)}}}})
                       .dump();
    request.idempotent = true; // a review is answered and not kept
    return request;
}

bool is_terminating(const json &object) {
    const json *timestamp = member(member(&object, "metadata"), "deletionTimestamp");
    return timestamp != nullptr && !timestamp->is_null();
}

bool is_gone(const json &delete_answer) {
    return text_member(&delete_answer, "kind") == "Status";
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
