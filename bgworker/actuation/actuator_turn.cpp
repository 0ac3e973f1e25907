// The transaction of a turn: answers into the tables, rows and objects out of them, decisions (see actuator.hpp).
// Mirror worker.
#include "bgworker/actuation/actuator.hpp"

#include <algorithm>
#include <iterator>

#include "mirror/decision/merge.hpp"
#include "mirror/decision/own_history.hpp"
#include "mirror/decision/scope.hpp"
#include "pg/spi.hpp"
#include "settings.hpp"

namespace dbnet::bgworker {

using mirror::Action;
using mirror::Phase;
using Next = Verdict::Next;

namespace {

constexpr size_t ahead = 64;          // decisions per lane that wait for a free place on the line
constexpr size_t save_batch = 32;     // answers that are worth a transaction while more are under way …
constexpr int64_t save_after_ms = 10; // … or that many milliseconds
constexpr int64_t quiet_ms = 200;     // what settles sooner leaves no trace of waiting
constexpr size_t recorded_at_once = 200;
constexpr size_t held_at_once = 500;        // decisions in memory, of a transaction that is held
constexpr size_t most_unlogged = 10'000;    // calls in memory while the database has no room for them …
constexpr int64_t unlogged_pause_ms = 5000; // … between two tries

// By the class of an error: of what the database lacks or is busy with, not of what was to be written.
bool will_pass(int sqlstate) {
    const int category = ERRCODE_TO_CATEGORY(sqlstate);
    return category == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
           category == ERRCODE_TO_CATEGORY(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE) ||
           category == ERRCODE_TO_CATEGORY(ERRCODE_TRANSACTION_ROLLBACK) ||
           category == ERRCODE_TO_CATEGORY(ERRCODE_SYSTEM_ERROR);
}

std::vector<const mirror::ObjectWrite *> pointers_to(std::span<const mirror::ObjectWrite> writes) {
    std::vector<const mirror::ObjectWrite *> pointers;
    for (const mirror::ObjectWrite &write : writes)
        pointers.push_back(&write);
    return pointers;
}

} // namespace

bool is_rows_fault(const std::exception &caught) {
    const auto *error = dynamic_cast<const pg::pg_error *>(&caught);
    return error != nullptr && !will_pass(error->sqlstate());
}

// What is to be sent stays in the queue until a moment later.
bool Actuator::must_wait(const mirror::Mirror &mirror) const {
    return is_awaited(mirror) || (mirror.committers->is_on && client_.is_behind());
}

bool Actuator::wants_transaction(int64_t now_ms) const {
    if (!writes_.empty() || (!unlogged_.empty() && now_ms >= unlogged_due_ms_))
        return true;
    if (!finished_.empty() &&
        (hurry_ || under_way_ == 0 || finished_.size() >= save_batch || now_ms - oldest_finished_ms_ >= save_after_ms))
        return true;
    if (queue_.has_ready({}))
        return true;
    for (const auto &[relation, mirror] : catalog_->mirrors) {
        const std::string name = lane_name(mirror);
        const auto lane = lanes_.find(name);
        if (!must_wait(mirror) && queue_.has_ready(name) &&
            (lane == lanes_.end() || (lane->second.prepared.size() < ahead / 2 && !is_full(lane->second))))
            return true;
    }
    return false;
}

std::vector<Entry *> Actuator::take_batch(int64_t now_ms) {
    std::vector<Entry *> batch = queue_.take_ready({}, ahead); // of mirrors that are gone
    std::set<std::string> seen;
    for (const auto &[relation, mirror] : catalog_->mirrors) {
        const std::string name = lane_name(mirror);
        if (!seen.insert(name).second || !queue_.has_ready(name) || must_wait(mirror))
            continue;
        const Lane &lane = lanes_[name];
        const size_t wanted = room(lane, now_ms) + ahead;
        if (wanted <= lane.prepared.size() || is_full(lane))
            continue;
        for (Entry *entry : queue_.take_ready(name, wanted - lane.prepared.size()))
            batch.push_back(entry);
    }
    return batch;
}

void Actuator::decide_and_save(std::span<Entry *const> batch, Share share, int64_t now_ms) {
    writes_.clear();
    holds_.clear();
    decide_batch(batch, share, now_ms);
    mirror::save(pointers_to(writes_), {}, holds_);
}

// A transaction that is held is held in one commit: who approves what dbnet.held shows approves all of it, unless its
// rows take long to read: then more of it is held soon after. Takes the rest of it from the queue into `batch`.
void Actuator::hold_whole_transactions(std::vector<Entry *> &batch, int64_t now_ms) {
    const auto extents = std::exchange(held_extents_, {});
    for (const auto &extent : extents) {
        const std::vector<Entry *> rest = queue_.take_ready_of(extent.get());
        batch.insert(batch.end(), rest.begin(), rest.end());
        for (size_t first = 0; first < rest.size(); first += held_at_once)
            decide_and_save(std::span(rest).subspan(first, std::min(held_at_once, rest.size() - first)), Share::all,
                            now_ms);
    }
    held_extents_.clear();
}

void Actuator::run_transaction(std::vector<Entry *> &batch, int64_t now_ms) {
    std::vector<Finished> finished = std::exchange(finished_, {});
    std::vector<mirror::ActuationWrite> log = take_log(now_ms);
    const std::vector<mirror::ObjectWrite> waiting = std::exchange(writes_, {});
    hurry_ = false;
    outcomes_.clear();
    decided_bytes_ = 0;
    std::vector<const mirror::ObjectWrite *> writes = pointers_to(waiting);
    for (const Finished &one : finished)
        writes.push_back(&one.write);
    try {
        pg::in_transaction([&] {
            mirror::save(writes, log, {});
            decide_and_save(batch, Share::that_fits, now_ms);
            hold_whole_transactions(batch, now_ms);
        });
        for (const mirror::ObjectWrite &write : waiting) {
            Entry *entry = queue_.find(write.key);
            // An older commit is owed on: the record names the newest.
            if (entry && (entry->untold_lsn <= no_commit || entry->untold_lsn == write.commit_lsn))
                entry->untold_lsn = 0;
        }
    } catch (const std::exception &caught) {
        client_.note_error(std::string("objects could not be read or written: ") + caught.what());
        for (const mirror::ObjectWrite &write : waiting)
            if (Entry *entry = queue_.find(write.key))
                entry->recorded.clear(); // it was not
        run_one_by_one(batch, finished, std::move(log), now_ms);
        held_extents_.clear();
    }
    writes_.clear();
    holds_.clear();
    after_commit(finished, now_ms);
}

std::vector<mirror::ActuationWrite> Actuator::take_log(int64_t now_ms) {
    if (unlogged_.empty() || now_ms < unlogged_due_ms_)
        return std::exchange(log_, {});
    std::vector<mirror::ActuationWrite> log = std::exchange(unlogged_, {});
    std::ranges::move(log_, std::back_inserter(log));
    log_.clear();
    return log;
}

// What a full disk or a lock keeps from being written waits, the newest of it; a line that cannot be written at all
// takes those of its transaction along.
void Actuator::write_log(std::vector<mirror::ActuationWrite> log, int64_t now_ms) {
    try {
        pg::in_transaction([&] { mirror::save({}, log, {}); });
    } catch (const std::exception &caught) {
        client_.note_error(std::string("calls could not be logged: ") + caught.what());
        const auto *error = dynamic_cast<const pg::pg_error *>(&caught);
        if (error == nullptr || !will_pass(error->sqlstate()))
            return;
        std::ranges::move(log, std::back_inserter(unlogged_));
        if (unlogged_.size() > most_unlogged)
            unlogged_.erase(unlogged_.begin(), unlogged_.end() - most_unlogged);
        unlogged_due_ms_ = now_ms + unlogged_pause_ms;
    }
}

// After a failure: one bad object must not keep the others from being written and decided.
void Actuator::run_one_by_one(std::span<Entry *const> batch, std::vector<Finished> &finished,
                              std::vector<mirror::ActuationWrite> log, int64_t now_ms) {
    const auto succeeds = [&](const std::string &what, auto &&work) {
        try {
            pg::in_transaction(work);
            return true;
        } catch (const std::exception &caught) {
            client_.note_error(what + ": " + caught.what());
            return false;
        }
    };
    if (!log.empty())
        write_log(std::move(log), now_ms);
    for (Finished &one : finished) {
        if (succeeds("answer for " + one.write.key.text() + " could not be written",
                     [&] { mirror::save({{&one.write}}, {}, {}); }))
            continue;
        one.is_saved = false;
        one.next = Next::again; // decided anew; applying or deleting once more does no harm
        one.delay_ms = 5000;
        one.forgotten_uid.clear();
        one.write.seen.reset();
        one.row_may_differ = true;
    }
    outcomes_.clear();
    decided_bytes_ = 0;
    for (Entry *const &entry : batch) {
        const size_t before = outcomes_.size();
        if (succeeds("object " + entry->key.text() + " could not be decided",
                     [&] { decide_and_save(std::span(&entry, 1), Share::all, now_ms); }))
            continue;
        outcomes_.resize(before);
        outcomes_.push_back({entry->key, Outcome::Kind::retry, {}, {}, 0});
    }
}

void Actuator::after_commit(std::vector<Finished> &finished, int64_t now_ms) {
    for (Finished &one : finished) {
        const mirror::Key key = one.write.key;
        if (!one.forgotten_uid.empty())
            client_.forget(key, one.forgotten_uid);
        if (one.announcement && one.is_saved)
            client_.announce(std::move(*one.announcement));
        Entry *entry = queue_.find(key);
        if (!entry || entry->state != Entry::State::finished)
            continue; // its mirror was removed, and perhaps made anew
        entry->recorded.clear();
        if (one.is_saved)
            entry->untold_lsn = 0;
        note_total(key.relation, one.write.created - one.write.forget);
        if (one.next == Next::accepted || one.next == Next::gone)
            queue_.settled(*entry);
        else if (one.next == Next::again)
            queue_.retry_at(*entry, now_ms + one.delay_ms);
        else
            queue_.stopped(*entry);
        if (!one.awaited_version.empty())
            client_.await_version(key, one.awaited_version);
        client_.answered(key, one.write.seen ? one.write.seen->resource_version : std::string(), one.row_may_differ);
    }
    for (Outcome &outcome : outcomes_) {
        Entry *const found = queue_.find(outcome.key);
        if (!found)
            continue;
        Entry &entry = *found;
        if (outcome.announcement)
            client_.announce(std::move(*outcome.announcement));
        if (outcome.kind != Outcome::Kind::retry && outcome.kind != Outcome::Kind::unread &&
            outcome.kind != Outcome::Kind::put_back)
            entry.gone_uid.clear();
        if (outcome.kind != Outcome::Kind::prepared)
            drop_plan(outcome.key); // of an older decision
        if (outcome.row_may_differ)
            client_.answered(outcome.key, {}, true);
        switch (outcome.kind) {
        case Outcome::Kind::forgotten:
            client_.forget(outcome.key, outcome.text);
            note_total(outcome.key.relation, -1);
            [[fallthrough]];
        case Outcome::Kind::settled:
            queue_.settled(entry);
            break;
        case Outcome::Kind::stopped:
            queue_.stopped(entry);
            break;
        case Outcome::Kind::restore:
            if (catalog_->find(outcome.key.relation))
                client_.restore(outcome.key, entry.rejected);
            [[fallthrough]];
        case Outcome::Kind::retry:
            // Apart from each other: what failed together may succeed alone.
            queue_.retry_at(entry, now_ms + backoff_ms(++entry.attempts, random_() / 2147483648.0));
            break;
        case Outcome::Kind::put_back:
            queue_.redo(entry);
            break;
        case Outcome::Kind::unread:
        case Outcome::Kind::postponed:
            entry.recorded = outcome.text;
            entry.untold_lsn = 0;
            queue_.retry_at(entry, now_ms + outcome.delay_ms);
            break;
        case Outcome::Kind::prepared:
            queue_.prepared(entry);
            lanes_[outcome.plan.lane].prepared.push_back(outcome.key);
            keep_plan(outcome.key, std::move(outcome.plan));
            break;
        }
    }
    outcomes_.clear();
    decided_bytes_ = 0;
}

// Looking through a long queue takes time; then it is done less often.
int64_t Actuator::recording_due_ms() const {
    return recorded_ms_ + quiet_ms * static_cast<int64_t>(1 + queue_.size() / 2000);
}

void Actuator::record_waiting(int64_t now_ms) {
    if (now_ms < recording_due_ms())
        return;
    recorded_ms_ = now_ms;
    size_t count = 0;
    queue_.for_each([&](Entry &entry) {
        if (count >= recorded_at_once || now_ms - entry.since_ms < quiet_ms)
            return;
        const mirror::Mirror *mirror = catalog_->find(entry.key.relation);
        if (!mirror)
            return;
        Phase phase = Phase::pending;
        std::string message, reason;
        if (entry.state == Entry::State::in_flight) {
            const auto plan = plans_.find(entry.key);
            phase = plan != plans_.end() && plan->second.decision.action == Action::remove ? Phase::deleting
                                                                                           : Phase::applying;
        } else if (entry.state == Entry::State::blocked) {
            message = "waits until what the same transaction needs first is accepted";
        } else if (entry.state == Entry::State::ready || entry.state == Entry::State::prepared) {
            const auto lane = lanes_.find(lane_name(*mirror));
            if (lane == lanes_.end() || lane->second.closed_until_ms <= now_ms)
                return;
            message = lane->second.message;
            reason = lane->second.reason;
        } else {
            return;
        }
        // Of the commit that the request carries, or else of the newest.
        const auto sent = entry.state == Entry::State::in_flight ? plans_.find(entry.key) : plans_.end();
        const Cause &cause = sent != plans_.end() ? sent->second.cause : entry.cause;
        const std::string recorded =
            std::string(mirror::to_text(phase)) + ' ' + std::to_string(cause.lsn) + ' ' + message;
        if (entry.recorded == recorded)
            return;
        entry.recorded = recorded;
        count++;
        mirror::ObjectWrite write;
        write.key = entry.key;
        write.field_manager = mirror->field_manager;
        write.phase = phase;
        write.message = message;
        write.reason = reason;
        write.attempts = entry.attempts;
        write.transaction = cause.transaction;
        write.commit_lsn = cause.lsn;
        write.committer = cause.committer;
        writes_.push_back(std::move(write));
    });
}

} // namespace dbnet::bgworker
