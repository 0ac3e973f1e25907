// What is looked up of objects before they are decided on, beside row and record: what keeps a deletion back, which
// version of the row it is, and who has committed it (see actuator.hpp). Runs in the transaction of a turn; mirror
// worker.
#include "bgworker/actuation/actuator.hpp"

#include <map>
#include <vector>

namespace dbnet::bgworker {

std::map<mirror::Key, Actuator::DeleteObstacle> Actuator::load_obstacles(std::span<Entry *const> entries,
                                                                         std::span<const mirror::StoredObject> stored) {
    std::vector<mirror::Key> deleted, found; // by a compare
    for (size_t i = 0; i < entries.size(); i++) {
        if (!stored[i].tombstone)
            continue;
        deleted.push_back(entries[i]->key);
        if (entries[i]->cause.transaction == 0)
            found.push_back(entries[i]->key);
    }
    std::map<mirror::Key, DeleteObstacle> obstacles;
    if (!found.empty())
        for (const auto &[key, awaited] : mirror::load_awaited(found))
            obstacles[key] = {true, "waits until the same transaction's object " + awaited.text() + " is accepted"};
    if (!deleted.empty())
        for (const auto &[key, blocker] : mirror::load_blockers(deleted))
            obstacles[key] = {blocker.is_open, blocker.text()};
    return obstacles;
}

// Of those of which nobody has told: found(keys) has an answer for each, told(cause) is where it goes.
template<class Untold, class Found, class Told>
static void look_up(std::span<Entry *const> entries, Untold untold, Found found, Told told) {
    std::vector<mirror::Key> keys;
    std::vector<Entry *> unknown;
    for (Entry *entry : entries)
        if (untold(entry->cause)) {
            keys.push_back(entry->key);
            unknown.push_back(entry);
        }
    if (keys.empty())
        return;
    const auto answers = found(keys);
    for (size_t i = 0; i < unknown.size(); i++)
        unknown[i]->cause.*told = answers[i];
}

// What no commit told of, a compare found: the row's newest version is what a call would carry. Before the row is read:
// a version that comes in between has a commit of its own.
void Actuator::look_up_versions(std::span<Entry *const> entries) {
    look_up(
        entries, [](const Cause &cause) { return cause.transaction == 0; }, mirror::newest_versions, &Cause::event);
}

// Of what no commit told of, or one that has not changed the row.
void Actuator::look_up_committers(std::span<Entry *const> entries) {
    look_up(
        entries, [](const Cause &cause) { return cause.committer == 0; }, mirror::last_committers, &Cause::committer);
}

// Who has written the rows that are read in this snapshot. False: that cannot be said before the configuration is read
// again.
bool Actuator::learn_committers(std::span<Entry *const> entries) {
    if (!client_.catch_up())
        return false;
    for (Entry *entry : entries)
        if (entry->state == Entry::State::deciding)
            queue_.include_newer(*entry);
    look_up_committers(entries);
    return true;
}

} // namespace dbnet::bgworker
