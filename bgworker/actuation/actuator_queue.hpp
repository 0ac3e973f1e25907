// Which objects have something to be done, and in which order: one entry per object, however many commits touch it.
// Pure C++ without I/O or clock; mirror worker.
//
//   blocked ──▶ ready ──▶ deciding ──▶ prepared ──▶ in_flight ──▶ finished ──▶ (gone from the queue)
//      ▲          ▲          │ again      │ newer commit            │ again / failed
//      └──────────┴──────────┴────────────┴───── backoff ◀──────────┤
//                 ▲                                                 │ nothing helps until somebody acts
//                 └──────────────── new commit ── stopped ◀─────────┘
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "mirror/decision/intent.hpp"
#include "mirror/key.hpp"

namespace dbnet::bgworker {

// The newest commit that asks for something.
struct Cause {
    uint64_t transaction = 0; // 0: found by a compare
    uint64_t lsn = 0;
    uint64_t event = 0; // of the object's row: the version that the commit made; 0: not recorded
    uint32_t role = 0;
    // Who has committed the row: not whoever has asked for another try, and also of what a compare found; 0: not known,
    // or nobody has looked.
    uint32_t committer = 0;
};

// How many objects one transaction (or compare) changes, by relation.
struct Extent {
    std::map<uint32_t, int64_t> updates;
    std::map<uint32_t, int64_t> removes;
    bool is_compare = false;

    int64_t size() const {
        int64_t objects = 0;
        for (const auto *counts : {&updates, &removes})
            for (const auto &[relation, count] : *counts)
                objects += count;
        return objects;
    }
};

// One key of a transaction, as the queue takes it.
struct Wanted {
    mirror::Key key;
    bool remove = false;
    bool replaced = false;  // deleted and inserted again
    int rank = 0;           // objects of one transaction go in the order of ranks
    uint64_t event = 0;     // see Cause
    uint32_t committer = 0; // likewise; 0: the row is as it was
};

// The objects of one transaction by rank: a rank may go when all below it have settled well.
class Wave {
public:
    void add(int rank) { outstanding_[rank]++; }
    bool may_go(int rank) const { return outstanding_.empty() || outstanding_.begin()->first >= rank; }
    void block(int rank, const mirror::Key &key) { blocked_[rank].push_back(key); }
    // Blocked, or under way for an older commit and to be blocked after that.
    bool has_later(int rank) const { return !outstanding_.empty() && outstanding_.rbegin()->first > rank; }
    // One of `rank` has settled; returns those that may go now.
    std::vector<mirror::Key> settle(int rank);

private:
    std::map<int, size_t> outstanding_;
    std::map<int, std::vector<mirror::Key>> blocked_;
};

// Why a part of an object stays as it is.
struct Refusal {
    mirror::Phase phase = mirror::Phase::none;
    std::string message, reason;
};

// In the place of a commit's position, for what a compare found or an event told: older than any.
inline constexpr uint64_t no_commit = 1;

struct Entry {
    enum class State { blocked, ready, deciding, prepared, in_flight, finished, backoff, stopped };

    mirror::Key key;
    State state = State::ready;
    Cause cause;
    bool replaced = false;
    bool again = false;                   // a newer commit came while deciding, in flight or finished
    std::string gone_uid;                 // an event said that this incarnation is gone
    std::shared_ptr<const Extent> extent; // of the biggest transaction that waits in here undecided
    std::vector<std::pair<std::shared_ptr<Wave>, int>> waves;
    size_t covered_waves = 0; // the first so many are of commits that the request carries
    // Of the newest commit: parts that the server has refused, while others of the object may go on; and its last
    // words.
    std::set<std::string> refused;
    Refusal refusal;
    // Of the newest commit: the server's words that refuse it for fields which are set once, where the object is to be
    // made anew instead.
    std::string immutable;
    // What the row held when it was rejected, until that is done; whatever is committed meanwhile.
    std::shared_ptr<const mirror::RowDigest> rejected;
    int attempts = 0;           // since the last success or new commit
    int schema_failures = 0;    // of these: answers that look like a schema error
    int64_t since_ms = 0;       // taken in
    int64_t due_ms = 0;         // of a backoff
    std::string recorded;       // phase and message that dbnet.object has been given while waiting
    uint64_t untold_lsn = 0;    // oldest commit of which dbnet.object does not tell; 0: it tells all
    uint64_t continued_lsn = 0; // commit of which a first part has been accepted; 0: none
    uint64_t again_lsn = 0;     // the same of the commits that came while deciding, in flight or finished
};

class Queue {
public:
    // `lane_of`: which server and account a relation's objects belong to; each lane has a line of its own.
    explicit Queue(std::function<std::string(uint32_t relation)> lane_of) : lane_of_(std::move(lane_of)) {}

    // Takes what one transaction changed, its keys each once; of `cause` what they have in common. A stopped or waiting
    // object is tried at once.
    void take(std::span<const Wanted> wanted, const Cause &cause, std::shared_ptr<const Extent> extent, int64_t now_ms);
    // Something else happened to the object: decide again.
    void touch(const mirror::Key &key, const std::string &gone_uid, int64_t now_ms);

    // Moves what is due to ready; -1 or the milliseconds until something will be.
    void advance(int64_t now_ms);
    int64_t next_due_ms(int64_t now_ms) const;

    // The first `limit` ready objects of a lane, to be decided about. Each must then be told its next state, or be
    // given back by redo().
    std::vector<Entry *> take_ready(const std::string &lane, size_t limit);
    bool has_ready(const std::string &lane) const;
    // All ready objects of which this is the biggest transaction; otherwise as take_ready().
    std::vector<Entry *> take_ready_of(const Extent *extent);

    Entry *find(const mirror::Key &key);
    // Transitions; the entry may be gone afterwards where the comment says so.
    void deciding(Entry &entry) { // about all that has been taken
        entry.state = Entry::State::deciding;
        entry.covered_waves = entry.waves.size();
    }
    // The decision is about what has come meanwhile, too. False: that has to wait for others, and so does the object.
    bool include_newer(Entry &entry);
    void prepared(Entry &entry) { entry.state = Entry::State::prepared; }
    void in_flight(Entry &entry) { entry.state = Entry::State::in_flight; }
    void finished(Entry &entry) { entry.state = Entry::State::finished; }
    void redo(Entry &entry);                                        // ready (or blocked) again
    void line_up();                                                 // relations may have changed their lanes
    void retry_at(Entry &entry, int64_t due_ms);                    // or ready when a newer commit came
    void settled(Entry &entry);                                     // well: gone, or ready when a newer commit came
    void stopped(Entry &entry);                                     // gone unless others wait for it
    void drop(const std::function<bool(const Entry &)> &condition); // forget them, let others go

    // The mirrors with commits of which dbnet.object does not tell, and the oldest of those.
    std::map<uint32_t, uint64_t> untold() const;

    size_t size() const { return entries_.size(); }
    void for_each(const std::function<void(Entry &)> &function);

private:
    void take_over_newer(Entry &entry);
    void place(Entry &entry);
    void leave_waves(Entry &entry, size_t first, size_t last);
    void leave_older_waves(Entry &entry, size_t first, size_t last, bool must_wait);
    void erase(Entry &entry);

    std::unordered_map<mirror::Key, Entry, mirror::KeyHash> entries_;
    std::function<std::string(uint32_t)> lane_of_;
    std::unordered_map<std::string, std::deque<mirror::Key>>
        ready_; // by lane; may hold keys that have moved on, or twice
    struct Due {
        int64_t at_ms;
        mirror::Key key;
        bool operator>(const Due &other) const { return at_ms > other.at_ms; }
    };
    std::priority_queue<Due, std::vector<Due>, std::greater<>> due_; // likewise
};

} // namespace dbnet::bgworker
