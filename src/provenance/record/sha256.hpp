// SHA-256 in pieces. OpenSSL's newer interface allocates and looks the algorithm up for each hash, which takes longer
// than hashing a row does; this is the plain one below it. Backends and workers; does not raise.
#pragma once

#include "pg/compat.hpp"

#include <array>

namespace dbnet::provenance {

class Sha256 {
public:
    using Digest = std::array<unsigned char, 32>;

    Sha256() noexcept;
    void add(std::string_view bytes) noexcept {
        if (bytes.size() > sizeof pending_ - pending_size_)
            return add_at_once(bytes);
        memcpy(pending_ + pending_size_, bytes.data(), bytes.size());
        pending_size_ += bytes.size();
    }
    Digest digest() noexcept;         // ends it
    int64 start_of_digest() noexcept; // ends it, too: its first 8 bytes, the same on every machine

private:
    void add_at_once(std::string_view bytes) noexcept;

    alignas(8) unsigned char state_[112]; // OpenSSL's SHA256_CTX
    char pending_[512];                   // a call for each column would take longer than the hash
    size_t pending_size_ = 0;
};

// Its first 4 bytes, likewise.
int32 checksum_of(const Sha256::Digest &digest) noexcept;

} // namespace dbnet::provenance
