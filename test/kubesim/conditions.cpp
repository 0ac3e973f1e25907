// Conditions in the status of objects, and who controls an object.
#include "conditions.hpp"

namespace kubesim {

const json *condition_of(const json &object, const char *type) {
    const json *status = find(object, "status");
    const json *conditions = status ? find(*status, "conditions") : nullptr;
    if (conditions)
        for (const auto &one : *conditions)
            if (text_of(one, "type") == type)
                return &one;
    return nullptr;
}

bool is_true(const json &object, const char *type) {
    const json *one = condition_of(object, type);
    return one && text_of(*one, "status") == "True";
}

std::string controller_uid(const json &object) {
    if (const json *owners = find(object.at("metadata"), "ownerReferences"))
        for (const auto &owner : *owners)
            if (const json *controls = find(owner, "controller"); controls && *controls == true)
                return text_of(owner, "uid");
    return "";
}

json controller_reference(const Kind &kind, const json &owner) {
    const json &metadata = owner.at("metadata");
    return {{"apiVersion", kind.api_version()}, {"kind", kind.kind},  {"name", metadata.at("name")},
            {"uid", metadata.at("uid")},        {"controller", true}, {"blockOwnerDeletion", true}};
}

bool is_deleting(const json &object) {
    return find(object.at("metadata"), "deletionTimestamp") != nullptr;
}

} // namespace kubesim
