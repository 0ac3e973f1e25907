// Fuzz target of Leases: what parses is renewed, and the renewal parses again under our name.
#include "kubernetes/failure.hpp"
#include "kubernetes/lease.hpp"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace dbnet::kubernetes;
    try {
        const Lease lease = parse_lease({reinterpret_cast<const char *>(data), size});
        const Request request = renew_lease_request(lease, {"us", 30, "7/1/0/10/0", 5, "prod", "now"});
        const Lease renewed = parse_lease(request.body);
        if (renewed.holder != "us" || renewed.term != 5 || renewed.duration_s != 30)
            std::abort();
        key_of(lease);
    } catch (const Failure &) { // no Lease
    }
    return 0;
}
