// Request bodies: JSON as the API server's decoders read it, and apply bodies as its YAML parser reads them.
//
// The body of a server-side apply goes through a YAML parser even when it is JSON, and the two languages differ:
// "\/" and surrogate pairs are errors, U+0085 inside a string becomes a space, a key of more than 1024 characters is
// an error, control characters are rejected. Clients have to know; so the simulator does the same.
#pragma once

#include "json.hpp"

#include <optional>
#include <string>
#include <vector>

namespace kubesim {

// A member given twice; the last one won.
struct DuplicateMember {
    std::string path; // dotted
    std::string key;
    size_t line; // from 1
};

struct ParsedBody {
    json value;
    std::string error; // empty = parsed; else the parser's own words
    std::vector<DuplicateMember> duplicates;
};

ParsedBody parse_json_body(const std::string &text);

// `error` comes without the prefix "error decoding YAML: ".
ParsedBody parse_yaml_body(const std::string &text);

} // namespace kubesim
