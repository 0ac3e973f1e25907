// The status of a Deployment, from its ReplicaSets: numbers and the conditions Available and Progressing.
#pragma once

#include "json.hpp"

#include <string>
#include <vector>

namespace kubesim {

struct Condition {
    std::string type;
    std::string status;
    std::string reason;
    std::string message;
};

// Puts the condition last unless it already says the same; the time of the last transition stays with the status.
void set_condition(json &status, const Condition &condition);

// Pods above and below the wanted number that a rolling update may have, of a Deployment's spec.
int64_t surge_of(const json &spec);
int64_t unavailable_of(const json &spec);

// `current`: the ReplicaSet with the Deployment's template, or null. Keeps what the controller does not know.
json deployment_status(const json &deployment, const std::vector<json> &sets, const json *current);
// Until a Deployment that makes no progress is past its deadline; -1: nothing to wait for.
int64_t seconds_to_deadline(const json &deployment);

} // namespace kubesim
