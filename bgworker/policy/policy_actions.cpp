// Who runs which action (see policy_actions.hpp). Policy worker.
#include "bgworker/policy/policy_actions.hpp"

#include "bgworker/policy/action_process.hpp"
#include "pg/spi.hpp"
#include "settings.hpp"

#include <algorithm>
#include <csignal>

namespace dbnet::bgworker {
namespace {

using policy::Time;

constexpr Time slow = policy::second / 2;
constexpr Time look_again = policy::second; // for an event that was locked, or when there was no room for a process
constexpr Time idle_limit = 60 * policy::second; // of a process that is not the only one

// Of each policy that nothing runs of: the next one that is due, and when another will be. An event waits for those of
// its group before it, also when these wait for another attempt; events of other groups do not. $1 policies that run,
// $2 events that somebody else has locked, $3 now.
const pg::Statement find_waiting{R"sql(
    SELECT n.id, p.name, (extract(epoch FROM d.next_attempt_at - timestamptz '2000-01-01 00:00:00+00') * 1000000)::bigint
    FROM dbnet.policy AS p CROSS JOIN (SELECT timestamptz '2000-01-01 00:00:00+00' + $3 * interval '1 microsecond' AS now) AS t
    LEFT JOIN LATERAL (SELECT e.id FROM dbnet.policy_event AS e
                       WHERE e.policy = p.name AND e.action_state = 'waiting' AND coalesce(e.next_attempt_at, '-infinity') <= t.now
                       AND e.id <> ALL ($2::text[]::bigint[])
                       AND NOT EXISTS (SELECT FROM dbnet.policy_event AS b
                                       WHERE b.policy = e.policy AND md5(b.grouping::text) = md5(e.grouping::text)
                                       AND b.id < e.id AND b.action_state = 'waiting' OFFSET 0) -- looked up for each, not joined
                       ORDER BY coalesce(e.next_attempt_at, '-infinity'), e.id LIMIT 1) AS n ON true
    LEFT JOIN LATERAL (SELECT e.next_attempt_at FROM dbnet.policy_event AS e
                       WHERE e.policy = p.name AND e.action_state = 'waiting' AND coalesce(e.next_attempt_at, '-infinity') > t.now
                       ORDER BY coalesce(e.next_attempt_at, '-infinity') LIMIT 1) AS d ON true
    WHERE p.enabled AND p.mode = 'act' AND p.name <> ALL ($1) AND NOT (SELECT dbnet.is_copy())
    ORDER BY n.id
)sql"};

} // namespace

PolicyActions::~PolicyActions() {
    for (Runner &runner : runners_)
        runner.release(runner.event != 0);
}

void PolicyActions::terminate() noexcept {
    for (const Runner &runner : runners_)
        runner.signal(SIGTERM);
}

void PolicyActions::prepare(Time now) {
    if (runners_.empty())
        start_runner(now);
}

void PolicyActions::turn(Time now) {
    collect(now);
    if (now >= due_ || now >= retry_at_)
        assign(now);
    end_idle(now);
}

Time PolicyActions::due() const noexcept {
    Time due = std::min(due_, retry_at_);
    if (runners_.size() > 1)
        for (const Runner &runner : runners_)
            if (runner.event == 0)
                due = std::min(due, runner.since + idle_limit);
    return due;
}

void PolicyActions::collect(Time now) {
    runners_.remove_if([&](Runner &runner) {
        if (progress(runner, now))
            return false;
        runner.release(false);
        return true;
    });
}

// False: the process has ended.
bool PolicyActions::progress(Runner &runner, Time now) {
    shm_mq_result result = SHM_MQ_SUCCESS;
    if (runner.event != 0 && !runner.is_sent) {
        const std::string request = std::to_string(runner.event);
        result = pg::call([&] { return shm_mq_send(runner.requests, request.size(), request.data(), true, true); });
        runner.is_sent = result == SHM_MQ_SUCCESS;
    }
    Size size = 0;
    void *data = nullptr;
    if (result != SHM_MQ_DETACHED)
        result = pg::call([&] { return shm_mq_receive(runner.answers, &size, &data, true); });
    if (result == SHM_MQ_WOULD_BLOCK)
        return true;
    const bool has_begun = pg_atomic_read_u32(&runner.segment->is_ready) != 0;
    if (has_begun)
        note_begun();
    else // it has ended: nothing was tried
        put_off_start(now, "a process for actions of policies ended before it began", "The server's log says why.");
    if (runner.event != 0) {
        if (result == SHM_MQ_DETACHED && has_begun)
            note_action_failure(runner.event, "the process that ran it ended");
        else if (result == SHM_MQ_SUCCESS &&
                 std::string_view(static_cast<const char *>(data), size) == action_is_locked)
            leave_out(runner.event, now);
        if (now - runner.since > slow)
            slow_.insert(runner.policy);
        else
            slow_.erase(runner.policy);
        runner.event = 0;
        runner.since = now;
        hurry();
    }
    return result != SHM_MQ_DETACHED;
}

void PolicyActions::leave_out(int64 event, Time now) {
    if (locked_.empty())
        locked_until_ = now + look_again;
    locked_.push_back(std::to_string(event));
}

// One process is left to the others by policies whose actions are slow.
bool PolicyActions::may_run(const std::string &policy) const {
    if (!slow_.contains(policy) || settings::policy_action_workers == 1)
        return true;
    return std::count_if(runners_.begin(), runners_.end(), [&](const Runner &runner) {
               return runner.event != 0 && slow_.contains(runner.policy);
           }) < settings::policy_action_workers - 1;
}

void PolicyActions::assign(Time now) {
    std::vector<std::string> running;
    for (const Runner &runner : runners_)
        if (runner.event != 0)
            running.push_back(runner.policy);
    retry_at_ = INT64_MAX;
    if (running.size() >= static_cast<size_t>(settings::policy_action_workers)) { // who is idle again says so
        due_ = INT64_MAX;
        return;
    }
    if (now >= locked_until_)
        locked_.clear();
    const pg::Result waiting =
        pg::in_transaction([&] { return pg::execute(find_waiting, running, locked_, int64{now}); });
    due_ = locked_.empty() ? INT64_MAX : locked_until_;
    for (size_t row = 0; row < waiting.rows(); row++) {
        if (waiting.at(row, 2) != nullptr)
            due_ = std::min<Time>(due_, waiting.integer(row, 2));
        std::string policy(waiting.text(row, 1));
        if (waiting.at(row, 0) == nullptr || !may_run(policy))
            continue;
        Runner *runner = idle_runner(now);
        if (runner == nullptr)
            return;
        runner->event = waiting.integer(row, 0);
        runner->policy = std::move(policy);
        runner->is_sent = false;
        runner->since = now;
        progress(*runner, now);
    }
}

// nullptr: when one is idle again, or there is room for another, it goes on.
PolicyActions::Runner *PolicyActions::idle_runner(Time now) {
    for (Runner &runner : runners_)
        if (runner.event == 0)
            return &runner;
    if (runners_.size() >= static_cast<size_t>(settings::policy_action_workers))
        return nullptr;
    return start_runner(now) ? &runners_.back() : nullptr;
}

bool PolicyActions::start_runner(Time now) {
    if (now < start_again_at_) {
        retry_at_ = start_again_at_;
        return false;
    }
    std::list<Runner> started(1); // memory is taken before there is a process that nobody would let go of
    started.front().since = now;
    try {
        if (started.front().start(worker_.database(), InvalidOid, action_process_type, "dbnet_action_process_main")) {
            runners_.splice(runners_.end(), started);
            return true;
        }
        put_off_start(now, "no free background worker for actions of policies: max_worker_processes is reached",
                      "Raise max_worker_processes.");
    } catch (const pg::pg_error &caught) { // no shared memory
        put_off_start(now, "a process for actions of policies cannot begin: " + caught.message(), {});
    }
    return false;
}

void PolicyActions::note_begun() {
    if (problem_.empty())
        return;
    problem_.clear();
    worker_.note_error({});
}

void PolicyActions::put_off_start(Time now, const std::string &problem, const std::string &hint) {
    retry_at_ = start_again_at_ = now + look_again;
    const bool does_any = std::any_of(runners_.begin(), runners_.end(), [](const Runner &runner) {
        return pg_atomic_read_u32(&runner.segment->is_ready) != 0;
    });
    if (does_any || problem_ == problem) // those that are there do it all
        return;
    worker_.note_error(problem);
    pg::log("DBNet: " + problem, hint);
    problem_ = problem;
}

void PolicyActions::end_idle(Time now) {
    for (auto runner = runners_.begin(); runner != runners_.end() && runners_.size() > 1;) {
        const bool is_over =
            runner->event == 0 && (now - runner->since >= idle_limit ||
                                   runners_.size() > static_cast<size_t>(settings::policy_action_workers));
        if (is_over)
            runner->release(false);
        runner = is_over ? runners_.erase(runner) : std::next(runner);
    }
}

} // namespace dbnet::bgworker
