// ControllerRevisions: the templates that a StatefulSet or DaemonSet has had.
#include "controller_revisions.hpp"

#include "conditions.hpp"
#include "owned_pods.hpp"
#include "pod_spec.hpp"

#include <algorithm>

namespace kubesim {

namespace {

const char *const hash_label = "controller.kubernetes.io/hash";

// Of one owner, oldest first.
std::vector<StoredPtr> history(const Store &store, const Kind &revisions, const json &owner) {
    std::vector<StoredPtr> out = controlled_by(store, revisions, owner);
    std::sort(out.begin(), out.end(), [](const StoredPtr &a, const StoredPtr &b) {
        return integer_of(a->body, "revision", 0) < integer_of(b->body, "revision", 0);
    });
    return out;
}

RevisionName name_of(const json &revision) {
    return {text_of(revision.at("metadata"), "name"), text_of(revision.at("metadata").at("labels"), hash_label)};
}

} // namespace

json template_of(const json &revision) {
    json out = revision.at("data").at("spec").at("template");
    out.erase("$patch");
    return out;
}

RevisionName ensure_revision(Api &api, const Store &store, const Kind &revisions, const Kind &kind, const json &owner) {
    const json &metadata = owner.at("metadata"), &pod = owner.at("spec").at("template");
    const std::vector<StoredPtr> all = history(store, revisions, owner);
    const int64_t newest = all.empty() ? 0 : integer_of(all.back()->body, "revision", 0);
    for (const auto &one : all) {
        if (template_of(one->body) != pod)
            continue;
        if (integer_of(one->body, "revision", 0) != newest)
            api.control(revisions, one->key, controller_manager, "",
                        [&](json &object) { object["revision"] = newest + 1; });
        return name_of(one->body);
    }
    json data = pod;
    data["$patch"] = "replace";
    const std::string hash = hash_of(pod);
    json labels = pod.at("metadata").value("labels", json::object());
    labels[hash_label] = hash;
    const std::string name = text_of(metadata, "name") + "-" + hash;
    api.create_by_controller(revisions,
                             {{"metadata",
                               {{"name", name},
                                {"namespace", metadata.at("namespace")},
                                {"labels", labels},
                                {"ownerReferences", json::array({controller_reference(kind, owner)})}}},
                              {"data", {{"spec", {{"template", data}}}}},
                              {"revision", newest + 1}},
                             controller_manager);
    return {name, hash};
}

void forget_revisions(Api &api, const Store &store, const Kind &revisions, const json &owner,
                      const std::set<std::string> &used) {
    std::vector<StoredPtr> old = history(store, revisions, owner);
    std::erase_if(old, [&](const StoredPtr &one) { return used.contains(name_of(one->body).name); });
    int64_t too_many = static_cast<int64_t>(old.size()) - integer_of(owner.at("spec"), "revisionHistoryLimit", 10);
    for (const auto &one : old)
        if (too_many-- > 0)
            api.remove_by_controller(revisions, one->key);
}

} // namespace kubesim
