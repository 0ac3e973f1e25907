// Private to the transport: one reusable curl easy handle with what it sends and receives, and the per-server settings
// and credentials it is prepared with. Runs in the mirror worker and in backends.
#pragma once

#include "kubernetes/credentials/exec_credentials.hpp"
#include "kubernetes/credentials/file_stamp.hpp"
#include "kubernetes/transport/transport.hpp"
#include "kubernetes/watch.hpp"

#include <curl/curl.h>

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace dbnet::kubernetes {

using Clock = std::chrono::steady_clock;

struct EasyCleanup {
    void operator()(CURL *handle) const noexcept { curl_easy_cleanup(handle); }
};
using EasyHandle = std::unique_ptr<CURL, EasyCleanup>;

struct HeaderListCleanup {
    void operator()(curl_slist *list) const noexcept { curl_slist_free_all(list); }
};
using HeaderList = std::shared_ptr<curl_slist>; // shared: a request in flight keeps the list it started with

class Endpoint;

struct Handlers {
    Transport::LineHandler on_line;         // set: a stream
    Transport::PartHandler on_part;         // set: a fetch
    Transport::ResponseHandler on_response; // also a stream's on_end
};

// One request, fetch or stream from send() to its handler. Owned by the engine.
struct Transfer {
    uint64_t id = 0;
    Endpoint *endpoint = nullptr;
    Request request;
    Response response;
    EasyHandle handle; // while it is running
    HeaderList headers;
    std::string url;
    Handlers handlers;
    LineSplitter lines{0};
    std::string part; // of a fetch: what has arrived and was not handed over
    Clock::time_point begun;
    Clock::time_point dead_at = Clock::time_point::max(); // streams: given up when silent until then
    size_t body_limit = 0;
    std::chrono::milliseconds answer_margin{0};
    size_t stream_buffer = 0;
    uint64_t credentials = 0; // generation of the program's, with which it was sent
    uint64_t certificate = 0; // the same of the endpoint's client certificate
    bool is_queued = false;   // until its server has fewer requests under way
    bool awaits_credentials = false;
    bool paused = false;           // by the user
    bool receive_paused = false;   // the socket is left unread
    bool has_parts = false;        // the handler has seen some of the body
    int repeats = 0;               // how often it was sent again
    bool renewed = false;          // with other credentials already
    bool fresh_connection = false; // must not use a pooled connection
    bool body_too_large = false;
    bool out_of_memory = false;
    bool finished = false; // curl is done; lines may be left
    char curl_error[CURL_ERROR_SIZE] = {};

    bool is_stream() const noexcept { return static_cast<bool>(handlers.on_line); }
    bool is_fetch() const noexcept { return static_cast<bool>(handlers.on_part); }
    bool is_in_parts() const noexcept { return is_stream() || is_fetch(); }
    bool is_changing() const noexcept { return request.method != "GET" && request.method != "HEAD"; }
    bool is_repeatable() const noexcept { return request.idempotent || !is_changing(); }
    // Of HTTP/2, where the server speaks it: what that loses with a connection is sent again.
    bool shares_connection() const noexcept;
};

// One API server with one set of credentials: keeps easy handles that are ready to be used again, the header lists, and
// the bearer token.
class Endpoint {
public:
    explicit Endpoint(Connection connection); // validates: throws Failure

    const Connection &connection() const noexcept { return connection_; }
    bool needs_name_lookup() const noexcept { return needs_name_lookup_; }

    // False: the program that gives the credentials is running, and the transfer waits for its end. Throws Failure when
    // there are none, or std::bad_alloc.
    bool has_credentials();

    // Gives the transfer a handle with everything set. Throws Failure or std::bad_alloc.
    void prepare(Transfer &transfer);
    void give_back(Transfer &transfer) noexcept; // its handle

    // Another client certificate counts now than the one with which the transfer was sent.
    bool has_old_certificate(const Transfer &transfer) const noexcept { return transfer.certificate != certificates_; }

    // Takes files of the client certificate that were replaced and that nobody is writing any more.
    void look_at_files();

    // When the program should be asked for another certificate, also if nothing is to be sent; and asks it.
    Clock::time_point certificate_due() const noexcept;
    void renew_certificate(); // throws std::bad_alloc only

    // After 401: reads token and certificate files again, or asks the program. True when another attempt may have other
    // credentials.
    bool refresh_credentials(const Transfer &refused);

    int program_descriptor() const noexcept { return program_ ? program_->descriptor() : -1; } // while it runs
    bool run_program();                                                                        // true once it is over

    size_t users = 0;             // transfers that point here
    size_t running = 0;           // of them, requests that curl has
    std::deque<uint64_t> waiting; // requests that wait for a free place; cancelled ones are skipped
    Clock::time_point last_used;

private:
    struct HeaderKey {
        std::string content_type;
        std::string accept;
        std::vector<std::string> impersonation; // header lines
        auto operator<=>(const HeaderKey &) const = default;
    };

    struct ClientCertificate {
        std::string certificate_pem, key_pem;
        bool operator==(const ClientCertificate &) const = default;
    };

    EasyHandle new_handle();
    HeaderList headers_for(const Request &request);
    bool read_token_file();  // true when the token is another one now
    bool read_certificate(); // the connection's; true when another one counts now
    bool take_certificate(); // the same
    void take_over();        // what the program gave

    Connection connection_;
    std::unique_ptr<ExecCredentials> program_;
    uint64_t credentials_ = 0;  // generation of the program's that is in use
    uint64_t certificates_ = 0; // of certificate_
    ClientCertificate certificate_, own_certificate_, programs_certificate_; // in use; the connection's
    FileStamps read_files_, seen_files_; // of the certificate: when they were read, looked at last
    std::string base_url_;               // what paths are appended to
    std::string host_header_;            // set when the URL's host is the certificate's name
    std::unique_ptr<curl_slist, HeaderListCleanup> connect_to_;
    std::string token_;
    Clock::time_point token_read_at_;
    std::map<HeaderKey, HeaderList> header_lists_;
    std::vector<EasyHandle> idle_;
    bool needs_name_lookup_ = true;
};

} // namespace dbnet::kubernetes
