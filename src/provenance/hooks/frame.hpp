// What is running in this backend right now: statements, calls, activations of triggers, each within another one.
// A frame becomes an activity of the recorder only when something below it is recorded. Backends; plain data that lives
// in TopMemoryContext, since a procedure that commits is running in several transactions.
#pragma once

#include "provenance/record/event_id.hpp"

#include "pg/compat.hpp"

extern "C" {
#include "commands/trigger.h"
#include "executor/execdesc.h"
}

namespace dbnet::provenance {

struct FunctionInfo; // function_info.hpp
struct FunctionVersion;

enum class ActivityKind : char { statement = 'S', call = 'C', activation = 'G', report = 'R', ddl = 'D' };

// partly: done, or running, but something that was to be written within it was rolled back: an EXCEPTION block has
// caught an error.
enum class ActivityStatus : char { done = 'd', running = 'r', failed = 'f', rolled_back = 'b', partly = 'p' };

struct Frame {
    Frame *within = nullptr; // what it runs in; kept as long as this frame is
    Frame *below = nullptr;  // on the stack of what runs; of free frames: the next free one
    int references = 0;      // frames that run within it, the stack, the list of statements
    ActivityKind kind = ActivityKind::statement;
    ActivityStatus status = ActivityStatus::running;
    bool has_lost_writes = false; // status `partly`, if it is done in the end
    bool is_withheld = false;     // text and arguments may hold what a redacted column holds, or a credential
    SubTransactionId subtransaction = InvalidSubTransactionId; // in which it began
    Oid role = InvalidOid; // whose rights it has: in a SECURITY DEFINER function that of its owner …
    Oid outer_role = InvalidOid, session_user = InvalidOid; // … the acting one (pg/as_role.hpp), and who is logged in
    TimestampTz started_at = 0;
    int64 duration = -1; // microseconds; -1: not over yet
    int64 rows = -1;     // -1: not known
    int line = 0;        // of the function within which it runs
    int32 relation = 0;  // tracked_relation.number that it is about; 0: none

    // As recorded: in the running transaction `activity`, its number (0: not yet), when `recorded_in` is that
    // transaction's serial; in an earlier one `event`.
    uint64 recorded_in = 0;
    uint32 activity = 0;
    EventId event = 0;

    // Statements.
    const char *text = nullptr; // belongs to PostgreSQL, or to the frame when has_own_text
    int text_length = 0;
    bool has_own_text = false;
    const char *tag = nullptr; // constant
    QueryDesc *query = nullptr;
    CommandId command = InvalidCommandId; // of what it writes
    bool is_update = false; // and writes nothing else: a row that it deletes and one that it inserts are one that moved
    uint32 moving = 0;      // version (RecordNumber) of the row that left its partition last
    bool is_foreign_key = false; // made by a foreign key's trigger: its rows' triggers fire when the outer one ends …
    const char *foreign_key = nullptr; // its constraint, in memory of the transaction
    uint32 started_by = 0;             // the version of the parent row (RecordNumber), in that transaction
    Frame *foreign_keys = nullptr;     // … so the outer one keeps them, in a list
    Frame *next_statement = nullptr;   // in that list, or in that of the statements that have begun and not ended

    // Calls and activations.
    FunctionInfo *function = nullptr;
    const FunctionVersion *version = nullptr; // of it that runs
    FmgrInfo *manager = nullptr;
    PGFunction original = nullptr;
    FunctionCallInfo call = nullptr; // while it runs
};

// ---- the stack ----

Frame *top_frame() noexcept;
// Whether a call of the function is on the stack.
bool is_running(const FunctionInfo *function) noexcept;

// A frame that runs within the topmost one, with one reference, not on the stack. Takes the time and the role. May
// longjmp (no memory).
Frame *new_frame(ActivityKind kind);
void push_frame(Frame *frame) noexcept;
// Takes the frame and everything above it off the stack. What was not popped in order was left by an error.
void pop_frame(Frame *frame) noexcept;

// The frame is over: its duration is known. Once.
void end_frame(Frame *frame, ActivityStatus status) noexcept;
// Texts and arguments of all that runs may hold what is not to be on record.
void withhold_texts() noexcept;
// One reference less; the last one frees the frame.
void release_frame(Frame *frame) noexcept;

// ---- statements that have begun ----

void add_statement(Frame *frame) noexcept; // takes over the caller's reference
Frame *find_statement(const QueryDesc *query) noexcept;
// The statement, COPY included, that writes with this command id; nullptr: none is known. Foreign keys' are found until
// the statement around them ends.
Frame *find_statement(CommandId command) noexcept;
void statement_has_ended(Frame *frame); // may longjmp (no memory)
// COPY or TRUNCATE has failed, which aborts the subtransaction at once.
void note_failed_write() noexcept;
// Whether one of them that began in the subtransaction, or in one within it, was to write.
bool is_writing(SubTransactionId since) noexcept;
// Of an aborted subtransaction nothing goes on that began in it; at the end of a transaction (since = 0) nothing at all
// but what is on the stack.
void forget_statements(SubTransactionId since) noexcept;

} // namespace dbnet::provenance
