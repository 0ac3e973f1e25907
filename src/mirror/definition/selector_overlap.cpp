// Whether two label selectors may select the same object (see selector_overlap.hpp); backends.
#include "mirror/definition/selector_overlap.hpp"

#include <optional>
#include <string>
#include <vector>

#include "pg/no_postgres.hpp"

namespace dbnet::mirror {
namespace {

// The forms that can exclude one another; set-based requirements ("in", "notin") are taken for no restriction.
struct Requirement {
    enum Kind { equals, differs, absent } kind;
    std::string_view key, value;
};

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && text.front() == ' ')
        text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ')
        text.remove_suffix(1);
    return text;
}

std::optional<Requirement> parse_requirement(std::string_view text) {
    text = trimmed(text);
    if (text.empty() || text.find_first_of("()") != std::string_view::npos)
        return std::nullopt;
    if (const size_t at = text.find("!="); at != std::string_view::npos)
        return Requirement{Requirement::differs, trimmed(text.substr(0, at)), trimmed(text.substr(at + 2))};
    if (const size_t at = text.find('='); at != std::string_view::npos) {
        const size_t value = text.substr(at).starts_with("==") ? at + 2 : at + 1;
        return Requirement{Requirement::equals, trimmed(text.substr(0, at)), trimmed(text.substr(value))};
    }
    if (text.front() == '!')
        return Requirement{Requirement::absent, trimmed(text.substr(1)), {}};
    return std::nullopt;
}

std::vector<Requirement> parse(std::string_view selector) {
    std::vector<Requirement> requirements;
    size_t start = 0;
    int depth = 0;
    for (size_t i = 0; i <= selector.size(); i++) {
        const char character = i < selector.size() ? selector[i] : ',';
        depth += character == '(' ? 1 : character == ')' ? -1 : 0;
        if (character != ',' || (depth > 0 && i < selector.size()))
            continue;
        if (const std::optional<Requirement> requirement = parse_requirement(selector.substr(start, i - start)))
            requirements.push_back(*requirement);
        start = i + 1;
    }
    return requirements;
}

bool exclude(const Requirement &one, const Requirement &other) {
    if (one.key != other.key || one.kind != Requirement::equals)
        return false;
    switch (other.kind) {
    case Requirement::equals:
        return one.value != other.value;
    case Requirement::differs:
        return one.value == other.value;
    case Requirement::absent:
        return true;
    }
    return false;
}

} // namespace

bool may_overlap(std::string_view left, std::string_view right) {
    const std::vector<Requirement> left_requirements = parse(left), right_requirements = parse(right);
    for (const Requirement &one : left_requirements)
        for (const Requirement &other : right_requirements)
            if (exclude(one, other) || exclude(other, one))
                return false;
    return true;
}

} // namespace dbnet::mirror
