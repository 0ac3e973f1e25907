// Fuzz target of what databases write for each other: stamps on objects, which anybody may have changed, instants, and
// PostgreSQL's history files.
#include "kubernetes/instant.hpp"
#include "mirror/decision/stamp.hpp"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace dbnet::mirror;
    using dbnet::kubernetes::format_instant;
    using dbnet::kubernetes::parse_instant;
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    if (const auto stamp = parse_stamp(text); stamp && parse_stamp(format(*stamp)) != stamp)
        std::abort();
    if (const auto instant = parse_instant(text); instant && parse_instant(format_instant(*instant, true)) != instant)
        std::abort();
    cut_timelines(text);
    return 0;
}
