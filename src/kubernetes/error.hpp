// What an answer of the API server means for the one who asked. Decided on HTTP status, reason and causes; the server's
// own words are always kept. Used by the mirror worker and by backends.
#pragma once

#include "kubernetes/request.hpp"

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace dbnet::kubernetes {

// One entry of a Status' details.causes.
struct Cause {
    std::string reason;  // FieldManagerConflict, FieldValueInvalid, …
    std::string field;   // FieldPath::text() of what the server named; "" when it named nothing
    std::string manager; // FieldManagerConflict: the other field manager
    std::string message; // the server's words
};

struct Outcome {
    enum Kind {
        ok,
        retry,                 // overload or a passing fault: again after retry_after or a backoff
        conflict,              // server-side apply: other managers own fields (causes)
        stale,                 // the object changed since it was read (or, with no version sent, while it was written)
        already_exists,        // a create found the name taken
        being_deleted,         // the name is taken by an object that is being deleted
        invalid,               // the server refuses the content: permanent until the row changes
        denied,                // RBAC or admission or quota: permanent until somebody changes it
        namespace_missing,     // the object's namespace does not exist
        namespace_terminating, // … or is being deleted
        not_found,             // the object does not exist
        kind_missing,          // the server does not serve this kind (now)
        gone,                  // 410: resource version or continue token too old
        unauthorized,          // 401: credentials missing, wrong or expired
        uid_mismatch,          // the object is another incarnation, or gone
        too_large,             // body or object above the server's limits
        schema_500,        // the content does not fit the schema, told as a 500 without reason: a few retries at most
        ambiguous,         // sent, but whether it was done is not known: read again or apply again
        unavailable,       // the server cannot be reached, or does not speak sense
        disruption_budget, // an eviction must wait for a PodDisruptionBudget: policy, not overload
        future_version     // the server has not seen this resource version: lagging replica or restored store
    };

    Kind kind = ok;
    int status = 0;      // HTTP status, 0 without an answer
    std::string reason;  // Status.reason, or the transport's
    std::string message; // the server's words, never empty unless ok
    std::vector<Cause> causes;
    int retry_after_ms = -1;    // what the server asked for; -1: nothing
    std::string continue_token; // gone: a token for an inconsistent rest of a list, where the server offers one

    explicit operator bool() const noexcept { return kind == ok; }
};

const char *name(Outcome::Kind kind) noexcept; // "namespace_missing", as in the enum

// True for kinds that no retry cures before somebody changes the row, the object or the server.
bool is_permanent(Outcome::Kind kind) noexcept;

// True when nothing is wrong with the content but that fields which are set once, when the object is made, were to be
// changed: a new object would be accepted.
bool is_immutable(const Outcome &outcome);

// `plural` names the resource that was asked for; only with it can a missing Namespace object ("namespaces") be told
// from the missing namespace of another object.
Outcome classify(const Response &response, std::string_view plural = {});

// The Status object inside a watch's ERROR event, or any Status at hand.
Outcome classify_status(const nlohmann::json &status);

} // namespace dbnet::kubernetes
