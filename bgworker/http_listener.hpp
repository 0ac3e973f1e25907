// Keeps an HTTP server as the settings want it: opens it, says why it cannot be opened and tries again, opens it anew
// when address or TLS change, and reads the certificate's files again when they do. Gateway and api workers.
#pragma once

#include "bgworker/worker_process.hpp"
#include "gateway/http/http_server.hpp"
#include "kubernetes/credentials/file_stamp.hpp"

#include <chrono>

namespace dbnet::bgworker {

class HttpListener {
public:
    // `setting` names the one whose value is `address`, for messages.
    HttpListener(WorkerProcess &process, gateway::HttpApplication &application, const char *setting,
                 char *const &address) noexcept
        : process_(process), application_(application), setting_(setting), address_(address) {}

    // Once per turn of the worker, outside transactions. Never waits. True: there is another server than before.
    bool turn();

    void close() noexcept { server_.reset(); }

    gateway::HttpServer *server() noexcept { return server_.get(); } // nullptr: not open
    // Others than processes of this machine reach it: nothing may be taken without a token.
    bool is_public() const noexcept { return is_public_; }

    // For WorkerProcess::wait().
    int descriptor() const noexcept { return server_ ? server_->descriptor() : -1; }
    long timeout_ms() const noexcept;

private:
    using Clock = std::chrono::steady_clock;

    // What the open server was made with.
    struct Configuration {
        std::string address;
        gateway::TlsFiles files;
        int body_limit = 0; // kB

        bool operator==(const Configuration &) const = default;
    };

    Configuration wanted() const;
    void open(const Configuration &wanted);
    void reload_files();
    void report(const std::string &message, const std::string &hint);
    void report_success();

    WorkerProcess &process_;
    gateway::HttpApplication &application_;
    const char *setting_;
    char *const &address_;
    std::unique_ptr<gateway::HttpServer> server_;
    Configuration configuration_; // of the last attempt
    kubernetes::FileStamps stamps_;
    std::string reported_; // last_error that is ours; empty: none
    Clock::time_point next_look_ = Clock::time_point::min();
    bool is_public_ = false;
};

} // namespace dbnet::bgworker
