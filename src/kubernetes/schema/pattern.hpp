// The regular expressions of schemas ("pattern"), with the syntax of Go's regexp and in time that grows with the text
// only: whoever writes a custom resource definition must not be able to keep a session or the worker busy. Used by
// backends and by the mirror worker.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace dbnet::kubernetes {

class Pattern {
public:
    // nullptr when the expression uses what is not known here (flags, Unicode classes) or is too large: what it says
    // is then left to the server.
    static std::unique_ptr<const Pattern> compile(std::string_view expression);

    // True when it matches somewhere in the text (UTF-8), and also when finding out would take too long.
    bool matches(std::string_view text) const;

    struct Instruction {
        enum Operation : uint8_t { characters, split, jump, text_start, text_end, word_edge, no_word_edge, match };
        Operation operation;
        uint32_t first = 0;  // characters: the class; split, jump: where it goes on
        uint32_t second = 0; // split: the other place
    };
    struct CharacterClass {
        bool negated = false;
        std::vector<std::pair<char32_t, char32_t>> ranges; // both ends included
        bool holds(char32_t character) const noexcept;
    };

private:
    Pattern() = default;
    friend class PatternCompiler;

    std::vector<Instruction> program_;
    std::vector<CharacterClass> classes_;
};

} // namespace dbnet::kubernetes
