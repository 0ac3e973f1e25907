// What one object needs now, decided from the committed row and from what is known of the object: content decides, so
// an echo, a repeated message or a restart decides the same again.
//
// Pure C++; used by the mirror worker (to act) and by dbnet.preview (to explain). Nothing here sends or writes.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kubernetes/object/label_selector.hpp"
#include "mirror/values/mapping.hpp"

namespace dbnet::mirror {

enum class Phase {
    none, // NULL in dbnet.object: only observed, nothing was ever asked of it
    pending,
    applying,
    synced,
    conflict,
    invalid,
    denied,
    stale,
    uncertain,
    deleting,
    waiting_deleted,
    held,
    fighting,
    drifted,
    absent,
    report_failed
};
const char *to_text(Phase phase); // "" for none
std::optional<Phase> parse_phase(std::string_view text);
bool is_waiting(Phase phase); // the worker goes on by itself
bool needs_user(Phase phase); // it does not

enum class OnExternalDelete { drop_row, flag, recreate };
std::optional<OnExternalDelete> parse_on_external_delete(std::string_view text);

// The part of dbnet.mirrored_relation that decides.
struct MirrorSettings {
    std::string group; // API group, "" for the core one
    std::string kind;
    kubernetes::LabelSelector selector;
    bool manage = false; // false: observe, which never sends anything
    OnDrift on_drift = OnDrift::report;
    std::optional<OnExternalDelete> on_external_delete; // none: drop_row for what DBNet did not create, else flag
    bool delete_foreign = false;                        // deletes of objects that DBNet did not create need no approval
    bool recreate_immutable = false; // an object whose change the server refuses for good is deleted and made anew
};

// An object that DBNet deletes because the server lets a field be set only when it is made.
enum class Replacement {
    none,
    under_way, // it may still be there
    gone       // it is not, and the new one has not been accepted yet
};

// The part of dbnet.object that decides.
struct ObjectRecord {
    std::string uid; // empty: never seen at the server
    std::string resource_version;
    Json live;      // whole body, null when there is none
    Fields base;    // last written into the row or read equal from it
    Fields applied; // last accepted by the server from us
    std::set<std::string> claimed;
    std::set<std::string> first_written; // paths with a recorded attempt of ours
    // Only where live is loaded. Paths with the manager that owns the field, of those that are not the mirror's; paths
    // that somebody else owns as well as the mirror.
    std::map<std::string, std::string> others;
    std::set<std::string> shared;
    std::string stamp; // of the last apply that is known to be accepted; empty: none
    Phase phase = Phase::none;
    bool is_gone = false; // the incarnation `uid` does not exist any more, whatever was asked for since
    bool created_by_us = false;
    bool controlled = false; // has an ownerReference with controller = true
    Replacement replacement = Replacement::none;
    int reverts = 0;            // phase fighting: how often the object was put back
    int64_t last_actuation = 0; // event id of the newest call that was answered; 0: none

    bool exists() const { return !uid.empty() && !is_gone && phase != Phase::absent; }
};

struct TombstoneRecord {
    std::string uid;            // empty: the object was never seen at the server when the row went
    bool created_by_us = false; // as far as was known then
};

enum class HoldDecision { none, waiting, approved, rejected };

// A held change.
struct Hold {
    HoldDecision decision = HoldDecision::none;
    uint64_t transaction = 0; // that made the change; 0: found by a compare
    uint64_t decided_in = 0;  // that decided, and told of the object by that; 0: undecided
};

struct Situation {
    const Mapping *mapping = nullptr;
    const MirrorSettings *settings = nullptr;
    std::string_view name;                      // of the object
    const RowFields *row = nullptr;             // nullptr: no such row
    const ObjectRecord *object = nullptr;       // nullptr: no record
    const TombstoneRecord *tombstone = nullptr; // the newest one; nullptr: none
    // Paths that are to be given up with what the row held then (null: nothing); nullptr: none.
    const Fields *releases = nullptr;
    const std::set<std::string> *adopted = nullptr; // paths that are to be taken over; nullptr: none
    HoldDecision hold = HoldDecision::none;
    const RowDigest *rejected = nullptr; // what the row held when it was rejected; nullptr: what it holds
    bool replaced = false;               // the row was deleted and inserted again since the record's object went away
};

enum class Action {
    nothing, // settled, or nothing of ours to do
    create,  // apply without a uid
    update,  // apply with `uid` as the guard
    release, // stop owning fields of the object of `uid`; no value changes
    remove,  // delete with `uid` as the precondition; an empty uid: look first whose object it is
    refuse,  // the row cannot be sent: phase, message and hint say why
    wait,    // for an event or another object
    hold,    // for a user's approval
    restore, // a rejected change: the row gets back what the device has
    forget   // nothing is left of row and object: drop record and tombstones
};

struct Decision {
    Action action = Action::nothing;
    Phase phase = Phase::none;
    std::string message; // for refuse, wait, hold and settled phases that need words
    std::string hint;
    std::string uid;
    // create, update: all claimed paths with their values, fully specified intent; release: paths with the row values
    // that are no claim any more (null: none)
    Fields fields;
    std::vector<std::string> changed; // paths whose value differs from what was last applied, or that are released
    std::set<std::string> adopted;    // paths that may be taken from whoever owns them
    bool enforce = false;             // the claims are enforced: force is allowed
    bool only_reverts = false;        // nothing but what somebody else changed is put back
};

Decision decide(const Situation &situation);

// The requests of a decision to create or update, in the order of sending: subresources, empty = the object itself.
std::vector<std::string> parts_of(const Mapping &mapping, const Decision &decision);

// What one request carries of a decision to create or update: fields of the object itself, or those of one subresource.
struct Part {
    std::string subresource;       // empty: the object itself, which goes first
    Fields fields;                 // all claimed paths that belong there
    Fields kept;                   // of the other parts: what was last applied
    std::set<std::string> claimed; // of all parts
    bool others_follow = false;    // they have changes as well, or have never been sent
    bool is_empty = false;         // all that has changed is refused
};
// Leaves the decision no fields. `refused`: subresources of which the server has refused what the row asks for; one
// part does not hold up the others of an object that is there.
Part take_first_part(const Mapping &mapping, Decision &decision, const ObjectRecord *object,
                     const std::set<std::string> &refused = {});

// Paths a user has asked for: those claimed already and those whose row value differs from the base. NULL asks nothing.
std::set<std::string> claims(const Mapping &mapping, const RowFields &row, const ObjectRecord *object);

// Whether the object is made anew when somebody deletes it: only what DBNet has made. Of others it knows a part, and
// what a controller looks after is the controller's.
bool is_made_anew(const MirrorSettings &settings, const ObjectRecord &object);

// Why an object is not deleted to be made anew with a field that cannot be changed; nullptr: it may be.
const char *replacement_obstacle(const MirrorSettings &settings, const ObjectRecord &object);

// A controller (ownerReference with controller = true) looks after the object.
bool is_controlled(const Json &live);

// What to do about a 409 FieldManagerConflict. `paths` are the conflicting columns' paths, `managers` the owners; paths
// that are adopted are not among them.
struct ConflictQuestion {
    std::set<std::string> paths;
    std::set<std::string> managers;
    const std::set<std::string> *first_written = nullptr; // before this attempt; nullptr: none
    bool enforce = false;
    bool forced_already = false;
    bool adopts = false; // one of the conflicting paths is adopted
};
bool may_force(const ConflictQuestion &question, const std::vector<std::string> &respected_managers);

// The column that a field named by the server (a conflict's or an invalid value's) belongs to: at, above or below it.
const Column *column_of_field(const Mapping &mapping, const kubernetes::FieldPath &field);

} // namespace dbnet::mirror
