// What the server adds to and demands of a pod's specification, in Pods and in the templates of workloads alike.
#pragma once

#include "errors.hpp"
#include "json.hpp"

#include <string>
#include <vector>

namespace kubesim {

void default_pod_spec(json &spec);
// `path` names the specification in messages, e.g. spec.template.spec.
void validate_pod_spec(const json &spec, const std::string &path, std::vector<FieldError> &errors);
// The integer member, or `otherwise`.
int64_t integer_of(const json &object, const char *name, int64_t otherwise);

} // namespace kubesim
