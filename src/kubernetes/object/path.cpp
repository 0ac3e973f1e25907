// The text forms of field paths; see the header. Runs in the mirror worker and in backends.
#include "kubernetes/object/path.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>

namespace dbnet::kubernetes {
namespace {

constexpr size_t most_segments = 64;

bool is_plain(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '$';
}

bool is_plain_field(std::string_view text) noexcept {
    return !text.empty() && std::all_of(text.begin(), text.end(), is_plain);
}

// An integer in the only form that JSON prints.
bool is_integer(std::string_view text) noexcept {
    if (text.starts_with('-') && text != "-0")
        text.remove_prefix(1);
    return !text.empty() && text.size() <= 18 && text.find_first_not_of("0123456789") == std::string_view::npos &&
           (text.size() == 1 || text.front() != '0');
}

Selector typed_selector(std::string key, std::string_view bare_value) {
    Selector selector{std::move(key), std::string(bare_value), Selector::Type::string};
    if (is_integer(bare_value))
        selector.type = Selector::Type::integer;
    else if (bare_value == "true" || bare_value == "false")
        selector.type = Selector::Type::boolean;
    return selector;
}

std::string quote(std::string_view text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

bool is_utf8(std::string_view text) {
    try {
        (void)nlohmann::json(text).dump();
        return true;
    } catch (const nlohmann::json::type_error &) {
        return false;
    }
}

class Parser {
public:
    explicit Parser(std::string_view text) : text_(text) {}

    std::vector<Segment> parse() {
        if (!is_utf8(text_))
            throw PathError("the path is not valid UTF-8", 0);
        std::vector<Segment> segments;
        if (text_.empty())
            fail("a field name");
        while (at_ < text_.size()) {
            if (segments.size() == most_segments)
                throw PathError(
                    "the path " + quote(text_) + " has more than " + std::to_string(most_segments) + " parts", at_);
            segments.push_back(segment(segments.empty()));
        }
        return segments;
    }

private:
    bool take(char c) noexcept {
        if (at_ == text_.size() || text_[at_] != c)
            return false;
        ++at_;
        return true;
    }

    [[noreturn]] void fail(const std::string &expected) const {
        const std::string found =
            at_ < text_.size() ? "found " + quote(text_.substr(at_, character_length())) : "the path ends";
        throw PathError("the path " + quote(text_) + " is not valid: expected " + expected + " at character " +
                            std::to_string(character_position()) + ", " + found,
                        at_);
    }

    size_t character_length() const noexcept {
        size_t length = 1;
        while (at_ + length < text_.size() && (static_cast<unsigned char>(text_[at_ + length]) & 0xC0) == 0x80)
            ++length;
        return length;
    }

    size_t character_position() const noexcept {
        const auto begins_character = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
        return static_cast<size_t>(
                   std::count_if(text_.begin(), text_.begin() + static_cast<ptrdiff_t>(at_), begins_character)) +
               1;
    }

    std::string_view plain() noexcept {
        const size_t start = at_;
        while (at_ < text_.size() && is_plain(text_[at_]))
            ++at_;
        return text_.substr(start, at_ - start);
    }

    Segment segment(bool first) {
        if (text_[at_] == '[')
            return bracket();
        if (!first && !take('.'))
            fail("\".\" or \"[\"");
        const std::string_view field = plain();
        if (field.empty())
            fail("a field name (other names go into [\"...\"])");
        return {std::string(field), {}};
    }

    // After "[": a quoted map key, or selectors.
    Segment bracket() {
        ++at_;
        Segment segment;
        if (at_ < text_.size() && text_[at_] == '"') {
            segment.name = quoted();
        } else {
            do {
                const size_t start = at_;
                Selector next = selector();
                for (const Selector &earlier : segment.selectors)
                    if (earlier.key == next.key) {
                        at_ = start;
                        fail("a field that the selector does not name already");
                    }
                segment.selectors.push_back(std::move(next));
            } while (take(','));
        }
        if (!take(']'))
            fail(segment.is_element() ? "\"]\" or \",\"" : "\"]\"");
        return segment;
    }

    Selector selector() {
        const size_t start = at_;
        const std::string_view key = plain();
        if (key.empty())
            fail("a quoted map key or a selector such as name=app");
        if (!take('=')) {
            if (key.find_first_not_of("0123456789") == std::string_view::npos) {
                at_ = start;
                fail("a selector such as name=app (list elements have no fixed positions)");
            }
            fail("\"=\"");
        }
        if (at_ < text_.size() && text_[at_] == '"')
            return {std::string(key), quoted(), Selector::Type::string};
        const size_t end = std::min(text_.find_first_of(",]\"[", at_), text_.size());
        if (end == at_)
            fail("a value");
        const std::string_view value = text_.substr(at_, end - at_);
        at_ = end;
        return typed_selector(std::string(key), value);
    }

    // A JSON string; leaves at_ behind it.
    std::string quoted() {
        size_t end = at_ + 1;
        while (end < text_.size() && text_[end] != '"')
            end += text_[end] == '\\' ? 2 : 1;
        if (end >= text_.size()) {
            at_ = text_.size();
            fail("the closing quotation mark");
        }
        const auto value = nlohmann::json::parse(text_.substr(at_, end + 1 - at_), nullptr, false);
        if (!value.is_string())
            fail("a quoted string with JSON's escapes");
        at_ = end + 1;
        return value.get<std::string>();
    }

    std::string_view text_;
    size_t at_ = 0;
};

// Maps with keys that people choose: the server prints such a key unquoted, dots and all, so everything up to the next
// bracket or the end is the key.
bool is_free_map(const std::vector<Segment> &path) noexcept {
    constexpr std::array names = {"labels",   "annotations", "matchLabels", "nodeSelector",
                                  "data",     "binaryData",  "stringData",  "limits",
                                  "requests", "capacity",    "allocatable", "hard",
                                  "used",     "parameters",  "selector",    "volumeAttributes"};
    return !path.empty() && std::find(names.begin(), names.end(), path.back().name) != names.end();
}

// [name="app",port=80] of the server. False for a position or a set member ([3], [="x"]), which have no place in ours.
bool server_selectors(std::string_view inside, std::vector<Selector> &selectors) {
    while (!inside.empty()) {
        const size_t equals = inside.find('=');
        if (equals == std::string_view::npos || !is_plain_field(inside.substr(0, equals)))
            return false;
        std::string key(inside.substr(0, equals));
        if (std::any_of(selectors.begin(), selectors.end(),
                        [&](const Selector &earlier) { return earlier.key == key; }))
            return false;
        inside.remove_prefix(equals + 1);
        size_t end = 0;
        if (inside.starts_with('"')) {
            end = 1;
            while (end < inside.size() && inside[end] != '"')
                end += inside[end] == '\\' ? 2 : 1;
            if (end >= inside.size())
                return false;
            ++end;
            const auto value = nlohmann::json::parse(inside.substr(0, end), nullptr, false);
            if (!value.is_string())
                return false;
            selectors.push_back({std::move(key), value.get<std::string>(), Selector::Type::string});
        } else {
            end = std::min(inside.find(','), inside.size());
            if (end == 0)
                return false;
            selectors.push_back(typed_selector(std::move(key), inside.substr(0, end)));
        }
        inside.remove_prefix(end);
        if (inside.starts_with(','))
            inside.remove_prefix(1);
        else if (!inside.empty())
            return false;
    }
    return !selectors.empty();
}

// Where the "]" that closes text[0] == '[' stands, quoted strings skipped; npos when it is missing.
size_t closing_bracket(std::string_view text) noexcept {
    for (size_t at = 1; at < text.size(); ++at) {
        if (text[at] == ']')
            return at;
        if (text[at] != '"')
            continue;
        for (++at; at < text.size() && text[at] != '"'; ++at)
            at += text[at] == '\\' ? 1 : 0;
    }
    return std::string_view::npos;
}

std::string selector_text(const Selector &selector, bool always_quoted) {
    const bool bare =
        selector.type != Selector::Type::string || (!always_quoted && is_plain_field(selector.value) &&
                                                    typed_selector({}, selector.value).type == Selector::Type::string);
    return selector.key + '=' + (bare ? selector.value : quote(selector.value));
}

std::string element_text(const Segment &segment, bool always_quoted) {
    std::string text = "[";
    for (const Selector &selector : segment.selectors)
        text += (text.size() > 1 ? "," : "") + selector_text(selector, always_quoted);
    return text + ']';
}

} // namespace

FieldPath FieldPath::parse(std::string_view text) {
    return FieldPath(Parser(text).parse());
}

FieldPath FieldPath::from_server(std::string_view text) {
    std::vector<Segment> segments;
    while (!text.empty() && segments.size() < most_segments) {
        if (text.starts_with('[')) {
            const size_t end = closing_bracket(text);
            Segment segment;
            if (end == std::string_view::npos || !server_selectors(text.substr(1, end - 1), segment.selectors))
                break;
            segments.push_back(std::move(segment));
            text.remove_prefix(end + 1);
            continue;
        }
        if (text.starts_with('.'))
            text.remove_prefix(1);
        const size_t end = std::min(text.find_first_of(is_free_map(segments) ? "[" : ".["), text.size());
        if (end == 0)
            break;
        segments.push_back({std::string(text.substr(0, end)), {}});
        text.remove_prefix(end);
    }
    return FieldPath(std::move(segments));
}

std::string FieldPath::text() const {
    std::string text;
    for (const Segment &segment : segments_) {
        if (segment.is_element())
            text += element_text(segment, false);
        else if (is_plain_field(segment.name))
            text += (text.empty() ? "" : ".") + segment.name;
        else
            text += '[' + quote(segment.name) + ']';
    }
    return text;
}

std::string FieldPath::server_text() const {
    std::string text;
    for (const Segment &segment : segments_)
        text += segment.is_element() ? element_text(segment, true) : '.' + segment.name;
    return text;
}

FieldPath FieldPath::child(std::string_view name) const {
    FieldPath path = *this;
    path.segments_.push_back({std::string(name), {}});
    return path;
}

FieldPath FieldPath::parent() const {
    FieldPath path = *this;
    if (!path.segments_.empty())
        path.segments_.pop_back();
    return path;
}

bool FieldPath::contains(const FieldPath &other) const noexcept {
    return segments_.size() <= other.segments_.size() &&
           std::equal(segments_.begin(), segments_.end(), other.segments_.begin());
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
