// SHA-256 in pieces, several times faster than OpenSSL's one-shot functions, which look the algorithm up each time.
// Backends and workers; does not raise: where OpenSSL has no memory for it the process ends.
#pragma once

#include "pg/compat.hpp"

#include <array>

namespace dbnet::provenance {

class Sha256 {
public:
    using Digest = std::array<unsigned char, 32>;

    // OpenSSL's contexts are kept: of two hashes that are under way at the same time one is `outer`.
    explicit Sha256(bool outer = false) noexcept;
    void add(std::string_view bytes) noexcept;
    Digest digest() noexcept;         // ends it
    int64 start_of_digest() noexcept; // ends it, too: its first 8 bytes, the same on every machine

private:
    void *context_;
};

// Its first 4 bytes, likewise.
int32 checksum_of(const Sha256::Digest &digest) noexcept;

} // namespace dbnet::provenance
