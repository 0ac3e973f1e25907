// Makes answers and errors of what curl reports about finished transfers; see transport_engine.hpp. Runs in the mirror
// worker and in backends.
#include "kubernetes/transport/transport_engine.hpp"

namespace dbnet::kubernetes {
namespace {

constexpr int most_repeats_of_shared = 4;

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
    const std::string text = transfer.curl_error[0] != '\0' ? transfer.curl_error : curl_easy_strerror(code);
    const bool is_proxys = code == CURLE_COULDNT_CONNECT && !transfer.endpoint->connection().proxy_url.empty();
    return is_proxys ? "no connection to the proxy: " + text : text;
}

} // namespace

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
// error. One of HTTP/2 may take requests along that have just begun on it, also the one that opened it.
bool Transport::Engine::starts_again(Transfer &transfer, CURLcode code) {
    if (transfer.has_parts || (transfer.is_stream() && code != CURLE_OK))
        return false;
    if (code == CURLE_OK) {
        if (transfer.renewed || transfer.response.status != 401 || !transfer.endpoint->refresh_credentials(transfer))
            return false;
        transfer.renewed = true;
    } else {
        long new_connections = 1;
        curl_easy_getinfo(transfer.handle.get(), CURLINFO_NUM_CONNECTS, &new_connections);
        const bool may_be_lost = transfer.shares_connection() ? transfer.repeats < most_repeats_of_shared
                                                              : transfer.repeats == 0 && new_connections == 0;
        if (!is_broken_connection(code) || !transfer.is_repeatable() || !may_be_lost || transfer.out_of_memory ||
            transfer.body_too_large)
            return false;
    }
    send_again(transfer);
    return true;
}

// Many requests lost together share the next connection as well, once.
void Transport::Engine::send_again(Transfer &transfer) noexcept {
    transfer.fresh_connection = transfer.response.status != 0 || !transfer.shares_connection() || transfer.repeats > 0;
    stop(transfer);
    transfer.repeats++;
    transfer.response = Response();
    transfer.part.clear();
    transfer.dead_at = Clock::time_point::max();
    start(transfer);
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
    if (!transfer.is_in_parts())
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
    if (!transfer.is_in_parts() || transfer.endpoint == nullptr)
        answered_.push_back(transfer.id); // add() made room
    work_left_ = true;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
