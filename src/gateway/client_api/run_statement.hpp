// One statement of a client with parameters in JSON, and its answer as JSON or CSV. Backends and sessions of the client
// API; inside pg::call, may longjmp; connects SPI itself.
#pragma once

#include "pg/guard.hpp"

extern "C" {
#include "lib/stringinfo.h"
#include "utils/jsonb.h"
}

namespace dbnet::gateway {

struct StatementLimits {
    int64 rows = -1;                 // that are answered, more are cut off; -1: all
    int64 bytes = 256 * 1024 * 1024; // of the answer; above: error 54000
    bool is_read_only = false;       // refuses what would write, beside what the transaction refuses
};

enum class StatementFormat { json, csv };

// Runs the statement, exactly one, and appends to `answer`
//   json: {"command": "SELECT", "row_count": 1, "truncated": false, "columns": [{"name": …, "type": …}], "rows": [{…}]}
//         rows and columns are [] for statements that return none; then row_count is how many were changed;
//   csv:  a line of names and one for each row, as RFC 4180 has it; NULL is empty, an empty text "".
// parameters: an array for $1, $2, …, converted to the types that the statement gives them; nullptr: none.
// True: there are more rows than were asked for.
bool run_statement(const char *statement, Jsonb *parameters, const StatementLimits &limits, StatementFormat format,
                   StringInfo answer);

// Values of a JSON array (or, with names, an object) as values of these types, by the rules of jsonb_to_record(). SPI
// is connected; they live in its memory. nulls: 'n' or ' '.
struct ConvertedValues {
    Datum *values;
    char *nulls;
};
ConvertedValues converted(Jsonb *values, const char *const *names, const Oid *types, int count);

} // namespace dbnet::gateway
