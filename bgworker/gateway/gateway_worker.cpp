// The gateway worker of a database: takes telemetry over HTTP at dbnet.gateway_listen. Main function and loop; it
// sleeps in one place. Requests that come while a transaction commits wait for the next one and share it.
#include "bgworker/gateway/gateway_ingest.hpp"
#include "bgworker/gateway/gateway_report.hpp"
#include "bgworker/http_listener.hpp"
#include "gateway/otlp/otlp_application.hpp"
#include "pg/spi.hpp"
#include "settings.hpp"

#include <malloc.h>
#include <poll.h>

#include <algorithm>
#include <chrono>

extern "C" {
#include "utils/guc.h"
}

namespace dbnet::bgworker {
namespace {

using gateway::Exchange;
using gateway::MetricsText;

// Of requests that are read before those that are there are served.
constexpr int rounds_at_once = 64;
constexpr size_t bytes_gathered = 16 * 1024 * 1024;

// Clients that were answered together send their next requests together, one a little after the other. For so long at
// most, from the answers, is waited for as many as then, that they share a transaction again.
using Clock = std::chrono::steady_clock;
constexpr Clock::duration longest_gathering = std::chrono::milliseconds(1);
constexpr int gathering_share = 4; // of what the last transaction took

bool is_readable(int descriptor, Clock::duration wait = Clock::duration::zero()) {
    pollfd waited{descriptor, POLLIN, 0};
    const timespec limit{0, static_cast<long>(std::chrono::nanoseconds(wait).count())}; // below a second
    return ppoll(&waited, 1, &limit, nullptr) > 0;
}

class GatewayWorker {
public:
    explicit GatewayWorker(WorkerProcess &process)
        : process_(process), application_([this](std::string_view authorization, bool is_telemetry) {
              return ingest_.admit(authorization, is_telemetry);
          }),
          listener_(process, application_, "dbnet.gateway_listen", settings::gateway_listen),
          ingest_(application_, process.slot()) {
        // What the bodies of one turn took serves the next: to give it back and have it mapped again is a tenth of the
        // CPU of large ones.
        mallopt(M_MMAP_THRESHOLD, 4 * 1024 * 1024);
        mallopt(M_TRIM_THRESHOLD, 64 * 1024 * 1024);
        // What is acknowledged must be on disk, whatever the configuration says.
        pg::call([] { SetConfigOption("synchronous_commit", "on", PGC_SUSET, PGC_S_SESSION); });
        report_.start();
    }

    [[noreturn]] void run() {
        while (true) {
            listener_.turn();
            follow_settings();
            serve();
            if (ingest_.must_leave())
                throw Leave{};
            process_.wait(listener_.descriptor(), listener_.timeout_ms());
        }
    }

private:
    bool is_token_required() const noexcept { return listener_.is_public() || settings::gateway_require_token; }

    void follow_settings() {
        application_.require_token(is_token_required());
        if (allowed_origins_ != settings::gateway_allowed_origins) {
            allowed_origins_ = settings::gateway_allowed_origins;
            application_.allow_origins(gateway::AllowedOrigins(allowed_origins_));
        }
    }

    void serve() {
        gateway::HttpServer *const server = listener_.server();
        if (server == nullptr)
            return;
        read(*server);
        if (!application_.has_work())
            return;
        while (application_.waiting_calls() < together_ && application_.waiting_bytes() < bytes_gathered) {
            const Clock::duration left = gather_until_ - Clock::now();
            if (left <= Clock::duration::zero() || !is_readable(server->descriptor(), left))
                break;
            read(*server);
        }
        const auto calls = application_.take_calls();
        const Clock::time_point start = Clock::now();
        ingest_.serve(calls);
        for (Exchange *exchange : application_.take_readiness())
            answer_readiness(*exchange);
        for (Exchange *exchange : application_.take_metrics())
            answer_metrics(*exchange);
        server->run(); // the answers
        const Clock::time_point now = Clock::now();
        together_ = calls.size();
        gather_until_ = now + std::min((now - start) / gathering_share, longest_gathering);
    }

    void read(gateway::HttpServer &server) {
        int round = 0;
        do
            server.run();
        while (++round < rounds_at_once && application_.waiting_bytes() < bytes_gathered &&
               (server.timeout_ms() == 0 || is_readable(server.descriptor())));
    }

    void answer_readiness(Exchange &exchange) {
        std::string problem = ingest_.problem();
        try {
            pg::in_transaction([] {});
        } catch (const pg::pg_error &error) {
            problem = error.what();
        }
        if (problem.empty())
            application_.answer(exchange, 200, "text/plain", "ready\n");
        else if (is_token_required())
            application_.answer(exchange, 503, "text/plain", "not ready\n"); // why is not everybody's business
        else
            application_.answer(exchange, 503, "text/plain", "not ready: " + problem + "\n");
    }

    void answer_metrics(Exchange &exchange) {
        try {
            MetricsText text;
            const gateway::HttpServer &server = *listener_.server();
            write_metrics(application_.counters, server.connections(), server.in_flight_bytes(), text);
            report_.write(text);
            application_.answer(exchange, 200, MetricsText::media_type, text.text());
        } catch (const pg::pg_error &error) {
            application_.answer(exchange, 503, "text/plain", error.message() + "\n");
        }
    }

    WorkerProcess &process_;
    gateway::OtlpApplication application_; // outlives the server that calls it
    HttpListener listener_;
    GatewayIngest ingest_;
    GatewayReport report_;
    std::string allowed_origins_; // as the application has them
    size_t together_ = 0;         // requests that were served last
    Clock::time_point gather_until_;
};

} // namespace
} // namespace dbnet::bgworker

DBNET_WORKER_MAIN(dbnet_gateway_worker_main) {
    using namespace dbnet::bgworker;
    run_worker_process(DatumGetObjectId(argument), dbnet::pg::WorkerKind::gateway,
                       [](WorkerProcess &process) { GatewayWorker(process).run(); });
}
