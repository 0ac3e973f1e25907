// dbnet.object, dbnet.tombstone, dbnet.held_change and dbnet.actuation as the mirror worker reads and writes them: many
// keys per statement. All functions run inside a worker's transaction and throw pg::pg_error.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "mirror/decision/intent.hpp"
#include "mirror/decision/observed.hpp"
#include "mirror/key.hpp"

namespace dbnet::mirror {

// What the tables say of one key.
struct StoredObject {
    std::optional<ObjectRecord> object;
    std::optional<TombstoneRecord> tombstone; // the newest
    int64_t tombstone_id = 0;
    Hold apply_hold, delete_hold; // newest held change of each operation
    // What the row held when its apply_hold was rejected; nullptr: not rejected, or nobody looked.
    std::shared_ptr<const RowDigest> rejected;
    Fields releases;                // paths that are to be given up, with what the row held then (null: nothing)
    int64_t release_id = 0;         // the newest of these requests; 0: none
    std::set<std::string> adopted;  // paths that are to be taken over, whoever owns them
    bool is_object_adopted = false; // it is to count as created by DBNet
    int64_t adoption_id = 0;        // the newest of these requests; 0: none
    Json last_body;                 // of the object that is to be made again; null: none is
    int64_t restoration_id = 0;     // the newest of these requests; 0: none
    std::string expected_version;   // the only one that may be changed; empty: any
    int64_t expectation_id = 0;     // the request that says so; 0: none
    size_t bytes = 0;               // of what is on record of the object, as text
};

// In the order of the keys. Without `with_live` ObjectRecord::live holds metadata.deletionTimestamp at most.
std::vector<StoredObject> load_objects(std::span<const Key> keys, bool with_live);

// Of the keys whose rows were deleted: objects that the same transactions were to make first, and that are not there
// yet. The order of a transaction is kept in memory; this tells it to a worker that was not there then.
std::map<Key, Key> load_awaited(std::span<const Key> deleted);

// In the order of the keys: event id of the newest version of each row that is on record; 0: none.
std::vector<uint64_t> newest_versions(std::span<const Key> keys);

// In the order of the keys: the role that last committed the row, reports left aside; 0: it is not on record, or is
// gone.
std::vector<uint32_t> last_committers(std::span<const Key> keys);

std::string role_name(uint32_t role); // "" for 0

// One row of dbnet.object that changes, and what goes with it.
struct ObjectWrite {
    Key key;
    std::string field_manager; // the write is dropped when the mirror was removed or made anew meanwhile

    bool forget = false; // the row is deleted; the members below count for nothing

    std::optional<Observed> seen; // the server's newest word; kept unless a newer one is there already
    std::string gone_uid;         // incarnation that does not exist any more, if it is the recorded one; empty: none
    bool accepted = false;        // the server took `applied`
    bool fresh = false;           // … for a new incarnation: nothing of the old record stays
    bool created = false;         // … which did not exist before
    bool adopted = false;         // the object counts as created by DBNet from now on
    Fields applied; // without `accepted`: perhaps taken, and no stamp will tell, so that what was applied is not known
    Fields base;    // what row and object agree on by it
    std::set<std::string> missing; // paths that they do not agree on any more: the row was made anew without them
    std::set<std::string> claimed;
    std::string stamp;
    // Incarnation that is deleted to be made anew; empty: none any more; nullopt: what is recorded stays. It ends by
    // itself when an apply is accepted.
    std::optional<std::string> replacing;
    std::set<std::string> released; // paths that DBNet does not own any more; `base` holds what the row had there

    std::set<std::string> first_written; // paths attempted, added to those recorded
    Phase phase = Phase::none;
    std::string message;
    std::string reason;
    int attempts = 0;
    int64_t next_attempt_ms = -1; // from now; -1: not by time
    uint64_t transaction = 0;     // 0: found by a compare, the recorded one stays
    uint64_t commit_lsn = 0;
    uint32_t committer = 0; // oid of the role that committed the row; 0: not known, the recorded one stays

    int64_t tombstone_id = 0;   // > 0: tombstones up to this one are done
    bool settles_hold = false;  // held changes of the key are done
    int64_t release_id = 0;     // > 0: requests to release fields up to this one are done
    int64_t adoption_id = 0;    // > 0: requests to adopt up to this one are done
    int64_t expectation_id = 0; // > 0: the object had the version that was expected
    int64_t restoration_id = 0; // > 0: requests to restore up to this one are done
};

// One line of the log.
struct ActuationWrite {
    Key key;
    const char *operation = "apply"; // see dbnet.actuation
    std::vector<std::string> paths;  // none for delete
    uint64_t transaction = 0;
    uint64_t commit_lsn = 0;
    uint64_t cause = 0;  // event id of the change that the call carried; 0: not recorded
    uint32_t role = 0;   // oid, 0: not known
    std::string acts_as; // user of the server as whom it was made; empty: as who the credentials are
    int attempt = 1;
    int http_status = 0;
    std::string reason;
    std::string message;
    double latency_ms = 0;
    bool forced = false;
    std::vector<std::string> warnings;                                           // that came with the answer
    std::chrono::system_clock::time_point at = std::chrono::system_clock::now(); // when it was answered
};

struct HeldWrite {
    Key key;
    const char *operation = "apply"; // apply, delete, or what was asked for
    uint64_t transaction = 0;
    std::string reason;
};

// What a call was answered goes with what it made of its object: lines and objects of the same calls together.
void save(std::span<const ObjectWrite *const> objects, std::span<const ActuationWrite> actuations,
          std::span<const HeldWrite> held);

// Rows of dbnet.object of a mirror.
int64_t count_objects(uint32_t relation);

// Keys that wait for the worker although their row may tell nothing or not be there: tombstones, decided held changes,
// phases in which the worker goes on by itself. In order, after `after` (nullptr: from the start), at most `limit`.
std::vector<Key> load_pending_keys(uint32_t relation, const Key *after, int limit);

} // namespace dbnet::mirror
