// What one transaction changed so far: each key once, with the newest operation, in the order of first occurrence.
// Pure C++, in memory that the caller provides and takes back without ceremony: no destructor need run. Backends.
#pragma once

#include "capture/message.hpp"

#include <deque>
#include <memory_resource>
#include <optional>
#include <unordered_set>
#include <vector>

namespace dbnet::capture {

class Buffer {
public:
    // Beyond `limit` bytes the changes shrink to one 'C' per relation, and these relations stay that way.
    Buffer(std::pmr::memory_resource *memory, std::size_t limit);
    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;

    // Copies the strings. Throws std::bad_alloc.
    void add(const ChangeView &change);

    template<class F> void for_each(F &&f) const {
        for (const ChangeView &change : whole_)
            f(change);
        if (!keys_)
            return;
        for (const ChangeView &change : keys_->list)
            f(change);
    }

private:
    struct Hash {
        std::size_t operator()(const ChangeView *change) const;
    };
    struct SameKey {
        bool operator()(const ChangeView *left, const ChangeView *right) const;
    };
    struct Keys {
        explicit Keys(std::pmr::memory_resource *memory) : list(memory), index(memory) {}
        std::pmr::deque<ChangeView> list;
        std::pmr::unordered_set<ChangeView *, Hash, SameKey> index; // into list
    };

    bool is_whole(std::uint32_t relation, char operation) const;
    void shrink(std::uint32_t newest);
    std::string_view copied(std::string_view text);

    const std::size_t limit_;
    std::size_t bytes_ = 0; // about what keys_ takes
    std::pmr::monotonic_buffer_resource arena_;
    std::optional<Keys> keys_;           // I, U, D; in arena_, made with the first
    std::pmr::vector<ChangeView> whole_; // C, S: few, at most two per mirror
};

} // namespace dbnet::capture
