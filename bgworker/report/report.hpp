// The read direction's writer: takes what mirrors' watches and lists showed, records it, brings the rows up to it, and
// remembers the rows that have to wait. Runs in the mirror worker's loop, between transactions.
#pragma once

#include "bgworker/report/report_record.hpp"
#include "bgworker/watch/watcher_reflector.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace dbnet::bgworker {

class Report {
public:
    // Called outside any transaction, after what was seen has been recorded.
    using SeenHandler = std::function<void(const SeenObject &)>;
    explicit Report(SeenHandler on_seen) : on_seen_(std::move(on_seen)) {}

    static constexpr size_t batch = 500; // objects per transaction

    // Events that are not on record yet.
    struct Left {
        std::vector<QueuedEvent> busy;   // somebody holds their record, or the database can take nothing: again soon
        std::vector<QueuedEvent> failed; // it will not take these
        std::string message;             // why, unless somebody holds the record
        size_t repaired = 0;             // records that were not as a watch should have told
    };
    // Records the events of one mirror (at most `batch`) and writes their rows. Throws only what ends the process.
    Left write(const mirror::Mirror &mirror, std::vector<QueuedEvent> events, Milliseconds now);

    // The row is to be compared with its record at the next retry().
    void follow(const mirror::Key &key, Milliseconds now);
    // … and to get back what the device has, whatever a user wrote into it until then. `rejected` (nullptr: all): see
    // mirror::restore.
    void restore(const mirror::Key &key, std::shared_ptr<const mirror::RowDigest> rejected, Milliseconds now);

    // Writes rows of the mirror whose time has come.
    void retry(const mirror::Mirror &mirror, Milliseconds now);
    // When retry() has something to do for the mirror; -1: nothing waits.
    Milliseconds due(uint32_t relation) const;
    // Rows that wait.
    size_t waiting(uint32_t relation) const;

    // A table had another owner or name than its mirror says: read the configuration again. Asking resets it.
    bool take_configuration_changed() { return std::exchange(configuration_changed_, false); }

    // How many objects write() has just found to be new and recorded the short way. Asking resets it.
    size_t take_imported() { return std::exchange(imported_, 0); }

    // The mirror is gone.
    void forget(uint32_t relation) {
        backlogs_.erase(relation);
        std::erase_if(orphans_, [&](const mirror::Key &key) { return key.relation == relation; });
    }

private:
    using Rejected = std::shared_ptr<const mirror::RowDigest>;
    struct Waiting {
        Milliseconds due = 0;
        int attempts = 0;
        bool restore = false;
        Rejected rejected;
    };
    // Keys, and hashes of rows of which a change is rejected: at most as many as the mirror has objects.
    struct Backlog {
        std::unordered_map<mirror::Key, Waiting, mirror::KeyHash> rows;
        std::set<std::pair<Milliseconds, mirror::Key>> order;
        Milliseconds triggers_out_until = 0; // they were too slow
        Milliseconds triggers_out_for = 0;
        size_t together = RowPace::most_together;
        int import_pause = 0; // batches until the short way is tried again: it did not fit
    };

    void put(const mirror::Key &key, Milliseconds due, int attempts, bool restore, Rejected rejected = nullptr);
    using Clock = std::chrono::steady_clock;
    bool import(const mirror::Mirror &mirror, std::span<const QueuedEvent> events, Milliseconds now);
    void record_events(const mirror::Mirror &mirror, std::span<QueuedEvent> events, Clock::time_point until,
                       Recorded &recorded, Left &left);
    void write_jobs(const mirror::Mirror &mirror, const std::vector<RowJob> &jobs, Milliseconds now);
    std::vector<RowResult> try_jobs(const mirror::Mirror &mirror, std::span<const RowJob> jobs, RowPace &pace);
    std::vector<RowResult> try_in_parts(const mirror::Mirror &mirror, std::span<const RowJob> jobs, RowPace &pace);
    void settle(const RowJob &job, const RowResult &result, Milliseconds now);
    void hurry_orphans(Milliseconds now);

    SeenHandler on_seen_;
    std::map<uint32_t, Backlog> backlogs_;
    bool configuration_changed_ = false;
    size_t imported_ = 0;
    std::unordered_map<mirror::Key, int, mirror::KeyHash> attempts_; // of the rows that are being written now
    // Rows that wait because of a foreign key: any row that is written may be the one that they refer to.
    std::unordered_set<mirror::Key, mirror::KeyHash> orphans_;
};

} // namespace dbnet::bgworker
