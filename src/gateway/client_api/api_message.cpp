// Messages between the api worker and its sessions (see api_message.hpp).
#include "gateway/client_api/api_message.hpp"

#include <cstring>

namespace dbnet::gateway {
namespace {

void add(std::string &bytes, uint32_t number) {
    bytes.append(reinterpret_cast<const char *>(&number), sizeof number);
}
void add(std::string &bytes, std::string_view text) {
    add(bytes, static_cast<uint32_t>(text.size()));
    bytes.append(text);
}

class Reader {
public:
    explicit Reader(std::string_view bytes) noexcept : rest_(bytes) {}

    uint32_t number() noexcept {
        uint32_t number = 0;
        if (rest_.size() < sizeof number) {
            is_good_ = false;
            return 0;
        }
        memcpy(&number, rest_.data(), sizeof number);
        rest_.remove_prefix(sizeof number);
        return number;
    }
    std::string text() {
        const uint32_t size = number();
        is_good_ &= size <= rest_.size();
        std::string text(rest_.substr(0, is_good_ ? size : 0));
        rest_.remove_prefix(text.size());
        return text;
    }
    bool is_complete() const noexcept { return is_good_ && rest_.empty(); }

private:
    std::string_view rest_;
    bool is_good_ = true;
};

} // namespace

std::string ApiRequest::to_bytes() const {
    std::string bytes;
    bytes.reserve(body.size() + 256);
    add(bytes, route);
    add(bytes, uint32_t{wants_csv});
    for (const std::string *text : {&client, &token, &traceparent, &schema, &body})
        add(bytes, std::string_view(*text));
    return bytes;
}

std::optional<ApiRequest> ApiRequest::from_bytes(std::string_view bytes) {
    Reader reader(bytes);
    ApiRequest request;
    request.route = reader.number();
    request.wants_csv = reader.number() != 0;
    for (std::string *text : {&request.client, &request.token, &request.traceparent, &request.schema, &request.body})
        *text = reader.text();
    return reader.is_complete() ? std::optional(std::move(request)) : std::nullopt;
}

std::string ApiAnswer::to_bytes() const {
    std::string bytes;
    bytes.reserve(body.size() + 16);
    add(bytes, status);
    add(bytes, uint32_t{is_csv});
    add(bytes, uint32_t{is_cut_csv});
    add(bytes, uint32_t{try_again});
    add(bytes, std::string_view(body));
    return bytes;
}

std::optional<ApiAnswer> ApiAnswer::from_bytes(std::string_view bytes) {
    Reader reader(bytes);
    ApiAnswer answer;
    answer.status = reader.number();
    answer.is_csv = reader.number() != 0;
    answer.is_cut_csv = reader.number() != 0;
    answer.try_again = reader.number() != 0;
    answer.body = reader.text();
    return reader.is_complete() ? std::optional(std::move(answer)) : std::nullopt;
}

} // namespace dbnet::gateway

#include "pg/no_postgres.hpp"
