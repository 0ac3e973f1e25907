// What curl calls while it moves one transfer; see the header. Runs in the mirror worker and in backends.
#include "kubernetes/transport/transport_callbacks.hpp"

#include "kubernetes/transport/header_text.hpp"
#include "kubernetes/transport/transport_handle.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace dbnet::kubernetes {
namespace {

constexpr size_t most_warnings = 32;
constexpr size_t largest_reservation = 16 * 1024 * 1024; // bytes believed of a Content-Length before they arrive
constexpr int keepalive_probes = 5;
constexpr unsigned user_timeout_ms = 45'000; // 20 s idle + 5 probes × 5 s

long status_of(const Transfer &transfer) noexcept {
    long status = 0;
    curl_easy_getinfo(transfer.handle.get(), CURLINFO_RESPONSE_CODE, &status);
    return status;
}

size_t take_lines(Transfer &transfer, std::string_view bytes) {
    if (transfer.paused && transfer.lines.buffered() >= transfer.stream_buffer) {
        transfer.receive_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    return transfer.lines.push(bytes) ? bytes.size() : 0;
}

// Also while nobody has asked for a pause: a few packed bytes may be very many.
size_t take_part(Transfer &transfer, std::string_view bytes) {
    if (transfer.part.size() >= transfer.stream_buffer) {
        transfer.receive_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    transfer.part.append(bytes);
    return bytes.size();
}

size_t take_body(Transfer &transfer, std::string_view bytes) {
    std::string &body = transfer.response.body;
    if (body.size() + bytes.size() > transfer.body_limit) {
        transfer.body_too_large = true;
        return 0;
    }
    if (body.empty()) {
        curl_off_t length = 0;
        curl_easy_getinfo(transfer.handle.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
        if (length > static_cast<curl_off_t>(bytes.size()))
            body.reserve(std::min<size_t>(static_cast<size_t>(length), largest_reservation));
    }
    body.append(bytes);
    return bytes.size();
}

void take_header(Transfer &transfer, std::string_view line) {
    Response &response = transfer.response;
    if (line.starts_with("HTTP/")) { // a new answer: what an informational one before it said does not count
        response.warnings.clear();
        response.retry_after = -1;
        response.content_type.clear();
    } else if (const auto value = header_value(line, "content-type")) {
        response.content_type = *value;
    } else if (const auto value = header_value(line, "retry-after")) {
        response.retry_after = retry_after_seconds(*value);
    } else if (const auto value = header_value(line, "warning")) {
        if (std::string text = warning_text(*value); !text.empty() && response.warnings.size() < most_warnings)
            response.warnings.push_back(std::move(text));
    }
}

} // namespace

size_t on_body(char *data, size_t size, size_t count, void *user_data) noexcept {
    auto &transfer = *static_cast<Transfer *>(user_data);
    const std::string_view bytes(data, size * count);
    try {
        const long status = transfer.is_in_parts() ? status_of(transfer) : 0;
        if (status < 200 || status >= 300)
            return take_body(transfer, bytes);
        return transfer.is_stream() ? take_lines(transfer, bytes) : take_part(transfer, bytes);
    } catch (...) {
        transfer.out_of_memory = true;
        return 0;
    }
}

size_t on_header(char *data, size_t size, size_t count, void *user_data) noexcept {
    auto &transfer = *static_cast<Transfer *>(user_data);
    try {
        take_header(transfer, std::string_view(data, size * count));
        return size * count;
    } catch (...) {
        transfer.out_of_memory = true;
        return 0;
    }
}

int on_socket(void *, curl_socket_t socket, curlsocktype) noexcept {
    // Without these a connection whose peer vanished would look healthy for many minutes. Failing to set them is no
    // reason not to connect: every request and stream has its own time limit as well.
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &keepalive_probes, sizeof keepalive_probes);
    setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof user_timeout_ms);
    return CURL_SOCKOPT_OK;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
