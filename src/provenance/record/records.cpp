// Memory of records (see records.hpp). Backends.
#include "provenance/record/records.hpp"

#include <new>

namespace dbnet::provenance {
namespace {

uint64 serial = 1;
// Records before the subtransaction of each nesting level; grows in TopMemoryContext.
uint32 *level_starts = nullptr;
int level_count = 0;

} // namespace

Records *records = nullptr;

Records &begun() {
    if (records == nullptr) {
        static const MemoryContext context = lasting_context("DBNet provenance");
        static const MemoryContext part = lasting_context("DBNet provenance part");
        records = new (MemoryContextAlloc(context, sizeof(Records))) Records(context, part);
        // Savepoints that are open began before anything was recorded.
        for (int level = 0; level < level_count; ++level)
            level_starts[level] = 0;
    }
    return *records;
}

void retire() {
    Records &all = *records;
    const Size size = sizeof(EventId) * (all.count + 1);
    all.events =
        static_cast<EventId *>(all.events == nullptr ? MemoryContextAllocExtended(all.context, size, MCXT_ALLOC_HUGE)
                                                     : repalloc_huge(all.events, size));
    for (RecordNumber number = all.flushed + 1; number <= all.count; ++number)
        all.events[number - 1] = event_of(number);
    MemoryContextReset(all.part);
    all.list = nullptr;
    all.capacity = 0;
    all.flushed = all.count;
    all.is_written = false;
    all.role_name = nullptr;
}

RecordNumber append(const Record &record) {
    Records &all = begun();
    if (all.is_written)
        retire();
    if (all.in_part() == all.capacity) {
        const uint32 capacity = all.capacity == 0 ? 8 : all.capacity * 2;
        const MemoryContext before = MemoryContextSwitchTo(all.part);
        all.list = static_cast<Record *>(all.list == nullptr ? palloc(sizeof(Record) * capacity)
                                                             : repalloc_huge(all.list, sizeof(Record) * capacity));
        MemoryContextSwitchTo(before);
        all.capacity = capacity;
    }
    all.list[all.in_part()] = record;
    return ++all.count;
}

void forget_records() noexcept {
    if (records != nullptr) {
        MemoryContextReset(records->part);
        MemoryContextReset(records->context); // and with it *records
    }
    records = nullptr;
    ++serial;
}

void begin_savepoint(int level) {
    while (level >= level_count) {
        const int count = level_count == 0 ? 16 : level_count * 2;
        level_starts = static_cast<uint32 *>(level_starts == nullptr
                                                 ? MemoryContextAllocZero(TopMemoryContext, sizeof(uint32) * count)
                                                 : repalloc(level_starts, sizeof(uint32) * count));
        level_count = count;
    }
    level_starts[level] = record_count();
}

uint32 records_before_savepoint(int level) noexcept {
    return level < level_count ? level_starts[level] : 0;
}

MemoryContext lasting_context(const char *name) {
    return AllocSetContextCreateInternal(TopMemoryContext, name, ALLOCSET_DEFAULT_SIZES);
}

MemoryContext record_memory() {
    if (begun().is_written)
        retire(); // before anything of the next part is there
    return records->part;
}

uint32 record_count() noexcept {
    return records != nullptr ? records->count : 0;
}

Record &record_at(RecordNumber number) noexcept {
    return records->list[number - records->flushed - 1];
}

Record *open_record(RecordNumber number) noexcept {
    return records != nullptr && number > records->flushed && !records->is_written ? &record_at(number) : nullptr;
}

uint64 transaction_serial() noexcept {
    return serial;
}

EventId first_part() noexcept {
    return records != nullptr ? records->first_part : 0;
}

EventId event_of(RecordNumber number) noexcept {
    if (records == nullptr || number == 0 || number > records->count)
        return 0;
    if (number <= records->flushed)
        return records->events[number - 1];
    const Record &record = record_at(number);
    return record.kind == Record::Kind::version && record.version.alias != 0 ? event_of(record.version.alias)
                                                                             : record.event;
}

RecordNumber first_unwritten() noexcept {
    return records != nullptr ? records->flushed + 1 : 1;
}

} // namespace dbnet::provenance
