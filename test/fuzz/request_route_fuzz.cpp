// Fuzz target of what a request to the gateway is for: lines of method, path, media type and coding. What is refused
// has a status and a reason. The first line is tried as an address to listen at, the whole as a token's attributes.
#include "gateway/http/listen_address.hpp"
#include "gateway/otlp/otlp_route.hpp"
#include "gateway/otlp/pinned_attributes.hpp"

#include <array>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace dbnet::gateway;
    std::string_view text(reinterpret_cast<const char *>(data), size);
    pinned_attributes(text);
    std::array<std::optional<std::string_view>, 4> lines;
    for (auto &line : lines) {
        line = text.substr(0, text.find('\n'));
        if (line->size() == text.size())
            break;
        text.remove_prefix(line->size() + 1);
    }
    if (const auto address = parse_listen_address(*lines[0]); address && (address->host.empty() || address->port == 0))
        std::abort();
    const OtlpRoute route = route_of(*lines[0], lines[1].value_or(""), lines[2], lines[3]);
    if (route.kind == OtlpRoute::Kind::refused && (route.status < 400 || route.message.empty()))
        std::abort();
    return 0;
}
