// 128 bits of SHA-256 over the parts of a thing that make it the same as another. A client that could make up two
// contents of one hash would put its data under somebody else's name, so nothing cheaper serves. Pure C++.
#pragma once

#include "telemetry/hash_index.hpp"

#include <string_view>

namespace dbnet::telemetry {

class ContentHash {
public:
    ContentHash() noexcept;
    void add(std::string_view part) noexcept; // with its length: ("a", "bc") is not ("ab", "c")
    void add(uint64_t part) noexcept;
    void add(const Hash &part) noexcept;
    Hash end() noexcept;

private:
    alignas(8) unsigned char state_[112]; // OpenSSL's SHA256_CTX
};

} // namespace dbnet::telemetry
