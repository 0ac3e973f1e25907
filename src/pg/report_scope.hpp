// "This statement writes a device's report": set by the mirror worker around the statement that writes reported values
// into a user's table; read by the capture trigger and by dbnet.is_report() in the same process.
#pragma once

#include "pg/compat.hpp"

namespace dbnet::pg {

// The flag is set while an object of this type lives. Not nested.
class ReportScope {
public:
    explicit ReportScope(Oid mirror) noexcept;
    ~ReportScope();
    ReportScope(const ReportScope &) = delete;
    ReportScope &operator=(const ReportScope &) = delete;
};

// True in a trigger fired by the report's own statement (pg_trigger_depth() = 1), false in triggers fired by what such
// a trigger writes: those are a user's writes. Does not raise.
bool in_report() noexcept;
// The same, and the report is of this mirror: what a function in a DEFAULT or CHECK of a reported table writes into
// another mirror is not told apart by the depth of triggers.
bool in_report_of(Oid mirror) noexcept;

} // namespace dbnet::pg
