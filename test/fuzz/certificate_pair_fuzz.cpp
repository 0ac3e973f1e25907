// Fuzz target of PEM files of client certificates: a certificate and a key in one text, in either order and possibly
// with more around, as files are while they are being replaced.
#include "kubernetes/credentials/certificate_pair.hpp"

#include <openssl/err.h>

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using dbnet::kubernetes::is_certificate_pair;
    const std::string text(reinterpret_cast<const char *>(data), size);
    const bool is_pair = is_certificate_pair(text, text);
    if (is_certificate_pair(text, text) != is_pair || ERR_peek_error() != 0)
        std::abort();
    is_certificate_pair(text.substr(0, size / 2), text.substr(size / 2));
    return 0;
}
