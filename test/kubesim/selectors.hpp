// Label and field selectors of list, watch and deletecollection.
#pragma once

#include "json.hpp"

#include <string>
#include <vector>

namespace kubesim {

class LabelSelector {
public:
    // Throws ApiError 400 with the server's parser's words.
    explicit LabelSelector(const std::string &text);
    bool matches(const json &metadata) const;
    bool everything() const { return requirements_.empty(); }

private:
    enum class Operator { exists, not_exists, in, not_in, greater, less };
    struct Requirement {
        std::string key;
        Operator op;
        std::vector<std::string> values;
    };
    friend class LabelParser;
    std::vector<Requirement> requirements_;
};

class FieldSelector {
public:
    // `supported`: the paths this kind can select by. Throws ApiError 400, which lists them unless they are the kind's
    // own.
    FieldSelector(const std::string &text, const std::vector<std::string> &supported, bool own = false);
    bool matches(const json &object) const;
    bool everything() const { return requirements_.empty(); }
    // Set when the selector pins metadata.name.
    std::string exact_name() const;

private:
    struct Requirement {
        std::vector<std::string> path;
        bool equal;
        std::string value;
    };
    std::vector<Requirement> requirements_;
};

} // namespace kubesim
