// The lines of a watch and what they say. LineSplitter cuts a byte stream without ever scanning a byte twice;
// parse_event reads one line. Used by the mirror worker.
#pragma once

#include "kubernetes/error.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace dbnet::kubernetes {

class LineSplitter {
public:
    explicit LineSplitter(size_t line_limit) : line_limit_(line_limit) {}

    // Takes more bytes. False when a line is longer than the limit; the splitter then takes nothing more.
    bool push(std::string_view bytes);

    // The next whole line without its newline (and carriage return), valid until the next call of push(); false when
    // there is none. Empty lines are skipped.
    bool next(std::string_view &line);

    size_t buffered() const noexcept { return buffer_.size() - read_; }      // bytes, incomplete line included
    size_t partial() const noexcept { return buffer_.size() - line_start_; } // bytes of the incomplete line
    bool has_line() const noexcept { return read_ < line_start_; }
    bool overflowed() const noexcept { return overflowed_; }

private:
    static constexpr size_t keep_capacity = 256 * 1024; // bytes

    size_t line_limit_;
    std::string buffer_;
    size_t read_ = 0;       // start of the first line not handed out
    size_t line_start_ = 0; // start of the incomplete line: behind the last newline
    bool overflowed_ = false;
};

struct Event {
    enum class Type { added, modified, removed, bookmark, error };
    Type type = Type::added;
    nlohmann::json object;           // of an error: the Status
    std::string_view text;           // the same in the line
    std::string resource_version;    // the object's; "" of an error
    bool initial_events_end = false; // bookmark that ends the initial events of a streaming list
    Outcome outcome;                 // of an error: what it means (410 → gone)
};

// Throws Failure when the line is no event: a protocol error, drop the connection and resume.
Event parse_event(std::string_view line);

} // namespace dbnet::kubernetes
