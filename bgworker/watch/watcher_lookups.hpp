// The objects of one mirror that the server is to be asked about one by one, because neither list nor watch tells what
// became of them: which is next and when, so that many of them, or a server that refuses, cost it little. No I/O, no
// clock. Used by the watcher in the mirror worker. Pure C++.
#pragma once

#include "bgworker/watch/watcher_reflector.hpp"
#include "kubernetes/error.hpp"
#include "mirror/key.hpp"

#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

namespace dbnet::bgworker {

class LookUps {
public:
    static constexpr size_t at_once = 16; // requests

    struct Object {
        mirror::Key key;
        std::string uid; // of the incarnation that is looked for
    };

    // Not before `due`. What is under way for the key already counts for nothing: ask anew.
    void want(const mirror::Key &key, const std::string &uid, Milliseconds due);
    // Something else has told.
    void drop(const mirror::Key &key);
    // The next to ask about, which counts as under way until it is dropped, done, refused or wanted anew.
    std::optional<Object> next(Milliseconds now);
    void done(const mirror::Key &key);
    // The server did not say what became of it: later again, the others of the mirror too.
    void refused(const mirror::Key &key, const kubernetes::Outcome &outcome, Milliseconds now);
    void hurry() noexcept;

    Milliseconds due() const noexcept; // of next(); -1: not by time
    size_t size() const noexcept { return objects_.size(); }
    // Why the server has not said for some time; empty: it has.
    std::string problem() const;

private:
    struct State {
        std::string uid;
        Milliseconds due = 0;
        int attempts = 0;
        bool under_way = false;
    };

    std::unordered_map<mirror::Key, State, mirror::KeyHash> objects_;
    std::set<std::pair<Milliseconds, mirror::Key>> waiting_;
    size_t under_way_ = 0;
    Milliseconds not_before_ = 0;
    int failures_ = 0; // in a row
    std::string message_;
};

} // namespace dbnet::bgworker
