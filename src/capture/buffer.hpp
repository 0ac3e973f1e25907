// What one transaction changed so far: each key once, with the newest operation, in the order of first occurrence. What
// a subtransaction changed is taken back when it is rolled back.
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

    static constexpr std::uint32_t top = 1; // the transaction itself, as PostgreSQL numbers subtransactions

    // Copies the strings. `cause`: a number of the caller's, 0: none. Throws std::bad_alloc.
    void add(const ChangeView &change, std::uint32_t subtransaction = top, std::uint32_t cause = 0);

    // What `subtransaction` added is its parent's from now on, or has never been. It is the innermost one.
    void commit(std::uint32_t subtransaction, std::uint32_t parent) noexcept;
    void roll_back(std::uint32_t subtransaction) noexcept;

    // f(change, cause)
    template<class F> void for_each(F &&f) const {
        for (const ChangeView &change : whole_)
            f(change, std::uint32_t{0});
        if (!keys_)
            return;
        for (const Entry &entry : keys_->list)
            if (entry.operation != '\0')
                f(static_cast<const ChangeView &>(entry), entry.cause);
    }

private:
    struct Entry : ChangeView { // no operation: all that touched the key was rolled back
        std::uint32_t cause = 0;
        std::uint32_t subtransaction = top; // of the newest change
    };
    // What an entry said before `subtransaction` changed it first.
    struct Undo {
        Entry *entry;
        char operation;
        std::uint32_t event;
        std::uint32_t cause;
        std::uint32_t role;
        std::uint32_t before; // Entry::subtransaction
        std::uint32_t subtransaction;
    };
    struct Hash {
        std::size_t operator()(const ChangeView *change) const;
    };
    struct SameKey {
        bool operator()(const ChangeView *left, const ChangeView *right) const;
    };
    struct Keys {
        explicit Keys(std::pmr::memory_resource *memory) : list(memory), index(memory), undo(memory) {}
        std::pmr::deque<Entry> list;
        std::pmr::unordered_set<Entry *, Hash, SameKey> index; // into list
        std::pmr::vector<Undo> undo;                           // those of the innermost subtransaction last
    };

    bool is_whole(std::uint32_t relation, char operation) const;
    void note(Entry &entry, const ChangeView &change, std::uint32_t subtransaction, std::uint32_t cause,
              bool needs_undo);
    void shrink(const ChangeView &newest);
    std::string_view copied(std::string_view text);

    const std::size_t limit_;
    std::size_t bytes_ = 0; // about what keys_ takes
    std::pmr::monotonic_buffer_resource arena_;
    std::optional<Keys> keys_;           // I, U, D, A; in arena_, made with the first
    std::pmr::vector<ChangeView> whole_; // C, S: few, at most two per mirror
};

} // namespace dbnet::capture
