// Records what the server showed in dbnet.object: DBNet's own table, written as the worker itself, so that nothing a
// user defined can keep a live state from being recorded. Runs in the mirror worker, inside a transaction.
#pragma once

#include "bgworker/report/report_rows.hpp"
#include "bgworker/watch/watcher_queue.hpp"

#include <span>
#include <string>
#include <vector>

namespace dbnet::bgworker {

// What the actuator may have to act on, beside committed rows.
enum class Seen {
    gone,     // the object does not exist any more
    drifted,  // somebody else changed a claimed field that is to be enforced
    answered, // it shows the answer to an apply of which nothing was on record
    replaced, // the name belongs to another incarnation now
    reported, // its row was brought up to the record
    released  // the same, and claims that others had overwritten were given up
};

struct SeenObject {
    mirror::Key key;
    std::string uid;
    Seen what = Seen::gone;
};

struct Recorded {
    std::vector<RowJob> jobs;     // rows that have to follow
    std::vector<SeenObject> seen; // for the actuator
    size_t repaired = 0;          // events without a watch that changed the record
};

// All events are of `mirror`. Throws pg_error.
Recorded record(const mirror::Mirror &mirror, std::span<const QueuedEvent> events);

// What has to be done for rows according to the records: rows that could not be written before, and rows of objects to
// which a request was answered. `restore`: for every key one, in their order, whatever the record says. Throws
// pg_error.
std::vector<RowJob> jobs_from_record(const mirror::Mirror &mirror, std::span<const mirror::Key> keys, bool restore);

// After write_rows, in the same transaction (another one when that failed): bases, released claims, phases, records of
// rows that are gone.
void record_results(const mirror::Mirror &mirror, std::span<const RowJob> jobs, std::span<const RowResult> results);

} // namespace dbnet::bgworker
