// What is special about PersistentVolumeClaims.
#include "kinds.hpp"

#include "validation.hpp"
#include "workload.hpp"

namespace kubesim {

namespace {

const char *const protection = "kubernetes.io/pvc-protection";

void defaults(json &object) {
    if (!object["spec"].contains("volumeMode"))
        object["spec"]["volumeMode"] = "Filesystem";
}

void prepare_create(json &object) {
    object["status"] = {{"phase", "Pending"}};
    // The StorageObjectInUseProtection admission plugin: a claim that pods use does not go.
    json &finalizers = object["metadata"]["finalizers"];
    if (!finalizers.is_array())
        finalizers = json::array();
    if (std::find(finalizers.begin(), finalizers.end(), json(protection)) == finalizers.end())
        finalizers.push_back(protection);
}

void prepare_update(json &after, const json &before, const std::string &subresource) {
    keep_member(after, before, subresource == "status" ? "spec" : "status");
}

void storage_validate(const json &after, const json *before, std::vector<FieldError> &errors) {
    const json &spec = after.at("spec");
    const json *modes = find(spec, "accessModes");
    if (!modes || modes->empty())
        errors.push_back(FieldError::required("spec.accessModes", "at least 1 access mode is required"));
    const json *requests = find(spec.at("resources"), "requests");
    if (!requests || !requests->contains("storage"))
        errors.push_back(FieldError::required("spec.resources[storage]", ""));
    if (!before)
        return;
    json now = spec, then = before->at("spec");
    if (!then.contains("volumeName"))
        now.erase("volumeName"); // the binding
    if (text_of(before->at("status"), "phase") == "Bound")
        now["resources"] = then["resources"];
    if (now != then) // a real server goes on with a dump of the difference
        errors.push_back(FieldError::forbidden(
            "spec", "spec is immutable after creation except resources.requests for bound claims"));
    if (!same_member(spec, before->at("spec"), "volumeMode"))
        errors.push_back(
            FieldError::invalid("volumeMode", go_quoted(text_of(spec, "volumeMode")), "field is immutable"));
}

json storage_cells(const json &object) {
    const json &spec = object.at("spec"), &status = object.at("status"), *volume = find(spec, "volumeName");
    const bool deleted = find(object.at("metadata"), "deletionTimestamp");
    std::string capacity, modes;
    if (volume) {
        const json *of_volume = find(status, "capacity");
        capacity = of_volume ? text_of(*of_volume, "storage") : "0";
        if (const json *list = find(status, "accessModes"))
            for (const auto &mode : *list)
                modes += (modes.empty() ? "" : ",") + std::string(mode == "ReadWriteOnce"      ? "RWO"
                                                                  : mode == "ReadOnlyMany"     ? "ROX"
                                                                  : mode == "ReadWriteMany"    ? "RWX"
                                                                  : mode == "ReadWriteOncePod" ? "RWOP"
                                                                                               : "");
    }
    return json::array({deleted ? "Terminating" : text_of(status, "phase"), volume ? *volume : json(""), capacity,
                        modes, text_of(spec, "storageClassName"), text_of(spec, "volumeMode")});
}

} // namespace

Behaviour claim_behaviour() {
    Behaviour out;
    out.untracked = {{"", path_set({{"status"}})}, {"status", path_set({{"spec"}})}};
    out.field_selectors.push_back("name");
    out.returns_deleted = true;
    out.set_defaults = defaults;
    out.prepare_create = prepare_create;
    out.prepare_update = prepare_update;
    out.validate = storage_validate;
    out.columns = {
        {"Status", "string", "", "phase represents the current phase of PersistentVolumeClaim.", 0},
        {"Volume", "string", "", "volumeName is the binding reference to the PersistentVolume backing this claim.", 0},
        {"Capacity", "string", "", "capacity represents the actual resources of the underlying volume.", 0},
        {"Access Modes", "string", "",
         "accessModes contains the actual access modes the volume backing the PVC has. More info: "
         "https://kubernetes.io/docs/concepts/storage/persistent-volumes#access-modes-1",
         0},
        {"StorageClass", "string", "", "StorageClass of the pvc", 0}};
    out.wide_columns = {{"VolumeMode", "string", "",
                         "volumeMode defines what type of volume is required by the claim. Value of Filesystem is "
                         "implied when not included in claim spec.",
                         1}};
    out.cells = storage_cells;
    return out;
}

} // namespace kubesim
