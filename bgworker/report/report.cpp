// Implementation of report.hpp. Runs in the mirror worker.
#include "bgworker/report/report.hpp"

#include "bgworker/report/report_import.hpp"
#include "bgworker/report/report_transaction.hpp"
#include "mirror/store/table_lock.hpp"
#include "settings.hpp"

#include <algorithm>
#include <chrono>

extern "C" {
#include "utils/elog.h"
}

namespace dbnet::bgworker {

namespace {

using mirror::Key;
using mirror::Mirror;

// Rows that have to be written one by one may take so long per turn, as requests and watches wait meanwhile.
constexpr std::chrono::milliseconds turn_time{300};

constexpr Milliseconds locked_first = 100, locked_last = 5'000;      // a session holds the row
constexpr Milliseconds failed_first = 10'000, failed_last = 300'000; // a constraint or a trigger refuses it
constexpr Milliseconds orphan_pause = 500; // between two tries of rows that refer to others that are not there
constexpr int import_pause = 15;

constexpr Milliseconds triggers_out_first = 10'000, triggers_out_last = 300'000;

Milliseconds backoff(Milliseconds first, Milliseconds last, int attempts) {
    return attempts > 16 ? last : std::min(first << attempts, last);
}

bool is_busy(const pg::pg_error &error) {
    return error.sqlstate() == ERRCODE_LOCK_NOT_AVAILABLE || error.sqlstate() == ERRCODE_T_R_DEADLOCK_DETECTED ||
           error.sqlstate() == ERRCODE_QUERY_CANCELED;
}

// No object is to blame: a full disk, a device that fails. Of too little memory a large one may be.
bool is_out_of_resources(const pg::pg_error &error) {
    const int category = ERRCODE_TO_CATEGORY(error.sqlstate());
    return (category == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) &&
            error.sqlstate() != ERRCODE_OUT_OF_MEMORY) ||
           category == ERRCODE_TO_CATEGORY(ERRCODE_SYSTEM_ERROR);
}

} // namespace

// Waiting rows -------------------------------------------------------------------------------------------------------

void Report::put(const Key &key, Milliseconds due, int attempts, bool restore, Rejected rejected) {
    Backlog &backlog = backlogs_[key.relation];
    auto [place, is_new] = backlog.rows.try_emplace(key);
    Waiting &waiting = place->second;
    if (!is_new)
        backlog.order.erase({waiting.due, key});
    waiting.due = due;
    waiting.attempts = attempts;
    if (restore) {
        waiting.restore = true;
        waiting.rejected = std::move(rejected);
    }
    backlog.order.emplace(due, key);
}

void Report::follow(const Key &key, Milliseconds now) {
    put(key, now, 0, false);
}

void Report::restore(const Key &key, Rejected rejected, Milliseconds now) {
    put(key, now, 0, true, std::move(rejected));
}

Milliseconds Report::due(uint32_t relation) const {
    auto backlog = backlogs_.find(relation);
    return backlog == backlogs_.end() || backlog->second.order.empty() ? -1 : backlog->second.order.begin()->first;
}

size_t Report::waiting(uint32_t relation) const {
    auto backlog = backlogs_.find(relation);
    return backlog == backlogs_.end() ? 0 : backlog->second.rows.size();
}

void Report::retry(const Mirror &mirror, Milliseconds now) {
    auto found = backlogs_.find(mirror.relation);
    if (found == backlogs_.end())
        return;
    Backlog &backlog = found->second;
    std::vector<Key> keys, restored;
    std::vector<Rejected> rejected; // of `restored`
    attempts_.clear();
    while (!backlog.order.empty() && backlog.order.begin()->first <= now && keys.size() + restored.size() < batch) {
        Key key = backlog.order.begin()->second;
        backlog.order.erase(backlog.order.begin());
        auto row = backlog.rows.find(key);
        attempts_[key] = row->second.attempts;
        (row->second.restore ? restored : keys).push_back(key);
        if (row->second.restore)
            rejected.push_back(std::move(row->second.rejected));
        backlog.rows.erase(row);
    }
    if (!mirror.problem.empty())
        return; // the table does not fit; when it does again, everything is listed anew
    std::vector<RowJob> jobs;
    try {
        in_report_transaction([&] {
            jobs = jobs_from_record(mirror, keys, false);
            std::vector<RowJob> more = jobs_from_record(mirror, restored, true);
            for (size_t i = 0; i < more.size(); i++)
                more[i].rejected = rejected[i];
            std::move(more.begin(), more.end(), std::back_inserter(jobs));
        });
    } catch (const pg::pg_error &error) {
        if (!is_busy(error))
            throw;
        for (const Key &key : keys)
            put(key, now + locked_last, attempts_[key], false);
        for (size_t i = 0; i < restored.size(); i++)
            put(restored[i], now + locked_last, attempts_[restored[i]], true, rejected[i]);
        return;
    }
    write_jobs(mirror, jobs, now);
}

// Events -------------------------------------------------------------------------------------------------------------

Report::Left Report::write(const Mirror &mirror, std::vector<QueuedEvent> events, Milliseconds now) {
    Left left;
    if (import(mirror, events, now))
        return left;
    Recorded recorded;
    record_events(mirror, events, Clock::now() + turn_time, recorded, left);
    for (const SeenObject &seen : recorded.seen)
        on_seen_(seen);
    attempts_.clear();
    if (mirror.problem.empty())
        write_jobs(mirror, recorded.jobs, now);
    return left;
}

// The short way for objects that are new. False: nothing was written.
bool Report::import(const Mirror &mirror, std::span<const QueuedEvent> events, Milliseconds now) {
    Backlog &backlog = backlogs_[mirror.relation];
    if (!mirror.problem.empty() || !std::ranges::all_of(events, &QueuedEvent::authoritative))
        return false;
    if (backlog.import_pause > 0) {
        backlog.import_pause--;
        return false;
    }
    bool is_done = false;
    try {
        in_report_transaction([&] { import_objects(mirror, events); });
        is_done = true;
    } catch (const mirror::ConfigurationChanged &) {
        configuration_changed_ = true;
    } catch (const NotPlain &) {
    } catch (const pg::pg_error &) { // who is to blame is found the long way
    }
    if (!is_done) {
        backlog.import_pause = import_pause;
        return false;
    }
    for (const QueuedEvent &event : events)
        on_seen_({event.key, event.uid, Seen::reported});
    imported_ += events.size();
    hurry_orphans(now);
    return true;
}

// Halves what fails until the events that are to blame stand alone: the others are not held up.
void Report::record_events(const Mirror &mirror, std::span<QueuedEvent> events, Clock::time_point until,
                           Recorded &recorded, Left &left) {
    try {
        Recorded part;
        in_report_transaction([&] { part = record(mirror, events); });
        std::move(part.jobs.begin(), part.jobs.end(), std::back_inserter(recorded.jobs));
        std::move(part.seen.begin(), part.seen.end(), std::back_inserter(recorded.seen));
        left.repaired += part.repaired;
        return;
    } catch (const pg::pg_error &error) {
        const bool is_all = is_out_of_resources(error);
        if (!is_busy(error))
            left.message = error.message();
        if (is_all || (is_busy(error) && (events.size() == 1 || Clock::now() > until))) {
            std::move(events.begin(), events.end(), std::back_inserter(left.busy));
            return;
        }
        if (events.size() == 1) {
            left.failed.push_back(std::move(events.front()));
            return;
        }
    }
    size_t half = events.size() / 2;
    record_events(mirror, events.first(half), until, recorded, left);
    record_events(mirror, events.subspan(half), until, recorded, left);
}

// Rows ---------------------------------------------------------------------------------------------------------------

// As many jobs at a time as can be read within dbnet.report_statement_timeout: rows may be large.
std::vector<RowResult> Report::try_in_parts(const Mirror &mirror, std::span<const RowJob> jobs, RowPace &pace) {
    std::vector<RowResult> results;
    while (!jobs.empty()) {
        const size_t together = pace.together;
        const std::span<const RowJob> part = jobs.first(std::min(jobs.size(), together));
        jobs = jobs.subspan(part.size());
        const Clock::time_point begun = Clock::now();
        if (!results.empty() && begun > pace.until) {
            RowResult later;
            later.kind = RowResult::Kind::postponed;
            results.resize(results.size() + part.size(), later);
            continue;
        }
        std::vector<RowResult> some = try_jobs(mirror, part, pace);
        std::move(some.begin(), some.end(), std::back_inserter(results));
        const bool is_quick = Clock::now() - begun < std::chrono::milliseconds(settings::report_statement_timeout) / 4;
        if (is_quick && !pace.skip_triggers && pace.together == together && part.size() == together)
            pace.together = std::min(2 * together, RowPace::most_together);
    }
    return results;
}

// All jobs at once; when the table as a whole fails, that is the result of each.
std::vector<RowResult> Report::try_jobs(const Mirror &mirror, std::span<const RowJob> jobs, RowPace &pace) {
    RowResult failure;
    failure.kind = RowResult::Kind::locked;
    try {
        std::vector<RowResult> results;
        in_report_transaction([&] {
            results = write_rows(mirror, jobs, pace);
            record_results(mirror, jobs, results);
        });
        return results;
    } catch (const mirror::ConfigurationChanged &) {
        configuration_changed_ = true;
    } catch (const pg::pg_error &error) {
        if (!is_busy(error)) {
            failure.kind = RowResult::Kind::failed;
            failure.message = error.message() + (error.hint().empty() ? "" : " (" + error.hint() + ")");
            failure.sqlstate = sqlstate_text(error.sqlstate());
        } else if (error.sqlstate() == ERRCODE_QUERY_CANCELED && jobs.size() > 1) {
            failure.kind = RowResult::Kind::postponed;
            pace.together = std::max<size_t>(jobs.size() / 4, 1);
        }
    } catch (const std::exception &error) {
        failure.kind = RowResult::Kind::failed;
        failure.message = error.what();
        failure.sqlstate = sqlstate_text(ERRCODE_INTERNAL_ERROR);
    }
    std::vector<RowResult> results(jobs.size(), failure);
    if (failure.kind == RowResult::Kind::failed) {
        try {
            in_report_transaction([&] { record_results(mirror, jobs, results); });
        } catch (const pg::pg_error &error) {
            if (!is_busy(error))
                throw;
        }
    }
    return results;
}

void Report::write_jobs(const Mirror &mirror, const std::vector<RowJob> &jobs, Milliseconds now) {
    if (jobs.empty())
        return;
    Backlog &backlog = backlogs_[mirror.relation];
    RowPace pace;
    pace.until = Clock::now() + turn_time;
    pace.skip_triggers = now < backlog.triggers_out_until;
    pace.together = backlog.together;
    bool were_out = pace.skip_triggers;
    std::vector<RowResult> results = try_in_parts(mirror, jobs, pace);
    backlog.together = pace.together;
    if (pace.skip_triggers && !were_out) {
        backlog.triggers_out_for = std::clamp(backlog.triggers_out_for * 2, triggers_out_first, triggers_out_last);
        backlog.triggers_out_until = now + backlog.triggers_out_for;
        pg::log("triggers of mirror " + mirror.qualified_name +
                    " take longer than dbnet.report_statement_timeout: reports are written without them for " +
                    std::to_string(backlog.triggers_out_for / 1000) + " s",
                "Make the triggers faster, or let them only note what is to be done.");
    } else if (!pace.skip_triggers && pace.slow_rows == 0) {
        backlog.triggers_out_for = 0;
    }
    for (size_t i = 0; i < jobs.size(); i++)
        settle(jobs[i], results[i], now);
    if (std::ranges::any_of(results, [](const RowResult &result) { return result.kind == RowResult::Kind::done; }))
        hurry_orphans(now);
}

void Report::hurry_orphans(Milliseconds now) {
    std::erase_if(orphans_, [&](const Key &key) {
        const Backlog &backlog = backlogs_[key.relation];
        const auto row = backlog.rows.find(key);
        if (row == backlog.rows.end())
            return true; // it has been written, or is nobody's business any more
        if (const Waiting waiting = row->second; waiting.due > now + orphan_pause)
            put(key, now + orphan_pause, waiting.attempts, waiting.restore, waiting.rejected);
        return false;
    });
}

void Report::settle(const RowJob &job, const RowResult &result, Milliseconds now) {
    auto known = attempts_.find(job.key);
    int attempts = known == attempts_.end() ? 0 : known->second;
    bool restore = job.kind == RowJob::Kind::restore;
    switch (result.kind) {
    case RowResult::Kind::done:
        on_seen_({job.key, job.uid, result.merge.released.empty() ? Seen::reported : Seen::released});
        return;
    case RowResult::Kind::untouched:
        if (!result.merge.released.empty())
            on_seen_({job.key, job.uid, Seen::released});
        return;
    case RowResult::Kind::locked:
        put(job.key, now + backoff(locked_first, locked_last, attempts), attempts + 1, restore, job.rejected);
        return;
    case RowResult::Kind::postponed:
        put(job.key, now, attempts, restore, job.rejected);
        return;
    case RowResult::Kind::failed:
        if (result.sqlstate == sqlstate_text(ERRCODE_FOREIGN_KEY_VIOLATION))
            orphans_.insert(job.key);
        if (result.sqlstate == sqlstate_text(ERRCODE_DISK_FULL))
            attempts = 0; // the others' table has room; this one's may have it any time
        put(job.key, now + backoff(failed_first, failed_last, attempts), attempts + 1, restore, job.rejected);
        return;
    }
}

} // namespace dbnet::bgworker
