// Fuzz target of compressed bodies: whatever the bytes, no more than the limit comes out.
#include "telemetry/otlp/inflate.hpp"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace dbnet::telemetry;
    constexpr size_t limit = 100'000;
    const std::string_view packed(reinterpret_cast<const char *>(data), size);
    for (const auto inflate : {inflate_gzip, inflate_zstd}) {
        std::string plain;
        inflate(packed, limit, plain);
        if (plain.size() > limit)
            std::abort();
    }
    return 0;
}
