// The api worker of a database: serves the client API over HTTP on dbnet.api_listen. It looks tokens up, hands requests
// to sessions that are connected as the tokens' roles, and passes their answers on; no request's SQL runs in here.
#include "bgworker/client_api/session_pool.hpp"
#include "bgworker/http_listener.hpp"

#include "gateway/client_api/api_error.hpp"
#include "gateway/client_api/api_message.hpp"
#include "gateway/client_api/api_routes.hpp"
#include "gateway/token/known_tokens.hpp"
#include "pg/spi.hpp"
#include "provenance/hooks/traceparent.hpp"
#include "settings.hpp"

#include <strings.h>
#include <sys/epoll.h>
#include <unistd.h>

extern "C" {
#include "pgstat.h"
#include "storage/ipc.h"
}

namespace dbnet::bgworker {
namespace {

using gateway::ApiAction;
using gateway::ApiAnswer;
using gateway::ApiError;
using gateway::ApiRequest;
using gateway::ApiRoute;
using gateway::Exchange;
using gateway::Header;
using gateway::Token;

constexpr size_t small_body = 64 * 1024; // up to here a token is looked up once, when the body is there
constexpr const char *json_type = "application/json";

void respond_error(Exchange &exchange, int status, ApiError error, std::initializer_list<Header> more = {}) {
    const std::string body = gateway::error_body(error);
    const Header type{"Content-Type", json_type};
    switch (more.size()) {
    case 0:
        return exchange.respond(status, {type}, body);
    case 1:
        return exchange.respond(status, {type, *more.begin()}, body);
    default:
        return exchange.respond(status, {type, *more.begin(), *(more.begin() + 1)}, body);
    }
}

ApiError message(std::string text, std::string hint = {}, std::string sqlstate = {}) {
    ApiError error;
    error.message = std::move(text);
    error.hint = std::move(hint);
    error.sqlstate = std::move(sqlstate);
    return error;
}

class ApiWorker final : public gateway::HttpApplication {
public:
    explicit ApiWorker(WorkerProcess &process)
        : process_(process), known_tokens_(process.slot()), pool_(process.database()),
          watch_(epoll_create1(EPOLL_CLOEXEC)), listener_(process, *this, "dbnet.api_listen", settings::api_listen) {
        if (watch_ < 0)
            throw pg::error(ERRCODE_SYSTEM_ERROR, "epoll_create1 failed");
    }
    ~ApiWorker() override {
        listener_.close();
        close(watch_);
    }

    [[noreturn]] void run() {
        while (true) {
            if (listener_.turn())
                watch_server();
            if (listener_.server() != nullptr) {
                listener_.server()->run();
                watch_hang_ups();
            }
            const long pool = pool_.turn();
            if (is_leaving_)
                throw Leave{};
            const long listener = listener_.timeout_ms();
            process_.wait(watch_, listener < 0 || pool < 0 ? std::max(listener, pool) : std::min(listener, pool));
        }
    }

    void on_headers(Exchange &exchange) override {
        guarded(exchange, [&] { look_at(exchange); });
    }
    void on_request(Exchange &exchange) override {
        guarded(exchange, [&] { take(exchange); });
    }
    void on_refused(Exchange &exchange, int status, std::string_view reason) override {
        std::string text(reason);
        while (!text.empty() && text.back() == '\n')
            text.pop_back();
        if (status == 429)
            respond_error(exchange, status, message(text), {{"Retry-After", "1"}});
        else
            respond_error(exchange, status, message(text));
    }

    void on_stop() noexcept override {
        while (!pending_.empty())
            cancel(pending_.begin());
    }

    SessionPool &pool() noexcept { return pool_; }

private:
    // A request that a session has, or will have.
    struct Pending {
        Exchange *exchange;
        std::shared_ptr<SessionJob> job;
    };

    // Runs inside the HTTP library, which no exception may pass.
    template<class F> void guarded(Exchange &exchange, F f) noexcept {
        or_unavailable(exchange, [&] {
            try {
                f();
            } catch (const Leave &) {
                is_leaving_ = true;
                respond_error(exchange, 503, message("the database is busy with the extension"),
                              {{"Retry-After", "1"}});
            } catch (const pg::pg_error &caught) {
                respond_error(exchange, 503, message(caught.message(), {}, "58000"), {{"Retry-After", "1"}});
            } catch (const std::exception &caught) {
                respond_error(exchange, 500, message(caught.what()));
            }
        });
    }

    // What there is no memory to say is answered without a word.
    template<class F> static void or_unavailable(Exchange &exchange, F f) noexcept {
        try {
            f();
        } catch (const std::bad_alloc &) {
            exchange.respond(503, {}, {});
        }
    }

    const ApiRoute *route_of(Exchange &exchange, size_t &place) {
        std::string allowed;
        const int found = gateway::find_route(exchange.method(), exchange.path(), allowed);
        if (found == -1)
            respond_error(exchange, 404,
                          message("there is nothing at " + std::string(exchange.path()),
                                  "GET /api/v1/openapi.json lists what there is."));
        else if (found == -2)
            respond_error(
                exchange, 405,
                message(std::string(exchange.method()) + " is not supported here", "Supported: " + allowed + "."),
                {{"Allow", allowed}});
        if (found < 0)
            return nullptr;
        place = static_cast<size_t>(found);
        return &gateway::api_routes()[place];
    }

    // False: it is answered.
    bool authorize(Exchange &exchange, Token &token) {
        const auto header = exchange.header("Authorization");
        const auto bearer = header ? gateway::bearer_token(*header) : std::nullopt;
        if (!bearer) {
            respond_error(
                exchange, 401,
                message("a token is needed", "Send the header Authorization: Bearer <token>, of dbnet.create_token()."),
                {{"WWW-Authenticate", "Bearer realm=\"dbnet\""}});
            return false;
        }
        if (known_tokens_.may_know(*bearer))
            pg::in_transaction([&] {
                token = gateway::check_token(*bearer, "api");
                if (token.status == 200)
                    gateway::note_use(token, exchange.client());
            });
        else
            token.message = gateway::unknown_token;
        if (token.status == 401)
            respond_error(exchange, 401, message(token.message),
                          {{"WWW-Authenticate", "Bearer realm=\"dbnet\", error=\"invalid_token\""}});
        else if (token.status != 200)
            respond_error(exchange, 403, message(token.message));
        return token.status == 200;
    }

    void look_at(Exchange &exchange) {
        size_t place = 0;
        const ApiRoute *route = route_of(exchange, place);
        if (route == nullptr)
            return;
        if (route->action == ApiAction::document)
            return exchange.respond(200, {{"Content-Type", json_type}}, gateway::openapi_document(DBNET_VERSION));
        if (*route->body != '\0' && !gateway::is_json_type(exchange.header("Content-Type").value_or("")))
            return respond_error(exchange, 415,
                                 message("the body must be JSON", "Send the header Content-Type: application/json."));
        if (const auto encoding = exchange.header("Content-Encoding");
            encoding && strcasecmp(std::string(*encoding).c_str(), "identity") != 0)
            return respond_error(exchange, 415, message("Content-Encoding is not supported"));
        const std::string length(exchange.header("Content-Length").value_or(*route->body == '\0' ? "0" : ""));
        if (length.empty() || strtoull(length.c_str(), nullptr, 10) > small_body) { // nobody unknown sends us much
            Token token;
            authorize(exchange, token);
        }
    }

    void take(Exchange &exchange) {
        size_t place = 0;
        const ApiRoute *route = route_of(exchange, place);
        Token token;
        if (route == nullptr || !authorize(exchange, token))
            return;
        ApiRequest request;
        request.route = static_cast<uint32_t>(place);
        request.wants_csv = gateway::prefers_csv(exchange.header("Accept").value_or(""));
        request.client = exchange.client();
        request.token = token.name;
        if (const std::string parent(exchange.header("traceparent").value_or("")); provenance::is_traceparent(parent))
            request.traceparent = parent;
        request.schema = exchange.parameter("schema").value_or("");
        request.body = std::move(exchange.body());

        auto job = std::make_shared<SessionJob>();
        job->role = token.role;
        job->role_name = token.role_name;
        job->connection_limit = token.connection_limit;
        job->login = token.login;
        job->request = request.to_bytes();
        const auto pending = pending_.insert(pending_.end(), {&exchange, job});
        job->done = [this, pending](SessionOutcome &&outcome) { answer(pending, std::move(outcome)); };
        epoll_event event{};
        event.events = EPOLLRDHUP | EPOLLONESHOT;
        event.data.ptr = &*pending;
        epoll_ctl(watch_, EPOLL_CTL_ADD, exchange.socket(), &event);
        bool is_submitted = false;
        try {
            is_submitted = pool_.submit(job);
        } catch (...) { // who throws does not keep the exchange
            forget(pending);
            throw;
        }
        if (!is_submitted)
            answer(pending, {SessionOutcome::Kind::no_room, {}, "53300", "too many requests wait for a session"}, 429);
    }

    // Called by the pool, too, so nothing may be thrown.
    void answer(std::list<Pending>::iterator pending, SessionOutcome &&outcome, int status = 0) noexcept {
        Exchange &exchange = *pending->exchange;
        forget(pending);
        or_unavailable(exchange, [&] { respond(exchange, std::move(outcome), status); });
    }

    void respond(Exchange &exchange, SessionOutcome &&outcome, int status) {
        if (outcome.kind == SessionOutcome::Kind::answered) {
            if (const auto answer = ApiAnswer::from_bytes(outcome.answer)) {
                const Header type{"Content-Type", answer->is_csv ? "text/csv; charset=utf-8" : json_type};
                if (answer->try_again)
                    return exchange.respond(static_cast<int>(answer->status), {type, {"Retry-After", "1"}},
                                            answer->body);
                if (answer->is_cut_csv)
                    return exchange.respond(static_cast<int>(answer->status),
                                            {type, {gateway::truncated_header, "true"}}, answer->body);
                return exchange.respond(static_cast<int>(answer->status), {type}, answer->body);
            }
            outcome = {SessionOutcome::Kind::lost, {}, "XX000", "the session's answer cannot be read"};
        }
        if (status == 0)
            status = outcome.kind == SessionOutcome::Kind::lost      ? 500
                     : outcome.kind == SessionOutcome::Kind::refused ? gateway::http_status(outcome.sqlstate)
                                                                     : 503;
        const char *hint =
            outcome.kind == SessionOutcome::Kind::lost ? "Whether the request was carried out is not known." : "";
        if (status == 503 || status == 429)
            respond_error(exchange, status, message(outcome.message, hint, outcome.sqlstate), {{"Retry-After", "1"}});
        else
            respond_error(exchange, status, message(outcome.message, hint, outcome.sqlstate));
    }

    void forget(std::list<Pending>::iterator pending) noexcept {
        epoll_ctl(watch_, EPOLL_CTL_DEL, pending->exchange->socket(), nullptr);
        pending->job->done = nullptr; // holds the iterator
        pending_.erase(pending);
    }

    void cancel(std::list<Pending>::iterator pending) noexcept {
        const SessionOutcome::Kind kind =
            pool_.cancel(*pending->job) ? SessionOutcome::Kind::no_room : SessionOutcome::Kind::lost;
        answer(pending, {kind, {}, "57P01", "the request was cancelled"});
    }

    // The descriptor of a server that has ended is gone from `watch_` by itself.
    void watch_server() noexcept {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = nullptr;
        epoll_ctl(watch_, EPOLL_CTL_ADD, listener_.descriptor(), &event);
    }

    // A client that is gone waits for nothing.
    void watch_hang_ups() {
        epoll_event events[64];
        const int count = epoll_wait(watch_, events, static_cast<int>(std::size(events)), 0);
        for (int index = 0; index < count; ++index)
            for (auto pending = pending_.begin(); pending != pending_.end(); ++pending)
                if (&*pending == events[index].data.ptr) {
                    cancel(pending);
                    break;
                }
    }

    WorkerProcess &process_;
    gateway::KnownTokens known_tokens_;
    SessionPool pool_;
    int watch_; // the server's descriptor, and the sockets of those who wait
    bool is_leaving_ = false;
    std::list<Pending> pending_;
    HttpListener listener_; // last: its server's end calls on_stop()
};

SessionPool *running_pool = nullptr;

// SIGTERM ends the process without destructors: sessions that are busy must not outlive it, DROP DATABASE waits for
// them.
void end_sessions(int, Datum) noexcept {
    if (running_pool != nullptr)
        running_pool->terminate();
}

void serve(WorkerProcess &process) {
    static bool is_registered = false;
    if (!is_registered)
        pg::call([] { before_shmem_exit(end_sessions, Datum{0}); });
    is_registered = true;
    ApiWorker worker(process);
    struct Running {
        explicit Running(SessionPool &pool) noexcept { running_pool = &pool; }
        ~Running() { running_pool = nullptr; }
    } running(worker.pool());
    worker.run();
}

} // namespace
} // namespace dbnet::bgworker

DBNET_WORKER_MAIN(dbnet_api_worker_main) {
    dbnet::bgworker::run_worker_process(DatumGetObjectId(argument), dbnet::pg::WorkerKind::api, dbnet::bgworker::serve);
}
