// Health of objects; see the header. Runs in the mirror worker.
#include "kubernetes/object/health.hpp"

#include "kubernetes/json_access.hpp"
#include "kubernetes/object/health_of_kind.hpp"

namespace dbnet::kubernetes {
namespace {

using nlohmann::json;
using Status = Health::Status;

std::string group_of(const std::string &api_version) {
    const size_t slash = api_version.find('/');
    return slash == std::string::npos ? "" : api_version.substr(0, slash);
}

Health generic_health(const json *status) {
    const json *ready = find_condition(status, "Ready");
    if (ready == nullptr || text_member(ready, "status") == "True")
        return {};
    return {Status::in_progress, words_of_condition(ready, "not ready")};
}

} // namespace

const char *name(Health::Status status) noexcept {
    switch (status) {
    case Status::current:
        return "current";
    case Status::in_progress:
        return "in_progress";
    case Status::failed:
        return "failed";
    case Status::terminating:
        return "terminating";
    }
    return "unknown";
}

Health health_of(const json &object) {
    const json *metadata = member(&object, "metadata");
    const json *status = member(&object, "status");
    if (const std::string since = text_member(metadata, "deletionTimestamp"); !since.empty())
        return {Status::terminating, "deletion was requested at " + since};
    const KindHealth *kind = health_of_kind(group_of(text_member(&object, "apiVersion")), text_member(&object, "kind"));
    const int64_t generation = integer_member(metadata, "generation", 0);
    const int64_t observed = integer_member(status, "observedGeneration", -1);
    if (observed >= 0 ? observed != generation : generation > 0 && kind && kind->observes_generation)
        return {Status::in_progress,
                "generation " + std::to_string(generation) +
                    (observed >= 0 ? " is not observed yet, but " + std::to_string(observed) : " is not observed yet")};
    if (const json *stalled = find_condition(status, "Stalled"); text_member(stalled, "status") == "True")
        return {Status::failed, words_of_condition(stalled, "stalled")};
    if (const json *reconciling = find_condition(status, "Reconciling"); text_member(reconciling, "status") == "True")
        return {Status::in_progress, words_of_condition(reconciling, "reconciling")};
    return kind ? kind->judge(object) : generic_health(status);
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
