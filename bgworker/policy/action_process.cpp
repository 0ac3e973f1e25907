// A process that runs actions of policies, one after the other, each in a transaction of its own, as the policy's
// owner. The policy worker starts it, gives it events and lets go of the queues when it is to end.
//
// Exactly once: the event's row is locked and marked as done in the very transaction in which the action ran. What
// kills the process in between leaves the row waiting and nothing of the action.
#include "bgworker/policy/action_process.hpp"

#include "bgworker/queued_process.hpp"
#include "bgworker/worker_process.hpp"
#include "pg/as_role.hpp"
#include "pg/deadline.hpp"
#include "pg/memory.hpp"
#include "pg/spi.hpp"
#include "provenance/record/recorder.hpp"

extern "C" {
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
}

namespace dbnet::bgworker {
namespace {

constexpr int most_attempts = 5; // after 1, 2, 4 and 8 seconds

// Locked by nobody else, or it is left to who has it. Those of its group that came before are over.
const pg::Statement take_event{R"sql(
    SELECT p.owner::oid, f.prokind = 'p', format('%I.%I', n.nspname, f.proname), e::text,
           extract(epoch FROM p.action_timeout) * 1000, dbnet.action_problem(p.action, p.action_owner, p.owner), p.name
    FROM dbnet.policy_event AS e JOIN dbnet.policy AS p ON p.name = e.policy AND p.enabled AND p.mode = 'act'
    LEFT JOIN pg_proc AS f ON f.oid = to_regprocedure(p.action) LEFT JOIN pg_namespace AS n ON n.oid = f.pronamespace
    WHERE e.id = $1 AND coalesce(e.action_state, '') = 'waiting' AND NOT dbnet.is_copy() -- so written, it is found by its id
    AND NOT EXISTS (SELECT FROM dbnet.policy_event AS b
                    WHERE b.policy = e.policy AND md5(b.grouping::text) = md5(e.grouping::text)
                    AND b.id < e.id AND b.action_state = 'waiting' OFFSET 0)
    FOR UPDATE OF e SKIP LOCKED
)sql"};
const pg::Statement set_lock_timeout{"SELECT set_config('lock_timeout', $1, true)"};
const pg::Statement note_success{"UPDATE dbnet.policy_event SET action_state = 'done', attempts = attempts + 1, error "
                                 "= NULL, next_attempt_at = NULL,"
                                 " transaction = pg_current_xact_id(), finished_at = clock_timestamp() WHERE id = $1"};
const pg::Statement note_failed_action{R"sql(
    UPDATE dbnet.policy_event SET attempts = attempts + 1, error = $2,
        action_state = CASE WHEN attempts + 1 >= $3 THEN 'failed' ELSE action_state END,
        finished_at = CASE WHEN attempts + 1 >= $3 THEN clock_timestamp() END,
        next_attempt_at = CASE WHEN attempts + 1 < $3 THEN clock_timestamp() + power(2, attempts) * interval '1 second' END
    WHERE id = $1 AND action_state = 'waiting'
)sql"};

// The session is the owner's while f runs: session_user says so, `why` names that role, and what it changes of mirrors
// goes to the cluster as that role. To be called at the top of a transaction.
template<class F> void in_session_of(Oid owner, F f) {
    const auto restore = [] { SetSessionAuthorization(BOOTSTRAP_SUPERUSERID, true); };
    try {
        pg::call([&] { SetSessionAuthorization(owner, superuser_arg(owner)); });
        f();
    } catch (...) {
        pg::call_noexcept(restore);
        throw;
    }
    pg::call(restore);
}

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
        const std::string call = (event.boolean(0, 1) ? "CALL " : "SELECT ") + name + "($1::dbnet.policy_event)";
        const int timeout_ms = static_cast<int>(std::strtod(event.at(0, 4), nullptr));
        const std::string reason = "policy " + std::string(event.text(0, 6)), activity = reason + ": " + call;
        pg::call([&] {
            SetCurrentStatementStartTimestamp();
            pgstat_report_activity(STATE_RUNNING, activity.c_str());
            provenance::set_cause(id, reason.c_str());
        });
        pg::execute(set_lock_timeout, std::to_string(timeout_ms) + "ms");
        const pg::Argument argument(event.text(0, 3));
        in_session_of(owner, [&] {
            pg::as_owner(owner, [&] {
                const pg::Deadline deadline(timeout_ms);
                pg::execute_once(call, {&argument, 1});
            });
        });
        // The action may have given words of its own; what it follows from is the event.
        pg::call([&] { provenance::set_cause(id, nullptr); });
        pg::execute(note_success, id);
        return true;
    });
}

std::string_view answer_to(int64 id) {
    try {
        return run(id) ? action_is_over : action_is_locked;
    } catch (const std::exception &caught) {
        note_action_failure(id, caught.what());
        return action_is_over;
    }
}

RequestQueues queues{};

void serve() {
    std::string request;
    pg::MemoryScope memory("DBNet action of a policy");
    pg::call([] {
        // As configured: what it commits is the owner's, and goes to devices at once, for which it has to be on disk.
        set_config_option("synchronous_commit", nullptr, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SET, true, 0, false);
        pgstat_report_activity(STATE_IDLE, nullptr);
    });
    pg_atomic_write_u32(&queues.segment->is_ready, 1);
    while (receive_request(queues, request)) {
        memory.reset();
        const std::string answer(answer_to(std::strtoll(request.c_str(), nullptr, 10)));
        pg::call([] {
            pgstat_report_stat(true);
            pgstat_report_activity(STATE_IDLE, nullptr);
        });
        if (!send_answer(queues, answer))
            return;
    }
}

} // namespace

void note_action_failure(int64 event, const std::string &message) {
    pg::in_transaction([&] { pg::execute(note_failed_action, event, message, most_attempts); });
}

} // namespace dbnet::bgworker

DBNET_WORKER_MAIN(dbnet_action_process_main) {
    using namespace dbnet::bgworker;
    dbnet::pg::call([&] { queues = attach_queues(DatumGetUInt32(argument)); });
    run_queued_process(queues.segment->database, serve);
}
