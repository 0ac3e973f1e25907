// The pods of a workload, as its controller sees them.
#include "owned_pods.hpp"

#include "conditions.hpp"
#include "selection.hpp"
#include "times.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace kubesim {

std::vector<StoredPtr> controlled_by(const Store &store, const Kind &kind, const json &owner) {
    const json &metadata = owner.at("metadata");
    const std::string uid = text_of(metadata, "uid"), name_space = text_of(metadata, "namespace") + "/";
    const Store::Objects &objects = store.objects(kind);
    std::vector<StoredPtr> out;
    for (auto it = objects.lower_bound(name_space); it != objects.end() && it->first.starts_with(name_space); ++it)
        if (controller_uid(it->second->body) == uid)
            out.push_back(it->second);
    return out;
}

void adopt(Api &api, const Store &store, const Kind &kind, const Kind &owner_kind, const json &owner,
           const std::function<bool(const json &object)> &fits) {
    if (is_deleting(owner))
        return;
    const json &metadata = owner.at("metadata");
    const std::string uid = text_of(metadata, "uid"), name_space = text_of(metadata, "namespace") + "/";
    const Store::Objects &objects = store.objects(kind);
    std::vector<StoredPtr> found, lost;
    for (auto it = objects.lower_bound(name_space); it != objects.end() && it->first.starts_with(name_space); ++it) {
        const json &object = it->second->body;
        const std::string controller = controller_uid(object);
        const bool chosen = selects(owner.at("spec").at("selector"), find(object.at("metadata"), "labels"));
        if (chosen && controller.empty() && !is_deleting(object) && (!fits || fits(object)))
            found.push_back(it->second);
        else if (!chosen && controller == uid)
            lost.push_back(it->second);
    }
    const char *manager = "kube-controller-manager";
    for (const auto &one : found)
        api.control(kind, one->key, manager, "", [&](json &object) {
            object["metadata"]["ownerReferences"].push_back(controller_reference(owner_kind, owner));
        });
    for (const auto &one : lost)
        api.control(kind, one->key, manager, "", [&](json &object) {
            std::erase_if(object["metadata"]["ownerReferences"].get_ref<json::array_t &>(),
                          [&](const json &reference) { return text_of(reference, "uid") == uid; });
        });
}

StoredPtr controller_of(const Store &store, const Kinds &kinds, const json &object) {
    const json &metadata = object.at("metadata"), *owners = find(metadata, "ownerReferences");
    const std::string uid = controller_uid(object);
    for (size_t i = 0; owners && i < owners->size(); i++) {
        const json &owner = (*owners)[i];
        if (uid.empty() || text_of(owner, "uid") != uid)
            continue;
        const std::string version = text_of(owner, "apiVersion");
        const Kind *kind =
            kinds.by_kind(version.substr(0, version.rfind('/') + 1 ? version.rfind('/') : 0), text_of(owner, "kind"));
        return kind ? store.get(*kind, Store::key_of(*kind, text_of(metadata, "namespace"), text_of(owner, "name")))
                    : nullptr;
    }
    return nullptr;
}

std::vector<std::string> owner_keys(const Change &change) {
    std::vector<std::string> out;
    // An object that lost its owner concerns the one it had, too.
    for (const StoredPtr &state : {change.before, change.after}) {
        const json *owners = state ? find(state->body.at("metadata"), "ownerReferences") : nullptr;
        for (size_t i = 0; owners && i < owners->size(); i++)
            out.push_back(text_of(state->body.at("metadata"), "namespace") + "/" + text_of((*owners)[i], "name"));
    }
    return out;
}

bool is_finished(const json &pod) {
    const std::string phase = text_of(pod.at("status"), "phase");
    return phase == "Succeeded" || phase == "Failed";
}

bool is_active(const json &pod) {
    return !is_deleting(pod) && !is_finished(pod);
}

int64_t seconds_to_available(const json &pod, int64_t min_ready_seconds) {
    if (!is_true(pod, "Ready"))
        return -1;
    const time_t since = seconds_of(text_of(*condition_of(pod, "Ready"), "lastTransitionTime"));
    return min_ready_seconds == 0 ? 0 : std::max<int64_t>(0, since + min_ready_seconds - time(nullptr));
}

json pod_of(const Kind &kind, const json &owner) {
    json pod = owner.at("spec").at("template");
    const json &metadata = owner.at("metadata");
    pod["metadata"].erase("creationTimestamp");
    pod["metadata"]["generateName"] = text_of(metadata, "name") + "-";
    pod["metadata"]["namespace"] = metadata.at("namespace");
    pod["metadata"]["ownerReferences"] = json::array({controller_reference(kind, owner)});
    return pod;
}

void set_count(json &status, const char *name, int64_t value) {
    if (value == 0)
        status.erase(name);
    else
        status[name] = value;
}

int64_t part_of(const json &value, int64_t whole, bool round_up) {
    if (value.is_number())
        return value.get<int64_t>();
    const double part = std::stod(value.get<std::string>()) * static_cast<double>(whole) / 100;
    return static_cast<int64_t>(round_up ? std::ceil(part) : std::floor(part));
}

std::string hash_of(const json &value) {
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
    uint32_t hash = 2166136261;
    for (unsigned char byte : dump(value))
        hash = (hash ^ byte) * 16777619;
    std::string out;
    for (char digit : std::to_string(hash))
        out += letters[static_cast<size_t>(digit - '0')];
    return out;
}

} // namespace kubesim
