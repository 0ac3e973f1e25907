// What decoding into the API server's Go structs and encoding again does to an object.
//
// Undeclared members vanish, empty optional ones too, struct values are always written, 32-bit integers are checked
// (JSON) or wrap silently (server-side apply), times lose their zone and fraction.
#pragma once

#include "json.hpp"
#include "schema.hpp"

#include <stdexcept>
#include <string>
#include <vector>

namespace kubesim {

enum class Decoder {
    json,         // POST, PUT and patches: a value of the wrong type or range is an error
    unstructured, // server-side apply: integers wrap
};

// A value that does not fit its Go type, in encoding/json's words.
struct TypeMismatch : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// `unknown` collects the paths of undeclared members, e.g. spec.bogus.
json go_form(const Type *type, const json &value, Decoder decoder, std::vector<std::string> *unknown = nullptr);

// RFC 3339 text → UTC with whole seconds; throws TypeMismatch.
std::string canonical_time(const std::string &text, bool micro);

} // namespace kubesim
