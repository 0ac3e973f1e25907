// Fuzz target of the WAL message decoder. Whatever is accepted must be within the limits and encode to the same bytes.
#include "capture/message.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace dbnet::capture;
    Cookie cookie{};
    cookie.fill('k');
    const std::string_view bytes(reinterpret_cast<const char *>(data), size);
    const auto message = decode(bytes, cookie);
    if (!message)
        return 0;
    for (const Change &change : message->changes)
        if (change.name_space.size() > key_part_size || change.name.size() > key_part_size)
            std::abort();
    if (encode({cookie, message->role, message->provenance}, message->changes) != bytes)
        std::abort();
    return 0;
}
