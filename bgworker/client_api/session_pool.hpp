// The sessions of the client API as the api worker sees them: which are there, which wait for a request, who waits for
// one. Never blocks: what a session is told and answers passes through its queues as they have room. Api worker.
#pragma once

#include "bgworker/queued_process.hpp"

#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <string>

namespace dbnet::bgworker {

// Why a request was not run, or what it left.
struct SessionOutcome {
    enum class Kind {
        answered,
        refused,  // the session could not begin: sqlstate and message of the server
        lost,     // the session ended before it answered: what the request did is not known
        no_room,  // the role's connection limit, or max_worker_processes
        too_late, // it has waited too long
    } kind;
    std::string answer; // bytes of an ApiAnswer
    std::string sqlstate, message;
};

// One request on its way; the pool forgets it when `done` was called or it was cancelled.
struct SessionJob {
    Oid role = InvalidOid;
    std::string role_name;
    int connection_limit = -1;
    std::string login; // gateway::Token::login: a session that began under another one is not used
    std::string request;
    std::function<void(SessionOutcome &&)> done; // must not throw
};

class SessionPool {
public:
    using Clock = std::chrono::steady_clock;

    explicit SessionPool(Oid database) noexcept : database_(database) {}
    ~SessionPool();
    SessionPool(const SessionPool &) = delete;
    SessionPool &operator=(const SessionPool &) = delete;

    // False: too many wait already, or there is no memory.
    bool submit(std::shared_ptr<SessionJob> job) noexcept;
    // Nobody waits for it any more: it is not begun (true), or cancelled where it runs, too late perhaps (false).
    // `done` is not called.
    bool cancel(const SessionJob &job) noexcept;

    // Goes on with everything that can go on. How long there is nothing to do unless the latch is set; ms, -1: for
    // ever.
    long turn();

    // Tells every session to end; for a process that ends.
    void terminate() noexcept;

    size_t sessions() const noexcept { return sessions_.size(); }
    size_t waiting() const noexcept { return waiting_.size(); }

private:
    struct Session : QueuedProcess {
        Oid role;
        std::string login;

        std::shared_ptr<SessionJob> job;
        bool is_sent = false;      // all of the request is in the queue
        bool is_cancelled = false; // nobody waits for the answer of `job`
        bool is_over = false;
        Clock::time_point since; // idle, or cancelled

        bool is_idle() const noexcept { return !job && !is_over; }
        void close() noexcept; // it ends when it sees that; one that is busy is told
    };
    struct Waiting {
        std::shared_ptr<SessionJob> job;
        Clock::time_point since;
    };

    void progress(Session &session);
    void finish(Session &session, SessionOutcome &&outcome);
    void assign_waiting();
    bool find_session_for(const std::shared_ptr<SessionJob> &job, SessionOutcome &failure);
    bool start_session(const SessionJob &job);
    bool close_idle_of_others(Oid role);
    void give(Session &session, std::shared_ptr<SessionJob> job);

    Oid database_;
    std::list<Session> sessions_;
    std::list<Waiting> waiting_;
};

} // namespace dbnet::bgworker
