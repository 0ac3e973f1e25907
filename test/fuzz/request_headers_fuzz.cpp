// Any bytes as headers of a request, and as messages between the api worker and its sessions.
#include "gateway/client_api/api_message.hpp"
#include "gateway/http/request_headers.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    using namespace dbnet::gateway;
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    if (const auto token = bearer_token(text);
        token && (token->empty() || token->data() + token->size() > text.data() + size))
        abort();
    is_json_type(text);
    prefers_csv(text);
    if (const auto request = ApiRequest::from_bytes(text); request && request->to_bytes().size() != size)
        abort();
    ApiAnswer::from_bytes(text);
    return 0;
}
