// Texts on their way into a statement. Needs no PostgreSQL header; any process.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dbnet::pg {

// As a text[] is written: {"a","b"}.
template<class Texts> std::string array_text(const Texts &texts) {
    std::string array = "{";
    for (const std::string &text : texts) {
        array += array.size() == 1 ? "\"" : ",\"";
        for (const char c : text) {
            if (c == '"' || c == '\\')
                array += '\\';
            array += c;
        }
        array += '"';
    }
    return array + "}";
}

// Empty: NULL.
inline std::optional<std::string> text_or_null(const std::string &text) {
    return text.empty() ? std::nullopt : std::optional(text);
}

// Many rows as arguments of one statement: a text[] per column, read by FROM unnest($1, $2, …). The cheapest way in: no
// document is built here and none is parsed there.
class TextColumns {
public:
    using Cell = std::optional<std::string>; // empty: NULL

    // Each row has as many cells as the first.
    template<class... Cells> void add(Cells &&...cells) {
        columns_.resize(sizeof...(Cells));
        size_t column = 0;
        (columns_[column++].emplace_back(std::forward<Cells>(cells)), ...);
    }
    bool empty() const noexcept { return columns_.empty(); }

    // One Argument a column; they refer to this object.
    template<class Argument> std::vector<Argument> arguments() const {
        return std::vector<Argument>(columns_.begin(), columns_.end());
    }

private:
    std::vector<std::vector<Cell>> columns_;
};

} // namespace dbnet::pg
