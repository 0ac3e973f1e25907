// Content hash by OpenSSL's plain interface, which does not allocate; see the header. Any process that takes telemetry.
#define OPENSSL_SUPPRESS_DEPRECATED // OpenSSL 3 would rather have the interface that allocates
#include "telemetry/content_hash.hpp"

#include <openssl/sha.h>

#include <algorithm>

namespace dbnet::telemetry {
namespace {

SHA256_CTX *context_of(unsigned char *state) noexcept {
    return reinterpret_cast<SHA256_CTX *>(state);
}

} // namespace

ContentHash::ContentHash() noexcept {
    static_assert(sizeof state_ == sizeof(SHA256_CTX) && alignof(SHA256_CTX) <= 8);
    SHA256_Init(context_of(state_));
}

void ContentHash::add(std::string_view part) noexcept {
    add(static_cast<uint64_t>(part.size()));
    SHA256_Update(context_of(state_), part.data(), part.size());
}

void ContentHash::add(uint64_t part) noexcept {
    unsigned char bytes[8]; // the same on every machine
    for (int i = 0; i < 8; ++i)
        bytes[i] = static_cast<unsigned char>(part >> (8 * i));
    SHA256_Update(context_of(state_), bytes, sizeof bytes);
}

void ContentHash::add(const Hash &part) noexcept {
    SHA256_Update(context_of(state_), part.data(), part.size());
}

Hash ContentHash::end() noexcept {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256_Final(digest, context_of(state_));
    Hash hash;
    std::copy_n(digest, hash.size(), hash.begin());
    return hash;
}

} // namespace dbnet::telemetry

#include "pg/no_postgres.hpp"
