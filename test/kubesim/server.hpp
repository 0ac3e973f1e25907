// The listening side: TLS, connections, service time, faults, the request log.
#pragma once

#include "certificates.hpp"
#include "connection.hpp"
#include "event_loop.hpp"
#include "faults.hpp"
#include "request_log.hpp"
#include "watch.hpp"

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

namespace kubesim {

class Server {
public:
    struct Options {
        double service_time_ms = 0;
        int future_wait_ms = 3000;
        int changes_at_a_time = 0; // more are answered 429 at once; 0: no limit
    };
    using Handler = std::function<Response(const Request &)>;
    // Tests' own calls under /_sim/, answered at once and outside faults, log and service time.
    using Control = std::function<Response(const Request &)>;

    Server(EventLoop &loop, WatchHub &watches, const Store &store, const Certificates &certificates, Options options);
    ~Server();
    Server(const Server &) = delete;
    Server &operator=(const Server &) = delete;

    int listen(const std::string &address, int port); // returns the port; throws std::runtime_error
    void serve(Handler handler, Control control);

    Faults faults;
    RequestLog log;
    void set_service_time(double ms) { options_.service_time_ms = ms; }
    double service_time() const { return options_.service_time_ms; }
    // While paused, requests are read and answered only after resume.
    void pause(bool on);
    // Connections that are open now, and those refused at once while refusing.
    size_t connections() const { return connections_.size(); }
    void drop_connections(bool reset);
    void refuse(bool on) { refuse_ = on; }

private:
    static Response too_many_requests();
    void accept_all();
    void on_request(const std::shared_ptr<Connection> &connection, Request &&request);
    void handle(const std::weak_ptr<Connection> &connection, const std::shared_ptr<Request> &request);
    void carry_out(const std::shared_ptr<Connection> &connection, const Request &request, const Fault *fault);
    void finish(const std::shared_ptr<Connection> &connection, const Request &request, const Response &response);

    EventLoop &loop_;
    WatchHub &watches_;
    const Store &store_;
    Options options_;
    SSL_CTX *tls_ = nullptr;
    int listener_ = -1;
    Handler handler_;
    Control control_;
    std::unordered_map<Connection *, std::shared_ptr<Connection>> connections_;
    bool paused_ = false;
    bool refuse_ = false;
    int changing_ = 0; // requests under way that change something
    std::vector<std::pair<std::weak_ptr<Connection>, std::shared_ptr<Request>>> waiting_;
};

} // namespace kubesim
