// One answer on its way from what serves it, the simulator or a server behind the proxy, to its client, and the faults
// that it meets there.
#pragma once

#include "connection.hpp"
#include "event_faults.hpp"
#include "faults.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace kubesim {

class Answer {
public:
    // Told once, when the answer is complete or, of a watch, begun; never when it was not given. 0: carried out, and
    // the client was not told.
    using OnStatus = std::function<void(int status)>;

    // Without faults it takes part in none.
    Answer(std::shared_ptr<Connection> connection, std::shared_ptr<const Request> request, Faults *faults,
           OnStatus on_status);
    ~Answer();
    Answer(const Answer &) = delete;
    Answer &operator=(const Answer &) = delete;

    const Request &request() const { return *request_; }
    // The fault that the request has drawn, before it is carried out.
    void meet(Fault fault) { fault_ = std::move(fault); }
    // Whether the body must come as plain text: a fault changes it.
    bool needs_plain_body() const { return request_->is_watch() || is_collected(); }

    // --- for what serves it ---
    void respond(const Response &response);
    // With the length of the body, when it is known; then its parts and its end.
    void begin(const Response &head, std::optional<size_t> length);
    void write(std::string_view data);
    void end();
    void abort(bool reset);
    void flush();
    // The client has what it will get, or is gone: nothing more is taken.
    bool is_over() const { return over_ || !connection_ || connection_->closed(); }
    // Bytes that wait for the client.
    size_t pending() const { return connection_ ? connection_->pending() : 0; }
    // Called when it is over, by itself too.
    void when_over(std::function<void()> call) { on_over_ = std::move(call); }
    // Called when nothing waits any more.
    void when_drained(std::function<void()> call);

    // --- for tests' calls, which change watches under way ---
    bool is_open_watch() const { return is_stream_ && !is_over(); }
    void hold(bool on); // events are kept back; released all at once
    void expire();      // an ERROR 410, then the end

private:
    bool is_collected() const;
    void told(int status);
    void over();
    void finish_after();
    void line(std::string_view line);
    void send(std::string_view data);
    void end_as(Ending ending);

    std::shared_ptr<Connection> connection_;
    std::shared_ptr<const Request> request_;
    Faults *faults_;
    OnStatus on_status_;
    std::function<void()> on_over_;
    std::optional<Fault> fault_;
    std::optional<EventFaults> event_faults_;
    bool over_ = false;
    bool is_stream_ = false; // a watch that has begun
    bool held_ = false;
    bool ends_when_released_ = false;
    Response head_;                 // of one whose body is collected
    std::string collected_;         // a body, or the begin of a watch's line
    std::vector<std::string> kept_; // lines that are held
    size_t sent_ = 0;               // bytes of the body
};

} // namespace kubesim
