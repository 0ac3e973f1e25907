// Has what policies have decided done: gives each event's action to a process that runs it (action_process). Actions
// run beside each other and beside the evaluation, those of one policy one after the other, those of one group in the
// order of their events. Policy worker; outside transactions.
#pragma once

#include "bgworker/queued_process.hpp"
#include "bgworker/worker_process.hpp"
#include "policy/state_machine.hpp"

#include <list>
#include <set>
#include <string>
#include <vector>

namespace dbnet::bgworker {

class PolicyActions {
public:
    explicit PolicyActions(WorkerProcess &worker) noexcept : worker_(worker) {}
    ~PolicyActions();
    PolicyActions(const PolicyActions &) = delete;
    PolicyActions &operator=(const PolicyActions &) = delete;

    // Something may wait that turn() has not seen.
    void hurry() noexcept { due_ = 0; }

    // There will be actions: the first is not to wait for the start of a process.
    void prepare(policy::Time now);

    // Takes what processes have answered, and gives them what is due. Never blocks.
    void turn(policy::Time now);

    // When turn() has something to do, unless the latch is set; INT64_MAX: never.
    policy::Time due() const noexcept;

    // Tells every process to end; for a worker that ends.
    void terminate() noexcept;

private:
    struct Runner : QueuedProcess {
        int64 event = 0; // 0: idle
        std::string policy;
        bool is_sent = false;
        policy::Time since = 0; // idle, or running the event
    };

    void collect(policy::Time now);
    bool progress(Runner &runner, policy::Time now);
    void assign(policy::Time now);
    Runner *idle_runner(policy::Time now);
    bool start_runner(policy::Time now);
    void note_begun();
    void put_off_start(policy::Time now, const std::string &problem, const std::string &hint);
    void end_idle(policy::Time now);
    void leave_out(int64 event, policy::Time now);
    bool may_run(const std::string &policy) const;

    WorkerProcess &worker_;
    std::list<Runner> runners_;
    policy::Time due_ = 0;
    policy::Time retry_at_ = INT64_MAX; // when no process could begin
    policy::Time start_again_at_ = 0;
    std::string problem_;             // why none could; empty: one did
    std::set<std::string> slow_;      // policies whose last action was
    std::vector<std::string> locked_; // ids of events that are left out until then
    policy::Time locked_until_ = 0;
};

} // namespace dbnet::bgworker
