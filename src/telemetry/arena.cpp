// Blocks of an arena; see the header. Any process that takes telemetry.
#include "telemetry/arena.hpp"

#include <algorithm>

namespace dbnet::telemetry {

void Arena::grow(size_t size) {
    // Twice what there is, so that a big batch has few blocks.
    const size_t wanted = std::max({size, block_size, std::min(footprint_, largest_kept)});
    blocks_.reserve(blocks_.size() + 1);
    blocks_.push_back({std::unique_ptr<char[]>(new char[wanted]), wanted});
    next_ = blocks_.back().memory.get();
    room_ = wanted;
    footprint_ += wanted;
}

void Arena::reset() noexcept {
    auto kept = blocks_.end();
    for (auto block = blocks_.begin(); block != blocks_.end(); ++block)
        if (block->size <= largest_kept && (kept == blocks_.end() || block->size > kept->size))
            kept = block;
    if (kept == blocks_.end()) {
        blocks_.clear();
        next_ = nullptr;
        room_ = footprint_ = 0;
        return;
    }
    std::swap(*kept, blocks_.front());
    blocks_.erase(blocks_.begin() + 1, blocks_.end());
    next_ = blocks_.front().memory.get();
    room_ = footprint_ = blocks_.front().size;
}

void Arena::rewind(const Mark &mark) noexcept {
    while (blocks_.size() > mark.blocks) {
        footprint_ -= blocks_.back().size;
        blocks_.pop_back();
    }
    next_ = mark.next;
    room_ = mark.room;
}

} // namespace dbnet::telemetry

#include "pg/no_postgres.hpp"
