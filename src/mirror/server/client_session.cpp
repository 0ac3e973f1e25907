// Asking an API server from a user's backend (see client_session.hpp).
#include "mirror/server/client_session.hpp"

#include "mirror/functions/as_extension.hpp"
#include "mirror/server/server_connection.hpp"

extern "C" {
#include "storage/latch.h"
#include "utils/wait_event.h"
}

namespace dbnet::mirror {

using kubernetes::Outcome;

ClientSession::ClientSession(std::string server, kubernetes::Connection connection)
    : server_(std::move(server)), connection_(std::move(connection)) {}

void ClientSession::wait() {
    pg::call([this] {
        WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_SOCKET_READABLE | WL_EXIT_ON_PM_DEATH, transport_.descriptor(), -1,
                          PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
    });
}

std::vector<kubernetes::Response> ClientSession::ask_all(std::vector<kubernetes::Request> requests) {
    // The handlers refer to this frame, so none may outlive it when the wait is interrupted.
    struct Pending {
        kubernetes::Transport &transport;
        std::vector<kubernetes::Transport::Id> ids;
        ~Pending() {
            for (const kubernetes::Transport::Id id : ids)
                transport.cancel(id);
        }
    };
    std::vector<kubernetes::Response> responses(requests.size());
    size_t missing = requests.size();
    Pending pending{transport_, {}};
    pending.ids.reserve(requests.size());
    for (size_t i = 0; i < requests.size(); i++)
        pending.ids.push_back(
            transport_.send(connection_, std::move(requests[i]), [&, i](kubernetes::Response &&response) {
                responses[i] = std::move(response);
                missing--;
            }));
    for (transport_.run(); missing > 0; transport_.run())
        wait();
    return responses;
}

kubernetes::Response ClientSession::ask(kubernetes::Request request) {
    std::vector<kubernetes::Request> requests;
    requests.push_back(std::move(request));
    return std::move(ask_all(std::move(requests)).front());
}

std::string ClientSession::body_of(kubernetes::Request request) {
    const std::string path = request.path;
    kubernetes::Response response = ask(std::move(request));
    const Outcome outcome = kubernetes::classify(response);
    if (!outcome)
        refuse(outcome, path);
    return std::move(response.body);
}

void ClientSession::refuse(const Outcome &outcome, std::string_view path) const {
    int sqlstate = ERRCODE_CONNECTION_FAILURE;
    if (outcome.kind == Outcome::denied || outcome.kind == Outcome::unauthorized)
        sqlstate = ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION;
    else if (outcome.status == 404)
        sqlstate = ERRCODE_UNDEFINED_OBJECT;
    std::string detail = "The request was " + std::string(path);
    if (outcome.status != 0)
        detail += "; the answer had status " + std::to_string(outcome.status);
    throw pg::error(sqlstate, "server \"" + server_ + "\": " + outcome.message)
        .detail(detail + ".")
        .hint(hint_for(outcome));
}

ClientSession open_session(std::string_view server, Oid role) {
    // libcurl is initialised where it is used, never in the postmaster.
    kubernetes::initialize_transport();
    kubernetes::Connection connection =
        pg::in_spi([&] { return as_extension([&] { return resolve_connection(server, role); }); });
    if (connection.insecure_skip_tls_verify)
        pg::warning(ERRCODE_WARNING,
                    "server \"" + std::string(server) + "\": the API server's certificate is not verified",
                    "Anybody on the way can pretend to be it and take the credentials: give its certificate authority "
                    "in place of insecure_skip_tls_verify.");
    return ClientSession(std::string(server), std::move(connection));
}

std::string hint_for(const Outcome &outcome) {
    switch (outcome.kind) {
    case Outcome::unauthorized:
        return "The server does not accept the credentials: give others with ALTER USER MAPPING.";
    case Outcome::denied:
        return "Grant the right to the user of these credentials in the cluster (RBAC); dbnet.check_server() lists "
               "what is "
               "missing.";
    case Outcome::unavailable:
        return outcome.status == 0
                   ? "Check the server's options (address, certificate authority, proxy) and the network; "
                     "dbnet.check_server() tries again."
                   : "";
    case Outcome::retry:
        return "The server is overloaded or starting: try again.";
    case Outcome::kind_missing:
        return "SELECT * FROM dbnet.kinds(...) lists what the server serves.";
    default:
        return {};
    }
}

} // namespace dbnet::mirror
