// A time limit for what runs in the mirror worker on behalf of a user's table. PostgreSQL enforces statement_timeout
// only for statements that come from a client.
#pragma once

#include "pg/guard.hpp"

namespace dbnet::bgworker {

// While an object of this type lives, running for longer than `milliseconds` (0: no limit) cancels the statement:
// SQLSTATE 57014, as from statement_timeout. Not nested.
class ReportDeadline {
public:
    explicit ReportDeadline(int milliseconds);
    ~ReportDeadline();
    ReportDeadline(const ReportDeadline &) = delete;
    ReportDeadline &operator=(const ReportDeadline &) = delete;

private:
    bool armed_ = false;
};

} // namespace dbnet::bgworker
