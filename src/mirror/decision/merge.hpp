// A report meets a row: which columns take the live value, and what the report and the user then agree on (the base).
//
// A column takes the live value only while its row value still equals the base and nobody claimed it; a row value that
// differs from the base is a user's change that has not been sent, and survives every report. Pure C++; used by the
// mirror worker.
#pragma once

#include "mirror/store/catalog.hpp"
#include "mirror/values/mapping.hpp"

#include <set>
#include <string>
#include <vector>

namespace dbnet::mirror {

// The part of dbnet.object that a report needs.
struct ReportedObject {
    Fields live;                   // mapped values of the object
    Fields base;                   // dbnet.object.base
    Fields applied;                // last accepted by the server from us
    std::set<std::string> claimed; // paths
};

// A row as read from the table: members are columns, in row form.
using Row = Json;

struct Merge {
    struct Value {
        const Column *column;
        Json value; // object form; null: the column becomes NULL
    };
    std::vector<Value> set; // what the report writes
    Fields base;            // the new base
    bool base_changed = false;
    std::set<std::string> released; // claimed paths that follow somebody else from now on
    Fields accepted;                // claimed paths of which the device's value is what is wanted from now on
};

// The base holds the path of the key as well once an object has been reported into its row.
bool is_reported(const Mapping &mapping, const Fields &base);

// The object has been seen and its row not been brought up to it: a row value that differs is not a user's word yet.
bool is_import_under_way(const Mapping &mapping, const ObjectRecord &object);

// Three-way merge of row, base and live object. A row that was there before its object was first reported is treated
// as mirror.initial says.
Merge merge(const Mirror &mirror, const ReportedObject &object, const Row &row);

// The same for an object that has no row yet: every mapped column is set, the base is the live object.
Merge merge_new(const Mirror &mirror, const ReportedObject &object);

// A rejected change: the row gets back what the device has, claimed columns what was last applied; where that was to be
// put back (enforce), the device's value is accepted. `rejected`: what the
// row held then; what was written since stays, as a change that has not been sent. nullptr: all of it is rejected.
Merge restore(const Mirror &mirror, const ReportedObject &object, const Row &row, const RowDigest *rejected = nullptr);

// False when no report can change the row or its base: the object's mapped fields say what the base says.
bool needs_report(const Mirror &mirror, const ReportedObject &object);

// True when the row holds a value of the user's, or of a trigger's, that no report and no request has taken up.
bool has_unsent_change(const Mirror &mirror, const Fields &base, const Row &row);

// The column's own rule, or else the mirror's.
OnDrift on_drift_of(const Mirror &mirror, const Column &column);

// Claimed columns whose live value no longer has the effect of what was applied: somebody else changed them. Those that
// follow others are not among them.
std::vector<const Column *> drifted(const Mirror &mirror, const ReportedObject &object);

// Somebody else owns, as well as DBNet, a claimed field that was to be set once only. `managers`: as in dbnet.object.
bool has_shared_seed(const Mirror &mirror, const std::set<std::string> &claimed, const Json &managers);

} // namespace dbnet::mirror
