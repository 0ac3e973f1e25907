// A time limit for what runs in a worker on behalf of a user: reading rows of a mirrored table, writing reports,
// actions of policies, functions that run with each batch of telemetry. PostgreSQL enforces statement_timeout only for
// statements that come from a client.
#pragma once

#include "pg/guard.hpp"

extern "C" {
#include "datatype/timestamp.h"
}

namespace dbnet::pg {

// While an object of this type lives, running for longer than `milliseconds` (0: no limit) cancels the statement:
// SQLSTATE 57014, as from statement_timeout. A function that catches that is cancelled again, at the first chance,
// until the statement is over. Not nested, and not for backends, whose own limit it would replace.
class Deadline {
public:
    explicit Deadline(int milliseconds);
    ~Deadline();
    bool is_over() const noexcept; // what it limits may have been canceled by it
    Deadline(const Deadline &) = delete;
    Deadline &operator=(const Deadline &) = delete;

private:
    TimestampTz due_ = 0; // 0: no limit
    ErrorContextCallback watch_{};
};

} // namespace dbnet::pg
