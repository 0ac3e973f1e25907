// Members of a JSON document that a client hands in: each is asked for with its type, and what nobody asked for is an
// error, so that a misspelt member is not silently ignored. Backends.
#pragma once

#include "pg/guard.hpp"

#include <nlohmann/json.hpp>

#include <set>

namespace dbnet::gateway {

class RequestFields {
public:
    // `what`: which object it is, for messages: "column 2".
    RequestFields(const nlohmann::json &object, std::string what);

    // Throw 22023 when the member has another type; the first also when it is absent. null counts as absent.
    std::string text(const char *name);
    std::optional<std::string> optional_text(const char *name);
    bool flag(const char *name, bool absent = false);
    std::vector<std::string> texts(const char *name); // an array of texts; absent: none
    // One of the words, given in lower case, whatever the case of the value; absent: empty.
    std::string word(const char *name, std::initializer_list<std::string_view> words);

    // Members that somebody else reads.
    void leave(std::initializer_list<const char *> names) { known_.insert(names.begin(), names.end()); }
    // Throws 22023 when there is a member that was not asked for.
    void finish() const;

    const std::string &what() const noexcept { return what_; }

private:
    const nlohmann::json *find(const char *name);
    pg::error wrong(const char *name, const char *wanted) const;

    const nlohmann::json &object_;
    std::string what_;
    std::set<std::string> known_;
};

// Throws 22023 unless it is an array.
const nlohmann::json &required_array(const nlohmann::json &value, const char *what);

} // namespace dbnet::gateway
