// From a 64-bit number to another one, in memory of a PostgreSQL context: open addressing, plain data, no destructor.
// Backends; may longjmp when it grows. Who looks up by a fingerprint of something longer takes two that are the same
// for one.
#pragma once

#include "pg/compat.hpp"

namespace dbnet::provenance {

class NumberIndex {
public:
    // Beyond `limit` entries nothing more is taken in: what is not found is then no proof of anything.
    NumberIndex(MemoryContext context, uint32 limit) : context_(context), limit_(limit) {}

    // 0: not there.
    uint64 find(uint64 key) const noexcept {
        if (capacity_ == 0)
            return 0;
        for (uint32 place = start(key);; place = (place + 1) & (capacity_ - 1))
            if (slots_[place].value == 0 || slots_[place].key == key)
                return slots_[place].value;
    }

    // `value` is not 0.
    void put(uint64 key, uint64 value) {
        if ((count_ + 1) * 2 > capacity_ && !grow())
            return;
        uint32 place = start(key);
        while (slots_[place].value != 0 && slots_[place].key != key)
            place = (place + 1) & (capacity_ - 1);
        if (slots_[place].value == 0)
            ++count_;
        slots_[place] = {key, value};
    }

private:
    struct Slot {
        uint64 key, value;
    };

    uint32 start(uint64 key) const noexcept { return static_cast<uint32>(murmurhash64(key)) & (capacity_ - 1); }

    bool grow() {
        if (count_ >= limit_)
            return false;
        const uint32 old_capacity = capacity_;
        Slot *const old_slots = slots_;
        const uint32 capacity = old_capacity == 0 ? 16 : old_capacity * 2;
        slots_ = static_cast<Slot *>(
            MemoryContextAllocExtended(context_, sizeof(Slot) * capacity, MCXT_ALLOC_ZERO | MCXT_ALLOC_HUGE));
        capacity_ = capacity;
        count_ = 0;
        for (uint32 place = 0; place < old_capacity; ++place)
            if (old_slots[place].value != 0)
                put(old_slots[place].key, old_slots[place].value);
        if (old_slots != nullptr)
            pfree(old_slots);
        return true;
    }

    static uint64 murmurhash64(uint64 value) noexcept { // the finisher of MurmurHash3 (Austin Appleby, public domain)
        value ^= value >> 33;
        value *= UINT64CONST(0xff51afd7ed558ccd);
        value ^= value >> 33;
        value *= UINT64CONST(0xc4ceb9fe1a85ec53);
        return value ^ (value >> 33);
    }

    MemoryContext context_;
    uint32 limit_;
    uint32 capacity_ = 0, count_ = 0;
    Slot *slots_ = nullptr;
};

} // namespace dbnet::provenance
