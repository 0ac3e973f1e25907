// Hands lines, parts and answers to their handlers, and what handlers may ask for meanwhile; see transport_engine.hpp.
// Runs in the mirror worker and in backends.
#include "kubernetes/transport/transport_engine.hpp"

#include <algorithm>
#include <utility>

namespace dbnet::kubernetes {
namespace {

constexpr int most_rounds = 16; // of one run(); what is left keeps the descriptor readable

} // namespace

void Transport::Engine::end_dead_streams() noexcept {
    const Clock::time_point now = Clock::now();
    for (const Id id : streams_) {
        const TransferPointer transfer = find(id);
        if (!transfer || transfer->finished || now < transfer->dead_at)
            continue;
        if (transfer->receive_paused) { // we did not read, so silence proves nothing
            transfer->dead_at = now + limits_.stream_margin;
            continue;
        }
        stop(*transfer);
        fail(*transfer, "the server did not end the stream in time", true);
    }
}

// A stream asks for nothing while it runs. So what its certificate's program gives next is asked for in its stead; and
// when another certificate counts, by whichever way, it is over, as if the server had ended it.
void Transport::Engine::renew_certificates() noexcept {
    const Clock::time_point now = Clock::now();
    for (const Id id : streams_) {
        const TransferPointer transfer = find(id);
        if (!transfer || !transfer->is_stream() || !transfer->handle)
            continue;
        Endpoint &endpoint = *transfer->endpoint;
        if (endpoint.certificate_due() <= now) {
            guarded([&] { endpoint.renew_certificate(); });
            watch_program(endpoint);
        }
        if (!endpoint.has_old_certificate(*transfer))
            continue;
        stop(*transfer);
        transfer->response.status = 200;
        transfer->finished = work_left_ = true;
    }
}

void Transport::Engine::look_at_files() {
    for (const auto &endpoint : endpoints_)
        endpoint->look_at_files();
    work_left_ = true;
    wake();
}

// Hands over what has arrived of one stream or fetch, as long as its handler wants it.
void Transport::Engine::hand_over(Transfer &transfer, bool &any) noexcept {
    const Id id = transfer.id;
    std::string_view line;
    while (transfers_.contains(id) && !transfer.paused && transfer.lines.next(line)) {
        any = true;
        guarded([&] { transfer.handlers.on_line(line); });
    }
    if (transfers_.contains(id) && !transfer.paused && !transfer.part.empty()) {
        any = transfer.has_parts = true;
        const std::string part = std::exchange(transfer.part, {});
        guarded([&] { transfer.handlers.on_part(part); });
    }
}

bool Transport::Engine::deliver_parts() noexcept {
    bool any = false;
    for (size_t i = 0; i < streams_.size(); ++i) { // handlers may add some
        const TransferPointer transfer = find(streams_[i]);
        if (transfer)
            hand_over(*transfer, any);
        if (!transfer || !transfers_.contains(transfer->id)) {
            streams_[i] = 0;
            continue;
        }
        if (transfer->paused)
            continue;
        if (transfer->finished) {
            streams_[i] = 0;
            answered_.push_back(transfer->id);
        } else if (transfer->receive_paused) {
            transfer->receive_paused = false;
            curl_easy_pause(transfer->handle.get(), CURLPAUSE_CONT);
            any = work_left_ = true; // curl may hold what no descriptor tells of
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
        guarded([&] { transfer->handlers.on_response(std::move(transfer->response)); });
    }
    answered_.erase(answered_.begin(), answered_.begin() + static_cast<ptrdiff_t>(count));
    return count > 0;
}

void Transport::Engine::run() {
    if (in_run_)
        return;
    in_run_ = true;
    for (int round = 0; round < most_rounds; ++round) {
        work_left_ = false;
        bool worked = move_data();
        worked |= collect();
        worked |= take_credentials();
        if (!streams_.empty()) {
            end_dead_streams();
            renew_certificates();
            worked |= deliver_parts();
        }
        worked |= start_queued();
        worked |= deliver_answers();
        if (!worked && !work_left_)
            break;
    }
    in_run_ = false;
    wake();
    if (failure_)
        std::rethrow_exception(std::exchange(failure_, nullptr));
}

void Transport::Engine::cancel(Id id) noexcept {
    const TransferPointer transfer = find(id);
    if (!transfer)
        return;
    if (transfer->is_queued)
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
        if (const auto found = transfers_.find(id); found != transfers_.end() && !found->second->finished) {
            const Transfer &transfer = *found->second;
            next = std::min(next, transfer.dead_at);
            if (transfer.is_stream() && transfer.handle)
                next = std::min(next, transfer.endpoint->certificate_due());
        }
    return next;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
