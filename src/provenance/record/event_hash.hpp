// The hash of a row of ours: over what its columns hold, so that it is the same after a dump and restore. Backends;
// inside pg::call, may longjmp.
#pragma once

#include "provenance/record/sha256.hpp"

extern "C" {
#include "access/tupdesc.h"
}

namespace dbnet::provenance {

// Columns `checksum` and `root` are left out: they hold the result.
Sha256::Digest hash_of_row(TupleDesc columns, const Datum *values, const bool *nulls);

} // namespace dbnet::provenance
