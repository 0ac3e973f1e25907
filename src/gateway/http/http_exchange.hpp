// One HTTP request and its answer, as the application sees them. Pure C++.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct MHD_Connection;
struct MHD_Response;

namespace dbnet::gateway {

class HttpServer;

struct Header {
    const char *name;
    std::string value;
};

// Made by the server; lives until respond() in on_request() or later, and no longer than the callback when answered in
// on_headers(). Texts are valid as long as the exchange.
class Exchange {
public:
    std::string_view method() const noexcept { return method_; }
    std::string_view path() const noexcept { return path_; } // decoded, without the query
    // Value of a header (name in any case) or of a decoded parameter of the query; nullopt: absent.
    std::optional<std::string_view> header(const char *name) const noexcept;
    std::optional<std::string_view> parameter(const char *name) const noexcept;
    // The client's address in numbers.
    const std::string &client() const noexcept { return *client_; }
    // The client's socket, to see it hang up while it waits for an answer; as long as the exchange lives.
    int socket() const noexcept;
    // What has been received of the body, decoded from chunks; all of it in on_request(). May be moved out.
    std::string &body() noexcept { return body_; }

    // Go with whatever answer comes, also with one that the server gives by itself.
    void set_common_headers(std::vector<Header> headers) noexcept { common_headers_ = std::move(headers); }

    // Answers. Once; the exchange must not be used afterwards. Content-Length, Date and Connection come by themselves.
    void respond(int status, std::initializer_list<Header> headers, std::string_view body) noexcept;

private:
    friend class HttpServer;
    friend struct HttpCallbacks;

    Exchange(HttpServer &server, MHD_Connection *connection, const std::string *client) noexcept
        : server_(server), connection_(connection), client_(client) {}
    ~Exchange();
    void count(size_t bytes) noexcept; // as held for this exchange, instead of what was
    Exchange(const Exchange &) = delete;
    Exchange &operator=(const Exchange &) = delete;

    HttpServer &server_;
    MHD_Connection *connection_;
    const std::string *client_;
    std::string_view method_, path_;
    std::string body_;
    std::vector<Header> common_headers_;
    size_t counted_bytes_ = 0; // of the server's in_flight_bytes: its body, then its answer
    bool has_started_ = false; // the headers have been seen
    bool is_waiting_ = false;  // suspended until the application answers
    bool is_answered_ = false;
    bool must_close_ = false; // the connection cannot be used again
    int status_ = 0;
    MHD_Response *response_ = nullptr;
    Exchange *previous_ = nullptr, *next_ = nullptr; // those that wait
};

} // namespace dbnet::gateway
