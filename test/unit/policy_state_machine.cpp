// The state machine of policies: conditions, hysteresis, times, counts, brakes, and the reasons for not acting.
#include "policy/state_machine.hpp"

#include <gtest/gtest.h>

#include <cmath>

using namespace dbnet::policy;

namespace {

// A group that is evaluated with values at seconds; acts whenever the rules let it.
struct Trial {
    Rules rules;
    Group group{};
    Budget budget{};

    Decision at(double seconds, std::optional<double> value, std::int64_t count = 100) {
        const Time now = start + static_cast<Time>(seconds * second);
        const Decision decision = evaluate(rules, group, budget, {value, count, now});
        if (decision.verdict == Verdict::act)
            acted(group, budget, now);
        return decision;
    }
    Time due(double seconds) const { return start + static_cast<Time>(seconds * second); }

    static constexpr Time start = 1000 * second;
};

Rules above(double threshold) {
    Rules rules;
    rules.threshold = threshold;
    return rules;
}

} // namespace

TEST(PolicyState, Comparisons) {
    EXPECT_TRUE(compare(2, *comparison_of(">"), 1));
    EXPECT_FALSE(compare(1, *comparison_of(">"), 1));
    EXPECT_TRUE(compare(1, *comparison_of(">="), 1));
    EXPECT_TRUE(compare(0, *comparison_of("<"), 1));
    EXPECT_TRUE(compare(1, *comparison_of("<="), 1));
    EXPECT_TRUE(compare(1, *comparison_of("="), 1));
    EXPECT_TRUE(compare(2, *comparison_of("<>"), 1));
    EXPECT_TRUE(compare(2, *comparison_of("!="), 1));
    EXPECT_EQ(comparison_of("=="), std::nullopt);
    for (const char *text : {">", ">=", "<", "<=", "=", "<>"})
        EXPECT_FALSE(compare(std::nan(""), *comparison_of(text), 1)) << text << ": what is no number fires nothing";
}

TEST(PolicyState, FiresOnceAndResolves) {
    Trial trial{above(0.05)};
    EXPECT_EQ(trial.at(0, 0.01).verdict, Verdict::nothing);
    EXPECT_EQ(trial.group.state, State::inactive);
    const Decision fired = trial.at(1, 0.2);
    EXPECT_EQ(fired.verdict, Verdict::act);
    EXPECT_TRUE(fired.has_changed);
    EXPECT_EQ(trial.group.state, State::firing);
    EXPECT_EQ(trial.at(2, 0.3).verdict, Verdict::nothing) << "once each time it fires";
    EXPECT_EQ(trial.group.since, trial.due(1));
    EXPECT_EQ(trial.at(3, 0.01).verdict, Verdict::resolve);
    EXPECT_EQ(trial.group.state, State::resolved);
    EXPECT_FALSE(trial.at(4, 0.01).has_changed);
    EXPECT_EQ(trial.at(5, 0.2).verdict, Verdict::act) << "and again";
}

TEST(PolicyState, HoldTime) {
    Trial trial{above(10)};
    trial.rules.hold_time = 5 * second;
    const Decision pending = trial.at(0, 20);
    EXPECT_EQ(pending.verdict, Verdict::nothing);
    EXPECT_EQ(trial.group.state, State::pending);
    EXPECT_EQ(pending.due, trial.due(5));
    EXPECT_EQ(trial.at(4.9, 20).verdict, Verdict::nothing);
    const Decision broken = trial.at(4.95, 1);
    EXPECT_EQ(broken.reason, Reason::hold_time);
    EXPECT_TRUE(broken.is_told);
    EXPECT_EQ(trial.group.state, State::inactive);
    trial.at(5, 20);
    EXPECT_EQ(trial.at(10, 20).verdict, Verdict::act) << "counted from when it held again";
}

TEST(PolicyState, MinimumCount) {
    Trial trial{above(0.5)};
    trial.rules.minimum_count = 20;
    const Decision decision = trial.at(0, 1.0, 1);
    EXPECT_EQ(decision.reason, Reason::below_minimum_count);
    EXPECT_TRUE(decision.is_told);
    EXPECT_EQ(trial.group.state, State::inactive);
    EXPECT_FALSE(trial.at(1, 1.0, 2).is_told) << "told once";
    EXPECT_EQ(trial.at(2, 1.0, 20).verdict, Verdict::act);
    EXPECT_EQ(trial.at(3, 1.0, 19).verdict, Verdict::resolve) << "too little data keeps nothing firing";
}

TEST(PolicyState, Hysteresis) {
    Trial trial{above(100)};
    trial.rules.clear_threshold = 80;
    EXPECT_EQ(trial.at(0, 90).reason, Reason::none) << "below the threshold it does not begin";
    trial.at(1, 120);
    const Decision between = trial.at(2, 90);
    EXPECT_EQ(between.verdict, Verdict::nothing);
    EXPECT_EQ(between.reason, Reason::within_hysteresis);
    EXPECT_TRUE(between.is_told);
    EXPECT_EQ(trial.group.state, State::firing);
    EXPECT_EQ(trial.at(3, 120).verdict, Verdict::nothing) << "the same firing";
    EXPECT_EQ(trial.at(4, 80).verdict, Verdict::resolve);

    Trial low{above(10)};
    low.rules.comparison = Comparison::less;
    low.rules.clear_threshold = 20;
    low.at(0, 5);
    EXPECT_EQ(low.at(1, 15).reason, Reason::within_hysteresis);
    EXPECT_EQ(low.at(2, 20).verdict, Verdict::resolve);
    low.at(3, 5);
    EXPECT_EQ(low.at(4, std::nullopt, 0).verdict, Verdict::resolve) << "no data is not within anything";
}

TEST(PolicyState, KeepFiringFor) {
    Trial trial{above(1)};
    trial.rules.keep_firing_for = 10 * second;
    trial.at(0, 2);
    const Decision kept = trial.at(1, 0);
    EXPECT_EQ(kept.reason, Reason::kept_firing);
    EXPECT_EQ(kept.due, trial.due(10)) << "from when the condition held last";
    EXPECT_EQ(trial.at(5, 2).verdict, Verdict::nothing) << "still the same firing";
    EXPECT_EQ(trial.at(14, 0).verdict, Verdict::nothing);
    EXPECT_EQ(trial.at(15, 0).verdict, Verdict::resolve);
}

TEST(PolicyState, Cooldown) {
    Trial trial{above(1)};
    trial.rules.cooldown = 60 * second;
    EXPECT_EQ(trial.at(0, 2).verdict, Verdict::act);
    trial.at(1, 0);
    const Decision cooling = trial.at(2, 2);
    EXPECT_EQ(cooling.verdict, Verdict::nothing);
    EXPECT_EQ(cooling.reason, Reason::cooling_down);
    EXPECT_TRUE(cooling.is_told);
    EXPECT_EQ(cooling.due, trial.due(60));
    EXPECT_EQ(trial.group.state, State::firing);
    EXPECT_EQ(trial.at(59.999, 2).verdict, Verdict::nothing);
    EXPECT_EQ(trial.at(60, 2).verdict, Verdict::act) << "it still fires: what was put off is done";
    EXPECT_EQ(trial.at(500, 2).verdict, Verdict::nothing) << "but a cooldown repeats nothing";
}

TEST(PolicyState, RepeatInterval) {
    Trial trial{above(1)};
    trial.rules.repeat_interval = 30 * second;
    EXPECT_EQ(trial.at(0, 2).verdict, Verdict::act);
    EXPECT_EQ(trial.at(1, 2).due, trial.due(30));
    EXPECT_EQ(trial.at(29, 2).verdict, Verdict::nothing);
    EXPECT_EQ(trial.at(30, 2).verdict, Verdict::act);
    EXPECT_EQ(trial.at(59, 2).verdict, Verdict::nothing);
    trial.rules.cooldown = 100 * second;
    EXPECT_EQ(trial.at(60, 2).reason, Reason::cooling_down) << "a cooldown goes first";
}

TEST(PolicyState, BudgetOfAllGroups) {
    Trial one{above(1)};
    one.rules.max_actions = 2;
    one.rules.max_actions_interval = 100 * second;
    Group others[2];
    EXPECT_EQ(one.at(0, 2).verdict, Verdict::act);
    EXPECT_EQ(evaluate(one.rules, others[0], one.budget, {2, 1, one.due(1)}).verdict, Verdict::act);
    acted(others[0], one.budget, one.due(1));
    const Decision refused = evaluate(one.rules, others[1], one.budget, {2, 1, one.due(2)});
    EXPECT_EQ(refused.reason, Reason::budget_used);
    EXPECT_TRUE(refused.is_told);
    EXPECT_EQ(others[1].state, State::firing);
    EXPECT_EQ(evaluate(one.rules, others[1], one.budget, {2, 1, one.due(99)}).reason, Reason::budget_used);
    EXPECT_EQ(evaluate(one.rules, others[1], one.budget, {2, 1, one.due(100)}).verdict, Verdict::act);
    one.rules.max_actions = 0;
    EXPECT_EQ(evaluate(one.rules, others[1], one.budget, {2, 1, one.due(900)}).reason, Reason::budget_used) << "none";
}

TEST(PolicyState, JustMissed) {
    Trial trial{above(100)};
    EXPECT_EQ(trial.at(0, 94.9).reason, Reason::none);
    const Decision missed = trial.at(1, 95);
    EXPECT_EQ(missed.reason, Reason::just_missed);
    EXPECT_TRUE(missed.is_told);
    EXPECT_FALSE(trial.at(2, 96).is_told) << "as a moment ago";
    trial.at(3, 10);
    EXPECT_FALSE(trial.at(4, 96).is_told) << "told less than a minute ago";
    trial.at(5, 10);
    EXPECT_TRUE(trial.at(61, 96).is_told);
    trial.rules.minimum_count = 200;
    EXPECT_EQ(trial.at(62, 96).reason, Reason::none) << "too little data misses nothing";
}

TEST(PolicyState, Absence) {
    Trial trial{};
    trial.rules.wants_absence = true;
    trial.rules.minimum_count = 1;
    EXPECT_EQ(trial.at(0, std::nullopt, 5).verdict, Verdict::nothing);
    EXPECT_EQ(trial.at(1, std::nullopt, 0).verdict, Verdict::act);
    EXPECT_EQ(trial.at(2, std::nullopt, 0).verdict, Verdict::nothing);
    EXPECT_EQ(trial.at(3, std::nullopt, 1).verdict, Verdict::resolve);
}

TEST(PolicyState, Presence) {
    Trial trial{};
    trial.rules.wants_presence = true;
    EXPECT_EQ(trial.at(0, std::nullopt, 0).verdict, Verdict::nothing);
    EXPECT_EQ(trial.at(1, -7, 1).verdict, Verdict::act) << "whatever the value";
    EXPECT_EQ(trial.at(2, std::nullopt, 0).verdict, Verdict::resolve);
}

TEST(PolicyState, WhatElseStandsInTheWay) {
    Trial trial{above(1)};
    const Time now = trial.due(0);
    Decision decision = evaluate(trial.rules, trial.group, trial.budget, {2, 1, now});
    ASSERT_EQ(decision.verdict, Verdict::act);
    withheld(trial.group, decision, Reason::only_if, now);
    EXPECT_EQ(decision.verdict, Verdict::nothing);
    EXPECT_EQ(decision.reason, Reason::only_if);
    EXPECT_TRUE(decision.is_told);
    EXPECT_EQ(trial.budget.size(), 0u);
    decision = evaluate(trial.rules, trial.group, trial.budget, {2, 1, now + second});
    EXPECT_EQ(decision.verdict, Verdict::act) << "it is asked again as long as it fires";
    withheld(trial.group, decision, Reason::only_if, now + second);
    EXPECT_FALSE(decision.is_told);
    decision = evaluate(trial.rules, trial.group, trial.budget, {2, 1, now + 2 * second});
    withheld(trial.group, decision, Reason::stale, now + 2 * second);
    EXPECT_TRUE(decision.is_told) << "another reason is told at once";
}

TEST(PolicyState, Ticks) {
    Trial trial;
    trial.rules.cooldown = 10 * second;
    EXPECT_EQ(evaluate_tick(trial.rules, trial.group, trial.budget, trial.due(0)).verdict, Verdict::act);
    acted(trial.group, trial.budget, trial.due(0));
    EXPECT_EQ(evaluate_tick(trial.rules, trial.group, trial.budget, trial.due(5)).reason, Reason::cooling_down);
    EXPECT_EQ(evaluate_tick(trial.rules, trial.group, trial.budget, trial.due(10)).verdict, Verdict::act);
    EXPECT_EQ(trial.group.state, State::inactive);
}

TEST(PolicyState, Words) {
    for (const State state : {State::inactive, State::pending, State::firing, State::resolved})
        EXPECT_EQ(state_of(text_of(state)), state);
    EXPECT_EQ(state_of("gone"), std::nullopt);
    EXPECT_STREQ(text_of(Reason::budget_used), "flap budget used");
    EXPECT_STREQ(text_of(Comparison::not_equal), "<>");
}
