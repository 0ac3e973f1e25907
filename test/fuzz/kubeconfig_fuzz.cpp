// Fuzz target of the kubeconfig reader. Whatever is accepted must be a connection that may be used.
#include "kubernetes/credentials/kubeconfig.hpp"
#include "kubernetes/failure.hpp"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace dbnet::kubernetes;
    try {
        const Connection connection =
            from_kubeconfig_text({reinterpret_cast<const char *>(data), size}, "", "/etc/dbnet", "input");
        validate(connection);
        if (connection.api_url.starts_with("http://") &&
            (connection.has_credentials() || !is_loopback_url(connection.api_url)))
            std::abort();
    } catch (const Failure &) {
    }
    return 0;
}
