// PersistentVolumeClaims: bound when they name a storage class, kept as long as pods use them. And the ServiceAccount
// that every Namespace has.
#include "claim_controller.hpp"

#include "conditions.hpp"
#include "owned_pods.hpp"

namespace kubesim {

namespace {

// The names of the claims that the pod's volumes are.
std::vector<std::string> claims_of(const json &pod) {
    std::vector<std::string> out;
    if (const json *volumes = find(pod.at("spec"), "volumes"))
        for (const auto &volume : *volumes)
            if (const json *source = find(volume, "persistentVolumeClaim"))
                out.push_back(text_of(*source, "claimName"));
    return out;
}

} // namespace

void ClaimController::observe(const Change &change) {
    const StoredPtr &state = change.after ? change.after : change.before;
    if (change.kind == &claims_ && change.after)
        queue_.add(state->key);
    if (change.kind == &pods_ && (!change.after || is_finished(state->body)))
        for (const auto &name : claims_of(state->body))
            queue_.add(text_of(state->body.at("metadata"), "namespace") + "/" + name);
    if (change.kind == &namespaces_ && change.after)
        populating_.add(state->key);
    if (change.kind == &accounts_ && !change.after)
        populating_.add(text_of(state->body.at("metadata"), "namespace"));
}

void ClaimController::populate(const std::string &name_space) {
    StoredPtr holder = store_.get(namespaces_, name_space);
    if (holder && !is_deleting(holder->body) && !store_.get(accounts_, name_space + "/default"))
        api_.create_by_controller(accounts_, {{"metadata", {{"name", "default"}, {"namespace", name_space}}}},
                                  controller_manager);
}

bool ClaimController::in_use(const Stored &claim) const {
    const json &metadata = claim.body.at("metadata");
    const std::string prefix = text_of(metadata, "namespace") + "/";
    const Store::Objects &all = store_.objects(pods_);
    for (auto it = all.lower_bound(prefix); it != all.end() && it->first.starts_with(prefix); ++it)
        if (!is_finished(it->second->body))
            for (const auto &name : claims_of(it->second->body))
                if (name == text_of(metadata, "name"))
                    return true;
    return false;
}

void ClaimController::sync(const std::string &key) {
    StoredPtr claim = store_.get(claims_, key);
    if (!claim)
        return;
    if (is_deleting(claim->body)) {
        if (!in_use(*claim))
            api_.control(claims_, key, controller_manager, "", [](json &object) {
                std::erase(object["metadata"]["finalizers"].get_ref<json::array_t &>(),
                           json("kubernetes.io/pvc-protection"));
            });
        return;
    }
    // Somebody makes volumes of every class there is a name for; without one there is nobody.
    if (text_of(claim->body.at("status"), "phase") == "Pending" &&
        !text_of(claim->body.at("spec"), "storageClassName").empty())
        bind(*claim);
}

void ClaimController::bind(const Stored &claim) {
    if (text_of(claim.body.at("spec"), "volumeName").empty())
        api_.control(claims_, claim.key, controller_manager, "", [](json &object) {
            object["spec"]["volumeName"] = "pvc-" + text_of(object["metadata"], "uid");
            for (const char *name : {"bind-completed", "bound-by-controller"})
                object["metadata"]["annotations"][std::string("pv.kubernetes.io/") + name] = "yes";
        });
    api_.control(claims_, claim.key, controller_manager, "status", [](json &object) {
        json &status = object["status"];
        status["phase"] = "Bound";
        status["accessModes"] = object["spec"]["accessModes"];
        status["capacity"]["storage"] = object["spec"]["resources"]["requests"]["storage"];
    });
}

} // namespace kubesim
