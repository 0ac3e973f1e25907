// What the running transaction will leave on record: activities and versions of rows, numbered in the order in which
// they come up. Written at its end by the store. Backends; functions that take no `noexcept` may longjmp and are called
// inside pg::call or from hooks.
#pragma once

#include "provenance/hooks/frame.hpp"
#include "provenance/record/value.hpp"

namespace dbnet::provenance {

// Numbers count from 1; the transaction itself is 0 on record and nothing here.
using RecordNumber = uint32;

struct Activity {
    ActivityKind kind;
    ActivityStatus status;
    bool is_kept;      // on record whatever came of it
    bool has_followed; // something was recorded below it, perhaps rolled back since
    bool is_withheld;
    RecordNumber parent; // 0: none in this transaction
    EventId parent_event;
    RecordNumber started_by; // a version
    SubTransactionId subtransaction;
    int32 relation; // tracked_relation.number, 0: none
    int32 line;
    const char *name, *role, *text;
    Oid role_id, outer_role, session_user; // see Frame
    int text_length;
    Jsonb *arguments, *detail;
    FunctionInfo *function;
    const FunctionVersion *version; // of it
    Frame *frame;                   // while it is running
    TimestampTz started_at;
    int64 duration, rows; // -1: unknown
};

struct Version {
    char operation;     // as entity_version.operation; '\0': not recorded (yet)
    bool is_dropped;    // rolled back
    RecordNumber alias; // the number under which the row was recorded after all
    RecordNumber activity;
    EventId activity_event; // when activity is 0: one of an earlier transaction
    RecordNumber pair;
    RecordNumber previous; // the version of the same key before it, in this transaction
    int32 relation;
    int64 key_hash;
    CommandId command;
    TransactionId row_transaction;
    EventId cause;
    Jsonb *key, *old_row, *new_row;
};

struct Use {
    RecordNumber activity;
    EventId activity_event;
    RecordNumber version;  // of this transaction, …
    EventId version_event; // … or an earlier one; 0: none
    int32 relation;
    Jsonb *key; // null: the table
};

struct Record {
    enum class Kind : uint8 { activity, version, use };
    Kind kind;
    bool is_written; // decided at the end
    EventId event;   // its id once it is written; 0: not, or not yet
    union {
        Activity activity;
        Version version;
        Use use;
    };
};

// Settings and process allow it: nothing is recorded in parallel workers, without shared memory, of an extension's
// script, or with dbnet.provenance off.
bool is_recording() noexcept;

// ---- records of the running transaction ----

// For what a transaction needs, made once per process: emptying costs less than making and deleting.
MemoryContext lasting_context(const char *name);
// Where texts and documents of records are to be allocated; empty with the transaction's end.
MemoryContext record_memory();
uint32 record_count() noexcept;
Record &record_at(RecordNumber number) noexcept;   // one that is not written yet, or was by the last flush
Record *open_record(RecordNumber number) noexcept; // nullptr: it is written already, or 0
// Tells transactions apart within the process.
uint64 transaction_serial() noexcept;

// The activity of the frame and, before it, those within which it runs. number 0: an earlier transaction recorded it.
struct ActivityReference {
    RecordNumber number;
    EventId event;
};
ActivityReference activity_of(Frame *frame);
// The frame's activity stays on record whatever it did.
void keep_activity(Frame *frame);
// The frame is over: what its activity says of it is complete.
void finish_activity(Frame *frame) noexcept;
// An activity that has no frame: what a replication worker applies.
ActivityReference activity_without_frame(const char *name);

// `promised`: a number that is reserved for it; 0: none.
RecordNumber add_version(const Version &version, RecordNumber promised = 0);
// A version that turns out to be that of a row which goes on under another key: it becomes `moved`, and `left`, under
// its own key, tells so.
void move_version(RecordNumber number, const Version &moved, const Version &left);
RecordNumber add_use(const Use &use);

// ---- finding versions ----

// Where a row is, for a deleted one where it was, and by which command of the transaction it became so: the row at one
// place may be inserted and deleted, and after a savepoint or TRUNCATE another one may be there.
struct Place {
    Oid table;
    ItemPointerData row;
    CommandId command; // InvalidCommandId: none, a table as a whole
};
// The version of the row. 0: unknown. With `reserve`, a number for the version that has yet to come: triggers and
// foreign keys may run before ours.
RecordNumber version_at(const Place &place, bool reserve);
void note_place(const Place &place, RecordNumber version);
// A number that was reserved for the row at this place; 0: none.
RecordNumber reserved_at(const Place &place);
// The newest version of a key that was not rolled back.
RecordNumber newest_version(int32 relation, int64 key_hash);
// A number for the version of the key that has yet to come.
RecordNumber reserve_version(int32 relation, int64 key_hash);
RecordNumber reserved_version(int32 relation, int64 key_hash);

// ---- what was said of the transaction ----

void set_cause(EventId event, const char *reason);

struct TransactionNote {
    EventId cause = 0;
    const char *reason = nullptr;
    const char *traceparent = nullptr; // the first one that was met
    const Frame *asked = nullptr;      // goes on from an earlier transaction, and was looked at for it; never followed
    const char *prepared_as = nullptr;
};
TransactionNote &transaction_note() noexcept;

// ---- its end ----

// Writes what there is; the transaction's event id, 0: nothing was recorded. Outside pg::call; throws pg::error or
// warns, as dbnet.provenance_on_error says.
EventId flush();
// To be called after each row: a transaction that changes more than dbnet.provenance_buffer_limit is written in parts,
// each with an id of its own, whose `cause` is the first one. Outside pg::call; throws as flush().
void flush_if_large();
// The id of the transaction's first part; 0: nothing is written yet.
EventId first_part() noexcept;

// The id under which a record was written; 0: it was not.
EventId event_of(RecordNumber number) noexcept;
// Records before this one were written by an earlier flush of the same transaction.
RecordNumber first_unwritten() noexcept;

// Called once per process, when the hooks are installed.
void install_recorder();

} // namespace dbnet::provenance
