// Implementation of report.hpp. Runs in the mirror worker.
#include "bgworker/report.hpp"

#include "pg/spi.hpp"
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

// What is recorded can always be had again from the server, so no commit waits for the disk.
const pg::Statement set_limits{"SELECT pg_catalog.set_config('lock_timeout', $1, true),"
                               " pg_catalog.set_config('synchronous_commit', 'off', true)"};

// Rows that have to be written one by one may take so long per turn, as requests and watches wait meanwhile.
constexpr std::chrono::milliseconds turn_time{300};

constexpr Milliseconds locked_first = 100, locked_last = 5'000;       // a session holds the row
constexpr Milliseconds failed_first = 10'000, failed_last = 300'000;  // a constraint or a trigger refuses it
constexpr Milliseconds triggers_out_first = 10'000, triggers_out_last = 300'000;

Milliseconds backoff(Milliseconds first, Milliseconds last, int attempts) {
    return attempts > 16 ? last : std::min(first << attempts, last);
}

template<class F> void in_report_transaction(F &&f) {
    pg::in_transaction([&] {
        pg::execute(set_limits, std::to_string(settings::report_lock_timeout) + "ms");
        f();
    });
}

bool is_busy(const pg::pg_error &error) {
    return error.sqlstate() == ERRCODE_LOCK_NOT_AVAILABLE || error.sqlstate() == ERRCODE_T_R_DEADLOCK_DETECTED ||
           error.sqlstate() == ERRCODE_QUERY_CANCELED;
}

} // namespace

// Waiting rows -------------------------------------------------------------------------------------------------------

void Report::put(const Key &key, Milliseconds due, int attempts, bool restore) {
    Backlog &backlog = backlogs_[key.relation];
    auto [place, is_new] = backlog.rows.try_emplace(key);
    Waiting &waiting = place->second;
    if (!is_new)
        backlog.order.erase({waiting.due, key});
    waiting = {due, attempts, restore || waiting.restore};
    backlog.order.emplace(due, key);
}

void Report::follow(const Key &key, Milliseconds now) { put(key, now, 0, false); }

void Report::restore(const Key &key, Milliseconds now) { put(key, now, 0, true); }

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
    attempts_.clear();
    while (!backlog.order.empty() && backlog.order.begin()->first <= now && keys.size() + restored.size() < batch) {
        Key key = backlog.order.begin()->second;
        backlog.order.erase(backlog.order.begin());
        auto row = backlog.rows.find(key);
        attempts_[key] = row->second.attempts;
        (row->second.restore ? restored : keys).push_back(key);
        backlog.rows.erase(row);
    }
    if (!mirror.problem.empty())
        return; // the table does not fit; when it does again, everything is listed anew
    std::vector<RowJob> jobs;
    in_report_transaction([&] {
        jobs = jobs_from_record(mirror, keys, false);
        std::vector<RowJob> more = jobs_from_record(mirror, restored, true);
        std::move(more.begin(), more.end(), std::back_inserter(jobs));
    });
    write_jobs(mirror, jobs, now);
}

// Events -------------------------------------------------------------------------------------------------------------

std::vector<QueuedEvent> Report::write(const Mirror &mirror, std::vector<QueuedEvent> events, Milliseconds now) {
    std::vector<QueuedEvent> busy;
    Recorded recorded = record_events(mirror, events, busy);
    for (const SeenObject &seen : recorded.seen)
        on_seen_(seen);
    attempts_.clear();
    if (mirror.problem.empty())
        write_jobs(mirror, recorded.jobs, now);
    return busy;
}

Recorded Report::record_events(const Mirror &mirror, std::vector<QueuedEvent> &events, std::vector<QueuedEvent> &busy) {
    Recorded all;
    try {
        in_report_transaction([&] { all = record(mirror, events); });
        return all;
    } catch (const pg::pg_error &error) {
        if (events.size() == 1 && is_busy(error)) {
            busy.push_back(std::move(events.front()));
            return {};
        }
        if (events.size() == 1) {
            pg::log("DBNet could not record object \"" + events.front().key.text() + "\" of mirror " +
                        mirror.qualified_name + ": " + error.message(),
                    "The object's row stays as it is until the object changes.");
            return {};
        }
    }
    // One of them is to blame; the others are not held up.
    for (QueuedEvent &event : events) {
        std::vector<QueuedEvent> one;
        one.push_back(std::move(event));
        Recorded part = record_events(mirror, one, busy);
        std::move(part.jobs.begin(), part.jobs.end(), std::back_inserter(all.jobs));
        std::move(part.seen.begin(), part.seen.end(), std::back_inserter(all.seen));
    }
    return all;
}

// Rows ---------------------------------------------------------------------------------------------------------------

void Report::write_jobs(const Mirror &mirror, const std::vector<RowJob> &jobs, Milliseconds now) {
    if (jobs.empty())
        return;
    Backlog &backlog = backlogs_[mirror.relation];
    RowPace pace;
    pace.until = std::chrono::steady_clock::now() + turn_time;
    pace.skip_triggers = now < backlog.triggers_out_until;
    bool were_out = pace.skip_triggers;
    std::vector<RowResult> results;
    try {
        in_report_transaction([&] {
            results = write_rows(mirror, jobs, pace);
            record_results(mirror, jobs, results);
        });
    } catch (const pg::pg_error &error) {
        RowResult result;
        result.kind = is_busy(error) ? RowResult::Kind::locked : RowResult::Kind::failed;
        if (result.kind == RowResult::Kind::failed) {
            std::string hint = error.hint().empty() ? "" : " (" + error.hint() + ")";
            in_report_transaction([&] {
                record_failure(mirror, jobs, error.message() + hint, sqlstate_text(error.sqlstate()));
            });
        }
        results.assign(jobs.size(), result);
    } catch (const std::exception &error) {
        in_report_transaction([&] { record_failure(mirror, jobs, error.what(), sqlstate_text(ERRCODE_INTERNAL_ERROR)); });
        results.resize(jobs.size());
        for (RowResult &result : results)
            result.kind = RowResult::Kind::failed;
    }
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
}

void Report::settle(const RowJob &job, const RowResult &result, Milliseconds now) {
    auto known = attempts_.find(job.key);
    int attempts = known == attempts_.end() ? 0 : known->second;
    bool restore = job.kind == RowJob::Kind::restore;
    switch (result.kind) {
    case RowResult::Kind::done:
    case RowResult::Kind::untouched:
        return;
    case RowResult::Kind::locked:
        put(job.key, now + backoff(locked_first, locked_last, attempts), attempts + 1, restore);
        return;
    case RowResult::Kind::postponed:
        put(job.key, now, attempts, restore);
        return;
    case RowResult::Kind::failed:
        put(job.key, now + backoff(failed_first, failed_last, attempts), attempts + 1, restore);
        return;
    }
}

} // namespace dbnet::bgworker
