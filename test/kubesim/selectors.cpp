// Label and field selectors of list, watch and deletecollection.
#include "selectors.hpp"

#include "errors.hpp"
#include "validation.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>

namespace kubesim {

// Recursive descent over the server's own grammar; its error texts name what was expected where.
class LabelParser {
public:
    LabelParser(const std::string &text, LabelSelector &into) : text_(text), into_(into) { next(); }

    void parse() {
        for (;;) {
            if (token_.empty())
                return;
            if (!identifier() && token_ != "!")
                fail(", expected: !, identifier, or 'end of string'");
            try {
                requirement();
            } catch (const Mistake &mistake) {
                throw ApiError::bad_request("unable to parse requirement: " + mistake.text);
            }
            if (token_.empty())
                return;
            if (token_ != ",")
                fail(", expected: ',' or 'end of string'");
            next();
            if (!identifier() && token_ != "!")
                fail(", expected: identifier after ','");
        }
    }

private:
    using Operator = LabelSelector::Operator;
    struct Mistake {
        std::string text;
    };

    static bool symbol(char c) { return strchr("=!(),<>", c) != nullptr; }
    bool identifier() const { return !token_.empty() && !symbol(token_[0]); }

    [[noreturn]] void fail(const std::string &expected) const {
        throw ApiError::bad_request("found '" + token_ + "'" + expected);
    }
    [[noreturn]] void mistake(const std::string &expected) const { throw Mistake{"found '" + token_ + "'" + expected}; }

    void next() {
        while (at_ < text_.size() && isspace(static_cast<unsigned char>(text_[at_])))
            at_++;
        size_t start = at_;
        if (at_ < text_.size() && symbol(text_[at_])) {
            at_++;
            // two-character operators
            if ((text_[start] == '=' || text_[start] == '!') && at_ < text_.size() && text_[at_] == '=')
                at_++;
        } else {
            while (at_ < text_.size() && !symbol(text_[at_]) && !isspace(static_cast<unsigned char>(text_[at_])))
                at_++;
        }
        token_ = text_.substr(start, at_ - start);
    }

    std::string take() {
        std::string word = token_;
        next();
        return word;
    }

    void requirement() {
        bool negated = token_ == "!";
        if (negated)
            next();
        if (!identifier())
            mistake(", expected: identifier");
        LabelSelector::Requirement out{take(), negated ? Operator::not_exists : Operator::exists, {}};
        check(out.key, qualified_name_errors(out.key), "<nil>");
        if (!token_.empty() && token_ != ",")
            operation(out);
        for (size_t i = 0; i < out.values.size(); i++)
            check(out.values[i], label_value_errors(out.values[i]),
                  "values[" + std::to_string(i) + "][" + out.key + "]");
        into_.requirements_.push_back(std::move(out));
    }

    static void check(const std::string &text, const std::vector<std::string> &problems, const std::string &where) {
        if (!problems.empty())
            throw Mistake{where + ": Invalid value: " + go_quoted(text) + ": " + problems.front()};
    }

    void operation(LabelSelector::Requirement &out) {
        static const std::map<std::string, Operator> exact = {{"=", Operator::in},
                                                              {"==", Operator::in},
                                                              {"!=", Operator::not_in},
                                                              {">", Operator::greater},
                                                              {"<", Operator::less}};
        if (auto it = exact.find(token_); it != exact.end()) {
            next();
            out.op = it->second;
            // "key=" selects the empty value
            if (!token_.empty() && token_ != "," && !identifier())
                mistake(", expected: identifier");
            out.values = {identifier() ? take() : ""};
            if (out.op == Operator::greater || out.op == Operator::less)
                integer(out.values[0]);
            return;
        }
        if (token_ != "in" && token_ != "notin")
            mistake(", expected: in, notin, =, ==, !=, gt, lt");
        out.op = token_ == "in" ? Operator::in : Operator::not_in;
        next();
        if (token_ != "(")
            mistake(" expected: '('");
        next();
        if (!identifier() && token_ != "," && token_ != ")")
            mistake(", expected: ',', ')' or identifier");
        for (;;) {
            out.values.push_back(identifier() ? take() : "");
            if (token_ == ")")
                break;
            if (token_ != ",")
                mistake(", expected: ',' or ')'");
            next();
        }
        next();
    }

    static void integer(const std::string &text) {
        bool digits =
            !text.empty() && text.find_first_not_of("0123456789", text[0] == '-' ? 1 : 0) == std::string::npos;
        if (!digits)
            throw Mistake{"values[0]: Invalid value: " + go_quoted(text) +
                          ": for 'Gt', 'Lt' operators, the value must be an integer"};
    }

    const std::string &text_;
    LabelSelector &into_;
    size_t at_ = 0;
    std::string token_;
};

LabelSelector::LabelSelector(const std::string &text) {
    LabelParser(text, *this).parse();
}

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

FieldSelector::FieldSelector(const std::string &text, const std::vector<std::string> &supported, bool own) {
    for (size_t at = 0; at < text.size();) {
        size_t end = std::min(text.find(',', at), text.size());
        std::string term = text.substr(at, end - at);
        at = end + 1;
        if (term.empty())
            continue;
        size_t sign = term.find_first_of("=!");
        if (sign == std::string::npos || (term[sign] == '!' && term.compare(sign, 2, "!=") != 0))
            throw ApiError::bad_request("invalid selector: '" + text + "'; can't understand '" + term + "'");
        size_t length = term.compare(sign, 2, "==") == 0 || term[sign] == '!' ? 2 : 1;
        std::string field = term.substr(0, sign);
        if (std::find(supported.begin(), supported.end(), field) == supported.end()) {
            std::string list;
            for (const auto &one : supported)
                list += (list.empty() ? "" : ", ") + go_quoted(one);
            throw ApiError::bad_request(own ? "field label not supported: " + field
                                            : go_quoted(field) + " is not a known field selector: only " + list);
        }
        Requirement out{{}, term[sign] != '!', term.substr(sign + length)};
        // Two fields are selected by another name than theirs.
        if (field == "source")
            field = "source.component";
        else if (field == "status.successful")
            field = "status.succeeded";
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
        // Absent booleans select as "false", absent numbers as "0".
        if (!at && requirement.path.back() == "unschedulable")
            value = "false";
        if (!at && requirement.path.back() == "succeeded")
            value = "0";
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
