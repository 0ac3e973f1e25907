// Label and field selectors of list, watch and deletecollection.
#include "selectors.hpp"

#include "errors.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace kubesim {

// Recursive descent over the server's own grammar; its error texts name what was expected where.
class LabelParser {
public:
    LabelParser(const std::string &text, LabelSelector &into) : text_(text), into_(into) { next(); }

    void parse() {
        if (token_.empty())
            return;
        for (;;) {
            requirement();
            if (token_.empty())
                return;
            if (token_ != ",")
                fail("',' or 'end of string'");
            next();
            if (token_.empty())
                throw ApiError::bad_request("found '', expected: identifier after ','");
        }
    }

private:
    static constexpr const char *symbols = "=!(),<>";

    bool identifier() const { return !token_.empty() && !strchr(symbols, token_[0]); }

    [[noreturn]] void fail(const std::string &expected) const {
        throw ApiError::bad_request("found '" + token_ + "', expected: " + expected);
    }

    void next() {
        while (at_ < text_.size() && isspace(static_cast<unsigned char>(text_[at_])))
            at_++;
        size_t start = at_;
        if (at_ >= text_.size()) {
            token_.clear();
            return;
        }
        auto symbol = [&](size_t i) { return i < text_.size() && strchr(symbols, text_[i]) != nullptr; };
        if (symbol(at_)) {
            at_++;
            if (text_[start] == '=' && at_ < text_.size() && text_[at_] == '=')
                at_++;
            else if (text_[start] == '!' && at_ < text_.size() && text_[at_] == '=')
                at_++;
        } else {
            while (at_ < text_.size() && !symbol(at_) && !isspace(static_cast<unsigned char>(text_[at_])))
                at_++;
        }
        token_ = text_.substr(start, at_ - start);
    }

    std::string take_identifier() {
        std::string word = token_;
        next();
        return word;
    }

    void requirement() {
        using Operator = LabelSelector::Operator;
        bool negated = token_ == "!";
        if (negated)
            next();
        if (!identifier())
            fail(negated ? "identifier" : "!, identifier, or 'end of string'");
        LabelSelector::Requirement out{take_identifier(), Operator::exists, {}};
        if (negated)
            out.op = Operator::not_exists;
        else if (!token_.empty() && token_ != ",")
            operation(out);
        into_.requirements_.push_back(std::move(out));
    }

    void operation(LabelSelector::Requirement &out) {
        using Operator = LabelSelector::Operator;
        std::string op = token_;
        if (op == "=" || op == "==" || op == "!=" || op == ">" || op == "<") {
            next();
            out.op = op == "!=" ? Operator::not_in
                     : op == ">" ? Operator::greater
                     : op == "<" ? Operator::less
                                 : Operator::in;
            // "key=" selects the empty value
            out.values = {identifier() ? take_identifier() : ""};
            return;
        }
        if (op != "in" && op != "notin")
            fail("in, notin, =, ==, !=, gt, lt");
        out.op = op == "in" ? Operator::in : Operator::not_in;
        next();
        if (token_ != "(")
            fail("'('");
        next();
        for (;;) {
            out.values.push_back(identifier() ? take_identifier() : "");
            if (token_ == ")")
                break;
            if (token_ != ",")
                fail("',', or ')'");
            next();
        }
        next();
    }

    const std::string &text_;
    LabelSelector &into_;
    size_t at_ = 0;
    std::string token_;
};

LabelSelector::LabelSelector(const std::string &text) { LabelParser(text, *this).parse(); }

bool LabelSelector::matches(const json &metadata) const {
    const json *labels = find(metadata, "labels");
    for (const auto &requirement : requirements_) {
        const json *value = labels ? find(*labels, requirement.key) : nullptr;
        std::string text = value && value->is_string() ? value->get<std::string>() : "";
        bool listed = std::find(requirement.values.begin(), requirement.values.end(), text) != requirement.values.end();
        bool ok = false;
        switch (requirement.op) {
        case Operator::exists:
            ok = value;
            break;
        case Operator::not_exists:
            ok = !value;
            break;
        case Operator::in:
            ok = value && listed;
            break;
        case Operator::not_in:
            ok = !value || !listed;
            break;
        case Operator::greater:
            ok = value && atoll(text.c_str()) > atoll(requirement.values[0].c_str());
            break;
        case Operator::less:
            ok = value && atoll(text.c_str()) < atoll(requirement.values[0].c_str());
            break;
        }
        if (!ok)
            return false;
    }
    return true;
}

FieldSelector::FieldSelector(const std::string &text, const std::vector<std::string> &supported) {
    for (size_t at = 0; at < text.size();) {
        size_t end = std::min(text.find(',', at), text.size());
        std::string term = text.substr(at, end - at);
        at = end + 1;
        if (term.empty())
            continue;
        size_t sign = term.find_first_of("=!");
        if (sign == std::string::npos || (term[sign] == '!' && term.compare(sign, 2, "!=") != 0))
            throw ApiError::bad_request("invalid selector: " + go_quoted(text) + "; can't understand " +
                                        go_quoted(term));
        size_t length = term.compare(sign, 2, "==") == 0 || term[sign] == '!' ? 2 : 1;
        std::string field = term.substr(0, sign);
        if (std::find(supported.begin(), supported.end(), field) == supported.end()) {
            std::string list;
            for (const auto &one : supported)
                list += (list.empty() ? "" : ", ") + go_quoted(one);
            throw ApiError::bad_request(go_quoted(field) + " is not a known field selector: only " + list);
        }
        Requirement out{{}, term[sign] != '!', term.substr(sign + length)};
        for (size_t from = 0; from <= field.size();) {
            size_t dot = std::min(field.find('.', from), field.size());
            out.path.push_back(field.substr(from, dot - from));
            from = dot + 1;
        }
        requirements_.push_back(std::move(out));
    }
}

bool FieldSelector::matches(const json &object) const {
    for (const auto &requirement : requirements_) {
        const json *at = &object;
        for (const auto &name : requirement.path)
            at = at ? find(*at, name) : nullptr;
        std::string value = !at ? "" : at->is_string() ? at->get<std::string>() : dump(*at);
        // Absent booleans select as "false".
        if (!at && requirement.path.back() == "unschedulable")
            value = "false";
        if ((value == requirement.value) != requirement.equal)
            return false;
    }
    return true;
}

std::string FieldSelector::exact_name() const {
    for (const auto &requirement : requirements_)
        if (requirement.equal && requirement.path == std::vector<std::string>{"metadata", "name"})
            return requirement.value;
    return "";
}

} // namespace kubesim
