// Where in the database's code a transaction made its changes: each place once, numbered from 1. Pure C++, in memory
// that the caller provides and takes back without running a destructor; backends.
#pragma once

#include <cstdint>
#include <deque>
#include <memory_resource>
#include <span>
#include <string_view>
#include <unordered_set>

namespace dbnet::capture {

// A function that was running. Of PL/pgSQL's the oids are known, so that names are looked up only when somebody asks.
struct Frame {
    std::uint32_t function = 0; // 0: an anonymous block, or what `text` says
    std::uint32_t trigger = 0;  // that fired it; 0: it was called
    std::int32_t line = 0;      // of its body, from 1; 0: none yet
    std::string_view text;      // what PostgreSQL calls it: of other languages

    bool operator==(const Frame &) const = default;
};

using Cause = std::span<const Frame>; // innermost first

class Causes {
public:
    static constexpr std::size_t limit = 4096; // places; further ones have no number

    explicit Causes(std::pmr::memory_resource *memory) : arena_(memory), list_(&arena_), index_(&arena_) {}
    Causes(const Causes &) = delete;
    Causes &operator=(const Causes &) = delete;

    // The number of the cause, which is copied when it is new; 0 for none, and when there is no room. Throws
    // std::bad_alloc.
    std::uint32_t number_of(Cause cause);
    // Empty: no such number.
    Cause find(std::uint32_t number) const;

private:
    struct Numbered {
        Cause cause;
        std::uint32_t number;
    };
    struct Hash {
        std::size_t operator()(const Numbered *one) const;
    };
    struct Same {
        bool operator()(const Numbered *left, const Numbered *right) const;
    };

    std::pmr::monotonic_buffer_resource arena_;
    std::pmr::deque<Numbered> list_;
    std::pmr::unordered_set<const Numbered *, Hash, Same> index_; // into list_
};

} // namespace dbnet::capture
