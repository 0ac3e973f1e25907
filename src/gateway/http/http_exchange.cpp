// A request's values and its answer, kept by libmicrohttpd; see the header.
#include "gateway/http/http_exchange.hpp"

#include "gateway/http/http_server.hpp"

#include <microhttpd.h>

#include <algorithm>

namespace dbnet::gateway {

Exchange::~Exchange() {
    count(0);
    if (response_)
        MHD_destroy_response(response_);
}

std::optional<std::string_view> Exchange::header(const char *name) const noexcept {
    const char *value = MHD_lookup_connection_value(connection_, MHD_HEADER_KIND, name);
    return value ? std::optional<std::string_view>(value) : std::nullopt;
}

std::optional<std::string_view> Exchange::parameter(const char *name) const noexcept {
    const char *value = MHD_lookup_connection_value(connection_, MHD_GET_ARGUMENT_KIND, name);
    return value ? std::optional<std::string_view>(value) : std::nullopt;
}

int Exchange::socket() const noexcept {
    return MHD_get_connection_info(connection_, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

void Exchange::count(size_t bytes) noexcept {
    server_.in_flight_bytes_ += bytes - counted_bytes_; // may be less than before: unsigned, and meant to wrap
    counted_bytes_ = bytes;
}

void Exchange::respond(int status, std::initializer_list<Header> headers, std::string_view body) noexcept {
    count(body.size()); // until it is sent, or its connection ends
    is_answered_ = true;
    status_ = status;
    response_ = MHD_create_response_from_buffer(body.size(), const_cast<char *>(body.data()), MHD_RESPMEM_MUST_COPY);
    std::string().swap(body_); // `body` may have been it
    const auto add = [this](const Header &header) {
        if (response_ && MHD_add_response_header(response_, header.name, header.value.c_str()) != MHD_YES) {
            MHD_destroy_response(response_); // no memory, or no text for a header
            response_ = nullptr;
        }
    };
    std::for_each(headers.begin(), headers.end(), add);
    std::for_each(common_headers_.begin(), common_headers_.end(), add);
    if (!is_waiting_)
        return;
    is_waiting_ = false;
    (previous_ ? previous_->next_ : server_.waiting_) = next_;
    if (next_)
        next_->previous_ = previous_;
    MHD_resume_connection(connection_);
    server_.has_answers_ = true;
}

} // namespace dbnet::gateway

#include "pg/no_postgres.hpp"
