// Private to the transport: what curl calls while it moves one transfer. They only note things in the Transfer and
// never throw; user code runs later, from Transport::run().
#pragma once

#include <curl/curl.h>

#include <cstddef>

namespace dbnet::kubernetes {

// user_data of on_body and on_header is the Transfer.
extern "C" {
size_t on_body(char *data, size_t size, size_t count, void *user_data) noexcept;
size_t on_header(char *data, size_t size, size_t count, void *user_data) noexcept;
int on_socket(void *user_data, curl_socket_t socket, curlsocktype purpose) noexcept;
}

} // namespace dbnet::kubernetes
