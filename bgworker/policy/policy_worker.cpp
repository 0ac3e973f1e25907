// The policy worker of a database: main function and loop. Woken after every commit that brought telemetry or changed a
// policy; else it sleeps until something is due by time, and for ever when nothing is.
#include "bgworker/policy/policy_actions.hpp"
#include "bgworker/policy/policy_evaluation.hpp"
#include "bgworker/worker_process.hpp"
#include "pg/spi.hpp"
#include "settings.hpp"

#include <algorithm>

extern "C" {
#include "storage/ipc.h"
#include "utils/timestamp.h"
}

namespace dbnet::bgworker {
namespace {

using policy::Time;

// A full portion was not all of it.
constexpr Time remove_every = 600 * policy::second, remove_more_after = policy::second;
constexpr int64 removed_at_once = 5000;

// Which policies there are, in which version, and whether they may act. Versions are taken before they are committed,
// so the newest one says nothing of the others.
const pg::Statement look_at_policies{
    "SELECT concat(dbnet.is_copy(), ' ', string_agg(number || '.' || version, ' ' ORDER BY number)) FROM dbnet.policy"};
const pg::Statement remove_events{
    "DELETE FROM dbnet.policy_event WHERE ctid = ANY (ARRAY(SELECT ctid FROM dbnet.policy_event"
    " WHERE id < dbnet.event_at(now() - $1 * interval '1 minute') AND action_state IS DISTINCT FROM 'waiting'"
    " LIMIT $2))"};

class PolicyWorker {
public:
    explicit PolicyWorker(WorkerProcess &process)
        : process_(process), started_at_(GetCurrentTimestamp()), actions_(process) {}

    [[noreturn]] void run() {
        while (true) {
            turn();
            process_.wait(-1, timeout_ms());
        }
    }

    PolicyActions &actions() noexcept { return actions_; }

private:
    void turn() {
        load();
        actions_.turn(GetCurrentTimestamp());
        for (auto &[name, evaluation] : evaluations_) {
            if (evaluation->turn(GetCurrentTimestamp(), true))
                actions_.hurry();
            actions_.turn(GetCurrentTimestamp()); // its action runs while the others are evaluated
        }
        remove_old();
    }

    // Policies that were not changed go on as they are.
    void load() {
        std::map<std::string, std::unique_ptr<PolicyEvaluation>> loaded; // empty: it goes on
        std::string versions;
        pg::in_transaction([&] {
            versions = pg::execute(look_at_policies).text(0, 0);
            if (versions == versions_)
                return;
            for (policy::Definition &definition : policy::load_definitions()) {
                std::unique_ptr<PolicyEvaluation> &evaluation = loaded[definition.name];
                const auto known = evaluations_.find(definition.name);
                if (known != evaluations_.end() && known->second->definition().version == definition.version &&
                    known->second->definition().acts == definition.acts)
                    continue;
                const Time listening_since = definition.has_own_panes ? GetCurrentTimestamp() : started_at_;
                evaluation = std::make_unique<PolicyEvaluation>(std::move(definition), listening_since);
                evaluation->load();
            }
        });
        if (versions == versions_)
            return;
        for (auto &[name, evaluation] : loaded)
            if (!evaluation)
                evaluation = std::move(evaluations_[name]);
        evaluations_ = std::move(loaded);
        versions_ = std::move(versions);
        pg::want_recorded_commits(process_.slot(), any_of([](const policy::Definition &definition) {
                                      return definition.source == policy::Source::transitions;
                                  }));
        actions_.hurry();
        if (any_of([](const policy::Definition &definition) { return definition.acts; }))
            actions_.prepare(GetCurrentTimestamp());
    }

    template<class F> bool any_of(F f) const {
        return std::any_of(evaluations_.begin(), evaluations_.end(),
                           [&](const auto &entry) { return f(entry.second->definition()); });
    }

    void remove_old() {
        const Time now = GetCurrentTimestamp();
        if (now < next_removal_)
            return;
        has_more_to_remove_ = false;
        next_removal_ = now + remove_every;
        pg::in_transaction([&] {
            has_more_to_remove_ =
                pg::execute(remove_events, settings::provenance_retention, removed_at_once).affected() ==
                static_cast<uint64>(removed_at_once);
        });
        if (has_more_to_remove_)
            next_removal_ = now + remove_more_after;
    }

    long timeout_ms() const {
        Time due = has_more_to_remove_ ? std::min(actions_.due(), next_removal_) : actions_.due();
        for (const auto &[name, evaluation] : evaluations_)
            due = std::min(due, evaluation->due());
        if (due == INT64_MAX)
            return -1;
        return static_cast<long>(std::clamp<Time>((due - GetCurrentTimestamp() + 999) / 1000, 0, 3'600'000));
    }

    WorkerProcess &process_;
    Time started_at_;
    std::map<std::string, std::unique_ptr<PolicyEvaluation>> evaluations_;
    PolicyActions actions_;
    std::string versions_; // of dbnet.policy when it was read
    Time next_removal_ = 0;
    bool has_more_to_remove_ = false;
};

PolicyActions *running_actions = nullptr;

// SIGTERM ends the process without destructors: actions must not outlive it, DROP DATABASE waits for them.
void end_actions(int, Datum) noexcept {
    if (running_actions != nullptr)
        running_actions->terminate();
}

void run_policy_worker(WorkerProcess &process) {
    static bool is_registered = false;
    if (!is_registered)
        pg::call([] { before_shmem_exit(end_actions, Datum{0}); });
    is_registered = true;
    PolicyWorker worker(process);
    struct Running {
        explicit Running(PolicyActions &actions) noexcept { running_actions = &actions; }
        ~Running() { running_actions = nullptr; }
    } running(worker.actions());
    worker.run();
}

} // namespace
} // namespace dbnet::bgworker

DBNET_WORKER_MAIN(dbnet_policy_worker_main) {
    dbnet::bgworker::run_worker_process(DatumGetObjectId(argument), dbnet::pg::WorkerKind::policy,
                                        dbnet::bgworker::run_policy_worker);
}
