// Watches: streams of changes, one JSON document a line.
#pragma once

#include "answer.hpp"
#include "event_loop.hpp"
#include "representation.hpp"
#include "selectors.hpp"
#include "store.hpp"

#include <list>
#include <map>
#include <memory>
#include <random>
#include <string>

namespace kubesim {

// What a client asked to watch.
class WatchPlan {
public:
    const Kind *kind = nullptr;
    std::string name_space; // "" = all
    LabelSelector labels{""};
    FieldSelector fields{"", {}};
    Representation representation;
    bool bookmarks = false;
    // Either the objects there are now as ADDED, then changes; or the changes after `from`.
    bool initial_objects = false;
    bool initial_end_bookmark = false;
    uint64_t from = 0;
    int timeout_seconds = 0;

    bool matches(const Stored &stored) const;
};

class WatchHub {
public:
    struct Options {
        int bookmark_interval_ms = 60000;
        size_t slow_bytes = 4 * 1024 * 1024; // that wait for a client before its watch is ended
    };

    WatchHub(EventLoop &loop, Store &store, Options options) : loop_(loop), store_(store), options_(options) {}

    void start(std::shared_ptr<WatchPlan> plan, const std::shared_ptr<Answer> &answer, const Response &response);
    void dispatch(const Change &change);
    void flush();                                        // writes what dispatch collected
    void end_of(const std::vector<const Kind *> &kinds); // a clean end

private:
    struct Stream {
        std::shared_ptr<WatchPlan> plan;
        std::weak_ptr<Answer> answer;
        bool first = true;
        bool dirty = false;
    };

    void send(Stream &stream, const Change &change);
    void event(Stream &stream, const char *type, const Stored &stored);
    void end(const std::shared_ptr<Stream> &stream);
    void expired(Answer &answer, const std::string &message);
    void bookmark_later(const std::shared_ptr<Stream> &stream, std::chrono::milliseconds delay, bool once);

    EventLoop &loop_;
    Store &store_;
    Options options_;
    std::list<std::shared_ptr<Stream>> streams_;
    std::map<const Kind *, uint64_t> newest_; // change of each
    std::mt19937 random_{20261123};
};

} // namespace kubesim
