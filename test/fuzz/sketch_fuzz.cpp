// Fuzz target of the bytes of sketches: what is taken prints as it was, and can be counted on and merged.
#include "telemetry/panes/exponential_histogram.hpp"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using dbnet::telemetry::ExponentialHistogram;
    const std::string_view bytes(reinterpret_cast<const char *>(data), size);
    ExponentialHistogram sketch, again;
    if (!sketch.parse(bytes))
        return 0;
    if (sketch.serialize() != bytes)
        std::abort();
    for (const double share : {0.0, 0.5, 1.0})
        sketch.quantile(share);
    for (const double value : {1.0, -1.0, 5e-324, 1.7976931348623157e308})
        sketch.add(value);
    sketch.merge(sketch);
    if (!again.parse(sketch.serialize()) && sketch.count() < UINT64_MAX)
        std::abort();
    return 0;
}
