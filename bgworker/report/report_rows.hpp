// Writes what devices report into the rows of one mirror, as the table's owner: locks rows without waiting, merges in
// three ways, writes in groups, and falls back to one row at a time so that nothing a user defined can keep other rows
// from being written. Runs in the mirror worker, inside one transaction per call.
#pragma once

#include "mirror/decision/merge.hpp"
#include "mirror/key.hpp"

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace dbnet::bgworker {

struct RowJob {
    enum class Kind {
        report, // bring the row up to the object; insert it when there is none
        remove, // the object is gone and so goes the row, unless it holds a change of the user's
        restore // a rejected change: the row gets back what the device has
    };
    Kind kind = Kind::report;
    mirror::Key key;
    std::string uid; // of the incarnation that `object` describes
    mirror::ReportedObject object;
    bool exists = true;         // restore: false when the server has no such object, so the row goes
    int64_t last_actuation = 0; // see mirror::ObjectRecord
    bool has_left = false;      // the object does not match the mirror's selector any more
    std::shared_ptr<const mirror::RowDigest> rejected = nullptr; // restore: see mirror::restore
};

struct RowResult {
    enum class Kind {
        done,
        untouched, // nothing to write, or a row that a user deleted or that must be kept
        locked,    // a session holds it: try again soon
        postponed, // the turn's time is over: try again at once
        failed     // `message` says why
    };
    Kind kind = Kind::untouched;
    std::string message; // failed, or done without the table's triggers
    std::string sqlstate;
    mirror::Merge merge;      // done and untouched: the new base
    bool row_is_gone = false; // remove: the record may go as well
};

// How much a turn may take, and what was learned about the table's triggers.
struct RowPace {
    std::chrono::steady_clock::time_point until; // start no further row by itself after this
    bool skip_triggers = false;                  // they have been too slow: leave them out at once
    int slow_rows = 0;                           // rows whose triggers ran into the time limit
    static constexpr size_t most_together = 500;
    size_t together = most_together; // rows read or written at a time; fewer where so many run into the time limit
};

// The five characters of an SQLSTATE.
std::string sqlstate_text(int sqlstate);

// One result per job; inside a transaction that has a lock_timeout. Throws pg_error when the table as a whole cannot be
// read or written, mirror::ConfigurationChanged when it is not the table that was configured.
std::vector<RowResult> write_rows(const mirror::Mirror &mirror, std::span<const RowJob> jobs, RowPace &pace);

} // namespace dbnet::bgworker
