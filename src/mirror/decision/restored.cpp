// The body of an object that is made again (see restored.hpp). Pure C++; mirror worker.
#include "mirror/decision/restored.hpp"

#include "mirror/decision/stamp.hpp"
#include "mirror/values/secret_values.hpp"

namespace dbnet::mirror {

std::string restoring_manager(const std::string &field_manager) {
    return field_manager + "-restore";
}

Json restored_body(Json last_body, const std::string &stamp) {
    last_body.erase("status");
    const std::string version = last_body.value("apiVersion", ""); // of the core group it is the version alone
    const std::string group = version.substr(0, version.find('/') == std::string::npos ? 0 : version.find('/'));
    if (holds_secrets(group, last_body.value("kind", "")))
        for (const char *member : {"data", "stringData"})
            last_body.erase(member);
    Json &metadata = last_body["metadata"];
    // An owner may be gone, and its garbage collected; one that is there adopts what it selects by itself.
    for (const char *member : {"creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation",
                               "managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid"})
        metadata.erase(member);
    Json &annotations = metadata["annotations"];
    if (!annotations.is_object())
        annotations = Json::object();
    annotations.erase("kubectl.kubernetes.io/last-applied-configuration");
    annotations[stamp_annotation] = stamp;
    return last_body;
}

} // namespace dbnet::mirror

#include "pg/no_postgres.hpp"
