// What a watch or list has shown and the tables do not hold yet: per object the newest event only, bounded by count and
// by bytes. One queue per mirror, in the mirror worker. Pure C++.
#pragma once

#include "mirror/decision/observed.hpp"
#include "mirror/key.hpp"
#include "mirror/store/catalog.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace dbnet::bgworker {

struct QueuedEvent {
    enum class Kind {
        present, // the object as `seen` shows it
        removed  // deleted on the server
    };
    Kind kind = Kind::present;
    mirror::Key key;
    std::string uid;
    std::string resource_version; // removed: in which it was seen last, empty where it is the one on record
    mirror::Observed seen;        // kind present
    bool authoritative = false;   // the server's store was rewound: older versions than the recorded one count
    bool has_left = false;        // it does not match the mirror's selector
    bool is_repair = false;       // the watch should have told of it and has not
    std::string as_of;            // version of the list that it comes from; empty for events of a watch
    // When it was learned, or what it replaces; none: read from a list.
    std::optional<std::chrono::steady_clock::time_point> since{};
};

// Turns what the server sent into an event that is ready to be stored; `text`: see mirror::observe().
QueuedEvent present_event(const mirror::Mirror &mirror, nlohmann::json object, std::string_view text);

QueuedEvent removed_event(const mirror::Key &key, const std::string &uid);

class EventQueue {
public:
    struct Limits {
        size_t objects = 2000;
        size_t bytes = 8 * 1024 * 1024;
    };
    explicit EventQueue(Limits limits) : limits_(limits) {}
    EventQueue() : EventQueue(Limits{}) {}

    // The newest event of an object replaces the one before it and keeps that one's place.
    void push(QueuedEvent event);

    // Up to `limit` events in order of arrival; those whose object `is_held` stay.
    std::vector<QueuedEvent> take(size_t limit, const std::function<bool(const mirror::Key &)> &is_held);

    // Drops the object's event if it shows just this version. False: there is none. What a list has shown stays: its
    // row may be gone, by a TRUNCATE say, though the version is recorded.
    bool drop(const mirror::Key &key, const std::string &resource_version);

    // Drops the object's event of a watch if it shows an older version than this.
    void drop_older(const mirror::Key &key, const std::string &resource_version);

    // Drops the object's event if it shows this incarnation, which is known to be gone.
    void drop_gone(const mirror::Key &key, const std::string &uid);

    bool contains(const mirror::Key &key) const { return by_key_.count(key) > 0; }
    bool empty() const noexcept { return order_.empty(); }
    size_t size() const noexcept { return order_.size(); }
    size_t bytes() const noexcept { return bytes_; }
    // Stop reading from the server; room again once half of it is taken.
    bool is_full() const noexcept { return order_.size() >= limits_.objects || bytes_ >= limits_.bytes; }
    bool has_room() const noexcept { return order_.size() <= limits_.objects / 2 && bytes_ <= limits_.bytes / 2; }
    void clear();

private:
    static size_t size_of(const QueuedEvent &event);
    using Places = std::unordered_map<mirror::Key, std::list<QueuedEvent>::iterator, mirror::KeyHash>;
    Places::iterator find_of_watch(const mirror::Key &key); // end: the object's event is none of a watch
    void erase(Places::iterator known);

    Limits limits_;
    std::list<QueuedEvent> order_;
    Places by_key_;
    size_t bytes_ = 0;
};

} // namespace dbnet::bgworker
