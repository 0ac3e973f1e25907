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
#include <string_view>
#include <unordered_map>
#include <utility>

namespace dbnet::bgworker {

// A recorded object that a complete list does not have: it came after the list (`newer`), so that the watch tells; it
// is gone; or only the server knows, as where versions do not order, or the object may just have left a selector.
enum class Unlisted { newer, gone, unknown };
struct ListFacts {
    std::string version;
    bool is_rewound = false;   // the store is older than what was seen of it before
    bool is_new = false;       // … or another one than the objects were seen in
    bool has_selector = false; // of labels
};
Unlisted judge_unlisted(std::string_view recorded_version, const ListFacts &list);

class LookUps {
public:
    static constexpr size_t at_once = 16; // requests

    struct Object {
        mirror::Key key;
        std::string uid;       // of the incarnation that is looked for
        std::string as_of{};   // version of the stocktaking that the record differs from; empty: asked for otherwise
        std::string version{}; // of the event that told of it last; empty: it is the one on record
    };

    // Not before `due`. What is under way for the key already counts for nothing: ask anew.
    void want(Object object, Milliseconds due);
    bool wants(const mirror::Key &key) const { return objects_.count(key) > 0; }
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
        std::string uid, as_of, version;
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
