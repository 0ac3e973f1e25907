// dbnet.operation and dbnet.operation_step as the mirror worker reads and writes them, and dbnet.plan() reads them. All
// functions run inside a transaction, with the extension's rights, and throw pg::pg_error.
#pragma once

#include "kubernetes/drain.hpp"
#include "mirror/decision/intent.hpp"
#include "mirror/key.hpp"

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace dbnet::mirror {

struct OperationStep {
    enum class State { waiting, terminating, gone, skipped, failed };

    kubernetes::PodOfNode pod;
    State state = State::waiting;
    std::string message, reason;
    int attempts = 0;
    int64_t next_attempt_ms = -1; // from now; -1: not by time. Not read back: what waits is due at once after a start
};

struct Operation {
    enum class Kind { cordon, uncordon, evict, drain, restart };

    int64_t id = 0;
    Key key;
    std::string uid;
    Kind kind = Kind::cordon;

    // Arguments.
    int64_t timeout_ms = -1; // -1: as long as it takes
    kubernetes::DrainOptions drain;
    kubernetes::EvictionOptions eviction;
    bool disable_eviction = false;
    std::string pod_selector;

    uint64_t transaction = 0;
    uint64_t event = 0;       // of the row's insertion, that calls are caused by; 0: not recorded
    uint32_t role = 0;        // who asked; 0: that role is gone
    std::string requested_by; // its name
    std::string restarted_at;

    bool is_running = false;
    int64_t running_ms = 0;      // since its start
    bool is_row_deleted = false; // the object is to go when this is done
    HoldDecision hold = HoldDecision::none;
    std::string decided_by; // the hold
    std::vector<OperationStep> steps;
};

const char *to_text(Operation::Kind kind);
bool removes(Operation::Kind kind); // pods end by it

// Those that are waiting or running, oldest first.
std::vector<Operation> load_open_operations();

struct OperationWrite {
    enum class State { waiting, running, done, failed, cancelled };

    int64_t id = 0;
    Key key;
    State state = State::waiting;
    std::string message, reason;
    int attempts = 0;
    int64_t next_attempt_ms = -1;     // from now; -1: not by time
    std::vector<OperationStep> steps; // that have changed
    bool settles_hold = false;
};

// Of operations that were given up meanwhile only the steps are written.
void save(std::span<const OperationWrite> operations);

// Why objects whose rows were deleted must stay for now, by their keys: the drain that was asked for with the deletion,
// or that was under way then.
struct Blocker {
    int64_t operation = 0;
    bool is_open = false; // false: it has failed or was given up
    std::string message;

    std::string text() const;
};
std::map<Key, Blocker> load_blockers(std::span<const Key> deleted);

// What the running transaction has asked for of a mirror's objects, in that order.
struct RequestedOperation {
    Key key;
    Operation::Kind kind = Operation::Kind::cordon;
    std::string arguments; // JSON
    int64_t id = 0;
};
std::vector<RequestedOperation> load_requests(uint32_t relation);

// Lines of operations that were over before `age_minutes`.
void remove_old_operations(int64_t age_minutes);

} // namespace dbnet::mirror
