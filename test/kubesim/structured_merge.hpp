// Structured merge of server-side apply: which paths a value has, how two values differ, how they merge.
//
// Follows sigs.k8s.io/structured-merge-diff: lists with keys and sets merge by element, atomic lists and maps are one
// leaf, everything else goes member by member. Pure functions without any state.
#pragma once

#include "field_set.hpp"
#include "schema.hpp"

namespace kubesim {

struct Comparison {
    FieldSet added;
    FieldSet removed;
    FieldSet modified;
    bool same() const { return added.empty() && removed.empty() && modified.empty(); }
};

// Empty when the value fits the type, else the server's text, e.g. ".nope: field not declared in schema".
std::string schema_errors(const Type *type, const json &value);

// The paths an applied configuration claims.
FieldSet to_field_set(const Type *type, const json &value);

Comparison compare(const Type *type, const json &before, const json &after);

// `over` laid over `under`: the values of `over` win, keyed list elements merge.
json merge(const Type *type, const json &under, const json &over);

// The value without the members of `paths`; containers that lose their last element become null.
json remove_items(const Type *type, const json &value, const FieldSet &paths);

// Adds the named fields on the way to each member, so that a structure is removed with its last field.
FieldSet with_named_fields(const Type *type, const FieldSet &set);

} // namespace kubesim
