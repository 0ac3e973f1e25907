// Which column of a mirror table stands for which field of the object, and how values cross between the two.
//
// A value lives in one of two forms. Row form is what PostgreSQL's to_jsonb makes of the column in time zone UTC;
// object form is what the Kubernetes API wants in its JSON. dbnet.object (base, applied, live) holds object form only.
// SQL NULL, an absent field and JSON null are one and the same: "no opinion"; in maps by path they are simply not
// there.
//
// Pure C++; used by the mirror worker and by the SQL functions that explain what it would do.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include "kubernetes/object/path.hpp"
#include "mirror/values/value_rules.hpp"

namespace dbnet::mirror {

using Json = nlohmann::json;

// Values by canonical path, in object form; a path that is not there has no value.
using Fields = std::map<std::string, Json>;

enum class Role { key, spec, status, meta };
enum class ValueType { string, integer, number, boolean, json, time, quantity, int_or_string };
enum class OnDrift { report, enforce, follow, seed };

std::optional<Role> parse_role(std::string_view text);
std::optional<ValueType> parse_value_type(std::string_view text);
std::optional<OnDrift> parse_on_drift(std::string_view text);
const char *to_text(Role role);
const char *to_text(ValueType type);
const char *to_text(OnDrift on_drift);
bool lets_others_win(OnDrift on_drift); // a claimed field that somebody else changes is theirs

struct Column {
    std::string name;            // of the table
    std::string path;            // text of the field's path, as stored: the key in base, claimed and applied
    kubernetes::FieldPath field; // the same, parsed
    Role role = Role::spec;
    ValueType type = ValueType::string;
    std::string format;              // OpenAPI format: int32, int64, date-time, micro-time, byte … or empty
    std::string column_type;         // SQL type, as format_type gives it
    std::optional<OnDrift> on_drift; // none: as the mirror
    std::string subresource;         // "status" or "scale": where users' values are sent; empty: to the object itself
    bool is_secret = false;          // no message repeats any part of a value
    // What the server takes; nullptr: not known, so nothing is checked.
    std::shared_ptr<const ValueRules> rules;
};

// A value that cannot be sent. The message names column and path; it never repeats more than 64 bytes of the value.
struct ValueError {
    std::string column;
    std::string path;
    std::string message;
    std::string hint;
};

struct RowFields {
    Fields values;
    std::vector<ValueError> errors; // of columns that are then missing from values
    bool has_status = false;        // a status column is not NULL; only read_rows() tells
    size_t bytes = 0;               // of the row as text, where it was read from a table
};

class Mapping {
public:
    std::vector<Column> columns;
    // Under which the values of a Secret cross as digests (secret_values.hpp); empty: as they are.
    std::string digest_key;

    const Column *by_name(std::string_view name) const;
    const Column *by_path(std::string_view path) const;

    // `row`: an object by column name in row form; unmapped members are ignored. Key and status columns are left out:
    // a user cannot ask for a change through them.
    RowFields to_object_form(const Json &row) const;

    // Values of every column but the keys, taken from a live object.
    Fields from_live(const Json &live) const;
};

// What a row asked for at a time, to tell which of its columns have been written since: for each path a hash under a
// key that the database keeps to itself (dbnet.digest_key), as a value may be secret.
class RowDigest {
public:
    RowDigest(const Mapping &mapping, const RowFields &row, std::string key);
    RowDigest(Json hashes, std::string key) : hashes_(std::move(hashes)), key_(std::move(key)) {}
    // Whether this column of the row holds what it held then. One that was not mapped then has no change to tell of.
    bool holds_still(const Column &column, const RowFields &row) const;
    const Json &hashes() const noexcept { return hashes_; } // an object

private:
    Json hashes_;
    std::string key_;
};

// One value from row form to object form; nullopt when it is NULL.
std::variant<std::optional<Json>, ValueError> to_object_form(const Column &column, const Json &value);

// Why a value in object form must not be sent; nullopt when the field's rules take it.
std::optional<ValueError> check_value(const Column &column, const Json &value);

// Equal in meaning: quantities by amount, times by instant, numbers by value, the rest exactly. A null or absent
// value (nullptr) equals only another one.
bool same_value(const Column &column, const Json *left, const Json *right);

// Whether the live value already has the effect of the wanted one: same_value, but a server leaves out zero values
// (false, 0, "", [], {}) and adds defaults inside structures.
bool has_effect(const Column &column, const Json *wanted, const Json *live);

// Pointer to the value at `path`, nullptr when it is absent or null.
const Json *find_field(const Fields &fields, const std::string &path);

// A copy that jsonb can store: U+0000 becomes U+FFFD, numbers that numeric cannot hold become null.
Json storable(Json value);

} // namespace dbnet::mirror
