// Regular expressions by simulating an automaton (see pattern.hpp): all states advance together, nothing is ever tried
// twice. Runs in backends and in the mirror worker.
#include "kubernetes/schema/pattern.hpp"

#include <algorithm>
#include <string>

namespace dbnet::kubernetes {
namespace {

using Instruction = Pattern::Instruction;
using CharacterClass = Pattern::CharacterClass;

constexpr size_t most_instructions = 4000;
constexpr size_t most_parts = 20'000;     // repetitions of nothing write no instruction
constexpr size_t most_repetitions = 1000; // as in Go
constexpr int deepest_group = 50;
constexpr size_t most_steps = 20'000'000; // instructions looked at for one text: well under a second

// Code points. Broken UTF-8 becomes characters that no expression asks for.
std::u32string decoded(std::string_view text) {
    std::u32string result;
    for (size_t at = 0; at < text.size();) {
        const auto byte = static_cast<unsigned char>(text[at]);
        const size_t length = byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
        char32_t character = length == 1 ? byte : byte & (0xFF >> (length + 1));
        for (size_t i = 1; i < length; i++)
            character =
                character << 6 | (at + i < text.size() ? static_cast<unsigned char>(text[at + i]) & 0x3F : 0x3F);
        result += character;
        at += length;
    }
    return result;
}

// The expression uses what is not known here.
struct Unknown {};

struct Part {
    enum Kind { characters, text_start, text_end, word_edge, no_word_edge, sequence, choice, repetition };
    Kind kind = sequence;
    CharacterClass one_of = {};      // characters
    std::vector<Part> parts = {};    // sequence, choice; repetition: one
    size_t least = 0;                // repetition
    std::optional<size_t> most = {}; // none: any number
};

// \d, \w, \s; the upper-case letter is the complement.
CharacterClass letter_class(char32_t letter) {
    CharacterClass result;
    switch (letter | 0x20) {
    case U'd':
        result.ranges = {{U'0', U'9'}};
        break;
    case U'w':
        result.ranges = {{U'0', U'9'}, {U'A', U'Z'}, {U'_', U'_'}, {U'a', U'z'}};
        break;
    case U's':
        result.ranges = {{U'\t', U'\n'}, {U'\f', U'\r'}, {U' ', U' '}};
        break;
    default:
        throw Unknown{};
    }
    result.negated = letter < U'a';
    return result;
}

void add_class(CharacterClass &into, const CharacterClass &more) {
    if (!more.negated) {
        into.ranges.insert(into.ranges.end(), more.ranges.begin(), more.ranges.end());
        return;
    }
    char32_t next = 0; // the ranges of letter_class() are in order
    for (const auto &[first, last] : more.ranges) {
        into.ranges.emplace_back(next, first - 1);
        next = last + 1;
    }
    into.ranges.emplace_back(next, 0x10FFFF);
}

class Reader {
public:
    explicit Reader(std::string_view expression) : text_(decoded(expression)) {}

    Part read() {
        Part whole = choice(0);
        if (!at_end())
            throw Unknown{}; // a ")" too many
        return whole;
    }

private:
    bool at_end() const { return at_ == text_.size(); }
    char32_t peek() const { return at_end() ? U'\0' : text_[at_]; }
    bool take(char32_t wanted) {
        if (at_end() || text_[at_] != wanted)
            return false;
        at_++;
        return true;
    }
    char32_t next() {
        if (at_end())
            throw Unknown{};
        return text_[at_++];
    }

    Part choice(int depth) {
        if (depth > deepest_group)
            throw Unknown{};
        Part result{Part::choice};
        do
            result.parts.push_back(sequence(depth));
        while (take(U'|'));
        return result.parts.size() == 1 ? std::move(result.parts.front()) : std::move(result);
    }

    Part sequence(int depth) {
        Part result{Part::sequence};
        while (!at_end() && peek() != U'|' && peek() != U')')
            result.parts.push_back(repeated(single(depth)));
        return result;
    }

    Part repeated(Part part) {
        std::optional<size_t> most;
        size_t least = 0;
        if (take(U'*')) {
        } else if (take(U'+')) {
            least = 1;
        } else if (take(U'?')) {
            most = 1;
        } else if (!counts(least, most)) {
            return part;
        }
        take(U'?'); // how much is taken first does not matter: only whether there is a match
        if (peek() == U'*' || peek() == U'+')
            throw Unknown{};
        Part result{Part::repetition};
        result.parts.push_back(std::move(part));
        result.least = least;
        result.most = most;
        return result;
    }

    // {2}, {2,}, {2,5}; anything else is ordinary text.
    bool counts(size_t &least, std::optional<size_t> &most) {
        const size_t start = at_;
        if (!take(U'{'))
            return false;
        const std::optional<size_t> first = number();
        most = first;
        if (first && take(U','))
            most = number();
        if (!first || !take(U'}')) {
            at_ = start;
            return false;
        }
        least = *first;
        if (least > most_repetitions || (most && (*most > most_repetitions || *most < least)))
            throw Unknown{};
        return true;
    }

    std::optional<size_t> number() {
        std::optional<size_t> value;
        while (peek() >= U'0' && peek() <= U'9')
            value = std::min<size_t>(value.value_or(0) * 10 + (next() - U'0'), most_repetitions + 1);
        return value;
    }

    Part single(int depth) {
        const char32_t c = next();
        switch (c) {
        case U'^':
            return {Part::text_start};
        case U'$':
            return {Part::text_end};
        case U'.':
            return {Part::characters, {true, {{U'\n', U'\n'}}}};
        case U'[':
            return {Part::characters, bracket()};
        case U'(':
            return group(depth);
        case U'\\':
            return escape();
        case U'*':
        case U'+':
        case U'?':
            throw Unknown{};
        default:
            return {Part::characters, {false, {{c, c}}}};
        }
    }

    // After "(": plain, (?:…) and (?P<name>…); flags are not known.
    Part group(int depth) {
        if (take(U'?') && !take(U':')) {
            take(U'P');
            if (!take(U'<'))
                throw Unknown{};
            while (next() != U'>') {
            }
        }
        Part inner = choice(depth + 1);
        if (!take(U')'))
            throw Unknown{};
        return inner;
    }

    Part escape() {
        switch (peek()) {
        case U'b':
            return at_++, Part{Part::word_edge};
        case U'B':
            return at_++, Part{Part::no_word_edge};
        case U'A':
            return at_++, Part{Part::text_start};
        case U'z':
            return at_++, Part{Part::text_end};
        default:
            return {Part::characters, escaped()};
        }
    }

    // After a backslash, in a bracket or outside.
    CharacterClass escaped() {
        const char32_t c = next();
        const auto one = [](char32_t character) { return CharacterClass{false, {{character, character}}}; };
        switch (c) {
        case U'n':
            return one(U'\n');
        case U't':
            return one(U'\t');
        case U'r':
            return one(U'\r');
        case U'f':
            return one(U'\f');
        case U'v':
            return one(U'\v');
        case U'x':
            return one(hexadecimal());
        default:
            if ((c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z') || (c >= U'0' && c <= U'9'))
                return letter_class(c); // throws for all others
            return one(c);
        }
    }

    // \x41 or \x{1F600}
    char32_t hexadecimal() {
        const bool braces = take(U'{');
        char32_t value = 0;
        for (int digits = 0; braces ? !take(U'}') : digits < 2; digits++) {
            const char32_t c = next() | 0x20;
            const bool is_digit = c >= U'0' && c <= U'9';
            if ((!is_digit && (c < U'a' || c > U'f')) || digits == 6)
                throw Unknown{};
            value = value * 16 + (is_digit ? c - U'0' : c - U'a' + 10);
        }
        return value;
    }

    // After "[".
    CharacterClass bracket() {
        CharacterClass result;
        result.negated = take(U'^');
        for (bool first = true; first || peek() != U']'; first = false) {
            CharacterClass from = bracket_member();
            const bool is_range = from.ranges.size() == 1 && from.ranges[0].first == from.ranges[0].second &&
                                  peek() == U'-' && at_ + 1 < text_.size() && text_[at_ + 1] != U']';
            if (!is_range) {
                add_class(result, from);
                continue;
            }
            at_++;
            const CharacterClass to = bracket_member();
            if (to.negated || to.ranges.size() != 1 || to.ranges[0].first < from.ranges[0].first)
                throw Unknown{};
            result.ranges.emplace_back(from.ranges[0].first, to.ranges[0].first);
        }
        at_++; // "]"
        return result;
    }

    CharacterClass bracket_member() {
        const char32_t c = next();
        if (c == U'\\')
            return escaped();
        if (c == U'[' && peek() == U':')
            throw Unknown{};
        return {false, {{c, c}}};
    }

    std::u32string text_;
    size_t at_ = 0;
};

bool is_word(std::u32string_view text, size_t at) noexcept {
    if (at >= text.size())
        return false;
    const char32_t c = text[at];
    return (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z') || (c >= U'0' && c <= U'9') || c == U'_';
}

} // namespace

class PatternCompiler {
public:
    void emit(const Part &part) {
        if (++parts_ > most_parts)
            throw Unknown{};
        switch (part.kind) {
        case Part::characters:
            pattern_->classes_.push_back(part.one_of);
            put(Instruction::characters, pattern_->classes_.size() - 1);
            break;
        case Part::text_start:
            put(Instruction::text_start);
            break;
        case Part::text_end:
            put(Instruction::text_end);
            break;
        case Part::word_edge:
            put(Instruction::word_edge);
            break;
        case Part::no_word_edge:
            put(Instruction::no_word_edge);
            break;
        case Part::sequence:
            for (const Part &one : part.parts)
                emit(one);
            break;
        case Part::choice:
            emit_choice(part, 0);
            break;
        case Part::repetition:
            emit_repetition(part);
            break;
        }
    }

    std::unique_ptr<const Pattern> finish() {
        put(Instruction::match);
        return std::move(pattern_);
    }

private:
    size_t here() const { return pattern_->program_.size(); }
    size_t put(Instruction::Operation operation, size_t first = 0, size_t second = 0) {
        if (here() == most_instructions)
            throw Unknown{};
        pattern_->program_.push_back({operation, static_cast<uint32_t>(first), static_cast<uint32_t>(second)});
        return here() - 1;
    }
    Instruction &at(size_t place) { return pattern_->program_[place]; }

    void emit_choice(const Part &part, size_t index) {
        if (index + 1 == part.parts.size()) {
            emit(part.parts[index]);
            return;
        }
        const size_t split = put(Instruction::split, here() + 1);
        emit(part.parts[index]);
        const size_t jump = put(Instruction::jump);
        at(split).second = static_cast<uint32_t>(here());
        emit_choice(part, index + 1);
        at(jump).first = static_cast<uint32_t>(here());
    }

    void emit_repetition(const Part &part) {
        for (size_t i = 0; i < part.least; i++)
            emit(part.parts.front());
        if (!part.most) {
            const size_t split = put(Instruction::split, here() + 1);
            emit(part.parts.front());
            put(Instruction::jump, split);
            at(split).second = static_cast<uint32_t>(here());
            return;
        }
        std::vector<size_t> splits;
        for (size_t i = part.least; i < *part.most; i++) {
            splits.push_back(put(Instruction::split, here() + 1));
            emit(part.parts.front());
        }
        for (const size_t split : splits)
            at(split).second = static_cast<uint32_t>(here());
    }

    std::unique_ptr<Pattern> pattern_{new Pattern};
    size_t parts_ = 0;
};

bool CharacterClass::holds(char32_t character) const noexcept {
    return negated != std::any_of(ranges.begin(), ranges.end(), [character](const auto &range) {
               return range.first <= character && character <= range.second;
           });
}

std::unique_ptr<const Pattern> Pattern::compile(std::string_view expression) {
    if (expression.size() > most_instructions)
        return nullptr;
    try {
        PatternCompiler compiler;
        compiler.emit(Reader(expression).read());
        return compiler.finish();
    } catch (const Unknown &) {
        return nullptr;
    }
}

bool Pattern::matches(std::string_view text) const {
    const std::u32string characters = decoded(text);
    size_t steps = program_.size(); // for one character
    for (const Instruction &instruction : program_)
        if (instruction.operation == Instruction::characters)
            steps += classes_[instruction.first].ranges.size();
    if (characters.size() + 1 > most_steps / steps)
        return true;
    std::vector<uint32_t> now, next, open;
    std::vector<size_t> seen(program_.size(), 0); // position + 1 at which an instruction was reached last
    for (size_t at = 0; at <= characters.size(); at++) {
        open.assign(next.rbegin(), next.rend());
        open.insert(open.begin(), 0); // a match may begin anywhere
        now.clear();
        while (!open.empty()) {
            const uint32_t place = open.back();
            open.pop_back();
            if (seen[place] == at + 1)
                continue;
            seen[place] = at + 1;
            const Instruction &instruction = program_[place];
            const bool is_edge = (at > 0 && is_word(characters, at - 1)) != is_word(characters, at);
            bool goes_on = false;
            switch (instruction.operation) {
            case Instruction::match:
                return true;
            case Instruction::characters:
                now.push_back(place);
                break;
            case Instruction::split:
                open.push_back(instruction.second);
                [[fallthrough]];
            case Instruction::jump:
                open.push_back(instruction.first);
                break;
            case Instruction::text_start:
                goes_on = at == 0;
                break;
            case Instruction::text_end:
                goes_on = at == characters.size();
                break;
            case Instruction::word_edge:
                goes_on = is_edge;
                break;
            case Instruction::no_word_edge:
                goes_on = !is_edge;
                break;
            }
            if (goes_on)
                open.push_back(place + 1);
        }
        next.clear();
        if (at < characters.size())
            for (const uint32_t place : now)
                if (classes_[program_[place].first].holds(characters[at]))
                    next.push_back(place + 1);
    }
    return false;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
