// kubectl rollout restart: an annotation in the pod template that changes, so that every pod is made anew. Pure C++;
// used by the mirror worker and by backends.
#pragma once

#include "kubernetes/object/path.hpp"

#include <chrono>
#include <string>

namespace dbnet::kubernetes {

// spec.template.metadata.annotations["kubectl.kubernetes.io/restartedAt"]
FieldPath restarted_at_field();

// A moment as the annotation holds it: RFC 3339, whole seconds.
std::string restart_time(std::chrono::system_clock::time_point moment);

} // namespace dbnet::kubernetes
