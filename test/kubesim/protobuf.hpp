// Request bodies in Kubernetes' protobuf form, as "kubectl create deployment" and its kin send them.
#pragma once

#include "json.hpp"
#include "schema.hpp"

#include <string>

namespace kubesim {

// What OpenAPI does not say: the numbers of the fields, by struct. {"Volume": {"1": "name", "2": "+VolumeSource"}},
// where
// + names a struct whose members are the outer one's in JSON.
void load_protobuf_fields(json fields);

// The object with apiVersion and kind, which shall be of this type; throws ApiError 400 for broken bytes.
json decode_protobuf(const std::string &body, const Type *type);

} // namespace kubesim
