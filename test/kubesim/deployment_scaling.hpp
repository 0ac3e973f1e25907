// A Deployment that is scaled while it rolls: each of its ReplicaSets gets its share.
#pragma once

#include "json.hpp"

#include <map>
#include <string>
#include <vector>

namespace kubesim {

// `sets`: those that want pods. The new sizes by name; those that stay are left out.
std::map<std::string, int64_t> proportional_sizes(const json &deployment, const std::vector<json> &sets);

} // namespace kubesim
