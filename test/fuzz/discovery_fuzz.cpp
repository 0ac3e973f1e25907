// Fuzz target of discovery documents. Kinds that are found must be complete.
#include "kubernetes/schema/discovery.hpp"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace dbnet::kubernetes;
    try {
        const Discovery discovery = parse_discovery({reinterpret_cast<const char *>(data), size});
        for (const DiscoveredKind &kind : discovery.kinds)
            if (kind.resource.kind.empty() || kind.resource.plural.empty() || kind.resource.version.empty())
                std::abort();
        for (const GroupVersion &pending : discovery.pending)
            if (pending.version.empty() || pending.path().empty())
                std::abort();
    } catch (const Failure &) {
    }
    return 0;
}
