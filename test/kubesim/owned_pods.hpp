// The pods of a workload, as its controller sees them: found, counted, made from the template.
#pragma once

#include "api.hpp"

#include <string>
#include <vector>

namespace kubesim {

// Objects of the kind in the owner's namespace that it controls.
std::vector<StoredPtr> controlled_by(const Store &store, const Kind &kind, const json &owner);
// The owner takes what its spec.selector chooses and nobody controls (and `fits` allows), and lets go what it chooses
// no more.
void adopt(Api &api, const Store &store, const Kind &kind, const Kind &owner_kind, const json &owner,
           const std::function<bool(const json &object)> &fits = {});
// The object that controls this one, when it is there.
StoredPtr controller_of(const Store &store, const Kinds &kinds, const json &object);
// "namespace/name" of each owner of an object that changed: the keys of those who may have to look at it.
std::vector<std::string> owner_keys(const Change &change);

// It ended, whichever way.
bool is_finished(const json &pod);
// Neither finished nor deleted.
bool is_active(const json &pod);
// Seconds a ready pod has yet to stay ready before it counts as available; -1: it is not ready.
int64_t seconds_to_available(const json &pod, int64_t min_ready_seconds);

// A pod of the owner's spec.template, owned by it, with a generated name.
json pod_of(const Kind &kind, const json &owner);
// A number that Go omits when it is 0.
void set_count(json &status, const char *name, int64_t value);
// An int-or-string as a number: itself, or the percentage of `whole`.
int64_t part_of(const json &value, int64_t whole, bool round_up);
// Text that names a template; any will do, as long as it is as good a label as the real one.
std::string hash_of(const json &value);

} // namespace kubesim
