// Evaluation of one policy (see policy_evaluation.hpp). Policy worker.
#include "bgworker/policy/policy_evaluation.hpp"

#include "pg/as_role.hpp"
#include "pg/deadline.hpp"
#include "pg/spi.hpp"

#include <algorithm>
#include <cmath>

extern "C" {
#include "utils/syscache.h"
#include "utils/timestamp.h"
}

namespace dbnet::bgworker {
namespace {

using policy::second;
using policy::Time;

constexpr Time write_values_every = 10 * second;
constexpr Time make_up_for = 600 * second; // a turn of a timer that was missed while there was no worker
constexpr Time look_for_transitions = 60 * second;
constexpr Time least_pause = second / 200; // between two looks at the same policy
constexpr Time retry_pause = second;       // after one that failed, whatever comes meanwhile
constexpr Time tell_failure_again = 60 * second;
constexpr Time wait_for_change = second; // with a policy that was being changed: that may have been rolled back
constexpr size_t most_groups = 10'000;
constexpr size_t most_together = 200; // groups that are written in one transaction: other policies wait for it
constexpr Time look_for_old_groups = 600 * second;
constexpr Time forget_group_after = 86'400 * second; // without anything new

const pg::Statement select_states{R"sql(
    SELECT grouping, state, (extract(epoch FROM since - timestamptz '2000-01-01 00:00:00+00') * 1000000)::bigint,
           (extract(epoch FROM held_at - timestamptz '2000-01-01 00:00:00+00') * 1000000)::bigint,
           (extract(epoch FROM acted_at - timestamptz '2000-01-01 00:00:00+00') * 1000000)::bigint, has_acted, reason, error
    FROM dbnet.policy_state WHERE policy = $1
)sql"};
const pg::Statement forget_states{
    "DELETE FROM dbnet.policy_state WHERE policy = $1 AND state IN ('inactive', 'resolved')"
    " AND evaluated_at < now() - interval '1 day'"};
// $2 groups
const pg::Statement forget_groups_of{"DELETE FROM dbnet.policy_state WHERE policy = $1 AND md5(grouping::text) = ANY"
                                     " (ARRAY(SELECT md5(g.name::jsonb::text) FROM unnest($2::text[]) AS g(name)))"};
// Where the policy as a whole cannot be evaluated, its ungrouped row says so; it has one for that alone if need be.
const pg::Statement note_failure{R"sql(
    INSERT INTO dbnet.policy_state AS s (policy, grouping, state, since, reason, error, evaluated_at)
    VALUES ($1, '{}', 'inactive', clock_timestamp(), 'error', $2, clock_timestamp())
    ON CONFLICT (policy, md5(grouping::text)) DO UPDATE SET reason = 'error', error = excluded.error, evaluated_at = excluded.evaluated_at
)sql"};
const pg::Statement forget_failure{
    "DELETE FROM dbnet.policy_state WHERE policy = $1 AND md5(grouping::text) = md5('{}') AND error IS NOT NULL"};
const pg::Statement end_failure{"UPDATE dbnet.policy_state SET error = NULL, reason = nullif($2, '')"
                                " WHERE policy = $1 AND md5(grouping::text) = md5('{}') AND error IS NOT NULL"};
const pg::Statement select_actions{R"sql(
    SELECT (extract(epoch FROM at - timestamptz '2000-01-01 00:00:00+00') * 1000000)::bigint FROM dbnet.policy_event
    WHERE policy = $1 AND decision = 'act' AND mode = CASE WHEN $3 THEN 'act' ELSE 'shadow' END AND at > clock_timestamp() - $2 * interval '1 microsecond' ORDER BY id
)sql"};

// None: it was changed, or is being changed, and nobody waits for whoever does that.
const pg::Statement lock_policy{
    "SELECT FROM dbnet.policy WHERE number = $1 AND version = $2 AND enabled FOR SHARE SKIP LOCKED"};
const pg::Statement find_obstacle{
    "SELECT dbnet.policy_obstacle(p, $2::jsonb) FROM dbnet.policy AS p WHERE p.number = $1"};

// $1 number of the policy, $2 event id (0: a new one), $3 microseconds, $4 grouping, $5 decision, $6 reason, $7 state,
// $8 value, $9 count, $10 and $11 seconds (NULL: no window), $12 traces, $13 error
#define DBNET_EVENT                                                                                                    \
    "dbnet.policy_event_of(p, CASE WHEN $2 = 0 THEN dbnet.take_event() ELSE $2 END,"                                   \
    " timestamptz '2000-01-01 00:00:00+00' + $3 * interval '1 microsecond', $4::jsonb, $5, $6, $7, $8, $9,"            \
    " timestamptz '2000-01-01 00:00:00+00' + $10 * interval '1 second',"                                               \
    " timestamptz '2000-01-01 00:00:00+00' + $11 * interval '1 second', $12::otel.trace_id[], $13) AS e"
const pg::Statement insert_event{"INSERT INTO dbnet.policy_event SELECT e.* FROM dbnet.policy AS p, " DBNET_EVENT
                                 " WHERE p.number = $1 RETURNING id"};
const pg::Statement show_event{"SELECT e::text FROM dbnet.policy AS p, " DBNET_EVENT " WHERE p.number = $1"};
#undef DBNET_EVENT

const pg::Statement upsert_state{R"sql(
    INSERT INTO dbnet.policy_state AS s (policy, grouping, state, since, held_at, acted_at, has_acted, reason, value, count, evaluated_at, last_event)
    SELECT $1, $2::jsonb, $3, timestamptz '2000-01-01 00:00:00+00' + $4 * interval '1 microsecond',
           timestamptz '2000-01-01 00:00:00+00' + $5 * interval '1 microsecond',
           timestamptz '2000-01-01 00:00:00+00' + $6 * interval '1 microsecond', $7, nullif($8, ''), $9, $10,
           timestamptz '2000-01-01 00:00:00+00' + $11 * interval '1 microsecond', $12
    ON CONFLICT (policy, md5(grouping::text)) DO UPDATE SET state = excluded.state, since = excluded.since,
        held_at = excluded.held_at, acted_at = excluded.acted_at, has_acted = excluded.has_acted,
        reason = excluded.reason, value = excluded.value, count = excluded.count, evaluated_at = excluded.evaluated_at,
        error = NULL, last_event = coalesce(excluded.last_event, s.last_event)
)sql"};

// As the owner.
const pg::Statement refuse_writes{"SELECT pg_catalog.set_config('transaction_read_only', 'on', true)"};

// Runs one SELECT of a user's as the policy's owner: it changes nothing and has its time.
pg::Result read_as_owner(const policy::Definition &policy, const std::string &sql,
                         std::span<const pg::Argument> arguments) {
    if (!pg::call([&] { return SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(policy.owner)); }))
        throw pg::error(ERRCODE_UNDEFINED_OBJECT, "the owner of the policy was dropped");
    return pg::as_owner(policy.owner, [&] {
        pg::execute(refuse_writes);
        const pg::Deadline deadline(policy.timeout_ms);
        return pg::execute_once(sql, arguments);
    });
}

std::optional<int64> if_set(Time time) {
    return time == 0 ? std::nullopt : std::optional(int64{time});
}

// Queries say anything.
int64 count_of(double number) noexcept {
    constexpr double most = 1e18;
    return std::isnan(number) ? 0 : static_cast<int64>(std::clamp(number, 0.0, most));
}

bool is_to_be_told(const policy::Decision &decision) {
    return decision.verdict != policy::Verdict::nothing || decision.is_told;
}

const char *word_of(const policy::Decision &decision) {
    switch (decision.verdict) {
    case policy::Verdict::act:
        return "act";
    case policy::Verdict::resolve:
        return "resolved";
    default:
        return "not acting";
    }
}

std::string with_hint(const std::string &message, const std::string &hint) {
    return hint.empty() ? message : message + ". " + hint;
}

} // namespace

PolicyEvaluation::PolicyEvaluation(policy::Definition definition, Time listening_since)
    : policy_(std::move(definition)), listening_since_(listening_since) {}

void PolicyEvaluation::load() {
    const Time now = GetCurrentTimestamp();
    pg::execute(forget_states, policy_.name);
    const pg::Result states = pg::execute(select_states, policy_.name);
    for (size_t row = 0; row < states.rows(); row++) {
        if (states.at(row, 7) != nullptr) {
            failure_ = states.text(row, 7);
            if (states.at(row, 3) == nullptr) // it was never more than that
                continue;
        }
        Known &known = groups_[std::string(states.text(row, 0))];
        known.group.state = policy::state_of(states.text(row, 1)).value_or(policy::State::inactive);
        known.group.since = states.integer(row, 2);
        known.group.held_at = states.integer(row, 3);
        if (known.group.state ==
            policy::State::firing) // written when that began; what came since, the last worker knew
            known.group.held_at = now;
        if (states.at(row, 4) != nullptr)
            known.group.acted_at = states.integer(row, 4);
        known.group.has_acted = states.boolean(row, 5);
        known.group.reason = policy::reason_of(states.text(row, 6));
        known.written_at = now;
    }
    const pg::Result actions =
        pg::execute(select_actions, policy_.name, int64{policy_.rules.max_actions_interval}, policy_.acts);
    for (size_t row = 0; row < actions.rows(); row++)
        budget_.note(actions.integer(row, 0));
}

// When the first turn of a timer, schedule or query is due. Throws when there is no such time zone any more.
void PolicyEvaluation::begin_ticks(Time now) {
    if (policy_.source == policy::Source::query) {
        next_tick_ = now;
    } else if (!policy_.has_condition()) {
        const auto last = groups_.find("{}");
        next_tick_ = policy::next_due(policy_, last != groups_.end() ? last->second.group.held_at : now);
        if (next_tick_ < now - make_up_for)
            next_tick_ = policy::next_due(policy_, now);
    }
    has_begun_ = true;
}

bool PolicyEvaluation::turn(Time now, bool may_have_data) {
    if (now < due_ && !(may_have_data && policy_.has_panes()))
        return false;
    if (now < not_before_) {
        due_ = due_ <= now ? not_before_ : std::min(due_, not_before_);
        return false;
    }
    bool waits = false, has_failed = true;
    try {
        if (!has_begun_)
            begin_ticks(now);
        waits = policy_.has_condition() ? decide(now) : tick(now);
        has_failed = false;
    } catch (const pg::pg_error &error) {
        fail(now, with_hint(error.message(), error.hint()));
    } catch (const pg::error &error) {
        fail(now, with_hint(error.what(), error.hint_text()));
    } catch (const std::exception &error) {
        fail(now, error.what());
    }
    const Time end = GetCurrentTimestamp();
    not_before_ = end + std::max(has_failed ? retry_pause : least_pause, 2 * (end - now));
    return waits;
}

// What the groups are worth now; inside a transaction.
void PolicyEvaluation::measure(Time now) {
    const policy::Span seconds = window(now);
    collector_.collect(policy_, seconds, panes_);
    if (!policy_.is_grouped)
        groups_["{}"];
    for (const auto &[name, series] : panes_.groups())
        if (series.has_begun(seconds.last))
            groups_[name];
    static const policy::Series nothing;
    for (auto &[name, known] : groups_) {
        const auto found = panes_.groups().find(name);
        policy::Observation observation = (found == panes_.groups().end() ? nothing : found->second)
                                              .observe(policy_.measure, seconds.first, seconds.last);
        known.is_value_new |=
            observation.value != known.observation.value || observation.count != known.observation.count;
        known.observation = observation;
        known.observation.now = now;
    }
}

// Groups come and go (pods, routes). One of which nothing is seen and nothing is to be remembered goes after a day, or
// at once when there are too many. Inside a transaction.
void PolicyEvaluation::forget_groups(Time now) {
    const bool are_too_many = groups_.size() > most_groups;
    if (!are_too_many && now < next_forgetting_)
        return;
    next_forgetting_ = now + look_for_old_groups;
    std::vector<std::string> forgotten;
    for (const auto &[name, known] : groups_) {
        const policy::Group &group = known.group;
        const bool cools_down =
            group.acted_at && policy_.rules.cooldown && now - *group.acted_at < *policy_.rules.cooldown;
        if (name != "{}" && known.observation.count == 0 && !cools_down &&
            (group.state == policy::State::inactive || group.state == policy::State::resolved) &&
            (are_too_many || now - known.written_at > forget_group_after))
            forgotten.push_back(name);
    }
    for (const std::string &name : forgotten)
        groups_.erase(name);
    if (!forgotten.empty())
        pg::execute(forget_groups_of, policy_.name, forgotten);
    if (groups_.size() > most_groups)
        throw pg::error(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                        "the policy has more than " + std::to_string(most_groups) + " groups");
}

// A transaction of its own, in which nothing is written.
void PolicyEvaluation::run_query(Time now) {
    const std::string sql =
        "SELECT (pg_catalog.to_jsonb(q) OPERATOR(pg_catalog.-) '{value,count}'::pg_catalog.text[])::pg_catalog.text,"
        " (pg_catalog.to_jsonb(q) OPERATOR(pg_catalog.->>) 'value')::pg_catalog.float8,"
        " (pg_catalog.to_jsonb(q) OPERATOR(pg_catalog.->>) 'count')::pg_catalog.float8"
        " FROM (" +
        policy_.query + "\n) AS q LIMIT 10001";
    const pg::Result rows = pg::in_transaction([&] { return read_as_owner(policy_, sql, {}); });
    if (rows.rows() > most_groups)
        throw pg::error(ERRCODE_PROGRAM_LIMIT_EXCEEDED, "the query has more than 10000 groups");
    for (auto &[name, known] : groups_) {
        known.is_value_new |= known.observation.value.has_value();
        known.observation = {std::nullopt, 0, now};
    }
    for (size_t row = 0; row < rows.rows(); row++) {
        Known &known = groups_[std::string(rows.text(row, 0))];
        policy::Observation &observation = known.observation;
        if (rows.at(row, 1) != nullptr)
            observation.value = std::strtod(rows.at(row, 1), nullptr);
        observation.count = rows.at(row, 2) != nullptr ? count_of(std::strtod(rows.at(row, 2), nullptr)) : 1;
        observation.now = now;
        known.is_value_new = true;
    }
}

bool PolicyEvaluation::decide(Time now) {
    const bool is_new_round = resume_at_.empty();
    if (policy_.source == policy::Source::query && is_new_round) {
        if (now < next_tick_) {
            due_ = next_tick_;
            return false;
        }
        next_tick_ = policy::next_due(policy_, now);
        run_query(now);
    }
    std::vector<Outcome> outcomes;
    std::string resume_at;
    policy::Budget budget = budget_;
    bool is_written = true, is_waiting = !is_new_round && is_round_waiting_;
    Time due = is_new_round ? next_tick_ : round_due_;
    pg::in_transaction([&] {
        if (policy_.has_panes())
            measure(now);
        forget_groups(now);
        const bool has_listened = now - listening_since_ >= policy_.window;
        for (auto next = groups_.lower_bound(resume_at_); next != groups_.end(); ++next) {
            auto &[name, known] = *next;
            if (outcomes.size() == most_together) {
                resume_at = name;
                break;
            }
            if (policy_.needs_whole_window() && !has_listened &&
                !(policy_.rules.wants_absence && known.observation.count > 0)) {
                due = std::min(due, listening_since_ + policy_.window);
                continue;
            }
            Outcome outcome{name, known.group, known.observation, {}, {}};
            outcome.decision = policy::evaluate(policy_.rules, outcome.group, budget, outcome.observation);
            // Others act first: each uses the budget before the next one is looked at.
            if (outcome.decision.verdict == policy::Verdict::act) {
                look_for_obstacles(outcome, now);
                if (outcome.decision.verdict == policy::Verdict::act)
                    policy::acted(outcome.group, budget, now);
            }
            due = std::min(due, outcome.decision.due);
            is_waiting |= outcome.group.state == policy::State::firing && outcome.group.reason != policy::Reason::none;
            const bool is_value_due =
                known.written_at == 0 || (known.is_value_new && now - known.written_at >= write_values_every);
            if (outcome.decision.has_changed || is_to_be_told(outcome.decision) || is_value_due ||
                outcome.group.reason != known.group.reason)
                outcomes.push_back(std::move(outcome));
            else
                known.group = outcome.group; // when the condition held last
            if (known.is_value_new && !is_value_due)
                due = std::min(due, known.written_at + write_values_every);
        }
        if (!outcomes.empty())
            is_written = write(outcomes, now);
    });
    if (!is_written) {
        if (policy_.source == policy::Source::query)
            next_tick_ = std::min(next_tick_, now + wait_for_change);
        due_ = now + wait_for_change;
        return false;
    }
    adopt(outcomes, std::move(budget), now);
    resume_at_ = std::move(resume_at);
    if (!resume_at_.empty()) { // after the others have had their turn
        round_due_ = due;
        is_round_waiting_ = is_waiting;
        due_ = now;
        return has_action(outcomes);
    }
    recover();
    if (policy_.has_panes()) {
        if (!panes_.empty() || is_waiting)
            due = std::min(due, (now / second + 1) * second);
        if (policy_.source == policy::Source::transitions) // what COMMIT PREPARED brings wakes nobody
            due = std::min(due, now + look_for_transitions);
    }
    due_ = std::max(due, now + 1000);
    return has_action(outcomes);
}

bool PolicyEvaluation::tick(Time now) {
    if (now < next_tick_) {
        due_ = next_tick_;
        return false;
    }
    std::vector<Outcome> outcomes(1);
    policy::Budget budget = budget_;
    Outcome &outcome = outcomes.front();
    outcome.name = "{}";
    outcome.group = groups_["{}"].group;
    outcome.group.since = outcome.group.since == 0 ? now : outcome.group.since;
    outcome.group.held_at = now;
    bool is_written = false;
    const Time next = policy::next_due(policy_, now);
    pg::in_transaction([&] {
        outcome.decision = policy::evaluate_tick(policy_.rules, outcome.group, budget, now);
        if (outcome.decision.verdict == policy::Verdict::act) {
            look_for_obstacles(outcome, now);
            if (outcome.decision.verdict == policy::Verdict::act)
                policy::acted(outcome.group, budget, now);
        }
        is_written = write(outcomes, now);
    });
    if (!is_written) {
        due_ = now + wait_for_change;
        return false;
    }
    adopt(outcomes, std::move(budget), now);
    recover();
    next_tick_ = due_ = next;
    return has_action(outcomes);
}

// What the rules do not know of: mirrors that are not fresh, objects that settle, only_if.
void PolicyEvaluation::look_for_obstacles(Outcome &outcome, Time now) {
    if (policy_.has_reads || policy_.settle_interval) {
        const pg::Result found = pg::execute(find_obstacle, policy_.number, outcome.name);
        if (found.rows() > 0 && found.at(0, 0) != nullptr)
            return policy::withheld(outcome.group, outcome.decision, policy::reason_of(found.text(0, 0)), now);
    }
    if (policy_.only_if.empty())
        return;
    const policy::Span seconds = window(now);
    try {
        pg::in_subtransaction([&] {
            const pg::Result event =
                pg::execute(show_event, policy_.number, int64{1}, int64{now}, outcome.name, "act", "",
                            policy::text_of(outcome.group.state), outcome.observation.value, outcome.observation.count,
                            int64{seconds.first}, int64{seconds.last + 1}, "{}", "");
            const pg::Argument argument(event.text(0, 0));
            const pg::Result holds = read_as_owner(
                policy_, "SELECT (" + policy_.only_if + "\n) FROM (SELECT ($1::dbnet.policy_event).*) AS event",
                {&argument, 1});
            if (holds.rows() == 0 || !holds.boolean(0, 0))
                policy::withheld(outcome.group, outcome.decision, policy::Reason::only_if, now);
        });
    } catch (const pg::pg_error &error) {
        outcome.error = "only_if: " + error.message();
        policy::withheld(outcome.group, outcome.decision, policy::Reason::failed, now);
    }
}

// Decisions and states, in the running transaction. False: the policy is another one, which decides anew.
bool PolicyEvaluation::write(std::vector<Outcome> &outcomes, Time now) {
    if (pg::execute(lock_policy, policy_.number, policy_.version).affected() == 0)
        return false;
    const policy::Span seconds = window(now);
    for (Outcome &outcome : outcomes) {
        std::optional<int64> event;
        if (is_to_be_told(outcome.decision)) {
            const bool has_window = policy_.has_panes();
            const std::string traces =
                has_window && outcome.observation.count > 0
                    ? collector_.sample_traces(policy_, outcome.name, seconds, outcome.observation.value,
                                               outcome.decision.verdict == policy::Verdict::act)
                    : "{}";
            const pg::Result inserted =
                pg::execute(insert_event, policy_.number, int64{0}, int64{now}, outcome.name, word_of(outcome.decision),
                            policy::text_of(outcome.decision.reason), policy::text_of(outcome.group.state),
                            outcome.observation.value,
                            policy_.has_condition() ? std::optional(outcome.observation.count) : std::nullopt,
                            has_window ? std::optional(int64{seconds.first}) : std::nullopt,
                            has_window ? std::optional(int64{seconds.last + 1}) : std::nullopt, traces, outcome.error);
            event = inserted.integer(0, 0);
        }
        pg::execute(upsert_state, policy_.name, outcome.name, policy::text_of(outcome.group.state),
                    int64{outcome.group.since == 0 ? now : outcome.group.since}, if_set(outcome.group.held_at),
                    outcome.group.acted_at ? std::optional(int64{*outcome.group.acted_at}) : std::nullopt,
                    outcome.group.has_acted, policy::text_of(outcome.group.reason), outcome.observation.value,
                    policy_.has_condition() ? std::optional(outcome.observation.count) : std::nullopt, int64{now},
                    event);
    }
    return true;
}

bool PolicyEvaluation::has_action(const std::vector<Outcome> &outcomes) const {
    return policy_.acts && std::any_of(outcomes.begin(), outcomes.end(), [](const Outcome &outcome) {
               return outcome.decision.verdict == policy::Verdict::act;
           });
}

// What is committed is what counts from now on.
void PolicyEvaluation::adopt(std::vector<Outcome> &outcomes, policy::Budget budget, Time now) {
    budget_ = std::move(budget);
    for (Outcome &outcome : outcomes) {
        Known &known = groups_[outcome.name];
        known.group = outcome.group;
        known.written_at = now;
        known.is_value_new = false;
    }
}

// Said in dbnet.policy_status, and in dbnet.policy_event once, and again after a minute. It is tried again after
// retry_pause.
void PolicyEvaluation::fail(Time now, const std::string &message) {
    due_ = now + retry_pause;
    resume_at_.clear();
    if (message == failure_ && now - failed_at_ < tell_failure_again)
        return;
    failure_ = message;
    failed_at_ = now;
    try {
        pg::in_transaction([&] {
            if (pg::execute(lock_policy, policy_.number, policy_.version).affected() == 0) {
                failed_at_ = 0; // it is yet to be told, unless the policy is another one
                return;
            }
            pg::execute(note_failure, policy_.name, message);
            pg::execute(insert_event, policy_.number, int64{0}, int64{now}, "{}", "not acting",
                        policy::text_of(policy::Reason::failed), policy::text_of(policy::State::inactive),
                        std::optional<double>(), std::optional<int64>(), std::optional<int64>(), std::optional<int64>(),
                        "{}", message);
        });
    } catch (const std::exception &error) {
        pg::log("DBNet policy worker: policy \"" + policy_.name + "\": " + message + "; " + error.what());
    }
}

void PolicyEvaluation::recover() {
    if (failure_.empty())
        return;
    const auto whole = groups_.find("{}");
    pg::in_transaction([&] {
        if (whole == groups_.end())
            pg::execute(forget_failure, policy_.name);
        else
            pg::execute(end_failure, policy_.name, policy::text_of(whole->second.group.reason));
    });
    failure_.clear();
}

} // namespace dbnet::bgworker
