// A column's or argument's value as a member of a jsonb object: what to_jsonb() would make of it, but the same in every
// session (times in UTC), and without calling a user's code where the type is PostgreSQL's own. Of an extension's type
// (hstore, geometry) its text, also where that has a cast to json: only the text can be read back.
// Backends; inside pg::call, may longjmp.
#pragma once

#include "provenance/record/jsonb_object.hpp"

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
    bool may_cast = true;  // kind foreign, of an array or a row: by to_jsonb(), else by the output function
    FmgrInfo function{};   // output function, or to_jsonb
};

// Allocates in `context` what the form needs. `may_cast`: a user's cast to json may run, with the rights of who is the
// user then: for a table's columns, whose owner could have a trigger run as well. Never for arguments, which are read
// when something below the call is recorded, perhaps with other rights. Output functions are superusers' alone.
ValueForm form_of(Oid type, MemoryContext context, bool may_cast);

// Sets all but the name. What cannot be read (an error in a user's code) becomes {"unreadable": "<the error>"}.
void set_value(JsonbField &field, const ValueForm &form, Datum value);

} // namespace dbnet::provenance
