// Conditions in the status of objects, and who controls an object: what controllers share.
#pragma once

#include "json.hpp"
#include "kinds.hpp"

#include <string>

namespace kubesim {

// The condition of this type in object.status.conditions, or nullptr.
const json *condition_of(const json &object, const char *type);
bool is_true(const json &object, const char *type);
// metadata.ownerReferences' controller: its uid, or "".
std::string controller_uid(const json &object);
json controller_reference(const Kind &kind, const json &owner);
bool is_deleting(const json &object);

} // namespace kubesim
