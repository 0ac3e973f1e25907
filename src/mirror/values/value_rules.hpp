// Which values a field takes and which of them mean the same, for a field with all that lies below it: what the
// server's schema says (kubernetes::Schema::rules), kept beside the column. A server wraps an integer that is too large
// for its field without a word, so what a user wants is checked before it is sent.
//
// Pure C++; used by backends (checks of user writes, dbnet.preview) and by the mirror worker.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace dbnet::mirror {

class ValueRules {
public:
    // Reads the stored form; nullptr when it is empty or says nothing. What it does not understand is not checked.
    static std::shared_ptr<const ValueRules> parse(std::string_view text);

    struct Violation {
        std::string place;   // below the field: containers[name=app].ports[1]; empty: the value itself
        std::string problem; // what is wrong with the value found there, which is named in up to 64 bytes
        std::string hint;
    };
    // The first value (object form) that the server would refuse or change silently. Absent members are no matter here.
    std::optional<Violation> check(const nlohmann::json &value) const;

    // Equal in meaning: quantities by amount, times by instant, numbers by value.
    bool same(const nlohmann::json &left, const nlohmann::json &right) const;

    // Everything wanted is in live, in the same meaning; what the server added does not count.
    bool covers(const nlohmann::json &live, const nlohmann::json &wanted) const;

    // True when they say nothing beyond a type: no limit, nothing below.
    bool is_plain() const;

    // Allowed values of the field itself, as text; empty: not limited to a list.
    std::vector<std::string> enumeration() const;

    struct Node;
    struct Content; // both private to the source file
    ~ValueRules();

private:
    explicit ValueRules(std::unique_ptr<const Content> content);
    std::unique_ptr<const Content> content_;
};

// False, 0, "" and empty collections: what servers leave out.
bool is_zero(const nlohmann::json &value);

// A value for a message: JSON text, cut at 64 bytes on a character boundary.
std::string shown(const nlohmann::json &value);

} // namespace dbnet::mirror
