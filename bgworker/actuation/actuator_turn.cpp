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

mirror::HoldLimits hold_limits() {
    return {settings::hold_objects, settings::hold_minimum, settings::hold_percent};
}

namespace {

constexpr size_t ahead = 64;                 // decisions per lane that wait for a free place on the line
constexpr size_t save_batch = 32;            // answers that are worth a transaction while more are under way …
constexpr int64_t save_after_ms = 10;        // … or that many milliseconds
constexpr int64_t obstacle_look_ms = 10'000; // the end of a drain touches the object: this is for what was missed
constexpr int64_t quiet_ms = 200;            // what settles sooner leaves no trace of waiting
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

std::string joined(const std::string &message, const std::string &hint) {
    return hint.empty() ? message : message + (message.ends_with('.') ? " " : ". ") + hint;
}

std::vector<const mirror::ObjectWrite *> pointers_to(std::span<const mirror::ObjectWrite> writes) {
    std::vector<const mirror::ObjectWrite *> pointers;
    for (const mirror::ObjectWrite &write : writes)
        pointers.push_back(&write);
    return pointers;
}

// What a copy of this database has written since the two parted is not put back unasked: here may be the backup.
// A commit that came afterwards is somebody's word.
std::string copy_reason(const Entry &entry, const std::optional<mirror::ObjectRecord> &object) {
    if (entry.cause.transaction != 0 || !object || object->stamp.empty() || mirror::is_own_stamp(object->stamp))
        return {};
    return "the object was last written by a copy of this database (stamp " + object->stamp +
           "): this one may be older, for example restored from a backup";
}

// A row that was deleted and inserted again while its object stayed begins without what was reported into the old one.
std::set<std::string> missing_paths(const mirror::Mapping &mapping, const mirror::RowFields &row,
                                    const mirror::Fields &base) {
    std::set<std::string> paths;
    for (const mirror::Column &column : mapping.columns)
        if (column.role != mirror::Role::key && base.contains(column.path) && !row.values.contains(column.path))
            paths.insert(column.path);
    return paths;
}

// Who changed what is to be put back; of several the one that changed the first field.
std::string rival_of(const mirror::ObjectRecord &object, const mirror::Decision &decision) {
    for (const std::string &path : decision.changed)
        if (const auto other = object.others.find(path); other != object.others.end())
            return other->second;
    return "an unknown manager";
}

std::string fight_message(const std::string &rival, const mirror::Decision &decision, int reverts) {
    std::string paths;
    for (const std::string &path : decision.changed)
        paths += (paths.empty() ? "" : ", ") + path;
    return rival + " keeps changing " + paths + ": put back " + std::to_string(reverts) +
           " times, and from now on less often";
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
            (lane == lanes_.end() || lane->second.prepared.size() < ahead / 2))
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
        if (wanted <= lane.prepared.size())
            continue;
        for (Entry *entry : queue_.take_ready(name, wanted - lane.prepared.size()))
            batch.push_back(entry);
    }
    return batch;
}

void Actuator::decide_and_save(std::span<Entry *const> batch, int64_t now_ms) {
    writes_.clear();
    holds_.clear();
    decide_batch(batch, now_ms);
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
            decide_and_save(std::span(rest).subspan(first, std::min(held_at_once, rest.size() - first)), now_ms);
    }
    held_extents_.clear();
}

void Actuator::run_transaction(std::vector<Entry *> &batch, int64_t now_ms) {
    std::vector<Finished> finished = std::exchange(finished_, {});
    std::vector<mirror::ActuationWrite> log = take_log(now_ms);
    const std::vector<mirror::ObjectWrite> waiting = std::exchange(writes_, {});
    hurry_ = false;
    outcomes_.clear();
    std::vector<const mirror::ObjectWrite *> writes = pointers_to(waiting);
    for (const Finished &one : finished)
        writes.push_back(&one.write);
    try {
        pg::in_transaction([&] {
            mirror::save(writes, log, {});
            decide_and_save(batch, now_ms);
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
    for (Entry *const &entry : batch) {
        const size_t before = outcomes_.size();
        if (succeeds("object " + entry->key.text() + " could not be decided",
                     [&] { decide_and_save(std::span(&entry, 1), now_ms); }))
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
            plans_.erase(outcome.key); // of an older decision
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
            plans_.insert_or_assign(outcome.key, std::move(outcome.plan));
            break;
        }
    }
    outcomes_.clear();
}

void Actuator::decide_one(Entry &entry, const mirror::Mirror &mirror, const mirror::StoredObject &stored,
                          const mirror::RowFields *row, const DeleteObstacle *obstacle, int64_t now_ms) {
    std::optional<mirror::ObjectRecord> object = stored.object;
    const bool is_listed = mirror.is_offline || client_.has_listed(mirror.relation);
    const bool gone = object && !entry.gone_uid.empty() && object->uid == entry.gone_uid;
    if (gone)
        object->is_gone = true;
    // A row that was deleted and inserted again is a user's word, whatever was reported in between.
    if (row && object && !stored.tombstone && mirror::is_import_under_way(mirror.mapping, *object)) {
        outcomes_.push_back(
            {entry.key, is_listed ? Outcome::Kind::retry : Outcome::Kind::settled, {}, {}, 0, is_listed});
        return;
    }

    mirror::Situation situation;
    situation.mapping = &mirror.mapping;
    situation.settings = &mirror.settings;
    situation.name = entry.key.name;
    situation.row = row;
    situation.object = object ? &*object : nullptr;
    situation.tombstone = stored.tombstone ? &*stored.tombstone : nullptr;
    situation.releases = &stored.releases;
    situation.adopted = &stored.adopted;
    const mirror::Hold &hold = row ? stored.apply_hold : stored.delete_hold;
    const bool is_later_commit = entry.cause.transaction != 0 && entry.cause.transaction != hold.transaction &&
                                 entry.cause.transaction != hold.decided_in;
    situation.hold = hold.decision;
    if (is_later_commit && hold.decision == mirror::HoldDecision::approved)
        situation.hold = mirror::HoldDecision::none; // what was approved is another transaction's
    entry.rejected = row ? stored.rejected : nullptr;
    situation.rejected = entry.rejected.get();
    situation.replaced = entry.replaced;
    mirror::Decision decision = mirror::decide(situation);
    // Another value was written since: what it is part of is counted by the minute, for the extent is the rejection's.
    if (situation.hold == mirror::HoldDecision::rejected && decision.action == Action::update)
        entry.extent = nullptr;
    // Back from another phase without a call: whether somebody else has changed something only the live object tells.
    if (decision.action == Action::nothing && decision.phase == Phase::synced && object && object->live.is_null() &&
        object->phase != Phase::synced && object->phase != Phase::none) {
        if (std::optional<mirror::ObjectRecord> whole = mirror::load_objects({&entry.key, 1}, true).front().object)
            object->live = std::move(whole->live);
        decision = mirror::decide(situation);
    }
    if (!object &&
        (stored.release_id > 0 || stored.adoption_id > 0 || stored.expectation_id > 0 || stored.restoration_id > 0) &&
        decision.action == Action::nothing)
        decision.action = Action::forget; // nothing is left that could be released, adopted, restored or of a version

    mirror::ObjectWrite write;
    write.key = entry.key;
    write.field_manager = mirror.field_manager;
    write.phase = decision.phase;
    write.message = joined(decision.message, decision.hint);
    if (decision.phase == Phase::drifted && object && mirror::has_left_selector(mirror.settings, object->live))
        write.reason = mirror::left_selector;
    write.transaction = entry.cause.transaction;
    write.commit_lsn = entry.cause.lsn;
    write.committer = entry.cause.committer;
    if (gone)
        write.gone_uid = object->uid;
    const bool is_kept = decision.action != Action::create && decision.action != Action::restore; // the object, the row
    if (row && object && stored.tombstone && is_listed && is_kept)
        write.missing = missing_paths(mirror.mapping, *row, object->base);
    const std::set<std::string> missing = write.missing;
    const bool has_hold = stored.apply_hold.decision != mirror::HoldDecision::none ||
                          stored.delete_hold.decision != mirror::HoldDecision::none;
    const auto conclude = [&](Outcome::Kind kind, bool is_worth_writing) {
        outcomes_.push_back(
            {entry.key, kind, {}, {}, 0, !missing.empty(), announce_decided(entry, stored.object, write, !row)});
        if (is_worth_writing || !missing.empty())
            writes_.push_back(std::move(write));
    };

    const bool replaces = decision.action == Action::update && !entry.immutable.empty();
    mirror::Fields rehearsed;
    if (replaces) { // the update was refused
        if (const char *obstacle = mirror::replacement_obstacle(mirror.settings, *object)) {
            write.phase = Phase::invalid;
            write.message = joined(entry.immutable, std::string("It is not made anew: ") + obstacle + '.');
            write.reason = "Immutable";
            return conclude(Outcome::Kind::stopped, true);
        }
        const std::string uid = object->uid;
        for (auto &[path, value] : decision.fields)
            if (mirror.mapping.by_path(path)->subresource.empty())
                rehearsed.emplace(path, std::move(value));
        decision = {};
        decision.action = Action::remove;
        decision.uid = uid;
        write.phase = Phase::deleting;
        write.message = joined(entry.immutable, "The object is deleted and made anew.");
    }

    const std::string reason = closed_reason(mirror);
    const bool is_open = reason.empty() && is_listed;
    const bool acts = decision.action == Action::create || decision.action == Action::update ||
                      decision.action == Action::release || decision.action == Action::remove;
    std::string rival;
    if (decision.only_reverts && decision.action == Action::update && entry.cause.transaction == 0) {
        rival = rival_of(*object, decision);
        if (object->phase == Phase::fighting)
            fights_.resume(entry.key, rival, object->reverts, now_ms);
        const int64_t wait_ms = fights_.wait_ms(entry.key, rival, now_ms);
        if (wait_ms > 0 && is_open) {
            write.phase = Phase::fighting;
            write.message = fight_message(rival, decision, fights_.reverts(entry.key));
            write.next_attempt_ms = wait_ms;
            write.attempts = fights_.reverts(entry.key);
            outcomes_.push_back({entry.key,
                                 Outcome::Kind::postponed,
                                 {},
                                 write.message,
                                 wait_ms,
                                 false,
                                 announce_decided(entry, stored.object, write, !row)});
            if (entry.recorded != write.message)
                writes_.push_back(std::move(write));
            return;
        }
    }
    if (decision.action == Action::remove && obstacle && obstacle->will_pass) {
        write.phase = Phase::deleting;
        write.message = obstacle->text;
        outcomes_.push_back({entry.key, Outcome::Kind::postponed, {}, write.message, obstacle_look_ms});
        if (entry.recorded != write.message)
            writes_.push_back(std::move(write));
        return;
    }
    // What an offline server is not sent is held all the same: whoever tests a policy wants to see that.
    const bool is_change = decision.action == Action::update || decision.action == Action::remove;
    const bool is_continued = entry.continued_lsn != 0 && entry.continued_lsn == entry.cause.lsn;
    if (is_change && (is_open || mirror.is_offline) && situation.hold != mirror::HoldDecision::approved &&
        !is_continued) {
        std::string doubt = copy_reason(entry, object);
        if (doubt.empty() && decision.action == Action::remove && obstacle)
            doubt = obstacle->text;
        if (doubt.empty())
            doubt = mass_reason(entry, mirror, decision.action == Action::remove, now_ms);
        if (!doubt.empty()) {
            decision.action = Action::hold;
            write.phase = Phase::held;
            write.message = joined(doubt, "See dbnet.held; decide with dbnet.approve or dbnet.reject.");
            decision.message = std::move(doubt);
            if (entry.extent && entry.extent->size() > 1)
                held_extents_.insert(entry.extent);
        }
    }
    // What would be held by itself takes the place of what waits: an approval lets go what dbnet.held shows.
    bool is_held_anew = decision.action == Action::hold && situation.hold != mirror::HoldDecision::waiting;
    if (decision.action == Action::hold && !is_held_anew && is_later_commit) {
        if (std::string doubt = extent_reason(entry, mirror, !row, now_ms); !doubt.empty()) {
            is_held_anew = true;
            write.message = joined(doubt, "See dbnet.held; decide with dbnet.approve or dbnet.reject.");
            decision.message = std::move(doubt);
            if (entry.extent->size() > 1)
                held_extents_.insert(entry.extent);
        }
    }
    if (acts && !is_open && decision.action != Action::hold) {
        // The mirror is compared as a whole when it may go on. What the transaction does after this waits, deletions
        // above all: a row that has moved to a closed mirror keeps its object where it was. An offline one never goes
        // on.
        write.phase = Phase::pending;
        write.message = reason.empty() ? "waits until the mirror's objects have been listed" : reason;
        write.reason = mirror.is_offline ? "Offline" : "";
        return conclude(mirror.is_offline ? Outcome::Kind::settled : Outcome::Kind::stopped, true);
    }
    if (!is_listed)
        return conclude(Outcome::Kind::settled, false);

    switch (decision.action) {
    case Action::nothing: {
        const Phase before = stored.object ? stored.object->phase : Phase::none;
        if (!mirror.settings.manage && !gone)
            write.phase = stored.object && !stored.object->claimed.empty() ? Phase::synced : Phase::none;
        write.settles_hold = has_hold;
        if (mirror.settings.manage) { // all that was to be adopted is owned already
            write.adoption_id = stored.adoption_id;
            write.adopted = stored.is_object_adopted;
            write.restoration_id = stored.restoration_id;
            if (decision.phase == Phase::synced)
                write.expectation_id = stored.expectation_id;
        }
        const bool is_replaced = object && object->replacement == mirror::Replacement::under_way;
        if (is_replaced)
            write.replacing = ""; // the row is as it was again
        // Deleted and inserted again with all as it was.
        if (row && stored.tombstone && mirror.settings.manage && decision.phase != Phase::absent)
            write.tombstone_id = stored.tombstone_id;
        const bool changes = mirror::is_waiting(before) || before == Phase::conflict || before == Phase::invalid ||
                             before == Phase::denied || before == Phase::stale || before == Phase::held;
        // The watcher has recorded that an observed object is gone.
        return conclude(Outcome::Kind::settled, (gone && mirror.settings.manage) || has_hold ||
                                                    write.tombstone_id > 0 || write.adoption_id > 0 ||
                                                    write.expectation_id > 0 || write.restoration_id > 0 ||
                                                    is_replaced || changes);
    }
    case Action::refuse:
        return conclude(Outcome::Kind::stopped, true);
    case Action::wait:
        return conclude(Outcome::Kind::stopped, true);
    case Action::hold:
        if (is_held_anew)
            holds_.push_back({entry.key, row ? "apply" : "delete", entry.cause.transaction, decision.message});
        return conclude(Outcome::Kind::stopped, true);
    case Action::restore:
        entry.extent = nullptr; // what is written from now on counts by itself
        // The rejection stays on record until the row is seen to be as it was.
        return conclude(Outcome::Kind::restore, false);
    case Action::forget:
        write.forget = true;
        write.tombstone_id = stored.tombstone_id;
        write.release_id = stored.release_id;
        write.adoption_id = stored.adoption_id;
        write.restoration_id = stored.restoration_id;
        write.expectation_id = stored.expectation_id;
        write.settles_hold = true;
        writes_.push_back(std::move(write));
        outcomes_.push_back({entry.key, Outcome::Kind::forgotten, {}, object ? object->uid : std::string(), 0});
        return;
    case Action::create:
        if (stored.expectation_id > 0) { // an apply would make the object, whatever the version
            write.phase = Phase::stale;
            write.message = "there is no object any more that could have version " + stored.expected_version;
            return conclude(Outcome::Kind::stopped, true);
        }
        break;
    case Action::update:
    case Action::release:
    case Action::remove:
        break;
    }

    if (decision.action != Action::release && sets_outdated(mirror, decision.fields)) {
        // As above: the mirror is compared when its schema is another.
        write.phase = Phase::pending;
        write.message = "the kind's schema has changed: dbnet.mirror_status says what the server refuses";
        write.reason = "SchemaChanged";
        return conclude(Outcome::Kind::stopped, true);
    }

    mirror::ActsAs acts_as = mirror::acts_as(*mirror.committers, entry.cause.committer);
    if (acts_as.is_refused) {
        write.phase = Phase::denied;
        write.message = mirror::refusal_of_role(mirror::role_name(entry.cause.committer), mirror.server);
        write.reason = mirror::role_not_mapped;
        return conclude(Outcome::Kind::stopped, true);
    }

    Plan plan;
    plan.acts_as = std::move(acts_as.user);
    plan.lane = lane_name(mirror);
    plan.field_manager = mirror.field_manager;
    plan.generation = mirror.generation;
    if (object && decision.action == Action::update)
        plan.first_written = object->first_written;
    plan.tombstone_id = stored.tombstone_id;
    plan.release_id = stored.release_id;
    plan.adoption_id = stored.adoption_id;
    plan.restoration_id = stored.restoration_id;
    if (decision.action == Action::create)
        plan.restored = stored.last_body;
    plan.is_object_adopted = stored.is_object_adopted;
    plan.expectation_id = stored.expectation_id;
    plan.expected_version = stored.expected_version;
    plan.rival = std::move(rival);
    plan.has_hold = has_hold;
    plan.fresh =
        decision.action == Action::create && (!object || object->uid.empty() || stored.tombstone || entry.replaced);
    if (object && decision.action == Action::create && !plan.fresh)
        plan.first_written = object->first_written;
    if (object && !plan.fresh) {
        plan.base = std::move(object->base);
        for (const std::string &path : missing)
            plan.base.erase(path);
        plan.missing = missing;
    }
    if (gone)
        plan.gone_uid = stored.object->uid;
    plan.was_replacing = decision.action == Action::update && object->replacement != mirror::Replacement::none;
    plan.has_status = row && row->has_status;
    plan.cause = entry.cause;
    if (object)
        plan.stamp = object->stamp;
    if (decision.action != Action::release)
        plan.part = mirror::take_first_part(mirror.mapping, decision, object ? &*object : nullptr, entry.refused);
    if (plan.part.is_empty) { // the others are done
        write.phase = entry.refusal.phase;
        write.message = entry.refusal.message;
        write.reason = entry.refusal.reason;
        return conclude(Outcome::Kind::stopped, true);
    }
    plan.decision = std::move(decision);
    if (replaces) { // on disk before it is sent: the end of the object is not to be taken for an external delete
        plan.replaces = true;
        plan.rehearsed = std::move(rehearsed);
        write.replacing = plan.decision.uid;
        writes_.push_back(std::move(write));
    }
    outcomes_.push_back({entry.key, Outcome::Kind::prepared, std::move(plan), {}, 0});
}

bool Actuator::sets_outdated(const mirror::Mirror &mirror, const mirror::Fields &fields) const {
    const auto known = outdated_.find(mirror.relation);
    return known != outdated_.end() &&
           std::ranges::any_of(known->second.paths, [&](const std::string &path) { return fields.contains(path); });
}

int64_t Actuator::total_of(uint32_t relation, int64_t now_ms) {
    Total &total = totals_[relation];
    if (total.counted_ms == 0 || now_ms - total.counted_ms > 10'000)
        total = {mirror::count_objects(relation), now_ms};
    return total.count;
}

// Between two counts the number is kept up: a share of what was there before would hold too little or too much.
void Actuator::note_total(uint32_t relation, int change) {
    const auto total = totals_.find(relation);
    if (total != totals_.end())
        total->second.count += change;
}

// Why a transaction (or compare) is held as a whole; empty: it is not.
std::string Actuator::extent_reason(const Entry &entry, const mirror::Mirror &mirror, bool remove, int64_t now_ms) {
    if (!entry.extent)
        return {};
    const mirror::HoldLimits limits = hold_limits();
    const auto change = remove ? mirror::ChangeClass::remove : mirror::ChangeClass::update;
    const auto &counts = remove ? entry.extent->removes : entry.extent->updates;
    const auto found = counts.find(mirror.relation);
    const int64_t changed = found == counts.end() ? 0 : found->second;
    const int64_t total = changed >= limits.minimum ? total_of(mirror.relation, now_ms) : 0;
    const std::string who =
        entry.extent->is_compare ? "a compare" : "transaction " + std::to_string(entry.cause.transaction);
    return mirror::mass_change_reason(who, change, changed, total, limits);
}

std::string Actuator::mass_reason(const Entry &entry, const mirror::Mirror &mirror, bool remove, int64_t now_ms) {
    if (std::string reason = extent_reason(entry, mirror, remove, now_ms); !reason.empty())
        return reason;
    const mirror::HoldLimits limits = hold_limits();
    const auto change = remove ? mirror::ChangeClass::remove : mirror::ChangeClass::update;
    mirror::MassChangeGate &gate = gates_[mirror.relation];
    const int64_t total = gate.counted(change) + 1 >= limits.minimum ? total_of(mirror.relation, now_ms) : 0;
    if (!gate.admit(change, entry.key.text(), total, limits, now_ms))
        return std::string("one more object in a minute that ") + (remove ? "deletes" : "updates") + " too many" +
               mirror::limits_text(limits);
    return {};
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
