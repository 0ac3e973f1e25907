// The listening side: TLS, connections, service time, faults, the request log.
#pragma once

#include "answer.hpp"
#include "backend.hpp"
#include "certificates.hpp"
#include "connection.hpp"
#include "event_loop.hpp"
#include "faults.hpp"
#include "request_log.hpp"

#include <functional>
#include <memory>
#include <regex>
#include <string>
#include <unordered_map>
#include <vector>

namespace kubesim {

class Control;

class Server {
public:
    struct Options {
        double service_time_ms = 0;
        int changes_at_a_time = 0; // more are answered 429 at once; 0: no limit
    };
    Server(EventLoop &loop, const Certificates &certificates, Options options);
    ~Server();
    Server(const Server &) = delete;
    Server &operator=(const Server &) = delete;

    int listen(const std::string &address, int port); // returns the port; throws std::runtime_error
    // Requests under /_sim/ are tests' own calls, answered at once and outside faults, log and service time.
    void serve(Backend &backend, Control &control);

    Faults faults;
    RequestLog log;
    void set_service_time(double ms) { options_.service_time_ms = ms; }
    double service_time() const { return options_.service_time_ms; }
    // While paused, requests are read and answered only after resume.
    void pause(bool on);
    // Connections that are open now, and those refused at once while refusing.
    size_t connections() const { return clients_.size(); }
    void drop_connections(bool reset);
    void refuse(bool on) { refuse_ = on; }
    // The watches that are open now and whose path (with its query) matches.
    std::vector<std::shared_ptr<Answer>> watches(const std::regex &path) const;
    // Events of all watches, those to come too, are kept back; released all at once.
    void hold_watches(bool on);

private:
    struct Client {
        std::shared_ptr<Connection> connection;
        std::shared_ptr<Answer> answer; // of its last request
    };

    static Response too_many_requests();
    void accept_all();
    void on_request(const std::shared_ptr<Connection> &connection, Request &&request);
    void handle(const std::weak_ptr<Answer> &answer, const std::shared_ptr<const Request> &request);

    EventLoop &loop_;
    Options options_;
    SSL_CTX *tls_ = nullptr;
    int listener_ = -1;
    Backend *backend_ = nullptr;
    Control *control_ = nullptr;
    std::unordered_map<Connection *, Client> clients_;
    bool holding_ = false;
    bool paused_ = false;
    bool refuse_ = false;
    int changing_ = 0; // requests under way that change something
    std::vector<std::pair<std::weak_ptr<Answer>, std::shared_ptr<const Request>>> waiting_;
};

} // namespace kubesim
