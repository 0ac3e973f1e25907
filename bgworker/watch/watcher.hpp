// The read direction: follows every mirror's objects on its server and brings what they are into the database.
// Runs in the mirror worker, in one thread with everything else; turn() is called once per turn of the worker's loop,
// outside any transaction, after Transport::run().
#pragma once

#include "bgworker/report/report.hpp"
#include "bgworker/watch/watcher_mirror.hpp"
#include "mirror/key.hpp"
#include "mirror/store/catalog.hpp"
#include "pg/shared_counters.hpp"

#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

namespace dbnet::bgworker {

// What the watcher needs of the actuator.
class WatcherClient {
public:
    // A request for the object is on its way: its events are held until answered().
    virtual bool in_flight(const mirror::Key &key) = 0;
    // Recorded in dbnet.object; called outside any transaction.
    virtual void seen(const SeenObject &object) = 0;
    // A list or probe of the mirror was answered.
    virtual void server_answers(const mirror::Mirror &mirror) = 0;
    // Who else writes to the mirror's server, in words; empty: nobody.
    virtual std::string rival(const mirror::Mirror &mirror) = 0;
    // Everything of the mirror has been listed anew; `was_missing`: the server had ceased to serve its kind.
    virtual void listed_anew(uint32_t relation, bool was_missing) = 0;
    // Actuator::schema_problem().
    virtual std::string schema_problem(uint32_t relation) = 0;

protected:
    ~WatcherClient() = default;
};

class Watcher {
public:
    Watcher(kubernetes::Transport &transport, WatcherClient &client, pg::SharedCounters &counters);

    // Starts, changes and stops mirrors. Reads the database. Throws pg_error.
    void configure(std::shared_ptr<const mirror::Catalog> catalog);

    void turn();
    // Milliseconds until turn() has something to do; 0: at once, -1: when the transport has something.
    int timeout_ms() const;

    // A mirrored table is not what the configuration says any more: read it again. Asking resets it.
    bool take_configuration_changed() { return report_.take_configuration_changed(); }

    // Every object of the mirror's first complete list is recorded: nothing may be sent before.
    bool has_listed(uint32_t relation) const;

    // A request for the object is over and its answer is recorded: its events go on, but for the one of the version
    // that the answer showed ("": none). `row_may_differ`: the row follows the record.
    void answered(const mirror::Key &key, const std::string &resource_version, bool row_may_differ);
    // The object is in this version or a newer one: late events of older ones must not bring them back.
    void await_version(const mirror::Key &key, const std::string &resource_version);
    // The incarnation `uid` is known to be gone: late events must not bring it back.
    void forget(const mirror::Key &key, const std::string &uid);
    // The server says that the object of this uid is not there: what is, comes as an event.
    void look_up(const mirror::Key &key, const std::string &uid);
    // A rejected change: the row gets back what the device has. `rejected` (nullptr: all): see mirror::restore.
    void restore(const mirror::Key &key, std::shared_ptr<const mirror::RowDigest> rejected);
    // Servers that are left alone for a while after failures are asked at once.
    void hurry();
    // Everything of the mirror is listed again.
    void resync(uint32_t relation);
    // A definition of a kind of this server is new or has changed: kinds that were missing may be served now.
    void expect_kinds(const std::string &server);

private:
    // A row of dbnet.mirror_state.
    struct State {
        std::string state, message, resource_version, cluster;
        int64_t listed = 0, expected = -1, watch_since = 0, last_event_at = 0, repaired = 0;
        bool operator==(const State &) const = default;
    };
    struct Entry {
        std::unique_ptr<MirrorWatch> watch;
        bool listed = false;  // see has_listed()
        bool anew = true;     // a list has begun since the client was told of one
        bool missing = false; // the server did not serve the kind when it was last asked
        // Nothing on record is known to come from this store: it may be another cluster's, or was restored meanwhile.
        bool is_new = true;
        // The search for recorded objects that the last complete list does not have.
        bool search_absent = false;
        mirror::Key searched_to;
        Milliseconds consistent_at = 0; // all that the store has was seen
        bool took_stock = false;        // a failed one is tried again sooner
        std::string stock_begun_at;     // version of the watch then
        mirror::Key stock_searched_to;
        int64_t repaired = 0;           // records that no watch had kept up to date
        bool has_renewed_watch = false; // because of what this stocktaking has found
        unsigned answers = 0;           // of the reflector that the client knows of
        double spread = 1;              // of the time until the next one, so that mirrors do not list all at once
        State written;
        Milliseconds written_at = 0;
        // Objects that the database would not record, with the number of tries: they are asked for again.
        std::unordered_map<mirror::Key, int, mirror::KeyHash> unrecorded;
        std::string record_problem;  // why; empty: all that was seen is on record
        Milliseconds busy_until = 0; // a session holds DBNet's own rows: let them be for a moment
    };

    void turn_entry(Entry &entry, Milliseconds now);
    void take_stock(Entry &entry, Milliseconds now);
    void compare_stock(Entry &entry, Milliseconds now);
    void tell_cluster(const Entry &entry, const std::string &former);
    Milliseconds stock_due(const Entry &entry) const; // -1: not by time
    void suspect(Entry &entry, const mirror::Key &key, const std::string &uid, const std::string &recorded_version,
                 Milliseconds now);
    void store_events(Entry &entry, Milliseconds now);
    void count_events(MirrorWatch &watch) noexcept;
    void record(Entry &entry, std::vector<QueuedEvent> events, Milliseconds now);
    // An object that dbnet.object has and a list has not.
    struct RecordedObject {
        mirror::Key key;
        std::string uid, resource_version;
        bool is_known_gone = false;
    };
    template<class List>
    std::vector<RecordedObject> find_unlisted(Entry &entry, const List &list, mirror::Key &searched_to);
    void find_absent(Entry &entry);
    State state_of(const Entry &entry) const;
    void write_state(Entry &entry, Milliseconds now);
    Milliseconds state_due(const Entry &entry) const;
    bool has_events(const Entry &entry) const;

    kubernetes::Transport &transport_;
    WatcherClient &client_;
    pg::SharedCounters &counters_;
    std::minstd_rand random_;
    Report report_;
    std::shared_ptr<const mirror::Catalog> catalog_;
    std::map<uint32_t, Entry> entries_;
    std::map<std::string, std::string> told_clusters_; // by server
};

} // namespace dbnet::bgworker
