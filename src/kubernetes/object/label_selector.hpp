// Label selectors as the API server reads them: "app=web,tier in (a, b),!old". Pure C++; backends and mirror worker.
#pragma once

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dbnet::kubernetes {

class LabelSelector {
public:
    struct Requirement {
        enum class Kind { exists, absent, in, not_in, greater, less };
        Kind kind = Kind::exists;
        std::string key;
        std::vector<std::string> values; // key=value is one of one

        bool allows(const std::string *value) const; // nullptr: no such label
    };

    LabelSelector() = default; // matches everything

    // nullopt: the server would refuse it.
    static std::optional<LabelSelector> parse(std::string_view text);

    // `labels`: an object's metadata.labels; anything but an object is no labels.
    bool matches(const nlohmann::json &labels) const;
    bool matches_all() const noexcept { return requirements_.empty(); }

    const std::vector<Requirement> &requirements() const noexcept { return requirements_; }
    const std::string &text() const noexcept { return text_; } // as it was given

private:
    std::vector<Requirement> requirements_;
    std::string text_;
};

} // namespace dbnet::kubernetes
