// Private to the transport: the engine behind Transport. Its functions stand in three files: transport_engine.cpp
// starts transfers and lets curl move them, transport_result.cpp makes answers of what curl reports,
// transport_delivery.cpp calls handlers.
#pragma once

#include "kubernetes/transport/event_poll.hpp"
#include "kubernetes/transport/transport.hpp"
#include "kubernetes/transport/transport_handle.hpp"

#include <curl/curl.h>

#include <exception>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace dbnet::kubernetes {

class Transport::Engine {
public:
    explicit Engine(TransportLimits limits);
    ~Engine();

    Id add(const Connection &connection, Request &&request, Handlers &&handlers);
    void run();
    void cancel(Id id) noexcept;
    void pause(Id id) noexcept;
    void resume(Id id) noexcept;
    void look_at_files();
    int descriptor() const noexcept { return poll_.descriptor(); }
    Clock::time_point next_wake() const noexcept;
    size_t in_flight() const noexcept { return running_requests_; }
    size_t queued() const noexcept { return queued_; }

private:
    // Makes the descriptor readable when there is work; run() does so itself when it ends.
    void wake() noexcept {
        if (!in_run_)
            poll_.wake_at(next_wake());
    }

    struct MultiCleanup {
        void operator()(CURLM *multi) const noexcept { curl_multi_cleanup(multi); }
    };
    using TransferPointer = std::shared_ptr<Transfer>;

    static int on_multi_socket(CURL *handle, curl_socket_t socket, int what, void *engine, void *) noexcept;
    static int on_multi_timer(CURLM *multi, long timeout_ms, void *engine) noexcept;

    Endpoint &endpoint_for(const Connection &connection);
    TransferPointer find(Id id) const;
    void start(Transfer &transfer) noexcept;
    void stop(Transfer &transfer) noexcept;
    bool start_queued() noexcept;
    void watch_program(const Endpoint &endpoint) noexcept;
    bool is_program(int descriptor) const noexcept;
    bool take_credentials() noexcept;
    bool move_data() noexcept;
    bool fire_timer() noexcept;
    bool collect() noexcept;
    void finish(Transfer &transfer, CURLcode code);
    bool starts_again(Transfer &transfer, CURLcode code);
    void send_again(Transfer &transfer) noexcept;
    void fail(Transfer &transfer, std::string_view why, bool timed_out) noexcept;
    void end_dead_streams() noexcept;
    void renew_certificates() noexcept;
    bool deliver_parts() noexcept;
    void hand_over(Transfer &transfer, bool &any) noexcept;
    bool deliver_answers() noexcept;
    // Calls a handler; the first exception of a run() is kept for its end.
    template<class Handler> void guarded(Handler &&handler) noexcept {
        try {
            handler();
        } catch (...) {
            if (!failure_)
                failure_ = std::current_exception();
        }
    }

    TransportLimits limits_;
    EventPoll poll_;
    std::vector<std::unique_ptr<Endpoint>> endpoints_; // outlive the handles of multi_
    std::unique_ptr<CURLM, MultiCleanup> multi_;
    std::unordered_map<Id, TransferPointer> transfers_;
    std::vector<Id> streams_;  // and fetches: running or with something left to hand over
    std::vector<Id> answered_; // whose handler must be called
    Clock::time_point curl_timer_ = Clock::time_point::max();
    Id last_id_ = 0;
    size_t running_requests_ = 0; // of all servers
    size_t queued_ = 0;
    bool names_are_looked_up_ = false;
    bool in_run_ = false;
    std::exception_ptr failure_;
    bool work_left_ = false; // something can be done without any event
};

} // namespace dbnet::kubernetes
