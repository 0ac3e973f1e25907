// The server's start, turns and end; see the header. What the library calls back is in http_callbacks.cpp.
#include "gateway/http/http_server.hpp"

#include "gateway/http/http_callbacks.hpp"
#include "gateway/http/http_error.hpp"
#include "gateway/http/listen_socket.hpp"

#include <microhttpd.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace dbnet::gateway {
namespace {

// Memory of one connection: its headers twice (as sent, and what points into them), then pieces of the body. Taken when
// a connection is made, touched as needed.
constexpr size_t connection_memory_factor = 4;
constexpr unsigned descriptors_for_others = 256; // files of tables, among others
constexpr const char *tls_versions = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";

// Lets the process have as many descriptors as the system allows, and says how many connections fit.
unsigned fitting_connections(unsigned wanted) {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return wanted;
    const rlim_t needed = wanted + descriptors_for_others;
    if (limit.rlim_cur < needed) {
        limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? needed : std::min(needed, limit.rlim_max);
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= needed)
        return wanted;
    return limit.rlim_cur > 2 * descriptors_for_others ? static_cast<unsigned>(limit.rlim_cur) - descriptors_for_others
                                                       : descriptors_for_others;
}

} // namespace

HttpServer::HttpServer(const ListenAddress &address, HttpApplication &application, const HttpLimits &limits,
                       std::shared_ptr<const TlsCredentials> tls)
    : application_(application), limits_(limits), tls_(std::move(tls)) {
    ListenSocket socket(address);
    port_ = socket.port();
    limits_.connections = fitting_connections(limits.connections);
    connections_.reserve(limits_.connections);

    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;
    std::vector<MHD_OptionItem> options{
        {MHD_OPTION_LISTEN_SOCKET, socket.release(), nullptr},
        {MHD_OPTION_CONNECTION_LIMIT, limits_.connections, nullptr},
        {MHD_OPTION_PER_IP_CONNECTION_LIMIT, limits_.connections_per_address, nullptr},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT,
         static_cast<intptr_t>(std::max<size_t>(limits_.header_bytes * connection_memory_factor, 32 * 1024)), nullptr},
        {MHD_OPTION_CONNECTION_MEMORY_INCREMENT, 16 * 1024, nullptr},
        // Deadlines are kept here: the library has one for silence alone.
        {MHD_OPTION_CONNECTION_TIMEOUT, 0, nullptr},
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, nullptr},
    };
    HttpCallbacks::add(*this, options);
    if (tls_) {
        flags |= MHD_USE_TLS;
        options.push_back({MHD_OPTION_HTTPS_MEM_CERT, 0, const_cast<char *>(tls_->certificate().c_str())});
        options.push_back({MHD_OPTION_HTTPS_MEM_KEY, 0, const_cast<char *>(tls_->key().c_str())});
        options.push_back({MHD_OPTION_HTTPS_PRIORITIES, 0, const_cast<char *>(tls_versions)});
    }
    options.push_back({MHD_OPTION_END, 0, nullptr});
    daemon_ = MHD_start_daemon(flags, 0, nullptr, nullptr, HttpCallbacks::on_access, this, MHD_OPTION_ARRAY,
                               options.data(), MHD_OPTION_END);
    const MHD_DaemonInfo *info = daemon_ ? MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_EPOLL_FD) : nullptr;
    if (info == nullptr) {
        const int error = errno;
        if (daemon_)
            MHD_stop_daemon(daemon_);
        throw HttpError(std::string("cannot start the HTTP server: ") + std::strerror(error));
    }
    descriptor_ = info->epoll_fd;
}

HttpServer::~HttpServer() {
    stop_listening();
    is_stopping_ = true;
    application_.on_stop();
    while (waiting_)
        HttpCallbacks::refuse_while_stopping(*waiting_);
    run(); // sends them
    run();
    MHD_stop_daemon(daemon_);
}

void HttpServer::stop_listening() noexcept {
    const int socket = MHD_quiesce_daemon(daemon_);
    if (socket != MHD_INVALID_SOCKET)
        ::close(socket);
}

long HttpServer::timeout_ms() const noexcept {
    MHD_UNSIGNED_LONG_LONG library = 0;
    if (has_answers_ || (MHD_get_timeout(daemon_, &library) == MHD_YES && library == 0))
        return 0;
    if (next_deadline_ == Clock::time_point::max())
        return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next_deadline_ - Clock::now()).count();
    return static_cast<long>(std::max<int64_t>(left, 0));
}

void HttpServer::run() noexcept {
    if (Clock::now() >= next_deadline_)
        close_late_connections();
    has_answers_ = false;
    MHD_run(daemon_);
}

void HttpServer::expect_within(Connection &connection, std::chrono::milliseconds limit) noexcept {
    connection.deadline = Clock::now() + limit;
    next_deadline_ = std::min(next_deadline_, connection.deadline);
}

// The library cannot be told to close a connection; it does when it sees that there is nothing more to read.
void HttpServer::close_late_connections() noexcept {
    const Clock::time_point now = Clock::now();
    next_deadline_ = Clock::time_point::max();
    for (const std::unique_ptr<Connection> &connection : connections_)
        if (connection->deadline <= now) {
            shutdown(connection->descriptor, SHUT_RDWR);
            connection->deadline = Clock::time_point::max();
        } else {
            next_deadline_ = std::min(next_deadline_, connection->deadline);
        }
}

void HttpApplication::on_refused(Exchange &exchange, int status, std::string_view reason) {
    exchange.respond(status, {{"Content-Type", "text/plain"}}, reason);
}

} // namespace dbnet::gateway

#include "pg/no_postgres.hpp"
