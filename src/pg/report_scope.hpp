// "This statement writes a device's report": set by the mirror worker around the statement that writes reported values
// into a user's table; read by the capture trigger, by provenance and by dbnet.is_report() in the same process.
#pragma once

#include "pg/compat.hpp"

#include <cstdint>
#include <string_view>

namespace dbnet::pg {

// What came before a report, as whoever writes it knows.
class ReportCauses {
public:
    // Event id of the newest call that was answered for the object; 0: none.
    virtual std::int64_t of(std::string_view name_space, std::string_view name) const noexcept = 0;

protected:
    ~ReportCauses() = default;
};

enum class ReportKind : uint8 {
    change, // of objects that may have been there
    import  // objects of a first list: their values are the device's, not news
};

// The flag is set while an object of this type lives. Not nested.
class ReportScope {
public:
    // `causes` lives as long; nullptr: nothing came before.
    explicit ReportScope(Oid mirror, ReportKind kind = ReportKind::change,
                         const ReportCauses *causes = nullptr) noexcept;
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

// Of the report that is being written: its kind, and the call that came before for the row's object (a mirror without a
// namespace column takes any namespace); 0: none is known.
ReportKind report_kind() noexcept;
std::int64_t report_cause(std::string_view name_space, std::string_view name) noexcept;

} // namespace dbnet::pg
