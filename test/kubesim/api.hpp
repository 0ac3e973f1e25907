// The resource part of the API: get, list, watch, create, update, patch, delete of every served kind.
#pragma once

#include "authentication.hpp"
#include "body_parser.hpp"
#include "go_form.hpp"
#include "http_message.hpp"
#include "kinds.hpp"
#include "managed_fields.hpp"
#include "store.hpp"

#include <functional>
#include <random>
#include <string>
#include <vector>

namespace kubesim {

// Who writes what the controllers do, in managedFields.
inline constexpr char controller_manager[] = "kube-controller-manager";

// What a path of the API addresses.
struct Target {
    const Kind *kind = nullptr;
    std::string name_space;
    std::string name;        // "" = the collection
    std::string subresource; // "" = the object itself
    bool watch_path = false; // the old /api/v1/watch/… form

    std::string key() const { return Store::key_of(*kind, name_space, name); }
};

class Api {
public:
    struct Options {
        bool watch_list = false; // serve sendInitialEvents with resourceVersionMatch, as newer servers do
    };

    Api(Store &store, const Kinds &kinds, Options options) : store_(store), kinds_(kinds), options_(options) {}

    Response get(const Target &target, const Request &request);
    Response list(const Target &target, const Request &request);
    Response watch(const Target &target, const Request &request);
    Response create(const Target &target, const Request &request);
    Response replace(const Target &target, const Request &request);
    Response patch(const Target &target, const Request &request);
    Response remove(const Target &target, const Request &request);
    Response remove_collection(const Target &target, const Request &request);
    Response get_scale(const Target &target, const Request &request);
    Response write_scale(const Target &target, const Request &request); // replace and patch
    Response bind(const Target &target, const Request &request);        // pods/binding
    Response evict(const Target &target, const Request &request);       // pods/eviction

    // A controller's write through the same path as a request's: fields are tracked, watches told.
    void control(const Kind &kind, const std::string &key, const std::string &manager, const std::string &subresource,
                 const std::function<void(json &object)> &change);
    void create_by_controller(const Kind &kind, json object, const std::string &manager);
    // Deletes without preconditions, as the namespace and garbage collectors do; `grace_seconds` < 0: the kind's own.
    void remove_by_controller(const Kind &kind, const std::string &key, int64_t grace_seconds = -1,
                              const char *propagation = "Background");
    void bind(const Stored &pod, const std::string &node);

private:
    struct Write {
        const Target &target;
        Writer writer;
        bool dry_run = false;
        std::string field_validation; // "", Ignore, Warn, Strict
        std::vector<std::string> warnings;
    };

    // api_read.cpp
    std::vector<StoredPtr> select(const Target &target, const Request &request, const Store::Objects &objects,
                                  uint64_t revision, uint64_t limit, const std::string &start, json &list_metadata);

    // api_bodies.cpp
    Write begin_write(const Target &target, const Request &request, const char *options_kind);
    json decode_object(const Target &target, const Request &request, Write &write);
    void check_unknown_fields(const Kind &kind, const std::vector<std::string> &problems, Write &write,
                              const std::string *patch);

    // api_patch.cpp
    json patched(Write &write, const Request &request, const json &live);
    json applied(Write &write, const Request &request, const json *live);
    static json configuration_of(const Request &request, std::vector<DuplicateMember> *duplicates = nullptr);

    // api_write.cpp
    void require_namespace(const Target &target, const std::string &name);
    void check_address(const Target &target, json &object);
    StoredPtr insert(Write &write, json object, bool is_apply);
    // The new state; null: the update let the last finalizer go and the object is gone (`gone` has its last state).
    StoredPtr update(Write &write, const StoredPtr &live, json object, json *gone);
    Response answer(const Request &request, const Write &write, const StoredPtr &stored, int status);
    StoredPtr unstored(const Kind &kind, const std::string &key, json body, uint64_t revision);
    FieldManagement management(const Target &target) const;

    // api_scale.cpp
    json scale_of(const Stored &stored) const;
    Response scale_answer(const Request &request, const Stored &stored, const std::vector<std::string> &warnings);

    // api_delete.cpp
    struct DeleteOptions {
        json preconditions;
        std::string propagation;
        int64_t grace_seconds = -1; // not given
        bool dry_run = false;
    };
    DeleteOptions delete_options(const Request &request);
    static DeleteOptions delete_options(const json &body, DeleteOptions given);
    static void choose_propagation(const Kind &kind, DeleteOptions &options, Response &response);
    // api_pod.cpp
    void spend_disruption(const Kind &pods, const Stored &pod, bool dry_run);
    StoredPtr note_disruption(const Kind &pods, const StoredPtr &pod, DeleteOptions &options);

    // Throws a conflict unless uid and version are those that the request asks for.
    void check_preconditions(const Kind &kind, const Stored &live, const DeleteOptions &options);
    // Null: gone. Else the object, now terminating.
    StoredPtr begin_delete(const Kind &kind, const StoredPtr &live, const DeleteOptions &options);

    std::string new_uid();
    std::string random_suffix();

    Store &store_;
    const Kinds &kinds_;
    Options options_;
    std::mt19937_64 random_{std::random_device{}()};
};

std::string rfc3339_now();
std::string rfc3339_time(time_t time);
// Decimal text → number; false when it is none.
bool parse_revision(const std::string &text, uint64_t &revision);

} // namespace kubesim
