// Caches of what a backend knows of tables and of functions: what is out of date is looked up anew at the next
// question, and removed when there is much of it, for what is gone is never asked for again. Backends.
#pragma once

extern "C" {
#include "utils/hsearch.h"
}

namespace dbnet::provenance {

// Removes the entries that are not known and frees their memory, once there are `most_stale`; `stale` counts them.
// Entry: begins with its key; `is_known`; `memory`, a context or nullptr. Those that something refers to stay. True:
// some may have been removed. Does not raise.
template<class Entry, class F> bool remove_stale(HTAB *entries, uint32 &stale, F is_in_use) noexcept {
    constexpr uint32 most_stale = 32;
    if (stale < most_stale)
        return false;
    stale = 0;
    HASH_SEQ_STATUS scan;
    hash_seq_init(&scan, entries);
    while (auto *entry = static_cast<Entry *>(hash_seq_search(&scan))) {
        if (entry->is_known)
            continue;
        if (is_in_use(*entry)) {
            ++stale;
            continue;
        }
        if (entry->memory != nullptr)
            MemoryContextDelete(entry->memory);
        hash_search(entries, entry, HASH_REMOVE, nullptr);
    }
    return true;
}

} // namespace dbnet::provenance
