// Fuzz target of cron schedules: a schedule that is taken has a next minute that matches, and none between.
#include "policy/cron.hpp"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace dbnet::policy;
    const auto parsed = Cron::parse(std::string_view(reinterpret_cast<const char *>(data), size));
    if (const std::string *problem = std::get_if<std::string>(&parsed)) {
        if (problem->empty())
            std::abort();
        return 0;
    }
    const Cron &cron = std::get<Cron>(parsed);
    const Minute after = 29'000'000; // in 2025
    const std::optional<Minute> next = cron.next(after);
    if (!next)
        return 0;
    if (*next <= after || !cron.matches(*next))
        std::abort();
    for (Minute between = after + 1; between < *next && between < after + 3000; between++)
        if (cron.matches(between))
            std::abort();
    const auto same = cron.next(after, [](Minute) { return 0; });
    if (same != next)
        std::abort();
    return 0;
}
