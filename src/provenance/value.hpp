// A column's or argument's value as a member of a jsonb object: what to_jsonb() would make of it, but the same in every
// session (times in UTC), and without calling a user's code where the type is PostgreSQL's own.
// Backends; inside pg::call, may longjmp.
#pragma once

#include "provenance/jsonb_object.hpp"

namespace dbnet::provenance {

// How values of one type are written; made once per column.
struct ValueForm {
    enum class Kind : uint8 {
        boolean,
        int2,
        int4,
        int8,
        floating, // float4, float8: by output function
        numeric,
        text, // and everything that is stored as text is
        name,
        jsonb,
        json,
        time,     // date, timestamp, timestamptz
        output,   // its text
        composed, // arrays, rows, …: to_jsonb()
        foreign   // as composed, but it may run code of a user: inside a savepoint
    };
    Kind kind = Kind::output;
    Oid type = InvalidOid; // of the value: a domain's base type
    FmgrInfo function{};   // output function, or to_jsonb
};

// Allocates in `context` what the form needs.
ValueForm form_of(Oid type, MemoryContext context);

// Sets all but the name. What cannot be read (an error in a user's code) becomes {"unreadable": "<the error>"}.
void set_value(JsonbField &field, const ValueForm &form, Datum value);

} // namespace dbnet::provenance
