// Request bodies in Kubernetes' protobuf form, as "kubectl create configmap" and "kubectl create namespace" send them.
#pragma once

#include "json.hpp"

#include <string>

namespace kubesim {

// The object with apiVersion and kind; throws ApiError 400 for other kinds and broken bytes.
json decode_protobuf(const std::string &body);

} // namespace kubesim
