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

    // The next whole line without its newline (and carriage return), valid until the next call of any member; false
    // when there is none. Empty lines are skipped.
    bool next(std::string_view &line);

    size_t buffered() const noexcept { return buffer_.size() - read_; } // bytes, incomplete line included
    bool has_partial_line() const noexcept { return buffered() > 0; }   // after next() returned false
    bool overflowed() const noexcept { return overflowed_; }

private:
    size_t line_limit_;
    std::string buffer_;
    size_t read_ = 0;       // start of the first line not handed out
    size_t searched_ = 0;   // no newline in [last newline, searched_)
    size_t line_start_ = 0; // start of the line that is still incomplete
    bool overflowed_ = false;
};

struct Event {
    enum class Type { added, modified, removed, bookmark, error };
    Type type = Type::added;
    nlohmann::json object;           // of an error: the Status
    std::string resource_version;    // the object's; "" of an error
    bool initial_events_end = false; // bookmark that ends the initial events of a streaming list
    Outcome outcome;                 // of an error: what it means (410 → gone)
};

// Throws Failure when the line is no event: a protocol error, drop the connection and resume.
Event parse_event(std::string_view line);

} // namespace dbnet::kubernetes
