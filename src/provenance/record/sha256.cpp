// SHA-256 (see sha256.hpp). Backends and workers.
#define OPENSSL_SUPPRESS_DEPRECATED // OpenSSL 3 would rather have the interface that allocates
#include "provenance/record/sha256.hpp"

#include <openssl/sha.h>

namespace dbnet::provenance {
namespace {

SHA256_CTX *context_of(unsigned char *state) noexcept {
    return reinterpret_cast<SHA256_CTX *>(state);
}

template<size_t Size> uint64 start_of(const Sha256::Digest &digest) noexcept {
    uint64 number = 0;
    for (size_t index = 0; index < Size; ++index)
        number = number << 8 | digest[index];
    return number;
}

} // namespace

Sha256::Sha256() noexcept {
    static_assert(sizeof state_ == sizeof(SHA256_CTX) && alignof(SHA256_CTX) <= 8);
    SHA256_Init(context_of(state_));
}

void Sha256::add_at_once(std::string_view bytes) noexcept {
    SHA256_Update(context_of(state_), pending_, pending_size_);
    SHA256_Update(context_of(state_), bytes.data(), bytes.size());
    pending_size_ = 0;
}

Sha256::Digest Sha256::digest() noexcept {
    Digest digest;
    SHA256_Update(context_of(state_), pending_, pending_size_);
    SHA256_Final(digest.data(), context_of(state_));
    return digest;
}

int64 Sha256::start_of_digest() noexcept {
    return static_cast<int64>(start_of<8>(digest()));
}

int32 checksum_of(const Sha256::Digest &digest) noexcept {
    return static_cast<int32>(start_of<4>(digest));
}

} // namespace dbnet::provenance
