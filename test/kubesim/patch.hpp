// JSON merge patch, JSON patch and strategic merge patch.
#pragma once

#include "json.hpp"
#include "schema.hpp"

namespace kubesim {

json merge_patch(const json &target, const json &patch);

// Throws ApiError: 400 for something that is no patch, 422 when it does not apply.
json json_patch(const json &target, const json &patch);

// `type` says which lists merge by key; directives $patch, $retainKeys, $deleteFromPrimitiveList are followed.
json strategic_merge_patch(const Type *type, const json &target, const json &patch);

} // namespace kubesim
