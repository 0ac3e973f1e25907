// Starts transfers and lets curl move them when their sockets are ready; see transport_engine.hpp. Runs in the mirror
// worker and in backends.
#include "kubernetes/transport/transport_engine.hpp"

#include "kubernetes/failure.hpp"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <utility>

namespace dbnet::kubernetes {
namespace {

constexpr size_t most_endpoints = 64;
constexpr long most_connections = 100'000;

// libcurl looks names up in threads of its own. They must not take signals meant for this process, whose handlers know
// only one thread; threads inherit the mask of the moment they are made.
class SignalBlock {
public:
    explicit SignalBlock(bool wanted) noexcept : wanted_(wanted) {
        if (!wanted_)
            return;
        sigset_t all;
        sigfillset(&all);
        for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP})
            sigdelset(&all, fault);
        pthread_sigmask(SIG_BLOCK, &all, &before_);
    }
    ~SignalBlock() {
        if (wanted_)
            pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }
    SignalBlock(const SignalBlock &) = delete;
    SignalBlock &operator=(const SignalBlock &) = delete;

private:
    bool wanted_;
    sigset_t before_;
};

} // namespace

Transport::Engine::Engine(TransportLimits limits) : limits_(limits), multi_(curl_multi_init()) {
    if (!multi_)
        throw std::bad_alloc();
    CURLM *multi = multi_.get();
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_multi_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_multi_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_MULTIPLEX));
    // Never full: connections of watches count, and a full pool closes what comes back. Servers close what is idle.
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, most_connections);
#if LIBCURL_VERSION_NUM >= 0x081400
    curl_multi_setopt(multi, CURLMOPT_QUICK_EXIT, 1L); // as of each handle, of the threads that they share
#endif
}

Transport::Engine::~Engine() {
    for (auto &[id, transfer] : transfers_)
        if (transfer->handle)
            curl_multi_remove_handle(multi_.get(), transfer->handle.get());
    transfers_.clear();
    multi_.reset(); // calls on_multi_socket for what is still open
}

int Transport::Engine::on_multi_socket(CURL *, curl_socket_t socket, int what, void *engine, void *) noexcept {
    uint32_t events = 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        events |= EPOLLIN;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        events |= EPOLLOUT;
    static_cast<Engine *>(engine)->poll_.watch(socket, events);
    return 0;
}

int Transport::Engine::on_multi_timer(CURLM *, long timeout_ms, void *engine) noexcept {
    static_cast<Engine *>(engine)->curl_timer_ =
        timeout_ms < 0 ? Clock::time_point::max() : Clock::now() + std::chrono::milliseconds(timeout_ms);
    return 0;
}

Endpoint &Transport::Engine::endpoint_for(const Connection &connection) {
    const auto found = std::find_if(endpoints_.begin(), endpoints_.end(),
                                    [&](const auto &endpoint) { return endpoint->connection() == connection; });
    if (found != endpoints_.end())
        return **found;
    if (endpoints_.size() >= most_endpoints) {
        const auto oldest =
            std::min_element(endpoints_.begin(), endpoints_.end(), [](const auto &left, const auto &right) {
                return std::pair(left->users > 0, left->last_used) < std::pair(right->users > 0, right->last_used);
            });
        if ((*oldest)->users == 0)
            endpoints_.erase(oldest);
    }
    endpoints_.push_back(std::make_unique<Endpoint>(connection));
    names_are_looked_up_ = names_are_looked_up_ || endpoints_.back()->needs_name_lookup();
    return *endpoints_.back();
}

Transport::Engine::TransferPointer Transport::Engine::find(Id id) const {
    const auto found = transfers_.find(id);
    return found == transfers_.end() ? nullptr : found->second;
}

Transport::Id Transport::Engine::add(const Connection &connection, Request &&request, Handlers &&handlers) {
    auto transfer = std::make_shared<Transfer>();
    transfer->id = ++last_id_;
    transfer->request = std::move(request);
    transfer->handlers = std::move(handlers);
    transfer->begun = Clock::now();
    transfer->body_limit = limits_.response_bytes;
    transfer->answer_margin = limits_.answer_margin;
    transfer->stream_buffer = limits_.stream_buffer_bytes;
    // Room in every list first, so that nothing after it can fail halfway.
    answered_.reserve(answered_.size() + transfers_.size() + 1);
    streams_.reserve(streams_.size() + 1);
    transfers_.emplace(transfer->id, transfer);
    try {
        Endpoint &endpoint = endpoint_for(connection);
        if (!transfer->is_stream() && endpoint.running >= limits_.requests_in_flight) {
            endpoint.waiting.push_back(transfer->id);
            transfer->is_queued = true;
        }
        transfer->endpoint = &endpoint;
        ++endpoint.users;
    } catch (const Failure &failure) {
        fail(*transfer, failure.hint().empty() ? failure.what() : failure.what() + (". " + failure.hint()), false);
        wake();
        return transfer->id;
    } catch (...) {
        transfers_.erase(transfer->id);
        throw;
    }
    if (transfer->is_in_parts())
        streams_.push_back(transfer->id);
    if (transfer->is_stream())
        transfer->lines = LineSplitter(limits_.line_bytes);
    if (transfer->is_queued)
        ++queued_;
    else
        start(*transfer);
    // Sends at once where a connection is free: no turn of the caller's loop lies between a commit and its request.
    if (!in_run_ && fire_timer())
        collect();
    wake();
    return transfer->id;
}

void Transport::Engine::start(Transfer &transfer) noexcept {
    try {
        const Clock::time_point now = transfer.endpoint->last_used = Clock::now();
        transfer.curl_error[0] = '\0';
        if (std::exchange(transfer.awaits_credentials, false))
            transfer.begun = now; // the server is not to blame for the time before
        transfer.awaits_credentials = !transfer.endpoint->has_credentials();
        watch_program(*transfer.endpoint);
        if (transfer.awaits_credentials)
            return;
        transfer.endpoint->prepare(transfer);
        if (transfer.is_stream()) {
            transfer.dead_at = now + transfer.request.timeout + limits_.stream_margin;
        } else {
            ++running_requests_;
            ++transfer.endpoint->running;
        }
        if (curl_multi_add_handle(multi_.get(), transfer.handle.get()) == CURLM_OK)
            return;
        stop(transfer);
        fail(transfer, "out of memory", false);
    } catch (const std::exception &failure) {
        transfer.handle.reset();
        fail(transfer, failure.what(), false);
    }
}

// Takes the handle out of curl's hands; an unfinished answer costs the connection.
void Transport::Engine::stop(Transfer &transfer) noexcept {
    if (!transfer.handle)
        return;
    curl_multi_remove_handle(multi_.get(), transfer.handle.get());
    transfer.endpoint->give_back(transfer);
    transfer.headers.reset();
    if (transfer.is_stream())
        return;
    --running_requests_;
    --transfer.endpoint->running;
}

// One server's requests never wait for another's.
bool Transport::Engine::start_queued() noexcept {
    if (queued_ == 0)
        return false;
    bool any = false;
    for (const auto &endpoint : endpoints_)
        while (!endpoint->waiting.empty() && endpoint->running < limits_.requests_in_flight) {
            const TransferPointer transfer = find(endpoint->waiting.front());
            endpoint->waiting.pop_front();
            if (!transfer)
                continue; // cancelled
            transfer->is_queued = false;
            --queued_;
            start(*transfer);
            any = true;
        }
    return any;
}

void Transport::Engine::watch_program(const Endpoint &endpoint) noexcept {
    if (const int program = endpoint.program_descriptor(); program >= 0)
        poll_.watch(program, EPOLLIN);
}

bool Transport::Engine::is_program(int descriptor) const noexcept {
    return std::ranges::any_of(endpoints_,
                               [=](const auto &endpoint) { return endpoint->program_descriptor() == descriptor; });
}

// Looks after the programs that give credentials; what waits for one that is over starts, or fails for its reason.
bool Transport::Engine::take_credentials() noexcept {
    bool any = false;
    for (const auto &endpoint : endpoints_) {
        bool is_over = false;
        guarded([&] { is_over = endpoint->run_program(); });
        if (!is_over)
            continue;
        any = true;
        for (const auto &[id, transfer] : transfers_)
            if (transfer->awaits_credentials && transfer->endpoint == endpoint.get())
                start(*transfer);
    }
    return any;
}

// Lets curl read and write where it can. True when there was anything.
bool Transport::Engine::move_data() noexcept {
    const auto events = poll_.ready();
    const SignalBlock no_signals(names_are_looked_up_);
    int running = 0;
    for (const epoll_event &event : events) {
        if (is_program(event.data.fd))
            continue;
        const int ready = ((event.events & EPOLLIN) ? CURL_CSELECT_IN : 0) |
                          ((event.events & EPOLLOUT) ? CURL_CSELECT_OUT : 0) |
                          ((event.events & (EPOLLERR | EPOLLHUP)) ? CURL_CSELECT_ERR : 0);
        curl_multi_socket_action(multi_.get(), event.data.fd, ready, &running);
    }
    return fire_timer() || !events.empty();
}

// Lets curl do what it put off until now, starting transfers above all. True when there was anything.
bool Transport::Engine::fire_timer() noexcept {
    if (curl_timer_ > Clock::now())
        return false;
    const SignalBlock no_signals(names_are_looked_up_);
    int running = 0;
    curl_timer_ = Clock::time_point::max(); // curl sets it again when it wants
    curl_multi_socket_action(multi_.get(), CURL_SOCKET_TIMEOUT, 0, &running);
    return true;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
