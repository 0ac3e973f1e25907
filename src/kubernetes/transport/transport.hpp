// HTTP to any number of API servers in one event loop without threads: a curl multi handle driven through one epoll
// descriptor. Used by the mirror worker's loop (WaitLatchOrSocket on descriptor()) and by backends that wait for one
// answer. Handlers run inside run(), never inside a curl callback, so they may send, cancel, pause and resume.
#pragma once

#include "kubernetes/connection.hpp"
#include "kubernetes/request.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

namespace dbnet::kubernetes {

// Must be called once per process, after fork and before the first Transport; further calls do nothing. Never call it
// from _PG_init or the postmaster. Throws Failure.
void initialize_transport();

struct TransportLimits {
    size_t requests_in_flight = 128;           // of one server and user; further requests wait, streams are not counted
    size_t response_bytes = 256 * 1024 * 1024; // of one answer after decompression; above: transport error
    size_t line_bytes = 16 * 1024 * 1024;      // of one line of a stream; above: the stream ends with an error
    std::chrono::milliseconds answer_margin{
        5000}; // given to an answer beyond its request's timeout: the server gives up first
    std::chrono::milliseconds stream_margin{30000}; // given to a stream beyond its timeout
    size_t stream_buffer_bytes = 1024 * 1024; // kept for a paused stream or fetch before its socket is left unread
};

class Transport {
public:
    using Id = uint64_t; // never 0, never used twice
    using ResponseHandler = std::function<void(Response &&)>;
    using LineHandler = std::function<void(std::string_view line)>;  // without the newline; valid during the call only
    using PartHandler = std::function<void(std::string_view bytes)>; // valid during the call only
    using EndHandler = std::function<void(Response &&)>;

    explicit Transport(TransportLimits limits = {});
    ~Transport();
    Transport(const Transport &) = delete;
    Transport &operator=(const Transport &) = delete;

    // Readable whenever run() has work, timers included. Belongs to the transport.
    int descriptor() const noexcept;
    // 0: run() has work now. Otherwise milliseconds until the next timer, -1: none. Only for callers that poll; the
    // descriptor alone is enough.
    int timeout_ms() const noexcept;
    // Does what can be done without waiting and calls handlers. What a handler throws is thrown
    // again at the end, when everything is consistent and the other handlers have been called.
    void run();

    // Starts (or queues) one request. The handler is called exactly once, from run(), also for requests that cannot
    // even start (transport_error says why), unless the request is cancelled. Throws std::bad_alloc only.
    Id send(const Connection &connection, Request request, ResponseHandler on_response);

    // Starts a request whose answer is lines without end (watch). `on_line` sees each line of a 2xx answer; `on_end` is
    // called once when the stream is over: status 200 and no transport_error = the server ended it in order; another
    // status with its body = refused; a transport_error otherwise. Given up when the server has not ended it some time
    // after its timeout. One that runs when its client certificate is replaced is over in order.
    Id stream(const Connection &connection, Request request, LineHandler on_line, EndHandler on_end);

    // As send(), but `on_part` sees the body of a 2xx answer while it arrives, however long it gets; the response then
    // has none. Once a part was seen, a connection that breaks ends the request: it is not sent a second time.
    Id fetch(const Connection &connection, Request request, PartHandler on_part, ResponseHandler on_response);

    // Forgets a request or stream; its handlers are not called any more and destroyed. Unknown ids are ignored.
    void cancel(Id id) noexcept;

    // Back-pressure for a stream or fetch: no lines or parts until resume(); the socket is left unread once a buffer is
    // full. The time limit of a fetch runs on.
    void pause(Id id) noexcept;
    void resume(Id id) noexcept;

    // Files of client certificates may have been replaced: takes those that are the same as at the last call. For
    // whoever keeps streams, once a second or so.
    void look_at_files(); // throws std::bad_alloc only

    size_t in_flight() const noexcept; // requests sent and not answered, streams not counted
    size_t queued() const noexcept;    // requests waiting for a free place

private:
    class Engine;
    std::unique_ptr<Engine> engine_;
};

} // namespace dbnet::kubernetes
