// Of a turn's transaction: the rows that are to be decided about, as many together as can be read in time (see
// actuator.hpp). Mirror worker.
#include "bgworker/actuation/actuator.hpp"

#include <algorithm>

#include "mirror/store/row_reader.hpp"
#include "mirror/store/table_lock.hpp"
#include "pg/spi.hpp"
#include "settings.hpp"

namespace dbnet::bgworker {

namespace {

constexpr size_t read_together = 512; // rows of one mirror …
constexpr size_t first_together = 16; // … and before it is known how large they are

} // namespace

void Actuator::decide_batch(std::span<Entry *const> batch, Share share, int64_t now_ms) {
    // Of each relation: what is there to decide. A table that does not fit is compared as a whole once it does.
    std::map<uint32_t, std::vector<Entry *>> by_relation;
    bool with_live = false;
    for (Entry *entry : batch) {
        const mirror::Mirror *mirror = catalog_->find(entry->key.relation);
        if (!mirror || !mirror->problem.empty()) {
            outcomes_.push_back({entry->key, mirror ? Outcome::Kind::stopped : Outcome::Kind::settled, {}, {}, 0});
            continue;
        }
        with_live |= needs_live(*mirror);
        by_relation[entry->key.relation].push_back(entry);
    }
    for (const auto &[relation, entries] : by_relation) {
        const mirror::Mirror &mirror = *catalog_->find(relation);
        const auto decide = mirror.committers->is_on ? &Actuator::decide_as_committed : &Actuator::decide_some;
        const int64_t begun_ms = monotonic_ms();
        std::span<Entry *const> rest = entries;
        do
            rest = rest.subspan((this->*decide)(rest, mirror, with_live, now_ms));
        while (!rest.empty() && monotonic_ms() - begun_ms < settings::report_statement_timeout &&
               (share == Share::all || decided_bytes_ < most_plan_bytes));
        for (const Entry *entry : rest) // the feed, answers and other mirrors wait; or these are too large
            outcomes_.push_back({entry->key, Outcome::Kind::put_back, {}, {}, 0});
    }
}

// As many of the entries as are read together. Returns how many it is done with; 0: fewer are to be tried.
size_t Actuator::decide_some(std::span<Entry *const> all, const mirror::Mirror &mirror, bool with_live,
                             int64_t now_ms) {
    ReadPace &pace = paces_.try_emplace(mirror.relation, read_together, first_together).first->second;
    const std::span<Entry *const> entries = all.first(std::min(all.size(), pace.together()));
    std::vector<mirror::Key> keys;
    for (const Entry *entry : entries)
        keys.push_back(entry->key);
    look_up_versions(entries);
    const std::vector<mirror::StoredObject> stored = mirror::load_objects(keys, with_live);
    std::vector<std::optional<mirror::RowFields>> rows;
    const int64_t begun_ms = monotonic_ms();
    try {
        rows = pg::in_subtransaction([&] { return mirror::read_rows(mirror, keys); });
    } catch (const std::exception &caught) {
        if (!is_rows_fault(caught))
            return give_up(all, mirror, caught);
        pace.on_failure(entries.size());
        if (entries.size() > 1)
            return 0;
        note_unread(*entries.front(), mirror, caught);
        return 1;
    }
    size_t bytes = 0;
    for (size_t i = 0; i < entries.size(); i++)
        bytes += stored[i].bytes + (rows[i] ? rows[i]->bytes : 0);
    pace.on_success(entries.size(), bytes, monotonic_ms() - begun_ms, settings::report_statement_timeout);
    if (mirror.committers->is_on && !learn_committers(entries)) {
        for (const Entry *entry : all)
            outcomes_.push_back({entry->key, Outcome::Kind::put_back, {}, {}, 0});
        return all.size();
    }
    const std::map<mirror::Key, DeleteObstacle> obstacles = load_obstacles(entries, stored);
    for (size_t i = 0; i < entries.size(); i++) {
        if (entries[i]->state != Entry::State::deciding)
            continue; // its newest commit waits for others of its transaction
        const auto obstacle = obstacles.find(keys[i]);
        decide_one(*entries[i], mirror, stored[i], rows[i] ? &*rows[i] : nullptr,
                   obstacle == obstacles.end() ? nullptr : &obstacle->second, now_ms);
    }
    return entries.size();
}

// The server is told who has written what it is sent: rows, records and commits are all of one moment, so that each row
// has the committer it was written by, however fast others write. Not before the table is locked: a snapshot that is
// older than ALTER TABLE's new table sees nothing in there.
size_t Actuator::decide_as_committed(std::span<Entry *const> all, const mirror::Mirror &mirror, bool with_live,
                                     int64_t now_ms) {
    try {
        pg::in_subtransaction([&] { mirror::lock_table(mirror, false); });
    } catch (const std::exception &caught) {
        return give_up(all, mirror, caught);
    }
    return pg::in_one_snapshot([&] { return decide_some(all, mirror, with_live, now_ms); });
}

size_t Actuator::give_up(std::span<Entry *const> all, const mirror::Mirror &mirror, const std::exception &caught) {
    client_.note_error("rows of " + mirror.qualified_name + " could not be read: " + caught.what());
    for (const Entry *entry : all)
        outcomes_.push_back({entry->key, Outcome::Kind::retry, {}, {}, 0});
    return all.size();
}

// The row is to blame, and tried again ever more seldom.
void Actuator::note_unread(Entry &entry, const mirror::Mirror &mirror, const std::exception &caught) {
    const std::string words = caught.what();
    client_.note_error("row " + entry.key.text() + " of " + mirror.qualified_name + " could not be read: " + words);
    const int64_t delay_ms = backoff_ms(++entry.attempts, random_() / 2147483648.0);
    if (!mirror.settings.manage) { // nothing is asked of the object
        outcomes_.push_back({entry.key, Outcome::Kind::unread, {}, {}, delay_ms});
        return;
    }
    const auto *error = dynamic_cast<const pg::pg_error *>(&caught);
    const bool is_late = error && error->sqlstate() == ERRCODE_QUERY_CANCELED;
    mirror::ObjectWrite write;
    write.key = entry.key;
    write.field_manager = mirror.field_manager;
    write.phase = mirror::Phase::pending;
    write.message = "the row could not be read: " + words;
    if (is_late)
        write.message += ". One row may take dbnet.report_statement_timeout, its columns' casts included.";
    write.reason = "RowUnreadable";
    write.attempts = entry.attempts;
    write.next_attempt_ms = delay_ms;
    write.transaction = entry.cause.transaction;
    write.commit_lsn = entry.cause.lsn;
    write.committer = entry.cause.committer;
    outcomes_.push_back({entry.key, Outcome::Kind::unread, {}, write.message, delay_ms});
    writes_.push_back(std::move(write));
}

} // namespace dbnet::bgworker
