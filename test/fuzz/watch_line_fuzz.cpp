// Fuzz target of watch streams and lists: bytes cut into lines however they arrive, lines read as events, bodies read
// as lists.
#include "kubernetes/failure.hpp"
#include "kubernetes/list.hpp"
#include "kubernetes/object/health.hpp"
#include "kubernetes/watch.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace {

using namespace dbnet::kubernetes;

// However the bytes arrive, the list is the same.
void read_list(std::string_view bytes, size_t step) {
    std::string items[2];
    bool is_list[2] = {};
    for (int way : {0, 1}) {
        ListReader reader({4096, 65536});
        try {
            for (size_t at = 0, size = way == 0 ? bytes.size() + 1 : step; at < bytes.size(); at += size)
                reader.push(bytes.substr(at, size), [&](std::string_view item) {
                    items[way] += item;
                    parse_item(item, {"apps", "v1", "Deployment", "deployments", true});
                });
            is_list[way] = !reader.finish().resource_version.empty();
            if (!is_list[way])
                std::abort();
        } catch (const Failure &) {
        }
    }
    // Items that are too long are noticed when a part of them is kept.
    if (bytes.size() <= 4096 && (items[0] != items[1] || is_list[0] != is_list[1]))
        std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
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
    read_list(bytes, step);
    return 0;
}
