// Any bytes as headers of a request, and as messages between the api worker and its sessions.
#include "gateway/client_api/api_message.hpp"
#include "gateway/http/request_headers.hpp"
#include "gateway/otlp/allowed_origins.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    using namespace dbnet::gateway;
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    if (const auto token = bearer_token(text);
        token && (token->empty() || token->data() + token->size() > text.data() + size))
        abort();
    if (AllowedOrigins("*").allow(text) &&
        !std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; }))
        abort();
    if (!bad_origin_in(text))
        AllowedOrigins(text).allow("https://a.shop.example:8443");
    is_json_type(text);
    prefers_csv(text);
    if (const auto request = ApiRequest::from_bytes(text); request && request->to_bytes().size() != size)
        abort();
    ApiAnswer::from_bytes(text);
    return 0;
}
