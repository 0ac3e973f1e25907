// Memory of PostgreSQL for C++: a context that is emptied each turn of a loop, and C++ objects that live in a context.
#pragma once

#include "pg/guard.hpp"

#include <new>

namespace dbnet::pg {

// An own memory context (child of TopMemoryContext) which is the current one while the scope lives. What palloc returns
// inside is gone at reset() or at the end. Not for use across the end of an in_transaction() that began outside.
class MemoryScope {
public:
    explicit MemoryScope(const char *constant_name);
    ~MemoryScope();
    MemoryScope(const MemoryScope &) = delete;
    MemoryScope &operator=(const MemoryScope &) = delete;

    void reset();
    MemoryContext context() const { return context_; }

private:
    MemoryContext context_ = nullptr;
    MemoryContext before_ = nullptr;
};

// A C++ object in the memory context `owner`, destroyed when that context is reset or deleted. For state that must live
// as long as something of PostgreSQL (a query, a portal, fn_mcxt).
template<class T, class... Arguments> T *construct(MemoryContext owner, Arguments &&...arguments) {
    static_assert(std::is_nothrow_destructible_v<T>);
    static_assert(alignof(T) <= MAXIMUM_ALIGNOF, "palloc does not align more");
    struct Block {
        MemoryContextCallback callback;
        alignas(T) std::byte object[sizeof(T)];
    };
    auto *block = static_cast<Block *>(call([&] { return MemoryContextAlloc(owner, sizeof(Block)); }));
    T *object = new (block->object) T(std::forward<Arguments>(arguments)...);
    block->callback.func = [](void *argument) { static_cast<T *>(argument)->~T(); };
    block->callback.arg = object;
    MemoryContextRegisterResetCallback(owner, &block->callback); // only links, cannot fail
    return object;
}

} // namespace dbnet::pg
