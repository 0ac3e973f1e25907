// What tests of the transport share: a scripted server is asked, and waited for on the transport's descriptor alone, so
// that a forgotten wake-up makes a test fail.
#pragma once

#include "kubernetes/transport/transport.hpp"
#include "test/unit/kubernetes_server.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include <string>
#include <utility>

namespace dbnet::test {

using namespace dbnet::kubernetes;
using Security = Server::Security;

inline constexpr int patience_ms = 20'000; // of a wait that should end at once

class TransportTest : public testing::Test {
protected:
    static void SetUpTestSuite() { initialize_transport(); }

    // Waits for the descriptor and runs until done() or nothing happens any more.
    template<class Done> void pump(Transport &transport, Done done) {
        while (!done()) {
            pollfd descriptor{transport.descriptor(), POLLIN, 0};
            ASSERT_EQ(poll(&descriptor, 1, patience_ms), 1) << "the descriptor did not become readable";
            transport.run();
        }
    }

    Response exchange(Transport &transport, const Connection &connection, Request request) {
        Response answer;
        bool answered = false;
        transport.send(connection, std::move(request), [&](Response &&response) {
            answer = std::move(response);
            answered = true;
        });
        pump(transport, [&] { return answered; });
        return answer;
    }
};

inline Connection to(const Server &server) {
    Connection connection;
    connection.api_url = server.url();
    connection.ca_pem = server.certificates().ca;
    return connection;
}

inline Request get(std::string path = "/x") {
    Request request;
    request.path = std::move(path);
    return request;
}

inline Request post(std::string body) {
    Request request;
    request.method = "POST";
    request.path = "/x";
    request.content_type = "application/json";
    request.body = std::move(body);
    return request;
}

inline void answer_ok(Exchange &exchange) {
    exchange.answer(200, "{}");
}

} // namespace dbnet::test
