// The connections to the server behind the proxy: libcurl's multi interface on the event loop.
#pragma once

#include "answer.hpp"
#include "event_loop.hpp"

#include <curl/curl.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace kubesim {

// Where the server is and how the proxy's own clients are known there.
struct UpstreamServer {
    std::string url;
    std::string authority;   // PEM
    std::string certificate; // PEM, with its key; or the token
    std::string key;
    std::string token;
};

class Upstream {
public:
    Upstream(EventLoop &loop, UpstreamServer server);
    ~Upstream();
    Upstream(const Upstream &) = delete;
    Upstream &operator=(const Upstream &) = delete;

    // Sends the request and answers with what comes, as it comes. `as_ourselves`: with the credentials of the server's
    // description, else only with what the request carries.
    void send(std::shared_ptr<const Request> request, const std::shared_ptr<Answer> &answer, bool as_ourselves);

private:
    struct Transfer;
    // Bytes that may wait for a slow client before the server has to wait, too.
    static constexpr size_t pending_limit = 1024 * 1024;

    static size_t on_head(char *data, size_t size, size_t count, void *transfer);
    static size_t on_body(char *data, size_t size, size_t count, void *transfer);
    static int on_socket(CURL *handle, curl_socket_t socket, int what, void *self, void *known);
    static int on_timer(CURLM *multi, long timeout_ms, void *self);
    void act(curl_socket_t socket, int events);
    void finish_done();
    void forget(CURL *handle);

    EventLoop &loop_;
    const UpstreamServer server_;
    CURLM *multi_;
    std::vector<CURL *> idle_;
    std::unordered_map<CURL *, std::shared_ptr<Transfer>> transfers_;
    uint64_t timer_ = 0; // the newest; older ones are void
};

} // namespace kubesim
