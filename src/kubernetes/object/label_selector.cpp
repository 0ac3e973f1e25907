// Reads label selectors and compares them with labels; see the header.
#include "kubernetes/object/label_selector.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace dbnet::kubernetes {
namespace {

using Requirement = LabelSelector::Requirement;
using Kind = Requirement::Kind;

std::optional<int64_t> number(std::string_view text) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || end != text.data() + text.size())
        return std::nullopt;
    return value;
}

// Words and the signs between them. "" is the end.
class Reader {
public:
    explicit Reader(std::string_view text) : rest_(text) { next(); }

    // False: this is no selector.
    bool read(std::vector<Requirement> &requirements) {
        if (token_.empty())
            return true;
        do {
            if (!read_requirement(requirements.emplace_back()))
                return false;
        } while (take(","));
        return token_.empty();
    }

private:
    static bool is_sign(char c) { return std::string_view("=!(),<>").find(c) != std::string_view::npos; }
    static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
    bool is_word() const { return !token_.empty() && !is_sign(token_.front()); }

    void next() {
        while (!rest_.empty() && is_space(rest_.front()))
            rest_.remove_prefix(1);
        size_t size = 0;
        if (rest_.starts_with("==") || rest_.starts_with("!="))
            size = 2;
        else if (!rest_.empty() && is_sign(rest_.front()))
            size = 1;
        else
            while (size < rest_.size() && !is_sign(rest_[size]) && !is_space(rest_[size]))
                ++size;
        token_ = rest_.substr(0, size);
        rest_.remove_prefix(size);
    }

    bool take(std::string_view token) {
        if (token_ != token)
            return false;
        next();
        return true;
    }

    std::string take_word() {
        std::string word;
        if (is_word()) {
            word = token_;
            next();
        }
        return word;
    }

    bool read_requirement(Requirement &requirement) {
        const bool is_negated = take("!");
        requirement.key = take_word();
        if (requirement.key.empty())
            return false;
        if (is_negated || token_.empty() || token_ == ",") {
            requirement.kind = is_negated ? Kind::absent : Kind::exists;
            return true;
        }
        if (take("in"))
            requirement.kind = Kind::in;
        else if (take("notin"))
            requirement.kind = Kind::not_in;
        else
            return read_comparison(requirement);
        if (!take("("))
            return false;
        do
            requirement.values.push_back(take_word());
        while (take(","));
        return take(")");
    }

    bool read_comparison(Requirement &requirement) {
        if (take("=") || take("=="))
            requirement.kind = Kind::in;
        else if (take("!="))
            requirement.kind = Kind::not_in;
        else if (take(">"))
            requirement.kind = Kind::greater;
        else if (take("<"))
            requirement.kind = Kind::less;
        else
            return false;
        requirement.values = {take_word()}; // "key=" asks for the empty value
        const bool is_order = requirement.kind == Kind::greater || requirement.kind == Kind::less;
        return !is_order || number(requirement.values.front()).has_value();
    }

    std::string_view rest_, token_;
};

} // namespace

bool Requirement::allows(const std::string *value) const {
    const auto is_listed = [&] { return std::find(values.begin(), values.end(), *value) != values.end(); };
    switch (kind) {
    case Kind::exists:
        return value != nullptr;
    case Kind::absent:
        return value == nullptr;
    case Kind::in:
        return value && is_listed();
    case Kind::not_in:
        return !value || !is_listed();
    case Kind::greater:
    case Kind::less:
        break;
    }
    const auto theirs = value ? number(*value) : std::nullopt;
    const auto ours = number(values.front());
    return theirs && ours && (kind == Kind::greater ? *theirs > *ours : *theirs < *ours);
}

std::optional<LabelSelector> LabelSelector::parse(std::string_view text) {
    LabelSelector selector;
    if (!Reader(text).read(selector.requirements_))
        return std::nullopt;
    selector.text_ = text;
    return selector;
}

bool LabelSelector::matches(const nlohmann::json &labels) const {
    return std::all_of(requirements_.begin(), requirements_.end(), [&](const Requirement &requirement) {
        const auto label = labels.is_object() ? labels.find(requirement.key) : labels.end();
        const bool is_there = labels.is_object() && label != labels.end() && label->is_string();
        return requirement.allows(is_there ? label->get_ptr<const std::string *>() : nullptr);
    });
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
