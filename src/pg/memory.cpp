// Memory scopes (see memory.hpp).
#include "pg/memory.hpp"

namespace dbnet::pg {

MemoryScope::MemoryScope(const char *constant_name) : before_(CurrentMemoryContext) {
    context_ =
        call([&] { return AllocSetContextCreateInternal(TopMemoryContext, constant_name, ALLOCSET_DEFAULT_SIZES); });
    MemoryContextSwitchTo(context_);
}

MemoryScope::~MemoryScope() {
    if (CurrentMemoryContext == context_)
        MemoryContextSwitchTo(before_);
    call_noexcept([this] { MemoryContextDelete(context_); });
}

void MemoryScope::reset() {
    call([this] { MemoryContextReset(context_); });
}

} // namespace dbnet::pg
