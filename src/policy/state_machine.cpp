// The state machine of policies (see state_machine.hpp).
#include "policy/state_machine.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "pg/no_postgres.hpp"

namespace dbnet::policy {
namespace {

constexpr double near_miss = 0.05;       // of the threshold
constexpr Time tell_again = 60 * second; // the same reason of the same group

constexpr const char *comparison_texts[] = {">", ">=", "<", "<=", "=", "<>"};
constexpr const char *state_texts[] = {"inactive", "pending", "firing", "resolved"};
constexpr const char *reason_texts[] = {"",
                                        "below minimum count",
                                        "just missed",
                                        "hold time not reached",
                                        "within hysteresis",
                                        "kept firing",
                                        "cooling down",
                                        "flap budget used",
                                        "settling",
                                        "stale mirror",
                                        "only_if is false",
                                        "error"};
static_assert(std::size(reason_texts) == reason_count);

bool holds(const Rules &rules, const Observation &observation) {
    if (rules.wants_absence)
        return observation.count == 0;
    if (rules.wants_presence)
        return observation.count > 0;
    return observation.value && compare(*observation.value, rules.comparison, rules.threshold);
}

// The comparison with the clear threshold still holds. Without data there is nothing to wait for.
bool is_within_hysteresis(const Rules &rules, const Observation &observation) {
    return !rules.wants_absence && rules.clear_threshold && observation.value &&
           observation.count >= rules.minimum_count &&
           compare(*observation.value, rules.comparison, *rules.clear_threshold);
}

bool is_near(const Rules &rules, const Observation &observation) {
    return !rules.wants_absence && !rules.wants_presence && observation.value &&
           observation.count >= rules.minimum_count && rules.comparison != Comparison::equal &&
           rules.comparison != Comparison::not_equal &&
           std::fabs(*observation.value - rules.threshold) <= near_miss * std::fabs(rules.threshold);
}

void enter(Group &group, Decision &decision, State state, Time now) {
    group.state = state;
    group.since = now;
    decision.has_changed = true;
}

// The reason of this moment. It goes on record when it is new and was not told a short while ago.
void give(Group &group, Decision &decision, Reason reason, Time now) {
    decision.reason = reason;
    const bool is_new = group.reason != reason;
    group.reason = reason;
    Time &told_at = group.told_at[static_cast<std::size_t>(reason)];
    decision.is_told = reason != Reason::none && is_new && (told_at == 0 || now - told_at >= tell_again);
    if (decision.is_told)
        told_at = now;
}

// A group that wants to act: what the rules say of how often.
void want(const Rules &rules, Group &group, Budget &budget, Decision &decision, Time now) {
    if (rules.cooldown && group.acted_at && now - *group.acted_at < *rules.cooldown) {
        decision.due = std::min(decision.due, *group.acted_at + *rules.cooldown);
        return give(group, decision, Reason::cooling_down, now);
    }
    if (budget.is_used(rules, now))
        return give(group, decision, Reason::budget_used, now);
    decision.verdict = Verdict::act;
}

} // namespace

std::optional<Comparison> comparison_of(std::string_view text) noexcept {
    if (text == "!=")
        return Comparison::not_equal;
    const auto *found = std::find(std::begin(comparison_texts), std::end(comparison_texts), text);
    if (found == std::end(comparison_texts))
        return std::nullopt;
    return static_cast<Comparison>(found - std::begin(comparison_texts));
}

std::optional<State> state_of(std::string_view text) noexcept {
    const auto *found = std::find(std::begin(state_texts), std::end(state_texts), text);
    if (found == std::end(state_texts))
        return std::nullopt;
    return static_cast<State>(found - std::begin(state_texts));
}

Reason reason_of(std::string_view text) noexcept {
    const auto *found = std::find(std::begin(reason_texts), std::end(reason_texts), text);
    return found == std::end(reason_texts) ? Reason::none : static_cast<Reason>(found - std::begin(reason_texts));
}

const char *text_of(Comparison comparison) noexcept {
    return comparison_texts[static_cast<std::size_t>(comparison)];
}

const char *text_of(State state) noexcept {
    return state_texts[static_cast<std::size_t>(state)];
}

const char *text_of(Reason reason) noexcept {
    return reason_texts[static_cast<std::size_t>(reason)];
}

bool compare(double value, Comparison comparison, double threshold) noexcept {
    switch (comparison) {
    case Comparison::greater:
        return value > threshold;
    case Comparison::greater_or_equal:
        return value >= threshold;
    case Comparison::less:
        return value < threshold;
    case Comparison::less_or_equal:
        return value <= threshold;
    case Comparison::equal:
        return value == threshold;
    case Comparison::not_equal:
        return value != threshold && !std::isnan(value);
    }
    return false;
}

bool Budget::is_used(const Rules &rules, Time now) {
    while (!actions_.empty() && actions_.front() <= now - rules.max_actions_interval)
        actions_.pop_front();
    return rules.max_actions && actions_.size() >= static_cast<std::size_t>(std::max(*rules.max_actions, 0));
}

Decision evaluate(const Rules &rules, Group &group, Budget &budget, const Observation &observation) {
    const Time now = observation.now;
    Decision decision;
    const bool is_met = holds(rules, observation);
    const bool is_enough = rules.wants_absence || observation.count >= rules.minimum_count;
    const bool is_held = is_met && is_enough;
    if (is_held)
        group.held_at = now;

    if (group.state == State::firing && !is_held) {
        if (is_within_hysteresis(rules, observation)) {
            group.held_at = now;
            give(group, decision, Reason::within_hysteresis, now);
            return decision;
        }
        if (now - group.held_at < rules.keep_firing_for) {
            decision.due = group.held_at + rules.keep_firing_for;
            give(group, decision, Reason::kept_firing, now);
            return decision;
        }
        enter(group, decision, State::resolved, now);
        group.has_acted = false;
        decision.verdict = Verdict::resolve;
        give(group, decision, Reason::none, now);
        return decision;
    }

    if (!is_held) {
        const bool was_pending = group.state == State::pending;
        if (was_pending)
            enter(group, decision, State::inactive, now);
        give(group, decision,
             is_met                        ? Reason::below_minimum_count
             : was_pending                 ? Reason::hold_time
             : is_near(rules, observation) ? Reason::just_missed
                                           : Reason::none,
             now);
        return decision;
    }

    if (group.state == State::inactive || group.state == State::resolved)
        enter(group, decision, State::pending, now);
    if (group.state == State::pending) {
        if (now - group.since < rules.hold_time) {
            decision.due = group.since + rules.hold_time;
            give(group, decision, Reason::none, now);
            return decision;
        }
        enter(group, decision, State::firing, now);
        group.has_acted = false;
    }
    const bool is_repeated = group.has_acted;
    if (is_repeated && (!rules.repeat_interval || now - *group.acted_at < *rules.repeat_interval)) {
        if (rules.repeat_interval)
            decision.due = *group.acted_at + *rules.repeat_interval;
        give(group, decision, Reason::none, now);
        return decision;
    }
    want(rules, group, budget, decision, now);
    return decision;
}

Decision evaluate_tick(const Rules &rules, Group &group, Budget &budget, Time now) {
    Decision decision;
    want(rules, group, budget, decision, now);
    return decision;
}

void acted(Group &group, Budget &budget, Time now) {
    group.acted_at = now;
    group.has_acted = true;
    group.reason = Reason::none;
    budget.note(now);
}

void withheld(Group &group, Decision &decision, Reason reason, Time now) {
    decision.verdict = Verdict::nothing;
    give(group, decision, reason, now);
}

} // namespace dbnet::policy
