// Builds every request that DBNet sends to the Kubernetes API, with exactly the parameters and body form the server
// needs. Used by the mirror worker and by backends.
#pragma once

#include "kubernetes/object/path.hpp"
#include "kubernetes/request.hpp"

#include <nlohmann/json_fwd.hpp>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dbnet::kubernetes {

// One served kind of object.
struct Resource {
    std::string group; // "" = core
    std::string version;
    std::string kind;
    std::string plural;
    bool namespaced = false;

    std::string api_version() const { return group.empty() ? version : group + "/" + version; }
    bool operator==(const Resource &) const = default;
};

// "apps/v1" → {"apps", "v1"}; "v1" → {"", "v1"}. Throws Failure on anything else.
std::pair<std::string, std::string> split_api_version(std::string_view api_version);

// Percent-encodes all but unreserved characters (RFC 3986) and those of `kept`.
std::string percent_encode(std::string_view text, std::string_view kept = {});

// Why no object of any kind can have the name, in the server's words; empty: one can. Such a name must never become a
// part of a request's path, where it means something else.
std::string_view name_problem(std::string_view name) noexcept;

// /api/v1/namespaces/x/configmaps[/name[/subresource]]; an empty name_space means all namespaces (or cluster-scoped).
std::string resource_path(const Resource &resource, std::string_view name_space, std::string_view name = {},
                          std::string_view subresource = {});

// JSON text that the server's YAML reader takes for exactly the same JSON (kubernetes.md A2). Throws Failure when a
// string is not UTF-8 or a key is longer than the reader allows (1024 characters).
std::string yaml_safe_dump(const nlohmann::json &document);

struct ListOptions {
    std::string label_selector;
    std::string field_selector;
    int limit = 0;                // page size; 0: everything in one answer
    std::string continue_token;   // with it the server refuses a resource_version
    std::string resource_version; // "" newest from the store, "0" whatever the cache has, else not older than this
    bool metadata_only = false;   // PartialObjectMetadataList: names, uids, versions, labels
};

Request get_request(const Resource &resource, std::string_view name_space, std::string_view name);
Request list_request(const Resource &resource, std::string_view name_space, const ListOptions &options);

// A watch from a resource version with bookmarks. Its length is drawn between 300 and 600 s with `random` in [0, 1).
Request watch_request(const Resource &resource, std::string_view name_space, std::string_view resource_version,
                      std::string_view label_selector, double random);

// Asks for the store's newest resource version, by which a store that was rewound shows (kubernetes.md W7): an empty
// list that is not taken from the server's cache.
Request probe_version_request(const Resource &resource, std::string_view name_space);

// The body of a server-side apply: the given fields and nothing else. `uid` non-empty makes it update-only, and with a
// resource version only that one is changed (409 stale otherwise).
nlohmann::json apply_body(const Resource &resource, std::string_view name_space, std::string_view name,
                          std::string_view uid, const std::vector<std::pair<FieldPath, nlohmann::json>> &fields,
                          const std::vector<std::pair<std::string, std::string>> &annotations,
                          std::string_view resource_version = {});

// The server takes from a body what the subresource is about and ignores the rest: status fields go to "status" alone,
// and of the object itself status is ignored (kubernetes.md A14). The field manager's ownership is kept apart for each.
Request apply_request(const Resource &resource, std::string_view name_space, std::string_view name,
                      std::string_view field_manager, bool force, const nlohmann::json &body, bool dry_run = false,
                      std::string_view subresource = {});

// Makes an object that is not there (409 already_exists otherwise). A dry run asks whether it could be made: what a
// server would refuse it refuses before it looks for the name, so that an object which has the name already is a good
// answer (already_exists, being_deleted).
Request create_request(const Resource &resource, std::string_view name_space, std::string_view field_manager,
                       const nlohmann::json &body, bool dry_run = false);

// Background deletion; with a uid only that incarnation is deleted (409 uid_mismatch otherwise), with a resource
// version only that one (409 stale).
Request remove_request(const Resource &resource, std::string_view name_space, std::string_view name,
                       std::string_view uid, std::string_view resource_version = {});

Request merge_patch_request(const Resource &resource, std::string_view name_space, std::string_view name,
                            std::string_view field_manager, const nlohmann::json &patch,
                            std::string_view subresource = {});

// Sets the replicas of anything that can be scaled, a custom resource included, whatever the field is called there, and
// whoever owns it; needs rights on the subresource only. Uid and resource version as of an apply. Where somebody
// owned the field the change of owner is recorded; where nobody did the server records none (kubernetes.md A13).
Request scale_request(const Resource &resource, std::string_view name_space, std::string_view name,
                      std::string_view uid, std::string_view field_manager, int64_t replicas,
                      std::string_view resource_version = {});

// A GET of a fixed path: /version, /readyz, /openapi/v3 and its documents, discovery.
Request path_request(std::string_view path, std::string_view accept = "application/json");

// POST authorization.k8s.io/v1 SelfSubjectAccessReview: may we do `verb` on the resource, or on
// the object of that name? Answer: status.allowed.
Request access_review_request(const Resource &resource, std::string_view name_space, std::string_view verb,
                              std::string_view subresource = {}, std::string_view name = {});

// The object in this answer is being deleted: what was written to it will be lost (kubernetes.md A10).
bool is_terminating(const nlohmann::json &object);

// The answer to a DELETE says that the object is gone; false: it is the object itself, waiting for its finalizers.
bool is_gone(const nlohmann::json &delete_answer);

} // namespace dbnet::kubernetes
