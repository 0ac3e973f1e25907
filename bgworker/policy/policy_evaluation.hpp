// One policy in the policy worker: what it measures, the states of its groups, and the decisions that it writes. What
// it decides is in memory only once the transaction that has it on record is committed.
#pragma once

#include "policy/collector.hpp"

#include <map>
#include <memory>

namespace dbnet::bgworker {

class PolicyEvaluation {
public:
    // `listening_since`: since when telemetry could arrive.
    PolicyEvaluation(policy::Definition definition, policy::Time listening_since);

    const policy::Definition &definition() const noexcept { return policy_; }

    // The states that the last worker left, and when it acted; inside a transaction.
    void load();

    // Evaluates if it is time to, or if there may be new data. In transactions of its own. True: an action waits.
    bool turn(policy::Time now, bool may_have_data);

    // When turn() has something to do without new data; INT64_MAX: never.
    policy::Time due() const noexcept { return due_; }

private:
    struct Known {
        policy::Group group;
        policy::Observation observation;
        policy::Time written_at = 0; // value and count
        bool is_value_new = false;   // since then
    };
    struct Outcome {
        std::string name;
        policy::Group group;
        policy::Observation observation;
        policy::Decision decision;
        std::string error;
    };

    void begin_ticks(policy::Time now);
    void measure(policy::Time now);
    void run_query(policy::Time now);
    void forget_groups(policy::Time now);
    bool tick(policy::Time now);
    bool decide(policy::Time now);
    bool write(std::vector<Outcome> &outcomes, policy::Time now);
    bool has_action(const std::vector<Outcome> &outcomes) const;
    void adopt(std::vector<Outcome> &outcomes, policy::Budget budget, policy::Time now);
    void look_for_obstacles(Outcome &outcome, policy::Time now);
    void fail(policy::Time now, const std::string &message);
    void recover();
    policy::Span window(policy::Time now) const noexcept { return policy::window_at(now, policy_.window); }

    policy::Definition policy_;
    policy::Time listening_since_;
    policy::Collector collector_;
    policy::Panes panes_;
    policy::Budget budget_;
    std::map<std::string, Known> groups_;
    policy::Time due_ = 0;
    policy::Time not_before_ = 0;        // what it costs is spread
    policy::Time next_tick_ = INT64_MAX; // of a timer, schedule or query
    policy::Time next_forgetting_ = 0;
    std::string resume_at_; // group with which the round goes on; empty: the next turn begins one
    policy::Time round_due_ = INT64_MAX;
    bool is_round_waiting_ = false; // some of its groups fire and do not act yet
    bool has_begun_ = false;        // next_tick_ is known
    std::string failure_;           // why it could not be evaluated; empty: it could
    policy::Time failed_at_ = 0;
};

} // namespace dbnet::bgworker
