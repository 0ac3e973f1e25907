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
            grow();
        slots_[slot_of(hash)] = {hash, index};
        ++used_;
    }

    void remove(const Hash &hash) noexcept {
        if (find(hash) == absent)
            return;
        // What was put behind it for want of its own slot moves up, or it would not be found again.
        const size_t mask = slots_.size() - 1;
        size_t hole = slot_of(hash);
        for (size_t at = (hole + 1) & mask; slots_[at].index != absent; at = (at + 1) & mask)
            if (((at - home_of(slots_[at].hash)) & mask) >= ((at - hole) & mask)) {
                slots_[hole] = slots_[at];
                hole = at;
            }
        slots_[hole] = Slot();
        --used_;
    }

    // A big table goes: clearing it would take longer than the next small batch.
    void clear() noexcept {
        if (slots_.size() > largest_kept)
            slots_.clear();
        else if (used_ > 0)
            slots_.assign(slots_.size(), Slot());
        used_ = 0;
    }

private:
    static constexpr size_t largest_kept = 4096; // slots

    struct Slot {
        Hash hash{};
        uint32_t index = absent;
    };

    // A hash is cryptographic: any bits of it are as good as random.
    size_t home_of(const Hash &hash) const noexcept {
        uint64_t start;
        std::memcpy(&start, hash.data(), sizeof start);
        return start & (slots_.size() - 1);
    }

    // Of the hash, or the free one where it belongs.
    size_t slot_of(const Hash &hash) const noexcept {
        size_t at = home_of(hash);
        while (slots_[at].index != absent && slots_[at].hash != hash)
            at = (at + 1) & (slots_.size() - 1);
        return at;
    }

    void grow() {
        std::vector<Slot> before(slots_.empty() ? 64 : slots_.size() * 2);
        before.swap(slots_);
        for (const Slot &slot : before)
            if (slot.index != absent)
                slots_[slot_of(slot.hash)] = slot;
    }

    std::vector<Slot> slots_; // a power of two, at most half full
    size_t used_ = 0;
};

} // namespace dbnet::telemetry
