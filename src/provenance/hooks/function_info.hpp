// What provenance needs to know of a function that is called: looked up once per backend, again when its definition
// changes. Backends; inside pg::call, may longjmp.
#pragma once

#include "provenance/record/event_id.hpp"
#include "provenance/record/value.hpp"

namespace dbnet::provenance {

// A definition, which another one may replace while calls of it are on record or running. Valid until the end of the
// transaction in which it is replaced or invalidated, and while a call of it runs.
struct FunctionVersion {
    const char *name = nullptr; // schema.name(argument types)
    const char *language = nullptr;
    const char *source = nullptr; // of C functions library and symbol
    int64 code = 0;               // dbnet.code.id: start of the SHA-256 of language, name and source
};

struct FunctionInfo {
    Oid function = InvalidOid;
    bool is_wanted = false;  // calls get a frame
    bool is_tracked = false; // every call is recorded (dbnet.tracked_function)
    const FunctionVersion *version = nullptr;
    Oid stored_in = InvalidOid; // the table that is known to hold the version's source: dbnet.code …
    EventId stored_at = 0;      // … since this event
    int argument_count = 0;
    int16 *argument_lengths = nullptr; // as pg_type.typlen; 0: polymorphic
    ValueForm *argument_forms = nullptr;
    int *argument_order = nullptr;      // jsonb's order of names
    const char **shown_names = nullptr; // names, $1 where there is none; in the order of arguments
};

// Whether calls of the function get a frame; cheap when it was asked before. PostgreSQL's own functions, DBNet's, and
// SQL functions that would be inlined get none: those disappear in the statement around them.
bool wants_frame(Oid function);

// Never null; valid until the end of the transaction.
FunctionInfo *function_info(Oid function);

// At the end of a transaction: what was invalidated need not be kept, for its function may be gone; unless a call of it
// goes on.
void forget_stale_functions() noexcept;

// Called once per process, when the hooks are installed.
void watch_functions();

} // namespace dbnet::provenance
