// What evictions and the controller of PodDisruptionBudgets both know of them.
#pragma once

#include "store.hpp"

#include <vector>

namespace kubesim {

std::vector<StoredPtr> pods_of_budget(const Store &store, const Kind &pods, const json &budget);
// status.disruptionsAllowed and the condition that says whether there are any.
void set_allowed(json &status, int64_t allowed, const json &generation);

} // namespace kubesim
