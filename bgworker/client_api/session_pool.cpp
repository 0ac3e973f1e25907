// Sessions of the client API (see session_pool.hpp). Api worker; outside transactions.
#include "bgworker/client_api/session_pool.hpp"

#include "settings.hpp"

#include <algorithm>
#include <csignal>

extern "C" {
#include "storage/procarray.h"
}

namespace dbnet::bgworker {
namespace {

constexpr size_t most_waiting = 256;
constexpr auto longest_wait = std::chrono::seconds(30);         // for a session
constexpr auto patience = std::chrono::seconds(10);             // with one that was cancelled
constexpr auto retry_interval = std::chrono::milliseconds(200); // when the server had no room for a process

SessionOutcome failure(SessionOutcome::Kind kind, std::string sqlstate, std::string message) {
    return {kind, {}, std::move(sqlstate), std::move(message)};
}

} // namespace

void SessionPool::Session::close() noexcept {
    if (mapped == nullptr)
        return;
    release(job != nullptr);
    is_over = true;
}

SessionPool::~SessionPool() {
    for (Session &session : sessions_)
        session.close();
}

void SessionPool::terminate() noexcept {
    for (const Session &session : sessions_)
        if (session.mapped != nullptr)
            session.signal(SIGTERM);
}

bool SessionPool::submit(std::shared_ptr<SessionJob> job) noexcept {
    if (waiting_.size() >= most_waiting)
        return false;
    try {
        waiting_.push_back({std::move(job), Clock::now()});
        return true;
    } catch (const std::bad_alloc &) {
        return false;
    }
}

bool SessionPool::cancel(const SessionJob &job) noexcept {
    waiting_.remove_if([&](const Waiting &one) { return one.job.get() == &job; });
    bool has_begun = false;
    for (Session &session : sessions_)
        if (session.job.get() == &job) {
            has_begun = true;
            session.is_cancelled = true;
            session.since = Clock::now();
            pg_atomic_write_u32(&session.segment->is_cancelled, 1);
            session.signal(SIGINT);
        }
    return !has_begun;
}

long SessionPool::turn() {
    const Clock::time_point now = Clock::now();
    for (Session &session : sessions_)
        progress(session);
    sessions_.remove_if([](const Session &session) { return session.is_over; });
    assign_waiting();

    Clock::time_point due = Clock::time_point::max();
    const auto idle_limit = std::chrono::seconds(settings::api_idle_timeout);
    for (Session &session : sessions_) {
        if (session.job && !session.is_cancelled)
            continue;
        const Clock::time_point end =
            session.since + (session.is_cancelled ? Clock::duration(patience) : Clock::duration(idle_limit));
        if (end <= now)
            session.close();
        else
            due = std::min(due, end);
    }
    sessions_.remove_if([](const Session &session) { return session.is_over; });
    if (!waiting_.empty())
        due = std::min(due, now + retry_interval);
    if (due == Clock::time_point::max())
        return -1;
    return static_cast<long>(std::max<int64_t>(std::chrono::ceil<std::chrono::milliseconds>(due - now).count(), 0));
}

void SessionPool::finish(Session &session, SessionOutcome &&outcome) {
    const std::shared_ptr<SessionJob> job = std::move(session.job);
    session.job.reset();
    if (job && !session.is_cancelled)
        job->done(std::move(outcome));
    session.is_cancelled = false;
    pg_atomic_write_u32(&session.segment->is_cancelled, 0);
    session.since = Clock::now();
}

void SessionPool::progress(Session &session) {
    shm_mq_result result = SHM_MQ_SUCCESS;
    if (session.job && !session.is_sent) {
        const std::string &request = session.job->request;
        result = pg::call([&] { return shm_mq_send(session.requests, request.size(), request.data(), true, true); });
        session.is_sent = result == SHM_MQ_SUCCESS;
    }
    if (result != SHM_MQ_DETACHED) {
        Size size = 0;
        void *data = nullptr;
        result = pg::call([&] { return shm_mq_receive(session.answers, &size, &data, true); });
        if (result == SHM_MQ_SUCCESS)
            finish(session,
                   {SessionOutcome::Kind::answered, std::string(static_cast<const char *>(data), size), {}, {}});
    }
    if (result != SHM_MQ_DETACHED)
        return;
    const bool has_begun = pg_atomic_read_u32(&session.segment->is_ready) != 0;
    if (session.job)
        finish(session, has_begun ? failure(SessionOutcome::Kind::lost, "57P01", "the session ended before it answered")
                                  : failure(SessionOutcome::Kind::refused,
                                            *session.segment->failure_state ? session.segment->failure_state : "08006",
                                            *session.segment->failure ? session.segment->failure
                                                                      : "the session could not begin"));
    session.close();
}

void SessionPool::give(Session &session, std::shared_ptr<SessionJob> job) {
    session.job = std::move(job);
    session.is_sent = false;
    progress(session);
}

// In the order in which they came; one that must wait does not hold up those of other roles.
void SessionPool::assign_waiting() {
    const Clock::time_point now = Clock::now();
    for (auto one = waiting_.begin(); one != waiting_.end();) {
        const std::shared_ptr<SessionJob> job = one->job;
        SessionOutcome outcome{};
        if (find_session_for(job, outcome)) {
            one = waiting_.erase(one);
        } else if (!outcome.message.empty() || now - one->since > longest_wait) {
            one = waiting_.erase(one);
            job->done(!outcome.message.empty() ? std::move(outcome)
                                               : failure(SessionOutcome::Kind::too_late, "53300",
                                                         "all sessions of the client API are busy"));
        } else {
            ++one;
        }
    }
}

// False with an empty `failure`: it has to wait.
bool SessionPool::find_session_for(const std::shared_ptr<SessionJob> &job, SessionOutcome &outcome) {
    int own = 0;
    for (Session &session : sessions_) {
        if (session.is_over || session.role != job->role)
            continue;
        // The role's settings have changed since it began, or it may have fewer sessions now.
        if (session.is_idle() &&
            (session.login != job->login || (job->connection_limit >= 0 && own >= job->connection_limit))) {
            session.close();
            continue;
        }
        ++own;
        if (session.is_idle()) {
            give(session, job);
            return true;
        }
    }
    if (job->connection_limit >= 0 &&
        own + pg::call([&] { return CountUserBackends(job->role); }) >= job->connection_limit) {
        if (own == 0)
            outcome = failure(SessionOutcome::Kind::no_room, "53300",
                              "too many connections for role \"" + job->role_name + "\"");
        return false;
    }
    if (std::count_if(sessions_.begin(), sessions_.end(), [](const Session &session) { return !session.is_over; }) >=
            settings::api_sessions &&
        !close_idle_of_others(job->role))
        return false;
    try {
        if (!start_session(*job)) {
            if (sessions_.empty())
                outcome = failure(SessionOutcome::Kind::no_room, "53000",
                                  "no free background worker for a session: max_worker_processes is reached");
            return false;
        }
    } catch (const pg::pg_error &caught) { // no shared memory: the sessions that are there go on
        outcome = failure(SessionOutcome::Kind::no_room, "53000", "a session cannot begin: " + caught.message());
        return false;
    }
    give(sessions_.back(), job);
    return true;
}

// The one that has been idle longest makes room.
bool SessionPool::close_idle_of_others(Oid role) {
    Session *oldest = nullptr;
    for (Session &session : sessions_)
        if (session.is_idle() && session.role != role && (oldest == nullptr || session.since < oldest->since))
            oldest = &session;
    if (oldest == nullptr)
        return false;
    oldest->close();
    return true;
}

bool SessionPool::start_session(const SessionJob &job) {
    std::list<Session> started(1); // what takes memory is done before there is a process that nobody would let go of
    Session &session = started.front();
    session.role = job.role;
    session.login = job.login;
    session.since = Clock::now();
    if (!session.start(database_, job.role, "dbnet api session", "dbnet_api_session_main"))
        return false;
    sessions_.splice(sessions_.end(), started);
    return true;
}

} // namespace dbnet::bgworker
