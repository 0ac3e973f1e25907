// Fuzz target of watch streams and lists: bytes cut into lines however they arrive, lines read as events, bodies read
// as lists.
#include "kubernetes/failure.hpp"
#include "kubernetes/health.hpp"
#include "kubernetes/list.hpp"
#include "kubernetes/watch.hpp"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace dbnet::kubernetes;
    if (size == 0)
        return 0;
    const size_t step = data[0] % 64 + 1;
    const std::string_view bytes(reinterpret_cast<const char *>(data) + 1, size - 1);
    LineSplitter splitter(4096);
    std::string joined;
    size_t taken = 0;
    while (taken < bytes.size() && splitter.push(bytes.substr(taken, step))) {
        taken += std::min(step, bytes.size() - taken);
        std::string_view line;
        while (splitter.next(line)) {
            if (line.empty() || line.find('\n') != std::string_view::npos)
                std::abort();
            joined += line;
            try {
                const Event event = parse_event(line);
                if (event.type != Event::Type::error && event.resource_version.empty())
                    std::abort();
                health_of(event.object);
            } catch (const Failure &) {
            }
        }
    }
    if (!splitter.overflowed()) {
        // Nothing is lost: lines and the incomplete rest are all bytes but the line ends.
        std::string expected;
        for (size_t at = 0; at < bytes.size();) {
            const size_t end = std::min(bytes.find('\n', at), bytes.size());
            std::string_view line = bytes.substr(at, end - at);
            if (end < bytes.size()) {
                if (line.ends_with('\r'))
                    line.remove_suffix(1);
                expected += line;
            }
            at = end + 1;
        }
        if (joined != expected)
            std::abort();
    }
    try {
        parse_list(bytes, {"apps", "v1", "Deployment", "deployments", true});
    } catch (const Failure &) {
    }
    return 0;
}
