// The queue of objects (see actuator_queue.hpp). Pure C++; mirror worker.
#include "bgworker/actuation/actuator_queue.hpp"

#include <algorithm>
#include <utility>

#include "pg/no_postgres.hpp"

namespace dbnet::bgworker {

using State = Entry::State;

namespace {

// Notes that somebody may wait for the object because of the commit.
void owe(Entry &entry, bool is_busy, uint64_t lsn) {
    uint64_t &oldest = is_busy ? entry.again_lsn : entry.untold_lsn;
    if (oldest == 0)
        oldest = std::max(lsn, no_commit);
}

// For others of a transaction; of its waves those from `first` on count.
bool has_to_wait(const Entry &entry, size_t first) {
    return std::any_of(entry.waves.begin() + first, entry.waves.end(),
                       [](const auto &wave) { return !wave.first->may_go(wave.second); });
}

// What comes now is for later.
bool is_taken(State state) {
    return state == State::deciding || state == State::in_flight || state == State::finished;
}

} // namespace

std::vector<mirror::Key> Wave::settle(int rank) {
    const auto found = outstanding_.find(rank);
    if (found != outstanding_.end() && --found->second == 0)
        outstanding_.erase(found);
    std::vector<mirror::Key> released;
    while (!blocked_.empty() && may_go(blocked_.begin()->first)) {
        auto &keys = blocked_.begin()->second;
        released.insert(released.end(), std::make_move_iterator(keys.begin()), std::make_move_iterator(keys.end()));
        blocked_.erase(blocked_.begin());
    }
    return released;
}

namespace {

// How many objects the transaction changes in the same way.
int64_t count(const std::shared_ptr<const Extent> &extent, const Wanted &wanted) {
    if (!extent)
        return 0;
    const auto &counts = wanted.remove ? extent->removes : extent->updates;
    const auto found = counts.find(wanted.key.relation);
    return found == counts.end() ? 0 : found->second;
}

} // namespace

void Queue::take(std::span<const Wanted> wanted, const Cause &cause, std::shared_ptr<const Extent> extent,
                 int64_t now_ms) {
    const bool has_ranks =
        std::any_of(wanted.begin(), wanted.end(), [&](const Wanted &w) { return w.rank != wanted.front().rank; });
    const std::shared_ptr<Wave> wave = has_ranks ? std::make_shared<Wave>() : nullptr;
    if (wave)
        for (const Wanted &one : wanted)
            wave->add(one.rank);
    for (const Wanted &one : wanted) {
        const auto [found, is_new] = entries_.try_emplace(one.key);
        Entry &entry = found->second;
        if (is_new) {
            entry.key = one.key;
            entry.since_ms = now_ms;
        }
        const bool is_busy = !is_new && is_taken(entry.state);
        // A compare asks nothing new.
        if (cause.transaction != 0)
            leave_older_waves(entry, is_busy ? entry.covered_waves : 0, entry.waves.size(),
                              wave && !wave->may_go(one.rank));
        if (cause.transaction != 0 || entry.cause.transaction == 0) {
            const uint32_t before = cause.transaction != 0 ? entry.cause.committer : 0;
            entry.cause = cause;
            entry.cause.event = one.event;
            entry.cause.committer = one.committer != 0 ? one.committer : before;
            if (one.committer != 0)
                entry.cause.role = one.committer;
        }
        entry.replaced = one.replaced || (entry.replaced && !one.remove);
        entry.attempts = 0;
        entry.schema_failures = 0;
        entry.refused.clear();
        entry.immutable.clear();
        if (entry.state == State::stopped || count(extent, one) >= count(entry.extent, one))
            entry.extent = extent;
        if (wave)
            entry.waves.emplace_back(wave, one.rank);
        owe(entry, is_busy, cause.lsn);
        if (is_busy)
            entry.again = true;
        else
            redo(entry);
    }
}

void Queue::touch(const mirror::Key &key, const std::string &gone_uid, int64_t now_ms) {
    const auto [found, is_new] = entries_.try_emplace(key);
    Entry &entry = found->second;
    if (is_new) {
        entry.key = key;
        entry.since_ms = now_ms;
    }
    if (!gone_uid.empty())
        entry.gone_uid = gone_uid;
    const bool is_busy = !is_new && is_taken(entry.state);
    owe(entry, is_busy, no_commit);
    if (is_busy)
        entry.again = true;
    else if (is_new || entry.state != State::blocked)
        redo(entry);
}

void Queue::place(Entry &entry) {
    for (const auto &[wave, rank] : entry.waves) {
        if (!wave->may_go(rank)) {
            wave->block(rank, entry.key);
            entry.state = State::blocked;
            return;
        }
    }
    entry.state = State::ready;
    ready_[lane_of_(entry.key.relation)].push_back(entry.key);
}

void Queue::advance(int64_t now_ms) {
    while (!due_.empty() && due_.top().at_ms <= now_ms) {
        Entry *entry = find(due_.top().key);
        if (entry && entry->state == State::backoff && entry->due_ms == due_.top().at_ms)
            place(*entry);
        due_.pop();
    }
}

int64_t Queue::next_due_ms(int64_t now_ms) const {
    return due_.empty() ? -1 : std::max<int64_t>(0, due_.top().at_ms - now_ms);
}

std::vector<Entry *> Queue::take_ready(const std::string &lane, size_t limit) {
    std::vector<Entry *> taken;
    const auto line = ready_.find(lane);
    if (line == ready_.end())
        return taken;
    while (!line->second.empty() && taken.size() < limit) {
        Entry *entry = find(line->second.front());
        line->second.pop_front();
        if (entry && entry->state == State::ready) {
            deciding(*entry); // so that a second mention of the key is passed over
            taken.push_back(entry);
        }
    }
    if (line->second.empty())
        ready_.erase(line);
    return taken;
}

std::vector<Entry *> Queue::take_ready_of(const Extent *extent) {
    std::vector<Entry *> taken;
    for (auto &[key, entry] : entries_)
        if (entry.state == State::ready && entry.extent.get() == extent) {
            deciding(entry); // its key stays in line and is passed over there
            taken.push_back(&entry);
        }
    return taken;
}

bool Queue::has_ready(const std::string &lane) const {
    return ready_.contains(lane);
}

Entry *Queue::find(const mirror::Key &key) {
    const auto found = entries_.find(key);
    return found == entries_.end() ? nullptr : &found->second;
}

void Queue::take_over_newer(Entry &entry) {
    if (!std::exchange(entry.again, false))
        return;
    const uint64_t newer = std::exchange(entry.again_lsn, 0);
    if (entry.untold_lsn == 0) // else the older one is still owed
        entry.untold_lsn = newer;
}

bool Queue::include_newer(Entry &entry) {
    if (!entry.again)
        return true;
    const bool must_wait = has_to_wait(entry, entry.covered_waves);
    leave_older_waves(entry, 0, entry.covered_waves, must_wait);
    take_over_newer(entry);
    if (must_wait)
        place(entry);
    else
        deciding(entry);
    return !must_wait;
}

void Queue::redo(Entry &entry) {
    take_over_newer(entry);
    place(entry);
}

void Queue::line_up() {
    ready_.clear();
    for (auto &[key, entry] : entries_)
        if (entry.state == State::ready)
            ready_[lane_of_(key.relation)].push_back(key);
}

void Queue::retry_at(Entry &entry, int64_t due_ms) {
    if (entry.again)
        return redo(entry);
    entry.state = State::backoff;
    entry.due_ms = due_ms;
    due_.push({due_ms, entry.key});
}

void Queue::settled(Entry &entry) {
    entry.attempts = 0;
    entry.recorded.clear();
    if (!entry.again)
        return erase(entry);
    entry.untold_lsn = 0;
    leave_waves(entry, 0, entry.covered_waves);
    redo(entry);
}

void Queue::stopped(Entry &entry) {
    if (entry.again) {
        entry.untold_lsn = 0;
        leave_older_waves(entry, 0, entry.covered_waves, has_to_wait(entry, entry.covered_waves));
        return redo(entry);
    }
    const bool others_wait = std::any_of(entry.waves.begin(), entry.waves.end(),
                                         [](const auto &wave) { return wave.first->has_later(wave.second); });
    if (others_wait) {
        entry.state = State::stopped;
        entry.untold_lsn = 0;
    } else {
        erase(entry);
    }
}

void Queue::drop(const std::function<bool(const Entry &)> &condition) {
    std::vector<mirror::Key> keys;
    for (const auto &[key, entry] : entries_)
        if (condition(entry))
            keys.push_back(key);
    for (const mirror::Key &key : keys)
        erase(entries_.at(key));
}

std::map<uint32_t, uint64_t> Queue::untold() const {
    std::map<uint32_t, uint64_t> oldest;
    for (const auto &[key, entry] : entries_)
        for (const uint64_t lsn : {entry.untold_lsn, entry.again_lsn}) {
            if (lsn == 0)
                continue;
            uint64_t &known = oldest.try_emplace(key.relation, lsn).first->second;
            known = std::min(known, lsn);
        }
    return oldest;
}

void Queue::for_each(const std::function<void(Entry &)> &function) {
    for (auto &[key, entry] : entries_)
        function(entry);
}

void Queue::leave_waves(Entry &entry, size_t first, size_t last) {
    const std::vector left(entry.waves.begin() + first, entry.waves.begin() + last);
    entry.waves.erase(entry.waves.begin() + first, entry.waves.begin() + last);
    entry.covered_waves -= std::min(last, entry.covered_waves) - std::min(first, entry.covered_waves);
    for (const auto &[wave, rank] : left)
        for (const mirror::Key &key : wave->settle(rank)) {
            Entry *released = find(key);
            if (released && released->state == State::blocked)
                place(*released);
        }
}

// What an older commit asked of the object is replaced, but not what others wait for: that it is accepted. Where it has
// to wait itself, it waits for the newest commit alone: two transactions that name the same objects in different orders
// would wait for each other otherwise.
void Queue::leave_older_waves(Entry &entry, size_t first, size_t last, bool must_wait) {
    for (size_t place = last; place-- > first;) {
        const auto &[wave, rank] = entry.waves[place];
        if (must_wait || !wave->may_go(rank) || !wave->has_later(rank))
            leave_waves(entry, place, place + 1);
    }
}

void Queue::erase(Entry &entry) {
    leave_waves(entry, 0, entry.waves.size());
    entries_.erase(mirror::Key(entry.key)); // a copy: the key dies with its entry
}

} // namespace dbnet::bgworker
