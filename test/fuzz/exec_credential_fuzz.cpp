// Fuzz target of what credential programs print. Whatever is accepted can be sent in a header, or is a pair of PEM
// texts; what is shown of errors is printable.
#include "kubernetes/credentials/exec_credential.hpp"
#include "kubernetes/failure.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace dbnet::kubernetes;
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    try {
        const ExecCredential credential = parse_exec_credential(text, "client.authentication.k8s.io/v1");
        if (std::any_of(credential.token.begin(), credential.token.end(), [](unsigned char c) { return c <= ' '; }) ||
            credential.client_certificate_pem.empty() != credential.client_key_pem.empty() ||
            (credential.token.empty() && credential.client_key_pem.empty()))
            std::abort();
    } catch (const Failure &) {
    }
    ExecPlugin plugin;
    plugin.environment = {{"TOKEN", "hunter2hunter2"}};
    const std::string shown = shown_errors(text, text.substr(0, size / 2), plugin);
    if (shown.find("hunter2hunter2") != std::string::npos || shown.size() > 320 ||
        std::any_of(shown.begin(), shown.end(), [](unsigned char c) { return c < ' '; }))
        std::abort();
    return 0;
}
