// Rows to objects: takes what commits changed, decides what each object needs, sends it and records the answers. Lives
// in the mirror worker's loop; never sends inside a transaction, and never has two requests for one object under way.
//
// One turn is one transaction at most: it writes the answers that have arrived and reads and decides the next objects.
// While requests are under way answers are collected for a few milliseconds and decisions are made ahead, so that the
// line to the server stays full; when nothing is under way nothing waits.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "bgworker/actuation/actuator_answer.hpp"
#include "bgworker/actuation/actuator_queue.hpp"
#include "bgworker/actuation/announcement.hpp"
#include "bgworker/actuation/fights.hpp"
#include "bgworker/actuation/request_window.hpp"
#include "bgworker/change_feed/wal_tail.hpp"
#include "bgworker/read_pace.hpp"
#include "kubernetes/transport/transport.hpp"
#include "mirror/decision/mass_change.hpp"
#include "mirror/store/catalog.hpp"
#include "mirror/store/object_store.hpp"
#include "mirror/store/operation_store.hpp"

namespace dbnet::bgworker {

// What the actuator needs of its surroundings.
struct ActuatorClient {
    virtual ~ActuatorClient() = default;
    // All objects of the mirror have been seen once; before that nothing is sent for it.
    virtual bool has_listed(uint32_t relation) = 0;
    // The request for the object is over and its answer is in dbnet.object. `resource_version`: of the object that the
    // answer showed, "" when it showed none; `row_may_differ`: the row is to be compared with the record.
    virtual void answered(const mirror::Key &key, const std::string &resource_version, bool row_may_differ) = 0;
    // The object is in this version, or in a newer one, and its record is not: events of older ones are old.
    virtual void await_version(const mirror::Key &key, const std::string &resource_version) = 0;
    // The object of this uid is gone; late events of it count for nothing.
    virtual void forget(const mirror::Key &key, const std::string &uid) = 0;
    // Why the mirror's server is not ours to write to now; empty: it is.
    virtual std::string lease_closed_reason(const mirror::Mirror &mirror) = 0;
    // It is not yet, and in a moment it is known whether it is.
    virtual bool is_lease_awaited(const mirror::Mirror &mirror) = 0;
    // There are commits to be taken in before anything can be known of those who have made them.
    virtual bool is_behind() = 0;
    // Inside a transaction: takes the commits that its active snapshot has seen, and no others. False: the
    // configuration has changed on the way.
    virtual bool catch_up() = 0;
    // Asks the server what became of the object of this uid, of which no event has told; an event will.
    virtual void look_up(const mirror::Key &key, const std::string &uid) = 0;
    // Gives the row back what the device has, some time soon. `rejected` (nullptr: all): see mirror::restore.
    virtual void restore(const mirror::Key &key, std::shared_ptr<const mirror::RowDigest> rejected) = 0;
    // What became of an object is on record, and may be told where its server wants to be told.
    virtual void announce(Announcement &&announcement) = 0;
    // Something went wrong inside the worker; shown in dbnet.worker.
    virtual void note_error(const std::string &message) = 0;
};

class Actuator {
public:
    Actuator(kubernetes::Transport &transport, ActuatorClient &client);

    void configure(std::shared_ptr<const mirror::Catalog> catalog);

    // Changes I, U and D of one commit; others are not the actuator's.
    void take(const Commit &commit);
    // What a compare found to differ.
    void take_compared(std::span<const Wanted> wanted, std::shared_ptr<const Extent> extent);
    // An event told something new about the object; `gone_uid`: that incarnation does not exist any more.
    void touch(const mirror::Key &key, const std::string &gone_uid = {});
    // The watcher got an answer from the mirror's server: if it could not be reached or refused the credentials, that
    // is over.
    void server_answers(const mirror::Mirror &mirror);

    // Outside any transaction. Throws what a transaction throws that cannot be helped.
    void turn();
    // Milliseconds until turn() has something to do by itself; 0: at once, -1: nothing.
    int timeout_ms() const;

    // Servers that are left alone for a while after failures are tried at once.
    void hurry();

    // A report wrote the object's row, and with it what row and object agree on.
    void note_report(const mirror::Key &key);

    // The table was emptied: the rows that requests under way were made of may be gone.
    void note_emptied(uint32_t relation);
    // Rows were written, and nobody has told which and by whom; of one mirror or of any.
    void forget_committers(std::optional<uint32_t> relation);

    bool in_flight(const mirror::Key &key);
    bool is_idle() const { return queue_.size() == 0; }
    // The mirrors with commits of which dbnet.object does not tell yet, and the oldest of those.
    std::map<uint32_t, uint64_t> untold() const { return queue_.untold(); }

    // What the server refuses of the mirror because its kind's schema has changed; empty: nothing that is known.
    std::string schema_problem(uint32_t relation) const;
    // Whatever was refused is to be tried once more. False: nothing was.
    bool forget_schema_problem(uint32_t relation) { return outdated_.erase(relation) > 0; }

    // Why nothing may be sent for the mirror; empty: it may.
    std::string closed_reason(const mirror::Mirror &mirror) const;
    // Nothing yet, but that will be known in a moment: what is to be sent stays in the queue.
    bool is_awaited(const mirror::Mirror &mirror) const { return client_.is_lease_awaited(mirror); }

private:
    static constexpr size_t most_plan_bytes = ReadPace::most_bytes; // of a lane's plans, or a turn's, no more begin

    // A decision that is to be sent, or has been.
    struct Plan {
        mirror::Decision decision;
        mirror::Part part; // of it: what is sent now; the decision has no fields any more
        std::string lane;
        size_t bytes = 0; // of its row and what is on record of its object, as text; it takes several times that
        std::string field_manager;
        int64_t generation = 0; // of the mirror's configuration that it was made under
        std::set<std::string> first_written;
        mirror::Fields base;           // of the record that the decision was made on, without what is missing
        std::set<std::string> missing; // see mirror::ObjectWrite
        bool is_base_old = false;
        bool has_status = false; // of the row that a fresh object is made from: it is not this object's
        int64_t tombstone_id = 0;
        int64_t release_id = 0;
        int64_t adoption_id = 0;
        bool is_object_adopted = false;
        int64_t restoration_id = 0;
        nlohmann::json restored; // last body of the object that is made again; null: none, or it has been asked for
        int64_t expectation_id = 0;
        std::string expected_version; // the only one that may be changed; empty: any
        std::string rival;            // of what is put back only: the manager that changed it
        bool is_made_again = false;   // by a request of ours, this one or an earlier one
        nlohmann::json patch;         // that lets go of fields, once the object is known that it is made from
        bool has_hold = false;        // held changes of the object are on record
        bool fresh = false;           // nothing of the old record stays
        std::string gone_uid;         // incarnation that does not exist any more; empty: none
        bool replaces = false;        // the object is deleted to be made anew
        mirror::Fields rehearsed;     // of the new object, which the server is asked about first; empty: it has been
        bool was_replacing = false;   // it was to be, and is changed instead
        bool looking = false;         // the request under way only reads
        bool forced = false;
        std::shared_ptr<const kubernetes::Impersonation> acts_as; // nullptr: as who the credentials are
        std::string stamp;
        int attempt = 0; // of the request under way
        int64_t sent_ms = 0;
        Cause cause;
    };
    // An answer that is not in the tables yet.
    struct Finished {
        mirror::ObjectWrite write;
        Verdict::Next next = Verdict::Next::accepted;
        int64_t delay_ms = 0;
        std::string forgotten_uid;   // of an object that is known to be gone
        std::string awaited_version; // that an answer tells without showing the object
        bool row_may_differ = true;
        bool is_saved = true;
        std::optional<Announcement> announcement = {};
    };
    // One server as one account.
    struct Lane {
        size_t in_flight = 0;
        size_t bytes = 0;                 // of all plans
        std::deque<mirror::Key> prepared; // may hold keys whose plan is gone
        RequestWindow window;             // requests at a time
        int failures = 0;                 // in a row, of the server as a whole
        int64_t closed_until_ms = 0;
        bool overloaded = false;     // closed because the server asked for it
        std::string message, reason; // of the last failure
    };
    // Of one mirror: fields that the server's schema has no more, or in another type. Rows that set them are not sent.
    struct Outdated {
        int64_t generation = 0; // of the mirror's configuration
        std::set<std::string> paths;
        std::string message; // the server's words about one of them
    };
    struct Total {
        int64_t count = 0;
        int64_t counted_ms = 0;
    };

    static std::string lane_name(const mirror::Mirror &mirror);
    size_t room(const Lane &lane, int64_t now_ms) const;
    // Whether no more is to be decided for now: large objects are not to be in memory all at once.
    static bool is_full(const Lane &lane);
    void keep_plan(const mirror::Key &key, Plan &&plan);
    void drop_plan(const mirror::Key &key);

    // actuator_lookup.cpp: beside row and record.
    // Why an object whose row was deleted must stay for now.
    struct DeleteObstacle {
        bool will_pass = false; // false: somebody has to decide
        std::string text;
    };
    std::map<mirror::Key, DeleteObstacle> load_obstacles(std::span<Entry *const> entries,
                                                         std::span<const mirror::StoredObject> stored);
    static void look_up_versions(std::span<Entry *const> entries);
    static void look_up_committers(std::span<Entry *const> entries);
    bool learn_committers(std::span<Entry *const> entries);

    // actuator_announce.cpp: what is told of it; nullopt: nothing.
    bool is_announced(const mirror::Key &key) const;
    std::optional<Announcement> announce_done(const Plan &plan, const mirror::ObjectWrite &write) const;
    std::optional<Announcement> announce_refused(const Plan &plan, const mirror::ObjectWrite &write) const;
    std::optional<Announcement> announce_decided(const Entry &entry, const std::optional<mirror::ObjectRecord> &before,
                                                 const mirror::ObjectWrite &write, bool remove) const;

    // actuator_read.cpp: the rows to decide about.
    // Of a batch: what there is memory for, or all of it.
    enum class Share : uint8_t { that_fits, all };
    void decide_batch(std::span<Entry *const> batch, Share share, int64_t now_ms);
    size_t decide_some(std::span<Entry *const> all, const mirror::Mirror &mirror, bool with_live, int64_t now_ms);
    size_t decide_as_committed(std::span<Entry *const> all, const mirror::Mirror &mirror, bool with_live,
                               int64_t now_ms);
    size_t give_up(std::span<Entry *const> all, const mirror::Mirror &mirror, const std::exception &caught);
    void note_unread(Entry &entry, const mirror::Mirror &mirror, const std::exception &caught);

    // actuator_decide.cpp: what becomes of one of them.
    class ObjectCase;
    void decide_one(Entry &entry, const mirror::Mirror &mirror, const mirror::StoredObject &stored,
                    const mirror::RowFields *row, const DeleteObstacle *obstacle, int64_t now_ms);
    bool sets_outdated(const mirror::Mirror &mirror, const mirror::Fields &fields) const;

    // actuator_mass.cpp: how much changes at once.
    std::string extent_reason(const Entry &entry, const mirror::Mirror &mirror, bool remove, int64_t now_ms);
    std::string mass_reason(const Entry &entry, const mirror::Mirror &mirror, bool remove, int64_t now_ms);
    int64_t total_of(uint32_t relation, int64_t now_ms);
    void note_total(uint32_t relation, int change);

    // actuator_turn.cpp: the transaction of a turn.
    bool must_wait(const mirror::Mirror &mirror) const;
    bool wants_transaction(int64_t now_ms) const;
    std::vector<Entry *> take_batch(int64_t now_ms);
    void run_transaction(std::vector<Entry *> &batch, int64_t now_ms);
    void run_one_by_one(std::span<Entry *const> batch, std::vector<Finished> &finished,
                        std::vector<mirror::ActuationWrite> log, int64_t now_ms);
    std::vector<mirror::ActuationWrite> take_log(int64_t now_ms);
    void write_log(std::vector<mirror::ActuationWrite> log, int64_t now_ms);
    void decide_and_save(std::span<Entry *const> batch, Share share, int64_t now_ms);
    void hold_whole_transactions(std::vector<Entry *> &batch, int64_t now_ms);
    int64_t recording_due_ms() const;
    void record_waiting(int64_t now_ms);
    void after_commit(std::vector<Finished> &finished, int64_t now_ms);

    // actuator_send.cpp: requests and answers.
    void send_prepared(int64_t now_ms);
    void send(Entry &entry, Plan &plan, const mirror::Mirror &mirror);
    void take_answer(const mirror::Key &key, kubernetes::Response &&response) noexcept;
    void answer(Entry &entry, Plan &plan, const mirror::Mirror &mirror, kubernetes::Response &&response);
    void try_again(Entry &entry, const Plan &plan, mirror::Phase phase, const std::string &message, int64_t delay_ms);
    bool may_go_on(const Plan &plan, const mirror::Mirror &mirror) const;
    void answer_rehearsal(Entry &entry, Plan &plan, const mirror::Mirror &mirror, kubernetes::Response &response);
    void answer_look(Entry &entry, Plan &plan, const mirror::Mirror &mirror, kubernetes::Response &response);
    static bool disowns(Plan &plan, const mirror::Mirror &mirror, const std::string &answer);
    void answer_restored(Entry &entry, Plan &plan, const mirror::Mirror &mirror, kubernetes::Response &response);
    void answer_release(Entry &entry, Plan &plan, const mirror::Mirror &mirror, kubernetes::Response &response);
    void accept_release(Finished &finished, const Plan &plan, const mirror::Mirror &mirror, nlohmann::json &&body,
                        const std::string &text) const;
    void accept(Finished &finished, const Plan &plan, const mirror::Mirror &mirror, kubernetes::Response &response);
    static void record_applied(Finished &finished, const Plan &plan);
    void note_lane(Lane &lane, const Verdict &verdict, double latency_ms, int64_t now_ms);
    void finish(Entry &entry, Finished &&finished);
    mirror::ObjectWrite write_for(const Entry &entry, const Plan &plan) const;
    static mirror::ActuationWrite line_for(const Entry &entry, const Plan &plan, const Verdict &verdict,
                                           const kubernetes::Response &response);

    kubernetes::Transport &transport_;
    ActuatorClient &client_;
    std::shared_ptr<const mirror::Catalog> catalog_ = std::make_shared<mirror::Catalog>();
    Queue queue_;
    std::map<std::string, Lane> lanes_;
    std::unordered_map<mirror::Key, Plan, mirror::KeyHash> plans_;
    size_t under_way_ = 0; // requests, of all lanes

    std::vector<Finished> finished_;
    std::vector<mirror::ActuationWrite> log_, unlogged_; // calls: new ones; those for which there was no room
    int64_t unlogged_due_ms_ = 0;
    int64_t oldest_finished_ms_ = 0;
    bool hurry_ = false; // a finished object has a newer commit waiting

    // Of the transaction that runs; taken up by after_commit().
    struct Outcome {
        mirror::Key key;
        enum class Kind {
            settled,
            stopped,
            retry,
            unread,   // the row could not be read
            put_back, // nobody has looked
            postponed,
            prepared,
            restore,
            forgotten
        } kind = Kind::settled;
        Plan plan;            // prepared
        std::string text;     // forgotten: uid of the object; postponed, unread: what its record says
        int64_t delay_ms = 0; // postponed, unread
        bool row_may_differ = false;
        std::optional<Announcement> announcement = {};
    };
    std::vector<Outcome> outcomes_;
    size_t decided_bytes_ = 0; // of their plans
    std::vector<mirror::ObjectWrite> writes_;
    std::vector<mirror::HeldWrite> holds_;
    std::set<std::shared_ptr<const Extent>> held_extents_; // transactions of which an object was held

    std::unordered_map<uint32_t, mirror::MassChangeGate> gates_;
    std::unordered_map<uint32_t, Total> totals_;
    std::unordered_map<uint32_t, ReadPace> paces_; // of reading rows
    Fights fights_;
    std::map<uint32_t, Outdated> outdated_;
    int64_t recorded_ms_ = 0; // when waiting objects were last looked through
    std::minstd_rand random_{std::random_device()()};
};

// Decisions about the mirror need the live objects: who owns their fields, or their labels.
bool needs_live(const mirror::Mirror &mirror);

// A row may be to blame that rows could not be read: no lock, no lack of resources and no DDL is.
bool is_rows_fault(const std::exception &caught);

// What the settings hold back; see mirror/mass_change.hpp.
mirror::HoldLimits hold_limits();

// Milliseconds of a monotonic clock.
int64_t monotonic_ms();

} // namespace dbnet::bgworker
