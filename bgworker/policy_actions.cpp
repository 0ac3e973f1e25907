// Actions of policies (see policy_actions.hpp). Policy worker.
//
// Exactly once: the event's row is locked and marked as done in the very transaction in which the action ran. What
// kills the process in between leaves the row waiting and nothing of the action.
#include "bgworker/policy_actions.hpp"

#include "pg/as_role.hpp"
#include "pg/deadline.hpp"
#include "pg/spi.hpp"
#include "provenance/recorder.hpp"

#include <algorithm>

extern "C" {
#include "utils/timestamp.h"
}

namespace dbnet::bgworker {
namespace {

using policy::Time;

constexpr int most_attempts = 5; // after 1, 2, 4 and 8 seconds
constexpr Time slow = policy::second / 2;
constexpr Time look_again = policy::second; // for one that was locked

// $1 policies whose actions were slow, $2 events that somebody else has locked.
const pg::Statement find_waiting{R"sql(
    SELECT e.id, e.policy, e.next_attempt_at IS NULL OR e.next_attempt_at <= clock_timestamp(),
           (extract(epoch FROM min(e.next_attempt_at) OVER () - timestamptz '2000-01-01 00:00:00+00') * 1000000)::bigint
    FROM dbnet.policy_event AS e JOIN dbnet.policy AS p ON p.name = e.policy AND p.enabled AND p.mode = 'act'
    WHERE e.action_state = 'waiting' AND e.id <> ALL ($2::text[]::bigint[])
    ORDER BY coalesce(e.next_attempt_at, '-infinity') > clock_timestamp(), e.policy = ANY ($1), e.next_attempt_at NULLS FIRST, e.id LIMIT 1
)sql"};

// Locked by nobody else, or it is left to who has it.
const pg::Statement take_event{R"sql(
    SELECT p.owner::oid, f.prokind = 'p', format('%I.%I', n.nspname, f.proname), e::text,
           extract(epoch FROM p.action_timeout) * 1000, dbnet.action_problem(p.action, p.action_owner, p.owner), p.name
    FROM dbnet.policy_event AS e JOIN dbnet.policy AS p ON p.name = e.policy AND p.enabled AND p.mode = 'act'
    LEFT JOIN pg_proc AS f ON f.oid = to_regprocedure(p.action) LEFT JOIN pg_namespace AS n ON n.oid = f.pronamespace
    WHERE e.id = $1 AND e.action_state = 'waiting' FOR UPDATE OF e SKIP LOCKED
)sql"};
const pg::Statement set_lock_timeout{"SELECT set_config('lock_timeout', $1, true)"};
const pg::Statement note_success{"UPDATE dbnet.policy_event SET action_state = 'done', attempts = attempts + 1, error "
                                 "= NULL, next_attempt_at = NULL,"
                                 " transaction = pg_current_xact_id(), finished_at = clock_timestamp() WHERE id = $1"};
const pg::Statement note_failure{R"sql(
    UPDATE dbnet.policy_event SET attempts = attempts + 1, error = $2,
        action_state = CASE WHEN attempts + 1 >= $3 THEN 'failed' ELSE action_state END,
        finished_at = CASE WHEN attempts + 1 >= $3 THEN clock_timestamp() END,
        next_attempt_at = CASE WHEN attempts + 1 < $3 THEN clock_timestamp() + power(2, attempts) * interval '1 second' END
    WHERE id = $1 AND action_state = 'waiting'
)sql"};

// False: somebody else has it (drops its policy, say).
bool run(int64 id) {
    return pg::in_transaction([&] {
        const pg::Result event = pg::execute(take_event, id);
        if (event.rows() == 0)
            return false;
        if (event.at(0, 5) != nullptr)
            throw pg::error(ERRCODE_INSUFFICIENT_PRIVILEGE, std::string(event.text(0, 5)));
        const Oid owner = event.oid(0, 0);
        const std::string name(event.text(0, 2));
        const int timeout_ms = static_cast<int>(std::strtod(event.at(0, 4), nullptr));
        const std::string reason = "policy " + std::string(event.text(0, 6));
        pg::call([&] { provenance::set_cause(id, reason.c_str()); });
        pg::execute(set_lock_timeout, std::to_string(timeout_ms) + "ms");
        const pg::Argument argument(event.text(0, 3));
        pg::as_owner(owner, [&] {
            const pg::Deadline deadline(timeout_ms);
            pg::execute_once((event.boolean(0, 1) ? "CALL " : "SELECT ") + name + "($1::dbnet.policy_event)",
                             {&argument, 1});
        });
        // The action may have given words of its own; what it follows from is the event.
        pg::call([&] { provenance::set_cause(id, nullptr); });
        pg::execute(note_success, id);
        return true;
    });
}

} // namespace

bool PolicyActions::turn(Time now) {
    if (now < due_)
        return false;
    const pg::Result waiting = pg::in_transaction(
        [&] { return pg::execute(find_waiting, std::vector<std::string>(slow_.begin(), slow_.end()), locked_); });
    if (waiting.rows() == 0 || !waiting.boolean(0, 2)) {
        due_ = waiting.rows() == 0 ? INT64_MAX : waiting.integer(0, 3);
        if (!locked_.empty())
            due_ = std::min(due_, now + look_again);
        locked_.clear();
        return false;
    }
    const int64 id = waiting.integer(0, 0);
    const std::string name(waiting.text(0, 1));
    try {
        if (!run(id)) {
            locked_.push_back(std::to_string(id));
            return true;
        }
    } catch (const std::exception &error) {
        const std::string message = error.what();
        pg::in_transaction([&] { pg::execute(note_failure, id, message, most_attempts); });
    }
    if (GetCurrentTimestamp() - now > slow)
        slow_.insert(name);
    else
        slow_.erase(name);
    return true;
}

} // namespace dbnet::bgworker
