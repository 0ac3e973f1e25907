// ControllerRevisions: the templates that a StatefulSet or DaemonSet has had.
#pragma once

#include "api.hpp"

#include <set>

namespace kubesim {

struct RevisionName {
    std::string name;
    std::string hash; // the end of the name
};

// The revision of the owner's spec.template, made when there is none; an older one that is wanted again becomes the
// newest.
RevisionName ensure_revision(Api &api, const Store &store, const Kind &revisions, const Kind &kind, const json &owner);
json template_of(const json &revision);
// The oldest go that spec.revisionHistoryLimit leaves no room for and nobody uses.
void forget_revisions(Api &api, const Store &store, const Kind &revisions, const json &owner,
                      const std::set<std::string> &used);

} // namespace kubesim
