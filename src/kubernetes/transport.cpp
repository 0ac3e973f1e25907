// The transport's engine: starts transfers, lets curl move them when their sockets are ready, and hands out what came
// of them; see the header. Runs in the mirror worker and in backends.
#include "kubernetes/transport.hpp"

#include "kubernetes/event_poll.hpp"
#include "kubernetes/failure.hpp"
#include "kubernetes/transport_handle.hpp"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <deque>
#include <unordered_map>

namespace dbnet::kubernetes {
namespace {

constexpr std::chrono::seconds dead_margin{30}; // on top of a watch's own length
constexpr size_t most_endpoints = 64;
constexpr int most_rounds = 16;          // of one run(); what is left keeps the descriptor readable
constexpr long idle_connection_age = 60; // s; servers close idle connections after 90

struct MultiCleanup {
    void operator()(CURLM *multi) const noexcept { curl_multi_cleanup(multi); }
};

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

// Breaks of a connection that say nothing about the request.
bool is_broken_connection(CURLcode code) noexcept {
    switch (code) {
    case CURLE_HTTP2:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

std::string error_text(const Transfer &transfer, CURLcode code) {
    if (transfer.out_of_memory || code == CURLE_OUT_OF_MEMORY)
        return "out of memory";
    if (transfer.body_too_large)
        return "the answer is larger than " + std::to_string(transfer.body_limit) + " bytes";
    if (transfer.lines.overflowed())
        return "the server sent a line that is longer than the limit";
    return transfer.curl_error[0] != '\0' ? transfer.curl_error : curl_easy_strerror(code);
}

} // namespace

class Transport::Engine {
public:
    explicit Engine(TransportLimits limits);
    ~Engine();

    Id add(const Connection &connection, Request &&request, LineHandler &&on_line, ResponseHandler &&on_response);
    void run() noexcept;
    void cancel(Id id) noexcept;
    void pause(Id id) noexcept;
    void resume(Id id) noexcept;
    void wake() noexcept { poll_.wake_at(next_wake()); }
    int descriptor() const noexcept { return poll_.descriptor(); }
    Clock::time_point next_wake() const noexcept;
    size_t in_flight() const noexcept { return running_requests_; }
    size_t queued() const noexcept { return queued_; }

private:
    using TransferPointer = std::shared_ptr<Transfer>;

    static int on_multi_socket(CURL *handle, curl_socket_t socket, int what, void *engine, void *) noexcept;
    static int on_multi_timer(CURLM *multi, long timeout_ms, void *engine) noexcept;

    Endpoint &endpoint_for(const Connection &connection);
    TransferPointer find(Id id) const;
    void start(Transfer &transfer) noexcept;
    void stop(Transfer &transfer) noexcept;
    bool start_queued() noexcept;
    bool move_data() noexcept;
    bool fire_timer() noexcept;
    bool collect() noexcept;
    void finish(Transfer &transfer, CURLcode code);
    bool starts_again(Transfer &transfer, CURLcode code);
    void fail(Transfer &transfer, std::string_view why, bool timed_out) noexcept;
    void end_dead_streams() noexcept;
    bool deliver_lines() noexcept;
    bool deliver_answers() noexcept;

    TransportLimits limits_;
    EventPoll poll_;
    std::vector<std::unique_ptr<Endpoint>> endpoints_; // outlive the handles of multi_
    std::unique_ptr<CURLM, MultiCleanup> multi_;
    std::unordered_map<Id, TransferPointer> transfers_;
    std::deque<Id> waiting_;   // requests that wait for a free place; cancelled ones are skipped
    std::vector<Id> streams_;  // running or with lines left
    std::vector<Id> answered_; // whose handler must be called
    Clock::time_point curl_timer_ = Clock::time_point::max();
    Id last_id_ = 0;
    size_t running_requests_ = 0;
    size_t queued_ = 0;
    bool names_are_looked_up_ = false;
    bool in_run_ = false;
    bool work_left_ = false; // something can be done without any event
};

Transport::Engine::Engine(TransportLimits limits) : limits_(limits), multi_(curl_multi_init()) {
    if (!multi_)
        throw std::bad_alloc();
    CURLM *multi = multi_.get();
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_multi_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_multi_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_NOTHING));
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, static_cast<long>(limits_.requests_in_flight + 64));
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

Transport::Id Transport::Engine::add(const Connection &connection, Request &&request, LineHandler &&on_line,
                                     ResponseHandler &&on_response) {
    auto transfer = std::make_shared<Transfer>();
    transfer->id = ++last_id_;
    transfer->request = std::move(request);
    transfer->on_line = std::move(on_line);
    transfer->on_response = std::move(on_response);
    transfer->begun = Clock::now();
    transfer->body_limit = limits_.response_bytes;
    transfer->stream_buffer = limits_.stream_buffer_bytes;
    // Room in every list first, so that nothing after it can fail halfway.
    answered_.reserve(answered_.size() + transfers_.size() + 1);
    streams_.reserve(streams_.size() + 1);
    const bool waits = !transfer->is_stream() && running_requests_ >= limits_.requests_in_flight;
    if (waits)
        waiting_.push_back(transfer->id);
    transfers_.emplace(transfer->id, transfer);
    try {
        transfer->endpoint = &endpoint_for(connection);
        ++transfer->endpoint->users;
    } catch (const Failure &failure) {
        fail(*transfer, failure.hint().empty() ? failure.what() : failure.what() + (". " + failure.hint()), false);
        wake();
        return transfer->id;
    } catch (...) {
        transfers_.erase(transfer->id);
        throw;
    }
    if (waits) {
        ++queued_;
    } else {
        if (transfer->is_stream()) {
            transfer->lines = LineSplitter(limits_.line_bytes);
            transfer->dead_at = transfer->begun + transfer->request.timeout + dead_margin;
            streams_.push_back(transfer->id);
        }
        start(*transfer);
    }
    // Sends at once where a connection is free: no turn of the caller's loop lies between a commit and its request.
    if (!in_run_ && fire_timer())
        collect();
    wake();
    return transfer->id;
}

void Transport::Engine::start(Transfer &transfer) noexcept {
    try {
        transfer.endpoint->last_used = Clock::now();
        transfer.curl_error[0] = '\0';
        transfer.endpoint->prepare(transfer);
        if (!transfer.is_stream())
            ++running_requests_;
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
    transfer.endpoint->give_back(std::move(transfer.handle));
    transfer.headers.reset();
    if (!transfer.is_stream())
        --running_requests_;
}

bool Transport::Engine::start_queued() noexcept {
    bool any = false;
    while (!waiting_.empty() && running_requests_ < limits_.requests_in_flight) {
        const TransferPointer transfer = find(waiting_.front());
        waiting_.pop_front();
        if (!transfer || transfer->finished)
            continue; // cancelled, or could not even be prepared
        --queued_;
        start(*transfer);
        any = true;
    }
    return any;
}

// Lets curl read and write where it can. True when there was anything.
bool Transport::Engine::move_data() noexcept {
    const auto events = poll_.ready();
    const SignalBlock no_signals(names_are_looked_up_);
    int running = 0;
    for (const epoll_event &event : events) {
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

// Takes finished transfers from curl. True when there were any.
bool Transport::Engine::collect() noexcept {
    bool any = false;
    int left = 0;
    while (const CURLMsg *message = curl_multi_info_read(multi_.get(), &left)) {
        if (message->msg != CURLMSG_DONE)
            continue;
        any = true;
        const CURLcode code = message->data.result;
        char *owner = nullptr;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner);
        auto &transfer = *reinterpret_cast<Transfer *>(owner);
        try {
            finish(transfer, code);
        } catch (...) {
            stop(transfer);
            transfer.response = Response();
            fail(transfer, "out of memory", false);
        }
    }
    return any;
}

// A connection from the pool that broke, or credentials that were renewed meanwhile, cost a second attempt and no
// error.
bool Transport::Engine::starts_again(Transfer &transfer, CURLcode code) {
    if (transfer.repeated || transfer.is_stream())
        return false;
    if (code == CURLE_OK) {
        if (transfer.response.status != 401 || !transfer.endpoint->refresh_credentials())
            return false;
    } else {
        long new_connections = 1;
        curl_easy_getinfo(transfer.handle.get(), CURLINFO_NUM_CONNECTS, &new_connections);
        const bool repeatable = transfer.request.idempotent || !transfer.is_changing();
        if (!is_broken_connection(code) || !repeatable || new_connections > 0 || transfer.out_of_memory ||
            transfer.body_too_large)
            return false;
    }
    stop(transfer);
    transfer.repeated = transfer.fresh_connection = true;
    transfer.response = Response();
    start(transfer);
    return true;
}

void Transport::Engine::finish(Transfer &transfer, CURLcode code) {
    Response &response = transfer.response;
    long status = 0;
    long request_bytes = 0;
    curl_easy_getinfo(transfer.handle.get(), CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(transfer.handle.get(), CURLINFO_REQUEST_SIZE, &request_bytes);
    response.status = code == CURLE_OK ? static_cast<int>(status) : 0;
    if (starts_again(transfer, code))
        return;
    if (code == CURLE_OK) {
        response.ambiguous = transfer.is_changing() && (status == 502 || status == 504);
    } else {
        response.ambiguous = transfer.is_changing() && request_bytes > 0;
        const std::string why = error_text(transfer, code);
        stop(transfer);
        fail(transfer, why, code == CURLE_OPERATION_TIMEDOUT);
        return;
    }
    stop(transfer);
    response.seconds = std::chrono::duration<double>(Clock::now() - transfer.begun).count();
    transfer.finished = true;
    if (!transfer.is_stream())
        answered_.push_back(transfer.id);
    else if (transfer.lines.partial() > 0)
        fail(transfer, "the connection ended in the middle of a line", false);
    work_left_ = true;
}

// The end of a transfer that has no answer. Its handle is stopped already, or never was.
void Transport::Engine::fail(Transfer &transfer, std::string_view why, bool timed_out) noexcept {
    Response &response = transfer.response;
    response.status = 0;
    response.timed_out = timed_out;
    try {
        response.transport_error.clear();
        if (transfer.endpoint != nullptr)
            response.transport_error.append(transfer.endpoint->connection().api_url).append(": ");
        response.transport_error.append(why);
    } catch (const std::bad_alloc &) {
        response.transport_error = "out of memory"; // short enough to need none
    }
    response.seconds = std::chrono::duration<double>(Clock::now() - transfer.begun).count();
    transfer.finished = true;
    if (!transfer.is_stream() || transfer.endpoint == nullptr)
        answered_.push_back(transfer.id); // add() made room
    work_left_ = true;
}

void Transport::Engine::end_dead_streams() noexcept {
    const Clock::time_point now = Clock::now();
    for (const Id id : streams_) {
        const TransferPointer transfer = find(id);
        if (!transfer || transfer->finished || now < transfer->dead_at)
            continue;
        if (transfer->receive_paused) { // we did not read, so silence proves nothing
            transfer->dead_at = now + dead_margin;
            continue;
        }
        stop(*transfer);
        fail(*transfer, "the server did not end the stream in time", true);
    }
}

bool Transport::Engine::deliver_lines() noexcept {
    bool any = false;
    for (size_t i = 0; i < streams_.size(); ++i) { // handlers may add streams
        const TransferPointer transfer = find(streams_[i]);
        if (!transfer) {
            streams_[i] = 0;
            continue;
        }
        std::string_view line;
        const auto alive = [&] { return transfers_.contains(transfer->id); };
        while (!transfer->paused && transfer->lines.next(line)) {
            any = true;
            transfer->on_line(line);
            if (!alive())
                break;
        }
        if (!alive() || transfer->paused)
            continue;
        if (transfer->finished) {
            streams_[i] = 0;
            answered_.push_back(transfer->id);
        } else if (transfer->receive_paused) {
            transfer->receive_paused = false;
            curl_easy_pause(transfer->handle.get(), CURLPAUSE_CONT);
            any = true;
        }
    }
    std::erase(streams_, Id{0});
    return any;
}

bool Transport::Engine::deliver_answers() noexcept {
    // Handlers may add answers (requests that cannot start): those are for the next round.
    const size_t count = answered_.size();
    for (size_t i = 0; i < count; ++i) {
        const TransferPointer transfer = find(answered_[i]);
        if (!transfer)
            continue; // cancelled by another handler
        if (transfer->endpoint != nullptr)
            --transfer->endpoint->users;
        transfers_.erase(transfer->id);
        transfer->on_response(std::move(transfer->response));
    }
    answered_.erase(answered_.begin(), answered_.begin() + static_cast<ptrdiff_t>(count));
    return count > 0;
}

void Transport::Engine::run() noexcept {
    if (in_run_)
        return;
    in_run_ = true;
    for (int round = 0; round < most_rounds; ++round) {
        work_left_ = false;
        bool worked = move_data();
        worked |= collect();
        if (!streams_.empty()) {
            end_dead_streams();
            worked |= deliver_lines();
        }
        worked |= start_queued();
        worked |= deliver_answers();
        if (!worked && !work_left_)
            break;
    }
    in_run_ = false;
    wake();
}

void Transport::Engine::cancel(Id id) noexcept {
    const TransferPointer transfer = find(id);
    if (!transfer)
        return;
    if (!transfer->handle && !transfer->finished && !transfer->is_stream())
        --queued_;
    stop(*transfer);
    if (transfer->endpoint != nullptr)
        --transfer->endpoint->users;
    transfers_.erase(id);
    work_left_ = true;
    wake();
}

void Transport::Engine::pause(Id id) noexcept {
    if (const TransferPointer transfer = find(id))
        transfer->paused = true;
}

void Transport::Engine::resume(Id id) noexcept {
    const TransferPointer transfer = find(id);
    if (!transfer || !transfer->paused)
        return;
    transfer->paused = false;
    work_left_ = true;
    wake();
}

Clock::time_point Transport::Engine::next_wake() const noexcept {
    if (work_left_ || !answered_.empty())
        return Clock::time_point::min();
    Clock::time_point next = curl_timer_;
    for (const Id id : streams_)
        if (const auto found = transfers_.find(id); found != transfers_.end() && !found->second->finished)
            next = std::min(next, found->second->dead_at);
    return next;
}

void initialize_transport() {
    static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (code != CURLE_OK)
        throw Failure(std::string("libcurl cannot be initialized: ") + curl_easy_strerror(code));
}

Transport::Transport(TransportLimits limits) : engine_(std::make_unique<Engine>(limits)) {}

Transport::~Transport() = default;

int Transport::descriptor() const noexcept {
    return engine_->descriptor();
}

int Transport::timeout_ms() const noexcept {
    const Clock::time_point next = engine_->next_wake();
    if (next == Clock::time_point::max())
        return -1;
    if (next <= Clock::now())
        return 0;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
    return static_cast<int>(std::clamp<int64_t>(left, 0, 3'600'000));
}

void Transport::run() noexcept {
    engine_->run();
}

Transport::Id Transport::send(const Connection &connection, Request request, ResponseHandler on_response) {
    return engine_->add(connection, std::move(request), nullptr, std::move(on_response));
}

Transport::Id Transport::stream(const Connection &connection, Request request, LineHandler on_line, EndHandler on_end) {
    return engine_->add(connection, std::move(request), std::move(on_line), std::move(on_end));
}

void Transport::cancel(Id id) noexcept {
    engine_->cancel(id);
}

void Transport::pause(Id id) noexcept {
    engine_->pause(id);
}

void Transport::resume(Id id) noexcept {
    engine_->resume(id);
}

size_t Transport::in_flight() const noexcept {
    return engine_->in_flight();
}

size_t Transport::queued() const noexcept {
    return engine_->queued();
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
