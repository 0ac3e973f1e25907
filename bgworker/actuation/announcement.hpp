// What is told of an object in an Event: what was done to it, or why nothing is, and who had asked. Plain data.
#pragma once

#include "mirror/key.hpp"

#include <cstdint>
#include <string>

namespace dbnet::bgworker {

struct Announcement {
    mirror::Key key;
    std::string uid; // of the object; empty: there is none, or it is not known
    bool is_warning = false;
    const char *reason = "";
    const char *action = "Apply";
    std::string what;         // which fields, or why
    uint64_t transaction = 0; // that asked for it; 0: found by a compare, or by an event
    uint32_t role = 0;        // that committed it; 0: not known
    int64_t at_us = 0;        // when it was told, since 1970
};

} // namespace dbnet::bgworker
