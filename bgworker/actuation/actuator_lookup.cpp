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

// What no commit told of, a compare found: the row's newest version is what a call would carry. Before the row is read:
// a version that comes in between has a commit of its own.
void Actuator::look_up_versions(std::span<Entry *const> entries) {
    std::vector<mirror::Key> keys;
    std::vector<Entry *> unknown;
    for (Entry *entry : entries)
        if (entry->cause.transaction == 0) {
            keys.push_back(entry->key);
            unknown.push_back(entry);
        }
    if (keys.empty())
        return;
    const std::vector<uint64_t> versions = mirror::newest_versions(keys);
    for (size_t i = 0; i < unknown.size(); i++)
        unknown[i]->cause.event = versions[i];
}

// Of what no commit told of, or one that has not changed the row.
void Actuator::look_up_committers(std::span<Entry *const> entries, const mirror::Mirror &mirror) {
    if (!mirror.committers->is_on)
        return;
    std::vector<mirror::Key> keys;
    std::vector<Entry *> unknown;
    for (Entry *entry : entries)
        if (entry->cause.committer == 0) {
            keys.push_back(entry->key);
            unknown.push_back(entry);
        }
    if (keys.empty())
        return;
    const std::vector<uint32_t> roles = mirror::last_committers(keys);
    for (size_t i = 0; i < unknown.size(); i++)
        unknown[i]->cause.committer = roles[i];
}

} // namespace dbnet::bgworker
