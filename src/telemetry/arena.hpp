// Memory that is given back all at once: what a batch of telemetry refers to. Pure C++.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace dbnet::telemetry {

class Arena {
public:
    static constexpr size_t alignment = 8;

    // Uninitialized, aligned to 8 bytes, valid until reset() or rewind(). Raises std::bad_alloc.
    char *allocate(size_t size) {
        size = (size + alignment - 1) & ~(alignment - 1);
        if (size > room_)
            grow(size);
        char *taken = next_;
        next_ += size;
        room_ -= size;
        return taken;
    }

    // Gives back the end of what was allocated last, from `end` on.
    void give_back(const char *end) noexcept {
        const size_t unused = static_cast<size_t>(next_ - end) & ~(alignment - 1);
        next_ -= unused;
        room_ += unused;
    }

    // Forgets everything; keeps the largest block of ordinary size for the next round.
    void reset() noexcept;

    // Forgets what was allocated since the mark.
    struct Mark {
        size_t blocks, room;
        char *next;
    };
    Mark mark() const noexcept { return {blocks_.size(), room_, next_}; }
    void rewind(const Mark &mark) noexcept;

    // Bytes held.
    size_t footprint() const noexcept { return footprint_; }

private:
    static constexpr size_t block_size = 256 * 1024;
    static constexpr size_t largest_kept = 16 * 1024 * 1024;

    struct Block {
        std::unique_ptr<char[]> memory;
        size_t size;
    };

    void grow(size_t size);

    std::vector<Block> blocks_;
    char *next_ = nullptr;
    size_t room_ = 0;
    size_t footprint_ = 0;
};

} // namespace dbnet::telemetry
