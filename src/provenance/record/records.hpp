// Memory of what the recorder has met in the running transaction: shared by the files that fill it (activities.cpp,
// versions.cpp), decide what of it is written (choice.cpp) and have it written (recorder.cpp). Backends.
#pragma once

#include "provenance/record/number_index.hpp"
#include "provenance/record/recorder.hpp"

namespace dbnet::provenance {

inline constexpr uint32 index_limit =
    1 << 20; // entries of an index, 32 MB; later rows are recorded, but no longer found

// Lives in a context that is emptied when the transaction ends; no destructor runs. A transaction that changes very
// much is written in parts, of which only the events are remembered.
struct Records {
    Records(MemoryContext context, MemoryContext part)
        : context(context), part(part), places(context, index_limit), keys(context, index_limit),
          reserved(context, index_limit) {}

    MemoryContext context, part;
    Record *list = nullptr;         // of the part; list[0] is number flushed + 1; in its memory
    uint32 count = 0, capacity = 0; // count: of all parts, capacity: of the list
    uint32 flushed = 0;             // records of parts that are done with
    EventId *events = nullptr;      // theirs
    EventId first_part = 0;         // its transaction id
    bool is_written = false;        // the part is, and is kept for final_number()
    bool is_overfull = false;       // a savepoint holds more than may be remembered: nothing more is recorded
    NumberIndex places, keys, reserved;
    const char *role_name = nullptr; // of the last activity's role; in the part's memory
    Oid role_of_name = InvalidOid;

    uint32 in_part() const noexcept { return count - flushed; }
};

// nullptr: nothing was met yet.
extern Records *records;

Records &begun();
// May longjmp, as all that follows without noexcept.
RecordNumber append(const Record &record);
// The part is done with: its events are all that is remembered of it.
void retire();
// The transaction has ended.
void forget_records() noexcept;

// A savepoint begins at this nesting level; how many records there were before it.
void begin_savepoint(int level);
uint32 records_before_savepoint(int level) noexcept;

// ---- activities ----

// What the frame knows by now of how it went.
void take_over(Activity &activity, const Frame &frame) noexcept;
// What was said of the transaction that has ended.
void forget_note() noexcept;

// ---- what is written ----

// True: something is worth a record. From then on Record::is_written is decided.
bool choose_what_is_written() noexcept;
bool has_activity() noexcept;
// Records that are written; what still runs says of itself how far it has come.
uint32 count_them() noexcept;
// In order of recording, from `transaction` on; 0: takes the ids back. The first id, which the transaction goes by, is
// an activity's, whatever was promised before.
void number_them(EventId transaction) noexcept;

} // namespace dbnet::provenance
