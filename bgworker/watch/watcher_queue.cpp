// Implementation of watcher_queue.hpp. Runs in the mirror worker.
#include "bgworker/watch/watcher_queue.hpp"

#include "kubernetes/object/resource_version.hpp"
#include "mirror/decision/scope.hpp"

#include <utility>

namespace dbnet::bgworker {

QueuedEvent present_event(const mirror::Mirror &mirror, nlohmann::json object, std::string_view text) {
    QueuedEvent event;
    event.has_left = mirror::has_left_selector(mirror.settings, object);
    event.seen = mirror::observe(std::move(object), text, mirror.mapping, mirror.field_manager);
    event.key = {mirror.relation, event.seen.name_space, event.seen.name};
    event.uid = event.seen.uid;
    event.resource_version = event.seen.resource_version;
    return event;
}

QueuedEvent removed_event(const mirror::Key &key, const std::string &uid) {
    QueuedEvent event;
    event.kind = QueuedEvent::Kind::removed;
    event.key = key;
    event.uid = uid;
    event.since = std::chrono::steady_clock::now();
    return event;
}

size_t EventQueue::size_of(const QueuedEvent &event) {
    return sizeof(QueuedEvent) + 3 * (event.key.name_space.size() + event.key.name.size()) + event.uid.size() +
           event.seen.live.size();
}

void EventQueue::push(QueuedEvent event) {
    bytes_ += size_of(event);
    auto known = by_key_.find(event.key);
    if (known != by_key_.end()) {
        bytes_ -= size_of(*known->second);
        if (known->second->since && event.since)
            event.since = known->second->since;
        *known->second = std::move(event);
        return;
    }
    auto place = order_.insert(order_.end(), std::move(event));
    by_key_.emplace(place->key, place);
}

EventQueue::Places::iterator EventQueue::find_of_watch(const mirror::Key &key) {
    const auto known = by_key_.find(key);
    const bool is_of_watch = known != by_key_.end() && known->second->kind == QueuedEvent::Kind::present &&
                             !known->second->authoritative && known->second->as_of.empty();
    return is_of_watch ? known : by_key_.end();
}

bool EventQueue::drop(const mirror::Key &key, const std::string &resource_version) {
    const auto known = find_of_watch(key);
    if (known == by_key_.end() || known->second->resource_version != resource_version)
        return false;
    erase(known);
    return true;
}

void EventQueue::drop_older(const mirror::Key &key, const std::string &resource_version) {
    const auto known = find_of_watch(key);
    if (known != by_key_.end() && kubernetes::is_older(known->second->resource_version, resource_version))
        erase(known);
}

void EventQueue::drop_gone(const mirror::Key &key, const std::string &uid) {
    const auto known = by_key_.find(key);
    if (known != by_key_.end() && known->second->kind == QueuedEvent::Kind::present && known->second->uid == uid)
        erase(known);
}

void EventQueue::erase(Places::iterator known) {
    bytes_ -= size_of(*known->second);
    order_.erase(known->second);
    by_key_.erase(known);
}

std::vector<QueuedEvent> EventQueue::take(size_t limit, const std::function<bool(const mirror::Key &)> &is_held) {
    std::vector<QueuedEvent> taken;
    for (auto place = order_.begin(); place != order_.end() && taken.size() < limit;) {
        if (is_held(place->key)) {
            ++place;
            continue;
        }
        bytes_ -= size_of(*place);
        by_key_.erase(place->key);
        taken.push_back(std::move(*place));
        place = order_.erase(place);
    }
    return taken;
}

void EventQueue::clear() {
    by_key_.clear();
    order_.clear();
    bytes_ = 0;
}

} // namespace dbnet::bgworker

#include "pg/no_postgres.hpp"
