// SHA-256 (see sha256.hpp). Backends and workers.
#include "provenance/sha256.hpp"

#include <openssl/evp.h>

namespace dbnet::provenance {
namespace {

// Kept as long as the process.
EVP_MD_CTX *kept_context(bool outer) noexcept {
    static EVP_MD_CTX *const made[] = {EVP_MD_CTX_new(), EVP_MD_CTX_new()};
    return made[outer];
}

EVP_MD_CTX *context_of(void *context) noexcept {
    return static_cast<EVP_MD_CTX *>(context);
}

const EVP_MD *algorithm() noexcept {
    static const EVP_MD *const fetched = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    return fetched;
}

void require(int success) noexcept {
    if (success != 1)
        abort();
}

template<size_t Size> uint64 start_of(const Sha256::Digest &digest) noexcept {
    uint64 number = 0;
    for (size_t index = 0; index < Size; ++index)
        number = number << 8 | digest[index];
    return number;
}

} // namespace

Sha256::Sha256(bool outer) noexcept : context_(kept_context(outer)) {
    require(EVP_DigestInit_ex2(context_of(context_), algorithm(), nullptr));
}

void Sha256::add(std::string_view bytes) noexcept {
    require(EVP_DigestUpdate(context_of(context_), bytes.data(), bytes.size()));
}

Sha256::Digest Sha256::digest() noexcept {
    Digest digest;
    require(EVP_DigestFinal_ex(context_of(context_), digest.data(), nullptr));
    return digest;
}

int64 Sha256::start_of_digest() noexcept {
    return static_cast<int64>(start_of<8>(digest()));
}

int32 checksum_of(const Sha256::Digest &digest) noexcept {
    return static_cast<int32>(start_of<4>(digest));
}

} // namespace dbnet::provenance
