// Asking an API server from a user's backend: waits for answers on the backend's latch, so that a cancel, a termination
// and statement_timeout end the wait at once; everything is closed when the session goes, errors included. Only asks:
// nothing that changes a device is ever sent from a user's transaction. Runs in backends.
#pragma once

#include "kubernetes/connection.hpp"
#include "kubernetes/error.hpp"
#include "kubernetes/request.hpp"
#include "kubernetes/transport/transport.hpp"
#include "pg/guard.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace dbnet::mirror {

class ClientSession {
public:
    // Connects with the first request. `server`: the foreign server's name, for messages.
    ClientSession(std::string server, kubernetes::Connection connection);

    const kubernetes::Connection &connection() const noexcept { return connection_; }

    // Waits for the answer, whatever it is. Throws pg_error when the wait is interrupted.
    kubernetes::Response ask(kubernetes::Request request);
    // The same for many requests at once; answers in the order of the requests.
    std::vector<kubernetes::Response> ask_all(std::vector<kubernetes::Request> requests);

    // The body of a good answer; anything else throws pg::error with the server's own words and a hint.
    std::string body_of(kubernetes::Request request);
    [[noreturn]] void refuse(const kubernetes::Outcome &outcome, std::string_view path) const;

private:
    void wait();

    std::string server_;
    kubernetes::Connection connection_;
    kubernetes::Transport transport_;
};

// Opens a session as `role`: resolves server, USAGE and credentials. Not inside in_spi().
ClientSession open_session(std::string_view server, Oid role);

// What the user can do about an answer; empty when its message says it.
std::string hint_for(const kubernetes::Outcome &outcome);

} // namespace dbnet::mirror
