// Where a content hash was seen before: open addressing, for what a batch keeps once. Pure C++.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

namespace dbnet::telemetry {

// 128 bits over everything that makes two resources, scopes, metrics or series the same.
using Hash = std::array<uint8_t, 16>;

class HashIndex {
public:
    static constexpr uint32_t absent = UINT32_MAX;

    uint32_t find(const Hash &hash) const noexcept { return slots_.empty() ? absent : slots_[slot_of(hash)].index; }

    // Of a hash that find() does not know.
    void insert(const Hash &hash, uint32_t index) {
        if ((used_ + 1) * 2 > slots_.size())
            rebuild(slots_.empty() ? 64 : slots_.size() * 2, absent);
        slots_[slot_of(hash)] = {hash, index};
        ++used_;
    }

    // Forgets the indexes from `first` on.
    void remove_from(uint32_t first) {
        if (used_ > 0)
            rebuild(slots_.size(), first);
    }

    void clear() noexcept {
        if (used_ > 0)
            slots_.assign(slots_.size(), Slot());
        used_ = 0;
    }

private:
    struct Slot {
        Hash hash{};
        uint32_t index = absent;
    };

    // Of the hash, or the free one where it belongs. A hash is cryptographic: any bits of it are as good as random.
    size_t slot_of(const Hash &hash) const noexcept {
        uint64_t start;
        std::memcpy(&start, hash.data(), sizeof start);
        size_t at = start & (slots_.size() - 1);
        while (slots_[at].index != absent && slots_[at].hash != hash)
            at = (at + 1) & (slots_.size() - 1);
        return at;
    }

    void rebuild(size_t size, uint32_t limit) {
        std::vector<Slot> before(size);
        before.swap(slots_);
        used_ = 0;
        for (const Slot &slot : before)
            if (slot.index < limit) {
                slots_[slot_of(slot.hash)] = slot;
                ++used_;
            }
    }

    std::vector<Slot> slots_; // a power of two, at most half full
    size_t used_ = 0;
};

} // namespace dbnet::telemetry
