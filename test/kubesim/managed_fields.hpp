// Field ownership: metadata.managedFields and the two ways a request changes it, update and apply.
//
// Follows k8s.io/apiserver's field manager. Pure: objects in, objects out. Objects are without kind and apiVersion.
#pragma once

#include "field_set.hpp"
#include "schema.hpp"

#include <map>
#include <string>
#include <vector>

namespace kubesim {

// Who wrote, how and through what; identifies an entry of managedFields.
struct Writer {
    std::string manager;
    std::string operation; // "Apply" or "Update"
    std::string api_version;
    std::string subresource;

    // Appliers keep their entry across API versions.
    std::string key() const;
};

struct FieldManagement {
    const Type *type;          // of the kind
    const json *zero;          // the empty object of the kind, as its Go struct encodes
    std::string api_version;   // group/version
    const FieldSet *untracked; // paths this endpoint resets (status on the main endpoint), never owned through it
};

// After a create, update or patch: `after` gets the managedFields that follow from the change. On creation `before` is
// the zero object. Whatever the request wrote into managedFields itself is honoured as the server does ([{}] clears).
void track_update(const FieldManagement &how, const json &before, json &after, const Writer &writer, bool creating,
                  const std::string &now);

// Server-side apply of `configuration` to `live`; the result has its managedFields but is not yet in Go form.
// `described` and `described_live` name the two in messages. Throws ApiError 409 with FieldManagerConflict causes, 400,
// or 500 for a configuration that does not fit the schema.
json apply_configuration(const FieldManagement &how, const json &live, const json &configuration, const Writer &writer,
                         bool force, bool creating, const std::string &described, const std::string &described_live,
                         const std::string &now);

// The scale subresource keeps no fields of its own: it shows those that own the parent's replicas as owners of its own
// .spec.replicas, and gives back to the parent what became of them. `path`: of the replicas in the parent.
void show_in_scale(const json &parent, const std::vector<std::string> &path, json &scale);
void give_back(json &parent, const std::vector<std::string> &path, const std::string &api_version, const json &scale);

// Equal but for the times inside managedFields.
bool same_but_times(const json &a, const json &b);

} // namespace kubesim
