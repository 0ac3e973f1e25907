// Request bodies: JSON as the API server's decoders read it, and apply bodies as its YAML parser reads them.
#include "body_parser.hpp"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace kubesim {

namespace {

struct Failure {
    std::string text;
};
struct NotFlowJson {}; // YAML that is no JSON: plain scalars, block style

// One character of valid UTF-8 at `at`; throws Failure with the YAML reader's words.
uint32_t decode_utf8(const std::string &text, size_t at, size_t &length) {
    auto byte = static_cast<unsigned char>(text[at]);
    length = byte < 0x80 ? 1 : (byte & 0xE0) == 0xC0 ? 2 : (byte & 0xF0) == 0xE0 ? 3 : (byte & 0xF8) == 0xF0 ? 4 : 0;
    if (length == 0)
        throw Failure{"yaml: invalid leading UTF-8 octet"};
    if (at + length > text.size())
        throw Failure{"yaml: incomplete UTF-8 octet sequence"};
    uint32_t value = length == 1 ? byte : byte & (0xFF >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        auto next = static_cast<unsigned char>(text[at + i]);
        if ((next & 0xC0) != 0x80)
            throw Failure{"yaml: invalid trailing UTF-8 octet"};
        value = value << 6 | (next & 0x3F);
    }
    if ((length == 2 && value < 0x80) || (length == 3 && value < 0x800) || (length == 4 && value < 0x10000))
        throw Failure{"yaml: invalid length of a UTF-8 sequence"};
    if ((value >= 0xD800 && value <= 0xDFFF) || value > 0x10FFFF)
        throw Failure{"yaml: invalid Unicode character"};
    return value;
}

// The YAML reader checks the whole stream before anything is scanned.
void check_yaml_characters(const std::string &text) {
    for (size_t at = 0; at < text.size();) {
        auto byte = static_cast<unsigned char>(text[at]);
        if (byte >= 0x20 && byte < 0x7F) {
            at++;
            continue;
        }
        size_t length;
        uint32_t c = decode_utf8(text, at, length);
        bool allowed = c == 0x09 || c == 0x0A || c == 0x0D || c == 0x85 || (c >= 0xA0 && c <= 0xD7FF) ||
                       (c >= 0xE000 && c <= 0xFFFD) || c >= 0x10000;
        if (!allowed)
            throw Failure{"yaml: control characters are not allowed"};
        at += length;
    }
}

void append_utf8(std::string &out, uint32_t c) {
    if (c < 0x80)
        out += static_cast<char>(c);
    else if (c < 0x800) {
        out += static_cast<char>(0xC0 | c >> 6);
        out += static_cast<char>(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        out += static_cast<char>(0xE0 | c >> 12);
        out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
        out += static_cast<char>(0x80 | (c & 0x3F));
    } else {
        out += static_cast<char>(0xF0 | c >> 18);
        out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
        out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
        out += static_cast<char>(0x80 | (c & 0x3F));
    }
}

enum class Dialect { json, yaml };

class Parser {
public:
    Parser(const std::string &text, Dialect dialect) : text_(text), dialect_(dialect) {}

    json document() {
        skip_space();
        json value = parse_value("");
        skip_space();
        // Only the first YAML document is read; what follows a complete flow collection is never looked at.
        if (at_ < text_.size() && !(dialect_ == Dialect::yaml && value.is_structured()))
            unexpected("after top-level value");
        return value;
    }

    std::vector<DuplicateMember> duplicates;

private:
    static constexpr int depth_limit = 10000; // both decoders of the server refuse deeper nesting

    void skip_space() {
        while (at_ < text_.size() &&
               (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r'))
            at_++;
    }

    [[noreturn]] void unexpected(const std::string &where) {
        if (dialect_ == Dialect::yaml && at_ >= text_.size() && depth_ > 0)
            throw Failure{"yaml: line " + std::to_string(line(at_)) + ": did not find expected ',' or '}'"};
        if (dialect_ == Dialect::yaml)
            throw NotFlowJson{};
        if (at_ >= text_.size())
            throw Failure{"unexpected end of JSON input"};
        throw Failure{"invalid character '" + text_.substr(at_, 1) + "' " + where};
    }

    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

    json parse_value(const std::string &path) {
        if (++depth_ > depth_limit)
            throw Failure{dialect_ == Dialect::json ? "exceeded max depth" : "yaml: exceeded max depth of 10000"};
        json value;
        switch (peek()) {
        case '{':
            value = parse_object(path);
            break;
        case '[':
            value = parse_array(path);
            break;
        case '"':
            value = parse_string();
            break;
        default:
            value = parse_plain();
        }
        depth_--;
        return value;
    }

    json parse_object(const std::string &path) {
        json out = json::object();
        at_++;
        skip_space();
        if (peek() == '}') {
            at_++;
            return out;
        }
        for (;;) {
            if (peek() != '"')
                unexpected("looking for beginning of object key string");
            size_t key_start = at_;
            std::string key = parse_string();
            skip_space();
            // A simple key of YAML must be followed by its colon within 1024 characters.
            if (dialect_ == Dialect::yaml && characters(key_start, at_) > 1024)
                throw Failure{"yaml: did not find expected ',' or '}'"};
            if (peek() != ':')
                unexpected("after object key");
            at_++;
            skip_space();
            std::string inner = path.empty() ? key : path + "." + key;
            json value = parse_value(inner);
            if (out.contains(key))
                duplicates.push_back({inner, key, line(key_start)});
            out[key] = std::move(value);
            skip_space();
            if (peek() == '}') {
                at_++;
                return out;
            }
            if (peek() != ',')
                unexpected("after object key:value pair");
            at_++;
            skip_space();
        }
    }

    json parse_array(const std::string &path) {
        json out = json::array();
        at_++;
        skip_space();
        if (peek() == ']') {
            at_++;
            return out;
        }
        for (size_t i = 0;; i++) {
            out.push_back(parse_value(path + "[" + std::to_string(i) + "]"));
            skip_space();
            if (peek() == ']') {
                at_++;
                return out;
            }
            if (peek() != ',')
                unexpected("after array element");
            at_++;
            skip_space();
        }
    }

    size_t line(size_t at) const { return 1 + std::count(text_.begin(), text_.begin() + at, '\n'); }

    size_t characters(size_t from, size_t to) const {
        size_t count = 0;
        for (; from < to; from++)
            count += (text_[from] & 0xC0) != 0x80;
        return count;
    }

    uint32_t hex(size_t digits) {
        uint32_t value = 0;
        if (at_ + digits > text_.size())
            throw Failure{dialect_ == Dialect::json ? "unexpected end of JSON input"
                                                    : "yaml: did not find expected hexdecimal number"};
        auto result = std::from_chars(text_.data() + at_, text_.data() + at_ + digits, value, 16);
        if (result.ptr != text_.data() + at_ + digits)
            throw Failure{dialect_ == Dialect::json ? "invalid character in \\u hexadecimal character escape"
                                                    : "yaml: did not find expected hexdecimal number"};
        at_ += digits;
        return value;
    }

    std::string parse_string() {
        std::string out;
        at_++;
        for (;;) {
            if (at_ >= text_.size())
                throw Failure{dialect_ == Dialect::json ? "unexpected end of JSON input"
                                                        : "yaml: found unexpected end of stream"};
            char c = text_[at_];
            if (c == '"') {
                at_++;
                return out;
            }
            if (c == '\\') {
                at_++;
                parse_escape(out);
            } else if (dialect_ == Dialect::yaml && (c == ' ' || c == '\t' || line_break())) {
                fold_space(out);
            } else {
                if (dialect_ == Dialect::json && static_cast<unsigned char>(c) < 0x20)
                    throw Failure{"invalid character in string literal"};
                out += c;
                at_++;
            }
        }
    }

    // Bytes of the line break here: CR, LF, CRLF, NEL (U+0085), LS, PS (U+2028, U+2029); 0 = none.
    size_t line_break() const {
        auto starts = [&](std::string_view with) { return text_.compare(at_, with.size(), with) == 0; };
        if (starts("\r\n"))
            return 2;
        if (starts("\r") || starts("\n"))
            return 1;
        if (starts("\xC2\x85"))
            return 2;
        return starts("\xE2\x80\xA8") || starts("\xE2\x80\xA9") ? 3 : 0;
    }

    // Blanks and breaks inside a double-quoted YAML string: blanks around a break vanish, one break is a space,
    // more breaks are kept but for the first; U+2028 and U+2029 stay what they are.
    void fold_space(std::string &out) {
        std::string blanks, first, more;
        bool broken = false;
        for (;;) {
            if (peek() == ' ' || peek() == '\t') {
                if (!broken)
                    blanks += peek();
                at_++;
                continue;
            }
            size_t length = line_break();
            if (!length)
                break;
            std::string kept = length == 3 ? text_.substr(at_, 3) : "\n";
            at_ += length;
            (broken ? more : first) += kept;
            broken = true;
        }
        if (!broken)
            out += blanks;
        else if (first == "\n")
            out += more.empty() ? " " : more;
        else
            out += first + more;
    }

    void parse_escape(std::string &out) {
        if (at_ >= text_.size())
            throw Failure{dialect_ == Dialect::json ? "unexpected end of JSON input"
                                                    : "yaml: found unexpected end of stream"};
        char c = text_[at_++];
        switch (c) {
        case '"':
        case '\\':
            out += c;
            return;
        case 'b':
            out += '\b';
            return;
        case 'f':
            out += '\f';
            return;
        case 'n':
            out += '\n';
            return;
        case 'r':
            out += '\r';
            return;
        case 't':
            out += '\t';
            return;
        case 'u':
            return dialect_ == Dialect::json ? json_unicode(out) : yaml_unicode(out, 4);
        default:
            break;
        }
        if (dialect_ == Dialect::json) {
            if (c != '/')
                throw Failure{std::string("invalid character '") + c + "' in string escape code"};
            out += '/';
            return;
        }
        switch (c) {
        case '0':
            out += '\0';
            return;
        case 'a':
            out += '\a';
            return;
        case 'v':
            out += '\v';
            return;
        case 'e':
            out += '\x1b';
            return;
        case ' ':
        case '\'':
            out += c;
            return;
        case 'N':
            return append_utf8(out, 0x85);
        case '_':
            return append_utf8(out, 0xA0);
        case 'L':
            return append_utf8(out, 0x2028);
        case 'P':
            return append_utf8(out, 0x2029);
        case 'x':
            return yaml_unicode(out, 2);
        case 'U':
            return yaml_unicode(out, 8);
        default:
            throw Failure{"yaml: found unknown escape character"};
        }
    }

    void yaml_unicode(std::string &out, size_t digits) {
        uint32_t value = hex(digits);
        if ((value >= 0xD800 && value <= 0xDFFF) || value > 0x10FFFF)
            throw Failure{"yaml: found invalid Unicode character escape code"};
        append_utf8(out, value);
    }

    void json_unicode(std::string &out) {
        uint32_t value = hex(4);
        if (value >= 0xD800 && value <= 0xDBFF && text_.compare(at_, 2, "\\u") == 0) {
            size_t back = at_;
            at_ += 2;
            uint32_t low = hex(4);
            if (low >= 0xDC00 && low <= 0xDFFF)
                return append_utf8(out, 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00));
            at_ = back;
        }
        append_utf8(out, value >= 0xD800 && value <= 0xDFFF ? 0xFFFD : value);
    }

    json parse_plain() {
        size_t start = at_;
        while (at_ < text_.size() && !strchr_any(text_[at_]))
            at_++;
        std::string word = text_.substr(start, at_ - start);
        if (word == "true")
            return true;
        if (word == "false")
            return false;
        if (word == "null")
            return nullptr;
        at_ = start;
        if (word.empty() || !(word[0] == '-' || (word[0] >= '0' && word[0] <= '9')))
            unexpected("looking for beginning of value");
        json number = json::parse(word, nullptr, false);
        if (number.is_discarded())
            unexpected("in numeric literal");
        at_ = start + word.size();
        return number;
    }

    static bool strchr_any(char c) { return std::string_view(",]} \t\r\n:").find(c) != std::string_view::npos; }

    const std::string &text_;
    Dialect dialect_;
    size_t at_ = 0;
    int depth_ = 0;
};

// ---- block style and plain scalars, by yaml-cpp ----------------------------------------------------------------

json plain_scalar(const std::string &text) {
    if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL")
        return nullptr;
    for (const char *word : {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
        if (text == word)
            return true;
    for (const char *word : {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})
        if (text == word)
            return false;
    int64_t integer;
    auto whole = std::from_chars(text.data(), text.data() + text.size(), integer);
    if (whole.ec == std::errc() && whole.ptr == text.data() + text.size())
        return integer;
    double real;
    auto number = std::from_chars(text.data(), text.data() + text.size(), real);
    if (number.ec == std::errc() && number.ptr == text.data() + text.size() && std::isfinite(real))
        return real;
    return text;
}

json from_yaml(const YAML::Node &node, const std::string &path, std::vector<DuplicateMember> &duplicates) {
    if (node.IsSequence()) {
        json out = json::array();
        for (size_t i = 0; i < node.size(); i++)
            out.push_back(from_yaml(node[i], path + "[" + std::to_string(i) + "]", duplicates));
        return out;
    }
    if (node.IsMap()) {
        json out = json::object();
        for (const auto &pair : node) {
            std::string key = pair.first.Scalar();
            std::string inner = path.empty() ? key : path + "." + key;
            if (out.contains(key))
                duplicates.push_back({inner, key, static_cast<size_t>(pair.first.Mark().line + 1)});
            out[key] = from_yaml(pair.second, inner, duplicates);
        }
        return out;
    }
    if (!node.IsScalar())
        return nullptr;
    return node.Tag() == "!" ? json(node.Scalar()) : plain_scalar(node.Scalar()); // "!" = written in quotes
}

} // namespace

ParsedBody parse_json_body(const std::string &text) {
    ParsedBody out;
    Parser parser(text, Dialect::json);
    try {
        out.value = parser.document();
        out.duplicates = std::move(parser.duplicates);
    } catch (const Failure &failure) {
        out.error = failure.text;
    }
    return out;
}

ParsedBody parse_yaml_body(const std::string &text) {
    ParsedBody out;
    const std::string prefix = "error converting YAML to JSON: ";
    try {
        check_yaml_characters(text);
        Parser parser(text, Dialect::yaml);
        try {
            out.value = parser.document();
            out.duplicates = std::move(parser.duplicates);
        } catch (const NotFlowJson &) {
            out.value = from_yaml(YAML::Load(text), "", out.duplicates);
        }
    } catch (const Failure &failure) {
        out.error = prefix + failure.text;
    } catch (const YAML::Exception &error) {
        // The common mistakes in the words of the server's parser, the rest in yaml-cpp's.
        std::string what =
            error.msg == YAML::ErrorMsg::MAP_VALUE ? "mapping values are not allowed in this context" : error.msg;
        out.error = prefix + "yaml: line " + std::to_string(error.mark.line + 1) + ": " + what;
    }
    return out;
}

} // namespace kubesim
