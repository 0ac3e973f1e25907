// What a policy decides about one group: inactive → pending → firing → resolved, and why it does not act. Pure: the
// time, the value and everything else comes in, the decision comes out. Used by the policy worker and by
// dbnet.backtest().
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace dbnet::policy {

using Time = std::int64_t; // microseconds; since when is for the caller to say
constexpr Time second = 1'000'000;

enum class Comparison : std::uint8_t { greater, greater_or_equal, less, less_or_equal, equal, not_equal };

// Of > >= < <= = <> (and !=); nullopt: none of them.
std::optional<Comparison> comparison_of(std::string_view text) noexcept;
const char *text_of(Comparison comparison) noexcept;
bool compare(double value, Comparison comparison, double threshold) noexcept;

// What a policy says of when it fires and how often it may act.
struct Rules {
    Comparison comparison = Comparison::greater;
    double threshold = 0;
    std::optional<double> clear_threshold;     // firing goes on until the comparison with this fails, too
    bool wants_absence = false;                // the condition is that there is no data; no comparison
    bool wants_presence = false;               // the condition is that there is some; no comparison
    std::int64_t minimum_count = 0;            // with fewer items the value says nothing
    Time hold_time = 0;                        // the condition must hold for so long
    Time keep_firing_for = 0;                  // it must have failed for so long
    std::optional<Time> cooldown;              // between two actions for a group
    std::optional<Time> repeat_interval;       // acts again while firing goes on; none: once each time it fires
    std::optional<int> max_actions;            // of all groups together …
    Time max_actions_interval = 3600 * second; // … in so long
};

enum class State : std::uint8_t { inactive, pending, firing, resolved };
const char *text_of(State state) noexcept;
std::optional<State> state_of(std::string_view text) noexcept;

// Why a policy does not act, although it might be thought that it should.
enum class Reason : std::uint8_t {
    none,
    below_minimum_count,
    just_missed,       // the condition fails, by 5 % of the threshold or less
    hold_time,         // it held, and failed before hold_time was over
    within_hysteresis, // it fails, but the clear threshold is not reached
    kept_firing,       // keep_firing_for is not over
    cooling_down,
    budget_used, // max_actions
    settling,    // objects of the last action are not ready, or not for long enough
    stale,       // a mirror that the policy reads was not heard from
    only_if,     // is false
    failed,      // looking at it raised an error
};
constexpr int reason_count = static_cast<int>(Reason::failed) + 1;
const char *text_of(Reason reason) noexcept;
// Reason::none when there is none of these words.
Reason reason_of(std::string_view text) noexcept;

enum class Verdict : std::uint8_t {
    nothing,
    act,     // wants to: whoever asked looks at what else may stand in the way, and says acted() or withheld()
    resolve, // firing has ended
};

// What is known of a group from one evaluation to the next. The first members are kept in a table.
struct Group {
    State state = State::inactive;
    Time since = 0;                           // of the state
    Time held_at = 0;                         // the condition held last, 0: never
    std::optional<Time> acted_at;             // last action, also one that shadow mode only decided
    bool has_acted = false;                   // since it fires
    Reason reason = Reason::none;             // why it does not act now
    std::array<Time, reason_count> told_at{}; // when each reason was put on record last
};

// When the policy acted, all groups together, oldest first.
class Budget {
public:
    void note(Time at) { actions_.push_back(at); }
    // Whether one more would be too many.
    bool is_used(const Rules &rules, Time now);
    std::size_t size() const noexcept { return actions_.size(); }

private:
    std::deque<Time> actions_;
};

struct Observation {
    std::optional<double> value; // none: there is no data
    std::int64_t count = 0;      // items behind the value
    Time now = 0;
};

struct Decision {
    Verdict verdict = Verdict::nothing;
    Reason reason = Reason::none;
    bool has_changed = false; // the state is another
    bool is_told = false;     // reason goes on record: it was not there a moment ago, nor within the last minute
    Time due = INT64_MAX;     // time alone changes something then
};

// One evaluation.
Decision evaluate(const Rules &rules, Group &group, Budget &budget, const Observation &observation);

// A timer's turn, which has no condition: act, unless the group cools down or the budget is used.
Decision evaluate_tick(const Rules &rules, Group &group, Budget &budget, Time now);

// What came of Verdict::act.
void acted(Group &group, Budget &budget, Time now);
// Something else stands in the way: decision says so from now on.
void withheld(Group &group, Decision &decision, Reason reason, Time now);

} // namespace dbnet::policy
